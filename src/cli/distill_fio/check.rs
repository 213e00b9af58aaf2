//! What makes no sense together is refused before anything runs.

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::cli::Global;
use crate::cli::replay::ReplayFlags;
use crate::distill::job::JOB_SCHEMA;
use crate::distill::slices::Wanted;
use crate::error::{Error, Result};
use crate::measure::fidelity::FIDELITY_SCHEMA;
use crate::output;

use super::kind::Kind;
use super::{Args, How, refuse_division};

/// No flags of a replay.
#[derive(Parser)]
struct Untouched {
    #[command(flatten)]
    replay: ReplayFlags,
}

/// Refuses flags that contradict each other or would have no effect.
///
/// # Errors
/// Which, and the way out.
pub fn flags(args: &Args, global: Global) -> Result<()> {
    let (proves, standard) = (args.prove.prove, output::is_standard(&args.output));
    let refuse = |why: &str| Err(Error::usage(why));
    if args.runtime.is_some_and(|runtime| runtime.0 == 0) {
        return refuse("--runtime 0 runs nothing; give a time above 0, e.g. 30s");
    }
    if proves && standard {
        return refuse("--prove runs the job, so it needs a file: -o JOB.fio");
    }
    if global.json && !proves && standard && !args.exact {
        return refuse("--json and -o - both write to standard output; give the job a file: -o JOB.fio");
    }
    if args.method == How::Mlperf {
        if args.prove.tune {
            return refuse(
                "--method mlperf is the reference's way as it is, so --tune has nothing to change; leave either out",
            );
        }
        if args.by.is_some() || matches!(args.slices, Wanted::Exactly(_)) {
            return refuse("--method mlperf knows one job for all of the time; leave --slices and --by out");
        }
    }
    places(args, global)?;
    let kind = Kind::of(&args.input)?;
    original(args, kind)?;
    if kind == Kind::Trace && matches!(args.slices, Wanted::Exactly(_)) {
        return refuse_division(args);
    }
    of_replay(args, kind, global)
}

/// Refuses a command after `--` that would not be run.
fn original(args: &Args, kind: Kind) -> Result<()> {
    if args.prove.command.is_empty() {
        return Ok(());
    }
    if !args.prove.prove {
        return Err(Error::usage(
            "a command after -- is the original that --prove runs again; add --prove --target PATH, or leave it out",
        ));
    }
    if kind == Kind::Trace {
        return Err(Error::usage(format!(
            "{} is a trace, and --prove replays a trace as the original; leave the command after -- out",
            args.input.display()
        )));
    }
    Ok(())
}

/// Refuses outputs that are the input or each other, and what could not be replaced at the end.
fn places(args: &Args, global: Global) -> Result<()> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let same = |a: &Path, b: &Path| !output::is_standard(a) && real(a) == real(b);
    if same(&args.output, &args.input) {
        return Err(Error::usage(format!("-o {} is the input; give the job its own file", args.output.display())));
    }
    if !args.prove.prove {
        return Ok(());
    }
    // An exact job gets its extension whatever was typed.
    let job = if args.exact { args.output.with_extension("fio") } else { args.output.clone() };
    let card: PathBuf = args.prove.card(&job);
    if output::is_standard(&card) {
        return Err(Error::usage("--card - is no file; --json prints the card on standard output"));
    }
    if same(&card, &args.input) || same(&card, &job) {
        return Err(Error::usage(format!(
            "--card {} is another file of this command; give the card its own",
            card.display()
        )));
    }
    output::check_replaceable(&card, FIDELITY_SCHEMA, global.overwrite())?;
    output::check_replaceable(&job, JOB_SCHEMA, global.overwrite())
}

/// Refuses flags of a replay where nothing is replayed. Of a trace alone `--io-size` splits the objects.
fn of_replay(args: &Args, kind: Kind, global: Global) -> Result<()> {
    let of = |flags: &ReplayFlags| flags.config(&args.input, Path::new("."), global);
    let (mut typed, Ok(untouched)) = (of(&args.replay), Untouched::try_parse_from(["kvtrace"])) else { return Ok(()) };
    if !typed.destroys.is_empty() && !args.prove.prove {
        return Err(Error::usage(
            "--i-know-this-destroys names the device of a proof; add --prove --target DEVICE, or leave it out",
        ));
    }
    if kind == Kind::Trace && args.prove.prove {
        if typed.hlog.is_some() {
            return Err(Error::usage("--hlog is for one replay, and a proof has several; leave it out"));
        }
        return Ok(());
    }
    let untouched = of(&untouched.replay);
    typed.destroys.clear();
    if kind == Kind::Trace {
        typed.io_size_bytes = untouched.io_size_bytes;
    }
    if format!("{typed:?}") == format!("{untouched:?}") {
        return Ok(());
    }
    let name = args.input.display();
    Err(Error::usage(match kind {
        Kind::Trace => format!(
            "{name} is only replayed with --prove; without it a trace takes --io-size alone of the flags of a replay"
        ),
        _ => format!("{name} is no trace, so nothing is replayed; leave the flags of a replay out"),
    }))
}
