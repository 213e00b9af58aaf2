//! Before the clock starts: slabs really written once, folders of files made, memory present, cold
//! objects in their places.

pub mod depth;
pub mod device;
pub mod extents;
pub mod filesystem;
pub mod fits;
pub mod folder;
pub mod guard;
pub mod load;
pub mod objects;
pub mod precondition;
pub mod reset;
pub mod share;
pub mod shelf;
pub mod slab;
pub mod storage;
pub mod volume;
mod writer;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{Instant, SystemTime};

use crate::error::{Error, Kind, Result};
use crate::measure::precondition::Preconditioned;
use crate::progress::Progress;
use crate::seed::{hash_bytes, mix};
use crate::stop::Stop;

use crate::replay::config::{Engine, ReplayConfig};
use crate::replay::content::fill::Stream;
use crate::replay::content::verify::SLAB_NAME;
use crate::replay::gds::Shared;
use crate::replay::gpu::Gpu;
use crate::replay::io::memory::Region;
use crate::replay::io::ring::{Ring, check_available};
use crate::replay::plan::{Cold, Plan};
use crate::replay::report::host::Device;
use crate::replay::target::Target;
use crate::units;
use extents::{GRANULE, Space, locate};
use fits::Needs;
use objects::Objects;
use shelf::{Shelves, stripe_of};
use slab::Slab;
use volume::{Volume, VolumePlan};
use writer::Writer;

/// Most I/Os that have a slot at once.
const MOST_SLOTS: usize = 4096;

/// Files of cold objects that are open at once.
const COLD_FILES: usize = 64;

/// I/O buffers that a reader of the result should know of.
const LARGE_ARENA: u64 = 512 << 20;

/// How much memory I/O goes through, in bytes in flight: what is in flight, what is filled before
/// it is due, and what is being filled for or checked after an operation that runs.
pub const ARENA_SHARES: u64 = 3;

/// What stands for a tier during the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Backend {
    /// A storage target; its number. For a tier it is the first of its targets', for an operation
    /// that of the one on which the object lies.
    Storage(u32),
    /// Memory; the number of its pool.
    Memory(usize),
    /// A GPU's memory; the number of the GPU among those of the run.
    Gpu(usize),
    /// Time that passes.
    Model {
        /// Bytes per second.
        bytes_per_s: f64,
        /// Added to every operation.
        latency_ns: u64,
    },
    /// Nothing.
    Skip,
}

/// The tiers, ready for the run.
pub struct Stage {
    // The ring, cuFile and the GPUs are dropped first: they refer to the memory and to the targets'
    // files.
    /// The ring.
    pub ring: Ring,
    /// cuFile, if it is used.
    pub gds: Shared,
    /// The GPUs.
    pub gpus: Vec<Gpu>,
    /// The memory that I/O goes through.
    pub arena: Region,
    /// The storage targets, in the order of their numbers in the ring.
    pub volumes: Vec<Volume>,
    /// The memory of DRAM tiers.
    pub pools: Vec<Region>,
    /// What stands for each tier.
    pub backends: [Backend; 3],
    /// Which object is where.
    pub objects: Objects,
    /// The space of each tier with nothing on it.
    pub shelves: [Shelves; 3],
    /// Whether each object of a tier is a file of its own.
    pub filed: [bool; 3],
    /// The seed of this run's data.
    pub data_seed: u64,
    /// The number by which this run's data differs from earlier runs' on the same targets.
    pub epoch: u64,
    /// The bytes in flight that were found for these slabs, when they were looked for.
    pub found: Option<depth::Found>,
    /// What was overwritten before the run.
    pub preconditioned: Vec<Preconditioned>,
    /// Seconds that it took, without overwriting.
    pub prepare_s: f64,
    /// What a reader of the result should know.
    pub notes: Vec<String>,
    /// How much of the arena is for each storage target.
    pub lane_bytes: usize,
    /// Where in the first GPU's memory lies what cuFile reads and no tier keeps.
    pub landing_at: u64,
}

/// Makes everything ready.
///
/// # Errors
/// Whatever the tiers do not give, or an interruption.
pub fn prepare(
    plan: &Plan,
    needs: Needs,
    config: &ReplayConfig,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Stage> {
    let began = Instant::now();
    check_available()?;
    let epoch = 1 + needs.volumes.iter().map(VolumePlan::epoch).max().unwrap_or(0);
    let run = run_id();
    let volumes = needs.volumes.into_iter().map(|volume| volume.open(&run, epoch)).collect::<Result<Vec<_>>>()?;
    let lanes = lanes(volumes.len(), needs.gpus.len()) as u64;
    let arena = Region::new(fits::arena_bytes(config, lanes as usize)?, "I/O buffers", |_| Ok(()))?;
    let files: Vec<_> = volumes.iter().filter_map(Volume::file).collect();
    let lane_bytes = (arena.len() / lanes as usize / config.io_size_bytes as usize) * config.io_size_bytes as usize;
    let slots = lane_slots(lane_bytes) * lanes as usize;
    let ring = Ring::new(slots as u32, &arena, &files, config.engine)?;
    let mut notes: Vec<String> = ring.notes.clone();
    notes.extend(volumes.iter().flat_map(Volume::notes));
    notes.extend(volume::same_device_notes(&volumes));
    if arena.len() as u64 > LARGE_ARENA {
        notes.push(format!("the I/O buffers take {} of memory", units::bytes(arena.len() as u64)));
    }
    let mut stage = Stage {
        ring,
        gds: Shared::new(needs.gds),
        gpus: needs.gpus,
        arena,
        pools: Vec::new(),
        backends: [Backend::Skip; 3],
        objects: Objects::new([Shelves::default(), Shelves::default(), Shelves::default()]),
        shelves: [Shelves::default(), Shelves::default(), Shelves::default()],
        filed: [false; 3],
        data_seed: mix(config.seed ^ mix(epoch)),
        epoch,
        found: None,
        preconditioned: Vec::new(),
        prepare_s: 0.0,
        notes,
        lane_bytes,
        landing_at: 0,
        volumes,
    };
    match stage.fill(plan, config, stop, progress) {
        Err(error) if error.kind() == Kind::Interrupted => {
            stage.leave();
            let left: Vec<_> = stage.volumes.iter().filter_map(Volume::words).collect();
            let left = if left.is_empty() { String::new() } else { format!("; {} stays there", left.join(" and ")) };
            Err(Error::interrupted(format!(
                "interrupted while preparing{left}; nothing was measured; the next run prepares what is missing"
            )))
        }
        Err(error) => {
            stage.leave();
            Err(error)
        }
        Ok(()) => {
            let overwriting: f64 = stage.preconditioned.iter().map(|one| one.seconds).sum();
            stage.prepare_s = began.elapsed().as_secs_f64() - overwriting;
            Ok(stage)
        }
    }
}

/// Shares of the arena: one for each storage target, one for all GPUs, at least one.
fn lanes(volumes: usize, gpus: usize) -> usize {
    (volumes + gpus.min(1)).max(1)
}

/// I/Os of one storage target that have a slot at once, where it has so much of the arena.
fn lane_slots(lane_bytes: usize) -> usize {
    (lane_bytes / 4096).clamp(4, MOST_SLOTS)
}

/// Whether nobody has asked to stop.
fn going_on(stop: &Stop) -> Result<()> {
    if stop.requested() { Err(Error::interrupted("interrupted while preparing; nothing was measured")) } else { Ok(()) }
}

fn run_id() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", since.as_secs(), std::process::id())
}

impl Stage {
    /// The share of the arena that GPUs have.
    pub fn gpu_lane(&self) -> u32 {
        self.volumes.len() as u32
    }

    /// Whether a tier holds objects in memory, so that they are copied.
    pub fn has_memory(&self) -> bool {
        self.backends.iter().any(|backend| matches!(backend, Backend::Memory(_)))
    }

    /// The slabs of storage targets.
    pub fn slabs(&self) -> impl Iterator<Item = &Slab> {
        self.volumes.iter().filter_map(Volume::slab)
    }

    /// Storage targets, at least one: each has a share of the arena.
    pub fn lanes(&self) -> usize {
        lanes(self.volumes.len(), self.gpus.len())
    }

    /// I/Os of one storage target that have a slot at once.
    pub fn lane_slots(&self) -> usize {
        lane_slots(self.lane_bytes)
    }

    /// The storage target that an object with this key hash goes to, on a tier whose first one is
    /// `first`.
    pub fn home(&self, tier: usize, first: u32, content: u64) -> u32 {
        let width = self.volumes.iter().filter(|volume| volume.tier == tier).count();
        first + stripe_of(content, width) as u32
    }

    /// The devices below the storage targets, each once.
    pub fn devices(&self) -> Vec<Device> {
        let mut devices: Vec<Device> = Vec::new();
        for device in self.volumes.iter().filter_map(|volume| Device::below(volume.path()?)) {
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        devices
    }

    /// Waits until every device has what was written.
    ///
    /// # Errors
    /// The first that does not take it.
    pub fn sync(&self) -> Result<()> {
        std::thread::scope(|scope| {
            let syncing: Vec<_> = self.volumes.iter().map(|volume| scope.spawn(|| volume.sync())).collect();
            syncing.into_iter().try_for_each(|thread| thread.join().expect("syncing does not panic"))
        })
    }

    /// Whether I/O goes to a device.
    pub fn has_storage(&self) -> bool {
        self.volumes.iter().any(|volume| volume.path().is_some())
    }

    /// The storage targets are not in use any more.
    pub fn leave(&mut self) {
        for volume in &mut self.volumes {
            // One that cannot be marked stays marked as in use, which the next run reports.
            let _ = volume.leave();
        }
    }

    fn fill(&mut self, plan: &Plan, config: &ReplayConfig, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        self.make_tiers(plan, config, stop, progress)?;
        let gds = Shared::get_mut(&mut self.gds).expect("nobody shares it before the run");
        gds.make_ready(&self.volumes, &self.gpus)?;
        let mut writer = Writer::new(config.io_size_bytes as usize, stop);
        self.fill_slabs(&mut writer, progress)?;
        self.preconditioned = precondition::precondition(self, config, stop, progress)?;
        self.found = depth::find(self, &plan.facts, config, stop, progress)?;
        self.put_cold(&mut writer, &plan.cold, config.engine, progress)
    }

    fn make_tiers(&mut self, plan: &Plan, config: &ReplayConfig, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        let mut tiers = [Shelves::default(), Shelves::default(), Shelves::default()];
        let mut filed = [false; 3];
        for (tier, target) in config.targets.iter().enumerate() {
            if plan.facts.peak_granules[tier] == 0 {
                // No row asks for the tier, so it is not made.
                continue;
            }
            self.backends[tier] = match *target {
                Target::Dir(_) | Target::File { .. } | Target::Block { .. } | Target::Striped(_) => {
                    let first = self.volumes.iter().position(|v| v.tier == tier).expect("its targets were opened");
                    let own = self.volumes.iter().filter(|volume| volume.tier == tier);
                    filed[tier] = self.volumes[first].folder().is_some();
                    tiers[tier] = Shelves::new(own.map(|volume| (volume.space(), volume.share.peak_granules)));
                    Backend::Storage(first as u32)
                }
                Target::Dram(_) => {
                    let bytes = fits::memory_needed(tier, &plan.facts);
                    progress.stage("memory", Some(bytes), "bytes");
                    let present = |piece| {
                        progress.advance(piece);
                        going_on(stop)
                    };
                    self.pools.push(Region::new(bytes, &format!("tier {tier}"), present)?);
                    progress.done();
                    tiers[tier] = Shelves::single(Space::new(0, granule_count(bytes)));
                    Backend::Memory(self.pools.len() - 1)
                }
                Target::Gpu(_) => {
                    let bytes = fits::memory_needed(tier, &plan.facts);
                    let before = &config.targets[..tier];
                    let number = before.iter().zip(plan.facts.peak_granules);
                    let number = number.filter(|(t, peak)| matches!(t, Target::Gpu(_)) && *peak > 0).count();
                    // What cuFile reads and no tier keeps lands behind the first one's objects.
                    let landing = if number == 0 { self.gds.landing_bytes(self.arena.len() as u64) } else { 0 };
                    self.gpus[number].take(bytes + landing)?;
                    self.landing_at = if number == 0 { bytes } else { self.landing_at };
                    tiers[tier] = Shelves::single(Space::new(0, granule_count(bytes)));
                    Backend::Gpu(number)
                }
                Target::Model { bytes_per_s, latency_ns } => Backend::Model { bytes_per_s, latency_ns },
                Target::Skip => Backend::Skip,
            };
        }
        self.shelves = tiers;
        self.filed = filed;
        self.objects = self.no_objects();
        for gpu in &mut self.gpus {
            gpu.pin(&self.arena, "the I/O buffers");
            self.pools.iter().for_each(|pool| gpu.pin(pool, "a DRAM tier"));
            self.notes.extend_from_slice(gpu.notes());
        }
        Ok(())
    }

    /// The table of objects before there is any.
    fn no_objects(&self) -> Objects {
        let mut objects = Objects::new(self.shelves.clone());
        (0..3).filter(|tier| self.filed[*tier]).for_each(|tier| objects.file_each(tier));
        objects
    }

    fn fill_slabs(&mut self, writer: &mut Writer, progress: &dyn Progress) -> Result<()> {
        let content = Stream::new(self.data_seed, hash_bytes(SLAB_NAME), 0);
        let mut todo: Vec<(u32, u64, u64)> = Vec::new();
        for (number, volume) in self.volumes.iter().enumerate() {
            let slab = volume.slab().filter(|slab| slab.fill);
            todo.extend(slab.map(|slab| (number as u32, GRANULE, slab.size_bytes())));
        }
        if todo.is_empty() {
            return Ok(());
        }
        progress.stage("prepare", Some(todo.iter().map(|(_, _, size)| size).sum()), "bytes");
        // All of them at once: a part of each in turn.
        while todo.iter().any(|(_, offset, size)| offset < size) {
            for (number, offset, size) in todo.iter_mut().filter(|(_, offset, size)| offset < size) {
                let len = (*size - *offset).min(writer.slot_bytes() as u64) as usize;
                writer.write(self, *number, *offset, &content, *offset, len)?;
                progress.advance(len as u64);
                *offset += len as u64;
            }
        }
        writer.drain(self)?;
        for (number, ..) in todo {
            self.volumes[number as usize].slab_mut().map_or(Ok(()), Slab::mark_prepared)?;
        }
        progress.done();
        Ok(())
    }

    fn put_cold(&mut self, writer: &mut Writer, cold: &[Cold], engine: Engine, progress: &dyn Progress) -> Result<()> {
        progress.stage("cold objects", Some(cold.iter().map(|c| c.size).sum()), "bytes");
        let mut open: Vec<File> = Vec::with_capacity(COLD_FILES);
        let mut draft = Vec::new();
        for object in cold {
            if open.len() == COLD_FILES {
                writer.drain(self)?;
                open.clear();
            }
            let tier = object.tier.index();
            if matches!(self.backends[tier], Backend::Model { .. } | Backend::Skip) {
                continue;
            }
            let place = self.objects.put(object.key, tier, object.size, object.content).ok_or_else(|| {
                Error::usage(format!("tier {tier} is too small for the objects that must be there at the start"))
            })?;
            if engine == Engine::Nop && matches!(self.backends[tier], Backend::Storage(_)) {
                continue;
            }
            let (extents, stripe) = (self.objects.place(place).extents.clone(), self.objects.place(place).stripe);
            let mut number = match self.backends[tier] {
                Backend::Storage(first) => first + stripe,
                _ => 0,
            };
            if let Some(folder) = self.volumes.get(number as usize).and_then(Volume::folder)
                && matches!(self.backends[tier], Backend::Storage(_))
            {
                let file = folder.create(&self.objects.file_name(place), object.size.next_multiple_of(4096))?;
                number = open.len() as u32;
                self.ring.set_file(number, file.as_raw_fd());
                open.push(file);
            }
            let stream = Stream::new(self.data_seed, object.content, object.version.into());
            let mut offset = 0;
            while offset < object.size {
                let (at, run) = locate(&extents, offset).expect("a place is as long as its object");
                let len = (object.size - offset).min(run).min(writer.slot_bytes() as u64) as usize;
                match self.backends[tier] {
                    Backend::Storage(_) => writer.write(self, number, at, &stream, offset, len)?,
                    Backend::Memory(pool) => {
                        writer.going_on()?;
                        let padded = len.next_multiple_of(crate::replay::content::fill::BLOCK);
                        stream.fill(offset, self.pools[pool].slice_mut(at as usize, padded));
                    }
                    Backend::Gpu(number) => {
                        writer.going_on()?;
                        draft.resize(len.next_multiple_of(crate::replay::content::fill::BLOCK), 0);
                        stream.fill(offset, &mut draft);
                        self.gpus[number].put(at, &draft)?;
                    }
                    Backend::Model { .. } | Backend::Skip => {}
                }
                progress.advance(len as u64);
                offset += len as u64;
            }
        }
        writer.drain(self)?;
        progress.done();
        self.sync()
    }
}

/// Granules of a tier of `bytes`, as far as they can be numbered.
pub fn granule_count(bytes: u64) -> u32 {
    u32::try_from(bytes / GRANULE).unwrap_or(u32::MAX - 1)
}
