//! Reuse: how long after its last use, and how deep down a stack, a block is used again, and by how
//! few blocks most of that is done.

use serde::Serialize;

use crate::measure::{Histogram, LogLinear};

use super::curve::{LruCurve, Semantics};
use super::references::References;

/// Buckets of histograms are at most 1/32 wide, relative to their values.
const GROUPING: u32 = 5;
/// Times within which people ask how much is used again, s.
const WITHIN_S: [u64; 4] = [10, 60, 600, 3600];
/// Shares of the blocks of which people ask how much of the reuse is theirs.
const TOP_SHARES: [f64; 4] = [0.001, 0.01, 0.1, 0.5];

/// How blocks are used again.
#[derive(Clone, Debug, Serialize)]
pub struct Reuse {
    /// References to blocks, after the warm-up.
    pub references: u64,
    /// Of these, those to blocks that were used before.
    pub reuses: u64,
    /// Their share; none without references.
    pub reuse_share: Option<f64>,
    /// From the request that used a block to the next one that does, by their arrivals.
    pub time: Times,
    /// Different blocks used since, the block itself included: the capacity from which on an LRU
    /// cache hits.
    pub stack_distance: Distances,
    /// Whose reuse it is.
    pub popularity: Popularity,
    /// Requests that arrived before the one in front of them; their times count as its.
    pub out_of_order: u64,
}

/// Times between uses.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// The mean, s; none where nothing is used again.
    pub mean_s: Option<f64>,
    /// Half of them are not longer: the smallest such value, and so on.
    pub p50_s: Option<f64>,
    /// 80 %.
    pub p80_s: Option<f64>,
    /// 90 %.
    pub p90_s: Option<f64>,
    /// 99 %.
    pub p99_s: Option<f64>,
    /// The longest.
    pub max_s: Option<f64>,
    /// Shares within some times.
    pub within: Vec<Within>,
    /// All of them, in microseconds.
    pub histogram: Histogram,
}

/// The share of reuse within a time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Within {
    /// The time.
    pub window_s: u64,
    /// The share; none where nothing is used again.
    pub share: Option<f64>,
}

/// Stack distances, in blocks.
#[derive(Clone, Debug, Serialize)]
pub struct Distances {
    /// The mean; none where nothing is used again.
    pub mean_blocks: Option<f64>,
    /// Half of them are not larger: the smallest such value, and so on.
    pub p50_blocks: Option<u32>,
    /// 80 %.
    pub p80_blocks: Option<u32>,
    /// 90 %.
    pub p90_blocks: Option<u32>,
    /// 99 %.
    pub p99_blocks: Option<u32>,
    /// The largest.
    pub max_blocks: Option<u32>,
    /// All of them.
    pub histogram: Histogram,
}

/// How reuse is shared out among blocks.
#[derive(Clone, Debug, Serialize)]
pub struct Popularity {
    /// Different blocks, after the warm-up.
    pub blocks: u64,
    /// Of these, those that are used once and never again.
    pub one_hit_blocks: u64,
    /// Their share; none without blocks.
    pub one_hit_share: Option<f64>,
    /// Uses of the most used block.
    pub most_uses: u64,
    /// What the most used blocks have.
    pub top: Vec<Top>,
}

/// What the most used blocks have.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Top {
    /// The share of blocks.
    pub share_of_blocks: f64,
    /// So many: rounded down, at least one.
    pub blocks: u64,
    /// Their share of all reuse; none where nothing is used again.
    pub share_of_reuse: Option<f64>,
    /// Their share of all references; none without references.
    pub share_of_references: Option<f64>,
}

impl Reuse {
    /// One pass, of which the first `warmup` requests count nowhere.
    pub fn of(references: &References, warmup: usize) -> Self {
        let (mut times, out_of_order) = times(references, warmup);
        times.sort_unstable();
        let (uses, reuses) = uses(references, warmup);
        let counted: u64 = uses.iter().map(|(uses, _)| u64::from(*uses)).sum();
        Self {
            references: counted,
            reuses,
            reuse_share: share(reuses, counted),
            time: Times::of(&times),
            stack_distance: Distances::of(&LruCurve::after(references, Semantics::Any, warmup)),
            popularity: Popularity::of(uses),
            out_of_order,
        }
    }
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// The times since the last use, ns, of all that is used again, and how many requests were out of
/// order.
fn times(references: &References, warmup: usize) -> (Vec<u64>, u64) {
    let mut last = vec![u64::MAX; references.distinct as usize];
    let (mut times, mut now, mut out_of_order) = (Vec::new(), 0, 0);
    for ((number, range), arrival) in references.ranges().enumerate().zip(&references.arrivals_ns) {
        out_of_order += u64::from(*arrival < now);
        now = now.max(*arrival);
        for block in &references.blocks[range] {
            let before = std::mem::replace(&mut last[*block as usize], now);
            if before != u64::MAX && number >= warmup {
                times.push(now - before);
            }
        }
    }
    (times, out_of_order)
}

/// How often each block is used and, of that, used again, after the warm-up; blocks that are not
/// are left out. And all reuse together.
fn uses(references: &References, warmup: usize) -> (Vec<(u32, u32)>, u64) {
    let mut uses = vec![(0u32, 0u32); references.distinct as usize];
    let start = references.start_after(warmup);
    let mut seen = vec![false; references.distinct as usize];
    let mut reuses = 0;
    for (at, block) in references.blocks.iter().enumerate() {
        let again = std::mem::replace(&mut seen[*block as usize], true);
        if at >= start {
            let (all, anew) = &mut uses[*block as usize];
            *all += 1;
            *anew += u32::from(again);
            reuses += u64::from(again);
        }
    }
    uses.retain(|(all, _)| *all > 0);
    (uses, reuses)
}

impl Times {
    fn of(sorted_ns: &[u64]) -> Self {
        let mut histogram = LogLinear::new(GROUPING);
        sorted_ns.iter().for_each(|ns| histogram.record(ns / 1000));
        let seconds = |ns: u64| ns as f64 / 1e9;
        let at = |percent: usize| sorted_ns.get(rank(sorted_ns.len(), percent)).map(|ns| seconds(*ns));
        let sum: u128 = sorted_ns.iter().map(|ns| u128::from(*ns)).sum();
        let within = |window_s: u64| Within {
            window_s,
            share: share(
                sorted_ns.partition_point(|ns| *ns <= window_s * 1_000_000_000) as u64,
                sorted_ns.len() as u64,
            ),
        };
        Self {
            mean_s: (!sorted_ns.is_empty()).then(|| sum as f64 / 1e9 / sorted_ns.len() as f64),
            p50_s: at(50),
            p80_s: at(80),
            p90_s: at(90),
            p99_s: at(99),
            max_s: sorted_ns.last().map(|ns| seconds(*ns)),
            within: WITHIN_S.map(within).to_vec(),
            histogram: histogram.save("reuse_time", None, "us"),
        }
    }
}

/// The place, from 0, of the smallest value that so many percent are not above: the nearest rank.
fn rank(values: usize, percent: usize) -> usize {
    (values * percent).div_ceil(100).saturating_sub(1)
}

impl Distances {
    fn of(curve: &LruCurve) -> Self {
        let mut histogram = LogLinear::new(GROUPING);
        curve.distances().for_each(|(distance, references)| histogram.record_many(distance.into(), references));
        let count = histogram.count();
        let at = |percent: usize| {
            let rank = rank(count as usize, percent) as u64;
            let mut below = 0;
            let reached = |(_, references): &(u32, u64)| {
                below += references;
                below > rank
            };
            curve.distances().find(reached).map(|(distance, _)| distance)
        };
        let saved = histogram.save("stack_distance", None, "blocks");
        Self {
            mean_blocks: saved.mean(),
            p50_blocks: at(50),
            p80_blocks: at(80),
            p90_blocks: at(90),
            p99_blocks: at(99),
            max_blocks: curve.distances().last().map(|(distance, _)| distance),
            histogram: saved,
        }
    }
}

impl Popularity {
    fn of(mut uses: Vec<(u32, u32)>) -> Self {
        uses.sort_unstable_by(|one, other| other.cmp(one));
        let sum = |part: &[(u32, u32)]| {
            part.iter().fold((0u64, 0u64), |(all, anew), use_| (all + u64::from(use_.0), anew + u64::from(use_.1)))
        };
        let (references, reuses) = sum(&uses);
        let blocks = uses.len() as u64;
        let one_hit_blocks = uses.iter().filter(|use_| **use_ == (1, 0)).count() as u64;
        let top = |share_of_blocks: f64| {
            let most = ((blocks as f64 * share_of_blocks) as usize).max(1).min(uses.len());
            let (all, anew) = sum(&uses[..most]);
            Top {
                share_of_blocks,
                blocks: most as u64,
                share_of_reuse: share(anew, reuses),
                share_of_references: share(all, references),
            }
        };
        Self {
            blocks,
            one_hit_blocks,
            one_hit_share: share(one_hit_blocks, blocks),
            most_uses: uses.first().map_or(0, |use_| use_.0.into()),
            top: TOP_SHARES.map(top).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::references::samples;

    #[test]
    fn times_distances_and_popularity_of_a_few_requests() {
        // One request a second.
        let references = samples::of(&[&[0, 1], &[0, 2], &[3], &[0, 1]]);
        let reuse = Reuse::of(&references, 0);
        assert_eq!((reuse.references, reuse.reuses, reuse.out_of_order), (7, 3, 0));
        // Block 0 after 1 s and 2 s, block 1 after 3 s; the latter lies below 0, 3 and 2.
        assert_eq!((reuse.time.p50_s, reuse.time.max_s, reuse.time.mean_s), (Some(2.0), Some(3.0), Some(2.0)));
        let distances: Vec<_> = reuse.stack_distance.histogram.buckets.iter().map(|(low, _, n)| (*low, *n)).collect();
        assert_eq!(distances, [(2, 1), (3, 1), (4, 1)]);
        let popularity = &reuse.popularity;
        assert_eq!((popularity.blocks, popularity.one_hit_blocks, popularity.most_uses), (4, 2, 3));
        assert_eq!(popularity.top[2].share_of_reuse, Some(2.0 / 3.0), "one block of four");
    }

    #[test]
    fn what_warms_up_is_known_and_not_counted() {
        let references = samples::of(&[&[0, 1], &[0, 2], &[3], &[0, 1]]);
        let reuse = Reuse::of(&references, 2);
        assert_eq!((reuse.references, reuse.reuses), (3, 2));
        assert_eq!((reuse.popularity.blocks, reuse.popularity.one_hit_blocks), (3, 1));
        assert_eq!(reuse.time.p50_s, Some(2.0));
    }

    #[test]
    fn without_reuse_there_are_no_figures() {
        let reuse = Reuse::of(&samples::of(&[&[0], &[1]]), 0);
        assert_eq!((reuse.time.mean_s, reuse.stack_distance.p50_blocks), (None, None));
        assert!(reuse.popularity.top.iter().all(|top| top.share_of_reuse.is_none()));
        let text = serde_json::to_string(&reuse).unwrap();
        assert!(!text.contains("NaN"), "{text}");
    }
}
