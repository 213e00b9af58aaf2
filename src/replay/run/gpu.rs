//! Chunks go to and from GPUs. Copies between a GPU and a memory tier are direct; all others go
//! through slots of the arena. An operation's service counts from the moment at which the GPU
//! began its first copy; what it waited in a stream behind earlier copies is waiting for a device.

use crate::error::Result;

use super::Run;
use super::blocked::Blocked;
use super::blocked_by;
use super::op::{NOWHERE, Sink, Source};
use crate::replay::content::fill::BLOCK;
use crate::replay::gpu::{Ended, IN_STREAM, Transfer, Way};
use crate::replay::prepare::Backend;
use crate::replay::prepare::extents::locate;

/// How long the run thread sleeps at most while copies are in flight: nobody wakes it when one
/// ends.
pub const NAP_NS: u64 = 20_000;

impl Run<'_> {
    /// Ties the time of the GPUs to the run's clock.
    pub fn set_gpu_clocks(&mut self) -> Result<()> {
        let clock = self.clock();
        let now = || clock.elapsed().as_nanos() as u64;
        self.stage.gpus.iter_mut().try_for_each(|gpu| gpu.set_clock(&now))
    }

    /// Sees what has ended on the GPUs, and starts what may start. True when there was any.
    pub fn gpu_step(&mut self) -> Result<bool> {
        if self.stage.gpus.is_empty() {
            return Ok(false);
        }
        let reaped = self.gpu_reap()?;
        if self.early.is_some() {
            return Ok(reaped);
        }
        let issued = self.gpu_issue()?;
        let waiting = !self.to_gpu.is_empty() || self.next_from_gpu().is_some();
        let full = self.stage.gpus.iter().any(|gpu| !(gpu.has_room(Way::In) && gpu.has_room(Way::Out)));
        let now = self.now();
        self.blocked.set(Blocked::GPU, waiting && full, now);
        Ok(reaped || issued)
    }

    /// Sees what has ended on the GPUs. True when something has.
    pub fn gpu_reap(&mut self) -> Result<bool> {
        let mut any = self.take_carried()?;
        for number in 0..self.stage.gpus.len() {
            loop {
                let now = self.now();
                let Some(ended) = self.stage.gpus[number].next_ended(now) else { break };
                any = true;
                self.gpu_in_flight -= 1;
                self.gpu_ended(&ended, now)?;
            }
        }
        Ok(any)
    }

    /// The operation whose next bytes are copied out of a GPU.
    fn next_from_gpu(&self) -> Option<u32> {
        let by_cufile = self.stage.gds.is_on();
        self.next_anywhere(|pass| pass.source == Source::Gpu && !(by_cufile && pass.sink == Sink::Storage))
    }

    fn gpu_issue(&mut self) -> Result<bool> {
        let mut any = self.send_back()?;
        while let Some(&slot) = self.to_gpu.front() {
            let op = self.chunks[slot as usize].op;
            if !self.gpu_of(op, Way::In).is_some_and(|number| self.stage.gpus[number].has_room(Way::In)) {
                break;
            }
            self.to_gpu.pop_front();
            self.gpu_send(slot, Way::In)?;
            any = true;
        }
        while let Some(index) = self.next_from_gpu() {
            let number = self.gpu_of(index, Way::Out).expect("the source is a GPU");
            if !self.stage.gpus[number].has_room(Way::Out) {
                break;
            }
            let chunk = self.next_chunk(index);
            let direct = self.ops[index as usize].pass().sink == Sink::Memory;
            let slot = if direct { self.take_bare_slot(chunk) } else { self.take_slot(chunk) };
            let Some(slot) = slot else { break };
            self.note_issued(&chunk);
            self.chunks[slot as usize].write = false;
            self.gpu_send(slot, Way::Out)?;
            any = true;
        }
        while self.to_gpu.is_empty()
            && self.unchecked.len() < IN_STREAM
            && let Some(index) = self.next_anywhere(|pass| pass.source == Source::Memory && pass.sink == Sink::Gpu)
        {
            let chunk = self.next_chunk(index);
            let Some(slot) = self.take_bare_slot(chunk) else { break };
            self.note_issued(&chunk);
            self.check_and_pass_on(slot)?;
            any = true;
        }
        Ok(any)
    }

    fn gpu_of(&self, index: u32, way: Way) -> Option<usize> {
        let op = &self.ops[index as usize];
        let pass = op.pass();
        let leg = if way == Way::In { pass.sink_leg } else { pass.source_leg };
        let Backend::Gpu(number) = op.legs[leg].backend else { return None };
        Some(number)
    }

    fn gpu_send(&mut self, slot: u32, way: Way) -> Result<()> {
        let now = self.now();
        let chunk = self.chunks[slot as usize];
        let op = &self.ops[chunk.op as usize];
        let pass = op.pass();
        let (leg, other) =
            if way == Way::In { (pass.sink_leg, pass.source_leg) } else { (pass.source_leg, pass.sink_leg) };
        let extents = &self.stage.objects.place(op.legs[leg].place).extents;
        let (at, _) = locate(extents, chunk.offset).expect("a place is as long as its object");
        let blocked = self.blocked.total(blocked_by(op), now);
        // What is written to storage goes there in whole sectors.
        let len = if pass.sink == Sink::Storage { chunk.padded as usize } else { chunk.len as usize };
        let len = len.next_multiple_of(BLOCK);
        let mut part = if chunk.at == NOWHERE {
            self.part_in_memory(chunk.op, other, chunk.offset, len)
        } else {
            self.part_in_arena(slot, len)
        };
        let number = self.gpu_of(chunk.op, way).expect("one end is a GPU");
        let transfer = Transfer { way, at, host: part.bytes_mut().as_mut_ptr(), len, slot };
        self.chunks[slot as usize].blocked = blocked;
        // SAFETY: arena and pools outlive the GPUs, and the part is nobody's but the copy's until
        // that has ended.
        match unsafe { self.stage.gpus[number].send(transfer, now) } {
            Ok(()) => {
                self.gpu_in_flight += 1;
                Ok(())
            }
            Err(words) => self.gpu_failed(slot, way, &words, now),
        }
    }

    fn gpu_failed(&mut self, slot: u32, way: Way, words: &str, now: u64) -> Result<()> {
        self.chunks[slot as usize].write = way == Way::In;
        let to = if way == Way::In { "to" } else { "from" };
        self.fail(slot, 0, &format!("copying {to} the GPU failed: {words}"), now)
    }

    fn gpu_ended(&mut self, ended: &Ended, now: u64) -> Result<()> {
        if self.traffic.expects(ended.slot) {
            return self.came_back(ended.slot, ended.failure.as_deref());
        }
        if let Some(words) = &ended.failure {
            return self.gpu_failed(ended.slot, ended.way, words, now);
        }
        let ([_, began, end], slot) = (ended.times, ended.slot);
        let chunk = self.chunks[slot as usize];
        let (index, len, blocked) = (chunk.op, u64::from(chunk.len), chunk.blocked + ended.queued_ns);
        let op = &mut self.ops[index as usize];
        op.copied_at = op.copied_at.max(end);
        let pass = op.pass();
        let tiers = (op.legs[pass.source_leg].tier, op.legs[pass.sink_leg].tier);
        // A direct copy, or one of data that was made up, is all there is of the pass.
        let whole = matches!(pass.source, Source::Memory | Source::Fill);
        if ended.way == Way::Out || whole {
            (op.sourced, op.sourced_at) = (op.sourced + len, op.sourced_at.max(end));
            self.mark_start_after(index, pass.source_leg, began, blocked);
            if pass.source != Source::Fill {
                self.tally.bytes(tiers.0, false, len, 0, end);
            }
        }
        if ended.way == Way::In {
            self.mark_start_after(index, pass.sink_leg, began, blocked);
            self.tally.bytes(tiers.1, true, len, 0, end);
            return self.release_slot(slot, end);
        }
        match pass.sink {
            Sink::Nothing => {
                self.check_later(slot)?;
                self.chunk_ended(index, end)
            }
            Sink::Memory => {
                self.mark_start_after(index, pass.sink_leg, began, blocked);
                self.tally.bytes(tiers.1, true, len, 0, end);
                self.check_and_pass_on(slot)
            }
            Sink::Storage | Sink::Gpu => {
                self.landed.push_back(slot);
                Ok(())
            }
        }
    }
}
