//! Data is made up and checked: by helpers where there are any and it takes longer than asking
//! them, otherwise by the run thread between two looks at the schedule.

use crate::error::Result;

use super::Run;
use super::crew::{Done, Job, Whose, Work, perform};
use super::op::{Chunk, Source};
use crate::replay::config::{Pace, Verify};
use crate::replay::content::fill::Stream;
use crate::replay::content::verify::STAMP_EVERY;
use crate::replay::prepare::objects::NONE;

/// Fewer bytes are made up in the time that it takes to ask a helper.
const FOR_HELPERS: u32 = 32 << 10;

impl Run<'_> {
    /// Whether that many bytes are better made up, or compared to the last, by a helper.
    pub fn is_for_helpers(&self, bytes: u32) -> bool {
        self.crew.len() > 0 && bytes > FOR_HELPERS
    }

    /// Gives a chunk a slot; none when its target's share of the arena is full.
    pub fn take_slot(&mut self, chunk: Chunk) -> Option<u32> {
        let (slot, at) = self.lanes.take_slot(&chunk)?;
        self.chunks[slot as usize] = Chunk { at, ..chunk };
        Some(slot)
    }

    /// A slot is free again.
    pub fn free_slot(&mut self, slot: u32) {
        self.lanes.free_slot(slot, self.chunks[slot as usize].at);
    }

    /// Fills a slot with an object's data: a helper that has time does, or this thread.
    pub fn fill(&mut self, slot: u32, stream: &Stream) {
        let chunk = &mut self.chunks[slot as usize];
        let (offset, len) = (chunk.offset, chunk.padded as usize);
        chunk.filling = true;
        self.filling += u32::from(chunk.op != NONE);
        // SAFETY: the arena outlives the crew, and the slot is nobody's but the job's until it
        // has been collected.
        let part = unsafe { self.stage.arena.lend(chunk.at, len) };
        let job = Job { slot, stream: stream.clone(), offset, part, work: Work::Fill };
        if self.is_for_helpers(len as u32) {
            self.crew.give(job);
        } else {
            let done = perform(job, &mut self.expected);
            self.tally.spent.data_ns += done.ns;
            self.done(&done);
        }
    }

    /// Takes what helpers have done. True when there was some.
    pub fn collect(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(done) = self.crew.collect() {
            self.done(&done);
            any = true;
        }
        Ok(any)
    }

    fn done(&mut self, done: &Done) {
        match done.work {
            Work::Fill => {
                self.tally.fill_ns += done.ns;
                let chunk = &mut self.chunks[done.slot as usize];
                chunk.filling = false;
                if chunk.unwanted {
                    self.free_slot(done.slot);
                } else if chunk.op != NONE {
                    self.filling -= 1;
                    self.write_later(done.slot);
                }
            }
            Work::Check { all, whose } => {
                self.tally.verify_ns += done.ns;
                let unit = if all { 512 } else { STAMP_EVERY };
                self.tally.checked(done.len, unit);
                if let Some((at, found)) = done.wrong {
                    self.tally.suspect(whose.suspect(done.offset + at as u64, found));
                }
                self.free_slot(done.slot);
            }
        }
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
                self.write_later(slot);
            }
        }
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
    pub fn fill_due(&mut self) -> bool {
        let mut any = false;
        while self.crew.has_time() && self.lanes.in_turn().any(|lane| self.fill_due_for(lane)) {
            any = true;
        }
        any
    }

    /// Has a helper make up the next chunk of a storage target. True when there was one.
    fn fill_due_for(&mut self, lane: u32) -> bool {
        let Some(index) = self.next_in_queue(lane, |source, _| source == Source::Fill) else { return false };
        let chunk = self.next_chunk(index);
        if !self.is_for_helpers(chunk.padded) {
            return false;
        }
        let Some(slot) = self.take_slot(chunk) else { return false };
        self.note_issued(&chunk);
        let stream = self.ops[index as usize].stream.clone();
        self.fill(slot, &stream);
        true
    }

    /// What was read into a slot has to be checked, if anything is.
    pub fn check_later(&mut self, slot: u32) {
        if self.config.verify == Verify::Off {
            return self.free_slot(slot);
        }
        let chunk = self.chunks[slot as usize];
        let op = &self.ops[chunk.op as usize];
        // SAFETY: the arena outlives the crew and the run; the I/O has ended, and the slot is
        // nobody's but the job's until it has been collected.
        let part = unsafe { self.stage.arena.lend(chunk.at, chunk.len as usize) };
        let whose = Whose { row: op.legs[0].row, key: op.key, content: op.content, version: op.version };
        let work = Work::Check { all: op.check_all, whose };
        let job = Job { slot, stream: op.stream.clone(), offset: chunk.offset, part, work };
        if self.config.pace == Pace::Asap && !op.check_all {
            // Nothing is due at a time of its own, and the data is in the processor's cache.
            self.check_here(job);
        } else {
            self.unchecked.push_back(job);
        }
    }

    fn check_here(&mut self, job: Job) {
        let done = perform(job, &mut self.expected);
        self.tally.spent.data_ns += done.ns;
        self.done(&done);
    }

    /// Checks what was read: all of it that helpers have time for, otherwise one part here. True
    /// when there was some.
    pub fn check_landed(&mut self) -> bool {
        let mut any = false;
        while let Some(job) = self.unchecked.front() {
            let all = matches!(job.work, Work::Check { all: true, .. });
            let helpers = all && self.is_for_helpers(job.part.len() as u32);
            if helpers && !self.crew.has_time() {
                return any;
            }
            let job = self.unchecked.pop_front().expect("there was one");
            any = true;
            if !helpers {
                self.check_here(job);
                return true;
            }
            self.crew.give(job);
        }
        any
    }

    /// Checks all that was read, before a run ends early.
    pub fn check_all_landed(&mut self) {
        while let Some(job) = self.unchecked.pop_front() {
            self.check_here(job);
        }
        while self.crew.busy() > 0 {
            if let Some(done) = self.crew.collect() {
                self.done(&done);
            }
        }
    }
}
