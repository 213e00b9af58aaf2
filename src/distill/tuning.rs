//! What a proof may change in a job when its figures are off: [`Tuning`] is applied to the streams
//! before they are written, and [`Tuning::next`] says what to try after a look at the card.

use crate::measure::fidelity::Metric;

use super::engine::Engine;
use super::job::Options;
use super::streams::{Brake, Direction, Stream};

/// The most that one round changes a number, as a factor either way.
const STEP: f64 = 2.0;

/// Factors on the numbers of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// On `iodepth`, where the depth decides, of reads and of writes; of a job with both, the first.
    pub depth: [f64; 2],
    /// On `rate` and `rate_iops`, of reads and of writes.
    pub rate: [f64; 2],
    /// On `thinktime`.
    pub pause: f64,
}

impl Default for Tuning {
    /// Changes nothing.
    fn default() -> Self {
        Self { depth: [1.0; 2], rate: [1.0; 2], pause: 1.0 }
    }
}

/// What bounds a job's pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Depth,
    Rate,
    Pause,
    /// The program's own calls.
    Calls,
}

impl Tuning {
    /// Changes the streams, and says what became of which number, a line each.
    pub fn apply(&self, streams: &mut [Stream]) -> Vec<String> {
        let mut changes = Vec::new();
        for stream in streams {
            let mut changed = |option: &str, from: u64, to: u64| {
                if from != to {
                    changes.push(format!("{} of {} from {from} to {to}", option, stream.name));
                }
                to
            };
            stream.brake = stream.brake.map(|brake| self.slowed(brake, stream, &mut changed));
            let way = stream.parts.first().map_or(0, |part| part.direction as usize);
            if stream.threads > 1 && stream.engine == Some(Engine::Calls) {
                // Calls that wait are one of each thread, whatever the depth says.
                let threads = u64::from(stream.threads);
                let to = changed("numjobs", threads, scaled(threads, self.depth[way]));
                stream.threads = u32::try_from(to).unwrap_or(u32::MAX);
            } else if is_deep(stream) {
                let depth = u64::from(stream.depth);
                let to = changed("iodepth", depth, scaled(depth, self.depth[way]));
                stream.depth = u32::try_from(to).unwrap_or(u32::MAX);
            }
        }
        changes
    }

    /// A stream's brake, with its numbers `changed`.
    fn slowed(&self, brake: Brake, stream: &Stream, changed: &mut dyn FnMut(&str, u64, u64) -> u64) -> Brake {
        let ways: Vec<Direction> = stream.parts.iter().map(|part| part.direction).collect();
        let way = ways.first().map_or(0, |direction| *direction as usize);
        // A burst that is in flight as a whole grows with the depth, and so does its pause.
        let burst = if stream.is_drained() { self.depth[way] } else { 1.0 };
        let rates = |option: &str, mut each: [u64; 2], changed: &mut dyn FnMut(&str, u64, u64) -> u64| {
            for direction in &ways {
                let option = if ways.len() > 1 { format!("{option} of {direction}s") } else { option.to_owned() };
                let own = &mut each[*direction as usize];
                *own = changed(&option, *own, scaled(*own, self.rate[*direction as usize]));
            }
            each
        };
        match brake {
            Brake::Bytes(bytes) => Brake::Bytes(rates("rate", bytes, changed)),
            Brake::Poisson(iops) => Brake::Poisson(rates("rate_iops", iops, changed)),
            Brake::Think { requests, us } => Brake::Think {
                requests: changed("thinktime_blocks", requests, scaled(requests, burst)),
                us: changed("thinktime", us, scaled(us, self.pause * burst)),
            },
            Brake::ThinkAt { requests, us, bytes } => Brake::ThinkAt {
                requests: changed("thinktime_blocks", requests, scaled(requests, burst)),
                us: changed("thinktime", us, scaled(us, burst)),
                bytes: changed("rate", bytes, scaled(bytes, self.rate[way])),
            },
        }
    }

    /// What to try next, from the card of a job with these streams, written so; none when
    /// nothing that missed its bound follows from these numbers.
    #[must_use]
    pub fn next(&self, streams: &[Stream], options: &Options, metrics: &[Metric]) -> Option<Self> {
        let card = Card(metrics);
        let mut next = *self;
        let bounds: Vec<Bound> = streams.iter().map(bound).collect();
        if bounds.contains(&Bound::Rate) {
            for direction in Direction::ALL.into_iter().filter(|d| card.missed("throughput", *d)) {
                next.rate[direction as usize] *= limited(card.ratio("throughput", direction)?);
            }
        } else if bounds.contains(&Bound::Pause) && card.misses("throughput") {
            next.pause *= limited(longer_pause(streams, &card)?);
        }
        if streams.iter().any(is_deep) && card.misses("in_flight") {
            next.deepen(streams, options, &card)?;
        }
        (next != *self).then_some(next)
    }

    /// Follows what is missing in flight: each direction alone where each has a queue of its own.
    fn deepen(&mut self, streams: &[Stream], options: &Options, card: &Card<'_>) -> Option<()> {
        let stands = written(streams, options);
        let bursts = streams.iter().any(|stream| matches!(stream.brake, Some(Brake::ThinkAt { .. })));
        let two = streams.len() == 2 || bursts;
        if two && streams.iter().all(|stream| stream.read_percent.is_none() && stream.flow.is_none()) {
            for direction in Direction::ALL.into_iter().filter(|d| card.missed("in_flight", *d)) {
                self.depth[direction as usize] *= limited(card.ratio("in_flight", direction)? * stands);
            }
            return Some(());
        }
        let missing = card.both("in_flight", |m| m.original)? / card.both("in_flight", |m| m.distilled)?;
        self.depth.iter_mut().for_each(|factor| *factor *= limited(missing * stands));
        Some(())
    }

    /// Half of the way to another one.
    #[must_use]
    pub fn towards(&self, other: &Self) -> Self {
        let half = |a: f64, b: f64| (a * b).sqrt();
        let both = |a: [f64; 2], b: [f64; 2]| [half(a[0], b[0]), half(a[1], b[1])];
        let (depth, rate) = (both(self.depth, other.depth), both(self.rate, other.rate));
        Self { depth, rate, pause: half(self.pause, other.pause) }
    }

    /// Why a bound that was missed cannot be reached with these numbers.
    pub fn why_not(metric: &Metric) -> &'static str {
        match metric.name.as_str() {
            "read_share" | "byte_share" | "size" => {
                "it follows from whole percents (rwmixread, bssplit) and from how many requests there were, not from \
                 depth or pace: a longer --runtime makes it clearer"
            }
            "sequential" => "it follows from percentage_random and from how the layers below split and merge",
            "d2c_p50" | "d2c_p99" => {
                "it is the device's own time at this load; no depth or pace was found that brings it closer and keeps \
                 what holds"
            }
            "throughput" => {
                "depth and pace are the source's, and the device or the host serves the job at another speed; no value \
                 was found that brings it closer and keeps what holds"
            }
            _ => "no depth or pace was found that brings it closer and keeps what holds",
        }
    }
}

/// Whether what a job has in flight follows from its depth.
fn is_deep(stream: &Stream) -> bool {
    let at_a_rate = matches!(stream.brake, Some(Brake::Bytes(_) | Brake::Poisson(_)));
    !at_a_rate && !stream.is_cached()
}

fn bound(stream: &Stream) -> Bound {
    match stream.brake {
        None if stream.is_cached() => Bound::Calls,
        None => Bound::Depth,
        Some(Brake::Think { .. }) => Bound::Pause,
        Some(Brake::Bytes(_) | Brake::Poisson(_) | Brake::ThinkAt { .. }) => Bound::Rate,
    }
}

/// How many times the depth of the streams the one is that stands in the job: what missed its bound
/// is what that one did.
fn written(streams: &[Stream], options: &Options) -> f64 {
    let wanted: f64 = streams.iter().map(|stream| f64::from(stream.depth)).sum();
    let stands = |stream: &Stream| f64::from(options.depth(stream.depth).unwrap_or(stream.depth));
    streams.iter().map(stands).sum::<f64>() / wanted.max(1.0)
}

fn scaled(value: u64, factor: f64) -> u64 {
    ((value as f64 * factor).round() as u64).max(1)
}

fn limited(factor: f64) -> f64 {
    factor.clamp(1.0 / STEP, STEP)
}

/// The factor on the pause with which a burst and its pause take as long as the source's: what a
/// round takes now is its bytes over the throughput. Of bursts in turns, whose pauses are as long for each
/// request, the first tells.
fn longer_pause(streams: &[Stream], card: &Card<'_>) -> Option<f64> {
    let (mut bytes, mut pause_s) = (0.0, 0.0f64);
    let turns = streams.iter().filter(|stream| stream.turn.is_some()).take(1);
    for stream in streams.iter().filter(|stream| stream.turn.is_none()).chain(turns) {
        if let Some(Brake::Think { requests, us }) = stream.brake {
            let all: u128 = stream.parts.iter().map(|part| part.mix.bytes()).sum();
            bytes += requests as f64 * all as f64 / stream.count().max(1) as f64;
            pause_s = pause_s.max(us as f64 / 1e6);
        }
    }
    let wanted = bytes / card.sum("throughput", |m| m.original).filter(|sum| *sum > 0.0)?;
    let takes = bytes / card.sum("throughput", |m| m.distilled).filter(|sum| *sum > 0.0)?;
    (pause_s > 0.0).then(|| ((pause_s + wanted - takes) / pause_s).max(0.0))
}

/// A card's lines, to be asked.
struct Card<'a>(&'a [Metric]);

impl Card<'_> {
    fn of(&self, name: &str) -> impl Iterator<Item = &Metric> {
        self.0.iter().filter(move |metric| metric.name == name)
    }

    /// Of both directions: the line that says so, or the sum of theirs.
    fn both(&self, name: &str, figure: impl Fn(&Metric) -> Option<f64>) -> Option<f64> {
        match self.of(name).find(|metric| metric.op.is_none()) {
            Some(metric) => figure(metric).filter(|both| *both > 0.0),
            None => self.sum(name, figure),
        }
    }

    fn misses(&self, name: &str) -> bool {
        self.of(name).any(|metric| metric.pass == Some(false))
    }

    fn one(&self, name: &str, direction: Direction) -> Option<&Metric> {
        self.0.iter().find(|metric| metric.name == name && metric.op.as_deref() == Some(direction.word()))
    }

    fn missed(&self, name: &str, direction: Direction) -> bool {
        self.one(name, direction).is_some_and(|metric| metric.pass == Some(false))
    }

    /// How many times the job's figure the source's is.
    fn ratio(&self, name: &str, direction: Direction) -> Option<f64> {
        let metric = self.one(name, direction)?;
        let (original, distilled) = (metric.original?, metric.distilled?);
        (original > 0.0 && distilled > 0.0).then(|| original / distilled)
    }

    /// Over both directions; none when nothing has the figure.
    fn sum(&self, name: &str, figure: impl Fn(&Metric) -> Option<f64>) -> Option<f64> {
        self.of(name).filter_map(figure).reduce(|a, b| a + b).filter(|sum| *sum > 0.0)
    }
}

/// How far a card is from passing: by how many times its allowance each missed line is beyond it.
pub fn misses(metrics: &[Metric]) -> f64 {
    let beyond = |metric: &Metric| match (metric.distance, metric.allowed) {
        (Some(distance), Some(allowed)) if allowed > 0.0 => (distance / allowed - 1.0).max(0.0),
        _ => 1.0,
    };
    metrics.iter().filter(|metric| metric.pass == Some(false)).map(beyond).sum()
}

/// Whether a card is better than another: closer, and nothing that held is missed.
pub fn improves(new: &[Metric], old: &[Metric]) -> bool {
    let same = |metric: &Metric| new.iter().find(|other| other.name == metric.name && other.op == metric.op);
    let held = old.iter().filter(|metric| metric.pass == Some(true));
    held.clone().all(|metric| same(metric).is_some_and(|other| other.pass != Some(false))) && misses(new) < misses(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::SizeMix;
    use crate::distill::pace::Pace;
    use crate::distill::streams::{Habits, Load, streams};

    fn metric(name: &str, original: f64, distilled: f64, allowed: f64) -> Metric {
        let distance = (distilled / original - 1.0).abs();
        Metric {
            name: name.to_owned(),
            op: Some("read".to_owned()),
            original: Some(original),
            distilled: Some(distilled),
            distance: Some(distance),
            allowed: Some(allowed),
            pass: Some(distance <= allowed),
            ..Metric::default()
        }
    }

    fn of(pace: Pace) -> Vec<Stream> {
        let reads = Load { mix: SizeMix::from_sizes([(4096, 100_000)]), in_flight: 8.0, most_in_flight: 16 };
        streams(&reads, &Load::default(), &pace, Habits::default())
    }

    #[test]
    fn depth_follows_what_was_in_flight() {
        let mut jobs = of(Pace::Saturated);
        let card = [metric("in_flight", 8.0, 12.0, 0.15), metric("throughput", 100.0, 101.0, 0.1)];
        let next = Tuning::default().next(&jobs, &Options::default(), &card).unwrap();
        assert_eq!(next.apply(&mut jobs), ["iodepth of read from 8 to 5"]);
        assert_eq!(jobs[0].depth, 5);
        // 61 was written as 64, and 64 kept too few in flight.
        jobs[0].depth = 61;
        let card = [metric("in_flight", 61.0, 54.0, 0.1)];
        let next = Tuning::default().next(&jobs, &Options::default(), &card).unwrap();
        assert_eq!(next.apply(&mut jobs), ["iodepth of read from 61 to 72"]);
        assert_eq!(
            Tuning::default().next(&jobs, &Options::default(), &[metric("d2c_p50", 8.0, 12.0, 0.2)]),
            None,
            "no number does that"
        );
    }

    #[test]
    fn each_of_two_queues_follows_what_it_misses() {
        let one = |in_flight| Load { mix: SizeMix::from_sizes([(4096, 1000)]), in_flight, most_in_flight: 16 };
        let apart = Habits { apart: true, ..Habits::default() };
        let mut jobs = streams(&one(8.0), &one(4.0), &Pace::Saturated, apart);
        let writes = Metric { op: Some("write".to_owned()), ..metric("in_flight", 4.0, 2.0, 0.15) };
        let card = [metric("in_flight", 8.0, 8.0, 0.15), writes];
        let next = Tuning::default().next(&jobs, &Options::default(), &card).unwrap();
        assert_eq!(next.apply(&mut jobs), ["iodepth of write from 4 to 8"]);
    }

    #[test]
    fn a_rate_follows_the_throughput() {
        let mut jobs = of(Pace::Rate { per_second: [1000.0, 0.0], poisson: true });
        let card = [metric("throughput", 100.0, 80.0, 0.1), metric("in_flight", 8.0, 1.0, 0.15)];
        let changes = Tuning::default().next(&jobs, &Options::default(), &card).unwrap().apply(&mut jobs);
        assert_eq!(changes, ["rate_iops of read from 1000 to 1250"], "the depth is only room");
        let one = |count| Load { mix: SizeMix::from_sizes([(4096, count)]), in_flight: 1.0, most_in_flight: 4 };
        let pace = Pace::Rate { per_second: [1000.0, 500.0], poisson: false };
        let mut jobs = streams(&one(2000), &one(1000), &pace, Habits::default());
        let both = Tuning { rate: [1.0, 2.0], ..Tuning::default() };
        assert_eq!(both.apply(&mut jobs), ["rate of writes of mix from 2048000 to 4096000"]);
    }

    #[test]
    fn a_pause_makes_the_round_as_long_as_the_source_s() {
        // 100 requests of 4 KiB and a pause of 10 ms: 20 ms in all, and the source took 30.
        let mut jobs = of(Pace::Bursts { requests: 100, idle_ns: 10_000_000 });
        let per_s = 409_600.0;
        let card = [metric("throughput", per_s / 0.030, per_s / 0.020, 0.1)];
        let changes = Tuning::default().next(&jobs, &Options::default(), &card).unwrap().apply(&mut jobs);
        assert_eq!(changes, ["thinktime of read from 10000 to 20000"]);
    }

    #[test]
    fn what_held_must_hold() {
        let old = [metric("throughput", 100.0, 80.0, 0.1), metric("in_flight", 8.0, 8.0, 0.15)];
        let closer = [metric("throughput", 100.0, 99.0, 0.1), metric("in_flight", 8.0, 8.1, 0.15)];
        let spoilt = [metric("throughput", 100.0, 99.0, 0.1), metric("in_flight", 8.0, 10.0, 0.15)];
        assert!(improves(&closer, &old) && !improves(&spoilt, &old) && !improves(&old, &old));
    }

    #[test]
    fn threads_that_wait_for_their_calls_are_more_or_fewer() {
        let mut jobs = of(Pace::Saturated);
        jobs[0].engine = Some(Engine::Calls);
        jobs[0].share_out(8, |_| false);
        let less = Tuning { depth: [0.5; 2], ..Tuning::default() };
        assert_eq!(less.apply(&mut jobs), ["numjobs of read from 8 to 4"]);
        assert_eq!((jobs[0].depth, jobs[0].threads), (1, 4));
    }

    #[test]
    fn half_way_is_half_of_the_factor() {
        let far = Tuning { depth: [4.0, 1.0], ..Tuning::default() };
        assert!((Tuning::default().towards(&far).depth[0] - 2.0).abs() < 1e-12);
        let mut jobs = of(Pace::Saturated);
        assert!(Tuning::default().apply(&mut jobs).is_empty() && jobs == of(Pace::Saturated));
    }
}
