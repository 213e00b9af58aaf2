//! What a source of requests asks for: how many, how long, how evenly, by whom. Of traces of
//! requests that other systems wrote, of lookups, and of the requests file of a recording.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::measure::{Histogram, LogLinear};
use crate::stop::Stop;
use crate::trace::RequestRow;
use crate::workload::{Content, Request};

use super::ANALYSIS_SCHEMA;
use super::summary::distinct::hash;
use super::summary::{Arrivals, Rates, Turns};

/// Requests between two looks at the stop flag.
const STRIDE: u64 = 1024;

/// The summary of requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestsSummary {
    /// [`ANALYSIS_SCHEMA`].
    pub schema: &'static str,
    /// `summary`.
    pub kind: &'static str,
    /// `requests`.
    pub of: &'static str,
    /// The tool that wrote it, with its version.
    pub tool: &'static str,
    /// What was read.
    pub inputs: Vec<RequestsInput>,
    /// The format of the files.
    pub format: String,
    /// Requests.
    pub rows: u64,
    /// From the first arrival to the last.
    pub span_s: f64,
    /// Requests a second; none without a span.
    pub requests_per_s: Option<f64>,
    /// Tokens of prompts: whole prompts where ids say what they hold, else what each request adds.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub answer_tokens: u64,
    /// Tokens of prompts and of answers, by request.
    pub tokens: Vec<Histogram>,
    /// How evenly requests arrive.
    pub burstiness: Vec<Arrivals>,
    /// Conversations; a request without one is one of its own.
    pub conversations: u64,
    /// How long conversations are.
    pub turns: Option<Turns>,
    /// Requests by a property that the file has (`kind`, `qos`), then by its value.
    pub by: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Token blocks in prompts, where prompts have ids.
    pub blocks: Option<u64>,
    /// Different ones.
    pub distinct_blocks: Option<u64>,
    /// Stamps that lie below that of a request above them; they were put in order.
    pub inversions: Option<u64>,
    /// What was left out or assumed, by reason.
    pub skipped: BTreeMap<String, u64>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestsInput {
    /// Its path as it was typed or found.
    pub file: String,
    /// Its sha256, in hex.
    pub sha256: String,
}

/// Requests as they come, in time order.
pub struct RequestsTally {
    first_ns: Option<u64>,
    last_ns: u64,
    rows: u64,
    prompt: LogLinear,
    answer: LogLinear,
    arrivals: Rates,
    turns: FxHashMap<u64, u32>,
    by: BTreeMap<&'static str, BTreeMap<String, u64>>,
    blocks: u64,
    distinct: FxHashSet<u64>,
}

impl Default for RequestsTally {
    fn default() -> Self {
        Self {
            first_ns: None,
            last_ns: 0,
            rows: 0,
            prompt: LogLinear::times(),
            answer: LogLinear::times(),
            arrivals: Rates::default(),
            turns: FxHashMap::default(),
            by: BTreeMap::new(),
            blocks: 0,
            distinct: FxHashSet::default(),
        }
    }
}

impl RequestsTally {
    fn arrive(&mut self, at_ns: u64, prompt: u64, answer: u64) {
        let first_ns = *self.first_ns.get_or_insert(at_ns);
        self.last_ns = self.last_ns.max(at_ns);
        self.rows += 1;
        self.prompt.record(prompt);
        self.answer.record(answer);
        self.arrivals.count(self.last_ns.saturating_sub(first_ns), 0);
    }

    fn turn(&mut self, conversation: u64, turn: u32) {
        let longest = self.turns.entry(conversation).or_insert(turn);
        *longest = turn.max(*longest);
    }

    /// Adds a request of another system's trace.
    pub fn add(&mut self, request: &Request) {
        self.add_of(request, request.conversation_ordinal);
    }

    /// Adds a request whose source knows no conversations, by its place.
    pub fn add_lone(&mut self, request: &Request, place: u64) {
        self.add_of(request, place);
    }

    fn add_of(&mut self, request: &Request, conversation: u64) {
        let mut prompt = u64::from(request.context_tokens);
        if let Content::Segments(segments) = &request.content {
            prompt = segments.iter().map(|segment| u64::from(segment.tokens)).sum();
            self.blocks += segments.len() as u64;
            self.distinct.extend(segments.iter().map(|segment| segment.id));
        }
        self.arrive(request.arrival_ns, prompt, request.generate_tokens.into());
        self.turn(conversation, request.turn);
    }

    /// Adds a request of a recording.
    pub fn add_row(&mut self, row: &RequestRow) {
        self.arrive(row.arrival_ns.max(0) as u64, row.context_tokens.into(), row.generate_tokens.into());
        let name = row.conversation.as_deref().unwrap_or_default();
        let conversation = if name.is_empty() { hash(&row.request.to_le_bytes()) } else { hash(name.as_bytes()) };
        self.turn(conversation, row.turn);
        for (property, value) in [("kind", row.kind.word()), ("qos", row.qos.as_str())] {
            *self.by.entry(property).or_default().entry(value.to_owned()).or_default() += 1;
        }
    }

    /// Adds all requests of a source.
    ///
    /// # Errors
    /// Those of the source, and that the user asked to stop.
    pub fn add_all(&mut self, requests: impl Iterator<Item = Result<Request>>, stop: &Stop) -> Result<()> {
        for request in requests {
            self.add(&request?);
            if self.rows.is_multiple_of(STRIDE) && stop.requested() {
                return Err(Error::interrupted(format!("interrupted after {} requests", self.rows)));
            }
        }
        Ok(())
    }

    /// Requests so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The summary.
    ///
    /// # Errors
    /// When there is no request.
    pub fn summary(self, format: &str, inputs: Vec<RequestsInput>) -> Result<RequestsSummary> {
        if self.rows == 0 {
            let files: Vec<_> = inputs.iter().map(|input| input.file.as_str()).collect();
            return Err(Error::usage(format!("{} holds no request that can be used", files.join(" "))));
        }
        let span_s = self.first_ns.map_or(0.0, |first| (self.last_ns - first) as f64 / 1e9);
        let (prompt, answer) = (self.prompt.save("prompt", None, "tokens"), self.answer.save("answer", None, "tokens"));
        Ok(RequestsSummary {
            schema: ANALYSIS_SCHEMA,
            kind: "summary",
            of: "requests",
            tool: crate::TOOL,
            inputs,
            format: format.to_owned(),
            rows: self.rows,
            span_s,
            requests_per_s: (span_s > 0.0).then(|| self.rows as f64 / span_s),
            prompt_tokens: prompt.sum as u64,
            answer_tokens: answer.sum as u64,
            tokens: vec![prompt, answer],
            burstiness: vec![Arrivals { of: "requests", windows: self.arrivals.burstiness() }],
            conversations: self.turns.len() as u64,
            turns: Turns::of(self.turns.values().copied()),
            by: self.by,
            blocks: (self.blocks > 0).then_some(self.blocks),
            distinct_blocks: (self.blocks > 0).then_some(self.distinct.len() as u64),
            inversions: None,
            skipped: BTreeMap::new(),
        })
    }
}
