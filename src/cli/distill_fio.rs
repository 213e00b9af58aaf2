//! `kvtrace distill-fio`: a fio job from a capture (ours or the text of bpftrace), from a replay that
//! was captured, or from a trace; with `--prove`, how like its source it behaves.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::capture::bpftrace;
use crate::distill::fio;
use crate::distill::job::JOB_SCHEMA;
use crate::distill::logical::{self, Splitting};
use crate::distill::machine::Machine;
use crate::distill::pace::span_ns;
use crate::distill::slices::{MOST_ASKED, Wanted};
use crate::distill::{Division, Job, Method, Options, Origin, Tuning};
use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::output;
use crate::stop::Stop;
use crate::trace::meta::TRACE_SCHEMA;
use crate::trace::{Input as Rows, TraceReader};
use crate::units::{self, Size, Time};

use super::Global;
use super::capture::from::Taken;
use super::capture::{events, from};
use super::replay::ReplayFlags;
use super::terminal::Terminal;

mod again;
mod card;
mod case;
mod check;
mod child;
mod command;
mod course;
mod exact;
mod ground;
mod issued;
mod kind;
mod limits;
mod notes;
mod prove;
mod task;
mod tune;
mod typed;

use again::Again;
use case::{Case, Original};
use course::Course;
use kind::Kind;
use prove::{Proof, ProveFlags};
use task::{Due, Task};

/// The shortest and the longest that a job of a proof runs unless it is said.
const PROOF_SECONDS: (f64, f64) = (5.0, 60.0);
/// How long a job runs unless something else is said.
const RUNTIME_NS: u64 = 30 * units::SECOND_NS;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A kvtrace.block/1 file, a kvtrace.replay/1 file with a capture, events, the text that the
    /// reference's bpftrace script printed (`-` is stdin), or a trace
    input: PathBuf,
    /// The job file (`-` is stdout)
    #[arg(long, short, value_name = "JOB")]
    output: PathBuf,
    /// fio's I/O engine [default: the source's own where its capture tells, else io_uring; with --method
    /// mlperf libaio, as the reference has it]
    #[arg(long, value_enum)]
    ioengine: Option<Engine>,
    /// How the capture becomes a job: ours, or as the MLPerf Storage KV cache benchmark's distiller
    /// does, to be compared with
    #[arg(long, value_enum, default_value = "kvtrace")]
    method: How,
    /// How long the job runs [default: 30s; with --prove as long as its source, 5s to 60s]
    #[arg(long)]
    runtime: Option<Time>,
    /// Size of the file that the job runs on, e.g. 10GiB [default: the source's working set]
    #[arg(long)]
    size: Option<Size>,
    /// Jobs for slices of the source's time, one after another: auto (where the load changes; from
    /// events, and from a replay's series), off, or how many (2 to 16, from events)
    #[arg(long, value_name = "auto|off|N", default_value = "auto", value_parser = slices)]
    slices: Wanted,
    /// Jobs for each phase (prefill, decode, evict) of a capture that tells them apart, beside each
    /// other
    #[arg(long, value_enum, value_name = "phase", conflicts_with = "slices")]
    by: Option<By>,
    /// Write every request as a fio iolog (version 3, fio 3.31 or later) beside the job, which replays
    /// it, times included; from events. fio keeps the times between requests: what is late stays late
    #[arg(long, conflicts_with_all = ["slices", "by", "method", "runtime", "size", "tune"])]
    exact: bool,
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

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    Kvtrace,
    Mlperf,
}

/// What jobs are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Phase,
}

fn slices(text: &str) -> Result<Wanted, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(Wanted::Auto),
        ("off", _) => Ok(Wanted::Off),
        (_, Ok(count @ 2..=MOST_ASKED)) => Ok(Wanted::Exactly(count)),
        _ => Err(format!("`{text}` is none of auto, off, 2 to {MOST_ASKED}")),
    }
}

/// A source: what it did, once or several times, and what is said of it.
struct Source {
    blocks: Vec<BlockResult>,
    origin: Origin,
    /// How it is divided.
    division: Division,
    /// What the job is compared with.
    original: Original,
    /// Why it did not run as often as it should.
    cut: Option<Error>,
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let terminal = Terminal::new(global);
    check::flags(&args, global)?;
    let config = args.replay.config(&args.input, Path::new("."), global);
    let can_tune = !args.prove.tune && !args.exact && args.method == How::Kvtrace;
    let proof = Proof::of(&args.prove, &config.destroys, (can_tune, global.json), stop, &terminal)?;
    if args.exact {
        return exact::run(&args, &options(&args, &BlockResult::default()), proof.as_ref(), global, stop, &terminal);
    }
    let mut source = source(&args, proof.as_ref(), global, stop)?;
    if let (Some(proof), Some(cut)) = (&proof, source.cut.take()) {
        if source.blocks.is_empty() {
            return Err(Error::interrupted(format!(
                "{cut}: no run of the original had ended, so that there is no card"
            )));
        }
        let task = Task {
            file: args.output.clone(),
            is_iolog: false,
            huge_pages: false,
            largest_bytes: 0,
            size_bytes: 0,
            due: Due::of_parsing(),
        };
        return Err(case(proof, &source, task, global).partial(&[], None));
    }
    let block = source.blocks.first().ok_or_else(|| Error::usage("there is no run to distil"))?;
    // A proof says on its card what was lost in its own runs.
    if source.original != Original::Replay {
        refuse_tainted(block, &source.origin.file, args.accept_tainted)?;
    }
    let options = options(&args, block);
    let job = written(block, &source.division, &source.origin, &options, &args.output, global, &terminal)?;
    match proof {
        Some(proof) => {
            let task = Task::of(&job, &args.output, args.prove.grace());
            let mut case = case(&proof, &source, task, global);
            case.again = (source.original == Original::Replay).then(|| Again::of(&args));
            tune::prove(case, &source, &options, job)
        }
        None => {
            say_fio(fio::OLDEST, &terminal);
            if global.json {
                output::to_stdout(&output::to_json(&Machine::of(&job, &source.origin, options.method)))?;
            }
            Ok(())
        }
    }
}

/// What is proved.
fn case<'a>(proof: &'a Proof<'a>, source: &'a Source, task: Task, global: Global) -> Case<'a> {
    let originals = if source.original == Original::Command { Vec::new() } else { source.blocks.clone() };
    Case {
        proof,
        origin: &source.origin,
        original: source.original,
        recorded: source.blocks.first().filter(|_| source.original != Original::Replay),
        originals,
        task,
        journal: 0,
        filled_elsewhere: false,
        again: None,
        global,
    }
}

/// That this machine's fio is too old for what was written. It is written for a newer one all the
/// same: what an older one does not know cannot be left out without bending the job.
fn say_fio(oldest: (u32, u32), terminal: &Terminal) {
    let (major, minor) = oldest;
    match fio::here() {
        None => terminal.say(format!("fio is not installed here; the job needs fio {major}.{minor} or later")),
        Some((version, Some(number))) if number < oldest => terminal.warn(format!(
            "{version} on this machine is older than fio {major}.{minor}, which knows every option of the job; nothing is \
             left out of it, so run it with a newer one"
        )),
        Some(_) => {}
    }
}

/// What the input did, as far as it says so or a proof makes it say so.
fn source(args: &Args, proof: Option<&Proof<'_>>, global: Global, stop: &Stop) -> Result<Source> {
    if Kind::of(&args.input)? == Kind::Trace {
        let reader = TraceReader::open(&args.input)?;
        let file = args.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (schema, sha256) = (TRACE_SCHEMA.to_owned(), reader.sha256().to_owned());
        let again = Again::of(args);
        let facts = proof.and_then(|_| again.about()).into_iter().collect();
        let origin = Origin { file, schema, sha256, facts, job_file: job_name(&args.output) };
        return Ok(match proof {
            Some(proof) => {
                drop(reader);
                let ran = proof.originals(again, 1..=1, global)?;
                let division = if args.by.is_some() { Division::Phases } else { Division::Whole };
                Source { blocks: ran.blocks, origin, division, original: Original::Replay, cut: ran.cut }
            }
            None => {
                refuse_division(args)?;
                let config = args.replay.config(&args.input, Path::new("."), global);
                let io_size = config.io_size_bytes;
                let splitting = Splitting { io_size, bytes_in_flight: logical::BYTES_IN_FLIGHT.max(io_size) };
                let blocks = vec![logical::of_rows(reader, splitting)?];
                Source { blocks, origin, division: Division::Whole, original: Original::Recording, cut: None }
            }
        });
    }
    let (taken, division) = taken(args, stop)?;
    if let Some(cut) = taken.cut {
        return Err(Error::usage(format!(
            "{}, {cut}; `kvtrace capture --from {} -o BLOCK.json` keeps what came before it",
            taken.name,
            args.input.display()
        )));
    }
    let origin = Origin {
        file: taken.name,
        schema: taken.schema,
        sha256: taken.sha256,
        facts: taken.facts,
        job_file: job_name(&args.output),
    };
    let original = if args.prove.command.is_empty() { Original::Recording } else { Original::Command };
    Ok(Source { blocks: vec![taken.result], origin, division, original, cut: None })
}

/// A trace alone has no time at a device and no phases there.
fn refuse_division(args: &Args) -> Result<()> {
    if args.by.is_none() && !matches!(args.slices, Wanted::Exactly(_)) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{} is a trace: what a device did at which time, and in which phase, is known after `kvtrace replay {} --capture \
         --events EVENTS.parquet`; distil that",
        args.input.display(),
        args.input.display()
    )))
}

/// A capture, and how it is divided.
fn taken(args: &Args, stop: &Stop) -> Result<(Taken, Division)> {
    if args.by.is_some() || args.method == How::Mlperf {
        let division = if args.by.is_some() { Division::Phases } else { Division::Whole };
        return Ok((from::read(&args.input, stop)?, division));
    }
    if Kind::of(&args.input)? != Kind::Events || args.slices == Wanted::Off {
        let taken = from::read(&args.input, stop)?;
        let division = match &taken.series {
            Some(series) => course::of_series(series, &taken.result, args.slices),
            None if matches!(args.slices, Wanted::Exactly(_)) => {
                return Err(Error::usage(format!(
                    "{} keeps no order in time, so --slices has nothing to cut; capture with --events FILE.parquet and \
                     distil that",
                    taken.name
                )));
            }
            None => Division::Whole,
        };
        if let (Division::Slices { cuts, .. }, Wanted::Exactly(_)) = (&division, args.slices)
            && cuts.slices.len() < 2
        {
            return Err(Error::usage(format!(
                "{}: --slices has nothing to cut ({}); capture with --events FILE.parquet and distil that",
                taken.name, cuts.why
            )));
        }
        return Ok((taken, division));
    }
    let input = Rows::open(&args.input)?;
    let (result, course) = Course::read(&input, stop)?;
    let division = course.divided(&result, args.slices);
    Ok((events::taken(&input, result), division))
}

fn options(args: &Args, block: &BlockResult) -> Options {
    let ioengine = match (args.ioengine, args.method) {
        (Some(Engine::IoUring), _) | (None, How::Kvtrace) => "io_uring",
        (Some(Engine::Libaio), _) | (None, How::Mlperf) => "libaio",
    };
    let proved_ns = || {
        let seconds = span_ns(block).map_or(block.duration_s, |ns| Some(ns / 1e9)).unwrap_or(PROOF_SECONDS.0);
        (seconds.clamp(PROOF_SECONDS.0, PROOF_SECONDS.1).round() * 1e9) as u64
    };
    let default_ns = if args.prove.prove { proved_ns() } else { RUNTIME_NS };
    Options {
        ioengine: ioengine.to_owned(),
        engine_asked: args.ioengine.is_some(),
        runtime_ns: args.runtime.map_or(default_ns, |runtime| runtime.0),
        size_bytes: args.size.map(|size| size.0),
        method: match args.method {
            How::Kvtrace => Method::Kvtrace,
            How::Mlperf => Method::Mlperf,
        },
        tuning: Tuning::default(),
        fio: fio::here().and_then(|(_, number)| number),
    }
}

/// Requests of which something was not seen, of all, from which on a job would be another one. Below
/// that the job says what was lost and is made.
const LOST: f64 = 0.005;

/// Whether so much was lost that it changes the job. What is no count of requests always does.
fn lost_too_much(block: &BlockResult) -> bool {
    let requests: u64 = block.histograms.iter().filter(|h| h.name == "size").map(|h| h.count).sum();
    let lost = |cause: &str| block.loss.get(cause).copied().unwrap_or(0);
    let counted: u64 = SHARES.iter().map(|cause| lost(cause)).sum();
    let others = block.taint_reasons.iter().any(|reason| !SHARES.iter().any(|cause| reason.starts_with(cause)));
    others || counted as f64 > LOST * requests as f64
}

/// Causes of taint that are counts of requests.
const SHARES: [&str; 4] = ["lost_complete", "nomatch_later", "left_inflight", "recursion_misses"];

/// Refuses what lost so much that its job would be another one. Of the text of bpftrace nobody knows
/// what it lost, and its job says so.
///
/// # Errors
/// The loss and the way out.
pub fn refuse_tainted(block: &BlockResult, file: &str, accept: bool) -> Result<()> {
    match block.taint_reasons.first() {
        Some(reason) if block.tainted && !accept && block.source != bpftrace::SOURCE && lost_too_much(block) => {
            Err(Error::usage(format!(
                "{file}: the capture is tainted ({reason}), so a job made of it may be wrong; repeat the capture, or give \
             `kvtrace distill-fio` --accept-tainted"
            )))
        }
        _ => Ok(()),
    }
}

/// The name that a job gets.
fn job_name(output: &Path) -> String {
    match output::is_standard(output) {
        true => "job.fio".to_owned(),
        false => output.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// Distils a job and writes it to `output`, whose name it gets.
pub fn write(
    block: &BlockResult,
    mut origin: Origin,
    options: &Options,
    output: &Path,
    global: Global,
    terminal: &Terminal,
) -> Result<Job> {
    origin.job_file = job_name(output);
    written(block, &Division::Whole, &origin, options, output, global, terminal)
}

fn written(
    block: &BlockResult,
    division: &Division,
    origin: &Origin,
    options: &Options,
    output: &Path,
    global: Global,
    terminal: &Terminal,
) -> Result<Job> {
    let job = Job::divided(block, division, origin, options)?;
    for warning in &job.warnings {
        terminal.warn(warning);
    }
    output::write_all(output, JOB_SCHEMA, global.overwrite(), job.text().as_bytes())?;
    Ok(job)
}
