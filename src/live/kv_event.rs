//! KV events as engines publish them: batches of blocks that were stored, removed or cleared, by
//! the medium that holds them (vLLM's `vllm/distributed/kv_events.py`; SGLang and llm-d use the
//! same three events).

use super::hash::BlockHash;

/// What one message holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KvBatch {
    /// When it was made, seconds of the engine's wall clock: the only time that there is.
    pub at_s: f64,
    /// The data-parallel rank that made it, where it says.
    pub rank: Option<u64>,
    /// What happened, in its order.
    pub events: Vec<KvEvent>,
}

/// What happened to token blocks.
#[derive(Clone, Debug, PartialEq)]
pub enum KvEvent {
    /// Blocks entered a cache.
    Stored(Stored),
    /// Blocks left a cache.
    Removed {
        /// Which.
        blocks: Vec<BlockHash>,
        /// From where, as the engine says it.
        medium: Option<String>,
        /// The group of layers that they are of.
        group: u64,
    },
    /// All blocks left.
    Cleared,
}

/// Blocks that entered a cache, in the order of the prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// Which.
    pub blocks: Vec<BlockHash>,
    /// The block before the first one; none at the beginning of a prompt.
    pub parent: Option<BlockHash>,
    /// Tokens whose ids the event carries: those of all blocks, or none where it is a placeholder.
    pub tokens: u64,
    /// Tokens of a block; 0 where the event does not say.
    pub block_tokens: u64,
    /// Whether the blocks are those of a LoRA adapter.
    pub lora: bool,
    /// Where, as the engine says it.
    pub medium: Option<String>,
    /// The group of layers that they are of.
    pub group: u64,
}

impl KvEvent {
    /// The word in results.
    pub fn word(&self) -> &'static str {
        match self {
            KvEvent::Stored(_) => "stored",
            KvEvent::Removed { .. } => "removed",
            KvEvent::Cleared => "cleared",
        }
    }
}

/// The tier that a medium is, 0 GPU, 1 CPU, 2 storage; none for a word that nobody is known to use.
/// vLLM: `GPU`, `CPU`, `FS`, `OBJ`, `STORAGE`; llm-d: `SHARED_STORAGE`, `OBJECT_STORE`; SGLang:
/// `CPU_TIER1`, `CPU_TIER2`; Dynamo: `CPU_PINNED`, `DISK`, `NVME`. An event without one is of the
/// GPU: the field is younger than the event.
pub fn tier_of(medium: &str) -> Option<u8> {
    match medium.to_ascii_uppercase().as_str() {
        "GPU" => Some(0),
        "CPU" | "CPU_PINNED" | "CPU_TIER1" | "CPU_TIER2" => Some(1),
        "FS" | "OBJ" | "STORAGE" | "SHARED_STORAGE" | "OBJECT_STORE" | "DISK" | "NVME" => Some(2),
        _ => None,
    }
}

/// What an event without a medium is called in results.
pub const NO_MEDIUM: &str = "GPU";
