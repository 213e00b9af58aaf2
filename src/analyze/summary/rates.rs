//! How evenly something comes: counts in windows of time, from 10 ms to 10 s.

use serde::Serialize;

/// The shortest window; each further one is ten times as long.
const SHORTEST_NS: u64 = 10_000_000;
/// How many windows there are: 10 ms, 100 ms, 1 s, 10 s.
const LENGTHS: usize = 4;
/// The one of a second.
const SECOND: usize = 2;

/// Counts in windows of one length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Burstiness {
    /// The length of a window.
    pub window_s: f64,
    /// Whole windows from the first count on; empty ones count, the last, which time cuts, does not.
    pub windows: u64,
    /// The mean count of a window.
    pub mean: f64,
    /// The largest.
    pub max: u64,
    /// Variance over mean, the index of dispersion of counts: 1 where things come independently of
    /// each other, more where they come in bursts (Cox and Lewis, "The Statistical Analysis of Series
    /// of Events", 1966). None below two windows or without a count.
    pub index_of_dispersion: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    count: u64,
    bytes: u64,
    windows: u64,
    sum: u64,
    squares: u128,
    max: u64,
    max_bytes: u64,
}

/// Counts as they come, in time order.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// The shortest window that is open.
    open: u64,
    /// Where it ends.
    end_ns: u64,
    windows: [Window; LENGTHS],
}

impl Rates {
    /// One comes. What lies before what came last counts with it.
    #[inline]
    pub fn count(&mut self, at_ns: u64, bytes: u64) {
        if at_ns >= self.end_ns {
            self.close_to(at_ns / SHORTEST_NS);
        }
        let window = &mut self.windows[0];
        window.count += 1;
        window.bytes = window.bytes.saturating_add(bytes);
    }

    /// Closes windows up to the shortest one numbered `number`.
    #[cold]
    fn close_to(&mut self, number: u64) {
        if self.end_ns == 0 {
            (self.open, self.end_ns) = (0, SHORTEST_NS);
        }
        while self.open < number {
            self.close(0);
            self.open += 1;
            for (length, every) in [10, 100, 1000].into_iter().enumerate() {
                if self.open.is_multiple_of(every) {
                    self.close(length + 1);
                }
            }
            // Nothing happens for long: whole windows of the longest length pass at once.
            let idle = self.windows.iter().all(|window| window.count == 0);
            if idle && self.open.is_multiple_of(1000) && number - self.open >= 1000 {
                let longest = (number - self.open) / 1000;
                for (window, each) in self.windows.iter_mut().zip([1000, 100, 10, 1]) {
                    window.windows += longest * each;
                }
                self.open += longest * 1000;
            }
        }
        self.end_ns = (self.open + 1).saturating_mul(SHORTEST_NS);
    }

    fn close(&mut self, length: usize) {
        let Window { count, bytes, .. } = self.windows[length];
        if let Some(longer) = self.windows.get_mut(length + 1) {
            longer.count += count;
            longer.bytes = longer.bytes.saturating_add(bytes);
        }
        let window = &mut self.windows[length];
        window.windows += 1;
        window.sum += count;
        window.squares += u128::from(count) * u128::from(count);
        window.max = window.max.max(count);
        window.max_bytes = window.max_bytes.max(bytes);
        (window.count, window.bytes) = (0, 0);
    }

    /// The most bytes in one whole second; none before a second has passed.
    pub fn peak_second_bytes(&self) -> Option<u64> {
        let second = &self.windows[SECOND];
        (second.windows > 0).then_some(second.max_bytes)
    }

    /// The figures of all lengths of which there is a whole window.
    pub fn burstiness(&self) -> Vec<Burstiness> {
        let of = |(length, window): (usize, &Window)| {
            let n = window.windows as f64;
            let mean = window.sum as f64 / n;
            let variance = (window.squares as f64 - window.sum as f64 * mean) / (n - 1.0);
            Burstiness {
                window_s: SHORTEST_NS as f64 / 1e9 * [1.0, 10.0, 100.0, 1000.0][length],
                windows: window.windows,
                mean,
                max: window.max,
                index_of_dispersion: (window.windows > 1 && window.sum > 0).then(|| (variance / mean).max(0.0)),
            }
        };
        self.windows.iter().enumerate().filter(|(_, window)| window.windows > 0).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_what_counting_each_window_gives(
            gaps in prop::collection::vec(prop_oneof![0u64..30_000_000, 0u64..30_000_000_000], 1..200)
        ) {
            let mut rates = Rates::default();
            let mut stamps = Vec::new();
            let mut at_ns = 0;
            for gap in gaps {
                at_ns += gap;
                stamps.push(at_ns);
                rates.count(at_ns, 3);
            }
            for found in rates.burstiness() {
                let width = (found.window_s * 1e9).round() as u64;
                let mut counts = vec![0u64; (at_ns / SHORTEST_NS * SHORTEST_NS / width) as usize];
                let last = counts.len();
                stamps.iter().map(|at| (at / width) as usize).filter(|n| *n < last).for_each(|n| counts[n] += 1);
                let (n, sum) = (counts.len() as f64, counts.iter().sum::<u64>() as f64);
                prop_assert_eq!((found.windows, found.max), (counts.len() as u64, counts.iter().copied().max().unwrap_or(0)));
                prop_assert!((found.mean - sum / n).abs() < 1e-9);
                let variance = counts.iter().map(|c| (*c as f64 - sum / n).powi(2)).sum::<f64>() / (n - 1.0);
                match found.index_of_dispersion {
                    Some(index) => prop_assert!((index - variance / (sum / n)).abs() < 1e-6 * (1.0 + index)),
                    None => prop_assert!(counts.len() < 2 || sum == 0.0),
                }
            }
        }
    }

    #[test]
    fn what_comes_evenly_has_no_dispersion() {
        let mut rates = Rates::default();
        (0..4000u64).for_each(|n| rates.count(n * 5_000_000, 10));
        let found = rates.burstiness();
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|one| one.index_of_dispersion.is_none_or(|index| index == 0.0)));
        assert_eq!((found[2].mean, found[2].max, rates.peak_second_bytes()), (200.0, 200, Some(2000)));
    }
}
