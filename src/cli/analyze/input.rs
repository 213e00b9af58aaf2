//! What the analyses of hits are given: a file of requests with token blocks, or a trace.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::analyze::identity::is_trace;
use crate::error::{Error, Kind, Result};
use crate::output;

/// How much of a file is looked at.
const HEAD: u64 = 64 << 10;
/// How a zstd frame begins (RFC 8878, section 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether a path gives what it holds only once: standard input, a pipe.
pub fn is_read_once(path: &Path) -> bool {
    output::is_standard(path) || path.exists() && !path.is_file() && !path.is_dir()
}

/// Refuses a path that gives what it holds only once, where it has to be read twice.
///
/// # Errors
/// That it is one.
pub fn refuse_read_once(path: &Path) -> Result<()> {
    if !is_read_once(path) {
        return Ok(());
    }
    let name = if output::is_standard(path) { "standard input".to_owned() } else { path.display().to_string() };
    Err(Error::usage(format!("{name} is read once and this analysis reads it twice; save it to a file first")))
}

/// What is wrong with standard input or a pipe that holds no trace: requests would have to be read
/// twice.
pub fn of_pipe(paths: &[PathBuf], wrong: Error) -> Error {
    let twice = paths.iter().find_map(|path| refuse_read_once(path).err());
    // A trace that is broken stays what it is.
    let no_trace = wrong.kind() == Kind::Usage && wrong.to_string().contains("is not a trace");
    match twice.filter(|_| no_trace) {
        Some(twice) => Error::usage(format!("{twice} (only a trace is read in one go, and this is none)")),
        None => wrong,
    }
}

/// Whether a file is a trace: rows of objects rather than prompts of token blocks. What can be read
/// only once is taken for one, for a trace is read in one go.
///
/// # Errors
/// When the file cannot be read.
pub fn holds_objects(path: &Path) -> Result<bool> {
    if is_read_once(path) {
        return Ok(true);
    }
    if !path.is_file() {
        return Ok(false);
    }
    let unreadable = |e| Error::reading(path, &e);
    let mut head = Vec::new();
    let mut file = File::open(path).map_err(unreadable)?;
    (&mut file).take(HEAD).read_to_end(&mut head).map_err(unreadable)?;
    if head.starts_with(&ZSTD) {
        // A head that was cut in the middle of a frame gives what it gives.
        let mut text = Vec::new();
        if let Ok(decoder) = zstd::stream::read::Decoder::new(head.as_slice()) {
            let _ = decoder.take(HEAD).read_to_end(&mut text);
        }
        head = text;
    }
    Ok(is_trace(&head))
}
