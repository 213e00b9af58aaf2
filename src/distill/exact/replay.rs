//! The small fio job that replays an iolog, and what its reader must know of fio's timing.

use crate::distill::buffers::aligned;
use crate::distill::header::quoted;
use crate::distill::job::{HUGE_PAGES, JOB_SCHEMA, Origin};
use crate::distill::section::{Section, Setting, comment};
use crate::units;

use super::Iolog;

/// The oldest fio that reads version 3 of an iolog.
pub const OLDEST: (u32, u32) = (3, 31);
/// Rows from which on fio should not hold all of an iolog in memory.
const LONG: u64 = 1_000_000;
/// The most requests in flight that io_uring takes (io_uring_setup(2), IORING_MAX_ENTRIES).
const MOST_IN_FLIGHT: u64 = 32_768;

impl Iolog {
    /// Requests that move data.
    pub fn requests(&self) -> u64 {
        self.reads + self.writes
    }

    /// fio's `iodepth`: room for all that were in flight, so that none waits for another.
    pub fn depth(&self) -> u64 {
        self.in_flight.clamp(1, MOST_IN_FLIGHT)
    }

    /// The command that replays it.
    pub fn command(job_file: &str) -> String {
        format!("{HUGE_PAGES} fio --replay_redirect=FILE {}", quoted(job_file))
    }

    /// The command that makes a file for it.
    pub fn prepare(&self) -> String {
        format!(
            "fio --name=fill --filename=FILE --size={} --rw=write --bs=1m --direct=1 --refill_buffers --end_fsync=1",
            self.size_bytes.next_multiple_of(units::MIB)
        )
    }

    /// The sections of the job that replays it.
    pub fn sections(&self, iolog: &str, ioengine: &str) -> Vec<Section> {
        let mut settings = vec![
            Setting::new("ioengine", ioengine),
            Setting::new("direct", 1),
            Setting::because(
                "read_iolog",
                iolog,
                "beside this file; fio looks for it in the folder where it is started",
            ),
        ];
        settings.extend(aligned(self.largest_bytes));
        if self.requests() > LONG {
            settings.push(Setting::because("read_iolog_chunked", 1, "fio need not hold all of it in memory"));
        }
        let memory = units::bytes(self.depth().saturating_mul(self.largest_bytes));
        let why = format!(
            "the most in flight from birth to completion, so that none waits for another; fio takes {memory} of buffers"
        );
        settings.push(Setting::because("iodepth", self.depth(), why));
        vec![Section { name: "replay".to_owned(), about: Vec::new(), settings }]
    }

    /// What a user should hear.
    pub fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.left_out > 0 {
            all.push(format!(
                "{} discards and written zeroes are left out: fio's iolog has no word for them",
                units::count(self.left_out)
            ));
        }
        if self.late > 0 {
            all.push(format!(
                "{} requests stand later than they were born: too many others ended before them",
                units::count(self.late)
            ));
        }
        if self.in_flight > self.depth() {
            all.push(format!("{} were in flight; io_uring takes {}", units::count(self.in_flight), self.depth()));
        }
        all
    }

    /// The job that replays it.
    pub fn job(&self, origin: &Origin, iolog: &str, sections: &[Section], facts: &[String]) -> String {
        let mut lines = vec![
            format!("{JOB_SCHEMA} by {}", crate::TOOL),
            String::new(),
            format!(
                "Replays every request of {iolog} with fio {}.{} or later (version 3 of an iolog):",
                OLDEST.0, OLDEST.1
            ),
            format!("  {}", Self::command(&origin.job_file)),
            format!(
                "FILE is a block device or a file of at least {} ({} bytes) that is full of data;",
                units::bytes(self.size_bytes),
                self.size_bytes
            ),
            "its content is lost if there are writes. This makes one:".to_owned(),
            format!("  {}", self.prepare()),
            String::new(),
            format!("Source: {} ({}), sha256 {}", origin.file, origin.schema, origin.sha256),
        ];
        lines.extend(facts.iter().cloned());
        lines.push(format!(
            "{} reads of {}, {} writes of {}, {} syncs (flushes of the device) in {:.3} s",
            units::count(self.reads),
            units::bytes(self.read_bytes),
            units::count(self.writes),
            units::bytes(self.write_bytes),
            units::count(self.syncs),
            self.span_ns as f64 / 1e9
        ));
        lines.extend(CAVEATS.map(str::to_owned));
        lines.extend(self.warnings().iter().map(|warning| format!("WARNING: {warning}")));
        let lines = lines.iter().map(|line| comment(line)).chain(sections.iter().flat_map(Section::lines));
        lines.map(|line| line + "\n").collect()
    }
}

/// What fio's timing is not.
const CAVEATS: [&str; 9] = [
    "",
    "What fio's timing is not: fio keeps the time between two requests, in whole microseconds, not the moment of",
    "each. Where one goes out late (a full queue, a busy host), all after it are late by as much; nothing catches",
    "up. One thread issues in the order of the list, and a request that the device holds up in submission holds up",
    "those behind it. Nothing waits for another's end, though the source's program may have: on a slower device",
    "more is in flight, up to iodepth. --replay_no_stall=1 drops the times, --replay_time_scale=50 halves the pace.",
    "Requests are as the device got them, after merges and splits; on 4 KiB pages fio's may be split again, and",
    "neighbours may be merged. fio counts a datasync as a short read or write; that is its bookkeeping.",
    "Places are moved together: the touched part of each device from its first byte on.",
];
