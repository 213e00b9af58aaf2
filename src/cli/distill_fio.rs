//! `kvtrace distill-fio`: a fio job from a capture, or from a replay that was captured.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::distill::job::JOB_SCHEMA;
use crate::distill::{Job, Options, Origin};
use crate::error::{Error, Result};
use crate::measure::block::BLOCK_SCHEMA;
use crate::measure::replay::REPLAY_SCHEMA;
use crate::measure::{BlockResult, Input, ReplayResult, Saved};
use crate::output;
use crate::units::{Size, Time};

use super::Global;
use super::terminal::Terminal;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A kvtrace.block/1 file, or a kvtrace.replay/1 file with a capture (`-` is stdin)
    input: PathBuf,
    /// The job file (`-` is stdout)
    #[arg(long, short, value_name = "JOB")]
    output: PathBuf,
    /// fio's I/O engine
    #[arg(long, value_enum, default_value = "io_uring")]
    ioengine: Engine,
    /// How long the job runs
    #[arg(long, default_value = "30s")]
    runtime: Time,
    /// Size of the file that the job runs on, e.g. 10GiB [default: the source's working set]
    #[arg(long)]
    size: Option<Size>,
}

/// An engine that keeps more than one request in flight.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    #[value(name = "io_uring")]
    IoUring,
    #[value(name = "libaio")]
    Libaio,
}

pub fn run(args: Args, global: Global) -> Result<()> {
    let terminal = Terminal::new(global);
    if args.runtime.0 == 0 {
        return Err(Error::usage("--runtime 0 runs nothing; give a time above 0, e.g. 30s"));
    }
    let input = Input::read(&args.input)?;
    let (block, schema, facts) = match input.result()? {
        Saved::Block(block) => (*block, BLOCK_SCHEMA, Vec::new()),
        Saved::Replay(replay) => {
            let facts = replay_facts(&replay);
            (captured(*replay, &input.name)?, REPLAY_SCHEMA, facts)
        }
    };
    let job_file = match output::is_standard(&args.output) {
        true => "job.fio".to_owned(),
        false => args.output.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let origin = Origin { file: input.name, schema: schema.to_owned(), sha256: input.sha256, facts, job_file };
    let ioengine = match args.ioengine {
        Engine::IoUring => "io_uring",
        Engine::Libaio => "libaio",
    };
    let options =
        Options { ioengine: ioengine.to_owned(), runtime_ns: args.runtime.0, size_bytes: args.size.map(|size| size.0) };
    let job = Job::distil(&block, &origin, &options)?;
    for warning in &job.warnings {
        terminal.warn(warning);
    }
    output::write_all(&args.output, JOB_SCHEMA, global.overwrite(), job.text().as_bytes())
}

/// The capture inside a replay's result.
fn captured(replay: ReplayResult, file: &str) -> Result<BlockResult> {
    replay.block.ok_or_else(|| {
        Error::usage(format!(
            "{file} holds no capture of the block layer; repeat the replay with --capture, or give a file of `kvtrace \
             capture`"
        ))
    })
}

fn replay_facts(replay: &ReplayResult) -> Vec<String> {
    let trace = &replay.trace;
    vec![format!(
        "Replay of {} (sha256 {}), {} rows, pacing {}",
        trace.file, trace.sha256, trace.rows, replay.timing.pacing
    )]
}
