//! A job under proof: run, judged, and, when that is asked for, changed and run again until its
//! bounds are kept or no change brings them closer.

use crate::distill::fidelity::card::passes;
use crate::distill::job::JOB_SCHEMA;
use crate::distill::tuning::{improves, misses};
use crate::distill::{Job, Options, Tuning};
use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::measure::fidelity::{Metric, Tuned};
use crate::output;

use super::Source;
use super::card::name;
use super::case::Case;

/// A job with what it did.
#[derive(Debug)]
struct Attempt {
    tuning: Tuning,
    job: Job,
    /// What it is compared with: of a command, runs in turns with its own.
    originals: Vec<BlockResult>,
    journal: u64,
    runs: Vec<BlockResult>,
    metrics: Vec<Metric>,
}

/// Runs a job that was written, tunes it if that is asked for, and shows its card.
///
/// # Errors
/// When something fails on the way, a bound is missed, or somebody asks to stop.
pub fn prove(mut case: Case<'_>, source: &Source, options: &Options, job: Job) -> Result<()> {
    let runs = case.first()?;
    let metrics = case.compare(&runs);
    let (originals, journal) = (case.originals.clone(), case.journal);
    let first = Attempt { tuning: options.tuning, job, originals, journal, runs, metrics };
    if !case.proof.flags.tune {
        let card = case.card(&first.runs, None, true);
        return case.proof.show(&card, &case.task.file, case.global);
    }
    let mut tuner = Tuner { case, source, options, best: first, tuned: Tuned::default() };
    let cut = tuner.rounds()?;
    let tuned = Some(tuner.outcome());
    let Tuner { mut case, best, .. } = tuner;
    (case.originals, case.journal) = (best.originals, best.journal);
    if cut.is_some() {
        return Err(case.partial(&best.runs, tuned));
    }
    let card = case.card(&best.runs, tuned, true);
    case.proof.show(&card, &case.task.file, case.global)
}

/// The rounds of `--tune`.
struct Tuner<'a> {
    case: Case<'a>,
    source: &'a Source,
    options: &'a Options,
    best: Attempt,
    tuned: Tuned,
}

impl Tuner<'_> {
    /// Tries other values until all bounds are kept; the best job is the one that stays in the file.
    /// Hands out why it ended early, if somebody asked for that.
    fn rounds(&mut self) -> Result<Option<Error>> {
        let mut next = self.best.tuning.next(&self.best.job.streams, self.options, &self.best.metrics);
        while let Some(tuning) = next.filter(|_| self.tuned.rounds < self.case.proof.flags.tune_rounds) {
            let job = self.job(tuning)?;
            if job.streams == self.best.job.streams {
                break;
            }
            self.tuned.rounds += 1;
            self.write(&job)?;
            self.case.retask(&job);
            let ran = self.case.round(&format!("tuned, round {}", self.tuned.rounds))?;
            if ran.cut.is_some() {
                self.write(&self.best.job)?;
                return Ok(ran.cut);
            }
            let metrics = self.case.compare(&ran.blocks);
            let (originals, journal) = (self.case.originals.clone(), self.case.journal);
            next = self.judge(Attempt { tuning, job, originals, journal, runs: ran.blocks, metrics });
        }
        self.write(&self.best.job)?;
        Ok(None)
    }

    /// Keeps the better one, and says what to try next.
    fn judge(&mut self, tried: Attempt) -> Option<Tuning> {
        let better = improves(&tried.metrics, &self.best.metrics);
        let changes = tried.job.tuned.join(", ");
        let verdict = if better { "kept" } else { "no better, put back" };
        let figures = figures(&tried.metrics, &self.best.metrics);
        self.tuned.tried.push(format!("round {}: {changes}: {figures}: {verdict}", self.tuned.rounds));
        if !better {
            return Some(self.best.tuning.towards(&tried.tuning));
        }
        self.best = tried;
        self.tuned.kept = self.tuned.rounds;
        (!passes(&self.best.metrics))
            .then(|| self.best.tuning.next(&self.best.job.streams, self.options, &self.best.metrics))?
    }

    fn job(&self, tuning: Tuning) -> Result<Job> {
        let block = self.source.blocks.first().ok_or_else(|| Error::usage("there is no run to distil"))?;
        let options = Options { tuning, ..self.options.clone() };
        Job::divided(block, &self.source.division, self.case.origin, &options)
    }

    fn write(&self, job: &Job) -> Result<()> {
        let (file, overwrite) = (&self.case.task.file, self.case.global.overwrite());
        output::write_all(file, JOB_SCHEMA, overwrite, job.text().as_bytes())
    }

    fn outcome(&self) -> Tuned {
        let missed = self.best.metrics.iter().filter(|metric| metric.pass == Some(false));
        let rounds = self.tuned.rounds >= self.case.proof.flags.tune_rounds;
        let reason = |metric: &Metric| {
            let more = if rounds { "; the rounds were used up (--tune-rounds)" } else { "" };
            format!("{}: {}{more}", name(metric), Tuning::why_not(metric))
        };
        let unreached = missed.map(reason).collect();
        Tuned { changes: self.best.job.tuned.clone(), unreached, ..self.tuned.clone() }
    }
}

/// How the lines that were missed have moved.
fn figures(new: &[Metric], old: &[Metric]) -> String {
    let percent = |metric: &Metric| metric.distance.map_or("-".to_owned(), |d| format!("{:.1} %", d * 100.0));
    let moved = |(new, old): (&Metric, &Metric)| {
        (old.pass == Some(false) || new.pass == Some(false)).then(|| {
            let off = if new.measure == "points" { "points" } else { "off" };
            format!("{} {} {off}, was {}", name(new), percent(new), percent(old))
        })
    };
    let lines: Vec<String> = new.iter().zip(old).filter_map(moved).collect();
    format!("{} (misses {:.2}, were {:.2})", lines.join(", "), misses(new), misses(old))
}
