//! LMCache's lookups as requests with token blocks: what a cache was asked for, in the order of time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::live::{Lookup, Lookups, Tally};
use crate::seed::{hash_bytes, mix};
use crate::stop::Stop;
use crate::trace::Input;
use crate::workload::{Content, Request, Segment};

/// Lookups between two looks at the stop flag.
const STRIDE: usize = 1024;
/// What is said of tokens that no chunk covers.
const TAIL: &str = "prompt whose last tokens fill no chunk (used; they are a block of their own, always a miss)";
/// What is said of logs of several models.
const MODELS: &str = "lookup of another model than the first one's (used; models share no chunk)";

/// What is known of the lookups.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LookupFacts {
    /// Tokens of a chunk.
    pub chunk_tokens: u32,
    /// Bytes of a token, from the shapes of tensors; none where the log has none, or several.
    pub bytes_per_token: Option<u64>,
    /// Lookups by model.
    pub models: BTreeMap<String, u64>,
    /// Lookups whose stamp lies below that of one above them; they are put in order.
    pub inversions: u64,
    /// What was left out or assumed, by reason.
    pub skipped: Tally,
    /// The checksums of the files, in hex.
    pub sha256: Vec<String>,
}

/// Reads logs, and hands out their lookups as requests by their stamps, from 0 on.
///
/// # Errors
/// When a log cannot be read or holds no lookup, chunks are of several sizes, or the user asked to
/// stop.
pub fn read(files: &[PathBuf], stop: &Stop) -> Result<(Vec<Request>, LookupFacts)> {
    let mut facts = LookupFacts::default();
    let mut requests = Vec::new();
    let mut latest_ns = 0;
    for path in files {
        let mut log = Lookups::of(&Input::open_until(path, stop)?)?;
        for lookup in &mut log {
            let lookup = lookup?;
            facts.inversions += u64::from(lookup.at_ns < latest_ns);
            latest_ns = latest_ns.max(lookup.at_ns);
            facts.note(&lookup, requests.is_empty()).map_err(|e| e.context(path.display()))?;
            requests.push(request(&lookup, requests.len() as u64));
            if requests.len().is_multiple_of(STRIDE) && stop.requested() {
                let n = requests.len();
                return Err(Error::interrupted(format!("interrupted after {n} lookups; nothing was written")));
            }
        }
        log.skipped.counts().iter().for_each(|(why, n)| facts.skipped.add(why, *n));
        facts.sha256.push(log.sha256().to_owned());
    }
    // Stable: lookups of one stamp stay in the order of the log.
    requests.sort_by_key(|request| request.arrival_ns);
    let first_ns = requests.first().map(|request| request.arrival_ns);
    let Some(first_ns) = first_ns else {
        let reasons: Vec<_> = facts.skipped.counts().iter().map(|(why, n)| format!("{n} x {why}")).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
        return Err(Error::usage(format!("{} holds no lookup that can be used{reasons}", files[0].display())));
    };
    requests.iter_mut().for_each(|request| request.arrival_ns -= first_ns);
    Ok((requests, facts))
}

impl LookupFacts {
    fn note(&mut self, lookup: &Lookup, is_first: bool) -> Result<()> {
        let per_token = lookup.chunk_bytes.filter(|bytes| bytes.is_multiple_of(lookup.chunk_tokens.into()));
        let per_token = per_token.map(|bytes| bytes / u64::from(lookup.chunk_tokens));
        if is_first {
            (self.chunk_tokens, self.bytes_per_token) = (lookup.chunk_tokens, per_token);
        }
        if lookup.chunk_tokens != self.chunk_tokens {
            return Err(Error::usage(format!(
                "there are lookups in chunks of {} tokens and of {}; analyse them apart",
                self.chunk_tokens, lookup.chunk_tokens
            )));
        }
        if self.bytes_per_token != per_token {
            self.bytes_per_token = None;
        }
        self.skipped.add(MODELS, u64::from(!self.models.is_empty() && !self.models.contains_key(&lookup.model)));
        *self.models.entry(lookup.model.clone()).or_default() += 1;
        self.skipped.add(TAIL, u64::from(lookup.tokens > covered(lookup)));
        Ok(())
    }
}

fn covered(lookup: &Lookup) -> u64 {
    lookup.chunks.len() as u64 * u64::from(lookup.chunk_tokens)
}

fn request(lookup: &Lookup, number: u64) -> Request {
    let model = hash_bytes(lookup.model.as_bytes());
    let chunk = |hash: u64| Segment { id: mix(hash ^ model), tokens: lookup.chunk_tokens };
    let mut segments: Vec<_> = lookup.chunks.iter().map(|hash| chunk(hash.0)).collect();
    let tail = u32::try_from(lookup.tokens - covered(lookup)).unwrap_or(u32::MAX);
    if tail > 0 {
        segments.push(Segment { id: mix(mix(number) ^ hash_bytes(b"tail")), tokens: tail });
    }
    Request { arrival_ns: lookup.at_ns, content: Content::Segments(segments.into()), ..Request::default() }
}
