//! A GPU's memory as a tier, through the CUDA driver, which is opened at run time. One allocation
//! holds the tier; bytes move by asynchronous copies from and to pinned host memory, on one stream
//! for each direction, and every copy is timed by a pair of events.

#[cfg(not(feature = "gpu"))]
mod absent;
#[cfg(feature = "gpu")]
mod anchor;
#[cfg(feature = "gpu")]
mod context;
#[cfg(feature = "gpu")]
mod device;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::units;

#[cfg(not(feature = "gpu"))]
pub use absent::{Context, Gpu, devices};
#[cfg(feature = "gpu")]
pub use context::Context;
#[cfg(feature = "gpu")]
pub use device::{Gpu, devices};

/// A device that the CUDA driver has.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its memory.
    pub memory_bytes: u64,
}

/// Copies that are in a stream at once: one is under way, the others keep it from running dry.
pub const IN_STREAM: usize = 4;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into the GPU's memory.
    In,
    /// Out of it.
    Out,
}

/// A copy between the host and the GPU.
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "only a driver reads what is to be copied"))]
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Which way.
    pub way: Way,
    /// Where in the tier.
    pub at: u64,
    /// Where in the host's memory.
    pub host: *mut u8,
    /// Bytes.
    pub len: usize,
    /// The slot of its chunk.
    pub slot: u32,
}

/// A copy that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The slot of its chunk.
    pub slot: u32,
    /// Which way it went.
    pub way: Way,
    /// When it was queued, began and ended; nanoseconds of the caller's clock.
    pub times: [u64; 3],
    /// For how much of the time from the first to the second another copy was being made.
    pub queued_ns: u64,
    /// What the driver says, if it failed.
    pub failure: Option<String>,
}

/// What is known of a device.
pub type Facts = BTreeMap<String, serde_json::Value>;

/// That the GPU of a tier cannot be used.
fn unavailable(tier: usize, number: u32, why: &str) -> Error {
    Error::unavailable(format!(
        "--tier-{tier} gpu:{number}: {why}; use --tier-{tier} model:64GB/s+10us (time only) or --tier-{tier} dram"
    ))
}

/// Whether the GPU of a tier is there.
///
/// # Errors
/// No driver or no such device.
pub fn check(tier: usize, number: u32) -> Result<()> {
    let found = devices().map_err(|why| unavailable(tier, number, &why))?.len();
    if number as usize >= found {
        return Err(unavailable(tier, number, &format!("the CUDA driver has {found} device(s), counted from 0")));
    }
    Ok(())
}

/// Opens the GPU of a tier and looks whether it has room for `bytes`; nothing is taken yet.
///
/// # Errors
/// No driver, no such device, or too little free memory.
pub fn survey(tier: usize, number: u32, bytes: u64) -> Result<Gpu> {
    let gpu = Gpu::open(tier, number)?;
    let have = gpu.free_bytes().map_err(|why| unavailable(tier, number, &why))?;
    if bytes > have {
        return Err(Error::usage(format!(
            "--tier-{tier} gpu:{number}: {} of the GPU's memory is needed and {} is free; use --size-scale 0.01 to shrink \
             every object, --tier-{tier} model:64GB/s+10us (time only), or a trace recorded with a smaller --gpu-mem-gb",
            units::bytes(bytes),
            units::bytes(have)
        )));
    }
    Ok(gpu)
}
