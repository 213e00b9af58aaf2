//! An analysis as a Parquet table: the columns of its CSV with types of their own.

use std::path::Path;

use polars::prelude::{Column, DataType, NamedFrom, Schema, Series};

use crate::error::{Error, Result};
use crate::output::Overwrite;
use crate::trace::parquet::{Effort, TableFile};

use super::ANALYSIS_SCHEMA;

/// Writes a table that is there as CSV with a header; the JSON of the analysis goes into the footer
/// under the key of its schema. A column of whole numbers becomes `i64`, one of numbers `f64`, any
/// other text; an empty field is null.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, overwrite: Overwrite, csv: &[u8], json: &[u8]) -> Result<()> {
    let columns = columns(csv)?;
    let schema: Schema = columns.iter().map(|column| (column.name().clone(), column.dtype().clone())).collect();
    let mut table = TableFile::of_columns(path, ANALYSIS_SCHEMA, overwrite, &schema, Effort::AllThreads)?;
    table.write(columns)?;
    table.end(ANALYSIS_SCHEMA, json)?.finish()
}

fn columns(csv: &[u8]) -> Result<Vec<Column>> {
    let broken = |e: csv::Error| Error::io(format!("the table of the analysis is none: {e}"));
    let mut reader = csv::Reader::from_reader(csv);
    let names: Vec<String> = reader.headers().map_err(broken)?.iter().map(str::to_owned).collect();
    let mut fields = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, field) in fields.iter_mut().zip(record.map_err(broken)?.iter()) {
            column.push((!field.is_empty()).then(|| field.to_owned()));
        }
    }
    Ok(names.iter().zip(fields).map(|(name, fields)| column(name, &fields)).collect())
}

/// A column of the narrowest type that all of its fields have.
fn column(name: &str, fields: &[Option<String>]) -> Column {
    let filled = || fields.iter().flatten();
    let series = if filled().next().is_some() && filled().all(|field| field.parse::<i64>().is_ok()) {
        Series::new(name.into(), fields.iter().map(|field| field.as_ref()?.parse().ok()).collect::<Vec<Option<i64>>>())
    } else if filled().next().is_some() && filled().all(|field| field.parse::<f64>().is_ok_and(f64::is_finite)) {
        Series::new(name.into(), fields.iter().map(|field| field.as_ref()?.parse().ok()).collect::<Vec<Option<f64>>>())
    } else {
        Series::new(name.into(), fields)
    };
    debug_assert!([DataType::Int64, DataType::Float64, DataType::String].contains(series.dtype()));
    series.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_the_type_that_its_fields_have() {
        let columns = columns(b"policy,capacity,ratio,none\nlru,10,0.5,\n\"a,b\",,1,\n").unwrap();
        let types: Vec<_> = columns.iter().map(|column| column.dtype().clone()).collect();
        assert_eq!(types, [DataType::String, DataType::Int64, DataType::Float64, DataType::String]);
        assert_eq!(columns.iter().map(Column::null_count).collect::<Vec<_>>(), [0, 1, 0, 2]);
    }
}
