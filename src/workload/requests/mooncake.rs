//! Mooncake's traces (kvcache-ai/Mooncake, FAST'25 release): JSON lines with stamps in ms and the
//! ids of 512-token blocks of the prompt, the last of which may be partial; and what aiperf and
//! Dynamo add: sessions, delays instead of stamps, text instead of lengths.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::super::{Content, Segment, Tokenizer, names};
use super::entry::{Before, Entry, Reading, TurnOf};
use super::json_lines::{Outcome, Rows};
use super::scalar::{ContentId, Scalar};
use super::segments;
use crate::seed::hash_bytes;

/// A line. Other keys say nothing of the cache.
#[derive(Debug, Deserialize)]
pub struct Line {
    #[serde(default)]
    timestamp: Scalar,
    #[serde(default)]
    delay: Scalar,
    #[serde(default)]
    session_id: Scalar,
    #[serde(default)]
    input_length: Scalar,
    #[serde(default)]
    output_length: Scalar,
    #[serde(default)]
    hash_ids: Option<Vec<ContentId>>,
    #[serde(default)]
    text_input: Option<Value>,
    #[serde(default)]
    messages: Option<Value>,
}

/// What is said of lines without a length of the answer, which aiperf lets be absent.
const NO_ANSWER: &str = "request without output_length (used; an answer of 0 tokens assumed)";

/// What is kept of the lines so far: 64 bytes a session, and the prompt of one that has ids.
#[derive(Debug, Default)]
pub struct Mooncake {
    sessions: HashMap<u64, Session>,
    /// The stamp of the line before.
    at_ns: u64,
}

#[derive(Debug, Default)]
struct Session {
    at_ns: u64,
    answer: Option<Segment>,
    turns: u32,
    prompt: Vec<Segment>,
}

impl Rows for Mooncake {
    type Row = Line;

    fn entry(&mut self, line: Line, number: u64, reading: &Reading) -> Outcome {
        let Some(prompt_tokens) = length(&line, reading.tokenizer) else {
            return Outcome::Refused("request without a usable input_length, text_input or messages");
        };
        let is_assumed = line.output_length.is_absent();
        let answer_tokens = if is_assumed { Some(0) } else { line.output_length.tokens() };
        let Some(answer_tokens) = answer_tokens else {
            return Outcome::Refused("request whose output_length is no number of tokens");
        };
        if prompt_tokens == 0 && answer_tokens == 0 {
            return Outcome::Refused("request without any token");
        }
        let name = line.session_id.label().map(|id| names::plain(&id));
        let own = reading.local(number);
        let segments = match segments::of_ids(line.hash_ids.as_deref(), prompt_tokens, number, reading) {
            Ok(segments) => segments,
            Err(wrong) => return Outcome::Wrong(wrong),
        };
        let id = name.as_ref().map(|name| hash_bytes(name.as_bytes()));
        let Some(at_ns) = self.at(&line, id, reading) else {
            return Outcome::Refused("request whose timestamp or delay is no number");
        };
        reading.refusals.note(NO_ANSWER, u64::from(is_assumed));
        self.at_ns = at_ns;
        let (Some(name), Some(id)) = (name, id) else {
            let content = segments.map_or(Content::Conversation, segments::content);
            return Outcome::Entry(Entry { at_ns, prompt_tokens, answer_tokens, turn: None, content, answer: None });
        };
        let session = self.sessions.entry(id).or_default();
        let adds = session.turns > 0 && !line.delay.is_absent();
        let answer = segments::tail(answer_tokens, own.wrapping_add(1));
        let content = session.take(segments, adds, answer);
        let answer = answer.filter(|_| content != Content::Conversation).map(|answer| answer.id);
        (session.at_ns, session.turns) = (at_ns, session.turns + 1);
        let before = if adds { Before::NotCounted } else { Before::LastTurn };
        let turn = Some(TurnOf { id, name: Arc::from(name), before, is_last: false });
        Outcome::Entry(Entry { at_ns, prompt_tokens, answer_tokens, turn, content, answer })
    }
}

impl Mooncake {
    /// When a line's request comes: its stamp; else its delay after the request of its session
    /// before (how long the answer took is not in the file); else with the line before.
    fn at(&self, line: &Line, session: Option<u64>, reading: &Reading) -> Option<u64> {
        let unit_ns = reading.time_unit.ns();
        if !line.timestamp.is_absent() {
            return line.timestamp.stamp(unit_ns);
        }
        let before_ns = session.map_or(self.at_ns, |id| self.sessions.get(&id).map_or(0, |session| session.at_ns));
        if line.delay.is_absent() {
            return Some(before_ns);
        }
        before_ns.checked_add(line.delay.stamp(unit_ns)?)
    }
}

impl Session {
    /// The whole prompt of the next turn, where its parts have ids. A turn that gives only what it
    /// adds follows the prompt before and its answer, whose tokens nobody else has.
    fn take(&mut self, segments: Option<Vec<Segment>>, adds: bool, answer: Option<Segment>) -> Content {
        let answered = std::mem::replace(&mut self.answer, answer);
        let Some(segments) = segments else { return Content::Conversation };
        if adds {
            self.prompt.extend(answered);
            self.prompt.extend(segments);
        } else {
            self.prompt = segments;
        }
        segments::content(self.prompt.clone())
    }
}

/// Tokens of the prompt, or of what the turn adds to it.
fn length(line: &Line, tokenizer: Tokenizer) -> Option<u32> {
    if !line.input_length.is_absent() {
        return line.input_length.tokens();
    }
    line.text_input.as_ref().or(line.messages.as_ref()).map(|text| tokenizer.count(&text_of(text)))
}

/// The text of a request: plain, or messages with content that is text or a list of parts.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect(),
        Value::Object(fields) => {
            ["content", "text"].into_iter().filter_map(|key| fields.get(key)).map(text_of).collect()
        }
        _ => String::new(),
    }
}
