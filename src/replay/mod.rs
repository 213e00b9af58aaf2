//! Executing a trace against real tiers: plan, prepare, run, report.
//!
//! The plan ([`plan`]) needs no device; whether it fits is decided before anything is touched.
//! Preparing writes slabs and puts cold objects in their places. The run is one thread that owns
//! an io_uring, with helpers that make data up and check it. The report is a [`ReplayResult`].

mod config;
mod content;
mod io;
mod launcher;
mod plan;
mod prepare;
mod report;
mod run;
mod start;
mod target;
mod trials;

use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Kind, Result};
use crate::measure::{BlockResult, ReplayResult};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::TraceReader;

use prepare::{Stage, fits, slab};
use report::{host, requests};
use run::tally;
use start::Gate;

pub use config::{Durability, Engine, Fadvise, IoMode, Order, Pace, Prepare, ReplayConfig, Verify, Wait};
pub use launcher::{Launcher, ShardChoice, shard};
pub use plan::{Plan, PlanFacts, plan};
pub use prepare::fits::check_settings;
pub use prepare::slab::SlabSpace;
pub use report::host::Device;
pub use report::requests::attribute;
pub use start::StartAt;
pub use target::Target;

/// Something that looks on while the clock runs.
pub trait RunWatch {
    /// The clock is about to start: the block devices below the targets, and our process.
    ///
    /// # Errors
    /// When it cannot look on; the replay then ends before it starts.
    fn begin(&mut self, devices: &[Device], pid: u32) -> Result<()>;

    /// The run has ended and all its I/O with it. What the block layer did, if that was seen.
    ///
    /// # Errors
    /// When what was seen cannot be had.
    fn end(&mut self) -> Result<Option<BlockResult>>;
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl RunWatch for Unwatched {
    fn begin(&mut self, _devices: &[Device], _pid: u32) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<Option<BlockResult>> {
        Ok(None)
    }
}

/// A replay that has run.
#[derive(Debug)]
pub struct Replayed {
    /// The result; `complete` is false when it ended early.
    pub result: ReplayResult,
    /// What went wrong, if anything: wrong data, I/O errors, a load that was not sustained, an
    /// interruption.
    pub failure: Option<Error>,
}

/// Opens and plans a trace, and checks that the plan fits the targets. Touches nothing. What it
/// takes on disk is inside, or why it does not fit.
///
/// # Errors
/// An unreadable trace, settings that make no sense, targets that are too small or may not be
/// used.
pub fn survey(config: &ReplayConfig, stop: &Stop, progress: &dyn Progress) -> Result<(Plan, Result<Vec<SlabSpace>>)> {
    let disk = |needs: fits::Needs| needs.slabs.iter().map(slab::SlabPlan::disk).collect();
    survey_needs(config, stop, progress).map(|(plan, needs)| (plan, needs.map(disk)))
}

fn survey_needs(config: &ReplayConfig, stop: &Stop, progress: &dyn Progress) -> Result<(Plan, Result<fits::Needs>)> {
    let trace = TraceReader::open(&config.trace)?;
    if config.pace == Pace::Trace && trace.meta().time_model.is_none() {
        return Err(Error::usage(format!(
            "--pace trace: {} does not say by which time model it was recorded, so its stamps are the pace of the tool \
             that wrote it; use --pace asap or --pace rate:50/s, or record it with kvtrace",
            config.trace.display()
        )));
    }
    let plan = plan(trace, config.size_scale, config.order, config.shard.as_ref(), stop, progress)?;
    if config.order != Order::Key && plan.facts.ordered_rows == 0 && plan.facts.rows > 0 {
        return Err(Error::usage(format!(
            "--order {0}: no row of {1} says which {0} it belongs to; use --order key, or a trace recorded with kvtrace",
            config.order.word(),
            config.trace.display()
        )));
    }
    let needs = fits::check(config, &plan.facts);
    Ok((plan, needs))
}

/// Replays a trace, as often as asked for: one plan, one preparation, one run for every trial.
///
/// # Errors
/// Whatever ends it before the first clock starts. What happens after that is in the result.
pub fn replay(
    config: &ReplayConfig,
    watch: &mut dyn RunWatch,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Replayed> {
    let config = &config.in_force();
    config.start_at.map_or(Ok(()), StartAt::check_ahead)?;
    let (plan, needs) = survey_needs(config, stop, progress)?;
    let needs = needs?;
    let requests = requests::count(&config.trace, &plan.meta)?.unwrap_or(0);
    let mut stage = prepare::prepare(&plan, needs, config, stop, progress)?;
    let mut session = Session { config, plan: &plan, stage: &mut stage, requests, hung: false };
    let replayed = session.trials(watch, stop, progress);
    // A device that does not answer would not answer this either.
    if !session.hung {
        stage.leave();
    }
    replayed
}

/// One plan on tiers that are ready, run once or several times.
struct Session<'a> {
    config: &'a ReplayConfig,
    plan: &'a Plan,
    stage: &'a mut Stage,
    requests: usize,
    /// Whether I/O has not ended.
    hung: bool,
}

impl Session<'_> {
    fn trials(&mut self, watch: &mut dyn RunWatch, stop: &Stop, progress: &dyn Progress) -> Result<Replayed> {
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
        let mut tally = tally::Tally::new(self.requests);
        let mut devices: Vec<_> = self.stage.slabs.iter().filter_map(|slab| Device::below(&slab.path)).collect();
        devices.dedup();
        watch.begin(&devices, std::process::id())?;
        let (mut host, before) = (host::host(), host::cpu_times());
        // Until it is known to have ended, I/O may be on its way.
        self.hung = true;
        let early = run::run(self.plan, self.stage, self.config, &mut tally, &mut gate, stop, progress);
        let after = host::cpu_times();
        let syncing = Instant::now();
        let broken = early.as_ref().is_err_and(|error| error.kind() != Kind::Interrupted);
        self.hung = broken || tally.hung > 0;
        let synced = if self.hung { Ok(()) } else { self.stage.slabs.iter().try_for_each(slab::Slab::sync) };
        let sync_s = syncing.elapsed().as_secs_f64();
        let block = watch.end()?;
        let early = early?;
        if tally.errors.is_empty() {
            synced?;
        }
        host.started = host::rfc3339(SystemTime::UNIX_EPOCH + Duration::from_nanos(gate.started_unix_ns));
        let cpu_s = (after.0 - before.0, after.1 - before.1);
        let (config, plan, stage) = (self.config, self.plan, &*self.stage);
        let ended = report::Ended { config, plan, stage, tally: &tally, early, host, gate, cpu_s, sync_s, block };
        let (result, failure) = ended.report()?;
        Ok(Replayed { result, failure })
    }
}
