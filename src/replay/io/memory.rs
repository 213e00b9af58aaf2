//! Memory on 2 MiB pages: the arena that I/O goes through, and the DRAM tier.

use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::error::{Error, Result, plain};
use crate::units;

/// A huge page of x86-64 and of arm64 with 4 KiB base pages.
pub const HUGE: usize = 2 << 20;

/// Anonymous memory, aligned to 2 MiB, every page present.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    len: usize,
    mapping: NonNull<u8>,
    mapped: usize,
}

// SAFETY: a region is plain memory that it owns; nothing in it is tied to a thread.
unsafe impl Send for Region {}

/// A part of a region that somebody else works on, as [`Region::lend`] allows.
#[derive(Debug)]
pub struct Part {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: whoever has the part is the only one who uses its bytes (`Region::lend`).
unsafe impl Send for Part {}

impl Part {
    /// Its length.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the region is there and nobody else writes these bytes (`Region::lend`).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Its bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the region is there and nobody else uses these bytes (`Region::lend`).
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// Memory is made present in pieces of this size: the kernel takes a second for some GiB, and is
/// deaf to signals meanwhile.
const PIECE: usize = 64 << 20;

impl Region {
    /// Memory of at least `bytes`. `present` is told of every piece of at most 64 MiB that is
    /// there, and may end it.
    ///
    /// # Errors
    /// When the system does not have it, or what `present` says.
    pub fn new(bytes: u64, what: &str, mut present: impl FnMut(u64) -> Result<()>) -> Result<Self> {
        let refused = |e: rustix::io::Errno| {
            Error::unavailable(format!("cannot get {} of memory for {what}: {}", units::bytes(bytes), plain(&e.into())))
        };
        let len = (bytes.max(1) as usize).next_multiple_of(HUGE);
        let mapped = len + HUGE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice overlaps nothing.
        let mapping = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                mapped,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(refused)?;
        let mapping = NonNull::new(mapping.cast::<u8>()).expect("a mapping is not at address 0");
        let skip = mapping.align_offset(HUGE);
        // SAFETY: `skip` is below 2 MiB and the mapping is longer than that.
        let start = unsafe { mapping.add(skip) };
        let region = Self { start, len, mapping, mapped };
        // SAFETY: the range is ours and inside the mapping; the advice does not change its bytes.
        // A kernel without huge pages refuses it, which `huge_bytes` shows.
        let _ = unsafe { rustix::mm::madvise(start.as_ptr().cast(), len, Advice::LinuxHugepage) };
        for from in (0..len).step_by(PIECE) {
            let piece = PIECE.min(len - from);
            // SAFETY: inside the range above; makes the pages present so that the run meets no page
            // fault.
            let populated =
                unsafe { rustix::mm::madvise(start.add(from).as_ptr().cast(), piece, Advice::LinuxPopulateWrite) };
            if populated.is_err() {
                region.touch(from, piece);
            }
            present(piece as u64)?;
        }
        Ok(region)
    }

    fn touch(&self, from: usize, len: usize) {
        for at in (from..from + len).step_by(4096) {
            // SAFETY: `at` is inside the region, which nobody else uses yet.
            unsafe { self.start.add(at).write_volatile(0) };
        }
    }

    /// Its length.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its address.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// A part of it.
    #[cfg(test)]
    pub fn slice(&self, at: usize, len: usize) -> &[u8] {
        assert!(at <= self.len && len <= self.len - at, "a part lies inside its region");
        // SAFETY: inside the mapping (asserted), initialised by the kernel, and no part that the
        // kernel is writing to is asked for: a slot is looked at only when its I/O is done.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(at), len) }
    }

    /// A part of it, to write.
    pub fn slice_mut(&mut self, at: usize, len: usize) -> &mut [u8] {
        assert!(at <= self.len && len <= self.len - at, "a part lies inside its region");
        // SAFETY: as in `slice`; `&mut self` keeps other parts from being borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(at), len) }
    }

    /// Lends a part of it to whoever works on it beside the owner.
    ///
    /// # Safety
    /// The region outlives the part, and until the part is dropped nobody else, the kernel
    /// included, reads or writes these bytes.
    pub unsafe fn lend(&self, at: usize, len: usize) -> Part {
        assert!(at <= self.len && len <= self.len - at, "a part lies inside its region");
        // SAFETY: inside the mapping, as asserted.
        Part { start: unsafe { self.start.add(at) }, len }
    }

    /// How much of it lies on huge pages, as the kernel says; none when it does not say.
    pub fn huge_bytes(&self) -> Option<u64> {
        let maps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let (from, to) = (self.start.as_ptr() as u64, self.start.as_ptr() as u64 + self.len as u64);
        let (mut inside, mut total) = (false, 0);
        for line in maps.lines() {
            let first = line.split_ascii_whitespace().next().unwrap_or_default();
            if let Some((low, high)) = first.split_once('-')
                && let (Ok(low), Ok(high)) = (u64::from_str_radix(low, 16), u64::from_str_radix(high, 16))
            {
                inside = low < to && high > from;
            } else if inside && first == "AnonHugePages:" {
                let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
                total += kib << 10;
            }
        }
        Some(total.min(self.len as u64))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and borrows of it end before it is dropped.
        let _ = unsafe { rustix::mm::munmap(self.mapping.as_ptr().cast(), self.mapped) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_aligned_and_holds_what_is_written() {
        let mut region = Region::new(3 << 20, "a test", |_| Ok(())).unwrap();
        assert_eq!((region.as_ptr() as usize % HUGE, region.len()), (0, 4 << 20));
        region.slice_mut((4 << 20) - 4, 4).copy_from_slice(b"last");
        assert_eq!(region.slice((4 << 20) - 4, 4), b"last");
        assert!(region.huge_bytes().is_none_or(|b| b <= 4 << 20));
    }

    #[test]
    fn making_a_region_can_be_ended_after_any_piece() {
        let mut pieces = Vec::new();
        let ended = Region::new(1 << 30, "a test", |bytes| {
            pieces.push(bytes);
            if pieces.len() == 2 { Err(Error::interrupted("enough")) } else { Ok(()) }
        });
        assert_eq!((ended.unwrap_err().to_string(), pieces), ("enough".to_owned(), vec![PIECE as u64; 2]));
    }
}
