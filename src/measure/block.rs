//! What the block layer did (`kvtrace.block/1`): the contract between capture and distil.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;

/// The schema of a block result.
pub const BLOCK_SCHEMA: &str = "kvtrace.block/1";

/// A capture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockResult {
    /// [`BLOCK_SCHEMA`].
    pub schema: String,
    /// The tool that wrote it, with its version.
    pub tool: String,
    /// False when the capture was interrupted.
    pub complete: bool,
    /// What saw it: `tp_btf` or `raw_tp` programs, `sysfs` (the kernel's own counters), or `bpftrace`
    /// for the reference's text.
    pub source: String,
    /// The devices that were watched.
    pub devices: Vec<BlockDevice>,
    /// Whose I/O is the target.
    pub filter: BlockFilter,
    /// From the moment from which requests were followed to the moment from which no new ones were;
    /// none when the source does not say.
    pub duration_s: Option<f64>,
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
    /// - `uring` (ns): io_uring reads and writes (plain, vectored, with registered buffers) of the
    ///   target on regular files and block devices of the watched disks, from the kernel's taking
    ///   one off the submission queue to the posting of its completion; absent where the kernel
    ///   does not name operations (before 5.18);
    /// - `syscall_read`, `syscall_write` (ns, op none): calls of the families of read and write on
    ///   the same files that did not fail, whatever they went through (page cache, direct); not
    ///   io_submit, which only starts I/O. With what follows absent where system calls were not
    ///   watched;
    /// - `fsync`, `fdatasync` (ns, op none): such calls, and io_uring's operations of the kind;
    /// - `write_to_fsync` (ns, op none): from the end of a thread's last write call to the start of
    ///   its next fsync or fdatasync call; `fadvise_to_read`: from the end of its last fadvise
    ///   (DONTNEED or WILLNEED) to the start of its next read call;
    /// - `cached_read`, `cached_write` (bytes, op none): what each call read and wrote through the page
    ///   cache, on files that were opened without O_DIRECT; absent where system calls were not watched;
    /// - `batch` (ios, op none): reads and writes that one call of io_uring_enter took off the submission
    ///   queue, on whatever file, or requests of the watched devices that were born in one io_submit; of
    ///   calls that had any. Absent where system calls were not watched;
    /// - `thread`, `process` (ios, op none): how many calls of the families of read and write, and operations
    ///   that it submitted, each thread and each process has; of the first 1024 threads. Absent where system calls were not watched;
    /// - `asked` (bytes): how much each io_uring read or write (`uring`) and each call of the families of
    ///   read and write moved, on files that were opened with O_DIRECT, before the kernel splits
    ///   and merges. Without calls where those were not watched;
    /// - `flush`, `discard`, `write_zeroes` (ns, op none): birth to completion of what moves no data.
    pub histograms: Vec<Histogram>,
    /// Everything else on the same devices.
    pub other: BlockSet,
    /// The target's I/O by phase, when somebody set phases: `prefill`, `decode`, `evict`, as far as
    /// they had any or were set. I/O of no phase is in `histograms` alone.
    pub phases: Option<BTreeMap<String, BlockSet>>,
    /// What was not seen or not understood, by cause. All of them, zero included.
    pub loss: BTreeMap<String, u64>,
    /// Whether a loss makes the numbers doubtful.
    pub tainted: bool,
    /// Why, in words.
    pub taint_reasons: Vec<String>,
    /// What else a reader of the numbers must know, in words: how they differ from those of a
    /// capture, what was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the probes are attached to, which fallbacks this kernel made necessary, and what
    /// follows from them, a line each.
    #[serde(default)]
    pub probes: Vec<String>,
    /// The target's processes; with source `sysfs` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<ProcessBytes>,
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
    /// True where the kernel keeps no such counters (queue/iostats is 0), so that there is nothing to
    /// compare with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// What the probes counted on this device in the kernel's terms, target and other together:
    /// flushes and written zeroes are writes.
    /// With source `sysfs` these are the kernel's own once more.
    pub captured: KernelCounters,
    /// What else /sys/block/NAME/stat counted; with source `sysfs` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<DeviceTimes>,
}

/// Times and merges of a device as the kernel sums them up (Documentation/block/stat.rst), for
/// all processes. The mean latency of reads is `read_ns / kernel.read_ios`, the mean number of
/// requests in flight `queue_ns` over the duration; times come in whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTimes {
    /// Reads that were merged into requests.
    pub read_merges: u64,
    /// Writes that were merged into requests.
    pub write_merges: u64,
    /// Sum of what reads took, from birth to completion, in ns.
    pub read_ns: u64,
    /// Sum of what writes took, in ns.
    pub write_ns: u64,
    /// Sum of what flushes took, in ns.
    pub flush_ns: u64,
    /// Flushes.
    pub flush_ios: u64,
    /// Time with anything in flight, in ns.
    pub busy_ns: u64,
    /// Sum over all requests of the time in flight, in ns.
    pub queue_ns: u64,
    /// How often the requests in flight were looked at.
    pub samples: u64,
}

/// What the kernel counted for the target's processes (proc_pid_io(5)), on all devices: what it
/// really fetched from or will send to storage for them, without what the page cache served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessBytes {
    /// Bytes fetched from storage.
    pub read_bytes: u64,
    /// Bytes that were dirtied or written directly.
    pub write_bytes: u64,
    /// Bytes of them that were never written, because their file was cut or removed first.
    pub cancelled_write_bytes: u64,
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

impl KernelCounters {
    /// What was counted since an earlier reading.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            read_ios: self.read_ios.saturating_sub(before.read_ios),
            read_bytes: self.read_bytes.saturating_sub(before.read_bytes),
            write_ios: self.write_ios.saturating_sub(before.write_ios),
            write_bytes: self.write_bytes.saturating_sub(before.write_bytes),
        }
    }
}

impl DeviceTimes {
    /// What was counted since an earlier reading.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            read_merges: self.read_merges.saturating_sub(before.read_merges),
            write_merges: self.write_merges.saturating_sub(before.write_merges),
            read_ns: self.read_ns.saturating_sub(before.read_ns),
            write_ns: self.write_ns.saturating_sub(before.write_ns),
            flush_ns: self.flush_ns.saturating_sub(before.flush_ns),
            flush_ios: self.flush_ios.saturating_sub(before.flush_ios),
            busy_ns: self.busy_ns.saturating_sub(before.busy_ns),
            queue_ns: self.queue_ns.saturating_sub(before.queue_ns),
            samples: self.samples,
        }
    }
}

/// Whose I/O is the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockFilter {
    /// Devices by name; empty is every device.
    pub devices: Vec<String>,
    /// The roots of the process trees; empty is every process.
    pub pids: Vec<u32>,
    /// Cgroups whose tasks belong to it too.
    #[serde(default)]
    pub cgroups: Vec<String>,
    /// The command that was started, if any.
    pub command: Option<Vec<String>>,
}

impl BlockResult {
    /// The target's histogram of that name and direction.
    pub fn histogram(&self, name: &str, op: Option<&str>) -> Option<&Histogram> {
        self.histograms.iter().find(|h| h.is(name, op))
    }
}
