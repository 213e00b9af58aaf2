//! The conditions under which a run was measured: what else the machine did and how it is set.

use serde::{Deserialize, Serialize};

/// The conditions of a run. What the kernel does not say is none, and so are shares of a run that
/// was too short for its clock ticks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Load average of 1, 5 and 15 minutes when the clock started.
    pub load_before: Option<[f64; 3]>,
    /// The same when the run had ended.
    pub load_after: Option<[f64; 3]>,
    /// Share of the processors' time that the hypervisor gave to others.
    pub steal_share: Option<f64>,
    /// Share of the processors' time in which nothing ran and I/O was waited for.
    pub iowait_share: Option<f64>,
    /// Share of the processors' time in which other processes, or the kernel for them, ran.
    pub others_cpu_share: Option<f64>,
    /// Stalls for want of processors, of all processes together.
    pub cpu_pressure: Option<Pressure>,
    /// Stalls for want of I/O.
    pub io_pressure: Option<Pressure>,
    /// Stalls for want of memory.
    pub memory_pressure: Option<Pressure>,
    /// How the processors choose their frequency, e.g. `performance`.
    pub cpu_governor: Option<String>,
    /// Whether they may go beyond their base frequency.
    pub turbo: Option<bool>,
    /// Whether this is a virtual machine.
    pub virtual_machine: Option<bool>,
    /// Who made the machine, or its hypervisor, by its firmware.
    pub machine: Option<String>,
    /// When transparent huge pages are given: `always`, `madvise`, `never`.
    pub transparent_huge_pages: Option<String>,
    /// Mitigations of processor faults in force.
    pub mitigations: Option<u32>,
    /// Bytes that came back from swap during the run.
    pub swapped_in_bytes: Option<u64>,
    /// Bytes that went to swap during the run.
    pub swapped_out_bytes: Option<u64>,
    /// Bytes of files that waited to be written when the clock started, whoever wrote them.
    pub dirty_before_bytes: Option<u64>,
    /// The same when the run had ended.
    pub dirty_after_bytes: Option<u64>,
    /// Processors that the control group may use; none without a limit.
    pub cpu_quota: Option<f64>,
    /// Periods of the run in which the control group had used its processors up.
    pub throttled_periods: Option<u64>,
    /// What lies below the storage tiers.
    pub storage: Vec<StorageConditions>,
}

/// Shares of the run for which tasks stalled (`/proc/pressure`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// At least one of them.
    pub some: Option<f64>,
    /// All of them at once.
    pub full: Option<f64>,
}

/// The conditions below a storage tier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageConditions {
    /// The tier.
    pub tier: u8,
    /// The device, by its name under /sys/block.
    pub device: Option<String>,
    /// The I/O scheduler.
    pub scheduler: Option<String>,
    /// Requests that its queue takes.
    pub nr_requests: Option<u64>,
    /// The latency that write-back is throttled for, in microseconds; 0 is never.
    pub writeback_throttle_us: Option<u64>,
    /// Whether the filesystem discards what is freed at once.
    pub discard: Option<bool>,
    /// Share of the filesystem that is free.
    pub free_share: Option<f64>,
    /// The hottest sensor of the device when the clock started, in degrees Celsius.
    pub temperature_before_c: Option<f64>,
    /// The same when the run had ended.
    pub temperature_after_c: Option<f64>,
    /// The temperature from which the device says that it is too hot.
    pub temperature_limit_c: Option<f64>,
}
