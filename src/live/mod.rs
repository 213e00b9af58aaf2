//! What engines say of their caches while they run: KV events of vLLM, SGLang and llm-d, and the
//! lookup logs of LMCache. Decoders and readers of recordings; nothing here opens a socket.

mod batch;
mod hash;
pub mod kv_event;
pub mod likeness;
pub mod lookups;
pub mod recording;
mod tally;
mod value;

pub use batch::decode;
pub use hash::BlockHash;
pub use kv_event::{KvBatch, KvEvent, Stored};
pub use likeness::{LiveKind, kind_of};
pub use lookups::{Lookup, Lookups};
pub use recording::{EventRecording, Frame};
pub use tally::Tally;
pub use value::Value;
