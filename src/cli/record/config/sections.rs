//! The sections of the reference's config.yaml whose keys are single values: what is allowed, and
//! where each of them goes.

use super::node::At;

/// What a key allows.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Whole(u64, u64),
    Real(f64, f64),
    /// A word, and what a flag calls it.
    Word(&'static [(&'static str, &'static str)]),
}

/// Where the value of a key goes.
#[derive(Clone, Copy, Debug)]
pub enum Goes {
    /// It is what this flag sets.
    Flag(&'static str),
    /// It is what this flag sets, with something before the value.
    Prefixed(&'static str, &'static str),
    /// It is what this flag sets for sources that hold text, and nothing for others.
    Text(&'static str),
    /// It is what this flag sets where tokens are estimated by characters.
    Estimate(&'static str),
    /// It is what this flag sets, if there are documents.
    Documents(&'static str),
    /// It is the least or the most (`true`) tokens of a document with a small or a large (`true`)
    /// model.
    DocumentTokens(bool, bool),
    /// It is the largest value that this flag takes.
    Limit(&'static str),
    /// Nowhere: what it is about does not happen in a recording.
    Nowhere(&'static str),
}

/// A key of a section.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub goes: Goes,
}

const fn key(name: &'static str, kind: Kind, goes: Goes) -> Key {
    Key { name, kind, goes }
}

/// Any count.
const COUNT: Kind = Kind::Whole(0, u32::MAX as u64);
const ABOVE_ZERO: Kind = Kind::Whole(1, u32::MAX as u64);
const TOKENS: Kind = Kind::Whole(1, 1_000_000);
const SHARE: Kind = Kind::Real(0.0, 1.0);
const FILL: Kind = Kind::Real(0.05, 1.0);
const POSITIVE: Kind = Kind::Real(0.0, 1e18);

const DISTRIBUTION: Kind = Kind::Word(&[("zipfian", "zipfian"), ("uniform", "uniform"), ("random", "uniform")]);

/// Why a key has no effect.
const NOT_RECURSIVE: Goes = Goes::Nowhere("evictions here are neither recursive nor bounded in number");
const RUNNING: Goes = Goes::Nowhere("it is about running a benchmark, not about recording");

/// The sections by name.
pub const SECTIONS: [(&str, &[Key]); 10] = [
    (
        "eviction",
        &[
            key("max_recursion_depth", COUNT, NOT_RECURSIVE),
            key("target_usage_ratio", FILL, Goes::Flag("target-usage")),
            key("large_entry_limit_ratio", FILL, Goes::Flag("largest-object")),
            key("max_evictions_hard_cap", COUNT, NOT_RECURSIVE),
            key("max_evictions_min", COUNT, NOT_RECURSIVE),
        ],
    ),
    (
        "gpu_backend",
        &[
            key("memory_fraction", SHARE, RUNNING),
            key("max_eviction_attempts", COUNT, RUNNING),
            key("free_memory_threshold", SHARE, RUNNING),
        ],
    ),
    (
        "prefix_cache",
        &[
            key("min_prefix_length", COUNT, Goes::Flag("min-prefix-tokens")),
            key("max_prefix_entries", ABOVE_ZERO, Goes::Flag("max-prefixes")),
            key("system_prompt_hit_probability", SHARE, Goes::Flag("system-prompt-probability")),
        ],
    ),
    (
        "rag",
        &[
            key("chunk_size_tokens", ABOVE_ZERO, Goes::Documents("rag-chunk-tokens")),
            key("top_k_chunks", ABOVE_ZERO, Goes::Documents("rag-top-k")),
            key("max_chunk_bytes", Kind::Whole(1, 1 << 40), Goes::Documents("rag-max-chunk-bytes")),
            key("request_probability", SHARE, Goes::Documents("rag-request-probability")),
            key("retrieval_distribution", DISTRIBUTION, Goes::Documents("rag-distribution")),
            key("max_documents", COUNT, Goes::Documents("rag-max-documents")),
            key("large_model_doc_tokens_min", TOKENS, Goes::DocumentTokens(true, false)),
            key("large_model_doc_tokens_max", TOKENS, Goes::DocumentTokens(true, true)),
            key("small_model_doc_tokens_min", TOKENS, Goes::DocumentTokens(false, false)),
            key("small_model_doc_tokens_max", TOKENS, Goes::DocumentTokens(false, true)),
        ],
    ),
    (
        "conversation",
        &[
            key("max_conversations", ABOVE_ZERO, Goes::Flag("live-conversations")),
            key("max_turns_per_conv", ABOVE_ZERO, Goes::Flag("max-turns")),
            key("end_conversation_probability", SHARE, Goes::Flag("end-conversation-probability")),
        ],
    ),
    (
        "autoscaler",
        &[
            key("min_users", COUNT, RUNNING),
            key("max_users", COUNT, RUNNING),
            key("scale_up_factor", POSITIVE, RUNNING),
            key("scale_down_factor", POSITIVE, RUNNING),
            key("consecutive_samples_required", COUNT, RUNNING),
        ],
    ),
    ("decode", &[key("batch_size", ABOVE_ZERO, Goes::Prefixed("decode-reads", "rescan:"))]),
    (
        "sharegpt",
        &[
            key("max_context_tokens", ABOVE_ZERO, Goes::Text("max-context-tokens")),
            key("max_generation_tokens", ABOVE_ZERO, Goes::Text("max-generation-tokens")),
            key("chars_per_token_estimate", Kind::Whole(1, 64), Goes::Estimate("chars-per-token")),
        ],
    ),
    (
        "saturation_detection",
        &[
            key("read_latency_p95_threshold_ms", POSITIVE, RUNNING),
            key("write_latency_p95_threshold_ms", POSITIVE, RUNNING),
            key("queue_depth_threshold", COUNT, RUNNING),
            key("history_window_size", COUNT, RUNNING),
        ],
    ),
    (
        "validation_limits",
        &[
            key("max_users", ABOVE_ZERO, Goes::Limit("num-users")),
            key("max_duration_seconds", ABOVE_ZERO, Goes::Limit("duration")),
            key("max_gpu_memory_gb", POSITIVE, Goes::Limit("gpu-mem-gb")),
            key("max_cpu_memory_gb", POSITIVE, Goes::Limit("cpu-mem-gb")),
        ],
    ),
];

impl Kind {
    /// The value as a flag takes it.
    pub fn check(self, at: &At<'_>) -> Result<String, String> {
        match self {
            Kind::Whole(low, high) => at.whole(low, high).map(|value| value.to_string()),
            Kind::Real(low, high) => at.real(low, high).map(|value| value.to_string()),
            Kind::Word(words) => {
                let word = at.text().unwrap_or_default();
                let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
                let ours = words.iter().find(|(known, _)| *known == word).map(|(_, ours)| (*ours).to_owned());
                ours.ok_or_else(|| at.not(&format!("one of {}", known.join(", "))))
            }
        }
    }
}
