//! What the analyses of hits are given: a file of requests with token blocks, or a trace.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::analyze::identity::is_trace;
use crate::error::{Error, Result};
use crate::output;

/// How much of a file is looked at.
const HEAD: u64 = 64 << 10;
/// How a zstd frame begins (RFC 8878, section 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether a file is a trace: rows of objects rather than prompts of token blocks. What cannot be
/// opened as one file, a pattern or a folder, holds prompts.
///
/// # Errors
/// When the file cannot be read.
pub fn holds_objects(path: &Path) -> Result<bool> {
    if output::is_standard(path) {
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
