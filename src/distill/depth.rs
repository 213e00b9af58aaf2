//! How many requests were in flight: from a capture to fio's `iodepth`.

use crate::measure::{BlockResult, Histogram};

use super::streams::Direction;

/// Requests of one direction in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct InFlight {
    /// Mean from queue to completion over the time in which anything was in flight.
    pub mean: f64,
    /// How the mean was found, for people.
    pub from: &'static str,
    /// At the device alone, while any request of the direction was there; none when not captured.
    pub device: Option<Histogram>,
}

impl InFlight {
    /// From a capture; none when it has neither times nor depths of the direction.
    ///
    /// The mean is Little's law: the summed time from queue to completion over the time in which
    /// the device had any request. That is what an application's queue depth is; depths counted
    /// at the device alone leave out what waits for a slot there. Where those times are missing,
    /// the depths at the device stand in.
    pub fn of(block: &BlockResult, direction: Direction) -> Option<Self> {
        let word = Some(direction.word());
        let timed = block.histogram("inflight_time", word).and_then(busy);
        let device = timed.clone().or_else(|| block.histogram("inflight", word).and_then(busy));
        let spent = block.histogram("q2c", word).filter(|h| h.count > 0).map(|h| h.sum as f64);
        let (mean, from) = match (spent, busy_ns(block, None), &timed) {
            (Some(spent), Some(time), _) => {
                (spent / time, "summed Q2C over the time in which any request was in flight")
            }
            (_, Some(time), Some(timed)) => (timed.sum as f64 / time, "time-weighted at the device"),
            _ => (device.as_ref()?.mean()?, "as each request met it at the device; no times were captured"),
        };
        Some(Self { mean, from, device })
    }
}

/// The number in flight that a queue never had more of, though it often had that many: the depth of
/// whoever filled it. Of a direction, or of both. None where the times in flight say nothing of it.
///
/// What is random has no such edge: of a Poisson distribution of any mean, no number that has `OFTEN`
/// of the time has as little as `BEYOND` of that above it, but for means of next to one.
pub fn wall(block: &BlockResult, direction: Option<Direction>) -> Option<f64> {
    let depths = block.histogram("inflight_time", direction.map(Direction::word)).and_then(busy)?;
    if !is_sound(block) {
        return None;
    }
    let (all, mut above) = (depths.count as f64, 0.0);
    let edge = depths.buckets.iter().rev().find(|bucket| {
        let (ns, beyond) = (bucket.2 as f64, above);
        above += ns;
        ns >= OFTEN * all && beyond <= BEYOND * ns
    });
    edge.map(|bucket| (bucket.0 + bucket.1 - 1) as f64 / 2.0)
}

/// The share of the time that a queue is at its depth, at least, and what is beyond it, of that: a
/// request that the device splits counts as two for a moment.
const OFTEN: f64 = 0.05;
const BEYOND: f64 = 0.3;

/// The number in flight of both directions that the queue never had more of, where that stands out among
/// those below it although it is rare, or all ends there at once: a program that cannot ask as fast as the device
/// serves has its queue full only now and then. None where numbers only become rarer, as those of random requests do.
pub fn edge(block: &BlockResult) -> Option<f64> {
    let depths = block.histogram("inflight_time", None).and_then(busy).filter(|_| is_sound(block))?;
    let dense: Vec<f64> = depths.buckets.iter().map(|b| b.2 as f64 / (b.1 - b.0) as f64).collect();
    let mut above = 0.0;
    for at in (BELOW + 1..depths.buckets.len()).rev() {
        let last = [&depths.buckets[at - 1], &depths.buckets[at]];
        let ns: f64 = last.iter().map(|bucket| bucket.2 as f64).sum();
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let stands_out = mean(&dense[at - 1..=at]) >= STANDS_OUT * mean(&dense[at - 1 - BELOW..at - 1]);
        let neighbours = last[1].1 - depths.buckets[at - 1 - BELOW].0 <= 2 * (BELOW as i64 + 2);
        // Or it ends all at once, with next to nothing beyond a number that is no rarer than half of those below.
        let often = last[1].2 as f64 >= RARELY * depths.count as f64;
        let cliff = often && above <= NOTHING * last[1].2 as f64 && dense[at] >= mean(&dense[at - 1 - BELOW..at]) / 2.0;
        if ns >= RARELY * depths.count as f64 && above <= BEYOND * ns && (stands_out || cliff) && neighbours {
            return Some((last[1].0 + last[1].1 - 1) as f64 / 2.0);
        }
        above += last[1].2 as f64;
    }
    None
}

/// The share of the time that a queue which is rarely full is within one of its depth, how many times as
/// often that is as each number below it, and how many of those are looked at.
const RARELY: f64 = 0.01;
const STANDS_OUT: f64 = 1.5;
/// What there is at most beyond a number at which the times in flight end at once, of it: requests whose ends were
/// lost count for longer.
const NOTHING: f64 = 0.05;
const BELOW: usize = 4;

/// The number in flight of both directions at which the device was kept, where it was: what it has
/// half of the time is next to what it has at most in nine tenths of it. A mean over the time in which
/// a queue fills and drains is below what fills it again.
pub fn ceiling(block: &BlockResult) -> Option<f64> {
    let depths = block.histogram("inflight_time", None).and_then(busy).filter(|_| is_sound(block))?;
    let (half, most) = (depths.quantile(0.5)?.floor(), depths.quantile(0.9)?.floor());
    (most >= 2.0 && half >= PILED * most).then_some(most)
}

/// Whether a queue is kept at a depth but for this part of the busy time, half of it mostly: the rest has nearly
/// what nine tenths of it have at most. A random arrival has 1 and 2 or more.
pub fn is_kept(block: &BlockResult, but_for: f64) -> bool {
    let busy = block.histogram("inflight_time", None).and_then(busy);
    let Some((least, most)) = busy.and_then(|depths| depths.quantile(but_for).zip(depths.quantile(0.9))) else {
        return false;
    };
    least > 1.5 && least >= KEPT * most
}

/// How near that is.
const KEPT: f64 = 0.75;

/// How much of the depth of nine tenths of the time half of the time has, where a queue is kept.
const PILED: f64 = 0.9;

/// Whether the times in flight are those of requests that took so long. One whose end was lost counts as
/// in flight until it is used again, and Little's law then has less than was counted.
fn is_sound(block: &BlockResult) -> bool {
    let Some(depths) = block.histogram("inflight_time", None).and_then(busy) else { return false };
    let spent = |direction: &Direction| block.histogram("q2c", Some(direction.word())).map_or(0.0, |h| h.sum as f64);
    let spent: f64 = Direction::ALL.iter().map(spent).sum();
    let counted: f64 = depths.buckets.iter().map(|b| (b.0 + b.1 - 1) as f64 / 2.0 * b.2 as f64).sum();
    spent == 0.0 || counted <= spent * LOST
}

/// How many times what Little's law has may have been counted.
const LOST: f64 = 1.1;

/// How far from a wanted depth the next power of two may be, relative.
const NEAR: f64 = 0.08;

/// The depth for fio's io_uring, which rounds it up to a power of two (`fio_ioring_init`; fio 3.33
/// at 12 keeps 14.8 in flight, libaio 12.0): the power that is near, if one is.
pub fn ring(depth: u32) -> Option<u32> {
    let near = |power: u32| (f64::from(power) / f64::from(depth.max(1)) - 1.0).abs() <= NEAR;
    Some(nearest(depth)).filter(|power| near(*power))
}

/// The power of two that is next to a depth.
pub fn nearest(depth: u32) -> u32 {
    let above = depth.max(1).next_power_of_two();
    let below = (above / 2).max(1);
    if depth.abs_diff(below) < depth.abs_diff(above) { below } else { above }
}

/// Time in which any request of the target, or of one of its directions, was at the device.
pub fn busy_ns(block: &BlockResult, direction: Option<Direction>) -> Option<f64> {
    let of = |op| block.histogram("inflight_time", op).and_then(busy).map(|h| h.count);
    let either = || of(Some("read")).max(of(Some("write"))).filter(|_| direction.is_none());
    of(direction.map(Direction::word)).or_else(either).map(|ns| ns as f64)
}

/// Of the time in which the rarer direction was in flight, the part in which the other one was, too.
pub fn overlap(block: &BlockResult) -> f64 {
    let busy = |op| busy_ns(block, op).unwrap_or(0.0);
    let [reads, writes] = Direction::ALL.map(|direction| busy(Some(direction)));
    (reads + writes - busy(None)) / reads.min(writes).max(1.0)
}

/// A histogram of depths without the time at depth 0.
pub fn busy(histogram: &Histogram) -> Option<Histogram> {
    let mut kept = histogram.clone();
    kept.buckets.retain(|bucket| bucket.0 > 0);
    kept.count = kept.buckets.iter().map(|bucket| bucket.2).sum();
    kept.min = kept.buckets.first().map(|bucket| bucket.0);
    kept.max = kept.max.filter(|max| *max > 0);
    (kept.count > 0 && kept.max.is_some()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_power_of_two_that_is_near_stands_for_a_depth() {
        assert_eq!([1, 2, 4, 16].map(ring), [Some(1), Some(2), Some(4), Some(16)]);
        assert_eq!([15, 17, 30, 34].map(ring), [Some(16), Some(16), Some(32), Some(32)]);
        assert_eq!([3, 5, 7, 12, 24].map(ring), [None; 5]);
        assert_eq!([0, 1, 3, 5, 7, 12, 13, 24, 100].map(nearest), [1, 1, 4, 4, 8, 16, 16, 32, 128]);
    }

    fn over_time(op: Option<&str>, depths: &[(i64, u64)]) -> BlockResult {
        let buckets: Vec<(i64, i64, u64)> = depths.iter().map(|&(depth, ns)| (depth, depth + 1, ns)).collect();
        let histogram = Histogram {
            name: "inflight_time".to_owned(),
            op: op.map(str::to_owned),
            count: buckets.iter().map(|bucket| bucket.2).sum(),
            min: buckets.first().map(|bucket| bucket.0),
            max: buckets.last().map(|bucket| bucket.0),
            buckets,
            ..Histogram::default()
        };
        BlockResult { histograms: vec![histogram], ..BlockResult::default() }
    }

    #[test]
    fn a_queue_ends_at_its_depth() {
        // fio at depths of 8 and of 4, the latter with one request in a hundred split in four.
        let eight = [(1, 42), (2, 22), (3, 30), (4, 40), (5, 66), (6, 133), (7, 371), (8, 294)];
        let four = [(1, 26), (2, 63), (3, 629), (4, 222), (5, 16), (6, 18), (7, 24), (8, 1)];
        assert_eq!(wall(&over_time(None, &eight), None), Some(8.0));
        assert_eq!(wall(&over_time(None, &[(1, 16), (2, 72), (3, 715), (4, 196), (8, 1)]), None), Some(4.0));
        assert_eq!(wall(&over_time(None, &four), None), Some(4.0));
    }

    #[test]
    fn a_queue_that_is_rarely_full_stands_out_at_its_depth() {
        // fio at a depth of 16 on a device as fast as it: 4 KiB in order, and 8 KiB at random places.
        let in_order = [284, 276, 221, 109, 41, 15, 11, 7, 5, 3, 3, 2, 2, 2, 4, 14];
        let random = [238, 139, 77, 44, 38, 37, 36, 35, 35, 34, 34, 34, 34, 35, 103, 45];
        let fading = [238, 139, 77, 44, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 20, 10];
        let of = |ns: [u64; 16]| {
            let depths: Vec<(i64, u64)> = (1..).zip(ns.map(|ns| ns * 1000)).collect();
            edge(&over_time(None, &depths))
        };
        assert_eq!((of(in_order), of(random), of(fading)), (Some(16.0), Some(16.0), None));
        // The same at places of a Zipf distribution.
        let zipf = [882, 394, 488, 464, 425, 564, 535, 357, 277, 236, 220, 209, 177, 122, 221, 197];
        assert_eq!(of(zipf), Some(16.0));
    }

    #[test]
    fn what_is_random_has_no_wall() {
        for mean in [2.0f64, 4.0, 8.0, 30.0] {
            let mut at = (-mean).exp() * 1e9;
            let poisson: Vec<(i64, u64)> = (1..=60)
                .map(|depth| {
                    at *= mean / depth as f64;
                    (depth, at as u64)
                })
                .collect();
            assert_eq!(wall(&over_time(None, &poisson), None), None, "{mean}");
            assert_eq!(edge(&over_time(None, &poisson)), None, "{mean}");
        }
    }

    #[test]
    fn requests_whose_end_was_lost_make_no_depth() {
        let mut block = over_time(None, &[(31, 100), (32, 900)]);
        let spent =
            Histogram { name: "q2c".to_owned(), op: Some("read".to_owned()), count: 10, ..Histogram::default() };
        block.histograms.push(Histogram { sum: 16_000, ..spent.clone() });
        assert_eq!((wall(&block, None), ceiling(&block)), (None, None));
        block.histograms[1] = Histogram { sum: 31_900, ..spent };
        assert_eq!(wall(&block, None), Some(32.0));
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
