//! Reading a trace in Parquet.

use std::sync::Arc;

use polars::prelude::{
    ChunkedArray, DataFrame, Int64Chunked, PolarsNumericType, StringChunked, UInt8Chunked, UInt32Chunked, UInt64Chunked,
};

use crate::error::{Error, Result};

use super::input::Input;
use super::meta::TRACE_SCHEMA;
use super::parquet::{Field, TableParts, TableRows, footer_value};
use super::parquet_file::FIELDS;
use super::record::{Record, Tier};

/// The rows of a Parquet trace, stamps as they stand in it.
pub struct ParquetRows {
    table: TableRows,
    name: String,
    slice: Option<Slice>,
    /// The conversation of the last row that had one; runs of rows share it.
    conversation: Option<Arc<str>>,
}

/// Some rows, by column.
struct Slice {
    /// The place of the first of them in the file.
    first: u64,
    next: usize,
    rows: usize,
    at_ns: Int64Chunked,
    op: StringChunked,
    size_bytes: UInt64Chunked,
    tier: UInt8Chunked,
    key: StringChunked,
    phase: StringChunked,
    request: Option<UInt64Chunked>,
    conversation: Option<StringChunked>,
    turn: Option<UInt32Chunked>,
    tokens: Option<UInt32Chunked>,
}

/// A value that is not allowed: the column, the value, what is allowed.
type Wrong = (&'static str, String, &'static str);

impl ParquetRows {
    /// Opens the rows.
    pub fn new(input: &Input) -> Result<Self> {
        let table = TableRows::open(input.rewound()?, &input.name, &FIELDS)?;
        Ok(Self { table, name: input.name.clone(), slice: None, conversation: None })
    }

    fn read(&mut self) -> Result<Option<Record>> {
        loop {
            if let Some(slice) = self.slice.as_mut().filter(|slice| slice.next < slice.rows) {
                let at = slice.next;
                slice.next += 1;
                let record = slice.record(at, &mut self.conversation);
                return record.map(Some).map_err(|(column, value, allowed)| {
                    Error::usage(format!(
                        "{}, row {}, column {column}: `{value}` is not allowed; {allowed}",
                        self.name,
                        slice.first + at as u64 + 1
                    ))
                });
            }
            let Some(next) = self.table.next_slice() else { return Ok(None) };
            let (first, frame) = next?;
            self.slice = Some(Slice::of(first, &frame).map_err(|e| Error::usage(format!("{}: {e}", self.name)))?);
        }
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Slice {
    fn of(first: u64, frame: &DataFrame) -> polars::prelude::PolarsResult<Self> {
        let maybe = |name| frame.column(name).ok();
        Ok(Self {
            first,
            next: 0,
            rows: frame.height(),
            at_ns: frame.column("at_ns")?.i64()?.clone(),
            op: frame.column("op")?.str()?.clone(),
            size_bytes: frame.column("size_bytes")?.u64()?.clone(),
            tier: frame.column("tier")?.u8()?.clone(),
            key: frame.column("key")?.str()?.clone(),
            phase: frame.column("phase")?.str()?.clone(),
            request: maybe("request").map(|c| c.u64().cloned()).transpose()?,
            conversation: maybe("conversation").map(|c| c.str().cloned()).transpose()?,
            turn: maybe("turn").map(|c| c.u32().cloned()).transpose()?,
            tokens: maybe("tokens").map(|c| c.u32().cloned()).transpose()?,
        })
    }

    fn record(&self, at: usize, last: &mut Option<Arc<str>>) -> Result<Record, Wrong> {
        let at_ns = value(&self.at_ns, at);
        if at_ns < 0 {
            return Err(("at_ns", at_ns.to_string(), "a stamp is not negative"));
        }
        let size_bytes = value(&self.size_bytes, at);
        if size_bytes == 0 {
            return Err(("size_bytes", "0".to_owned(), "a size is above 0"));
        }
        let tier = value(&self.tier, at);
        let op = self.op.get(at).unwrap_or_default();
        let phase = self.phase.get(at).unwrap_or_default();
        let key = self.key.get(at).unwrap_or_default();
        if key.is_empty() {
            return Err(("key", String::new(), "every object has a name"));
        }
        let name = self.conversation.as_ref().and_then(|names| names.get(at)).filter(|name| !name.is_empty());
        if name.is_some() && last.as_deref() != name {
            *last = name.map(Arc::from);
        }
        Ok(Record {
            at_ns,
            op: op.parse().map_err(|allowed| ("op", op.to_owned(), allowed))?,
            size_bytes,
            tier: Tier::try_from(tier).map_err(|allowed| ("tier", tier.to_string(), allowed))?,
            key: Arc::from(key),
            phase: phase.parse().map_err(|allowed| ("phase", phase.to_owned(), allowed))?,
            request: maybe(self.request.as_ref(), at),
            conversation: name.and(last.as_ref()).cloned(),
            turn: maybe(self.turn.as_ref(), at),
            tokens: maybe(self.tokens.as_ref(), at),
        })
    }
}

/// The value of a column without nulls.
fn value<T: PolarsNumericType>(column: &ChunkedArray<T>, at: usize) -> T::Native {
    column.get(at).unwrap_or_default()
}

/// The value of a column that may be missing or hold nulls.
fn maybe<T: PolarsNumericType>(column: Option<&ChunkedArray<T>>, at: usize) -> Option<T::Native> {
    column?.get(at)
}

/// Some columns of a Parquet trace, in parts of at most `most` rows; a column that is not needed may
/// be missing. All columns that every trace has must be there, whichever are asked for.
///
/// # Errors
/// When it is no trace.
pub fn parts(input: &Input, columns: &[&str], most: usize) -> Result<TableParts> {
    TableRows::open(input.rewound()?, &input.name, &FIELDS)?;
    let fields: Vec<Field> = FIELDS.into_iter().filter(|field| columns.contains(&field.name)).collect();
    Ok(TableRows::open(input.rewound()?, &input.name, &fields)?.into_parts(most))
}

/// The metadata of a Parquet trace, if it carries ours.
pub fn meta_json(input: &Input) -> Result<Option<Vec<u8>>> {
    footer_value(input.rewound()?, &input.name, TRACE_SCHEMA)
}
