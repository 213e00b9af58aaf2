//! What is written, how what is read is checked, and by whom.

use crate::replay::{ReplayConfig, Verify};

/// The data.
#[derive(Clone, Debug, clap::Args)]
pub struct DataFlags {
    /// How much of what is read is checked: off, stamp (16 bytes of 4 KiB), sample:0.1, full
    #[arg(long, value_name = "LEVEL", default_value = "stamp")]
    verify: Verify,
    /// Threads beside the one that does the I/O, which make data up before it is due and check it
    /// after it was read [default: one less than processors, at most 4]
    #[arg(long, value_name = "N")]
    helpers: Option<u32>,
    /// Go on after this many I/O errors
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_errors: u64,
    /// The seed of the data that is written
    #[arg(long = "data-seed", value_name = "N", default_value_t = 42)]
    data_seed: u64,
}

impl DataFlags {
    /// Says it to the configuration.
    pub fn apply(&self, config: &mut ReplayConfig) {
        config.verify = self.verify;
        config.helpers = self.helpers.unwrap_or_else(ReplayConfig::helpers_here);
        config.max_errors = self.max_errors;
        config.seed = self.data_seed;
    }
}
