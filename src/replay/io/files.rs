//! Files that are made, opened, closed and removed through the ring, so that none of it keeps the
//! run thread from anything else.

use std::os::fd::RawFd;

use io_uring::{opcode, types};
use rustix::fs::OFlags;

use crate::error::Result;

use super::ring::Ring;

/// Bytes of a file's name, the 0 at its end included.
pub const NAME: usize = 48;

/// A file's name, ended by a 0.
pub type Name = [u8; NAME];

/// Set in the id of a step of an operation's file; below it is the number of the operation.
pub const FILE: u64 = 1 << 33;
/// Set in it beside [`FILE`] when the file is that of the operation's second leg.
pub const SECOND: u64 = 1 << 34;
/// Set in the id of a removal; below it is the number of the place.
pub const UNLINK: u64 = 1 << 35;

/// Something asked of the kernel about a file.
#[derive(Clone, Copy, Debug)]
pub enum FileWork {
    /// Open it; the completion's result is the descriptor.
    Open {
        /// Its folder.
        folder: RawFd,
        /// Its name.
        name: Name,
        /// It must not be there yet, and is made; otherwise it is only read.
        create: bool,
        /// Past the page cache.
        direct: bool,
    },
    /// Reserve its blocks, which makes it so long.
    Reserve {
        /// The file.
        fd: RawFd,
        /// Its length.
        len: u64,
    },
    /// Close it.
    Close {
        /// The file.
        fd: RawFd,
    },
    /// Remove it.
    Unlink {
        /// Its folder.
        folder: RawFd,
        /// Its name.
        name: Name,
    },
}

/// Names that the kernel has not read yet.
#[derive(Debug)]
pub struct Names {
    pool: Box<[Name]>,
    next: usize,
}

impl Names {
    /// As many as a ring can have entries that were not submitted.
    pub fn new(entries: usize) -> Self {
        Self { pool: vec![[0; NAME]; entries + 1].into_boxed_slice(), next: 0 }
    }

    /// Keeps a name until the kernel has read it.
    fn keep(&mut self, name: &Name) -> *const u8 {
        self.next = (self.next + 1) % self.pool.len();
        self.pool[self.next] = *name;
        self.pool[self.next].as_ptr()
    }
}

impl Ring {
    /// Asks for something about a file; it starts with the next [`Ring::submit`] or
    /// [`Ring::wait`].
    ///
    /// # Errors
    /// When the ring does not take I/O any more.
    pub fn ask(&mut self, work: FileWork, id: u64) -> Result<()> {
        let entry = match work {
            FileWork::Open { folder, name, create, direct } => {
                let mut flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
                flags |= if create { OFlags::RDWR | OFlags::CREATE | OFlags::EXCL } else { OFlags::RDONLY };
                flags.set(OFlags::DIRECT, direct);
                let name = self.names.keep(&name).cast();
                opcode::OpenAt::new(types::Fd(folder), name).flags(flags.bits() as i32).mode(0o600).build()
            }
            FileWork::Reserve { fd, len } => opcode::Fallocate::new(types::Fd(fd), len).build(),
            FileWork::Close { fd } => opcode::Close::new(types::Fd(fd)).build(),
            FileWork::Unlink { folder, name } => {
                let name = self.names.keep(&name).cast();
                opcode::UnlinkAt::new(types::Fd(folder), name).build()
            }
        };
        // A name is used again only after as many others as the submission queue has entries: by
        // then the kernel, which reads names while it takes entries, has read it.
        self.queue(&entry.user_data(id))
    }

    /// From now on file `number` of the ring is `fd`. For rings without files of their own.
    pub fn set_file(&mut self, number: u32, fd: RawFd) {
        let number = number as usize;
        if self.files.len() <= number {
            self.files.resize(number + 1, -1);
        }
        self.files[number] = fd;
    }
}
