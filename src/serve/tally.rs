//! What is counted while recording.

use std::collections::BTreeMap;

use crate::cache::Cache;
use crate::trace::meta::{Lookups, QueueWait, RECORD_SCHEMA, RecordStats, TierUse};
use crate::trace::{RequestKind, Tier};
use crate::units::SECOND_NS;

use super::Config;
use super::rag::Documents;
use super::ratios::Ratios;

/// What is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// A request's own object.
    Object,
    /// An earlier turn.
    History,
    /// A shared prefix.
    Prefix,
    /// A part of a document.
    Document,
}

impl Sought {
    const ALL: [Sought; 4] = [Sought::Object, Sought::History, Sought::Prefix, Sought::Document];

    fn word(self) -> &'static str {
        match self {
            Sought::Object => "object",
            Sought::History => "multi_turn",
            Sought::Prefix => "system",
            Sought::Document => "rag",
        }
    }
}

/// Why objects that are larger than every tier are in the list of what was skipped.
pub const TOO_LARGE: &str = "object larger than every tier, not stored";

/// What there is to note of objects that went past a tier that is too small for each of them.
pub const STAYED_EMPTY: [&str; 3] = [
    "object too large for Tier-0, which stayed empty; raise --gpu-mem-gb or make it 0",
    "object too large for Tier-1, which stayed empty; raise --cpu-mem-gb or make it 0",
    "object too large for Tier-2, which stayed empty; raise --storage-capacity-gb",
];

/// The counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rows handed out.
    pub rows: u64,
    /// Objects stored.
    pub stored: u64,
    /// Objects that no tier took.
    pub refused: u64,
    /// Tokens of shared prefixes that were found.
    pub prefix_tokens_reused: u64,
    /// How much of the prompts was found.
    pub ratios: Ratios,
    requests: u64,
    conversations: u64,
    by_kind: [u64; 4],
    lookups: [Lookups; 4],
    waited_ns: u128,
    longest_wait_ns: u64,
    waited_to_write_ns: u128,
    longest_write_wait_ns: u64,
    ended_ns: u64,
}

impl Tally {
    /// A lookup that found its object in a tier, or did not.
    pub fn looked_up(&mut self, sought: Sought, found: Option<Tier>) {
        let lookups = &mut self.lookups[sought as usize];
        match found {
            Some(tier) => lookups.hits[tier.index()] += 1,
            None => lookups.misses += 1,
        }
    }

    /// A request that has ended.
    pub fn ended(&mut self, kind: RequestKind, turn: u32, waited_ns: u64, at_ns: u64) {
        self.requests += 1;
        self.conversations += u64::from(turn == 1 && kind != RequestKind::Rag);
        self.by_kind[kind as usize] += 1;
        self.waited_ns += u128::from(waited_ns);
        self.longest_wait_ns = self.longest_wait_ns.max(waited_ns);
        self.ended_ns = self.ended_ns.max(at_ns);
    }

    /// How long a request waited for its turns to write.
    pub fn waited_to_write(&mut self, waited_ns: u64) {
        self.waited_to_write_ns += u128::from(waited_ns);
        self.longest_write_wait_ns = self.longest_write_wait_ns.max(waited_ns);
    }

    /// Requests that have ended.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// When the last of them ended.
    pub fn ended_ns(&self) -> u64 {
        self.ended_ns
    }

    /// The statistics of the recording, the GPU's apart.
    pub fn stats(self, config: &Config, cache: &Cache, documents: &Documents) -> RecordStats {
        let requests = self.requests;
        let seconds = |ns: f64| ns / SECOND_NS as f64;
        let wait = |sum_ns: u128, longest_ns: u64| QueueWait {
            mean: seconds(sum_ns as f64 / requests.max(1) as f64),
            max: seconds(longest_ns as f64),
        };
        let allocation_wait =
            config.max_concurrent_allocs.map(|_| wait(self.waited_to_write_ns, self.longest_write_wait_ns));
        let kinds = RequestKind::ALL.iter().map(|kind| (kind.word().to_owned(), self.by_kind[*kind as usize]));
        let lookups = Sought::ALL.iter().zip(&self.lookups);
        let mut skipped = BTreeMap::new();
        if self.refused > 0 {
            skipped.insert(TOO_LARGE.to_owned(), self.refused);
        }
        let mut notes = BTreeMap::new();
        for tier in Tier::ALL {
            let state = cache.tier(tier);
            if state.peak_entries() == 0 && state.passed_over() > 0 {
                notes.insert(STAYED_EMPTY[tier.index()].to_owned(), state.passed_over());
            }
        }
        RecordStats {
            schema: RECORD_SCHEMA.to_owned(),
            requests: self.requests,
            requests_by_kind: kinds.filter(|(_, count)| *count > 0).collect(),
            conversations: self.conversations,
            rows: self.rows,
            span_s: seconds(self.ended_ns as f64),
            lookups: lookups.map(|(sought, lookups)| (sought.word().to_owned(), lookups.clone())).collect(),
            prefix_tokens_reused: self.prefix_tokens_reused,
            tiers: Tier::ALL.iter().map(|tier| usage(*tier, cache)).collect(),
            demotions: cache.demotions(),
            promotions: cache.promotions(),
            deletes: cache.deletes(),
            orphans: cache.orphans(),
            queue_wait_s: wait(self.waited_ns, self.longest_wait_ns),
            allocation_wait_s: allocation_wait,
            rag: documents.options().map(|_| documents.counts),
            skipped,
            notes,
            gpu: None,
            hit_ratios: self.ratios.stats(),
        }
    }
}

fn usage(tier: Tier, cache: &Cache) -> TierUse {
    let state = cache.tier(tier);
    TierUse {
        tier,
        entries: state.entries(),
        bytes: state.used_bytes(),
        peak_entries: state.peak_entries(),
        peak_bytes: state.peak_bytes(),
    }
}
