//! fio, the program: whether it is there, and how it is called.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result, plain};

use super::job::HUGE_PAGES;

/// The oldest fio that knows every option of a job.
pub const OLDEST: (u32, u32) = (3, 28);

/// A fio that can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fio {
    /// As it names itself, e.g. `fio-3.33`.
    pub version: String,
}

/// What the fio on the search path calls itself, and its number where that is one; none where there
/// is no fio.
pub fn here() -> Option<(String, Option<(u32, u32)>)> {
    let said = Command::new("fio").arg("--version").stderr(Stdio::null()).output().ok()?;
    let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let number = number(&version);
    Some((version, number))
}

impl Fio {
    /// The one on the search path.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`] when there is none, or an older one than [`OLDEST`].
    pub fn find() -> Result<Self> {
        let said = Command::new("fio").arg("--version").stderr(Stdio::null()).output().map_err(|e| {
            Error::unavailable(format!("fio cannot be run ({}); install it, e.g. apt-get install fio", plain(&e)))
        })?;
        let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        match number(&version) {
            Some(found) if found < OLDEST => Err(Error::unavailable(format!(
                "{version} is older than fio {}.{}, from which on all options of a job are known; install a newer one",
                OLDEST.0, OLDEST.1
            ))),
            _ => Ok(Self { version }),
        }
    }

    /// Writes a part of a file or device full of random data, so that reads find data and writes find
    /// space that was written before.
    pub fn fill(&self, target: &Path, offset: u64, bytes: u64) -> Command {
        let mut command = self.on(target);
        command.args(["--name=fill", "--rw=write", "--bs=1m", "--iodepth=16", "--direct=1", "--refill_buffers"]);
        command.args(["--ioengine=libaio", "--end_fsync=1", "--output-format=json"]).arg(format!("--size={bytes}"));
        command.arg(format!("--offset={offset}"));
        command
    }

    /// Runs a job file on a target, as the job's own header says.
    pub fn run(&self, job: &Path, target: &Path, huge_pages: bool) -> Command {
        let mut command = self.on(target);
        if !huge_pages {
            command.env_remove("GLIBC_TUNABLES");
        }
        command.arg("--output-format=json").arg(job);
        command
    }

    /// Replays the iolog of a job file on a target. fio looks for the iolog in the folder where it runs,
    /// which is the job's.
    pub fn replay(&self, job: &Path, target: &Path) -> Command {
        let mut command = Self::command();
        let target = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
        command.arg(format!("--replay_redirect={}", name(&target))).arg("--output-format=json");
        command.arg(job.file_name().unwrap_or_default());
        if let Some(folder) = job.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            command.current_dir(folder);
        }
        command
    }

    fn on(&self, target: &Path) -> Command {
        let mut command = Self::command();
        command.arg(format!("--filename={}", name(target)));
        command
    }

    fn command() -> Command {
        let mut command = Command::new("fio");
        if let Some((name, value)) = HUGE_PAGES.split_once('=') {
            command.env(name, value);
        }
        command
    }
}

/// A file as fio takes it: a colon separates several files in its `filename`.
fn name(target: &Path) -> String {
    target.display().to_string().replace(':', "\\:")
}

/// `fio-3.33` or `fio-3.36-25-gdeadbeef` as numbers.
fn number(version: &str) -> Option<(u32, u32)> {
    let rest = version.strip_prefix("fio-")?;
    let mut parts = rest.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(number("fio-3.33"), Some((3, 33)));
        assert_eq!(number("fio-3.36-25-g1a2b"), Some((3, 36)));
        assert_eq!(number("fio"), None);
        assert!(number("fio-3.9") < Some(OLDEST) && number("fio-4.0") > Some(OLDEST));
    }

    #[test]
    fn a_colon_in_a_name_is_no_separator() {
        let fio = Fio { version: String::new() };
        let command = fio.run(Path::new("job.fio"), Path::new("/mnt/a:b"), true);
        assert_eq!(command.get_args().next().unwrap(), "--filename=/mnt/a\\:b");
    }
}
