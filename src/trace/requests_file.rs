//! The requests file beside a trace (`<stem>.requests.parquet`): written and read.

use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, PolarsResult};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::output::{self, Output, Overwrite};

use super::input::{Format, Input};
use super::meta::{Meta, Source};
use super::parquet::{Effort, TableFile, TableRows, footer_value};
use super::requests::{RequestKind, RequestRow, Served};
use super::requests_columns::{Group, fields};

/// The schema of a requests file, the key of its metadata in the footer.
pub const REQUESTS_SCHEMA: &str = "kvtrace.requests/1";
/// Requests of a row group: few enough that gathering them takes little memory.
const GROUP_REQUESTS: usize = 1 << 16;

/// What a requests file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestsMeta {
    /// [`REQUESTS_SCHEMA`].
    pub schema: String,
    /// The tool that wrote it, with its version.
    pub tool: String,
    /// False when the recording was interrupted.
    pub complete: bool,
    /// The seed of the recording.
    pub seed: Option<u64>,
    /// What was recorded.
    pub source: Source,
    /// Requests in the file.
    pub rows: u64,
    /// Which recording they are of: what [`Meta::recording`] says of its trace.
    #[serde(default)]
    pub recording: Option<String>,
}

/// Where the requests of a trace are: `t.csv.zst` → `t.requests.parquet`, and those of a partial
/// trace, `t.partial.csv.zst` → `t.partial.requests.parquet`.
pub fn requests_path(trace: &Path) -> PathBuf {
    output::companion(trace, "requests.parquet")
}

/// A requests file being written; memory is bounded by one row group.
pub struct RequestsWriter {
    table: TableFile,
    group: Group,
    /// Where a request is spelled out before it is appended.
    spelled: RequestRow,
    rows: u64,
}

impl RequestsWriter {
    /// Opens `path`, usually [`requests_path`] of the trace.
    ///
    /// # Errors
    /// When the file cannot be written or replaced.
    pub fn create(path: &Path, overwrite: Overwrite) -> Result<Self> {
        let table = TableFile::create(path, REQUESTS_SCHEMA, overwrite, &fields(), Effort::OneThread)?;
        Ok(Self { table, group: Group::new(), spelled: RequestRow::default(), rows: 0 })
    }

    /// Appends a request that came out of another file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, row: RequestRow) -> Result<()> {
        self.spelled = row;
        self.append()
    }

    /// Appends a request.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_served(&mut self, served: &Served) -> Result<()> {
        self.spelled.spell(served);
        self.append()
    }

    fn append(&mut self) -> Result<()> {
        self.group.push(&self.spelled);
        self.rows += 1;
        if self.group.rows() < GROUP_REQUESTS { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        if self.group.rows() == 0 { Ok(()) } else { self.table.write(self.group.take()) }
    }

    fn end(mut self, meta: &Meta, complete: bool) -> Result<Output> {
        self.flush()?;
        let own = RequestsMeta {
            schema: REQUESTS_SCHEMA.to_owned(),
            tool: meta.tool.clone(),
            complete,
            seed: meta.seed,
            source: meta.source.clone(),
            rows: self.rows,
            recording: meta.recording(),
        };
        let json = serde_json::to_vec(&own).expect("metadata has string keys and serialises");
        self.table.end(REQUESTS_SCHEMA, &json)
    }

    /// Completes the file; `meta` is the trace's.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self, meta: &Meta) -> Result<()> {
        self.close(meta)?.finish()
    }

    /// Writes the rest of the file, which is still to get its name: so that a trace and its
    /// requests get theirs together, or neither does.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn close(self, meta: &Meta) -> Result<Output> {
        self.end(meta, meta.complete)
    }

    /// Keeps the requests of an interrupted recording under a partial name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_partial(self, meta: &Meta) -> Result<PathBuf> {
        self.end(meta, false)?.keep_partial()
    }
}

/// A requests file being read, in file order.
pub struct RequestsReader {
    table: TableRows,
    name: String,
    meta: RequestsMeta,
    slice: std::vec::IntoIter<RequestRow>,
}

impl RequestsReader {
    /// Opens a requests file.
    ///
    /// # Errors
    /// When it cannot be read or is not one.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(&Input::open(path)?)
    }

    /// Reads requests from an input that is open already.
    ///
    /// # Errors
    /// As [`RequestsReader::open`].
    pub fn of(input: &Input) -> Result<Self> {
        let name = input.name.clone();
        let not_ours =
            || Error::usage(format!("{name} is not a requests file ({REQUESTS_SCHEMA}); record writes them"));
        if input.format != Format::Parquet {
            return Err(not_ours());
        }
        let json = footer_value(input.rewound()?, &name, REQUESTS_SCHEMA)?.ok_or_else(not_ours)?;
        let meta = serde_json::from_slice(&json)
            .map_err(|e| Error::usage(format!("{name}: its metadata is damaged ({e}); record it again")))?;
        let table = TableRows::open(input.rewound()?, &name, &fields())?;
        Ok(Self { table, name, meta, slice: Vec::new().into_iter() })
    }

    /// Opens the requests file beside a trace, whose metadata is `meta`; none when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read, or belongs to another recording.
    pub fn beside(trace: &Path, meta: &Meta) -> Result<Option<Self>> {
        let path = requests_path(trace);
        if output::is_standard(trace) || !path.exists() {
            return Ok(None);
        }
        let reader = Self::open(&path)?;
        let theirs = reader.meta.recording.as_ref();
        if theirs.is_some() && theirs != meta.recording().as_ref() {
            return Err(Error::usage(format!(
                "{} belongs to another recording than {}, or the trace does not say which it is of; record the trace again, \
                 or move that file away",
                path.display(),
                trace.display()
            )));
        }
        Ok(Some(reader))
    }

    /// What the file says of itself.
    pub fn meta(&self) -> &RequestsMeta {
        &self.meta
    }

    /// Requests in the file.
    pub fn rows(&self) -> u64 {
        self.table.rows()
    }

    fn read(&mut self) -> Result<Option<RequestRow>> {
        loop {
            if let Some(row) = self.slice.next() {
                return Ok(Some(row));
            }
            let Some(slice) = self.table.next_slice() else { return Ok(None) };
            let (first, frame) = slice?;
            self.slice = rows_of(&self.name, first, &frame)?.into_iter();
        }
    }
}

impl Iterator for RequestsReader {
    type Item = Result<RequestRow>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn rows_of(name: &str, first: u64, frame: &DataFrame) -> Result<Vec<RequestRow>> {
    let values = Values { frame };
    (0..frame.height())
        .map(|at| {
            let kind = values.text("kind", at).unwrap_or_default();
            let kind = kind.parse::<RequestKind>().map_err(|allowed| {
                let row = first + at as u64 + 1;
                Error::usage(format!("{name}, row {row}, column kind: `{kind}` is not allowed; {allowed}"))
            })?;
            values.row(at, kind).map_err(|e| Error::usage(format!("{name}: {e}")))
        })
        .collect()
}

/// The columns of a slice, by name.
struct Values<'a> {
    frame: &'a DataFrame,
}

impl Values<'_> {
    fn text(&self, name: &str, at: usize) -> Option<&str> {
        self.frame.column(name).ok()?.str().ok()?.get(at)
    }

    fn u32(&self, name: &str, at: usize) -> PolarsResult<u32> {
        Ok(self.frame.column(name)?.u32()?.get(at).unwrap_or_default())
    }

    fn i64(&self, name: &str, at: usize) -> PolarsResult<i64> {
        Ok(self.frame.column(name)?.i64()?.get(at).unwrap_or_default())
    }

    fn row(&self, at: usize, kind: RequestKind) -> PolarsResult<RequestRow> {
        Ok(RequestRow {
            request: self.frame.column("request")?.u64()?.get(at).unwrap_or_default(),
            conversation: self.text("conversation", at).map(str::to_owned),
            turn: self.u32("turn", at)?,
            user: self.text("user", at).unwrap_or_default().to_owned(),
            qos: self.text("qos", at).unwrap_or_default().to_owned(),
            kind,
            arrival_ns: self.i64("arrival_ns", at)?,
            start_ns: self.i64("start_ns", at)?,
            context_tokens: self.u32("context_tokens", at)?,
            generate_tokens: self.u32("generate_tokens", at)?,
            generation_ns: self.i64("generation_ns", at)?,
            prefix_tokens: self.u32("prefix_tokens", at)?,
            hit_tokens: self.u32("hit_tokens", at)?,
            lookups: self.u32("lookups", at)?,
            hits: self.u32("hits", at)?,
            misses: self.u32("misses", at)?,
            history_hits: self.u32("history_hits", at)?,
            history_misses: self.u32("history_misses", at)?,
            prefix_hits: self.u32("prefix_hits", at)?,
            prefix_misses: self.u32("prefix_misses", at)?,
            rag_hits: self.u32("rag_hits", at)?,
            rag_misses: self.u32("rag_misses", at)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Name;
    use crate::trace::requests::Found;

    fn request(ordinal: u64) -> RequestRow {
        RequestRow {
            request: ordinal,
            conversation: ordinal.is_multiple_of(2).then(|| format!("conv_{ordinal}")),
            turn: 3,
            user: "user_0001".to_owned(),
            qos: "batch".to_owned(),
            kind: RequestKind::ALL[ordinal as usize % 4],
            arrival_ns: 1,
            start_ns: 2,
            context_tokens: 4,
            generate_tokens: 5,
            generation_ns: 6,
            prefix_tokens: 7,
            hit_tokens: 8,
            lookups: 9,
            hits: 10,
            misses: 11,
            history_hits: 12,
            history_misses: 13,
            prefix_hits: 14,
            prefix_misses: 15,
            rag_hits: 16,
            rag_misses: 17,
        }
    }

    #[test]
    fn requests_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let trace = dir.path().join("t.csv.zst");
        let requests: Vec<_> = (0..9).map(request).collect();
        let mut writer = RequestsWriter::create(&requests_path(&trace), Overwrite::Ours).unwrap();
        for row in &requests {
            writer.write(row.clone()).unwrap();
        }
        writer.finish(&Meta { seed: Some(42), ..Meta::foreign(Source::default()) }).unwrap();
        let reader = RequestsReader::beside(&trace, &Meta::foreign(Source::default())).unwrap().unwrap();
        assert_eq!((reader.meta().rows, reader.meta().seed, reader.rows()), (9, Some(42), 9));
        assert_eq!(reader.collect::<Result<Vec<_>>>().unwrap(), requests);
    }

    #[test]
    fn what_was_served_comes_back_over_the_edge_of_a_row_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.requests.parquet");
        let mut writer = RequestsWriter::create(&path, Overwrite::Ours).unwrap();
        let all = GROUP_REQUESTS as u64 + 10;
        for n in 0..all {
            let served = Served {
                request: n,
                conversation: Name::UserConversation { user: n as u32 % 7, n: n as u32 },
                turn: 2,
                user: if n % 2 == 0 { Name::User(3) } else { Name::Text("a user of the source".into()) },
                qos: "batch",
                kind: RequestKind::MultiTurn,
                arrival_ns: n as i64,
                start_ns: n as i64 + 1,
                context_tokens: 5,
                generate_tokens: 6,
                generation_ns: 7,
                prefix_tokens: 8,
                hit_tokens: 9,
                found: [1, 2, 3, 4].map(|hits| Found { hits, misses: 10 * hits }),
            };
            writer.write_served(&served).unwrap();
        }
        writer.finish(&Meta::foreign(Source::default())).unwrap();
        let rows: Vec<_> = RequestsReader::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len() as u64, all);
        for (n, row) in (0..all).zip(rows) {
            assert_eq!((row.request, row.arrival_ns, row.turn), (n, n as i64, 2));
            assert_eq!(row.conversation, Some(format!("user_{:04}_{n}", n % 7)));
            assert_eq!(row.user, if n % 2 == 0 { "user_0003" } else { "a user of the source" });
            assert_eq!((row.lookups, row.hits, row.misses), (110, 10, 100));
            let by_kind = [row.history_hits, row.history_misses, row.prefix_hits, row.prefix_misses];
            assert_eq!((by_kind, row.rag_hits, row.rag_misses), ([2, 20, 3, 30], 4, 40));
        }
    }

    #[test]
    fn an_interrupted_recording_keeps_its_requests_beside_its_trace() {
        let dir = tempfile::tempdir().unwrap();
        let writer = RequestsWriter::create(&dir.path().join("t.requests.parquet"), Overwrite::Ours).unwrap();
        let kept = writer.keep_partial(&Meta::foreign(Source::default())).unwrap();
        assert_eq!(kept, requests_path(&dir.path().join("t.partial.csv")));
        let reader = RequestsReader::open(&kept).unwrap();
        assert!(!reader.meta().complete);
        assert_eq!(reader.count(), 0);
    }
}
