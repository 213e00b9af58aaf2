//! Reading traces: strict, bounded in memory, format found by content.

use std::path::Path;

use crate::error::{Error, Result};
use crate::stop::Stop;

use super::csv_rows::CsvRows;
use super::input::{Format, Input};
use super::meta::{Meta, Source};
use super::order::{Scan, Sorted};
use super::parquet_rows::ParquetRows;
use super::record::Record;

/// Stamps from here on count from 1970, not from the start of a trace: 1e8 seconds are three
/// years, and 1973.
const EPOCH_LIKE_NS: i64 = 100_000_000 * 1_000_000_000;

/// A trace being read: rows in time order, stamps from the start of the trace.
pub struct TraceReader {
    rows: Ordered,
    meta: Meta,
    ours: bool,
    name: String,
    sha256: String,
    format: Format,
    size_bytes: u64,
    /// What to take off a stamp to get the time since the start of the trace.
    offset_ns: i64,
    given: u64,
    last_ns: i64,
}

enum Ordered {
    /// In order as it stands.
    AsIs(Rows),
    /// Put in order.
    Sorted(Box<Sorted<Rows>>),
}

/// Rows as they stand in a file.
enum Rows {
    Csv(Box<CsvRows>),
    Parquet(Box<ParquetRows>),
}

impl TraceReader {
    /// Opens a trace of any format (`-`: standard input). Metadata is read first; a foreign
    /// trace (no metadata) is scanned once, rebased when its stamps are epoch seconds, and
    /// handed out stably sorted.
    ///
    /// # Errors
    /// When the input cannot be read or is no trace; for a foreign trace, any wrong row.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(Input::open(path)?)
    }

    /// The same, unless somebody asks to stop while a stream is read.
    ///
    /// # Errors
    /// As [`TraceReader::open`], and that somebody asked.
    pub fn open_until(path: &Path, stop: &Stop) -> Result<Self> {
        Self::of(Input::open_until(path, stop)?)
    }

    /// Reads a trace from an input that is open already.
    ///
    /// # Errors
    /// As [`TraceReader::open`].
    pub fn of(input: Input) -> Result<Self> {
        match own_meta(&input)? {
            Some(meta) => {
                let offset_ns = if input.format == Format::Parquet { 0 } else { meta.epoch_ns };
                let rows = Ordered::AsIs(Rows::of(&input)?);
                Ok(Self::new(input, rows, meta, true, offset_ns))
            }
            None => Self::open_foreign(input),
        }
    }

    fn open_foreign(input: Input) -> Result<Self> {
        let scan = Scan::of(Rows::of(&input)?)?;
        let offset_ns = if scan.first_ns > EPOCH_LIKE_NS { scan.first_ns } else { 0 };
        let kind = if input.format == Format::Parquet { "parquet" } else { "csv" };
        let source = Source {
            kind: kind.to_owned(),
            file: input.file_name(),
            sha256: Some(input.sha256.clone()),
            ..Source::default()
        };
        let mut meta = Meta::foreign(source);
        meta.epoch_ns = offset_ns;
        meta.rows = Some(scan.rows);
        meta.inversions = Some(scan.inversions);
        let rows = Rows::of(&input)?;
        let rows = if scan.inversions == 0 {
            Ordered::AsIs(rows)
        } else {
            Ordered::Sorted(Box::new(Sorted::new(rows, scan.displacement_ns)))
        };
        Ok(Self::new(input, rows, meta, false, offset_ns))
    }

    fn new(input: Input, rows: Ordered, meta: Meta, ours: bool, offset_ns: i64) -> Self {
        let Input { name, sha256, format, size_bytes, .. } = input;
        Self { rows, meta, ours, name, sha256, format, size_bytes, offset_ns, given: 0, last_ns: 0 }
    }

    /// The metadata; of a foreign trace, what the scan found out.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether the trace carries our own metadata.
    pub fn is_ours(&self) -> bool {
        self.ours
    }

    /// The sha256 of the input file, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The format that its content has.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The length of the input file.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn checked(&mut self, mut record: Record) -> Result<Record> {
        self.given += 1;
        let at_ns = record.at_ns - self.offset_ns;
        if at_ns < self.last_ns {
            return Err(Error::usage(format!(
                "{}, row {}: the stamp lies {} ns below the one before or the trace's start; a trace with kvtrace's \
                 metadata is in time order, so this one was changed (without its metadata it is sorted)",
                self.name,
                self.given,
                self.last_ns - at_ns
            )));
        }
        self.last_ns = at_ns;
        record.at_ns = at_ns;
        Ok(record)
    }

    /// Whether as many rows came as the metadata says.
    fn check_end(&mut self) -> Option<Error> {
        let promised = self.meta.rows.filter(|rows| *rows != self.given)?;
        let given = std::mem::replace(&mut self.given, promised);
        Some(Error::usage(format!(
            "{} has {given} rows where its metadata says {promised}: it was cut or changed; get the whole file, or \
             remove the metadata if it belongs to another file",
            self.name
        )))
    }
}

impl Iterator for TraceReader {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match &mut self.rows {
            Ordered::AsIs(rows) => rows.next(),
            Ordered::Sorted(rows) => rows.next(),
        };
        match row {
            Some(row) => Some(row.and_then(|record| self.checked(record))),
            None => self.check_end().map(Err),
        }
    }
}

impl Rows {
    fn of(input: &Input) -> Result<Self> {
        match input.format {
            Format::Parquet => ParquetRows::new(input).map(|rows| Rows::Parquet(Box::new(rows))),
            Format::Csv | Format::CsvZst => {
                CsvRows::new(input.text()?, &input.name).map(|rows| Rows::Csv(Box::new(rows)))
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Rows::Csv(rows) => rows.next(),
            Rows::Parquet(rows) => rows.next(),
        }
    }
}

/// The metadata that goes with the input, if it is ours.
fn own_meta(input: &Input) -> Result<Option<Meta>> {
    let found = match input.format {
        Format::Parquet => super::parquet_rows::meta_json(input)?.map(|json| (input.name.clone(), json)),
        Format::Csv | Format::CsvZst => input.csv_meta()?,
    };
    found.map(|(place, json)| Meta::from_json(&json).map_err(|e| e.context(place))).transpose()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::trace::{Columns, Op, Phase, Tier, TraceWriter, WriteOptions};

    /// Anything that a key or a conversation may be called.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z_0-9]{1,12}", "[ ,\"\r\nä日\u{0}]{1,8}", "\\PC{1,16}"]
    }

    fn record() -> impl Strategy<Value = Record> {
        let words = (0..3usize, 0..3usize, 0..3usize);
        let who = (prop::option::of(any::<u64>()), prop::option::of(name()));
        let what = (prop::option::of(any::<u32>()), prop::option::of(any::<u32>()));
        (0..3_000_000_000i64, words, 1..=u64::MAX, name(), who, what).prop_map(
            |(gap, words, size_bytes, key, who, what)| Record {
                at_ns: gap,
                op: Op::ALL[words.0],
                size_bytes,
                tier: Tier::ALL[words.1],
                key: key.into(),
                phase: Phase::ALL[words.2],
                request: who.0,
                conversation: who.1.map(Into::into),
                turn: what.0,
                tokens: what.1,
            },
        )
    }

    /// Records with gaps for stamps, put in time order.
    fn in_order(mut records: Vec<Record>) -> Vec<Record> {
        let mut now = 0;
        for record in &mut records {
            now += record.at_ns;
            record.at_ns = now;
        }
        records
    }

    fn write(path: &Path, records: &[Record], options: WriteOptions, epoch_ns: i64) {
        let mut writer = TraceWriter::create(path, options, epoch_ns).unwrap();
        for record in records {
            writer.write(record).unwrap();
        }
        writer.finish(&Meta::foreign(Source::default())).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_format_gives_back_what_was_written(
            records in prop::collection::vec(record(), 0..40),
            epoch_ns in 0..2_000_000_000_000_000_000i64,
        ) {
            let records = in_order(records);
            let dir = tempfile::tempdir().unwrap();
            for name in ["t.csv", "t.csv.zst", "t.parquet"] {
                let path = dir.path().join(name);
                write(&path, &records, WriteOptions::default(), epoch_ns);
                let reader = TraceReader::open(&path).unwrap();
                prop_assert!(reader.is_ours());
                prop_assert_eq!((reader.meta().rows, reader.meta().epoch_ns), (Some(records.len() as u64), epoch_ns));
                let read: Result<Vec<_>> = reader.collect();
                prop_assert_eq!(&read.unwrap(), &records, "{}", name);
            }
        }
    }

    #[test]
    fn the_reference_columns_keep_microseconds_and_no_deletes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let row = |at_ns, op| Record {
            at_ns,
            op,
            size_bytes: 1,
            tier: Tier::Storage,
            key: "k".into(),
            phase: Phase::Evict,
            request: Some(1),
            conversation: None,
            turn: None,
            tokens: None,
        };
        let rows = [row(0, Op::Write), row(5_999, Op::Read), row(6_000, Op::Delete)];
        write(&path, &rows, WriteOptions { columns: Columns::Mlperf, ..Default::default() }, 1_999);
        let reader = TraceReader::open(&path).unwrap();
        assert_eq!((reader.meta().rows, reader.meta().epoch_ns), (Some(2), 1_000));
        let read: Vec<_> = reader.map(|row| row.unwrap().at_ns).collect();
        assert_eq!(read, [0, 5_000], "6 microseconds after an epoch of 1");
    }

    #[test]
    fn a_foreign_trace_is_rebased_and_sorted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let mut file = std::fs::File::create(&path).unwrap();
        let header = "Phase,Note,Key,Tier,Object_Size_Bytes,Operation,Timestamp\r\n";
        let rows = "Decode,x,b,Tier-0,2,Read,1795310373.5\r\nPrefill,,a,Tier-0,1,Write,1795310373.25\r\n";
        write!(file, "{header}{rows}").unwrap();
        let reader = TraceReader::open(&path).unwrap();
        assert!(!reader.is_ours());
        let meta = reader.meta();
        assert_eq!((meta.epoch_ns, meta.rows, meta.inversions), (1_795_310_373_250_000_000, Some(2), Some(1)));
        let read: Vec<_> = reader.map(|row| row.map(|row| (row.at_ns, row.key.to_string())).unwrap()).collect();
        assert_eq!(read, [(0, "a".to_owned()), (250_000_000, "b".to_owned())]);
    }

    #[test]
    fn an_interrupted_trace_is_kept_and_readable() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["t.csv", "t.csv.zst", "t.parquet"] {
            let mut writer = TraceWriter::create(&dir.path().join(name), WriteOptions::default(), 5).unwrap();
            let row = Record {
                at_ns: 3,
                op: Op::Delete,
                size_bytes: 1,
                tier: Tier::Dram,
                key: "k".into(),
                phase: Phase::Evict,
                request: None,
                conversation: None,
                turn: None,
                tokens: None,
            };
            writer.write(&row).unwrap();
            let kept = writer.keep_partial(&Meta::foreign(Source::default())).unwrap();
            assert_eq!(kept, dir.path().join(name.replace("t.", "t.partial.")));
            assert!(!dir.path().join(name).exists());
            let reader = TraceReader::open(&kept).unwrap();
            assert!(!reader.meta().complete, "{name}");
            assert_eq!(reader.collect::<Result<Vec<_>>>().unwrap(), [row], "{name}");
        }
    }

    #[test]
    fn a_trace_of_ours_that_lost_rows_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n").unwrap();
        let meta = Meta { rows: Some(3), ..Meta::foreign(Source::default()) };
        std::fs::write(crate::output::sidecar_path(&path), meta.to_json()).unwrap();
        let read: Result<Vec<_>> = TraceReader::open(&path).unwrap().collect();
        let message = read.unwrap_err().to_string();
        assert!(message.contains("0 rows where its metadata says 3"), "{message}");
    }
}
