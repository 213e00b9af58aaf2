//! A CSV file of requests, its columns found by their names.

use std::io::{self, Read};

use csv::ByteRecord;

use crate::error::{Error, Result};

use super::super::text_file;
use super::entry::{Entry, Reading};
use super::json_lines::Outcome;

/// More than any row; a file in which one is longer (by a quote that is never closed) is not CSV.
const LONGEST_ROW: u64 = 16 << 20;

/// Turns rows into entries.
pub trait Columns: Sized {
    /// Finds the columns in a header.
    ///
    /// # Errors
    /// When one that is needed is missing.
    fn find(header: &Header<'_>) -> Result<Self>;

    /// What a row means.
    fn entry(&mut self, row: &ByteRecord, reading: &Reading) -> Outcome;
}

/// The first line.
pub struct Header<'a> {
    names: Vec<String>,
    reading: &'a Reading,
}

impl<'a> Header<'a> {
    fn of(row: &ByteRecord, reading: &'a Reading) -> Result<Self> {
        let name = |field: &[u8]| {
            let field = field.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(field);
            String::from_utf8_lossy(field).trim().to_ascii_lowercase()
        };
        let names: Vec<String> = row.iter().map(name).collect();
        for (at, name) in names.iter().enumerate() {
            if !name.is_empty() && names[..at].contains(name) {
                let path = reading.path.display();
                return Err(Error::usage(format!("{path}: the column `{name}` occurs twice in the header")));
            }
        }
        Ok(Self { names, reading })
    }

    /// Where a column is, if it is there; `name` is in lower case.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|found| found == name)
    }

    /// Where a column is.
    ///
    /// # Errors
    /// When it is missing.
    pub fn needed(&self, name: &str) -> Result<usize> {
        self.position(name).ok_or_else(|| {
            Error::usage(format!(
                "{} has no column `{name}`, which {} files have; its columns are {}",
                self.reading.path.display(),
                self.reading.format.word(),
                self.names.join(", ")
            ))
        })
    }
}

/// The entries of a file.
pub struct CsvRows<T> {
    reader: csv::Reader<Bounded>,
    row: ByteRecord,
    fields: usize,
    columns: T,
    entries: u64,
    reading: Reading,
    over: bool,
}

impl<T: Columns> CsvRows<T> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When it cannot be opened, or its header lacks a column.
    pub fn open(reading: Reading) -> Result<Self> {
        let input = Bounded { input: text_file::open(&reading.path, "a trace of requests")?, since_row: 0, total: 0 };
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(256 << 10).from_reader(input);
        let mut row = ByteRecord::new();
        if let Err(error) = reader.read_byte_record(&mut row) {
            return Err(unreadable(&reading, error, reader.get_ref().total, 0));
        }
        if row.is_empty() {
            return Err(Error::usage(format!("{} is empty; a CSV file has at least a header", reading.path.display())));
        }
        let columns = T::find(&Header::of(&row, &reading)?)?;
        Ok(Self { reader, fields: row.len(), row, columns, entries: 0, reading, over: false })
    }

    fn next_entry(&mut self) -> Result<Option<Entry>> {
        loop {
            self.reader.get_mut().since_row = 0;
            match self.reader.read_byte_record(&mut self.row) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => {
                    return Err(unreadable(&self.reading, error, self.reader.get_ref().total, self.entries));
                }
            }
            let outcome = if self.row.len() == self.fields {
                self.columns.entry(&self.row, &self.reading)
            } else {
                Outcome::Refused("row with another number of fields than the header")
            };
            let place = || self.row.position().map_or((0, 0), |at| (at.line(), at.byte()));
            match outcome {
                Outcome::Entry(entry) => {
                    self.entries += 1;
                    return Ok(Some(entry));
                }
                Outcome::Refused(reason) => {
                    let (line, byte) = place();
                    self.reading.refusals.count(self.reading.at(line, byte), reason)?;
                }
                Outcome::Wrong(why) => {
                    let (line, byte) = place();
                    return Err(Error::usage(format!("{}: {why}", self.reading.at(line, byte).words())));
                }
            }
        }
    }
}

impl<T: Columns> Iterator for CsvRows<T> {
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

fn unreadable(reading: &Reading, error: csv::Error, end: u64, requests: u64) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => reading.failed(&error, end, requests),
        other => Error::usage(format!("{} is not CSV: {other:?}", reading.path.display())),
    }
}

/// Input that ends in an error when a row does not end.
struct Bounded {
    input: Box<dyn Read + Send>,
    since_row: u64,
    total: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_row > LONGEST_ROW {
            let text = format!("a row has more than {} MiB, as after a quote that is never closed", LONGEST_ROW >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let length = self.input.read(buffer)?;
        self.since_row += length as u64;
        self.total += length as u64;
        Ok(length)
    }
}
