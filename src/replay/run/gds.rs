//! What goes by cuFile: bytes between a GPU and storage, and reads of storage that no tier keeps,
//! which land in the GPU. The call's own times are the service. Whatever is to be checked is
//! copied back to the slot of its chunk when the call has ended; that copy is in no latency, but an
//! object of a GPU tier is held until it has been made.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::measure::replay::IoError;

use super::Run;
use super::blocked_by;
use super::desk::{Check, Job, Work};
use super::op::{Sink, Source};
use crate::replay::config::ReplayConfig;
use crate::replay::gds::kernel::Module;
use crate::replay::gds::porters::{Carried, Porters};
use crate::replay::gds::{Carry, Shared};
use crate::replay::gpu::{Transfer, Way};
use crate::replay::prepare::Backend;
use crate::replay::prepare::extents::locate;

/// What O_DIRECT transfers are multiples of.
const SECTOR: u32 = 512;

/// Bytes that come back to be checked.
struct Back {
    job: Job,
    gpu: usize,
    at: u64,
    /// The operation that waits for it, and when its bytes had arrived.
    holds: Option<(u32, u64)>,
}

/// What goes by cuFile in a run.
pub struct Traffic {
    porters: Option<Porters>,
    /// By slot, what comes back.
    backs: FxHashMap<u32, Back>,
    /// Slots of those that have not been asked for.
    unsent: VecDeque<u32>,
}

impl Traffic {
    /// With threads where cuFile is used.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn new(gds: &Shared, config: &ReplayConfig) -> Result<Self> {
        let porters = match gds.is_on() {
            true => Some(Porters::new(gds, config.bytes_in_flight, config.io_size_bytes)?),
            false => None,
        };
        Ok(Self { porters, backs: FxHashMap::default(), unsent: VecDeque::new() })
    }

    /// Calls under way.
    pub fn busy(&self) -> usize {
        self.porters.as_ref().map_or(0, Porters::busy)
    }

    /// Whether another call can be made at once.
    pub fn has_room(&self) -> bool {
        self.porters.as_ref().is_some_and(Porters::has_room)
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.busy() == 0 && self.backs.is_empty()
    }

    /// Whether a copy from a GPU is one that comes back to be checked.
    pub fn expects(&self, slot: u32) -> bool {
        self.backs.contains_key(&slot)
    }
}

impl Run<'_> {
    /// The clock has started.
    pub fn open_traffic(&mut self) {
        if let Some(porters) = &self.traffic.porters {
            self.tally.gds.threads = porters.len() as u32;
            self.tally.gds.module[0] = Module::read();
        }
    }

    /// The run has ended.
    pub fn close_traffic(&mut self) {
        if self.traffic.porters.is_some() {
            self.tally.gds.module[1] = Module::read();
        }
        if self.traffic.busy() > 0 {
            self.stage.gds.abandon();
        }
    }

    /// Whether an operation's bytes go by cuFile.
    pub fn by_cufile(&self, index: u32) -> bool {
        self.traffic.porters.is_some() && self.ops[index as usize].suits_cufile()
    }

    /// The GPU that takes part in a slot's pass, and where in its memory.
    fn gpu_place(&self, slot: u32) -> (usize, u64) {
        let chunk = &self.chunks[slot as usize];
        let op = &self.ops[chunk.op as usize];
        let pass = op.pass();
        let leg = &op.legs[if pass.sink == Sink::Gpu { pass.sink_leg } else { pass.source_leg }];
        match leg.backend {
            Backend::Gpu(number) => {
                let extents = &self.stage.objects.place(leg.place).extents;
                (number, locate(extents, chunk.offset).expect("a place is as long as its object").0)
            }
            _ => (0, self.stage.landing_at + chunk.at as u64),
        }
    }

    /// Has the bytes of a slot moved. There is room for it.
    pub fn carry(&mut self, slot: u32) {
        let now = self.now();
        let (gpu, at) = self.gpu_place(slot);
        let blocked = self.blocked.total(blocked_by(&self.ops[self.chunks[slot as usize].op as usize]), now);
        let chunk = &mut self.chunks[slot as usize];
        (chunk.blocked, chunk.pushed) = (blocked, now);
        let (moved, rest) = (u64::from(chunk.moved), chunk.padded - chunk.moved);
        let lane = self.lanes.get(chunk.volume);
        (lane.in_flight, lane.in_flight_bytes) = (lane.in_flight + 1, lane.in_flight_bytes + u64::from(rest));
        self.in_flight += 1;
        self.tally.chunks += 1;
        let carry = Carry {
            slot,
            write: chunk.write,
            gpu,
            at: at + moved,
            volume: chunk.volume,
            file_offset: chunk.file_offset + moved,
            len: rest as usize,
        };
        self.traffic.porters.as_mut().expect("cuFile is used").give(carry);
    }

    /// Sees which calls have ended. True when any has.
    pub fn take_carried(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(carried) = self.traffic.porters.as_mut().and_then(Porters::collect) {
            any = true;
            self.carried(&carried)?;
        }
        Ok(any)
    }

    fn carried(&mut self, carried: &Carried) -> Result<()> {
        let clock = self.clock();
        let at = |moment: std::time::Instant| moment.saturating_duration_since(clock).as_nanos() as u64;
        let (slot, began, ended) = (carried.carry.slot, at(carried.began), at(carried.ended));
        let chunk = &mut self.chunks[slot as usize];
        self.in_flight -= 1;
        let (lane, rest) = (self.lanes.get(chunk.volume), u64::from(chunk.padded - chunk.moved));
        (lane.in_flight, lane.in_flight_bytes) = (lane.in_flight - 1, lane.in_flight_bytes - rest);
        let went = match &carried.went {
            Ok(0) => return self.fail(slot, 0, "nothing was transferred: the file or the device ends here", ended),
            Ok(went) => *went as u64,
            Err(failure) => return self.fail(slot, failure.errno, &failure.words, ended),
        };
        let way = usize::from(chunk.write);
        self.tally.io[way].record(ended.saturating_sub(began));
        (self.tally.gds.calls[way], self.tally.gds.bytes[way]) =
            (self.tally.gds.calls[way] + 1, self.tally.gds.bytes[way] + went);
        chunk.moved = chunk.moved.saturating_add(went as u32).min(chunk.padded);
        let (index, blocked, moved, padded) = (chunk.op, chunk.blocked, chunk.moved, chunk.padded);
        let pass = self.ops[index as usize].pass();
        self.mark_start_after(index, pass.source_leg, began, blocked);
        self.mark_start_after(index, pass.sink_leg, began, blocked);
        if moved < padded {
            self.tally.short += 1;
            if !moved.is_multiple_of(SECTOR) || self.early.is_some() {
                return self.fail(slot, 0, &format!("only {moved} of {padded} bytes were transferred"), ended);
            }
            // A place among the calls has just become free.
            self.carry(slot);
            return Ok(());
        }
        self.arrived_by_cufile(slot, ended)
    }

    /// All bytes of a slot have gone.
    fn arrived_by_cufile(&mut self, slot: u32, ended: u64) -> Result<()> {
        let chunk = self.chunks[slot as usize];
        let (index, len, padding) = (chunk.op, u64::from(chunk.len), u64::from(chunk.padded - chunk.len));
        let op = &mut self.ops[index as usize];
        let pass = op.pass();
        (op.sourced, op.sourced_at) = (op.sourced + len, op.sourced_at.max(ended));
        let tiers = (op.legs[pass.source_leg].tier, op.legs[pass.sink_leg].tier);
        let from_storage = pass.source == Source::Storage;
        self.tally.bytes(tiers.0, false, len, if from_storage { padding } else { 0 }, ended);
        if pass.sink != Sink::Nothing {
            self.tally.bytes(tiers.1, true, len, if from_storage { 0 } else { padding }, ended);
        }
        self.tally.volumes[chunk.volume as usize].add(!from_storage, len, padding);
        let Some(check) = self.check_of(index).filter(|_| self.early.is_none()) else {
            return self.release_slot(slot, ended);
        };
        let (gpu, at) = self.gpu_place(slot);
        let job = self.check_job(slot, check);
        // What lies in a tier must stay as it is until the copy has been made; what landed is the
        // slot's own.
        let holds = (pass.sink != Sink::Nothing).then_some((index, ended));
        self.traffic.backs.insert(slot, Back { job, gpu, at, holds });
        self.traffic.unsent.push_back(slot);
        if holds.is_none() { self.chunk_ended(index, ended) } else { Ok(()) }
    }

    /// Asks for what is to be checked, as far as the GPUs' streams take it. True when there was any.
    pub fn send_back(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(&slot) = self.traffic.unsent.front() {
            let now = self.now();
            let Some(back) = self.traffic.backs.get_mut(&slot) else { break };
            let gpu = &mut self.stage.gpus[back.gpu];
            if !gpu.has_room(Way::Out) {
                break;
            }
            let (host, len) = (back.job.part.bytes_mut().as_mut_ptr(), back.job.part.len());
            let transfer = Transfer { way: Way::Out, at: back.at, host, len, slot };
            // SAFETY: the arena outlives the GPUs, and the part is nobody's but the copy's until
            // that has ended.
            let sent = unsafe { gpu.send(transfer, now) };
            self.traffic.unsent.pop_front();
            any = true;
            match sent {
                Ok(()) => {
                    self.gpu_in_flight += 1;
                    self.tally.gds.copied_back += len as u64;
                }
                Err(words) => self.came_back(slot, Some(&words))?,
            }
        }
        Ok(any)
    }

    /// What is to be checked has come, or cannot.
    pub fn came_back(&mut self, slot: u32, failure: Option<&str>) -> Result<()> {
        let Some(Back { job, holds, .. }) = self.traffic.backs.remove(&slot) else { return Ok(()) };
        match (failure, &job.work) {
            (Some(words), Work::Check(Check { whose, .. })) => {
                let (row, key) = (whose.row, self.plan.names.get(whose.key));
                let message = format!("copying from the GPU, to check it, failed: {words}");
                self.note_error(IoError { row, key, op: "check".to_owned(), errno: 0, message });
                self.free_slot(slot);
            }
            _ => self.unchecked.push_back(job),
        }
        match holds {
            Some((index, ended)) => self.chunk_ended(index, ended),
            None => Ok(()),
        }
    }
}
