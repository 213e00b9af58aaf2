//! Every hit ratio that people mean by "the" hit ratio, each by its name.

use serde::Serialize;

use super::curve::Eviction;
use super::object_curve::ObjectCounts;
use super::objects::ObjectTotals;
use super::policies::Counts;
use super::references::References;

/// One hit ratio.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Definition {
    /// Its name, which stays the same for ever.
    pub name: &'static str,
    /// The policy of the cache; none for a cache without end, and for what a recording had.
    pub policy: Option<&'static str>,
    /// The capacity of the cache; none for one without end.
    pub capacity: Option<u64>,
    /// The unit of the capacity: token `blocks` or `bytes`.
    pub capacity_unit: Option<&'static str>,
    /// The tier, where it is about one of several.
    pub tier: Option<u8>,
    /// Of a tier: whether the tiers above it are counted with it.
    pub cumulative: Option<bool>,
    /// What is counted: `blocks`, `tokens`, `requests`, `bytes`, `lookups`, `rows`.
    pub unit: &'static str,
    /// How many of them are hits; a mean of requests has a fraction.
    pub hits: f64,
    /// Of how many.
    pub total: f64,
    /// `hits / total`; none of nothing.
    pub ratio: Option<f64>,
}

impl Definition {
    /// A ratio of no particular cache.
    pub fn plain(name: &'static str, unit: &'static str, hits: f64, total: f64) -> Self {
        Self {
            name,
            policy: None,
            capacity: None,
            capacity_unit: None,
            tier: None,
            cumulative: None,
            unit,
            hits,
            total,
            ratio: (total > 0.0).then(|| hits / total),
        }
    }

    /// The same, of a tier alone or with those above it.
    pub fn of_tier(self, tier: usize, cumulative: bool) -> Self {
        Self { tier: Some(tier as u8), cumulative: Some(cumulative), ..self }
    }

    fn of(self, cache: Cache) -> Self {
        let Some((policy, capacity)) = cache.limit else { return self };
        let unit = if cache.bytes { "bytes" } else { "blocks" };
        Self { policy: Some(policy.word()), capacity: Some(capacity), capacity_unit: Some(unit), ..self }
    }
}

/// What each name counts.
pub const MEANINGS: [(&str, &str); 16] = [
    (
        "token_block.prefix",
        "token blocks that are in the cache together with all blocks before them in the prompt, of all token blocks",
    ),
    (
        "token_block.any",
        "token blocks that are in the cache, wherever they stand in the prompt, of all token blocks; no engine can use those behind a missing one",
    ),
    (
        "token.prefix",
        "tokens of the blocks of token_block.prefix, of all prompt tokens: what a prefill does not compute",
    ),
    (
        "request_mean.prefix",
        "the share of each prompt's tokens that is found as a prefix, averaged over requests: short prompts count as much as long ones",
    ),
    ("request.any_hit", "requests of whose prompt at least the first block is found, of all requests"),
    (
        "bytes.prefix",
        "bytes of the KV cache of the tokens of token.prefix, of those of all prompt tokens, for the model that was named",
    ),
    (
        "object.lookup",
        "lookups of a trace's objects that are in the cache, of all lookups; what a trace looks up is said below",
    ),
    ("bytes.lookup", "bytes of the objects of object.lookup, of those of all lookups"),
    (
        "object.any",
        "the hits of object.lookup, of all lookups and first storings: the first use of an object is a miss, as with \
         token_block.any",
    ),
    ("bytes.any", "bytes of the objects of object.any"),
    (
        "recorded.reads",
        "rows that requests read from the tier (cumulative: from it and those above), of those read from any: a trace \
         has no row for what was missing",
    ),
    ("recorded.bytes", "bytes of the rows of recorded.reads"),
    (
        "recorded.lookups",
        "objects that requests looked up and found in any tier, of all they looked up (requests file)",
    ),
    (
        "recorded.tokens",
        "tokens that requests found in any tier, of all prompt tokens, those of earlier turns among them (metadata, or requests file)",
    ),
    (
        "recorded.request_mean",
        "the share of each prompt's tokens that was found, averaged over requests (metadata, or requests file)",
    ),
    ("recorded.request.any_hit", "requests that found at least one object, of all requests (requests file)"),
];

/// A cache whose hits are counted.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// Its policy and its capacity; none for a cache without end.
    pub limit: Option<(Eviction, u64)>,
    /// Whether the capacity is in bytes; in token blocks otherwise.
    pub bytes: bool,
}

/// What there is to hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// References to token blocks.
    pub blocks: u64,
    /// Tokens of all prompts.
    pub tokens: u64,
    /// Requests.
    pub requests: u64,
}

impl Totals {
    /// What there is after the first `warmup` requests.
    pub fn after(references: &References, warmup: usize) -> Self {
        let start = references.start_after(warmup);
        Self {
            blocks: (references.blocks.len() - start) as u64,
            tokens: references.tokens[start..].iter().map(|tokens| u64::from(*tokens)).sum(),
            requests: references.requests().saturating_sub(warmup) as u64,
        }
    }
}

/// All definitions for the hits of one cache of token blocks; bytes where the bytes of a token are
/// known.
pub fn definitions(counts: &Counts, totals: Totals, cache: Cache, bytes_per_token: Option<u64>) -> Vec<Definition> {
    let (blocks, tokens) = (totals.blocks as f64, totals.tokens as f64);
    let requests = totals.requests as f64;
    let mut all = vec![
        Definition::plain("token_block.prefix", "blocks", counts.prefix_blocks as f64, blocks),
        Definition::plain("token_block.any", "blocks", counts.any_blocks as f64, blocks),
        Definition::plain("token.prefix", "tokens", counts.prefix_tokens as f64, tokens),
        Definition::plain("request_mean.prefix", "requests", counts.prefix_shares, requests),
        Definition::plain("request.any_hit", "requests", counts.requests_with_hits as f64, requests),
    ];
    all.extend(bytes_per_token.map(|bytes| {
        Definition::plain("bytes.prefix", "bytes", counts.prefix_tokens as f64 * bytes as f64, tokens * bytes as f64)
    }));
    all.into_iter().map(|definition| definition.of(cache)).collect()
}

/// All definitions for the hits of one cache of objects.
pub fn object_definitions(counts: &ObjectCounts, totals: &ObjectTotals, cache: Cache) -> Vec<Definition> {
    let (hits, bytes) = (counts.hits as f64, counts.hit_bytes as f64);
    let (lookups, lookup_bytes) = (totals.lookups as f64, totals.lookup_bytes as f64);
    let (stores, store_bytes) = (totals.stores as f64, totals.store_bytes as f64);
    let all = [
        Definition::plain("object.lookup", "lookups", hits, lookups),
        Definition::plain("bytes.lookup", "bytes", bytes, lookup_bytes),
        Definition::plain("object.any", "lookups", hits, lookups + stores),
        Definition::plain("bytes.any", "bytes", bytes, lookup_bytes + store_bytes),
    ];
    all.into_iter().map(|definition| definition.of(cache)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::curve::{LruCurve, Semantics};
    use crate::analyze::references::samples;

    #[test]
    fn each_definition_counts_what_it_says() {
        // Four prompts; the cache holds everything.
        let references = samples::of(&[&[0, 1, 2, 3], &[0, 1], &[9, 1], &[0, 8, 2, 3]]);
        let counts = LruCurve::of(&references, Semantics::Prefix).at(&[references.distinct])[0];
        let cache = Cache { limit: None, bytes: false };
        let all = definitions(&counts, Totals::after(&references, 0), cache, Some(3));
        let figures: Vec<_> = all.iter().map(|d| (d.name, d.hits, d.total)).collect();
        assert_eq!(
            figures,
            [
                ("token_block.prefix", 3.0, 12.0),
                ("token_block.any", 6.0, 12.0),
                ("token.prefix", 30.0, 120.0),
                ("request_mean.prefix", 1.25, 4.0),
                ("request.any_hit", 2.0, 4.0),
                ("bytes.prefix", 90.0, 360.0),
            ]
        );
        assert!(all.iter().all(|d| MEANINGS.iter().any(|(name, _)| *name == d.name)));
    }

    #[test]
    fn of_nothing_there_is_no_ratio() {
        let cache = Cache { limit: None, bytes: true };
        let all = object_definitions(&ObjectCounts::default(), &ObjectTotals::default(), cache);
        assert!(all.iter().all(|d| d.ratio.is_none() && MEANINGS.iter().any(|(name, _)| *name == d.name)));
    }
}
