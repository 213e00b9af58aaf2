//! An events file, written and read in bounded memory.

use std::path::{Path, PathBuf};

use polars::prelude::DataFrame;

use crate::error::{Error, Result};
use crate::output::{Output, Overwrite};
use crate::trace::parquet::{Effort, TableFile, TableRows, footer_value};
use crate::trace::{Format, Input};

use super::columns::{self, FIELDS};
use super::{EVENTS_SCHEMA, Event, EventsMeta};

/// Rows of a row group: few enough that gathering them takes little memory beside a measurement.
const GROUP_ROWS: usize = 1 << 17;

/// An events file being written; memory is bounded by one row group.
pub struct EventsWriter {
    table: TableFile,
    devices: Vec<String>,
    group: Vec<Event>,
    rows: u64,
}

impl EventsWriter {
    /// Opens `path`; `devices` are the names behind [`Event::device`].
    ///
    /// # Errors
    /// When the file cannot be written or replaced.
    pub fn create(path: &Path, overwrite: Overwrite, devices: Vec<String>) -> Result<Self> {
        let table = TableFile::create(path, EVENTS_SCHEMA, overwrite, &FIELDS, Effort::OneThreadZstd)?;
        Ok(Self { table, devices, group: Vec::new(), rows: 0 })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, event: Event) -> Result<()> {
        self.group.push(event);
        self.rows += 1;
        if self.group.len() < GROUP_ROWS { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let columns = columns::of(&self.group, &self.devices);
        self.group.clear();
        self.table.write(columns)
    }

    /// Gives the file its name, with `.partial` when `meta` is not complete; `rows` and `schema`
    /// of `meta` are set here. Returns the name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self, mut meta: EventsMeta) -> Result<PathBuf> {
        self.flush()?;
        meta.schema = EVENTS_SCHEMA.to_owned();
        meta.rows = self.rows;
        let json = serde_json::to_vec(&meta).expect("metadata has string keys and serialises");
        let output: Output = self.table.end(EVENTS_SCHEMA, &json)?;
        if !meta.complete {
            return output.keep_partial();
        }
        let path = output.path().to_owned();
        output.finish().map(|()| path)
    }
}

/// An events file being read, in file order.
pub struct EventsReader {
    table: TableRows,
    name: String,
    meta: EventsMeta,
    devices: Vec<String>,
    slice: std::vec::IntoIter<Event>,
}

impl EventsReader {
    /// Opens an events file.
    ///
    /// # Errors
    /// When it cannot be read or is not one.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(&Input::open(path)?)
    }

    /// Reads events from an input that is open already.
    ///
    /// # Errors
    /// As [`EventsReader::open`].
    pub fn of(input: &Input) -> Result<Self> {
        let name = input.name.clone();
        let not_ours = || {
            Error::usage(format!(
                "{name} is not an events file ({EVENTS_SCHEMA}); `kvtrace capture --events` writes them"
            ))
        };
        if input.format != Format::Parquet {
            return Err(not_ours());
        }
        let json = footer_value(input.rewound()?, &name, EVENTS_SCHEMA)?.ok_or_else(not_ours)?;
        let meta: EventsMeta = serde_json::from_slice(&json)
            .map_err(|e| Error::usage(format!("{name}: its metadata is damaged ({e}); capture it again")))?;
        let table = TableRows::open(input.rewound()?, &name, &FIELDS)?;
        let devices = meta.devices.iter().map(|device| device.name.clone()).collect();
        Ok(Self { table, name, meta, devices, slice: Vec::new().into_iter() })
    }

    /// What the file says of itself.
    pub fn meta(&self) -> &EventsMeta {
        &self.meta
    }

    /// Rows in the file.
    pub fn rows(&self) -> u64 {
        self.table.rows()
    }

    /// The rows that were decoded together; none at the end.
    pub fn next_slice(&mut self) -> Option<Result<Vec<Event>>> {
        let slice = self.table.next_slice()?;
        Some(slice.and_then(|(first, frame)| self.rows_of(first, &frame)))
    }

    fn rows_of(&self, first: u64, frame: &DataFrame) -> Result<Vec<Event>> {
        let rows = columns::rows(frame, &self.devices).map_err(|e| Error::usage(format!("{}: {e}", self.name)))?;
        rows.map_err(|(at, column, value, allowed)| {
            let row = first + at as u64 + 1;
            Error::usage(format!("{}, row {row}, column {column}: `{value}` is not allowed; {allowed}", self.name))
        })
    }

    fn read(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(row) = self.slice.next() {
                return Ok(Some(row));
            }
            let Some(slice) = self.next_slice() else { return Ok(None) };
            self.slice = slice?.into_iter();
        }
    }
}

impl Iterator for EventsReader {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::block::BlockDevice;
    use crate::measure::events::{BlockOp, EventKind, Side};
    use crate::trace::Phase;

    fn meta(complete: bool) -> EventsMeta {
        let device = |name: &str| BlockDevice { name: name.to_owned(), ..BlockDevice::default() };
        EventsMeta { complete, devices: vec![device("loop0"), device("vda")], ring_drop: 3, ..EventsMeta::default() }
    }

    fn names() -> Vec<String> {
        ["loop0", "vda"].map(str::to_owned).into()
    }

    fn rows() -> Vec<Event> {
        let whole = Event {
            device: 1,
            side: Side::Other,
            phase: Some(Phase::Evict),
            op: BlockOp::WriteZeroes,
            kind: EventKind::Requeued,
            queued_ns: 5,
            inserted_ns: Some(6),
            issued_ns: Some(7),
            flown_ns: Some(8),
            completed_ns: 9,
            offset_bytes: Some(1 << 40),
            size_bytes: Some(4096),
            seek_bytes: Some(-512),
            gap_ns: Some(11),
            depth: Some(12),
            pid: 13,
            took_off: Some(14),
            landed: Some(15),
            error: true,
        };
        vec![Event::default(), whole, Event { queued_ns: -1, ..Event::default() }]
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.parquet");
        for complete in [true, false] {
            let mut writer = EventsWriter::create(&path, Overwrite::Ours, names()).unwrap();
            rows().into_iter().for_each(|row| writer.write(row).unwrap());
            let written = writer.finish(meta(complete)).unwrap();
            assert_eq!(written == path, complete, "{}", written.display());
            let reader = EventsReader::open(&written).unwrap();
            assert_eq!((reader.rows(), reader.meta().rows, reader.meta().ring_drop), (3, 3, 3));
            assert_eq!(reader.meta().complete, complete);
            assert_eq!(reader.collect::<Result<Vec<_>>>().unwrap(), rows());
        }
        std::fs::write(&path, "PAR1 and nothing else").unwrap();
        assert!(EventsReader::open(&path).is_err());
    }

    #[test]
    fn a_device_that_nobody_watched_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.parquet");
        let mut writer = EventsWriter::create(&path, Overwrite::Ours, vec!["sdz".to_owned()]).unwrap();
        writer.write(Event::default()).unwrap();
        writer.finish(meta(true)).unwrap();
        let error = EventsReader::open(&path).unwrap().next().unwrap().unwrap_err().to_string();
        assert!(error.contains("row 1, column device: `sdz`") && error.contains("loop0, vda"), "{error}");
    }
}
