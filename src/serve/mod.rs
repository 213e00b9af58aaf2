//! The serving system in virtual time: users, a request queue, workers, the tiered cache and the
//! time that tiers and generation take. It never reads a clock; what comes out is a trace.

use crate::cache::{Limits, Rules};
use crate::error::Result;
use crate::model::Model;
use crate::progress::Progress;
use crate::seed::Seed;
use crate::stop::Stop;
use crate::trace::meta::RecordStats;
use crate::trace::{Row, Served};
use crate::workload::{RagOptions, Workload};

mod allocations;
mod answer;
mod background;
mod blocks;
mod conversations;
mod cutter;
mod decode_only;
mod engine;
mod gpu;
mod live;
mod objects;
mod prefixes;
mod query;
mod queue;
mod rag;
mod ratios;
mod residents;
mod retrieval;
mod service;
mod system;
mod tally;
mod timing;
mod transcripts;
mod turns;
mod waiting;

pub use cutter::Cutter;
pub use gpu::{GpuModel, GpuSpec, Speed, read_gpu};
pub use objects::{DecodeReads, HistoryReads, ObjectKind, ObjectModel, Sharing};
pub use queue::QueueOrder;
pub use tally::STAYED_EMPTY;
pub use timing::{NetworkLeg, TierTiming, Timing, rate};

/// A prompt of so many tokens is prefilled and never read back by its own request: the
/// reference's rule of thumb for machines that only prefill.
pub const PREFILL_ONLY_TOKENS: u32 = 10_000;
/// Tokens generated between two whole reads of a request's object (the reference's
/// `decode.batch_size`).
pub const DECODE_BATCH_TOKENS: u32 = 32;

/// Which phases of a request the machine serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// Both on one machine.
    Both,
    /// Prompts are computed and stored; answers are generated elsewhere, so that nothing is read
    /// for them and they take no time.
    PrefillOnly,
    /// Answers are generated from objects that are there before the first request; what prompts
    /// need was done elsewhere.
    DecodeOnly {
        /// How many objects there are.
        objects: u64,
    },
}

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
    /// How long the GPU takes.
    pub gpu: GpuModel,
    /// Requests that are served at a time, above 0.
    pub workers: u32,
    /// Who is served next.
    pub queue: QueueOrder,
    /// Conversations whose history is kept; none keeps all.
    pub live_conversations: Option<u64>,
    /// Arrivals at or after this time are not admitted.
    pub duration_ns: Option<u64>,
    /// Requests that are admitted at most.
    pub max_requests: Option<u64>,
    /// What the link between a GPU and its host moves in each direction; none takes no time.
    pub pcie_bytes_per_s: Option<u64>,
    /// What objects are, and which of them a request reads.
    pub objects: ObjectModel,
    /// The seed of what is drawn while serving.
    pub seed: Seed,
    /// What is served of a request.
    pub phases: Phases,
    /// The documents that can be asked about; none: no request asks.
    pub rag: Option<RagOptions>,
    /// Object writes, with what makes room for them, in progress at a time; none is no limit.
    pub max_concurrent_allocs: Option<u32>,
    /// How the tiers fill, empty and exchange objects.
    pub rules: Rules,
    /// Who is served first, by the classes of requests: the higher number.
    pub priorities: [u8; 3],
    /// Shared prefixes that are kept at a time, above 0.
    pub most_prefixes: u32,
}

impl Config {
    /// What the stamps follow from, beside arrivals: service times, the GPU and its link. None
    /// when neither tiers nor a modelled GPU take time, so that rows of a request share a stamp.
    pub fn time_model(&self) -> Option<String> {
        let mut parts = vec![match self.timing.tiers {
            Some(_) => self.timing.name.clone(),
            None => "tiers none".to_owned(),
        }];
        match &self.gpu {
            GpuModel::Fixed { .. } => {}
            GpuModel::None => parts.push("gpu none".to_owned()),
            GpuModel::Batched(speed) => parts.push(format!("gpu {}", speed.name)),
        }
        if let Some(rate) = self.pcie_bytes_per_s {
            parts.push(format!("pcie {} GB/s", rate as f64 / 1e9));
        }
        let takes_time =
            self.timing.tiers.is_some() || self.pcie_bytes_per_s.is_some() || matches!(self.gpu, GpuModel::Batched(_));
        takes_time.then(|| parts.join(", "))
    }

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
