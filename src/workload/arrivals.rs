//! Arrivals at a rate, one after another: how evenly they come is their coefficient of variation.

use crate::seed::{Purpose, Seed, Stream};
use crate::units::SECOND_NS;

const GAP: Purpose = Purpose::new("arrival gap");

/// How often requests arrive, and how evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArrivalRate {
    /// Arrivals a second, above 0.
    pub per_second: f64,
    /// The standard deviation of the gaps over their mean: 1 is a Poisson process, 0 is evenly
    /// spaced, above 1 comes in bursts. Gaps other than these two are gamma distributed.
    pub cv: f64,
}

/// The stamps of arrivals. The n-th gap has a stream of its own.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    seed: Seed,
    mean_gap_ns: f64,
    cv: f64,
    ordinal: u64,
    at_ns: u64,
}

impl Arrivals {
    /// Arrivals at a rate.
    pub fn new(seed: Seed, rate: ArrivalRate) -> Self {
        Self { seed, mean_gap_ns: SECOND_NS as f64 / rate.per_second, cv: rate.cv, ordinal: 0, at_ns: 0 }
    }

    /// The ordinal and the stamp of the next arrival.
    pub fn next(&mut self) -> (u64, u64) {
        let ordinal = self.ordinal;
        self.ordinal += 1;
        self.at_ns = if self.cv == 0.0 {
            // From the ordinal, so that the fractions of a nanosecond do not add up.
            (self.ordinal as f64 * self.mean_gap_ns) as u64
        } else {
            self.at_ns.saturating_add(self.gap_ns(ordinal) as u64)
        };
        (ordinal, self.at_ns)
    }

    fn gap_ns(&self, ordinal: u64) -> f64 {
        let mut stream = self.seed.stream(GAP, 0, ordinal);
        if self.cv == 1.0 {
            return stream.exponential(self.mean_gap_ns);
        }
        let shape = 1.0 / (self.cv * self.cv);
        gamma(&mut stream, shape) * (self.mean_gap_ns / shape)
    }
}

/// A gamma draw of scale 1 (Marsaglia and Tsang, "A simple method for generating gamma variables",
/// ACM TOMS 26, 2000; below shape 1 by their section 6).
fn gamma(stream: &mut Stream, shape: f64) -> f64 {
    if shape < 1.0 {
        let larger = gamma(stream, shape + 1.0);
        return larger * libm::pow(1.0 - stream.unit(), 1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(stream);
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        let u = 1.0 - stream.unit();
        if libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// A standard normal draw (Box and Muller, "A note on the generation of random normal deviates",
/// Annals of Mathematical Statistics 29, 1958), of which the second one is not kept.
fn normal(stream: &mut Stream) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - stream.unit()));
    radius * libm::cos(std::f64::consts::TAU * stream.unit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Mean and coefficient of variation of the gaps, in units of the mean gap.
    fn gaps(seed: u64, cv: f64, count: usize) -> (f64, f64) {
        let mut arrivals = Arrivals::new(Seed(seed), ArrivalRate { per_second: 50.0, cv });
        let stamps: Vec<u64> = std::iter::once(0).chain((0..count).map(|_| arrivals.next().1)).collect();
        let gaps: Vec<f64> = stamps.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 2e7).collect();
        let mean = gaps.iter().sum::<f64>() / count as f64;
        let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / count as f64;
        (mean, variance.sqrt() / mean)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn they_keep_their_rate_and_their_unevenness(seed in 0u64..1_000, cv in 0.05f64..2.5) {
            let (mean, measured) = gaps(seed, cv, 40_000);
            // Four standard errors of the mean; the estimate of the CV is noisier the larger it is.
            prop_assert!((mean - 1.0).abs() < 0.02 * cv + 1e-6, "mean {mean} at cv {cv}");
            prop_assert!((measured / cv - 1.0).abs() < 0.03 + 0.06 * cv, "cv {measured} for {cv}");
        }
    }

    #[test]
    fn a_cv_of_one_is_a_poisson_process() {
        let (mean, cv) = gaps(1, 1.0, 40_000);
        assert!((mean - 1.0).abs() < 0.02 && (cv - 1.0).abs() < 0.03, "{mean} {cv}");
    }

    #[test]
    fn a_cv_of_zero_is_a_clock_that_does_not_drift() {
        let mut arrivals = Arrivals::new(Seed(1), ArrivalRate { per_second: 3.0, cv: 0.0 });
        let stamps: Vec<u64> = (0..3_000_000).map(|_| arrivals.next().1).collect();
        assert_eq!(stamps[..3], [333_333_333, 666_666_666, 1_000_000_000]);
        assert_eq!(stamps[2_999_999], 1_000_000 * SECOND_NS);
    }

    #[test]
    fn the_first_gaps_never_change() {
        let first = |cv| Arrivals::new(Seed(42), ArrivalRate { per_second: 1.0, cv }).next().1;
        assert_eq!([first(0.5), first(1.0), first(2.0)], GOLDEN);
    }
    const GOLDEN: [u64; 3] = [1_543_519_356, 653_157_179, 1_389_552_602];
}
