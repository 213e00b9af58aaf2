//! The one error type: what went wrong, said once for the user, and the exit code it means.

use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::path::Path;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an error means to a script that runs kvtrace; each kind is one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The measured condition failed: a check, a bound of a proof (exit 1).
    Failed,
    /// Wrong usage or input that cannot be read or used (exit 2).
    Usage,
    /// The load was not sustained (exit 3).
    NotSustained,
    /// An I/O error on a target or an output (exit 4).
    Io,
    /// Wrong data was read back (exit 5).
    WrongData,
    /// Not permitted or not available on this machine (exit 6).
    Unavailable,
    /// SIGINT or SIGTERM (exit 130).
    Interrupted,
    /// A traced command's own exit code, or 125 to 127 as `env` and `timeout` use them.
    Command(u8),
}

impl Kind {
    /// The process exit code of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::NotSustained => 3,
            Kind::Io => 4,
            Kind::WrongData => 5,
            Kind::Unavailable => 6,
            Kind::Interrupted => 130,
            Kind::Command(code) => code,
        }
    }
}

/// An error with its meaning. The message names the thing, the place and the way out.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    /// An error of `kind` saying `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Wrong usage or unusable input.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// An I/O error on a target or an output.
    pub fn io(message: impl Into<String>) -> Self {
        Self::new(Kind::Io, message)
    }

    /// Something this machine does not have or does not permit.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// The run was interrupted by a signal.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Kind::Interrupted, message)
    }

    /// An input that cannot be opened or read: wrong usage, whatever the errno.
    pub fn reading(path: &Path, error: &io::Error) -> Self {
        Self::usage(format!("cannot read {}: {}", path.display(), plain(error)))
    }

    /// An output that cannot be written. A path that can never work is wrong usage, a device
    /// that fails or fills up is an I/O error.
    pub fn writing(path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind as E;
        let message = format!("cannot write {}: {}", path.display(), plain(error));
        match error.kind() {
            E::NotFound | E::PermissionDenied | E::IsADirectory | E::NotADirectory | E::ReadOnlyFilesystem => {
                Self::usage(message)
            }
            E::StorageFull | E::QuotaExceeded => {
                Self::io(format!("{message}; free some space or write to another filesystem"))
            }
            _ => Self::io(message),
        }
    }

    /// The meaning of this error.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same error with `context: ` put before its message.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self { kind: self.kind, message: format!("{context}: {}", self.message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The system's words for an I/O error, without Rust's "(os error N)" tail.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// What somebody who wrote `typed` most likely meant: the known word with the fewest edits to it.
/// Empty when nothing is known.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    let typed = typed.to_lowercase();
    let common = |word: &str| typed.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
    known.min_by_key(|word| (edits(&typed, word), Reverse(common(word)))).unwrap_or_default()
}

/// Edits between two texts (Levenshtein), row by row.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
