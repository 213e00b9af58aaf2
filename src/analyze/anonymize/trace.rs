//! A trace: keys, conversations and users by keyed hashes, stamps from its first row on, metadata
//! without files and flags.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::output::Overwrite;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::meta::Source;
use crate::trace::{
    Meta, Op, Record, RequestsReader, RequestsWriter, TraceReader, TraceWriter, WriteOptions, requests_path,
};

use super::proof::Sequence;
use super::salt::Salt;
use super::{ANONYMOUS_SCHEMA, Anonymized, refused};

/// Rows between two looks at the stop flag.
const STRIDE: u64 = 8192;
/// Flags that say how the rows are to be understood.
const KEPT_FLAGS: [&str; 3] = ["placement", "promotion", "policy"];

/// Anonymises a trace, and the requests file beside it.
pub fn anonymize(
    from: &Path,
    to: &Path,
    salt: &Salt,
    overwrite: Overwrite,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Anonymized> {
    let reader = TraceReader::open_until(from, stop)?;
    let original = reader.meta().clone();
    let requests = RequestsReader::beside(from, &original)?;
    let meta = scrubbed(&original);
    let mut writer = TraceWriter::create(to, WriteOptions { overwrite, ..WriteOptions::default() }, 0)?;
    progress.stage("anonymize", original.rows, "rows");
    let mut before = Sequence::default();
    let mut names = Names { salt, conversation: None };
    let mut first_ns = None;
    for (place, record) in (1u64..).zip(reader) {
        let mut record = record?;
        if record.op != Op::Delete {
            before.push((Arc::clone(&record.key), record.tier))?;
        }
        // With requests beside them the rows keep the start that both count from.
        let shift_ns = *first_ns.get_or_insert(if requests.is_some() { 0 } else { record.at_ns });
        record.at_ns -= shift_ns;
        names.replace(&mut record);
        writer.write(&record)?;
        if place.is_multiple_of(STRIDE) {
            progress.advance(STRIDE);
            if stop.requested() {
                return Err(Error::interrupted(format!("interrupted after {place} rows; nothing was written")));
            }
        }
    }
    let rows = writer.rows();
    writer.finish(&meta)?;
    if let Some(requests) = requests {
        write_requests(requests, to, salt, overwrite, &meta)?;
    }
    progress.done();
    let distinct = prove(before, to, rows)?;
    Ok(Anonymized {
        schema: ANONYMOUS_SCHEMA,
        tool: crate::TOOL,
        format: "trace".to_owned(),
        rows,
        replaced: salt.replaced(),
        shifted_s: (first_ns.unwrap_or(0) as f64 + original.epoch_ns as f64) / 1e9,
        references: distinct.0,
        distinct: distinct.1,
        capacities_equal: distinct.1,
        ..Anonymized::default()
    })
}

/// Reads what was written, and compares.
fn prove(before: Sequence<(Arc<str>, crate::trace::Tier)>, to: &Path, rows: u64) -> Result<(u64, u64)> {
    let expected = before.hits();
    let references = before.len();
    drop(before);
    let mut after = Sequence::default();
    let mut found = 0;
    for record in TraceReader::open(to)? {
        let record = record?;
        found += 1;
        if record.op != Op::Delete {
            after.push((record.key, record.tier))?;
        }
    }
    if found != rows || after.hits() != expected {
        return Err(refused(to, "the hits of its rows are not those of the original"));
    }
    Ok((references, expected.len() as u64 - 1))
}

/// What may be known of the recording: nothing that names a file, a machine or a person.
fn scrubbed(meta: &Meta) -> Meta {
    let mut kept = meta.clone();
    kept.source = Source { kind: "anonymized".to_owned(), ..Source::default() };
    kept.flags.retain(|name, _| KEPT_FLAGS.contains(&name.as_str()));
    kept.tool = crate::TOOL.to_owned();
    (kept.epoch_ns, kept.seed, kept.inversions) = (0, None, None);
    kept
}

struct Names<'a> {
    salt: &'a Salt,
    /// The last conversation, and what stands for it.
    conversation: Option<(Arc<str>, Arc<str>)>,
}

impl Names<'_> {
    fn replace(&mut self, record: &mut Record) {
        record.key = key(&record.key, self.salt).into();
        let Some(name) = &record.conversation else { return };
        if self.conversation.as_ref().is_none_or(|last| last.0 != *name) {
            self.conversation = Some((Arc::clone(name), self.salt.name("conversation", name).into()));
        }
        record.conversation = self.conversation.as_ref().map(|last| Arc::clone(&last.1));
    }
}

/// What stands for a key: of the same kind, where it is one of kvtrace's, with the number of its
/// turn or chunk.
fn key(key: &str, salt: &Salt) -> String {
    let numbered = |rest: &str, mark: &str| {
        let (name, number) = rest.rsplit_once(mark)?;
        number.parse::<u32>().ok().map(|number| (name.to_owned(), number))
    };
    if let Some((name, turn)) = key.strip_prefix("conv_").and_then(|rest| numbered(rest, "_turn_")) {
        return format!("conv_{}_turn_{turn}", salt.name("conversation", &name));
    }
    if let Some((name, chunk)) = key.strip_prefix("rag_").and_then(|rest| numbered(rest, "_chunk_")) {
        return format!("rag_{}_chunk_{chunk}", salt.name("document", &name));
    }
    for kind in ["kv_system_", "blk_", "prepop_"] {
        if key.starts_with(kind) {
            return format!("{kind}{}", salt.name("key", key));
        }
    }
    format!("key_{}", salt.name("key", key))
}

fn write_requests(requests: RequestsReader, to: &Path, salt: &Salt, overwrite: Overwrite, meta: &Meta) -> Result<()> {
    let mut writer = RequestsWriter::create(&requests_path(to), overwrite)?;
    for row in requests {
        let mut row = row?;
        row.conversation = row.conversation.map(|name| salt.name("conversation", &name));
        row.user = if row.user.is_empty() { row.user } else { salt.name("user", &row.user) };
        writer.write(row)?;
    }
    writer.finish(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_kind_and_the_conversation_its_name() {
        let salt = Salt::of("s").unwrap();
        let conversation = salt.name("conversation", "user_0001_7");
        assert_eq!(key("conv_user_0001_7_turn_3", &salt), format!("conv_{conversation}_turn_3"));
        assert!(key("kv_system_00ab", &salt).starts_with("kv_system_"));
        assert!(key("rag_doc_0004_chunk_2", &salt).ends_with("_chunk_2"));
        assert!(key("my secret", &salt).starts_with("key_"));
    }
}
