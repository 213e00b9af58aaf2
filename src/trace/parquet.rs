//! Typed tables in Parquet, the shape that the trace and the requests file share: written in row
//! groups, read in slices, both of bounded size.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{
    ArrowDataType, Column, DataFrame, DataType, FileMetadata, KeyValueMetadata, ParallelStrategy, ParquetCompression,
    ParquetMetadataContext, ParquetReader, ParquetWriter, PlSmallStr, PolarsError, Schema, SerReader,
};

use crate::error::{Error, Result};
use crate::output::{Output, Overwrite};

use super::guard::guarded;

/// Rows of a row group.
pub const GROUP_ROWS: usize = 1 << 20;
/// Most rows that are decoded at once.
const SLICE_ROWS: usize = 1 << 18;

/// A column of a table.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub dtype: DataType,
    /// Whether the column may be missing or hold nulls.
    pub optional: bool,
}

/// A column that must be there.
pub const fn needed(name: &'static str, dtype: DataType) -> Field {
    Field { name, dtype, optional: false }
}

/// A column that may hold nulls.
pub const fn optional(name: &'static str, dtype: DataType) -> Field {
    Field { name, dtype, optional: true }
}

/// How a table is encoded; what it holds does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// By all processors, packed well: a table that is the whole work.
    AllThreads,
    /// By the caller's thread, packed fast: a table beside other work.
    OneThread,
    /// By the caller's thread, packed well: a long table beside other work.
    OneThreadZstd,
}

/// A table being written.
pub struct TableFile {
    output: Output,
    writer: BatchedWriter<Noting>,
    failure: Failure,
}

/// The first I/O error of a writer that others own; they hand it on as mere text.
type Failure = Arc<Mutex<Option<io::Error>>>;

impl TableFile {
    /// Opens `path` for a file of `schema`.
    pub fn create(path: &Path, schema: &str, overwrite: Overwrite, fields: &[Field], effort: Effort) -> Result<Self> {
        let columns: Schema = fields.iter().map(|f| (f.name.into(), f.dtype.clone())).collect();
        Self::of_columns(path, schema, overwrite, &columns, effort)
    }

    /// The same, for columns that are known only now.
    pub fn of_columns(
        path: &Path,
        schema: &str,
        overwrite: Overwrite,
        columns: &Schema,
        effort: Effort,
    ) -> Result<Self> {
        let output = Output::create(path, schema, overwrite)?;
        let failure = Failure::default();
        let file =
            Noting { file: BufWriter::with_capacity(256 << 10, output.handle()?), failure: Arc::clone(&failure) };
        let writer = ParquetWriter::new(file).set_parallel(effort == Effort::AllThreads);
        let writer = writer.with_compression(match effort {
            Effort::AllThreads | Effort::OneThreadZstd => ParquetCompression::Zstd(None),
            Effort::OneThread => ParquetCompression::Snappy,
        });
        let writer = writer.batched(columns).map_err(|e| writing(path, &failure, &e))?;
        Ok(Self { output, writer, failure })
    }

    /// Appends a row group.
    pub fn write(&mut self, columns: Vec<Column>) -> Result<()> {
        let frame = DataFrame::new_infer_height(columns).expect("every column of a batch has every row");
        let written = self.writer.write_batch(&frame);
        written.map_err(|e| writing(self.output.path(), &self.failure, &e))
    }

    /// Ends the table with a key and its value in the footer; the file still lacks its name.
    pub fn end(self, key: &str, json: &[u8]) -> Result<Output> {
        let json = String::from_utf8_lossy(json).into_owned();
        let footer = KeyValueMetadata::from_static(vec![(key.to_owned(), json)]);
        let footer = footer.collect(ParquetMetadataContext { arrow_schema: "" });
        let mut writer = self.writer.get_writer().lock().unwrap_or_else(PoisonError::into_inner);
        let ended = footer.and_then(|footer| writer.end(Some(footer)));
        drop(writer);
        ended.map_err(|e| writing(self.output.path(), &self.failure, &e))?;
        Ok(self.output)
    }
}

fn writing(path: &Path, failure: &Failure, error: &PolarsError) -> Error {
    match failure.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        Some(error) => Error::writing(path, error),
        None => Error::io(format!("cannot write {}: {error}", path.display())),
    }
}

/// A file that notes its first error.
struct Noting {
    file: BufWriter<File>,
    failure: Failure,
}

impl Noting {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|e| {
            let kind = e.kind();
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
            kind.into()
        })
    }
}

impl Write for Noting {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let result = self.file.write(data);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.flush();
        self.note(result)
    }
}

/// A table being read.
pub struct TableRows {
    file: File,
    name: String,
    metadata: Arc<FileMetadata>,
    columns: Vec<String>,
    /// The fields that must hold a value in every row.
    needed: Vec<&'static str>,
    /// The row group that is next, and how many of its rows were read.
    group: usize,
    in_group: usize,
    /// The first row of the next slice.
    row: usize,
}

impl TableRows {
    /// Opens a table; `name` is what messages call the file.
    ///
    /// # Errors
    /// When it is no Parquet file, or lacks a column, or has one of another type.
    pub fn open(file: File, name: &str, fields: &[Field]) -> Result<Self> {
        let unreadable = |e: PolarsError| reading(name, &e);
        let mut reader = ParquetReader::new(file.try_clone().map_err(|e| Error::reading(Path::new(name), &e))?);
        let metadata = guarded(|| reader.get_metadata().cloned()).map_err(unreadable)?;
        let schema = guarded(|| reader.schema()).map_err(unreadable)?;
        let mut columns = Vec::new();
        for field in fields {
            match schema.get(field.name) {
                Some(found) if is_type(&found.dtype, &field.dtype) => columns.push(field.name.to_owned()),
                Some(found) => {
                    return Err(Error::usage(format!(
                        "{name}, column {}: its type is {:?}; it has to be {}",
                        field.name, found.dtype, field.dtype
                    )));
                }
                None if field.optional => {}
                None => {
                    let found: Vec<_> = schema.iter_names().take(20).map(PlSmallStr::as_str).collect();
                    let needed: Vec<_> = fields.iter().filter(|f| !f.optional).map(|f| f.name).collect();
                    return Err(Error::usage(format!(
                        "{name} is another table: it has no column {}; its columns are {}; {} are needed",
                        field.name,
                        found.join(", "),
                        needed.join(", ")
                    )));
                }
            }
        }
        let needed = fields.iter().filter(|f| !f.optional).map(|f| f.name).collect();
        Ok(Self { file, name: name.to_owned(), metadata, columns, needed, group: 0, in_group: 0, row: 0 })
    }

    /// Rows of the table.
    pub fn rows(&self) -> u64 {
        self.metadata.num_rows as u64
    }

    /// The next rows, and the place of the first of them; none at the end.
    pub fn next_slice(&mut self) -> Option<Result<(u64, DataFrame)>> {
        let left = loop {
            let left = self.metadata.row_groups.get(self.group)?.num_rows().saturating_sub(self.in_group);
            if left > 0 {
                break left;
            }
            self.group += 1;
            self.in_group = 0;
        };
        let first = self.row;
        let rows = left.min(SLICE_ROWS);
        self.in_group += rows;
        self.row += rows;
        Some(self.slice(first, rows).map(|frame| (first as u64, frame)))
    }

    fn slice(&self, first: usize, rows: usize) -> Result<DataFrame> {
        slice(&self.file, &self.name, &self.metadata, &self.columns, &self.needed, first, rows)
    }

    /// The same table in parts of at most so many rows, none of which spans two row groups.
    pub fn into_parts(self, most: usize) -> TableParts {
        let mut parts = Vec::new();
        let mut first = 0;
        for group in &self.metadata.row_groups {
            let end = first + group.num_rows();
            while first < end {
                let rows = most.min(end - first);
                parts.push((first, rows));
                first += rows;
            }
        }
        TableParts { table: self, parts }
    }
}

/// A table whose parts are read in any order, by several threads.
pub struct TableParts {
    table: TableRows,
    /// The first row of each part, and how many it has.
    parts: Vec<(usize, usize)>,
}

impl TableParts {
    /// How many parts there are.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// Rows of the table.
    pub fn rows(&self) -> u64 {
        self.table.rows()
    }

    /// The first value of a column of whole numbers; none in a table without rows.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn first_i64(&self, name: &'static str) -> Result<Option<i64>> {
        if self.parts.is_empty() {
            return Ok(None);
        }
        let table = &self.table;
        let frame = slice(&table.file, &table.name, &table.metadata, &[name.to_owned()], &[name], 0, 1)?;
        let column = frame.column(name).and_then(|column| column.i64()).map_err(|e| reading(&table.name, &e))?;
        Ok(column.get(0))
    }

    /// The place of the first row of a part, and its rows.
    ///
    /// # Errors
    /// When the file is damaged, or a value is missing that every row has.
    pub fn read(&self, part: usize) -> Result<(u64, DataFrame)> {
        let (first, rows) = self.parts[part];
        self.table.slice(first, rows).map(|frame| (first as u64, frame))
    }
}

fn slice(
    file: &File,
    name: &str,
    metadata: &Arc<FileMetadata>,
    columns: &[String],
    needed: &[&'static str],
    first: usize,
    rows: usize,
) -> Result<DataFrame> {
    let mut file = file.try_clone().map_err(|e| Error::reading(Path::new(name), &e))?;
    let mut reader = ParquetReader::new(&mut file);
    reader.set_metadata(Arc::clone(metadata));
    let reader = reader
        .with_columns(Some(columns.to_vec()))
        .with_slice(Some((first, rows)))
        .read_parallel(ParallelStrategy::RowGroups)
        .set_rechunk(true);
    let frame = guarded(|| reader.finish()).map_err(|e| reading(name, &e))?;
    for column_name in needed {
        let column = frame.column(column_name).map_err(|e| reading(name, &e))?;
        if column.null_count() > 0 {
            let at = column.is_null().iter().position(|null| null == Some(true)).unwrap_or_default();
            return Err(Error::usage(format!(
                "{name}, row {}, column {column_name}: there is no value; every row has one",
                first + at + 1
            )));
        }
    }
    if frame.height() == rows {
        return Ok(frame);
    }
    Err(Error::usage(format!("{name} is damaged: rows are missing after row {first}")))
}

/// The value of a key in the footer of a Parquet file.
pub fn footer_value(file: File, name: &str, key: &str) -> Result<Option<Vec<u8>>> {
    let mut reader = ParquetReader::new(file);
    let metadata = guarded(|| reader.get_metadata().cloned()).map_err(|e| reading(name, &e))?;
    let pairs = metadata.key_value_metadata().iter().flatten();
    Ok(pairs.filter(|pair| pair.key == key).find_map(|pair| pair.value.clone().map(String::into_bytes)))
}

fn is_type(found: &ArrowDataType, wanted: &DataType) -> bool {
    use ArrowDataType as A;
    match wanted {
        DataType::Int64 => *found == A::Int64,
        DataType::UInt64 => *found == A::UInt64,
        DataType::UInt32 => *found == A::UInt32,
        DataType::UInt8 => *found == A::UInt8,
        DataType::Boolean => *found == A::Boolean,
        _ => matches!(found, A::Utf8View | A::LargeUtf8 | A::Utf8),
    }
}

fn reading(name: &str, error: &PolarsError) -> Error {
    let why = error.to_string();
    let why = why.lines().next().unwrap_or_default();
    Error::usage(format!("cannot read {name} as Parquet: {why}; the file is cut or damaged"))
}
