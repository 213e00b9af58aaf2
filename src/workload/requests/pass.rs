//! One pass over the files of a source: their entries one after another on one clock.

use std::vec;

use crate::error::{Error, Result};

use super::entry::{Entries, Entry, Reading};
use super::format::Format;
use super::json_lines::JsonLines;
use super::mooncake::Mooncake;

/// The entries of all files, in the order of the files.
pub struct Pass {
    files: vec::IntoIter<Reading>,
    entries: Option<Entries>,
    /// What is added to the stamps of the file that is read; known with its first entry.
    shift_ns: Option<u64>,
    highest_ns: u64,
}

impl Pass {
    /// A pass over `files`.
    pub fn new(files: Vec<Reading>) -> Self {
        Self { files: files.into_iter(), entries: None, shift_ns: None, highest_ns: 0 }
    }

    /// Files whose stamps go on where those of the one before ended are on one clock, and keep it;
    /// a file that begins earlier than that has a clock of its own, and is put behind.
    fn place(&mut self, mut entry: Entry) -> Entry {
        let highest_ns = self.highest_ns;
        let shift_ns = *self.shift_ns.get_or_insert_with(|| highest_ns.saturating_sub(entry.at_ns));
        entry.at_ns = entry.at_ns.saturating_add(shift_ns);
        self.highest_ns = highest_ns.max(entry.at_ns);
        entry
    }
}

impl Iterator for Pass {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.entries.as_mut().and_then(Iterator::next) {
                return Some(entry.map(|entry| self.place(entry)));
            }
            match open(self.files.next()?) {
                Ok(entries) => (self.entries, self.shift_ns) = (Some(entries), None),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn open(reading: Reading) -> Result<Entries> {
    Ok(match reading.format {
        Format::Mooncake => Box::new(JsonLines::open(reading, Mooncake::default())?),
        format => return Err(Error::unavailable(format!("{} is not read yet", format.word()))),
    })
}
