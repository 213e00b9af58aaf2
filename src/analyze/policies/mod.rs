//! Caches of blocks of one size, each by one policy, as fast as a pass over numbers can be: every
//! block has its entry in an array, and lists are numbers of blocks.

mod arc;
mod belady;
mod fifo;
mod lfu;
mod list;
mod lru;
mod s3_fifo;
mod sieve;

use std::ops::AddAssign;

use crate::stop::Stop;

use super::references::References;

pub use arc::Arc;
pub use belady::Belady;
pub use fifo::Fifo;
pub use lfu::Lfu;
pub use lru::Lru;
pub use s3_fifo::S3Fifo;
pub use sieve::Sieve;

/// No block.
const NONE: u32 = u32::MAX;
/// Requests between two looks at the stop flag.
const STRIDE: usize = 4096;

/// A cache of blocks.
pub trait BlockCache {
    /// The reference of that number is to `block`. Whether it was there; it is afterwards, unless
    /// the policy passes it by.
    fn refer(&mut self, block: u32, reference: usize) -> bool;

    /// Whether a block is there.
    fn holds(&self, block: u32) -> bool;
}

/// Hits, counted in the ways that people count them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Blocks that were there.
    pub any_blocks: u64,
    /// Blocks that were there, and all before them in the prompt.
    pub prefix_blocks: u64,
    /// Tokens of those.
    pub prefix_tokens: u64,
    /// The sum over requests of the share of the prompt's tokens that those are.
    pub prefix_shares: f64,
    /// Requests of whose prompt the first block was there.
    pub requests_with_hits: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.any_blocks += more.any_blocks;
        self.prefix_blocks += more.prefix_blocks;
        self.prefix_tokens += more.prefix_tokens;
        self.prefix_shares += more.prefix_shares;
        self.requests_with_hits += more.requests_with_hits;
    }
}

/// Sends all references through a cache: block after block from the first of a prompt to the
/// last, or, `tail_first`, as engines do: all of a prompt is looked up, then used from the last
/// block to the first, so that the ends of prompts go before their beginnings. The first `warmup`
/// requests fill the cache and count nowhere. When somebody asks to stop, the counts are of what was
/// passed until then, and of no use.
pub fn simulate(
    cache: &mut impl BlockCache,
    references: &References,
    tail_first: bool,
    warmup: usize,
    stop: &Stop,
) -> Counts {
    let mut counts = Counts::default();
    for (number, range) in references.ranges().enumerate() {
        if number.is_multiple_of(STRIDE) && stop.requested() {
            break;
        }
        let (mut hits, mut leading, mut unbroken) = (0, 0, true);
        let mut count = |hit: bool| {
            hits += u64::from(hit);
            unbroken &= hit;
            leading += usize::from(unbroken);
        };
        let blocks = &references.blocks[range.clone()];
        if tail_first {
            blocks.iter().for_each(|block| count(cache.holds(*block)));
            for (block, at) in blocks.iter().zip(range.clone()).rev() {
                cache.refer(*block, at);
            }
        } else {
            blocks.iter().zip(range.clone()).for_each(|(block, at)| count(cache.refer(*block, at)));
        }
        if number >= warmup {
            counts.add(hits, leading, &references.tokens[range]);
        }
    }
    counts
}

impl Counts {
    fn add(&mut self, hits: u64, leading: usize, tokens: &[u32]) {
        self.any_blocks += hits;
        if leading == 0 {
            return;
        }
        let sum = |tokens: &[u32]| tokens.iter().map(|tokens| u64::from(*tokens)).sum::<u64>();
        let (found, prompt) = (sum(&tokens[..leading]), sum(tokens));
        self.prefix_blocks += leading as u64;
        self.prefix_tokens += found;
        self.requests_with_hits += 1;
        // A prompt of blocks that hold no token has no share.
        self.prefix_shares += if prompt > 0 { found as f64 / prompt as f64 } else { 0.0 };
    }
}

#[cfg(test)]
mod checks {
    //! What every policy is tested with.

    use super::{BlockCache, NONE};

    /// What a policy does, in the plainest words: which of the resident blocks goes.
    pub trait Plain {
        fn refer(&mut self, block: u32, at: usize) -> bool;
    }

    /// Both say the same of every reference.
    pub fn agree(fast: &mut impl BlockCache, plain: &mut impl Plain, blocks: &[u32]) {
        for (at, block) in blocks.iter().enumerate() {
            assert_ne!(*block, NONE);
            assert_eq!(fast.refer(*block, at), plain.refer(*block, at), "reference {at} to {block} of {blocks:?}");
        }
    }
}
