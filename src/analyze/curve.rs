//! Hits by capacity: of LRU for every capacity in one pass, of other policies at chosen ones.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::stop::Stop;

use super::policies::{Arc, Belady, BlockCache, Counts, Fifo, Lfu, Lru, S3Fifo, Sieve, simulate};
use super::references::References;

pub use super::eviction::Eviction;
pub use super::lru_curve::LruCurve;

/// What counts as a hit, and in which order a prompt's blocks are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Semantics {
    /// A block behind a missing one is no hit; blocks are used from the first to the last.
    Prefix,
    /// Every block for itself.
    Any,
    /// As [`Semantics::Prefix`], as engines do it: a prompt is looked up, then its blocks are used
    /// from the last to the first, so that the ends of prompts are evicted before their beginnings.
    TailFirst,
}

impl Semantics {
    /// The word on the command line and in files.
    pub fn word(self) -> &'static str {
        match self {
            Semantics::Prefix => "prefix",
            Semantics::Any => "any",
            Semantics::TailFirst => "tail-first",
        }
    }

    /// The blocks that count.
    pub fn blocks(self, counts: &Counts) -> u64 {
        if self == Semantics::Any { counts.any_blocks } else { counts.prefix_blocks }
    }
}

/// The hits of a policy at each of some capacities, which ascend. Each is simulated on its own, as
/// many at a time as there are processors.
///
/// # Errors
/// As [`counts_after`].
pub fn counts_at(
    references: &References,
    eviction: Eviction,
    semantics: Semantics,
    capacities: &[u32],
    stop: &Stop,
) -> Result<Vec<Counts>> {
    counts_after(references, eviction, semantics, capacities, 0, stop)
}

/// The same, of which the first `warmup` requests fill the caches and count nowhere.
///
/// # Errors
/// More references than 32 bits can number; when the user asked to stop.
pub fn counts_after(
    references: &References,
    eviction: Eviction,
    semantics: Semantics,
    capacities: &[u32],
    warmup: usize,
    stop: &Stop,
) -> Result<Vec<Counts>> {
    if references.blocks.len() >= u32::MAX as usize {
        return Err(Error::usage(format!(
            "{} references are more than the 4,294,967,294 that can be numbered; take a part of the files, or a part \
             of the blocks with --sample 0.1",
            references.blocks.len()
        )));
    }
    // One pass costs as much as some simulations, and has no need of a capacity.
    if eviction == Eviction::Lru {
        let curve = LruCurve::until(references, semantics, warmup, stop);
        return if stop.requested() { Err(interrupted()) } else { Ok(curve.at(capacities)) };
    }
    let next_uses = if eviction == Eviction::Belady { next_uses(references, semantics) } else { Vec::new() };
    let simulation = Simulation { references, eviction, semantics, warmup, next_uses, stop };
    in_parallel(capacities, stop, |capacity| simulation.at(*capacity))
}

fn interrupted() -> Error {
    Error::interrupted("interrupted; nothing was written")
}

/// Does something with each item, as many at a time as there are processors.
///
/// # Errors
/// When the user asked to stop.
pub fn in_parallel<I: Sync, T: Send>(items: &[I], stop: &Stop, each: impl Fn(&I) -> T + Sync) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            match items.get(number) {
                Some(item) if !stop.requested() => done.push((number, each(item))),
                _ => return done,
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(items.len()).max(1);
    let mut found: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a simulation does not panic")).collect()
    });
    if stop.requested() {
        return Err(interrupted());
    }
    found.sort_unstable_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, found)| found).collect())
}

/// The next uses in the order in which blocks are used.
fn next_uses(references: &References, semantics: Semantics) -> Vec<u32> {
    if semantics != Semantics::TailFirst {
        return references.next_uses();
    }
    let mut next = vec![u32::MAX; references.blocks.len()];
    let mut seen = vec![u32::MAX; references.distinct as usize];
    let ranges: Vec<_> = references.ranges().collect();
    // A use is numbered by its place in the order of use, and stored where the reference is.
    for range in ranges.into_iter().rev() {
        for at in range.clone() {
            let used_at = range.end - 1 - (at - range.start);
            next[at] = std::mem::replace(&mut seen[references.blocks[at] as usize], used_at as u32);
        }
    }
    next
}

/// What is the same for all capacities of one policy.
struct Simulation<'a> {
    references: &'a References,
    eviction: Eviction,
    semantics: Semantics,
    warmup: usize,
    next_uses: Vec<u32>,
    stop: &'a Stop,
}

impl Simulation<'_> {
    fn at(&self, capacity: u32) -> Counts {
        let distinct = self.references.distinct;
        if capacity == 0 {
            return Counts::default();
        }
        match self.eviction {
            Eviction::Lru => self.run(Lru::new(capacity, distinct)),
            Eviction::Fifo => self.run(Fifo::new(capacity, distinct)),
            Eviction::Lfu => self.run(Lfu::new(capacity, distinct)),
            Eviction::Sieve => self.run(Sieve::new(capacity, distinct)),
            Eviction::S3Fifo => self.run(S3Fifo::new(capacity, distinct)),
            Eviction::Arc => self.run(Arc::new(capacity, distinct)),
            Eviction::Belady => self.run(Belady::new(capacity, distinct, &self.next_uses)),
        }
    }

    fn run(&self, mut cache: impl BlockCache) -> Counts {
        simulate(&mut cache, self.references, self.semantics == Semantics::TailFirst, self.warmup, self.stop)
    }
}

/// The hits of one cache of a policy, simulated block by block: of `lru` too, which needs less time
/// for one capacity than the pass that gives all.
pub fn simulated(references: &References, eviction: Eviction, semantics: Semantics, capacity: u32) -> Counts {
    let next_uses = if eviction == Eviction::Belady { next_uses(references, semantics) } else { Vec::new() };
    let stop = &Stop::new();
    Simulation { references, eviction, semantics, warmup: 0, next_uses, stop }.at(capacity)
}

/// Capacities from 1 to `most`, so many of them, each about the same factor above the one before.
pub fn spread(most: u32, points: u32) -> Vec<u32> {
    let last = f64::from(points.saturating_sub(1).max(1));
    let at = |point: u32| libm::pow(f64::from(most), f64::from(point) / last).round() as u32;
    let mut capacities: Vec<u32> = (0..points).map(at).map(|capacity| capacity.clamp(1, most)).collect();
    capacities.dedup();
    capacities
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::policies::BlockCache;
    use crate::analyze::references::samples;

    /// Cuts a run of blocks into requests of three.
    fn requests(blocks: &[u32]) -> References {
        samples::of(&blocks.chunks(3).collect::<Vec<_>>())
    }

    /// An LRU cache as a vector.
    struct Plain(Vec<u32>, usize);

    impl BlockCache for Plain {
        fn refer(&mut self, block: u32, _reference: usize) -> bool {
            let place = self.0.iter().position(|other| *other == block);
            if let Some(place) = place {
                self.0.remove(place);
            }
            self.0.insert(0, block);
            self.0.truncate(self.1);
            place.is_some()
        }

        fn holds(&self, block: u32) -> bool {
            self.0.contains(&block)
        }
    }

    proptest! {
        #[test]
        fn one_pass_says_what_a_cache_of_each_capacity_does(blocks in prop::collection::vec(0u32..12, 1..200)) {
            let references = requests(&blocks);
            for semantics in [Semantics::Prefix, Semantics::TailFirst] {
                let capacities: Vec<u32> = (1..14).collect();
                let curve = counts_at(&references, Eviction::Lru, semantics, &capacities, &Stop::new()).unwrap();
                for (capacity, counts) in capacities.iter().zip(curve) {
                    let tail_first = semantics == Semantics::TailFirst;
                    let plain = simulate(&mut Plain(Vec::new(), *capacity as usize), &references, tail_first, 0, &Stop::new());
                    prop_assert_eq!(plain.any_blocks, counts.any_blocks);
                    prop_assert_eq!(plain.prefix_blocks, counts.prefix_blocks);
                    prop_assert_eq!(plain.prefix_tokens, counts.prefix_tokens);
                    prop_assert_eq!(plain.requests_with_hits, counts.requests_with_hits);
                    prop_assert!((plain.prefix_shares - counts.prefix_shares).abs() < 1e-9);
                }
            }
        }

        #[test]
        fn nobody_beats_the_future(blocks in prop::collection::vec(0u32..30, 1..300), capacity in 1u32..20) {
            let references = requests(&blocks);
            for semantics in [Semantics::Any, Semantics::TailFirst] {
                let hits = Eviction::ALL.map(|eviction| {
                    let counts = counts_at(&references, eviction, semantics, &[capacity], &Stop::new()).unwrap();
                    counts[0].any_blocks
                });
                prop_assert!(hits.iter().all(|hit| *hit <= hits[6]), "{:?}", hits);
            }
        }
    }

    #[test]
    fn a_block_behind_a_missing_one_is_no_prefix_hit() {
        let references = samples::of(&[&[0, 1, 2], &[3, 1, 2]]);
        let counts = LruCurve::of(&references, Semantics::Prefix).at(&[10])[0];
        assert_eq!((counts.any_blocks, counts.prefix_blocks), (2, 0));
    }

    #[test]
    fn capacities_are_spread_by_factors() {
        assert_eq!(spread(1000, 4), [1, 10, 100, 1000]);
        assert_eq!(spread(3, 64), [1, 2, 3]);
    }
}
