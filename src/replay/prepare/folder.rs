//! One file per object, as LMCache and the reference's storage keep them: a folder of ours in the
//! target, with a marker by which the next replay recognises it.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, plain};
use crate::output;
use crate::units;

use super::extents::GRANULE;
use super::filesystem::{allocate, direct_alignment, free_space, probe_direct};
use super::guard;
use super::share::{Share, SlabSpace};
use super::slab::{lock, no_direct};
use crate::replay::config::{IoMode, ReplayConfig};
use crate::replay::io::files::Name;
use crate::replay::target::Target;

/// The schema of the marker.
pub const OBJECTS_SCHEMA: &str = "kvtrace.objects/1";

/// The folder in a target, and the marker in each tier's folder below it.
const FOLDER: &str = "kvtrace-objects";
const MARKER: &str = "kvtrace-objects.json";

/// What the marker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Marker {
    schema: String,
    tool: String,
    /// Runs that have used the folder; data of different runs differs.
    epoch: u64,
    /// The run that is using it, or that ended without saying so.
    dirty_run: Option<String>,
}

/// What will be done about a folder. Nothing has been touched yet.
#[derive(Debug)]
pub struct FolderPlan {
    tier: usize,
    target: Target,
    /// The folder of the tier's objects.
    pub path: PathBuf,
    room_bytes: u64,
    found: Option<Marker>,
    io: IoMode,
}

/// A folder in use.
#[derive(Debug)]
pub struct Folder {
    /// The folder of the tier's objects.
    pub path: PathBuf,
    /// Bytes of files that it may hold, each counted in whole granules.
    pub room_bytes: u64,
    /// Whether the page cache is bypassed.
    pub direct: bool,
    /// The alignment that O_DIRECT needs here, if the filesystem says.
    pub alignment_bytes: Option<u32>,
    /// Files of an earlier run that were removed.
    pub leftovers: u64,
    /// What is worth saying about it.
    pub notes: Vec<String>,
    folder: File,
    marker: File,
    says: Marker,
}

impl FolderPlan {
    /// Looks at a target without touching it.
    ///
    /// # Errors
    /// When it may not be used, cannot do O_DIRECT, is too small, or holds files of somebody else.
    pub fn survey(target: &Target, share: &Share, config: &ReplayConfig) -> Result<Self> {
        let Target::Dir(dir) = target else {
            return Err(Error::usage(format!(
                "--layout file: --tier-{} {target} is not a folder; use dir:, or --layout slab",
                share.tier
            )));
        };
        let path = dir.join(FOLDER).join(format!("tier{}", share.tier));
        guard::check_place(&path)?;
        let (found, there) = look(&path)?;
        let peak = share.peak_granules.saturating_mul(GRANULE);
        let have = free_space(&path)?.saturating_add(there);
        if peak > have {
            return Err(Error::usage(format!(
                "--tier-{} {target}: {} is needed for the objects' files and {} is free there; use a larger target, \
                 --size-scale 0.01 to shrink every object, or a trace recorded with a smaller --storage-capacity-gb",
                share.tier,
                units::bytes(peak),
                units::bytes(have)
            )));
        }
        if config.io.of(share.tier) == IoMode::Direct {
            probe_direct(&path)?.map_err(|why| no_direct(share.tier, target, &why))?;
        }
        let room_bytes = peak.saturating_add(share.slack()).min(have);
        Ok(Self { tier: share.tier, target: target.clone(), path, room_bytes, found, io: config.io.of(share.tier) })
    }

    /// What it takes, without touching it.
    pub fn disk(&self) -> SlabSpace {
        SlabSpace { tier: self.tier, path: self.path.clone(), bytes: self.room_bytes, there: false, layout: "file" }
    }

    /// Runs that have used it.
    pub fn epoch(&self) -> u64 {
        self.found.as_ref().map_or(0, |marker| marker.epoch)
    }

    /// Makes the folder if needed, marks it as in use by `run` and removes what an earlier run left.
    ///
    /// # Errors
    /// When it cannot be made, or another replay uses it.
    pub fn open(self, run: &str, epoch: u64) -> Result<Folder> {
        output::create_dir(&self.path)?;
        let marker_path = self.path.join(MARKER);
        let failed = |e: std::io::Error| Error::writing(&marker_path, &e);
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&marker_path);
        let marker = options.map_err(failed)?;
        output::give_to_invoker(&marker_path);
        lock(&marker, &self.path)?;
        let folder = File::open(&self.path).map_err(|e| Error::reading(&self.path, &e))?;
        let says = Marker {
            schema: OBJECTS_SCHEMA.to_owned(),
            tool: crate::TOOL.to_owned(),
            epoch,
            dirty_run: Some(run.to_owned()),
        };
        let mut opened = Folder {
            path: self.path,
            room_bytes: self.room_bytes,
            direct: self.io == IoMode::Direct,
            alignment_bytes: None,
            leftovers: 0,
            notes: Vec::new(),
            folder,
            marker,
            says,
        };
        opened.write_marker()?;
        opened.leftovers = opened.remove_objects()?;
        if let Some(dirty) = self.found.and_then(|marker| marker.dirty_run) {
            opened.notes.push(format!(
                "tier {}: {} files of a run that did not end ({dirty}) were removed",
                self.tier, opened.leftovers
            ));
        }
        opened.try_direct().map_err(|why| no_direct(self.tier, &self.target, &why))?;
        Ok(opened)
    }
}

/// The marker of a folder and the bytes of the files of ours in it, if it is there.
fn look(path: &Path) -> Result<(Option<Marker>, u64)> {
    for above in [path.parent().and_then(Path::parent), path.parent(), Some(path)].into_iter().flatten() {
        if above.exists() && !above.is_dir() {
            return Err(Error::usage(format!("{} is not a folder; choose another target", above.display())));
        }
    }
    let Ok(entries) = fs::read_dir(path) else { return Ok((None, 0)) };
    let marker = fs::read(path.join(MARKER)).ok().and_then(|data| first_of(&data));
    let marker = marker.filter(|marker| marker.schema == OBJECTS_SCHEMA);
    let mut bytes = 0;
    for entry in entries {
        let entry = entry.map_err(|e| Error::reading(path, &e))?;
        let name = entry.file_name();
        let facts = entry.metadata().ok();
        // A run that is killed between making the marker and writing it leaves it empty.
        let begun = name == MARKER && facts.as_ref().is_some_and(|facts| facts.is_file() && facts.len() == 0);
        let ours = begun || marker.is_some() && (name == MARKER || is_object(&name.to_string_lossy()));
        if !ours {
            return Err(Error::usage(format!(
                "{} is not a file of kvtrace; move it away, or choose another target",
                entry.path().display()
            )));
        }
        bytes += facts.map_or(0, |facts| facts.blocks() * 512);
    }
    Ok((marker, bytes))
}

/// The marker at the start of its file, whatever an earlier and longer one left behind it.
fn first_of(data: &[u8]) -> Option<Marker> {
    serde_json::Deserializer::from_slice(data).into_iter().next()?.ok()
}

/// Whether a name is that of an object's file: 16 hex digits, a dash, at most 16 hex digits.
fn is_object(name: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    name.split_once('-')
        .is_some_and(|(hash, serial)| hash.len() == 16 && hex(hash) && serial.len() <= 16 && hex(serial))
}

impl Folder {
    /// The folder, for the ring.
    pub fn fd(&self) -> RawFd {
        self.folder.as_raw_fd()
    }

    /// Makes an object's file of so many bytes, which may be longer than the object.
    ///
    /// # Errors
    /// When the filesystem refuses it.
    pub fn create(&self, name: &Name, bytes: u64) -> Result<File> {
        let name = CStr::from_bytes_until_nul(name).unwrap_or_default();
        let mut flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        flags.set(OFlags::DIRECT, self.direct);
        let opened = rustix::fs::openat(&self.folder, name, flags, Mode::from_raw_mode(0o600));
        let file = File::from(opened.map_err(|e| Error::writing(&self.path, &e.into()))?);
        allocate(&file, bytes.max(1)).map_err(|e| Error::writing(&self.path, &e))?;
        Ok(file)
    }

    /// Waits until the filesystem has written everything: the files are closed by now.
    ///
    /// # Errors
    /// When it cannot.
    pub fn sync(&self) -> Result<()> {
        let failed = |e: rustix::io::Errno| {
            Error::io(format!("cannot sync {}: {}", self.path.display(), plain(&std::io::Error::from(e))))
        };
        rustix::fs::syncfs(&self.folder).map_err(failed)
    }

    /// The run has ended: its files are removed.
    ///
    /// # Errors
    /// When they cannot be, which the next run reports.
    pub fn leave(&mut self) -> Result<()> {
        self.remove_objects()?;
        self.says.dirty_run = None;
        self.write_marker()
    }

    /// Removes the files of all objects; how many there were.
    ///
    /// # Errors
    /// When they cannot be.
    pub fn remove_objects(&self) -> Result<u64> {
        let mut count = 0;
        for entry in fs::read_dir(&self.path).map_err(|e| Error::reading(&self.path, &e))? {
            let entry = entry.map_err(|e| Error::reading(&self.path, &e))?;
            if is_object(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path()).map_err(|e| Error::writing(&entry.path(), &e))?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn write_marker(&mut self) -> Result<()> {
        let data = serde_json::to_vec(&self.says).expect("a marker has string keys");
        let failed = |e: std::io::Error| Error::writing(&self.path.join(MARKER), &e);
        std::io::Seek::rewind(&mut self.marker).map_err(failed)?;
        self.marker.write_all(&data).map_err(failed)?;
        // Shortened last: whoever is killed in between leaves a marker that can be read.
        self.marker.set_len(data.len() as u64).and_then(|()| self.marker.sync_data()).map_err(failed)
    }

    /// Makes sure that a file in the folder can be used with O_DIRECT, if that was asked for.
    fn try_direct(&mut self) -> Result<(), String> {
        if !self.direct {
            return Ok(());
        }
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::DIRECT;
        if let Ok(probe) = rustix::fs::open(&self.path, flags, Mode::from_raw_mode(0o600)) {
            self.alignment_bytes = direct_alignment(probe.as_fd())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_making_are_ours() {
        for name in ["00000000000000ab-1", "ffffffffffffffff-ffffffffffffffff"] {
            assert!(is_object(name), "{name}");
        }
        for name in
            ["", "0-1", "00000000000000ab", "00000000000000ab-", "00000000000000AB-1", "conv_1_turn_2-1", MARKER]
        {
            assert!(!is_object(name), "{name}");
        }
    }
}
