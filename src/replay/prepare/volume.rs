//! A storage target in use: what objects of a tier lie on.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use crate::error::Result;

use super::extents::{GRANULE, Space};
use super::folder::{Folder, FolderPlan};
use super::granule_count;
use super::share::{Share, SlabSpace};
use super::slab::{Slab, SlabPlan};
use crate::replay::report::host::Device;
use crate::replay::target::Target;

/// What will be done about a storage target. Nothing has been touched yet.
#[derive(Debug)]
pub struct VolumePlan {
    /// The tier's number.
    pub tier: usize,
    /// The target.
    pub target: Target,
    /// What the plan needs of it.
    pub share: Share,
    /// What it holds objects in.
    pub medium: MediumPlan,
}

/// What a target will hold objects in.
#[derive(Debug)]
pub enum MediumPlan {
    /// One preallocated file, or a device.
    Slab(SlabPlan),
    /// A file for each.
    Folder(FolderPlan),
    /// Nothing: no device takes part.
    Nothing,
}

impl VolumePlan {
    /// Where it lies; none without a device.
    pub fn path(&self) -> Option<&Path> {
        match &self.medium {
            MediumPlan::Slab(slab) => Some(&slab.path),
            MediumPlan::Folder(folder) => Some(&folder.path),
            MediumPlan::Nothing => None,
        }
    }

    /// What it takes on disk, without touching it.
    pub fn disk(&self) -> Option<SlabSpace> {
        match &self.medium {
            MediumPlan::Slab(slab) => Some(slab.disk()),
            MediumPlan::Folder(folder) => Some(folder.disk()),
            MediumPlan::Nothing => None,
        }
    }

    /// Runs that have used it.
    pub fn epoch(&self) -> u64 {
        match &self.medium {
            MediumPlan::Slab(slab) => slab.epoch(),
            MediumPlan::Folder(folder) => folder.epoch(),
            MediumPlan::Nothing => 0,
        }
    }

    /// Makes or opens what holds the objects, and marks it as in use by `run`.
    ///
    /// # Errors
    /// When it cannot be made, or another replay uses it.
    pub fn open(self, run: &str, epoch: u64) -> Result<Volume> {
        let medium = match self.medium {
            MediumPlan::Slab(slab) => Medium::Slab(slab.open(run, epoch)?),
            MediumPlan::Folder(folder) => Medium::Folder(folder.open(run, epoch)?),
            MediumPlan::Nothing => Medium::Nothing,
        };
        Ok(Volume { tier: self.tier, target: self.target, share: self.share, medium })
    }
}

/// A storage target in use.
#[derive(Debug)]
pub struct Volume {
    /// The tier's number.
    pub tier: usize,
    /// The target.
    pub target: Target,
    /// What the plan needs of it.
    pub share: Share,
    /// What it holds objects in.
    pub medium: Medium,
}

/// What a target holds objects in.
#[derive(Debug)]
pub enum Medium {
    /// One preallocated file, or a device.
    Slab(Slab),
    /// A file for each.
    Folder(Folder),
    /// Nothing: no device takes part.
    Nothing,
}

impl Volume {
    /// Its room, all of it free.
    pub fn space(&self) -> Space {
        match &self.medium {
            // Granule 0 is the header's.
            Medium::Slab(slab) => Space::new(1, granule_count(slab.size_bytes())),
            Medium::Folder(folder) => Space::counted(folder.room_bytes / GRANULE),
            Medium::Nothing => {
                let slack = self.share.slack() / GRANULE;
                Space::new(0, granule_count(self.share.peak_granules.saturating_add(slack).saturating_mul(GRANULE)))
            }
        }
    }

    /// Its slab.
    pub fn slab(&self) -> Option<&Slab> {
        match &self.medium {
            Medium::Slab(slab) => Some(slab),
            Medium::Folder(_) | Medium::Nothing => None,
        }
    }

    /// Its slab, to change.
    pub fn slab_mut(&mut self) -> Option<&mut Slab> {
        match &mut self.medium {
            Medium::Slab(slab) => Some(slab),
            Medium::Folder(_) | Medium::Nothing => None,
        }
    }

    /// The folder of its objects' files.
    pub fn folder(&self) -> Option<&Folder> {
        match &self.medium {
            Medium::Folder(folder) => Some(folder),
            Medium::Slab(_) | Medium::Nothing => None,
        }
    }

    /// Where it lies; none without a device.
    pub fn path(&self) -> Option<&Path> {
        match &self.medium {
            Medium::Slab(slab) => Some(&slab.path),
            Medium::Folder(folder) => Some(&folder.path),
            Medium::Nothing => None,
        }
    }

    /// The file that all of its I/O goes to, if that is one.
    pub fn file(&self) -> Option<RawFd> {
        self.slab().map(|slab| slab.file.as_raw_fd())
    }

    /// Whether the page cache is bypassed.
    pub fn direct(&self) -> bool {
        match &self.medium {
            Medium::Slab(slab) => slab.direct,
            Medium::Folder(folder) => folder.direct,
            Medium::Nothing => false,
        }
    }

    /// What is worth saying about it.
    pub fn notes(&self) -> Vec<String> {
        match &self.medium {
            Medium::Slab(slab) => slab.notes.clone(),
            Medium::Folder(folder) => folder.notes.clone(),
            Medium::Nothing => Vec::new(),
        }
    }

    /// What a run that ends while preparing leaves there, for people.
    pub fn words(&self) -> Option<String> {
        self.slab().map(Slab::words)
    }

    /// Waits until the device has what was written.
    ///
    /// # Errors
    /// When it does not.
    pub fn sync(&self) -> Result<()> {
        match &self.medium {
            Medium::Slab(slab) => slab.sync(),
            Medium::Folder(folder) => folder.sync(),
            Medium::Nothing => Ok(()),
        }
    }

    /// It is not in use any more.
    ///
    /// # Errors
    /// When that cannot be written down, which the next run reports.
    pub fn leave(&mut self) -> Result<()> {
        match &mut self.medium {
            Medium::Slab(slab) => slab.mark_clean(),
            Medium::Folder(folder) => folder.leave(),
            Medium::Nothing => Ok(()),
        }
    }
}

/// That targets which count as several share a device.
pub fn same_device_notes(volumes: &[Volume]) -> Vec<String> {
    let mut by_device: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for volume in volumes {
        if let Some(device) = volume.path().and_then(Device::below) {
            by_device.entry(device.name).or_default().push(volume.target.to_string());
        }
    }
    let shared = by_device.into_iter().filter(|(_, targets)| targets.len() > 1);
    shared
        .map(|(device, targets)| {
            format!("{} are on one device, {device}: each has its own limit of bytes in flight", targets.join(" and "))
        })
        .collect()
}
