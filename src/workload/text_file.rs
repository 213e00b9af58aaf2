//! A source's file as text: opened, unpacked when it is compressed, and named in messages.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use crate::error::{Error, Result};

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];

/// The text of a regular file, unpacked when it is zstd, whatever it is called. `what` says what
/// the file should be, for messages.
///
/// # Errors
/// When the file cannot be opened, or is a folder, a pipe or packed in another way.
pub fn open(path: &Path, what: &str) -> Result<Box<dyn Read + Send>> {
    let unreadable = |e: io::Error| Error::reading(path, &e);
    let mut file = File::open(path).map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?.file_type();
    if kind.is_dir() {
        return Err(Error::usage(format!("{} is a directory; name {what} in it", path.display())));
    }
    if !kind.is_file() {
        return Err(Error::usage(format!("{} is not a regular file, and it is read twice", path.display())));
    }
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(4).read_to_end(&mut head).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    if head == ZSTD_MAGIC {
        return Ok(Box::new(zstd::stream::read::Decoder::new(file).map_err(unreadable)?));
    }
    if head.starts_with(&GZIP_MAGIC) {
        return Err(Error::usage(format!("{0} is gzip; unpack it first (`gunzip -k {0}`)", path.display())));
    }
    Ok(Box::new(file))
}

/// Whether reading failed because a compressed file ends in the middle.
pub fn is_cut(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// What is said of a file that ends in the middle: `end` is the byte of its text, which is not that
/// of the file when it is `packed`; `whole` says what came before.
pub fn cut_off(path: &Path, end: u64, packed: bool, whole: &str) -> String {
    let text = if packed { " of its unpacked text" } else { "" };
    format!("{} is cut off at byte {end}{text}, after {whole}", path.display())
}
