//! Chunks go through the ring, within the limit of bytes in flight.

use crate::error::Result;
use crate::measure::replay::IoError;

use super::blocked::Blocked;
use super::op::{Chunk, Lane, Pass, Sink, Source};
use super::{Early, Run};
use crate::replay::config::Engine;
use crate::replay::gpu::IN_STREAM;
use crate::replay::io::ring::Io;
use crate::replay::prepare::Backend;
use crate::replay::prepare::extents::locate;
use crate::replay::prepare::objects::NONE;

/// Chunks of one object that are on their way at most, as a worker of a serving system would.
pub const OBJECT_CHUNKS: u32 = 8;

/// Operations that are looked at for the next chunk.
const LOOK_AHEAD: usize = 64;

/// What O_DIRECT transfers are multiples of.
const SECTOR: u32 = 512;

impl Run<'_> {
    /// Queues writes that are filled and reads that have a slot. True when there was one.
    pub fn issue(&mut self) -> Result<bool> {
        let mut any = self.fill_due()?;
        while let Some(&slot) = self.to_write.front() {
            if !self.fits(self.chunks[slot as usize].padded) {
                self.set_blocked(true);
                return Ok(any);
            }
            self.to_write.pop_front();
            self.push(slot)?;
            any = true;
        }
        let mut blocked = false;
        while let Some(index) = self.next_in_queue(|pass| pass.source == Source::Storage) {
            let chunk = self.next_chunk(index);
            if !self.fits(chunk.padded) {
                blocked = true;
                break;
            }
            // Without a slot it waits for data to be checked or made up: that is our own delay.
            let Some(slot) = self.take_slot(chunk) else { break };
            self.note_issued(&chunk);
            self.push(slot)?;
            any = true;
        }
        self.set_blocked(blocked);
        Ok(any)
    }

    /// The oldest operation whose next chunk has to be made up.
    pub fn next_to_fill(&self) -> Option<u32> {
        let full = self.to_gpu.len() >= 2 * IN_STREAM;
        self.next_in_queue(|pass| pass.source == Source::Fill && !(full && pass.sink == Sink::Gpu))
    }

    /// The oldest operation of a kind that may have one more chunk, among those with storage and
    /// those with a GPU at an end. Older ones come
    /// first, and no object takes all of the device.
    pub fn next_in_queue(&self, wanted: impl Fn(Pass) -> bool) -> Option<u32> {
        let queued = self.io_queue.iter().take(LOOK_AHEAD).chain(self.gpu_queue.iter().take(LOOK_AHEAD));
        queued.copied().find(|&index| {
            let op = &self.ops[index as usize];
            op.chunks < OBJECT_CHUNKS && wanted(op.pass())
        })
    }

    fn set_blocked(&mut self, blocked: bool) {
        let now = self.now();
        self.blocked.set(Blocked::STORAGE, blocked, now);
        let unfilled = self.filling > 0 || self.next_to_fill().is_some();
        self.blocked.set(Blocked::OURS, unfilled && !blocked, now);
    }

    fn fits(&self, bytes: u32) -> bool {
        self.in_flight == 0 || self.in_flight_bytes + u64::from(bytes) <= self.config.bytes_in_flight
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
        let (mut file, mut file_offset) = (0, 0);
        for number in [pass.source_leg, pass.sink_leg] {
            let leg = &op.legs[number];
            if leg.place == NONE {
                continue;
            }
            let extents = &self.stage.objects.place(leg.place).extents;
            let (at, run) = locate(extents, op.issued).expect("a place is as long as its object");
            len = len.min(run);
            if let Backend::Storage(number) = leg.backend
                && !(pass.source == Source::Storage && leg.op == crate::trace::Op::Write)
            {
                (file, file_offset) = (number, at);
            }
        }
        Chunk {
            op: index,
            write: pass.source != Source::Storage,
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
        let queue = match self.ops[index as usize].lane() {
            Lane::Storage => &mut self.io_queue,
            Lane::Gpu => &mut self.gpu_queue,
            Lane::Memory => &mut self.memory_queue,
        };
        let place = queue.iter().position(|queued| *queued == index);
        place.and_then(|place| queue.remove(place));
    }

    /// Queues the I/O of a slot in the ring.
    pub fn push(&mut self, slot: u32) -> Result<()> {
        let chunk = self.chunks[slot as usize];
        let rest = chunk.padded - chunk.moved;
        self.in_flight += 1;
        self.in_flight_bytes += u64::from(rest);
        self.tally.chunks += 1;
        self.batch.push(slot);
        let pass = self.ops[chunk.op as usize].pass();
        let leg = if chunk.write { pass.sink_leg } else { pass.source_leg };
        if self.ops[chunk.op as usize].legs[leg].start == super::op::NEVER {
            self.starting.push((chunk.op, leg));
        }
        self.stage.ring.push(Io {
            write: chunk.write,
            file: chunk.file,
            offset: chunk.file_offset + u64::from(chunk.moved),
            at: self.slot_at(slot) + chunk.moved as usize,
            len: rest,
            id: u64::from(slot),
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
        self.in_flight_bytes -= u64::from(chunk.padded - chunk.moved);
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
            let aligned = chunk.moved.is_multiple_of(SECTOR) || !self.stage.slabs[chunk.file as usize].direct;
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
            self.tally.error(IoError { row: leg.row, key, op: word.to_owned(), errno, message: message.to_owned() });
        }
        op.failed = true;
        if self.tally.error_count > self.config.max_errors {
            self.early.get_or_insert(Early::Errors);
        }
        self.release_slot(slot, now)
    }
}
