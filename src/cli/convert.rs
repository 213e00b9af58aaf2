//! `kvtrace convert`: a trace from one format into another.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::error::Error;
use crate::error::Result;
use crate::output;
use crate::stop::Stop;
use crate::trace::convert::convert;
use crate::trace::{Columns, WriteOptions, stamp};
use crate::units;

use super::Global;
use super::terminal::Terminal;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The trace: CSV, CSV in zstd or Parquet, found by content; - is standard input
    input: PathBuf,
    /// The new trace: .csv, .csv.zst or .parquet; - is CSV on standard output
    output: PathBuf,
    /// Which columns a CSV gets: all, or the six of the MLPerf reference without Delete rows
    #[arg(long, value_enum, default_value_t = ColumnSet::Full)]
    columns: ColumnSet,
    /// What to add to the stamps, in seconds [default: what the input has added]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    epoch: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ColumnSet {
    /// All ten columns, 9 decimals
    Full,
    /// The reference's six columns, 6 decimals, no Delete rows
    Mlperf,
}

fn seconds(text: &str) -> Result<i64, &'static str> {
    stamp::parse(text.as_bytes()).ok_or(stamp::ALLOWED)
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let columns = match args.columns {
        ColumnSet::Full => Columns::Full,
        ColumnSet::Mlperf => Columns::Mlperf,
    };
    if columns == Columns::Mlperf && args.output.extension().is_some_and(|e| e == "parquet") {
        return Err(Error::usage("--columns mlperf is for CSV; Parquet has all columns"));
    }
    let terminal = Terminal::new(global);
    let options = WriteOptions { columns, overwrite: global.overwrite() };
    let done = convert(&args.input, &args.output, options, args.epoch, stop, &terminal)?;
    if done.inversions > 0 {
        terminal.say(format!("{} rows were out of time order and are sorted now", units::count(done.inversions)));
    }
    if done.deletes_left_out > 0 {
        terminal.say(format!(
            "{} Delete rows have no place in the reference's columns and were left out",
            units::count(done.deletes_left_out)
        ));
    }
    if !output::is_standard(&args.output) {
        terminal.say(format!("{} rows in {}", units::count(done.rows), args.output.display()));
    }
    if let Some(requests) = done.requests {
        terminal.say(format!("the requests file went along: {}", requests.display()));
    }
    Ok(())
}
