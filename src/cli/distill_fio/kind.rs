//! What kind of input is distilled, by its content.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Result};
use crate::measure::events::EVENTS_SCHEMA;
use crate::output;

/// The first bytes of a Parquet file (Apache Parquet, "File Format").
const PARQUET: &[u8] = b"PAR1";

/// How far from its end a Parquet file's key-value metadata may lie.
const FOOTER: i64 = 1 << 20;

/// Whether a Parquet file's footer names events.
fn footer(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
    file.seek(SeekFrom::End(-length.min(FOOTER)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail.windows(EVENTS_SCHEMA.len()).any(|part| part == EVENTS_SCHEMA.as_bytes()))
}

/// An input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What `capture --from` reads: a result of ours, or the text of bpftrace.
    Result,
    /// A row for each request.
    Events,
    /// A trace: CSV or Parquet.
    Trace,
}

impl Kind {
    /// Looks at the first byte that is no space; standard input is a result.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        if output::is_standard(path) {
            return Ok(Self::Result);
        }
        let failed = |e: &std::io::Error| Error::reading(path, e);
        let mut head = Vec::new();
        let file = File::open(path).map_err(|e| failed(&e))?;
        if file.metadata().is_ok_and(|facts| facts.is_dir()) {
            return Err(Error::usage(format!("{} is a directory; name a file in it", path.display())));
        }
        file.take(1 << 16).read_to_end(&mut head).map_err(|e| failed(&e))?;
        if head.starts_with(&zstd::zstd_safe::MAGICNUMBER.to_le_bytes()) {
            let mut plain = Vec::new();
            // A cut frame gives what is there, which is enough to see how it begins.
            if let Ok(decoder) = zstd::Decoder::new(&head[..]) {
                let _ = decoder.take(64).read_to_end(&mut plain);
            }
            head = plain;
        }
        if head.starts_with(PARQUET) {
            let events = footer(path).map_err(|e| failed(&e))?;
            return Ok(if events { Self::Events } else { Self::Trace });
        }
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        let is_text = first.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'"');
        let header = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(if is_text && header.contains(&b',') { Self::Trace } else { Self::Result })
    }
}
