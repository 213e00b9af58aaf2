//! What is written beside the result.

use std::path::PathBuf;

use crate::replay::ReplayConfig;
use crate::units::Time;

/// The interval log.
#[derive(Clone, Debug, clap::Args)]
pub struct LogFlags {
    /// Also write latency by interval, for HdrHistogram's tools (V2 log): response times under tags
    /// such as tier2-read-decode, service times under tier2-read-decode-service
    #[arg(long, value_name = "FILE.hlog")]
    hlog: Option<PathBuf>,
    /// With --hlog: the length of an interval, 100 ms to 1 h
    #[arg(long, value_name = "TIME", default_value = "1s", requires = "hlog")]
    hlog_interval: Time,
}

impl LogFlags {
    /// Says it to the configuration.
    pub fn apply(&self, config: &mut ReplayConfig) {
        config.hlog.clone_from(&self.hlog);
        config.hlog_interval_ns = self.hlog_interval.0;
    }
}
