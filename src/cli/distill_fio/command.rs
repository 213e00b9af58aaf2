//! The original that a proof runs again: a command, under the same capture as its job.

use std::env;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Access, access};

use crate::cli::terminal::Terminal;
use crate::distill::header::quoted;
use crate::error::{Error, Result, plain};
use crate::measure::BlockResult;
use crate::stop::Stop;

use super::child::{End, code, quiet, wait};
use super::ground::Ground;

/// A command as a shell takes it.
pub fn shown(words: &[String]) -> String {
    let word = |word: &String| match word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
        // An option is one to the command too.
        Some(rest) if quoted(rest.trim_start_matches('-')) == rest.trim_start_matches('-') => word.clone(),
        _ => quoted(word),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Looks for the program of a command, before anything is written for its runs.
///
/// # Errors
/// When it is nowhere, or is no program.
pub fn look_up(words: &[String]) -> Result<()> {
    let Some(program) = words.first() else { return Ok(()) };
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    let (found, where_) = match program.contains('/') {
        true => (runs(Path::new(program)), "is no program that can be run"),
        false => {
            let path = env::var_os("PATH").unwrap_or_default();
            (env::split_paths(&path).any(|folder| runs(&folder.join(program))), "is not in any folder of PATH")
        }
    };
    if found {
        return Ok(());
    }
    Err(Error::usage(format!("cannot run `{program}`, the original after --: it {where_}")))
}

/// Runs a command and says what the block layer of the target did for it. What it says on stderr is
/// said; its standard output goes there too where ours is for the card.
///
/// # Errors
/// When it cannot be started, fails, or moves nothing there, and when somebody asks to stop.
pub fn run(words: &[String], ground: &Ground, json: bool, stop: &Stop, terminal: &Terminal) -> Result<BlockResult> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::usage("there is no command after --"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let mut capture = ground.watch(&command)?;
    quiet(&mut command);
    let stdout =
        if json { io::stderr().as_fd().try_clone_to_owned() } else { io::stdout().as_fd().try_clone_to_owned() };
    if let Ok(stdout) = stdout {
        command.stdout(stdout);
    }
    let child = capture
        .start_command(&mut command)
        .map_err(|e| Error::usage(format!("cannot run `{program}`, the original after --: {}", plain(&e))))?;
    let (end, said) = wait(child, stop, None, |line| terminal.say(line))?;
    match end {
        End::Exited(status) if status.success() => {}
        End::Exited(status) => {
            let last =
                said.last.map_or_else(|| "it does not say why".to_owned(), |line| format!("its last words: {line}"));
            return Err(Error::io(format!(
                "the original, `{}`, ended with exit code {}; {last}",
                shown(words),
                code(status)
            )));
        }
        End::Stopped | End::Overdue(..) => return Err(Error::interrupted("interrupted while the original ran")),
    }
    let block = capture.finish()?;
    if block.histograms.iter().any(|histogram| histogram.name == "size" && histogram.count > 0) {
        return Ok(block);
    }
    Err(Error::usage(format!(
        "the original, `{}`, read and wrote nothing of {}; have it work on that device, past the page cache or with more \
         than fits there",
        shown(words),
        ground.device_name().unwrap_or_else(|| format!("the device that holds {}", ground.typed().display()))
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_takes_it() {
        let words = ["sh", "-c", "dd if=a", "--", "-", "it's"].map(str::to_owned);
        assert_eq!(shown(&words), r"sh -c 'dd if=a' '--' '-' 'it'\''s'");
    }
}
