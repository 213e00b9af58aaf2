//! The serving system in virtual time: users, a request queue, workers, the tiered cache and the
//! time that tiers and generation take. It never reads a clock; what comes out is a trace.

use crate::cache::Limits;
use crate::error::Result;
use crate::model::Model;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::meta::RecordStats;
use crate::trace::{Row, Served};
use crate::workload::Workload;

mod conversations;
mod engine;
mod gpu;
mod prefixes;
mod queue;
mod service;
mod system;
mod tally;
mod timing;
mod turns;

pub use queue::QueueOrder;
pub use timing::{TierTiming, Timing};

/// A prompt of so many tokens is prefilled and never read back by its own request: the
/// reference's rule of thumb for machines that only prefill.
pub const PREFILL_ONLY_TOKENS: u32 = 10_000;
/// Tokens generated between two whole reads of a request's object (the reference's
/// `decode.batch_size`).
pub const DECODE_BATCH_TOKENS: u32 = 32;

/// The system that serves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose KV cache the objects hold.
    pub model: Model,
    /// Ranks that share an object; what is recorded is one rank's share.
    pub tensor_parallel: u32,
    /// What one rank's tiers hold.
    pub limits: Limits,
    /// How long tiers take.
    pub timing: Timing,
    /// How long a token takes to generate.
    pub generation_ns_per_token: u64,
    /// Requests that are served at a time, above 0.
    pub workers: u32,
    /// Who is served next.
    pub queue: QueueOrder,
    /// Whether a turn reads the turns before it.
    pub history: bool,
    /// Conversations whose history is kept; none keeps all.
    pub live_conversations: Option<u64>,
    /// Arrivals at or after this time are not admitted.
    pub duration_ns: Option<u64>,
    /// Requests that are admitted at most.
    pub max_requests: Option<u64>,
    /// Who is served first, by the classes of requests: the higher number.
    pub priorities: [u8; 3],
    /// Shared prefixes that are kept at a time, above 0.
    pub most_prefixes: u32,
}

impl Config {
    /// The bytes of one rank's object of `tokens` tokens.
    pub fn object_bytes(&self, tokens: u32) -> u64 {
        self.model.bytes(u64::from(tokens)) / u64::from(self.tensor_parallel)
    }
}

/// Where a recording goes: rows in the order of their stamps, requests in the order in which they
/// end.
pub trait Sink {
    /// A row of the trace.
    ///
    /// # Errors
    /// When it cannot be written.
    fn row(&mut self, row: Row) -> Result<()>;

    /// A request that has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    fn request(&mut self, served: Served) -> Result<()>;
}

/// What came of a recording.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The statistics; what the source skipped is left to whoever made the source.
    pub stats: RecordStats,
    /// False when it was stopped before its end.
    pub complete: bool,
}

/// Serves a workload and hands out what happens. Every request that is admitted is served to its
/// end, unless `stop` is raised.
///
/// # Errors
/// When the source or the sink fails.
pub fn record(
    config: &Config,
    workload: Workload,
    sink: &mut dyn Sink,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Recorded> {
    engine::Engine::new(config, sink).run(workload, stop, progress)
}
