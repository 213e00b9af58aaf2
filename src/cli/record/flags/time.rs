//! Flags of time: how long tiers and generation take, and who is served first.

use clap::ValueEnum;
use serde_json::json;

use crate::serve::{QueueOrder, Timing};
use crate::units::Time;

use super::{Complaints, InForce, word};

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueueFlag {
    /// The highest class first
    Qos,
    /// The first come
    Fifo,
}

/// What takes time.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Time")]
pub struct TimeFlags {
    /// Time to generate a token: none, fast (2ms), realistic (30ms), or a time such as 12ms
    #[arg(long, default_value = "realistic", value_name = "MODE")]
    pub generation_mode: String,
    /// Time that tiers take: none, nvme-gen4, nvme-gen5, sata, or values as in
    /// 2=7GB/s:5GB/s+80us*4 (tier=read:write+latency*channels)
    #[arg(long, default_value_t = Timing::default(), value_name = "TIMING")]
    pub tier_timing: Timing,
    /// Who is served first
    #[arg(long, value_enum, default_value_t = QueueFlag::Qos)]
    pub queue: QueueFlag,
}

impl TimeFlags {
    /// Says what is wrong.
    pub fn check(&self, complaints: &mut Complaints) {
        complaints.keep(self.token_ns());
    }

    /// What is in force.
    pub fn in_force(&self) -> InForce {
        vec![
            ("generation-mode", json!(self.generation_mode)),
            ("tier-timing", json!(self.tier_timing.name)),
            ("queue", json!(word(self.queue))),
        ]
    }

    /// Time of a generated token; none when [`TimeFlags::check`] complains of it.
    pub fn generation_ns(&self) -> Option<u64> {
        self.token_ns().ok()
    }

    fn token_ns(&self) -> Result<u64, String> {
        match self.generation_mode.as_str() {
            "none" => Ok(0),
            "fast" => Ok(2_000_000),
            "realistic" => Ok(30_000_000),
            time => time
                .parse::<Time>()
                .map(|time| time.0)
                .map_err(|why| format!("--generation-mode is none, fast, realistic or the time of a token: {why}")),
        }
    }

    /// Who is served first.
    pub fn queue_order(&self) -> QueueOrder {
        match self.queue {
            QueueFlag::Qos => QueueOrder::Qos,
            QueueFlag::Fifo => QueueOrder::Fifo,
        }
    }
}
