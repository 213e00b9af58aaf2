//! What the data of existing files is like: how much of it repeats, and how much smaller zstd makes
//! it. Memory does not depend on how much there is.

use std::collections::HashSet;
use std::fs::{self, File, FileType};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stop::Stop;

use super::duplicates::{Digest, Duplicates, Duplication};
use super::identity::INFO_SCHEMA;

/// Blocks that are compared: a sector of a drive, a page of memory and of most filesystems.
const SMALL: usize = 512;
const LARGE: usize = 4096;
/// Bytes that are read at a time; whole large blocks.
const PIECE: usize = 4 << 20;
/// As `zstd -3 --long=27`.
const LEVEL: i32 = 3;
const WINDOW_LOG: u32 = 27;
/// Threads that compress beside the one that reads and hashes.
const WORKERS: u32 = 2;

/// What the data of some files is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contents {
    /// The schema of what `kvtrace info` says.
    pub schema: &'static str,
    /// The tool that looked, with its version.
    pub tool: &'static str,
    /// `data`.
    pub kind: &'static str,
    /// What was asked about.
    pub paths: Vec<String>,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Further names of files that were read under another name.
    pub other_names: u64,
    /// Links, pipes, sockets and devices below the folders, which were left alone.
    pub left_alone: u64,
    /// Repetition in blocks of 512 bytes and of 4 KiB, each from the start of its file.
    pub duplication: Vec<Duplication>,
    /// Compression.
    pub zstd: Compression,
}

/// How much smaller zstd makes all of it, as one stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compression {
    /// The level.
    pub level: i32,
    /// How far back repetition is found, as a power of two.
    pub window_log: u32,
    /// Bytes that are left.
    pub bytes: u64,
    /// Bytes before for each byte that is left: 1 or less when nothing is gained; none without data.
    pub ratio: Option<f64>,
}

/// Reads files, and folders with all that is in them.
///
/// # Errors
/// What cannot be read, with its name; an interruption.
pub fn look(paths: &[PathBuf], memory_bytes: u64, stop: &Stop, progress: &dyn Progress) -> Result<Contents> {
    let mut found = Found::default();
    for path in paths {
        found.add(path, stop)?;
    }
    progress.stage("reading", Some(found.files.iter().map(|(_, bytes)| bytes).sum()), "bytes");
    let mut reader = Reader::new(memory_bytes)?;
    for (path, _) in &found.files {
        reader.file(path, stop, progress)?;
    }
    progress.done();
    let (bytes, files) = (reader.bytes, found.files.len() as u64);
    let (duplication, left) = reader.finish()?;
    let zstd = Compression {
        level: LEVEL,
        window_log: WINDOW_LOG,
        bytes: left,
        ratio: (bytes > 0).then(|| bytes as f64 / left.max(1) as f64),
    };
    Ok(Contents {
        schema: INFO_SCHEMA,
        tool: crate::TOOL,
        kind: "data",
        paths: paths.iter().map(|path| path.display().to_string()).collect(),
        files,
        bytes,
        other_names: found.other_names,
        left_alone: found.left_alone,
        duplication,
        zstd,
    })
}

/// The files to read, with their lengths.
#[derive(Default)]
struct Found {
    files: Vec<(PathBuf, u64)>,
    /// Files by device and number, so that each is read once.
    known: HashSet<(u64, u64)>,
    other_names: u64,
    left_alone: u64,
}

impl Found {
    /// A path that was named; it may be a link.
    fn add(&mut self, path: &Path, stop: &Stop) -> Result<()> {
        let facts = fs::metadata(path).map_err(|e| Error::reading(path, &e))?;
        if facts.is_dir() {
            return self.folder(path, stop);
        }
        let kind: FileType = facts.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Error::usage(format!(
                "{} is neither a file nor a folder; name files with data, or a folder of them",
                path.display()
            )));
        }
        self.file(path.to_owned(), &facts);
        Ok(())
    }

    fn file(&mut self, path: PathBuf, facts: &fs::Metadata) {
        if self.known.insert((facts.dev(), facts.ino())) {
            self.files.push((path, facts.len()));
        } else {
            self.other_names += 1;
        }
    }

    /// All that is in a folder, in the order of names; links in it lead nowhere.
    fn folder(&mut self, top: &Path, stop: &Stop) -> Result<()> {
        let mut folders = vec![top.to_owned()];
        while let Some(folder) = folders.pop() {
            interrupted(stop)?;
            let failed = |e: io::Error| Error::reading(&folder, &e);
            let mut entries = fs::read_dir(&folder).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let path = entry.path();
                let facts = fs::symlink_metadata(&path).map_err(|e| Error::reading(&path, &e))?;
                if facts.is_dir() {
                    folders.push(path);
                } else if facts.is_file() {
                    self.file(path, &facts);
                } else {
                    self.left_alone += 1;
                }
            }
        }
        Ok(())
    }
}

fn interrupted(stop: &Stop) -> Result<()> {
    if stop.requested() { Err(Error::interrupted("interrupted; nothing was counted to its end")) } else { Ok(()) }
}

/// A sink that counts.
#[derive(Default)]
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0 += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Reader {
    small: Duplicates,
    large: Duplicates,
    encoder: zstd::stream::Encoder<'static, Counter>,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Reader {
    fn new(memory_bytes: u64) -> Result<Self> {
        let compressor = |e: io::Error| Error::unavailable(format!("zstd cannot be set up: {e}"));
        let mut encoder = zstd::stream::Encoder::new(Counter::default(), LEVEL).map_err(compressor)?;
        encoder.multithread(WORKERS).map_err(compressor)?;
        encoder.long_distance_matching(true).map_err(compressor)?;
        encoder.window_log(WINDOW_LOG).map_err(compressor)?;
        // There are eight times as many small blocks.
        Ok(Self {
            small: Duplicates::new(SMALL as u64, memory_bytes / 9 * 8),
            large: Duplicates::new(LARGE as u64, memory_bytes / 9),
            encoder,
            buffer: vec![0; PIECE],
            bytes: 0,
        })
    }

    fn file(&mut self, path: &Path, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        let failed = |e: io::Error| Error::reading(path, &e);
        let mut file = File::open(path).map_err(failed)?;
        loop {
            interrupted(stop)?;
            let length = fill(&mut file, &mut self.buffer).map_err(failed)?;
            let data = &self.buffer[..length];
            for block in data.chunks(LARGE) {
                count(block, &mut self.small, &mut self.large);
            }
            self.encoder.write_all(data).map_err(|e| Error::io(format!("compressing failed: {e}")))?;
            self.bytes += length as u64;
            progress.advance(length as u64);
            if length < PIECE {
                return Ok(());
            }
        }
    }

    fn finish(self) -> Result<(Vec<Duplication>, u64)> {
        let counter = self.encoder.finish().map_err(|e| Error::io(format!("compressing failed: {e}")))?;
        Ok((vec![self.small.counted(), self.large.counted()], counter.0))
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Counts a large block and the small ones in it. The large one's hash is that of their hashes.
fn count(block: &[u8], small: &mut Duplicates, large: &mut Duplicates) {
    let mut whole = Sha256::new();
    let mut all_zero = true;
    for part in block.chunks(SMALL) {
        if is_zero(part) {
            small.zero();
            // A length says as much as a hash of so many zeros would.
            whole.update((part.len() as u128).to_le_bytes());
            continue;
        }
        all_zero = false;
        let digest = shorten(Sha256::digest(part).as_slice());
        small.add(digest);
        whole.update(digest.to_le_bytes());
    }
    if all_zero {
        large.zero();
    } else {
        large.add(shorten(whole.finalize().as_slice()));
    }
}

/// The first 128 bits of a SHA-256: different blocks share them by accident in one of 2^40 runs
/// over a petabyte.
fn shorten(hash: &[u8]) -> Digest {
    hash.iter().take(16).fold(0, |all, byte| all << 8 | Digest::from(*byte))
}

fn is_zero(data: &[u8]) -> bool {
    let (words, rest) = data.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::progress::Silent;

    #[test]
    fn looking_ends_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), [7; 10_000]).unwrap();
        let stop = Stop::new();
        let paths = [dir.path().to_owned()];
        assert_eq!(look(&paths, 1 << 20, &stop, &Silent).unwrap().bytes, 10_000);
        stop.request();
        assert_eq!(look(&paths, 1 << 20, &stop, &Silent).unwrap_err().kind(), Kind::Interrupted);
    }

    #[test]
    fn a_short_last_block_of_zeros_is_zeros() {
        assert!(is_zero(&[0; 33]) && is_zero(&[]) && !is_zero(&[0, 0, 1]));
        let mut late = [0; 512];
        late[511] = 1;
        assert!(!is_zero(&late));
    }
}
