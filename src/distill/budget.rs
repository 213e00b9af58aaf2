//! Whether what a source keeps in flight is a number of bytes: a program that bounds its buffers, not its requests.
//!
//! A device that moves bytes one request after the other takes as long for a request as for all that is ahead of
//! it. With a number of requests of random sizes in flight, that varies by the variation of a size over the square
//! root of the number; with a number of bytes it does not, and the number of requests varies instead.

use crate::measure::BlockResult;

use super::depth::{busy, ceiling, wall};
use super::sizes::SizeMix;
use super::streams::{Direction, Load};

/// Standard deviations from the median to P99 of a normal distribution.
const TO_P99: f64 = 2.326;
/// The spread of times, of that which random sizes in a queue of a constant number would have, up to which bytes were
/// kept. ShareGPT in a replay that keeps 16 MiB has 0.4 of it here, fio at a constant depth 1.
const EVEN: f64 = 0.6;
/// By how much P99 would be too long, of P50, from which on that matters: half of what a proof allows.
const MATTERS: f64 = 0.1;
/// The least P10 of times, of P50: some sizes are not served before others then.
const LEAST: f64 = 0.5;
/// The variation of the number in flight, of that which random sizes in a constant number of bytes have, at least.
const VARIES: f64 = 0.5;
/// The share in order of a direction up to which its requests may be told apart by size: more would be cut.
const IN_ORDER: f64 = 0.4;

/// Whether a source's queue is kept at bytes, and a job that keeps as many requests would be another load.
pub fn keeps_bytes(block: &BlockResult, loads: &[Load; 2], in_order: [Option<f64>; 2]) -> bool {
    let in_flight: f64 = loads.iter().filter(|load| load.mix.count() > 0).map(|load| load.in_flight).sum();
    let Some((spread, least)) = times(block, loads) else { return false };
    let (mean, deviation) = SizeMix::from_sizes(loads.iter().flat_map(|load| load.mix.sizes()).copied()).moments();
    let random = deviation / mean.max(1.0) / in_flight.max(1.0).sqrt();
    let alone = in_order.iter().flatten().all(|share| *share <= IN_ORDER);
    let even = spread <= EVEN * random * TO_P99 && random * TO_P99 - spread >= MATTERS;
    let no_number = wall(block, None).is_none() && ceiling(block).is_none();
    alone && even && least >= LEAST && no_number && depths_vary(block).is_some_and(|varies| varies >= VARIES * random)
}

/// How far P99 of the times from queue to completion is above P50, and how far down P10 is, of P50: the mean over the
/// requests of both directions, and the least.
fn times(block: &BlockResult, loads: &[Load; 2]) -> Option<(f64, f64)> {
    let (mut above, mut least, mut requests) = (0.0, f64::INFINITY, 0.0);
    for direction in Direction::ALL.into_iter().filter(|d| loads[*d as usize].mix.count() > 0) {
        let times = block.histogram("q2c", Some(direction.word())).filter(|h| h.count > 0)?;
        let half = times.quantile(0.5).filter(|half| *half > 0.0)?;
        above += (times.quantile(0.99)? / half - 1.0) * times.count as f64;
        least = least.min(times.quantile(0.1)? / half);
        requests += times.count as f64;
    }
    (requests > 0.0).then(|| (above / requests, least))
}

/// The standard deviation of the number in flight, of its mean, while there is any.
fn depths_vary(block: &BlockResult) -> Option<f64> {
    let depths = block.histogram("inflight_time", None).and_then(busy)?;
    let of = |value: &dyn Fn(f64) -> f64| {
        let sum: f64 = depths.buckets.iter().map(|b| value((b.0 + b.1 - 1) as f64 / 2.0) * b.2 as f64).sum();
        sum / depths.count as f64
    };
    let mean = of(&|depth| depth);
    Some(of(&|depth| (depth - mean).powi(2)).sqrt() / mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Histogram, LogLinear};

    fn counted(name: &str, op: Option<&str>, values: impl IntoIterator<Item = (u64, u64)>) -> Histogram {
        let mut counter = LogLinear::times();
        values.into_iter().for_each(|(value, count)| counter.record_many(value, count));
        counter.save(name, op, "ns")
    }

    /// Writes of two sizes, their times as parts of 5 ms, and the time with so many in flight.
    fn source(times: &[(f64, u64)], depths: &[(u64, u64)]) -> (BlockResult, [Load; 2]) {
        let sizes = [(64u64 << 10, 5000u64), (2 << 20, 1000)];
        let histograms = vec![
            counted("size", Some("write"), sizes),
            counted("q2c", Some("write"), times.iter().map(|&(part, count)| ((part * 5e6) as u64, count))),
            counted("inflight_time", None, depths.iter().copied()),
        ];
        let mix = SizeMix::from_sizes(sizes);
        let loads = [Load::default(), Load { mix, in_flight: 16.0, most_in_flight: 40 }];
        (BlockResult { histograms, ..BlockResult::default() }, loads)
    }

    fn keeps(times: &[(f64, u64)], depths: &[(u64, u64)]) -> bool {
        let (block, loads) = source(times, depths);
        keeps_bytes(&block, &loads, [None, Some(0.1)])
    }

    const EVEN_TIMES: [(f64, u64); 4] = [(0.7, 1500), (1.0, 3000), (1.2, 1420), (1.3, 80)];

    fn varied() -> Vec<(u64, u64)> {
        (6..=30).map(|depth| (depth, 4000)).collect()
    }

    #[test]
    fn bytes_are_kept_where_times_are_even_and_numbers_vary() {
        assert!(keeps(&EVEN_TIMES, &varied()));
        let (block, loads) = source(&EVEN_TIMES, &varied());
        assert!(!keeps_bytes(&block, &loads, [None, Some(0.7)]), "an order would be cut");
    }

    #[test]
    fn a_number_of_random_sizes_has_uneven_times() {
        assert!(!keeps(&[(0.4, 1500), (1.0, 3000), (1.6, 1420), (2.2, 80)], &varied()));
    }

    #[test]
    fn a_number_that_is_kept_is_no_number_of_bytes() {
        assert!(!keeps(&EVEN_TIMES, &[(14, 500), (15, 5000), (16, 90_000)]));
    }

    #[test]
    fn sizes_that_are_served_sooner_are_not_told_apart() {
        assert!(!keeps(&[(0.2, 1500), (1.0, 3000), (1.2, 1420), (1.3, 80)], &varied()));
    }
}
