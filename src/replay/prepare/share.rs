//! How much of a storage target the plan needs, and how large what holds its objects becomes.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::units;

use super::extents::GRANULE;
use super::filesystem::free_space;
use crate::replay::target::Target;

/// The disk space of a storage tier.
#[derive(Clone, Debug, Serialize)]
pub struct SlabSpace {
    /// The tier's number.
    pub tier: usize,
    /// The slab.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Whether it is there already, prepared and large enough.
    pub there: bool,
    /// How objects lie on it: `slab`, `file`.
    pub layout: &'static str,
}

impl fmt::Display for SlabSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tier, path, bytes) = (self.tier, self.path.display(), units::bytes(self.bytes));
        if self.layout == "file" {
            return write!(f, "tier {tier}: at most {bytes} on disk, one file per object in {path}");
        }
        let rest = if self.there { "is there" } else { "will be written before the clock starts" };
        write!(f, "tier {tier}: a slab of {bytes} on disk, {path}, {rest}")
    }
}

/// What the plan needs of one target.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The tier's number.
    pub tier: usize,
    /// Most granules at once.
    pub peak_granules: u64,
    /// The tier's largest object.
    pub largest_bytes: u64,
}

impl Share {
    /// The smallest slab that holds it.
    fn least_size(&self) -> u64 {
        self.peak_granules.saturating_add(1).saturating_mul(GRANULE)
    }

    /// Space beyond the peak, so that operations which overlap rarely wait for space: room for one
    /// more object and a sixteenth, at most an eighth in all, and 8 MiB. Objects may lie in many
    /// runs of granules, so that nothing is needed against fragmentation.
    pub fn slack(&self) -> u64 {
        let share = self.peak_granules / 16;
        let granules = share + share.min(self.largest_bytes.div_ceil(GRANULE)) + 64;
        granules.saturating_mul(GRANULE)
    }
}

/// The size that was asked for in whole granules, if the plan fits into it.
///
/// # Errors
/// It does not.
pub fn given_size(size: u64, target: &Target, share: &Share) -> Result<u64> {
    let (least, size, tier) = (share.least_size(), size / GRANULE * GRANULE, share.tier);
    if size >= least {
        return Ok(size);
    }
    Err(Error::usage(format!(
        "--tier-{tier} {target}: the trace needs {} there and it has {}; use a larger size= or target, or \
         --size-scale 0.01 to shrink every object",
        units::bytes(least),
        units::bytes(size)
    )))
}

/// The size of a slab in a folder: the one that is there if it suffices, otherwise the peak
/// and some slack, or without slack where that is all that fits. `found` is the size of a prepared
/// one.
///
/// # Errors
/// When no file can be so large, or the filesystem does not say what is free.
pub fn fitting_size(path: &Path, found: Option<u64>, target: &Target, share: &Share) -> Result<u64> {
    let (least, tier) = (share.least_size(), share.tier);
    let wanted = least.saturating_add(share.slack());
    if wanted > i64::MAX as u64 {
        return Err(Error::usage(format!(
            "--tier-{tier} {target}: the trace needs {} there, more than a file can hold; use --size-scale 0.01 to \
             shrink every object",
            units::bytes(wanted)
        )));
    }
    if let Some(found) = found.filter(|found| *found >= least) {
        return Ok(found);
    }
    let there = fs::metadata(path).map_or(0, |m| m.blocks() * 512);
    let free = free_space(path)?.saturating_add(there);
    Ok(if wanted <= free { wanted } else { least })
}
