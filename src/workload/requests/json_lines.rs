//! A file of JSON objects, one a line, read line by line.

use std::io::{BufRead, BufReader, Read};

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

use super::super::text_file;
use super::entry::{Entry, Reading};

/// More than any request; a file with a longer line is something else.
const LONGEST_LINE: u64 = 64 << 20;

/// What a line came to.
pub enum Outcome {
    /// A request.
    Entry(Entry),
    /// Nothing, and why.
    Refused(&'static str),
    /// The file is not what it is taken for.
    Wrong(String),
}

/// Turns rows of type `R` into entries.
pub trait Rows {
    /// A line.
    type Row: DeserializeOwned;

    /// What a line means. `line` counts from 1.
    fn entry(&mut self, row: Self::Row, line: u64, reading: &Reading) -> Outcome;
}

/// The entries of a file.
pub struct JsonLines<T> {
    input: BufReader<Box<dyn Read + Send>>,
    text: Vec<u8>,
    line: u64,
    byte: u64,
    entries: u64,
    reading: Reading,
    rows: T,
    over: bool,
}

impl<T: Rows> JsonLines<T> {
    /// Opens a file whose lines `rows` understands.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(reading: Reading, rows: T) -> Result<Self> {
        let input = BufReader::with_capacity(256 << 10, text_file::open(&reading.path, "a trace of requests")?);
        Ok(Self { input, text: Vec::new(), line: 0, byte: 0, entries: 0, reading, rows, over: false })
    }

    /// Reads the next line; false at the end.
    fn next_line(&mut self) -> Result<bool> {
        self.byte += self.text.len() as u64;
        self.text.clear();
        let read = (&mut self.input).take(LONGEST_LINE).read_until(b'\n', &mut self.text);
        let length = read.map_err(|e| self.reading.failed(&e, self.byte + self.text.len() as u64, self.entries))?;
        self.line += 1;
        if length as u64 == LONGEST_LINE {
            let place = self.reading.at(self.line, self.byte).words();
            return Err(Error::usage(format!("{place}: a line of more than {} MiB is no request", LONGEST_LINE >> 20)));
        }
        Ok(length > 0)
    }

    fn next_entry(&mut self) -> Result<Option<Entry>> {
        while self.next_line()? {
            let text = self.text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.text).trim_ascii();
            if text.is_empty() {
                continue;
            }
            let outcome = match serde_json::from_slice(text) {
                Ok(row) => self.rows.entry(row, self.line, &self.reading),
                Err(why) if why.is_data() => Outcome::Refused("line of another shape"),
                Err(_) => Outcome::Refused("line that is not JSON"),
            };
            let place = self.reading.at(self.line, self.byte);
            match outcome {
                Outcome::Entry(entry) => {
                    self.entries += 1;
                    return Ok(Some(entry));
                }
                Outcome::Refused(reason) => self.reading.refusals.count(place, reason)?,
                Outcome::Wrong(why) => return Err(Error::usage(format!("{}: {why}", place.words()))),
            }
        }
        Ok(None)
    }
}

impl<T: Rows> Iterator for JsonLines<T> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_entry().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}
