//! `kvtrace capture`: what the block layer did for a command, a process tree or everybody.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::capture::phase::Listener;
use crate::capture::{CaptureFilter, EventsTo, Phases, ProbeKind, Target, cgroup, tree};
use crate::checksum;
use crate::distill::job::JOB_SCHEMA;
use crate::distill::{Options, Origin};
use crate::error::{Error, Kind, Result};
use crate::measure::BlockResult;
use crate::measure::block::BLOCK_SCHEMA;
use crate::output;
use crate::stop::Stop;
use crate::units::Time;

use super::terminal::Terminal;
use super::{Global, distill_fio};

mod command;
mod counters;
pub mod events;
pub mod from;
mod live;
mod row;
mod status;
mod table;
mod watch;
mod watcher;

use command::Running;
use events::EventFlags;
use live::Live;
use watcher::Watcher;

/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(20);

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --pid, --cgroup and COMMAND, everybody's I/O is the target; otherwise everybody else's on the \
                        same devices is kept apart. A COMMAND's exit code is passed on; 125 is a failure of \
                        kvtrace, 126 a COMMAND that cannot be run, 127 one that is not found."
)]
pub struct Args {
    /// A device to watch: its name, or a file or folder on it; may be repeated [default: every disk]
    #[arg(long, value_name = "DEVICE")]
    dev: Vec<String>,
    /// A process whose tree is the target; may be repeated
    #[arg(long, value_name = "PID", conflicts_with = "command")]
    pid: Vec<u32>,
    /// A cgroup (version 2) whose tasks are the target, with --pid both: its folder, or as in
    /// /proc/PID/cgroup; may be repeated
    #[arg(long, value_name = "PATH", conflicts_with = "command")]
    cgroup: Vec<String>,
    /// Watch system calls too [default: where a process, a cgroup or a COMMAND is the target]
    #[arg(long, overrides_with = "no_syscalls")]
    syscalls: bool,
    /// Watch no system calls: every one on the machine costs some 50 ns less
    #[arg(long, overrides_with = "syscalls")]
    no_syscalls: bool,
    /// Stop after this time [default: when COMMAND, the processes or the cgroups end, or on Ctrl-C]
    #[arg(long, value_name = "TIME")]
    duration: Option<Time>,
    /// Take the result from what somebody else captured: the text that the reference's bpftrace
    /// script printed, events, or a saved result (`-` is stdin, not for events)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["events", "events_buffer", "dev", "pid", "cgroup", "syscalls", "no_syscalls", "duration", "watch", "fallback", "command"])]
    from: Option<PathBuf>,
    /// Show the whole table while it grows, in place on a terminal, one after the other elsewhere
    #[arg(long)]
    watch: bool,
    /// How often --watch shows it
    #[arg(long, value_name = "TIME", default_value = "1s", requires = "watch")]
    interval: Time,
    /// Distil a fio job at the end, as `kvtrace distill-fio` does from the result
    #[arg(long, value_name = "JOB.fio")]
    fio: Option<PathBuf>,
    #[command(flatten)]
    events: EventFlags,
    /// Where the result goes (kvtrace.block/1); `-` is standard output
    #[arg(long, short, value_name = "BLOCK.json")]
    output: Option<PathBuf>,
    /// Without the rights for eBPF, read the kernel's counters every 100 ms: no quantiles
    #[arg(long)]
    fallback: bool,
    /// Which programs watch: auto, tp_btf or raw_tp
    #[arg(long, value_name = "KIND", value_parser = probe_kind, default_value = "auto", hide = true)]
    probes: ProbeKind,
    /// A command to start and watch, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let of_command = !args.command.is_empty();
    let ended = capture(&args, global, stop);
    match ended {
        // As with `env` and `timeout`: whatever is not the command's own code is 125.
        Err(error) if of_command && !matches!(error.kind(), Kind::Command(_) | Kind::Interrupted) => {
            Err(Error::new(Kind::Command(command::OURS), error.to_string()))
        }
        ended => ended,
    }
}

fn capture(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check(args, global)?;
    let events = args.events.to(&[("-o", args.output.as_deref()), ("--fio", args.fio.as_deref())], global)?;
    let terminal = Terminal::new(global);
    if let Some(path) = &args.from {
        return take(args, global, &terminal, path, stop);
    }
    let mut capture = Watcher::start(&filter(args, events), args.fallback, args.fio.is_some(), &terminal)?;
    // Where standard output is the result, the command's own goes to standard error.
    let to_stderr = global.json || args.output.as_deref().is_some_and(output::is_standard);
    let child = command::start(&args.command, to_stderr, |command| capture.start_command(command))?;
    let mut live = Live::new(&terminal, capture.devices(), args.watch.then(|| Duration::from_nanos(args.interval.0)));
    let listener = Listener::open().map_err(|why| terminal.warn(why.to_string())).ok();
    let (child, complete) = watch(args, child, stop, || {
        if let Some(listener) = &listener {
            listener.poll(|phase| capture.set_phase(phase));
        }
        live.tick(|| capture.snapshot());
    });
    drop(live);
    let (mut result, recorded) = capture.finish()?;
    result.complete = complete;
    let written = write(args, global, &terminal, &result, None);
    let kept = written.and_then(|place| events::keep(recorded, &result, place));
    let code = child.map(Running::wait).transpose()?;
    let place = kept?;
    match (complete, code) {
        (false, _) => Err(Error::interrupted(format!("interrupted; {place}"))),
        (true, Some(code)) if code != 0 => {
            Err(Error::new(Kind::Command(code), format!("the command ended with exit code {code}; {place}")))
        }
        _ => {
            terminal.say(place);
            Ok(())
        }
    }
}

/// Refuses, before anything runs, what could not be written or shown at the end.
fn check(args: &Args, global: Global) -> Result<()> {
    for (path, schema) in [(&args.output, BLOCK_SCHEMA), (&args.fio, JOB_SCHEMA)] {
        if let Some(path) = path.as_deref().filter(|path| !output::is_standard(path)) {
            output::check_replaceable(path, schema, global.overwrite())?;
        }
    }
    if args.fio.is_some() && args.fio == args.output {
        return Err(Error::usage("-o and --fio name the same file; give the job another"));
    }
    if args.duration.is_some_and(|duration| duration.0 == 0) {
        return Err(Error::usage("--duration 0 watches nothing; give a time above 0, e.g. 10s"));
    }
    if args.watch && args.interval.0 == 0 {
        return Err(Error::usage("--interval 0 never waits; give a time above 0, e.g. 1s"));
    }
    Ok(())
}

/// Takes a result from a file instead of capturing one.
fn take(args: &Args, global: Global, terminal: &Terminal, path: &Path, stop: &Stop) -> Result<()> {
    let taken = from::read(path, stop)?;
    let origin = Origin {
        file: taken.name.clone(),
        schema: taken.schema,
        sha256: taken.sha256,
        facts: taken.facts,
        ..Origin::default()
    };
    let place = write(args, global, terminal, &taken.result, Some(origin))?;
    match taken.cut {
        Some(cut) => Err(Error::usage(format!("{}, {cut}; of what came before it, {place}", taken.name))),
        None => {
            terminal.say(place);
            Ok(())
        }
    }
}

fn filter(args: &Args, events: Option<EventsTo>) -> CaptureFilter {
    CaptureFilter {
        devices: args.dev.clone(),
        target: target(args),
        cgroups: args.cgroup.clone(),
        syscalls: args.syscalls.then_some(true).or(args.no_syscalls.then_some(false)),
        events,
        probes: args.probes,
        phases: Phases::Told,
        requests: None,
    }
}

fn probe_kind(typed: &str) -> std::result::Result<ProbeKind, String> {
    match typed {
        "auto" => Ok(ProbeKind::Auto),
        "tp_btf" => Ok(ProbeKind::TpBtf),
        "raw_tp" => Ok(ProbeKind::RawTp),
        _ => Err("it is one of auto, tp_btf, raw_tp".to_owned()),
    }
}

fn target(args: &Args) -> Target {
    if !args.command.is_empty() {
        Target::Command(args.command.clone())
    } else if !args.pid.is_empty() {
        Target::Trees(args.pid.clone())
    } else {
        Target::Everything
    }
}

/// Waits for the end: of the command or the processes, of the time, or a signal; `tick` runs
/// meanwhile. Says whether the capture came to the end that was asked for.
fn watch(args: &Args, mut child: Option<Running>, stop: &Stop, mut tick: impl FnMut()) -> (Option<Running>, bool) {
    let start = Instant::now();
    let has_target = !args.pid.is_empty() || !args.cgroup.is_empty();
    // A thread's id means its process.
    let pids: Vec<u32> = args.pid.iter().filter_map(|pid| tree::process_of(*pid).ok()).collect();
    let mut had_tasks = false;
    let duration = args.duration.map(|time| Duration::from_nanos(time.0));
    loop {
        if duration.is_some_and(|duration| start.elapsed() >= duration) {
            return (child, true);
        }
        if let Some(running) = &mut child {
            if running.has_ended() {
                return (child, true);
            }
            if stop.requested() {
                running.interrupt();
                return (child, false);
            }
        } else if stop.requested() {
            // Without another end, Ctrl-C is the end that was meant.
            return (child, duration.is_none());
        } else if has_target && !pids.iter().any(|pid| tree::is_running(*pid)) {
            let has_tasks = cgroup::any_is_populated(&args.cgroup);
            if had_tasks && !has_tasks || !cgroup::any_is_left(&args.cgroup) {
                return (child, true);
            }
            had_tasks |= has_tasks;
        }
        tick();
        std::thread::sleep(TICK);
    }
}

/// Writes the result and its job and shows the table; says where they are. `origin` is what the
/// result was made from, if not by this capture.
fn write(
    args: &Args,
    global: Global,
    terminal: &Terminal,
    result: &BlockResult,
    origin: Option<Origin>,
) -> Result<String> {
    let json = output::to_json(result);
    terminal.say(table::of(result).trim_end());
    let place_of = |path: &Path| {
        if result.complete || output::is_standard(path) { path.to_owned() } else { output::partial_path(path) }
    };
    let mut place = "nothing was written (-o BLOCK.json keeps the result)".to_owned();
    let mut origin = origin.unwrap_or_else(|| Origin {
        file: "a capture that was not kept".to_owned(),
        schema: BLOCK_SCHEMA.to_owned(),
        sha256: checksum::of(&json),
        ..Origin::default()
    });
    if let Some(path) = &args.output {
        let path = place_of(path);
        output::write_all(&path, BLOCK_SCHEMA, global.overwrite(), &json)?;
        place = format!("the result is in {}", path.display());
        if !output::is_standard(&path) {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            origin = Origin { file, schema: BLOCK_SCHEMA.to_owned(), sha256: checksum::of(&json), ..Origin::default() };
        }
    }
    if let Some(path) = &args.fio {
        let path = place_of(path);
        distill_fio::refuse_tainted(result, &origin.file, false)?;
        distill_fio::write(result, origin, &Options::default(), &path, global, terminal)?;
        place = format!("{place}, the job in {}", path.display());
    }
    if global.json && args.output.as_deref().is_none_or(|path| !output::is_standard(path)) {
        output::to_stdout(&json)?;
    }
    Ok(place)
}
