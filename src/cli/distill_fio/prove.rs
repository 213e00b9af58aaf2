//! `distill-fio --prove`: the source and its job, each run under capture on the same storage, side
//! by side.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::Global;
use crate::cli::block_watch::{BlockWatch, Need};
use crate::cli::replay::ReplayFlags;
use crate::cli::terminal::Terminal;
use crate::distill::fidelity::card::{compare, passes};
use crate::distill::fidelity::kept;
use crate::distill::{Fio, Job};
use crate::error::{Error, Kind, Result};
use crate::measure::BlockResult;
use crate::measure::fidelity::{FIDELITY_SCHEMA, Fidelity, Proved};
use crate::output::{self, Output};
use crate::replay;
use crate::replay::Target;
use crate::stop::Stop;

use super::card;
use super::ground::Ground;
use super::limits;

/// What a proof is asked to do.
#[derive(Clone, Debug, clap::Args)]
pub struct ProveFlags {
    /// Run the source (a trace) and the job on --target under capture, and say how far apart they
    /// are; exit 1 when a bound is missed
    #[arg(long, requires = "target")]
    pub prove: bool,
    /// Where --prove runs: a folder on the storage that is meant, or a block device (with
    /// --i-know-this-destroys)
    #[arg(long, value_name = "PATH", requires = "prove")]
    pub target: Option<PathBuf>,
    /// How often each of the two runs; two give a noise floor
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
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
}

/// The place and the tools of a proof.
pub struct Proof<'a> {
    pub flags: &'a ProveFlags,
    pub ground: Ground,
    pub fio: Fio,
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
        stop: &'a Stop,
        terminal: &'a Terminal,
    ) -> Result<Option<Self>> {
        let Some(target) = flags.target.as_deref().filter(|_| flags.prove) else { return Ok(None) };
        let fio = Fio::find()?;
        Ok(Some(Self { flags, ground: Ground::of(target, destroys)?, fio, stop, terminal }))
    }

    /// Replays a trace under capture, as often as asked.
    ///
    /// # Errors
    /// When a replay fails or its block layer cannot be watched. What was captured before somebody
    /// asked to stop is kept.
    pub fn originals(&self, trace: &Path, replay: &ReplayFlags, global: Global) -> Result<Ran> {
        let nowhere = Path::new(".");
        let mut config = replay.config(trace, nowhere, global);
        if config.targets[2] != Target::Dir(nowhere.to_owned()) {
            return Err(Error::usage("--prove runs tier 2 on --target; leave --tier-2 out"));
        }
        config.targets[2] = self.ground.target()?;
        replay::check_settings(&config)?;
        let ran = self.often(|run| {
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

    /// Writes what a job works on.
    ///
    /// # Errors
    /// When fio refuses the job, there is no room, or fio fails.
    pub fn prepare(&self, job: &Job, file: &Path) -> Result<()> {
        self.ground.check_job(&self.fio, file, self.stop)?;
        self.terminal.say(format!("writing {} for the job", self.ground.file().display()));
        self.ground.fill(&self.fio, job.size_bytes, self.stop)
    }

    /// Runs a job file under capture, as often as asked.
    ///
    /// # Errors
    /// When fio or a capture fails. What was captured before somebody asked to stop is kept.
    pub fn distilled(&self, file: &Path, what: &str) -> Result<Ran> {
        self.ground.check_job(&self.fio, file, self.stop)?;
        self.often(|run| {
            let (runs, version) = (self.flags.runs, &self.fio.version);
            self.terminal.say(format!("{what}, run {run} of {runs}: {version} {}", file.display()));
            let (block, complaint) = self.ground.run(&self.fio, file, self.stop)?;
            complaint.iter().for_each(|line| self.terminal.warn(format!("fio says: {line}")));
            Ok(block)
        })
    }

    fn often(&self, mut one: impl FnMut(u32) -> Result<BlockResult>) -> Result<Ran> {
        let mut ran = Ran::default();
        for run in 1..=self.flags.runs {
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

    /// The card of both; without a verdict when the proof was cut short.
    pub fn card(
        &self,
        originals: &[BlockResult],
        distilled: &[BlockResult],
        of: [Proved; 2],
        complete: bool,
    ) -> Fidelity {
        let mut metrics = compare(originals, distilled);
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
            pass: complete && passes(&metrics),
            metrics,
            tuned: None,
            notes: notes(originals, distilled, original.runs),
            original,
            distilled: distilled_by,
        }
    }

    fn card_file(&self, job_file: &Path) -> PathBuf {
        self.flags.card.clone().unwrap_or_else(|| job_file.with_extension("fidelity.json"))
    }

    /// Keeps what an interrupted proof has under a partial name.
    ///
    /// # Errors
    /// Always: that it was interrupted, or that nothing could be kept.
    pub fn keep(&self, card: &Fidelity, job_file: &Path, global: Global) -> Result<()> {
        let mut output = Output::create(&self.card_file(job_file), FIDELITY_SCHEMA, global.overwrite())?;
        output.write_all(&output::to_json(card)).map_err(|e| Error::writing(output.path(), &e))?;
        let partial = output.keep_partial()?;
        Err(Error::interrupted(format!(
            "interrupted; {} of {} runs of the original and {} of {} of the job are in {}",
            card.original.blocks.len(),
            card.original.runs.max(1),
            card.distilled.blocks.len(),
            card.distilled.runs,
            partial.display()
        )))
    }

    /// Writes the card beside the job and shows it.
    ///
    /// # Errors
    /// When it cannot be written, and [`Kind::Failed`] when a bound is missed.
    pub fn show(&self, card: &Fidelity, job_file: &Path, global: Global) -> Result<()> {
        let path = self.card_file(job_file);
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
        let more = if self.flags.tune { "" } else { "; --tune tries other depths, rates and pauses" };
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

fn notes(originals: &[BlockResult], distilled: &[BlockResult], ran: u32) -> Vec<String> {
    let mut notes = Vec::new();
    if ran == 0 {
        notes.push(
            "the original is a recording and was not run again: where it was made on other storage, or under \
                    other load, its times say so"
                .to_owned(),
        );
    }
    for (name, runs) in [("original", originals), ("job", distilled)] {
        let tainted: Vec<&str> = runs.iter().flat_map(|run| &run.taint_reasons).map(String::as_str).collect();
        if let Some(reason) = tainted.first() {
            notes.push(format!("the capture of the {name} is tainted: {reason}"));
        }
    }
    // Of runs that differ in figures alone, the last one's words will do.
    notes.extend(distilled.last().into_iter().flat_map(|run| run.notes.iter().cloned()));
    notes.extend(limits::note(originals, distilled));
    notes.extend(busy());
    notes
}

/// That other programs want the processors too: times of both sides then say as much of them.
fn busy() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (load > processors as f64 * BUSY).then(|| {
        format!(
            "the machine was busy: {load:.1} tasks wanted its {processors} processors when the proof ended; \
             repeat it on a quiet one, or with more --runs"
        )
    })
}

/// Tasks for each processor from which on a machine is busy; the proof itself has one or two.
const BUSY: f64 = 1.5;
