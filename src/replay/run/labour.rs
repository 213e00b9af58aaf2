//! What the processor does itself, in small steps so that nothing else waits for long: making
//! data up, copying to and from memory tiers, checking what was read.

use crate::error::Result;

use super::Run;
use super::blocked::Blocked;
use super::crew::{Whose, compare};
use super::op::{Sink, Source};
use crate::replay::config::Verify;
use crate::replay::content::fill::BLOCK;
use crate::replay::content::verify::STAMP_EVERY;
use crate::replay::prepare::Backend;
use crate::replay::prepare::extents::locate;

/// Bytes of a memory tier that are worked on in one step.
const STEP: u64 = 256 << 10;

/// Where reads from memory tiers are copied to: larger than a core's own cache, so that the
/// copies are real, and used round and round.
pub const SCRATCH: usize = 8 << 20;

impl Run<'_> {
    /// Does one step of work, if there is any. True when there was.
    pub fn labour(&mut self) -> Result<bool> {
        if let Some(slot) = self.landed.pop_front() {
            self.take_landed(slot)?;
            return Ok(true);
        }
        let produced = self.lanes.in_turn().any(|lane| {
            let next = self.next_in_queue(lane, |source, _| source != Source::Storage);
            next.is_some_and(|index| self.produce(index))
        });
        if produced {
            return Ok(true);
        }
        if let Some(&index) = self.memory_queue.front() {
            self.memory_step(index)?;
            return Ok(true);
        }
        Ok(self.check_landed())
    }

    /// Fills a slot with the next bytes to be written: made up, or from a memory tier. False when
    /// that has to wait.
    fn produce(&mut self, index: u32) -> bool {
        let chunk = self.next_chunk(index);
        let pass = self.ops[index as usize].pass();
        if pass.source == Source::Fill && self.is_for_helpers(chunk.padded) {
            return false;
        }
        let Some(slot) = self.take_slot(chunk) else { return false };
        self.note_issued(&chunk);
        if pass.source == Source::Fill {
            let (before, stream) = (self.now(), self.ops[index as usize].stream.clone());
            self.fill(slot, &stream);
            self.own_work_since(before);
            return true;
        }
        let (at, padded, before) = (self.slot_at(slot), chunk.padded as usize, self.now());
        self.mark_start(index, pass.source_leg, before);
        let (pool, from) = self.memory_at(index, pass.source_leg, chunk.offset);
        let (pools, arena) = (&self.stage.pools, &mut self.stage.arena);
        arena.slice_mut(at, padded).copy_from_slice(pools[pool].slice(from, padded));
        let now = self.now();
        self.tally.spent.copy_ns += now - before;
        let op = &mut self.ops[index as usize];
        (op.sourced, op.sourced_at) = (op.sourced + u64::from(chunk.len), now);
        self.tally.bytes(op.legs[pass.source_leg].tier, false, chunk.len.into(), 0, now);
        self.check_slot(slot);
        self.write_later(slot);
        true
    }

    /// Passes on what was read into a slot.
    pub fn take_landed(&mut self, slot: u32) -> Result<()> {
        let chunk = self.chunks[slot as usize];
        self.check_slot(slot);
        let op = &self.ops[chunk.op as usize];
        let pass = op.pass();
        match pass.sink {
            Sink::Nothing => unreachable!("what goes nowhere does not land"),
            Sink::Storage => return self.turn_around(slot),
            Sink::Memory => {
                let before = self.now();
                self.mark_start(chunk.op, pass.sink_leg, before);
                let (pool, to) = self.memory_at(chunk.op, pass.sink_leg, chunk.offset);
                let at = self.slot_at(slot);
                let (arena, pools) = (&self.stage.arena, &mut self.stage.pools);
                let len = (chunk.len as usize).next_multiple_of(BLOCK);
                pools[pool].slice_mut(to, len).copy_from_slice(arena.slice(at, len));
                let (now, tier) = (self.now(), self.ops[chunk.op as usize].legs[pass.sink_leg].tier);
                self.tally.spent.copy_ns += now - before;
                self.tally.bytes(tier, true, chunk.len.into(), 0, now);
            }
        }
        let now = self.now();
        self.release_slot(slot, now)
    }

    /// What was read from one storage target is written to another.
    fn turn_around(&mut self, slot: u32) -> Result<()> {
        let chunk = self.chunks[slot as usize];
        let op = &self.ops[chunk.op as usize];
        let leg = &op.legs[op.pass().sink_leg];
        let extents = &self.stage.objects.place(leg.place).extents;
        let (at, _) = locate(extents, chunk.offset).expect("a place is as long as its object");
        let Backend::Storage(volume) = leg.backend else { unreachable!("the sink is storage") };
        let file = self.file_of(chunk.op, op.pass().sink_leg);
        let chunk = &mut self.chunks[slot as usize];
        (chunk.volume, chunk.file) = (volume, file);
        (chunk.write, chunk.file_offset, chunk.moved) = (true, at, 0);
        self.write_later(slot);
        Ok(())
    }

    /// One step of an operation that only memory takes part in.
    fn memory_step(&mut self, index: u32) -> Result<()> {
        let before = self.now();
        let op = &self.ops[index as usize];
        let (pass, offset) = (op.pass(), op.issued);
        let mut len = (op.size - offset).min(STEP);
        for number in [pass.source_leg, pass.sink_leg] {
            let extents = &self.stage.objects.place(op.legs[number].place).extents;
            len = len.min(locate(extents, offset).expect("a place is as long as its object").1);
        }
        if offset == 0 {
            self.mark_start(index, pass.source_leg, before);
        }
        let whole = (len as usize).next_multiple_of(BLOCK);
        if pass.source == Source::Fill {
            let (pool, to) = self.memory_at(index, pass.sink_leg, offset);
            self.ops[index as usize].stream.fill(offset, self.stage.pools[pool].slice_mut(to, whole));
        } else {
            let (pool, from) = self.memory_at(index, pass.source_leg, offset);
            let at = self.next_scratch(whole);
            self.scratch[at..at + whole].copy_from_slice(self.stage.pools[pool].slice(from, whole));
            if pass.sink == Sink::Memory {
                self.mark_start(index, pass.sink_leg, before);
                let (pool, to) = self.memory_at(index, pass.sink_leg, offset);
                self.stage.pools[pool].slice_mut(to, whole).copy_from_slice(&self.scratch[at..at + whole]);
            }
        }
        let now = self.now();
        self.tally.spent.copy_ns += now - before;
        let op = &mut self.ops[index as usize];
        (op.issued, op.sourced, op.sourced_at) = (offset + len, offset + len, now);
        let (source, sink, done) = (op.legs[pass.source_leg].tier, op.legs[pass.sink_leg].tier, op.issued == op.size);
        if pass.source == Source::Memory {
            self.tally.bytes(source, false, len, 0, now);
            self.check_scratch(index, offset, len as usize);
        }
        if pass.sink == Sink::Memory {
            self.tally.bytes(sink, true, len, 0, now);
        }
        if done {
            self.memory_queue.pop_front();
            let now = self.now();
            self.blocked.set(Blocked::MEMORY, !self.memory_queue.is_empty(), now);
            self.end_pass(index, now)?;
        }
        Ok(())
    }

    /// The next part of the scratch memory; it is remembered as the latest.
    fn next_scratch(&mut self, len: usize) -> usize {
        let after = self.scratch_at + STEP as usize;
        self.scratch_at = if after + len > SCRATCH { 0 } else { after };
        self.scratch_at
    }

    fn memory_at(&self, index: u32, leg: usize, offset: u64) -> (usize, usize) {
        let leg = &self.ops[index as usize].legs[leg];
        let Backend::Memory(pool) = leg.backend else { unreachable!("the leg is a memory tier's") };
        let extents = &self.stage.objects.place(leg.place).extents;
        let (at, _) = locate(extents, offset).expect("a place is as long as its object");
        (pool, at as usize)
    }

    fn check_slot(&mut self, slot: u32) {
        let chunk = self.chunks[slot as usize];
        self.check(chunk.op, chunk.offset, chunk.len as usize, |run| {
            run.stage.arena.slice(chunk.at, chunk.len as usize)
        });
    }

    fn check_scratch(&mut self, index: u32, offset: u64, len: usize) {
        self.check(index, offset, len, |run| &run.scratch[run.scratch_at..run.scratch_at + len]);
    }

    /// Checks data of an operation that goes on with it.
    fn check(&mut self, index: u32, offset: u64, len: usize, data: impl Fn(&Self) -> &[u8]) {
        if self.config.verify == Verify::Off {
            return;
        }
        let before = self.now();
        let mut expected = std::mem::take(&mut self.expected);
        let op = &self.ops[index as usize];
        let wrong = compare(&op.stream, offset, data(self), op.check_all, &mut expected);
        self.tally.checked(len, if op.check_all { 512 } else { STAMP_EVERY });
        if let Some((at, found)) = wrong {
            let whose = Whose { row: op.legs[0].row, key: op.key, content: op.content, version: op.version };
            self.tally.suspect(whose.suspect(offset + at as u64, found));
        }
        self.expected = expected;
        let spent = self.now() - before;
        self.tally.verify_ns += spent;
        self.tally.spent.data_ns += spent;
        self.own_work_since(before);
    }

    /// What was done since `before` was our own work, not a tier's.
    fn own_work_since(&mut self, before: u64) {
        let spent = self.now() - before;
        self.blocked.own_work(Blocked::MEMORY, spent);
    }
}
