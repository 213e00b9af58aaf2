//! What a stranger's file looks like, from its first bytes, and which command reads it.

/// How many column names or keys a message shows.
const SHOWN: usize = 12;

/// A first look at a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// A trace: the header has the columns that matter.
    Trace,
    /// Something else, in words.
    Other(String),
}

/// Formats that are told by their first bytes.
const MAGICS: [(&[u8], &str); 8] = [
    (b"\x1F\x8B", "gzip; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x7FELF", "a program"),
    (b"\x89PNG", "a picture"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "an SQLite database"),
    (b"fio version", "a fio iolog"),
    (b"#[", "a latency interval log of HdrHistogram"),
];

/// Inputs that another command reads: all of the words occur in the first line or record.
const INPUTS: [(&[&str], &str); 7] = [
    (&["\"conversations\""], "a ShareGPT dataset; `kvtrace record sharegpt FILE` reads it"),
    (&["\"hash_ids\""], "requests with hash ids, one JSON a line; `kvtrace record requests FILE` reads it"),
    (&["\"input_length\"", "\"output_length\""], "requests, one JSON a line; `kvtrace record requests FILE` reads it"),
    (&["Request tokens", "Response tokens"], "a BurstGPT trace; `kvtrace record burstgpt FILE` reads it"),
    (&["ContextTokens", "GeneratedTokens"], "an Azure LLM trace; `kvtrace record burstgpt FILE` reads it"),
    (&["Attaching", "probes"], "text of bpftrace; `kvtrace distill-fio FILE` reads it"),
    (&["<svg"], "an SVG picture"),
];

/// Looks at the first bytes of a file.
pub fn of(head: &[u8]) -> Likeness {
    if let Some((_, words)) = MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Likeness::Other((*words).to_owned());
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{FEFF}');
    let first = text.lines().next().unwrap_or_default();
    let columns: Vec<_> = first.split(',').map(str::trim).collect();
    if columns.contains(&"Timestamp") && columns.contains(&"Object_Size_Bytes") {
        return Likeness::Trace;
    }
    if let Some((_, words)) = INPUTS.iter().find(|(needed, _)| needed.iter().all(|word| text.contains(word))) {
        return Likeness::Other((*words).to_owned());
    }
    Likeness::Other(in_general(head, text, &columns))
}

fn in_general(head: &[u8], text: &str, columns: &[&str]) -> String {
    if head.contains(&0) {
        return "binary data".to_owned();
    }
    match text.trim_start().chars().next() {
        None => "blank text".to_owned(),
        Some('{') => format!("JSON without a schema of kvtrace, with the keys {}", keys(text).join(", ")),
        Some('[') => "a JSON list".to_owned(),
        Some('<') => "HTML or XML".to_owned(),
        Some(_) if columns.len() > 2 => {
            let shown: Vec<_> = columns.iter().take(SHOWN).map(|name| shorten(name)).collect();
            format!("CSV with the columns {}", shown.join(", "))
        }
        Some(_) => format!("text that begins `{}`", shorten(text.lines().next().unwrap_or_default())),
    }
}

/// The first keys that occur in JSON text, whatever their depth: the text may be cut.
fn keys(text: &str) -> Vec<String> {
    let mut parts = text.split('"');
    let mut found = Vec::new();
    parts.next();
    while let (Some(name), Some(after)) = (parts.next(), parts.next()) {
        if after.trim_start().starts_with(':') && found.len() < SHOWN {
            found.push(shorten(name));
        }
    }
    found
}

fn shorten(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

/// Whether JSON text carries one of our schemas.
pub fn names_our_schema(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let Some((_, after)) = text.split_once("\"schema\"") else { return false };
    after.trim_start().strip_prefix(':').is_some_and(|after| after.trim_start().starts_with("\"kvtrace."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_named() {
        for (head, words) in [
            (&b"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"[..], "record burstgpt"),
            (b"[{\"id\":\"a\",\"conversations\":[", "record sharegpt"),
            (b"{\"a\": 1, \"b\": {\"c\": 2", "keys a, b, c"),
            (b"x,y,z\n1,2,3\n", "columns x, y, z"),
            (b"\x7FELF\x02", "a program"),
            (b"hello\n", "`hello`"),
            (b"\x01\x00\x02", "binary"),
        ] {
            let Likeness::Other(found) = of(head) else { panic!("{words} was taken for a trace") };
            assert!(found.contains(words), "{found}");
        }
        assert_eq!(of(b"Key,Object_Size_Bytes,Timestamp\n"), Likeness::Trace);
        assert!(names_our_schema(b"{\n  \"schema\": \"kvtrace.block/1\""));
        assert!(!names_our_schema(b"{\"schema\": \"other\", \"x\": \"kvtrace.block/1\"}"));
    }
}
