//! The policies by their names.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// What goes when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Least recently used.
    Lru,
    /// First in, first out.
    Fifo,
    /// Least frequently used.
    Lfu,
    /// SIEVE.
    Sieve,
    /// S3-FIFO.
    S3Fifo,
    /// ARC.
    Arc,
    /// The best with knowledge of the future, bypass included.
    Belady,
}

impl Eviction {
    /// All of them.
    pub const ALL: [Eviction; 7] = [
        Eviction::Lru,
        Eviction::Fifo,
        Eviction::Lfu,
        Eviction::Sieve,
        Eviction::S3Fifo,
        Eviction::Arc,
        Eviction::Belady,
    ];

    /// The word on the command line and in files.
    pub fn word(self) -> &'static str {
        match self {
            Eviction::Lru => "lru",
            Eviction::Fifo => "fifo",
            Eviction::Lfu => "lfu",
            Eviction::Sieve => "sieve",
            Eviction::S3Fifo => "s3-fifo",
            Eviction::Arc => "arc",
            Eviction::Belady => "belady",
        }
    }
}

impl FromStr for Eviction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|eviction| eviction.word() == text).ok_or_else(|| {
            let known = Self::ALL.map(Eviction::word).join(", ");
            Error::usage(format!("`{text}` is not a policy; use {known}"))
        })
    }
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
