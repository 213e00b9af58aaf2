//! What is in force: flags, checked together, and what follows from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

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

use super::config::{Limit, ListedUser};
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
    /// What is in force besides, which is too much for a trace's metadata.
    printed: BTreeMap<String, Value>,
    /// All synthetic users, where they are not drawn.
    pub users: Option<Arc<[ListedUser]>>,
}

impl Settings {
    /// Checks what was typed.
    pub(super) fn of(typed: &RecordFlags) -> Result<Self> {
        let mut complaints = Complaints::default();
        typed.check(&mut complaints);
        let sections = &typed.layers.sections;
        let model = complaints.keep(Model::resolve_among(&typed.model, typed.kv_dtype, &sections.models));
        typed.rag.check(model.as_ref(), &mut complaints);
        let duration_s = typed.duration.or((typed.source == SourceKind::Synthetic).then_some(DEFAULT_DURATION_S));
        let flags = model.as_ref().map(|model| typed.in_force(duration_s, model)).unwrap_or_default();
        keep_to_limits(&sections.limits, &flags, &mut complaints);
        // What follows from values that are out of range is wrong too, and not worth saying.
        let sound = complaints.count() == 0;
        let model = model.filter(|_| sound);
        let config = model.and_then(|model| config(typed, model, duration_s, &mut complaints));
        if let Some(config) = &config {
            typed.cache.check_room(config, &mut complaints);
        }
        let wrong: Vec<String> = complaints.into_lines().into_iter().map(|line| typed.layers.blame(line)).collect();
        let (true, Some(config)) = (wrong.is_empty(), config) else {
            return Err(Error::usage(wrong.join("; ")));
        };
        Ok(Self {
            printed: printed(typed),
            users: sections.users.clone(),
            flags,
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
        let mut all = self.flags.clone();
        // What a preset says is said flag by flag.
        all.retain(|name, _| !["preset", "rank"].contains(&name.as_str()));
        all.extend(self.printed.clone());
        if json {
            return output::to_json(&all);
        }
        let line = |(name, value): (&String, &Value)| format!("{name}: {value}\n");
        all.iter().map(line).collect::<String>().into_bytes()
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
        priorities: typed.layers.sections.qos.priorities(),
        most_prefixes: typed.users.max_prefixes,
    })
}

fn source(typed: &RecordFlags) -> Result<SourceSettings> {
    match (typed.source, typed.files.as_slice()) {
        (SourceKind::Synthetic, _) => Ok(SourceSettings::Synthetic(typed.users.synthetic(typed))),
        (SourceKind::Sharegpt, [file, ..]) => Ok(SourceSettings::ShareGpt {
            file: only_file(file)?,
            options: typed.from_files.sharegpt(typed),
            request_rate: typed.users.rate(),
        }),
        (SourceKind::Requests, [_, ..]) => Ok(SourceSettings::Requests {
            files: readable_twice(trace_files(&typed.files)?)?,
            options: typed.from_files.requests(typed),
        }),
        (kind, _) => Err(Error::usage(format!("{} needs a file", word(kind)))),
    }
}

/// The one file that a path or a pattern means.
fn only_file(typed: &Path) -> Result<PathBuf> {
    if typed.is_dir() {
        return Ok(typed.to_owned());
    }
    let mut files = readable_twice(trace_files(&[typed.to_owned()])?)?;
    match files.as_slice() {
        [_] => Ok(files.remove(0)),
        files => Err(Error::usage(format!(
            "sharegpt takes one file, and {} files fit {}: {}",
            files.len(),
            typed.display(),
            files.iter().take(3).map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// A source is read more than once, which a pipe does not stand.
fn readable_twice(files: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let is_file = |path: &&PathBuf| path.metadata().map_or(true, |facts| facts.is_file() || facts.is_dir());
    match files.iter().find(|path| !is_file(path)) {
        None => Ok(files),
        Some(path) => Err(Error::usage(format!(
            "{} is no file, and a source is read twice, once for its checksum; save what it says to a file first",
            path.display()
        ))),
    }
}

/// Says which flags are above what a configuration allows.
fn keep_to_limits(limits: &[Limit], flags: &BTreeMap<String, Value>, complaints: &mut Complaints) {
    for Limit { flag, most, path } in limits {
        if let Some(value) = flags.get(*flag).and_then(Value::as_f64).filter(|value| value > most) {
            complaints.say(format!("--{flag} {value}: {path} allows {most} at most"));
        }
    }
}

/// What is in force and not a flag: the source with its files, the sections of a configuration.
fn printed(typed: &RecordFlags) -> BTreeMap<String, Value> {
    let sections = &typed.layers.sections;
    let mut printed =
        BTreeMap::from([("source".to_owned(), json!(word(typed.source))), ("files".to_owned(), json!(typed.files))]);
    printed.extend(sections.verbatim.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    printed.extend(sections.print_users().map(|users| ("users".to_owned(), users)));
    printed
}

fn above_zero(value: u64) -> Option<u64> {
    (value > 0).then_some(value)
}
