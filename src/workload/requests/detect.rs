//! Which format a file has, by its content.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result, plain};

use super::super::text_file;
use super::format::Format;

/// How much of a file is looked at.
const HEAD: u64 = 64 << 10;
/// How much of a first line a message shows.
const SHOWN: usize = 100;

/// The format of a file.
///
/// # Errors
/// When it cannot be read, is empty, or is none of the formats.
pub fn format_of(path: &Path) -> Result<Format> {
    let head = head(path)?;
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head).trim_ascii_start();
    if text.is_empty() {
        return Err(Error::usage(format!("{} is empty; {}", path.display(), known())));
    }
    of_text(text).ok_or_else(|| {
        if let Some(nearly) = nearly(text) {
            return Error::usage(format!("{} looks like {nearly}", path.display()));
        }
        if is_sharegpt(text) {
            let path = path.display();
            return Error::usage(format!(
                "{path} looks like a ShareGPT file: `kvtrace record sharegpt {path}` reads it"
            ));
        }
        Error::usage(format!(
            "{} begins with {}, which no known trace of requests does; {}",
            path.display(),
            shown(text),
            known()
        ))
    })
}

/// Whether a file is a trace of requests, for choosing among those of a folder.
pub fn is_trace(path: &Path) -> bool {
    format_of(path).is_ok()
}

fn known() -> String {
    let words: Vec<&str> = Format::ALL.map(Format::word).to_vec();
    format!("the formats are {} (--format forces one)", words.join(", "))
}

/// The first bytes of the text.
fn head(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    match text_file::open(path, "a trace of requests")?.take(HEAD).read_to_end(&mut head) {
        Err(error) if head.is_empty() && text_file::is_cut(&error) => {
            Err(Error::usage(text_file::cut_off(path, 0, true, "0 whole requests") + "; get the rest"))
        }
        Err(error) if head.is_empty() => {
            Err(Error::usage(format!("cannot read {}: {}", path.display(), plain(&error))))
        }
        _ => Ok(head),
    }
}

fn of_text(text: &[u8]) -> Option<Format> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match text.first() {
        Some(b'{') => of_json(line, text),
        Some(b'[') => has_requests(text).then_some(Format::KvCacheTester),
        _ => of_header(line),
    }
}

fn of_json(line: &[u8], text: &[u8]) -> Option<Format> {
    let Ok(Value::Object(object)) = serde_json::from_slice(line) else {
        return has_requests(text).then_some(Format::KvCacheTester);
    };
    let has = |key: &str| object.contains_key(key);
    if has("requests") {
        Some(Format::KvCacheTester)
    } else if object.get("hash_ids").is_some_and(Value::is_object) {
        Some(Format::RagPulse)
    } else if has("chat_id") && has("input_length") {
        Some(Format::Bailian)
    } else if has("input_length") || has("text_input") || (has("messages") && (has("session_id") || has("timestamp"))) {
        Some(Format::Mooncake)
    } else {
        None
    }
}

/// An object over several lines, or cut by the end of what is looked at.
fn has_requests(text: &[u8]) -> bool {
    let has = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    has(b"\"requests\"") && (has(b"\"hash_ids\"") || has(b"\"block_size\""))
}

/// The formats with a header, how people call them, and the columns that they need.
const HEADERS: [(Format, &str, [&str; 3]); 3] = [
    (Format::BurstGpt, "BurstGPT", ["Timestamp", "Request tokens", "Response tokens"]),
    (Format::Azure, "Azure", ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]),
    (Format::Vidur, "Vidur", ["arrived_at", "num_prefill_tokens", "num_decode_tokens"]),
];

fn of_header(line: &[u8]) -> Option<Format> {
    HEADERS.into_iter().find(|(.., names)| missing(line, names).is_empty()).map(|(format, ..)| format)
}

/// The columns that a header lacks.
fn missing<'a>(line: &[u8], names: &[&'a str]) -> Vec<&'a str> {
    let line = String::from_utf8_lossy(line);
    let columns: Vec<&str> = line.split(',').map(|name| name.trim().trim_matches('"').trim()).collect();
    let is_there = |name: &str| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
    names.iter().copied().filter(|name| !is_there(name)).collect()
}

/// The format whose header it is but for one column, in words.
fn nearly(text: &[u8]) -> Option<String> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    HEADERS.into_iter().find_map(|(_, people_say, names)| match missing(line, &names)[..] {
        [column] => Some(format!("{people_say} without the column `{column}`")),
        _ => None,
    })
}

/// Whether it begins as conversations in JSON do.
fn is_sharegpt(text: &[u8]) -> bool {
    let has = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    matches!(text.first(), Some(b'[' | b'{'))
        && [&b"\"conversations\""[..], b"\"conversation\"", b"\"messages\"", b"\"items\""].into_iter().any(has)
        && [&b"\"value\""[..], b"\"content\""].into_iter().any(has)
}

/// The beginning of a first line, fit for a message.
fn shown(text: &[u8]) -> String {
    if text.iter().take(512).any(|byte| *byte == 0) {
        return "binary data".to_owned();
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    format!("`{}`", text.trim_end())
}
