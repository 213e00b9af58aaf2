//! The time to the first token, as a model without queues: what is found is loaded from the tier it
//! lies in, what is not is computed.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::analyze::references::References;
use crate::serve::TierTiming;
use crate::units::{SECOND_NS, Time};

/// How fast a tier is read by one request alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TierRate {
    /// Before the first byte, s.
    pub latency_s: f64,
    /// Bytes a second.
    pub bytes_per_s: f64,
}

impl From<TierTiming> for TierRate {
    /// All channels together, and behind its network the slower of both.
    fn from(tier: TierTiming) -> Self {
        let network = tier.network.map_or((0, u64::MAX), |network| (network.latency_ns, network.bytes_per_s));
        Self {
            latency_s: (tier.latency_ns + network.0) as f64 / SECOND_NS as f64,
            bytes_per_s: tier.read_bytes_per_s.min(network.1) as f64,
        }
    }
}

impl TierRate {
    /// Loading so many bytes, s; nothing takes no time.
    fn load_s(&self, bytes: f64) -> f64 {
        if bytes > 0.0 { self.latency_s + bytes / self.bytes_per_s } else { 0.0 }
    }
}

/// Where a block lies when its prompt is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In DRAM.
    Dram,
    /// On NVMe.
    Nvme,
    /// Nowhere.
    Missing,
}

/// What loading and computing take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// DRAM and NVMe.
    pub tiers: [TierRate; 2],
    /// Tokens computed in a second.
    pub prefill_tokens_per_s: f64,
    /// Bytes of a token.
    pub bytes_per_token: f64,
}

/// The times of all requests, s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ttft {
    /// Their mean.
    pub mean_s: f64,
    /// Half are not longer.
    pub p50_s: f64,
    /// 90 % are not longer.
    pub p90_s: f64,
    /// 95 % are not longer.
    pub p95_s: f64,
    /// 99 % are not longer.
    pub p99_s: f64,
}

impl Ttft {
    /// For blocks that lie where `place` says: `latency + bytes / bandwidth` of each tier that
    /// holds a part of the prefix, and `tokens / rate` of what is behind it.
    pub fn of(references: &References, rates: &Rates, place: impl Fn(usize) -> Place) -> Self {
        let mut times: Vec<f64> = references
            .ranges()
            .map(|range| {
                let (mut tokens, mut unbroken) = ([0u64; 3], true);
                for at in range {
                    let found = place(at);
                    unbroken &= found != Place::Missing;
                    let held = if unbroken { found } else { Place::Missing };
                    tokens[held as usize] += u64::from(references.tokens[at]);
                }
                let load = |tier: usize| rates.tiers[tier].load_s(tokens[tier] as f64 * rates.bytes_per_token);
                load(0) + load(1) + tokens[2] as f64 / rates.prefill_tokens_per_s
            })
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        let rank = |share: f64| times.get(((share * times.len() as f64).ceil() as usize).max(1) - 1).copied();
        let [p50_s, p90_s, p95_s, p99_s] = [0.5, 0.9, 0.95, 0.99].map(|share| rank(share).unwrap_or_default());
        Self { mean_s: times.iter().sum::<f64>() / times.len().max(1) as f64, p50_s, p90_s, p95_s, p99_s }
    }

    /// The figure that a target is of.
    pub fn figure(&self, of: Figure) -> f64 {
        match of {
            Figure::Mean => self.mean_s,
            Figure::P50 => self.p50_s,
            Figure::P90 => self.p90_s,
            Figure::P95 => self.p95_s,
            Figure::P99 => self.p99_s,
        }
    }
}

/// Which figure of all times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Figure {
    /// The mean.
    Mean,
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 95th percentile.
    P95,
    /// The 99th percentile.
    P99,
}

impl Figure {
    const ALL: [(Figure, &'static str); 5] = [
        (Figure::Mean, "mean"),
        (Figure::P50, "p50"),
        (Figure::P90, "p90"),
        (Figure::P95, "p95"),
        (Figure::P99, "p99"),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(figure, _)| *figure == self).map_or("", |(_, word)| word)
    }
}

/// A bound of the time to the first token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TtftTarget {
    /// At most, s.
    pub at_most_s: f64,
    /// Of which figure.
    pub of: Figure,
}

impl FromStr for TtftTarget {
    type Err = String;

    /// Takes `2s@p95`; without a figure p95 is meant.
    fn from_str(text: &str) -> Result<Self, String> {
        let (time, figure) = text.split_once('@').unwrap_or((text, "p95"));
        let known = || Figure::ALL.map(|(_, word)| word).join(", ");
        let of = Figure::ALL.iter().find(|(_, word)| *word == figure);
        let of = of.ok_or_else(|| format!("`@{figure}` is not a figure; a bound is written 2s@p95, of {}", known()))?.0;
        match time.parse::<Time>()?.0 {
            0 => Err("a bound is above 0".to_owned()),
            ns => Ok(Self { at_most_s: ns as f64 / SECOND_NS as f64, of }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::references::samples;

    #[test]
    fn what_is_found_is_loaded_and_what_is_behind_a_gap_is_computed() {
        // Blocks of 10 tokens: one in DRAM, one on NVMe, a gap, and one behind it.
        let references = samples::of(&[&[0, 1, 2, 3]]);
        let rates = Rates {
            tiers: [TierRate { latency_s: 0.5, bytes_per_s: 100.0 }, TierRate { latency_s: 2.0, bytes_per_s: 10.0 }],
            prefill_tokens_per_s: 5.0,
            bytes_per_token: 3.0,
        };
        let places = [Place::Dram, Place::Nvme, Place::Missing, Place::Dram];
        let found = Ttft::of(&references, &rates, |at| places[at]);
        let expected = (0.5 + 30.0 / 100.0) + (2.0 + 30.0 / 10.0) + 20.0 / 5.0;
        assert!((found.mean_s - expected).abs() < 1e-12 && found.p50_s == found.p99_s);
    }

    #[test]
    fn bounds_as_people_write_them() {
        assert_eq!("2s@p95".parse(), Ok(TtftTarget { at_most_s: 2.0, of: Figure::P95 }));
        assert_eq!("250ms@mean".parse(), Ok(TtftTarget { at_most_s: 0.25, of: Figure::Mean }));
        for wrong in ["2", "2s@p42", "0s", "@p95"] {
            assert!(wrong.parse::<TtftTarget>().is_err(), "{wrong}");
        }
    }
}
