//! What replay needs: io_uring, O_DIRECT, huge pages, locked memory, room.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use io_uring::IoUring;
use rustix::fs::{FsWord, OFlags};
use rustix::process::Resource;

use crate::units;

use super::Ability;

/// Locked memory that the registered buffers of one replay may take.
const LOCKED_BYTES: u64 = 64 << 20;

pub fn abilities() -> Vec<Ability> {
    let mut found = vec![ring()];
    if found[0].way_out.is_none() {
        found.extend([fixed_buffers(), deferred_work()]);
    }
    found.extend([direct(), huge_pages(), locked_memory(), disk()]);
    found
}

fn ring() -> Ability {
    match IoUring::new(8) {
        Ok(_) => Ability::ok("io_uring", "a ring can be set up"),
        Err(error) => Ability::missing(
            "io_uring",
            crate::error::plain(&error),
            "replay cannot reach a storage tier",
            "sysctl kernel.io_uring_disabled=0; in a container allow the io_uring system calls (seccomp)",
        ),
    }
}

fn fixed_buffers() -> Ability {
    let name = "fixed buffers";
    let registered = IoUring::new(8).and_then(|ring| ring.submitter().register_buffers_sparse(1));
    match registered {
        Ok(()) => Ability::ok(name, "buffers can be registered with a ring"),
        Err(error) => Ability::missing(
            name,
            crate::error::plain(&error),
            "every operation maps its buffer anew",
            "raise the limit of locked memory (ulimit -l unlimited)",
        ),
    }
}

fn deferred_work() -> Ability {
    let ring: io::Result<IoUring> = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(8);
    match ring {
        Ok(_) => Ability::ok("DEFER_TASKRUN", "completions wait for the ring's thread"),
        Err(_) => Ability::missing(
            "DEFER_TASKRUN",
            "refused by the kernel",
            "completions interrupt the ring's thread: more processor time per operation",
            "Linux 6.1 or later",
        ),
    }
}

fn direct() -> Ability {
    let name = "O_DIRECT here";
    let path = PathBuf::from(format!(".kvtrace-doctor-{}", std::process::id()));
    let opened = File::options().write(true).create_new(true).custom_flags(OFlags::DIRECT.bits() as i32).open(&path);
    // Created or not: nothing of ours stays.
    let _ = fs::remove_file(&path);
    match opened {
        Ok(file) if in_memory(&file) => Ability::missing(
            name,
            "the current folder is held in memory",
            "a storage tier here would measure memory",
            "choose a folder on a disk for --tier-2 dir:PATH",
        ),
        Ok(_) => Ability::ok(name, "the current folder's filesystem takes it"),
        Err(error) => Ability::missing(
            name,
            crate::error::plain(&error),
            "a storage tier here would measure the page cache",
            "choose a writable folder on a disk for --tier-2 dir:PATH",
        ),
    }
}

/// Whether a file lies on tmpfs or ramfs (include/uapi/linux/magic.h), which take O_DIRECT and
/// ignore it.
fn in_memory(file: &File) -> bool {
    const TMPFS: FsWord = 0x0102_1994;
    const RAMFS: FsWord = 0x8584_58f6;
    rustix::fs::fstatfs(file.as_fd()).is_ok_and(|facts| matches!(facts.f_type, TMPFS | RAMFS))
}

fn huge_pages() -> Ability {
    let name = "huge pages";
    let setting = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let chosen = setting.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(chosen, _)| chosen);
    match chosen {
        Some(chosen @ ("always" | "madvise")) => Ability::ok(name, format!("transparent huge pages: {chosen}")),
        other => Ability::missing(
            name,
            format!("transparent huge pages: {}", other.unwrap_or("not in this kernel")),
            "buffers of a replay take more TLB misses",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
    }
}

fn locked_memory() -> Ability {
    match rustix::process::getrlimit(Resource::Memlock).current {
        None => Ability::ok("locked memory", "unlimited"),
        Some(limit) if limit >= LOCKED_BYTES || rustix::process::geteuid().is_root() => {
            Ability::ok("locked memory", units::bytes(limit))
        }
        Some(limit) => Ability::missing(
            "locked memory",
            units::bytes(limit),
            "registered buffers may be refused",
            "ulimit -l unlimited",
        ),
    }
}

fn disk() -> Ability {
    match rustix::fs::statvfs(".") {
        Ok(facts) => Ability::note("free disk", format!("{} here", units::bytes(facts.f_bavail * facts.f_frsize))),
        Err(_) => Ability::note("free disk", "cannot be read"),
    }
}
