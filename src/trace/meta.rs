//! What a trace says of itself: the metadata that every format carries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checksum;
use crate::error::{Error, Result};

use super::record::Tier;

/// The schema of a trace.
pub const TRACE_SCHEMA: &str = "kvtrace.trace/1";
/// The schema of the recording statistics.
pub const RECORD_SCHEMA: &str = "kvtrace.record/1";

/// The metadata of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// [`TRACE_SCHEMA`].
    pub schema: String,
    /// The tool that wrote the trace, with its version.
    pub tool: String,
    /// False when the recording was interrupted.
    pub complete: bool,
    /// The seed of every random draw; none for a trace that we did not generate.
    pub seed: Option<u64>,
    /// The profile of the recording (`mlperf`, `engine`).
    pub profile: Option<String>,
    /// What was recorded.
    pub source: Source,
    /// The model whose KV cache the objects hold.
    pub model: Option<ModelFacts>,
    /// Ranks that share one object; an object is one rank's share.
    pub tensor_parallel: u32,
    /// The tiers and their capacities.
    pub tiers: Vec<TierCapacity>,
    /// The name of the time model; none when the stamps are a foreign tool's own pace.
    pub time_model: Option<String>,
    /// What to add to a row's time to get the source's own stamps.
    pub epoch_ns: i64,
    /// Rows of the trace; none while it is being written.
    pub rows: Option<u64>,
    /// Rows of a foreign trace whose stamp was below an earlier row's, before sorting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inversions: Option<u64>,
    /// Every flag in force, by its long name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: BTreeMap<String, serde_json::Value>,
    /// The statistics of the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordStats>,
}

/// Where a trace came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `synthetic`, `sharegpt`, `csv`, …
    pub kind: String,
    /// The input file's name, without its folder.
    pub file: Option<String>,
    /// The input file's sha256, in hex.
    pub sha256: Option<String>,
    /// All input files, where a source has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<SourceFile>,
    /// The format of a trace of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The unit of its stamps: `s`, `ms`, `us`, `ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<String>,
    /// Tokens that one of its ids stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_tokens: Option<u32>,
    /// Its first stamp, in seconds of its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_stamp: Option<f64>,
    /// Requests of it whose stamp was below an earlier one's, before sorting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inversions: Option<u64>,
    /// Whether its text has shared system prompts put in front, or else why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_prefixes: Option<String>,
}

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its name, without its folder.
    pub name: String,
    /// Its sha256, in hex.
    pub sha256: String,
}

/// The model of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// Its name.
    pub name: String,
    /// KV-cache bytes per token of the whole model, before it is divided by tensor parallelism.
    pub bytes_per_token: u64,
    /// The element type of the cache.
    pub kv_dtype: String,
}

/// A tier and how much it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierCapacity {
    /// Which tier.
    pub tier: Tier,
    /// Its limit; none is unlimited, 0 is absent.
    pub capacity_bytes: Option<u64>,
}

/// The statistics of a recording (`kvtrace.record/1`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordStats {
    /// [`RECORD_SCHEMA`].
    pub schema: String,
    /// Requests that were served.
    pub requests: u64,
    /// Requests by kind: `user`, `multi_turn`, `system`, `rag`.
    pub requests_by_kind: BTreeMap<String, u64>,
    /// Conversations that were opened.
    pub conversations: u64,
    /// Rows written.
    pub rows: u64,
    /// Virtual time from the start to the end of the last request.
    pub span_s: f64,
    /// Lookups of objects by kind: `object` (a request's own), `multi_turn` (its history),
    /// `system` (shared prefixes), `rag` (documents).
    pub lookups: BTreeMap<String, Lookups>,
    /// Context tokens that a shared prefix covered.
    pub prefix_tokens_reused: u64,
    /// Each tier at the end and at its peak.
    pub tiers: Vec<TierUse>,
    /// Objects moved to a slower tier.
    pub demotions: u64,
    /// Objects that a read moved, or copied, to a faster tier.
    #[serde(default)]
    pub promotions: u64,
    /// Objects, or copies of them, that left a tier for nowhere.
    pub deletes: u64,
    /// Objects whose conversation had ended or been dropped when the recording ended.
    pub orphans: u64,
    /// Time that requests waited for a worker.
    pub queue_wait_s: QueueWait,
    /// Time that requests waited for their turns to write, where the writes in progress are
    /// limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_wait_s: Option<QueueWait>,
    /// The documents, where requests ask about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rag: Option<RagUse>,
    /// Input items that were skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// What somebody should know of the tiers, and how often it happened: nothing of it is lost.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, u64>,
    /// What the GPU did; none where it was not modelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuUse>,
    /// How much of the prompts was found, by the definition: `token_block.prefix` (token blocks
    /// found, of those that the prompts consist of), `token.prefix` (tokens), `bytes.prefix`
    /// (bytes of the token blocks), `request_mean.prefix` (the mean of the requests' own
    /// `token.prefix`). Always counted to the first one that is missing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hit_ratios: BTreeMap<String, HitRatio>,
}

/// What a modelled GPU did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuUse {
    /// Its name.
    pub name: String,
    /// The sha256 of the file that described it, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Tokens of prompts that it computed.
    pub prefill_tokens: u64,
    /// Time that it took to compute them.
    pub prefill_s: f64,
    /// Tokens that it generated.
    pub decode_tokens: u64,
    /// Time of its decode steps.
    pub decode_s: f64,
    /// Time that requests took to generate, from the beginning of the answer to its last token,
    /// all together: waiting for the prompts of others is in it.
    pub generation_s: f64,
    /// Share of the span in which it computed.
    pub busy_share: f64,
    /// Requests that generated in the mean decode step.
    pub mean_batch: f64,
    /// Requests that generated at a time at most.
    pub max_batch: u32,
    /// Bytes of context that those who generated held at a time at most, on one rank.
    pub max_context_bytes: u64,
    /// Bytes that its memory holds beside the weights; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_room_bytes: Option<u64>,
}

/// How much of something was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HitRatio {
    /// What was found; none for a mean over requests.
    pub hits: Option<u64>,
    /// Of what was looked for; requests for a mean over them.
    pub total: u64,
    /// The share that was found, or the mean share.
    pub ratio: f64,
}

/// Hits and misses of one kind of lookup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookups {
    /// Hits by tier, fastest first.
    pub hits: [u64; 3],
    /// Misses.
    pub misses: u64,
}

/// How full a tier was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierUse {
    /// Which tier.
    pub tier: Tier,
    /// Objects resident at the end.
    pub entries: u64,
    /// Bytes resident at the end.
    pub bytes: u64,
    /// Most objects ever resident.
    pub peak_entries: u64,
    /// Most bytes ever resident.
    pub peak_bytes: u64,
}

/// Time spent in the request queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueWait {
    /// Mean over requests.
    pub mean: f64,
    /// The longest.
    pub max: f64,
}

/// What became of the documents of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RagUse {
    /// Documents that were ingested completely.
    pub documents_ingested: u64,
    /// Of these, documents that made room for another.
    pub documents_evicted: u64,
    /// Chunks of documents that were ingested.
    pub chunks_ingested: u64,
    /// Times that chunks of a document were retrieved.
    pub retrievals: u64,
    /// Chunks that were gone when they were retrieved, and were computed and stored again.
    pub chunks_recomputed: u64,
}

impl Meta {
    /// The metadata of a trace of which nothing is known but its source.
    pub fn foreign(source: Source) -> Self {
        Self {
            schema: TRACE_SCHEMA.to_owned(),
            tool: crate::TOOL.to_owned(),
            complete: true,
            seed: None,
            profile: None,
            source,
            model: None,
            tensor_parallel: 1,
            tiers: Vec::new(),
            time_model: None,
            epoch_ns: 0,
            rows: None,
            inversions: None,
            flags: BTreeMap::new(),
            record: None,
        }
    }

    /// Which recording a trace is of, whatever its format: a hash of what was recorded and what
    /// came of it. None for a trace that we did not record.
    pub fn recording(&self) -> Option<String> {
        let record = self.record.as_ref()?;
        // Whole numbers only: fractions need not survive being written and read to the last bit.
        let counts = (record.requests, record.rows, record.prefix_tokens_reused, record.demotions, record.deletes);
        let facts = serde_json::to_vec(&(self.seed, &self.source, counts, &record.lookups, &record.tiers));
        Some(checksum::of(&facts.expect("metadata has string keys and serialises")))
    }

    /// The metadata as it stands in a trace.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("metadata has string keys and serialises")
    }

    /// Reads what [`Meta::to_json`] wrote.
    ///
    /// # Errors
    /// When it is not metadata of a trace, or of another version.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Named {
            schema: String,
        }
        let way_out = "take it away to read the trace as a foreign one";
        let not_ours = |e| Error::usage(format!("this is not the metadata of a trace ({e}); {way_out}"));
        let named: Named = serde_json::from_slice(json).map_err(not_ours)?;
        if named.schema != TRACE_SCHEMA {
            return Err(Error::usage(format!(
                "the metadata is `{}`; this build reads `{TRACE_SCHEMA}`: use the kvtrace that wrote it, or {way_out}",
                named.schema
            )));
        }
        serde_json::from_slice(json).map_err(not_ours)
    }

    /// The capacity of a tier, if the metadata says it; `Some(None)` is unlimited.
    pub fn capacity(&self, tier: Tier) -> Option<Option<u64>> {
        self.tiers.iter().find(|t| t.tier == tier).map(|t| t.capacity_bytes)
    }
}
