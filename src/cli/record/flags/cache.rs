//! Flags of the cache: how large its tiers are and how they fill.

use clap::ValueEnum;
use serde_json::json;

use crate::cache::Limits;
use crate::units::GIB;

use super::{Complaints, InForce, word};

/// What tier limits mean with tensor parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LimitsFlag {
    /// The machine's memory, of which a rank has its share
    Rank,
    /// One rank has all of it, as the reference counts
    Whole,
}

/// The tiers.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheFlags {
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
}

impl CacheFlags {
    /// Says what is wrong.
    pub fn check(&self, complaints: &mut Complaints) {
        complaints.whole("num-gpus", self.num_gpus.into(), 1, 65_536);
        complaints.whole("tensor-parallel", self.tensor_parallel.into(), 1, self.num_gpus.max(1).into());
        complaints.real("gpu-mem-gb", self.gpu_mem_gb, 0.0, 65_536.0);
        complaints.real("cpu-mem-gb", self.cpu_mem_gb, 0.0, 131_072.0);
        complaints.real("storage-capacity-gb", self.storage_capacity_gb, 0.0, 1_048_576.0);
        complaints.real("target-usage", self.target_usage, 0.05, 1.0);
    }

    /// What is in force.
    pub fn in_force(&self) -> InForce {
        vec![
            ("gpu-mem-gb", json!(self.gpu_mem_gb)),
            ("num-gpus", json!(self.num_gpus)),
            ("tensor-parallel", json!(self.tensor_parallel)),
            ("cpu-mem-gb", json!(self.cpu_mem_gb)),
            ("storage-capacity-gb", json!(self.storage_capacity_gb)),
            ("limits", json!(word(self.limits))),
            ("target-usage", json!(self.target_usage)),
        ]
    }

    /// What one rank's tiers hold.
    pub fn limits(&self) -> Limits {
        let ranks = match self.limits {
            LimitsFlag::Rank => self.tensor_parallel,
            LimitsFlag::Whole => 1,
        };
        let bytes = |gib: f64| (gib * GIB as f64) as u64 / u64::from(ranks);
        Limits {
            capacity_bytes: [
                Some(bytes(self.gpu_mem_gb * f64::from(self.num_gpus))),
                Some(bytes(self.cpu_mem_gb)),
                (self.storage_capacity_gb > 0.0).then(|| bytes(self.storage_capacity_gb)),
            ],
            target_usage: self.target_usage,
        }
    }
}
