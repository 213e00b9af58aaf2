//! One trace into another format.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::stop::Stop;

use super::reader::TraceReader;
use super::record::Op;
use super::requests_file::{REQUESTS_SCHEMA, requests_path};
use super::writer::{Columns, TraceWriter, WriteOptions};

/// Rows between two looks at the stop flag.
const STRIDE: u64 = 8192;

/// What a conversion did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Rows written.
    pub rows: u64,
    /// Delete rows that the reference's columns have no place for.
    pub deletes_left_out: u64,
    /// Rows of a foreign trace that were out of order.
    pub inversions: u64,
    /// Where the requests file was copied, when there was one.
    pub requests: Option<PathBuf>,
}

/// Converts the trace `from` into `to`, whose name says the format. `epoch_ns` replaces the
/// stamps' offset, which is kept otherwise; the requests file beside `from` goes along.
///
/// # Errors
/// When `to` is `from`, either cannot be used, or the user asked to stop: then what there is
/// stays as a partial file.
pub fn convert(
    from: &Path,
    to: &Path,
    options: WriteOptions,
    epoch_ns: Option<i64>,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Converted> {
    if is_same(from, to) {
        return Err(Error::usage(format!("{} is both input and output; give the output another name", from.display())));
    }
    let reader = TraceReader::open_until(from, stop)?;
    let meta = reader.meta().clone();
    let mut writer = TraceWriter::create(to, options, epoch_ns.unwrap_or(meta.epoch_ns))?;
    progress.stage("convert", meta.rows, "rows");
    let mut deletes = 0;
    for (place, record) in (1u64..).zip(reader) {
        let record = record?;
        deletes += u64::from(record.op == Op::Delete);
        writer.write(&record)?;
        if place.is_multiple_of(STRIDE) {
            progress.advance(STRIDE);
            if stop.requested() {
                let kept = writer.keep_partial(&meta)?;
                return Err(Error::interrupted(format!("interrupted after {place} rows, kept in {}", kept.display())));
            }
        }
    }
    progress.done();
    let rows = writer.rows();
    writer.finish(&meta)?;
    let deletes_left_out = if options.columns == Columns::Mlperf { deletes } else { 0 };
    let requests = copy_requests(from, to, options)?;
    Ok(Converted { rows, deletes_left_out, inversions: meta.inversions.unwrap_or(0), requests })
}

/// Copies the requests file of `from` to where the one of `to` belongs.
fn copy_requests(from: &Path, to: &Path, options: WriteOptions) -> Result<Option<PathBuf>> {
    if output::is_standard(from) || output::is_standard(to) {
        return Ok(None);
    }
    let (source, target) = (requests_path(from), requests_path(to));
    if !source.exists() || is_same(&source, &target) {
        return Ok(None);
    }
    let mut input = std::fs::File::open(&source).map_err(|e| Error::reading(&source, &e))?;
    let mut copy = Output::create(&target, REQUESTS_SCHEMA, options.overwrite)?;
    io::copy(&mut input, &mut copy).map_err(|e| Error::writing(&target, &e))?;
    copy.finish()?;
    Ok(Some(target))
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        _ if output::is_standard(one) || output::is_standard(other) => false,
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::progress::Silent;

    #[test]
    fn an_interrupted_conversion_keeps_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("t.csv"), dir.path().join("u.csv.zst"));
        let rows: String = (0..2 * STRIDE).map(|i| format!("{i},Read,1,Tier-0,k,Decode\n")).collect();
        std::fs::write(&from, format!("Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n{rows}")).unwrap();
        let stop = Stop::new();
        stop.request();
        let ended = convert(&from, &to, WriteOptions::default(), None, &stop, &Silent).unwrap_err();
        assert_eq!(ended.kind(), Kind::Interrupted);
        let kept = TraceReader::open(&dir.path().join("u.partial.csv.zst")).unwrap();
        assert_eq!((kept.meta().complete, kept.meta().rows, kept.count()), (false, Some(STRIDE), STRIDE as usize));
        assert!(!to.exists());
    }
}
