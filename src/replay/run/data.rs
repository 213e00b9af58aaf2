//! Data is made up and checked: by helpers where there are any and it takes longer than asking
//! them, otherwise by the run thread between two looks at the schedule.

use std::time::Instant;

use crate::error::Result;

use super::Run;
use super::blocked::Blocked;
use super::desk::{Act, Check, Done, Job, Whose, Work};
use super::op::{Chunk, NOWHERE, Sink, Source};
use crate::replay::config::{Pace, Verify};
use crate::replay::content::fill::Stream;
use crate::replay::content::verify::STAMP_EVERY;
use crate::replay::prepare::objects::NONE;

/// Fewer bytes are made up in the time that it takes to ask a helper.
const FOR_HELPERS: u32 = 32 << 10;
/// Where there is one helper alone, processors are few: being woken costs the two threads as much
/// of them as making so many bytes up.
const FOR_ONE_HELPER: u32 = 128 << 10;

impl Run<'_> {
    /// Whether that many bytes are better made up, or compared to the last, by a helper.
    pub fn is_for_helpers(&self, bytes: u32) -> bool {
        match self.crew.len() {
            0 => false,
            1 => bytes > FOR_ONE_HELPER,
            _ => bytes > FOR_HELPERS,
        }
    }

    /// Gives a chunk a slot; none when its target's share of the arena is full.
    pub fn take_slot(&mut self, chunk: Chunk) -> Option<u32> {
        let (slot, at) = self.lanes.take_slot(&chunk)?;
        self.chunks[slot as usize] = Chunk { at, ..chunk };
        Some(slot)
    }

    /// Gives a chunk that needs no room in the arena a slot; none when there is none.
    pub fn take_bare_slot(&mut self, chunk: Chunk) -> Option<u32> {
        let slot = self.bare_slots.pop()?;
        self.chunks[slot as usize] = Chunk { at: NOWHERE, ..chunk };
        Some(slot)
    }

    /// A slot is free again.
    pub fn free_slot(&mut self, slot: u32) {
        match self.chunks[slot as usize].at {
            NOWHERE => self.bare_slots.push(slot),
            at => self.lanes.free_slot(slot, at),
        }
    }

    /// Fills a slot with an object's data: a helper that has time does, or this thread.
    ///
    /// # Errors
    /// What an operation that ends with it meets.
    pub fn fill(&mut self, slot: u32, stream: &Stream) -> Result<()> {
        let chunk = &mut self.chunks[slot as usize];
        let (offset, len) = (chunk.offset, chunk.padded as usize);
        chunk.filling = true;
        self.filling += u32::from(chunk.op != NONE);
        // SAFETY: the arena outlives the crew, and the slot is nobody's but the job's until it
        // has been collected.
        let part = unsafe { self.stage.arena.lend(chunk.at, len) };
        let job = Job { slot, stream: stream.clone(), offset, part, work: Work::Fill, given: Instant::now() };
        if self.is_for_helpers(len as u32) {
            self.crew.give(job);
            return Ok(());
        }
        self.perform(job)
    }

    /// Does a job here.
    ///
    /// # Errors
    /// What an operation that ends with it meets.
    pub fn perform(&mut self, job: Job) -> Result<()> {
        let mut ended = [None; 2];
        self.desk.perform(job, |done| {
            let free = ended.iter_mut().find(|place| place.is_none());
            *free.expect("a job ends once, and perhaps once more when it was checked") = Some(done);
        });
        for done in ended.into_iter().flatten() {
            let (moved, ours) = if done.was_copy { (done.ns, 0) } else { (0, done.ns) };
            self.tally.spent.copy_ns += moved;
            self.tally.spent.data_ns += ours + done.check_ns;
            self.blocked.own_work(Blocked::MEMORY, ours + done.check_ns);
            self.done(&done)?;
        }
        Ok(())
    }

    /// Takes what helpers have done. True when there was some.
    pub fn collect(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(done) = self.crew.collect() {
            // What a helper does besides copying keeps its share of the movers from copying.
            let besides = if done.was_copy { done.check_ns } else { done.ns + done.check_ns };
            self.blocked.own_work(Blocked::MEMORY, besides / self.crew.len() as u64);
            self.done(&done)?;
            any = true;
        }
        if any {
            self.set_memory_blocked();
        }
        Ok(any)
    }

    fn done(&mut self, done: &Done) -> Result<()> {
        self.note_check(done);
        match done.act {
            Act::Filled => {
                self.tally.fill_ns += done.ns;
                let chunk = &mut self.chunks[done.slot as usize];
                chunk.filling = false;
                if chunk.unwanted {
                    self.free_slot(done.slot);
                } else if chunk.op != NONE {
                    self.filling -= 1;
                    self.send_filled(done.slot);
                }
            }
            Act::Checked if self.chunks[done.slot as usize].checking => return self.pass_on(done.slot),
            Act::Checked => self.free_slot(done.slot),
            Act::Moved => return self.moved(done),
            Act::Reviewed => {}
        }
        Ok(())
    }

    fn note_check(&mut self, done: &Done) {
        let Some(Check { all, whose }) = done.check else { return };
        self.tally.verify_ns += done.check_ns;
        self.tally.checked(done.len, if all { 512 } else { STAMP_EVERY });
        if let Some((at, found)) = done.wrong {
            self.tally.suspect(whose.suspect(done.offset + at as u64, found), done.wrong_blocks);
        }
    }

    /// How what an operation reads is checked, if it is.
    pub fn check_of(&self, index: u32) -> Option<Check> {
        let op = &self.ops[index as usize];
        let whose = Whose { row: op.legs[0].row, key: op.key, content: op.content, version: op.version };
        (self.config.verify != Verify::Off).then_some(Check { all: op.check_all, whose })
    }

    /// An operation takes the slots that were filled before it was due.
    pub fn claim_filled(&mut self, index: u32) {
        while let Some(slot) = self.ops[index as usize].filled.next() {
            let there = self.chunks[slot as usize];
            let wanted = self.next_chunk(index);
            let owner = self.lanes.owner(slot);
            // The object's place may be in shorter runs than was known, or on another target.
            let is_other = wanted.len > there.len || wanted.volume != owner;
            if wanted.offset != there.offset || is_other || wanted.write != there.write {
                self.drop_filled(slot);
                continue;
            }
            self.lanes.get(owner).ahead_bytes -= u64::from(there.padded);
            self.chunks[slot as usize] = Chunk { at: there.at, filling: there.filling, ..wanted };
            self.note_issued(&wanted);
            if there.filling {
                self.filling += 1;
            } else {
                self.send_filled(slot);
            }
        }
    }

    fn send_filled(&mut self, slot: u32) {
        let op = self.chunks[slot as usize].op;
        let to_gpu = self.ops[op as usize].pass().sink == Sink::Gpu;
        if to_gpu { self.to_gpu.push_back(slot) } else { self.write_later(slot) }
    }

    /// A slot that was filled before its operation was due is not wanted any more.
    pub fn drop_filled(&mut self, slot: u32) {
        let owner = self.lanes.owner(slot);
        let chunk = &mut self.chunks[slot as usize];
        self.lanes.get(owner).ahead_bytes -= u64::from(chunk.padded);
        if chunk.filling {
            chunk.unwanted = true;
        } else {
            self.free_slot(slot);
        }
    }

    /// Has the data of operations that run made up, as far as helpers have time. True when there
    /// was some.
    pub fn fill_due(&mut self) -> Result<bool> {
        let mut any = false;
        while self.crew.has_time() && self.fill_due_somewhere()? {
            any = true;
        }
        Ok(any)
    }

    /// Has a helper make up the next chunk of any storage target. True when there was one.
    fn fill_due_somewhere(&mut self) -> Result<bool> {
        for lane in self.lanes.in_turn() {
            if self.fill_due_for(lane)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has a helper make up the next chunk of a storage target. True when there was one.
    fn fill_due_for(&mut self, lane: u32) -> Result<bool> {
        let Some(index) = self.next_to_fill(lane) else { return Ok(false) };
        let chunk = self.next_chunk(index);
        if !self.is_for_helpers(chunk.padded) {
            return Ok(false);
        }
        let Some(slot) = self.take_slot(chunk) else { return Ok(false) };
        self.note_issued(&chunk);
        let stream = self.ops[index as usize].stream.clone();
        self.fill(slot, &stream)?;
        Ok(true)
    }

    /// The check of what was read into a slot.
    pub fn check_job(&self, slot: u32, check: Check) -> Job {
        let chunk = self.chunks[slot as usize];
        let op = &self.ops[chunk.op as usize];
        let pass = op.pass();
        let part = if chunk.at == NOWHERE {
            let leg = if pass.source == Source::Memory { pass.source_leg } else { pass.sink_leg };
            self.part_in_memory(chunk.op, leg, chunk.offset, chunk.len as usize)
        } else {
            self.part_in_arena(slot, chunk.len as usize)
        };
        let (stream, offset, work) = (op.stream.clone(), chunk.offset, Work::Check(check));
        Job { slot, stream, offset, part, work, given: Instant::now() }
    }

    /// What was read into a slot has to be checked, if anything is.
    ///
    /// # Errors
    /// None by itself.
    pub fn check_later(&mut self, slot: u32) -> Result<()> {
        let Some(check) = self.check_of(self.chunks[slot as usize].op) else {
            self.free_slot(slot);
            return Ok(());
        };
        let job = self.check_job(slot, check);
        if self.config.pace == Pace::Asap && !check.all {
            // Nothing is due at a time of its own, and the data is in the processor's cache.
            return self.perform(job);
        }
        self.unchecked.push_back(job);
        Ok(())
    }

    /// What was read into a slot is checked, if anything is, and goes on.
    ///
    /// # Errors
    /// What an operation that ends with it meets.
    pub fn check_and_pass_on(&mut self, slot: u32) -> Result<()> {
        let Some(check) = self.check_of(self.chunks[slot as usize].op) else { return self.pass_on(slot) };
        self.chunks[slot as usize].checking = true;
        let job = self.check_job(slot, check);
        if check.all && self.early.is_none() && self.is_for_helpers(job.part.len() as u32) {
            // In front of what nobody waits for.
            self.unchecked.push_front(job);
            return Ok(());
        }
        self.perform(job)
    }

    /// Checks what was read: all of it that helpers have time for, otherwise one part here. True
    /// when there was some.
    pub fn check_landed(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(job) = self.unchecked.front() {
            let all = matches!(job.work, Work::Check(Check { all: true, .. }));
            let helpers = all && self.is_for_helpers(job.part.len() as u32);
            if helpers && !self.crew.has_time() {
                return Ok(any);
            }
            let job = self.unchecked.pop_front().expect("there was one");
            any = true;
            if !helpers {
                self.perform(job)?;
                return Ok(true);
            }
            self.crew.give(job);
        }
        Ok(any)
    }

    /// Checks all that was read, before a run ends early.
    pub fn check_all_landed(&mut self) -> Result<()> {
        while let Some(job) = self.unchecked.pop_front() {
            self.perform(job)?;
        }
        while self.crew.busy() > 0 {
            if let Some(done) = self.crew.collect() {
                self.done(&done)?;
            }
        }
        Ok(())
    }
}
