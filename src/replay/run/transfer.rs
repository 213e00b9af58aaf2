//! Chunks go through the ring, within the limit of bytes in flight.

use crate::error::Result;
use crate::measure::replay::IoError;

use super::Run;
use super::blocked::Blocked;
use super::op::{Carrier, Chunk, Leg, NEVER, Sink, Source};
use crate::replay::config::{Durability, Engine};
use crate::replay::io::ring::Io;
use crate::replay::prepare::Backend;
use crate::replay::prepare::extents::locate;
use crate::replay::prepare::objects::NONE;

/// What O_DIRECT transfers are multiples of, where the filesystem does not say.
const SECTOR: u32 = 512;

impl Run<'_> {
    /// Queues writes that are filled and reads that have a slot. True when there was one.
    pub fn issue(&mut self) -> Result<bool> {
        let mut any = self.fill_due()?;
        for lane in 0..self.lanes.len() as u32 {
            any |= self.issue_to(lane)?;
        }
        self.note_blocked();
        Ok(any)
    }

    /// The same for one storage target.
    fn issue_to(&mut self, lane: u32) -> Result<bool> {
        let mut any = false;
        while let Some(&slot) = self.lanes.get(lane).to_write.front() {
            let chunk = self.chunks[slot as usize];
            if !self.lanes.fits(lane, chunk.padded) {
                self.lanes.get(lane).full = true;
                return Ok(any);
            }
            self.lanes.get(lane).to_write.pop_front();
            self.arrived(&chunk);
            self.push(slot)?;
            any = true;
        }
        let mut full;
        loop {
            full = false;
            let next = self.next_in_queue(lane, |pass, index| {
                let held = pass.source == Source::Storage && !self.may_leave(index);
                full |= held;
                (pass.source == Source::Storage || self.by_cufile(index)) && !held
            });
            let Some(index) = next else { break };
            let (chunk, by_cufile) = (self.next_chunk(index), self.by_cufile(index));
            if !self.lanes.fits(lane, chunk.padded) || by_cufile && !self.traffic.has_room() {
                full = true;
                break;
            }
            // Without a slot it waits for data to be checked or made up: that is our own delay.
            let Some(slot) = self.take_slot(chunk) else { break };
            self.note_issued(&chunk);
            self.leaves(&chunk);
            if by_cufile {
                self.carry(slot);
            } else {
                self.push(slot)?;
            }
            any = true;
        }
        self.lanes.get(lane).full = full;
        Ok(any)
    }

    fn note_blocked(&mut self) {
        let (now, mut any) = (self.now(), false);
        for (number, lane) in self.lanes.iter().enumerate() {
            let full = lane.full || !lane.opening.is_empty();
            self.blocked.set(Blocked::storage(number as u32), full, now);
            any |= full;
        }
        let fills = |lane| self.next_to_fill(lane).is_some();
        let unfilled = self.filling > 0 || (0..self.lanes.len() as u32).any(fills);
        self.blocked.set(Blocked::OURS, unfilled && !any, now);
    }

    /// The storage target that what an operation reads is written to, if there is one.
    fn destination(&self, index: u32) -> Option<u32> {
        let op = &self.ops[index as usize];
        let pass = op.pass();
        match op.legs[pass.sink_leg].backend {
            Backend::Storage(number) if pass.source == Source::Storage && pass.sink == Sink::Storage => Some(number),
            _ => None,
        }
    }

    /// Whether what an operation reads will soon be taken from it.
    fn may_leave(&self, index: u32) -> bool {
        self.destination(index).is_none_or(|to| self.lanes.may_come(to))
    }

    fn leaves(&mut self, chunk: &Chunk) {
        if let Some(to) = self.destination(chunk.op) {
            self.lanes.get(to).coming += u64::from(chunk.padded);
        }
    }

    /// What was read to be written has arrived there, or never will.
    fn arrived(&mut self, chunk: &Chunk) {
        if let Some(to) = self.destination(chunk.op) {
            self.lanes.get(to).coming -= u64::from(chunk.padded);
        }
    }

    /// The next part of an operation's object: as long as one I/O may be and as both its places
    /// go on without a gap.
    pub fn next_chunk(&self, index: u32) -> Chunk {
        self.next_part(index, self.config.io_size_bytes)
    }

    /// The same, at most `most` bytes.
    pub fn next_part(&self, index: u32, most: u64) -> Chunk {
        let op = &self.ops[index as usize];
        let pass = op.pass();
        let mut len = (op.size - op.issued).min(most);
        let (mut volume, mut file, mut file_offset) = (0, 0, 0);
        for leg_number in [pass.source_leg, pass.sink_leg] {
            let leg = &op.legs[leg_number];
            if leg.place == NONE {
                continue;
            }
            let extents = &self.stage.objects.place(leg.place).extents;
            let (at, run) = locate(extents, op.issued).expect("a place is as long as its object");
            len = len.min(run);
            if let Backend::Storage(number) = leg.backend
                && !(pass.source == Source::Storage && leg.op == crate::trace::Op::Write)
            {
                (volume, file, file_offset) = (number, self.file_of(index, leg_number), at);
            }
        }
        Chunk {
            op: index,
            write: pass.source != Source::Storage,
            volume,
            file,
            file_offset,
            offset: op.issued,
            len: len as u32,
            padded: len.next_multiple_of(4096) as u32,
            ..Chunk::default()
        }
    }

    /// A chunk of an operation is on its way.
    pub fn note_issued(&mut self, chunk: &Chunk) {
        let op = &mut self.ops[chunk.op as usize];
        op.issued += u64::from(chunk.len);
        op.chunks += 1;
        if op.issued == op.size {
            self.leave_queue(chunk.op);
        }
    }

    fn leave_queue(&mut self, index: u32) {
        let op = &self.ops[index as usize];
        let queue = match op.carrier() {
            Carrier::Storage | Carrier::Gpu => {
                let lane = self.queue_of(op);
                &mut self.lanes.get(lane).queue
            }
            Carrier::Memory => &mut self.memory_queue,
        };
        let place = queue.iter().position(|queued| *queued == index);
        place.and_then(|place| queue.remove(place));
    }

    /// Queues the I/O of a slot in the ring.
    pub fn push(&mut self, slot: u32) -> Result<()> {
        let chunk = self.chunks[slot as usize];
        let rest = chunk.padded - chunk.moved;
        self.in_flight += 1;
        let lane = self.lanes.get(chunk.volume);
        (lane.in_flight, lane.in_flight_bytes) = (lane.in_flight + 1, lane.in_flight_bytes + u64::from(rest));
        self.tally.chunks += 1;
        self.batch.push(slot);
        let pass = self.ops[chunk.op as usize].pass();
        let leg = if chunk.write { pass.sink_leg } else { pass.source_leg };
        let Leg { tier, start, phase, .. } = self.ops[chunk.op as usize].legs[leg];
        let tier = tier.index();
        if start == NEVER {
            self.starting.push((chunk.op, leg));
        }
        self.stage.ring.push(Io {
            write: chunk.write,
            file: chunk.file,
            offset: chunk.file_offset + u64::from(chunk.moved),
            at: self.slot_at(slot) + chunk.moved as usize,
            len: rest,
            durable: self.config.durability.of(tier) == Durability::Dsync,
            id: u64::from(slot),
            phase: Some(phase),
        })
    }

    /// Where a slot lies in the arena.
    pub fn slot_at(&self, slot: u32) -> usize {
        self.chunks[slot as usize].at
    }

    /// An I/O has ended.
    pub fn completed(&mut self, slot: u32, result: i32, now: u64) -> Result<()> {
        use rustix::io::Errno;
        let chunk = &mut self.chunks[slot as usize];
        self.in_flight -= 1;
        let (lane, rest) = (self.lanes.get(chunk.volume), u64::from(chunk.padded - chunk.moved));
        (lane.in_flight, lane.in_flight_bytes) = (lane.in_flight - 1, lane.in_flight_bytes - rest);
        if result < 0 {
            let errno = Errno::from_raw_os_error(-result);
            if matches!(errno, Errno::AGAIN | Errno::INTR) && self.early.is_none() {
                return self.push(slot);
            }
            return self.fail(slot, -result, &crate::error::plain(&errno.into()), now);
        }
        chunk.moved += result as u32;
        self.tally.io[usize::from(chunk.write)].record(now.saturating_sub(chunk.pushed));
        if result == 0 {
            return self.fail(slot, 0, "nothing was transferred: the file or the device ends here", now);
        }
        if chunk.moved < chunk.padded {
            self.tally.short += 1;
            let chunk = *chunk;
            let volume = &self.stage.volumes[chunk.volume as usize];
            let unit = volume.slab().and_then(|slab| slab.alignment_bytes).unwrap_or(SECTOR);
            let aligned = chunk.moved.is_multiple_of(unit) || !volume.direct();
            return if aligned && self.early.is_none() {
                self.push(slot)
            } else {
                self.fail(slot, 0, &format!("only {} of {} bytes were transferred", chunk.moved, chunk.padded), now)
            };
        }
        let chunk = *chunk;
        let op = &mut self.ops[chunk.op as usize];
        let pass = op.pass();
        let leg = op.legs[if chunk.write { pass.sink_leg } else { pass.source_leg }];
        if self.config.engine == Engine::IoUring {
            let padding = chunk.padded - chunk.len;
            self.tally.bytes(leg.tier, chunk.write, chunk.len.into(), padding.into(), now);
            self.tally.volumes[chunk.volume as usize].add(chunk.write, chunk.len.into(), padding.into());
        }
        if chunk.write {
            return self.release_slot(slot, now);
        }
        op.sourced += u64::from(chunk.len);
        op.sourced_at = op.sourced_at.max(now);
        if pass.sink == Sink::Nothing {
            self.check_later(slot)?;
            return self.chunk_ended(chunk.op, now);
        }
        self.landed.push_back(slot);
        Ok(())
    }

    /// A chunk has ended well.
    pub fn release_slot(&mut self, slot: u32, now: u64) -> Result<()> {
        self.free_slot(slot);
        self.chunk_ended(self.chunks[slot as usize].op, now)
    }

    /// A chunk of an operation has ended.
    pub fn chunk_ended(&mut self, index: u32, now: u64) -> Result<()> {
        let op = &mut self.ops[index as usize];
        op.chunks -= 1;
        let now = now.max(op.copied_at);
        if op.chunks == 0 && (op.issued == op.size || op.failed) {
            return self.end_pass(index, now);
        }
        Ok(())
    }

    /// The I/O or the copy of a slot has failed.
    pub fn fail(&mut self, slot: u32, errno: i32, message: &str, now: u64) -> Result<()> {
        let chunk = self.chunks[slot as usize];
        if !chunk.write {
            self.arrived(&chunk);
        }
        let op = &mut self.ops[chunk.op as usize];
        if !op.failed && op.issued < op.size {
            self.leave_queue(chunk.op);
        }
        let op = &mut self.ops[chunk.op as usize];
        let pass = op.pass();
        let leg = op.legs[if chunk.write { pass.sink_leg } else { pass.source_leg }];
        if !op.failed {
            let key = self.plan.names.get(op.key);
            let word = if chunk.write { "write" } else { "read" };
            op.failed = true;
            let message = message.to_owned();
            self.note_error(IoError { row: leg.row, key, op: word.to_owned(), errno, message });
        }
        self.release_slot(slot, now)
    }
}
