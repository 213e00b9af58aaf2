//! JSON of a request, with only what is known to say nothing of anybody: a field that is not on the
//! list goes, whatever it holds.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::workload::Tokenizer;

use super::salt::Salt;

/// What becomes of a field.
#[derive(Clone, Copy)]
enum Fate {
    /// A number or a truth value stays.
    Plain,
    /// One of these words stays.
    Word(&'static [&'static str]),
    /// A stamp is shifted.
    Stamp,
    /// An id, or a list of them, becomes numbers; one below 0 says that there is none.
    Ids(&'static str),
    /// A name becomes another.
    Name(&'static str),
    /// A list of hashes in hex.
    Hashes(&'static str),
    /// Numbers, in lists of lists.
    Numbers,
    /// Objects like this one.
    Nested,
    /// A list of words of the format.
    Words(&'static [&'static str]),
}

const KINDS: &[&str] =
    &["text", "search", "image", "file", "thinking", "coder", "mooncake_trace", "n", "s", "subagent"];
const CONTENT: &[&str] = &["text", "image", "tool_use", "tool_result", "thinking", "document"];
const DTYPES: &[&str] = &[
    "float16",
    "bfloat16",
    "float32",
    "half",
    "float",
    "uint8",
    "int8",
    "fp8",
    "float8_e4m3fn",
    "float8_e5m2",
    "torch.float16",
    "torch.bfloat16",
    "torch.float32",
    "torch.uint8",
];

/// The fields of all formats that may stay.
const FIELDS: [(&str, Fate); 32] = [
    ("timestamp", Fate::Stamp),
    ("t", Fate::Plain),
    ("delay", Fate::Plain),
    ("input_length", Fate::Plain),
    ("output_length", Fate::Plain),
    ("hash_ids", Fate::Ids("block")),
    ("session_id", Fate::Name("conversation")),
    ("chat_id", Fate::Ids("conversation")),
    ("parent_chat_id", Fate::Ids("conversation")),
    ("turn", Fate::Plain),
    ("type", Fate::Word(KINDS)),
    ("id", Fate::Name("conversation")),
    ("agent_id", Fate::Name("conversation")),
    ("model", Fate::Name("model")),
    ("model_name", Fate::Name("model")),
    ("block_size", Fate::Plain),
    ("hash_id_scope", Fate::Word(&["local", "global"])),
    ("tool_tokens", Fate::Plain),
    ("system_tokens", Fate::Plain),
    ("requests", Fate::Nested),
    ("in", Fate::Plain),
    ("out", Fate::Plain),
    ("input_types", Fate::Words(CONTENT)),
    ("output_types", Fate::Words(CONTENT)),
    ("api_time", Fate::Plain),
    ("think_time", Fate::Plain),
    ("ttft", Fate::Plain),
    ("duration_ms", Fate::Plain),
    ("request_id", Fate::Name("request")),
    ("chunk_size", Fate::Plain),
    ("seq_len", Fate::Plain),
    ("chunk_hashes", Fate::Hashes("block")),
];
/// What LMCache says of tensors.
const TENSORS: [(&str, Fate); 2] = [("dtypes", Fate::Words(DTYPES)), ("shapes", Fate::Numbers)];

/// How requests are rewritten.
pub struct Rewrite<'a> {
    /// The names.
    pub salt: &'a Salt,
    /// What is taken off stamps, in the unit of the file.
    pub first: f64,
    /// Fields that went.
    pub removed: BTreeMap<String, u64>,
}

impl Rewrite<'_> {
    /// An object, rewritten.
    pub fn object(&mut self, object: &Map<String, Value>) -> Map<String, Value> {
        let mut kept = Map::new();
        for (name, value) in object {
            let fate = FIELDS.iter().chain(&TENSORS).find(|(field, _)| field == name).map(|(_, fate)| *fate);
            match fate.and_then(|fate| self.value(fate, value)) {
                Some(value) => {
                    kept.insert(name.clone(), value);
                }
                None => *self.removed.entry(shortened(name)).or_default() += 1,
            }
        }
        // Text has a length, which is all that its reader takes from it.
        if !kept.contains_key("input_length")
            && let Some(text) = object.get("text_input").or_else(|| object.get("messages"))
        {
            kept.insert("input_length".to_owned(), Tokenizer::Chars4.count(&text_of(text)).into());
        }
        kept
    }

    fn value(&mut self, fate: Fate, value: &Value) -> Option<Value> {
        match (fate, value) {
            (_, Value::Null) => Some(Value::Null),
            (Fate::Plain, Value::Number(_) | Value::Bool(_)) => Some(value.clone()),
            (Fate::Word(words), Value::String(word)) => words.contains(&word.as_str()).then(|| value.clone()),
            (Fate::Stamp, Value::Number(stamp)) => Some(self.shifted(stamp)),
            (Fate::Ids(kind), Value::Array(ids)) => ids.iter().map(|id| self.id(kind, id)).collect(),
            (Fate::Ids(kind), id) => self.id(kind, id),
            (Fate::Name(kind), Value::String(name)) => Some(self.salt.name(kind, name).into()),
            (Fate::Name(kind), Value::Number(name)) => Some(self.salt.name(kind, &name.to_string()).into()),
            (Fate::Hashes(kind), Value::Array(hashes)) => hashes.iter().map(|hash| self.hash(kind, hash)).collect(),
            (Fate::Numbers, Value::Array(list)) => list.iter().map(|value| self.value(fate, value)).collect(),
            (Fate::Numbers, Value::Number(_)) => Some(value.clone()),
            (Fate::Words(words), Value::Array(list)) => {
                let known = |word: &&Value| word.as_str().is_some_and(|word| words.contains(&word));
                Some(list.iter().filter(known).cloned().collect())
            }
            (Fate::Nested, Value::Array(list)) => {
                list.iter().map(|inner| inner.as_object().map(|inner| Value::Object(self.object(inner)))).collect()
            }
            _ => None,
        }
    }

    fn id(&self, kind: &'static str, id: &Value) -> Option<Value> {
        match id {
            Value::Number(number) if number.as_f64().is_some_and(|number| number < 0.0) => Some(id.clone()),
            Value::Number(number) => Some(self.salt.number(kind, &number.to_string()).into()),
            Value::String(text) => Some(self.salt.name(kind, text).into()),
            _ => None,
        }
    }

    fn hash(&self, kind: &'static str, hash: &Value) -> Option<Value> {
        let text = hash.as_str().map(str::to_owned).or_else(|| hash.as_number().map(Number::to_string))?;
        Some(format!("0x{}", self.salt.name(kind, &text)).into())
    }

    fn shifted(&self, stamp: &Number) -> Value {
        let first = self.first;
        match (stamp.as_i64(), first.fract() == 0.0) {
            (Some(stamp), true) => Value::from(stamp - first as i64),
            _ => {
                let shifted = stamp.as_f64().unwrap_or(first) - first;
                // Nanoseconds are what readers keep of it.
                Number::from_f64((shifted * 1e9).round() / 1e9).map_or(Value::Null, Value::Number)
            }
        }
    }
}

/// A field's name is somebody's too, if it is long.
fn shortened(name: &str) -> String {
    if name.len() <= 32 { name.to_owned() } else { "a field with a long name".to_owned() }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_stays() {
        let salt = Salt::of("s").unwrap();
        let mut rewrite = Rewrite { salt: &salt, first: 100.0, removed: BTreeMap::new() };
        let line = "{\"timestamp\": 107, \"hash_ids\": [7, 8, 7], \"session_id\": \"alice\", \"parent_chat_id\": -1, \
                    \"messages\": [{\"content\": \"secret text\"}], \"tag\": \"alice\", \"type\": \"alice\"}";
        let object: Map<String, Value> = serde_json::from_str(line).unwrap();
        let kept = rewrite.object(&object);
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("alice") && !text.contains("secret"), "{text}");
        assert_eq!(
            (&kept["timestamp"], &kept["parent_chat_id"], &kept["input_length"]),
            (&7.into(), &(-1).into(), &2.into())
        );
        assert_eq!(kept["hash_ids"][0], kept["hash_ids"][2]);
        assert_ne!(kept["hash_ids"][0], kept["hash_ids"][1]);
        assert_eq!(rewrite.removed.keys().collect::<Vec<_>>(), ["messages", "tag", "type"]);
    }
}
