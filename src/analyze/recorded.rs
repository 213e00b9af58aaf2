//! The hits that a recording itself had: what its tiers served, and what its requests found.

use std::path::Path;

use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::trace::{Meta, Op, Phase, Record, RequestRow, RequestsReader};

use super::hits::Definition;

/// What was served and found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// Rows that requests read, and their bytes, by tier.
    reads: [(u64, u128); 3],
    /// What the requests say of themselves; none without a requests file for every trace.
    requests: Option<Found>,
    without_requests: bool,
}

/// What requests found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Found {
    requests: u64,
    lookups: u64,
    hits: u64,
    with_hits: u64,
    /// None when they are not known.
    tokens: Option<Tokens>,
}

/// How much of the prompts was found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tokens {
    hits: u64,
    total: u64,
    /// The requests' own shares, added up.
    shares: f64,
    /// Requests with a prompt, of which there is a share.
    prompts: u64,
}

impl Tokens {
    /// What the recording itself counted. In a requests file, the tokens of a turn are those that it
    /// adds, while what it found includes the turns before, so that there is no share in it.
    fn of_meta(meta: &Meta) -> Option<Self> {
        let ratios = &meta.record.as_ref()?.hit_ratios;
        let (tokens, mean) = (ratios.get("token.prefix")?, ratios.get("request_mean.prefix")?);
        let shares = mean.ratio * mean.total as f64;
        Some(Self { hits: tokens.hits?, total: tokens.total, shares, prompts: mean.total })
    }

    fn add(&mut self, request: &RequestRow) {
        let (hits, total) = (request.hit_tokens, request.context_tokens);
        self.hits += u64::from(hits);
        self.total += u64::from(total);
        if total > 0 {
            self.prompts += 1;
            self.shares += f64::from(hits) / f64::from(total);
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            total: self.total + other.total,
            shares: self.shares + other.shares,
            prompts: self.prompts + other.prompts,
        }
    }
}

impl Recorded {
    /// Takes down a row.
    pub fn row(&mut self, record: &Record) {
        if record.op == Op::Read && record.phase != Phase::Evict {
            let (rows, bytes) = &mut self.reads[record.tier.index()];
            *rows += 1;
            *bytes += u128::from(record.size_bytes);
        }
    }

    /// Reads the requests file beside a trace, if there is one.
    ///
    /// # Errors
    /// When it cannot be read or belongs to another trace, or somebody asked to stop.
    pub fn requests_beside(&mut self, trace: &Path, meta: &Meta, stop: &Stop) -> Result<()> {
        let Some(requests) = RequestsReader::beside(trace, meta)? else {
            self.without_requests = true;
            return Ok(());
        };
        let mut found = self.requests.unwrap_or(Found { tokens: Some(Tokens::default()), ..Found::default() });
        let (mut own, mut beyond) = (Tokens::default(), false);
        for request in requests {
            let request = request?;
            found.requests += 1;
            found.lookups += u64::from(request.lookups);
            found.hits += u64::from(request.hits);
            found.with_hits += u64::from(request.hits > 0);
            own.add(&request);
            beyond |= request.hit_tokens > request.context_tokens;
            if stop.requested() {
                return Err(Error::interrupted("interrupted; nothing was written"));
            }
        }
        let tokens = Tokens::of_meta(meta).or((!beyond).then_some(own));
        found.tokens = found.tokens.zip(tokens).map(|(all, tokens)| all.and(tokens));
        self.requests = Some(found);
        Ok(())
    }

    /// The hit ratios of the recording. A trace has a row for what was found only, so that the
    /// tiers share out what was read; what was looked for and not found is in the requests file.
    pub fn definitions(&self) -> Vec<Definition> {
        let all: u64 = self.reads.iter().map(|(rows, _)| rows).sum();
        let all_bytes: u128 = self.reads.iter().map(|(_, bytes)| bytes).sum();
        let mut found = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        let reads = |hits: u64| Definition::plain("recorded.reads", "rows", hits as f64, all as f64);
        let read_bytes = |hits: u128| Definition::plain("recorded.bytes", "bytes", hits as f64, all_bytes as f64);
        for (tier, (own, own_bytes)) in self.reads.iter().enumerate() {
            (rows, bytes) = (rows + own, bytes + own_bytes);
            found.extend([
                reads(*own).of_tier(tier, false),
                read_bytes(*own_bytes).of_tier(tier, false),
                reads(rows).of_tier(tier, true),
                read_bytes(bytes).of_tier(tier, true),
            ]);
        }
        if let Some(requests) = self.requests.filter(|_| !self.without_requests) {
            Self::of_requests(&requests, &mut found);
        }
        found
    }

    fn of_requests(of: &Found, found: &mut Vec<Definition>) {
        let lookups = of.lookups as f64;
        found.push(Definition::plain("recorded.lookups", "lookups", of.hits as f64, lookups));
        found.extend(of.tokens.into_iter().flat_map(|tokens| {
            [
                Definition::plain("recorded.tokens", "tokens", tokens.hits as f64, tokens.total as f64),
                Definition::plain("recorded.request_mean", "requests", tokens.shares, tokens.prompts as f64),
            ]
        }));
        let (with_hits, requests) = (of.with_hits as f64, of.requests as f64);
        found.push(Definition::plain("recorded.request.any_hit", "requests", with_hits, requests));
    }

    /// Whether requests files say what was looked for and not found.
    pub fn knows_misses(&self) -> bool {
        self.requests.is_some() && !self.without_requests
    }
}
