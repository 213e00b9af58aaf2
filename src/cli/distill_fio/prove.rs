//! `distill-fio --prove`: the source and its job, each run under capture on the same storage, side
//! by side.

use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Global;
use crate::cli::block_watch::{BlockWatch, Need};
use crate::cli::terminal::{Terminal, keep_after_signals};
use crate::distill::Fio;
use crate::distill::fidelity::card::passes;
use crate::distill::fidelity::kept;
use crate::error::{Error, Kind, Result};
use crate::measure::BlockResult;
use crate::measure::fidelity::{FIDELITY_SCHEMA, Fidelity, Metric, Proved};
use crate::output::{self, Output};
use crate::replay;
use crate::replay::Target;
use crate::stop::Stop;
use crate::units::{self, Time};

use super::again::Again;
use super::ground::Ground;
use super::task::Task;
use super::{card, command};

/// What a proof is asked to do.
#[derive(Clone, Debug, clap::Args)]
pub struct ProveFlags {
    /// Run the original (a trace, or the COMMAND after --; otherwise the input is its recording) and the
    /// job on --target under capture, and say how far apart they are; exit 1 when a bound is missed
    #[arg(long, requires = "target")]
    pub prove: bool,
    /// Where --prove runs: a folder on the storage that is meant, or a block device (with
    /// --i-know-this-destroys)
    #[arg(long, value_name = "PATH", requires = "prove")]
    pub target: Option<PathBuf>,
    /// With --prove: how often each of the two runs; two give a noise floor
    #[arg(long, value_name = "N", default_value_t = 2, requires = "prove",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Where the card goes (kvtrace.fidelity/1) [default: the job's name with .fidelity.json]
    #[arg(long, value_name = "CARD.json", requires = "prove")]
    pub card: Option<PathBuf>,
    /// Change depth, rate and pauses of the job and run it again until every bound is kept, or say which
    /// cannot be; the best job is kept
    #[arg(long, requires = "prove")]
    pub tune: bool,
    /// With --tune: how many other jobs are tried at most
    #[arg(long, value_name = "N", default_value_t = 5, requires = "tune",
          value_parser = clap::value_parser!(u32).range(1..=50))]
    pub tune_rounds: u32,
    /// How much longer than its job runs fio may take
    #[arg(long, value_name = "TIME", requires = "prove", hide = true)]
    fio_grace: Option<Time>,
    /// With --prove: the original, a command that runs under the same capture as often as the job and in
    /// turns with it; what it does on the device of --target counts
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

impl ProveFlags {
    /// Where the card of a job goes.
    pub fn card(&self, job_file: &Path) -> PathBuf {
        self.card.clone().unwrap_or_else(|| job_file.with_extension("fidelity.json"))
    }

    /// How much longer than its job runs fio may take, if that was said.
    pub fn grace(&self) -> Option<Duration> {
        self.fio_grace.map(|grace| Duration::from_nanos(grace.0))
    }
}

/// The place and the tools of a proof.
pub struct Proof<'a> {
    pub flags: &'a ProveFlags,
    pub ground: Ground,
    pub fio: Fio,
    /// Whether `--tune` would be something to try.
    pub can_tune: bool,
    /// Whether standard output is for the card.
    pub json: bool,
    pub stop: &'a Stop,
    pub terminal: &'a Terminal,
}

impl<'a> Proof<'a> {
    /// Checks the place and looks for fio; none when no proof is asked for.
    ///
    /// # Errors
    /// When either will not do.
    pub fn of(
        flags: &'a ProveFlags,
        destroys: &[PathBuf],
        (can_tune, json): (bool, bool),
        stop: &'a Stop,
        terminal: &'a Terminal,
    ) -> Result<Option<Self>> {
        let Some(target) = flags.target.as_deref().filter(|_| flags.prove) else { return Ok(None) };
        let fio = Fio::find()?;
        command::look_up(&flags.command)?;
        // The first signal ends what runs within seconds; a second one would leave it behind.
        keep_after_signals();
        Ok(Some(Self { flags, ground: Ground::of(target, destroys)?, fio, can_tune, json, stop, terminal }))
    }

    /// Replays a trace under capture, the runs of these numbers.
    ///
    /// # Errors
    /// When a replay fails or its block layer cannot be watched. What was captured before somebody
    /// asked to stop is kept.
    pub fn originals(&self, again: Again<'_>, numbers: RangeInclusive<u32>, global: Global) -> Result<Ran> {
        let nowhere = Path::new(".");
        let trace = again.trace;
        let mut config = again.config(nowhere, global);
        if config.targets[2] != Target::Dir(nowhere.to_owned()) {
            return Err(Error::usage("--prove runs tier 2 on --target; leave --tier-2 out"));
        }
        config.targets[2] = self.ground.target()?;
        replay::check_settings(&config)?;
        let ran = often(numbers, |run| {
            self.terminal.say(format!("original, run {run} of {}: replaying {}", self.flags.runs, trace.display()));
            let replayed = replay::replay(&config, &mut BlockWatch::new(Need::Required), self.stop, self.terminal)?;
            match replayed.failure {
                // A load that was not sustained is one all the same.
                Some(failure) if failure.kind() != Kind::NotSustained => return Err(failure),
                _ => {}
            }
            replayed.result.block.ok_or_else(|| Error::unavailable("the block layer was not captured"))
        });
        self.ground.end_replays();
        ran
    }

    /// Writes what a job works on, and other places of the device, each an offset and a length.
    ///
    /// # Errors
    /// When fio refuses the job, there is no room, or fio fails.
    pub fn prepare(&self, task: &Task, others: &[(u64, u64)]) -> Result<()> {
        self.ground.check_job(&self.fio, task, self.stop)?;
        let bytes: u64 = task.size_bytes + others.iter().map(|place| place.1).sum::<u64>();
        let place = self.ground.file();
        self.terminal.say(format!("writing {} of {} for the job", units::bytes(bytes), place.display()));
        self.ground.fill(&self.fio, task, others, self.stop)
    }

    /// Runs a job under capture, as often as asked.
    ///
    /// # Errors
    /// When fio or a capture fails. What was captured before somebody asked to stop is kept.
    pub fn distilled(&self, task: &Task, what: &str) -> Result<Ran> {
        self.ground.check_job(&self.fio, task, self.stop)?;
        often(1..=self.flags.runs, |run| self.job(task, what, run))
    }

    /// Runs a command and the job in turns, as often as asked each. Who begins changes every time, so that
    /// storage that becomes faster or slower meanwhile does so for both.
    ///
    /// # Errors
    /// When either or a capture fails. What was captured before somebody asked to stop is kept.
    pub fn in_turns(&self, task: &Task, what: &str) -> Result<[Ran; 2]> {
        self.ground.check_job(&self.fio, task, self.stop)?;
        let mut both: [Ran; 2] = Default::default();
        for run in 1..=self.flags.runs {
            for side in if run % 2 == 1 { [0, 1] } else { [1, 0] } {
                let ran = if side == 0 { self.original(run) } else { self.job(task, what, run) };
                match ran {
                    Ok(block) => both[side].blocks.push(block),
                    Err(error) if error.kind() == Kind::Interrupted => {
                        both[side].cut = Some(error);
                        return Ok(both);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(both)
    }

    fn original(&self, run: u32) -> Result<BlockResult> {
        let words = &self.flags.command;
        self.terminal.say(format!("original, run {run} of {}: {}", self.flags.runs, command::shown(words)));
        command::run(words, &self.ground, self.json, self.stop, self.terminal)
    }

    fn job(&self, task: &Task, what: &str, run: u32) -> Result<BlockResult> {
        let (runs, version) = (self.flags.runs, &self.fio.version);
        self.terminal.say(format!("{what}, run {run} of {runs}: {version} {}", task.file.display()));
        let (block, complaint) = self.ground.run(&self.fio, task, self.stop)?;
        complaint.iter().for_each(|line| self.terminal.warn(format!("fio says: {line}")));
        Ok(block)
    }

    /// The card of both; without a verdict when the proof was cut short.
    pub fn card(
        &self,
        originals: &[BlockResult],
        distilled: &[BlockResult],
        of: [Proved; 2],
        mut metrics: Vec<Metric>,
        notes: Vec<String>,
        complete: bool,
    ) -> Fidelity {
        if !complete {
            metrics.iter_mut().for_each(|metric| metric.pass = None);
        }
        let [mut original, mut distilled_by] = of;
        let of = |blocks: &[BlockResult]| blocks.iter().map(kept).collect();
        (original.blocks, distilled_by.blocks) = (of(originals), of(distilled));
        Fidelity {
            schema: FIDELITY_SCHEMA.to_owned(),
            tool: crate::TOOL.to_owned(),
            complete,
            pass: complete && passes(&metrics) && metrics.iter().any(|metric| metric.pass.is_some()),
            not_judged: metrics.iter().filter(|metric| metric.is_unjudged()).count(),
            metrics,
            tuned: None,
            notes,
            original,
            distilled: distilled_by,
        }
    }

    /// Keeps what an interrupted proof has under a partial name, and says what that is.
    ///
    /// # Errors
    /// When nothing could be kept.
    pub fn keep(&self, card: &Fidelity, job_file: &Path, global: Global) -> Result<String> {
        let mut output = Output::create(&self.flags.card(job_file), FIDELITY_SCHEMA, global.overwrite())?;
        output.write_all(&output::to_json(card)).map_err(|e| Error::writing(output.path(), &e))?;
        let partial = output.keep_partial()?;
        let original = match card.original.runs {
            0 => "the recording".to_owned(),
            runs => format!("{} of {runs} runs of the original", card.original.blocks.len()),
        };
        Ok(format!(
            "interrupted; {original} and {} of {} of the job are in {}",
            card.distilled.blocks.len(),
            card.distilled.runs,
            partial.display()
        ))
    }

    /// Writes the card beside the job and shows it.
    ///
    /// # Errors
    /// When it cannot be written, and [`Kind::Failed`] when a bound is missed.
    pub fn show(&self, card: &Fidelity, job_file: &Path, global: Global) -> Result<()> {
        let path = self.flags.card(job_file);
        output::write_all(&path, FIDELITY_SCHEMA, global.overwrite(), &output::to_json(card))?;
        card::lines(card).iter().for_each(|line| self.terminal.say(line));
        self.terminal.say(format!("card: {}", path.display()));
        if global.json {
            output::to_stdout(&output::to_json(card))?;
        }
        if card.pass {
            return Ok(());
        }
        let missed: Vec<String> = card.metrics.iter().filter(|m| m.pass == Some(false)).map(card::name).collect();
        if missed.is_empty() {
            return Err(Error::new(Kind::Failed, "nothing of the job could be judged"));
        }
        let more = if self.can_tune { "; --tune tries other depths, rates and pauses" } else { "" };
        let what = "the job does not behave like its source";
        Err(Error::new(Kind::Failed, format!("{what}: {}{more}", missed.join(", "))))
    }
}

/// Runs of one thing.
#[derive(Debug, Default)]
pub struct Ran {
    /// What the block layer did in each complete one.
    pub blocks: Vec<BlockResult>,
    /// Why there are fewer than asked for.
    pub cut: Option<Error>,
}

/// Runs something as often as asked, or until somebody asks to stop.
fn often(numbers: RangeInclusive<u32>, mut one: impl FnMut(u32) -> Result<BlockResult>) -> Result<Ran> {
    let mut ran = Ran::default();
    for run in numbers {
        match one(run) {
            Ok(block) => ran.blocks.push(block),
            Err(error) if error.kind() == Kind::Interrupted => {
                ran.cut = Some(error);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ran)
}
