//! Writing traces: CSV, CSV in one zstd frame, Parquet.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::{self, Overwrite};

use super::csv_file::CsvFile;
use super::meta::Meta;
use super::parquet_file::ParquetFile;
use super::record::Record;
use super::row::Row;

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
pub struct TraceWriter {
    sink: Sink,
    epoch_ns: i64,
    rows: u64,
    last_ns: i64,
}

enum Sink {
    Csv(Box<CsvFile>),
    Parquet(Box<ParquetFile>),
}

impl TraceWriter {
    /// Opens `path`. `epoch_ns` is added to the stamps of a CSV; with [`Columns::Mlperf`] its
    /// part below a microsecond is cut off, so that no stamp comes before it.
    ///
    /// # Errors
    /// When the name says no format, a Parquet file is to have less than all columns, or the file
    /// cannot be written or replaced.
    pub fn create(path: &Path, options: WriteOptions, epoch_ns: i64) -> Result<Self> {
        let WriteOptions { columns, overwrite } = options;
        let epoch_ns = if columns == Columns::Mlperf { epoch_ns - epoch_ns.rem_euclid(1_000) } else { epoch_ns };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let csv = |packed| CsvFile::create(path, columns, overwrite, epoch_ns, packed).map(|f| Sink::Csv(Box::new(f)));
        let sink = if output::is_standard(path) || name.ends_with(".csv") {
            csv(false)?
        } else if name.ends_with(".csv.zst") {
            csv(true)?
        } else if name.ends_with(".parquet") {
            if columns == Columns::Mlperf {
                return Err(Error::usage("--columns mlperf is for CSV; Parquet has all columns"));
            }
            Sink::Parquet(Box::new(ParquetFile::create(path, overwrite)?))
        } else {
            return Err(Error::usage(format!(
                "`{}` does not say what format the trace should have; end it in .csv, .csv.zst or .parquet, or give -",
                path.display()
            )));
        };
        Ok(Self { sink, epoch_ns, rows: 0, last_ns: i64::MIN })
    }

    /// Appends a row that came out of another trace. Stamps must not decrease.
    ///
    /// # Errors
    /// As [`TraceWriter::write_row`].
    pub fn write(&mut self, record: &Record) -> Result<()> {
        self.write_row(&Row::from(record))
    }

    /// Appends a row. Stamps must not decrease.
    ///
    /// # Errors
    /// When the file cannot be written, or the row cannot be in a trace.
    pub fn write_row(&mut self, row: &Row) -> Result<()> {
        if row.at_ns < self.last_ns || row.size_bytes == 0 {
            return Err(self.out_of_order(row));
        }
        self.last_ns = row.at_ns;
        let written = match &mut self.sink {
            Sink::Csv(file) => file.write(row)?,
            Sink::Parquet(file) => file.write(row)?,
        };
        self.rows += u64::from(written);
        Ok(())
    }

    #[cold]
    fn out_of_order(&self, row: &Row) -> Error {
        Error::usage(format!(
            "row {} cannot be written: {} bytes of {} at {} ns, after {} ns; sizes are above 0, stamps never decrease",
            self.rows + 1,
            row.size_bytes,
            row.key,
            row.at_ns,
            self.last_ns
        ))
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Completes the file with its metadata and gives it its name. `rows` and `epoch_ns` of the
    /// metadata are what was really written.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self, meta: &Meta) -> Result<()> {
        let meta = self.final_meta(meta, meta.complete);
        match self.sink {
            Sink::Csv(file) => file.finish(&meta),
            Sink::Parquet(file) => file.finish(&meta),
        }
    }

    /// Keeps an interrupted trace as `<stem>.partial.<ext>`; `meta.complete` is written false.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_partial(self, meta: &Meta) -> Result<PathBuf> {
        let meta = self.final_meta(meta, false);
        match self.sink {
            Sink::Csv(file) => file.keep_partial(&meta),
            Sink::Parquet(file) => file.keep_partial(&meta),
        }
    }

    fn final_meta(&self, meta: &Meta, complete: bool) -> Meta {
        Meta { rows: Some(self.rows), epoch_ns: self.epoch_ns, complete, ..meta.clone() }
    }
}
