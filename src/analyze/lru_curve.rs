//! The hits of LRU caches of every capacity, in one pass.

use crate::stop::Stop;

use super::curve::Semantics;
use super::policies::Counts;
use super::references::References;
use super::stack::Stack;

/// Requests between two looks at the stop flag.
const STRIDE: usize = 4096;

/// The hits of LRU caches of every capacity: what the cache of each capacity hits more than the one
/// below, in arrays of which only what is used takes memory.
#[derive(Clone, Debug)]
pub struct LruCurve {
    /// Any blocks, prefix blocks, requests with hits.
    counts: Vec<[u32; 3]>,
    tokens: Vec<u64>,
    shares: Vec<f64>,
}

/// What becomes hits at one capacity.
#[derive(Default)]
struct Run {
    capacity: u32,
    blocks: u32,
    tokens: u64,
}

impl LruCurve {
    /// One pass over the references.
    pub fn of(references: &References, semantics: Semantics) -> Self {
        Self::after(references, semantics, 0)
    }

    /// The same, of which the first `warmup` requests fill the caches and count nowhere.
    pub fn after(references: &References, semantics: Semantics, warmup: usize) -> Self {
        Self::until(references, semantics, warmup, &Stop::new())
    }

    /// The same, unless somebody asks to stop: then it is of what was passed until then, and of no
    /// use.
    pub(super) fn until(references: &References, semantics: Semantics, warmup: usize, stop: &Stop) -> Self {
        let mut stack = Stack::new(references.blocks.len(), references.distinct);
        let steps = references.distinct as usize + 1;
        let mut curve = Self { counts: vec![[0; 3]; steps], tokens: vec![0; steps], shares: vec![0.0; steps] };
        let mut distances = Vec::new();
        for (number, range) in references.ranges().enumerate() {
            if number.is_multiple_of(STRIDE) && stop.requested() {
                break;
            }
            let blocks = &references.blocks[range.clone()];
            distances.clear();
            if semantics == Semantics::TailFirst {
                distances.extend(blocks.iter().map(|block| stack.distance(*block)));
                for block in blocks.iter().rev() {
                    stack.refer(*block);
                }
            } else {
                distances.extend(blocks.iter().map(|block| stack.refer(*block)));
            }
            if number >= warmup {
                curve.add(&distances, &references.tokens[range]);
            }
        }
        curve
    }

    /// Puts the references of one request at the capacities from which on they are hits.
    fn add(&mut self, distances: &[u32], tokens: &[u32]) {
        if let Some(first) = distances.first().filter(|distance| **distance > 0) {
            self.counts[*first as usize][2] += 1;
        }
        let prompt = tokens.iter().map(|tokens| u64::from(*tokens)).sum::<u64>() as f64;
        let (mut any, mut prefix, mut unbroken) = (Run::default(), Run::default(), true);
        for (distance, tokens) in distances.iter().zip(tokens) {
            unbroken &= *distance > 0;
            if *distance != any.capacity {
                self.put_any(&any);
                any = Run { capacity: *distance, ..Run::default() };
            }
            any.blocks += 1;
            if unbroken {
                if *distance > prefix.capacity {
                    self.put_prefix(&prefix, prompt);
                    prefix = Run { capacity: *distance, ..Run::default() };
                }
                prefix.blocks += 1;
                prefix.tokens += u64::from(*tokens);
            }
        }
        self.put_any(&any);
        self.put_prefix(&prefix, prompt);
    }

    fn put_any(&mut self, run: &Run) {
        if run.capacity > 0 {
            self.counts[run.capacity as usize][0] += run.blocks;
        }
    }

    fn put_prefix(&mut self, run: &Run, prompt: f64) {
        if run.blocks > 0 {
            let at = run.capacity as usize;
            self.counts[at][1] += run.blocks;
            self.tokens[at] += run.tokens;
            // A prompt of blocks that hold no token has no share.
            self.shares[at] += if prompt > 0.0 { run.tokens as f64 / prompt } else { 0.0 };
        }
    }

    fn step(&self, capacity: usize) -> Counts {
        let [any, prefix, requests] = self.counts[capacity].map(u64::from);
        Counts {
            any_blocks: any,
            prefix_blocks: prefix,
            prefix_tokens: self.tokens[capacity],
            prefix_shares: self.shares[capacity],
            requests_with_hits: requests,
        }
    }

    /// The hits of one capacity after another, which ascend.
    pub fn at(&self, capacities: &[u32]) -> Vec<Counts> {
        let (mut counts, mut next) = (Counts::default(), 0);
        let mut up_to = |capacity: u32| {
            let end = self.counts.len().min(capacity as usize + 1);
            for capacity in next.min(end)..end {
                counts += self.step(capacity);
            }
            next = next.max(end);
            counts
        };
        capacities.iter().map(|capacity| up_to(*capacity)).collect()
    }

    /// The smallest capacity, in blocks, at which the blocks that count are at least this share of
    /// those without a limit; none when there are none.
    pub fn reaching(&self, semantics: Semantics, share: f64) -> Option<u32> {
        let of = |capacity: usize| semantics.blocks(&self.step(capacity));
        let all: u64 = (0..self.counts.len()).map(of).sum();
        let mut hits = 0;
        let reached = (0..self.counts.len()).find(|capacity| {
            hits += of(*capacity);
            hits as f64 >= share * all as f64
        });
        reached.filter(|_| all > 0).map(|capacity| capacity as u32)
    }

    /// How many references lie at each stack distance, from 1: `(distance, references)`, those of
    /// none left out.
    pub fn distances(&self) -> impl Iterator<Item = (u32, u64)> {
        let counts = self.counts.iter().map(|[any, ..]| u64::from(*any));
        (0u32..).zip(counts).filter(|(_, references)| *references > 0)
    }
}
