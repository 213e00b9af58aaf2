//! The load as fio jobs. Reads and writes share one `randrw` job, because requests in flight are
//! one queue in the source too; where fio's whole percents would bend the mix, two such jobs of
//! neighbouring percents, or a job for each direction with `flow` between them; rare large sizes
//! that would be lost in whole percents get a job of their own.

use std::fmt;

use super::pace::Pace;
use super::sizes::{SizeMix, Split};

/// The largest weight that fio's `flow` takes.
pub const MAX_FLOW: u32 = 1000;
/// The most jobs that one direction's sizes are cut into.
const MAX_PARTS: usize = 3;
/// How far the mean size of a direction may be off before rare sizes get a job, relative.
const MEAN_BOUND: f64 = 0.005;
/// How far sizes may be moved on average, relative to the mean size: few sizes must be nearly
/// exact, many may not be.
const DISTANCE_BOUND: (usize, f64, f64) = (10, 0.01, 0.03);
/// How far a direction's share of the requests may be off, relative.
const MIX_BOUND: f64 = 0.02;
/// How evenly two `randrw` jobs serve their depths: measured here, a job of 60 % of the depth
/// served 66 % of the requests. In points of the share, which the neighbouring percents scale.
const BLEND_ERROR: f64 = 0.07;

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

/// One fio job.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The job's name: `mix`, `mix-92`, `read`, `write-large`.
    pub name: String,
    /// One direction, or reads and then writes.
    pub parts: Vec<Part>,
    /// fio's `rwmixread` of a job with both directions.
    pub read_percent: Option<u32>,
    /// fio's `iodepth`.
    pub depth: u32,
    /// fio's `flow`, where jobs must keep shares of the requests.
    pub flow: Option<u32>,
    /// What keeps it from being as fast as it can.
    pub brake: Option<Brake>,
}

/// What keeps a job from being as fast as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// fio's `rate`: bytes per second, evenly. (fio paces `rate_iops` by the smallest size of a
    /// `bssplit`, so that it would be slower than asked.)
    Bytes(u64),
    /// fio's `rate_iops` with `rate_process=poisson`: requests per second, at random. Not beside
    /// syncs: fio 3.33 divides by zero then.
    Poisson(u64),
    /// fio's `thinktime` after every so many requests.
    Think {
        /// `thinktime_blocks`.
        requests: u64,
        /// `thinktime`, in microseconds.
        us: u64,
    },
}

impl Stream {
    /// Requests of the source that it stands for.
    pub fn count(&self) -> u64 {
        self.parts.iter().map(|part| part.mix.count()).sum()
    }

    fn one(name: String, part: Part, depth: u32) -> Self {
        Self { name, parts: vec![part], read_percent: None, depth, flow: None, brake: None }
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
    /// Many requests of a direction begin where its last one ended, which two jobs beside each other
    /// would break.
    pub in_order: bool,
}

/// The jobs that do what the loads did. Empty when both are.
pub fn streams(reads: &Load, writes: &Load, pace: Pace, habits: Habits) -> Vec<Stream> {
    match pace {
        Pace::Saturated => saturated(reads, writes, habits.in_order),
        Pace::Rate { per_second, poisson } => paced([reads, writes], per_second, poisson, habits.syncs),
        Pace::Bursts { requests, idle_ns } => bursts(saturated(reads, writes, habits.in_order), requests, idle_ns),
    }
}

/// A job for every part of a direction, at its own rate: rates keep the shares.
fn paced(loads: [&Load; 2], per_second: [f64; 2], poisson: bool, syncs: bool) -> Vec<Stream> {
    let requests = loads.iter().map(|load| load.mix.count()).sum();
    let mut all = Vec::new();
    for ((direction, load), rate) in Direction::ALL.into_iter().zip(loads).zip(per_second) {
        if load.mix.count() == 0 {
            continue;
        }
        let parts = cut(direction, load.mix.clone(), requests);
        for (part, suffix) in parts.into_iter().zip(["", "-large", "-larger"]) {
            let own = rate * part.mix.count() as f64 / load.mix.count() as f64;
            let at_random = poisson && !(syncs && direction == Direction::Write);
            let brake = if at_random {
                Brake::Poisson((own.round() as u64).max(1))
            } else {
                Brake::Bytes(((own * part.split.mean).round() as u64).max(1))
            };
            let stream = Stream::one(format!("{direction}{suffix}"), part, load.most_in_flight.max(1));
            all.push(Stream { brake: Some(brake), ..stream });
        }
    }
    all
}

/// Every job gets its part of a burst, and the pause after it.
fn bursts(all: Vec<Stream>, requests: u64, idle_ns: u64) -> Vec<Stream> {
    let total: u64 = all.iter().map(Stream::count).sum();
    let part = |stream: &Stream| (requests as f64 * stream.count() as f64 / total as f64).round().max(1.0) as u64;
    let us = idle_ns.div_ceil(1000).max(1);
    all.into_iter()
        .map(|stream| Stream { brake: Some(Brake::Think { requests: part(&stream), us }), ..stream })
        .collect()
}

/// The depth is kept full.
fn saturated(reads: &Load, writes: &Load, in_order: bool) -> Vec<Stream> {
    let requests = reads.mix.count() + writes.mix.count();
    let depth = |in_flight: f64| in_flight.round().clamp(1.0, 65_536.0) as u32;
    let mut mains = Vec::new();
    let mut large = Vec::new();
    for (direction, load) in Direction::ALL.into_iter().zip([reads, writes]) {
        if load.mix.count() == 0 {
            continue;
        }
        let mut parts = cut(direction, load.mix.clone(), requests).into_iter();
        mains.extend(parts.next().map(|part| (part, load.in_flight)));
        for (part, suffix) in parts.zip(["large", "larger"]) {
            let share = occupied(&part.mix) / occupied(&load.mix);
            large.push(Stream::one(format!("{direction}-{suffix}"), part, depth(load.in_flight * share)));
        }
    }
    let total = depth(reads.in_flight + writes.in_flight);
    let taken: u32 = large.iter().map(|stream| stream.depth).sum();
    let mut all = match <[_; 2]>::try_from(mains) {
        Ok([reads, writes]) => both(reads, writes, total.saturating_sub(taken).max(1), large.is_empty() && !in_order),
        Err(one) => one
            .into_iter()
            .map(|(part, in_flight)| {
                Stream::one(part.direction.to_string(), part, depth(in_flight).saturating_sub(taken).max(1))
            })
            .collect(),
    };
    let blended = all.len() == 2 && all.iter().all(|stream| stream.read_percent.is_some());
    all.extend(large);
    if all.len() > 1 && !blended {
        let counts: Vec<u64> = all.iter().map(Stream::count).collect();
        for (stream, flow) in all.iter_mut().zip(weights(&counts)) {
            stream.flow = Some(flow);
        }
    }
    all
}

/// How much of a queue requests take up, in those of no size: a large one is longer at the device,
/// about twice as long for each so many bytes more.
fn occupied(mix: &SizeMix) -> f64 {
    mix.count() as f64 + mix.bytes() as f64 / TWICE_AS_LONG
}

/// Bytes that take a device about as long as a request of none: 100 us at 2.5 GB/s.
const TWICE_AS_LONG: f64 = 262_144.0;

/// Reads and writes together, in the simplest form that keeps each direction's share; `blend` permits
/// two mixed jobs beside each other.
fn both((read, r): (Part, f64), (write, w): (Part, f64), depth: u32, blend: bool) -> Vec<Stream> {
    let (reads, writes) = (read.mix.count() as f64, write.mix.count() as f64);
    let exact = reads * 100.0 / (reads + writes);
    let rare = exact.min(100.0 - exact);
    let mixed = |name: String, percent: f64, depth: u32| Stream {
        name,
        parts: vec![read.clone(), write.clone()],
        read_percent: Some(percent as u32),
        depth,
        flow: None,
        brake: None,
    };
    let whole = exact.round().clamp(1.0, 99.0);
    if (whole - exact).abs() <= MIX_BOUND * rare {
        return vec![mixed("mix".to_owned(), whole, depth)];
    }
    // A job that is ahead of its share by one request pauses. That costs nothing where one
    // request of the rare direction makes room for a whole queue of the other.
    let pauses = rare / 100.0 * f64::from(depth) >= 1.0;
    if blend && pauses && depth > 1 && BLEND_ERROR <= MIX_BOUND * rare {
        let low = exact.floor();
        let upper = (f64::from(depth) * (exact - low)).round().clamp(1.0, f64::from(depth - 1)) as u32;
        return vec![
            mixed(format!("mix-{low}"), low, depth - upper),
            mixed(format!("mix-{}", low + 1.0), low + 1.0, upper),
        ];
    }
    let part = |in_flight: f64| (f64::from(depth) * in_flight / (r + w)).round().max(1.0) as u32;
    vec![Stream::one("read".to_owned(), read, part(r)), Stream::one("write".to_owned(), write, part(w))]
}

/// One direction as one part, or more where its rare large sizes need their own.
fn cut(direction: Direction, mix: SizeMix, requests: u64) -> Vec<Part> {
    let bound = if mix.sizes().len() <= DISTANCE_BOUND.0 { DISTANCE_BOUND.1 } else { DISTANCE_BOUND.2 };
    let (mean, count) = (mix.mean(), mix.count() as f64);
    let mut mixes = vec![mix];
    while mixes.len() < MAX_PARTS {
        let last = mixes.last().expect("there is always a part");
        let share = last.count() as f64 / count;
        let split = Split::of(last);
        if share * split.distance <= bound * mean && share * (split.mean - last.mean()).abs() <= MEAN_BOUND * mean {
            break;
        }
        let Some((low, high)) = best_cut(last, requests, split.distance) else { break };
        mixes.pop();
        mixes.extend([low, high]);
    }
    mixes.into_iter().map(|mix| Part { direction, split: Split::of(&mix), mix }).collect()
}

/// Where to cut a mix in two so that sizes are moved least; none when no cut that fio's weights
/// can carry improves on `whole`.
fn best_cut(mix: &SizeMix, requests: u64, whole: f64) -> Option<(SizeMix, SizeMix)> {
    let smallest = requests as f64 / f64::from(MAX_FLOW);
    let mut best = (whole, None);
    for index in candidates(mix) {
        let (low, high) = mix.split_at(index);
        let share = high.count() as f64 / mix.count() as f64;
        if (high.count().min(low.count()) as f64) < smallest {
            continue;
        }
        let moved = (1.0 - share) * Split::of(&low).distance + share * Split::of(&high).distance;
        if moved < best.0 {
            best = (moved, Some((low, high)));
        }
    }
    best.1
}

/// The places worth trying as a cut: the 64 widest gaps between sizes, weighted by nothing else,
/// so that a histogram of thousands of sizes stays fast.
fn candidates(mix: &SizeMix) -> Vec<usize> {
    let sizes = mix.sizes();
    let mut indices: Vec<usize> = (1..sizes.len()).collect();
    indices.sort_by_key(|&i| (std::cmp::Reverse(sizes[i].0 - sizes[i - 1].0), i));
    indices.truncate(64);
    indices
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

    #[test]
    fn what_is_in_order_is_not_shared_out_between_two_jobs() {
        let one = |count| load(SizeMix::from_sizes([(262_144, count)]), 16.0);
        let names = |in_order| -> Vec<String> {
            let habits = Habits { in_order, ..Habits::default() };
            streams(&one(7950), &one(2050), Pace::Saturated, habits).into_iter().map(|stream| stream.name).collect()
        };
        assert_eq!(names(false), ["mix-79", "mix-80"]);
        assert_eq!(names(true), ["read", "write"]);
    }

    #[test]
    fn rare_large_sizes_get_a_stream() {
        let mix = SizeMix::from_sizes([(4096, 99_600), (1 << 20, 400)]);
        let all = streams(&Load::default(), &load(mix, 4.0), Pace::Saturated, Habits::default());
        let names: Vec<_> = all.iter().map(|s| (s.name.as_str(), s.parts[0].split.text(), s.depth)).collect();
        assert_eq!(names, [("write", "4k/100".to_owned(), 3), ("write-large", "1m/100".to_owned(), 1)]);
        let common = SizeMix::from_sizes([(4096, 500), (1 << 20, 500)]);
        assert_eq!(streams(&load(common, 4.0), &Load::default(), Pace::Saturated, Habits::default()).len(), 1);
    }

    fn load(mix: SizeMix, in_flight: f64) -> Load {
        Load { mix, in_flight, most_in_flight: 32 }
    }

    #[test]
    fn a_rate_is_shared_out_and_keeps_the_bytes() {
        let reads = load(SizeMix::from_sizes([(4096, 500), (65_536, 500)]), 0.2);
        let writes = load(SizeMix::from_sizes([(8192, 250)]), 0.1);
        let rate = |poisson| Pace::Rate { per_second: [1000.0, 250.0], poisson };
        let brakes = |pace| {
            streams(&reads, &writes, pace, Habits::default()).into_iter().map(|s| (s.name, s.depth, s.brake)).collect()
        };
        let all: Vec<_> = brakes(rate(false));
        let (read, write) = (Brake::Bytes(1000 * (4096 + 65_536) / 2), Brake::Bytes(250 * 8192));
        assert_eq!(all, [("read".to_owned(), 32, Some(read)), ("write".to_owned(), 32, Some(write))]);
        let all: Vec<_> = brakes(rate(true));
        assert_eq!((all[0].2, all[1].2), (Some(Brake::Poisson(1000)), Some(Brake::Poisson(250))));
        let beside_syncs = streams(&reads, &writes, rate(true), Habits { syncs: true, in_order: false });
        assert_eq!((beside_syncs[0].brake, beside_syncs[1].brake), (Some(Brake::Poisson(1000)), Some(write)));
        let all: Vec<_> = brakes(Pace::Bursts { requests: 100, idle_ns: 2_000_500 });
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].2, Some(Brake::Think { requests: 100, us: 2001 }));
    }

    fn forms(reads: u64, writes: u64, in_flight: f64) -> Vec<(String, Option<u32>, u32, Option<u32>)> {
        let one =
            |count: u64| load(SizeMix::from_sizes([(4096, count)]), in_flight * count as f64 / (reads + writes) as f64);
        let jobs = streams(&one(reads), &one(writes), Pace::Saturated, Habits::default()).into_iter();
        jobs.map(|job| (job.name, job.read_percent, job.depth, job.flow)).collect()
    }

    #[test]
    fn the_mix_takes_the_simplest_form_that_keeps_it() {
        let job = |name: &str, percent, depth, flow| (name.to_owned(), percent, depth, flow);
        assert_eq!(forms(870, 130, 12.0), [job("mix", Some(87), 12, None)]);
        assert_eq!(forms(924, 76, 15.0), [job("mix-92", Some(92), 9, None), job("mix-93", Some(93), 6, None)]);
        assert_eq!(forms(984, 16, 8.0), [job("read", None, 8, Some(123)), job("write", None, 1, Some(2))]);
        assert_eq!(forms(9995, 5, 8.0).len(), 2, "a rare direction is not lost");
    }

    proptest! {
        #[test]
        fn shares_and_depths_are_kept(reads in 1u64..1_000_000, writes in 1u64..1_000_000, depth in 1.0f64..64.0) {
            let jobs = forms(reads, writes, depth);
            let total: u32 = jobs.iter().map(|job| job.2).sum();
            prop_assert!((f64::from(total) - depth).abs() <= 1.5, "{:?}", jobs);
            let exact = reads as f64 * 100.0 / (reads + writes) as f64;
            let rare = exact.min(100.0 - exact);
            prop_assume!(rare > 0.2);
            let got = match &jobs[..] {
                [(_, Some(percent), ..)] => f64::from(*percent),
                [(_, Some(a), x, _), (_, Some(b), y, _)] => {
                    let (x, y) = (f64::from(*x), f64::from(*y));
                    (f64::from(*a) * x + f64::from(*b) * y) / (x + y)
                }
                [(.., Some(read)), (.., Some(write))] => f64::from(*read) * 100.0 / f64::from(read + write),
                other => panic!("{other:?}"),
            };
            // A blend's depths are whole numbers: half a job of the depth is the worst.
            let blend = if jobs.len() == 2 && jobs[0].1.is_some() { 0.5 / f64::from(total) } else { 0.0 };
            prop_assert!((got - exact).abs() <= (0.021 * rare).max(blend + 1e-9), "{} for {}: {:?}", got, exact, jobs);
        }
    }
}
