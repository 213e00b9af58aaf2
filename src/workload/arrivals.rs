//! Arrivals at a rate, one after another and independent of each other (a Poisson process).

use crate::seed::{Purpose, Seed};
use crate::units::SECOND_NS;

const GAP: Purpose = Purpose::new("arrival gap");

/// The stamps of a Poisson process. The n-th gap has a stream of its own.
#[derive(Clone, Copy, Debug)]
pub struct Poisson {
    seed: Seed,
    mean_gap_ns: f64,
    ordinal: u64,
    at_ns: u64,
}

impl Poisson {
    /// Arrivals at `rate` a second, above 0.
    pub fn new(seed: Seed, rate: f64) -> Self {
        Self { seed, mean_gap_ns: SECOND_NS as f64 / rate, ordinal: 0, at_ns: 0 }
    }

    /// The ordinal and the stamp of the next arrival.
    pub fn next(&mut self) -> (u64, u64) {
        let gap = self.seed.stream(GAP, 0, self.ordinal).exponential(self.mean_gap_ns);
        self.at_ns = self.at_ns.saturating_add(gap as u64);
        self.ordinal += 1;
        (self.ordinal - 1, self.at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_keep_their_rate() {
        let mut arrivals = Poisson::new(Seed(1), 50.0);
        let (_, last) = (0..20_000).map(|_| arrivals.next()).last().unwrap();
        let rate = 20_000.0 / (last as f64 / 1e9);
        assert!((rate - 50.0).abs() < 1.5, "{rate}");
    }
}
