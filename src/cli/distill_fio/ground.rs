//! Where a proof takes place, and how something is run there under capture.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::fs::FlockOperation;

use crate::capture::{Capture, CaptureFilter, Target as Whose};
use crate::distill::Fio;
use crate::error::{Error, Result, plain};
use crate::measure::BlockResult;
use crate::replay::{Target, check_device, check_place};
use crate::stop::Stop;
use crate::units;

use super::child::{End, quiet, wait};
use super::issued::Report;
use super::task::{Due, Task};

/// The folder that a proof makes in a folder, and removes again.
const FOLDER: &str = "kvtrace-proof";
/// In it: what says whose it is and that somebody works there, what a replay uses, what fio uses.
const LOCK: &str = "kvtrace-proof.lock";
const REPLAY: &str = "replay";
const FILE: &str = "fio.data";

/// What fio says of every job with `bs_unaligned`, whose sizes are the source's and so no surprise.
const EXPECTED: &str = "bs_unaligned may not work with raw io";

/// A folder of the proof's own, or a block device that may lose what is on it.
#[derive(Debug)]
pub struct Ground {
    /// As it was typed.
    typed: PathBuf,
    /// Our folder, with its lock; none for a device.
    own: Option<(PathBuf, File)>,
}

impl Ground {
    /// A folder in `path`, or the device that it is, which must be among `destroys`.
    ///
    /// # Errors
    /// For what is not there, system folders, files, devices that are in use or were not named, and
    /// folders in which another proof is at work.
    pub fn of(path: &Path, destroys: &[PathBuf]) -> Result<Self> {
        let typed = path.to_owned();
        match fs::metadata(path) {
            Ok(facts) if facts.file_type().is_block_device() => {
                check_device(path, &format!("--target {}", path.display()), destroys)?;
                Ok(Self { typed, own: None })
            }
            Ok(facts) if !facts.is_dir() => Err(Error::usage(format!(
                "--target {} is a file; name a folder on the storage that is meant, or a block device",
                path.display()
            ))),
            Ok(_) => {
                check_place(path)?;
                Ok(Self { own: Some(own_folder(&path.join(FOLDER))?), typed })
            }
            Err(_) => Err(Error::usage(format!(
                "--target {}: there is no such folder or device; make the folder first",
                path.display()
            ))),
        }
    }

    /// What was typed.
    pub fn typed(&self) -> &Path {
        &self.typed
    }

    /// What fio works on.
    pub fn file(&self) -> PathBuf {
        self.own.as_ref().map_or_else(|| self.typed.clone(), |(folder, _)| folder.join(FILE))
    }

    /// What a replay works on.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn target(&self) -> Result<Target> {
        let Some((folder, _)) = &self.own else {
            return Ok(Target::Block { path: self.typed.clone(), size_bytes: None });
        };
        let folder = folder.join(REPLAY);
        fs::create_dir_all(&folder).map_err(|e| Error::writing(&folder, &e))?;
        Ok(Target::Dir(folder))
    }

    /// Removes what replays left: fio's file may need the room.
    pub fn end_replays(&self) {
        if let Some((folder, _)) = &self.own {
            // It may never have been made.
            let _ = fs::remove_dir_all(folder.join(REPLAY));
        }
    }

    /// Removes fio's file: a replay may need the room.
    pub fn make_room(&self) {
        if self.own.is_some() {
            // It may never have been made.
            let _ = fs::remove_file(self.file());
        }
    }

    /// Refuses a job whose file does not fit.
    ///
    /// # Errors
    /// What is needed, what there is, and the way out.
    pub fn check_room(&self, task: &Task) -> Result<()> {
        let bytes = task.size_bytes;
        let short = |have: u64, what: &str| {
            let smaller = match task.is_iolog {
                true => String::new(),
                false => format!(", or give the job a smaller file, e.g. --size {}MiB", (have / 2 / units::MIB).max(1)),
            };
            Err(Error::usage(format!(
                "the job works on {}, the source's working set, and --target {} has {}{what}; use a larger target{smaller}",
                units::bytes(bytes),
                self.typed.display(),
                units::bytes(have)
            )))
        };
        match &self.own {
            Some((folder, _)) => {
                let there = fs::metadata(self.file()).map_or(0, |facts| facts.len());
                let free = rustix::fs::statvfs(folder).map_or(u64::MAX, |facts| facts.f_bavail * facts.f_frsize);
                if bytes > free.saturating_add(there) { short(free, " free") } else { Ok(()) }
            }
            None => {
                let have = self.device_bytes()?.unwrap_or(u64::MAX);
                if bytes > have { short(have, "") } else { Ok(()) }
            }
        }
    }

    /// Writes what a job will work on, and other places, each an offset and a length, as far as
    /// they are on the device.
    ///
    /// # Errors
    /// When it does not fit, fio fails, or somebody asks to stop.
    pub fn fill(&self, fio: &Fio, task: &Task, others: &[(u64, u64)], stop: &Stop) -> Result<()> {
        self.check_room(task)?;
        for &(offset, length) in [(0, task.size_bytes)].iter().chain(others) {
            let mut command = fio.fill(&self.file(), offset, length);
            let child = quiet(&mut command).spawn().map_err(|e| cannot_run(&e))?;
            ended_well(child, stop, Due::of_writing(length))?;
        }
        Ok(())
    }

    /// Bytes of the device; none for a folder.
    ///
    /// # Errors
    /// When the device does not say.
    pub fn device_bytes(&self) -> Result<Option<u64>> {
        if self.own.is_some() {
            return Ok(None);
        }
        let end = File::open(&self.typed).and_then(|mut device| device.seek(SeekFrom::End(0)));
        end.map(Some).map_err(|e| Error::reading(&self.typed, &e))
    }

    /// What the kernel calls the device; none for a folder.
    pub fn device_name(&self) -> Option<String> {
        let real = self.own.is_none().then(|| fs::canonicalize(&self.typed).ok())??;
        Some(real.file_name()?.to_string_lossy().into_owned())
    }

    /// Has fio read a job without running it: what it refuses is found before anything takes long, and
    /// fio's own program is in memory when its I/O is counted.
    ///
    /// # Errors
    /// What fio says of the job.
    pub fn check_job(&self, fio: &Fio, task: &Task, stop: &Stop) -> Result<()> {
        let mut command = task.command(fio, &self.file());
        let child = quiet(command.arg("--parse-only")).spawn().map_err(|e| cannot_run(&e))?;
        ended_well(child, stop, Due::of_parsing()).map(|_| ())
    }

    /// Runs a job and says what the block layer did meanwhile, and what fio complained of, if it did.
    ///
    /// # Errors
    /// Those of a capture, and when fio fails, hangs, or somebody asks to stop.
    pub fn run(&self, fio: &Fio, task: &Task, stop: &Stop) -> Result<(BlockResult, Option<String>)> {
        let mut command = task.command(fio, &self.file());
        let mut capture = self.watch(&command)?;
        let report = Report::new()?;
        let to_report = report.writer()?;
        let child = capture.start_command(quiet(&mut command).stdout(to_report)).map_err(|e| cannot_run(&e))?;
        let complaint = ended_well(child, stop, task.due)?;
        let mut block = capture.finish()?;
        block.notes.extend(report.beside(&block, task.largest_bytes));
        Ok((block, complaint))
    }

    /// A capture of the device, whose target will be a command.
    ///
    /// # Errors
    /// When the device cannot be watched.
    pub fn watch(&self, command: &Command) -> Result<Capture> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        // A file in the folder or the folder itself, which is the same device.
        let place = self.own.as_ref().map_or(&self.typed, |(folder, _)| folder);
        Capture::start(&CaptureFilter {
            devices: vec![place.to_string_lossy().into_owned()],
            target: Whose::Command(words.map(|word| word.to_string_lossy().into_owned()).collect()),
            ..CaptureFilter::default()
        })
    }
}

impl Drop for Ground {
    /// Whatever became of the proof, nothing of it stays in a folder.
    fn drop(&mut self) {
        if let Some((folder, _)) = &self.own {
            // What cannot be removed is found by the next proof, which tries again.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// A folder that nobody else uses. One that a killed proof left is emptied first.
fn own_folder(path: &Path) -> Result<(PathBuf, File)> {
    let lock = path.join(LOCK);
    if fs::symlink_metadata(path).is_ok() {
        let strange = || {
            Error::usage(format!(
                "{} is there and no proof made it; remove it, or choose another --target",
                path.display()
            ))
        };
        let held = File::open(&lock).map_err(|_| strange())?;
        if rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::usage(format!(
                "another proof is at work in {}; wait for it, or choose another --target",
                path.display()
            )));
        }
        fs::remove_dir_all(path).map_err(|e| Error::writing(path, &e))?;
    }
    fs::create_dir(path).map_err(|e| Error::writing(path, &e))?;
    let held = File::create_new(&lock).map_err(|e| Error::writing(&lock, &e))?;
    // Whoever came between finds it locked.
    rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).map_err(|e| Error::writing(&lock, &e.into()))?;
    Ok((path.to_owned(), held))
}

fn cannot_run(error: &std::io::Error) -> Error {
    Error::unavailable(format!("cannot run fio: {}", plain(error)))
}

/// Waits for fio; ends it when somebody asks to stop or its time is up. Hands out what it complained of,
/// though it ended well.
fn ended_well(child: Child, stop: &Stop, due: Due) -> Result<Option<String>> {
    let mut first = None;
    let (end, said) = wait(child, stop, Some(due.limit()), |line| {
        if first.is_none() && !line.trim().is_empty() && !line.contains(EXPECTED) {
            first = Some(line.trim().to_owned());
        }
    })?;
    match end {
        End::Exited(status) if status.success() => Ok(first),
        End::Exited(status) => {
            let why = first.as_deref().unwrap_or("it does not say why");
            Err(Error::io(format!("fio failed ({status}): {why}")))
        }
        End::Stopped => Err(Error::interrupted("interrupted while fio ran")),
        End::Overdue(after, killed) => Err(due.missed(after, killed, said.last.as_deref())),
    }
}
