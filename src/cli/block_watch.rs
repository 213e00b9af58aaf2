//! A capture beside a replay: what `replay --capture` and `run` put next to the clock.

use crate::capture::{Capture, CaptureFilter, Phases, Target};
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
}

impl BlockWatch {
    pub fn new(need: Need) -> Self {
        Self { need, capture: None, absent: None }
    }

    /// Why nothing was captured, when that was tolerated.
    pub fn absent(&self) -> Option<&Error> {
        self.absent.as_ref()
    }

    fn start(devices: &[Device], pid: u32) -> Result<Capture> {
        if devices.is_empty() {
            return Err(Error::unavailable(
                "no tier that this trace uses lies on a block device, so there is nothing to capture: either nothing \
                 of it reaches storage, or --tier-2 is on a filesystem without one (tmpfs, network)",
            ));
        }
        let devices = devices.iter().map(|device| device.name.clone()).collect();
        let phases = Phases::InUserData { pid, shift: PHASE_SHIFT };
        Capture::start(&CaptureFilter { devices, target: Target::Trees(vec![pid]), requests: None, phases })
    }
}

impl RunWatch for BlockWatch {
    fn begin(&mut self, devices: &[Device], pid: u32) -> Result<()> {
        match Self::start(devices, pid) {
            Ok(capture) => self.capture = Some(capture),
            Err(error) if self.need == Need::Wanted && error.kind() == Kind::Unavailable => self.absent = Some(error),
            Err(error) => return Err(error.context("--capture")),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Option<BlockResult>> {
        self.capture.take().map(Capture::finish).transpose()
    }
}
