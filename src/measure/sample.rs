//! What a sample can say of a quantile.

use super::histogram::Histogram;

/// How sure it must be that a sample reaches beyond a quantile.
const CONFIDENCE: f64 = 0.95;

/// The smallest sample that carries a quantile `q`: its largest value lies beyond the quantile
/// with 95 % confidence, `1 - q^n >= 0.95` (Wilks, "Determination of sample sizes for setting
/// tolerance limits", 1941). 59 for P95, 299 for P99, 2,995 for P99.9, 29,956 for P99.99.
pub fn least_sample(q: f64) -> u64 {
    ((1.0 - CONFIDENCE).ln() / q.clamp(1e-9, 1.0 - 1e-12).ln()).ceil() as u64
}

/// `P99.9` of 0.999.
pub fn quantile_name(q: f64) -> String {
    let percent = format!("{:.4}", q * 100.0);
    format!("P{}", percent.trim_end_matches('0').trim_end_matches('.'))
}

impl Histogram {
    /// The quantile, when there are enough values to carry it.
    pub fn carried(&self, q: f64) -> Option<f64> {
        if self.count >= least_sample(q) { self.quantile(q) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    #[test]
    fn the_smallest_samples_are_wilks() {
        assert_eq!([0.95, 0.99, 0.999, 0.9999].map(least_sample), [59, 299, 2995, 29_956]);
        assert_eq!([0.95, 0.999, 0.9999, 0.5].map(quantile_name), ["P95", "P99.9", "P99.99", "P50"]);
    }

    #[test]
    fn a_quantile_that_is_not_carried_is_none() {
        let mut counter = LogLinear::times();
        (1..=500).for_each(|value| counter.record(value));
        let saved = counter.save("x", None, "ns");
        assert_eq!((saved.carried(0.99).is_some(), saved.carried(0.999)), (true, None));
    }
}
