//! What the block layer really did, seen by eBPF programs on kernel tracepoints.
//!
//! [`devices`] and [`tree`] say what is watched and whose I/O is the target, [`rights`] whether
//! this machine permits it, [`phase`] in which phase the target is; `session` runs the programs of `bpf/` (`probes`) and turns what
//! they counted (`layout`, `reading`, `pattern`, `loss`) into a [`crate::measure::BlockResult`].

pub mod devices;
pub mod phase;
pub mod rights;
pub mod tree;

#[cfg(not(feature = "ebpf"))]
mod absent;
#[cfg(any(feature = "ebpf", test))]
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

#[cfg(not(feature = "ebpf"))]
pub use absent::Capture;
#[cfg(feature = "ebpf")]
pub use session::Capture;

/// What to watch and whose I/O is the target. Everything else on the watched devices goes to the
/// result's `other` set.
#[derive(Clone, Debug, Default)]
pub struct CaptureFilter {
    /// Devices: names under /sys/block or /dev, or a file or folder, which means the device that
    /// holds it. Empty is every disk.
    pub devices: Vec<String>,
    /// Whose I/O is the target.
    pub target: Target,
    /// Requests that can be followed at once; none sizes it from the devices' queues.
    pub requests: Option<u32>,
    /// Who says in which phase the target is.
    pub phases: Phases,
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
