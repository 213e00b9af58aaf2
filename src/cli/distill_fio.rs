//! `kvtrace distill-fio`: a fio job from a capture, ours or the text of bpftrace, or from a replay
//! that was captured.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::distill::job::JOB_SCHEMA;
use crate::distill::{Job, Options, Origin};
use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::output;
use crate::units::{Size, Time};

use super::Global;
use super::capture::from;
use super::terminal::Terminal;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A kvtrace.block/1 file, a kvtrace.replay/1 file with a capture, or the text that the
    /// reference's bpftrace script printed (`-` is stdin)
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
    let taken = from::read(&args.input)?;
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
        ..Origin::default()
    };
    let ioengine = match args.ioengine {
        Engine::IoUring => "io_uring",
        Engine::Libaio => "libaio",
    };
    let options =
        Options { ioengine: ioengine.to_owned(), runtime_ns: args.runtime.0, size_bytes: args.size.map(|size| size.0) };
    write(&taken.result, origin, &options, &args.output, global, &terminal)
}

/// Distils a job and writes it to `output`, whose name it gets.
pub fn write(
    block: &BlockResult,
    mut origin: Origin,
    options: &Options,
    output: &Path,
    global: Global,
    terminal: &Terminal,
) -> Result<()> {
    origin.job_file = match output::is_standard(output) {
        true => "job.fio".to_owned(),
        false => output.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let job = Job::distil(block, &origin, options)?;
    for warning in &job.warnings {
        terminal.warn(warning);
    }
    output::write_all(output, JOB_SCHEMA, global.overwrite(), job.text().as_bytes())
}
