//! Writing traces: CSV, CSV in one zstd frame, Parquet.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::output::Overwrite;

use super::meta::Meta;
use super::record::Record;

/// Which columns a CSV has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Columns {
    /// The reference's six columns, then `Request,Conversation,Turn,Tokens`.
    #[default]
    Full,
    /// The reference's six columns with 6 decimals, and no Delete rows.
    Mlperf,
}

/// How a trace is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Which columns a CSV has; Parquet has them all.
    pub columns: Columns,
    /// Whether a stranger's file may be replaced.
    pub overwrite: Overwrite,
}

/// A trace being written; the format is chosen by the name: `.csv`, `.csv.zst`, `.parquet`,
/// `-` for CSV on standard output.
pub struct TraceWriter {}

impl TraceWriter {
    /// Opens `path`. `epoch_ns` is added to the stamps of a CSV.
    pub fn create(_path: &Path, _options: WriteOptions, _epoch_ns: i64) -> Result<Self> {
        todo!()
    }

    /// Appends a row. Stamps must not decrease.
    pub fn write(&mut self, _record: &Record) -> Result<()> {
        todo!()
    }

    /// Completes the file with its metadata and gives it its name.
    pub fn finish(self, _meta: &Meta) -> Result<()> {
        todo!()
    }

    /// Keeps an interrupted trace as `<stem>.partial.<ext>`; `meta.complete` is written false.
    pub fn keep_partial(self, _meta: &Meta) -> Result<PathBuf> {
        todo!()
    }
}
