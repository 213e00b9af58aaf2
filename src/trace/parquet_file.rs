//! Writing a trace in Parquet.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::Overwrite;

use super::meta::Meta;
use super::record::Record;

/// A Parquet file being written.
pub struct ParquetFile {}

impl ParquetFile {
    /// Opens `path`.
    pub fn create(path: &Path, _overwrite: Overwrite) -> Result<Self> {
        Err(Error::usage(format!("{}: Parquet traces are not written by this build", path.display())))
    }

    /// Appends a row.
    pub fn write(&mut self, _record: &Record) -> Result<bool> {
        Ok(true)
    }

    /// Completes the file.
    pub fn finish(self, _meta: &Meta) -> Result<()> {
        Ok(())
    }

    /// Keeps what there is under a partial name.
    pub fn keep_partial(self, _meta: &Meta) -> Result<PathBuf> {
        Ok(PathBuf::new())
    }
}
