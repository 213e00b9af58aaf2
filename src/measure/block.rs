//! What the block layer did (`kvtrace.block/1`): the contract between capture and distil.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;

/// The schema of a block result.
pub const BLOCK_SCHEMA: &str = "kvtrace.block/1";

/// A capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockResult {
    /// [`BLOCK_SCHEMA`].
    pub schema: String,
    /// The tool that wrote it, with its version.
    pub tool: String,
    /// False when the capture was interrupted.
    pub complete: bool,
    /// Which probes saw it: `tp_btf`.
    pub source: String,
    /// The devices that were watched.
    pub devices: Vec<BlockDevice>,
    /// Whose I/O is the target.
    pub filter: BlockFilter,
    /// From the moment from which requests were followed to the moment from which no new ones were.
    pub duration_s: f64,
    /// The target's I/O in all phases; every name is there for read and write, if empty. All are
    /// counted when a request ends (or, if that was not seen, when the kernel uses it again), so
    /// that those of a direction hold the same requests, unless said otherwise:
    ///
    /// - `d2c`, `q2d`, `q2c` (ns): last issue to completion, birth to last issue, birth to
    ///   completion; `d2c` and `q2c` lack requests whose completion was not seen (`lost_complete`);
    /// - `i2d` (ns): from when it was first put into the I/O scheduler to its last issue; only of
    ///   requests that were put there before that (`none` hands many straight to the device);
    /// - `size` (bytes, exact): as it was issued, after splits and merges;
    /// - `inflight` (ios, exact): requests of its side (the target in all phases, or everything
    ///   else) in flight on its device when it was last issued, both directions and itself included;
    /// - `inflight_time` (ios): the depths again, `count` and `buckets` being the ns spent at each;
    ///   time with nothing in flight is left out. With op none: both directions together. Not by
    ///   phase;
    /// - `lba` (bytes): where it began, in 1024 buckets over the device (the largest with such I/O,
    ///   when there are several);
    /// - `gap` (ns): from the birth of the one before it of the same direction, side and device to
    ///   its own, whatever became of that one. The first of each has none, nor has one that was
    ///   born at the same ns or seen in another order: `gap` holds no more than `size`;
    /// - `seek` (bytes, signed; negative buckets first): from the end of the one before it of the
    ///   same direction, side and device, in the order of their first issues, to its own beginning.
    ///   0 is sequential. The first of each has none: `seek` holds as many fewer than `size` as
    ///   there are devices with such I/O (requests that were not seen to end apart);
    /// - `run_length` (ios): how many requests were issued one after another without a gap between
    ///   them, one of its own being a run of 1. In the phase in which the run began; runs that go
    ///   on at the end are counted as long as they are. Its sum is the count of `size`;
    /// - `flush`, `discard`, `write_zeroes` (ns, op none): birth to completion of what moves no data.
    pub histograms: Vec<Histogram>,
    /// Everything else on the same devices.
    pub other: BlockSet,
    /// The target's I/O by phase, when somebody set phases: `prefill`, `decode`, `evict`, as far as
    /// they had any or were set. I/O of no phase is in `histograms` alone.
    pub phases: Option<BTreeMap<String, BlockSet>>,
    /// What could not be had here, in words.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What was not seen or not understood, by cause. All of them, zero included.
    pub loss: BTreeMap<String, u64>,
    /// Whether a loss makes the numbers doubtful.
    pub tainted: bool,
    /// Why, in words.
    pub taint_reasons: Vec<String>,
}

/// A set of histograms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockSet {
    /// By name and op.
    pub histograms: Vec<Histogram>,
}

/// A watched device, and the kernel's own account of the same time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Name under /sys/block, e.g. `vda`.
    pub name: String,
    /// `major:minor`.
    pub number: String,
    /// Capacity.
    pub size_bytes: u64,
    /// The I/O scheduler in force.
    pub scheduler: String,
    /// The largest request, in KiB.
    pub max_sectors_kb: u64,
    /// `write back` or `write through`.
    pub write_cache: String,
    /// What /sys/block/NAME/stat counted during the capture, for all processes.
    pub kernel: KernelCounters,
    /// What the probes counted on this device in the kernel's terms, target and other together:
    /// flushes and written zeroes are writes.
    pub captured: KernelCounters,
}

/// Completed I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCounters {
    /// Reads.
    pub read_ios: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Writes.
    pub write_ios: u64,
    /// Bytes written.
    pub write_bytes: u64,
}

/// Whose I/O is the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockFilter {
    /// Devices by name; empty is every device.
    pub devices: Vec<String>,
    /// The roots of the process trees; empty is every process.
    pub pids: Vec<u32>,
    /// The command that was started, if any.
    pub command: Option<Vec<String>>,
}

impl BlockResult {
    /// The target's histogram of that name and direction.
    pub fn histogram(&self, name: &str, op: Option<&str>) -> Option<&Histogram> {
        self.histograms.iter().find(|h| h.is(name, op))
    }
}
