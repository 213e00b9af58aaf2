//! Where a proof takes place, and how something is run there under capture.

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::capture::{Capture, CaptureFilter, Target as Whose};
use crate::distill::Fio;
use crate::error::{Error, Result, plain};
use crate::measure::BlockResult;
use crate::replay::{Target, check_device, check_place};
use crate::stop::Stop;

/// The file that fio works on, in a folder.
const FILE: &str = "kvtrace-fio.data";
/// How often the end of a command is looked for.
const TICK: Duration = Duration::from_millis(20);

/// A folder, or a block device that may lose what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Files in it.
    Folder(PathBuf),
    /// The device itself.
    Device(PathBuf),
}

impl Ground {
    /// A folder, or a device that must be among `destroys`.
    ///
    /// # Errors
    /// For what is not there, system folders, files, and devices that are in use or were not named.
    pub fn of(path: &Path, destroys: &[PathBuf]) -> Result<Self> {
        match fs::metadata(path) {
            Ok(facts) if facts.file_type().is_block_device() => {
                check_device(path, &format!("--target {}", path.display()), destroys)?;
                Ok(Self::Device(path.to_owned()))
            }
            Ok(facts) if !facts.is_dir() => Err(Error::usage(format!(
                "--target {} is a file; name a folder on the storage that is meant, or a block device",
                path.display()
            ))),
            Ok(_) => {
                check_place(path)?;
                Ok(Self::Folder(path.to_owned()))
            }
            Err(_) => Err(Error::usage(format!(
                "--target {}: there is no such folder or device; make the folder first",
                path.display()
            ))),
        }
    }

    /// What fio works on.
    pub fn file(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(FILE),
            Self::Device(device) => device.clone(),
        }
    }

    /// What a replay calls it.
    pub fn target(&self) -> Target {
        match self {
            Self::Folder(folder) => Target::Dir(folder.clone()),
            Self::Device(device) => Target::Block { path: device.clone(), size_bytes: None },
        }
    }

    /// Writes what a job of `bytes` will work on.
    ///
    /// # Errors
    /// When it does not fit, or fio fails.
    pub fn fill(&self, fio: &Fio, bytes: u64, stop: &Stop) -> Result<()> {
        if let Self::Folder(folder) = self {
            let there = fs::metadata(self.file()).map_or(0, |facts| facts.len());
            let free = rustix::fs::statvfs(folder).map_or(u64::MAX, |facts| facts.f_bavail * facts.f_frsize);
            if bytes > free.saturating_add(there) {
                return Err(Error::io(format!(
                    "the job works on {} and {} has {} free; make room, or give a smaller --size",
                    crate::units::bytes(bytes),
                    folder.display(),
                    crate::units::bytes(free)
                )));
            }
        }
        let child = quiet(&mut fio.fill(&self.file(), bytes)).spawn().map_err(|e| cannot_run(&e))?;
        ended_well(child, stop)
    }

    /// Runs a job and says what the block layer did meanwhile.
    ///
    /// # Errors
    /// Those of a capture, and when fio fails or somebody asks to stop.
    pub fn run(&self, fio: &Fio, job: &Path, stop: &Stop) -> Result<BlockResult> {
        let mut command = fio.run(job, &self.file());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let filter = CaptureFilter {
            devices: vec![self.file().to_string_lossy().into_owned()],
            target: Whose::Command(words.map(|word| word.to_string_lossy().into_owned()).collect()),
            ..CaptureFilter::default()
        };
        let mut capture = Capture::start(&filter)?;
        let child = capture.start_command(quiet(&mut command)).map_err(|e| cannot_run(&e))?;
        ended_well(child, stop)?;
        capture.finish()
    }

    /// Removes what [`Ground::fill`] made in a folder.
    pub fn clean(&self) {
        if let Self::Folder(_) = self {
            // It may never have been made.
            let _ = fs::remove_file(self.file());
        }
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped())
}

fn cannot_run(error: &std::io::Error) -> Error {
    Error::unavailable(format!("cannot run fio: {}", plain(error)))
}

/// Waits for fio; ends it when somebody asks to stop.
fn ended_well(mut child: Child, stop: &Stop) -> Result<()> {
    let said = child.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut text = String::new();
            // What cannot be read is no reason to fail: the exit code says what happened.
            let _ = stderr.read_to_string(&mut text);
            text
        })
    });
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if stop.requested() => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::interrupted("interrupted while fio ran"));
            }
            Ok(None) => std::thread::sleep(TICK),
            Err(e) => return Err(Error::io(format!("fio was lost: {}", plain(&e)))),
        }
    };
    if status.success() {
        return Ok(());
    }
    let text = said.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let why = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why").trim();
    Err(Error::io(format!("fio failed ({status}): {why}")))
}
