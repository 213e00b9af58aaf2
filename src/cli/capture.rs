//! `kvtrace capture`: what the block layer did for a command, a process tree or everybody.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::capture::phase::Listener;
use crate::capture::{Capture, CaptureFilter, Phases, Target, tree};
use crate::error::{Error, Kind, Result};
use crate::measure::BlockResult;
use crate::measure::block::BLOCK_SCHEMA;
use crate::output;
use crate::stop::Stop;
use crate::units::Time;

use super::Global;
use super::terminal::Terminal;

mod command;
mod table;

use command::Running;

/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(20);

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without --pid and COMMAND, everybody's I/O is the target; otherwise everybody else's on the \
                        same devices is kept apart. A COMMAND's exit code is passed on; 125 is a failure of \
                        kvtrace, 126 a COMMAND that cannot be run, 127 one that is not found.")]
pub struct Args {
    /// A device to watch: its name, or a file or folder on it; may be repeated [default: every disk]
    #[arg(long, value_name = "DEVICE")]
    dev: Vec<String>,
    /// A process whose tree is the target; may be repeated
    #[arg(long, value_name = "PID", conflicts_with = "command")]
    pid: Vec<u32>,
    /// Stop after this time [default: when COMMAND or the processes end, or on Ctrl-C]
    #[arg(long, value_name = "TIME")]
    duration: Option<Time>,
    /// Where the result goes (kvtrace.block/1); `-` is standard output
    #[arg(long, short, value_name = "BLOCK.json")]
    output: Option<PathBuf>,
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
    if let Some(path) = args.output.as_deref().filter(|path| !output::is_standard(path)) {
        output::check_replaceable(path, BLOCK_SCHEMA, global.overwrite())?;
    }
    let terminal = Terminal::new(global);
    let filter =
        CaptureFilter { devices: args.dev.clone(), target: target(args), requests: None, phases: Phases::Told };
    let mut capture = Capture::start(&filter)?;
    let listener = Listener::open().map_err(|why| terminal.warn(why.to_string())).ok();
    let child = command::start(&args.command, |command| capture.start_command(command))?;
    let (child, complete) = watch(args, child, stop, || {
        if let Some(listener) = &listener {
            listener.poll(|phase| capture.set_phase(phase));
        }
    });
    let mut result = capture.finish()?;
    result.complete = complete;
    let written = write(args, global, &terminal, &result);
    for reason in &result.taint_reasons {
        terminal.warn(reason);
    }
    let code = child.map(Running::wait).transpose()?;
    let place = written?;
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

fn target(args: &Args) -> Target {
    if !args.command.is_empty() {
        Target::Command(args.command.clone())
    } else if !args.pid.is_empty() {
        Target::Trees(args.pid.clone())
    } else {
        Target::Everything
    }
}

/// Waits for the end: of the command or the processes, of the time, or a signal, and calls `tick`
/// meanwhile. Says whether the capture came to the end that was asked for.
fn watch(args: &Args, mut child: Option<Running>, stop: &Stop, mut tick: impl FnMut()) -> (Option<Running>, bool) {
    let start = Instant::now();
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
        } else if !args.pid.is_empty() && !args.pid.iter().any(|pid| tree::is_running(*pid)) {
            return (child, true);
        }
        tick();
        std::thread::sleep(TICK);
    }
}

/// Writes the result and shows the table; says where the result is.
fn write(args: &Args, global: Global, terminal: &Terminal, result: &BlockResult) -> Result<String> {
    let json = output::to_json(result);
    terminal.say(table::of(result).trim_end());
    let mut place = "nothing was written (-o BLOCK.json keeps the result)".to_owned();
    if let Some(path) = &args.output {
        let path = if result.complete || output::is_standard(path) { path.clone() } else { output::partial_path(path) };
        output::write_all(&path, BLOCK_SCHEMA, global.overwrite(), &json)?;
        place = format!("the result is in {}", path.display());
    }
    if global.json && args.output.as_deref().is_none_or(|path| !output::is_standard(path)) {
        output::to_stdout(&json)?;
    }
    Ok(place)
}
