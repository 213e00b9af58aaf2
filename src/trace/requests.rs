//! A request of a recording: who asked for what, and how it was served.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::Name;

/// What kind of request it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// The first turn of a conversation, or a request without one.
    #[default]
    User,
    /// A later turn of a conversation.
    MultiTurn,
    /// A request that stored or used a shared system prompt.
    System,
    /// A retrieval over documents.
    Rag,
}

/// One request: who asked for what, and how the recording served it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestRow {
    /// Ordinal, the `Request` column of the trace.
    pub request: u64,
    /// Conversation, if any.
    pub conversation: Option<String>,
    /// Turn in the conversation, from 1 (0: none).
    pub turn: u32,
    /// User.
    pub user: String,
    /// QoS class: `interactive`, `responsive`, `batch`.
    pub qos: String,
    /// Kind.
    pub kind: RequestKind,
    /// When it arrived, ns since the start of the trace.
    pub arrival_ns: i64,
    /// When a worker took it.
    pub start_ns: i64,
    /// Prompt tokens.
    pub context_tokens: u32,
    /// Generated tokens.
    pub generate_tokens: u32,
    /// Modelled generation time.
    pub generation_ns: i64,
    /// Prompt tokens covered by a shared prefix.
    pub prefix_tokens: u32,
    /// Tokens found resident in any tier.
    pub hit_tokens: u32,
    /// Objects looked up.
    pub lookups: u32,
    /// Of these, found.
    pub hits: u32,
    /// Of these, missing.
    pub misses: u32,
    /// Hits among earlier turns.
    pub history_hits: u32,
    /// Misses among earlier turns.
    pub history_misses: u32,
    /// Hits of shared system prompts.
    pub prefix_hits: u32,
    /// Misses of shared system prompts.
    pub prefix_misses: u32,
    /// Hits among parts of documents.
    pub rag_hits: u32,
    /// Misses among parts of documents.
    pub rag_misses: u32,
}

/// What the lookups of one kind found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Objects looked up and found.
    pub hits: u32,
    /// Objects looked up and missing.
    pub misses: u32,
}

/// A request that was served, on its way into a requests file; a [`RequestRow`] comes out.
#[derive(Clone, Debug)]
pub struct Served {
    /// Ordinal, the `Request` column of the trace.
    pub request: u64,
    /// Conversation.
    pub conversation: Name,
    /// Turn in the conversation, from 1 (0: none).
    pub turn: u32,
    /// User.
    pub user: Name,
    /// QoS class.
    pub qos: &'static str,
    /// Kind.
    pub kind: RequestKind,
    /// When it arrived, ns since the start of the trace.
    pub arrival_ns: i64,
    /// When a worker took it.
    pub start_ns: i64,
    /// Prompt tokens.
    pub context_tokens: u32,
    /// Generated tokens.
    pub generate_tokens: u32,
    /// Modelled generation time.
    pub generation_ns: i64,
    /// Prompt tokens covered by a shared prefix.
    pub prefix_tokens: u32,
    /// Tokens found resident in any tier.
    pub hit_tokens: u32,
    /// What was looked up and found: the request's own objects (or token blocks), its history,
    /// its shared prefix, its documents.
    pub found: [Found; 4],
}

impl RequestRow {
    /// Becomes what was served, in the text that this row has room for already.
    pub fn spell(&mut self, served: &Served) {
        let hits = served.found.iter().map(|found| found.hits).sum();
        let misses = served.found.iter().map(|found| found.misses).sum();
        let [_, history, prefix, rag] = served.found;
        *self = Self {
            request: served.request,
            conversation: Some(respell(self.conversation.take().unwrap_or_default(), &served.conversation)),
            turn: served.turn,
            user: respell(std::mem::take(&mut self.user), &served.user),
            qos: replace(std::mem::take(&mut self.qos), served.qos),
            kind: served.kind,
            arrival_ns: served.arrival_ns,
            start_ns: served.start_ns,
            context_tokens: served.context_tokens,
            generate_tokens: served.generate_tokens,
            generation_ns: served.generation_ns,
            prefix_tokens: served.prefix_tokens,
            hit_tokens: served.hit_tokens,
            lookups: hits + misses,
            hits,
            misses,
            history_hits: history.hits,
            history_misses: history.misses,
            prefix_hits: prefix.hits,
            prefix_misses: prefix.misses,
            rag_hits: rag.hits,
            rag_misses: rag.misses,
        };
    }
}

/// The name, in the memory of an older text.
fn respell(text: String, name: &Name) -> String {
    let mut bytes = text.into_bytes();
    bytes.clear();
    name.push(&mut bytes);
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn replace(mut text: String, new: &str) -> String {
    text.clear();
    text.push_str(new);
    text
}

impl RequestKind {
    /// All kinds.
    pub const ALL: [RequestKind; 4] =
        [RequestKind::User, RequestKind::MultiTurn, RequestKind::System, RequestKind::Rag];

    /// The word in a requests file.
    pub fn word(self) -> &'static str {
        match self {
            RequestKind::User => "user",
            RequestKind::MultiTurn => "multi_turn",
            RequestKind::System => "system",
            RequestKind::Rag => "rag",
        }
    }
}

impl FromStr for RequestKind {
    type Err = &'static str;

    /// # Errors
    /// The words that are allowed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.word() == text).ok_or("user, multi_turn, system or rag")
    }
}
