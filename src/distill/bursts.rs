//! Bursts of many sizes, as those few of which a job can be made.
//!
//! Where a source is idle now and then, of its own, and neither a rate nor a queue that is kept explains what it
//! has in flight, that is a [`mixture`](super::mixture) of bursts. Each becomes a job that has its part of the
//! time.

use crate::measure::BlockResult;
use crate::units;

use super::depth::{busy_ns, is_kept, overlap};
use super::mixture::{Cells, Kind};
use super::pauses::{BURST, Idle};
use super::saturated::MIX_BOUND;
use super::streams::{Brake, Direction, Part, Stream};

/// One burst after the other, for a part of the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Its requests.
    pub requests: u64,
    /// The most of them in flight at once.
    pub depth: u32,
    /// From its last end to the next start.
    pub idle_ns: u64,
    /// The part of the time, of 1.
    pub share: f64,
}

impl Burst {
    /// What is added to the name of its job: fewer in flight than it has are said too.
    fn suffix(&self) -> String {
        match u64::from(self.depth) == self.requests {
            true => format!("-by-{}", self.requests),
            false => format!("-by-{}-at-{}", self.requests, self.depth),
        }
    }
}

/// Those of a source.
#[derive(Clone, Debug, PartialEq)]
pub enum Bursts {
    /// Of reads and writes in any order.
    Together(Vec<Burst>),
    /// Of reads alone and of writes alone, each whenever it comes.
    Apart {
        /// Those of each direction.
        each: [Vec<Burst>; 2],
        /// Requests per second of each.
        per_second: [f64; 2],
    },
}

/// How near they have to be at all.
const LIKE: f64 = 0.4;
/// The mean in flight from which on a burst is more than a request.
const SOME: f64 = 2.0;
/// The part of the time that has to be idle, at least: without it a job moves too much by half of the bound
/// on its throughput.
const IDLE: f64 = 0.05;
/// The part of the busy time in which a queue is far from full, from which on it is not kept.
const DRAINED: f64 = 0.25;
/// The part of the time of bursts that keep a queue, from which on reads and writes share it.
const FULL: f64 = 0.1;
/// The mean time with nothing in flight from which on it is the program's own: what a host takes between
/// two requests of a full queue is less.
const OWN_NS: f64 = 100_000.0;
/// The pause of a job with a rate, in those of the source. Bursts whose pause is too short are as many as the rate
/// has before it ends, and their last requests come one by one; one that is too long does not reach the rate.
/// fio 3.33 reaches those of two replays up to 1.03 and 1.09, as its bursts are served a little faster here.
const PAUSE: f64 = 1.03;

impl Bursts {
    /// Those of a source that was idle for so long, where a few are like it.
    pub fn of(block: &BlockResult, idle: &Idle) -> Option<Self> {
        let all = Cells::of(block.histogram("inflight_time", None)?).filter(|cells| cells.mean() >= SOME)?;
        if idle.ns < IDLE * idle.span || is_kept(block, DRAINED) || idle.ns / times_idle(block)? < OWN_NS {
            return None;
        }
        let count = |d: Direction| block.histogram("size", Some(d.word())).map_or(0, |sizes| sizes.count) as f64;
        let together = fitted(&all, idle.ns / idle.requests.max(1.0))?;
        if meet(block, idle.span) || are_kept(&together) {
            return Some(Self::Together(together));
        }
        let mut each = [Vec::new(), Vec::new()];
        for direction in Direction::ALL.into_iter().filter(|d| count(*d) > 0.0) {
            let depths = block.histogram("inflight_time", Some(direction.word()))?;
            let none = (idle.span - busy_ns(block, Some(direction))?).max(0.0);
            each[direction as usize] = fitted(&Cells::of(depths)?, PAUSE * none / count(direction))?;
        }
        Some(Self::Apart { each, per_second: Direction::ALL.map(|d| count(d) * 1e9 / idle.span) })
    }

    /// One of each kind, for jobs that run beside others and cannot take turns.
    #[must_use]
    pub fn single(&self) -> Self {
        let one = |bursts: &Vec<Burst>| mean(bursts).into_iter().collect();
        match self {
            Self::Together(bursts) => Self::Together(one(bursts)),
            Self::Apart { each, per_second } => Self::Apart { each: each.each_ref().map(one), per_second: *per_second },
        }
    }

    /// Those of which a phase has such a part of all requests, and such of the reads and of the writes.
    #[must_use]
    pub fn part(&self, all: f64, [reads, writes]: [f64; 2]) -> Self {
        let fewer = |bursts: &[Burst], share: f64| {
            let part = |burst: &Burst| ((burst.requests as f64 * share).round() as u64).max(1);
            bursts.iter().map(|burst| Burst { requests: part(burst), ..*burst }).collect()
        };
        match self.single() {
            Self::Together(bursts) => Self::Together(fewer(&bursts, all)),
            Self::Apart { each, per_second } => Self::Apart {
                each: [fewer(&each[0], reads), fewer(&each[1], writes)],
                per_second: [per_second[0] * reads, per_second[1] * writes],
            },
        }
    }

    /// For people.
    pub fn about(&self) -> String {
        match self {
            Self::Together(bursts) => format!("in bursts of many sizes: {}", about(bursts)),
            Self::Apart { each, .. } => {
                let of = Direction::ALL.into_iter().zip(each).filter(|(_, bursts)| !bursts.is_empty());
                let of: Vec<String> = of.map(|(direction, bursts)| format!("{direction}s {}", about(bursts))).collect();
                format!("in bursts of one direction and of many sizes: {}", of.join("; "))
            }
        }
    }
}

/// Whether reads and writes come together: when the rarer is in flight, the other one is too, more often than
/// the half of the way to always from where chance would have it.
fn meet(block: &BlockResult, span: f64) -> bool {
    let busy = Direction::ALL.map(|direction| busy_ns(block, Some(direction)).unwrap_or(0.0));
    let by_chance = busy[0].max(busy[1]) / span;
    overlap(block) > f64::midpoint(by_chance, 1.0)
}

/// Whether bursts of both directions end at the depth of one queue, which jobs beside each other would exceed.
fn are_kept(bursts: &[Burst]) -> bool {
    let kept = bursts.iter().filter(|burst| burst.requests > u64::from(burst.depth).max(BURST as u64));
    kept.map(|burst| burst.share).sum::<f64>() >= FULL
}

/// Bursts with so long a pause for each of their requests; shortest first.
fn fitted(cells: &Cells, pause_ns: f64) -> Option<Vec<Burst>> {
    let (kinds, _) = Some(cells.fit()).filter(|(_, distance)| *distance <= LIKE)?;
    let burst = |(kind, share): (Kind, f64)| {
        let requests = kind.requests().max(BURST as u64);
        Burst { requests, depth: kind.depth, idle_ns: (pause_ns * requests as f64).round() as u64, share }
    };
    Some(kinds.into_iter().map(burst).collect())
}

fn about(bursts: &[Burst]) -> String {
    let list = |figure: &dyn Fn(&Burst) -> String| bursts.iter().map(figure).collect::<Vec<_>>().join(", ");
    let pause = bursts.first().map_or(0.0, |burst| burst.idle_ns as f64 / burst.requests as f64);
    match bursts {
        [one] => format!("by {}, with a pause of {} for each", one.requests, units::ns(pause)),
        _ => format!(
            "by {} for {} % of the time, with a pause of {} for each",
            list(&|burst| burst.requests.to_string()),
            list(&|burst| format!("{:.0}", burst.share * 100.0)),
            units::ns(pause)
        ),
    }
}

/// One that is between them.
fn mean(bursts: &[Burst]) -> Option<Burst> {
    let of =
        |figure: &dyn Fn(&Burst) -> f64| bursts.iter().map(|burst| burst.share * figure(burst)).sum::<f64>().round();
    (!bursts.is_empty()).then(|| Burst {
        requests: of(&|burst| burst.requests as f64) as u64,
        depth: (of(&|burst| f64::from(burst.depth)) as u32).max(1),
        idle_ns: of(&|burst| burst.idle_ns as f64) as u64,
        share: 1.0,
    })
}

/// How often nothing was in flight: requests that met none but themselves.
fn times_idle(block: &BlockResult) -> Option<f64> {
    let met = Direction::ALL.into_iter().filter_map(|d| block.histogram("inflight", Some(d.word())));
    let alone: u64 = met.flat_map(|met| &met.buckets).filter(|bucket| bucket.0 == 1).map(|bucket| bucket.2).sum();
    (alone > 0).then_some(alone as f64)
}

/// Every job gets its part of a burst, and the pause after it; one that runs alone for its part of the
/// time gets all of it.
pub fn alike(all: Vec<Stream>, requests: u64, idle_ns: u64) -> Vec<Stream> {
    let total: u64 = all.iter().map(Stream::count).sum();
    let part = |stream: &Stream| match stream.turn {
        Some(_) => requests.max(1),
        None => (requests as f64 * stream.count() as f64 / total as f64).round().max(1.0) as u64,
    };
    let us = idle_ns.div_ceil(1000).max(1);
    all.into_iter()
        .map(|stream| Stream { brake: Some(Brake::Think { requests: part(&stream), us }), ..stream })
        .collect()
}

/// Bursts of several lengths, each for its part of the time. Two jobs of neighbouring percents have the lengths
/// between them where that gives the mix; jobs that run beside each other have one length, as fio cannot have
/// them take turns together.
pub fn mixed(all: &[Stream], sorts: &[Burst]) -> Vec<Stream> {
    let of = |stream: &Stream, burst: &Burst| {
        let name = stream.name.clone() + &burst.suffix();
        let turn = Some(burst.share * stream.turn.unwrap_or(1.0));
        let brake = Some(Brake::Think { requests: burst.requests, us: burst.idle_ns.div_ceil(1000).max(1) });
        Stream { name, turn, brake, depth: burst.depth, ..stream.clone() }
    };
    match all {
        [one] if let [burst] = sorts => {
            vec![Stream { name: one.name.clone(), turn: one.turn, ..of(one, burst) }]
        }
        [one] => sorts.iter().map(|burst| of(one, burst)).collect(),
        [low, high] if let Some(part) = low.turn => match halves(sorts, part, MIX_BOUND * rare(&[low, high])) {
            Some(lower) => sorts
                .iter()
                .zip(lower)
                .map(|(burst, lower)| of(&Stream { turn: None, ..if lower { low } else { high }.clone() }, burst))
                .collect(),
            None => sorts.iter().flat_map(|burst| [of(low, burst), of(high, burst)]).collect(),
        },
        beside => {
            let one = mean(sorts);
            one.map(|one| alike(beside.to_vec(), one.requests, one.idle_ns)).unwrap_or_default()
        }
    }
}

/// Bursts of one direction, at a rate that keeps its share of the bytes; rare large sizes at theirs alone.
pub fn at_a_rate(direction: Direction, parts: Vec<Part>, bursts: &[Burst], per_second: f64) -> Vec<Stream> {
    let total: u64 = parts.iter().map(|part| part.mix.count()).sum();
    let mut all = Vec::new();
    for (part, suffix) in parts.into_iter().zip(["", "-large", "-larger"]) {
        let bytes = part.rate(per_second, total);
        let name = format!("{direction}{suffix}");
        if suffix.is_empty() {
            all.extend(bursts.iter().map(|burst| {
                let us = burst.idle_ns.div_ceil(1000).max(1);
                let several = bursts.len() > 1;
                let name = if several { name.clone() + &burst.suffix() } else { name.clone() };
                let brake = Some(Brake::ThinkAt { requests: burst.requests, us, bytes });
                Stream { brake, turn: several.then_some(burst.share), ..Stream::one(name, part.clone(), burst.depth) }
            }));
        } else {
            let depth = bursts.iter().map(|burst| burst.depth).max().unwrap_or(1);
            let mut each = [0; 2];
            each[direction as usize] = bytes;
            all.push(Stream { brake: Some(Brake::Bytes(each)), ..Stream::one(name, part, depth) });
        }
    }
    all
}

/// Which of the bursts make up a part of the time together, as near as that.
fn halves(sorts: &[Burst], part: f64, near: f64) -> Option<Vec<bool>> {
    let sets = (0..1u32 << sorts.len()).map(|set| (0..sorts.len()).map(|at| set >> at & 1 == 1).collect::<Vec<_>>());
    let off = |set: &Vec<bool>| {
        let own: f64 = sorts.iter().zip(set).filter(|(_, own)| **own).map(|(burst, _)| burst.share).sum();
        (own - part).abs()
    };
    sets.min_by(|a, b| off(a).total_cmp(&off(b))).filter(|set| off(set) <= near)
}

/// Percent of the requests of the rarer direction.
fn rare(jobs: &[&Stream]) -> f64 {
    let both = jobs.iter().find(|job| job.parts.len() == 2);
    let counts = both.map(|job| [0, 1].map(|at| job.parts[at].mix.count() as f64));
    counts.map_or(0.0, |[reads, writes]| reads.min(writes) / (reads + writes) * 100.0)
}
