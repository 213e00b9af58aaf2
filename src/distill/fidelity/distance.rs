//! Distances between histograms, as distributions: both are scaled to one, and the values of a
//! bucket lie evenly between its bounds.

use crate::measure::Histogram;

/// The cumulative share of a histogram, as the corners of a line: `(value, share below)`.
#[derive(Clone, Debug)]
struct Cumulative(Vec<(f64, f64)>);

impl Cumulative {
    fn of(histogram: &Histogram) -> Option<Self> {
        let total: u64 = histogram.buckets.iter().map(|bucket| bucket.2).sum();
        if total == 0 {
            return None;
        }
        let mut corners = Vec::with_capacity(histogram.buckets.len() * 2);
        let mut below = 0u64;
        for &(low, high, count) in &histogram.buckets {
            // A bucket of one value is a step.
            let high = if high - low <= 1 { low } else { high };
            corners.push((low as f64, below as f64 / total as f64));
            below += count;
            corners.push((high as f64, below as f64 / total as f64));
        }
        Some(Self(corners))
    }

    /// The share at or below `value` if `after`, else below it.
    fn at(&self, value: f64, after: bool) -> f64 {
        let reached = self.0.partition_point(|corner| if after { corner.0 <= value } else { corner.0 < value });
        let Some(&(x1, y1)) = self.0.get(reached) else { return 1.0 };
        let Some(&(x0, y0)) = reached.checked_sub(1).and_then(|before| self.0.get(before)) else { return 0.0 };
        if x1 > x0 { y0 + (y1 - y0) * (value - x0) / (x1 - x0) } else { y0 }
    }
}

/// The values at which either line bends.
fn bends(a: &Cumulative, b: &Cumulative) -> Vec<f64> {
    let mut all: Vec<f64> = a.0.iter().chain(&b.0).map(|corner| corner.0).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// The 1-Wasserstein distance, in the histograms' unit: how far a value has to move on average to
/// turn one distribution into the other, which in one dimension is the area between the cumulative
/// shares (Vallender 1974). None when either is empty.
pub fn wasserstein(a: &Histogram, b: &Histogram) -> Option<f64> {
    let (a, b) = (Cumulative::of(a)?, Cumulative::of(b)?);
    let area = |pair: &[f64]| {
        let (x0, x1) = (pair[0], pair[1]);
        let (d0, d1) = (a.at(x0, true) - b.at(x0, true), a.at(x1, false) - b.at(x1, false));
        let width = x1 - x0;
        if d0 * d1 < 0.0 {
            // The lines cross: two triangles.
            width * (d0 * d0 + d1 * d1) / (2.0 * (d0.abs() + d1.abs()))
        } else {
            width * (d0.abs() + d1.abs()) / 2.0
        }
    };
    Some(bends(&a, &b).windows(2).map(area).sum())
}

/// The Kolmogorov-Smirnov distance: the largest difference of the cumulative shares, 0 to 1. None
/// when either is empty.
pub fn kolmogorov_smirnov(a: &Histogram, b: &Histogram) -> Option<f64> {
    let (a, b) = (Cumulative::of(a)?, Cumulative::of(b)?);
    let differs = |value: f64| {
        [true, false].into_iter().map(|after| (a.at(value, after) - b.at(value, after)).abs()).fold(0.0, f64::max)
    };
    Some(bends(&a, &b).into_iter().map(differs).fold(0.0, f64::max))
}

/// The difference relative to the original; none when the original is 0 and the other is not.
pub fn relative(original: f64, other: f64) -> Option<f64> {
    if original == other {
        return Some(0.0);
    }
    (original != 0.0).then(|| ((other - original) / original).abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(values: &[(i64, u64)]) -> Histogram {
        let mut values = values.to_vec();
        values.sort_unstable();
        Histogram {
            count: values.iter().map(|v| v.1).sum(),
            buckets: values.into_iter().map(|(value, count)| (value, value + 1, count)).collect(),
            ..Histogram::default()
        }
    }

    #[test]
    fn moving_everything_by_ten_is_a_distance_of_ten() {
        let (a, b) = (exact(&[(100, 3), (200, 1)]), exact(&[(110, 3), (210, 1)]));
        assert!((wasserstein(&a, &b).unwrap() - 10.0).abs() < 1e-9);
        assert!((kolmogorov_smirnov(&a, &b).unwrap() - 0.75).abs() < 1e-9);
        assert_eq!(wasserstein(&a, &exact(&[])), None);
    }

    #[test]
    fn the_number_of_values_does_not_matter() {
        let (a, b) = (exact(&[(4096, 10), (65_536, 30)]), exact(&[(4096, 1000), (65_536, 3000)]));
        assert_eq!((wasserstein(&a, &b), kolmogorov_smirnov(&a, &b)), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn wide_buckets_hold_their_values_evenly() {
        let wide = |low, high| Histogram { count: 1, buckets: vec![(low, high, 1)], ..Histogram::default() };
        assert!((wasserstein(&wide(0, 100), &wide(50, 150)).unwrap() - 50.0).abs() < 1e-9);
        assert!((wasserstein(&wide(0, 100), &exact(&[(50, 1)])).unwrap() - 25.0).abs() < 1e-9);
        assert!((kolmogorov_smirnov(&wide(0, 100), &exact(&[(50, 1)])).unwrap() - 0.5).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn it_is_a_metric_and_agrees_with_moving_sorted_values(
            mut a in prop::collection::vec(0i64..1000, 1..40),
            shifts in prop::collection::vec(-50i64..50, 40),
        ) {
            let mut b: Vec<i64> = a.iter().zip(&shifts).map(|(v, s)| v + 100 + s).collect();
            let histogram = |values: &[i64]| {
                let mut counts = std::collections::BTreeMap::new();
                values.iter().for_each(|v| *counts.entry(*v).or_insert(0u64) += 1);
                exact(&counts.into_iter().collect::<Vec<_>>())
            };
            let (x, y) = (histogram(&a), histogram(&b));
            a.sort_unstable();
            b.sort_unstable();
            let moved = a.iter().zip(&b).map(|(a, b)| (a - b).abs() as f64).sum::<f64>() / a.len() as f64;
            let distance = wasserstein(&x, &y).unwrap();
            prop_assert!((distance - moved).abs() < 1e-6 * (1.0 + moved), "{} for {}", distance, moved);
            prop_assert!((distance - wasserstein(&y, &x).unwrap()).abs() < 1e-9);
            let ks = kolmogorov_smirnov(&x, &y).unwrap();
            prop_assert!((0.0..=1.0 + 1e-12).contains(&ks));
            prop_assert!(wasserstein(&x, &x).unwrap() < 1e-9);
        }
    }
}
