//! `distill-fio --exact`: every request of events as a fio iolog, and the small job that replays it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Global;
use crate::cli::capture::from;
use crate::cli::terminal::Terminal;
use crate::distill::exact::{IOLOG_SCHEMA, Iolog, OLDEST, Survey, write};
use crate::distill::job::{JOB_SCHEMA, Origin};
use crate::distill::machine::Machine;
use crate::distill::section::Section;
use crate::distill::{Method, Options, fio};
use crate::error::{Error, Result};
use crate::measure::events::{Ahead, EVENTS_SCHEMA, Event, EventsMeta, EventsReader};
use crate::output::{self, Output};
use crate::stop::Stop;
use crate::trace::Input;
use crate::units;

use super::case::{Case, Original};
use super::kind::Kind;
use super::prove::Proof;
use super::task::{Due, Task};
use super::{Args, job_name, say_fio};

/// The span from which on it is said how long replays of it take, and beyond which none is proved.
const LONG_SPAN_NS: u64 = 120 * units::SECOND_NS;
const MOST_SPAN_NS: u64 = 6 * 3600 * units::SECOND_NS;
/// Rows between two looks at whether to stop.
const LOOK: u64 = 1 << 16;

/// The names of the job and of its iolog: `x.fio` and `x.iolog`, whichever was typed.
fn names(output: &Path) -> Result<(PathBuf, PathBuf)> {
    if output::is_standard(output) {
        return Err(Error::usage("--exact writes two files, a job and its iolog, so it needs a name: -o JOB.fio"));
    }
    let (job, iolog) = (output.with_extension("fio"), output.with_extension("iolog"));
    if file_name(&iolog).contains(':') {
        return Err(Error::usage(format!(
            "{}: a colon separates several iologs for fio; choose a name without one",
            output.display()
        )));
    }
    Ok((job, iolog))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Writes the iolog and its job.
///
/// # Errors
/// When the input holds no single requests, or lost some.
pub fn run(
    args: &Args,
    options: &Options,
    proof: Option<&Proof<'_>>,
    global: Global,
    stop: &Stop,
    terminal: &Terminal,
) -> Result<()> {
    let (job_path, iolog_path) = names(&args.output)?;
    if Kind::of(&args.input)? != Kind::Events {
        return Err(Error::usage(format!(
            "{} does not hold its requests one by one, which --exact replays; capture with --events FILE.parquet and give \
             that",
            args.input.display()
        )));
    }
    output::check_replaceable(&job_path, JOB_SCHEMA, global.overwrite())?;
    let paths = (job_path.as_path(), iolog_path.as_path());
    let (iolog, origin, sections, warnings) = written(args, &options.ioengine, paths, global, stop)?;
    warnings.iter().for_each(|warning| terminal.warn(warning));
    terminal.say(format!("{} and {}; replay them with", job_path.display(), iolog_path.display()));
    terminal.say(format!("  {}", Iolog::command(&origin.job_file)));
    if let Some(proof) = proof {
        return prove(args, proof, &iolog, &origin, job_path, global);
    }
    say_fio(OLDEST, terminal);
    terminal
        .say("fio keeps the times between requests, not their moments: what is late stays late (the job says more)");
    if global.json {
        let machine = Machine {
            schema: JOB_SCHEMA,
            tool: crate::TOOL,
            complete: true,
            source: &origin,
            method: Method::Kvtrace,
            command: Iolog::command(&origin.job_file),
            size_bytes: iolog.size_bytes,
            warnings: &warnings,
            directions: &[],
            pace: None,
            sections: &sections,
            iolog: Some(iolog),
        };
        output::to_stdout(&output::to_json(&machine))?;
    }
    Ok(())
}

/// Writes both files. Hands out what the iolog holds, and the job's parts and warnings.
fn written(
    args: &Args,
    ioengine: &str,
    (job_path, iolog_path): (&Path, &Path),
    global: Global,
    stop: &Stop,
) -> Result<(Iolog, Origin, Vec<Section>, Vec<String>)> {
    let input = Input::open(&args.input)?;
    let rows = EventsReader::of(&input)?;
    let meta = rows.meta().clone();
    refuse_lossy(&meta, &input.name, args.accept_tainted)?;
    let mut survey = Survey::default();
    for row in watched(rows, stop) {
        survey.see(&row?);
    }
    let mut out = Output::create(iolog_path, IOLOG_SCHEMA, global.overwrite())?;
    let rows = watched(EventsReader::of(&input)?, stop);
    let iolog = write(rows, &survey, &mut out, |e| Error::writing(iolog_path, e))?;
    if iolog.requests() == 0 {
        return Err(Error::usage(format!(
            "{}: the events hold no read and no write of the target, so there is nothing to replay; check the capture's \
             --dev and process filter",
            input.name
        )));
    }
    out.finish()?;
    let origin = Origin {
        file: input.file_name().unwrap_or_else(|| input.name.clone()),
        schema: EVENTS_SCHEMA.to_owned(),
        sha256: input.sha256.clone(),
        facts: Vec::new(),
        job_file: job_name(job_path),
    };
    let sections = iolog.sections(&file_name(iolog_path), ioengine);
    let mut warnings = losses(&meta);
    warnings.extend(iolog.warnings());
    let text = iolog.job(&origin, &file_name(iolog_path), &sections, &captured(&meta));
    output::write_all(job_path, JOB_SCHEMA, global.overwrite(), text.as_bytes())?;
    Ok((iolog, origin, sections, warnings))
}

/// Replays the iolog under capture, and shows the card.
fn prove(
    args: &Args,
    proof: &Proof<'_>,
    iolog: &Iolog,
    origin: &Origin,
    job_path: PathBuf,
    global: Global,
) -> Result<()> {
    if let Some((version, Some(number))) = fio::here().filter(|(_, number)| number.is_some_and(|n| n < OLDEST)) {
        return Err(Error::unavailable(format!(
            "{version} does not read version 3 of an iolog ({}.{} is older than {}.{}); install a newer one",
            number.0, number.1, OLDEST.0, OLDEST.1
        )));
    }
    say_long(iolog, args, proof)?;
    let recorded = from::read(&args.input, proof.stop)?.result;
    let original = if args.prove.command.is_empty() { Original::Recording } else { Original::Command };
    let span = Duration::from_nanos(iolog.span_ns);
    let due = Due::of_replay(span, iolog.read_bytes + iolog.write_bytes, args.prove.grace());
    // A device may end before a whole MiB does.
    let most = proof.ground.device_bytes()?.filter(|end| *end >= iolog.size_bytes).unwrap_or(u64::MAX);
    let size_bytes = iolog.size_bytes.next_multiple_of(units::MIB).min(most);
    let mut case = Case {
        proof,
        origin,
        original,
        recorded: Some(&recorded),
        originals: if original == Original::Command { Vec::new() } else { vec![recorded.clone()] },
        task: Task { file: job_path, is_iolog: true, huge_pages: true, largest_bytes: 0, size_bytes, due },
        journal: 0,
        filled_elsewhere: false,
        again: None,
        global,
    };
    let runs = case.first()?;
    let card = case.card(&runs, None, true);
    proof.show(&card, &case.task.file, global)
}

/// Says how long replays take, which `--runtime` does not change, and refuses what nobody waits for.
fn say_long(iolog: &Iolog, args: &Args, proof: &Proof<'_>) -> Result<()> {
    let span = units::ns(iolog.span_ns as f64);
    if iolog.span_ns > MOST_SPAN_NS {
        return Err(Error::usage(format!(
            "{}: its requests are {span} apart from first to last, and a replay of an iolog takes as long; prove a job \
             without --exact, which has a --runtime, or capture a shorter part",
            args.input.display()
        )));
    }
    if iolog.span_ns > LONG_SPAN_NS {
        let (runs, terminal) = (args.prove.runs, proof.terminal);
        terminal.warn(format!("each of {runs} replays takes {span}, as long as the source"));
    }
    Ok(())
}

/// Rows, until somebody asks to stop.
fn watched<'a>(rows: EventsReader, stop: &'a Stop) -> impl Iterator<Item = Result<Event>> + 'a {
    let mut seen = 0u64;
    Ahead::of(rows).map(move |row| {
        seen += 1;
        if seen.is_multiple_of(LOOK) && stop.requested() {
            return Err(Error::interrupted("interrupted; nothing was written"));
        }
        row
    })
}

fn captured(meta: &EventsMeta) -> Vec<String> {
    let devices: Vec<&str> = meta.devices.iter().map(|device| device.name.as_str()).collect();
    let during = meta.duration_s.map_or_else(String::new, |seconds| format!("{seconds:.1} s "));
    vec![format!("Captured: {during}on {} by {}", devices.join(", "), meta.source)]
}

fn losses(meta: &EventsMeta) -> Vec<String> {
    let mut all = Vec::new();
    if !meta.complete {
        all.push("the capture was interrupted; the iolog holds the part that was seen".to_owned());
    }
    if meta.ring_drop > 0 {
        all.push(format!("{} requests are missing: the capture's buffer was full", meta.ring_drop));
    }
    all.extend(meta.taint_reasons.iter().map(|reason| format!("the capture is tainted: {reason}")));
    all
}

/// Refuses events of which some are missing: what is left is not exact.
fn refuse_lossy(meta: &EventsMeta, file: &str, accept: bool) -> Result<()> {
    let lossy = meta.ring_drop > 0 || !meta.taint_reasons.is_empty();
    if accept || !lossy {
        return Ok(());
    }
    let why = losses(meta).pop().unwrap_or_default();
    Err(Error::usage(format!(
        "{file}: {why}, so an iolog of it is not exact; repeat the capture (a larger --events-buffer), or give \
         --accept-tainted"
    )))
}
