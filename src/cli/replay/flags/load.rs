//! How much is asked of the tiers, when, and in which order.

use crate::replay::{InFlight, Order, Pace, ReplayConfig, Wait};
use crate::units::Time;

/// The load.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadFlags {
    /// When operations start: asap, trace (the trace's own times), rate:50/s
    #[arg(long, value_name = "PACE", default_value = "asap")]
    pace: Pace,
    /// With --pace trace: seconds of the trace per second
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    speed: f64,
    /// Multiply every object's size
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    size_scale: f64,
    /// What an operation waits for: earlier ones on the same object (always, and demotions with
    /// them), also earlier ones of the same request, or of the same conversation
    #[arg(long, value_enum, default_value_t = Order::Key)]
    order: Order,
    /// Most bytes of I/O in flight, on each storage target; auto finds before the clock starts where
    /// more makes the device no faster (at most 64MiB; what it finds differs from run to run, so
    /// compare runs with a size)
    #[arg(long, value_name = "SIZE|auto", default_value = "16MiB")]
    bytes_in_flight: InFlight,
    /// Most objects being worked on at once [default: 64 with --pace asap, and that
    /// for each of several targets of a tier; 4096 otherwise]
    #[arg(long, value_name = "N")]
    max_objects: Option<u32>,
    /// How the schedule is waited for: asleep, asleep until shortly before and then awake, or
    /// always awake
    #[arg(long, value_enum, default_value_t = Wait::Hybrid)]
    wait: Wait,
    /// End the run when it is further behind the schedule than this
    #[arg(long, value_name = "TIME")]
    max_lag: Option<Time>,
}

impl LoadFlags {
    /// Says it to the configuration.
    pub fn apply(&self, config: &mut ReplayConfig) {
        config.pace = self.pace;
        config.speed = self.speed;
        config.size_scale = self.size_scale;
        config.order = self.order;
        config.in_flight = self.bytes_in_flight;
        config.bytes_in_flight = self.bytes_in_flight.most_bytes();
        config.max_objects = self.max_objects;
        config.wait = self.wait;
        config.max_lag_ns = self.max_lag.map(|lag| lag.0);
    }
}
