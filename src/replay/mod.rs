//! Executing a trace against real tiers: plan, prepare, run, report.
//!
//! The plan ([`plan`]) needs no device; whether it fits is decided before anything is touched.
//! Preparing makes what objects lie on, a slab or a folder of files for each target, and puts cold
//! objects in their places. The run is one thread that owns an io_uring, with helpers that make
//! data up and check it. The report is a [`ReplayResult`].

mod config;
mod content;
mod gds;
mod gpu;
mod in_flight;
mod io;
mod launcher;
mod per_tier;
mod plan;
mod prepare;
mod report;
mod run;
mod session;
mod start;
mod target;
mod trials;

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::measure::{BlockResult, ReplayResult};
use crate::output::Output;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::TraceReader;

use prepare::fits;
use prepare::volume::VolumePlan;
use report::requests;
use run::interval_log::HLOG_SCHEMA;
use session::Session;

pub use config::{
    Durability, Engine, Fadvise, GdsMode, IoMode, Layout, Order, Pace, Prepare, ReplayConfig, Verify, Wait,
};
pub use content::fill::Stream;
pub use gds::{kernel::Module as NvidiaFs, version as cufile_version};
pub use gpu::{Device as GpuDevice, devices as gpus};
pub use in_flight::{InFlight, Precondition};
pub use io::ring::PHASE_SHIFT;
pub use launcher::{Launcher, ShardChoice, shard};
pub use per_tier::{PerTier, Word};
pub use plan::{Plan, PlanFacts, plan};
pub use prepare::device::survey as check_device;
pub use prepare::fits::check_settings;
pub use prepare::guard::check_place;
pub use prepare::share::SlabSpace;
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
    /// The interval log that was written, if any.
    pub log: Option<PathBuf>,
}

/// Opens and plans a trace, and checks that the plan fits the targets. Touches nothing. What it
/// takes on disk is inside, or why it does not fit.
///
/// # Errors
/// An unreadable trace, settings that make no sense, targets that are too small or may not be
/// used.
pub fn survey(config: &ReplayConfig, stop: &Stop, progress: &dyn Progress) -> Result<(Plan, Result<Vec<SlabSpace>>)> {
    let disk = |needs: fits::Needs| needs.volumes.iter().filter_map(VolumePlan::disk).collect();
    survey_needs(config, stop, progress).map(|(plan, needs)| (plan, needs.map(disk)))
}

fn survey_needs(config: &ReplayConfig, stop: &Stop, progress: &dyn Progress) -> Result<(Plan, Result<fits::Needs>)> {
    check_settings(config)?;
    config.start_at.map_or(Ok(()), StartAt::check_ahead)?;
    let trace = TraceReader::open_until(&config.trace, stop)?;
    if config.pace == Pace::Trace && trace.meta().time_model.is_none() {
        return Err(Error::usage(format!(
            "--pace trace: {} does not say by which time model it was recorded, so its stamps are the pace of the tool \
             that wrote it; use --pace asap or --pace rate:50/s, or record it with kvtrace",
            config.trace.display()
        )));
    }
    let mut plan = plan(trace, config.size_scale, config.order, config.shard.as_ref(), stop, progress)?;
    plan.spread(config.widths())?;
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
    let (plan, needs) = survey_needs(config, stop, progress)?;
    let needs = needs?;
    let requests = requests::count(&config.trace, &plan.meta)?.unwrap_or(0);
    let log = config.hlog.as_deref().map(|path| Output::create(path, HLOG_SCHEMA, config.overwrite)).transpose()?;
    let mut stage = prepare::prepare(&plan, needs, config, stop, progress)?;
    let config = &prepare::depth::in_force(config, &stage);
    let mut session = Session { config, plan: &plan, stage: &mut stage, requests, log, hung: false };
    let replayed = session.trials(watch, stop, progress);
    // A device that does not answer would not answer this either.
    if !session.hung {
        stage.leave();
    }
    replayed
}
