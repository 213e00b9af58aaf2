//! `kvtrace analyze`: one subcommand per analysis.

mod anonymize;
mod blocks;
mod compare;
mod curve;
mod drives;
mod endurance;
mod flow;
mod hits;
mod input;
mod objects;
mod plan;
mod recorded;
mod reuse;
mod summary;
mod warmup;
mod working_set;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::analyze::{ANALYSIS_SCHEMA, columns};
use crate::error::{Error, Result};
use crate::output;
use crate::stop::Stop;

use super::Global;
use super::terminal::Terminal;

/// What is said of a policy that sees the future where that is not the order of its evictions.
const TAIL_FIRST_BELADY: &str = "belady is no bound with --semantics tail-first: a prompt is looked up as a whole before \
    its blocks are used from the end, so that other policies may hit more";

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    analysis: Analysis,
}

#[derive(Debug, clap::Subcommand)]
enum Analysis {
    /// Rows, bytes, sizes, rates and occupancy of a trace; what requests, KV events and results hold
    Summary(summary::Args),
    /// Every hit ratio by its name, for a cache without end and at capacities; of a trace also what
    /// its own tiers had
    Hits(hits::Args),
    /// Hit ratio by capacity: LRU exactly for all of them, other policies at chosen ones; of requests
    /// in token blocks, of a trace in bytes
    Curve(curve::Args),
    /// When and how deep blocks are used again, and how few of them have most of it
    Reuse(reuse::Args),
    /// Blocks in use at a time, and how large a cache has to be for shares of all hits
    WorkingSet(working_set::Args),
    /// Host writes by the day, DWPD and years of drives: by policy and filter for requests, as recorded
    /// for traces, replay results and captures
    Endurance(endurance::Args),
    /// The smallest DRAM and NVMe for a hit ratio, a time to the first token or a life, and its cost
    Plan(Box<plan::Args>),
    /// Two groups of results, metric by metric, with how sure each difference is
    Compare(compare::Args),
    /// What became of one request or conversation, turn by turn
    Flow(flow::Args),
    /// A file to give away: other names, other times, no text, the same hits
    Anonymize(anonymize::Args),
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    match args.analysis {
        Analysis::Summary(args) => summary::run(&args, global, stop),
        Analysis::Hits(args) => hits::run(&args, global, stop),
        Analysis::Curve(args) => curve::run(&args, global, stop),
        Analysis::Reuse(args) => reuse::run(&args, global, stop),
        Analysis::WorkingSet(args) => working_set::run(&args, global, stop),
        Analysis::Endurance(args) => endurance::run(&args, global, stop),
        Analysis::Plan(args) => plan::run(&args, global, stop),
        Analysis::Compare(args) => compare::run(&args, global),
        Analysis::Flow(args) => flow::run(&args, global, stop),
        Analysis::Anonymize(args) => anonymize::run(&args, global, stop),
    }
}

/// How an analysis is written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Json,
    Csv,
    Parquet,
}

/// Refuses a name that says nothing of the format, before any work.
fn check_output(path: &Option<PathBuf>) -> Result<()> {
    path.as_deref().map(format_of).transpose().map(drop)
}

fn format_of(path: &Path) -> Result<Written> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("json") => Ok(Written::Json),
        Some("csv") => Ok(Written::Csv),
        Some("parquet") => Ok(Written::Parquet),
        _ => Err(Error::usage(format!("-o {}: end the name in .json, .csv or .parquet", path.display()))),
    }
}

/// Writes an analysis where it is wanted: to a file, to standard output as JSON or as a table.
fn written(
    path: &Option<PathBuf>,
    analysis: &impl Serialize,
    csv: impl FnOnce() -> Vec<u8>,
    table: impl FnOnce() -> String,
    global: Global,
) -> Result<()> {
    let json = output::to_json(analysis);
    if let Some(path) = path {
        match format_of(path)? {
            Written::Csv => {
                // Before the sidecar is there, which would make any file of that name ours.
                output::check_replaceable(path, ANALYSIS_SCHEMA, global.overwrite())?;
                output::write_all(&output::sidecar_path(path), ANALYSIS_SCHEMA, global.overwrite(), &json)?;
                output::write_all(path, ANALYSIS_SCHEMA, global.overwrite(), &csv())?;
            }
            Written::Json => output::write_all(path, ANALYSIS_SCHEMA, global.overwrite(), &json)?,
            Written::Parquet => columns::write(path, global.overwrite(), &csv(), &json)?,
        }
        Terminal::new(global).say(format!("written: {}", path.display()));
    }
    match (global.json, path) {
        (true, _) => output::to_stdout(&json),
        (false, Some(_)) => Ok(()),
        (false, None) => output::to_stdout(table().as_bytes()),
    }
}
