//! Setting up an io_uring: the best kind that the kernel gives, down to one without any extras.

use std::io;

use io_uring::IoUring;
use rustix::io::Errno;

use crate::error::{Error, Result, plain};

/// A kind of ring, by what is asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Only one thread submits (Linux 6.0).
    pub single_issuer: bool,
    /// Completions are run only when that thread asks (Linux 6.1).
    pub defer_taskrun: bool,
    /// Completions do not interrupt that thread (Linux 5.19).
    pub coop_taskrun: bool,
}

/// Completions that there is room for, for every submission.
const COMPLETIONS: u32 = 4;
/// A ring with fewer entries is not tried.
const FEWEST: u32 = 32;

/// The kinds in the order in which they are tried.
const KINDS: [Kind; 4] = [
    Kind { single_issuer: true, defer_taskrun: true, coop_taskrun: false },
    Kind { single_issuer: true, defer_taskrun: false, coop_taskrun: true },
    Kind { single_issuer: false, defer_taskrun: false, coop_taskrun: true },
    Kind { single_issuer: false, defer_taskrun: false, coop_taskrun: false },
];

impl Kind {
    /// How completions are delivered, for reports.
    pub fn taskrun(self) -> &'static str {
        match (self.defer_taskrun, self.coop_taskrun) {
            (true, _) => "defer_taskrun",
            (_, true) => "coop_taskrun",
            _ => "interrupt",
        }
    }

    /// What is lost with it; nothing with the best.
    pub fn note(self) -> Option<String> {
        let issuer = if self.single_issuer { "" } else { " and SINGLE_ISSUER" };
        (!self.defer_taskrun).then(|| {
            format!(
                "io_uring without DEFER_TASKRUN{issuer} on this kernel, {} instead: completion times are less exact",
                self.taskrun()
            )
        })
    }

    fn build(self, entries: u32) -> io::Result<IoUring> {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(entries * COMPLETIONS);
        if self.single_issuer {
            builder.setup_single_issuer();
        }
        if self.defer_taskrun {
            builder.setup_defer_taskrun();
        }
        if self.coop_taskrun {
            builder.setup_coop_taskrun();
        }
        if self.defer_taskrun || self.coop_taskrun {
            builder.setup_taskrun_flag();
        }
        builder.build(entries)
    }
}

/// The best ring that this machine gives. It has fewer entries where there is too little memory
/// that may be locked, which newer kernels count rings in: what does not fit into its queues
/// waits.
///
/// # Errors
/// When it has no io_uring or forbids it.
pub fn best(entries: u32) -> Result<(IoUring, Kind, Option<String>)> {
    let sizes = std::iter::successors(Some(entries), |entries| Some(entries / 2).filter(|n| *n >= FEWEST));
    let mut refused = None;
    for size in sizes {
        match best_of(|kind| kind.build(size)) {
            Ok((ring, kind)) => {
                let smaller = format!(
                    "the io_uring has {size} entries, not {entries}, within the limit of locked memory; raise it \
                     (ulimit -l)"
                );
                return Ok((ring, kind, (size < entries).then_some(smaller)));
            }
            Err(Refused::NoMemory(e)) => refused = Some(e),
            Err(Refused::Other(e)) => return Err(e),
        }
    }
    Err(refused.unwrap_or_else(|| Error::unavailable("an io_uring needs at least one entry")))
}

/// Why there is no ring.
enum Refused {
    /// A smaller one may be had.
    NoMemory(Error),
    /// No other either.
    Other(Error),
}

/// The best kind of a size, from a kernel that answers as told.
fn best_of(build: impl Fn(Kind) -> io::Result<IoUring>) -> Result<(IoUring, Kind), Refused> {
    let mut refused = None;
    for kind in KINDS {
        match build(kind) {
            Ok(ring) => return Ok((ring, kind)),
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => return Err(Refused::Other(forbidden(&e))),
                Some(Errno::NOMEM) => return Err(Refused::NoMemory(impossible(&e))),
                _ => refused = Some(e),
            },
        }
    }
    let invalid = || io::Error::from_raw_os_error(Errno::INVAL.raw_os_error());
    Err(Refused::Other(impossible(&refused.unwrap_or_else(invalid))))
}

fn impossible(error: &io::Error) -> Error {
    let why = plain(error);
    Error::unavailable(format!("cannot set up io_uring: {why}; check the limit of locked memory (ulimit -l)"))
}

fn forbidden(error: &io::Error) -> Error {
    Error::unavailable(match Errno::from_io_error(error) {
        Some(Errno::NOSYS) => {
            "this kernel has no io_uring (ENOSYS); use Linux 5.11 or later, built with CONFIG_IO_URING"
        }
        _ => {
            "io_uring is not permitted here (EPERM); set the sysctl kernel.io_uring_disabled to 0, or let the \
             container's seccomp profile allow io_uring_setup, io_uring_enter and io_uring_register"
        }
    })
}

/// The best ring of an older kernel, which knows only some of the kinds' flags.
#[cfg(test)]
pub fn best_where(entries: u32, knows: impl Fn(Kind) -> bool) -> Result<(IoUring, Kind, Option<String>)> {
    let unknown = || io::Error::from_raw_os_error(Errno::INVAL.raw_os_error());
    match best_of(|kind| if knows(kind) { kind.build(entries) } else { Err(unknown()) }) {
        Ok((ring, kind)) => Ok((ring, kind, None)),
        Err(Refused::NoMemory(e) | Refused::Other(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_refuses_gets_the_next_best_and_it_is_said() {
        let Ok((_, best, _)) = best(8) else { return };
        assert!(best.note().is_none() || !best.defer_taskrun);
        let (_, older, _) = best_where(8, |kind| !kind.defer_taskrun).unwrap();
        assert_eq!((older.taskrun(), older.single_issuer), ("coop_taskrun", true));
        let (_, old, _) = best_where(8, |kind| !kind.defer_taskrun && !kind.single_issuer).unwrap();
        assert!(old.note().unwrap().contains("without DEFER_TASKRUN and SINGLE_ISSUER"), "{:?}", old.note());
        let (_, oldest, _) = best_where(8, |kind| kind == KINDS[3]).unwrap();
        assert!(oldest.taskrun() == "interrupt" && oldest.note().unwrap().contains("interrupt instead"));
        assert!(best_where(8, |_| false).map(drop).unwrap_err().to_string().contains("cannot set up io_uring"));
    }

    #[test]
    fn what_forbids_all_kinds_is_not_tried_again() {
        for (errno, words) in [(Errno::NOSYS, "ENOSYS"), (Errno::PERM, "io_uring_disabled")] {
            let tries = std::cell::Cell::new(0);
            let refused = best_of(|_| {
                tries.set(tries.get() + 1);
                Err(io::Error::from_raw_os_error(errno.raw_os_error()))
            });
            let Err(Refused::Other(why)) = refused else { panic!("{words} is no question of size") };
            assert!(why.to_string().contains(words) && tries.get() == 1);
        }
    }
}
