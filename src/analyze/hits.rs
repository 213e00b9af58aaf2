//! Every hit ratio that people mean by "the" hit ratio, each by its name.

use serde::Serialize;

use super::curve::{Eviction, Semantics};
use super::policies::Counts;
use super::references::References;

/// One hit ratio.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Definition {
    /// Its name, which stays the same for ever.
    pub name: &'static str,
    /// The policy of the cache; none for a cache without end.
    pub policy: Option<&'static str>,
    /// The capacity of the cache in token blocks; none for one without end.
    pub capacity: Option<u64>,
    /// What is counted: `blocks`, `tokens`, `requests`, `bytes`.
    pub unit: &'static str,
    /// How many of them are hits; a mean of requests has a fraction.
    pub hits: f64,
    /// Of how many.
    pub total: f64,
    /// `hits / total`.
    pub ratio: f64,
}

/// What each name counts.
pub const MEANINGS: [(&str, &str); 6] = [
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
];

/// A cache whose hits are counted.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// Its policy and its capacity in blocks; none for a cache without end.
    pub limit: Option<(Eviction, u32)>,
    /// The order in which blocks are used.
    pub semantics: Semantics,
}

/// All definitions for the hits of one cache; bytes where the bytes of a token are known.
pub fn definitions(
    counts: &Counts,
    references: &References,
    cache: Cache,
    bytes_per_token: Option<u64>,
) -> Vec<Definition> {
    let (blocks, tokens) = (references.blocks.len() as f64, references.total_tokens() as f64);
    let requests = references.requests() as f64;
    let define = |name, unit, hits: f64, total: f64| Definition {
        name,
        policy: cache.limit.map(|(policy, _)| policy.word()),
        capacity: cache.limit.map(|(_, capacity)| capacity.into()),
        unit,
        hits,
        total,
        ratio: if total > 0.0 { hits / total } else { 0.0 },
    };
    let mut all = vec![
        define("token_block.prefix", "blocks", counts.prefix_blocks as f64, blocks),
        define("token_block.any", "blocks", counts.any_blocks as f64, blocks),
        define("token.prefix", "tokens", counts.prefix_tokens as f64, tokens),
        define("request_mean.prefix", "requests", counts.prefix_shares, requests),
        define("request.any_hit", "requests", counts.requests_with_hits as f64, requests),
    ];
    all.extend(bytes_per_token.map(|bytes| {
        define("bytes.prefix", "bytes", counts.prefix_tokens as f64 * bytes as f64, tokens * bytes as f64)
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::curve::LruCurve;
    use crate::analyze::references::samples;

    #[test]
    fn each_definition_counts_what_it_says() {
        // Four prompts; the cache holds everything.
        let references = samples::of(&[&[0, 1, 2, 3], &[0, 1], &[9, 1], &[0, 8, 2, 3]]);
        let counts = LruCurve::of(&references, Semantics::Prefix).at(&[references.distinct])[0];
        let cache = Cache { limit: None, semantics: Semantics::Prefix };
        let all = definitions(&counts, &references, cache, Some(3));
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
}
