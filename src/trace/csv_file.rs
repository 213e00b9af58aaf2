//! Writing a trace in CSV: to a file with a sidecar, to a file in one zstd frame, to standard
//! output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use zstd::stream::write::Encoder;

use crate::error::{Error, Result};
use crate::output::{self, Output, Overwrite};

use super::columns;
use super::meta::{Meta, TRACE_SCHEMA};
use super::row::Row;
use super::writer::Columns;
use super::zst;

/// Rows are formatted into a buffer of this size before they go on.
const BUFFER: usize = 256 << 10;

/// A CSV being written.
pub struct CsvFile {
    path: PathBuf,
    stream: Stream,
    buffer: Vec<u8>,
    columns: Columns,
    epoch_ns: i64,
    overwrite: Overwrite,
}

/// Where the text goes.
enum Stream {
    Plain(Output),
    Zst(Encoder<'static, Output>),
    /// Standard output, until its reader goes away.
    Standard,
}

impl CsvFile {
    /// Opens `path`; `-` is standard output.
    pub fn create(path: &Path, columns: Columns, overwrite: Overwrite, epoch_ns: i64, packed: bool) -> Result<Self> {
        let stream = if output::is_standard(path) {
            Stream::Standard
        } else if packed {
            let encoder =
                zst::encoder(Output::create(path, TRACE_SCHEMA, overwrite)?).map_err(|e| Error::writing(path, &e))?;
            Stream::Zst(encoder)
        } else {
            output::check_replaceable(&output::sidecar_path(path), TRACE_SCHEMA, overwrite)?;
            Stream::Plain(Output::create(path, TRACE_SCHEMA, overwrite)?)
        };
        let mut buffer = Vec::with_capacity(BUFFER + (BUFFER >> 3));
        columns::push_header(&mut buffer, columns);
        Ok(Self { path: path.to_owned(), stream, buffer, columns, epoch_ns, overwrite })
    }

    /// Appends a row; false when the columns have no place for it.
    #[inline]
    pub fn write(&mut self, row: &Row) -> Result<bool> {
        if !columns::belongs(row, self.columns) {
            return Ok(false);
        }
        let stamp = row.at_ns.checked_add(self.epoch_ns).and_then(|stamp| u64::try_from(stamp).ok());
        let stamp = stamp.ok_or_else(|| self.no_stamp(row))?;
        columns::push_row(&mut self.buffer, row, stamp, self.columns);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(true)
    }

    #[cold]
    fn no_stamp(&self, row: &Row) -> Error {
        Error::usage(format!(
            "{}: a row {} ns after the start with {} ns added has no stamp that a trace can hold; change --epoch",
            self.path.display(),
            row.at_ns,
            self.epoch_ns
        ))
    }

    fn flush(&mut self) -> Result<()> {
        let written = match &mut self.stream {
            Stream::Plain(file) => file.write_all(&self.buffer),
            Stream::Zst(encoder) => encoder.write_all(&self.buffer),
            Stream::Standard => {
                output::stream_to_stdout(&self.buffer)?;
                Ok(())
            }
        };
        self.buffer.clear();
        written.map_err(|e| Error::writing(&self.path, &e))
    }

    /// Ends the file with its metadata under the name that `name` gives it.
    fn end(mut self, meta: &Meta, name: impl Fn(Output) -> Result<PathBuf>) -> Result<PathBuf> {
        self.flush()?;
        let Self { path, stream, overwrite, .. } = self;
        let failed = |e: io::Error| Error::writing(&path, &e);
        match stream {
            Stream::Standard => Ok(path),
            Stream::Zst(encoder) => {
                let mut file = encoder.finish().map_err(failed)?;
                zst::write_meta(&mut file, &meta.to_json()).map_err(failed)?;
                name(file)
            }
            Stream::Plain(file) => {
                // Both files are whole before either gets its name: a full disk leaves the old pair.
                let named = if meta.complete { path.clone() } else { file.partial_name()? };
                let sidecar_path = output::sidecar_path(&named);
                let mut sidecar = Output::create(&sidecar_path, TRACE_SCHEMA, overwrite)?;
                sidecar.write_all(&output::to_json(meta)).map_err(|e| Error::writing(&sidecar_path, &e))?;
                let path = name(file)?;
                sidecar.finish()?;
                Ok(path)
            }
        }
    }

    /// Completes the file.
    pub fn finish(self, meta: &Meta) -> Result<()> {
        let path = self.path.clone();
        self.end(meta, |file| file.finish().map(|()| path.clone())).map(drop)
    }

    /// Keeps what there is under a partial name.
    pub fn keep_partial(self, meta: &Meta) -> Result<PathBuf> {
        self.end(meta, Output::keep_partial)
    }
}
