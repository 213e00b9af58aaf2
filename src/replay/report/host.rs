//! Facts of the machine and of the devices below the targets, as the kernel tells them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::measure::conditions::Conditions;
use crate::measure::replay::Host;

use super::conditions::chosen;

/// The machine, now.
pub fn host() -> Host {
    let info = rustix::system::sysinfo();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    Host {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cpu: model.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned(),
        cpus: cpus as u32,
        memory_bytes: info.totalram as u64 * u64::from(info.mem_unit),
        started: rfc3339(SystemTime::now()),
        conditions: Conditions::default(),
    }
}

/// A block device below a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name under /sys/block, e.g. `nvme0n1`.
    pub name: String,
    /// `major:minor` of the whole device.
    pub number: String,
    sys: PathBuf,
}

impl Device {
    /// The whole device that holds a file, or that a device file is; none for filesystems without one.
    pub fn below(path: &Path) -> Option<Self> {
        let facts = fs::metadata(path).ok()?;
        let dev = if facts.file_type().is_block_device() { facts.rdev() } else { facts.dev() };
        let number = format!("{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev));
        let mut sys = fs::canonicalize(format!("/sys/dev/block/{number}")).ok()?;
        if sys.join("partition").exists() {
            sys.pop();
        }
        let number = fs::read_to_string(sys.join("dev")).ok()?.trim().to_owned();
        Some(Self { name: sys.file_name()?.to_string_lossy().into_owned(), number, sys })
    }

    /// Its folder under /sys.
    pub(super) fn sys(&self) -> &Path {
        &self.sys
    }

    /// A setting of its queue.
    pub(super) fn queue(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.sys.join("queue").join(name)).ok().map(|text| text.trim().to_owned())
    }
}

/// What is known of the filesystem and the device below a file.
pub fn facts(path: &Path) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    let is_device = fs::metadata(path).is_ok_and(|facts| facts.file_type().is_block_device());
    if let Some((mount, kind, options)) = mount_of(path).filter(|_| !is_device) {
        facts.insert("mount".to_owned(), mount.into());
        facts.insert("filesystem".to_owned(), kind.into());
        facts.insert("mount_options".to_owned(), options.into());
    }
    let Some(device) = Device::below(path) else { return facts };
    facts.insert("device".to_owned(), device.name.clone().into());
    if let Some(text) = device.queue("scheduler") {
        facts.insert("scheduler".to_owned(), chosen(&text).into());
    }
    for name in ["write_cache", "max_sectors_kb", "max_segments", "rotational", "nr_requests", "logical_block_size"] {
        if let Some(text) = device.queue(name) {
            let value = text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
            facts.insert(name.to_owned(), value);
        }
    }
    facts
}

/// The mount point, filesystem and options of a path.
pub(super) fn mount_of(path: &Path) -> Option<(String, String, String)> {
    let path = path.canonicalize().ok()?;
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    // The format is described in proc(5): `id parent dev root mount options … - type source …`.
    let entries = table.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let fields: Vec<_> = left.split(' ').collect();
        let mount = fields.get(4)?.replace("\\040", " ");
        let right: Vec<_> = right.split(' ').collect();
        // Those of the mount, then those of the filesystem, which all its mounts share.
        let options = [fields.get(5).copied(), right.get(2).copied()].into_iter().flatten().collect::<Vec<_>>();
        path.starts_with(&mount).then(|| (mount, right[0].to_owned(), options.join(",")))
    });
    // The last one of the longest is the one on top.
    entries.max_by_key(|(mount, ..)| mount.len())
}

/// Processor time of this process so far: in user mode and in the kernel, in seconds.
pub fn cpu_times() -> (f64, f64) {
    let total = clock_gettime(ClockId::ProcessCPUTime);
    let total = total.tv_sec as f64 + total.tv_nsec as f64 / 1e9;
    // The kernel scales these two so that they add up to the precise total.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().filter_map(|f| f.parse().ok()).collect();
    // Without the state's letter, utime and stime are the 11th and 12th field after the name.
    match (fields.get(10), fields.get(11)) {
        (Some(user), Some(system)) if user + system > 0.0 => {
            (total * user / (user + system), total * system / (user + system))
        }
        _ => (total, 0.0),
    }
}

/// User and system time between two moments. The kernel's split of all time so far changes with
/// every look, so that a part of a short time may seem to shrink; their sum is exact.
pub fn cpu_between(before: (f64, f64), after: (f64, f64)) -> (f64, f64) {
    let total = (after.0 + after.1 - before.0 - before.1).max(0.0);
    let system = (after.1 - before.1).clamp(0.0, total);
    (total - system, system)
}

/// A moment as `2026-11-22T03:18:00Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (since / 86_400, since % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month as u64 + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        let at = |s| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_310_897), "2026-11-22T01:28:17Z");
    }

    #[test]
    fn the_processor_time_of_work_is_seen() {
        let before = cpu_times();
        let mut x = 1u64;
        (0..20_000_000u64).for_each(|i| x = std::hint::black_box(x ^ i));
        let after = cpu_times();
        assert!(after.0 + after.1 > before.0 + before.1);
    }

    #[test]
    fn neither_part_of_processor_time_is_negative() {
        assert_eq!(cpu_between((1.0, 2.0), (3.0, 1.5)), (1.5, 0.0));
        assert_eq!(cpu_between((1.0, 2.0), (0.5, 3.5)), (0.0, 1.0));
        assert_eq!(cpu_between((1.0, 2.0), (1.5, 2.25)), (0.5, 0.25));
    }

    #[test]
    fn a_file_has_a_mount() {
        let facts = facts(Path::new("/proc/self/stat"));
        assert_eq!(facts["filesystem"], "proc");
    }
}
