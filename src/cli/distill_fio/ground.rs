//! Where a proof takes place, and how something is run there under capture.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal};

use crate::capture::{Capture, CaptureFilter, Target as Whose};
use crate::distill::Fio;
use crate::error::{Error, Result, plain};
use crate::measure::BlockResult;
use crate::replay::{Target, check_device, check_place};
use crate::stop::Stop;
use crate::units;

use super::issued::Report;

/// The folder that a proof makes in a folder, and removes again.
const FOLDER: &str = "kvtrace-proof";
/// In it: what says whose it is and that somebody works there, what a replay uses, what fio uses.
const LOCK: &str = "kvtrace-proof.lock";
const REPLAY: &str = "replay";
const FILE: &str = "fio.data";
/// How often the end of a command is looked for.
const TICK: Duration = Duration::from_millis(20);
/// How long fio may take to end its jobs after it was asked to.
const PATIENCE: Duration = Duration::from_secs(3);

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

    /// Refuses a job whose file does not fit.
    ///
    /// # Errors
    /// What is needed, what there is, and the way out.
    pub fn check_room(&self, bytes: u64) -> Result<()> {
        let short = |have: u64, what: &str| {
            Err(Error::usage(format!(
                "the job works on {}, the source's working set, and --target {} has {}{what}; use a larger target, or \
                 give the job a smaller file, e.g. --size {}MiB",
                units::bytes(bytes),
                self.typed.display(),
                units::bytes(have),
                (have / 2 / units::MIB).max(1)
            )))
        };
        match &self.own {
            Some((folder, _)) => {
                let there = fs::metadata(self.file()).map_or(0, |facts| facts.len());
                let free = rustix::fs::statvfs(folder).map_or(u64::MAX, |facts| facts.f_bavail * facts.f_frsize);
                if bytes > free.saturating_add(there) { short(free, " free") } else { Ok(()) }
            }
            None => {
                let end = File::open(&self.typed).and_then(|mut device| device.seek(SeekFrom::End(0)));
                let have = end.map_err(|e| Error::reading(&self.typed, &e))?;
                if bytes > have { short(have, "") } else { Ok(()) }
            }
        }
    }

    /// Writes what a job of `bytes` will work on.
    ///
    /// # Errors
    /// When it does not fit, fio fails, or somebody asks to stop.
    pub fn fill(&self, fio: &Fio, bytes: u64, stop: &Stop) -> Result<()> {
        self.check_room(bytes)?;
        let child = quiet(&mut fio.fill(&self.file(), bytes)).spawn().map_err(|e| cannot_run(&e))?;
        ended_well(child, stop).map(|_| ())
    }

    /// Has fio read a job without running it: what it refuses is found before anything takes long, and
    /// fio's own program is in memory when its I/O is counted.
    ///
    /// # Errors
    /// What fio says of the job.
    pub fn check_job(&self, fio: &Fio, job: &Path, stop: &Stop) -> Result<()> {
        let mut command = fio.run(job, &self.file());
        ended_well(quiet(command.arg("--parse-only")).spawn().map_err(|e| cannot_run(&e))?, stop).map(|_| ())
    }

    /// Runs a job and says what the block layer did meanwhile, and what fio complained of, if it did.
    ///
    /// # Errors
    /// Those of a capture, and when fio fails or somebody asks to stop.
    pub fn run(&self, fio: &Fio, job: &Path, stop: &Stop) -> Result<(BlockResult, Option<String>)> {
        let mut command = fio.run(job, &self.file());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let filter = CaptureFilter {
            devices: vec![self.file().to_string_lossy().into_owned()],
            target: Whose::Command(words.map(|word| word.to_string_lossy().into_owned()).collect()),
            ..CaptureFilter::default()
        };
        let mut capture = Capture::start(&filter)?;
        let report = Report::new()?;
        let to_report = report.writer()?;
        let child = capture.start_command(quiet(&mut command).stdout(to_report)).map_err(|e| cannot_run(&e))?;
        let complaint = ended_well(child, stop)?;
        let mut block = capture.finish()?;
        block.notes.extend(report.beside(&block));
        Ok((block, complaint))
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

/// Without a terminal, and in a group of its own: a Ctrl-C reaches it through us alone.
fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0)
}

fn cannot_run(error: &std::io::Error) -> Error {
    Error::unavailable(format!("cannot run fio: {}", plain(error)))
}

/// Asks fio to end its jobs, which are processes of their own, and kills what does not.
fn end(child: &mut Child) {
    let Some(fio) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    // Each job is a session of its own, and one that hangs does not hear fio.
    let jobs = children(fio);
    // They may have ended in the meantime, which is as good.
    let _ = rustix::process::kill_process(fio, Signal::INT);
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(TICK);
    }
    for job in jobs.into_iter().filter(|job| is_fio(*job)) {
        let _ = rustix::process::kill_process(job, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The processes that fio started (proc_pid_task(5): CONFIG_PROC_CHILDREN).
fn children(fio: Pid) -> Vec<Pid> {
    let number = fio.as_raw_nonzero();
    let text = fs::read_to_string(format!("/proc/{number}/task/{number}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok().and_then(Pid::from_raw)).collect()
}

/// Whether a process is still what it was: its number may have gone to another one.
fn is_fio(job: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/comm", job.as_raw_nonzero())).is_ok_and(|name| name.trim() == "fio")
}

/// Waits for fio; ends it when somebody asks to stop. Hands out what it complained of, though it ended
/// well.
fn ended_well(mut child: Child, stop: &Stop) -> Result<Option<String>> {
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
                end(&mut child);
                return Err(Error::interrupted("interrupted while fio ran"));
            }
            Ok(None) => std::thread::sleep(TICK),
            Err(e) => return Err(Error::io(format!("fio was lost: {}", plain(&e)))),
        }
    };
    let text = said.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let heard = |line: &&str| !line.trim().is_empty() && !line.contains(EXPECTED);
    let first = text.lines().find(heard).map(|line| line.trim().to_owned());
    if status.success() {
        return Ok(first);
    }
    let why = first.as_deref().unwrap_or("it does not say why");
    Err(Error::io(format!("fio failed ({status}): {why}")))
}
