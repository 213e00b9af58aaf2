//! Block devices as targets: whether one may be used, and what is on it. Nothing here writes.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::{Error, Result, plain};

use super::filesystem::ALIGNMENT;

/// A block device that may be used.
#[derive(Debug)]
pub struct BlockDevice {
    /// Its path, links followed.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// What O_DIRECT needs on it.
    pub alignment_bytes: u32,
    /// What was found on it, if it was something known.
    pub content: Option<&'static str>,
}

/// Looks at a block device that `what` (`--tier-2 block:/dev/x`) names, without writing. It must be
/// named among `destroys`, links followed.
///
/// # Errors
/// When it is not a block device, is in use in any way, is read-only, or was not named.
pub fn survey(path: &Path, what: &str, destroys: &[PathBuf]) -> Result<BlockDevice> {
    let refuse = |why: String| Err(Error::usage(format!("{what}: {why}")));
    let (path, facts) = match path.canonicalize().and_then(|real| fs::metadata(&real).map(|facts| (real, facts))) {
        Ok(found) => found,
        Err(e) => return refuse(format!("{}; name a block device", plain(&e))),
    };
    if !facts.file_type().is_block_device() {
        return refuse(format!("{} is not a block device; use dir: for a folder, file: for a file", path.display()));
    }
    let sys = SysDevice::of(facts.rdev()).ok_or_else(|| Error::usage(format!("{what}: /sys does not know it")))?;
    if let Some(use_of_it) = sys.in_use() {
        return refuse(format!("{use_of_it}; only a device that nothing uses can be a target"));
    }
    let read_only = sys.text("ro").is_some_and(|text| text != "0");
    if read_only {
        return refuse("the device is read-only".to_owned());
    }
    let mut file = match File::options().read(true).custom_flags(OFlags::EXCL.bits() as i32).open(&path) {
        Ok(file) => file,
        Err(e) if rustix::io::Errno::from_io_error(&e) == Some(rustix::io::Errno::BUSY) => return refuse(busy(&path)),
        Err(e) => return Err(Error::unavailable(format!("{what}: {}; run as root", plain(&e)))),
    };
    let content = signature(&file);
    if !destroys.iter().any(|named| named.canonicalize().is_ok_and(|named| named == path)) {
        let content = content.map_or_else(|| "everything on it".to_owned(), |found| format!("{found} on it"));
        return refuse(format!("that would destroy {content}; add --i-know-this-destroys {} if so", path.display()));
    }
    let alignment_bytes = sys.logical_block_size();
    if alignment_bytes > ALIGNMENT {
        return refuse(format!("its blocks of {alignment_bytes} bytes are larger than {ALIGNMENT}"));
    }
    let size_bytes = file.seek(SeekFrom::End(0)).map_err(|e| Error::reading(&path, &e))?;
    Ok(BlockDevice { path, size_bytes, alignment_bytes, content })
}

/// Opens a surveyed device for itself alone, as long as the file is open.
///
/// # Errors
/// When somebody has begun to use it.
pub fn claim(path: &Path) -> Result<File> {
    let options = File::options().read(true).write(true).custom_flags(OFlags::EXCL.bits() as i32).open(path);
    options.map_err(|e| match rustix::io::Errno::from_io_error(&e) {
        Some(rustix::io::Errno::BUSY) => Error::usage(busy(path)),
        _ => Error::writing(path, &e),
    })
}

fn busy(path: &Path) -> String {
    format!("{} is in use: the kernel does not give it to us alone", path.display())
}

/// A block device under /sys.
struct SysDevice {
    sys: PathBuf,
}

impl SysDevice {
    fn of(number: u64) -> Option<Self> {
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let sys = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
        Some(Self { sys })
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.sys.join(name)).ok().map(|text| text.trim().to_owned())
    }

    fn name(&self) -> String {
        self.sys.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn is_partition(&self) -> bool {
        self.sys.join("partition").exists()
    }

    /// The whole device that this one is, or is a part of.
    fn disk(&self) -> Self {
        let parent = self.sys.parent().filter(|_| self.is_partition());
        Self { sys: parent.unwrap_or(&self.sys).to_owned() }
    }

    fn partitions(&self) -> Vec<Self> {
        let entries = fs::read_dir(&self.sys).into_iter().flatten().flatten();
        entries.map(|entry| Self { sys: entry.path() }).filter(Self::is_partition).collect()
    }

    fn logical_block_size(&self) -> u32 {
        self.disk().text("queue/logical_block_size").and_then(|text| text.parse().ok()).unwrap_or(ALIGNMENT)
    }

    /// What uses it, its partitions or the disk that it is a part of; none when nothing does.
    fn in_use(&self) -> Option<String> {
        let disk = self.disk();
        let parts = disk.partitions();
        if let Some(part) = parts.first().filter(|_| !self.is_partition()) {
            return Some(format!("{} has partitions ({})", self.name(), part.name()));
        }
        let family: Vec<_> = std::iter::once(&disk).chain(&parts).collect();
        family.iter().find_map(|device| device.held())
    }

    /// What uses this very device.
    fn held(&self) -> Option<String> {
        let (name, number) = (self.name(), self.text("dev")?);
        if let Some(mount) = mounts().find(|(device, source, _)| *device == number || is_device(source, &number)) {
            return Some(format!("{name} is mounted on {}", mount.2));
        }
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        if swaps.lines().filter_map(|line| line.split_ascii_whitespace().next()).any(|path| is_device(path, &number)) {
            return Some(format!("{name} is swap space"));
        }
        let holder = fs::read_dir(self.sys.join("holders")).ok().and_then(|mut holders| holders.next()?.ok());
        if let Some(holder) = holder {
            return Some(format!("{name} is a part of {}", holder.file_name().to_string_lossy()));
        }
        let loops = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let mut backings =
            loops.filter_map(|l| Some((fs::read_to_string(l.path().join("loop/backing_file")).ok()?, l)));
        let backed = backings.find(|(backing, _)| is_device(backing.trim(), &number));
        backed.map(|(_, device)| format!("{name} is what {} lies on", device.file_name().to_string_lossy()))
    }
}

/// Device number, source and place of every mount, as proc(5) describes mountinfo.
fn mounts() -> impl Iterator<Item = (String, String, String)> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let entry = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let fields: Vec<_> = left.split(' ').collect();
        let source = right.split(' ').nth(1)?.replace("\\040", " ");
        Some(((*fields.get(2)?).to_owned(), source, (*fields.get(4)?).replace("\\040", " ")))
    };
    table.lines().filter_map(entry).collect::<Vec<_>>().into_iter()
}

/// Whether a path is the block device of that number (`8:1`).
fn is_device(path: &str, number: &str) -> bool {
    path.starts_with('/')
        && fs::metadata(path).is_ok_and(|facts| {
            let its = facts.rdev();
            facts.file_type().is_block_device()
                && format!("{}:{}", rustix::fs::major(its), rustix::fs::minor(its)) == number
        })
}

/// Magic numbers by place, from the formats' own descriptions: ext4 `s_magic` (kernel
/// Documentation/filesystems/ext4), XFS `XFS_SB_MAGIC`, btrfs `BTRFS_MAGIC` at 64 KiB, F2FS
/// `F2FS_SUPER_MAGIC`, LVM2 label, LUKS header, swap header, md superblock 1.1 and 1.2, UEFI GPT
/// header, the boot record's last two bytes.
const SIGNATURES: [(u64, &[u8], &str); 15] = [
    (0x438, &[0x53, 0xef], "an ext2, ext3 or ext4 filesystem"),
    (0, b"XFSB", "an XFS filesystem"),
    (0x10040, b"_BHRfS_M", "a btrfs filesystem"),
    (0x400, &[0x10, 0x20, 0xf5, 0xf2], "an F2FS filesystem"),
    (3, b"NTFS    ", "an NTFS filesystem"),
    (512, b"LABELONE", "an LVM volume"),
    (0, b"LABELONE", "an LVM volume"),
    (0, b"LUKS\xba\xbe", "an encrypted LUKS volume"),
    (4086, b"SWAPSPACE2", "swap space"),
    (0, &[0xfc, 0x4e, 0x2b, 0xa9], "a RAID member"),
    (4096, &[0xfc, 0x4e, 0x2b, 0xa9], "a RAID member"),
    (512, b"EFI PART", "a partition table (GPT)"),
    (4096, b"EFI PART", "a partition table (GPT)"),
    (510, &[0x55, 0xaa], "a partition table or boot record"),
    (0, b"{\"schema\":\"kvtrace.slab/1\"", "a slab of kvtrace"),
];

fn signature(device: &File) -> Option<&'static str> {
    let found = |(place, magic, _): &&(u64, &[u8], &str)| {
        let mut data = vec![0; magic.len()];
        device.read_exact_at(&mut data, *place).is_ok() && data == *magic
    };
    SIGNATURES.iter().find(found).map(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_a_device_is_recognised() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(signature(&file), None, "nothing is on an empty device");
        file.set_len(1 << 20).unwrap();
        assert_eq!(signature(&file), None);
        for (place, magic, name) in SIGNATURES {
            file.write_all_at(magic, place).unwrap();
            assert_eq!(signature(&file), Some(name));
            file.write_all_at(&vec![0; magic.len()], place).unwrap();
        }
    }

    #[test]
    fn the_devices_of_mounts_are_in_use() {
        for (number, _, place) in mounts() {
            let Some((major, minor)) = number.split_once(':') else { continue };
            let number = rustix::fs::makedev(major.parse().unwrap(), minor.parse().unwrap());
            if let Some(device) = SysDevice::of(number) {
                assert!(device.in_use().is_some(), "{} is mounted on {place}", device.name());
                let destroys = [PathBuf::from("/dev").join(device.name())];
                assert!(survey(&destroys[0], "a test", &destroys).is_err(), "and never a target");
            }
        }
        assert!(survey(Path::new("/dev/null"), "a test", &["/dev/null".into()]).is_err());
    }
}
