//! How many blocks are in use at a time, by the definitions that people size caches with.

use serde::Serialize;

use super::curve::{LruCurve, Semantics};
use super::references::References;

/// Shares of the hits of a cache without end, of which people ask how large an LRU cache has to be.
const SHARES: [f64; 6] = [0.5, 0.8, 0.9, 0.95, 0.99, 1.0];
/// Uses after which a block is stored, of which results tell.
const TOUCHES: [u32; 4] = [1, 2, 3, 4];

/// The working set of a source.
#[derive(Clone, Debug, Serialize)]
pub struct WorkingSet {
    /// Different blocks of the last while (Denning, "The working set model for program behavior",
    /// CACM 11(5), 1968).
    pub windows: Vec<Window>,
    /// The blocks that somebody who knows the future would hold.
    pub live: Live,
    /// What a cache without end hits.
    pub ceiling: Ceiling,
    /// How large an LRU cache has to be for shares of that.
    pub lru: Vec<Reached>,
    /// What storing a block only from its n-th use on saves and costs, in a cache without end.
    pub admission: Vec<Admission>,
    /// Requests that arrived before the one in front of them; they count as if with it.
    pub out_of_order: u64,
}

/// Different blocks in a window that ends with each request, its own blocks and both ends of the
/// window included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    /// How long it is.
    pub window_s: f64,
    /// The mean over requests, those of the first window's time among them.
    pub mean_blocks: f64,
    /// The most.
    pub max_blocks: u64,
    /// The most, as tokens.
    pub max_tokens: u64,
    /// The most, as bytes of the model; none without one.
    pub max_bytes: Option<u64>,
}

/// The most blocks that are between their first and their last use at a time: a cache of so many
/// that knew the future would hit all that can be hit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Live {
    /// Blocks.
    pub peak_blocks: u64,
    /// Their tokens, if full.
    pub peak_tokens: u64,
    /// Their bytes; none without a model.
    pub peak_bytes: Option<u64>,
    /// When the most are reached, by the arrival of the request.
    pub at_s: f64,
}

/// Prefix hits of a cache without end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ceiling {
    /// Blocks.
    pub hits: u64,
    /// Of how many.
    pub total: u64,
    /// Their ratio.
    pub hit_ratio: f64,
}

/// The smallest LRU cache for a share of the ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// The share.
    pub share_of_ceiling: f64,
    /// Its blocks; none where there is nothing to hit.
    pub blocks: Option<u64>,
    /// Their tokens.
    pub tokens: Option<u64>,
    /// Their bytes; none without a model.
    pub bytes: Option<u64>,
    /// What it hits.
    pub hit_ratio: Option<f64>,
}

/// A cache without end that stores a block at its n-th use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Admission {
    /// The uses, that one included.
    pub touches: u32,
    /// Blocks that are written.
    pub writes: u64,
    /// The share of writes that it saves.
    pub writes_saved: f64,
    /// Prefix hits.
    pub hits: u64,
    /// Of all references.
    pub hit_ratio: f64,
}

/// Tokens and bytes of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockSize {
    /// Tokens of a full block.
    pub tokens: u64,
    /// Its bytes, where the model is known.
    pub bytes: Option<u64>,
}

impl BlockSize {
    fn tokens(self, blocks: u64) -> u64 {
        blocks.saturating_mul(self.tokens)
    }

    fn bytes(self, blocks: u64) -> Option<u64> {
        self.bytes.map(|bytes| blocks.saturating_mul(bytes))
    }
}

impl WorkingSet {
    /// The working set over windows, in ns.
    pub fn of(references: &References, windows_ns: &[u64], size: BlockSize) -> Self {
        let (arrivals, out_of_order) = in_order(references);
        let curve = LruCurve::of(references, Semantics::Prefix);
        let (total, most) = (references.blocks.len() as u64, [references.distinct]);
        let hits = curve.at(&most)[0].prefix_blocks;
        let reached = |share_of_ceiling: f64| {
            let blocks = curve.reaching(Semantics::Prefix, share_of_ceiling);
            Reached {
                share_of_ceiling,
                blocks: blocks.map(u64::from),
                tokens: blocks.map(|blocks| size.tokens(blocks.into())),
                bytes: blocks.and_then(|blocks| size.bytes(blocks.into())),
                hit_ratio: blocks.map(|blocks| ratio(curve.at(&[blocks])[0].prefix_blocks, total)),
            }
        };
        Self {
            windows: windows_ns.iter().map(|window| denning(references, &arrivals, *window, size)).collect(),
            live: live(references, &arrivals, size),
            ceiling: Ceiling { hits, total, hit_ratio: ratio(hits, total) },
            lru: SHARES.map(reached).to_vec(),
            admission: TOUCHES.map(|touches| admission(references, touches)).to_vec(),
            out_of_order,
        }
    }
}

fn ratio(hits: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { hits as f64 / total as f64 }
}

/// Arrivals that never decrease, and how many did.
fn in_order(references: &References) -> (Vec<u64>, u64) {
    let (mut now, mut out_of_order) = (0, 0);
    let later = |arrival: &u64| {
        out_of_order += u64::from(*arrival < now);
        now = now.max(*arrival);
        now
    };
    (references.arrivals_ns.iter().map(later).collect(), out_of_order)
}

fn denning(references: &References, arrivals: &[u64], window_ns: u64, size: BlockSize) -> Window {
    let mut uses = vec![0u32; references.distinct as usize];
    let (mut blocks, mut max_blocks, mut sum) = (0u64, 0, 0u128);
    let mut leaving = references.ranges().zip(arrivals).peekable();
    for (range, now) in references.ranges().zip(arrivals) {
        for block in &references.blocks[range] {
            let uses = &mut uses[*block as usize];
            blocks += u64::from(*uses == 0);
            *uses += 1;
        }
        while let Some((range, _)) = leaving.next_if(|(_, then)| **then < now.saturating_sub(window_ns)) {
            for block in &references.blocks[range] {
                let uses = &mut uses[*block as usize];
                *uses -= 1;
                blocks -= u64::from(*uses == 0);
            }
        }
        sum += u128::from(blocks);
        max_blocks = max_blocks.max(blocks);
    }
    Window {
        window_s: window_ns as f64 / 1e9,
        mean_blocks: if arrivals.is_empty() { 0.0 } else { sum as f64 / arrivals.len() as f64 },
        max_blocks,
        max_tokens: size.tokens(max_blocks),
        max_bytes: size.bytes(max_blocks),
    }
}

fn live(references: &References, arrivals: &[u64], size: BlockSize) -> Live {
    let mut last = vec![0usize; references.distinct as usize];
    for (at, block) in references.blocks.iter().enumerate() {
        last[*block as usize] = at;
    }
    let mut there = vec![false; references.distinct as usize];
    let (mut blocks, mut peak, mut at_ns) = (0u64, 0, 0);
    for (range, arrival) in references.ranges().zip(arrivals) {
        for at in range {
            let block = references.blocks[at] as usize;
            let before = std::mem::replace(&mut there[block], at < last[block]);
            blocks = blocks + u64::from(there[block]) - u64::from(before);
            if blocks > peak {
                (peak, at_ns) = (blocks, *arrival);
            }
        }
    }
    Live { peak_blocks: peak, peak_tokens: size.tokens(peak), peak_bytes: size.bytes(peak), at_s: at_ns as f64 / 1e9 }
}

fn admission(references: &References, touches: u32) -> Admission {
    let mut uses = vec![0u32; references.distinct as usize];
    let (mut writes, mut hits) = (0, 0);
    for range in references.ranges() {
        let mut unbroken = true;
        for block in &references.blocks[range] {
            let uses = &mut uses[*block as usize];
            unbroken &= *uses >= touches;
            hits += u64::from(unbroken);
            *uses = uses.saturating_add(1);
            writes += u64::from(*uses == touches);
        }
    }
    Admission {
        touches,
        writes,
        writes_saved: 1.0 - ratio(writes, references.distinct.into()),
        hits,
        hit_ratio: ratio(hits, references.blocks.len() as u64),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::curve::{Eviction, counts_at};
    use crate::analyze::references::samples;
    use crate::stop::Stop;

    const SIZE: BlockSize = BlockSize { tokens: 10, bytes: None };

    #[test]
    fn a_window_holds_what_was_used_in_it_both_ends_included() {
        // One request a second.
        let references = samples::of(&[&[0, 1], &[2], &[0], &[3]]);
        let set = WorkingSet::of(&references, &[0, 1_000_000_000, 60_000_000_000], SIZE);
        let found: Vec<_> = set.windows.iter().map(|w| (w.mean_blocks, w.max_blocks)).collect();
        assert_eq!(found, [(1.25, 2), (2.25, 3), (3.0, 4)]);
        assert_eq!((set.live.peak_blocks, set.live.at_s), (1, 0.0));
        assert_eq!(set.admission[1], Admission { touches: 2, writes: 1, writes_saved: 0.75, hits: 0, hit_ratio: 0.0 });
    }

    proptest! {
        #[test]
        fn the_future_hits_everything_with_the_live_blocks(blocks in prop::collection::vec(0u32..20, 2..200)) {
            let references = samples::of(&blocks.chunks(3).collect::<Vec<_>>());
            let set = WorkingSet::of(&references, &[], SIZE);
            let peak = set.live.peak_blocks as u32;
            let best = |capacity: u32| {
                counts_at(&references, Eviction::Belady, Semantics::Any, &[capacity], &Stop::new()).unwrap()[0].any_blocks
            };
            let reuses = blocks.len() as u64 - u64::from(blocks.iter().collect::<std::collections::HashSet<_>>().len() as u32);
            prop_assert_eq!(best(peak), reuses);
            prop_assert!(peak < 2 || best(peak - 1) < reuses);
        }

        #[test]
        fn an_lru_cache_of_that_size_reaches_the_share_and_no_smaller_one(
            blocks in prop::collection::vec(0u32..20, 2..200),
        ) {
            let references = samples::of(&blocks.chunks(3).collect::<Vec<_>>());
            let set = WorkingSet::of(&references, &[], SIZE);
            let curve = LruCurve::of(&references, Semantics::Prefix);
            for reached in set.lru {
                let Some(blocks) = reached.blocks else {
                    prop_assert_eq!(set.ceiling.hits, 0);
                    continue;
                };
                let hits = |capacity: u64| curve.at(&[capacity as u32])[0].prefix_blocks as f64;
                let wanted = reached.share_of_ceiling * set.ceiling.hits as f64;
                prop_assert!(hits(blocks) >= wanted && (blocks == 1 || hits(blocks - 1) < wanted));
            }
        }
    }
}
