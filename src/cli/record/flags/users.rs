//! Flags of synthetic users: how many, and what they do.

use serde_json::json;

use crate::workload::SyntheticOptions;

use super::{Complaints, InForce, RecordFlags};

/// Workers are as many as users, up to this (as in the reference).
const MOST_DEFAULT_WORKERS: u32 = 500;

/// Who asks.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Users")]
pub struct UserFlags {
    /// Users [1 to 100000]
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub num_users: u32,
    /// Requests served at a time [default: as many as users, at most 500]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Conversations whose history is kept; 0: all
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub live_conversations: u64,
    /// Requests a second of all users together; 0: by think time, or sharegpt by free workers
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub request_rate: f64,
    /// Turns do not read the turns before them: --history none, and synthetic conversations of one
    /// turn
    #[arg(long)]
    pub disable_multi_turn: bool,
    /// No shared system prompts: --prefix-sharing none
    #[arg(long)]
    pub disable_prefix_caching: bool,
}

impl UserFlags {
    /// Says what is wrong.
    pub fn check(&self, _all: &RecordFlags, complaints: &mut Complaints) {
        complaints.whole("num-users", self.num_users.into(), 1, 100_000);
        complaints.whole("workers", self.workers.unwrap_or(1).into(), 1, 100_000);
        complaints.real("request-rate", self.request_rate, 0.0, 1e9);
    }

    /// What is in force.
    pub fn in_force(&self) -> InForce {
        vec![
            ("num-users", json!(self.num_users)),
            ("workers", json!(self.workers())),
            ("live-conversations", json!(self.live_conversations)),
            ("request-rate", json!(self.request_rate)),
            ("disable-multi-turn", json!(self.disable_multi_turn)),
            ("disable-prefix-caching", json!(self.disable_prefix_caching)),
        ]
    }

    /// Requests served at a time.
    pub fn workers(&self) -> u32 {
        self.workers.unwrap_or(self.num_users.min(MOST_DEFAULT_WORKERS))
    }

    /// Requests a second, where they come by the clock.
    pub fn rate(&self) -> Option<f64> {
        (self.request_rate > 0.0).then_some(self.request_rate)
    }

    /// What synthetic users do.
    pub fn synthetic(&self, all: &RecordFlags) -> SyntheticOptions {
        SyntheticOptions {
            users: self.num_users,
            multi_turn: !self.disable_multi_turn,
            shared_prefixes: all.objects.shares_prompts(all),
            request_rate: self.rate(),
        }
    }
}
