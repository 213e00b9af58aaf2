//! `kvtrace analyze summary`

mod events;
mod requests;
mod result;
mod trace;

use std::path::PathBuf;

use crate::analyze::events::EventSummary;
use crate::analyze::inputs::{Kind, Source, find};
use crate::analyze::lookups;
use crate::analyze::requests_summary::{RequestsInput, RequestsSummary, RequestsTally};
use crate::analyze::summary::{Depth, Summary};
use crate::checksum;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::seed::Seed;
use crate::stop::Stop;
use crate::trace::RequestsReader;
use crate::units;
use crate::workload::{RequestTrace, Skipped, TraceFormat, TraceOptions, trace_files};

use super::blocks::nothing_usable;
use super::input::of_pipe;
use super::{check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `summary`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Traces (CSV, CSV in zstd, Parquet, - for standard input), requests files, traces of requests,
    /// LMCache's lookup logs, recordings of KV events, or results of replay and capture; patterns,
    /// folders and hive partitions (dir/day=1/part.parquet); several traces count as running side by
    /// side
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Estimate the number of different keys (HyperLogLog, standard error 0.8 %) instead of counting
    /// them: less time and memory for very long traces
    #[arg(long)]
    approx: bool,
    /// Only rows and bytes by tier, direction and phase: reads four columns of a Parquet trace
    #[arg(long)]
    brief: bool,
    /// For bytes of KV events: a model by name, config.json or bytes:N
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Write the result to a file: .json, .csv or .parquet
    #[arg(long, short)]
    output: Option<PathBuf>,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let (kind, sources) = find(&args.inputs)?;
    if kind != Kind::Trace && (args.approx || args.brief) {
        return Err(Error::usage(format!(
            "--approx and --brief are for traces; {} is {}",
            sources[0].name,
            kind.words()
        )));
    }
    if kind != Kind::Events && args.model.is_some() {
        return Err(Error::usage(format!(
            "--model is for recordings of KV events, whose events have no bytes; {} is {}",
            sources[0].name,
            kind.words()
        )));
    }
    match kind {
        Kind::Trace => of_traces(args, &sources, global, stop),
        Kind::Events => of_events(args, &sources, global, stop),
        Kind::Requests | Kind::RequestTrace | Kind::Lookups => of_requests(args, kind, &sources, global, stop),
        Kind::Result => result::run(&args.output, &sources, global),
    }
}

fn of_traces(args: &Args, sources: &[Source], global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    let depth = Depth { approx: args.approx, brief: args.brief };
    let summary = Summary::of(sources, depth, stop, &terminal).map_err(|e| of_pipe(&args.inputs, e))?;
    for input in &summary.inputs {
        if let Some(inversions) = input.inversions.filter(|n| *n > 0) {
            terminal.say(format!("{}: {} out of time order", input.file, units::plural(inversions, "row")));
        }
    }
    written(&args.output, &summary, || trace::csv(&summary), || trace::table(&summary), global)
}

fn of_events(args: &Args, sources: &[Source], global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    let model = args.model.as_deref().map(|name| Model::resolve(name, None)).transpose()?;
    let summary = EventSummary::of(&files(sources), model.as_ref(), stop, &terminal)?;
    for (what, count) in &summary.skipped {
        terminal.say(format!("left out: {} x {what}", units::count(*count)));
    }
    for (field, count) in &summary.unknown_fields {
        terminal.say(format!("unknown field {field}: {} times", units::count(*count)));
    }
    written(&args.output, &summary, || events::csv(&summary), || events::table(&summary), global)
}

fn files(sources: &[Source]) -> Vec<PathBuf> {
    sources.iter().flat_map(|source| source.parts.clone()).collect()
}

fn of_requests(args: &Args, kind: Kind, sources: &[Source], global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    let summary = match kind {
        Kind::Requests => of_requests_files(&files(sources))?,
        Kind::Lookups => of_lookups(&files(sources), stop)?,
        _ => of_request_traces(&trace_files(&args.inputs)?, stop)?,
    };
    for (reason, count) in &summary.skipped {
        terminal.say(format!("left out or adapted: {} x {reason}", units::count(*count)));
    }
    written(&args.output, &summary, || requests::csv(&summary), || requests::table(&summary), global)
}

/// The requests of recordings; of several, which would mix their clocks, each is analysed alone.
fn of_requests_files(files: &[PathBuf]) -> Result<RequestsSummary> {
    if let [first, second, ..] = files {
        return Err(Error::usage(format!(
            "{} and {} are requests files of two traces, each with a clock of its own; analyse them apart",
            first.display(),
            second.display()
        )));
    }
    let mut tally = RequestsTally::default();
    for row in RequestsReader::open(&files[0])? {
        tally.add_row(&row?);
    }
    tally.summary("kvtrace", inputs(files)?)
}

fn of_lookups(files: &[PathBuf], stop: &Stop) -> Result<RequestsSummary> {
    let (requests, facts) = lookups::read(files, stop)?;
    let mut tally = RequestsTally::default();
    for (request, place) in requests.iter().zip(0..) {
        tally.add_lone(request, place);
    }
    let mut summary = tally.summary("lmcache-lookups", inputs(files)?)?;
    summary.inversions = Some(facts.inversions);
    summary.skipped.clone_from(facts.skipped.counts());
    Ok(summary)
}

fn of_request_traces(files: &[PathBuf], stop: &Stop) -> Result<RequestsSummary> {
    let skipped = Skipped::default();
    let requests =
        RequestTrace::open(files, Seed(0), TraceOptions::as_stamped(None, None), skipped.clone())?.noting_shared_ids();
    let facts = requests.facts();
    let mut tally = RequestsTally::default();
    tally.add_all(requests, stop)?;
    if tally.rows() == 0 && !skipped.counts().is_empty() {
        return Err(nothing_usable(files, "request", &skipped.counts()));
    }
    let mut summary = tally.summary(facts.format.word(), inputs(files)?)?;
    summary.inversions = Some(facts.inversions());
    summary.skipped = skipped.counts();
    if facts.format == TraceFormat::RagPulse {
        // Its ids stand for runs of tokens of any length, and not for blocks.
        (summary.blocks, summary.distinct_blocks) = (None, None);
    }
    Ok(summary)
}

fn inputs(files: &[PathBuf]) -> Result<Vec<RequestsInput>> {
    let of = |path: &PathBuf| {
        let unreadable = |e| Error::reading(path, &e);
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        let sha256 = checksum::of_stream(&mut file, |_| Ok(())).map_err(unreadable)?;
        Ok(RequestsInput { file: path.display().to_string(), sha256 })
    };
    files.iter().map(of).collect()
}
