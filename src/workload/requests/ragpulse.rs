//! RAGPulse's trace (flashserve/RAGPulse): JSON lines with stamps as text and, by the kind of
//! text, the ids of runs of tokens, whose lengths stand in five files beside it. They add up to
//! less than the prompt: the rest is the template around them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result, plain};
use crate::seed::{hash_bytes, mix};

use super::super::{Content, Segment, names, text_file};
use super::asked::Asked;
use super::entry::{Before, Entry, Reading, TurnOf};
use super::json_lines::{Outcome, Rows};
use super::scalar::{ContentId, Scalar};
use super::segments;

/// The kinds in the order of the prompt, the key by which the files of lengths name their ids, and
/// the tokens of an id whose length is in no file, an assumption that is said with the result.
const KINDS: [(&str, &str, u32); 5] = [
    ("sys_prompt", "sys_prompt_id", 512),
    ("passages_ids", "passage_id", 512),
    ("history", "history_id", 256),
    ("web_search", "web_search_id", 512),
    ("user_input", "user_input_id", 32),
];

/// What is said of runs that have none.
const NO_LENGTH: &str = "run of tokens whose length is in no file beside the trace (512 tokens taken; history 256, \
                         user input 32)";

/// A line.
#[derive(Debug, Deserialize)]
pub struct Line {
    #[serde(default)]
    timestamp: Scalar,
    #[serde(default)]
    input_length: Scalar,
    #[serde(default)]
    output_length: Scalar,
    #[serde(default)]
    hash_ids: Parts,
    #[serde(default)]
    session_id: Scalar,
}

#[derive(Debug, Default, Deserialize)]
struct Parts {
    #[serde(default)]
    sys_prompt: Vec<ContentId>,
    #[serde(default)]
    passages_ids: Vec<ContentId>,
    #[serde(default)]
    history: Vec<ContentId>,
    #[serde(default)]
    web_search: Vec<ContentId>,
    #[serde(default)]
    user_input: Vec<ContentId>,
}

impl Parts {
    fn by_kind(&self) -> [&[ContentId]; 5] {
        [&self.sys_prompt, &self.passages_ids, &self.history, &self.web_search, &self.user_input]
    }
}

/// The lengths of runs, by id.
#[derive(Debug, Default)]
pub struct RagPulse {
    lengths: FxHashMap<u64, u32>,
}

impl RagPulse {
    /// Reads the lengths that lie beside a trace, in files named `1_….jsonl` to `5_….jsonl`.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn beside(trace: &Path) -> Result<Self> {
        let mut lengths = FxHashMap::default();
        for path in companions(trace) {
            read_lengths(&path, &mut lengths)?;
        }
        Ok(Self { lengths })
    }

    /// The prompt: the runs one after another as far as it goes, then the template.
    fn prompt(&self, parts: &Parts, prompt_tokens: u32, own: u64, reading: &Reading) -> Content {
        let (mut rest, mut assumed) = (prompt_tokens, 0);
        let mut prompt = Vec::new();
        for (ids, (.., default)) in parts.by_kind().into_iter().zip(KINDS) {
            for id in ids {
                let known = self.lengths.get(&id.0).copied();
                assumed += u64::from(known.is_none());
                let length = known.unwrap_or(default);
                let tokens = length.min(rest);
                // A run that is cut is not the same tokens as the whole one.
                let id = reading.local(if tokens < length { mix(id.0) ^ u64::from(tokens) } else { id.0 });
                if tokens > 0 {
                    prompt.push(Segment { id, tokens });
                }
                rest -= tokens;
            }
        }
        reading.refusals.note(NO_LENGTH, assumed);
        prompt.extend(segments::tail(rest, own));
        segments::content(prompt)
    }
}

impl Rows for RagPulse {
    type Row = Line;

    fn entry(&mut self, line: Line, number: u64, reading: &Reading) -> Outcome {
        let asked = Asked::of(&line.timestamp, &line.input_length, &line.output_length, reading);
        let Asked { at_ns, prompt_tokens, answer_tokens } = match asked {
            Ok(asked) => asked,
            Err(why) => return Outcome::Refused(why),
        };
        let content = self.prompt(&line.hash_ids, prompt_tokens, reading.local(number), reading);
        let turn = line.session_id.label().map(|session| TurnOf {
            id: hash_bytes(session.as_bytes()),
            name: Arc::from(names::plain(&session)),
            before: Before::LastTurn,
            is_last: false,
        });
        Outcome::Entry(Entry { at_ns, prompt_tokens, answer_tokens, turn, content, answer: None })
    }
}

fn companions(trace: &Path) -> Vec<PathBuf> {
    let folder = trace.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_companion = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let numbered = matches!(name.as_bytes(), [b'1'..=b'5', b'_', ..]);
        numbered && (name.ends_with(".jsonl") || name.ends_with(".jsonl.zst")) && path.as_path() != trace
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_companion).collect();
    found.sort();
    found
}

/// Reads `{"passage_id": 7398, "token_length": 512}`, a line each.
fn read_lengths(path: &Path, lengths: &mut FxHashMap<u64, u32>) -> Result<()> {
    let text = BufReader::new(text_file::open(path, "a file of lengths")?);
    for (line, number) in text.lines().zip(1..) {
        let line = line.map_err(|e| Error::usage(format!("cannot read {}: {}", path.display(), plain(&e))))?;
        if line.trim().is_empty() {
            continue;
        }
        let Some((id, length)) = serde_json::from_str(&line).ok().and_then(|row| id_and_length(&row)) else {
            return Err(Error::usage(format!(
                "{} line {number} is no length of a run, as {{\"passage_id\": 7398, \"token_length\": 512}} is",
                path.display()
            )));
        };
        lengths.insert(id, length);
    }
    Ok(())
}

fn id_and_length(row: &Map<String, Value>) -> Option<(u64, u32)> {
    let id = KINDS.iter().find_map(|(_, key, _)| row.get(*key))?.as_u64()?;
    Some((id, u32::try_from(row.get("token_length")?.as_u64()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_a_line() {
        let text = r#"{"sys_prompt":[1],"passages_ids":[2],"history":[3],"web_search":[4],"user_input":[5]}"#;
        let parts: Parts = serde_json::from_str(text).unwrap();
        assert_eq!(parts.by_kind().map(|ids| ids[0].0), [1, 2, 3, 4, 5]);
        assert!(KINDS.iter().all(|(kind, ..)| text.contains(kind)));
    }
}
