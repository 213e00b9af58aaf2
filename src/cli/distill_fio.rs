//! `kvtrace distill-fio`: a fio job from a capture, from a replay that was captured, or from a
//! trace; with `--prove`, how like its source it behaves.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::distill::job::{HUGE_PAGES, JOB_SCHEMA};
use crate::distill::logical::{self, Splitting};
use crate::distill::{Job, Options, Origin};
use crate::error::{Error, Result};
use crate::measure::block::BLOCK_SCHEMA;
use crate::measure::fidelity::Proved;
use crate::measure::replay::REPLAY_SCHEMA;
use crate::measure::{BlockResult, Input, ReplayResult, Saved};
use crate::output;
use crate::stop::Stop;
use crate::trace::TraceReader;
use crate::trace::meta::TRACE_SCHEMA;
use crate::units::{self, Size, Time};

use super::Global;
use super::replay::ReplayFlags;
use super::terminal::Terminal;

mod card;
mod kind;
mod prove;

use kind::Kind;
use prove::{Proof, ProveFlags};

/// The shortest and the longest that a job of a proof runs unless it is said.
const PROOF_SECONDS: (f64, f64) = (5.0, 60.0);
/// How long a job runs unless something else is said.
const RUNTIME_NS: u64 = 30 * units::SECOND_NS;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A kvtrace.block/1 file, a kvtrace.replay/1 file with a capture (`-` is stdin), or a trace
    input: PathBuf,
    /// The job file (`-` is stdout)
    #[arg(long, short, value_name = "JOB")]
    output: PathBuf,
    /// fio's I/O engine
    #[arg(long, value_enum, default_value = "io_uring")]
    ioengine: Engine,
    /// How long the job runs [default: 30s; with --prove as long as its source, 5s to 60s]
    #[arg(long)]
    runtime: Option<Time>,
    /// Size of the file that the job runs on, e.g. 10GiB [default: the source's working set]
    #[arg(long)]
    size: Option<Size>,
    /// Distil a capture that is tainted (its losses stand in the job)
    #[arg(long)]
    accept_tainted: bool,
    #[command(flatten, next_help_heading = "Proof")]
    prove: ProveFlags,
    #[command(flatten, next_help_heading = "Replay of a trace")]
    replay: Box<ReplayFlags>,
}

/// An engine that keeps more than one request in flight.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    #[value(name = "io_uring")]
    IoUring,
    #[value(name = "libaio")]
    Libaio,
}

/// A source: what it did, once or several times, and what is said of it.
struct Source {
    blocks: Vec<BlockResult>,
    origin: Origin,
    /// Whether it was run for the proof.
    ran: bool,
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    if args.runtime.is_some_and(|runtime| runtime.0 == 0) {
        return Err(Error::usage("--runtime 0 runs nothing; give a time above 0, e.g. 30s"));
    }
    if args.prove.prove && output::is_standard(&args.output) {
        return Err(Error::usage("--prove runs the job, so it needs a file: -o JOB.fio"));
    }
    let config = args.replay.config(&args.input, Path::new("."), global);
    let proof = Proof::of(&args.prove, &config.destroys, stop, &terminal)?;
    let source = source(&args, proof.as_ref(), global)?;
    let block = source.blocks.first().ok_or_else(|| Error::usage("there is no run to distil"))?;
    refuse_tainted(block, &source.origin.file, args.accept_tainted)?;
    let options = options(&args, block);
    let job = Job::distil(block, &source.origin, &options)?;
    for warning in &job.warnings {
        terminal.warn(warning);
    }
    output::write_all(&args.output, JOB_SCHEMA, global.overwrite(), job.text().as_bytes())?;
    let Some(proof) = proof else { return Ok(()) };
    let distilled = proof.distilled(&job, &args.output);
    proof.ground.clean();
    let card = proof.card(&source.blocks, &distilled?, proved(&args, &source, &proof)?);
    proof.show(&card, &args.output, global)
}

/// What the input did, as far as it says so or a proof makes it say so.
fn source(args: &Args, proof: Option<&Proof<'_>>, global: Global) -> Result<Source> {
    let job_file = match output::is_standard(&args.output) {
        true => "job.fio".to_owned(),
        false => args.output.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    if Kind::of(&args.input)? == Kind::Trace {
        let reader = TraceReader::open(&args.input)?;
        let file = args.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (schema, sha256) = (TRACE_SCHEMA.to_owned(), reader.sha256().to_owned());
        let origin = Origin { file, schema, sha256, facts: Vec::new(), job_file };
        return Ok(match proof {
            Some(proof) => {
                drop(reader);
                Source { blocks: proof.originals(&args.input, &args.replay, global)?, origin, ran: true }
            }
            None => {
                let config = args.replay.config(&args.input, Path::new("."), global);
                let io_size = config.io_size_bytes;
                let splitting = Splitting { io_size, bytes_in_flight: logical::BYTES_IN_FLIGHT.max(io_size) };
                Source { blocks: vec![logical::of_rows(reader, splitting)?], origin, ran: false }
            }
        });
    }
    let input = Input::read(&args.input)?;
    let (block, schema, facts) = match input.result()? {
        Saved::Block(block) => (*block, BLOCK_SCHEMA, Vec::new()),
        Saved::Replay(replay) => {
            let facts = replay_facts(&replay);
            (captured(*replay, &input.name)?, REPLAY_SCHEMA, facts)
        }
    };
    let origin = Origin { file: input.name, schema: schema.to_owned(), sha256: input.sha256, facts, job_file };
    Ok(Source { blocks: vec![block], origin, ran: false })
}

fn options(args: &Args, block: &BlockResult) -> Options {
    let ioengine = match args.ioengine {
        Engine::IoUring => "io_uring",
        Engine::Libaio => "libaio",
    };
    let proved_ns = || (block.duration_s.clamp(PROOF_SECONDS.0, PROOF_SECONDS.1).round() * 1e9) as u64;
    let default_ns = if args.prove.prove { proved_ns() } else { RUNTIME_NS };
    Options {
        ioengine: ioengine.to_owned(),
        runtime_ns: args.runtime.map_or(default_ns, |runtime| runtime.0),
        size_bytes: args.size.map(|size| size.0),
    }
}

fn refuse_tainted(block: &BlockResult, file: &str, accept: bool) -> Result<()> {
    match block.taint_reasons.first() {
        Some(reason) if block.tainted && !accept => Err(Error::usage(format!(
            "{file}: the capture is tainted ({reason}), so a job made of it may be wrong; repeat the capture, or give \
             --accept-tainted"
        ))),
        _ => Ok(()),
    }
}

/// The two sides of a card.
fn proved(args: &Args, source: &Source, proof: &Proof<'_>) -> Result<[Proved; 2]> {
    let devices = |blocks: &[BlockResult]| -> Vec<String> {
        blocks.first().map_or_else(Vec::new, |block| block.devices.iter().map(|device| device.name.clone()).collect())
    };
    let job = Input::read(&args.output)?;
    let target = proof.ground.file();
    Ok([
        Proved {
            file: source.origin.file.clone(),
            sha256: source.origin.sha256.clone(),
            runs: if source.ran { args.prove.runs } else { 0 },
            command: source
                .ran
                .then(|| format!("kvtrace replay {} --capture --tier-2 {}", source.origin.file, proof.ground.target())),
            devices: devices(&source.blocks),
        },
        Proved {
            file: job.name.clone(),
            sha256: job.sha256,
            runs: args.prove.runs,
            command: Some(format!("{HUGE_PAGES} fio --filename={} {}", target.display(), job.name)),
            devices: devices(&source.blocks),
        },
    ])
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
