//! Who watches: eBPF programs, or with `--fallback` the kernel's counters where those cannot.

use std::io;
use std::process::{Child, Command};

use crate::capture::devices::Device;
use crate::capture::{Capture, CaptureFilter, Recorded, Sampling, Snapshot};
use crate::cli::terminal::Terminal;
use crate::error::{Error, Kind, Result};
use crate::measure::BlockResult;
use crate::trace::Phase;

/// What a capture counts with.
#[derive(Debug)]
pub enum Watcher {
    Programs(Box<Capture>),
    Counters(Box<Sampling>),
}

impl Watcher {
    /// Begins to count; without the rights or the kernel's help only with `fallback`.
    pub fn start(filter: &CaptureFilter, fallback: bool, job: bool, terminal: &Terminal) -> Result<Self> {
        match Capture::start(filter) {
            Ok(capture) => Ok(Self::Programs(Box::new(capture))),
            Err(error) if fallback && error.kind() == Kind::Unavailable => {
                if job {
                    return Err(Error::unavailable(format!(
                        "--fio needs request sizes, which the kernel's counters that --fallback reads do not have: {error}"
                    )));
                }
                if filter.events.is_some() {
                    return Err(Error::unavailable(format!("--events needs eBPF programs: {error}")));
                }
                terminal.warn(format!("{error}; the kernel's own counters are watched instead"));
                Ok(Self::Counters(Box::new(Sampling::start(filter, &error)?)))
            }
            Err(error) => Err(error),
        }
    }

    pub fn start_command(&mut self, command: &mut Command) -> io::Result<Child> {
        match self {
            Self::Programs(capture) => capture.start_command(command),
            Self::Counters(sampling) => sampling.start_command(command),
        }
    }

    /// I/O that is born from now on is of this phase. Counters know none.
    pub fn set_phase(&mut self, phase: Option<Phase>) -> Result<()> {
        match self {
            Self::Programs(capture) => capture.set_phase(phase),
            Self::Counters(_) => Err(Error::unavailable("the kernel's own counters know no phases")),
        }
    }

    /// The disks that are watched, as far as something is shown of them meanwhile.
    pub fn devices(&self) -> &[Device] {
        match self {
            Self::Programs(capture) => capture.devices(),
            Self::Counters(_) => &[],
        }
    }

    /// What programs have counted so far; counters are read at the end.
    pub fn snapshot(&self) -> Result<Snapshot> {
        match self {
            Self::Programs(capture) => capture.snapshot(),
            Self::Counters(_) => Err(Error::unavailable("the kernel's own counters have no histograms")),
        }
    }

    pub fn finish(self) -> Result<(BlockResult, Option<Recorded>)> {
        match self {
            Self::Programs(capture) => capture.finish_with_events(),
            Self::Counters(sampling) => Ok((sampling.finish()?, None)),
        }
    }
}
