//! The columns of an events file: rows gathered by column, and columns read back into rows.

use polars::prelude::{Column, DataFrame, DataType, IntoColumn, NamedFrom, PolarsResult, Series, StringChunked};

use crate::trace::Phase;
use crate::trace::parquet::{Field, needed, optional};

use super::{BlockOp, Event, EventKind, Side, Word};

/// The columns, in file order.
pub const FIELDS: [Field; 19] = [
    needed("device", DataType::String),
    needed("side", DataType::String),
    optional("phase", DataType::String),
    needed("op", DataType::String),
    needed("kind", DataType::String),
    needed("queued_ns", DataType::Int64),
    optional("inserted_ns", DataType::Int64),
    optional("issued_ns", DataType::Int64),
    optional("flown_ns", DataType::Int64),
    needed("completed_ns", DataType::Int64),
    optional("offset_bytes", DataType::UInt64),
    optional("size_bytes", DataType::UInt64),
    optional("seek_bytes", DataType::Int64),
    optional("gap_ns", DataType::UInt64),
    optional("depth", DataType::UInt32),
    needed("pid", DataType::UInt32),
    optional("took_off", DataType::UInt32),
    optional("landed", DataType::UInt32),
    needed("error", DataType::Boolean),
];

/// The columns of some rows; `devices` are the names behind [`Event::device`].
pub fn of(rows: &[Event], devices: &[String]) -> Vec<Column> {
    let name = |row: &Event| devices.get(row.device).map(String::as_str);
    macro_rules! column {
        ($($field:ident as $type:ty),*) => {
            vec![$(Series::new(
                stringify!($field).into(),
                rows.iter().map(|row| row.$field).collect::<Vec<$type>>(),
            ).into_column(),)*]
        };
    }
    let mut columns = vec![
        texts("device", rows.iter().map(name)),
        texts("side", rows.iter().map(|row| Some(word(row.side)))),
        texts("phase", rows.iter().map(|row| row.phase.map(word))),
        texts("op", rows.iter().map(|row| Some(word(row.op)))),
        texts("kind", rows.iter().map(|row| Some(word(row.kind)))),
    ];
    columns.extend(column! {
        queued_ns as i64, inserted_ns as Option<i64>, issued_ns as Option<i64>, flown_ns as Option<i64>,
        completed_ns as i64, offset_bytes as Option<u64>, size_bytes as Option<u64>, seek_bytes as Option<i64>,
        gap_ns as Option<u64>, depth as Option<u32>, pid as u32, took_off as Option<u32>, landed as Option<u32>,
        error as bool
    });
    columns
}

fn texts<'a>(name: &'static str, values: impl Iterator<Item = Option<&'a str>>) -> Column {
    let texts: StringChunked = values.collect();
    texts.with_name(name.into()).into_column()
}

fn word<T: Word + PartialEq>(value: T) -> &'static str {
    T::WORDS.iter().find(|(known, _)| *known == value).map_or("", |(_, word)| word)
}

/// A value that is not allowed: the place of its row, the column, the value, what is allowed.
pub type Wrong = (usize, &'static str, String, String);

/// The rows of a slice.
///
/// # Errors
/// A value that is not allowed; a column of another type cannot be here.
pub fn rows(frame: &DataFrame, devices: &[String]) -> PolarsResult<Result<Vec<Event>, Wrong>> {
    let mut rows = vec![Event::default(); frame.height()];
    macro_rules! fill {
        ($($field:ident: $get:ident $(, $unwrap:ident)?;)*) => {
            $(if let Ok(column) = frame.column(stringify!($field)) {
                for (row, value) in rows.iter_mut().zip(column.$get()?.iter()) {
                    row.$field = value$(.$unwrap())?;
                }
            })*
        };
    }
    fill! {
        queued_ns: i64, unwrap_or_default;
        inserted_ns: i64;
        issued_ns: i64;
        flown_ns: i64;
        completed_ns: i64, unwrap_or_default;
        offset_bytes: u64;
        size_bytes: u64;
        seek_bytes: i64;
        gap_ns: u64;
        depth: u32;
        pid: u32, unwrap_or_default;
        took_off: u32;
        landed: u32;
        error: bool, unwrap_or_default;
    }
    Ok(words(frame, devices, &mut rows)?.map(|()| rows))
}

/// Fills in what is a word in the file.
fn words(frame: &DataFrame, devices: &[String], rows: &mut [Event]) -> PolarsResult<Result<(), Wrong>> {
    let column = |name| frame.column(name).and_then(|column| column.str());
    let device = |word: &str| devices.iter().position(|name| name == word);
    let filled = each("device", column("device")?, rows, device, devices.join(", "), |row, found| row.device = found)
        .and(each("side", column("side")?, rows, parsed::<Side>, allowed::<Side>(), |row, found| row.side = found))
        .and(each("op", column("op")?, rows, parsed::<BlockOp>, allowed::<BlockOp>(), |row, found| row.op = found))
        .and(each("kind", column("kind")?, rows, parsed::<EventKind>, allowed::<EventKind>(), |row, found| {
            row.kind = found;
        }));
    if filled.is_err() {
        return Ok(filled);
    }
    let Ok(phases) = column("phase") else { return Ok(Ok(())) };
    Ok(each("phase", phases, rows, parsed::<Phase>, allowed::<Phase>(), |row, found| row.phase = Some(found)))
}

fn each<T>(
    name: &'static str,
    column: &StringChunked,
    rows: &mut [Event],
    parse: impl Fn(&str) -> Option<T>,
    allowed: String,
    set: impl Fn(&mut Event, T),
) -> Result<(), Wrong> {
    for (at, (row, word)) in rows.iter_mut().zip(column.iter()).enumerate() {
        let Some(word) = word else { continue };
        let Some(value) = parse(word) else { return Err((at, name, word.to_owned(), allowed)) };
        set(row, value);
    }
    Ok(())
}

fn parsed<T: Word>(word: &str) -> Option<T> {
    T::WORDS.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
}

fn allowed<T: Word>() -> String {
    T::WORDS.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}
