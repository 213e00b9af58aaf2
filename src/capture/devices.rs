//! Block devices: from what somebody names to the disks whose requests can be seen, and the
//! kernel's own facts and counters about them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::measure::block::{BlockDevice, DeviceTimes, KernelCounters};

/// Bytes of a sector, the unit of the kernel's block layer whatever the device's own.
pub const SECTOR: u64 = 512;
/// Most devices that one capture watches.
const MAX_DEVICES: usize = 64;

/// A whole disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its name under /sys/block.
    pub name: String,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Capacity in sectors.
    pub sectors: u64,
    /// Requests that its queues can hold at once.
    pub requests: u32,
    /// It has no queue of requests (zram, nvme's multipath): its bios are followed instead.
    pub takes_bios: bool,
    /// Which one of those that had its name since the machine started (Linux 5.15); none before.
    pub sequence: Option<u64>,
}

impl Device {
    /// The key by which the programs know it.
    pub fn number(&self) -> u32 {
        self.major << 20 | self.minor
    }

    /// The kernel's facts, with both counters zero.
    pub fn facts(&self) -> BlockDevice {
        let queue = |name: &str| read(&sys(&self.name).join("queue").join(name)).unwrap_or_default();
        let schedulers = queue("scheduler");
        let chosen = schedulers.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(name, _)| name);
        BlockDevice {
            name: self.name.clone(),
            number: format!("{}:{}", self.major, self.minor),
            size_bytes: self.sectors * SECTOR,
            scheduler: chosen.unwrap_or(&schedulers).to_owned(),
            max_sectors_kb: queue("max_sectors_kb").parse().unwrap_or_default(),
            write_cache: queue("write_cache"),
            kernel: KernelCounters::default(),
            uncounted: !self.keeps_counters(),
            captured: KernelCounters::default(),
            times: None,
        }
    }

    /// Whether the kernel counts this device's I/O at all.
    pub fn keeps_counters(&self) -> bool {
        read(&sys(&self.name).join("queue/iostats")).as_deref() != Some("0")
    }

    /// What the kernel has counted on it since it appeared (Documentation/block/stat.rst).
    pub fn counters(&self) -> KernelCounters {
        let field = self.stat();
        KernelCounters {
            read_ios: field(0),
            read_bytes: field(2) * SECTOR,
            write_ios: field(4),
            write_bytes: field(6) * SECTOR,
        }
    }

    /// What else the kernel has counted on it since it appeared.
    pub fn times(&self) -> DeviceTimes {
        const MS: u64 = 1_000_000;
        let field = self.stat();
        DeviceTimes {
            read_merges: field(1),
            write_merges: field(5),
            read_ns: field(3) * MS,
            write_ns: field(7) * MS,
            flush_ns: field(16) * MS,
            flush_ios: field(15),
            busy_ns: field(9) * MS,
            queue_ns: field(10) * MS,
            samples: 0,
        }
    }

    /// Reads and writes in flight now; none when the device is gone.
    pub fn in_flight(&self) -> Option<(u64, u64)> {
        let text = read(&sys(&self.name).join("inflight"))?;
        let (reads, writes) = text.split_once(char::is_whitespace)?;
        Some((reads.parse().ok()?, writes.trim().parse().ok()?))
    }

    /// What happened to the device itself since it was found, in words; none when nothing did.
    pub fn changed(&self) -> Option<String> {
        let Some(size) = read(&sys(&self.name).join("size")) else {
            return Some(format!("{} disappeared while it was watched, and the kernel's counters with it", self.name));
        };
        let sequence = read(&sys(&self.name).join("diskseq")).and_then(|number| number.parse().ok());
        if sequence != self.sequence {
            return Some(format!("{} was taken away while it was watched, or became another device", self.name));
        }
        (size != self.sectors.to_string())
            .then(|| format!("{} changed from {} to {size} sectors while it was watched", self.name, self.sectors))
    }

    /// The fields of its line of statistics, 0 for those that this kernel does not have.
    fn stat(&self) -> impl Fn(usize) -> u64 {
        let text = read(&sys(&self.name).join("stat")).unwrap_or_default();
        let fields: Vec<u64> = text.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        move |at| fields.get(at).copied().unwrap_or(0)
    }
}

/// The disks behind what somebody named: a name, a device node, or a file or folder.
///
/// # Errors
/// When it does not exist, lies on no block device, or its device takes no requests.
pub fn resolve(named: &str) -> Result<Vec<Device>> {
    let by_name = Path::new("/sys/class/block").join(named);
    // Nothing, `.` and `..` are folders, not names of sysfs.
    if !named.is_empty() && !named.contains('/') && !named.starts_with('.') && by_name.exists() {
        return disks_of(named, &by_name);
    }
    let facts = fs::metadata(named).map_err(|_| {
        Error::usage(format!("there is no block device, file or folder `{named}`; the disks here: {}", names(&all())))
    })?;
    let number = if facts.file_type().is_block_device() { facts.rdev() } else { facts.dev() };
    let entry = sys_entry(number);
    if entry.exists() {
        return disks_of(named, &entry);
    }
    // Some filesystems (btrfs, overlay) show a number of their own; the mount table knows more.
    match mount_source(number) {
        Some(source) if source != named && source.starts_with("/dev/") => resolve(&source),
        _ => Err(Error::usage(format!(
            "`{named}` lies on no block device (tmpfs, overlay or a network filesystem); name one of: {}",
            names(&all())
        ))),
    }
}

/// The disks behind the names; every disk when none is named.
///
/// # Errors
/// Those of [`resolve`], and when there are none or more than one capture watches.
pub fn watched(named: &[String]) -> Result<Vec<Device>> {
    let mut found = Vec::new();
    for name in named {
        found.extend(resolve(name)?);
    }
    if named.is_empty() {
        found = all();
    }
    found.sort();
    found.dedup();
    match found.len() {
        0 => Err(Error::unavailable("there is no disk with a request queue here (/sys/block/*/mq)")),
        1..=MAX_DEVICES => Ok(found),
        many => Err(Error::usage(format!(
            "{many} disks are more than the {MAX_DEVICES} that one capture watches; name some with --dev"
        ))),
    }
}

/// Every disk that takes requests and holds something; RAM disks left out.
pub fn all() -> Vec<Device> {
    let Ok(entries) = fs::read_dir("/sys/block") else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with("ram") && !name.starts_with("zram"));
    names.sort();
    names.iter().filter_map(|name| disk(name)).filter(|device| device.sectors > 0).collect()
}

/// Device names for a message.
pub fn names(devices: &[Device]) -> String {
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// From an entry of /sys/class/block or /sys/dev/block to whole disks: a partition means its
/// disk, a stacked device (dm, md) the disks below it, and one without requests and with nothing
/// below it itself.
fn disks_of(named: &str, entry: &Path) -> Result<Vec<Device>> {
    let lost = || Error::usage(format!("`{named}` disappeared from /sys while it was looked at"));
    let mut folder = entry.canonicalize().map_err(|_| lost())?;
    if folder.join("partition").exists() {
        folder.pop();
    }
    let name = folder.file_name().ok_or_else(lost)?.to_string_lossy().into_owned();
    if let Some(device) = disk(&name) {
        return Ok(vec![device]);
    }
    let mut below = Vec::new();
    for slave in fs::read_dir(folder.join("slaves")).into_iter().flatten().flatten() {
        below.extend(disks_of(named, &slave.path())?);
    }
    below.sort();
    below.dedup();
    // A layer and what is below it show the same I/O, so it is one or the other.
    if below.is_empty() {
        return Ok(vec![whole(&name, true).ok_or_else(lost)?]);
    }
    Ok(below)
}

/// A disk that takes requests; none when it takes bios or is not there.
fn disk(name: &str) -> Option<Device> {
    sys(name).join("mq").exists().then(|| whole(name, false))?
}

fn whole(name: &str, takes_bios: bool) -> Option<Device> {
    let folder = sys(name);
    let queues = fs::read_dir(folder.join("mq")).map_or(0, |entries| entries.flatten().count() as u32);
    let number = read(&folder.join("dev"))?;
    let (major, minor) = number.split_once(':')?;
    let per_queue: u32 = read(&folder.join("queue/nr_requests")).and_then(|n| n.parse().ok()).unwrap_or(256);
    Some(Device {
        name: name.to_owned(),
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        sectors: read(&folder.join("size"))?.parse().ok()?,
        requests: per_queue.saturating_mul(queues.max(1)),
        takes_bios,
        sequence: read(&folder.join("diskseq")).and_then(|number| number.parse().ok()),
    })
}

fn sys(name: &str) -> PathBuf {
    Path::new("/sys/block").join(name)
}

fn sys_entry(number: u64) -> PathBuf {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// What is mounted under a filesystem's device number (proc_pid_mountinfo(5)).
fn mount_source(number: u64) -> Option<String> {
    let wanted = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let matches = left.split_ascii_whitespace().nth(2)? == wanted;
        matches.then(|| right.split_ascii_whitespace().nth(1).map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disk_resolves_by_its_name() {
        // Loop devices come and go.
        for device in all().into_iter().filter(|device| !device.name.starts_with("loop")) {
            assert_eq!(resolve(&device.name).unwrap(), vec![device.clone()], "{}", device.name);
            assert_eq!(resolve(&format!("/dev/{}", device.name)).unwrap(), vec![device]);
        }
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for nothing in ["", "nosuchdisk", "/dev/nosuchdisk", "/no/such/file", "/proc/self/status"] {
            let error = resolve(nothing).unwrap_err();
            assert_eq!(error.kind().exit_code(), 2, "{error}");
            assert!(error.to_string().contains(nothing), "{error}");
        }
    }
}
