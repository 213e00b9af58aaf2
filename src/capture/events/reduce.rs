//! From events back to histograms: exactly those that the programs counted, when no row is
//! missing.

use std::collections::BTreeMap;
use std::path::Path;

use crate::TOOL;
use crate::capture::devices::SECTOR;
use crate::error::{Error, Result};
use crate::measure::block::{BLOCK_SCHEMA, BlockSet, KernelCounters};
use crate::measure::events::{Ahead, BlockOp, Event, EventKind, EventsMeta, EventsReader, Side};
use crate::measure::{BlockResult, Histogram};
use crate::stop::Stop;
use crate::trace::Input;

use super::counters::Counters;
use super::flight::{Flight, Sums};

/// How many rows go by between two looks at whether to stop.
const LOOK: u64 = 1 << 16;

/// Counts events, which come in the order of a file. Its memory does not grow with their number.
pub struct Reduction {
    /// Sizes of the devices.
    sectors: Vec<u64>,
    target: Counters,
    other: Counters,
    phases: BTreeMap<&'static str, Counters>,
    /// By device and side.
    flights: BTreeMap<(usize, bool), Flight>,
    captured: Vec<KernelCounters>,
}

impl Reduction {
    /// Nothing yet, on devices of so many bytes.
    pub fn new(size_bytes: impl IntoIterator<Item = u64>) -> Self {
        let sectors: Vec<u64> = size_bytes.into_iter().map(|bytes| bytes / SECTOR).collect();
        Self {
            captured: vec![KernelCounters::default(); sectors.len()],
            sectors,
            target: Counters::new(),
            other: Counters::new(),
            phases: BTreeMap::new(),
            flights: BTreeMap::new(),
        }
    }

    /// Counts an event.
    pub fn add(&mut self, event: &Event) {
        let sectors = self.sectors.get(event.device).copied().unwrap_or(0);
        self.total(event);
        let (plain, phases) = match event.side {
            Side::Target => (&mut self.target, Some(&mut self.phases)),
            Side::Other => (&mut self.other, None),
        };
        let mut sums = Sums { plain, phases };
        sums.of(event.phase).count(event, sectors);
        let is_other = event.side == Side::Other;
        let flight = self.flights.entry((event.device, is_other)).or_insert_with(Flight::new);
        flight.take(event);
        flight.play(&mut sums);
    }

    /// What the kernel would have counted of it on its device.
    fn total(&mut self, event: &Event) {
        let Some(sum) = self.captured.get_mut(event.device) else { return };
        let counted = match (event.kind, event.op) {
            (EventKind::Done | EventKind::Unseen, BlockOp::Read | BlockOp::Write) => event.issued_ns.is_some(),
            (EventKind::Done, BlockOp::Flush | BlockOp::WriteZeroes) => true,
            _ => false,
        };
        let bytes = event.size_bytes.unwrap_or(0);
        if counted && event.op == BlockOp::Read {
            sum.read_ios += 1;
            sum.read_bytes += bytes;
        } else if counted {
            sum.write_ios += 1;
            sum.write_bytes += bytes;
        }
    }

    /// The end of the events: what still waits is counted. Returns how many changes of the
    /// requests in flight never came.
    pub fn end(&mut self) -> u64 {
        let mut missing = 0;
        for ((_, is_other), flight) in &mut self.flights {
            let (plain, phases) =
                if *is_other { (&mut self.other, None) } else { (&mut self.target, Some(&mut self.phases)) };
            let mut sums = Sums { plain, phases };
            missing += flight.end(&mut sums);
        }
        missing
    }

    /// The target's histograms of all phases so far.
    pub fn target(&self) -> Vec<Histogram> {
        let mut target = self.target.clone();
        self.phases.values().for_each(|phase| target.add(phase));
        target.save(&self.sectors)
    }

    /// The result of the capture whose events these are, but for what events do not tell.
    pub fn result(&self, meta: &EventsMeta) -> BlockResult {
        let set = |counters: &Counters| BlockSet { histograms: counters.save(&self.sectors) };
        let phases = self.phases.iter().map(|(word, counters)| {
            let mut of = set(counters);
            // The depth is that of all phases together.
            of.histograms.retain(|histogram| histogram.name != "inflight_time");
            ((*word).to_owned(), of)
        });
        let mut devices = meta.devices.clone();
        for (device, captured) in devices.iter_mut().zip(&self.captured) {
            device.captured = *captured;
        }
        BlockResult {
            schema: BLOCK_SCHEMA.to_owned(),
            tool: TOOL.to_owned(),
            complete: meta.complete,
            source: meta.source.clone(),
            devices,
            filter: meta.filter.clone(),
            duration_s: meta.duration_s,
            histograms: self.target().into_iter().chain(meta.calls.iter().cloned()).collect(),
            other: set(&self.other),
            phases: (!self.phases.is_empty()).then(|| phases.collect()),
            loss: meta.loss.clone(),
            tainted: !meta.taint_reasons.is_empty(),
            taint_reasons: meta.taint_reasons.clone(),
            notes: Vec::new(),
            probes: Vec::new(),
            processes: None,
        }
    }
}

/// The block result behind an events file ([`crate::measure::events::EVENTS_SCHEMA`]).
///
/// # Errors
/// When the file cannot be read or is not one, or when `stop` is requested.
pub fn reduce(path: &Path, stop: &Stop) -> Result<BlockResult> {
    reduce_input(&Input::open(path)?, stop)
}

/// As [`reduce`], of an input that is open already.
///
/// # Errors
/// As [`reduce`].
pub fn reduce_input(input: &Input, stop: &Stop) -> Result<BlockResult> {
    reduce_watched(input, stop, |_, _| {})
}

/// As [`reduce_input`]; `watch` is shown each row before it is counted, with what was counted so far.
///
/// # Errors
/// As [`reduce`].
pub fn reduce_watched(input: &Input, stop: &Stop, mut watch: impl FnMut(&Event, &Reduction)) -> Result<BlockResult> {
    let events = EventsReader::of(input)?;
    let meta = events.meta().clone();
    let mut reduction = Reduction::new(meta.devices.iter().map(|device| device.size_bytes));
    let mut rows = 0u64;
    for event in Ahead::of(events) {
        let event = event?;
        watch(&event, &reduction);
        reduction.add(&event);
        rows += 1;
        if rows.is_multiple_of(LOOK) && stop.requested() {
            return Err(Error::interrupted("interrupted; nothing was written"));
        }
    }
    let missing = reduction.end();
    let mut result = reduction.result(&meta);
    if missing > 0 {
        result.taint_reasons.push(format!(
            "{missing} changes of the number of requests in flight are missing among the events, so inflight_time and \
             run_length are wrong and the counts too low; capture with a larger --events-buffer"
        ));
        result.tainted = true;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Phase;
    use proptest::prelude::*;

    /// A request as it is made up: on a device of a side, born so long after the last one.
    #[derive(Clone, Debug)]
    struct Made {
        device: usize,
        other: bool,
        write: bool,
        after: u64,
        wait: u64,
        service: u64,
        sectors: u64,
        follows: bool,
        requeued: bool,
    }

    fn made() -> impl Strategy<Value = Made> {
        let what = (0..2usize, any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.1));
        (what, 0..3_000u64, 0..500u64, 1..100_000u64, 1..300u64).prop_map(
            |((device, other, write, follows, requeued), after, wait, service, sectors)| Made {
                device,
                other,
                write,
                after,
                wait,
                service,
                sectors,
                follows,
                requeued,
            },
        )
    }

    const SIZES: [u64; 2] = [1 << 30, 3 << 29];

    /// One flight of a request: which, from when to when, its last one.
    struct Flown {
        request: usize,
        from: i64,
        to: i64,
        last: bool,
    }

    /// What the programs would tell of them, in their order.
    fn events(made: &[Made]) -> Vec<Event> {
        let (mut born, mut flights, mut born_at) = (0i64, Vec::new(), Vec::new());
        for (request, made) in made.iter().enumerate() {
            born += made.after as i64;
            born_at.push(born);
            let (from, to) = (born + made.wait as i64, born + (made.wait + made.service) as i64);
            if made.requeued {
                flights.push(Flown { request, from, to: from + made.service as i64 / 2, last: false });
                flights.push(Flown { request, from: to, to: to + 7, last: true });
            } else {
                flights.push(Flown { request, from, to, last: true });
            }
        }
        let mut changes: Vec<(i64, bool, usize)> =
            (0..flights.len()).flat_map(|at| [(flights[at].from, true, at), (flights[at].to, false, at)]).collect();
        changes.sort_by_key(|(when, up, at)| (*when, !*up, *at));
        let mut turns = BTreeMap::<(usize, bool), u32>::new();
        let mut ends = BTreeMap::<(usize, bool, bool), u64>::new();
        let mut depths = BTreeMap::<(usize, bool), u32>::new();
        let (mut took_off, mut found, mut told) = (vec![(0, 0); flights.len()], vec![None; made.len()], Vec::new());
        for (when, up, at) in changes {
            let flight = &flights[at];
            let of = &made[flight.request];
            let side = (of.device, of.other);
            let turn = turns.entry(side).or_insert(0);
            *turn += 1;
            let depth = depths.entry(side).or_insert(0);
            if up {
                *depth += 1;
                took_off[at] = (*turn, *depth);
                let end = ends.entry((of.device, of.other, of.write)).or_insert(u64::MAX);
                found[flight.request].get_or_insert_with(|| {
                    let first = *end == u64::MAX;
                    let start = if of.follows && !first { *end } else { (flight.request as u64 * 7919) % 100_000 };
                    let seek = (!first).then(|| (start as i64 - *end as i64) * 512);
                    *end = start + of.sectors;
                    (start, seek)
                });
                continue;
            }
            *depth -= 1;
            let (start, seek) = found[flight.request].expect("it took off");
            told.push(Event {
                device: of.device,
                side: if of.other { Side::Other } else { Side::Target },
                op: if of.write { BlockOp::Write } else { BlockOp::Read },
                kind: if flight.last { EventKind::Done } else { EventKind::Requeued },
                queued_ns: born_at[flight.request],
                issued_ns: Some(flight.from),
                completed_ns: when,
                offset_bytes: Some(start * 512),
                size_bytes: Some(of.sectors * 512),
                seek_bytes: seek,
                pid: flight.request as u32,
                took_off: Some(took_off[at].0),
                depth: Some(took_off[at].1),
                landed: Some(*turn),
                ..Event::default()
            });
        }
        told
    }

    fn reduced(events: &[Event]) -> (Reduction, u64) {
        let mut reduction = Reduction::new(SIZES);
        events.iter().for_each(|event| reduction.add(event));
        let missing = reduction.end();
        (reduction, missing)
    }

    fn one(histograms: &[Histogram], name: &str, op: Option<&str>) -> Histogram {
        histograms.iter().find(|h| h.is(name, op)).expect("the name is there").clone()
    }

    /// Time at each depth and runs of the others' writes on both devices, step by step over all events.
    fn naive(events: &[Event]) -> (BTreeMap<i64, u64>, Vec<u64>) {
        let (mut times, mut runs) = (BTreeMap::new(), Vec::new());
        for device in 0..SIZES.len() {
            let of = |event: &&Event| event.device == device && event.side == Side::Other;
            let mine: Vec<&Event> = events.iter().filter(of).collect();
            let mut moments: Vec<i64> = mine.iter().flat_map(|e| [e.issued_ns.unwrap(), e.completed_ns]).collect();
            moments.sort_unstable();
            for pair in moments.windows(2) {
                let flying = |e: &&&Event| e.issued_ns.unwrap() <= pair[0] && e.completed_ns >= pair[1];
                let depth = mine.iter().filter(flying).count() as i64;
                if depth > 0 && pair[1] > pair[0] {
                    *times.entry(depth).or_insert(0) += (pair[1] - pair[0]) as u64;
                }
            }
            let mut firsts: BTreeMap<u32, &Event> = BTreeMap::new();
            for event in mine.iter().filter(|event| event.op == BlockOp::Write) {
                let first = firsts.entry(event.pid).or_insert(event);
                if event.took_off < first.took_off {
                    *first = event;
                }
            }
            let mut order: Vec<&Event> = firsts.into_values().collect();
            order.sort_by_key(|event| event.took_off);
            let mut run = 0;
            for event in order {
                if event.seek_bytes != Some(0) && run > 0 {
                    runs.push(std::mem::take(&mut run));
                }
                run += 1;
            }
            runs.extend((run > 0).then_some(run));
        }
        (times, runs)
    }

    proptest! {
        #[test]
        fn what_is_counted_again_is_what_a_walk_over_everything_finds(made in prop::collection::vec(made(), 1..150)) {
            let events = events(&made);
            let (reduction, missing) = reduced(&events);
            prop_assert_eq!(missing, 0);
            let (times, runs) = naive(&events);
            let other = reduction.other.save(&reduction.sectors);
            let busy = one(&other, "inflight_time", None);
            prop_assert_eq!(busy.buckets.iter().map(|&(low, _, ns)| (low, ns)).collect::<BTreeMap<_, _>>(), times);
            let run = one(&other, "run_length", Some("write"));
            prop_assert_eq!((run.count, run.sum), (runs.len() as u64, runs.iter().sum::<u64>().into()));
            prop_assert_eq!(run.max, runs.iter().max().map(|run| *run as i64));
            let target = reduction.target.save(&reduction.sectors);
            let sizes: u64 = [&target, &other].iter().map(|set| one(set, "size", Some("read")).count).sum();
            prop_assert_eq!(sizes as usize, made.iter().filter(|made| !made.write).count());
            let bytes: u64 = reduction.captured.iter().map(|sum| sum.read_bytes + sum.write_bytes).sum();
            prop_assert_eq!(bytes, made.iter().map(|made| made.sectors * 512).sum::<u64>());
        }

        #[test]
        fn the_order_of_rows_does_not_matter_but_a_missing_one_is_noticed(
            made in prop::collection::vec(made(), 2..80), by in 1..20usize, lost in any::<prop::sample::Index>()
        ) {
            let events = events(&made);
            let plain = |reduction: &Reduction| {
                (reduction.target.save(&reduction.sectors), reduction.other.save(&reduction.sectors))
            };
            let expected = reduced(&events).0;
            // A request's own rows keep their order, as they do in the ring.
            let mut shuffled: Vec<(usize, &Event)> = events.iter().enumerate().collect();
            shuffled.sort_by_key(|(at, event)| if event.kind == EventKind::Requeued { 0 } else { at / by * by + by - at % by });
            let shuffled: Vec<Event> = shuffled.into_iter().map(|(_, event)| event.clone()).collect();
            prop_assert_eq!(plain(&reduced(&shuffled).0), plain(&expected));
            let mut fewer = events;
            let lost = fewer.remove(lost.index(fewer.len()));
            let side = |event: &Event| (event.device, event.side == Side::Other);
            let later = fewer.iter().any(|event| side(event) == side(&lost) && event.landed > lost.landed);
            prop_assert_eq!(reduced(&fewer).1 > 0, later || fewer.iter().any(
                |event| side(event) == side(&lost) && event.landed > lost.took_off));
        }
    }

    #[test]
    fn rows_of_what_never_flew_count_as_the_programs_count() {
        let flush = Event { op: BlockOp::Flush, completed_ns: 40, ..Event::default() };
        let merged = Event { kind: EventKind::Merged, completed_ns: 5, ..Event::default() };
        let unseen = Event {
            kind: EventKind::Unseen,
            issued_ns: Some(10),
            completed_ns: 90,
            size_bytes: Some(4096),
            depth: Some(1),
            ..Event::default()
        };
        let (reduction, _) = reduced(&[flush, merged, unseen]);
        let saved = reduction.target.save(&reduction.sectors);
        assert_eq!(one(&saved, "flush", None).sum, 40);
        let counts = ["d2c", "q2c", "q2d", "size"].map(|name| one(&saved, name, Some("read")).count);
        assert_eq!(counts, [0, 0, 1, 1], "when it completed is not known");
        assert_eq!((reduction.captured[0].read_ios, reduction.captured[0].write_ios), (1, 1));
    }

    #[test]
    fn phases_are_of_the_target_and_add_up_to_it() {
        let phased = |phase, size| Event {
            phase,
            issued_ns: Some(1),
            completed_ns: 3,
            size_bytes: Some(size),
            depth: Some(1),
            ..Event::default()
        };
        let events = [phased(None, 512), phased(Some(Phase::Decode), 1024), phased(Some(Phase::Evict), 2048)];
        let result = reduced(&events).0.result(&EventsMeta::default());
        assert_eq!(one(&result.histograms, "size", Some("read")).sum, 3584);
        let phases = result.phases.expect("somebody set phases");
        assert_eq!(one(&phases["decode"].histograms, "size", Some("read")).sum, 1024);
        assert_eq!(phases.keys().collect::<Vec<_>>(), ["decode", "evict"], "as far as there was any");
    }
}
