//! How storage tiers are used, and what is done to them before the clock starts.

use crate::replay::{Durability, Fadvise, IoMode, PerTier, ReplayConfig};

/// Storage.
#[derive(Clone, Debug, clap::Args)]
pub struct StorageFlags {
    /// Storage tiers past the page cache or through it: direct, buffered; or by tier,
    /// 1=buffered,2=direct
    #[arg(long, value_name = "MODE", default_value = "direct")]
    io: PerTier<IoMode>,
    /// What the page cache of buffered tiers is told: none, sequential (read more ahead), dontneed
    /// (drop each object before it is read); or by tier, 2=dontneed
    #[arg(long, value_name = "ADVICE", default_value = "none")]
    fadvise: PerTier<Fadvise>,
    /// When an object of a storage tier counts as written: none (after its I/O), fdatasync or fsync
    /// (after one of its own), dsync (every I/O durable by itself); or by tier, 1=none,2=fsync
    #[arg(long, value_name = "WHEN", default_value = "none")]
    durability: PerTier<Durability>,
}

impl StorageFlags {
    /// Says it to the configuration.
    pub fn apply(&self, config: &mut ReplayConfig) {
        config.io = self.io;
        config.fadvise = self.fadvise;
        config.durability = self.durability;
    }
}
