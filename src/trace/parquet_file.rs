//! Writing a trace in Parquet: rows are gathered by column and leave one row group at a time.

use std::path::{Path, PathBuf};

use polars::prelude::{Column, DataType, IntoColumn, StringChunkedBuilder};

use crate::error::Result;
use crate::output::{Output, Overwrite};

use super::meta::{Meta, TRACE_SCHEMA};
use super::parquet::{Field, GROUP_ROWS, TableFile, needed, optional};
use super::row::Row;

/// The columns of a trace.
pub const FIELDS: [Field; 10] = [
    needed("at_ns", DataType::Int64),
    needed("op", DataType::String),
    needed("size_bytes", DataType::UInt64),
    needed("tier", DataType::UInt8),
    needed("key", DataType::String),
    needed("phase", DataType::String),
    optional("request", DataType::UInt64),
    optional("conversation", DataType::String),
    optional("turn", DataType::UInt32),
    optional("tokens", DataType::UInt32),
];

/// A Parquet trace being written.
pub struct ParquetFile {
    table: TableFile,
    group: Group,
}

/// The rows of a row group, by column.
struct Group {
    at_ns: Vec<i64>,
    op: StringChunkedBuilder,
    size_bytes: Vec<u64>,
    tier: Vec<u8>,
    key: StringChunkedBuilder,
    phase: StringChunkedBuilder,
    request: Vec<Option<u64>>,
    conversation: StringChunkedBuilder,
    turn: Vec<Option<u32>>,
    tokens: Vec<Option<u32>>,
}

impl ParquetFile {
    /// Opens `path`.
    pub fn create(path: &Path, overwrite: Overwrite) -> Result<Self> {
        Ok(Self { table: TableFile::create(path, TRACE_SCHEMA, overwrite, &FIELDS)?, group: Group::new() })
    }

    /// Appends a row; every row has a place in Parquet.
    pub fn write(&mut self, row: &Row) -> Result<bool> {
        self.group.push(row);
        if self.group.at_ns.len() == GROUP_ROWS {
            self.flush()?;
        }
        Ok(true)
    }

    fn flush(&mut self) -> Result<()> {
        if self.group.at_ns.is_empty() {
            return Ok(());
        }
        let group = std::mem::replace(&mut self.group, Group::new());
        self.table.write(group.columns())
    }

    fn end(mut self, meta: &Meta) -> Result<Output> {
        self.flush()?;
        self.table.end(TRACE_SCHEMA, &meta.to_json())
    }

    /// Completes the file.
    pub fn finish(self, meta: &Meta) -> Result<()> {
        self.end(meta)?.finish()
    }

    /// Keeps what there is under a partial name.
    pub fn keep_partial(self, meta: &Meta) -> Result<PathBuf> {
        self.end(meta)?.keep_partial()
    }
}

impl Group {
    fn new() -> Self {
        let text = |name: &'static str| StringChunkedBuilder::new(name.into(), 0);
        Self {
            at_ns: Vec::new(),
            op: text("op"),
            size_bytes: Vec::new(),
            tier: Vec::new(),
            key: text("key"),
            phase: text("phase"),
            request: Vec::new(),
            conversation: text("conversation"),
            turn: Vec::new(),
            tokens: Vec::new(),
        }
    }

    fn push(&mut self, row: &Row) {
        self.at_ns.push(row.at_ns);
        self.op.append_value(row.op.word());
        self.size_bytes.push(row.size_bytes);
        self.tier.push(row.tier.into());
        self.key.append_value(&*row.key.to_string());
        self.phase.append_value(row.phase.word());
        self.request.push(row.request);
        self.conversation.append_option(row.conversation.as_ref().map(ToString::to_string));
        self.turn.push(row.turn);
        self.tokens.push(row.tokens);
    }

    fn columns(self) -> Vec<Column> {
        vec![
            Column::new("at_ns".into(), self.at_ns),
            self.op.finish().into_column(),
            Column::new("size_bytes".into(), self.size_bytes),
            Column::new("tier".into(), self.tier),
            self.key.finish().into_column(),
            self.phase.finish().into_column(),
            Column::new("request".into(), self.request),
            self.conversation.finish().into_column(),
            Column::new("turn".into(), self.turn),
            Column::new("tokens".into(), self.tokens),
        ]
    }
}
