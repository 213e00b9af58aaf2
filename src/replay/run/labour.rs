//! Bytes of memory tiers. Helpers copy them where there are any and it takes longer than asking
//! them; otherwise the run thread does, in small steps so that nothing else waits for long.
//!
//! Service counts from the real start of an operation's first copy to the end of its last one,
//! both stamped by whoever copied. An operation that is due while all movers have copies of others
//! waits for the tier, as one waits for a device; the time in which movers made data up or checked
//! it instead is our own delay.

use std::time::Instant;

use crate::error::Result;

use super::Run;
use super::blocked::Blocked;
use super::desk::{Done, Job, Work};
use super::lane::OBJECT_CHUNKS;
use super::op::{Chunk, Sink, Source};
use crate::replay::config::Pace;
use crate::replay::content::fill::BLOCK;
use crate::replay::io::memory::Part;
use crate::replay::prepare::Backend;
use crate::replay::prepare::extents::locate;

/// Bytes that the run thread copies in one step.
const STEP: u64 = 256 << 10;
/// Bytes that a helper copies for one asking.
const SHARE: u64 = 1 << 20;

/// Slots for the parts of operations between memory and memory that are on their way at a time.
pub fn bare_slots(helpers: usize) -> usize {
    helpers.max(2) * OBJECT_CHUNKS as usize
}

impl Run<'_> {
    /// Hands out what there is to copy, or does one step of it here. True when there was any.
    pub fn labour(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(&slot) = self.landed.front() {
            let chunk = &self.chunks[slot as usize];
            let copied = self.ops[chunk.op as usize].pass().sink == Sink::Memory;
            if copied && !self.may_copy(chunk.len) {
                break;
            }
            self.landed.pop_front();
            any = true;
            if self.take_landed(slot)? {
                return Ok(true);
            }
        }
        for kind in [Source::Memory, Source::Fill] {
            while let Some(here) = self.produce_next(kind)? {
                any = true;
                if here {
                    return Ok(true);
                }
            }
        }
        while let Some(index) = self.next_in_memory() {
            let Some(here) = self.copy_part(index)? else { break };
            any = true;
            if here {
                break;
            }
        }
        if any {
            self.set_memory_blocked();
            return Ok(true);
        }
        self.check_landed()
    }

    /// Produces the next bytes of a kind in any lane. None when there are none or they have to wait,
    /// otherwise whether it was done here.
    fn produce_next(&mut self, kind: Source) -> Result<Option<bool>> {
        for lane in self.lanes.in_turn() {
            let next = match kind {
                Source::Fill => self.next_to_fill(lane),
                _ => self.next_in_queue(lane, |pass, _| pass.source == kind && pass.sink == Sink::Storage),
            };
            if let Some(index) = next
                && let Some(here) = self.produce(index)?
            {
                return Ok(Some(here));
            }
        }
        Ok(None)
    }

    /// Whether so many bytes can be copied now, by a helper or here.
    fn may_copy(&self, bytes: u32) -> bool {
        self.early.is_some() || !self.is_for_helpers(bytes) || self.crew.takes_copies()
    }

    /// The operation between memory and memory that is served next: of as many as there are
    /// movers, and at least two, so that a small one does not wait for the end of a large one, the
    /// one with the fewest parts on their way.
    fn next_in_memory(&self) -> Option<u32> {
        let served = self.memory_queue.iter().take(self.crew.len().max(2)).copied();
        let fewest = served.min_by_key(|index| self.ops[*index as usize].chunks)?;
        (self.ops[fewest as usize].chunks < OBJECT_CHUNKS).then_some(fewest)
    }

    /// Whether operations between memory and memory wait for others.
    pub fn set_memory_blocked(&mut self) {
        let blocked = match self.memory_queue.front() {
            Some(&first) if self.is_for_helpers(self.next_part(first, SHARE).len) => !self.crew.takes_copies(),
            Some(_) => self.memory_queue.len() > 1,
            None => false,
        };
        let now = self.now();
        self.blocked.set(Blocked::MEMORY, blocked, now);
    }

    /// Fills a slot with the next bytes to be written: made up, or from a memory tier. None when
    /// that has to wait, otherwise whether it was done here.
    fn produce(&mut self, index: u32) -> Result<Option<bool>> {
        let chunk = self.next_chunk(index);
        let helper = self.is_for_helpers(chunk.padded);
        let pass = self.ops[index as usize].pass();
        if helper && (pass.source == Source::Fill || !self.crew.takes_copies()) {
            return Ok(None);
        }
        let Some(slot) = self.take_slot(chunk) else { return Ok(None) };
        self.note_issued(&chunk);
        if pass.source == Source::Fill {
            let stream = self.ops[index as usize].stream.clone();
            self.fill(slot, &stream)?;
            return Ok(Some(true));
        }
        let part = self.part_in_memory(index, pass.source_leg, chunk.offset, chunk.padded as usize);
        let to = Some(self.part_in_arena(slot, chunk.padded as usize));
        let work = Work::Copy { to, check: self.check_of(index), len: chunk.len as usize };
        self.hand_over(slot, part, work, helper)
    }

    /// Has a copy made: by a helper, or here. Whether it was done here.
    fn hand_over(&mut self, slot: u32, part: Part, work: Work, helper: bool) -> Result<Option<bool>> {
        let now = self.now();
        let chunk = &mut self.chunks[slot as usize];
        let op = &self.ops[chunk.op as usize];
        chunk.blocked = self.blocked.total(super::blocked_by(op), now);
        let job = Job { slot, stream: op.stream.clone(), offset: chunk.offset, part, work, given: Instant::now() };
        if helper {
            self.crew.give(job);
            // Where processors are few, the helper may be given this thread's at once.
            self.tally.spent.copy_ns += self.now() - now;
        } else {
            self.perform(job)?;
        }
        Ok(Some(!helper))
    }

    /// Goes on with what was read into a slot. Whether that took long.
    pub fn take_landed(&mut self, slot: u32) -> Result<bool> {
        let chunk = self.chunks[slot as usize];
        let pass = self.ops[chunk.op as usize].pass();
        if pass.sink != Sink::Memory {
            self.check_and_pass_on(slot)?;
            return Ok(false);
        }
        let len = (chunk.len as usize).next_multiple_of(BLOCK);
        let to = Some(self.part_in_memory(chunk.op, pass.sink_leg, chunk.offset, len));
        let part = self.part_in_arena(slot, len);
        let work = Work::Copy { to, check: self.check_of(chunk.op), len: chunk.len as usize };
        let helper = self.early.is_none() && self.is_for_helpers(chunk.len);
        Ok(self.hand_over(slot, part, work, helper)? == Some(true))
    }

    /// What was read into a slot and checked is written to the operation's other place, if it is
    /// not there yet.
    pub fn pass_on(&mut self, slot: u32) -> Result<()> {
        let chunk = self.chunks[slot as usize];
        let op = &self.ops[chunk.op as usize];
        match op.pass().sink {
            Sink::Storage => {}
            Sink::Memory | Sink::Nothing => return self.release_slot(slot, op.copied_at),
            Sink::Gpu => {
                (self.chunks[slot as usize].write, self.chunks[slot as usize].checking) = (true, false);
                self.to_gpu.push_back(slot);
                return Ok(());
            }
        }
        let leg = &op.legs[op.pass().sink_leg];
        let extents = &self.stage.objects.place(leg.place).extents;
        let (at, _) = locate(extents, chunk.offset).expect("a place is as long as its object");
        let Backend::Storage(volume) = leg.backend else { unreachable!("the sink is storage") };
        let file = self.file_of(chunk.op, op.pass().sink_leg);
        let chunk = &mut self.chunks[slot as usize];
        (chunk.volume, chunk.file) = (volume, file);
        (chunk.write, chunk.file_offset, chunk.moved, chunk.checking) = (true, at, 0, false);
        self.write_later(slot);
        Ok(())
    }

    /// Has the next part of an operation that only memory takes part in moved. None when that has
    /// to wait, otherwise whether it was done here.
    fn copy_part(&mut self, index: u32) -> Result<Option<bool>> {
        let mut chunk = self.next_part(index, SHARE);
        let mut helper = self.is_for_helpers(chunk.len);
        if helper && !self.crew.takes_copies() {
            // With a schedule, or while I/O is in flight, looking after those comes first.
            if self.config.pace != Pace::Asap || self.in_flight + self.gpu_in_flight > 0 {
                return Ok(None);
            }
            helper = false;
        }
        if !helper {
            chunk = self.next_part(index, STEP);
        }
        let Some(slot) = self.take_bare_slot(chunk) else { return Ok(None) };
        self.note_issued(&chunk);
        let pass = self.ops[index as usize].pass();
        let len = (chunk.len as usize).next_multiple_of(BLOCK);
        let sink = (pass.sink == Sink::Memory).then(|| self.part_in_memory(index, pass.sink_leg, chunk.offset, len));
        if pass.source == Source::Fill {
            let part = sink.expect("what is made up goes somewhere");
            return self.hand_over(slot, part, Work::Store, helper);
        }
        let part = self.part_in_memory(index, pass.source_leg, chunk.offset, len);
        let work = Work::Copy { to: sink, check: self.check_of(index), len: chunk.len as usize };
        self.hand_over(slot, part, work, helper)
    }

    /// Bytes of an operation were copied.
    pub fn moved(&mut self, done: &Done) -> Result<()> {
        let began = done.began.saturating_duration_since(self.clock()).as_nanos() as u64;
        let ended = began + done.ns;
        let (slot, Chunk { op: index, len, blocked, .. }) = (done.slot, self.chunks[done.slot as usize]);
        let op = &mut self.ops[index as usize];
        op.copied_at = op.copied_at.max(ended);
        let pass = op.pass();
        if pass.source != Source::Storage {
            (op.sourced, op.sourced_at) = (op.sourced + u64::from(len), op.sourced_at.max(ended));
            self.mark_start_after(index, pass.source_leg, began, blocked + done.queued_ns);
        }
        if pass.sink == Sink::Memory {
            self.mark_start_after(index, pass.sink_leg, began, blocked + done.queued_ns);
        }
        let op = &self.ops[index as usize];
        let (source, sink) = (op.legs[pass.source_leg].tier, op.legs[pass.sink_leg].tier);
        if pass.source == Source::Memory {
            self.tally.bytes(source, false, len.into(), 0, ended);
        }
        match pass.sink {
            Sink::Storage => {
                self.write_later(slot);
                return Ok(());
            }
            Sink::Memory => self.tally.bytes(sink, true, len.into(), 0, ended),
            Sink::Nothing | Sink::Gpu => {}
        }
        self.release_slot(slot, ended)
    }

    /// The bytes of a slot.
    pub fn part_in_arena(&self, slot: u32, len: usize) -> Part {
        // SAFETY: the arena outlives the crew, and the slot is nobody's but the job's until it has
        // been collected.
        unsafe { self.stage.arena.lend(self.chunks[slot as usize].at, len) }
    }

    /// Bytes of an operation's object in a memory tier.
    pub fn part_in_memory(&self, index: u32, leg: usize, offset: u64, len: usize) -> Part {
        let leg = &self.ops[index as usize].legs[leg];
        let Backend::Memory(pool) = leg.backend else { unreachable!("the leg is a memory tier's") };
        let extents = &self.stage.objects.place(leg.place).extents;
        let (at, _) = locate(extents, offset).expect("a place is as long as its object");
        // SAFETY: the pool outlives the crew. Operations on one object follow each other, and the
        // place is held until this one has ended, so that nobody else writes here meanwhile.
        unsafe { self.stage.pools[pool].lend(at as usize, len) }
    }
}
