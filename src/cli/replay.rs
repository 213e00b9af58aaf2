//! `kvtrace replay`

mod flags;
mod keep;
mod state;
pub mod summary;
mod values;
mod words;

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::measure::replay::REPLAY_SCHEMA;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::replay::{self, Precondition, ReplayConfig, Replayed, RunWatch, Unwatched};
use crate::stop::Stop;

use super::Global;
use super::block_watch::{BlockWatch, Need};
use super::capture::events::EventFlags;
use super::terminal::Terminal;
use keep::Patient;

pub use flags::{HostFlags, ReplayFlags};
pub use values::explain_value;

/// The folder that tier 2 is unless something else is said.
const STORAGE: &str = "./kvtrace-data";

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The trace: CSV, CSV.zst or Parquet
    trace: PathBuf,
    /// Where the result goes (kvtrace.replay/1, JSON)
    #[arg(short, long, value_name = "RESULT.json")]
    output: Option<PathBuf>,
    /// Say what would be done and whether it fits, touch nothing
    #[arg(long)]
    plan_only: bool,
    /// Watch what the block layer does meanwhile (needs the rights of `kvtrace capture`)
    #[arg(long, conflicts_with = "plan_only")]
    capture: bool,
    #[command(flatten)]
    events: EventFlags,
    /// Overwrite each storage tier's slab or device in random order before the run: 2x its size, or
    /// a size such as 512GiB [default: nothing is overwritten]
    #[arg(long, value_name = "TIMES|SIZE")]
    precondition: Option<Precondition>,
    #[command(flatten)]
    hosts: HostFlags,
    #[command(flatten)]
    flags: ReplayFlags,
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    let mut config = args.flags.config(&args.trace, Path::new(STORAGE), global);
    config.precondition = args.precondition;
    let output = args.hosts.apply(&mut config, args.output.as_deref())?;
    if let Some(shard) = &config.shard {
        terminal.say(format!("shard {} of {}, from 0 on, by {}", shard.index, shard.count, shard.source));
    }
    if let Some(path) = output.as_deref().filter(|path| config.hlog.as_deref() == Some(path)) {
        return Err(Error::usage(format!("-o and --hlog both name {}; give each its own file", path.display())));
    }
    let others =
        [("-o", output.as_deref()), ("--hlog", config.hlog.as_deref()), ("the trace", Some(args.trace.as_path()))];
    let events = args.events.to(&others, global)?;
    if args.plan_only {
        return plan_only(&config, global, stop, &terminal);
    }
    let output = output.as_deref();
    let (replayed, events) = if args.capture || events.is_some() {
        let mut watch = BlockWatch::new(Need::Required).with_events(events);
        let replayed = replay_to(&config, output, &mut watch, stop, &terminal);
        let complete = replayed.as_ref().is_ok_and(|replayed| replayed.result.complete);
        let events = watch.keep_events(complete);
        say_events(&events, &terminal);
        (replayed?, events.map(drop))
    } else {
        (replay_to(&config, output, &mut Unwatched, stop, &terminal)?, Ok(()))
    };
    if global.json && !output.is_some_and(output::is_standard) {
        output::to_stdout(&output::to_json(&replayed.result))?;
    }
    replayed.failure.map_or(events, Err)
}

/// Says where the events are.
pub fn say_events(events: &Result<Option<PathBuf>>, terminal: &Terminal) {
    match events {
        Ok(Some(path)) => terminal.say(format!("events: {}", path.display())),
        Ok(None) => {}
        Err(error) => terminal.warn(error.to_string()),
    }
}

/// Replays a trace, writes the result to `path` (as `<stem>.partial.json` when it ended early)
/// and prints a summary. What went wrong during the run is in the value, not an error.
///
/// # Errors
/// Whatever keeps the run from starting or the result from being written.
pub fn replay_to(
    config: &ReplayConfig,
    path: Option<&Path>,
    watch: &mut dyn RunWatch,
    stop: &Stop,
    terminal: &Terminal,
) -> Result<Replayed> {
    let file = match path.filter(|path| !output::is_standard(path)) {
        Some(path) => Some(Output::create(path, REPLAY_SCHEMA, config.overwrite)?),
        None => None,
    };
    if let Some(line) = path.and_then(keep::leftovers) {
        terminal.say(format!("note: {line}"));
    }
    let replayed = replay::replay(config, &mut Patient(watch), stop, terminal)?;
    let json = output::to_json(&replayed.result);
    if path.is_some_and(output::is_standard) {
        output::to_stdout(&json)?;
    }
    let written = file.map(|file| keep::keep(file, &json, replayed.result.complete));
    for line in summary::lines(&replayed.result) {
        terminal.say(line);
    }
    match written {
        Some(Ok(written)) => terminal.say(format!("result: {}", written.display())),
        // What went wrong with the run is worse than where its result lies.
        Some(Err(lost)) => match replayed.failure {
            Some(failure) => {
                let kind = if failure.kind() == Kind::NotSustained { lost.kind() } else { failure.kind() };
                return Err(Error::new(kind, format!("{failure}; {lost}")));
            }
            None => return Err(lost),
        },
        None => {}
    }
    if let Some(log) = &replayed.log {
        terminal.say(format!("interval log: {}", log.display()));
    }
    Ok(replayed)
}

fn plan_only(config: &ReplayConfig, global: Global, stop: &Stop, progress: &dyn Progress) -> Result<()> {
    let (plan, fits) = replay::survey(config, stop, progress)?;
    if global.json {
        let plan = serde_json::json!({
            "schema": "kvtrace.plan/1",
            "tool": crate::TOOL,
            "sha256": plan.sha256,
            "fits": fits.is_ok(),
            "why_not": fits.as_ref().err().map(ToString::to_string),
            "plan": plan.facts,
            "disk": fits.as_ref().ok(),
            "offered_gb_per_s": plan.facts.offered_gb_per_s(),
        });
        output::to_stdout(&output::to_json(&plan))?;
    } else {
        let mut lines = summary::plan_lines(&plan, config, fits.is_ok());
        // The last line is the answer to all of them.
        let place = lines.len().saturating_sub(1);
        let disk = fits.iter().flatten().map(ToString::to_string);
        lines.splice(place..place, disk.chain(plan.facts.freeing().map(str::to_owned)));
        output::to_stdout((lines.join("\n") + "\n").as_bytes())?;
    }
    fits.map(drop)
}
