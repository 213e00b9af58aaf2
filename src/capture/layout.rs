//! Where the programs put what they count: the Rust side of `bpf/layout.h`.

/// The target's set.
pub const TARGET: usize = 0;
/// Everybody else's.
pub const OTHER: usize = 1;
/// Sets.
pub const SETS: usize = 2;

/// Rows of times in a set: their name and direction, in order.
pub const TIMES: [(&str, Option<&str>); 9] = [
    ("d2c", Some("read")),
    ("d2c", Some("write")),
    ("q2d", Some("read")),
    ("q2d", Some("write")),
    ("q2c", Some("read")),
    ("q2c", Some("write")),
    ("flush", None),
    ("discard", None),
    ("write_zeroes", None),
];

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

/// The counters, in order.
pub const LOSSES: [&str; 12] = [
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
];
