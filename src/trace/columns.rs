//! The columns of a trace in CSV, and how a row is written.

use super::name::{Key, Name};
use super::record::{Op, Phase, Tier};
use super::row::Row;
use super::stamp;
use super::writer::Columns;

/// The reference's columns, then ours, in file order.
pub const NAMES: [&str; 10] = [
    "Timestamp",
    "Operation",
    "Object_Size_Bytes",
    "Tier",
    "Key",
    "Phase",
    "Request",
    "Conversation",
    "Turn",
    "Tokens",
];
/// How many of [`NAMES`] the reference writes; the rest are optional.
pub const NEEDED: usize = 6;
/// Room for any row without names of its source: one look at the capacity instead of one a field.
const USUAL_ROW: usize = 256;

/// Appends the header line.
pub fn push_header(out: &mut Vec<u8>, columns: Columns) {
    let names = match columns {
        Columns::Full => &NAMES[..],
        Columns::Mlperf => &NAMES[..NEEDED],
    };
    out.extend_from_slice(names.join(",").as_bytes());
    out.push(b'\n');
}

/// Whether a row belongs into a file with these columns: the reference knows no deletes.
pub fn belongs(row: &Row, columns: Columns) -> bool {
    columns == Columns::Full || row.op != Op::Delete
}

/// Appends a row whose stamp is `stamp_ns`.
#[inline]
pub fn push_row(out: &mut Vec<u8>, row: &Row, stamp_ns: u64, columns: Columns) {
    out.reserve(USUAL_ROW);
    match columns {
        Columns::Full => stamp::push_nanos(out, stamp_ns),
        Columns::Mlperf => stamp::push_micros(out, stamp_ns),
    }
    match row.op {
        Op::Read => out.extend_from_slice(b",Read,"),
        Op::Write => out.extend_from_slice(b",Write,"),
        Op::Delete => out.extend_from_slice(b",Delete,"),
    }
    stamp::push_decimal(out, row.size_bytes);
    out.extend_from_slice(match row.tier {
        Tier::Gpu => b",Tier-0,",
        Tier::Dram => b",Tier-1,",
        Tier::Storage => b",Tier-2,",
    });
    push_key(out, &row.key);
    match row.phase {
        Phase::Prefill => out.extend_from_slice(b",Prefill"),
        Phase::Decode => out.extend_from_slice(b",Decode"),
        Phase::Evict => out.extend_from_slice(b",Evict"),
    }
    if columns == Columns::Full {
        push_optional(out, row.request);
        out.push(b',');
        push_name(out, row.conversation.as_ref());
        push_optional(out, row.turn.map(u64::from));
        push_optional(out, row.tokens.map(u64::from));
    }
    out.push(b'\n');
}

/// Generated names hold nothing that has to be quoted.
#[inline]
fn push_key(out: &mut Vec<u8>, key: &Key) {
    match key {
        Key::Text(text) => push_text(out, text),
        Key::Turn { conversation: Name::Text(_), .. } => push_text(out, &key.to_string()),
        _ => key.push(out),
    }
}

#[inline]
fn push_name(out: &mut Vec<u8>, name: Option<&Name>) {
    match name {
        Some(Name::Text(text)) => push_text(out, text),
        Some(name) => name.push(out),
        None => {}
    }
}

#[inline]
fn push_optional(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(b',');
    if let Some(value) = value {
        stamp::push_decimal(out, value);
    }
}

/// Appends a field, quoted as RFC 4180 says when it has to be.
fn push_text(out: &mut Vec<u8>, text: &str) {
    if !text.bytes().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Record;

    fn line(record: &Record, columns: Columns) -> String {
        let mut out = Vec::new();
        push_row(&mut out, &Row::from(record), record.at_ns as u64, columns);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_in_both_shapes() {
        let record = Record {
            at_ns: 1_000_002_345,
            op: Op::Write,
            size_bytes: 4096,
            tier: Tier::Dram,
            key: "a,\"b\"".into(),
            phase: Phase::Evict,
            request: Some(7),
            conversation: None,
            turn: Some(0),
            tokens: None,
        };
        assert_eq!(line(&record, Columns::Full), "1.000002345,Write,4096,Tier-1,\"a,\"\"b\"\"\",Evict,7,,0,\n");
        assert_eq!(line(&record, Columns::Mlperf), "1.000002,Write,4096,Tier-1,\"a,\"\"b\"\"\",Evict\n");
        assert!(!belongs(&Row::from(&Record { op: Op::Delete, ..record }), Columns::Mlperf));
    }
}
