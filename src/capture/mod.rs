//! What the block layer really did, seen by eBPF programs on kernel tracepoints.
//!
//! [`devices`] and [`tree`] say what is watched and whose I/O is the target, [`rights`] whether
//! this machine permits it; `session` runs the programs of `bpf/` (`probes`) and turns what
//! they counted (`layout`, `reading`, `loss`) into a [`crate::measure::BlockResult`].
//! [`Sampling`] makes one of the kernel's own counters, where programs are not permitted.

pub mod devices;
mod fallback;
pub mod rights;
pub mod tree;

#[cfg(not(feature = "ebpf"))]
mod absent;
#[cfg(any(feature = "ebpf", test))]
mod layout;
#[cfg(feature = "ebpf")]
mod loss;
#[cfg(feature = "ebpf")]
mod probes;
#[cfg(feature = "ebpf")]
mod reading;
#[cfg(feature = "ebpf")]
mod session;
#[cfg(feature = "ebpf")]
pub mod tracepoints;

#[cfg(not(feature = "ebpf"))]
pub use absent::Capture;
#[cfg(feature = "ebpf")]
pub use session::Capture;

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
    /// Requests that can be followed at once; none sizes it from the devices' queues.
    pub requests: Option<u32>,
    /// Which sort of programs.
    pub probes: ProbeKind,
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
