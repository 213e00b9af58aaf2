//! What is in force: flags, checked together, and what follows from them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::output;
use crate::seed::Seed;
use crate::serve;
use crate::trace::Columns;
use crate::trace::Tier;
use crate::trace::meta::TierCapacity;
use crate::units::SECOND_NS;
use crate::workload::{ArrivalRate, ShareGptOptions, SyntheticOptions, TraceOptions, trace_files};

use super::flags::{Complaints, RecordFlags, SourceKind, word};

/// How long synthetic users go on unless told otherwise, in seconds (as in the reference).
const DEFAULT_DURATION_S: u64 = 60;

/// Where requests come from.
#[derive(Clone, Debug)]
pub enum SourceSettings {
    /// Synthetic users.
    Synthetic(SyntheticOptions),
    /// A file of conversations, at a rate or else closed by the workers.
    ShareGpt { file: PathBuf, options: ShareGptOptions, request_rate: Option<ArrivalRate> },
    /// Files of requests with stamps.
    Requests { files: Vec<PathBuf>, options: TraceOptions },
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
        let mut complaints = Complaints::default();
        typed.check(&mut complaints);
        let model = complaints.keep(Model::resolve(&typed.model, typed.kv_dtype));
        typed.rag.check(model.as_ref(), &mut complaints);
        let duration_s = typed.duration.or((typed.source == SourceKind::Synthetic).then_some(DEFAULT_DURATION_S));
        let config = model.and_then(|model| config(typed, model, duration_s, &mut complaints));
        if let Some(config) = &config {
            typed.cache.check_room(config, &mut complaints);
        }
        let wrong = complaints.into_lines();
        let (true, Some(config)) = (wrong.is_empty(), config) else {
            return Err(Error::usage(wrong.join("; ")));
        };
        Ok(Self {
            flags: typed.in_force(duration_s, &config.model),
            config,
            profile: word(typed.profile),
            seed: Seed(typed.seed),
            source: source(typed)?,
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

fn config(
    typed: &RecordFlags,
    model: Model,
    duration_s: Option<u64>,
    complaints: &mut Complaints,
) -> Option<serve::Config> {
    let gpu = typed.time.gpu(typed, &model, complaints)?;
    let rag = typed.rag.options(&model);
    Some(serve::Config {
        model,
        tensor_parallel: typed.cache.tensor_parallel,
        limits: typed.cache.limits(),
        timing: typed.time.tier_timing.clone(),
        gpu,
        workers: typed.workers(),
        queue: typed.time.queue_order(),
        live_conversations: above_zero(typed.users.live_conversations),
        duration_ns: duration_s.map(|s| s * SECOND_NS),
        max_requests: above_zero(typed.max_requests),
        pcie_bytes_per_s: typed.time.pcie_bytes_per_s(),
        objects: typed.objects.model(typed),
        seed: Seed(typed.seed),
        phases: typed.users.phases(),
        rag,
        max_concurrent_allocs: (typed.users.max_concurrent_allocs > 0).then_some(typed.users.max_concurrent_allocs),
        rules: typed.cache.rules(typed.profile),
    })
}

fn source(typed: &RecordFlags) -> Result<SourceSettings> {
    match (typed.source, typed.files.as_slice()) {
        (SourceKind::Synthetic, _) => Ok(SourceSettings::Synthetic(typed.users.synthetic(typed))),
        (SourceKind::Sharegpt, [file, ..]) => Ok(SourceSettings::ShareGpt {
            file: file.clone(),
            options: typed.from_files.sharegpt(typed),
            request_rate: typed.users.rate(),
        }),
        (SourceKind::Requests, [_, ..]) => Ok(SourceSettings::Requests {
            files: trace_files(&typed.files)?,
            options: typed.from_files.requests(typed),
        }),
        (kind, _) => Err(Error::usage(format!("{} needs a file", word(kind)))),
    }
}

fn above_zero(value: u64) -> Option<u64> {
    (value > 0).then_some(value)
}
