//! The result of a replay (`kvtrace.replay/1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::trace::{Op, Phase, Tier};

use super::block::BlockResult;
use super::conditions::Conditions;
use super::gds::GdsReport;
use super::histogram::Histogram;
use super::precondition::Preconditioned;
use super::runs::Runs;

pub use super::requests::{QosReport, QosTarget, Requests};

/// The schema of a replay result.
pub const REPLAY_SCHEMA: &str = "kvtrace.replay/1";

/// A replay, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayResult {
    /// [`REPLAY_SCHEMA`].
    pub schema: String,
    /// The tool that wrote it, with its version.
    pub tool: String,
    /// False when the run was interrupted or stopped by an error.
    pub complete: bool,
    /// Whether the numbers may be believed.
    pub valid: bool,
    /// Why not.
    pub invalid_reasons: Vec<String>,
    /// What a reader should know without it making the run invalid (buffered tiers, fallbacks).
    pub notes: Vec<String>,
    /// The shard, trials or merged runs that it is of.
    #[serde(flatten)]
    pub runs: Runs,
    /// Where it ran.
    pub host: Host,
    /// What was replayed.
    pub trace: TraceFacts,
    /// Every setting in force, by flag name.
    pub config: BTreeMap<String, serde_json::Value>,
    /// The run in figures.
    pub totals: Totals,
    /// Processor time of the run stage.
    pub cpu: Cpu,
    /// The tiers as they were.
    pub tiers: Vec<TierReport>,
    /// Latency by tier × op × phase.
    pub latency: Vec<Latency>,
    /// Requests, from the requests file; none when it is absent.
    pub requests: Option<Requests>,
    /// Why `requests` is none.
    pub requests_absent: Option<String>,
    /// What bounded the run.
    pub verdict: Verdict,
    /// The three token rates.
    pub tokens: Option<Tokens>,
    /// How well the run kept its own schedule.
    pub timing: Timing,
    /// The check of the data that was read.
    pub verify: Verify,
    /// I/O errors.
    pub errors: Vec<IoError>,
    /// Bytes asked of storage against bytes at the block layer, when captured.
    #[serde(default)]
    pub amplification: Vec<Amplification>,
    /// How bytes went between GPU memory and storage; none without a GPU tier and `--gds`.
    #[serde(default)]
    pub gds: Option<GdsReport>,
    /// What the block layer did, when captured.
    pub block: Option<BlockResult>,
    /// The run over time.
    pub series: Series,
}

impl ReplayResult {
    /// What storage (tier 2) really read and wrote per second of the run, in units of 1e9 bytes;
    /// none when nothing moved there.
    pub fn storage_gb_per_s(&self) -> Option<(f64, f64)> {
        let storage = self.tiers.iter().find(|tier| tier.tier == u8::from(Tier::Storage))?;
        let rate = |bytes: u64| bytes as f64 / self.totals.wall_s / 1e9;
        let moved = storage.read_bytes + storage.write_bytes > 0 && self.totals.wall_s > 0.0;
        moved.then(|| (rate(storage.read_bytes), rate(storage.write_bytes)))
    }
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub cpu: String,
    /// Online processors.
    pub cpus: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// When the run started, as RFC 3339 in UTC.
    pub started: String,
    /// What else it did meanwhile and how it is set.
    #[serde(default)]
    pub conditions: Conditions,
}

/// The trace that was replayed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceFacts {
    /// Its file name, without its folder.
    pub file: String,
    /// Its sha256, in hex.
    pub sha256: String,
    /// Its seed, if it says.
    pub seed: Option<u64>,
    /// Its model, if it says.
    pub model: Option<String>,
    /// Its rows.
    pub rows: u64,
    /// Rows out of time order, before sorting.
    pub inversions: u64,
    /// Its time span.
    pub span_s: f64,
    /// Most bytes live at once, by tier.
    pub peak_bytes: [u64; 3],
    /// Keys read before they were written: put there before the clock started.
    pub cold_keys: u64,
}

/// The run stage in figures. Operations and read and write bytes count the rows of all tiers (a
/// demotion is two); moved bytes and the rates count only what really moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows executed, Delete rows included.
    pub ops: u64,
    /// Bytes of Read rows.
    pub read_bytes: u64,
    /// Bytes of Write rows.
    pub write_bytes: u64,
    /// Bytes of objects really moved, reads and writes, without padding.
    pub moved_bytes: u64,
    /// Seconds from the first start to the last completion.
    pub wall_s: f64,
    /// Bytes really read per second, in units of 1e9 bytes.
    pub read_gb_per_s: f64,
    /// Bytes really written per second, in units of 1e9 bytes.
    pub write_gb_per_s: f64,
    /// Bytes that the trace asks for per second of its own time, in units of 1e9 bytes; none
    /// when the trace has no time of its own.
    pub offered_gb_per_s: Option<f64>,
    /// Seconds spent preparing (slab, cold keys), not in any other figure.
    pub prepare_s: f64,
}

/// Processor time of the run stage, all threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// In user mode.
    pub user_s: f64,
    /// In the kernel.
    pub sys_s: f64,
    /// Time for which threads were making data up for storage: elapsed, so that it is more than
    /// processor time on a busy machine.
    #[serde(default)]
    pub fill_s: f64,
    /// The same for checking data that was read.
    #[serde(default)]
    pub verify_s: f64,
    /// User and system time, per 1e9 bytes really moved; none when nothing moved.
    pub s_per_gb: Option<f64>,
}

/// A tier as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TierReport {
    /// 0, 1 or 2.
    pub tier: u8,
    /// What stood for it: `io_uring`, `dram`, `gpu`, `model`, `skip`.
    pub backend: String,
    /// The target as it was typed.
    pub target: String,
    /// Whether the page cache was bypassed; none where that means nothing.
    pub direct: Option<bool>,
    /// `slab`, `file`; none where that means nothing.
    pub layout: Option<String>,
    /// Bytes really read, padding included.
    pub read_bytes: u64,
    /// Bytes really written, padding included.
    pub write_bytes: u64,
    /// From asking for the fdatasync or fsync of one written object to its end, as `--durability`
    /// has it; none where that was not asked for or not needed.
    #[serde(default)]
    pub sync: Option<Histogram>,
    /// What was overwritten before the run, as `--precondition` has it.
    #[serde(default)]
    pub preconditioned: Vec<Preconditioned>,
    /// Bytes of objects that rows read in the phase Decode; none where rows are skipped.
    #[serde(default)]
    pub decode_read_bytes: Option<u64>,
    /// Bytes of objects that rows wrote in the phase Prefill; none where rows are skipped.
    #[serde(default)]
    pub prefill_write_bytes: Option<u64>,
    /// Facts of the device and the set-up: filesystem, device, scheduler, alignment, fixed
    /// buffers, page size of the buffers. Where several targets share the tier, what is true of
    /// one of them is with that one.
    pub facts: BTreeMap<String, serde_json::Value>,
    /// The storage targets that share its objects.
    #[serde(default)]
    pub targets: Vec<TargetReport>,
}

/// One storage target of a tier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The target as it was typed.
    pub target: String,
    /// Whether the page cache was bypassed.
    pub direct: bool,
    /// Bytes really read, padding included.
    pub read_bytes: u64,
    /// Bytes really written, padding included.
    pub write_bytes: u64,
    /// Facts of the device, the filesystem and what holds the objects.
    pub facts: BTreeMap<String, serde_json::Value>,
}

/// Latency of one kind of operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Which tier.
    pub tier: Tier,
    /// Which direction.
    pub op: Op,
    /// Which phase.
    pub phase: Phase,
    /// Objects.
    pub ops: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Done less intended start.
    pub response: Histogram,
    /// Done less actual start.
    pub service: Histogram,
    /// The same by the size of the object; classes without objects are left out.
    #[serde(default)]
    pub by_size: Vec<SizeLatency>,
}

/// Latency of objects of one size class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeLatency {
    /// The largest size of the class; none of the last one. The smallest is one more than the
    /// largest of the class before.
    pub up_to_bytes: Option<u64>,
    /// Objects.
    pub ops: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Done less intended start.
    pub response: Histogram,
    /// Done less actual start.
    pub service: Histogram,
}

/// Bytes that the replay asked of storage, and bytes that went through the block layer for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Amplification {
    /// The tiers.
    pub tiers: Vec<u8>,
    /// The devices below them.
    pub devices: Vec<String>,
    /// `read` or `write`.
    pub op: String,
    /// Bytes that the replay asked for, padding included.
    pub asked_bytes: u64,
    /// Bytes at the block layer for this process.
    pub block_bytes: u64,
    /// Bytes at the block layer of the same devices for others: other processes, the filesystem's
    /// journal, write-back of the page cache.
    pub others_bytes: u64,
    /// `block_bytes` of each asked: near 0 is the page cache; none when nothing was asked.
    pub amplification: Option<f64>,
}

/// What bounded the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// `device`, `dram`, `gpu`, `generator` (the replay itself), `model` (modelled tiers), `pace`
    /// (nothing: the schedule was waited for).
    pub bound: String,
    /// The figure that shows it, in a sentence.
    pub because: String,
}

/// Token rates, never one alone. Tokens generated are those of requests that completed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// Generated tokens of the requests per wall second.
    pub generated_per_s: Option<f64>,
    /// Tokens moved by tier 2 (reads, writes, demotions) per wall second.
    pub tier2_moved_per_s: f64,
    /// Generated tokens per second of storage service summed over requests: the reference's
    /// "storage throughput".
    pub generated_per_storage_s: Option<f64>,
    /// Tokens moved by tier 2 per token generated: the second rate over the first.
    pub read_amplification: Option<f64>,
    /// Tokens read from any tier, demotions apart, per token written by prefill.
    #[serde(default)]
    pub read_per_written: Option<f64>,
    /// What the rates are made of.
    #[serde(default)]
    pub sums: TokenSums,
}

/// What token rates are made of: sums, which can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenSums {
    /// Tokens generated; none without a requests file.
    pub generated: Option<u64>,
    /// Seconds of storage service of the requests that generated them.
    pub storage_s: Option<f64>,
    /// Tokens moved by tier 2.
    pub tier2_moved: f64,
    /// Tokens read from any tier, demotions apart.
    pub read: f64,
    /// Tokens written by prefill.
    pub written: f64,
}

impl TokenSums {
    /// Those of two runs together; what one does not know, both do not.
    pub fn with(self, other: Self) -> Self {
        Self {
            generated: self.generated.zip(other.generated).map(|(a, b)| a + b),
            storage_s: self.storage_s.zip(other.storage_s).map(|(a, b)| a + b),
            tier2_moved: self.tier2_moved + other.tier2_moved,
            read: self.read + other.read,
            written: self.written + other.written,
        }
    }

    /// The rates of a run of `wall_s` seconds, which is not 0.
    pub fn rates(self, wall_s: f64) -> Tokens {
        let ratio = |above: f64, below: f64| (below > 0.0).then(|| above / below);
        let generated = self.generated.map(|tokens| tokens as f64);
        Tokens {
            generated_per_s: generated.map(|tokens| tokens / wall_s),
            tier2_moved_per_s: self.tier2_moved / wall_s,
            generated_per_storage_s: generated.zip(self.storage_s).and_then(|(tokens, s)| ratio(tokens, s)),
            read_amplification: generated.and_then(|tokens| ratio(self.tier2_moved, tokens)),
            read_per_written: ratio(self.read, self.written),
            sums: self,
        }
    }
}

/// How well the run kept its own schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// `asap`, `trace`, `rate`.
    pub pacing: String,
    /// Start less the moment it could have started: the replay's own error.
    pub lateness: Histogram,
    /// Time spent waiting for what is not the replay's own: the next two together.
    pub wait: Histogram,
    /// Waiting for an earlier operation that this one depends on.
    #[serde(default)]
    pub dependency_wait: Histogram,
    /// Waiting for a place among the objects, on the tier or among the bytes in flight.
    #[serde(default)]
    pub queue_wait: Histogram,
    /// For each completion, how long nobody had looked for one at most: the error of its time.
    /// What a wake-up takes is not in it.
    #[serde(default)]
    pub reap_gap: Histogram,
    /// From queueing one I/O to seeing its completion; reads and writes.
    #[serde(default)]
    pub io: Vec<Histogram>,
    /// How long before its time an operation was waited for awake, at the end of the run; none
    /// where that is not done.
    #[serde(default)]
    pub spin_margin_ns: Option<u64>,
    /// The bound of lateness.
    #[serde(default)]
    pub late_bound_ns: Option<f64>,
    /// Share of operations that started later than the bound.
    pub late_fraction: f64,
    /// Actual span against intended, in parts per million; none when unpaced.
    pub drift_ppm: Option<f64>,
}

/// The check of the data that was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verify {
    /// `off`, `stamp`, `sample:P`, `full`.
    pub level: String,
    /// Bytes of objects that were checked.
    pub checked_bytes: u64,
    /// Stamps or sectors that were compared.
    pub checks: u64,
    /// What was wrong; the first thousand.
    pub failures: Vec<VerifyFailure>,
    /// Blocks of 4096 bytes, beginning where the object does, that held wrong data when they were
    /// read; `failures` has the first of each I/O.
    pub failure_count: u64,
}

/// Wrong data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifyFailure {
    /// The row that read it, from 1.
    pub row: u64,
    /// The object.
    pub key: String,
    /// Where in the object.
    pub offset_bytes: u64,
    /// `zeros`, `other_key`, `older_version`, `other_offset`, `corrupt`.
    pub class: String,
}

/// An I/O error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IoError {
    /// The row that met it, from 1; 0 in the prepare stage.
    pub row: u64,
    /// The object.
    pub key: String,
    /// `read`, `write`, `fsync`.
    pub op: String,
    /// The errno's number.
    pub errno: i32,
    /// And its words.
    pub message: String,
}

/// The run over time, one value per interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Length of an interval; short runs have short ones, long runs at most a few thousand.
    pub interval_s: f64,
    /// Bytes really read from tier 2, by completion.
    pub tier2_read_bytes: Vec<u64>,
    /// Bytes really written to tier 2, by completion.
    pub tier2_write_bytes: Vec<u64>,
    /// Bytes really moved in tier 1.
    pub tier1_bytes: Vec<u64>,
    /// Operations completed, all tiers.
    pub ops: Vec<u64>,
    /// The largest lateness of an operation that started in the interval.
    pub lateness_max_ns: Vec<u64>,
}
