//! Request sizes: from an exact histogram to a `bssplit` within fio's limits.

use crate::measure::Histogram;

/// The most sizes that one `bssplit` gets: fio takes 64 (`BSSPLIT_MAX`), and complains already when
/// the last one is used.
pub const MAX_SIZES: usize = 63;

/// Bytes of a sector, the unit of the block layer.
const SECTOR: u64 = 512;

/// How far two samples of the same sizes are apart at most, in units of sqrt((n + m) / nm), in nineteen of
/// twenty pairs (the two-sample test of Smirnov, 1939).
const OF_ONE: f64 = 1.358;

/// How far the implied mean may be off before shares are moved for the sake of bytes, relative.
const MEAN_SLACK: f64 = 0.005;

/// Request sizes of one direction: distinct sizes in bytes, ascending, with their counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SizeMix(Vec<(u64, u64)>);

impl SizeMix {
    /// The sizes of a histogram in bytes or sectors. Buckets of one sector or less are exact;
    /// in wider ones all values are taken to lie at the same relative place, chosen so that the
    /// bytes are the histogram's exact sum, and rounded to a sector.
    pub fn from_histogram(histogram: &Histogram) -> Self {
        Self::of_multiples(histogram, SECTOR)
    }

    /// The same of sizes that are all multiples of a `unit` of bytes.
    pub fn of_multiples(histogram: &Histogram, unit: u64) -> Self {
        let scale = if histogram.unit == "sectors" { SECTOR } else { 1 };
        let (min, max) = (histogram.min.unwrap_or(0), histogram.max.unwrap_or(i64::MAX - 1));
        let buckets: Vec<(u64, u64, u64)> = histogram
            .buckets
            .iter()
            .filter_map(|&(low, high, count)| {
                let (low, high) = (low.max(min), high.min(max + 1));
                let (low, high) = (u64::try_from(low).ok()? * scale, u64::try_from(high).ok()? * scale);
                (high > 1 && count > 0).then(|| (low, if high - low <= SECTOR { 0 } else { high - 1 - low }, count))
            })
            .collect();
        let lowest: f64 = buckets.iter().map(|&(low, _, n)| low as f64 * n as f64).sum();
        let room: f64 = buckets.iter().map(|&(_, width, n)| width as f64 * n as f64).sum();
        let total = histogram.sum as f64 * scale as f64;
        let place = if room > 0.0 { ((total - lowest) / room).clamp(0.0, 1.0) } else { 0.0 };
        Self::from_sizes(buckets.into_iter().map(|(low, width, count)| {
            let size = low as f64 + place * width as f64;
            let size = if width == 0 { low } else { (size / unit as f64).round() as u64 * unit };
            (size.max(if low == 0 && width == 0 { 0 } else { SECTOR }), count)
        }))
    }

    /// The same from sizes in any order; empty requests (flushes) and empty counts are left out.
    pub fn from_sizes(sizes: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut all: Vec<_> = sizes.into_iter().filter(|&(size, count)| size > 0 && count > 0).collect();
        all.sort_unstable();
        all.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            kept.1 += if same { later.1 } else { 0 };
            same
        });
        Self(all)
    }

    /// The distinct sizes and their counts, ascending.
    pub fn sizes(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Requests.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u128 {
        self.0.iter().map(|&(size, count)| u128::from(size) * u128::from(count)).sum()
    }

    /// Mean bytes of a request, 0 when there is none.
    pub fn mean(&self) -> f64 {
        self.bytes() as f64 / self.count().max(1) as f64
    }

    /// The largest number of bytes that all sizes are multiples of; 0 when there is none.
    pub fn unit(&self) -> u64 {
        let divisor = |mut a: u64, mut b: u64| {
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        self.0.iter().fold(0, |unit, size| divisor(unit, size.0))
    }

    /// Both as one, each with its own count, where they cannot be told apart: more requests say more of their
    /// sizes, and a reader sees that they are the same.
    pub fn alike(&self, other: &Self) -> Option<(Self, Self)> {
        let counts = [self, other].map(|mix| mix.count() as f64);
        let total: f64 = counts.iter().sum();
        let bound = OF_ONE * (total / (counts[0] * counts[1])).sqrt();
        if self.0.is_empty() || other.0.is_empty() || self == other || self.farthest(other) > bound {
            return None;
        }
        let both = Self::from_sizes(self.0.iter().chain(&other.0).copied());
        let part = |of: f64| {
            Self::from_sizes(both.0.iter().map(|&(size, count)| (size, (count as f64 * of / total).round() as u64)))
        };
        Some((part(counts[0]), part(counts[1])))
    }

    /// The Kolmogorov-Smirnov distance of two of which neither is empty.
    fn farthest(&self, other: &Self) -> f64 {
        let mut all: Vec<(u64, f64)> = Vec::with_capacity(self.0.len() + other.0.len());
        for (mix, sign) in [(self, 1.0), (other, -1.0)] {
            let count = mix.count() as f64;
            all.extend(mix.0.iter().map(|&(size, n)| (size, sign * n as f64 / count)));
        }
        all.sort_by_key(|step| step.0);
        let (mut apart, mut most) = (0.0f64, 0.0f64);
        for steps in all.chunk_by(|a, b| a.0 == b.0) {
            apart += steps.iter().map(|step| step.1).sum::<f64>();
            most = most.max(apart.abs());
        }
        most
    }

    /// Mean bytes of a request and their standard deviation, 0 when there is none.
    pub fn moments(&self) -> (f64, f64) {
        let mean = self.mean();
        let squares: f64 = self.0.iter().map(|&(size, count)| (size as f64 - mean).powi(2) * count as f64).sum();
        (mean, (squares / self.count().max(1) as f64).sqrt())
    }

    /// Such a share of the requests, the smallest, and the rest; those of the size between may be in both.
    pub fn cut(&self, share: f64) -> (SizeMix, SizeMix) {
        let mut left = (self.count() as f64 * share).round() as u64;
        let low = self.0.iter().map(|&(size, count)| {
            let own = count.min(left);
            left -= own;
            (size, own)
        });
        let low = Self::from_sizes(low.collect::<Vec<_>>());
        let taken = |at: usize| low.0.get(at).map_or(0, |size| size.1);
        let high = Self::from_sizes(self.0.iter().enumerate().map(|(at, &(size, count))| (size, count - taken(at))));
        (low, high)
    }

    /// The sizes below the `index`-th, and the rest.
    pub fn split_at(&self, index: usize) -> (SizeMix, SizeMix) {
        let (low, high) = self.0.split_at(index);
        (Self(low.to_vec()), Self(high.to_vec()))
    }
}

/// A `bssplit`: sizes with whole percents that add up to 100.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// `(bytes, percent)`, ascending, no percent 0, at most [`MAX_SIZES`].
    pub entries: Vec<(u64, u32)>,
    /// Mean bytes that the percents imply.
    pub mean: f64,
    /// The first Wasserstein distance between these sizes and the real ones, in bytes: how far a
    /// request's size is moved on average. The implied mean is off by this at most.
    pub distance: f64,
}

impl Split {
    /// The whole percents closest to a mix of sizes.
    ///
    /// Percents are cumulative shares rounded to the nearest whole one, which of all whole
    /// percents on the same sizes has the least Wasserstein distance (the distance is a sum over
    /// the gaps between sizes, and each term is least at the nearest integer). Then cumulative
    /// shares that were nearly a half are rounded the other way as long as that brings the mean
    /// size, and with it the bytes, closer.
    ///
    /// # Panics
    /// When the mix is empty.
    pub fn of(mix: &SizeMix) -> Self {
        let sizes = mix.sizes();
        assert!(!sizes.is_empty(), "an empty mix has no shares");
        let gaps: Vec<f64> = sizes.windows(2).map(|pair| (pair[1].0 - pair[0].0) as f64).collect();
        let shares = cumulative_percents(sizes);
        let mut whole: Vec<f64> = shares.iter().map(|share| share.round()).collect();
        balance_bytes(&shares, &mut whole, &gaps, mix.mean() * MEAN_SLACK * 100.0);
        let mut entries = Vec::new();
        let mut below = 0.0;
        for (i, &(size, _)) in sizes.iter().enumerate() {
            let upto = whole.get(i).copied().unwrap_or(100.0);
            if upto > below {
                entries.push((size, (upto - below) as u32));
                below = upto;
            }
        }
        shorten(&mut entries, mix.mean());
        let mean = entries.iter().map(|&(size, percent)| size as f64 * f64::from(percent)).sum::<f64>() / 100.0;
        let distance = distance(sizes, &entries);
        Self { entries, mean, distance }
    }

    /// As fio reads it: `4k/50:128k/50`.
    pub fn text(&self) -> String {
        let entries: Vec<_> =
            self.entries.iter().map(|&(size, percent)| format!("{}/{percent}", fio_size(size))).collect();
        entries.join(":")
    }

    /// The smallest size.
    pub fn smallest(&self) -> u64 {
        self.entries.first().map_or(1, |entry| entry.0)
    }

    /// Whether all sizes are multiples of the smallest, to which fio 3.33 rounds them down
    /// (`get_next_buflen` in io_u.c) unless `bs_unaligned` is set. Measured with that: sizes come as the
    /// percents say, and begin at multiples of the smallest size or where the last request ended, also
    /// with O_DIRECT, `zoned_abs` and `percentage_random`; 12k/30:20k/30:52k/40 without it is 12k/60:48k/40.
    pub fn is_stepped(&self) -> bool {
        self.entries.iter().all(|entry| entry.0.is_multiple_of(self.smallest()))
    }

    /// The largest size.
    pub fn largest(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.0)
    }
}

/// A size as fio reads it: `128k`, `1m`, or plain bytes when it is no whole KiB.
pub fn fio_size(bytes: u64) -> String {
    match bytes {
        b if b > 0 && b % (1 << 30) == 0 => format!("{}g", b >> 30),
        b if b > 0 && b % (1 << 20) == 0 => format!("{}m", b >> 20),
        b if b > 0 && b % (1 << 10) == 0 => format!("{}k", b >> 10),
        b => b.to_string(),
    }
}

/// Percents of requests up to each size, the last (100) left out.
fn cumulative_percents(sizes: &[(u64, u64)]) -> Vec<f64> {
    let total: u64 = sizes.iter().map(|(_, count)| count).sum();
    let mut below = 0u64;
    let upto = sizes.iter().map(|(_, count)| {
        below += count;
        below as f64 * 100.0 / total as f64
    });
    upto.take(sizes.len() - 1).collect()
}

/// Rounds shares the other way, those nearest to a half first, while that brings the implied
/// mean closer to the true one; `slack` is how far it may be off, in percent times bytes.
fn balance_bytes(shares: &[f64], whole: &mut [f64], gaps: &[f64], slack: f64) {
    let mut excess: f64 = (0..gaps.len()).map(|i| (shares[i] - whole[i]) * gaps[i]).sum();
    let mut order: Vec<usize> = (0..gaps.len()).filter(|&i| shares[i] != whole[i]).collect();
    order.sort_by(|&a, &b| (shares[b] - whole[b]).abs().total_cmp(&(shares[a] - whole[a]).abs()).then(a.cmp(&b)));
    for i in order {
        if excess.abs() <= slack {
            return;
        }
        let step = (shares[i] - whole[i]).signum();
        let turned = whole[i] + step;
        let below = if i == 0 { 0.0 } else { whole[i - 1] };
        let above = whole.get(i + 1).copied().unwrap_or(100.0);
        let after = excess - step * gaps[i];
        if (below..=above).contains(&turned) && after.abs() < excess.abs() {
            whole[i] = turned;
            excess = after;
        }
    }
}

/// Joins neighbours until fio takes the list: each time the join that moves the fewest bytes,
/// with the mean's own error counted in.
fn shorten(entries: &mut Vec<(u64, u32)>, mean: f64) {
    let implied = |entries: &[(u64, u32)]| entries.iter().map(|&(s, p)| s as f64 * f64::from(p)).sum::<f64>() / 100.0;
    while entries.len() > MAX_SIZES {
        let excess = implied(entries) - mean;
        let mut best = (f64::INFINITY, 0, 0);
        for i in 0..entries.len() - 1 {
            for (from, to) in [(i, i + 1), (i + 1, i)] {
                let moved = (entries[to].0 as f64 - entries[from].0 as f64) * f64::from(entries[from].1) / 100.0;
                let cost = moved.abs() + (excess + moved).abs();
                if cost < best.0 {
                    best = (cost, from, to);
                }
            }
        }
        let (_, from, to) = best;
        entries[to].1 += entries[from].1;
        entries.remove(from);
    }
}

/// The first Wasserstein distance between counted sizes and whole percents, in bytes.
pub fn distance(sizes: &[(u64, u64)], entries: &[(u64, u32)]) -> f64 {
    let total: f64 = sizes.iter().map(|&(_, count)| count as f64).sum();
    let mut steps: Vec<(u64, f64)> = sizes.iter().map(|&(size, count)| (size, count as f64 / total)).collect();
    steps.extend(entries.iter().map(|&(size, percent)| (size, -f64::from(percent) / 100.0)));
    steps.sort_by_key(|step| step.0);
    let (mut apart, mut sum) = (0.0f64, 0.0);
    for pair in steps.windows(2) {
        apart += pair[0].1;
        sum += apart.abs() * (pair[1].0 - pair[0].0) as f64;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mix(sizes: &[(u64, u64)]) -> SizeMix {
        SizeMix::from_sizes(sizes.iter().copied())
    }

    #[test]
    fn sizes_that_cannot_be_told_apart_are_one() {
        let reads = SizeMix::from_sizes([(4096, 5000), (131_072, 60_000), (1 << 20, 35_000)]);
        let few = SizeMix::from_sizes([(4096, 52), (131_072, 585), (1 << 20, 363)]);
        let (all, some) = reads.alike(&few).unwrap();
        assert_eq!(some.sizes(), [(4096, 50), (131_072, 600), (1 << 20, 350)]);
        assert_eq!((all.count(), all.sizes().len()), (100_000, 3));
        let others = SizeMix::from_sizes([(4096, 52), (131_072, 500), (1 << 20, 448)]);
        assert!(reads.alike(&others).is_none(), "a tenth of them is another size");
        assert!(reads.alike(&SizeMix::default()).is_none());
        assert!(SizeMix::from_sizes([(4096, 9)]).alike(&SizeMix::from_sizes([(8192, 9)])).is_none());
    }

    #[test]
    fn whole_percents_stay_as_they_are() {
        let split = Split::of(&mix(&[(4096, 250), (12_288, 250), (49_152, 250), (204_800, 250)]));
        assert_eq!(split.text(), "4k/25:12k/25:48k/25:200k/25");
        assert_eq!((split.mean, split.distance), (67_584.0, 0.0));
    }

    #[test]
    fn the_most_common_size_between_powers_of_two_is_kept() {
        let split = Split::of(&mix(&[(524_288, 970), (786_432, 15), (1 << 20, 15)]));
        assert_eq!(split.entries.iter().map(|entry| entry.1).sum::<u32>(), 100);
        assert_eq!(split.entries[0], (524_288, 97));
    }

    #[test]
    fn sizes_that_are_no_whole_kib_are_written_in_bytes() {
        assert_eq!(
            [512, 1024, 3584, 1 << 20, 3 << 30, 1280 << 10].map(fio_size),
            ["512", "1k", "3584", "1m", "3g", "1280k"]
        );
    }

    #[test]
    fn sectors_and_wide_buckets_keep_their_bytes() {
        let histogram = |unit: &str, sum: i128, buckets: Vec<(i64, i64, u64)>| Histogram {
            unit: unit.to_owned(),
            sum,
            count: buckets.iter().map(|b| b.2).sum(),
            buckets,
            ..Histogram::default()
        };
        let exact = SizeMix::from_histogram(&histogram("sectors", 8 * 3 + 256, vec![(8, 9, 3), (256, 257, 1)]));
        assert_eq!(exact.sizes(), [(4096, 3), (131_072, 1)]);
        let wide = histogram("bytes", 10 * 700_000, vec![(524_288, 1 << 20, 10)]);
        assert!((SizeMix::from_histogram(&wide).mean() - 700_000.0).abs() <= 256.0);
    }

    proptest! {
        #[test]
        fn a_cut_loses_nothing(sizes in prop::collection::vec((1u64..100, 1u64..1000), 1..60), share in 0.0f64..=1.0) {
            let whole = SizeMix::from_sizes(sizes);
            let (low, high) = whole.cut(share);
            prop_assert!((low.count() as f64 - whole.count() as f64 * share).abs() <= 0.5);
            prop_assert_eq!(SizeMix::from_sizes(low.sizes().iter().chain(high.sizes()).copied()), whole);
            if let (Some(most), Some(least)) = (low.sizes().last(), high.sizes().first()) {
                prop_assert!(most.0 <= least.0);
            }
        }

        #[test]
        fn rounding_keeps_its_promises(sizes in prop::collection::vec((1u64..=8192, 1u64..100_000), 1..400)) {
            let real = mix(&sizes.iter().map(|&(sectors, count)| (sectors * 512, count)).collect::<Vec<_>>());
            let split = Split::of(&real);
            prop_assert_eq!(split.entries.iter().map(|entry| entry.1).sum::<u32>(), 100);
            prop_assert!(split.entries.len() <= MAX_SIZES);
            prop_assert!(split.entries.iter().all(|entry| entry.1 > 0));
            prop_assert!(split.entries.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert!(split.entries.iter().all(|entry| real.sizes().iter().any(|size| size.0 == entry.0)));
            prop_assert!((split.mean - real.mean()).abs() <= split.distance + 1e-6);
            // A percent more or less at every gap is the worst that rounding can do.
            let span = (real.sizes().last().unwrap().0 - real.sizes()[0].0) as f64;
            prop_assert!(split.distance <= span / 100.0 + 1e-6 || real.sizes().len() > MAX_SIZES);
        }

        #[test]
        fn many_similar_sizes_keep_their_bytes(counts in prop::collection::vec(1u64..1000, 65..300)) {
            let real = mix(&counts.iter().enumerate().map(|(i, &n)| ((i as u64 + 1) * 4096, n)).collect::<Vec<_>>());
            let split = Split::of(&real);
            prop_assert!((split.mean / real.mean() - 1.0).abs() < 0.01, "{} for {}", split.mean, real.mean());
        }
    }
}
