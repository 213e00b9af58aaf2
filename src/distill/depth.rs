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
        let (mean, from) = match (spent, busy_ns(block), &timed) {
            (Some(spent), Some(time), _) => {
                (spent / time, "summed Q2C over the time in which any request was in flight")
            }
            (_, Some(time), Some(timed)) => (timed.sum as f64 / time, "time-weighted at the device"),
            _ => (device.as_ref()?.mean()?, "as each request met it at the device; no times were captured"),
        };
        Some(Self { mean, from, device })
    }
}

/// The number in flight of both directions at which the device was kept, where it was: what it has
/// half of the time is next to what it has at most in nine tenths of it. A mean over the time in which
/// a queue fills and drains is below what fills it again.
pub fn ceiling(block: &BlockResult) -> Option<f64> {
    let depths = block.histogram("inflight_time", None).and_then(busy)?;
    let (half, most) = (depths.quantile(0.5)?.floor(), depths.quantile(0.9)?.floor());
    (most >= 2.0 && half >= PILED * most).then_some(most)
}

/// How much of the depth of nine tenths of the time half of the time has, where a queue is kept.
const PILED: f64 = 0.9;

/// How far from a wanted depth the next power of two may be, relative.
const NEAR: f64 = 0.08;

/// The depth for fio's io_uring, which rounds it up to a power of two (`fio_ioring_init`; fio 3.33
/// at 12 keeps 14.8 in flight, libaio 12.0): the power that is near, if one is.
pub fn ring(depth: u32) -> Option<u32> {
    let above = depth.next_power_of_two();
    let near = |power: u32| (f64::from(power) / f64::from(depth.max(1)) - 1.0).abs() <= NEAR;
    [above, (above / 2).max(1)].into_iter().find(|power| near(*power))
}

/// Time in which any request of the target was at the device.
fn busy_ns(block: &BlockResult) -> Option<f64> {
    let of = |op| block.histogram("inflight_time", op).and_then(busy).map(|h| h.count);
    let either = of(Some("read")).max(of(Some("write")));
    of(None).or(either).map(|ns| ns as f64)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_power_of_two_that_is_near_stands_for_a_depth() {
        assert_eq!([1, 2, 4, 16].map(ring), [Some(1), Some(2), Some(4), Some(16)]);
        assert_eq!([15, 17, 30, 34].map(ring), [Some(16), Some(16), Some(32), Some(32)]);
        assert_eq!([3, 5, 7, 12, 24].map(ring), [None; 5]);
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
