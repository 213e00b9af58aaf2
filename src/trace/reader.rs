//! Reading traces: strict, bounded in memory, format found by content.

use std::path::Path;

use crate::error::Result;

use super::meta::Meta;
use super::record::Record;

/// A trace being read: rows in time order, stamps from the start of the trace.
pub struct TraceReader {}

impl TraceReader {
    /// Opens a trace of any format (`-`: standard input). Metadata is read first; a foreign
    /// trace (no metadata) is scanned once, rebased when its stamps are epoch seconds, and
    /// handed out stably sorted.
    pub fn open(_path: &Path) -> Result<Self> {
        todo!()
    }

    /// The metadata; of a foreign trace, what the scan found out.
    pub fn meta(&self) -> &Meta {
        todo!()
    }

    /// Whether the trace carries our own metadata.
    pub fn is_ours(&self) -> bool {
        todo!()
    }

    /// The sha256 of the input file, in hex.
    pub fn sha256(&self) -> &str {
        todo!()
    }
}

impl Iterator for TraceReader {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
