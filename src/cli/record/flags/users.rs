//! Flags of synthetic users: how many, and what they do.

use serde_json::json;

use crate::serve::Phases;
use crate::workload::{ArrivalRate, Population, PromptSharing, SyntheticOptions};

use super::{Complaints, InForce, RecordFlags, values};

/// Workers are as many as users, up to this (as in the reference).
const MOST_DEFAULT_WORKERS: u32 = 500;
/// Objects that a machine that only decodes starts with, for every user (as in the reference).
const PREPOPULATED_PER_USER: u64 = 10;
/// Less even arrivals are a typing error.
const LARGEST_CV: f64 = 100.0;

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
    #[arg(long, default_value_t = 0.0, value_name = "RATE", value_parser = values::per_second)]
    pub request_rate: f64,
    /// Turns of a synthetic conversation at most
    #[arg(long, default_value_t = Population::REFERENCE.max_turns, value_name = "N")]
    pub max_turns: u32,
    /// Probability that a synthetic conversation ends after a turn [0 to 1]
    #[arg(long, default_value_t = Population::REFERENCE.end_probability, value_name = "P")]
    pub end_conversation_probability: f64,
    /// Share of requests that begin with a shared system prompt [0 to 1]
    #[arg(long, default_value_t = Population::REFERENCE.prompts.share, value_name = "P")]
    pub system_prompt_probability: f64,
    /// System prompts of fewer tokens are not shared
    #[arg(long, default_value_t = Population::REFERENCE.prompts.min_tokens, value_name = "TOKENS")]
    pub min_prefix_tokens: u32,
    /// Shared system prompts that are kept at a time, the last used ones
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub max_prefixes: u32,
    /// How unevenly requests come at that rate: standard deviation over mean of the gaps; 0: like a
    /// clock, 1: Poisson, above 1: in bursts [default: 1]
    #[arg(long, value_name = "CV")]
    pub arrival_cv: Option<f64>,
    /// Object writes, with what makes room for them, in progress at a time; 0: no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub max_concurrent_allocs: u32,
    /// A machine that computes prompts and stores them: nothing is read for answers
    #[arg(long)]
    pub prefill_only: bool,
    /// A machine that generates answers: it starts with 10 objects of 2048 tokens for every user,
    /// every request reads one of them, nothing is written
    #[arg(long)]
    pub decode_only: bool,
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
        complaints.whole("max-turns", self.max_turns.into(), 1, u32::MAX.into());
        complaints.real("end-conversation-probability", self.end_conversation_probability, 0.0, 1.0);
        complaints.real("system-prompt-probability", self.system_prompt_probability, 0.0, 1.0);
        complaints.whole("max-prefixes", self.max_prefixes.into(), 1, u32::MAX.into());
        if let Some(cv) = self.arrival_cv {
            complaints.real("arrival-cv", cv, 0.0, LARGEST_CV);
            if self.request_rate == 0.0 {
                complaints.say("--arrival-cv is about a rate: give --request-rate too");
            }
        }
        if self.prefill_only && self.decode_only {
            complaints.say("--prefill-only and --decode-only are two different machines; record one after the other");
        }
    }

    /// What is in force.
    pub fn in_force(&self) -> InForce {
        vec![
            ("num-users", json!(self.num_users)),
            ("live-conversations", json!(self.live_conversations)),
            ("request-rate", json!(self.request_rate)),
            ("max-turns", json!(self.max_turns)),
            ("end-conversation-probability", json!(self.end_conversation_probability)),
            ("system-prompt-probability", json!(self.system_prompt_probability)),
            ("min-prefix-tokens", json!(self.min_prefix_tokens)),
            ("max-prefixes", json!(self.max_prefixes)),
            ("arrival-cv", json!(self.rate().map(|rate| rate.cv))),
            ("max-concurrent-allocs", json!(self.max_concurrent_allocs)),
            ("prefill-only", json!(self.prefill_only)),
            ("decode-only", json!(self.decode_only)),
            ("disable-multi-turn", json!(self.disable_multi_turn)),
            ("disable-prefix-caching", json!(self.disable_prefix_caching)),
        ]
    }

    /// Requests served at a time unless the engine says otherwise.
    pub fn workers(&self) -> u32 {
        self.workers.unwrap_or(self.num_users.min(MOST_DEFAULT_WORKERS))
    }

    /// The rate of requests, where they come by the clock.
    pub fn rate(&self) -> Option<ArrivalRate> {
        let cv = self.arrival_cv.unwrap_or(1.0);
        (self.request_rate > 0.0).then_some(ArrivalRate { per_second: self.request_rate, cv })
    }

    /// What is served of a request.
    pub fn phases(&self) -> Phases {
        match (self.prefill_only, self.decode_only) {
            (true, _) => Phases::PrefillOnly,
            (_, true) => Phases::DecodeOnly { objects: u64::from(self.num_users) * PREPOPULATED_PER_USER },
            _ => Phases::Both,
        }
    }

    /// Whether some requests begin with a shared system prompt. Where prompts are computed
    /// elsewhere, their objects are whole.
    pub fn shared_prefixes(&self, all: &RecordFlags) -> bool {
        all.objects.shares_prompts(all) && !self.decode_only
    }

    /// A population, with what flags say of it.
    pub fn population(&self, drawn_from: &Population) -> Population {
        Population {
            end_probability: self.end_conversation_probability,
            max_turns: self.max_turns,
            prompts: PromptSharing { share: self.system_prompt_probability, min_tokens: self.min_prefix_tokens },
            ..*drawn_from
        }
    }

    /// What synthetic users do.
    pub fn synthetic(&self, all: &RecordFlags) -> SyntheticOptions {
        SyntheticOptions {
            users: self.num_users,
            multi_turn: !self.disable_multi_turn,
            shared_prefixes: self.shared_prefixes(all),
            request_rate: self.rate(),
            population: self.population(&all.layers.sections.population),
        }
    }
}
