//! Bytes between GPU memory and storage by cuFile (GPUDirect Storage), past the arena. Storage
//! slabs and GPU memory are registered with it once; its calls block, so that threads of their own
//! make them. What cuFile does is not always what its name says: [`evidence`] tells which way it
//! went.

#[cfg(not(feature = "gpu"))]
mod absent;
pub mod evidence;
pub mod kernel;
#[cfg(feature = "gpu")]
mod library;
pub mod porters;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

use super::config::{Durability, Engine, GdsMode, IoMode, Layout, ReplayConfig};
use super::gpu::{Context, Gpu};
use super::prepare::volume::Volume;
use super::target::Target;
#[cfg(not(feature = "gpu"))]
use absent::{Driver, Handle};
#[cfg(feature = "gpu")]
use library::{Driver, Handle};

#[cfg(not(feature = "gpu"))]
pub use absent::version;
#[cfg(feature = "gpu")]
pub use library::version;

/// What cuFile's driver says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// It may do POSIX I/O through host memory, and then does not say so.
    pub compat_allowed: bool,
    /// It does nothing but POSIX I/O.
    pub posix: bool,
    /// Single I/Os may go another way than the rest.
    pub falls_back: bool,
    /// It can do without nvidia-fs, by PCI peer-to-peer transfers.
    pub peer_to_peer: bool,
}

/// Bytes that cuFile is to move.
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "only cuFile reads what is to be moved"))]
#[derive(Clone, Copy, Debug)]
pub struct Carry {
    /// The slot of their chunk.
    pub slot: u32,
    /// Whether they go to storage.
    pub write: bool,
    /// The number of the GPU.
    pub gpu: usize,
    /// Where in its memory.
    pub at: u64,
    /// The number of the storage target.
    pub volume: u32,
    /// Where in its file.
    pub file_offset: u64,
    /// Bytes.
    pub len: usize,
}

/// Why bytes were not moved.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The system's error; 0 when it is cuFile's.
    pub errno: i32,
    /// In words.
    pub words: String,
}

/// A GPU's memory as cuFile knows it.
struct Memory {
    context: Context,
    base: u64,
    registered: bool,
}

/// cuFile in a replay: not in use until it is ready.
pub struct Gds {
    mode: GdsMode,
    driver: Option<Driver>,
    /// Why it is not used.
    why_off: String,
    files: Vec<Handle>,
    memories: Vec<Memory>,
    /// Calls that never ended may still use all of it.
    abandoned: AtomicBool,
}

/// That cuFile cannot be used although it must.
fn refused(why: &str) -> Error {
    Error::unavailable(format!(
        "--gds on: {why}; use --gds auto, which takes what is there and says which way that is, or --gds off"
    ))
}

/// What of the settings speaks against cuFile, if anything does.
fn contradiction(config: &ReplayConfig) -> Option<String> {
    let storage = || (0..3).filter(|tier| config.targets[*tier].is_storage());
    if config.engine == Engine::Nop {
        return Some("--engine nop does no I/O".to_owned());
    }
    if config.layout == Layout::File {
        return Some(
            "--layout file opens a file for every operation, and cuFile takes files that stay open".to_owned(),
        );
    }
    if let Some(tier) = storage().find(|tier| config.io.of(*tier) == IoMode::Buffered) {
        return Some(format!("--io {tier}=buffered: cuFile needs O_DIRECT"));
    }
    let dsync = storage().find(|tier| config.durability.of(*tier) == Durability::Dsync);
    dsync.map(|tier| format!("--durability {tier}=dsync: cuFile has no durable writes; fdatasync would do"))
}

impl Gds {
    /// Looks whether cuFile can be used, and opens it; nothing is touched.
    ///
    /// # Errors
    /// With `--gds on`, why it cannot be used directly.
    pub fn survey(config: &ReplayConfig, gpus: &[Gpu]) -> Result<Self> {
        let mode = config.gds;
        let with = |driver: Option<Driver>, why_off: String| Self {
            mode,
            driver,
            why_off,
            files: Vec::new(),
            memories: Vec::new(),
            abandoned: AtomicBool::new(false),
        };
        let off = |why: String| with(None, why);
        if mode == GdsMode::Off {
            return Ok(off("--gds off".to_owned()));
        }
        if let Some(why) = contradiction(config) {
            return if mode == GdsMode::On { Err(Error::usage(format!("--gds on: {why}"))) } else { Ok(off(why)) };
        }
        let missing = if !config.targets.iter().any(|target| matches!(target, Target::Gpu(_))) {
            let because = config.modelled_because.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            Some(format!("no tier is a GPU{because}"))
        } else if !config.targets.iter().any(Target::is_storage) {
            Some("no tier is storage".to_owned())
        } else if gpus.is_empty() {
            // Nothing of the trace is on a GPU, so that none is opened.
            Some("no row of the trace is on the GPU".to_owned())
        } else {
            None
        };
        match (missing, mode) {
            (Some(why), GdsMode::On) => Err(refused(&why)),
            (Some(why), _) => Ok(off(why)),
            (None, _) => match Self::open(mode) {
                Ok(driver) => Ok(with(Some(driver), String::new())),
                Err(why) if mode == GdsMode::On => Err(refused(&why)),
                Err(why) => Ok(off(why)),
            },
        }
    }

    /// Opens the driver without its compat mode, or with it where that is allowed.
    fn open(mode: GdsMode) -> Result<Driver, String> {
        match Driver::open(true) {
            Ok(driver) if mode == GdsMode::On => {
                let controls = driver.controls();
                if controls.compat_allowed || controls.posix || controls.falls_back {
                    return Err("cuFile may go through host memory without saying so (set \
                                CUFILE_ALLOW_COMPAT_MODE=false in the environment to forbid it)"
                        .to_owned());
                }
                Ok(driver)
            }
            Err(why) if mode == GdsMode::On => Err(format!("cuFile does not open for direct transfers: {why}")),
            Ok(driver) => Ok(driver),
            Err(_) => Driver::open(false).map_err(|why| format!("cuFile does not open: {why}")),
        }
    }

    /// Memory of the first GPU, behind its tier's, for what is read from storage and stays in none
    /// of the tiers: as long as the arena, so that every slot has a place of its own.
    pub fn landing_bytes(&self, arena: u64) -> u64 {
        if self.driver.is_some() { arena } else { 0 }
    }

    /// Makes everything known to cuFile.
    ///
    /// # Errors
    /// With `--gds on`, what it does not take directly.
    pub fn make_ready(&mut self, volumes: &[Volume], gpus: &[Gpu]) -> Result<()> {
        if self.driver.is_none() {
            return Ok(());
        }
        let mut made = self.register(volumes, gpus);
        if made.is_err() && self.mode == GdsMode::Auto {
            // What is not taken directly may be taken in compat mode.
            self.give_back();
            made = Driver::open(false).and_then(|driver| {
                self.driver = Some(driver);
                self.register(volumes, gpus)
            });
        }
        let Err(why) = made else { return Ok(()) };
        self.give_back();
        if self.mode == GdsMode::On {
            return Err(refused(&why));
        }
        self.why_off = why;
        Ok(())
    }

    fn register(&mut self, volumes: &[Volume], gpus: &[Gpu]) -> Result<(), String> {
        let Some(driver) = &self.driver else { return Ok(()) };
        for gpu in gpus {
            let (base, bytes) = gpu.memory().ok_or("a GPU has no memory of the run")?;
            let context = gpu.context();
            context.enter()?;
            // Unregistered memory is taken as well, with a copy inside the GPU; that is reported.
            let registered = driver.register_buffer(base, bytes).is_ok();
            self.memories.push(Memory { context, base, registered });
        }
        for volume in volumes {
            let fd = volume.file().ok_or_else(|| format!("{} is no single file", volume.target))?;
            let handle = driver.register_file(fd);
            self.files.push(handle.map_err(|why| format!("cuFile does not take {}: {why}", volume.target))?);
        }
        Ok(())
    }

    /// Whether cuFile is in use.
    pub fn is_on(&self) -> bool {
        self.driver.is_some() && !self.files.is_empty()
    }

    /// Why it is not.
    pub fn why_off(&self) -> &str {
        if self.why_off.is_empty() { "no row of the trace is on storage" } else { &self.why_off }
    }

    /// What the driver says of itself, when it is in use.
    pub fn controls(&self) -> Option<Controls> {
        self.driver.as_ref().filter(|_| self.is_on()).map(Driver::controls)
    }

    /// Whether all memory is registered, when it is in use.
    pub fn registered(&self) -> Option<bool> {
        self.is_on().then(|| self.memories.iter().all(|memory| memory.registered))
    }

    /// Moves bytes; blocks until they are there.
    ///
    /// # Errors
    /// What the system, the GPU's driver or cuFile says.
    pub fn carry(&self, carry: &Carry) -> Result<usize, Failure> {
        let refused = |words: String| Failure { errno: 0, words };
        let driver = self.driver.as_ref().ok_or_else(|| refused("cuFile is closed".to_owned()))?;
        let memory = &self.memories[carry.gpu];
        memory.context.enter().map_err(refused)?;
        driver.carry(carry, self.files[carry.volume as usize], memory.base)
    }

    /// Calls of it have not ended: nothing of it is given back any more.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    fn give_back(&mut self) {
        let Some(driver) = self.driver.take() else { return };
        for file in self.files.drain(..) {
            driver.deregister_file(file);
        }
        for memory in self.memories.drain(..).filter(|memory| memory.registered) {
            // A GPU that does not answer frees what it has when the process ends.
            if memory.context.enter().is_ok() {
                driver.deregister_buffer(memory.base);
            }
        }
    }
}

impl Drop for Gds {
    fn drop(&mut self) {
        if *self.abandoned.get_mut() {
            if let Some(driver) = self.driver.take() {
                driver.abandon();
            }
            return;
        }
        self.give_back();
    }
}

/// What cuFile did in a run.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Calls that read and that wrote.
    pub calls: [u64; 2],
    /// Bytes of them.
    pub bytes: [u64; 2],
    /// Bytes copied from GPUs to be checked.
    pub copied_back: u64,
    /// Threads that made the calls.
    pub threads: u32,
    /// nvidia-fs before and after.
    pub module: [Option<kernel::Module>; 2],
}

/// cuFile as threads share it.
pub type Shared = Arc<Gds>;
