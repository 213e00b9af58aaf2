//! `kvtrace merge`: the results of the shards of one run become one.

use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::measure::merge::merge;
use crate::measure::replay::REPLAY_SCHEMA;
use crate::measure::{Input, Saved};
use crate::output;
use crate::replay;

use super::Global;
use super::replay::summary;
use super::terminal::Terminal;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The results of `kvtrace replay --shard i/n`, or of ranks of a launcher, in any order; also
    /// results that were merged from some of them
    #[arg(required = true, value_name = "RESULT")]
    results: Vec<PathBuf>,
    /// Where the merged result goes (kvtrace.replay/1, JSON; `-` is stdout)
    #[arg(long, short, value_name = "MERGED.json")]
    output: Option<PathBuf>,
    /// Merge although shards are missing; the result says which and is not valid
    #[arg(long)]
    partial: bool,
    /// The trace that was replayed: with the requests file beside it, storage times are added up
    /// request by request
    #[arg(long, value_name = "TRACE")]
    trace: Option<PathBuf>,
}

pub fn run(args: Args, global: Global) -> Result<()> {
    let terminal = Terminal::new(global);
    if args.output.is_none() && !global.json {
        return Err(Error::usage("nowhere to put the merged result; add -o MERGED.json, or --json for stdout"));
    }
    let mut results = Vec::new();
    if let Some(path) = &args.output
        && let Ok(place) = path.canonicalize()
        && args.results.iter().any(|input| input.canonicalize().is_ok_and(|input| input == place))
    {
        return Err(Error::usage(format!(
            "-o {}: that is one of the results to merge; name another file",
            path.display()
        )));
    }
    for path in &args.results {
        let input = Input::read(path)?;
        let name = path.display().to_string();
        match input.result().map_err(|error| error.context(format!("cannot merge {name}")))? {
            Saved::Replay(result) => results.push((name, *result)),
            other => {
                let what = other.what();
                return Err(Error::usage(format!("{name} is {what}; results of `kvtrace replay` are merged")));
            }
        }
    }
    let mut merged = merge(results, args.partial)?;
    if let Some(trace) = &args.trace {
        replay::attribute(&mut merged, trace)?;
    }
    let json = output::to_json(&merged);
    if let Some(path) = &args.output {
        output::write_all(path, REPLAY_SCHEMA, global.overwrite(), &json)?;
    }
    if global.json && !args.output.as_deref().is_some_and(output::is_standard) {
        output::to_stdout(&json)?;
    }
    summary::lines(&merged).iter().for_each(|line| terminal.say(line));
    if let Some(path) = args.output.filter(|path| !output::is_standard(path)) {
        terminal.say(format!("result: {}", path.display()));
    }
    match merged.invalid_reasons.first().filter(|_| !merged.valid && !args.partial) {
        Some(reason) => Err(Error::new(Kind::NotSustained, format!("the merged result is not valid: {reason}"))),
        None => Ok(()),
    }
}
