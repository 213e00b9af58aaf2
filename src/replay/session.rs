//! One plan on tiers that are ready, run once or several times.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Kind, Result};
use crate::measure::BlockResult;
use crate::measure::replay::IoError;
use crate::output::Output;
use crate::progress::Progress;
use crate::stop::Stop;

use super::config::ReplayConfig;
use super::plan::Plan;
use super::prepare::Stage;
use super::report::conditions::{self, Snapshot};
use super::report::{self, host};
use super::run::interval_log::{HLOG_SCHEMA, IntervalLog};
use super::run::tally::{Moved, Tally};
use super::run::{self, Early};
use super::start::{self, Gate};
use super::{Replayed, RunWatch, trials};

/// A plan, and tiers that are ready for it.
pub struct Session<'a> {
    /// What is asked for.
    pub config: &'a ReplayConfig,
    /// The plan.
    pub plan: &'a Plan,
    /// The tiers.
    pub stage: &'a mut Stage,
    /// Requests that there is room for.
    pub requests: usize,
    /// The interval log, until a run takes it.
    pub log: Option<Output>,
    /// Whether I/O has not ended.
    pub hung: bool,
}

impl Session<'_> {
    /// As many runs as are asked for.
    ///
    /// # Errors
    /// Whatever ends it before the first clock starts, and a tier that fails between two trials.
    pub fn trials(&mut self, watch: &mut dyn RunWatch, stop: &Stop, progress: &dyn Progress) -> Result<Replayed> {
        let at = self.config.start_at;
        if let Some(at) = at {
            at.check_ready()?;
            at.approach(stop, progress)?;
        }
        let mut done = vec![self.once(Gate { at, ..Gate::default() }, watch, stop, progress)?];
        while (done.len() as u32) < self.config.trials && done.iter().all(|trial| trial.result.complete) {
            match self.again(done.len() as u32, watch, stop, progress) {
                Ok(trial) => done.push(trial),
                Err(error) if error.kind() == Kind::Interrupted => break,
                Err(error) => return Err(error),
            }
        }
        trials::conclude(done, self.config.trials)
    }

    /// The same once more, from the same start.
    fn again(
        &mut self,
        trial: u32,
        watch: &mut dyn RunWatch,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<Replayed> {
        start::pause(start::unix_now() + self.config.cooldown_ns, "cooling down", stop, progress)?;
        self.stage.reset(trial, self.plan, self.config, stop, progress)?;
        self.once(Gate::default(), watch, stop, progress)
    }

    fn once(
        &mut self,
        mut gate: Gate,
        watch: &mut dyn RunWatch,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<Replayed> {
        let mut tally = Tally::new(self.requests);
        tally.volumes = vec![Moved::default(); self.stage.lanes()];
        watch.begin(&self.stage.devices(), std::process::id())?;
        let (interval_ns, head) = (self.config.hlog_interval_ns, log_head(self.plan));
        tally.log = self.log.take().map(|file| IntervalLog::start(file, interval_ns, head)).transpose()?;
        let below = self.below();
        let below: Vec<_> = below.iter().map(|(tier, path)| (*tier, path.as_path())).collect();
        let (mut host, conditions) = (host::host(), Snapshot::take(&below));
        let before = host::cpu_times();
        // Until it is known to have ended, I/O may be on its way.
        self.hung = true;
        let early = run::run(self.plan, self.stage, self.config, &mut tally, &mut gate, stop, progress);
        let after = host::cpu_times();
        host.conditions = conditions::between(&conditions, &below);
        host.started = host::rfc3339(SystemTime::UNIX_EPOCH + Duration::from_nanos(gate.started_unix_ns));
        let broken = early.as_ref().is_err_and(|error| error.kind() != Kind::Interrupted);
        self.hung = broken || tally.hung > 0;
        let sync_s = self.sync(&mut tally);
        let (block, unwatched) = self.watched(watch.end());
        let early = early.unwrap_or_else(|error| Some(ended_early(&error, &mut tally)));
        self.note_removed();
        let log = tally.log.take().map(|log| log.finish(early.is_none())).transpose();
        let cpu_s = host::cpu_between(before, after);
        let (config, plan, stage) = (self.config, self.plan, &*self.stage);
        let ended = report::Ended { config, plan, stage, tally: &tally, early, host, gate, cpu_s, sync_s, block };
        let (result, failure) = ended.report()?;
        let failure = failure.or(unwatched).or(log.as_ref().err().cloned());
        Ok(Replayed { result, failure, log: log.ok().flatten() })
    }

    /// Makes everything durable; how long that took.
    fn sync(&self, tally: &mut Tally) -> f64 {
        let syncing = Instant::now();
        // A device that does not answer would not answer this either.
        let synced = if self.hung { Ok(()) } else { self.stage.sync() };
        if let Err(error) = &synced
            && tally.errors.is_empty()
        {
            tally.error(ended_by("final fdatasync", error));
        }
        syncing.elapsed().as_secs_f64()
    }

    /// What was seen of the block layer, or why it was not.
    fn watched(&mut self, watched: Result<Option<BlockResult>>) -> (Option<BlockResult>, Option<Error>) {
        match watched {
            Ok(block) => (block, None),
            Err(error) => {
                self.stage.notes.push(format!("the block layer was watched in vain: {error}"));
                (None, Some(error))
            }
        }
    }

    /// Where the storage tiers lie.
    fn below(&self) -> Vec<(u8, PathBuf)> {
        let volumes = self.stage.volumes.iter();
        volumes.filter_map(|volume| Some((volume.tier as u8, volume.path()?.to_owned()))).collect()
    }

    fn note_removed(&mut self) {
        let gone = self.stage.slabs().filter(|slab| slab.is_gone());
        let gone: Vec<_> = gone.map(|slab| (slab.tier, slab.path.display().to_string())).collect();
        self.stage.notes.extend(gone.into_iter().map(|(tier, path)| {
            format!("tier {tier}: {path} was removed during the run, which went on without its name")
        }));
    }
}

/// A run that ended with an error of its own has a result all the same, unless somebody asked it
/// to end.
fn ended_early(error: &Error, tally: &mut Tally) -> Early {
    if error.kind() == Kind::Interrupted {
        return Early::Stopped;
    }
    tally.error(ended_by("run", error));
    Early::Errors
}

/// What went wrong and belongs to no row.
fn ended_by(op: &str, error: &Error) -> IoError {
    IoError { row: 0, key: String::new(), op: op.to_owned(), errno: 0, message: error.to_string() }
}

/// What an interval log says of itself.
fn log_head(plan: &Plan) -> Vec<String> {
    vec![
        format!("{HLOG_SCHEMA} {}", crate::TOOL),
        format!("trace sha256 {}, seed {}", plan.sha256, plan.meta.seed.map_or("none".to_owned(), |s| s.to_string())),
        "values in ns, maxima of lines in ms; tags without -service: response times, with it: service times".to_owned(),
    ]
}
