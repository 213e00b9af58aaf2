//! What the filesystem below a slab is asked: free space, alignment of O_DIRECT, blocks that were
//! never written.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FallocateFlags, OFlags, StatxFlags};

use crate::error::{Error, Result};

/// The largest alignment of O_DIRECT that chunks keep to.
pub const ALIGNMENT: u32 = 4096;

/// Free bytes on the filesystem that a path is, or would be, on.
pub fn free_space(path: &Path) -> Result<u64> {
    let folder = existing_folder(path);
    let facts = rustix::fs::statvfs(&folder).map_err(|e| Error::reading(&folder, &e.into()))?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// The nearest folder above a path that exists.
pub fn existing_folder(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.ancestors().skip(1).find(|p| p.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// Reserves the blocks; a filesystem that cannot gets them with the first write.
pub fn allocate(file: &File, size_bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// The types of filesystems in memory (linux/magic.h). They accept O_DIRECT and have no device.
const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// The alignment that O_DIRECT needs on an open file; none when the kernel does not say.
pub fn direct_alignment(file: impl AsFd) -> Result<Option<u32>, String> {
    if rustix::fs::fstatfs(&file).is_ok_and(|fs| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&fs.f_type)) {
        return Err("its files are in memory".to_owned());
    }
    let Ok(facts) = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) else { return Ok(None) };
    if facts.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return Ok(None);
    }
    match facts.stx_dio_mem_align.max(facts.stx_dio_offset_align) {
        0 => Err("statx says so".to_owned()),
        align if align > ALIGNMENT => Err(format!("it needs {align}-byte alignment, more than {ALIGNMENT}")),
        align => Ok(Some(align)),
    }
}

/// Whether files in a folder, or in the nearest one above it, can be used with O_DIRECT.
///
/// # Errors
/// Why not, as the inner error; the outer one when nothing can be tried there.
pub fn probe_direct(path: &Path) -> Result<Result<(), String>> {
    let folder = existing_folder(path);
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::DIRECT;
    match rustix::fs::open(&folder, flags, rustix::fs::Mode::from_raw_mode(0o600)) {
        Ok(probe) => Ok(direct_alignment(&probe).map(drop)),
        Err(rustix::io::Errno::INVAL) => Ok(Err("open says EINVAL".to_owned())),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => Ok(Ok(())),
        Err(e) => Err(Error::writing(&folder, &e.into())),
    }
}

/// Extents asked for at a time.
const MAPPED: usize = 256;

/// `struct fiemap` of linux/fiemap.h with room for its extents.
#[repr(C)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [FiemapExtent; MAPPED],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FiemapExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// FS_IOC_FIEMAP: `_IOWR('f', 11, struct fiemap)`, whose size is without the extents.
const FS_IOC_FIEMAP: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<[u64; 4]>(b'f', 11);
const FIEMAP_FLAG_SYNC: u32 = 1;
const FIEMAP_EXTENT_LAST: u32 = 1;
const FIEMAP_EXTENT_UNWRITTEN: u32 = 0x800;

/// Whether a file has blocks below `size_bytes` that were never written: reserved ones, and holes,
/// which are what a file has where it has no extent, its end included.
pub fn unwritten(file: &File, size_bytes: u64) -> io::Result<bool> {
    let mut start = 0;
    while start < size_bytes {
        let mut map = Fiemap {
            start,
            length: size_bytes - start,
            flags: FIEMAP_FLAG_SYNC,
            mapped_extents: 0,
            extent_count: MAPPED as u32,
            reserved: 0,
            extents: [FiemapExtent::default(); MAPPED],
        };
        // SAFETY: the opcode takes a struct fiemap followed by `extent_count` extents, as here.
        unsafe { rustix::ioctl::ioctl(file, rustix::ioctl::Updater::<FS_IOC_FIEMAP, Fiemap>::new(&mut map)) }?;
        let found = &map.extents[..(map.mapped_extents as usize).min(MAPPED)];
        for extent in found {
            if extent.flags & FIEMAP_EXTENT_UNWRITTEN != 0 || extent.logical > start {
                return Ok(true);
            }
            start = start.max(extent.logical + extent.length);
        }
        if found.last().is_none_or(|last| last.flags & FIEMAP_EXTENT_LAST != 0) {
            return Ok(start < size_bytes);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_was_reserved_and_what_was_left_out_is_unwritten() {
        let Ok(file) = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")) else { return };
        let (block, size) = (vec![7; 64 << 10], 256 << 10);
        (0..4).for_each(|i| file.write_all_at(&block, i * (64 << 10)).unwrap());
        // A filesystem that has no extents says nothing.
        let Ok(false) = unwritten(&file, size) else { return };
        assert!(unwritten(&file, size + 1).unwrap(), "beyond the end");
        let holes = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, holes, 64 << 10, 64 << 10).unwrap();
        assert!(unwritten(&file, size).unwrap(), "a hole in the middle");
        file.write_all_at(&block, 64 << 10).unwrap();
        assert!(!unwritten(&file, size).unwrap());
        rustix::fs::fallocate(&file, holes, 0, 4096).unwrap();
        assert!(unwritten(&file, size).unwrap(), "a hole at the beginning");
        file.write_all_at(&block, 0).unwrap();
        allocate(&file, 2 * size).unwrap();
        assert!(unwritten(&file, 2 * size).unwrap(), "reserved blocks");
    }
}
