//! One item of a ShareGPT file: who said what, and how many tokens that is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::json_items::{Broken, Item};
use super::super::{Tokenizer, Turn};
use super::filter::Filter;

/// What an item holds.
#[derive(Debug)]
pub enum Parsed {
    /// A conversation with at least one turn.
    Dialogue(Dialogue),
    /// Nothing of use, and why.
    Skipped(&'static str),
    /// Nothing that the filter lets through, and why.
    Filtered(&'static str),
}

/// A conversation as the file has it.
#[derive(Debug)]
pub struct Dialogue {
    pub id: Option<String>,
    pub turns: Vec<Turn>,
    /// Messages that were left out, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Whether some of its bytes were no text, and counted as replacement characters.
    pub is_replaced: bool,
}

#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(default)]
    id: Value,
    #[serde(borrow, default)]
    conversations: Option<Vec<Message<'a>>>,
    #[serde(borrow, default)]
    conversation: Option<Vec<Message<'a>>>,
    #[serde(borrow, default)]
    messages: Option<Vec<Message<'a>>>,
    #[serde(borrow, default)]
    items: Option<Vec<Message<'a>>>,
    #[serde(borrow, default)]
    system: Option<Text<'a>>,
    #[serde(borrow, default)]
    tools: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    from: Option<Text<'a>>,
    #[serde(borrow, default)]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
}

/// Text, also with lone surrogates and control characters, which real files have; or a list of
/// parts of which the text counts.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a list of parts")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Text(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let mut text = String::new();
                while let Some(part) = parts.next_element::<Value>()? {
                    text.push_str(part.as_str().or_else(|| part.get("text")?.as_str()).unwrap_or_default());
                }
                Ok(Text(Cow::Owned(text)))
            }
        }

        deserializer.deserialize_bytes(Any)
    }
}

enum Role {
    /// Text that comes before the answer: the user's, a system prompt, what a tool said.
    Prompt { asks: bool },
    /// The model's.
    Answer,
}

fn role(word: &str) -> Option<Role> {
    match word.to_ascii_lowercase().as_str() {
        "human" | "user" => Some(Role::Prompt { asks: true }),
        "gpt" | "chatgpt" | "assistant" | "bing" | "bard" | "model" => Some(Role::Answer),
        "system" => Some(Role::Prompt { asks: false }),
        "tool" | "function_call" | "function_response" | "observation" => Some(Role::Prompt { asks: true }),
        _ => None,
    }
}

/// Reads an item, of which `filter` may leave out more.
///
/// # Errors
/// When it is not JSON at all.
pub fn parse(item: &Item, tokenizer: Tokenizer, filter: Option<Filter>) -> Result<Parsed, Broken> {
    if item.json.first() != Some(&b'{') {
        return valid(item).map(|()| Parsed::Skipped("item that is not an object"));
    }
    let Ok(shape) = serde_json::from_slice::<Shape<'_>>(&item.json) else {
        return valid(item).map(|()| Parsed::Skipped("conversation of an unknown shape"));
    };
    let is_replaced = std::str::from_utf8(&item.json).is_err();
    let Shape { id, conversations, conversation, messages, items, system, tools } = shape;
    let lists = [conversations, conversation, messages, items];
    let messages = lists.into_iter().flatten().find(|list| !list.is_empty()).unwrap_or_default();
    if messages.is_empty() {
        return Ok(Parsed::Skipped("item without messages"));
    }
    if filter == Some(Filter::Vllm) {
        let texts = messages.iter().map(Message::text);
        return Ok(match super::filter::first_exchange(texts, tokenizer) {
            Ok(turn) => {
                Parsed::Dialogue(Dialogue { id: id_of(id), turns: vec![turn], skipped: BTreeMap::new(), is_replaced })
            }
            Err(reason) => Parsed::Filtered(reason),
        });
    }
    let before = [system, tools].into_iter().flatten().map(|text| tokenizer.count(&text.0));
    let mut turns = Turns { pending: before.fold(0, u32::saturating_add), ..Turns::default() };
    for message in &messages {
        turns.take(message, tokenizer);
    }
    if turns.asked {
        turns.skip("message that nobody answered");
    }
    if turns.done.is_empty() {
        return Ok(Parsed::Skipped("conversation without a question and an answer"));
    }
    Ok(Parsed::Dialogue(Dialogue { id: id_of(id), turns: turns.done, skipped: turns.skipped, is_replaced }))
}

fn id_of(id: Value) -> Option<String> {
    match id {
        Value::String(id) => Some(id),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

impl Message<'_> {
    fn text(&self) -> &str {
        self.value.as_ref().or(self.content.as_ref()).map_or("", |text| &text.0)
    }
}

/// Turns in the making.
#[derive(Default)]
struct Turns {
    done: Vec<Turn>,
    /// Prompt tokens since the last answer.
    pending: u32,
    /// Whether there was a question since the last answer.
    asked: bool,
    skipped: BTreeMap<&'static str, u64>,
}

impl Turns {
    fn take(&mut self, message: &Message<'_>, tokenizer: Tokenizer) {
        let word = message.from.as_ref().or(message.role.as_ref());
        let Some(role) = word.and_then(|word| role(&word.0)) else {
            return self.skip("message of an unknown role");
        };
        let tokens = tokenizer.count(message.text());
        match role {
            Role::Prompt { asks } => {
                self.pending = self.pending.saturating_add(tokens);
                self.asked |= asks;
            }
            Role::Answer if self.asked => {
                self.done.push(Turn { context_tokens: self.pending, generate_tokens: tokens });
                (self.pending, self.asked) = (0, false);
            }
            // Nobody asked: more of the same answer, or, at the start, the end of an earlier part
            // of the conversation, which its first prompt carries along.
            Role::Answer => match self.done.last_mut() {
                Some(turn) => turn.generate_tokens = turn.generate_tokens.saturating_add(tokens),
                None => self.pending = self.pending.saturating_add(tokens),
            },
        }
    }

    fn skip(&mut self, reason: &'static str) {
        *self.skipped.entry(reason).or_insert(0) += 1;
    }
}

/// Whether an item is JSON, whatever its shape.
fn valid(item: &Item) -> Result<(), Broken> {
    serde_json::from_slice::<IgnoredAny>(&item.json).map(|_| ()).map_err(|error| {
        let lines = item.json.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
        let before: usize = lines.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        Broken::Wrong { at: item.offset + before as u64, what: format!("not JSON: {what}") }
    })
}
