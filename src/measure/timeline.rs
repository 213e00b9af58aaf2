//! Series of several runs laid over each other by the wall clock.

use super::replay::Series;

/// Intervals that a series has at most, as a run has them.
const INTERVALS: usize = 2048;

/// A series with the wall clock's time of its first interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Length of an interval.
    interval_ns: u64,
    /// The number of the first interval, counted from 1970.
    first: u64,
    /// By column.
    columns: [Vec<u64>; 5],
}

/// The column of operations.
const OPS: usize = 3;
/// Whether a column's values are added; otherwise the largest counts.
const ADDS: [bool; 5] = [true, true, true, true, false];

impl Timeline {
    /// A series that began at `started_unix_ns`.
    pub fn new(series: Series, started_unix_ns: u64) -> Self {
        let Series { interval_s, tier2_read_bytes, tier2_write_bytes, tier1_bytes, ops, lateness_max_ns } = series;
        let interval_ns = ((interval_s * 1e9).round() as u64).max(1);
        let columns = [tier2_read_bytes, tier2_write_bytes, tier1_bytes, ops, lateness_max_ns];
        Self { interval_ns, first: started_unix_ns / interval_ns, columns }
    }

    fn len(&self) -> usize {
        self.columns.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn last(&self) -> u64 {
        self.first + (self.len() as u64).max(1) - 1
    }

    /// Both together, in intervals as long as either's, longer where there would be too many.
    pub fn with(mut self, mut other: Self) -> Self {
        let mut interval_ns = self.interval_ns.max(other.interval_ns);
        let (first, last) = loop {
            self.widen(interval_ns);
            other.widen(interval_ns);
            let (first, last) = (self.first.min(other.first), self.last().max(other.last()));
            if last - first < INTERVALS as u64 {
                break (first, last);
            }
            interval_ns = interval_ns.saturating_mul(2);
        };
        for (number, mine) in self.columns.iter_mut().enumerate() {
            let shift = (self.first - first) as usize;
            mine.splice(0..0, std::iter::repeat_n(0, shift));
            let shift = (other.first - first) as usize;
            put(mine, other.columns[number].iter().enumerate().map(|(i, v)| (i + shift, *v)), ADDS[number]);
        }
        // An end at which nothing was counted is kept: it decides how long intervals are.
        let len = (last - first) as usize + 1;
        self.columns[OPS].resize(len.max(self.columns[OPS].len()), 0);
        self.first = first;
        self
    }

    fn widen(&mut self, interval_ns: u64) {
        if interval_ns == self.interval_ns {
            return;
        }
        let place = |bin: u64| (u128::from(bin) * u128::from(self.interval_ns) / u128::from(interval_ns)) as u64;
        let first = place(self.first);
        for (number, column) in self.columns.iter_mut().enumerate() {
            let values = std::mem::take(column);
            let placed =
                values.into_iter().enumerate().map(|(i, v)| ((place(self.first + i as u64) - first) as usize, v));
            put(column, placed, ADDS[number]);
        }
        (self.interval_ns, self.first) = (interval_ns, first);
    }

    /// As it is saved.
    pub fn series(mut self) -> Series {
        let len = self.len();
        self.columns.iter_mut().for_each(|column| column.resize(len, 0));
        let [tier2_read_bytes, tier2_write_bytes, tier1_bytes, ops, lateness_max_ns] = self.columns;
        let interval_s = self.interval_ns as f64 / 1e9;
        Series { interval_s, tier2_read_bytes, tier2_write_bytes, tier1_bytes, ops, lateness_max_ns }
    }
}

fn put(into: &mut Vec<u64>, values: impl Iterator<Item = (usize, u64)>, adds: bool) {
    for (place, value) in values {
        if into.len() <= place {
            into.resize(place + 1, 0);
        }
        into[place] = if adds { into[place] + value } else { into[place].max(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(interval_s: f64, ops: &[u64], late: &[u64]) -> Series {
        Series { interval_s, ops: ops.to_vec(), lateness_max_ns: late.to_vec(), ..Series::default() }
    }

    #[test]
    fn series_are_laid_over_each_other_by_the_wall_clock() {
        let early = Timeline::new(series(1.0, &[1, 2, 3], &[5, 6, 7]), 10_000_000_000);
        let late = Timeline::new(series(2.0, &[10, 20], &[1, 9]), 12_000_000_000);
        let both = early.clone().with(late.clone()).series();
        assert_eq!((both.interval_s, both.ops.clone()), (2.0, vec![3, 13, 20]));
        assert_eq!(both.lateness_max_ns, [6, 7, 9]);
        assert_eq!(late.with(early).series(), both);
    }

    #[test]
    fn series_far_apart_get_long_intervals_and_lose_nothing() {
        let day = 86_400_000_000_000;
        let both =
            Timeline::new(series(0.005, &[1], &[]), 0).with(Timeline::new(series(0.005, &[2], &[]), day)).series();
        assert!(both.ops.len() <= INTERVALS && both.ops.iter().sum::<u64>() == 3);
    }
}
