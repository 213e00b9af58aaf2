//! Which recording of a live system a file is, by its first bytes.

use super::batch;
use super::recording::unwrap;
use super::tally::Tally;
use super::value::Value;

/// What a file of a live system holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveKind {
    /// KV events, as msgpack frames.
    EventFrames,
    /// KV events, a JSON line each or a batch a line.
    EventLines,
    /// LMCache's log of lookups, a JSON line each.
    Lookups,
}

impl LiveKind {
    /// What it is, in words.
    pub fn words(self) -> &'static str {
        match self {
            LiveKind::EventFrames => "a recording of KV events, msgpack frames",
            LiveKind::EventLines => "a recording of KV events, JSON lines",
            LiveKind::Lookups => "LMCache's log of lookups",
        }
    }

    /// Whether it holds events.
    pub fn is_events(self) -> bool {
        self != LiveKind::Lookups
    }
}

/// Looks at the first bytes of the unpacked file; none for anything else.
pub fn kind_of(head: &[u8]) -> Option<LiveKind> {
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    match text.first()? {
        b'{' | b'[' => of_line(text.split(|byte| *byte == b'\n').next().unwrap_or_default()),
        _ => of_frames(head),
    }
}

fn of_line(line: &[u8]) -> Option<LiveKind> {
    let Ok(value) = serde_json::from_slice::<Value>(line) else { return of_cut(line) };
    if value.get("chunk_hashes").is_some() && value.get("seq_len").is_some() {
        return Some(LiveKind::Lookups);
    }
    let is_event = |value: &Value| {
        let tag = value.get("type").or_else(|| value.get("_tag")).and_then(Value::text);
        tag.is_some_and(|tag| ["BlockStored", "BlockRemoved", "AllBlocksCleared"].contains(&tag))
    };
    (is_event(&value) || is_batch(&value)).then_some(LiveKind::EventLines)
}

/// Whether a value is a batch, or wraps one.
fn is_batch(value: &Value) -> bool {
    let frame = unwrap(value).ok();
    frame.is_some_and(|frame| batch::decode(&frame.message, &mut Tally::default(), &mut Tally::default()).is_ok())
}

/// A first line that goes on behind what is looked at.
fn of_cut(line: &[u8]) -> Option<LiveKind> {
    let has = |word: &str| line.windows(word.len()).any(|window| window == word.as_bytes());
    if ["\"chunk_size\"", "\"seq_len\"", "\"timestamp\""].into_iter().all(has) {
        return Some(LiveKind::Lookups);
    }
    ["\"BlockStored\"", "\"BlockRemoved\""].into_iter().any(has).then_some(LiveKind::EventLines)
}

/// The first value is a batch, or wraps one; the end of what is looked at may cut it, so that its
/// first bytes have to do.
fn of_frames(head: &[u8]) -> Option<LiveKind> {
    let start = match head {
        // A length before each frame, below 16 MiB.
        [0, _, _, _, rest @ ..] => rest,
        _ => head,
    };
    let whole = rmp_serde::from_slice::<Value>(start).is_ok_and(|value| is_batch(&value));
    // [float64 time, a list or bytes of events, …
    let begins = matches!(start, [0x92 | 0x93, 0xCB, ..]) && matches!(start.get(10), Some(0x90..=0x9F | 0xDC | 0xDD));
    (whole || begins).then_some(LiveKind::EventFrames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_told_from_other_files() {
        for (head, kind) in [
            (&b"{\"ts\": 1.0, \"events\": []}\n"[..], Some(LiveKind::EventLines)),
            (b"{\"_tag\": \"BlockStored\", \"_fields\": {}}\n", Some(LiveKind::EventLines)),
            (b"[1.5, [], 0]\n", Some(LiveKind::EventLines)),
            (b"{\"timestamp\": 1, \"seq_len\": 4, \"chunk_hashes\": []}", Some(LiveKind::Lookups)),
            (b"\x92\xCB\x41\xDA\x41\x7F\x20\0\0\0\x91\x91\xB0All", Some(LiveKind::EventFrames)),
            (b"[1.5, [[\"BlockStored\", [1, 2", Some(LiveKind::EventLines)),
            (b"{\"timestamp\": 1, \"chunk_size\": 4, \"seq_len\": 4, \"chunk_hashes\": [", Some(LiveKind::Lookups)),
            (b"{\"topic\": \"a\", \"seq\": 1, \"payload\": [1.5, [], 0]}", Some(LiveKind::EventLines)),
            (b"{\"timestamp\": 1, \"input_length\": 4}", None),
            (b"{\"schema\": \"kvtrace.block/1\"}", None),
            (b"Timestamp,Operation\n", None),
            (b"[1, 2, 3]", None),
            (b"\0\0\0\0", None),
            (b"", None),
        ] {
            assert_eq!(kind_of(head), kind, "{}", String::from_utf8_lossy(head));
        }
    }
}
