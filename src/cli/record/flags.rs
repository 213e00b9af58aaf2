//! The flags of a recording, named as the reference's where it has them. `kvtrace run` takes them
//! too.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::error::Result;
use crate::model::KvDtype;
use crate::output::Overwrite;
use crate::progress::Progress;
use crate::serve::Timing;
use crate::stop::Stop;

use super::super::columns::ColumnsFlag;
use super::run::Recording;
use super::settings::Settings;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SourceKind {
    /// Users who think, ask and do not wait
    Synthetic,
    /// Conversations of a ShareGPT file
    Sharegpt,
}

/// Defaults of everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// What the MLPerf Storage KV cache benchmark documents
    Mlperf,
}

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueueFlag {
    /// The highest class first
    Qos,
    /// The first come
    Fifo,
}

/// How text is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenizerFlag {
    /// Exactly, with the vocabulary of GPT-4
    Cl100k,
    /// A quarter of the characters
    Chars4,
}

/// What tier limits mean with tensor parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LimitsFlag {
    /// The machine's memory, of which a rank has its share
    Rank,
    /// One rank has all of it, as the reference counts
    Whole,
}

/// Everything that says what a recording is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Recording")]
pub struct RecordFlags {
    /// What to record
    #[arg(value_name = "SOURCE", help_heading = None::<&str>)]
    pub source: SourceKind,
    /// The file of a sharegpt source
    #[arg(value_name = "FILE", help_heading = None::<&str>)]
    pub file: Option<PathBuf>,
    /// A name that `kvtrace models` lists, the path of a Hugging Face config.json, or bytes:N
    #[arg(long, default_value = "llama3.1-8b")]
    pub model: String,
    /// Element type of the KV cache, instead of the model's
    #[arg(long, value_name = "TYPE")]
    pub kv_dtype: Option<KvDtype>,
    /// Users [1 to 100000]
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub num_users: u32,
    /// Seconds in which requests arrive [1 to 86400; synthetic: 60, sharegpt: until the file ends]
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// Memory of one GPU for the cache, GiB; 0: no such tier
    #[arg(long, default_value_t = 16.0, value_name = "GIB")]
    pub gpu_mem_gb: f64,
    /// GPUs
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub num_gpus: u32,
    /// Ranks that share every object, at most the GPUs
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub tensor_parallel: u32,
    /// Host memory for the cache, GiB; 0: no such tier
    #[arg(long, default_value_t = 32.0, value_name = "GIB")]
    pub cpu_mem_gb: f64,
    /// Storage for the cache, GiB; 0: unlimited
    #[arg(long, default_value_t = 0.0, value_name = "GIB")]
    pub storage_capacity_gb: f64,
    /// What the three sizes above mean with tensor parallelism
    #[arg(long, value_enum, default_value_t = LimitsFlag::Rank)]
    pub limits: LimitsFlag,
    /// How far a tier above storage fills [0.05 to 1]
    #[arg(long, default_value_t = 0.8, value_name = "SHARE")]
    pub target_usage: f64,
    /// Time to generate a token: none, fast (2ms), realistic (30ms), or a time such as 12ms
    #[arg(long, default_value = "realistic", value_name = "MODE")]
    pub generation_mode: String,
    /// Time that tiers take: none, nvme-gen4, nvme-gen5, sata, or values as in
    /// 2=7GB/s:5GB/s+80us*4 (tier=read:write+latency*channels)
    #[arg(long, default_value_t = Timing::default(), value_name = "TIMING")]
    pub tier_timing: Timing,
    /// Requests served at a time [default: as many as users, at most 500]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Who is served first
    #[arg(long, value_enum, default_value_t = QueueFlag::Qos)]
    pub queue: QueueFlag,
    /// Conversations whose history is kept; 0: all
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub live_conversations: u64,
    /// Requests a second of all users together; 0: by think time, or sharegpt by free workers
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub request_rate: f64,
    /// Requests at most; 0: no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub max_requests: u64,
    /// Conversations of the file at most [default: the whole file]
    #[arg(long, value_name = "N")]
    pub max_conversations: Option<u64>,
    /// How the text of a file is counted
    #[arg(long, value_enum, default_value_t = TokenizerFlag::Cl100k)]
    pub tokenizer: TokenizerFlag,
    /// Use the whole conversations of a file that is cut off
    #[arg(long)]
    pub allow_truncated: bool,
    /// Turns do not read the turns before them
    #[arg(long)]
    pub disable_multi_turn: bool,
    /// No shared system prompts
    #[arg(long)]
    pub disable_prefix_caching: bool,
    /// Seed of every random draw
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub seed: u64,
    /// What the flags default to
    #[arg(long, value_enum, default_value_t = Profile::Mlperf)]
    pub profile: Profile,
    /// Columns of a CSV
    #[arg(long, value_enum, default_value_t = ColumnsFlag::Full)]
    pub columns: ColumnsFlag,
    /// Seconds to add to the stamps of a CSV
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub epoch: u32,
    #[command(flatten)]
    pub(super) foreign: ForeignFlags,
}

/// Flags of the reference that mean something else here, or nothing.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ForeignFlags {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    cache_dir: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    io_trace_log: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    dataset_path: Option<String>,
    #[arg(long, hide = true)]
    enable_latency_tracing: bool,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    output: Option<String>,
}

impl ForeignFlags {
    /// For every one that was given, what to use instead.
    pub fn complaints(&self) -> impl Iterator<Item = String> {
        let given = [
            (
                self.cache_dir.is_some(),
                "--cache-dir",
                "recording touches no storage; `kvtrace replay --tier-2 dir:PATH` does",
            ),
            (self.io_trace_log.is_some(), "--io-trace-log", "-o TRACE names the trace"),
            (self.dataset_path.is_some(), "--dataset-path", "the file follows the source: `sharegpt FILE`"),
            (
                self.enable_latency_tracing,
                "--enable-latency-tracing",
                "`kvtrace capture` or `kvtrace replay --capture` watches the block layer",
            ),
            (self.output.is_some(), "--output", "-o TRACE names the trace, and --json prints the statistics"),
        ];
        given
            .into_iter()
            .filter(|(is_given, ..)| *is_given)
            .map(|(_, flag, ours)| format!("{flag} is the reference's: {ours}"))
    }
}

impl RecordFlags {
    /// What is in force.
    ///
    /// # Errors
    /// All flags that are out of range or contradict each other, together.
    pub fn settings(&self) -> Result<Settings> {
        Settings::of(self)
    }

    /// Records into `trace` and a requests file beside it.
    ///
    /// # Errors
    /// Unusable flags or input, a file that cannot be written; an interrupted recording, whose
    /// files are kept as `<stem>.partial.<ext>`.
    pub fn record(
        &self,
        trace: &Path,
        overwrite: Overwrite,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<Recording> {
        super::run::record(&self.settings()?, trace, overwrite, stop, progress)
    }
}
