//! Mergeable histograms: how they are counted ([`LogLinear`]) and how they are saved
//! ([`Histogram`]).
//!
//! Buckets are log-linear ("H2", the layout of the `histogram` crate and of Rezolus): with
//! grouping power g, values below 2^(g+1) have a bucket each, and every power of two above is
//! cut into 2^g buckets. A bucket is at most 2^-g of its lower bound wide, so the midpoint is
//! at most 2^-(g+1) off.

use serde::{Deserialize, Serialize};

/// The grouping power of times: buckets 3.1 % wide, midpoints at most 1.6 % off.
pub const TIME_GROUPING: u32 = 5;

/// The bucket of `value` at grouping power `g`.
pub const fn bucket_of(value: u64, g: u32) -> usize {
    if value < 1 << (g + 1) {
        return value as usize;
    }
    let power = 63 - value.leading_zeros();
    let offset = (value >> (power - g)) - (1 << g);
    (((power - g + 1) << g) as u64 + offset) as usize
}

/// The lowest value of bucket `index` at grouping power `g`.
pub const fn bucket_low(index: usize, g: u32) -> u64 {
    let index = index as u64;
    if index < 1 << (g + 1) {
        return index;
    }
    let power = (index >> g) as u32 - 1 + g;
    let offset = index & ((1 << g) - 1);
    ((1 << g) + offset) << (power - g)
}

/// A saved histogram. Quantiles are derived from it, never stored instead of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// What was measured, e.g. `d2c`, `response`.
    pub name: String,
    /// `read`, `write` or none.
    pub op: Option<String>,
    /// The unit of the values: `ns`, `bytes`, `ios`, `sectors`.
    pub unit: String,
    /// The widest bucket, relative to its bound that is closer to 0; 0 where a bucket holds one
    /// value, or where all are about equally wide: see `width`.
    pub rel_width: f64,
    /// The widest bucket, in the unit, where all are about equally wide and hold many values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<i64>,
    /// Values counted.
    pub count: u64,
    /// Their exact sum.
    pub sum: i128,
    /// The smallest; none when empty.
    pub min: Option<i64>,
    /// The largest; none when empty.
    pub max: Option<i64>,
    /// `[low, high, count]`, ascending, `high` exclusive, empty buckets left out.
    pub buckets: Vec<(i64, i64, u64)>,
}

impl Histogram {
    /// Leaves out all buckets but some; count and extremes follow, the sum is the caller's.
    pub fn keep(&mut self, which: impl Fn(&(i64, i64, u64)) -> bool) {
        self.buckets.retain(which);
        self.count = self.buckets.iter().map(|bucket| bucket.2).sum();
        self.min = self.buckets.first().map(|bucket| bucket.0);
        self.max = self.buckets.last().map(|bucket| bucket.1 - 1);
    }

    /// The value below which a share `q` (0 to 1) of the values lies: linear inside its bucket,
    /// kept within the exact minimum and maximum. None when empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let (min, max) = (self.min?, self.max?);
        let rank = q.clamp(0.0, 1.0) * self.count as f64;
        let mut below = 0u64;
        for &(low, high, count) in &self.buckets {
            if (below + count) as f64 >= rank {
                let inside = (rank - below as f64) / count as f64;
                let value = if high - low <= 1 { low as f64 } else { low as f64 + inside * (high - low) as f64 };
                return Some(value.clamp(min as f64, max as f64));
            }
            below += count;
        }
        Some(max as f64)
    }

    /// The exact mean; none when empty.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Adds another histogram of the same buckets.
    pub fn merge(&mut self, other: &Histogram) {
        let mut merged = Vec::with_capacity(self.buckets.len().max(other.buckets.len()));
        let (mut a, mut b) = (&self.buckets[..], &other.buckets[..]);
        while let (Some(x), Some(y)) = (a.first(), b.first()) {
            let (from_a, from_b) = (x.0 <= y.0, y.0 <= x.0);
            let count = u64::from(from_a) * x.2 + u64::from(from_b) * y.2;
            let edges = if from_a { (x.0, x.1) } else { (y.0, y.1) };
            merged.push((edges.0, edges.1, count));
            a = &a[usize::from(from_a)..];
            b = &b[usize::from(from_b)..];
        }
        merged.extend_from_slice(a);
        merged.extend_from_slice(b);
        self.buckets = merged;
        self.width = self.width.max(other.width);
        self.count += other.count;
        self.sum += other.sum;
        self.min = [self.min, other.min].into_iter().flatten().min();
        self.max = [self.max, other.max].into_iter().flatten().max();
    }

    /// What was counted since an `earlier` state of the same histogram. The extremes are those of
    /// the buckets, within the exact ones of the whole time.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let mut then = earlier.buckets.iter().peekable();
        let mut buckets = Vec::new();
        for &(low, high, count) in &self.buckets {
            while then.next_if(|bucket| bucket.0 < low).is_some() {}
            let before = then.next_if(|bucket| bucket.0 == low).map_or(0, |bucket| bucket.2);
            if count > before {
                buckets.push((low, high, count - before));
            }
        }
        let within = |value: i64| value.clamp(self.min.unwrap_or(value), self.max.unwrap_or(value));
        Histogram {
            count: buckets.iter().map(|bucket| bucket.2).sum(),
            sum: self.sum - earlier.sum,
            min: buckets.first().map(|bucket| within(bucket.0)),
            max: buckets.last().map(|bucket| within(bucket.1 - 1)),
            buckets,
            ..self.clone()
        }
    }

    /// The unit and name of the same measurement, for finding it in a list.
    pub fn is(&self, name: &str, op: Option<&str>) -> bool {
        self.name == name && self.op.as_deref() == op
    }
}

/// A counter of non-negative values in log-linear buckets, of fixed size, for the hot path.
#[derive(Clone, Debug)]
pub struct LogLinear {
    grouping: u32,
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl LogLinear {
    /// An empty counter at grouping power `grouping`, with every bucket of a `u64` below 2^48
    /// (three days in nanoseconds); larger values share the last bucket's saved range.
    pub fn new(grouping: u32) -> Self {
        let buckets = bucket_of((1 << 48) - 1, grouping) + 2;
        Self { grouping, counts: vec![0; buckets], count: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    /// A counter of times in nanoseconds.
    pub fn times() -> Self {
        Self::new(TIME_GROUPING)
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.record_many(value, 1);
    }

    /// Counts one value `times` times.
    pub fn record_many(&mut self, value: u64, times: u64) {
        let last = self.counts.len() - 1;
        self.counts[bucket_of(value, self.grouping).min(last)] += times;
        self.count += times;
        self.sum += u128::from(value) * u128::from(times);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Values counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, 0 when empty.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Adds another counter of the same grouping power.
    pub fn merge(&mut self, other: &LogLinear) {
        assert_eq!(self.grouping, other.grouping, "histograms of different buckets cannot be added");
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The saved form.
    pub fn save(&self, name: &str, op: Option<&str>, unit: &str) -> Histogram {
        let last = self.counts.len() - 1;
        let edge = |index: usize| i64::try_from(bucket_low(index, self.grouping)).unwrap_or(i64::MAX);
        let buckets = self.counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, &n)| {
            let high =
                if i == last { i64::try_from(self.max).unwrap_or(i64::MAX).saturating_add(1) } else { edge(i + 1) };
            (edge(i), high, n)
        });
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Histogram {
            name: name.to_owned(),
            op: op.map(str::to_owned),
            unit: unit.to_owned(),
            rel_width: 1.0 / (1u64 << self.grouping) as f64,
            width: None,
            count: self.count,
            sum: self.sum as i128,
            min: (self.count > 0).then(|| signed(self.min)),
            max: (self.count > 0).then(|| signed(self.max)),
            buckets: buckets.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_tile_the_numbers() {
        for g in [4, 5, 7] {
            for index in 0..bucket_of(u64::MAX, g) {
                let (low, next) = (bucket_low(index, g), bucket_low(index + 1, g));
                assert!(low < next);
                assert_eq!((bucket_of(low, g), bucket_of(next - 1, g)), (index, index));
                assert!(next - low == 1 || (next - low) as f64 / low as f64 <= 1.0 / (1u64 << g) as f64);
            }
        }
    }

    proptest! {
        #[test]
        fn quantiles_stay_within_their_bucket(
            mut values in prop::collection::vec(0u64..1 << 40, 1..400),
            q in 0.0f64..=1.0,
        ) {
            let mut counter = LogLinear::times();
            values.iter().for_each(|&v| counter.record(v));
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1] as f64;
            let saved = counter.save("x", None, "ns");
            let got = saved.quantile(q).unwrap();
            prop_assert!((got - exact).abs() <= exact * saved.rel_width + 1.0, "{got} for {exact}");
        }

        #[test]
        fn what_came_since_and_what_was_before_are_the_whole(
            a in prop::collection::vec(0u64..1 << 30, 0..200),
            b in prop::collection::vec(0u64..1 << 30, 0..200),
        ) {
            let mut counter = LogLinear::times();
            a.iter().for_each(|&v| counter.record(v));
            let before = counter.save("x", None, "ns");
            b.iter().for_each(|&v| counter.record(v));
            let whole = counter.save("x", None, "ns");
            let since = whole.since(&before);
            prop_assert_eq!((since.count, since.sum), (b.len() as u64, b.iter().map(|&v| i128::from(v)).sum()));
            let mut together = before;
            together.merge(&since);
            prop_assert_eq!(together.buckets, whole.buckets);
        }

        #[test]
        fn merging_saved_equals_counting_together(
            a in prop::collection::vec(0u64..1 << 30, 0..200),
            b in prop::collection::vec(0u64..1 << 30, 0..200),
        ) {
            let count = |values: &[u64]| {
                let mut counter = LogLinear::times();
                values.iter().for_each(|&v| counter.record(v));
                counter
            };
            let mut merged = count(&a).save("x", None, "ns");
            merged.merge(&count(&b).save("x", None, "ns"));
            prop_assert_eq!(merged, count(&[a, b].concat()).save("x", None, "ns"));
        }
    }
}
