//! `kvtrace replay`

mod summary;
mod words;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::measure::replay::REPLAY_SCHEMA;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::replay::{
    self, Durability, Engine, Fadvise, IoMode, Order, Pace, Prepare, ReplayConfig, Replayed, RunWatch, Target,
    Unwatched, Verify, Wait,
};
use crate::stop::Stop;
use crate::units::{Size, Time};

use super::Global;
use super::block_watch::{BlockWatch, Need};
use super::terminal::Terminal;

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
    flags: ReplayFlags,
}

/// The flags of a replay, also taken by `kvtrace run`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayFlags {
    /// What stands for tier 0: model:64GB/s+10us (time only), dram[:SIZE], dir:PATH,
    /// file:PATH,size=SIZE, skip
    #[arg(long = "tier-0", value_name = "SPEC", default_value = "model:64GB/s+10us")]
    tier_0: Target,
    /// What stands for tier 1
    #[arg(long = "tier-1", value_name = "SPEC", default_value = "dram")]
    tier_1: Target,
    /// What stands for tier 2 [default: dir:./kvtrace-data; with `kvtrace run`, dir:DIR/data]
    #[arg(long = "tier-2", value_name = "SPEC")]
    tier_2: Option<Target>,
    /// When operations start: asap, trace (the trace's own times), rate:50/s
    #[arg(long, value_name = "PACE", default_value = "asap")]
    pace: Pace,
    /// With --pace trace: seconds of the trace per second
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    speed: f64,
    /// Multiply every object's size
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    size_scale: f64,
    /// The largest single I/O
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    io_size: Size,
    /// Most bytes of I/O in flight
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    bytes_in_flight: Size,
    /// Most objects being worked on at once [default: 64 with --pace asap, 4096 otherwise]
    #[arg(long, value_name = "N")]
    max_objects: Option<u32>,
    /// How the schedule is waited for: asleep, asleep until shortly before and then awake, or
    /// always awake
    #[arg(long, value_enum, default_value_t = Wait::Hybrid)]
    wait: Wait,
    /// What executes storage I/O; with nop nothing does, so that the replay's own part is measured
    #[arg(long, value_enum, default_value_t = Engine::IoUring)]
    engine: Engine,
    /// Past the page cache, or through it
    #[arg(long, value_enum, default_value_t = IoMode::Direct)]
    io: IoMode,
    /// With --io buffered: what the page cache is told. dontneed drops each object before it is
    /// read, sequential reads ahead
    #[arg(long, value_enum, default_value_t = Fadvise::None)]
    fadvise: Fadvise,
    /// When an object of a storage tier counts as written: after its I/O, after an fdatasync or an
    /// fsync, or with every I/O durable by itself
    #[arg(long, value_enum, default_value_t = Durability::None)]
    durability: Durability,
    /// What an operation waits for: earlier ones on the same object (always, and demotions with
    /// them), also earlier ones of the same request, or of the same conversation
    #[arg(long, value_enum, default_value_t = Order::Key)]
    order: Order,
    /// Leave the rows of all tiers but this one out; its timeline stays
    #[arg(long, value_name = "TIER", value_parser = clap::value_parser!(u8).range(0..3))]
    only_tier: Option<u8>,
    /// When a slab is written before the run: if there is none yet, always, never
    #[arg(long, value_enum, default_value_t = Prepare::Auto)]
    prepare: Prepare,
    /// How much of what is read is checked: off, stamp (16 bytes of 4 KiB), sample:0.1, full
    #[arg(long, value_name = "LEVEL", default_value = "stamp")]
    verify: Verify,
    /// Threads beside the one that does the I/O, which make data up before it is due and check it
    /// after it was read [default: one less than processors, at most 4]
    #[arg(long, value_name = "N")]
    helpers: Option<u32>,
    /// Go on after this many I/O errors
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_errors: u64,
    /// End the run when it is further behind the schedule than this
    #[arg(long, value_name = "TIME")]
    max_lag: Option<Time>,
    /// The seed of the data that is written
    #[arg(long = "data-seed", value_name = "N", default_value_t = 42)]
    data_seed: u64,
}

impl ReplayFlags {
    /// What is meant, for one trace; `storage` is the folder that tier 2 is by default.
    pub fn config(&self, trace: &Path, storage: &Path, global: Global) -> ReplayConfig {
        let tier_2 = self.tier_2.clone().unwrap_or_else(|| Target::Dir(storage.to_owned()));
        let mut targets = [self.tier_0.clone(), self.tier_1.clone(), tier_2];
        for (tier, target) in targets.iter_mut().enumerate() {
            if self.only_tier.is_some_and(|only| usize::from(only) != tier) {
                *target = Target::Skip;
            }
        }
        ReplayConfig {
            trace: trace.to_owned(),
            targets,
            pace: self.pace,
            speed: self.speed,
            size_scale: self.size_scale,
            io_size_bytes: self.io_size.0,
            bytes_in_flight: self.bytes_in_flight.0,
            max_objects: self.max_objects,
            wait: self.wait,
            engine: self.engine,
            io: self.io,
            fadvise: self.fadvise,
            durability: self.durability,
            order: self.order,
            prepare: self.prepare,
            verify: self.verify,
            helpers: self.helpers.unwrap_or_else(ReplayConfig::helpers_here),
            max_errors: self.max_errors,
            max_lag_ns: self.max_lag.map(|lag| lag.0),
            seed: self.data_seed,
            overwrite: global.overwrite(),
        }
    }
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    let config = args.flags.config(&args.trace, Path::new(STORAGE), global);
    if args.plan_only {
        return plan_only(&config, global, stop, &terminal);
    }
    let output = args.output.as_deref();
    let replayed = if args.capture {
        replay_to(&config, output, &mut BlockWatch::new(Need::Required), stop, &terminal)?
    } else {
        replay_to(&config, output, &mut Unwatched, stop, &terminal)?
    };
    if global.json && !output.is_some_and(output::is_standard) {
        output::to_stdout(&output::to_json(&replayed.result))?;
    }
    replayed.failure.map_or(Ok(()), Err)
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
    let replayed = replay::replay(config, watch, stop, terminal)?;
    let json = output::to_json(&replayed.result);
    if path.is_some_and(output::is_standard) {
        output::to_stdout(&json)?;
    }
    let written = match file {
        Some(file) => Some(keep(file, &json, replayed.result.complete)?),
        None => None,
    };
    for line in summary::lines(&replayed.result) {
        terminal.say(line);
    }
    if let Some(written) = written {
        terminal.say(format!("result: {}", written.display()));
    }
    Ok(replayed)
}

fn keep(mut file: Output, json: &[u8], complete: bool) -> Result<PathBuf> {
    let path = file.path().to_owned();
    file.write_all(json).map_err(|e| Error::writing(&path, &e))?;
    if complete {
        file.finish()?;
        return Ok(path);
    }
    file.keep_partial()
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
