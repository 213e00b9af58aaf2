//! What stands for cuFile in a build without the feature `gpu`: nothing that could be opened.

use std::os::fd::RawFd;

use super::{Carry, Controls, Failure};

/// The version of the library.
///
/// # Errors
/// Always: this build has no GPU tier.
pub fn version() -> Result<Option<String>, String> {
    Err("this build has no GPU tier (feature `gpu`)".to_owned())
}

/// A registered file; there is none.
#[derive(Clone, Copy, Debug)]
pub enum Handle {}

/// The driver; there is none.
pub enum Driver {}

impl Driver {
    /// Cannot be reached.
    pub fn abandon(self) {
        match self {}
    }

    /// Always refused.
    ///
    /// # Errors
    /// This build has no GPU tier.
    pub fn open(_strict: bool) -> Result<Self, String> {
        Err("this build has no GPU tier (feature `gpu`)".to_owned())
    }

    /// What it says of itself.
    pub fn controls(&self) -> Controls {
        match *self {}
    }

    /// Makes a file known.
    ///
    /// # Errors
    /// None.
    pub fn register_file(&self, _fd: RawFd) -> Result<Handle, String> {
        match *self {}
    }

    /// Forgets a file.
    pub fn deregister_file(&self, _handle: Handle) {
        match *self {}
    }

    /// Makes memory known.
    ///
    /// # Errors
    /// None.
    pub fn register_buffer(&self, _base: u64, _bytes: u64) -> Result<(), String> {
        match *self {}
    }

    /// Forgets memory.
    pub fn deregister_buffer(&self, _base: u64) {
        match *self {}
    }

    /// Reads or writes.
    ///
    /// # Errors
    /// None.
    pub fn carry(&self, _carry: &Carry, _file: Handle, _base: u64) -> Result<usize, Failure> {
        match *self {}
    }
}
