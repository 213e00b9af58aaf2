//! What stands for the GPU in a build without the feature `gpu`: nothing that could be made.

use crate::error::Result;

use super::{Device, Ended, Facts, Transfer, unavailable};
use crate::replay::io::memory::Region;

/// The devices of the CUDA driver, or why there are none.
///
/// # Errors
/// Always: this build has no GPU tier.
pub fn devices() -> Result<Vec<Device>, String> {
    Err("this build has no GPU tier (feature `gpu`)".to_owned())
}

/// A GPU's context; there is none.
#[derive(Clone, Copy, Debug)]
pub struct Context;

impl Context {
    /// Always refused.
    ///
    /// # Errors
    /// This build has no GPU tier.
    pub fn enter(self) -> Result<(), String> {
        Err("this build has no GPU tier (feature `gpu`)".to_owned())
    }
}

/// A GPU; there is none.
#[derive(Debug)]
pub enum Gpu {}

impl Gpu {
    /// Always refused.
    ///
    /// # Errors
    /// This build has no GPU tier.
    pub fn open(tier: usize, number: u32) -> Result<Self> {
        Err(unavailable(tier, number, "this build has no GPU tier (feature `gpu`)"))
    }

    /// Free memory of the device.
    ///
    /// # Errors
    /// None.
    pub fn free_bytes(&self) -> Result<u64, String> {
        match *self {}
    }

    /// Takes the memory of the tier.
    ///
    /// # Errors
    /// None.
    pub fn take(&mut self, _bytes: u64) -> Result<()> {
        match *self {}
    }

    /// Pins host memory.
    pub fn pin(&mut self, _region: &Region, _what: &str) {
        match *self {}
    }

    /// Puts bytes there at once.
    ///
    /// # Errors
    /// None.
    pub fn put(&mut self, _at: u64, _data: &[u8]) -> Result<()> {
        match *self {}
    }

    /// Ties its clock to the caller's.
    ///
    /// # Errors
    /// None.
    pub fn set_clock(&mut self, _now: &dyn Fn() -> u64) -> Result<()> {
        match *self {}
    }

    /// Where its memory is.
    pub fn memory(&self) -> Option<(u64, u64)> {
        match *self {}
    }

    /// Its context.
    pub fn context(&self) -> Context {
        match *self {}
    }

    /// Whether a stream takes another copy.
    pub fn has_room(&self, _way: super::Way) -> bool {
        match *self {}
    }

    /// Queues a copy.
    ///
    /// # Errors
    /// None.
    ///
    /// # Safety
    /// As of the real one.
    pub unsafe fn send(&mut self, _transfer: Transfer, _now: u64) -> Result<(), String> {
        match *self {}
    }

    /// A copy that has ended.
    pub fn next_ended(&mut self, _now: u64) -> Option<Ended> {
        match *self {}
    }

    /// What is known of it.
    pub fn facts(&self) -> Facts {
        match *self {}
    }

    /// What a reader of the result should know.
    pub fn notes(&self) -> &[String] {
        match *self {}
    }
}
