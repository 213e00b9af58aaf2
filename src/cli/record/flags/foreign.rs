//! Flags of the reference that have no twin here.

use super::Complaints;

/// Flags of the reference that mean something else here, or nothing. A flag that is a switch there
/// takes no value here either.
#[derive(Clone, Debug, clap::Args)]
pub struct ForeignFlags {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    cache_dir: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    io_trace_log: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    dataset_path: Option<String>,
    #[arg(long, hide = true)]
    use_burst_trace: bool,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    burst_trace_path: Option<String>,
    #[arg(long, hide = true)]
    enable_latency_tracing: bool,
    #[arg(long, hide = true)]
    enable_autoscaling: bool,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    autoscaler_mode: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    target_saturation: Option<String>,
    #[arg(long, hide = true)]
    precondition: bool,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    precondition_size_gb: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    precondition_threads: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    performance_profile: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    validation_trace: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    output: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    xlsx_output: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    log_level: Option<String>,
}

const FILE: &str = "the file follows the source: `sharegpt FILE`";
const REQUESTS: &str = "the files follow the source: `requests FILE…`";
const STORAGE: &str = "recording touches no storage; `kvtrace replay --tier-2 dir:PATH` does";
const TRACE: &str = "-o TRACE names the trace";
const STATISTICS: &str = "-o TRACE names the trace, and --json prints the statistics";
const BLOCK_LAYER: &str = "`kvtrace capture` or `kvtrace replay --capture` watches the block layer";
const USERS: &str = "a recording has a fixed number of users, --num-users";
const SLAB: &str = "`kvtrace replay` prepares its own storage before it measures (--prepare, --precondition 2x)";
const JUDGED: &str = "it is how the reference judges a run, and a recording is not judged";
const ANOTHER_TRACE: &str = "it compares a run with a trace; `kvtrace analyze` says what a trace is";
const QUIET: &str = "there are no levels; --quiet leaves errors only";

impl ForeignFlags {
    /// Says for every one that was given what to use instead.
    pub fn check(&self, complaints: &mut Complaints) {
        let given = [
            (self.cache_dir.is_some(), "--cache-dir", STORAGE),
            (self.io_trace_log.is_some(), "--io-trace-log", TRACE),
            (self.dataset_path.is_some(), "--dataset-path", FILE),
            (self.use_burst_trace, "--use-burst-trace", REQUESTS),
            (self.burst_trace_path.is_some(), "--burst-trace-path", REQUESTS),
            (self.enable_latency_tracing, "--enable-latency-tracing", BLOCK_LAYER),
            (self.enable_autoscaling, "--enable-autoscaling", USERS),
            (self.autoscaler_mode.is_some(), "--autoscaler-mode", USERS),
            (self.target_saturation.is_some(), "--target-saturation", USERS),
            (self.precondition, "--precondition", SLAB),
            (self.precondition_size_gb.is_some(), "--precondition-size-gb", SLAB),
            (self.precondition_threads.is_some(), "--precondition-threads", SLAB),
            (self.performance_profile.is_some(), "--performance-profile", JUDGED),
            (self.validation_trace.is_some(), "--validation-trace", ANOTHER_TRACE),
            (self.output.is_some(), "--output", STATISTICS),
            (self.xlsx_output.is_some(), "--xlsx-output", STATISTICS),
            (self.log_level.is_some(), "--log-level", QUIET),
        ];
        for (_, flag, ours) in given.into_iter().filter(|(is_given, ..)| *is_given) {
            complaints.say(format!("{flag} is the reference's: {ours}"));
        }
    }
}
