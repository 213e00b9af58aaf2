//! The two sides of a proof, and the card of them.

use std::path::{Path, PathBuf};

use crate::cli::Global;
use crate::distill::fidelity::compare;
use crate::distill::fidelity::like::without_journal;
use crate::distill::header::first_word;
use crate::distill::{Job, Origin};
use crate::error::{Error, Kind, Result};
use crate::measure::fidelity::{Fidelity, Metric, Proved, Tuned};
use crate::measure::{BlockResult, Input};

use super::again::Again;
use super::prove::{Proof, Ran};
use super::task::Task;
use super::{command, notes, typed};

/// What the job is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// The input, which is a capture.
    Recording,
    /// Replays of the input, which is a trace.
    Replay,
    /// Runs of a command; the job is made from the input all the same.
    Command,
}

/// A job and its original.
pub struct Case<'a> {
    pub proof: &'a Proof<'a>,
    /// What the job is made from.
    pub origin: &'a Origin,
    pub original: Original,
    /// What the input holds; none of a trace.
    pub recorded: Option<&'a BlockResult>,
    /// What the original did.
    pub originals: Vec<BlockResult>,
    /// The job that is run.
    pub task: Task,
    /// Writes of a journal that were taken out of the originals.
    pub journal: u64,
    /// Whether places beside the job's were written too, because the recording is of this device.
    pub filled_elsewhere: bool,
    /// A trace that is replayed once before its job, which is made from that, and then after it: storage that
    /// becomes faster or slower meanwhile shows in how far those are apart.
    pub again: Option<Again<'a>>,
    pub global: Global,
}

impl Case<'_> {
    /// Writes what the job works on, and runs the job for the first time, in turns with its original where
    /// that is a command. Hands out its runs, unless somebody asked to stop.
    ///
    /// # Errors
    /// When something fails, and when somebody asks to stop: then a partial card is kept.
    pub fn first(&mut self) -> Result<Vec<BlockResult>> {
        self.proof.ground.check_room(&self.task)?;
        let others = self.elsewhere()?;
        self.filled_elsewhere = !others.is_empty();
        match self.proof.prepare(&self.task, &others) {
            Err(error) if error.kind() == Kind::Interrupted => return Err(self.partial(&[], None)),
            prepared => prepared?,
        }
        let ran = self.round("distilled")?;
        if self.original == Original::Recording {
            self.leave_out_journal();
        }
        let cut = ran.cut.is_some() || self.replay_again()?;
        if cut { Err(self.partial(&ran.blocks, None)) } else { Ok(ran.blocks) }
    }

    /// The replays that come after the job; says whether somebody asked to stop.
    fn replay_again(&mut self) -> Result<bool> {
        let Some(again) = self.again.filter(|_| self.proof.flags.runs > 1) else { return Ok(false) };
        if !self.proof.flags.tune {
            self.proof.ground.make_room();
        }
        let ran = self.proof.originals(again, 2..=self.proof.flags.runs, self.global)?;
        self.originals.extend(ran.blocks);
        Ok(ran.cut.is_some())
    }

    /// Runs the job as often as asked, in turns with its original where that is a command, whose runs are
    /// the originals from then on.
    ///
    /// # Errors
    /// When something fails. What ran before somebody asked to stop is kept.
    pub fn round(&mut self, what: &str) -> Result<Ran> {
        if self.original != Original::Command {
            return self.proof.distilled(&self.task, what);
        }
        let [originals, distilled] = self.proof.in_turns(&self.task, what)?;
        self.originals = originals.blocks;
        self.leave_out_journal();
        Ok(Ran { cut: originals.cut.or(distilled.cut), ..distilled })
    }

    /// Takes the writes of a filesystem's journal out of the originals where the job runs on a bare device,
    /// which has none. On a folder the job's syncs make them again, and a replay on a device made none.
    fn leave_out_journal(&mut self) {
        if self.original == Original::Replay || self.proof.ground.device_name().is_none() {
            return;
        }
        self.journal = 0;
        for block in &mut self.originals {
            if let Some((own, journal)) = without_journal(block) {
                *block = own;
                self.journal += journal;
            }
        }
    }

    /// Parts of the device that a command's runs touch beside what the job works on: they have to be
    /// written before, as the job's are. They are known where the recording is of the same device.
    fn elsewhere(&self) -> Result<Vec<(u64, u64)>> {
        let (Original::Command, Some(end), Some(recorded)) =
            (self.original, self.proof.ground.device_bytes()?, self.recorded)
        else {
            return Ok(Vec::new());
        };
        let name = self.proof.ground.device_name();
        let is_it = matches!(&recorded.devices[..], [device] if Some(&device.name) == name.as_ref());
        Ok(if is_it { notes::touched(recorded, self.task.size_bytes, end) } else { Vec::new() })
    }

    /// The lines of the card.
    pub fn compare(&self, distilled: &[BlockResult]) -> Vec<Metric> {
        compare(&self.originals, distilled)
    }

    /// The card; without a verdict when the proof was cut short.
    pub fn card(&self, distilled: &[BlockResult], tuned: Option<Tuned>, complete: bool) -> Fidelity {
        let metrics = self.compare(distilled);
        let notes = notes::of(self, distilled, &metrics);
        let mut card = self.proof.card(&self.originals, distilled, self.sides(), metrics, notes, complete);
        card.tuned = tuned;
        card
    }

    /// Keeps what an interrupted proof has, and says so.
    pub fn partial(&self, distilled: &[BlockResult], tuned: Option<Tuned>) -> Error {
        if self.originals.is_empty() {
            return Error::interrupted("interrupted: no run of the original had ended, so that there is no card");
        }
        let card = self.card(distilled, tuned, false);
        match self.proof.keep(&card, &self.task.file, self.global) {
            Err(error) => error,
            Ok(partial) => Error::interrupted(partial),
        }
    }

    /// Who the two are.
    fn sides(&self) -> [Proved; 2] {
        let devices: Vec<String> = self
            .originals
            .first()
            .map_or_else(Vec::new, |block| block.devices.iter().map(|device| device.name.clone()).collect());
        // Before the originals have run there is no job yet.
        let job = Input::read(&self.task.file).ok();
        let target = self.proof.ground.typed();
        let runs = self.proof.flags.runs;
        let original = match self.original {
            Original::Recording => None,
            Original::Replay => {
                let typed = typed::of_replay(std::env::args());
                let unsaid = self.again.map(|again| again.unsaid()).unwrap_or_default();
                Some(format!(
                    "kvtrace replay {} --capture --tier-2 {}{unsaid}{typed}",
                    self.origin.file,
                    as_target(target)
                ))
            }
            Original::Command => Some(command::shown(&self.proof.flags.command)),
        };
        let redirect = if self.task.is_iolog { "replay_redirect" } else { "filename" };
        [
            Proved {
                file: self.origin.file.clone(),
                sha256: self.origin.sha256.clone(),
                runs: original.as_ref().map_or(0, |_| runs),
                command: original,
                devices: devices.clone(),
                ..Proved::default()
            },
            Proved {
                file: self.origin.job_file.clone(),
                sha256: job.map(|job| job.sha256).unwrap_or_default(),
                runs,
                command: Some(format!(
                    "{}fio --{redirect}={} {}",
                    first_word(self.task.huge_pages),
                    file_in(target).display(),
                    self.origin.job_file
                )),
                devices,
                ..Proved::default()
            },
        ]
    }

    /// The task of another job in the same file.
    pub fn retask(&mut self, job: &Job) {
        self.task = Task::of(job, &self.task.file, self.proof.flags.grace());
    }
}

/// What `--tier-2` calls a target.
fn as_target(path: &Path) -> String {
    let kind = if path.is_dir() { "dir" } else { "block" };
    format!("{kind}:{}", path.display())
}

/// What fio is given on a target.
fn file_in(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("FILE") } else { path.to_owned() }
}
