//! Inputs of any kind, told apart by what they hold: saved results, traces and their metadata, capture
//! events, fio jobs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::distill::job::JOB_SCHEMA;
use crate::error::{Error, Result};
use crate::measure::Input;
use crate::measure::events::EVENTS_SCHEMA;
use crate::output;
use crate::plot::heat::HeatMap;
use crate::plot::over_time::OverTime;
use crate::plot::{Content, Source};
use crate::stop::Stop;
use crate::trace::meta::TRACE_SCHEMA;
use crate::trace::parquet::footer_value;
use crate::trace::{self, Format, Meta};

use super::terminal::Terminal;

/// The first bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = zstd::zstd_safe::MAGICNUMBER.to_le_bytes();

/// Reads an input; a trace and events are read to their end.
///
/// # Errors
/// When it cannot be read or is of no kind that is known, or the user asked to stop.
pub fn read(path: &Path, stop: &Stop, terminal: &Terminal) -> Result<Source> {
    if begins_as_text(path)? {
        return of_text(Input::read(path)?);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let input = trace::Input::open_until(path, stop)?;
    if input.format == Format::Parquet && footer_value(input.rewound()?, &input.name, EVENTS_SCHEMA)?.is_some() {
        let (sha256, map) = (input.sha256.clone(), HeatMap::of(path, stop, terminal)?);
        return Ok(Source { name, sha256, content: Content::Events(Box::new(map)) });
    }
    let (over, sha256) = OverTime::of(path, stop, terminal)?;
    Ok(Source { name, sha256, content: Content::Trace(Box::new(over)) })
}

/// What is text: a job, the metadata of a trace, a result.
fn of_text(input: Input) -> Result<Source> {
    let first = input.text.lines().next().unwrap_or_default();
    if first.starts_with("# ") && first.contains(JOB_SCHEMA) {
        return Ok(Source { name: input.name, sha256: input.sha256, content: Content::Job(input.text) });
    }
    if input.schema().as_deref() == Some(TRACE_SCHEMA) {
        let meta = Meta::from_json(input.text.as_bytes()).map_err(|e| e.context(&input.name))?;
        return Ok(Source { name: input.name, sha256: input.sha256, content: Content::Meta(Box::new(meta)) });
    }
    Source::of(&input)
}

/// Whether a file begins as a JSON result or a job does, compressed or not; a trace does not.
pub fn begins_as_text(path: &Path) -> Result<bool> {
    if output::is_standard(path) {
        return Ok(true);
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        File::open(path)?.take(4).read_to_end(&mut head)?;
        if head == ZSTD_MAGIC {
            head.clear();
            zstd::Decoder::new(File::open(path)?)?.take(1).read_to_end(&mut head)?;
        }
        Ok(head)
    };
    let head = read().map_err(|e| Error::reading(path, &e))?;
    Ok(head.first().is_none_or(|byte| b"{[#".contains(byte) || byte.is_ascii_whitespace()))
}
