//! Hit ratios from a sample of blocks: SHARDS (Waldspurger and others, "Efficient MRC construction
//! with SHARDS", FAST 2015) at a fixed rate. A block is in the sample or not by a hash of it, so
//! that all references to it are; a stack distance within the sample is the rate times that among
//! all blocks.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::seed::mix;

use super::curve::{LruCurve, Semantics};
use super::references::References;

/// Parts of the sample of which each gives an estimate of its own.
const PARTS: u32 = 8;
/// The 97.5 % quantile of Student's t with 7 degrees of freedom.
const T_95: f64 = 2.365;
/// Hashes are compared by this many bits: the `P` of the paper.
const HASH_BITS: u32 = 24;
/// With fewer blocks, an estimate is not worth its name.
const FEWEST_BLOCKS: u32 = 100;

/// A sampled curve.
#[derive(Clone, Debug)]
pub struct Sampled {
    rate: f64,
    whole: Part,
    parts: Vec<Part>,
    /// Blocks in the sample.
    pub blocks: u64,
    /// References in the sample.
    pub references: u64,
    /// The share of all references that are in the sample, over the rate: how uneven the sample is.
    pub weight: f64,
}

/// A sample.
#[derive(Clone, Debug)]
struct Part {
    curve: LruCurve,
    rate: f64,
    /// References that count: those after the warm-up, of all blocks.
    all: f64,
    /// Those in the sample.
    sampled: f64,
}

/// A hit ratio and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The hit ratio.
    pub ratio: f64,
    /// Half the width of its 95 % confidence interval, from eight disjoint parts of the sample; of a
    /// capacity that they do not resolve, with the size of the adjustment.
    pub error: f64,
}

impl Sampled {
    /// One pass over a sample of the blocks.
    ///
    /// # Errors
    /// A rate outside of 0 to 1, or so small that hardly a block is left.
    pub fn of(references: &References, semantics: Semantics, rate: f64, warmup: usize) -> Result<Self> {
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(Error::usage(format!("--sample {rate}: give a share of the blocks above 0, up to 1")));
        }
        let threshold = ((rate * f64::from(1u32 << HASH_BITS)).round() as u32).max(1);
        let rate = f64::from(threshold) / f64::from(1u32 << HASH_BITS);
        let all = (references.blocks.len() - references.start_after(warmup)) as f64;
        let part = |sample: &References, rate: f64| Part {
            curve: LruCurve::after(sample, semantics, warmup),
            rate,
            all,
            sampled: (sample.blocks.len() - sample.start_after(warmup)) as f64,
        };
        let hashes: Vec<u32> = (0..references.distinct).map(hash).collect();
        let (sample, hashes) = thinned(references, &hashes, &(0..threshold));
        if sample.distinct < FEWEST_BLOCKS {
            return Err(Error::usage(format!(
                "--sample {rate}: that leaves {} of {} blocks, too few to say anything; take a larger share",
                sample.distinct, references.distinct
            )));
        }
        let bounds = |number: u32| (u64::from(threshold) * u64::from(number) / u64::from(PARTS)) as u32;
        let parts = (0..PARTS).map(|number| {
            let (sample, _) = thinned(&sample, &hashes, &(bounds(number)..bounds(number + 1)));
            part(&sample, rate / f64::from(PARTS))
        });
        let whole = part(&sample, rate);
        Ok(Self {
            rate,
            parts: parts.collect(),
            blocks: sample.distinct.into(),
            references: sample.blocks.len() as u64,
            weight: if all > 0.0 { whole.sampled / (all * rate) } else { 0.0 },
            whole,
        })
    }

    /// The share of the blocks that was sampled: what was asked for, in steps of 2^-24.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The hit ratios of one capacity after another, which ascend.
    pub fn at(&self, semantics: Semantics, capacities: &[u32]) -> Vec<Estimate> {
        let whole = self.whole.ratios(semantics, capacities);
        let parts: Vec<Vec<f64>> = self.parts.iter().map(|part| part.ratios(semantics, capacities)).collect();
        let estimate = |(at, ratio): (usize, f64)| {
            let mean = parts.iter().map(|part| part[at]).sum::<f64>() / f64::from(PARTS);
            let variance = parts.iter().map(|part| (part[at] - mean).powi(2)).sum::<f64>() / f64::from(PARTS - 1);
            // What the adjustment puts at the smallest distances may belong farther down. Capacities
            // of less than a block of each part cannot tell.
            let unresolved = f64::from(capacities[at]) * self.rate < f64::from(PARTS);
            let adjusted = if unresolved { (1.0 - self.weight).abs() } else { 0.0 };
            Estimate { ratio, error: T_95 * (variance / f64::from(PARTS)).sqrt() + adjusted }
        };
        whole.into_iter().enumerate().map(estimate).collect()
    }
}

impl Part {
    /// Ratios with the paper's adjustment (its section 4.4, SHARDS-adj): a sample with more or
    /// fewer references than its share has popular blocks too many or too few, whose distances are
    /// the smallest; the difference is put there.
    fn ratios(&self, semantics: Semantics, capacities: &[u32]) -> Vec<f64> {
        let scaled: Vec<u32> = capacities.iter().map(|c| (f64::from(*c) * self.rate).round() as u32).collect();
        let expected = self.all * self.rate;
        let missing = expected - self.sampled;
        let of = |hits: u64| if expected > 0.0 { ((hits as f64 + missing) / expected).clamp(0.0, 1.0) } else { 0.0 };
        self.curve.at(&scaled).iter().map(|counts| of(semantics.blocks(counts))).collect()
    }
}

/// Where a block is among all that could be sampled, below 2 to the [`HASH_BITS`].
fn hash(block: u32) -> u32 {
    (mix(block.into()) >> (64 - HASH_BITS)) as u32
}

/// The references to the blocks whose hash is in a range, and the hashes of these blocks.
fn thinned(references: &References, hashes: &[u32], wanted: &Range<u32>) -> (References, Vec<u32>) {
    let mut kept = Vec::new();
    let number = |hash: &u32| {
        wanted.contains(hash).then(|| {
            kept.push(*hash);
            kept.len() as u32 - 1
        })
    };
    let numbers: Vec<u32> = hashes.iter().map(number).map(|number| number.unwrap_or(u32::MAX)).collect();
    let mut thin = References { distinct: kept.len() as u32, ..References::default() };
    for range in references.ranges() {
        for (block, tokens) in references.blocks[range.clone()].iter().zip(&references.tokens[range]) {
            let number = numbers[*block as usize];
            if number != u32::MAX {
                thin.blocks.push(number);
                thin.tokens.push(*tokens);
            }
        }
        thin.ends.push(thin.blocks.len());
    }
    (thin, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    /// Requests that grow conversations, the popular more often than others.
    fn references() -> References {
        let mut draw = Seed(7).stream("sample", 0, 0);
        let mut conversations: Vec<Vec<u32>> = vec![Vec::new(); 400];
        let mut made = References::default();
        for _ in 0..12_000 {
            let skewed = draw.unit() * draw.unit();
            let conversation = &mut conversations[(skewed * 400.0) as usize];
            if conversation.len() > 24 {
                conversation.clear();
            }
            for _ in 0..=draw.below(3) {
                conversation.push(made.distinct);
                made.distinct += 1;
            }
            made.blocks.extend_from_slice(conversation);
            made.tokens.extend(conversation.iter().map(|_| 16));
            made.ends.push(made.blocks.len());
            made.arrivals_ns.push(0);
        }
        made
    }

    #[test]
    fn a_sample_is_near_the_whole_and_says_how_near() {
        let references = references();
        for (semantics, warmup) in [(Semantics::Any, 0), (Semantics::Prefix, 0), (Semantics::TailFirst, 3000)] {
            let capacities: Vec<u32> = (1..40).map(|step| step * 200).collect();
            let exact = LruCurve::after(&references, semantics, warmup).at(&capacities);
            let start = if warmup == 0 { 0 } else { references.ends[warmup - 1] };
            let total = (references.blocks.len() - start) as f64;
            let exact: Vec<f64> = exact.iter().map(|counts| semantics.blocks(counts) as f64 / total).collect();
            let sampled = Sampled::of(&references, semantics, 0.2, warmup).unwrap();
            assert!((sampled.rate() - 0.2).abs() < 1e-6 && (sampled.weight - 1.0).abs() < 0.1, "{}", sampled.weight);
            let estimates = sampled.at(semantics, &capacities);
            let off = |(exact, estimate): (&f64, &Estimate)| (exact - estimate.ratio).abs();
            let mean: f64 = exact.iter().zip(&estimates).map(off).sum::<f64>() / exact.len() as f64;
            let said: f64 = estimates.iter().map(|estimate| estimate.error).sum::<f64>() / exact.len() as f64;
            assert!(mean < 0.015, "{semantics:?}: {mean}");
            assert!((0.0005..0.05).contains(&said) && mean < 2.0 * said, "{semantics:?}: {mean} off, {said} said");
        }
    }

    #[test]
    fn a_popular_block_that_is_not_sampled_is_in_the_error() {
        let threshold = (0.1 * f64::from(1u32 << HASH_BITS)) as u32;
        let hot = (0..).find(|block| hash(*block) > threshold).unwrap();
        let mut made = References { distinct: 40_000, ..References::default() };
        for request in 0..2000 {
            made.blocks.push(hot);
            made.blocks.extend((request * 19..(request + 1) * 19).map(|block| block + 100));
            made.tokens.extend([16; 20]);
            made.ends.push(made.blocks.len());
        }
        let sampled = Sampled::of(&made, Semantics::Any, 0.1, 0).unwrap();
        for (capacity, exact) in [(1, 0.0), (10, 0.0), (25, 0.05), (1000, 0.05)] {
            let estimate = sampled.at(Semantics::Any, &[capacity])[0];
            assert!((estimate.ratio - exact).abs() <= estimate.error + 0.002, "{capacity}: {estimate:?}");
        }
    }

    #[test]
    fn a_sample_of_everything_is_exact() {
        let references = references();
        let capacities = [100, 1000, 5000];
        let exact = LruCurve::of(&references, Semantics::Prefix).at(&capacities);
        let estimates = Sampled::of(&references, Semantics::Prefix, 1.0, 0).unwrap().at(Semantics::Prefix, &capacities);
        for (exact, estimate) in exact.iter().zip(estimates) {
            assert_eq!(estimate.ratio, exact.prefix_blocks as f64 / references.blocks.len() as f64);
        }
    }

    #[test]
    fn a_sample_of_nothing_is_refused() {
        let references = references();
        for rate in [0.0, -1.0, 1.5, f64::NAN, 1e-9] {
            assert!(Sampled::of(&references, Semantics::Any, rate, 0).is_err(), "{rate}");
        }
    }
}
