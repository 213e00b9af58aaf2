//! Under which device numbers the files of watched disks appear: the disks' own and their
//! partitions', those of what is stacked on them (dm, md), and those of filesystems with numbers of
//! their own (btrfs, overlay).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::devices::Device;
use super::layout::{FILES, FILES_MOUNTED};

/// Device numbers, as the kernel keeps them inside (major << 20 | minor), and what each is to the
/// programs. What is mounted later under a number of its own (btrfs, overlay) is not known.
pub fn numbers(devices: &[Device]) -> BTreeMap<u32, u8> {
    let mut found = BTreeMap::new();
    for device in devices {
        found.insert(device.number(), FILES);
        add_above(&Path::new("/sys/block").join(&device.name), &mut found);
    }
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts: Vec<Mount<'_>> = table.lines().filter_map(Mount::of_line).collect();
    // An overlay may lie on a filesystem that the table names later.
    for _ in 0..2 {
        for mount in &mounts {
            if mount.lower_numbers().any(|number| found.contains_key(&number)) {
                found.insert(mount.number, FILES_MOUNTED);
            }
        }
    }
    found
}

/// Adds partitions and what is stacked on a disk or a partition, upwards.
fn add_above(folder: &Path, found: &mut BTreeMap<u32, u8>) {
    let children = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let partitions = children.filter(|path| path.join("partition").exists());
    let holders = fs::read_dir(folder.join("holders")).into_iter().flatten().flatten().map(|entry| entry.path());
    for above in partitions.chain(holders) {
        let number = fs::read_to_string(above.join("dev")).ok().and_then(|text| number_of(text.trim()));
        if let Some(number) = number
            && found.insert(number, FILES).is_none()
        {
            add_above(&above, found);
        }
    }
}

/// A line of the mount table (proc_pid_mountinfo(5)).
struct Mount<'a> {
    number: u32,
    source: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn of_line(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split_ascii_whitespace().skip(1);
        let number = number_of(left.split_ascii_whitespace().nth(2)?)?;
        Some(Self { number, source: right.next()?, options: right.next()? })
    }

    /// Its own number, that of the device it was mounted from, and that of the filesystem to which
    /// an overlay writes.
    fn lower_numbers(&self) -> impl Iterator<Item = u32> {
        let device = fs::metadata(self.source).ok().filter(|facts| facts.file_type().is_block_device());
        let upper = self.options.split(',').find_map(|option| option.strip_prefix("upperdir="));
        let upper = upper.and_then(|folder| fs::metadata(folder).ok());
        let numbers = [Some(self.number), device.map(|f| inner(f.rdev())), upper.map(|f| inner(f.dev()))];
        numbers.into_iter().flatten()
    }
}

/// From `major:minor`.
fn number_of(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once(':')?;
    Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
}

/// From the number that stat(2) shows to the kernel's own.
fn inner(number: u64) -> u32 {
    rustix::fs::major(number) << 20 | rustix::fs::minor(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_name_their_source_and_where_an_overlay_writes() {
        let line = "36 35 0:42 / /m rw,noatime shared:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/,workdir=/w";
        let mount = Mount::of_line(line).unwrap();
        assert_eq!((mount.number, mount.source), (42, "overlay"));
        let root = inner(fs::metadata("/").unwrap().dev());
        assert_eq!(mount.lower_numbers().collect::<Vec<_>>(), [42, root]);
        assert!(Mount::of_line("36 35 0:42 / /m rw").is_none());
        assert_eq!(number_of("259:3"), Some(259 << 20 | 3));
    }

    #[test]
    fn every_disk_has_its_own_number_and_those_of_its_partitions() {
        for device in super::super::devices::all() {
            let found = numbers(std::slice::from_ref(&device));
            assert!(found.contains_key(&device.number()), "{device:?}");
            let partitions = fs::read_dir(format!("/sys/block/{}", device.name)).unwrap().flatten();
            let partitions = partitions.filter(|entry| entry.path().join("partition").exists()).count();
            assert!(found.len() > partitions, "{found:?}");
        }
        assert!(numbers(&[]).is_empty(), "nothing watched, no file counts");
    }
}
