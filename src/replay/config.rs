//! What a replay is asked to do, checked.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use crate::measure::runs::Shard;
use crate::output::Overwrite;
use crate::units::{MIB, Rate};

use super::in_flight::{DEFAULT_BYTES, InFlight, Precondition};
use super::per_tier::{PerTier, Word};
use super::start::StartAt;
use super::target::Target;

/// Helpers at most unless more are asked for: each makes up more than 10 GB/s.
const MOST_HELPERS: u32 = 4;

/// Everything that a replay is asked to do.
#[derive(Clone, Debug)]
pub struct ReplayConfig {
    /// The trace.
    pub trace: PathBuf,
    /// What stands for tier 0, 1 and 2.
    pub targets: [Target; 3],
    /// When operations start.
    pub pace: Pace,
    /// Trace seconds per second, for [`Pace::Trace`].
    pub speed: f64,
    /// Factor on every object's size.
    pub size_scale: f64,
    /// The largest single I/O; a multiple of 4096.
    pub io_size_bytes: u64,
    /// Most bytes of I/O in flight on each storage target.
    pub bytes_in_flight: u64,
    /// Most objects being worked on at once; none leaves it to the pacing.
    pub max_objects: Option<u32>,
    /// How the schedule is waited for.
    pub wait: Wait,
    /// What executes storage I/O.
    pub engine: Engine,
    /// Whether the page cache is bypassed.
    pub io: PerTier<IoMode>,
    /// What is asked of the page cache, when it is not bypassed.
    pub fadvise: PerTier<Fadvise>,
    /// When an object counts as written.
    pub durability: PerTier<Durability>,
    /// What operations wait for besides earlier ones on the same object.
    pub order: Order,
    /// When a slab is written before the run.
    pub prepare: Prepare,
    /// How much of what is read is checked.
    pub verify: Verify,
    /// Threads that make data up and check it beside the one that owns the ring.
    pub helpers: u32,
    /// I/O errors to go on after.
    pub max_errors: u64,
    /// The lag behind the schedule that ends the run.
    pub max_lag_ns: Option<u64>,
    /// The seed of the data.
    pub seed: u64,
    /// How [`Self::bytes_in_flight`] is come by.
    pub in_flight: InFlight,
    /// How much of each storage tier is overwritten before the run.
    pub precondition: Option<Precondition>,
    /// Whether strangers' files may be replaced.
    pub overwrite: Overwrite,
    /// Where latency by interval goes, besides the result.
    pub hlog: Option<PathBuf>,
    /// The length of its intervals.
    pub hlog_interval_ns: u64,
    /// The part of the trace that is replayed; none for all of it.
    pub shard: Option<Shard>,
    /// When the clock starts; none for as soon as everything is ready.
    pub start_at: Option<StartAt>,
    /// How often the trace is run.
    pub trials: u32,
    /// The rest between two trials.
    pub cooldown_ns: u64,
    /// Block devices whose content may be destroyed.
    pub destroys: Vec<PathBuf>,
    /// How objects lie on a storage target.
    pub layout: Layout,
    /// Whether bytes between GPUs and storage go by cuFile.
    pub gds: GdsMode,
    /// Why tier 0 is a model although nobody asked for one; none when somebody did.
    pub modelled_because: Option<String>,
}

impl ReplayConfig {
    /// The defaults for one trace.
    pub fn new(trace: PathBuf) -> Self {
        Self {
            trace,
            targets: Target::defaults(),
            pace: Pace::Asap,
            speed: 1.0,
            size_scale: 1.0,
            io_size_bytes: MIB,
            bytes_in_flight: DEFAULT_BYTES,
            max_objects: None,
            wait: Wait::Hybrid,
            engine: Engine::IoUring,
            io: PerTier::all(IoMode::Direct),
            fadvise: PerTier::all(Fadvise::None),
            durability: PerTier::all(Durability::None),
            order: Order::Key,
            prepare: Prepare::Auto,
            verify: Verify::Stamp,
            helpers: Self::helpers_here(),
            max_errors: 0,
            max_lag_ns: None,
            seed: 42,
            in_flight: InFlight::Bytes(DEFAULT_BYTES),
            precondition: None,
            overwrite: Overwrite::Ours,
            hlog: None,
            hlog_interval_ns: 1_000_000_000,
            shard: None,
            start_at: None,
            trials: 1,
            cooldown_ns: 0,
            destroys: Vec::new(),
            layout: Layout::Slab,
            gds: GdsMode::Off,
            modelled_because: None,
        }
    }

    /// Helpers that this machine has processors for, beside the thread that owns the ring.
    pub fn helpers_here() -> u32 {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        (processors as u32 - 1).min(MOST_HELPERS)
    }

    /// The same without what cannot be: without a device nothing that is read can be checked.
    pub fn in_force(&self) -> Self {
        let verify = if self.engine == Engine::Nop { Verify::Off } else { self.verify };
        Self { verify, ..self.clone() }
    }

    /// Most objects being worked on at once: as told; otherwise a few for each target of the
    /// widest tier with `asap`, where more would only queue, and many with a schedule, where they
    /// are the backlog.
    pub fn window(&self) -> u32 {
        let width = self.widths().into_iter().max().unwrap_or(1) as u32;
        self.max_objects.unwrap_or(if self.pace == Pace::Asap { 64 * width } else { 4096 })
    }

    /// How many targets share the objects of each tier.
    pub fn widths(&self) -> [usize; 3] {
        self.targets.each_ref().map(|target| target.parts().len())
    }
}

/// When operations start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As soon as their dependencies and the limits allow.
    Asap,
    /// At the trace's own times.
    Trace,
    /// So many operations per second.
    Rate(f64),
}

impl Pace {
    /// The word for reports: `asap`, `trace`, `rate`.
    pub fn word(self) -> &'static str {
        match self {
            Pace::Asap => "asap",
            Pace::Trace => "trace",
            Pace::Rate(_) => "rate",
        }
    }

    /// What makes the load lighter.
    pub fn way_out(self) -> &'static str {
        match self {
            Pace::Asap => "use --max-objects to have fewer at once",
            Pace::Trace => "use a lower --speed, or --pace asap",
            Pace::Rate(_) => "use a lower rate (--pace rate:N/s), or --pace asap",
        }
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "asap" => Ok(Pace::Asap),
            None if text == "trace" => Ok(Pace::Trace),
            Some(("rate", rate)) => rate.parse::<Rate>().map(|r| Pace::Rate(r.0)),
            _ => Err(format!("`{text}` is not a pace; use asap, trace or rate:50/s")),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Rate(rate) => write!(f, "rate:{rate}/s"),
            other => f.write_str(other.word()),
        }
    }
}

/// How the schedule is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Asleep: the least processor time.
    Timeout,
    /// Asleep until shortly before, then awake.
    Hybrid,
    /// Awake: one processor is always busy.
    Spin,
}

impl Wait {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            Wait::Timeout => "timeout",
            Wait::Hybrid => "hybrid",
            Wait::Spin => "spin",
        }
    }
}

/// What executes storage I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The device, through an io_uring.
    IoUring,
    /// Nothing: I/O goes through the ring and ends at once. What is left is the replay's own part.
    Nop,
}

impl Engine {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            Engine::IoUring => "io_uring",
            Engine::Nop => "nop",
        }
    }
}

/// Whether the page cache is bypassed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoMode {
    /// O_DIRECT; a target that cannot is refused.
    Direct,
    /// Through the page cache.
    Buffered,
}

impl Word for IoMode {
    const ALL: &'static [Self] = &[IoMode::Direct, IoMode::Buffered];

    fn word(self) -> &'static str {
        match self {
            IoMode::Direct => "direct",
            IoMode::Buffered => "buffered",
        }
    }
}

/// What is asked of the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fadvise {
    /// Nothing.
    None,
    /// `POSIX_FADV_SEQUENTIAL` for all of a slab: more is read ahead.
    Sequential,
    /// `POSIX_FADV_DONTNEED` for each object before it is read, so that it comes from the device
    /// as far as its pages are clean.
    Dontneed,
}

impl Word for Fadvise {
    const ALL: &'static [Self] = &[Fadvise::None, Fadvise::Sequential, Fadvise::Dontneed];

    fn word(self) -> &'static str {
        match self {
            Fadvise::None => "none",
            Fadvise::Sequential => "sequential",
            Fadvise::Dontneed => "dontneed",
        }
    }
}

/// When an object counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the last I/O has ended.
    None,
    /// When an fdatasync after it has.
    Fdatasync,
    /// When an fsync after it has.
    Fsync,
    /// When the last of its I/Os has, each of which is durable by itself (`RWF_DSYNC`).
    Dsync,
}

impl Word for Durability {
    const ALL: &'static [Self] = &[Durability::None, Durability::Fdatasync, Durability::Fsync, Durability::Dsync];

    fn word(self) -> &'static str {
        match self {
            Durability::None => "none",
            Durability::Fdatasync => "fdatasync",
            Durability::Fsync => "fsync",
            Durability::Dsync => "dsync",
        }
    }
}

/// What operations wait for besides earlier ones on the same object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    Key,
    /// The operation before of the same request.
    Request,
    /// The operation before of the same conversation.
    Conversation,
}

impl Order {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            Order::Key => "key",
            Order::Request => "request",
            Order::Conversation => "conversation",
        }
    }
}

/// How objects lie on a storage target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All of them in one preallocated file, or on the device itself.
    Slab,
    /// Each in a file of its own, which is made when it is written and removed when it goes.
    File,
}

impl Layout {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            Layout::Slab => "slab",
            Layout::File => "file",
        }
    }
}

/// Whether bytes between GPUs and storage go by cuFile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GdsMode {
    /// Never.
    Off,
    /// Where it can be used, directly if it does that, in its compat mode otherwise.
    Auto,
    /// Directly; refused where that cannot be.
    On,
}

impl GdsMode {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            GdsMode::Off => "off",
            GdsMode::Auto => "auto",
            GdsMode::On => "on",
        }
    }
}

/// When a slab is written before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepare {
    /// Unless a prepared one of sufficient size is there.
    Auto,
    /// Always.
    Always,
    /// Never: a prepared one must be there.
    Never,
}

impl Prepare {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            Prepare::Auto => "auto",
            Prepare::Always => "always",
            Prepare::Never => "never",
        }
    }
}

/// How much of what is read is checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verify {
    /// Nothing.
    Off,
    /// 16 bytes of every 4 KiB.
    Stamp,
    /// Every byte of a share of the operations, stamps of the others.
    Sample(f64),
    /// Every byte.
    Full,
}

impl FromStr for Verify {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "off" => Ok(Verify::Off),
            None if text == "stamp" => Ok(Verify::Stamp),
            None if text == "full" => Ok(Verify::Full),
            Some(("sample", share)) => match share.parse::<f64>() {
                Ok(share) if share > 0.0 && share <= 1.0 => Ok(Verify::Sample(share)),
                _ => Err(format!("`{share}` is not a share; sample:0.1 checks a tenth of the operations")),
            },
            _ => Err(format!("`{text}` is not a level of verification; use off, stamp, sample:0.1 or full")),
        }
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verify::Off => f.write_str("off"),
            Verify::Stamp => f.write_str("stamp"),
            Verify::Sample(share) => write!(f, "sample:{share}"),
            Verify::Full => f.write_str("full"),
        }
    }
}
