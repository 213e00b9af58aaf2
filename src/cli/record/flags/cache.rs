//! Flags of the cache: how large its tiers are and how they fill.

use clap::ValueEnum;
use serde_json::json;

use crate::cache::{Limits, Placement, Promotion, Rules};
use crate::serve;
use crate::trace::Tier;
use crate::units::{GIB, bytes};

use super::tier_rules::{Policies, TierMarks};
use super::{Complaints, InForce, Profile, values, word};

/// What tier limits mean with tensor parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LimitsFlag {
    /// The machine's memory, of which a rank has its share
    Rank,
    /// One rank has all of it, as the reference counts
    Whole,
}

/// Whether a read moves an object up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PromotionFlag {
    /// It stays where it is
    None,
    /// It moves to the fastest tier that takes it
    OnRead,
}

/// In how many tiers an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlacementFlag {
    /// In one; a full tier demotes
    Exclusive,
    /// In each that takes it, written through; a full tier drops
    Inclusive,
}

/// The flags that say how large each tier is.
const SIZES: [&str; 3] = ["gpu-mem-gb", "cpu-mem-gb", "storage-capacity-gb"];

/// The tiers.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheFlags {
    /// Memory of one GPU for the cache, GiB (or 16GiB, 64GB); 0: no such tier
    #[arg(long, default_value_t = 16.0, value_name = "GIB", value_parser = values::gib)]
    pub gpu_mem_gb: f64,
    /// GPUs
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub num_gpus: u32,
    /// Ranks that share every object, at most the GPUs
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub tensor_parallel: u32,
    /// Host memory for the cache, GiB; 0: no such tier
    #[arg(long, default_value_t = 32.0, value_name = "GIB", value_parser = values::gib)]
    pub cpu_mem_gb: f64,
    /// Storage for the cache, GiB; 0: unlimited
    #[arg(long, default_value_t = 0.0, value_name = "GIB", value_parser = values::gib)]
    pub storage_capacity_gb: f64,
    /// What the three sizes above mean with tensor parallelism
    #[arg(long, value_enum, default_value_t = LimitsFlag::Rank)]
    pub limits: LimitsFlag,
    /// How far a tier above storage fills [0.05 to 1]
    #[arg(long, default_value_t = 0.8, value_name = "SHARE")]
    pub target_usage: f64,
    /// An object above this share of a tier above storage skips the tier [0.05 to 1]
    #[arg(long, default_value_t = 0.95, value_name = "SHARE")]
    pub largest_object: f64,
    /// Who goes when a tier is full: lru, fifo, lfu, gdsf, sieve, s3-fifo, arc or belady (which sees
    /// the future: two passes); three with commas for Tier-0, Tier-1 and Tier-2
    #[arg(long, default_value_t, value_name = "POLICY")]
    pub policy: Policies,
    /// A tier that an object would take above HIGH evicts down to LOW, shares of its limit; of
    /// single tiers: 0=HIGH:LOW,1=… [--target-usage for both, 1 for storage]
    #[arg(long, value_name = "HIGH:LOW")]
    pub watermarks: Option<TierMarks>,
    /// Whether a read moves an object up [mlperf: none, engine: on-read]
    #[arg(long, value_enum)]
    pub promotion: Option<PromotionFlag>,
    /// In how many tiers an object is [mlperf: exclusive, engine: inclusive]
    #[arg(long, value_enum)]
    pub placement: Option<PlacementFlag>,
}

impl CacheFlags {
    /// Says what is wrong.
    pub fn check(&self, complaints: &mut Complaints) {
        complaints.whole("num-gpus", self.num_gpus.into(), 1, 65_536);
        let before = complaints.count();
        self.check_ranks(complaints);
        complaints.real("gpu-mem-gb", self.gpu_mem_gb, 0.0, 65_536.0);
        complaints.real("cpu-mem-gb", self.cpu_mem_gb, 0.0, 131_072.0);
        complaints.real("storage-capacity-gb", self.storage_capacity_gb, 0.0, 1_048_576.0);
        complaints.real("target-usage", self.target_usage, 0.05, 1.0);
        complaints.real("largest-object", self.largest_object, 0.05, 1.0);
        if complaints.count() > before {
            return;
        }
        let marks = self.watermarks.filter(|marks| !marks.common).unwrap_or_default().marks;
        for (tier, (marks, limit)) in marks.iter().zip(self.limits().capacity_bytes).enumerate() {
            let why = match (marks, limit) {
                (None, _) | (_, Some(1..)) => continue,
                (Some(_), None) => "it has no limit, which this gives it",
                (Some(_), Some(0)) => "it is left out, which this changes",
            };
            complaints.say(format!(
                "--watermarks {tier}=…: there is nothing to evict in Tier-{tier}; {why}: --{}",
                SIZES[tier]
            ));
        }
    }

    fn check_ranks(&self, complaints: &mut Complaints) {
        let (ranks, gpus) = (self.tensor_parallel, self.num_gpus.max(1));
        match ranks > gpus {
            true => complaints.say(format!(
                "--tensor-parallel {ranks}: allowed are 1 to {gpus}, as many as there are GPUs; --num-gpus {ranks} gives \
                 it enough"
            )),
            false => complaints.whole("tensor-parallel", ranks.into(), 1, gpus.into()),
        }
    }

    /// Says which tiers are too small for the smallest object that there may be, of one token.
    pub fn check_room(&self, config: &serve::Config, complaints: &mut Complaints) {
        let object_bytes = config.object_bytes(1);
        let cache = crate::cache::Cache::with(config.limits, &config.rules);
        for (tier, flag) in Tier::ALL.into_iter().zip(SIZES) {
            let limit = config.limits.capacity_bytes[tier.index()];
            if limit.is_some_and(|limit| limit > 0) && !cache.tier(tier).admits(object_bytes) {
                complaints.say(format!(
                    "--{flag}: {} a rank are too few for one token of {} ({}); 0 leaves {tier} {}",
                    bytes(limit.unwrap_or_default()),
                    config.model.name,
                    bytes(object_bytes),
                    if tier == Tier::Storage { "unlimited" } else { "out" },
                ));
            }
        }
    }

    /// What is in force.
    pub fn in_force(&self, profile: Profile) -> InForce {
        vec![
            ("gpu-mem-gb", json!(self.gpu_mem_gb)),
            ("num-gpus", json!(self.num_gpus)),
            ("tensor-parallel", json!(self.tensor_parallel)),
            ("cpu-mem-gb", json!(self.cpu_mem_gb)),
            ("storage-capacity-gb", json!(self.storage_capacity_gb)),
            ("limits", json!(word(self.limits))),
            ("target-usage", json!(self.target_usage)),
            ("largest-object", json!(self.largest_object)),
            ("policy", json!(self.policy.to_string())),
            ("watermarks", json!(self.watermarks.map(|marks| marks.to_string()))),
            ("promotion", json!(word(self.promotion(profile)))),
            ("placement", json!(word(self.placement(profile)))),
        ]
    }

    fn promotion(&self, profile: Profile) -> PromotionFlag {
        self.promotion.unwrap_or(match profile {
            Profile::Mlperf => PromotionFlag::None,
            Profile::Engine => PromotionFlag::OnRead,
        })
    }

    fn placement(&self, profile: Profile) -> PlacementFlag {
        self.placement.unwrap_or(match profile {
            Profile::Mlperf => PlacementFlag::Exclusive,
            Profile::Engine => PlacementFlag::Inclusive,
        })
    }

    /// How the tiers fill, empty and exchange objects; what belady sees is left out.
    pub fn rules(&self, profile: Profile) -> Rules {
        Rules {
            policies: self.policy.0,
            watermarks: self.watermarks.unwrap_or_default().marks,
            promotion: match self.promotion(profile) {
                PromotionFlag::None => Promotion::None,
                PromotionFlag::OnRead => Promotion::OnRead,
            },
            placement: match self.placement(profile) {
                PlacementFlag::Exclusive => Placement::Exclusive,
                PlacementFlag::Inclusive => Placement::Inclusive,
            },
            foresight: None,
            largest_object: self.largest_object,
        }
    }

    /// What one rank's tiers hold.
    pub fn limits(&self) -> Limits {
        let ranks = match self.limits {
            LimitsFlag::Rank => self.tensor_parallel.max(1),
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
