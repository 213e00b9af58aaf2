//! A capture beside a replay: what `replay --capture` and `run` put next to the clock.

use std::path::PathBuf;

use crate::capture::{Capture, CaptureFilter, EventsTo, Phases, Recorded, Target};
use crate::error::{Error, Kind, Result};
use crate::measure::BlockResult;
use crate::replay::{Device, PHASE_SHIFT, RunWatch};

/// What to do when the block layer cannot be watched on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Do not replay.
    Required,
    /// Replay without it, and say so.
    Wanted,
}

/// Watches the block devices of a replay while its clock runs.
#[derive(Debug)]
pub struct BlockWatch {
    need: Need,
    capture: Option<Capture>,
    absent: Option<Error>,
    events: Option<EventsTo>,
    /// The events, and what was counted.
    recorded: Option<(Recorded, BlockResult)>,
}

impl BlockWatch {
    pub fn new(need: Need) -> Self {
        Self { need, capture: None, absent: None, events: None, recorded: None }
    }

    /// With a row per I/O in a file; then it has to be possible.
    pub fn with_events(self, events: Option<EventsTo>) -> Self {
        let need = if events.is_some() { Need::Required } else { self.need };
        Self { need, events, ..self }
    }

    /// Gives the events their name once the run has ended, completely or not, and says which.
    ///
    /// # Errors
    /// When they cannot be written, or could not while the run went on.
    pub fn keep_events(&mut self, complete: bool) -> Result<Option<PathBuf>> {
        let Some((recorded, mut result)) = self.recorded.take() else { return Ok(None) };
        result.complete = complete;
        recorded.keep(&result).map(Some)
    }

    /// Why nothing was captured, when that was tolerated.
    pub fn absent(&self) -> Option<&Error> {
        self.absent.as_ref()
    }

    fn start(&self, devices: &[Device], pid: u32) -> Result<Capture> {
        if devices.is_empty() {
            return Err(Error::unavailable(
                "no tier that this trace uses lies on a block device, so there is nothing to capture: either nothing \
                 of it reaches storage, or --tier-2 is on a filesystem without one (tmpfs, network)",
            ));
        }
        let devices = devices.iter().map(|device| device.name.clone()).collect();
        let phases = Phases::InUserData { pid, shift: PHASE_SHIFT };
        let (target, events) = (Target::Trees(vec![pid]), self.events.clone());
        Capture::start(&CaptureFilter { devices, target, events, phases, ..CaptureFilter::default() })
    }
}

impl RunWatch for BlockWatch {
    fn begin(&mut self, devices: &[Device], pid: u32) -> Result<()> {
        match self.start(devices, pid) {
            Ok(capture) => self.capture = Some(capture),
            Err(error) if self.need == Need::Wanted && error.kind() == Kind::Unavailable => self.absent = Some(error),
            Err(error) => return Err(error.context("--capture")),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Option<BlockResult>> {
        let Some(capture) = self.capture.take() else { return Ok(None) };
        let (result, recorded) = capture.finish_with_events()?;
        self.recorded = recorded.map(|recorded| (recorded, result.clone()));
        Ok(Some(result))
    }
}
