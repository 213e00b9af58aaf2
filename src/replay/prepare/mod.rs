//! Before the clock starts: slabs really written once, memory present, cold objects in their
//! places.

pub mod extents;
pub mod filesystem;
pub mod fits;
pub mod guard;
pub mod objects;
pub mod slab;

use std::os::fd::AsRawFd;
use std::time::{Instant, SystemTime};

use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::seed::{hash_bytes, mix};
use crate::stop::Stop;

use crate::replay::config::{Durability, Engine, ReplayConfig};
use crate::replay::content::fill::Stream;
use crate::replay::content::verify::SLAB_NAME;
use crate::replay::gpu::Gpu;
use crate::replay::io::memory::Region;
use crate::replay::io::ring::{Completion, Io, Ring};
use crate::replay::plan::{Cold, Plan};
use crate::replay::target::Target;
use extents::{GRANULE, Space, locate};
use fits::Needs;
use objects::Objects;
use slab::Slab;

/// Most I/Os that have a slot at once.
const MOST_SLOTS: usize = 4096;

/// How much memory I/O goes through, in bytes in flight: what is in flight, what is filled before
/// it is due, and what is being filled for or checked after an operation that runs.
pub const ARENA_SHARES: u64 = 3;

/// What stands for a tier during the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Backend {
    /// A slab; the number of its file in the ring.
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
    // The ring and the GPUs are dropped first: they refer to the memory and to the slabs' files.
    /// The ring.
    pub ring: Ring,
    /// The GPUs.
    pub gpus: Vec<Gpu>,
    /// The memory that I/O goes through.
    pub arena: Region,
    /// The slabs, in the order of their numbers in the ring.
    pub slabs: Vec<Slab>,
    /// The memory of DRAM tiers.
    pub pools: Vec<Region>,
    /// What stands for each tier.
    pub backends: [Backend; 3],
    /// Which object is where.
    pub objects: Objects,
    /// The seed of this run's data.
    pub data_seed: u64,
    /// The number by which this run's data differs from earlier runs' on the same slabs.
    pub epoch: u64,
    /// Seconds that it took.
    pub prepare_s: f64,
    /// What a reader of the result should know.
    pub notes: Vec<String>,
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
    let epoch = 1 + needs.slabs.iter().map(slab::SlabPlan::epoch).max().unwrap_or(0);
    let run = run_id();
    let slabs = needs.slabs.into_iter().map(|slab| slab.open(&run, epoch)).collect::<Result<Vec<_>>>()?;
    let blocks = (ARENA_SHARES * config.bytes_in_flight / config.io_size_bytes).max(4);
    let arena = Region::new(blocks * config.io_size_bytes, "I/O buffers", |_| Ok(()))?;
    let files: Vec<_> = slabs.iter().map(|slab| slab.file.as_raw_fd()).collect();
    let ring = Ring::new(slots(&arena) as u32, &arena, &files, config.engine)?;
    let mut notes: Vec<String> = ring.notes.clone();
    notes.extend(slabs.iter().flat_map(|slab| slab.notes.clone()));
    let mut stage = Stage {
        ring,
        gpus: needs.gpus,
        arena,
        pools: Vec::new(),
        backends: [Backend::Skip; 3],
        objects: Objects::new([Space::default(), Space::default(), Space::default()]),
        data_seed: mix(config.seed ^ mix(epoch)),
        epoch,
        prepare_s: 0.0,
        notes,
        slabs,
    };
    match stage.fill(plan, config, stop, progress) {
        Err(error) if error.kind() == Kind::Interrupted => {
            stage.leave();
            let left: Vec<_> = stage.slabs.iter().map(Slab::words).collect();
            let left = if left.is_empty() { String::new() } else { format!("; {} stays there", left.join(" and ")) };
            Err(Error::interrupted(format!(
                "interrupted while preparing{left}; nothing was measured; the next run prepares what is missing"
            )))
        }
        Err(error) => Err(error),
        Ok(()) => {
            stage.ring.dsync = config.durability == Durability::Dsync;
            stage.prepare_s = began.elapsed().as_secs_f64();
            Ok(stage)
        }
    }
}

fn slots(arena: &Region) -> usize {
    (arena.len() / 4096).clamp(4, MOST_SLOTS)
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
    /// I/Os that have a slot at once.
    pub fn slots(&self) -> usize {
        slots(&self.arena)
    }

    /// The slabs are not in use any more.
    pub fn leave(&mut self) {
        for slab in &mut self.slabs {
            // A slab that cannot be marked stays marked as in use, which the next run reports.
            let _ = slab.mark_clean();
        }
    }

    fn fill(&mut self, plan: &Plan, config: &ReplayConfig, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        self.make_tiers(plan, config, stop, progress)?;
        let mut writer = Writer {
            slot_bytes: config.io_size_bytes as usize,
            free: Vec::new(),
            done: Vec::new(),
            draft: Vec::new(),
            stop,
        };
        self.fill_slabs(&mut writer, progress)?;
        self.put_cold(&mut writer, &plan.cold, config.engine, progress)
    }

    fn make_tiers(&mut self, plan: &Plan, config: &ReplayConfig, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        let mut spaces = [Space::default(), Space::default(), Space::default()];
        for (tier, target) in config.targets.iter().enumerate() {
            if plan.facts.peak_granules[tier] == 0 {
                // No row asks for the tier, so it is not made.
                continue;
            }
            self.backends[tier] = match *target {
                Target::Dir(_) | Target::File { .. } if config.engine == Engine::Nop => {
                    let bytes = fits::memory_needed(tier, &plan.facts);
                    spaces[tier] = Space::new(0, granule_count(bytes));
                    Backend::Storage(0)
                }
                Target::Dir(_) | Target::File { .. } => {
                    let number = self.slabs.iter().position(|slab| slab.tier == tier).expect("a slab was opened");
                    // Granule 0 is the header's.
                    spaces[tier] = Space::new(1, granule_count(self.slabs[number].size_bytes()));
                    Backend::Storage(number as u32)
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
                    spaces[tier] = Space::new(0, granule_count(bytes));
                    Backend::Memory(self.pools.len() - 1)
                }
                Target::Gpu(_) => {
                    let bytes = fits::memory_needed(tier, &plan.facts);
                    let before = &config.targets[..tier];
                    let number = before.iter().zip(plan.facts.peak_granules);
                    let number = number.filter(|(t, peak)| matches!(t, Target::Gpu(_)) && *peak > 0).count();
                    self.gpus[number].take(bytes)?;
                    spaces[tier] = Space::new(0, granule_count(bytes));
                    Backend::Gpu(number)
                }
                Target::Model { bytes_per_s, latency_ns } => Backend::Model { bytes_per_s, latency_ns },
                Target::Skip | Target::Block(_) => Backend::Skip,
            };
        }
        self.objects = Objects::new(spaces);
        for gpu in &mut self.gpus {
            gpu.pin(&self.arena, "the I/O buffers");
            self.pools.iter().for_each(|pool| gpu.pin(pool, "a DRAM tier"));
            self.notes.extend_from_slice(gpu.notes());
        }
        Ok(())
    }

    fn fill_slabs(&mut self, writer: &mut Writer, progress: &dyn Progress) -> Result<()> {
        let content = Stream::new(self.data_seed, hash_bytes(SLAB_NAME), 0);
        for number in 0..self.slabs.len() {
            if !self.slabs[number].fill {
                continue;
            }
            let size = self.slabs[number].size_bytes();
            progress.stage("prepare", Some(size), "bytes");
            let mut offset = GRANULE;
            while offset < size {
                let len = (size - offset).min(writer.slot_bytes as u64) as usize;
                writer.write(self, number as u32, offset, &content, offset, len)?;
                progress.advance(len as u64);
                offset += len as u64;
            }
            writer.drain(self)?;
            self.slabs[number].mark_prepared()?;
            progress.done();
        }
        Ok(())
    }

    fn put_cold(&mut self, writer: &mut Writer, cold: &[Cold], engine: Engine, progress: &dyn Progress) -> Result<()> {
        progress.stage("cold objects", Some(cold.iter().map(|c| c.size).sum()), "bytes");
        for object in cold {
            let tier = object.tier.index();
            if matches!(self.backends[tier], Backend::Model { .. } | Backend::Skip) {
                continue;
            }
            let place = self.objects.put(object.key, tier, object.size).ok_or_else(|| {
                Error::usage(format!("tier {tier} is too small for the objects that must be there at the start"))
            })?;
            if engine == Engine::Nop && matches!(self.backends[tier], Backend::Storage(_)) {
                continue;
            }
            let extents = self.objects.place(place).extents.clone();
            let stream = Stream::new(self.data_seed, object.content, object.version.into());
            let mut offset = 0;
            while offset < object.size {
                let (at, run) = locate(&extents, offset).expect("a place is as long as its object");
                let len = (object.size - offset).min(run).min(writer.slot_bytes as u64) as usize;
                match self.backends[tier] {
                    Backend::Storage(file) => writer.write(self, file, at, &stream, offset, len)?,
                    Backend::Memory(pool) => {
                        going_on(writer.stop)?;
                        let padded = len.next_multiple_of(crate::replay::content::fill::BLOCK);
                        stream.fill(offset, self.pools[pool].slice_mut(at as usize, padded));
                    }
                    Backend::Gpu(number) => {
                        going_on(writer.stop)?;
                        writer.draft.resize(len.next_multiple_of(crate::replay::content::fill::BLOCK), 0);
                        stream.fill(offset, &mut writer.draft);
                        self.gpus[number].put(at, &writer.draft)?;
                    }
                    Backend::Model { .. } | Backend::Skip => {}
                }
                progress.advance(len as u64);
                offset += len as u64;
            }
        }
        writer.drain(self)?;
        progress.done();
        self.slabs.iter().try_for_each(Slab::sync)
    }
}

/// Granules of a tier of `bytes`.
fn granule_count(bytes: u64) -> u32 {
    u32::try_from(bytes / GRANULE).unwrap_or(u32::MAX - 1)
}

/// Writes made-up content through the ring as fast as it goes.
struct Writer<'a> {
    slot_bytes: usize,
    free: Vec<usize>,
    done: Vec<Completion>,
    /// What goes to a GPU.
    draft: Vec<u8>,
    stop: &'a Stop,
}

impl Writer<'_> {
    fn write(
        &mut self,
        stage: &mut Stage,
        file: u32,
        at: u64,
        content: &Stream,
        offset: u64,
        len: usize,
    ) -> Result<()> {
        going_on(self.stop)?;
        let slots = stage.arena.len() / self.slot_bytes;
        if self.free.is_empty() && self.done.capacity() == 0 {
            self.done.reserve(slots);
            self.free.extend(0..slots);
        }
        while self.free.is_empty() {
            self.reap(stage)?;
        }
        let slot = self.free.pop().expect("one was freed");
        let padded = len.next_multiple_of(4096);
        content.fill(offset, stage.arena.slice_mut(slot * self.slot_bytes, padded));
        let io = Io {
            write: true,
            file,
            offset: at,
            at: slot * self.slot_bytes,
            len: padded as u32,
            id: (padded as u64) << 32 | slot as u64,
        };
        stage.ring.push(io)?;
        stage.ring.submit()
    }

    fn reap(&mut self, stage: &mut Stage) -> Result<()> {
        stage.ring.wait(100_000_000)?;
        stage.ring.completions(&mut self.done);
        for (id, result) in self.done.drain(..) {
            let (expected, slot) = ((id >> 32) as i32, (id & 0xffff_ffff) as usize);
            if result != expected {
                return Err(write_failed(result, expected));
            }
            self.free.push(slot);
        }
        Ok(())
    }

    fn drain(&mut self, stage: &mut Stage) -> Result<()> {
        if self.done.capacity() == 0 {
            return Ok(());
        }
        let slots = stage.arena.len() / self.slot_bytes;
        while self.free.len() < slots {
            self.reap(stage)?;
        }
        Ok(())
    }
}

fn write_failed(result: i32, expected: i32) -> Error {
    if result >= 0 {
        return Error::io(format!(
            "preparing: the device took {result} of {expected} bytes; the filesystem may be full"
        ));
    }
    let why = std::io::Error::from_raw_os_error(-result);
    Error::io(format!(
        "preparing: writing failed: {} (errno {}); free some space or use another target",
        crate::error::plain(&why),
        -result
    ))
}
