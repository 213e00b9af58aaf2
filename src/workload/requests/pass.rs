//! One pass over the files of a source: their entries in the order of their stamps, on one clock.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::vec;

use crate::error::Result;

use super::agenda::Agenda;
use super::azure::{Azure, Vidur};
use super::bailian::Bailian;
use super::burstgpt::BurstGpt;
use super::csv_rows::CsvRows;
use super::entry::{Entries, Entry, Reading};
use super::format::Format;
use super::json_lines::JsonLines;
use super::mooncake::Mooncake;
use super::order::Sorted;
use super::ragpulse::RagPulse;

/// The entries of all files.
pub struct Pass(Walk);

enum Walk {
    /// One file after another, in the order of their stamps.
    Files(Sorted<Files>),
    /// Files of sessions, several of which go on at a time.
    Sessions(Box<Agenda>),
}

/// The entries of files, in the order of the files.
struct Files {
    files: vec::IntoIter<Reading>,
    entries: Option<Entries>,
    /// What is added to the stamps of the file that is read; known with its first entry.
    shift_ns: Option<u64>,
    highest_ns: u64,
}

impl Pass {
    /// A pass over `files`; sessions that have no common clock are held by `users` users. What is
    /// out of order is counted in `inversions`.
    pub fn new(files: Vec<Reading>, users: u32, inversions: &Arc<AtomicU64>) -> Self {
        let is_sessions = files.iter().all(|file| file.format == Format::KvCacheTester);
        let files = files.into_iter();
        Self(if is_sessions {
            Walk::Sessions(Box::new(Agenda::new(files, users as usize, Arc::clone(inversions))))
        } else {
            let files = Files { files, entries: None, shift_ns: None, highest_ns: 0 };
            Walk::Files(Sorted::new(files, Arc::clone(inversions)))
        })
    }
}

impl Iterator for Pass {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Files(files) => files.next(),
            Walk::Sessions(agenda) => agenda.next(),
        }
    }
}

impl Files {
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

impl Iterator for Files {
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
        Format::BurstGpt => Box::new(CsvRows::<BurstGpt>::open(reading)?),
        Format::Azure => Box::new(CsvRows::<Azure>::open(reading)?),
        Format::Vidur => Box::new(CsvRows::<Vidur>::open(reading)?),
        Format::Mooncake => Box::new(JsonLines::open(reading, Mooncake::default())?),
        Format::Bailian => Box::new(JsonLines::open(reading, Bailian::default())?),
        Format::RagPulse => {
            let lengths = RagPulse::beside(&reading.path)?;
            Box::new(JsonLines::open(reading, lengths)?)
        }
        Format::KvCacheTester => Box::new(Agenda::new(vec![reading].into_iter(), 1, Arc::default())),
    })
}
