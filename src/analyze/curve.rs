//! Hits by capacity: of LRU for every capacity in one pass, of other policies at chosen ones.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::stop::Stop;

use super::policies::{Arc, Belady, Counts, Fifo, Lfu, S3Fifo, Sieve, simulate};
use super::references::References;
use super::stack::Stack;

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

/// What goes when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Least recently used.
    Lru,
    /// First in, first out.
    Fifo,
    /// Least frequently used.
    Lfu,
    /// SIEVE.
    Sieve,
    /// S3-FIFO.
    S3Fifo,
    /// ARC.
    Arc,
    /// The best with knowledge of the future, bypass included.
    Belady,
}

impl Eviction {
    /// All of them.
    pub const ALL: [Eviction; 7] = [
        Eviction::Lru,
        Eviction::Fifo,
        Eviction::Lfu,
        Eviction::Sieve,
        Eviction::S3Fifo,
        Eviction::Arc,
        Eviction::Belady,
    ];

    /// The word on the command line and in files.
    pub fn word(self) -> &'static str {
        match self {
            Eviction::Lru => "lru",
            Eviction::Fifo => "fifo",
            Eviction::Lfu => "lfu",
            Eviction::Sieve => "sieve",
            Eviction::S3Fifo => "s3-fifo",
            Eviction::Arc => "arc",
            Eviction::Belady => "belady",
        }
    }
}

impl FromStr for Eviction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|eviction| eviction.word() == text).ok_or_else(|| {
            let known = Self::ALL.map(Eviction::word).join(", ");
            Error::usage(format!("`{text}` is not a policy; use {known}"))
        })
    }
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The hits of LRU caches of every capacity.
#[derive(Clone, Debug)]
pub struct LruCurve {
    /// What the cache of each capacity hits more than the one below.
    steps: Vec<Counts>,
}

impl LruCurve {
    /// One pass over the references.
    pub fn of(references: &References, semantics: Semantics) -> Self {
        let mut stack = Stack::new(references.blocks.len(), references.distinct);
        let mut curve = Self { steps: vec![Counts::default(); references.distinct as usize + 1] };
        let mut distances = Vec::new();
        for range in references.ranges() {
            let blocks = &references.blocks[range.clone()];
            distances.clear();
            if semantics == Semantics::TailFirst {
                distances.extend(blocks.iter().map(|block| stack.distance(*block)));
                blocks.iter().rev().for_each(|block| stack.touch(*block));
            } else {
                distances.extend(blocks.iter().map(|block| {
                    let distance = stack.distance(*block);
                    stack.touch(*block);
                    distance
                }));
            }
            curve.add(&distances, &references.tokens[range]);
        }
        curve
    }

    /// Puts the references of one request at the capacities from which on they are hits.
    fn add(&mut self, distances: &[u32], tokens: &[u32]) {
        let prompt = tokens.iter().map(|tokens| u64::from(*tokens)).sum::<u64>() as f64;
        let (mut deepest, mut unbroken) = (0, true);
        if let Some(first) = distances.first().filter(|distance| **distance > 0) {
            self.steps[*first as usize].requests_with_hits += 1;
        }
        for (distance, tokens) in distances.iter().zip(tokens) {
            unbroken &= *distance > 0;
            if *distance > 0 {
                self.steps[*distance as usize].any_blocks += 1;
            }
            if unbroken {
                deepest = deepest.max(*distance);
                let step = &mut self.steps[deepest as usize];
                step.prefix_blocks += 1;
                step.prefix_tokens += u64::from(*tokens);
                step.prefix_shares += f64::from(*tokens) / prompt;
            }
        }
    }

    /// The hits of one capacity after another, which ascend.
    pub fn at(&self, capacities: &[u32]) -> Vec<Counts> {
        let (mut counts, mut next) = (Counts::default(), 0);
        let mut up_to = |capacity: u32| {
            let end = self.steps.len().min(capacity as usize + 1);
            for step in &self.steps[next.min(end)..end] {
                counts.any_blocks += step.any_blocks;
                counts.prefix_blocks += step.prefix_blocks;
                counts.prefix_tokens += step.prefix_tokens;
                counts.prefix_shares += step.prefix_shares;
                counts.requests_with_hits += step.requests_with_hits;
            }
            next = next.max(end);
            counts
        };
        capacities.iter().map(|capacity| up_to(*capacity)).collect()
    }
}

/// The hits of a policy at each of some capacities, which ascend. Each is simulated on its own, as
/// many at a time as there are processors.
///
/// # Errors
/// When the user asked to stop.
pub fn counts_at(
    references: &References,
    eviction: Eviction,
    semantics: Semantics,
    capacities: &[u32],
    stop: &Stop,
) -> Result<Vec<Counts>> {
    if eviction == Eviction::Lru {
        return Ok(LruCurve::of(references, semantics).at(capacities));
    }
    let next_uses = if eviction == Eviction::Belady { next_uses(references, semantics) } else { Vec::new() };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            match capacities.get(number) {
                Some(capacity) if !stop.requested() => {
                    done.push((number, one(references, eviction, semantics, *capacity, &next_uses)));
                }
                _ => return done,
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(capacities.len()).max(1);
    let mut counts = vec![Counts::default(); capacities.len()];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            for (number, found) in thread.join().expect("a simulation does not panic") {
                counts[number] = found;
            }
        }
    });
    if stop.requested() { Err(Error::interrupted("interrupted; nothing was written")) } else { Ok(counts) }
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

fn one(references: &References, eviction: Eviction, semantics: Semantics, capacity: u32, next_uses: &[u32]) -> Counts {
    let (distinct, tail_first) = (references.distinct, semantics == Semantics::TailFirst);
    if capacity == 0 {
        return Counts::default();
    }
    match eviction {
        Eviction::Fifo => simulate(&mut Fifo::new(capacity, distinct), references, tail_first),
        Eviction::Lfu => simulate(&mut Lfu::new(capacity, distinct), references, tail_first),
        Eviction::Sieve => simulate(&mut Sieve::new(capacity, distinct), references, tail_first),
        Eviction::S3Fifo => simulate(&mut S3Fifo::new(capacity, distinct), references, tail_first),
        Eviction::Arc => simulate(&mut Arc::new(capacity, distinct), references, tail_first),
        Eviction::Belady => simulate(&mut Belady::new(capacity, distinct, next_uses), references, tail_first),
        Eviction::Lru => LruCurve::of(references, semantics).at(&[capacity])[0],
    }
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
                    let plain = simulate(&mut Plain(Vec::new(), *capacity as usize), &references, tail_first);
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
