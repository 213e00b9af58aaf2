//! One histogram in the making, in the buckets of the programs.

use crate::capture::devices::SECTOR;
use crate::capture::layout::{LBA_BUCKETS, SIZE_ROWS, TIME_BUCKETS, WIDE_BUCKETS};
use crate::measure::Histogram;
use crate::measure::histogram::{TIME_GROUPING, bucket_low, bucket_of};

/// What is counted, and in which buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Times in ns, distances in sectors, lengths of runs: log-linear.
    LogLinear(Unit),
    /// Sizes in sectors, each its own bucket.
    Sizes,
    /// Requests in flight, each number its own bucket.
    Depths,
    /// Sectors of a device of so many, in equal parts.
    Places(u64),
}

/// The unit of log-linear values, and what it is saved as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Sectors, saved in bytes.
    Sectors,
    /// Requests.
    Ios,
}

/// A histogram in the making.
#[derive(Clone, Debug)]
pub struct Counter {
    scale: Scale,
    sum: i128,
    min: u64,
    max: u64,
    buckets: Vec<u64>,
}

impl Scale {
    /// How wide all buckets are, in bytes, where that is one width and not 1.
    fn width(self) -> Option<i64> {
        match self {
            Self::Places(sectors) if sectors > 0 => {
                i64::try_from(sectors.div_ceil(LBA_BUCKETS as u64).saturating_mul(SECTOR)).ok()
            }
            _ => None,
        }
    }

    fn buckets(self) -> usize {
        match self {
            Self::LogLinear(_) => TIME_BUCKETS,
            Self::Sizes => SIZE_ROWS * WIDE_BUCKETS,
            Self::Depths => WIDE_BUCKETS,
            Self::Places(_) => LBA_BUCKETS,
        }
    }

    /// The bucket of a value; what is too large has the last one.
    fn bucket(self, value: u64) -> usize {
        let bucket = match self {
            Self::LogLinear(_) => bucket_of(value, TIME_GROUPING),
            Self::Sizes | Self::Depths => usize::try_from(value).unwrap_or(usize::MAX),
            Self::Places(extent) => (u128::from(value) * LBA_BUCKETS as u128 / u128::from(extent.max(1))) as usize,
        };
        bucket.min(self.buckets() - 1)
    }

    /// The lowest value of a bucket.
    fn low(self, bucket: usize) -> u64 {
        match self {
            Self::LogLinear(_) => bucket_low(bucket, TIME_GROUPING),
            Self::Sizes | Self::Depths => bucket as u64,
            // The smallest sector s with floor(s × 1024 / extent) = bucket.
            Self::Places(extent) => (bucket as u128 * u128::from(extent)).div_ceil(LBA_BUCKETS as u128) as u64,
        }
    }

    /// Whether the last bucket holds everything above it too.
    fn is_open(self) -> bool {
        !matches!(self, Self::Places(_))
    }

    fn unit(self) -> &'static str {
        match self {
            Self::LogLinear(Unit::Ns) => "ns",
            Self::LogLinear(Unit::Ios) | Self::Depths => "ios",
            Self::LogLinear(Unit::Sectors) | Self::Sizes | Self::Places(_) => "bytes",
        }
    }

    /// What a value is multiplied with when it is saved.
    fn factor(self) -> i64 {
        if self.unit() == "bytes" { SECTOR as i64 } else { 1 }
    }
}

impl Counter {
    /// Nothing yet.
    pub fn new(scale: Scale) -> Self {
        Self { scale, sum: 0, min: u64::MAX, max: 0, buckets: Vec::new() }
    }

    /// Counts a value `times` times.
    pub fn record(&mut self, value: u64, times: u64) {
        self.buckets.resize(self.scale.buckets(), 0);
        self.buckets[self.scale.bucket(value)] += times;
        self.sum += i128::from(value) * i128::from(times);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds another one of the same scale, or of places on another device: those are moved to this
    /// one's buckets.
    pub fn add(&mut self, other: &Counter) {
        self.buckets.resize(self.scale.buckets(), 0);
        for (at, count) in other.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let at = if self.scale == other.scale { at } else { self.scale.bucket(other.scale.low(at)) };
            self.buckets[at] += count;
        }
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|count| *count == 0)
    }

    /// The saved form of distances, `back` being those below zero.
    pub fn save_signed(&self, back: &Counter, name: &str, op: Option<&str>) -> Histogram {
        let (ahead, back) = (self.save(name, op), back.save(name, op));
        let mut buckets: Vec<_> = back.buckets.iter().rev().map(|(low, high, n)| (1 - high, 1 - low, *n)).collect();
        buckets.extend(ahead.buckets);
        let negative = |value: Option<i64>| value.map(i64::wrapping_neg);
        Histogram {
            count: ahead.count + back.count,
            sum: ahead.sum - back.sum,
            min: negative(back.max).or(ahead.min),
            max: ahead.max.or(negative(back.min)),
            buckets,
            ..ahead
        }
    }

    /// The saved form.
    pub fn save(&self, name: &str, op: Option<&str>) -> Histogram {
        let (scale, factor) = (self.scale, self.scale.factor());
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX).saturating_mul(factor);
        let high = |at: usize| match scale {
            _ if at + 1 == scale.buckets() && scale.is_open() => signed(self.max).saturating_add(1),
            // Only multiples of a sector are in the bucket: it ends right after its last one.
            Scale::Sizes | Scale::LogLinear(Unit::Sectors) => signed(scale.low(at + 1) - 1).saturating_add(1),
            _ => signed(scale.low(at + 1)),
        };
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        let buckets: Vec<_> = filled.map(|(at, count)| (signed(scale.low(at)), high(at), *count)).collect();
        let any = !buckets.is_empty();
        Histogram {
            name: name.to_owned(),
            op: op.map(str::to_owned),
            unit: scale.unit().to_owned(),
            width: scale.width(),
            rel_width: if matches!(scale, Scale::LogLinear(_)) { 1.0 / f64::from(1u32 << TIME_GROUPING) } else { 0.0 },
            count: buckets.iter().map(|bucket| bucket.2).sum(),
            sum: self.sum * i128::from(factor),
            min: any.then(|| signed(self.min)),
            max: any.then(|| signed(self.max)),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scale: Scale, values: &[u64]) -> Counter {
        let mut counter = Counter::new(scale);
        values.iter().for_each(|value| counter.record(*value, 1));
        counter
    }

    #[test]
    fn what_is_too_large_shares_the_last_bucket() {
        let times = of(Scale::LogLinear(Unit::Ns), &[1 << 37, 1 << 40, 5]).save("d2c", None);
        assert_eq!(times.buckets, [(5, 6, 1), (1 << 37, (1 << 40) + 1, 2)]);
        let sizes = of(Scale::Sizes, &[8, 1 << 20]).save("size", None);
        assert_eq!(sizes.buckets, [(4096, 4097, 1), ((5 * 2048 - 1) * 512, (512 << 20) + 1, 1)]);
        assert_eq!((sizes.sum, sizes.min, sizes.max), ((4096 + (512 << 20)), Some(4096), Some(512 << 20)));
        let empty = Counter::new(Scale::Depths).save("inflight", Some("read"));
        assert_eq!((empty.count, empty.min, empty.buckets.len()), (0, None, 0));
    }

    #[test]
    fn places_of_a_smaller_device_move_to_the_buckets_of_the_larger() {
        let mut large = of(Scale::Places(4096), &[0, 4095]);
        large.add(&of(Scale::Places(2048), &[2047, 4]));
        let saved = large.save("lba", None);
        assert_eq!(
            saved.buckets,
            [(0, 2048, 1), (2048, 4096, 1), (511 * 2048, 512 * 2048, 1), (1023 * 2048, 2 << 20, 1)]
        );
        assert_eq!((saved.count, saved.max), (4, Some(4095 * 512)));
    }

    #[test]
    fn a_seek_has_two_sides() {
        let sectors = Scale::LogLinear(Unit::Sectors);
        let saved = of(sectors, &[0, 0, 8, 1000]).save_signed(&of(sectors, &[8, 1000, 3]), "seek", Some("read"));
        assert_eq!((saved.count, saved.sum), (7, -3 * 512));
        assert_eq!((saved.min, saved.max), (Some(-512_000), Some(512_000)));
        assert_eq!(saved.buckets[1..5], [(-4096, -4095, 1), (-1536, -1535, 1), (0, 1, 2), (4096, 4097, 1)]);
        assert_eq!((saved.buckets[0].0, saved.buckets[0].1), (1 - saved.buckets[5].1, 1 - saved.buckets[5].0));
    }
}
