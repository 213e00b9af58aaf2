//! Reading a trace in CSV: rows by header name, strict about every value, bounded by the longest
//! row that is allowed.

use std::io::{self, Read};
use std::sync::Arc;

use csv::ByteRecord;

use crate::error::{Error, Result};

use super::columns::{NAMES, NEEDED};
use super::record::Record;
use super::stamp;

/// The longest row that is read; a longer one is not a row of a trace.
const MAX_ROW: u64 = 1 << 20;
/// What the CSV parser reads at once, beyond the row it is at.
const READ_AHEAD: usize = 64 << 10;
/// How much of a wrong value a message shows.
const SHOWN: usize = 60;

/// The rows of a CSV, stamps as they stand in it.
pub struct CsvRows {
    parser: csv::Reader<Rationed>,
    name: String,
    /// Where each of [`NAMES`] stands in the file.
    columns: [Option<usize>; NAMES.len()],
    width: usize,
    /// Whether lines end in CRLF, as the header does.
    crlf: bool,
    row: ByteRecord,
    rows: u64,
    /// The conversation of the last row that had one; runs of rows share it.
    conversation: Option<Arc<str>>,
}

impl CsvRows {
    /// Reads the header of `text`; `name` is what messages call the file.
    pub fn new(text: Box<dyn Read + Send>, name: &str) -> Result<Self> {
        let mut parser = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(READ_AHEAD)
            .from_reader(Rationed { inner: text, left: MAX_ROW });
        let mut row = ByteRecord::new();
        match parser.read_byte_record(&mut row) {
            Ok(true) => {}
            Ok(false) => return Err(Error::usage(format!("{name} holds no text; a trace has at least a header line"))),
            Err(e) => return Err(damaged(name, &e, 0)),
        }
        let columns = columns_of(&row, name)?;
        let (name, width) = (name.to_owned(), row.len());
        let crlf = parser.position().line() == 1;
        Ok(Self { parser, name, columns, width, crlf, row, rows: 0, conversation: None })
    }

    fn read(&mut self) -> Result<Option<Record>> {
        self.parser.get_mut().left = MAX_ROW;
        match self.parser.read_byte_record(&mut self.row) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(e) => return Err(damaged(&self.name, &e, self.rows)),
        }
        let record = self.record().map_err(|wrong| self.wrong(&wrong))?;
        self.rows += 1;
        Ok(Some(record))
    }

    fn record(&mut self) -> Result<Record, Wrong> {
        if self.row.len() != self.width {
            return Err(Wrong::Width);
        }
        let at_ns = stamp::parse(self.field(0)).ok_or(Wrong::Value(0, stamp::ALLOWED))?;
        let op = self.word(1)?;
        let size_bytes = stamp::digits(self.field(2))
            .filter(|size| *size > 0)
            .ok_or(Wrong::Value(2, "a size is a whole number of bytes above 0"))?;
        let tier = self.word(3)?;
        let key = self.text(4)?;
        if key.is_empty() {
            return Err(Wrong::Value(4, "every object has a name"));
        }
        let key = Arc::from(key);
        let phase = self.word(5)?;
        let request = self.optional::<u64>(6, "a request is a whole number or empty")?;
        let turn = self.optional::<u32>(8, "a turn is a whole number below 2^32 or empty")?;
        let tokens = self.optional::<u32>(9, "tokens are a whole number below 2^32 or empty")?;
        let conversation = self.conversation()?;
        Ok(Record { at_ns, op, size_bytes, tier, key, phase, request, conversation, turn, tokens })
    }

    fn field(&self, column: usize) -> &[u8] {
        self.columns[column].and_then(|at| self.row.get(at)).unwrap_or_default()
    }

    fn text(&self, column: usize) -> Result<&str, Wrong> {
        std::str::from_utf8(self.field(column)).map_err(|_| Wrong::Value(column, "text is UTF-8"))
    }

    fn word<T: std::str::FromStr<Err = &'static str>>(&self, column: usize) -> Result<T, Wrong> {
        self.text(column)?.parse().map_err(|allowed| Wrong::Value(column, allowed))
    }

    fn optional<T: TryFrom<u64>>(&self, column: usize, allowed: &'static str) -> Result<Option<T>, Wrong> {
        let field = self.field(column);
        if field.is_empty() {
            return Ok(None);
        }
        let value = stamp::digits(field).and_then(|value| T::try_from(value).ok());
        value.map(Some).ok_or(Wrong::Value(column, allowed))
    }

    fn conversation(&mut self) -> Result<Option<Arc<str>>, Wrong> {
        let text = self.text(7)?;
        if text.is_empty() {
            return Ok(None);
        }
        if self.conversation.as_deref() != Some(text) {
            self.conversation = Some(Arc::from(text));
        }
        Ok(self.conversation.clone())
    }

    /// The line where the current row starts. The parser's own count stands behind the row's end,
    /// and behind its line end unless that is CRLF, of which it has taken only the first half.
    fn line(&self) -> u64 {
        let past_end = u64::from(!self.crlf && !self.parser.is_done());
        let inside = self.row.iter().flatten().filter(|byte| **byte == b'\n').count() as u64;
        self.parser.position().line().saturating_sub(past_end + inside)
    }

    fn wrong(&self, wrong: &Wrong) -> Error {
        let place = format!("{}, row {} (line {})", self.name, self.rows + 1, self.line());
        Error::usage(match wrong {
            Wrong::Width => format!(
                "{place}: {} fields where the header has {}; the row is cut or a comma is not quoted",
                self.row.len(),
                self.width
            ),
            Wrong::Value(column, allowed) => {
                format!(
                    "{place}, column {}: `{}` is not allowed; {allowed}",
                    NAMES[*column],
                    shown(self.field(*column))
                )
            }
        })
    }
}

impl Iterator for CsvRows {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// What is wrong with a row.
enum Wrong {
    /// It has not as many fields as the header.
    Width,
    /// The value of a column of [`NAMES`], and what is allowed.
    Value(usize, &'static str),
}

/// Where our columns stand; columns that nobody knows are left alone.
fn columns_of(header: &ByteRecord, name: &str) -> Result<[Option<usize>; NAMES.len()]> {
    let mut columns = [None; NAMES.len()];
    for (at, field) in header.iter().enumerate() {
        let Some(known) = NAMES.iter().position(|name| name.as_bytes() == field) else { continue };
        if columns[known].replace(at).is_some() {
            return Err(Error::usage(format!("{name}, line 1: the column {} is there twice", NAMES[known])));
        }
    }
    let missing: Vec<_> = (0..NEEDED).filter(|at| columns[*at].is_none()).map(|at| NAMES[at]).collect();
    if missing.is_empty() {
        return Ok(columns);
    }
    let found: Vec<_> = header.iter().take(20).map(shown).collect();
    Err(Error::usage(format!(
        "{name} is not a trace: line 1 has no column {}; it has {}, a trace needs {}",
        missing.join(", "),
        found.join(", "),
        NAMES[..NEEDED].join(", ")
    )))
}

/// A value as a message shows it: on one line, not too long.
fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(&value[..value.len().min(4 * SHOWN)]);
    let mut short: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

/// The error of a stream that ended or broke after `rows` whole rows.
fn damaged(name: &str, error: &csv::Error, rows: u64) -> Error {
    let csv::ErrorKind::Io(error) = error.kind() else {
        return Error::usage(format!("{name}, after row {rows}: {error}"));
    };
    Error::usage(match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            format!("{name} is cut: its zstd data ends in the middle, after {rows} whole rows; get the whole file")
        }
        io::ErrorKind::FileTooLarge => {
            format!("{name}, row {}: longer than {} KiB; this is not a trace", rows + 1, MAX_ROW >> 10)
        }
        _ => format!("cannot read {name} after {rows} whole rows: {}", crate::error::plain(error)),
    })
}

/// A stream that ends in an error when one row asks for too much of it.
struct Rationed {
    inner: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Rationed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let n = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}
