//! From events back to histograms: exactly those that the programs counted, when no row is
//! missing.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::TOOL;
use crate::capture::devices::SECTOR;
use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::measure::block::{BLOCK_SCHEMA, BlockSet, KernelCounters};
use crate::measure::events::{BlockOp, Event, EventKind, EventsMeta, EventsReader, Side, Word};
use crate::stop::Stop;
use crate::trace::{Input, Phase};

use super::counters::{Counters, direction};
use super::turns::Turns;

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

/// What is in flight on a device and side.
struct Flight {
    turns: Turns<Turn>,
    depth: [u64; 2],
    since: i64,
    runs: [Option<Run>; 2],
    /// Requests that were turned away and come again, by birth and process.
    again: HashSet<(i64, u32)>,
}

/// One request more or fewer in flight.
struct Turn {
    at_ns: i64,
    way: usize,
    /// One more, and whether that was the request's first flight: how it follows the last one.
    up: Option<Option<Follows>>,
}

/// How a request follows the last one of its direction.
struct Follows {
    sequential: bool,
    phase: Option<Phase>,
}

/// A sequential run that goes on.
struct Run {
    requests: u64,
    phase: Option<Phase>,
}

/// Where time at a depth and runs are counted.
struct Sums<'a> {
    plain: &'a mut Counters,
    phases: Option<&'a mut BTreeMap<&'static str, Counters>>,
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
        flight.play(&mut sums, false);
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
            flight.play(&mut sums, true);
            for (way, run) in flight.runs.iter_mut().enumerate() {
                run.take().into_iter().for_each(|run| sums.of(run.phase).count_run(way, run.requests));
            }
            missing += flight.turns.missing();
        }
        missing
    }

    /// The result of the capture whose events these are, but for what events do not tell.
    pub fn result(&self, meta: &EventsMeta) -> BlockResult {
        let set = |counters: &Counters| BlockSet { histograms: counters.save(&self.sectors) };
        let mut target = self.target.clone();
        self.phases.values().for_each(|phase| target.add(phase));
        let none = Counters::new();
        let phase = |word: &str| set(self.phases.get(word).unwrap_or(&none));
        let phases = Phase::WORDS.iter().map(|(_, word)| ((*word).to_owned(), phase(word)));
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
            histograms: set(&target).histograms,
            other: set(&self.other),
            phases: (!self.phases.is_empty()).then(|| phases.collect()),
            loss: meta.loss.clone(),
            tainted: !meta.taint_reasons.is_empty(),
            taint_reasons: meta.taint_reasons.clone(),
            notes: Vec::new(),
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
    let mut events = EventsReader::of(input)?;
    let mut reduction = Reduction::new(events.meta().devices.iter().map(|device| device.size_bytes));
    let mut rows = 0u64;
    for event in &mut events {
        reduction.add(&event?);
        rows += 1;
        if rows.is_multiple_of(LOOK) && stop.requested() {
            return Err(Error::interrupted("interrupted; nothing was written"));
        }
    }
    let missing = reduction.end();
    let mut result = reduction.result(events.meta());
    if missing > 0 {
        result.taint_reasons.push(format!(
            "{missing} changes of the number of requests in flight are missing among the events, so inflight_time and \
             run_length are wrong and the counts too low; capture with a larger --events-buffer"
        ));
        result.tainted = true;
    }
    Ok(result)
}

impl Sums<'_> {
    /// The set of a phase; without one, the plain one.
    fn of(&mut self, phase: Option<Phase>) -> &mut Counters {
        let word = phase.and_then(|phase| Phase::WORDS.iter().find(|(known, _)| *known == phase));
        match (word, &mut self.phases) {
            (Some((_, word)), Some(phases)) => phases.entry(word).or_insert_with(Counters::new),
            _ => self.plain,
        }
    }
}

impl Flight {
    fn new() -> Self {
        Self { turns: Turns::new(), depth: [0; 2], since: i64::MIN, runs: [None, None], again: HashSet::new() }
    }

    /// Files the changes that a request made. Only what landed has flown to its end: until then
    /// another row of the request follows.
    fn take(&mut self, event: &Event) {
        let Some(way) = direction(event.op) else { return };
        let request = (event.queued_ns, event.pid);
        let came_again = self.again.remove(&request);
        let flew = event.took_off.zip(event.took_off_ns()).zip(event.landed);
        if event.kind == EventKind::Requeued && (came_again || flew.is_some()) {
            self.again.insert(request);
        }
        let Some(((took_off, flown), landed)) = flew else { return };
        let follows = Follows { sequential: event.seek_bytes == Some(0), phase: event.phase };
        self.turns.push(took_off, Turn { at_ns: flown, way, up: Some((!came_again).then_some(follows)) });
        self.turns.push(landed, Turn { at_ns: event.completed_ns, way, up: None });
    }

    /// Goes through the changes whose turn it is.
    fn play(&mut self, sums: &mut Sums<'_>, end: bool) {
        while let Some(turn) = self.turns.pop(end) {
            if turn.at_ns > self.since {
                let spent = turn.at_ns.saturating_sub(self.since) as u64;
                sums.plain.count_depths(self.depth[0], self.depth[1], spent);
                self.since = turn.at_ns;
            }
            let depth = &mut self.depth[turn.way];
            match turn.up {
                None => *depth = depth.saturating_sub(1),
                Some(first) => {
                    *depth += 1;
                    first.into_iter().for_each(|follows| self.follow(turn.way, &follows, sums));
                }
            }
        }
    }

    /// A request goes on with the run of its direction, or ends it and begins one.
    fn follow(&mut self, way: usize, follows: &Follows, sums: &mut Sums<'_>) {
        match &mut self.runs[way] {
            Some(run) if follows.sequential => run.requests += 1,
            run => {
                let ended = run.replace(Run { requests: 1, phase: follows.phase });
                ended.into_iter().for_each(|run| sums.of(run.phase).count_run(way, run.requests));
            }
        }
    }
}
