//! A trace file as bytes: opened or spooled, hashed, its format found by content.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::checksum;
use crate::error::{Error, Result, plain};
use crate::output;
use crate::stop::Stop;

use super::piped::Piped;
use super::zst;

/// What a trace file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain CSV.
    Csv,
    /// CSV in zstd.
    CsvZst,
    /// Parquet.
    Parquet,
}

/// An opened input that can be read more than once.
pub struct Input {
    /// The file, or the spooled copy of a stream.
    file: File,
    /// The path as it was typed.
    path: PathBuf,
    /// How messages call it.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// Its sha256, in hex.
    pub sha256: String,
    /// Its length.
    pub size_bytes: u64,
}

impl Input {
    /// Opens `path`; `-` and anything else that cannot be read twice is copied to a temporary
    /// file without a name first.
    ///
    /// # Errors
    /// When it cannot be read, or is no file of any kind that is known.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_until(path, &Stop::new())
    }

    /// The same, unless somebody asks to stop while a stream is copied.
    ///
    /// # Errors
    /// As [`Input::open`], and that somebody asked.
    pub fn open_until(path: &Path, stop: &Stop) -> Result<Self> {
        let unreadable = |e: io::Error| Error::reading(path, &e);
        let standard = output::is_standard(path);
        let name = if standard { "standard input".to_owned() } else { path.display().to_string() };
        let mut file;
        let digest;
        if standard {
            (file, digest) = spool(io::stdin(), &name, stop)?;
        } else {
            file = File::open(path).map_err(unreadable)?;
            let facts = file.metadata().map_err(unreadable)?;
            if facts.is_dir() {
                return Err(Error::usage(format!("{name} is a directory; name a file in it")));
            }
            if facts.file_type().is_char_device() && !file.is_terminal() {
                return Err(Error::usage(format!("{name} is a device without an end; name a file or a pipe")));
            }
            if facts.is_file() {
                digest = checksum::of_stream(&mut file, |_| Ok(())).map_err(unreadable)?;
            } else {
                (file, digest) = spool(file, &name, stop)?;
            }
        }
        let size_bytes = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
        if size_bytes == 0 {
            return Err(Error::usage(format!("{name} is empty; a trace has at least a header line")));
        }
        let mut input = Self { file, path: path.to_owned(), name, format: Format::Csv, sha256: digest, size_bytes };
        input.format = input.detect()?;
        Ok(input)
    }

    fn detect(&self) -> Result<Format> {
        let mut head = Vec::new();
        self.rewound()?.take(4).read_to_end(&mut head).map_err(|e| self.unreadable(&e))?;
        match &head[..] {
            b"PAR1" => Ok(Format::Parquet),
            head if zst::is_zst(head) => Ok(Format::CsvZst),
            [0x1F, 0x8B, ..] => {
                Err(Error::usage(format!("{} is gzip; unpack it first (`gunzip -c FILE | kvtrace … -`)", self.name)))
            }
            _ => Ok(Format::Csv),
        }
    }

    /// The file from its start.
    pub fn rewound(&self) -> Result<File> {
        let mut file = self.file.try_clone().map_err(|e| self.unreadable(&e))?;
        file.seek(SeekFrom::Start(0)).map_err(|e| self.unreadable(&e))?;
        Ok(file)
    }

    /// The text of a CSV from its start, unpacked when it is packed.
    pub fn text(&self) -> Result<Box<dyn Read + Send>> {
        let file = self.rewound()?;
        match self.format {
            Format::CsvZst => {
                let decoder = zstd::stream::read::Decoder::new(file).map_err(|e| self.unreadable(&e))?;
                Ok(Box::new(decoder))
            }
            _ => Ok(Box::new(file)),
        }
    }

    /// Up to `limit` bytes of the unpacked text from its start.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn head(&self, limit: u64) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        let read = self.text()?.take(limit).read_to_end(&mut head);
        match read {
            Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => Err(self.unreadable(&e)),
            Err(_) if head.is_empty() => {
                Err(Error::usage(format!("{} is cut: its zstd data ends before any of it can be unpacked", self.name)))
            }
            _ => Ok(head),
        }
    }

    /// The path as it was typed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The metadata that goes with a CSV, and where it stands: in the last frame or in the sidecar.
    pub fn csv_meta(&self) -> Result<Option<(String, Vec<u8>)>> {
        if self.format == Format::CsvZst {
            let found = zst::read_meta(&mut self.rewound()?).map_err(|e| self.unreadable(&e))?;
            return Ok(found.map(|json| (self.name.clone(), json)));
        }
        if output::is_standard(&self.path) {
            return Ok(None);
        }
        let sidecar = output::sidecar_path(&self.path);
        match std::fs::read(&sidecar) {
            Ok(json) => Ok(Some((sidecar.display().to_string(), json))),
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(e) => Err(Error::reading(&sidecar, &e)),
        }
    }

    /// The file's name without its folder; none for standard input.
    pub fn file_name(&self) -> Option<String> {
        (!output::is_standard(&self.path)).then(|| self.path.file_name().map(|n| n.to_string_lossy().into_owned()))?
    }

    /// The error of a read that failed.
    pub fn unreadable(&self, error: &io::Error) -> Error {
        Error::reading(Path::new(&self.name), error)
    }
}

/// Copies a stream to a temporary file that has no name any more, hashing it on the way.
fn spool(stream: impl Read + Send + 'static, name: &str, stop: &Stop) -> Result<(File, String)> {
    static ORDINAL: AtomicU32 = AtomicU32::new(0);
    let ordinal = ORDINAL.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!(".kvtrace-spool-{}-{ordinal}", std::process::id()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|e| Error::writing(&path, &e).context("the copy of the input"))?;
    std::fs::remove_file(&path).map_err(|e| Error::writing(&path, &e))?;
    let mut stream = Piped::new(stream, stop)
        .map_err(|e| Error::unavailable(format!("cannot start a thread that reads {name}: {}", plain(&e))))?;
    let mut full = None;
    let digest =
        checksum::of_stream(&mut stream, |data| file.write_all(data).map_err(|e| full.insert(e).kind().into()));
    match (digest, full) {
        (Ok(digest), _) => Ok((file, digest)),
        (Err(_), Some(e)) => Err(Error::writing(&path, &e).context(format!("the copy of {name} (set TMPDIR)"))),
        (Err(_), None) if stop.requested() => {
            Err(Error::interrupted(format!("interrupted while reading {name}; nothing was done")))
        }
        (Err(e), None) => Err(Error::reading(Path::new(name), &e)),
    }
}
