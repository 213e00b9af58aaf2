//! The io_uring that all storage I/O goes through. One thread owns it.

use std::io::{self, IoSliceMut};
use std::os::fd::RawFd;

use io_uring::{IoUring, opcode, squeue, types};

use crate::error::{Error, Result, plain};

use super::files::Names;
use super::memory::Region;
use super::setup::{self, Kind};
use crate::replay::config::Engine;
use crate::trace::Phase;

/// One I/O, from or to the arena.
#[derive(Clone, Copy, Debug)]
pub struct Io {
    /// Write, not read.
    pub write: bool,
    /// The number of the file, in the order given to [`Ring::new`].
    pub file: u32,
    /// Where in the file.
    pub offset: u64,
    /// Where in the arena.
    pub at: usize,
    /// How much.
    pub len: u32,
    /// Whether a write has ended only when its data is durable.
    pub durable: bool,
    /// Handed back with its completion; below 2^62.
    pub id: u64,
    /// The phase of the row that it belongs to, which whoever watches us can read.
    pub phase: Option<Phase>,
}

/// Where the phase of an I/O stands in its user_data, above its id: 1 prefill, 2 decode, 3 evict,
/// 0 none. Errands and steps of files have none.
pub const PHASE_SHIFT: u32 = 62;

/// Where the length of an I/O that nothing executes stands beside its id, so that all of it is
/// done.
const NOP_LEN: u32 = 36;

/// `POLLIN` of asm-generic/poll.h.
const POLLIN: u32 = 1;

/// Set in the id of an errand; below it is the number of its operation.
pub const ERRAND: u64 = 1 << 32;

/// `RWF_DSYNC` of linux/fs.h: a write has ended when its data is durable.
const RWF_DSYNC: i32 = 2;
/// `POSIX_FADV_DONTNEED` of linux/fadvise.h.
const FADV_DONTNEED: i32 = 4;

/// Something asked of the kernel that moves no bytes.
#[derive(Clone, Copy, Debug)]
pub enum Errand {
    /// Make all of a file durable, or only what is needed to read it back.
    Sync {
        /// fdatasync, not fsync.
        data_only: bool,
    },
    /// Drop a part of a file from the page cache.
    Drop {
        /// Where it begins.
        offset: u64,
        /// How long it is.
        len: u64,
    },
}

/// The id of what [`Ring::listen`] listens to.
pub const BELL: u64 = u64::MAX;

/// An I/O that ended: its id, and bytes or a negative errno.
pub type Completion = (u64, i32);

/// A ring with registered files and, where the system lets it, registered buffers.
pub struct Ring {
    ring: IoUring,
    arena: *mut u8,
    arena_len: usize,
    fixed_buffers: bool,
    pub(super) files: Vec<RawFd>,
    pub(super) names: Names,
    fixed_files: bool,
    engine: Engine,
    /// What was refused and what was done instead.
    pub notes: Vec<String>,
    /// How completions are delivered: `defer_taskrun`, `coop_taskrun`, `interrupt`.
    pub taskrun: &'static str,
}

impl Ring {
    /// A ring for `entries` I/Os between `arena` and `files`. The arena and the files must
    /// outlive it.
    ///
    /// # Errors
    /// When this machine has no io_uring or forbids it.
    pub fn new(entries: u32, arena: &Region, files: &[RawFd], engine: Engine) -> Result<Self> {
        Ok(Self::over(setup::best(entries)?, arena, files, engine))
    }

    fn over(
        (mut ring, kind, smaller): (IoUring, Kind, Option<String>),
        arena: &Region,
        files: &[RawFd],
        engine: Engine,
    ) -> Self {
        let capacity = ring.submission().capacity();
        let mut made = Self {
            ring,
            names: Names::new(capacity),
            arena: arena.as_ptr(),
            arena_len: arena.len(),
            fixed_buffers: false,
            files: files.to_vec(),
            fixed_files: false,
            engine,
            notes: kind.note().into_iter().chain(smaller).collect(),
            taskrun: kind.taskrun(),
        };
        made.register(arena);
        made
    }

    fn register(&mut self, arena: &Region) {
        let submitter = self.ring.submitter();
        if !self.files.is_empty() {
            match submitter.register_files(&self.files) {
                Ok(()) => self.fixed_files = true,
                Err(e) => {
                    self.notes
                        .push(format!("files could not be registered ({}): a little more CPU per I/O", plain(&e)));
                }
            }
        }
        // SAFETY: the arena is initialised memory of that length; nothing reads or writes it here.
        let memory = unsafe { std::slice::from_raw_parts_mut(arena.as_ptr(), arena.len()) };
        let vector = IoSliceMut::new(memory);
        // SAFETY: IoSliceMut has the layout of iovec; the arena outlives the ring.
        let registered =
            unsafe { submitter.register_buffers(std::slice::from_raw_parts((&raw const vector).cast(), 1)) };
        match registered {
            Ok(()) => self.fixed_buffers = true,
            Err(e) => self.notes.push(format!(
                "buffers could not be registered ({}): more CPU per I/O; raise the limit of locked memory (ulimit -l)",
                plain(&e)
            )),
        }
    }

    /// Whether buffers are registered.
    pub fn fixed_buffers(&self) -> bool {
        self.fixed_buffers
    }

    /// Whether files are registered.
    pub fn fixed_files(&self) -> bool {
        self.fixed_files
    }

    /// Queues an I/O; it starts with the next [`Ring::submit`] or [`Ring::wait`].
    ///
    /// # Errors
    /// When the ring does not take I/O any more.
    pub fn push(&mut self, io: Io) -> Result<()> {
        assert!(io.at + io.len as usize <= self.arena_len, "I/O goes to the arena");
        let entry = self.entry(io);
        self.queue(&entry)
    }

    fn entry(&self, io: Io) -> squeue::Entry {
        if self.engine == Engine::Nop {
            return opcode::Nop::new().build().user_data(io.id | u64::from(io.len) << NOP_LEN);
        }
        // SAFETY: inside the arena, as asserted by the caller.
        let place = unsafe { self.arena.add(io.at) };
        let (offset, len, flags) = (io.offset, io.len, if io.durable { RWF_DSYNC } else { 0 });
        let number = types::Fixed(io.file);
        let fd = types::Fd(self.files[io.file as usize]);
        let entry = match (io.write, self.fixed_buffers, self.fixed_files) {
            (false, true, true) => opcode::ReadFixed::new(number, place, len, 0).offset(offset).build(),
            (true, true, true) => opcode::WriteFixed::new(number, place, len, 0).offset(offset).rw_flags(flags).build(),
            (false, true, false) => opcode::ReadFixed::new(fd, place, len, 0).offset(offset).build(),
            (true, true, false) => opcode::WriteFixed::new(fd, place, len, 0).offset(offset).rw_flags(flags).build(),
            (false, false, true) => opcode::Read::new(number, place, len).offset(offset).build(),
            (true, false, true) => opcode::Write::new(number, place, len).offset(offset).rw_flags(flags).build(),
            (false, false, false) => opcode::Read::new(fd, place, len).offset(offset).build(),
            (true, false, false) => opcode::Write::new(fd, place, len).offset(offset).rw_flags(flags).build(),
        };
        let phase = io.phase.map_or(0, |phase| phase as u64 + 1);
        entry.user_data(io.id | phase << PHASE_SHIFT)
    }

    /// Completes with the id [`BELL`] once `fd` is readable, so that this ends a wait.
    ///
    /// # Errors
    /// When the ring does not take I/O any more.
    pub fn listen(&mut self, fd: RawFd) -> Result<()> {
        let entry = opcode::PollAdd::new(types::Fd(fd), POLLIN).build().user_data(BELL);
        self.queue(&entry)
    }

    /// Sends an errand about a file; it starts with the next [`Ring::submit`] or [`Ring::wait`].
    ///
    /// # Errors
    /// When the ring does not take I/O any more.
    pub fn send(&mut self, file: u32, errand: Errand, id: u64) -> Result<()> {
        if self.engine == Engine::Nop {
            return self.queue(&opcode::Nop::new().build().user_data(id));
        }
        let fd = types::Fd(self.files[file as usize]);
        let entry = match errand {
            Errand::Sync { data_only } => {
                let flags = if data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
                opcode::Fsync::new(fd).flags(flags).build()
            }
            Errand::Drop { offset, len } => {
                let len = i64::from(u32::try_from(len).unwrap_or(u32::MAX));
                opcode::Fadvise::new(fd, len, FADV_DONTNEED).offset(offset).build()
            }
        };
        self.queue(&entry.user_data(id))
    }

    pub(super) fn queue(&mut self, entry: &squeue::Entry) -> Result<()> {
        loop {
            // SAFETY: what an entry refers to is in the arena, which outlives the ring, in a slot
            // that is not touched until the completion is seen; or among the names, of which one is
            // not changed before the kernel has read it; or nowhere.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.submit()?;
        }
    }

    /// Starts what is queued and lets finished I/O be seen, without waiting.
    ///
    /// # Errors
    /// When the ring does not take I/O any more.
    pub fn submit(&mut self) -> Result<()> {
        let (queued, pending) = {
            let queue = self.ring.submission();
            (!queue.is_empty(), queue.taskrun())
        };
        // The ring was set up with TASKRUN_FLAG, so that this asks the kernel to run deferred
        // completions whenever there are any (and only then).
        if queued || pending { settled(self.ring.submit()) } else { Ok(()) }
    }

    /// Starts what is queued and waits for a completion, at most `timeout_ns`.
    ///
    /// # Errors
    /// When the ring does not take I/O any more.
    pub fn wait(&mut self, timeout_ns: u64) -> Result<()> {
        let time = types::Timespec::new().sec(timeout_ns / 1_000_000_000).nsec((timeout_ns % 1_000_000_000) as u32);
        let args = types::SubmitArgs::new().timespec(&time);
        settled(self.ring.submitter().submit_with_args(1, &args))
    }

    /// Appends what has ended to `into`.
    pub fn completions(&mut self, into: &mut Vec<Completion>) {
        let nop = self.engine == Engine::Nop;
        into.extend(self.ring.completion().map(|entry| {
            let (id, result) = (entry.user_data(), entry.result());
            match id {
                BELL => (id, result),
                id if nop => (id & ((1 << NOP_LEN) - 1), (id >> NOP_LEN) as i32),
                id => (id & ((1 << PHASE_SHIFT) - 1), result),
            }
        }));
    }
}

/// Whether this machine lets us have a ring at all, before anything is touched.
///
/// # Errors
/// When it has no io_uring or forbids it.
pub fn check_available() -> Result<()> {
    let (mut ring, ..) = setup::best(4)?;
    // SAFETY: a no-op refers to no memory.
    let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
    pushed.expect("an empty ring has room");
    match ring.submit_and_wait(1) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(e) => Err(Error::unavailable(format!(
            "io_uring can be set up here and not used: {}; let the container's seccomp profile allow io_uring_enter",
            plain(&e)
        ))),
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel tears a ring down after the process has gone on; what is let go here is
        // free at once, so that a filesystem can be unmounted after a replay.
        let submitter = self.ring.submitter();
        if self.fixed_files {
            let _ = submitter.unregister_files();
        }
        if self.fixed_buffers {
            let _ = submitter.unregister_buffers();
        }
    }
}

/// An enter that was interrupted, timed out, or must be repeated later did no harm.
fn settled(entered: io::Result<usize>) -> Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(e) => match rustix::io::Errno::from_io_error(&e) {
            Some(
                rustix::io::Errno::INTR | rustix::io::Errno::TIME | rustix::io::Errno::BUSY | rustix::io::Errno::AGAIN,
            ) => Ok(()),
            _ => Err(Error::io(format!("io_uring does not take I/O: {}", plain(&e)))),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    /// One write and one read of it through a ring.
    fn round(ring: &mut Ring, arena: &mut Region, durable: bool) {
        arena.slice_mut(0, 4096).fill(7);
        let mut done = Vec::new();
        for (write, at) in [(true, 0), (false, 8192)] {
            ring.push(Io { write, file: 0, offset: 4096, at, len: 4096, durable, id: 3, phase: Some(Phase::Evict) })
                .unwrap();
            ring.submit().unwrap();
            while done.is_empty() {
                ring.wait(1_000_000_000).unwrap();
                ring.completions(&mut done);
            }
            assert_eq!(std::mem::take(&mut done), [(3, 4096)]);
        }
        assert_eq!(arena.slice(8192, 4096), [7; 4096]);
    }

    #[test]
    fn io_works_whatever_the_kernel_refuses() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 16384]).unwrap();
        let mut arena = Region::new(1 << 20, "a test", |_| Ok(())).unwrap();
        for (words, refuse_defer, refuse_single) in
            [("", false, false), ("DEFER_TASKRUN on", true, false), ("and SINGLE_ISSUER", true, true)]
        {
            let knows = |kind: Kind| !(refuse_defer && kind.defer_taskrun || refuse_single && kind.single_issuer);
            let Ok(kind) = setup::best_where(8, knows) else { return };
            let mut ring = Ring::over(kind, &arena, &[file.as_raw_fd()], Engine::IoUring);
            assert!(ring.notes.join(" ").contains(words), "{:?}", ring.notes);
            round(&mut ring, &mut arena, false);
            (ring.fixed_files, ring.fixed_buffers) = (false, false);
            round(&mut ring, &mut arena, false);
            ring.fixed_files = true;
            round(&mut ring, &mut arena, false);
            round(&mut ring, &mut arena, true);
        }
    }
}
