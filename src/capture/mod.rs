//! What the block layer really did, seen by eBPF programs on kernel tracepoints.
//!
//! [`devices`] and [`tree`] say what is watched and whose I/O is the target, [`rights`] whether
//! this machine permits it, [`phase`] in which phase the target is; `session` runs the programs of `bpf/` (`probes`) and turns what
//! they counted (`layout`, `reading`, `pattern`, `loss`) into a [`crate::measure::BlockResult`].
//! [`Sampling`] makes one of the kernel's own counters, where programs are not permitted;
//! [`bpftrace`] reads what the reference's script printed into the same.

pub mod bpftrace;
pub mod cgroup;
pub mod devices;
pub mod events;
mod fallback;
pub mod phase;
pub mod rights;
pub mod tree;

#[cfg(feature = "ebpf")]
mod above;
#[cfg(not(feature = "ebpf"))]
mod absent;
#[cfg(feature = "ebpf")]
mod files;
#[cfg_attr(not(feature = "ebpf"), expect(dead_code, reason = "the rest is of the programs, which are not there"))]
mod layout;
#[cfg(feature = "ebpf")]
mod loss;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod native;
#[cfg(feature = "ebpf")]
mod pattern;
#[cfg(feature = "ebpf")]
mod probes;
#[cfg(feature = "ebpf")]
mod reading;
#[cfg(feature = "ebpf")]
mod session;
#[cfg(feature = "ebpf")]
pub mod tracepoints;

mod snapshot;

#[cfg(not(feature = "ebpf"))]
pub use absent::Capture;
pub use events::{EventsTo, Recorded};
#[cfg(feature = "ebpf")]
pub use session::Capture;
pub use snapshot::Snapshot;

pub use fallback::Sampling;

/// What to watch and whose I/O is the target. Everything else on the watched devices goes to the
/// result's `other` set.
#[derive(Clone, Debug, Default)]
pub struct CaptureFilter {
    /// Devices: names under /sys/block or /dev, or a file or folder, which means the device that
    /// holds it. Empty is every disk.
    pub devices: Vec<String>,
    /// Whose I/O is the target.
    pub target: Target,
    /// Cgroups (version 2) whose tasks, with those below them, belong to the target too. With
    /// [`Target::Everything`] they are all of it.
    pub cgroups: Vec<String>,
    /// Whether reads, writes and syncs are also watched as system calls, at the price of some
    /// 50 ns for every system call on the machine. None watches them where the target is not
    /// everybody.
    pub syscalls: Option<bool>,
    /// Requests that can be followed at once; none sizes it from the devices' queues.
    pub requests: Option<u32>,
    /// Where a row per request goes.
    pub events: Option<EventsTo>,
    /// Which sort of programs.
    pub probes: ProbeKind,
    /// Who says in which phase the target is.
    pub phases: Phases,
}

impl CaptureFilter {
    /// Whether somebody's I/O is not the target's.
    pub fn is_filtered(&self) -> bool {
        self.target != Target::Everything || !self.cgroups.is_empty()
    }

    /// Whether system calls are watched.
    pub fn watches_syscalls(&self) -> bool {
        self.syscalls.unwrap_or(self.is_filtered())
    }
}

/// Which sort of programs watches. Both count the same; tp_btf costs less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeKind {
    /// tp_btf, and raw_tp where the kernel refuses it.
    #[default]
    Auto,
    /// Programs whose pointers the verifier knows.
    TpBtf,
    /// Programs that copy what they read.
    RawTp,
}

/// Who says in which phase the target is. Its I/O is then also counted by phase, which takes 1.4
/// MiB more of the kernel's memory per processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phases {
    /// Nobody.
    #[default]
    Unknown,
    /// Whoever holds the capture, by [`Capture::set_phase`]; for all of the target.
    Told,
    /// A process in each of its io_uring operations: above `shift` in the user_data stands 1 for
    /// prefill, 2 for decode, 3 for evict, 0 for none.
    InUserData {
        /// The process.
        pid: u32,
        /// The lowest of the bits.
        shift: u32,
    },
}

/// Whose I/O is the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Everybody's.
    #[default]
    Everything,
    /// That of these processes and of all their descendants, by process id.
    Trees(Vec<u32>),
    /// That of a command which [`Capture::start_command`] will start, and of its descendants.
    Command(Vec<String>),
}
