//! The load as fio jobs: what each one does, how deep, and what keeps it from being as fast as it can.

use std::fmt;

use super::bursts::{self, Burst, Bursts};
use super::engine::Engine;
use super::pace::Pace;
use super::parts::cut;
use super::saturated::saturated;
use super::sizes::{SizeMix, Split};

/// The largest weight that fio's `flow` takes.
pub const MAX_FLOW: u32 = 1000;
/// How far what all threads keep in flight may be from what was kept, relative.
const SHARED_OUT: f64 = 0.1;

/// A direction of block I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Reads.
    Read,
    /// Writes.
    Write,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Read, Direction::Write];

    /// The word in histograms and job names.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Read => "read",
            Direction::Write => "write",
        }
    }

    /// fio's `rw=` for random places.
    pub fn random(self) -> &'static str {
        match self {
            Direction::Read => "randread",
            Direction::Write => "randwrite",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a job does in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its direction.
    pub direction: Direction,
    /// The requests of the source that it stands for.
    pub mix: SizeMix,
    /// Their sizes as whole percents.
    pub split: Split,
}

impl Part {
    /// Its own of so many requests per second of a direction that has this many.
    pub fn own(&self, per_second: f64, requests: u64) -> f64 {
        per_second * self.mix.count() as f64 / requests.max(1) as f64
    }

    /// The bytes of its own, as fio's `rate`.
    pub fn rate(&self, per_second: f64, requests: u64) -> u64 {
        ((self.own(per_second, requests) * self.split.mean).round() as u64).max(1)
    }
}

/// One fio job.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The job's name: `mix`, `mix-92`, `read`, `write-large`.
    pub name: String,
    /// One direction, or reads and then writes.
    pub parts: Vec<Part>,
    /// fio's `rwmixread` of a job with both directions.
    pub read_percent: Option<u32>,
    /// fio's `iodepth`, of each of its threads.
    pub depth: u32,
    /// fio's `numjobs`: threads that do this, each for itself.
    pub threads: u32,
    /// fio's `flow`, where jobs must keep shares of the requests.
    pub flow: Option<u32>,
    /// Its part of the time, where jobs run one after another.
    pub turn: Option<f64>,
    /// What keeps it from being as fast as it can.
    pub brake: Option<Brake>,
    /// What its requests are asked for with; none where that is not known.
    pub engine: Option<Engine>,
    /// Whether a job beside it has the larger or the smaller requests of its queue, each as many as its depth.
    pub by_size: bool,
}

/// What keeps a job from being as fast as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// fio's `rate`: bytes per second that read and that write, evenly. (fio paces `rate_iops` by the smallest size
    /// of a `bssplit`, so that it would be slower than asked.)
    Bytes([u64; 2]),
    /// fio's `rate_iops` with `rate_process=poisson`: requests per second that read and that write, at random. Not
    /// beside syncs: fio 3.33 divides by zero then.
    Poisson([u64; 2]),
    /// fio's `thinktime` after every so many requests.
    Think {
        /// `thinktime_blocks`.
        requests: u64,
        /// `thinktime`, in microseconds.
        us: u64,
    },
    /// The same at a rate, which keeps the share of the bytes: after a pause fio catches up with it.
    ThinkAt {
        /// `thinktime_blocks`.
        requests: u64,
        /// `thinktime`, in microseconds.
        us: u64,
        /// `rate`, bytes per second.
        bytes: u64,
    },
}

impl Stream {
    /// Whether pauses let no more than a whole burst be in flight, whatever the depth.
    pub fn is_drained(&self) -> bool {
        let burst = match self.brake {
            Some(Brake::Think { requests, .. } | Brake::ThinkAt { requests, .. }) => requests,
            _ => return false,
        };
        burst <= u64::from(self.depth)
    }

    /// Requests of the source that it stands for.
    pub fn count(&self) -> u64 {
        self.parts.iter().map(|part| part.mix.count()).sum()
    }

    /// Has so many threads do it, where each can do its part of it: at random places (each would have an order
    /// of its own), as fast as it can (and a rate, and pauses), with a whole number of requests in flight.
    pub fn share_out(&mut self, threads: u32, in_order: impl Fn(Direction) -> bool) {
        let one = self.brake.is_some() || self.flow.is_some() || self.is_cached();
        if one || self.parts.iter().any(|part| in_order(part.direction)) {
            return;
        }
        let each = (f64::from(self.depth) / f64::from(threads)).round().max(1.0);
        if (each * f64::from(threads) / f64::from(self.depth) - 1.0).abs() <= SHARED_OUT {
            (self.depth, self.threads) = (each as u32, threads);
        }
    }

    /// Whether it writes through the page cache, one call after another.
    pub fn is_cached(&self) -> bool {
        self.engine == Some(Engine::PageCache)
    }

    /// One of a single direction.
    pub fn one(name: String, part: Part, depth: u32) -> Self {
        Self {
            name,
            parts: vec![part],
            read_percent: None,
            depth,
            threads: 1,
            flow: None,
            turn: None,
            brake: None,
            engine: None,
            by_size: false,
        }
    }
}

/// The sizes and the mean number in flight of one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Its sizes; empty when the source had none of it.
    pub mix: SizeMix,
    /// Its mean number in flight.
    pub in_flight: f64,
    /// The most in flight: what a job needs room for when something else sets its pace.
    pub most_in_flight: u32,
}

/// What else decides which jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// Written data is made durable now and then.
    pub syncs: bool,
    /// Reads and writes each keep a queue of their own full.
    pub apart: bool,
    /// The device splits the larger ones of its requests.
    pub split: bool,
    /// Jobs of another load run at the same time, so that none can wait for another's end.
    pub beside: bool,
    /// What is kept in flight is a number of bytes.
    pub by_bytes: bool,
    /// fio is to keep depths that are powers of two.
    pub powers: bool,
    /// Several threads ask, so that one may read and another one write.
    pub several: bool,
}

/// The jobs that do what the loads did. Empty when both are.
pub fn streams(reads: &Load, writes: &Load, pace: &Pace, habits: Habits) -> Vec<Stream> {
    let with = |mix, load: &Load| Load { mix, ..load.clone() };
    let alike = reads.mix.alike(&writes.mix);
    let (reads, writes) = match alike {
        Some((one, other)) => (&with(one, reads), &with(other, writes)),
        None => (reads, writes),
    };
    // Bursts end, and each begins with a queue of its own.
    let habits = Habits { by_bytes: habits.by_bytes && *pace == Pace::Saturated, ..habits };
    match pace {
        Pace::Saturated => saturated(reads, writes, habits),
        Pace::Rate { per_second, poisson } => paced([reads, writes], *per_second, *poisson, habits),
        Pace::Bursts { requests, idle_ns } => bursts::alike(saturated(reads, writes, habits), *requests, *idle_ns),
        Pace::Mixed(Bursts::Together(all)) => bursts::mixed(&saturated(reads, writes, habits), all),
        Pace::Mixed(Bursts::Apart { each, per_second }) => apart([reads, writes], each, *per_second, habits),
    }
}

/// A job for every part of a direction, at its own rate: rates keep the shares. Reads and writes of one thread are one
/// job with two rates: two would serve them with two threads, each of which is woken for itself.
fn paced(loads: [&Load; 2], per_second: [f64; 2], poisson: bool, habits: Habits) -> Vec<Stream> {
    let requests = loads.iter().map(|load| load.mix.count()).sum();
    let mut all = Vec::new();
    for ((direction, load), rate) in Direction::ALL.into_iter().zip(loads).zip(per_second) {
        if load.mix.count() == 0 {
            continue;
        }
        let parts = cut(direction, load.mix.clone(), requests, habits.split);
        for (part, suffix) in parts.into_iter().zip(["", "-large", "-larger"]) {
            let at_random = poisson && !(habits.syncs && direction == Direction::Write);
            let mut each = [0; 2];
            each[direction as usize] = match at_random {
                true => (part.own(rate, load.mix.count()).round() as u64).max(1),
                false => part.rate(rate, load.mix.count()),
            };
            let brake = if at_random { Brake::Poisson(each) } else { Brake::Bytes(each) };
            let stream = Stream::one(format!("{direction}{suffix}"), part, load.most_in_flight.max(1));
            all.push(Stream { brake: Some(brake), ..stream });
        }
    }
    match &all[..] {
        [reads, writes] if !habits.several => at_two_rates(reads, writes).map_or(all, |one| vec![one]),
        _ => all,
    }
}

/// Reads and writes at their rates as one job; none where those are of two kinds, or of one direction.
fn at_two_rates(reads: &Stream, writes: &Stream) -> Option<Stream> {
    let brake = match (reads.brake?, writes.brake?) {
        (Brake::Bytes([read, 0]), Brake::Bytes([0, write])) => Brake::Bytes([read, write]),
        (Brake::Poisson([read, 0]), Brake::Poisson([0, write])) => Brake::Poisson([read, write]),
        _ => return None,
    };
    let percent = reads.count() as f64 * 100.0 / (reads.count() + writes.count()) as f64;
    Some(Stream {
        name: "mix".to_owned(),
        parts: [reads.parts.clone(), writes.parts.clone()].concat(),
        read_percent: Some(percent.round().clamp(1.0, 99.0) as u32),
        depth: reads.depth + writes.depth,
        brake: Some(brake),
        ..reads.clone()
    })
}

/// Jobs of bursts for each direction.
fn apart(loads: [&Load; 2], each: &[Vec<Burst>; 2], per_second: [f64; 2], habits: Habits) -> Vec<Stream> {
    let requests = loads.iter().map(|load| load.mix.count()).sum();
    let mut all = Vec::new();
    for ((direction, load), (bursts, rate)) in Direction::ALL.into_iter().zip(loads).zip(each.iter().zip(per_second)) {
        if load.mix.count() > 0 {
            let parts = cut(direction, load.mix.clone(), requests, habits.split);
            all.extend(bursts::at_a_rate(direction, parts, bursts, rate));
        }
    }
    all
}

/// Whole weights of 1 to [`MAX_FLOW`] in the ratio of `counts`, with the least worst relative
/// error of a share.
pub fn weights(counts: &[u64]) -> Vec<u32> {
    let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
    let total: f64 = counts.iter().map(|&n| n as f64).sum();
    let at = |scale: u32| -> Vec<u32> {
        counts.iter().map(|&n| (n as f64 / most * f64::from(scale)).round().max(1.0) as u32).collect()
    };
    let worst = |weights: &[u32]| {
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let error = |(&w, &n): (&u32, &u64)| (f64::from(w) / sum * total / n as f64 - 1.0).abs();
        weights.iter().zip(counts).map(error).fold(0.0, f64::max)
    };
    let scales = (1..=MAX_FLOW).map(at);
    // The first of the best: small numbers are easier to read.
    let mut best: Option<(f64, Vec<u32>)> = None;
    for candidate in scales {
        let error = worst(&candidate);
        if best.as_ref().is_none_or(|(least, _)| error < least - 1e-4) {
            best = Some((error, candidate));
        }
    }
    best.map(|(_, weights)| weights).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weights_keep_shares() {
        assert_eq!(weights(&[984, 16]), [123, 2]);
        assert_eq!(weights(&[5_000, 5_000]), [1, 1]);
        assert_eq!(weights(&[1_000_000, 1]), [1000, 1]);
    }

    proptest! {
        #[test]
        fn weights_are_within_a_fiftieth(a in 100u64..100_000, b in 100u64..100_000) {
            let weights = weights(&[a, b]);
            let got = f64::from(weights[0]) / f64::from(weights[0] + weights[1]);
            let rare = a.min(b) as f64 / (a + b) as f64;
            prop_assume!(rare > 0.02);
            prop_assert!((got - a as f64 / (a + b) as f64).abs() / rare < 0.02);
        }
    }

    fn load(mix: SizeMix, in_flight: f64) -> Load {
        Load { mix, in_flight, most_in_flight: 32 }
    }

    #[test]
    fn a_rate_is_shared_out_and_keeps_the_bytes() {
        let reads = load(SizeMix::from_sizes([(4096, 500), (65_536, 500)]), 0.2);
        let writes = load(SizeMix::from_sizes([(8192, 250)]), 0.1);
        let rate = |poisson| Pace::Rate { per_second: [1000.0, 250.0], poisson };
        let brakes = |pace, several| -> Vec<_> {
            let jobs = streams(&reads, &writes, &pace, Habits { several, ..Habits::default() });
            jobs.into_iter().map(|s| (s.name, s.depth, s.brake)).collect()
        };
        let (read, write) = (1000 * (4096 + 65_536) / 2, 250 * 8192);
        let each = [("read", [read, 0]), ("write", [0, write])];
        let each = each.map(|(name, rates)| (name.to_owned(), 32, Some(Brake::Bytes(rates))));
        assert_eq!(brakes(rate(false), true), each, "one may read and another one write");
        let one = |brake| [("mix".to_owned(), 64, Some(brake))];
        assert_eq!(brakes(rate(false), false), one(Brake::Bytes([read, write])));
        assert_eq!(brakes(rate(true), false), one(Brake::Poisson([1000, 250])));
        let beside_syncs = streams(&reads, &writes, &rate(true), Habits { syncs: true, ..Habits::default() });
        let brakes_of: Vec<_> = beside_syncs.iter().map(|job| job.brake).collect();
        assert_eq!(brakes_of, [Some(Brake::Poisson([1000, 0])), Some(Brake::Bytes([0, write]))]);
        let all = brakes(Pace::Bursts { requests: 100, idle_ns: 2_000_500 }, false);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].2, Some(Brake::Think { requests: 100, us: 2001 }));
    }
}
