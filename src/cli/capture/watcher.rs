//! Who watches: eBPF programs, or with `--fallback` the kernel's counters where those cannot.

use std::io;
use std::process::{Child, Command};

use crate::capture::{Capture, CaptureFilter, Sampling};
use crate::cli::terminal::Terminal;
use crate::error::{Kind, Result};
use crate::measure::BlockResult;

/// What a capture counts with.
#[derive(Debug)]
pub enum Watcher {
    Programs(Box<Capture>),
    Counters(Box<Sampling>),
}

impl Watcher {
    /// Begins to count; without the rights or the kernel's help only with `fallback`.
    pub fn start(filter: &CaptureFilter, fallback: bool, terminal: &Terminal) -> Result<Self> {
        match Capture::start(filter) {
            Ok(capture) => Ok(Self::Programs(Box::new(capture))),
            Err(error) if fallback && error.kind() == Kind::Unavailable => {
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

    pub fn finish(self) -> Result<BlockResult> {
        match self {
            Self::Programs(capture) => capture.finish(),
            Self::Counters(sampling) => sampling.finish(),
        }
    }
}
