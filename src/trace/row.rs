//! A row on its way into a trace. What comes out of one is a [`Record`].

use super::name::{Key, Name};
use super::record::{Op, Phase, Record, Tier};

/// A row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Nanoseconds since the start of the trace: the moment the tier is asked, before it queues.
    pub at_ns: i64,
    /// The object's size, above 0.
    pub size_bytes: u64,
    /// The object's name.
    pub key: Key,
    /// The conversation of the request that caused the row; none for background work.
    pub conversation: Option<Name>,
    /// The ordinal of that request.
    pub request: Option<u64>,
    /// Its turn, from 1 (0: outside a conversation).
    pub turn: Option<u32>,
    /// The tokens that the object holds.
    pub tokens: Option<u32>,
    /// The direction.
    pub op: Op,
    /// The tier that is asked.
    pub tier: Tier,
    /// Why.
    pub phase: Phase,
}

impl From<&Record> for Row {
    fn from(record: &Record) -> Self {
        Self {
            at_ns: record.at_ns,
            size_bytes: record.size_bytes,
            key: Key::Text(record.key.clone()),
            conversation: record.conversation.clone().map(Name::Text),
            request: record.request,
            turn: record.turn,
            tokens: record.tokens,
            op: record.op,
            tier: record.tier,
            phase: record.phase,
        }
    }
}
