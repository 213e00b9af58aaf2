//! The reference's fifteen histograms, and what they are called here.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// The map in the reference's script.
    pub map: &'static str,
    /// Our name.
    pub name: &'static str,
    /// Its direction.
    pub op: Option<&'static str>,
    /// Our unit.
    pub unit: &'static str,
    /// Our units in one of theirs: µs in ns, KiB and GiB in bytes.
    pub scale: i64,
    /// What of a bucket its values are taken to be where their sum is asked.
    pub at: Place,
    /// Our relative bucket width: powers of two are as wide as their lower end, `lhist` is even.
    pub rel_width: f64,
}

/// A place in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its lowest value: right for sizes that are powers of two.
    Low,
    /// Its middle.
    Middle,
}

const fn row(map: &'static str, name: &'static str, op: Option<&'static str>, unit: &'static str, scale: i64) -> Name {
    Name { map, name, op, unit, scale, at: Place::Middle, rel_width: 1.0 }
}

const fn time(map: &'static str, name: &'static str, op: Option<&'static str>) -> Name {
    row(map, name, op, "ns", 1_000)
}

const READ: Option<&str> = Some("read");
const WRITE: Option<&str> = Some("write");

/// All fifteen, in the order of ours.
pub const NAMES: [Name; 15] = [
    time("d2c_read_us", "d2c", READ),
    time("d2c_write_us", "d2c", WRITE),
    time("q2d_read_us", "q2d", READ),
    time("q2d_write_us", "q2d", WRITE),
    Name { at: Place::Low, ..row("bssplit_read_kb", "size", READ, "bytes", 1 << 10) },
    Name { at: Place::Low, ..row("bssplit_write_kb", "size", WRITE, "bytes", 1 << 10) },
    row("qd_read", "inflight", READ, "ios", 1),
    row("qd_write", "inflight", WRITE, "ios", 1),
    Name { rel_width: 0.0, ..row("lba_read_gb", "lba", READ, "bytes", 1 << 30) },
    Name { rel_width: 0.0, ..row("lba_write_gb", "lba", WRITE, "bytes", 1 << 30) },
    time("vfs_read_us", "syscall_read", None),
    time("vfs_write_us", "syscall_write", None),
    time("fsync_us", "fsync", None),
    time("write_to_fsync_us", "write_to_fsync", None),
    time("fadvise_to_read_us", "fadvise_to_read", None),
];

/// The script's bookkeeping: stamps of what is under way, and the two depths.
pub const BOOKKEEPING: [&str; 10] = [
    "q",
    "d",
    "rs",
    "ws",
    "write_enter",
    "write_done",
    "fsync_enter",
    "fadvise_done",
    "inflight_read",
    "inflight_write",
];

/// Whether a map belongs to the reference's script.
pub fn is_known(map: &str) -> bool {
    NAMES.iter().any(|name| name.map == map) || BOOKKEEPING.contains(&map)
}
