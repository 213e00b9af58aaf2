//! The command that a capture starts: its start, its signals, its exit code.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::error::{Error, Kind, Result, plain};

/// The exit code of kvtrace's own failures beside a command.
pub const OURS: u8 = 125;
/// Of a command that is there and cannot be run.
const CANNOT_RUN: u8 = 126;
/// Of a command that is not there.
const NOT_FOUND: u8 = 127;

/// How long a command may take to react to the terminal's own Ctrl-C before it is told again.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command that runs, or has ended.
#[derive(Debug)]
pub struct Running {
    child: Child,
    ended: Option<ExitStatus>,
    /// When it was, or by the terminal should have been, interrupted.
    interrupted: Option<(Instant, bool)>,
}

/// Starts a command through `spawn`; none when no command was typed.
pub fn start(
    words: &[String],
    to_stderr: bool,
    spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
) -> Result<Option<Running>> {
    let Some((program, arguments)) = words.split_first() else { return Ok(None) };
    let mut command = Command::new(program);
    command.args(arguments);
    if to_stderr && let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() {
        command.stdout(stderr);
    }
    let child = spawn(&mut command).map_err(|error| {
        let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
        Error::new(Kind::Command(code), format!("cannot run `{program}`: {}", plain(&error)))
    })?;
    Ok(Some(Running { child, ended: None, interrupted: None }))
}

impl Running {
    /// Whether it has ended; does not wait.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.is_some()
    }

    /// Passes our SIGINT on, unless the terminal sent it to the command as well.
    pub fn interrupt(&mut self) {
        let told = !in_foreground();
        if told {
            self.signal();
        }
        self.interrupted = Some((Instant::now(), told));
    }

    /// Waits for the end; the exit code, which for a signal is 128 and its number.
    pub fn wait(mut self) -> Result<u8> {
        while !self.has_ended() {
            if let Some((since, false)) = self.interrupted
                && since.elapsed() > PATIENCE
            {
                self.signal();
                self.interrupted = Some((since, true));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let ended = self.ended.expect("the loop ends when it is there");
        let code = ended.code().or_else(|| ended.signal().map(|signal| 128 + signal)).unwrap_or(255);
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    fn signal(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended in the meantime, which is as good.
            let _ = rustix::process::kill_process(pid, Signal::INT);
        }
    }
}

/// Whether we are in the terminal's foreground group, whose Ctrl-C goes to the command too:
/// fields 5 (our group) and 8 (the terminal's) of proc_pid_stat(5).
fn in_foreground() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    matches!((fields.get(2), fields.get(5)), (Some(own), Some(terminal)) if own == terminal)
}
