//! What stands for the tiers of a replay, and how storage is used.

use std::path::Path;

use crate::replay;
use crate::replay::{Durability, Engine, Fadvise, IoMode, Prepare, ReplayConfig, Target};
use crate::units::Size;

/// The tiers.
#[derive(Clone, Debug, clap::Args)]
pub struct TierFlags {
    /// What stands for tier 0: gpu[:N], model:64GB/s+10us (time only), dram[:SIZE], dir:PATH,
    /// file:PATH,size=SIZE, skip [default: gpu where a CUDA driver has a device, otherwise
    /// model:64GB/s+10us]
    #[arg(long = "tier-0", value_name = "SPEC")]
    tier_0: Option<Target>,
    /// What stands for tier 1
    #[arg(long = "tier-1", value_name = "SPEC", default_value = "dram")]
    tier_1: Target,
    /// What stands for tier 2 [default: dir:./kvtrace-data; with `kvtrace run`, dir:DIR/data]
    #[arg(long = "tier-2", value_name = "SPEC")]
    tier_2: Option<Target>,
    /// Leave the rows of all tiers but this one out; its timeline stays
    #[arg(long, value_name = "TIER", value_parser = clap::value_parser!(u8).range(0..3))]
    only_tier: Option<u8>,
    /// The largest single I/O
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    io_size: Size,
    /// What executes storage I/O; with nop nothing does, so that the replay's own part is measured
    #[arg(long, value_enum, default_value_t = Engine::IoUring)]
    engine: Engine,
    /// Past the page cache, or through it
    #[arg(long, value_enum, default_value_t = IoMode::Direct)]
    io: IoMode,
    /// With --io buffered: what the page cache is told. dontneed drops each object before it is
    /// read, sequential reads ahead
    #[arg(long, value_enum, default_value_t = Fadvise::None)]
    fadvise: Fadvise,
    /// When an object of a storage tier counts as written: after its I/O, after an fdatasync or an
    /// fsync, or with every I/O durable by itself
    #[arg(long, value_enum, default_value_t = Durability::None)]
    durability: Durability,
    /// When a slab is written before the run: if there is none yet, always, never
    #[arg(long, value_enum, default_value_t = Prepare::Auto)]
    prepare: Prepare,
}

impl TierFlags {
    /// Says it to the configuration; `storage` is the folder that tier 2 is by default.
    pub fn apply(&self, storage: &Path, config: &mut ReplayConfig) {
        let tier_2 = self.tier_2.clone().unwrap_or_else(|| Target::Dir(storage.to_owned()));
        let [model, ..] = Target::defaults();
        let (tier_0, why) = match (&self.tier_0, replay::gpus()) {
            (Some(target), _) => (target.clone(), None),
            (None, Ok(_)) => (Target::Gpu(0), None),
            (None, Err(why)) => (model, Some(why)),
        };
        config.modelled_because = why;
        config.targets = [tier_0, self.tier_1.clone(), tier_2];
        for (tier, target) in config.targets.iter_mut().enumerate() {
            if self.only_tier.is_some_and(|only| usize::from(only) != tier) {
                *target = Target::Skip;
            }
        }
        config.io_size_bytes = self.io_size.0;
        config.engine = self.engine;
        config.io = self.io;
        config.fadvise = self.fadvise;
        config.durability = self.durability;
        config.prepare = self.prepare;
    }
}
