//! The slab: one preallocated file that holds all objects of a storage tier. Its first granule
//! is a header by which the next replay recognises it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, plain};
use crate::output;
use crate::units;

use super::device::{self, BlockDevice};
use super::extents::GRANULE;
use super::filesystem::{allocate, direct_alignment, free_space, probe_direct, unwritten};
use super::guard;
use super::share::{Share, SlabSpace, fitting_size, given_size};
use crate::replay::config::{Fadvise, IoMode, Prepare, ReplayConfig};
use crate::replay::target::Target;

/// The schema of a slab's header.
pub const SLAB_SCHEMA: &str = "kvtrace.slab/1";

/// Bytes at the start of the file in which the header is, followed by spaces up to the first
/// granule's end.
const HEADER: usize = 4096;

/// What a slab says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    schema: String,
    tool: String,
    size_bytes: u64,
    /// Every block was written.
    prepared: bool,
    /// Runs that have used it; data of different runs differs.
    epoch: u64,
    /// The run that is using it, or that ended without saying so.
    dirty_run: Option<String>,
}

/// What will be done about a storage tier's slab. Nothing has been touched yet.
#[derive(Debug)]
pub struct SlabPlan {
    /// The tier's number.
    pub tier: usize,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    found: Option<Header>,
    device: Option<BlockDevice>,
    io: IoMode,
    fadvise: Fadvise,
    prepare: Prepare,
}

/// A slab in use.
#[derive(Debug)]
pub struct Slab {
    /// The tier's number.
    pub tier: usize,
    /// The file.
    pub path: PathBuf,
    /// The file, opened for I/O (with O_DIRECT if that was asked for).
    pub file: File,
    /// Whether it was, and the filesystem does it.
    pub direct: bool,
    /// Whether every block must be written before the run.
    pub fill: bool,
    /// What is worth saying about it.
    pub notes: Vec<String>,
    /// The alignment that O_DIRECT needs here, if the filesystem says.
    pub alignment_bytes: Option<u32>,
    plain: File,
    header: Header,
}

impl Header {
    fn write(&self, file: &File) -> io::Result<()> {
        let mut data = serde_json::to_vec(self).expect("a header has string keys");
        data.resize(GRANULE as usize, b' ');
        data[HEADER - 1] = b'\n';
        file.write_all_at(&data, 0)?;
        file.sync_data()
    }
}

impl SlabPlan {
    /// Looks at a storage target without touching it.
    ///
    /// # Errors
    /// When it may not be used, cannot do O_DIRECT, or is too small.
    pub fn survey(target: &Target, share: &Share, config: &ReplayConfig) -> Result<Self> {
        let tier = share.tier;
        let (path, given) = match target {
            Target::Dir(dir) => (dir.join(format!("kvtrace-tier{tier}.slab")), None),
            Target::File { path, size_bytes } => (path.clone(), Some(*size_bytes)),
            Target::Block { path, size_bytes } => return Self::survey_device(path, *size_bytes, target, share, config),
            _ => unreachable!("only storage targets have slabs"),
        };
        guard::check_place(&path)?;
        if let Target::Dir(dir) = target {
            guard::check_place(dir)?;
        }
        if let Target::Dir(dir) = target
            && dir.exists()
            && !dir.is_dir()
        {
            return Err(Error::usage(format!("--tier-{tier} {target}: {} is not a folder; use file:", dir.display())));
        }
        guard::check_slab_name(&path, config.overwrite)?;
        let found = read_header(&path);
        let size_bytes = match given {
            Some(size) => given_size(size, target, share)?,
            None => {
                let prepared = found.as_ref().filter(|header| header.prepared);
                fitting_size(&path, prepared.map(|header| header.size_bytes), target, share)?
            }
        };
        let plan = Self {
            tier,
            path,
            size_bytes,
            found,
            device: None,
            io: config.io.of(share.tier),
            fadvise: config.fadvise.of(share.tier),
            prepare: config.prepare,
        };
        plan.check_space(target)?;
        plan.check_limit(target)?;
        plan.check_direct(target)?;
        plan.check_prepared()
    }

    /// The same for a block device, whose whole content the slab replaces.
    fn survey_device(
        path: &Path,
        size_bytes: Option<u64>,
        target: &Target,
        share: &Share,
        config: &ReplayConfig,
    ) -> Result<Self> {
        let what = format!("--tier-{} {target}", share.tier);
        let device = device::survey(path, &what, &config.destroys)?;
        if size_bytes.is_some_and(|wanted| wanted > device.size_bytes) {
            return Err(Error::usage(format!("{what}: the device has only {}", units::bytes(device.size_bytes))));
        }
        let plan = Self {
            tier: share.tier,
            path: device.path.clone(),
            size_bytes: given_size(size_bytes.unwrap_or(device.size_bytes), target, share)?,
            found: read_header(&device.path),
            device: Some(device),
            io: config.io.of(share.tier),
            fadvise: config.fadvise.of(share.tier),
            prepare: config.prepare,
        };
        plan.check_prepared()
    }

    fn check_prepared(self) -> Result<Self> {
        if self.prepare == Prepare::Never && !self.is_prepared() {
            return Err(Error::usage(format!(
                "--prepare never: {} is not a prepared slab of {} or more; use --prepare auto",
                self.path.display(),
                units::bytes(self.size_bytes)
            )));
        }
        Ok(self)
    }

    /// Whether a prepared slab of sufficient size is there.
    pub fn is_prepared(&self) -> bool {
        self.found.as_ref().is_some_and(|h| h.prepared && h.size_bytes >= self.size_bytes)
    }

    /// What it takes, without touching it.
    pub fn disk(&self) -> SlabSpace {
        SlabSpace {
            tier: self.tier,
            path: self.path.clone(),
            bytes: self.size_bytes,
            there: self.is_prepared(),
            layout: "slab",
        }
    }

    /// Runs that have used it.
    pub fn epoch(&self) -> u64 {
        self.found.as_ref().map_or(0, |header| header.epoch)
    }

    fn check_space(&self, target: &Target) -> Result<()> {
        let there = fs::metadata(&self.path).map_or(0, |m| m.blocks() * 512);
        let need = self.size_bytes.saturating_sub(there);
        let have = free_space(&self.path)?;
        if need <= have {
            return Ok(());
        }
        Err(Error::usage(format!(
            "--tier-{} {target}: a slab of {} is needed and {} is free there; use a larger target, --size-scale 0.01 \
             to shrink every object, or a trace recorded with a smaller --storage-capacity-gb",
            self.tier,
            units::bytes(need),
            units::bytes(have)
        )))
    }

    /// Whether the process may write a file of that size.
    fn check_limit(&self, target: &Target) -> Result<()> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        let Some(limit) = limit.filter(|limit| *limit < self.size_bytes) else { return Ok(()) };
        Err(Error::usage(format!(
            "--tier-{} {target}: a slab of {} is needed and files may have {} here; raise the limit (ulimit -f)",
            self.tier,
            units::bytes(self.size_bytes),
            units::bytes(limit)
        )))
    }

    fn check_direct(&self, target: &Target) -> Result<()> {
        if self.io == IoMode::Buffered {
            return Ok(());
        }
        probe_direct(&self.path)?.map_err(|why| no_direct(self.tier, target, &why))
    }

    /// Opens what the slab is in for reading and writing by ourselves.
    fn open_plain(&self) -> Result<File> {
        if self.device.is_some() {
            return device::claim(&self.path);
        }
        if let Some(folder) = self.path.parent().filter(|p| !p.as_os_str().is_empty()) {
            output::create_dir(folder)?;
        }
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&self.path);
        let file = file.map_err(|e| Error::writing(&self.path, &e))?;
        output::give_to_invoker(&self.path);
        Ok(file)
    }

    /// Opens the slab, making it if needed, and marks it as in use by `run`.
    ///
    /// # Errors
    /// When the file cannot be made, or another replay uses it.
    pub fn open(self, run: &str, epoch: u64) -> Result<Slab> {
        let failed = |e: io::Error| Error::writing(&self.path, &e);
        let plain = self.open_plain()?;
        lock(&plain, &self.path)?;
        let mut notes = Vec::new();
        if let Some(content) = self.device.as_ref().and_then(|device| device.content).filter(|_| self.found.is_none()) {
            notes.push(format!("tier {}: {} held {content}, which is gone", self.tier, self.path.display()));
        }
        if let Some(dirty) = self.found.as_ref().and_then(|h| h.dirty_run.as_ref()) {
            let path = self.path.display();
            let undo = match self.device {
                Some(_) => String::new(),
                None => format!("; to have its space back instead: rm '{path}'"),
            };
            notes.push(format!(
                "tier {}: {path} was left by a run that did not end ({dirty}); nothing in it is relied on, and it is used \
                 again{undo}",
                self.tier
            ));
        }
        let reuse = self.is_prepared() && self.prepare != Prepare::Always;
        let size_bytes =
            if reuse { self.found.as_ref().map_or(self.size_bytes, |h| h.size_bytes) } else { self.size_bytes };
        let header = Header {
            schema: SLAB_SCHEMA.to_owned(),
            tool: crate::TOOL.to_owned(),
            size_bytes,
            prepared: reuse,
            epoch,
            dirty_run: Some(run.to_owned()),
        };
        // The header comes first: whatever ends this early, the file can be told to be ours.
        header.write(&plain).map_err(failed)?;
        if !reuse && self.device.is_none() {
            plain.set_len(size_bytes).map_err(failed)?;
            allocate(&plain, size_bytes).map_err(failed)?;
        }
        let (file, direct, alignment_bytes) = self.open_for_io()?;
        let mut slab = Slab {
            tier: self.tier,
            path: self.path,
            file,
            direct,
            fill: !reuse,
            notes,
            alignment_bytes,
            plain,
            header,
        };
        if reuse && slab.has_unwritten() == Some(true) {
            if self.prepare == Prepare::Never {
                slab.mark_clean()?;
                return Err(Error::usage(format!(
                    "--prepare never: parts of {} were never written, reading them would not reach the device; use \
                     --prepare auto",
                    slab.path.display()
                )));
            }
            slab.fill = true;
            slab.header.prepared = false;
        }
        Ok(slab)
    }

    fn open_for_io(&self) -> Result<(File, bool, Option<u32>)> {
        let mut options = File::options();
        options.read(true).write(true);
        if self.io == IoMode::Buffered {
            let file = options.open(&self.path).map_err(|e| Error::writing(&self.path, &e))?;
            if self.fadvise == Fadvise::Sequential {
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential)
                    .map_err(|e| Error::reading(&self.path, &e.into()))?;
            }
            return Ok((file, false, None));
        }
        let target = Target::Dir(self.path.clone());
        let file = options.custom_flags(OFlags::DIRECT.bits() as i32).open(&self.path).map_err(|e| {
            match rustix::io::Errno::from_io_error(&e) {
                Some(rustix::io::Errno::INVAL) => no_direct(self.tier, &target, "open says EINVAL"),
                _ => Error::writing(&self.path, &e),
            }
        })?;
        let alignment = match &self.device {
            Some(device) => Some(device.alignment_bytes),
            None => direct_alignment(&file).map_err(|why| no_direct(self.tier, &target, &why))?,
        };
        Ok((file, true, alignment))
    }
}

impl Slab {
    /// Its size.
    pub fn size_bytes(&self) -> u64 {
        self.header.size_bytes
    }

    /// Whether its name is not its name any more: it was removed or replaced.
    pub fn is_gone(&self) -> bool {
        let identity = |facts: fs::Metadata| (facts.dev(), facts.ino());
        let ours = self.plain.metadata().map(identity).ok();
        ours.is_some() && fs::metadata(&self.path).map(identity).ok() != ours
    }

    /// Its name and size for people.
    pub fn words(&self) -> String {
        format!("{} ({})", self.path.display(), units::bytes(self.size_bytes()))
    }

    /// Every block was written.
    ///
    /// # Errors
    /// When the filesystem still has blocks that were not, or the header cannot be written.
    pub fn mark_prepared(&mut self) -> Result<()> {
        self.plain.sync_data().map_err(|e| Error::writing(&self.path, &e))?;
        if self.has_unwritten() == Some(true) {
            self.notes.push(format!("tier {}: the filesystem still calls parts of the slab unwritten", self.tier));
        }
        self.header.prepared = true;
        self.write_header()
    }

    /// The run has ended and said so.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn mark_clean(&mut self) -> Result<()> {
        self.header.dirty_run = None;
        self.write_header()
    }

    /// Waits until the device has what was written.
    ///
    /// # Errors
    /// When it does not.
    pub fn sync(&self) -> Result<()> {
        self.plain.sync_data().map_err(|e| Error::io(format!("cannot sync {}: {}", self.path.display(), plain(&e))))
    }

    fn write_header(&self) -> Result<()> {
        self.header.write(&self.plain).map_err(|e| Error::writing(&self.path, &e))
    }

    /// Whether the filesystem has blocks of the slab that were never written; none when it does
    /// not say.
    fn has_unwritten(&self) -> Option<bool> {
        unwritten(&self.plain, self.header.size_bytes).ok()
    }
}

/// How often and how long a lock is waited for: a replay that was killed holds its lock until
/// the kernel has taken it apart.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Keeps others from using a file, or says that somebody does.
pub fn lock(file: &File, path: &Path) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_WAIT),
            // A filesystem without locks has none to break.
            _ => return Ok(()),
        }
    }
    let path = path.display();
    Err(Error::usage(format!("{path} is in use by another replay; wait for it or choose another target")))
}

fn read_header(path: &Path) -> Option<Header> {
    let mut data = Vec::new();
    File::open(path).ok()?.take(HEADER as u64).read_to_end(&mut data).ok()?;
    serde_json::from_slice::<Header>(&data).ok().filter(|h| h.schema == SLAB_SCHEMA)
}

/// That a target cannot do O_DIRECT.
pub fn no_direct(tier: usize, target: &Target, why: &str) -> Error {
    Error::usage(format!(
        "--tier-{tier} {target}: this filesystem does not do O_DIRECT ({why}), so that the page cache would be \
         measured; use a target on a disk, or --io buffered to accept that"
    ))
}
