//! A number of I/Os kept in flight on the slabs before the clock starts, for whatever has to be
//! known or done then.

use crate::error::{Error, Result, plain};
use crate::stop::Stop;

use super::{Stage, going_on};
use crate::replay::content::fill::Stream;
use crate::replay::io::ring::{Completion, Io};

/// What an I/O does.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// Reads, whatever is there.
    Read,
    /// Writes what a stream has from an offset on.
    Write(&'a Stream, u64),
}

/// The I/Os in flight.
pub struct Load<'a> {
    stage: &'a mut Stage,
    io_bytes: usize,
    depth: usize,
    free: Vec<usize>,
    done: Vec<Completion>,
    stop: &'a Stop,
}

impl<'a> Load<'a> {
    /// Room for `depth` I/Os of `io_bytes`, as far as there are buffers.
    pub fn new(stage: &'a mut Stage, io_bytes: u64, depth: u64, stop: &'a Stop) -> Self {
        let io_bytes = io_bytes as usize;
        let depth = (depth as usize).clamp(1, (stage.arena.len() / io_bytes).max(1)).min(stage.lane_slots());
        Self { stage, io_bytes, depth, free: (0..depth).collect(), done: Vec::with_capacity(depth), stop }
    }

    /// I/Os that may be in flight.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether one more may start.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether any is in flight.
    pub fn is_busy(&self) -> bool {
        self.free.len() < self.depth
    }

    /// Starts one; there is room.
    ///
    /// # Errors
    /// When somebody asked to stop, or the ring fails.
    pub fn start(&mut self, act: Act, file: u32, offset: u64, len: usize) -> Result<()> {
        going_on(self.stop)?;
        let slot = self.free.pop().expect("the caller asked whether there is room");
        let (at, padded) = (slot * self.io_bytes, len.next_multiple_of(4096));
        if let Act::Write(content, from) = act {
            content.fill(from, self.stage.arena.slice_mut(at, padded));
        }
        let id = (padded as u64) << 32 | slot as u64;
        let write = matches!(act, Act::Write(..));
        self.stage.ring.push(Io { write, file, offset, at, len: padded as u32, durable: false, id, phase: None })?;
        self.stage.ring.submit()
    }

    /// Waits for I/Os to end. How many did, and their bytes.
    ///
    /// # Errors
    /// When one failed, somebody asked to stop, or the ring fails.
    pub fn reap(&mut self) -> Result<(usize, u64)> {
        going_on(self.stop)?;
        self.stage.ring.wait(100_000_000)?;
        self.stage.ring.completions(&mut self.done);
        let (count, mut bytes) = (self.done.len(), 0);
        for (id, result) in self.done.drain(..) {
            let (expected, slot) = ((id >> 32) as i32, (id & 0xffff_ffff) as usize);
            if result != expected {
                return Err(failed(result, expected));
            }
            self.free.push(slot);
            bytes += expected as u64;
        }
        Ok((count, bytes))
    }

    /// Waits for all of them.
    ///
    /// # Errors
    /// As [`Load::reap`].
    pub fn drain(&mut self) -> Result<()> {
        while self.is_busy() {
            self.reap()?;
        }
        Ok(())
    }

    /// Waits until the device has what was written to a slab.
    ///
    /// # Errors
    /// When it does not.
    pub fn sync(&mut self, number: usize) -> Result<()> {
        self.drain()?;
        self.stage.volumes[number].sync()
    }
}

fn failed(result: i32, expected: i32) -> Error {
    if result >= 0 {
        return Error::io(format!("preparing: the device moved {result} of {expected} bytes; it may end there"));
    }
    let why = std::io::Error::from_raw_os_error(-result);
    Error::io(format!("preparing: I/O failed: {} (errno {}); use another target", plain(&why), -result))
}
