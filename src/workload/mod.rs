//! What users ask, before any cache: requests, and the sources that they come from. A source is
//! an iterator, streams its input, and counts what it leaves out by reason.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::trace::Name;

mod agenda;
mod arrivals;
mod conversation;
mod json_items;
mod names;
mod paced;
mod persona;
mod pipeline;
pub mod prompts;
mod rag;
mod refusals;
mod requests;
mod sharegpt;
mod synthetic;
mod text_file;
mod tokens;

pub use agenda::Agenda;
pub use arrivals::ArrivalRate;
pub use conversation::{Conversation, Turn};
pub use paced::Paced;
pub use persona::{Character, Population, PromptSharing, TEMPLATE_NAMES, Template};
pub use rag::{Distribution, RagOptions, WithQueries};
pub use requests::{
    Format as TraceFormat, RequestTrace, TimeUnit, TraceFacts, TraceOptions, expand as trace_files,
    format_of as trace_format,
};
pub use sharegpt::{Filter, ShareGpt, ShareGptOptions};
pub use synthetic::{Synthetic, SyntheticOptions};
pub use tokens::Tokenizer;

/// Requests in the order of their arrival.
pub type Requests = Box<dyn Iterator<Item = Result<Request>>>;
/// Conversations in the order in which they begin.
pub type Conversations = Box<dyn Iterator<Item = Result<Conversation>>>;

/// Where requests come from, and what makes them come.
pub enum Workload {
    /// They arrive by the clock, whether or not anybody is free.
    Open(Requests),
    /// Every worker holds one conversation and takes it turn by turn, each turn when the one
    /// before is answered.
    Closed(Conversations),
}

/// The service class of a user (the reference's QoS levels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// Served last.
    Batch,
    /// Served before batch.
    Responsive,
    /// Served first.
    Interactive,
}

impl Qos {
    /// The word in files.
    pub fn word(self) -> &'static str {
        match self {
            Qos::Interactive => "interactive",
            Qos::Responsive => "responsive",
            Qos::Batch => "batch",
        }
    }

    /// All of them, in their order.
    pub const ALL: [Qos; 3] = [Qos::Batch, Qos::Responsive, Qos::Interactive];

    /// The class for a uniform draw in `[0, 1)`, as the default population distributes them.
    fn of(draw: f64) -> Self {
        Population::REFERENCE.qos(draw)
    }
}

/// A run of prompt tokens that has an identity: equal ids are equal tokens, wherever they occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What the tokens are.
    pub id: u64,
    /// How many, above 0.
    pub tokens: u32,
}

/// What is known of the tokens of a prompt, for caches that go by content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// That they are a shared prefix, then the conversation so far, then this turn's own.
    #[default]
    Conversation,
    /// All of them, the turns before included, from the prompt's first token on.
    Segments(Box<[Segment]>),
}

/// One request: what a user asks in one turn. A source fills in what it knows and takes the rest
/// from [`Request::default`].
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The user's name.
    pub user: Name,
    /// The user's class.
    pub qos: Qos,
    /// The conversation's name, unique in the source.
    pub conversation: Name,
    /// The conversation's number, unique in the source.
    pub conversation_ordinal: u64,
    /// The turn in it, from 1.
    pub turn: u32,
    /// Whether the conversation ends with this turn.
    pub last_turn: bool,
    /// When it arrives, ns from the start; 0 in a closed workload.
    pub arrival_ns: u64,
    /// Tokens that this turn adds to the prompt, a shared prefix not counted.
    pub context_tokens: u32,
    /// Tokens of the answer.
    pub generate_tokens: u32,
    /// The shared system prompt in front of it, as an index of [`prompts::ALL`].
    pub prefix: Option<u8>,
    /// What the prompt's tokens are.
    pub content: Content,
    /// The id of the answer's tokens, where the [segments](Content::Segments) of a later prompt name
    /// them.
    pub answer: Option<u64>,
    /// Whether it asks about documents: its prompt is then what is retrieved, if anything is.
    pub about_documents: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            user: Name::default(),
            qos: Qos::Batch,
            conversation: Name::default(),
            conversation_ordinal: 0,
            turn: 1,
            last_turn: true,
            arrival_ns: 0,
            context_tokens: 0,
            generate_tokens: 0,
            prefix: None,
            content: Content::Conversation,
            answer: None,
            about_documents: false,
        }
    }
}

/// What a source left out, by reason. Cloning shares the counts.
#[derive(Clone, Debug, Default)]
pub struct Skipped(Arc<Mutex<BTreeMap<String, u64>>>);

impl Skipped {
    /// Counts one item that is left out.
    pub fn count(&self, reason: &str) {
        self.add(reason, 1);
    }

    /// Counts `items` that are left out.
    pub fn add(&self, reason: &str, items: u64) {
        let mut counts = self.0.lock().expect("no holder of this lock panics");
        match counts.get_mut(reason) {
            Some(count) => *count += items,
            None => {
                counts.insert(reason.to_owned(), items);
            }
        }
    }

    /// The counts so far.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.lock().expect("no holder of this lock panics").clone()
    }
}
