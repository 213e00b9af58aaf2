//! What a tier of drives is written with: a policy behind a filter, perhaps behind DRAM.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::analyze::curve::{Eviction, Semantics};
use crate::analyze::policies::{Arc, Belady, BlockCache, Counts, Fifo, Lfu, S3Fifo, Sieve};
use crate::analyze::references::References;
use crate::error::{Error, Result};
use crate::stop::Stop;

use super::recency::Recency;

/// When a block is written to the drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writing {
    /// When it is computed (inclusive tiers, as LMCache and the engine profile of record do it).
    Through,
    /// When DRAM evicts it and the drives do not have it: the copy stays when it goes up again.
    Back,
    /// Whenever DRAM evicts it: a block lies in one tier only, and goes up by moving (the
    /// reference's waterfall). LRU in both tiers.
    Exclusive,
}

impl Writing {
    /// All of them.
    pub const ALL: [Writing; 3] = [Writing::Through, Writing::Back, Writing::Exclusive];

    /// The word on the command line and in files.
    pub fn word(self) -> &'static str {
        match self {
            Writing::Through => "through",
            Writing::Back => "back",
            Writing::Exclusive => "exclusive",
        }
    }
}

impl FromStr for Writing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|writing| writing.word() == text).ok_or_else(|| {
            Error::usage(format!("`{text}` is no way of writing; use {}", Self::ALL.map(Writing::word).join(", ")))
        })
    }
}

/// Tiers whose writes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiers {
    /// What goes when the drives are full.
    pub policy: Eviction,
    /// Blocks of the drives; none for drives without end.
    pub capacity: Option<u32>,
    /// Blocks of DRAM, LRU, which takes everything.
    pub dram: u32,
    /// When a block is written.
    pub writing: Writing,
    /// Only blocks that were touched so often, over all of the trace, are written; 1 writes all.
    pub admit: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Hits in either tier.
    pub counts: Counts,
    /// Blocks that were written to the drives.
    pub writes: u64,
}

impl Tiers {
    fn check(&self, semantics: Semantics) -> Result<()> {
        if self.writing == Writing::Exclusive && self.policy != Eviction::Lru {
            return Err(Error::usage(format!(
                "--policy {} with --writes exclusive: exclusive tiers are modelled with lru only; use --writes back",
                self.policy
            )));
        }
        if self.policy == Eviction::Belady && semantics == Semantics::TailFirst {
            return Err(Error::usage("--policy belady needs --semantics prefix or any here"));
        }
        Ok(())
    }

    fn outcome(&self, references: &References, semantics: Semantics, next_uses: &[u32]) -> Outcome {
        let distinct = references.distinct;
        let capacity = self.capacity.unwrap_or(distinct).max(1);
        let run = Run::new(self, references);
        match (self.writing, self.policy) {
            (Writing::Exclusive, _) => run.exclusive(Recency::new(capacity, distinct), semantics),
            (_, Eviction::Lru) => run.copies(Recency::new(capacity, distinct), semantics),
            (_, Eviction::Fifo) => run.copies(Fifo::new(capacity, distinct), semantics),
            (_, Eviction::Lfu) => run.copies(Lfu::new(capacity, distinct), semantics),
            (_, Eviction::Sieve) => run.copies(Sieve::new(capacity, distinct), semantics),
            (_, Eviction::S3Fifo) => run.copies(S3Fifo::new(capacity, distinct), semantics),
            (_, Eviction::Arc) => run.copies(Arc::new(capacity, distinct), semantics),
            (_, Eviction::Belady) => run.copies(Belady::new(capacity, distinct, next_uses), semantics),
        }
    }
}

/// One pass of the references through both tiers.
struct Run<'a> {
    tiers: &'a Tiers,
    references: &'a References,
    dram: Recency,
    touches: Vec<u32>,
    writes: u64,
    demotions: u32,
}

impl<'a> Run<'a> {
    fn new(tiers: &'a Tiers, references: &'a References) -> Self {
        let distinct = references.distinct;
        let touches = vec![0; distinct as usize];
        Self { tiers, references, dram: Recency::new(tiers.dram, distinct), touches, writes: 0, demotions: 0 }
    }

    /// What DRAM holds may lie on the drives too.
    fn copies(mut self, mut drives: impl BlockCache, semantics: Semantics) -> Outcome {
        let writing = self.tiers.writing;
        self.walk(&mut drives, semantics, |run, drives, at| match writing {
            Writing::Through => run.write_through(drives, at),
            _ => run.write_back(drives, at),
        })
    }

    fn exclusive(mut self, mut drives: Recency, semantics: Semantics) -> Outcome {
        self.walk(&mut drives, semantics, Run::move_up)
    }

    /// Looks up and uses the blocks of every prompt; hits are of either tier.
    fn walk<D: BlockCache>(
        &mut self,
        drives: &mut D,
        semantics: Semantics,
        mut take: impl FnMut(&mut Self, &mut D, usize),
    ) -> Outcome {
        let (mut counts, mut found) = (Counts::default(), Vec::new());
        for range in self.references.ranges() {
            found.clear();
            for at in range.clone() {
                let block = self.references.blocks[at];
                found.push(self.dram.holds(block) || drives.holds(block));
                if semantics != Semantics::TailFirst {
                    take(self, drives, at);
                }
            }
            if semantics == Semantics::TailFirst {
                range.clone().rev().for_each(|at| take(self, drives, at));
            }
            count(&mut counts, &found, &self.references.tokens[range]);
        }
        Outcome { counts, writes: self.writes }
    }

    fn touched(&mut self, at: usize) -> u32 {
        let block = self.references.blocks[at];
        self.touches[block as usize] = self.touches[block as usize].saturating_add(1);
        block
    }

    fn admitted(&self, block: u32) -> bool {
        self.touches[block as usize] >= self.tiers.admit
    }

    /// Offers a block to the drives; counts the write if they take it and did not have it.
    fn offer<D: BlockCache>(&mut self, drives: &mut D, block: u32, at: usize) {
        let there = drives.holds(block);
        if there || self.admitted(block) {
            drives.refer(block, at);
            self.writes += u64::from(!there && drives.holds(block));
        }
    }

    fn write_through<D: BlockCache>(&mut self, drives: &mut D, at: usize) {
        let block = self.touched(at);
        self.dram.put(block, at as u32);
        self.offer(drives, block, at);
    }

    fn write_back<D: BlockCache>(&mut self, drives: &mut D, at: usize) {
        let block = self.touched(at);
        if !self.dram.holds(block) && drives.holds(block) {
            drives.refer(block, at);
        }
        if let Some((evicted, last)) = self.dram.put(block, at as u32) {
            // Without DRAM the block itself was evicted at once, and has been used just now.
            if evicted != block || !drives.holds(block) {
                self.offer(drives, evicted, last as usize);
            }
        }
    }

    fn move_up(&mut self, drives: &mut Recency, at: usize) {
        let block = self.touched(at);
        let stays = self.tiers.dram == 0;
        let there = if stays { drives.holds(block) } else { drives.take(block) };
        let Some((evicted, _)) = self.dram.put(block, at as u32) else { return };
        // Demotions ascend as last uses do: what DRAM evicts was used longest ago there.
        self.demotions += 1;
        if self.admitted(evicted) {
            self.writes += u64::from(!(stays && there));
            drives.put(evicted, self.demotions);
        }
    }
}

/// Adds what was found of a prompt.
fn count(counts: &mut Counts, found: &[bool], tokens: &[u32]) {
    let leading = found.iter().take_while(|found| **found).count();
    let sum = |tokens: &[u32]| tokens.iter().map(|tokens| u64::from(*tokens)).sum::<u64>();
    counts.any_blocks += found.iter().filter(|found| **found).count() as u64;
    counts.prefix_blocks += leading as u64;
    counts.prefix_tokens += sum(&tokens[..leading]);
    counts.prefix_shares += sum(&tokens[..leading]) as f64 / sum(tokens).max(1) as f64;
    counts.requests_with_hits += u64::from(leading > 0);
}

/// The outcome of each of some tiers, as many at a time as there are processors.
///
/// # Errors
/// What is not modelled, or when the user asked to stop.
pub fn outcomes(references: &References, semantics: Semantics, tiers: &[Tiers], stop: &Stop) -> Result<Vec<Outcome>> {
    tiers.iter().try_for_each(|tiers| tiers.check(semantics))?;
    let foresight = tiers.iter().any(|tiers| tiers.policy == Eviction::Belady);
    let next_uses = if foresight { references.next_uses() } else { Vec::new() };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            match tiers.get(number) {
                Some(tiers) if !stop.requested() => {
                    done.push((number, tiers.outcome(references, semantics, &next_uses)));
                }
                _ => return done,
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(tiers.len()).max(1);
    let mut all = vec![Outcome::default(); tiers.len()];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            for (number, outcome) in thread.join().expect("a simulation does not panic") {
                all[number] = outcome;
            }
        }
    });
    if stop.requested() { Err(Error::interrupted("interrupted; nothing was written")) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::needs::Needs;
    use crate::analyze::plan::{Totals, exclusive_writes};
    use crate::analyze::references::samples;

    fn one(references: &References, tiers: Tiers) -> Outcome {
        outcomes(references, Semantics::Prefix, &[tiers], &Stop::new()).unwrap()[0]
    }

    proptest! {
        #[test]
        fn exclusive_tiers_are_one_cache_of_the_sum(
            blocks in prop::collection::vec(0u32..14, 1..250), dram in 0u32..8, nvme in 1u32..8
        ) {
            let references = samples::of(&blocks.chunks(4).collect::<Vec<_>>());
            let tiers = Tiers { policy: Eviction::Lru, capacity: Some(nvme), dram, writing: Writing::Exclusive, admit: 1 };
            let found = one(&references, tiers);
            let needs = Needs::of(&references, Semantics::Prefix, 1);
            let hits = needs.hits(&references);
            prop_assert_eq!(found.counts.any_blocks, hits.at(dram + nvme).any_blocks);
            prop_assert_eq!(found.counts.prefix_blocks, hits.at(dram + nvme).prefix_blocks);
            let writes = exclusive_writes(&Totals::of(&references, 10), &hits, dram, nvme);
            prop_assert_eq!(found.writes, writes);
        }

        #[test]
        fn writing_through_is_a_cache_beside_another(
            blocks in prop::collection::vec(0u32..14, 1..250), dram in 0u32..8, nvme in 1u32..8, admit in 1u32..4
        ) {
            let references = samples::of(&blocks.chunks(4).collect::<Vec<_>>());
            let tiers = Tiers { policy: Eviction::Lru, capacity: Some(nvme), dram, writing: Writing::Through, admit };
            let found = one(&references, tiers);
            let (all, filtered) = (Needs::of(&references, Semantics::Prefix, 1), Needs::of(&references, Semantics::Prefix, admit));
            let hits = filtered.hits_behind(&references, &all, dram).at(nvme);
            prop_assert_eq!((found.counts.any_blocks, found.counts.prefix_blocks), (hits.any_blocks, hits.prefix_blocks));
            prop_assert_eq!(found.writes, filtered.admitted() - filtered.hits(&references).at(nvme).any_blocks);
        }

        #[test]
        fn no_more_is_written_than_missed_nor_by_a_stricter_filter_without_end(
            blocks in prop::collection::vec(0u32..14, 1..250), dram in 0u32..8
        ) {
            let references = samples::of(&blocks.chunks(4).collect::<Vec<_>>());
            for policy in Eviction::ALL {
                for writing in [Writing::Through, Writing::Back] {
                    let mut last = u64::MAX;
                    for admit in 1..4 {
                        let endless = one(&references, Tiers { policy, capacity: None, dram, writing, admit });
                        prop_assert!(endless.writes <= last);
                        last = endless.writes;
                    }
                    let small = one(&references, Tiers { policy, capacity: Some(3), dram, writing, admit: 1 });
                    prop_assert!(small.writes <= references.blocks.len() as u64);
                }
            }
        }
    }

    #[test]
    fn a_block_that_comes_back_up_is_written_once_or_each_time() {
        // DRAM of one: every other use evicts the other block.
        let references = samples::of(&[&[0], &[1], &[0], &[1], &[0]]);
        let writes = |writing| {
            one(&references, Tiers { policy: Eviction::Lru, capacity: Some(4), dram: 1, writing, admit: 1 }).writes
        };
        assert_eq!(Writing::ALL.map(writes), [2, 2, 4]);
    }
}
