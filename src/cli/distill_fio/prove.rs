//! `distill-fio --prove`: the source and its job, each run under capture on the same storage, side
//! by side.

use std::path::{Path, PathBuf};

use crate::cli::Global;
use crate::cli::block_watch::{BlockWatch, Need};
use crate::cli::replay::ReplayFlags;
use crate::cli::terminal::Terminal;
use crate::distill::fidelity::card::{compare, passes};
use crate::distill::{Fio, Job};
use crate::error::{Error, Kind, Result};
use crate::measure::BlockResult;
use crate::measure::fidelity::{FIDELITY_SCHEMA, Fidelity, Proved};
use crate::output;
use crate::replay;
use crate::replay::Target;
use crate::stop::Stop;

use super::card;
use super::ground::Ground;

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
    /// When a replay fails or its block layer cannot be watched.
    pub fn originals(&self, trace: &Path, replay: &ReplayFlags, global: Global) -> Result<Vec<BlockResult>> {
        let nowhere = Path::new(".");
        let mut config = replay.config(trace, nowhere, global);
        if config.targets[2] != Target::Dir(nowhere.to_owned()) {
            return Err(Error::usage("--prove runs tier 2 on --target; leave --tier-2 out"));
        }
        config.targets[2] = self.ground.target();
        replay::check_settings(&config)?;
        let mut all = Vec::new();
        for run in 1..=self.flags.runs {
            self.terminal.say(format!("original, run {run} of {}: replaying {}", self.flags.runs, trace.display()));
            let replayed = replay::replay(&config, &mut BlockWatch::new(Need::Required), self.stop, self.terminal)?;
            match replayed.failure {
                // A load that was not sustained is one all the same.
                Some(failure) if failure.kind() != Kind::NotSustained => return Err(failure),
                _ => {}
            }
            let block = replayed.result.block.ok_or_else(|| Error::unavailable("the block layer was not captured"))?;
            all.push(block);
        }
        Ok(all)
    }

    /// Runs a job file under capture, as often as asked.
    ///
    /// # Errors
    /// When fio or a capture fails.
    pub fn distilled(&self, job: &Job, file: &Path) -> Result<Vec<BlockResult>> {
        self.terminal.say(format!("writing {} for the job", self.ground.file().display()));
        self.ground.fill(&self.fio, job.size_bytes, self.stop)?;
        let mut all = Vec::new();
        for run in 1..=self.flags.runs {
            self.terminal.say(format!(
                "distilled, run {run} of {}: {} {}",
                self.flags.runs,
                self.fio.version,
                file.display()
            ));
            all.push(self.ground.run(&self.fio, file, self.stop)?);
        }
        Ok(all)
    }

    /// The card of both.
    pub fn card(&self, originals: &[BlockResult], distilled: &[BlockResult], of: [Proved; 2]) -> Fidelity {
        let metrics = compare(originals, distilled);
        let [mut original, mut distilled_by] = of;
        (original.blocks, distilled_by.blocks) = (originals.to_vec(), distilled.to_vec());
        Fidelity {
            schema: FIDELITY_SCHEMA.to_owned(),
            tool: crate::TOOL.to_owned(),
            complete: true,
            pass: passes(&metrics),
            metrics,
            tuned: None,
            notes: notes(originals, distilled, original.runs),
            original,
            distilled: distilled_by,
        }
    }

    /// Writes the card beside the job and shows it.
    ///
    /// # Errors
    /// When it cannot be written, and [`Kind::Failed`] when a bound is missed.
    pub fn show(&self, card: &Fidelity, job_file: &Path, global: Global) -> Result<()> {
        let path = self.flags.card.clone().unwrap_or_else(|| job_file.with_extension("fidelity.json"));
        output::write_all(&path, FIDELITY_SCHEMA, global.overwrite(), &output::to_json(card))?;
        card::lines(card).iter().for_each(|line| self.terminal.say(line));
        self.terminal.say(format!("card: {}", path.display()));
        if global.json {
            output::to_stdout(&output::to_json(card))?;
        }
        if card.pass {
            return Ok(());
        }
        let missed: Vec<String> = card
            .metrics
            .iter()
            .filter(|metric| metric.pass == Some(false))
            .map(|metric| format!("{} {}", metric.op.as_deref().unwrap_or(""), metric.name).trim().to_owned())
            .collect();
        Err(Error::new(Kind::Failed, format!("the job does not behave like its source: {}", missed.join(", "))))
    }
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
    notes
}
