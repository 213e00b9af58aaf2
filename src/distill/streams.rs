//! The load as fio jobs: for each direction one stream, or two or three where rare large sizes
//! would be lost in whole percents; each with its share of the requests and its depth.

use std::fmt;

use crate::measure::{BlockResult, Histogram};

use super::sizes::{SizeMix, Split};

/// The largest weight that fio's `flow` takes.
pub const MAX_FLOW: u32 = 1000;
/// The most streams that one direction is cut into.
const MAX_STREAMS: usize = 3;
/// How far the mean size of a direction may be off before rare sizes get a stream, relative.
const MEAN_BOUND: f64 = 0.005;
/// How far sizes may be moved on average, relative to the mean size: few sizes must be nearly
/// exact, many may not be.
const DISTANCE_BOUND: (usize, f64, f64) = (10, 0.01, 0.03);

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

/// One fio job.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The job's name: `read`, `write`, `read-large`, `read-larger`.
    pub name: String,
    /// Its direction.
    pub direction: Direction,
    /// The requests of the source that it stands for.
    pub mix: SizeMix,
    /// Their sizes as whole percents.
    pub split: Split,
    /// fio's `iodepth`.
    pub depth: u32,
    /// fio's `flow`; none when it is the only stream.
    pub flow: Option<u32>,
}

/// Requests in flight in one direction while there were any, weighted by time.
#[derive(Clone, Debug, PartialEq)]
pub struct InFlight {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// 90th percentile.
    pub p90: f64,
    /// Maximum.
    pub max: i64,
    /// What it is taken from, for people.
    pub from: &'static str,
}

impl InFlight {
    /// From the time spent at each depth, or from the depths met by each request where times are
    /// missing. None when neither was captured.
    pub fn of(block: &BlockResult, direction: Direction) -> Option<Self> {
        let find = |name: &str| block.histogram(name, Some(direction.word())).and_then(busy);
        let (histogram, from) = match find("inflight_time") {
            Some(timed) => (timed, "time-weighted, idle time left out"),
            None => (find("inflight")?, "as each request met it; no times were captured"),
        };
        Some(Self {
            mean: histogram.mean()?,
            median: histogram.quantile(0.5)?,
            p90: histogram.quantile(0.9)?,
            max: histogram.max?,
            from,
        })
    }

    /// fio's `iodepth`: the mean, because by Little's law the mean is what throughput and
    /// latency hang on; at least 1.
    pub fn depth(&self) -> u32 {
        self.mean.round().clamp(1.0, 65_536.0) as u32
    }
}

/// A histogram of depths without the time at depth 0.
fn busy(histogram: &Histogram) -> Option<Histogram> {
    let mut kept = histogram.clone();
    kept.buckets.retain(|bucket| bucket.0 > 0);
    kept.count = kept.buckets.iter().map(|bucket| bucket.2).sum();
    kept.min = kept.buckets.first().map(|bucket| bucket.0);
    kept.max = kept.max.filter(|max| *max > 0);
    (kept.count > 0 && kept.max.is_some()).then_some(kept)
}

/// The streams of a capture's target: reads first. Empty when it has no I/O with sizes.
pub fn streams(block: &BlockResult) -> Vec<Stream> {
    let mut all = Vec::new();
    let mixes = Direction::ALL.map(|direction| {
        let sizes = block.histogram("size", Some(direction.word()));
        (direction, sizes.map(SizeMix::from_histogram).unwrap_or_default())
    });
    let requests: u64 = mixes.iter().map(|(_, mix)| mix.count()).sum();
    for (direction, mix) in mixes {
        if mix.count() > 0 {
            let depth = InFlight::of(block, direction).map_or(1, |inflight| inflight.depth());
            all.extend(cut(direction, mix, depth, requests));
        }
    }
    if all.len() > 1 {
        let counts: Vec<u64> = all.iter().map(|stream| stream.mix.count()).collect();
        for (stream, flow) in all.iter_mut().zip(weights(&counts)) {
            stream.flow = Some(flow);
        }
    }
    all
}

/// One direction as one stream, or more where its rare large sizes need their own.
fn cut(direction: Direction, mix: SizeMix, depth: u32, requests: u64) -> Vec<Stream> {
    let bound = if mix.sizes().len() <= DISTANCE_BOUND.0 { DISTANCE_BOUND.1 } else { DISTANCE_BOUND.2 };
    let (mean, total) = (mix.mean(), mix.bytes());
    let mut parts = vec![mix];
    while parts.len() < MAX_STREAMS {
        let last = parts.last().expect("there is always a part");
        let share = last.count() as f64 / requests as f64;
        let split = Split::of(last);
        let moved = share * split.distance / mean;
        if moved <= bound && share * (split.mean - last.mean()).abs() / mean <= MEAN_BOUND {
            break;
        }
        let Some((low, high)) = best_cut(last, requests, split.distance) else { break };
        parts.pop();
        parts.extend([low, high]);
    }
    let byte_share = |part: &SizeMix| part.bytes() as f64 / total as f64;
    let larger: Vec<u32> =
        parts[1..].iter().map(|part| (f64::from(depth) * byte_share(part)).round().max(1.0) as u32).collect();
    let main = depth.saturating_sub(larger.iter().sum()).max(1);
    let depths = std::iter::once(main).chain(larger);
    let names = ["", "-large", "-larger"];
    let stream = |((mix, depth), suffix): ((SizeMix, u32), &str)| Stream {
        name: format!("{direction}{suffix}"),
        direction,
        split: Split::of(&mix),
        mix,
        depth,
        flow: None,
    };
    parts.into_iter().zip(depths).zip(names).map(stream).collect()
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
fn weights(counts: &[u64]) -> Vec<u32> {
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
    fn rare_large_sizes_get_a_stream() {
        let mix = SizeMix::from_sizes([(4096, 99_600), (1 << 20, 400)]);
        let streams = cut(Direction::Write, mix.clone(), 4, 100_000);
        let names: Vec<_> = streams.iter().map(|s| (s.name.as_str(), s.split.text(), s.depth)).collect();
        assert_eq!(names, [("write", "4k/100".to_owned(), 2), ("write-large", "1m/100".to_owned(), 2)]);
        let common = cut(Direction::Write, SizeMix::from_sizes([(4096, 500), (1 << 20, 500)]), 4, 1000);
        assert_eq!(common.len(), 1);
    }

    #[test]
    fn idle_time_does_not_lower_the_depth() {
        let histogram = Histogram {
            count: 1000,
            sum: 800,
            min: Some(0),
            max: Some(8),
            buckets: vec![(0, 1, 900), (8, 9, 100)],
            ..Histogram::default()
        };
        let kept = busy(&histogram).unwrap();
        assert_eq!((kept.mean(), kept.quantile(0.5)), (Some(8.0), Some(8.0)));
    }
}
