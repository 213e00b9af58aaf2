//! `kvtrace convert`: a trace from one format into another.

use std::path::PathBuf;

use crate::error::Result;
use crate::output;
use crate::stop::Stop;
use crate::trace::convert::convert;
use crate::trace::{WriteOptions, stamp};
use crate::units;

use super::Global;
use super::columns::ColumnsFlag;
use super::terminal::Terminal;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The trace: CSV, CSV in zstd or Parquet, found by content; - is standard input
    input: PathBuf,
    /// The new trace: .csv, .csv.zst or .parquet; - is CSV on standard output
    output: PathBuf,
    /// Columns of a CSV
    #[arg(long, value_enum, default_value_t = ColumnsFlag::Full)]
    columns: ColumnsFlag,
    /// What to add to the stamps, in seconds [default: what the input has added]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    epoch: Option<i64>,
}

fn seconds(text: &str) -> Result<i64, &'static str> {
    stamp::parse(text.as_bytes()).ok_or(stamp::ALLOWED)
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    let options = WriteOptions { columns: args.columns.into(), overwrite: global.overwrite() };
    let done = convert(&args.input, &args.output, options, args.epoch, stop, &terminal)?;
    if done.inversions > 0 {
        terminal.say(format!("sorted: {} out of time order", units::plural(done.inversions, "row")));
    }
    if done.deletes_left_out > 0 {
        terminal.say(format!(
            "left out: {}, for which the reference has no column",
            units::plural(done.deletes_left_out, "Delete row")
        ));
    }
    if !output::is_standard(&args.output) {
        terminal.say(format!("{} in {}", units::plural(done.rows, "row"), args.output.display()));
    }
    if let Some(requests) = done.requests {
        terminal.say(format!("the requests file went along: {}", requests.display()));
    }
    Ok(())
}
