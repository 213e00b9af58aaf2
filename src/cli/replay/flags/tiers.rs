//! What stands for the tiers of a replay, and how storage is used.

use std::path::{Path, PathBuf};

use crate::replay;
use crate::replay::{Engine, GdsMode, Layout, Prepare, ReplayConfig, Target};
use crate::units::Size;

/// The tiers.
#[derive(Clone, Debug, clap::Args)]
pub struct TierFlags {
    /// What stands for tier 0: gpu[:N], model:64GB/s+10us (time only), dram[:SIZE], dir:PATH,
    /// file:PATH,size=SIZE, block:DEVICE[,size=SIZE], skip. Given several times with storage, the
    /// tier's objects are spread over the targets by the hash of their keys [default: gpu where a
    /// CUDA driver has a device, otherwise model:64GB/s+10us]
    #[arg(long = "tier-0", value_name = "SPEC")]
    tier_0: Vec<Target>,
    /// What stands for tier 1; several storage targets as with tier 0 [default: dram; with `kvtrace
    /// distill-fio`, which is about storage, model:64GB/s+10us]
    #[arg(long = "tier-1", value_name = "SPEC")]
    tier_1: Vec<Target>,
    /// What stands for tier 2; several storage targets as with tier 0 [default:
    /// dir:./kvtrace-data; with `kvtrace run`, dir:DIR/data]
    #[arg(long = "tier-2", value_name = "SPEC")]
    tier_2: Vec<Target>,
    /// A block device that a tier names may lose everything that is on it
    #[arg(long = "i-know-this-destroys", value_name = "DEVICE")]
    destroys: Vec<PathBuf>,
    /// Leave the rows of all tiers but this one out; its timeline stays
    #[arg(long, value_name = "TIER", value_parser = clap::value_parser!(u8).range(0..3))]
    only_tier: Option<u8>,
    /// How objects lie on storage: slab (all in one file, or on the device), file (one file per
    /// object in a dir: target, made when it is written and removed when it goes)
    #[arg(long, value_enum, default_value_t = Layout::Slab)]
    layout: Layout,
    /// The largest single I/O
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    io_size: Size,
    /// Let cuFile (GPUDirect Storage) move bytes between a GPU tier and slabs: rows that move an
    /// object between the two, and plain reads of storage, which then land in the GPU. auto: where
    /// it is there, directly or in its compat mode, and the result says which; on: directly, or
    /// the replay is refused
    #[arg(long, value_enum, default_value_t = GdsMode::Off)]
    gds: GdsMode,
    /// What executes storage I/O; with nop nothing does, so that the replay's own part is measured
    #[arg(long, value_enum, default_value_t = Engine::IoUring)]
    engine: Engine,
    /// When a slab is written before the run: if there is none yet, always, never
    #[arg(long, value_enum, default_value_t = Prepare::Auto)]
    prepare: Prepare,
}

impl TierFlags {
    /// Whether nobody said what stands for tier 1.
    pub fn leaves_tier_1_open(&self) -> bool {
        self.tier_1.is_empty() && self.only_tier.is_none_or(|only| only == 1)
    }

    /// Says it to the configuration; `storage` is the folder that tier 2 is by default.
    pub fn apply(&self, storage: &Path, config: &mut ReplayConfig) {
        for (tier, named) in [&self.tier_0, &self.tier_1, &self.tier_2].into_iter().enumerate() {
            let default = if tier == 2 { Target::Dir(storage.to_owned()) } else { Target::defaults()[tier].clone() };
            config.targets[tier] = Target::of(named.clone()).unwrap_or(default);
        }
        if self.tier_0.is_empty() {
            match replay::gpus() {
                Ok(_) => config.targets[0] = Target::Gpu(0),
                Err(why) => config.modelled_because = Some(why),
            }
        }
        for (tier, target) in config.targets.iter_mut().enumerate() {
            if self.only_tier.is_some_and(|only| usize::from(only) != tier) {
                *target = Target::Skip;
            }
        }
        config.destroys.clone_from(&self.destroys);
        config.layout = self.layout;
        config.io_size_bytes = self.io_size.0;
        config.gds = self.gds;
        config.engine = self.engine;
        config.prepare = self.prepare;
    }
}
