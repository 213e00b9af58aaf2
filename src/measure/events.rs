//! One row per block-layer request (`kvtrace.events/1`): the row, and what the file says of
//! itself. [`mod@file`] writes and reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::trace::Phase;

use super::Histogram;
use super::block::{BlockDevice, BlockFilter};

mod ahead;
mod columns;
pub mod file;

pub use ahead::Ahead;
pub use file::{EventsReader, EventsWriter};

/// The schema of an events file, the key of its metadata in the footer.
pub const EVENTS_SCHEMA: &str = "kvtrace.events/1";

/// Histograms of the block result of what happened above the block layer: the rows do not hold it.
const CALLS: [&str; 13] = [
    "uring",
    "syscall_read",
    "syscall_write",
    "fsync",
    "fdatasync",
    "write_to_fsync",
    "fadvise_to_read",
    "cached_read",
    "cached_write",
    "batch",
    "thread",
    "process",
    "asked",
];

/// A value that is a word in the file.
pub trait Word: Copy + 'static {
    /// All of them with their words.
    const WORDS: &'static [(Self, &'static str)];
}

/// Whose request it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The target's.
    #[default]
    Target,
    /// Somebody else's on the same device.
    Other,
}

impl Word for Side {
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Target, "target"), (Self::Other, "other")];
}

impl Word for Phase {
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Prefill, "prefill"), (Self::Decode, "decode"), (Self::Evict, "evict")];
}

/// What a request does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockOp {
    /// Reads.
    #[default]
    Read,
    /// Writes.
    Write,
    /// Empties the device's cache, with or without data.
    Flush,
    /// Frees.
    Discard,
    /// Writes zeroes without sending them.
    WriteZeroes,
}

impl Word for BlockOp {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Read, "read"),
        (Self::Write, "write"),
        (Self::Flush, "flush"),
        (Self::Discard, "discard"),
        (Self::WriteZeroes, "write_zeroes"),
    ];
}

/// What a row tells of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventKind {
    /// It completed.
    #[default]
    Done,
    /// It had completed unseen, and was found out at `completed_ns`.
    Unseen,
    /// It went back to the queue; another row follows.
    Requeued,
    /// It became part of another request.
    Merged,
}

impl Word for EventKind {
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Done, "done"), (Self::Unseen, "unseen"), (Self::Requeued, "requeued"), (Self::Merged, "merged")];
}

/// A row. Times are ns since the capture's start (CLOCK_MONOTONIC); none where it did not happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Index in [`EventsMeta::devices`].
    pub device: usize,
    /// Whose.
    pub side: Side,
    /// The phase that the target was in.
    pub phase: Option<Phase>,
    /// What it does.
    pub op: BlockOp,
    /// What happened.
    pub kind: EventKind,
    /// When it was born.
    pub queued_ns: i64,
    /// When the scheduler took it.
    pub inserted_ns: Option<i64>,
    /// When it was last given to the driver.
    pub issued_ns: Option<i64>,
    /// When it began to count as in flight, where that is not `issued_ns`.
    pub flown_ns: Option<i64>,
    /// When `kind` happened.
    pub completed_ns: i64,
    /// Where on the device it begins; none when it was never issued.
    pub offset_bytes: Option<u64>,
    /// Its length; none when it was never issued.
    pub size_bytes: Option<u64>,
    /// From the end of the last request of its side and direction on the device.
    pub seek_bytes: Option<i64>,
    /// Since the last one of its side and direction was born.
    pub gap_ns: Option<u64>,
    /// Requests of its side in flight on the device when it was issued, itself included.
    pub depth: Option<u32>,
    /// The process (thread group) that it was born in.
    pub pid: u32,
    /// The ordinal, from 1, of the change of its device's and side's requests in flight that it
    /// made when it was issued.
    pub took_off: Option<u32>,
    /// The ordinal of the change that it made when it ended.
    pub landed: Option<u32>,
    /// It ended with an error.
    pub error: bool,
}

/// What an events file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventsMeta {
    /// [`EVENTS_SCHEMA`].
    pub schema: String,
    /// The tool that wrote it, with its version.
    pub tool: String,
    /// False when the capture was interrupted.
    pub complete: bool,
    /// Which probes saw it.
    pub source: String,
    /// Time 0 of the rows, in ns of CLOCK_MONOTONIC.
    pub start_monotonic_ns: u64,
    /// Time 0 of the rows, in ns of CLOCK_REALTIME.
    pub start_unix_ns: u64,
    /// From the moment from which requests were followed to the moment from which no new ones were.
    pub duration_s: Option<f64>,
    /// The devices that were watched, as in the block result.
    pub devices: Vec<BlockDevice>,
    /// Whose I/O is the target.
    pub filter: BlockFilter,
    /// Rows in the file.
    pub rows: u64,
    /// Rows that the file lacks because the buffer was full.
    pub ring_drop: u64,
    /// What was not seen or not understood, as in the block result.
    pub loss: BTreeMap<String, u64>,
    /// Why the numbers are doubtful, in words; empty when they are not.
    pub taint_reasons: Vec<String>,
    /// The target's calls, as in the block result; empty where they were not watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Histogram>,
}

/// The histograms that are of calls.
pub fn of_calls(histograms: &[Histogram]) -> Vec<Histogram> {
    histograms.iter().filter(|h| CALLS.contains(&h.name.as_str())).cloned().collect()
}

impl Event {
    /// When it began to count as in flight.
    pub fn took_off_ns(&self) -> Option<i64> {
        self.took_off.and(self.flown_ns.or(self.issued_ns))
    }
}
