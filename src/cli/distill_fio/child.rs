//! A program that a proof starts: what it says, how it ends, and how it is ended.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::error::{Error, Result, plain};
use crate::stop::Stop;

/// How often the end of a program is looked for.
const TICK: Duration = Duration::from_millis(20);
/// How long it may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long its last words are waited for: a program that it left behind may hold its stderr.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How a program came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// Somebody asked to stop.
    Stopped,
    /// It took longer than it may: how long, and whether it had to be killed.
    Overdue(Duration, bool),
}

/// What a program said on its stderr: its first and its last line that are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub first: Option<String>,
    pub last: Option<String>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let line = line.trim();
        if !line.is_empty() {
            self.first.get_or_insert_with(|| line.to_owned());
            self.last = Some(line.to_owned());
        }
    }
}

/// Without a terminal, and in a group of its own: a Ctrl-C reaches it through us alone.
pub fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0)
}

/// Waits for the end of what [`quiet`] prepared, ends it when somebody asks to stop or its time is
/// up, and hands each line that it says to `hear`.
///
/// # Errors
/// When the system lost it.
pub fn wait(mut child: Child, stop: &Stop, limit: Option<Duration>, mut hear: impl FnMut(&str)) -> Result<(End, Said)> {
    let lines = child.stderr.take().map(lines_of);
    let mut said = Said::default();
    let began = Instant::now();
    let ended = loop {
        for line in lines.iter().flat_map(Receiver::try_iter) {
            said.hear(&line);
            hear(&line);
        }
        match child.try_wait() {
            Ok(Some(status)) => break End::Exited(status),
            Ok(None) if stop.requested() => {
                end(&mut child);
                break End::Stopped;
            }
            Ok(None) if limit.is_some_and(|limit| began.elapsed() >= limit) => {
                let took = began.elapsed();
                break End::Overdue(took, end(&mut child));
            }
            Ok(None) => std::thread::sleep(TICK),
            Err(e) => return Err(Error::io(format!("a program that was started was lost: {}", plain(&e)))),
        }
    };
    let until = Instant::now() + LAST_WORDS;
    while let Some(Ok(line)) = lines.as_ref().map(|l| l.recv_timeout(until.saturating_duration_since(Instant::now()))) {
        said.hear(&line);
        hear(&line);
    }
    Ok((ended, said))
}

/// The exit code, which for a signal is 128 and its number.
pub fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

fn lines_of(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
    receiver
}

/// Asks a program, its group and the jobs of a fio to end, and kills what does not; says whether
/// that was needed.
fn end(child: &mut Child) -> bool {
    let Some(leader) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return false };
    // Each job of fio is a session of its own, and one that hangs does not hear fio.
    let jobs = children(leader);
    // They may have ended in the meantime, which is as good.
    let _ = rustix::process::kill_process_group(leader, Signal::INT);
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(TICK);
    }
    let kill = matches!(child.try_wait(), Ok(None));
    for job in jobs.into_iter().filter(|job| is_fio(*job)) {
        let _ = rustix::process::kill_process(job, Signal::KILL);
    }
    let _ = rustix::process::kill_process_group(leader, Signal::KILL);
    let _ = child.wait();
    kill
}

/// The processes that a program started (proc_pid_task(5): CONFIG_PROC_CHILDREN).
fn children(leader: Pid) -> Vec<Pid> {
    let number = leader.as_raw_nonzero();
    let text = fs::read_to_string(format!("/proc/{number}/task/{number}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok().and_then(Pid::from_raw)).collect()
}

/// Whether a process is still what it was: its number may have gone to another one.
fn is_fio(job: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/comm", job.as_raw_nonzero())).is_ok_and(|name| name.trim() == "fio")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Option<Duration>) -> (End, Said, Vec<String>) {
        let mut heard = Vec::new();
        let child = quiet(Command::new("sh").args(["-c", script])).spawn().unwrap();
        let (end, said) = wait(child, &Stop::new(), limit, |line| heard.push(line.to_owned())).unwrap();
        (end, said, heard)
    }

    #[test]
    fn a_program_s_last_words_and_its_code_are_kept() {
        let (end, said, heard) = shell("echo one >&2; echo >&2; echo two >&2; exit 3", None);
        assert!(matches!(end, End::Exited(status) if code(status) == 3));
        assert_eq!((said.first.as_deref(), said.last.as_deref(), heard.len()), (Some("one"), Some("two"), 3));
        let (end, ..) = shell("kill -TERM $$", None);
        assert!(matches!(end, End::Exited(status) if code(status) == 143));
    }

    #[test]
    fn what_takes_too_long_is_asked_and_then_killed() {
        let limit = Some(Duration::from_millis(100));
        assert!(matches!(shell("exec env --default-signal=INT sleep 60", limit).0, End::Overdue(_, false)));
        let (end, said, _) = shell("trap '' INT; echo deaf >&2; while :; do sleep 1; done", limit);
        assert!(matches!(end, End::Overdue(_, true)), "{end:?}");
        assert_eq!(said.last.as_deref(), Some("deaf"));
    }
}
