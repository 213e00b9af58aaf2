//! The capture of a build without eBPF: it says so.

use std::process::{Child, Command};

use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::trace::Phase;

use super::devices::Device;
use super::{CaptureFilter, Recorded, Snapshot};

/// A capture that cannot start.
#[derive(Debug)]
pub enum Capture {}

impl Capture {
    /// Fails: the programs are not in this build.
    ///
    /// # Errors
    /// Always.
    pub fn start(_filter: &CaptureFilter) -> Result<Self> {
        Err(Error::unavailable(
            "this build has no eBPF: build kvtrace with the feature `ebpf` (on by default) to capture the block layer",
        ))
    }

    /// Cannot be reached.
    ///
    /// # Errors
    /// Never.
    pub fn start_command(&mut self, _command: &mut Command) -> std::io::Result<Child> {
        match *self {}
    }

    /// Cannot be reached.
    ///
    /// # Errors
    /// Never.
    pub fn snapshot(&self) -> Result<Snapshot> {
        match *self {}
    }

    /// Cannot be reached.
    pub fn devices(&self) -> &[Device] {
        match *self {}
    }

    /// Cannot be reached.
    ///
    /// # Errors
    /// Never.
    pub fn set_phase(&mut self, _phase: Option<Phase>) -> Result<()> {
        match *self {}
    }

    /// Cannot be reached.
    ///
    /// # Errors
    /// Never.
    pub fn finish(self) -> Result<BlockResult> {
        match self {}
    }

    /// Cannot be reached.
    ///
    /// # Errors
    /// Never.
    pub fn finish_with_events(self) -> Result<(BlockResult, Option<Recorded>)> {
        match self {}
    }
}
