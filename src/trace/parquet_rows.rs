//! Reading a trace in Parquet.

use crate::error::{Error, Result};

use super::input::Input;
use super::record::Record;

/// The rows of a Parquet file.
pub struct ParquetRows {}

impl ParquetRows {
    /// Opens the rows.
    pub fn new(input: &Input) -> Result<Self> {
        Err(Error::usage(format!("{}: Parquet traces are not read by this build", input.name)))
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

/// The metadata of a Parquet trace.
pub fn meta_json(_input: &Input) -> Result<Option<Vec<u8>>> {
    Ok(None)
}
