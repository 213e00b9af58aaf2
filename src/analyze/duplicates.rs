//! How many blocks of some data are different: by their 128-bit hashes, exactly as long as these
//! fit into memory, and by a share of the hash space beyond that.

use rustc_hash::FxHashSet;
use serde::Serialize;

/// A hash of a block.
pub type Digest = u128;

/// Bytes that a hash takes in the table: itself and a byte of its own, at the least full, and half
/// of that again while the table grows.
const BYTES_PER_HASH: u64 = 17 * 2 * 3 / 2;

/// Blocks of one size.
pub struct Duplicates {
    block_bytes: u64,
    blocks: u64,
    zero_blocks: u64,
    seen: FxHashSet<Digest>,
    most: usize,
    /// Only hashes whose highest bits, so many of them, are zero are kept.
    sampled_bits: u32,
}

/// What was counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Duplication {
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Blocks; the last of a file may be shorter.
    pub blocks: u64,
    /// Those of zeros only.
    pub zero_blocks: u64,
    /// Different ones among the others.
    pub unique_blocks: u64,
    /// Different ones as a share of those that are not zeros; none without any.
    pub unique_share: Option<f64>,
    /// Blocks that are not zeros for each different one: what deduplication would gain.
    pub dedup_ratio: Option<f64>,
    /// Whether every block was compared. If not, the different ones are estimated from the share of
    /// hash space below.
    pub exact: bool,
    /// The share of hash space that was kept: 1 when all was.
    pub sampled_share: f64,
    /// The relative standard error of the different ones: 0 when exact.
    pub standard_error: f64,
}

impl Duplicates {
    /// For blocks of a size, with so much memory.
    pub fn new(block_bytes: u64, memory_bytes: u64) -> Self {
        let most = (memory_bytes / BYTES_PER_HASH).max(64) as usize;
        Self { block_bytes, blocks: 0, zero_blocks: 0, seen: FxHashSet::default(), most, sampled_bits: 0 }
    }

    /// A block of zeros.
    pub fn zero(&mut self) {
        self.blocks += 1;
        self.zero_blocks += 1;
    }

    /// A block with a hash.
    pub fn add(&mut self, digest: Digest) {
        self.blocks += 1;
        if !self.is_kept(digest) || !self.seen.insert(digest) {
            return;
        }
        while self.seen.len() >= self.most {
            self.sampled_bits += 1;
            let bits = self.sampled_bits;
            self.seen.retain(|digest| digest.leading_zeros() >= bits);
        }
    }

    fn is_kept(&self, digest: Digest) -> bool {
        digest.leading_zeros() >= self.sampled_bits
    }

    /// What was counted. The estimate is Wegman's adaptive sampling: what is kept, times two for
    /// every halving (Flajolet, "On adaptive sampling", Computing 43, 1990).
    pub fn counted(&self) -> Duplication {
        let (kept, others) = (self.seen.len() as u64, self.blocks - self.zero_blocks);
        let unique_blocks = kept.saturating_mul(1 << self.sampled_bits.min(63)).min(others);
        let exact = self.sampled_bits == 0;
        Duplication {
            block_bytes: self.block_bytes,
            blocks: self.blocks,
            zero_blocks: self.zero_blocks,
            unique_blocks,
            unique_share: (others > 0).then(|| unique_blocks as f64 / others as f64),
            dedup_ratio: (unique_blocks > 0).then(|| others as f64 / unique_blocks as f64),
            exact,
            sampled_share: 0.5f64.powi(self.sampled_bits as i32),
            standard_error: if exact { 0.0 } else { 1.2 / (kept.max(1) as f64).sqrt() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::mix;

    fn digest(number: u64) -> Digest {
        u128::from(mix(number)) << 64 | u128::from(mix(!number))
    }

    #[test]
    fn few_blocks_are_counted_exactly() {
        let mut blocks = Duplicates::new(512, 1 << 20);
        (0..1000).for_each(|i| blocks.add(digest(i % 250)));
        (0..10).for_each(|_| blocks.zero());
        let counted = blocks.counted();
        assert_eq!((counted.blocks, counted.zero_blocks, counted.unique_blocks), (1010, 10, 250));
        assert_eq!((counted.dedup_ratio, counted.unique_share, counted.exact), (Some(4.0), Some(0.25), true));
        let none = Duplicates::new(512, 1 << 20).counted();
        assert_eq!((none.unique_share, none.dedup_ratio), (None, None));
    }

    #[test]
    fn many_blocks_are_estimated_within_their_error_and_memory() {
        let mut blocks = Duplicates::new(512, 10_000 * BYTES_PER_HASH);
        (0..400_000).for_each(|i| blocks.add(digest(i % 200_000)));
        let counted = blocks.counted();
        assert!(!counted.exact && blocks.seen.len() < 10_000 && counted.sampled_share < 0.1);
        let error = (counted.unique_blocks as f64 / 200_000.0 - 1.0).abs();
        assert!(error < 4.0 * counted.standard_error, "{error}, {counted:?}");
    }
}
