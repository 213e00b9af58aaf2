//! Flags of time: how long tiers, links and the GPU take, and who is served first.

use std::path::Path;
use std::str::FromStr;

use clap::ValueEnum;
use serde_json::json;

use crate::model::Model;
use crate::serve::{self, GpuModel, GpuSpec, QueueOrder, Timing};
use crate::units::Time;

use super::{Complaints, InForce, RecordFlags, word};

/// Requests that a modelled engine runs at a time unless told otherwise: what vLLM's API server
/// defaults to (`max_num_seqs` of `EngineArgs`; releases since 2025 raise it on GPUs of 70 GB or
/// more).
const DEFAULT_MAX_NUM_SEQS: u32 = 256;

/// How long a token takes unless told otherwise.
const DEFAULT_GENERATION_MODE: &str = "realistic";

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueueFlag {
    /// The highest class first
    Qos,
    /// The first come
    Fifo,
}

/// What the GPU takes time for.
#[derive(Clone, Debug)]
pub enum GpuFlag {
    /// Nothing.
    None,
    /// A fixed time a token.
    Fixed,
    /// Prompts and batches, by what is known of a GPU; with the word that was typed.
    Modelled(String, Box<GpuSpec>),
}

impl FromStr for GpuFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(GpuFlag::None),
            "fixed" => return Ok(GpuFlag::Fixed),
            _ => {}
        }
        let spec = match GpuSpec::preset(text) {
            Some(spec) => spec,
            None if text.contains(['/', '.']) || Path::new(text).exists() => {
                serve::read_gpu(Path::new(text)).map_err(|why| why.to_string())?
            }
            None => return Err("it is none, fixed, a100, h100, h200 or a file (TOML or JSON)".to_owned()),
        };
        Ok(GpuFlag::Modelled(text.to_owned(), Box::new(spec)))
    }
}

impl GpuFlag {
    fn word(&self) -> &str {
        match self {
            GpuFlag::None => "none",
            GpuFlag::Fixed => "fixed",
            GpuFlag::Modelled(word, _) => word,
        }
    }

    fn spec(&self) -> Option<&GpuSpec> {
        match self {
            GpuFlag::Modelled(_, spec) => Some(spec),
            _ => None,
        }
    }
}

/// What takes time.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Time")]
pub struct TimeFlags {
    /// Time that the GPU takes: none, fixed (--generation-mode), a100, h100, h200, or a TOML or
    /// JSON file of its numbers
    #[arg(long, default_value = "fixed", value_name = "GPU")]
    pub gpu_model: GpuFlag,
    /// Time to generate a token: none, fast (2ms), realistic (30ms), or a time such as 12ms
    /// [default: realistic, with --gpu-model fixed]
    #[arg(long, value_name = "MODE")]
    pub generation_mode: Option<String>,
    /// Requests that run on the engine at a time [default: --workers, or 256 with a GPU modelled]
    #[arg(long, value_name = "N")]
    pub max_num_seqs: Option<u32>,
    /// Time that tiers take: none, nvme-gen4, nvme-gen5, sata, nfs (whole machines), or tiers as
    /// in 1=ddr5, 2=7GB/s:5GB/s+80us*4 (tier=read:write+latency*channels), 2=nvme-gen5@100gbe or
    /// 2=nfs@net:12.5GB/s+10us (behind a network)
    #[arg(long, default_value_t = Timing::default(), value_name = "TIMING")]
    pub tier_timing: Timing,
    /// Link between GPU and host that loads and offloads share, in each direction: none, or a
    /// rate such as 63GB/s [default: the modelled GPU's]
    #[arg(long, value_name = "RATE")]
    pub pcie: Option<String>,
    /// Who is served first
    #[arg(long, value_enum, default_value_t = QueueFlag::Qos)]
    pub queue: QueueFlag,
}

impl TimeFlags {
    /// Says what is wrong.
    pub fn check(&self, all: &RecordFlags, complaints: &mut Complaints) {
        complaints.keep(self.token_ns());
        complaints.keep(self.pcie_rate());
        complaints.whole("max-num-seqs", self.max_num_seqs.unwrap_or(1).into(), 1, 100_000);
        if let (Some(mode), GpuFlag::None | GpuFlag::Modelled(..)) = (&self.generation_mode, &self.gpu_model) {
            complaints.say(format!(
                "--generation-mode {mode} is the time of a token with --gpu-model fixed; --gpu-model {} has its own",
                self.gpu_model.word()
            ));
        }
        if let (Some(requests), Some(workers)) = (self.max_num_seqs, all.users.workers)
            && requests != workers
        {
            complaints.say(format!(
                "--max-num-seqs {requests} and --workers {workers} both are the requests served at a time; give one"
            ));
        }
    }

    /// What is in force.
    pub fn in_force(&self) -> InForce {
        let generation_mode = match self.gpu_model {
            GpuFlag::Fixed => Some(self.generation_mode.as_deref().unwrap_or(DEFAULT_GENERATION_MODE)),
            _ => None,
        };
        vec![
            ("gpu-model", json!(self.gpu_model.word())),
            ("generation-mode", json!(generation_mode)),
            ("max-num-seqs", json!(self.max_num_seqs)),
            ("tier-timing", json!(self.tier_timing.name)),
            ("pcie", json!(self.pcie.clone().or_else(|| self.pcie_of_gpu().map(|rate| format!("{rate}B/s"))))),
            ("queue", json!(word(self.queue))),
        ]
    }

    /// How long the GPU takes for a model; none when something is wrong with that, which is then
    /// complained of.
    pub fn gpu(&self, all: &RecordFlags, model: &Model, complaints: &mut Complaints) -> Option<GpuModel> {
        match &self.gpu_model {
            GpuFlag::None => Some(GpuModel::None),
            GpuFlag::Fixed => Some(GpuModel::Fixed { ns_per_token: self.token_ns().ok()? }),
            GpuFlag::Modelled(_, spec) => {
                let (ranks, batch) = (all.cache.tensor_parallel.max(1), all.workers().min(100_000));
                complaints.keep(spec.speed(model, ranks, batch, all.cache.gpu_mem_gb)).map(GpuModel::Batched)
            }
        }
    }

    /// What the link between GPU and host moves in a second.
    pub fn pcie_bytes_per_s(&self) -> Option<u64> {
        self.pcie_rate().ok().flatten()
    }

    fn pcie_rate(&self) -> Result<Option<u64>, String> {
        match self.pcie.as_deref() {
            None => Ok(self.pcie_of_gpu()),
            Some("none") => Ok(None),
            Some(text) => {
                serve::rate(text).map(Some).map_err(|why| format!("--pcie is none or a rate such as 63GB/s: {why}"))
            }
        }
    }

    fn pcie_of_gpu(&self) -> Option<u64> {
        self.gpu_model.spec()?.pcie_gb_per_s.map(|rate| (rate * 1e9) as u64)
    }

    fn token_ns(&self) -> Result<u64, String> {
        match self.generation_mode.as_deref().unwrap_or(DEFAULT_GENERATION_MODE) {
            "none" => Ok(0),
            "fast" => Ok(2_000_000),
            "realistic" => Ok(30_000_000),
            time => time
                .parse::<Time>()
                .map(|time| time.0)
                .map_err(|why| format!("--generation-mode is none, fast, realistic or the time of a token: {why}")),
        }
    }

    /// Who is served first.
    pub fn queue_order(&self) -> QueueOrder {
        match self.queue {
            QueueFlag::Qos => QueueOrder::Qos,
            QueueFlag::Fifo => QueueOrder::Fifo,
        }
    }
}

impl RecordFlags {
    /// Requests served at a time: as typed, as the engine of a modelled GPU runs them, or by the
    /// number of users.
    pub(in super::super) fn workers(&self) -> u32 {
        let modelled = self.time.gpu_model.spec().map(|spec| spec.max_num_seqs.unwrap_or(DEFAULT_MAX_NUM_SEQS));
        let typed = self.users.workers.or(self.time.max_num_seqs);
        typed.or(modelled).unwrap_or_else(|| self.users.workers())
    }
}
