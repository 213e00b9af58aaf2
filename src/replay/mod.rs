//! Executing a trace against real tiers: plan, prepare, run, report.
//!
//! The plan ([`plan`]) needs no device; whether it fits is decided before anything is touched.
//! Preparing writes slabs and puts cold objects in their places. The run is one thread that owns
//! an io_uring, with helpers that make data up and check it. The report is a [`ReplayResult`].

mod config;
mod content;
mod gpu;
mod io;
mod plan;
mod prepare;
mod report;
mod run;
mod target;

use std::time::Instant;

use crate::error::{Error, Result};
use crate::measure::{BlockResult, ReplayResult};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::TraceReader;

use prepare::{fits, slab};
use report::{host, requests};
use run::tally;

pub use config::{Durability, Engine, Fadvise, IoMode, Order, Pace, Prepare, ReplayConfig, Verify, Wait};
pub use gpu::{Device as GpuDevice, devices as gpus};
pub use plan::{Plan, PlanFacts, plan};
pub use prepare::fits::check_settings;
pub use prepare::slab::SlabSpace;
pub use report::host::Device;
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
    let plan = plan(trace, config.size_scale, config.order, stop, progress)?;
    if config.order != Order::Key && plan.facts.ordered_rows == 0 {
        return Err(Error::usage(format!(
            "--order {0}: no row of {1} says which {0} it belongs to; use --order key, or a trace recorded with kvtrace",
            config.order.word(),
            config.trace.display()
        )));
    }
    let needs = fits::check(config, &plan.facts);
    Ok((plan, needs))
}

/// Replays a trace.
///
/// # Errors
/// Whatever ends it before the clock starts. What happens after that is in the result.
pub fn replay(
    config: &ReplayConfig,
    watch: &mut dyn RunWatch,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Replayed> {
    let config = &config.in_force();
    let (plan, needs) = survey_needs(config, stop, progress)?;
    let needs = needs?;
    let requests = requests::count(&config.trace, &plan.meta)?;
    let mut stage = prepare::prepare(&plan, needs, config, stop, progress)?;
    let mut tally = tally::Tally::new(requests.unwrap_or(0));
    let mut devices: Vec<_> = stage.slabs.iter().filter_map(|slab| Device::below(&slab.path)).collect();
    devices.dedup();
    if let Err(error) = watch.begin(&devices, std::process::id()) {
        stage.leave();
        return Err(error);
    }
    let (host, before) = (host::host(), host::cpu_times());
    let early = run::run(&plan, &mut stage, config, &mut tally, stop, progress);
    let after = host::cpu_times();
    let syncing = Instant::now();
    // A device that does not answer would not answer this either.
    let synced = if tally.hung == 0 { stage.slabs.iter().try_for_each(slab::Slab::sync) } else { Ok(()) };
    let sync_s = syncing.elapsed().as_secs_f64();
    let block = watch.end()?;
    let early = early?;
    if let Err(error) = synced
        && tally.errors.is_empty()
    {
        return Err(error);
    }
    if tally.hung == 0 {
        stage.leave();
    }
    let cpu_s = (after.0 - before.0, after.1 - before.1);
    let ended = report::Ended { config, plan: &plan, stage: &stage, tally: &tally, early, host, cpu_s, sync_s, block };
    let (result, failure) = ended.report()?;
    Ok(Replayed { result, failure })
}
