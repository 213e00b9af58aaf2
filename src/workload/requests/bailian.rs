//! Qwen-Bailian's traces (alibaba-edu/qwen-bailian-usagetraces-anon): JSON lines with stamps in
//! seconds, the ids of 16-token blocks of the prompt, and chats that continue chats. A tree of
//! chats is one conversation, named by its root; a chat whose parent is not above it in the file
//! is a root.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::seed::hash_bytes;

use super::super::names;
use super::asked::Asked;
use super::entry::{Before, Entry, Reading, TurnOf};
use super::json_lines::{Outcome, Rows};
use super::scalar::{ContentId, Scalar};
use super::segments;

/// A line. Other keys say nothing of the cache.
#[derive(Debug, Deserialize)]
pub struct Line {
    #[serde(default)]
    chat_id: Scalar,
    #[serde(default)]
    parent_chat_id: Scalar,
    #[serde(default)]
    timestamp: Scalar,
    #[serde(default)]
    input_length: Scalar,
    #[serde(default)]
    output_length: Scalar,
    #[serde(default)]
    hash_ids: Option<Vec<ContentId>>,
}

/// The chats so far, some 60 bytes each.
#[derive(Debug, Default)]
pub struct Bailian {
    chats: FxHashMap<u64, Chat>,
}

#[derive(Clone, Debug)]
struct Chat {
    root: u64,
    name: Arc<str>,
    prompt_tokens: u32,
    answer_tokens: u32,
}

impl Rows for Bailian {
    type Row = Line;

    fn entry(&mut self, line: Line, number: u64, reading: &Reading) -> Outcome {
        let asked = Asked::of(&line.timestamp, &line.input_length, &line.output_length, reading);
        let Asked { at_ns, prompt_tokens, answer_tokens } = match asked {
            Ok(asked) => asked,
            Err(why) => return Outcome::Refused(why),
        };
        let Some(chat_id) = line.chat_id.label() else {
            return Outcome::Refused("request without a chat_id");
        };
        let content = match segments::of_line(line.hash_ids.as_deref(), prompt_tokens, number, reading) {
            Ok(content) => content,
            Err(wrong) => return Outcome::Wrong(wrong),
        };
        let parent = line.parent_chat_id.label().and_then(|id| self.chats.get(&hash_bytes(id.as_bytes())));
        let id = hash_bytes(chat_id.as_bytes());
        let before = parent.map_or(Before::LastTurn, |parent| Before::Turn {
            prompt_tokens: parent.prompt_tokens,
            answer_tokens: parent.answer_tokens,
        });
        let (root, name) = match parent {
            Some(parent) => (parent.root, Arc::clone(&parent.name)),
            None => (reading.local(id), root_name(&chat_id, reading)),
        };
        self.chats.insert(id, Chat { root, name: Arc::clone(&name), prompt_tokens, answer_tokens });
        let turn = Some(TurnOf { id: root, name, before, is_last: false });
        Outcome::Entry(Entry { at_ns, prompt_tokens, answer_tokens, turn, content, answer: None })
    }
}

/// Chats are numbered in every file anew.
fn root_name(chat_id: &str, reading: &Reading) -> Arc<str> {
    let name = names::plain(chat_id);
    if reading.number == 0 { name.into() } else { format!("{}/{name}", reading.number + 1).into() }
}
