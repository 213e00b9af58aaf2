//! Writes what has to be there before the clock starts.

use crate::error::{Error, Result};
use crate::stop::Stop;

use super::volume::Volume;
use super::{Stage, going_on};
use crate::replay::content::fill::Stream;
use crate::replay::io::ring::{Completion, Io};

/// Writes made-up content through the ring as fast as it goes.
pub struct Writer<'a> {
    slot_bytes: usize,
    free: Vec<usize>,
    done: Vec<Completion>,
    stop: &'a Stop,
}

impl<'a> Writer<'a> {
    /// For I/Os of at most so many bytes, until somebody asks to stop.
    pub fn new(slot_bytes: usize, stop: &'a Stop) -> Self {
        Self { slot_bytes, free: Vec::new(), done: Vec::new(), stop }
    }

    /// Bytes of an I/O at most.
    pub fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Whether nobody has asked to stop.
    ///
    /// # Errors
    /// Somebody has.
    pub fn going_on(&self) -> Result<()> {
        going_on(self.stop)
    }

    /// Writes `len` bytes of some content, from its `offset`, to a file at `at`.
    ///
    /// # Errors
    /// An I/O that failed, or an interruption.
    pub fn write(
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
            going_on(self.stop)?;
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
            durable: false,
            id: (padded as u64) << 32 | slot as u64,
            phase: None,
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
                let targets: Vec<_> = stage.volumes.iter().filter_map(Volume::words).collect();
                return Err(write_failed(&targets.join(" and "), result, expected));
            }
            self.free.push(slot);
        }
        Ok(())
    }

    /// Waits until all of it is written.
    ///
    /// # Errors
    /// An I/O that failed.
    pub fn drain(&mut self, stage: &mut Stage) -> Result<()> {
        if self.done.capacity() == 0 {
            return Ok(());
        }
        let slots = stage.arena.len() / self.slot_bytes;
        while self.free.len() < slots {
            going_on(self.stop)?;
            self.reap(stage)?;
        }
        Ok(())
    }
}

fn write_failed(targets: &str, result: i32, expected: i32) -> Error {
    if result >= 0 {
        return Error::io(format!(
            "preparing {targets}: the device took {result} of {expected} bytes; the filesystem may be full"
        ));
    }
    let why = std::io::Error::from_raw_os_error(-result);
    Error::io(format!(
        "preparing {targets}: writing failed: {} (errno {}); {}",
        crate::error::plain(&why),
        -result,
        match why.kind() {
            std::io::ErrorKind::StorageFull =>
                "the space below it is less than it says: free some, or use --size-scale",
            _ => "use another target, and look at the kernel's log (dmesg) for the device",
        }
    ))
}
