//! What is in force: flags, checked together, and what follows from them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cache::Limits;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::output;
use crate::seed::Seed;
use crate::serve::{self, QueueOrder};
use crate::trace::Columns;
use crate::trace::Tier;
use crate::trace::meta::TierCapacity;
use crate::units::{GIB, SECOND_NS, Time};
use crate::workload::{ShareGptOptions, SyntheticOptions, Tokenizer};

use super::flags::{LimitsFlag, QueueFlag, RecordFlags, SourceKind, TokenizerFlag};

/// Workers are as many as users, up to this (as in the reference).
const MOST_DEFAULT_WORKERS: u32 = 500;
/// How long synthetic users go on unless told otherwise, in seconds (as in the reference).
const DEFAULT_DURATION_S: u64 = 60;

/// Where requests come from.
#[derive(Clone, Debug)]
pub enum SourceSettings {
    /// Synthetic users.
    Synthetic(SyntheticOptions),
    /// A file of conversations, at a rate or else closed by the workers.
    ShareGpt { file: PathBuf, options: ShareGptOptions, request_rate: Option<f64> },
}

/// A recording, ready to be made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The system.
    pub config: serve::Config,
    /// What the flags default to.
    pub profile: String,
    /// The seed.
    pub seed: Seed,
    /// The source.
    pub source: SourceSettings,
    /// The columns of a CSV.
    pub columns: Columns,
    /// What is added to the stamps of a CSV.
    pub epoch_ns: i64,
    /// Every flag in force, by its long name.
    pub flags: BTreeMap<String, Value>,
}

impl Settings {
    /// Checks what was typed.
    pub(super) fn of(typed: &RecordFlags) -> Result<Self> {
        let mut complaints: Vec<String> = typed.foreign.complaints().collect();
        check_ranges(typed, &mut complaints);
        check_source(typed, &mut complaints);
        let mut keep = |result: Result<_>| result.map_err(|e: Error| complaints.push(e.to_string())).ok();
        let model = keep(Model::resolve(&typed.model, typed.kv_dtype).map(Some)).flatten();
        let generation = generation_ns(&typed.generation_mode).map_err(|why| complaints.push(why)).ok();
        let (true, Some(model), Some(generation_ns_per_token)) = (complaints.is_empty(), model, generation) else {
            return Err(Error::usage(complaints.join("; ")));
        };
        let workers = typed.workers.unwrap_or(typed.num_users.min(MOST_DEFAULT_WORKERS));
        let duration_s = typed.duration.or((typed.source == SourceKind::Synthetic).then_some(DEFAULT_DURATION_S));
        let config = serve::Config {
            tensor_parallel: typed.tensor_parallel,
            limits: limits(typed),
            timing: typed.tier_timing.clone(),
            generation_ns_per_token,
            workers,
            queue: match typed.queue {
                QueueFlag::Qos => QueueOrder::Qos,
                QueueFlag::Fifo => QueueOrder::Fifo,
            },
            history: !typed.disable_multi_turn,
            live_conversations: above_zero(typed.live_conversations),
            duration_ns: duration_s.map(|s| s * SECOND_NS),
            max_requests: above_zero(typed.max_requests),
            model,
        };
        Ok(Self {
            flags: in_force(typed, &config, duration_s),
            config,
            profile: word(typed.profile),
            seed: Seed(typed.seed),
            source: source(typed),
            columns: typed.columns.into(),
            epoch_ns: i64::from(typed.epoch) * SECOND_NS as i64,
        })
    }

    /// The tiers and their limits, as the metadata has them.
    pub fn tiers(&self) -> Vec<TierCapacity> {
        let limit = |tier: Tier| self.config.limits.capacity_bytes[tier.index()];
        Tier::ALL.into_iter().map(|tier| TierCapacity { tier, capacity_bytes: limit(tier) }).collect()
    }

    /// The flags in force, a line each, or as JSON.
    pub(super) fn print(&self, json: bool) -> Vec<u8> {
        if json {
            return output::to_json(&self.flags);
        }
        let line = |(name, value): (&String, &Value)| format!("{name}: {value}\n");
        self.flags.iter().map(line).collect::<String>().into_bytes()
    }
}

fn check_ranges(typed: &RecordFlags, complaints: &mut Vec<String>) {
    let mut whole = |flag: &str, value: u64, low: u64, high: u64| {
        if !(low..=high).contains(&value) {
            complaints.push(format!("--{flag} {value}: allowed are {low} to {high}"));
        }
    };
    whole("num-users", typed.num_users.into(), 1, 100_000);
    whole("duration", typed.duration.unwrap_or(1), 1, 86_400);
    whole("num-gpus", typed.num_gpus.into(), 1, 65_536);
    whole("tensor-parallel", typed.tensor_parallel.into(), 1, typed.num_gpus.max(1).into());
    whole("workers", typed.workers.unwrap_or(1).into(), 1, 100_000);
    whole("max-conversations", typed.max_conversations.unwrap_or(1), 1, u64::MAX);
    let mut real = |flag: &str, value: f64, low: f64, high: f64| {
        if !(low..=high).contains(&value) {
            complaints.push(format!("--{flag} {value}: allowed are {low} to {high}"));
        }
    };
    real("gpu-mem-gb", typed.gpu_mem_gb, 0.0, 65_536.0);
    real("cpu-mem-gb", typed.cpu_mem_gb, 0.0, 131_072.0);
    real("storage-capacity-gb", typed.storage_capacity_gb, 0.0, 1_048_576.0);
    real("target-usage", typed.target_usage, 0.05, 1.0);
    real("request-rate", typed.request_rate, 0.0, 1e9);
}

fn check_source(typed: &RecordFlags, complaints: &mut Vec<String>) {
    match (typed.source, &typed.file) {
        (SourceKind::Synthetic, Some(file)) => {
            complaints.push(format!("synthetic users come from no file, but {} was given", file.display()));
        }
        (SourceKind::Sharegpt, None) => complaints.push("sharegpt needs a file: `sharegpt FILE`".to_owned()),
        _ => {}
    }
    if typed.source == SourceKind::Synthetic {
        for (given, flag) in
            [(typed.max_conversations.is_some(), "--max-conversations"), (typed.allow_truncated, "--allow-truncated")]
        {
            if given {
                complaints.push(format!("{flag} is about a file, and synthetic users come from none"));
            }
        }
    }
}

fn generation_ns(mode: &str) -> std::result::Result<u64, String> {
    match mode {
        "none" => Ok(0),
        "fast" => Ok(2_000_000),
        "realistic" => Ok(30_000_000),
        time => time
            .parse::<Time>()
            .map(|time| time.0)
            .map_err(|why| format!("--generation-mode is none, fast, realistic or the time of a token: {why}")),
    }
}

/// What one rank's tiers hold.
fn limits(typed: &RecordFlags) -> Limits {
    let ranks = match typed.limits {
        LimitsFlag::Rank => typed.tensor_parallel,
        LimitsFlag::Whole => 1,
    };
    let bytes = |gib: f64| (gib * GIB as f64) as u64 / u64::from(ranks);
    let storage = bytes(typed.storage_capacity_gb);
    Limits {
        capacity_bytes: [
            Some(bytes(typed.gpu_mem_gb * f64::from(typed.num_gpus))),
            Some(bytes(typed.cpu_mem_gb)),
            (typed.storage_capacity_gb > 0.0).then_some(storage),
        ],
        target_usage: typed.target_usage,
    }
}

fn source(typed: &RecordFlags) -> SourceSettings {
    let shared_prefixes = !typed.disable_prefix_caching;
    let request_rate = (typed.request_rate > 0.0).then_some(typed.request_rate);
    match &typed.file {
        None => SourceSettings::Synthetic(SyntheticOptions {
            users: typed.num_users,
            multi_turn: !typed.disable_multi_turn,
            shared_prefixes,
            request_rate,
        }),
        Some(file) => SourceSettings::ShareGpt {
            file: file.clone(),
            options: ShareGptOptions {
                tokenizer: tokenizer(typed),
                max_conversations: typed.max_conversations,
                allow_truncated: typed.allow_truncated,
                users: typed.num_users,
                shared_prefixes,
            },
            request_rate,
        },
    }
}

fn tokenizer(typed: &RecordFlags) -> Tokenizer {
    match typed.tokenizer {
        TokenizerFlag::Cl100k => Tokenizer::Cl100k,
        TokenizerFlag::Chars4 => Tokenizer::Chars4,
    }
}

fn above_zero(value: u64) -> Option<u64> {
    (value > 0).then_some(value)
}

fn in_force(typed: &RecordFlags, config: &serve::Config, duration_s: Option<u64>) -> BTreeMap<String, Value> {
    let mut flags = vec![
        ("model", json!(typed.model)),
        ("kv-dtype", json!(config.model.dtype_word())),
        ("num-users", json!(typed.num_users)),
        ("duration", json!(duration_s)),
        ("gpu-mem-gb", json!(typed.gpu_mem_gb)),
        ("num-gpus", json!(typed.num_gpus)),
        ("tensor-parallel", json!(typed.tensor_parallel)),
        ("cpu-mem-gb", json!(typed.cpu_mem_gb)),
        ("storage-capacity-gb", json!(typed.storage_capacity_gb)),
        ("limits", json!(word(typed.limits))),
        ("target-usage", json!(typed.target_usage)),
        ("generation-mode", json!(typed.generation_mode)),
        ("tier-timing", json!(config.timing.name)),
        ("workers", json!(config.workers)),
        ("queue", json!(word(typed.queue))),
        ("live-conversations", json!(typed.live_conversations)),
        ("request-rate", json!(typed.request_rate)),
        ("max-requests", json!(typed.max_requests)),
        ("disable-multi-turn", json!(typed.disable_multi_turn)),
        ("disable-prefix-caching", json!(typed.disable_prefix_caching)),
        ("seed", json!(typed.seed)),
        ("profile", json!(word(typed.profile))),
        ("columns", json!(word(typed.columns))),
        ("epoch", json!(typed.epoch)),
    ];
    if typed.source == SourceKind::Sharegpt {
        flags.extend([
            ("max-conversations", json!(typed.max_conversations)),
            ("tokenizer", json!(tokenizer(typed).word())),
            ("allow-truncated", json!(typed.allow_truncated)),
        ]);
    }
    flags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn word(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|possible| possible.get_name().to_owned()).unwrap_or_default()
}
