//! How sure two groups of figures differ: intervals by resampling, and a test of ranks.
//!
//! Intervals are percentile intervals of the bootstrap, each group resampled by itself (Efron and
//! Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 8.3). With few runs they
//! are too narrow, so that a difference counts only if a permutation test of the rank sum (Wilcoxon
//! 1945; Mann and Whitney 1947) finds it too.

use crate::seed::{Seed, Stream};

/// Resamples of an interval.
pub const RESAMPLES: usize = 4_000;
/// The share of resamples outside an interval.
const OUTSIDE: f64 = 0.05;
/// Ways to divide the runs into two groups up to which all are tried.
const MOST_DIVISIONS: u64 = 20_000;

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// The lower end of the interval; none for a single run.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

/// The median of a list that is not empty.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// The mean of a list that is not empty.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn resampled(values: &[f64], stream: &mut Stream) -> Vec<f64> {
    (0..values.len()).map(|_| values[stream.below(values.len() as u64) as usize]).collect()
}

/// The ends of the middle 95 % of some figures.
fn middle(mut figures: Vec<f64>) -> Option<(f64, f64)> {
    figures.retain(|figure| figure.is_finite());
    if figures.is_empty() {
        return None;
    }
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| figures[((share * figures.len() as f64) as usize).min(figures.len() - 1)];
    Some((at(OUTSIDE / 2.0), at(1.0 - OUTSIDE / 2.0)))
}

/// A statistic of runs with its interval; `values` is not empty.
pub fn estimate(values: &[f64], statistic: fn(&[f64]) -> f64, stream: &mut Stream) -> Estimate {
    let value = statistic(values);
    let ends = (values.len() > 1)
        .then(|| middle((0..RESAMPLES).map(|_| statistic(&resampled(values, stream))).collect()))
        .flatten();
    Estimate { value, low: ends.map(|ends| ends.0), high: ends.map(|ends| ends.1) }
}

/// How much the median of `new` lies above that of `base`, as a share of the latter; none when that
/// is 0. The interval is none when either is a single run.
pub fn change(base: &[f64], new: &[f64], stream: &mut Stream) -> Option<Estimate> {
    let ratio = |base: f64, new: f64| (base != 0.0).then(|| (new - base) / base.abs()).filter(|r| r.is_finite());
    let value = ratio(median(base), median(new))?;
    let ends = (base.len() > 1 && new.len() > 1)
        .then(|| {
            let one = |_| ratio(median(&resampled(base, stream)), median(&resampled(new, stream)));
            middle((0..RESAMPLES).filter_map(one).collect())
        })
        .flatten();
    Some(Estimate { value, low: ends.map(|ends| ends.0), high: ends.map(|ends| ends.1) })
}

/// In how many ways so many runs are divided into two groups of these sizes.
fn divisions(a: usize, b: usize) -> u64 {
    (1..=a.min(b) as u64).fold(1u64, |ways, i| ways.saturating_mul((a + b) as u64 + 1 - i) / i)
}

/// Whether groups of these sizes can differ at all at 5 %: if the most extreme division and its
/// mirror are rarer than that.
pub fn enough(base: usize, new: usize) -> bool {
    divisions(base, new) as f64 * OUTSIDE >= 2.0
}

/// How often a division of the same runs by chance is at least as extreme as this one, in the sum of
/// the ranks of the first group, two-sided. All divisions are tried where they are few, else as many
/// as [`MOST_DIVISIONS`] at random.
pub fn rank_test(base: &[f64], new: &[f64], stream: &mut Stream) -> f64 {
    let ranks = ranks(base, new);
    let (n, all) = (base.len(), ranks.len());
    let expected = ranks.iter().sum::<f64>() * n as f64 / all as f64;
    let seen = (ranks[..n].iter().sum::<f64>() - expected).abs() - 1e-9;
    let extreme = |sum: f64| (sum - expected).abs() >= seen;
    if divisions(n, all - n) <= MOST_DIVISIONS {
        let (mut found, mut tried) = (0u64, 0u64);
        each_sum(&ranks, n, 0.0, &mut |sum| {
            tried += 1;
            found += u64::from(extreme(sum));
        });
        return found as f64 / tried as f64;
    }
    let mut shuffled = ranks;
    let mut found = 1u64;
    for _ in 0..MOST_DIVISIONS {
        for i in 0..n {
            let other = i as u64 + stream.below((all - i) as u64);
            shuffled.swap(i, other as usize);
        }
        found += u64::from(extreme(shuffled[..n].iter().sum()));
    }
    found as f64 / (MOST_DIVISIONS + 1) as f64
}

/// The ranks of both groups together, those of equal values shared.
fn ranks(base: &[f64], new: &[f64]) -> Vec<f64> {
    let all: Vec<f64> = base.iter().chain(new).copied().collect();
    let rank = |value: f64| {
        let below = all.iter().filter(|other| other.total_cmp(&value).is_lt()).count();
        let equal = all.iter().filter(|other| other.total_cmp(&value).is_eq()).count();
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    all.iter().map(|value| rank(*value)).collect()
}

/// The sums of all choices of `n` of the ranks.
fn each_sum(ranks: &[f64], n: usize, sum: f64, take: &mut impl FnMut(f64)) {
    if n == 0 {
        return take(sum);
    }
    for at in 0..=ranks.len() - n {
        each_sum(&ranks[at + 1..], n - 1, sum + ranks[at], take);
    }
}

/// The stream for a metric, so that another metric does not shift it.
pub fn stream(metric: &str) -> Stream {
    let name = metric.bytes().fold(0u64, |hash, byte| hash.wrapping_mul(131).wrapping_add(u64::from(byte)));
    Seed(42).stream("compare", name, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_runs_each_can_differ_and_three_cannot() {
        assert_eq!((divisions(3, 3), divisions(4, 4), divisions(5, 3)), (20, 70, 56));
        assert!(enough(4, 4) && enough(5, 3) && !enough(3, 3) && !enough(1, 1) && !enough(0, 9));
    }

    #[test]
    fn the_rank_test_agrees_with_the_tables() {
        let mut stream = stream("x");
        // Four below four others: 2 of 70 divisions.
        let p = rank_test(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], &mut stream);
        assert!((p - 2.0 / 70.0).abs() < 1e-12, "{p}");
        assert_eq!(rank_test(&[1.0, 1.0], &[1.0, 1.0, 1.0], &mut stream), 1.0);
        // U = 2 of 5 and 5: p = 0.0317 (Mann and Whitney's table, two-sided).
        let p = rank_test(&[1.0, 2.0, 3.0, 4.0, 7.0], &[5.0, 6.0, 8.0, 9.0, 10.0], &mut stream);
        assert!((p - 8.0 / 252.0).abs() < 1e-12, "{p}");
    }

    #[test]
    fn intervals_hold_their_figure_and_repeat() {
        let values = [9.0, 10.0, 10.5, 11.0, 12.0];
        let a = estimate(&values, median, &mut stream("m"));
        assert_eq!(a, estimate(&values, median, &mut stream("m")));
        assert!(a.low.unwrap() <= a.value && a.value <= a.high.unwrap() && a.low >= Some(9.0) && a.high <= Some(12.0));
        assert_eq!(estimate(&[3.0], mean, &mut stream("m")), Estimate { value: 3.0, low: None, high: None });
        let none = change(&[0.0, 0.0], &[1.0, 2.0], &mut stream("m"));
        assert_eq!(none, None);
    }

    /// Two groups of the same kind must not differ more often than one in twenty.
    #[test]
    fn the_same_twice_rarely_differs() {
        let mut draws = Seed(7).stream("same", 0, 0);
        let mut found = 0;
        for _ in 0..300 {
            let mut group = || (0..5).map(|_| 10.0 + draws.exponential(1.0)).collect::<Vec<_>>();
            let (a, b) = (group(), group());
            found += u32::from(rank_test(&a, &b, &mut stream("x")) <= OUTSIDE);
        }
        assert!(found <= 20, "{found} of 300");
    }
}
