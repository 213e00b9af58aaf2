//! Where the programs put what they count: the Rust side of `bpf/layout.h`.

use std::ops::Range;

/// The target's set.
pub const TARGET: usize = 0;
/// Everybody else's.
pub const OTHER: usize = 1;
/// Sets when the target does not say in which phase it is.
pub const PLAIN_SETS: usize = 2;
/// The target's phases, each a set, following the plain ones.
pub const PHASES: [&str; 3] = ["prefill", "decode", "evict"];
/// Sets.
pub const SETS: usize = PLAIN_SETS + PHASES.len();

/// Rows of times, distances, lengths, bytes and requests of calls in a set: their name and direction, in order. A `seek`
/// has two: forward, then backward (`seek_back`).
pub const TIMES: [(&str, Option<&str>); 32] = [
    ("d2c", Some("read")),
    ("d2c", Some("write")),
    ("q2d", Some("read")),
    ("q2d", Some("write")),
    ("q2c", Some("read")),
    ("q2c", Some("write")),
    ("flush", None),
    ("discard", None),
    ("write_zeroes", None),
    ("i2d", Some("read")),
    ("i2d", Some("write")),
    ("gap", Some("read")),
    ("gap", Some("write")),
    ("run_length", Some("read")),
    ("run_length", Some("write")),
    ("seek", Some("read")),
    ("seek", Some("write")),
    ("seek_back", Some("read")),
    ("seek_back", Some("write")),
    ("uring", Some("read")),
    ("uring", Some("write")),
    ("syscall_read", None),
    ("syscall_write", None),
    ("fsync", None),
    ("fdatasync", None),
    ("write_to_fsync", None),
    ("fadvise_to_read", None),
    ("cached_read", None),
    ("cached_write", None),
    ("batch", None),
    ("asked", Some("read")),
    ("asked", Some("write")),
];

/// Rows of io_uring operations.
pub const URINGS: Range<usize> = 19..21;
/// Rows of reading and writing system calls.
pub const SYSCALLS: Range<usize> = 21..23;
/// Rows of syncs and of what lies between calls; syncs through io_uring are among them.
pub const FSYNCS: Range<usize> = 23..27;
/// Rows of the bytes of calls through the page cache.
pub const CACHED: Range<usize> = 27..29;
/// The row of the operations of calls that submit some.
pub const BATCHES: usize = 29;
/// Rows of the bytes of direct calls and io_uring operations.
pub const ASKED: Range<usize> = 30..32;

/// Buckets of a time: all below 2^37 ns, and one for what is above.
pub const TIME_BUCKETS: usize = 1057;
/// Buckets over a device.
pub const LBA_BUCKETS: usize = 1024;
/// Buckets of a wide row.
pub const WIDE_BUCKETS: usize = 2048;
/// Wide rows that a size takes.
pub const SIZE_ROWS: usize = 5;
/// The first wide row of each direction's size.
pub const SIZES: [usize; 2] = [0, SIZE_ROWS];
/// The wide row of each direction's depth at issue.
pub const DEPTHS: [usize; 2] = [2 * SIZE_ROWS, 2 * SIZE_ROWS + 1];
/// The wide row of the time at each depth: reads, writes, both.
pub const BUSY: [usize; 3] = [2 * SIZE_ROWS + 2, 2 * SIZE_ROWS + 3, 2 * SIZE_ROWS + 4];
/// Wide rows in a set.
pub const WIDES: usize = 2 * SIZE_ROWS + 5;

/// Classes of system calls.
pub const CALL_READ: u8 = 1;
/// Writing ones.
pub const CALL_WRITE: u8 = 2;
/// fsync.
pub const CALL_FSYNC: u8 = 3;
/// fdatasync.
pub const CALL_FDATASYNC: u8 = 4;
/// fadvise64.
pub const CALL_FADVISE: u8 = 5;
/// io_submit.
pub const CALL_SUBMIT: u8 = 6;
/// io_uring_enter.
pub const CALL_ENTER: u8 = 7;

/// A device number under which files of the watched disks appear.
pub const FILES: u8 = 1;
/// The same, with a filesystem mounted from it.
pub const FILES_MOUNTED: u8 = 2;

/// The counters, in order.
pub const LOSSES: [&str; 19] = [
    "map_full",
    "pids_full",
    "late_attr",
    "nomatch_before_attach",
    "nomatch_later",
    "lost_complete",
    "never_issued",
    "passthrough",
    "partial",
    "requeue",
    "rq_merged",
    "errors",
    "ring_drop",
    "threads_full",
    "uring_full",
    "uring_unmatched",
    "uring_punted",
    "writeback_owned",
    "writeback_unknown",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::native::Native;
    use crate::measure::histogram::{TIME_GROUPING, bucket_low, bucket_of};

    #[test]
    fn the_programs_use_our_buckets() {
        let mut values: Vec<u64> = (0..64)
            .flat_map(|power| {
                let value = 1u64 << power;
                [value - 1, value, value | 1, value | (value >> 1), (value << 1).wrapping_sub(1)]
            })
            .collect();
        values.extend((0..bucket_of(u64::MAX, TIME_GROUPING)).flat_map(|at| {
            let low = bucket_low(at, TIME_GROUPING);
            [low, low.saturating_sub(1)]
        }));
        values.extend([u64::MAX, u64::MAX - 1]);
        let input: String = values.iter().map(|value| format!("{value}\n")).collect();
        let program = r#"
            #include "hist.h"
            int main(void) {
                __u64 value;
                while (scanf("%llu", &value) == 1)
                    printf("%u %u %u\n", kv_bucket(value, 4), kv_bucket(value, 5), kv_bucket(value, 7));
                return 0;
            }"#;
        let Some(output) = Native::compile(program).map(|program| program.run(&input)) else { return };
        assert_eq!(output.lines().count(), values.len());
        for (value, line) in values.iter().zip(output.lines()) {
            let ours = [4, 5, 7].map(|g| bucket_of(*value, g).to_string()).join(" ");
            assert_eq!(line, ours, "buckets of {value}");
        }
    }

    #[test]
    fn both_sides_agree_where_things_lie() {
        let program = r#"
            #include "layout.h"
            int main(void) {
                printf("%d %d %d %d %d ", KV_TARGET, KV_OTHER, KV_PLAIN_SETS, KV_SETS, KV_TIMES);
                printf("%d %d %d %d ", KV_TIME_BUCKETS, KV_LBA_BUCKETS, KV_WIDE_BUCKETS, KV_SIZE_ROWS);
                printf("%d %d %d %d ", KV_SIZE_READ, KV_SIZE_WRITE, KV_DEPTH_READ, KV_DEPTH_WRITE);
                printf("%d %d %d %d ", KV_BUSY_READ, KV_BUSY_WRITE, KV_BUSY_BOTH, KV_WIDES);
                printf("%d %d ", KV_LOSSES, KV_TIME_GROUPING);
                printf("%d %d %d %d %d ", KV_MAP_FULL, KV_NOMATCH_LATER, KV_REQUEUE, KV_ERRORS, KV_RING_DROP);
                printf("%d %d %d ", KV_THREADS_FULL, KV_URING_UNMATCHED, KV_WRITEBACK_UNKNOWN);
                printf("%d %d %d %d ", KV_D2C_READ, KV_Q2D_WRITE, KV_Q2C_READ, KV_Q2C_ZEROES);
                printf("%d %d %d %d ", KV_I2D_READ, KV_GAP_WRITE, KV_RUN_READ, KV_AHEAD_READ);
                printf("%d %d %d %d", KV_BACK_WRITE, KV_URING_READ, KV_SYSCALL_WRITE, KV_FADVISE_TO_READ);
                printf(" %d %d %d", KV_CACHED_WRITE, KV_BATCH, KV_ASKED_WRITE);
                printf(" %d %d %d %d", KV_CALL_READ, KV_CALL_ENTER, KV_FILES, KV_FILES_MOUNTED);
                return 0;
            }"#;
        let Some(output) = Native::compile(program).map(|program| program.run("")) else { return };
        let loss = |name: &str| LOSSES.iter().position(|loss| *loss == name).unwrap();
        let time = |name: &str, op| TIMES.iter().position(|row| *row == (name, op)).unwrap();
        let ours = [
            TARGET,
            OTHER,
            PLAIN_SETS,
            SETS,
            TIMES.len(),
            TIME_BUCKETS,
            LBA_BUCKETS,
            WIDE_BUCKETS,
            SIZE_ROWS,
            SIZES[0],
            SIZES[1],
            DEPTHS[0],
            DEPTHS[1],
            BUSY[0],
            BUSY[1],
            BUSY[2],
            WIDES,
            LOSSES.len(),
            TIME_GROUPING as usize,
            loss("map_full"),
            loss("nomatch_later"),
            loss("requeue"),
            loss("errors"),
            loss("ring_drop"),
            loss("threads_full"),
            loss("uring_unmatched"),
            loss("writeback_unknown"),
            time("d2c", Some("read")),
            time("q2d", Some("write")),
            time("q2c", Some("read")),
            time("write_zeroes", None),
            time("i2d", Some("read")),
            time("gap", Some("write")),
            time("run_length", Some("read")),
            time("seek", Some("read")),
            time("seek_back", Some("write")),
            time("uring", Some("read")),
            time("syscall_write", None),
            time("fadvise_to_read", None),
            time("cached_write", None),
            BATCHES,
            time("asked", Some("write")),
            CALL_READ.into(),
            CALL_ENTER.into(),
            FILES.into(),
            FILES_MOUNTED.into(),
        ];
        assert_eq!(output, ours.map(|n| n.to_string()).join(" "));
        assert_eq!(TIME_BUCKETS, bucket_of(1 << 37, TIME_GROUPING) + 1, "one bucket for everything from 2^37 ns");
    }
}
