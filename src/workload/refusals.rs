//! What a source leaves out or assumes: counted by reason, or, where nothing may be left out, an
//! error that names the place.

use std::path::Path;

use crate::error::{Error, Result};

use super::Skipped;

/// Where in a file something is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The file.
    pub path: &'a Path,
    /// The line, from 1; none in a file whose lines say nothing.
    pub line: Option<u64>,
    /// The byte of the unpacked text at which it begins.
    pub byte: u64,
}

impl Place<'_> {
    /// The place in words.
    pub fn words(&self) -> String {
        match self.line {
            Some(line) => format!("{} line {line} (byte {})", self.path.display(), self.byte),
            None => format!("{} byte {}", self.path.display(), self.byte),
        }
    }
}

/// What becomes of rows that cannot be used.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    skipped: Skipped,
    strict: bool,
}

impl Refusals {
    /// They are counted in `skipped`; with `strict` the first one is an error.
    pub fn new(skipped: Skipped, strict: bool) -> Self {
        Self { skipped, strict }
    }

    /// Leaves out `items` because of `reason`.
    ///
    /// # Errors
    /// When nothing may be left out.
    pub fn add(&self, place: Place<'_>, reason: &str, items: u64) -> Result<()> {
        if self.strict && items > 0 {
            return Err(Error::usage(format!(
                "{}: {reason}; without --strict it is left out and counted",
                place.words()
            )));
        }
        self.skipped.add(reason, items);
        Ok(())
    }

    /// Counts `items` of which something had to be assumed; that is no reason to refuse them.
    pub fn note(&self, what: &str, items: u64) {
        if items > 0 {
            self.skipped.add(what, items);
        }
    }

    /// Leaves out one item because of `reason`.
    ///
    /// # Errors
    /// When nothing may be left out.
    pub fn count(&self, place: Place<'_>, reason: &str) -> Result<()> {
        self.add(place, reason, 1)
    }
}
