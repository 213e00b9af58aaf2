//! What each reference needs: the smallest LRU cache that holds its block, behind a filter that
//! admits a block from its n-th touch on. All hits and writes of all capacities follow from it.

use super::curve::Semantics;
use super::policies::Counts;
use super::references::References;
use super::stack::Stack;

/// No cache is large enough: the block is new, or was not admitted yet.
pub const NEVER: u32 = u32::MAX;

/// For each reference the smallest LRU cache, in blocks, that holds its block.
///
/// A filter that admits a block from its n-th touch on, and remembers touches for ever, keeps LRU a
/// stack algorithm: a block that is not admitted cannot be there, so that the cache sees exactly
/// the references from the n-th touch on, and one pass over those gives every capacity (Mattson
/// and others, "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2), 1970).
#[derive(Clone, Debug)]
pub struct Needs {
    needs: Vec<u32>,
    /// References whose block is admitted: those that are written unless they are there.
    admitted: u64,
}

impl Needs {
    /// One pass over the references; `admit` is 1 for a cache that takes everything.
    pub fn of(references: &References, semantics: Semantics, admit: u32) -> Self {
        let mut stack = Stack::new(references.blocks.len(), references.distinct);
        let mut touches = vec![0u32; references.distinct as usize];
        let (mut needs, mut admitted) = (Vec::with_capacity(references.blocks.len()), 0);
        for range in references.ranges() {
            let blocks = &references.blocks[range];
            for block in blocks {
                let touched = &mut touches[*block as usize];
                *touched = touched.saturating_add(1);
                let taken = *touched >= admit;
                admitted += u64::from(taken);
                let used_now = taken && semantics != Semantics::TailFirst;
                let distance = if used_now { stack.refer(*block) } else { stack.distance(*block) };
                needs.push(if distance == 0 { NEVER } else { distance });
            }
            if semantics == Semantics::TailFirst {
                let taken = blocks.iter().rev().filter(|block| touches[**block as usize] >= admit);
                taken.for_each(|block| {
                    stack.refer(*block);
                });
            }
        }
        Self { needs, admitted }
    }

    /// What one reference needs; [`NEVER`] when nothing is enough.
    pub fn at(&self, reference: usize) -> u32 {
        self.needs[reference]
    }

    /// References whose block is admitted.
    pub fn admitted(&self) -> u64 {
        self.admitted
    }

    /// The hits of every capacity.
    pub fn hits(&self, references: &References) -> HitCurve {
        HitCurve::of(references, |at| self.needs[at])
    }

    /// The hits of every capacity behind an LRU cache of `dram` blocks that takes everything:
    /// a block is found when it lies in either.
    pub fn hits_behind(&self, references: &References, everything: &Needs, dram: u32) -> HitCurve {
        HitCurve::of(references, |at| if everything.needs[at] <= dram { 0 } else { self.needs[at] })
    }
}

/// The hits of every capacity.
#[derive(Clone, Debug)]
pub struct HitCurve {
    /// What the cache of each capacity hits, from none on.
    sums: Vec<Counts>,
}

impl HitCurve {
    /// From the need of each reference.
    pub fn of(references: &References, need: impl Fn(usize) -> u32) -> Self {
        let mut sums = vec![Counts::default(); references.distinct as usize + 1];
        for range in references.ranges() {
            let prompt = references.tokens[range.clone()].iter().map(|t| u64::from(*t)).sum::<u64>().max(1) as f64;
            let (first, mut deepest) = (range.start, 0);
            for at in range {
                let own = need(at);
                deepest = deepest.max(own);
                if own != NEVER {
                    sums[own as usize].any_blocks += 1;
                    sums[own as usize].requests_with_hits += u64::from(at == first);
                }
                if deepest != NEVER {
                    let step = &mut sums[deepest as usize];
                    step.prefix_blocks += 1;
                    step.prefix_tokens += u64::from(references.tokens[at]);
                    step.prefix_shares += f64::from(references.tokens[at]) / prompt;
                }
            }
        }
        let mut sum = Counts::default();
        for step in &mut sums {
            sum.any_blocks += step.any_blocks;
            sum.prefix_blocks += step.prefix_blocks;
            sum.prefix_tokens += step.prefix_tokens;
            sum.prefix_shares += step.prefix_shares;
            sum.requests_with_hits += step.requests_with_hits;
            *step = sum;
        }
        Self { sums }
    }

    /// The hits of a capacity.
    pub fn at(&self, capacity: u32) -> Counts {
        self.sums[(capacity as usize).min(self.sums.len() - 1)]
    }

    /// The hits of a cache without end.
    pub fn ceiling(&self) -> Counts {
        self.at(NEVER)
    }

    /// The smallest capacity whose hits are enough; none when not even the largest is. What is
    /// enough for a capacity is enough for all above it.
    pub fn smallest(&self, enough: impl Fn(&Counts) -> bool) -> Option<u32> {
        let at = self.sums.partition_point(|counts| !enough(counts));
        (at < self.sums.len()).then_some(at as u32)
    }

    /// The capacities at which the most blocks become prefix hits at once, at most `most` of them.
    pub fn knees(&self, most: usize) -> Vec<u32> {
        let gains = self.sums.windows(2).zip(1u32..);
        let mut gains: Vec<(u64, u32)> =
            gains.map(|(pair, capacity)| (pair[1].prefix_blocks - pair[0].prefix_blocks, capacity)).collect();
        gains.retain(|(gain, _)| *gain > 0);
        gains.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        gains.truncate(most);
        gains.into_iter().map(|(_, capacity)| capacity).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::curve::{Eviction, counts_at};
    use crate::analyze::references::samples;
    use crate::stop::Stop;

    /// An LRU cache of a vector behind a filter; the leading hits of every request, any hits, writes.
    fn plain(references: &References, capacity: usize, admit: u32) -> (u64, u64, u64) {
        let (mut cache, mut touches) = (Vec::new(), vec![0; references.distinct as usize]);
        let (mut prefix, mut any, mut writes) = (0, 0, 0);
        for range in references.ranges() {
            let mut unbroken = true;
            for block in &references.blocks[range] {
                touches[*block as usize] += 1;
                let place = cache.iter().position(|other| other == block);
                unbroken &= place.is_some();
                prefix += u64::from(unbroken);
                any += u64::from(place.is_some());
                if let Some(place) = place {
                    cache.remove(place);
                } else if touches[*block as usize] >= admit {
                    writes += 1;
                } else {
                    continue;
                }
                cache.insert(0, *block);
                cache.truncate(capacity);
            }
        }
        (prefix, any, writes)
    }

    proptest! {
        #[test]
        fn a_filter_before_a_cache_is_one_pass(
            blocks in prop::collection::vec(0u32..12, 1..200), admit in 1u32..4, capacity in 1u32..14
        ) {
            let references = samples::of(&blocks.chunks(3).collect::<Vec<_>>());
            let needs = Needs::of(&references, Semantics::Prefix, admit);
            let counts = needs.hits(&references).at(capacity);
            let (prefix, any, writes) = plain(&references, capacity as usize, admit);
            prop_assert_eq!((counts.prefix_blocks, counts.any_blocks), (prefix, any));
            prop_assert_eq!(needs.admitted() - counts.any_blocks, writes);
        }

        #[test]
        fn without_a_filter_it_is_the_curve(blocks in prop::collection::vec(0u32..12, 1..200)) {
            let references = samples::of(&blocks.chunks(4).collect::<Vec<_>>());
            let capacities: Vec<u32> = (1..14).collect();
            for semantics in [Semantics::Prefix, Semantics::TailFirst] {
                let curve = counts_at(&references, Eviction::Lru, semantics, &capacities, &Stop::new()).unwrap();
                let own = Needs::of(&references, semantics, 1).hits(&references);
                for (a, capacity) in curve.iter().zip(&capacities) {
                    let b = own.at(*capacity);
                    prop_assert_eq!((a.any_blocks, a.prefix_blocks), (b.any_blocks, b.prefix_blocks));
                    prop_assert_eq!(a.prefix_tokens, b.prefix_tokens);
                    prop_assert_eq!(a.requests_with_hits, b.requests_with_hits);
                    prop_assert!((a.prefix_shares - b.prefix_shares).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn knees_are_where_the_most_become_hits() {
        let references = samples::of(&[&[0, 1, 2], &[0, 1, 2], &[3], &[3]]);
        let hits = Needs::of(&references, Semantics::Prefix, 1).hits(&references);
        assert_eq!(hits.knees(1), [3]);
        assert_eq!(hits.knees(9), [3, 1]);
    }
}
