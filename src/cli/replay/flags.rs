//! The flags of a replay, in groups; every group knows which settings it means.

mod data;
mod hosts;
mod load;
mod log;
mod storage;
mod tiers;

use std::path::Path;

use crate::cli::Global;
use crate::replay::ReplayConfig;

pub use hosts::HostFlags;

/// The flags of a replay, also taken by `kvtrace run`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayFlags {
    #[command(flatten)]
    tiers: tiers::TierFlags,
    #[command(flatten)]
    storage: storage::StorageFlags,
    #[command(flatten)]
    load: load::LoadFlags,
    #[command(flatten)]
    data: data::DataFlags,
    #[command(flatten)]
    log: log::LogFlags,
}

impl ReplayFlags {
    /// What is meant, for one trace; `storage` is the folder that tier 2 is by default.
    pub fn config(&self, trace: &Path, storage: &Path, global: Global) -> ReplayConfig {
        let mut config = ReplayConfig::new(trace.to_owned());
        config.overwrite = global.overwrite();
        self.tiers.apply(storage, &mut config);
        self.storage.apply(&mut config);
        self.load.apply(&mut config);
        self.data.apply(&mut config);
        self.log.apply(&mut config);
        config
    }

    /// Whether tier 1 is the default's.
    pub fn leaves_tier_1_open(&self) -> bool {
        self.tiers.leaves_tier_1_open()
    }
}
