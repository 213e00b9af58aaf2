//! Flags of the reference that have no twin here.

use super::Complaints;

/// Flags of the reference that mean something else here, or nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct ForeignFlags {
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
    /// Says for every one that was given what to use instead.
    pub fn check(&self, complaints: &mut Complaints) {
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
        for (_, flag, ours) in given.into_iter().filter(|(is_given, ..)| *is_given) {
            complaints.say(format!("{flag} is the reference's: {ours}"));
        }
    }
}
