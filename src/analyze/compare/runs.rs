//! What is compared: the figures of a result, and what makes its load what it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::measure::replay::ReplayResult;
use crate::measure::trials;
use crate::measure::{Analysis, BlockResult, Histogram};
use crate::trace::meta::{Meta, RecordStats};

use super::load::{self, shown};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
}

/// A figure of a result, a value for each of its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// Which way is better; none where neither is.
    pub better: Option<Better>,
    /// The values.
    pub values: Vec<f64>,
}

/// A file with one run or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its name.
    pub file: String,
    /// Its sha256, in hex.
    pub sha256: String,
    /// What it is: only like is compared with like.
    pub what: String,
    /// Whether its figures are the same every time, so that a difference is one.
    pub exact: bool,
    /// What makes the load, by name: runs that differ in any of it are not ranked.
    pub load: BTreeMap<String, String>,
    /// The same, of figures: the value, and by how much others may differ from it.
    pub shape: BTreeMap<String, (f64, f64)>,
    /// Other settings, by name.
    pub settings: BTreeMap<String, String>,
    /// Why its numbers may not be believed.
    pub doubts: Vec<String>,
    /// Its figures.
    pub figures: Vec<Figure>,
}

/// Settings of a replay that make the load.
const LOAD: [&str; 7] = ["pace", "speed", "size-scale", "max-objects", "bytes-in-flight-asked", "order", "io-size"];
/// Settings that differ from run to run without meaning anything.
const INCIDENTAL: [&str; 12] = [
    "bytes-in-flight",
    "bytes-in-flight-found",
    "cooldown-ns",
    "data-epoch",
    "helpers",
    "hlog",
    "hlog-interval-ns",
    "i-know-this-destroys",
    "max-errors",
    "prepare",
    "seed",
    "trials",
];

/// A replay, with the figures of each of its trials.
pub fn replay(result: &ReplayResult, file: &str, sha256: &str) -> Run {
    let mut load = BTreeMap::from([("trace sha256".to_owned(), result.trace.sha256.clone())]);
    let mut settings = BTreeMap::new();
    for (name, value) in result.config.iter().filter(|(name, _)| !INCIDENTAL.contains(&name.as_str())) {
        let kind = if LOAD.contains(&name.as_str()) { &mut load } else { &mut settings };
        kind.insert(name.clone(), shown(value));
    }
    let aside = result.tiers.iter().filter(|tier| ["model", "skip"].contains(&tier.backend.as_str()));
    let aside: BTreeSet<String> = aside.map(|tier| format!("Tier-{} {}", tier.tier, tier.backend)).collect();
    load.insert("tiers that move nothing".to_owned(), aside.into_iter().collect::<Vec<_>>().join(", "));
    if let Some(shard) = &result.runs.shard {
        load.insert("shard".to_owned(), format!("{} of {}", shard.index, shard.count));
    }
    settings.insert("kernel".to_owned(), result.host.kernel.clone());
    settings.insert("processor".to_owned(), result.host.cpu.clone());
    let mut doubts = Vec::new();
    if !result.complete {
        doubts.push("it is incomplete".to_owned());
    }
    if !result.valid {
        doubts.push(format!("it is not valid: {}", result.invalid_reasons.join("; ")));
    }
    let (file, sha256) = (file.to_owned(), sha256.to_owned());
    let what = "replay result".to_owned();
    Run {
        file,
        sha256,
        what,
        exact: false,
        load,
        shape: BTreeMap::new(),
        settings,
        doubts,
        figures: replay_figures(result),
    }
}

fn replay_figures(result: &ReplayResult) -> Vec<Figure> {
    // A run that keeps a schedule is as long and as fast as that.
    let paced = result.timing.pacing != "asap";
    let statistics = match result.runs.statistics.is_empty() {
        true => trials::statistics(std::slice::from_ref(result)),
        false => result.runs.statistics.clone(),
    };
    let mut figures: Vec<Figure> = statistics
        .into_iter()
        .map(|s| {
            let better = match s.unit.as_str() {
                "GB/s" => (!paced).then_some(Better::Higher),
                "s" => (!paced).then_some(Better::Lower),
                _ => Some(Better::Lower),
            };
            Figure { metric: s.metric, unit: s.unit, better, values: s.values }
        })
        .collect();
    if result.runs.trials.len() > 1 {
        return figures;
    }
    let mut one = |metric: String, unit: &str, value: Option<f64>| {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        figures.push(Figure { metric, unit: unit.to_owned(), better: Some(Better::Lower), values: vec![value] });
    };
    if let Some(requests) = &result.requests {
        for (name, histogram) in [("storage", &requests.storage), ("end_to_end", &requests.end_to_end)] {
            for (word, q) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
                one(format!("requests.{name}.{word}"), "ns", histogram.carried(q));
            }
        }
    }
    one("errors".to_owned(), "count", Some(result.errors.len() as f64));
    one("wrong_reads".to_owned(), "count", Some(result.verify.failure_count as f64));
    if paced {
        one("late_fraction".to_owned(), "ratio", Some(result.timing.late_fraction));
    }
    figures
}

/// A capture. It does not say what load it is of: the share of reads and the mean sizes, which no
/// device changes, stand for it.
pub fn block(result: &BlockResult, file: &str, sha256: &str) -> Run {
    let counted = |name: &str, op: &str| result.histogram(name, Some(op)).filter(|h| h.count > 0).cloned();
    let mut shape = BTreeMap::new();
    let (mut figures, mut count) = (Vec::new(), 0);
    for op in ["read", "write"] {
        let Some(size) = counted("size", op) else { continue };
        count += size.count;
        let kib = size.mean().unwrap_or(0.0) * if size.unit == "sectors" { 512.0 } else { 1.0 } / 1024.0;
        shape.insert(format!("mean size of {op}s in KiB"), (kib, kib * 0.02));
        figures.extend(block_figures(result, &size, kib, op, &counted));
    }
    let reads = counted("size", "read").map_or(0, |h| h.count);
    if count > 0 {
        shape.insert("share of reads in %".to_owned(), (reads as f64 * 100.0 / count as f64, 2.0));
    }
    let devices: Vec<_> = result.devices.iter().map(|device| device.name.as_str()).collect();
    let settings = BTreeMap::from([("devices".to_owned(), devices.join(", "))]);
    let doubts = result.tainted.then(|| format!("it is tainted: {}", result.taint_reasons.join("; ")));
    let (file, sha256) = (file.to_owned(), sha256.to_owned());
    let what = "capture of the block layer".to_owned();
    Run {
        file,
        sha256,
        what,
        exact: false,
        load: BTreeMap::new(),
        shape,
        settings,
        doubts: doubts.into_iter().collect(),
        figures,
    }
}

fn block_figures(
    result: &BlockResult,
    size: &Histogram,
    mean_kib: f64,
    op: &str,
    counted: &impl Fn(&str, &str) -> Option<Histogram>,
) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut one = |metric: String, unit: &str, better, value: Option<f64>| {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        figures.push(Figure { metric, unit: unit.to_owned(), better, values: vec![value] });
    };
    let seconds = result.duration_s.filter(|s| *s > 0.0);
    let rate = seconds.map(|s| size.count as f64 * mean_kib * 1024.0 / s / 1e9);
    one(format!("{op}.rate"), "GB/s", Some(Better::Higher), rate);
    one(format!("{op}.iops"), "1/s", Some(Better::Higher), seconds.map(|s| size.count as f64 / s));
    one(format!("{op}.in_flight"), "ios", None, counted("inflight_time", op).and_then(|h| h.mean()));
    for name in ["d2c", "q2d", "q2c"] {
        for (word, q) in [("p50", 0.5), ("p99", 0.99)] {
            let value = counted(name, op).and_then(|h| h.quantile(q));
            one(format!("{op}.{name}.{word}"), "ns", Some(Better::Lower), value);
        }
    }
    figures
}

/// A recording, by the metadata of its trace.
pub fn trace(meta: &Meta, file: &str, sha256: &str) -> Run {
    let (mut load, settings) = load::flags(meta);
    load.extend(load::of_meta(meta));
    let run = meta.record.as_ref().map(|stats| recording(stats, file, sha256));
    let doubts = (!meta.complete).then(|| "it is incomplete".to_owned()).into_iter().collect();
    let mut figures = run.map_or_else(Vec::new, |run| run.figures);
    if let (Some(rows), true) = (meta.rows, figures.is_empty()) {
        figures.push(exact("rows", "rows", None, rows as f64));
    }
    load.extend(meta.record.as_ref().map(load::of_statistics).unwrap_or_default());
    let (file, sha256) = (file.to_owned(), sha256.to_owned());
    Run {
        file,
        sha256,
        what: "recording".to_owned(),
        exact: true,
        load,
        shape: BTreeMap::new(),
        settings,
        doubts,
        figures,
    }
}

fn exact(metric: &str, unit: &str, better: Option<Better>, value: f64) -> Figure {
    Figure { metric: metric.to_owned(), unit: unit.to_owned(), better, values: vec![value] }
}

/// The statistics of a recording (`kvtrace.record/1`).
pub fn recording(stats: &RecordStats, file: &str, sha256: &str) -> Run {
    let mut figures = Vec::new();
    for (name, ratio) in &stats.hit_ratios {
        figures.push(exact(&format!("hits.{name}"), "ratio", Some(Better::Higher), ratio.ratio));
    }
    for (kind, lookups) in &stats.lookups {
        let hits: u64 = lookups.hits.iter().sum();
        let total = hits + lookups.misses;
        if total > 0 {
            let share = |n: u64| n as f64 / total as f64;
            figures.push(exact(&format!("lookups.{kind}.hits"), "ratio", Some(Better::Higher), share(hits)));
            for (tier, n) in lookups.hits.iter().enumerate().filter(|(_, n)| **n > 0) {
                figures.push(exact(&format!("lookups.{kind}.hits.tier{tier}"), "ratio", None, share(*n)));
            }
        }
    }
    for used in &stats.tiers {
        let name = format!("tier{}.peak", used.tier.index());
        figures.push(exact(&name, "bytes", None, used.peak_bytes as f64));
    }
    let count = |name: &str, n: u64| exact(name, "count", Some(Better::Lower), n as f64);
    figures.push(exact("rows", "rows", None, stats.rows as f64));
    figures.push(count("demotions", stats.demotions));
    figures.push(count("deletes", stats.deletes));
    figures.push(exact("queue_wait.mean", "s", Some(Better::Lower), stats.queue_wait_s.mean));
    figures.push(exact("queue_wait.max", "s", Some(Better::Lower), stats.queue_wait_s.max));
    figures.retain(|figure| figure.values[0].is_finite());
    let load = load::of_statistics(stats);
    let (file, sha256, what) = (file.to_owned(), sha256.to_owned(), "recording".to_owned());
    Run {
        file,
        sha256,
        what,
        exact: true,
        load,
        shape: BTreeMap::new(),
        settings: BTreeMap::new(),
        doubts: Vec::new(),
        figures,
    }
}

/// Figures of an analysis that say which way is better.
const DIRECTIONS: [(&str, Better); 7] = [
    ("ratio", Better::Higher),
    ("hit_ratio", Better::Higher),
    ("years", Better::Higher),
    ("dwpd", Better::Lower),
    ("write_bytes_per_day", Better::Lower),
    ("host_bytes_per_day", Better::Lower),
    ("cost", Better::Lower),
];
/// The most figures of an analysis.
const MOST: usize = 400;

/// An analysis: each number in it, by its place.
pub fn analysis(analysis: &Analysis, file: &str, sha256: &str) -> Run {
    let load = load::of_analysis(analysis);
    let mut figures = Vec::new();
    if let Value::Object(fields) = &analysis.value {
        // Of a plan what it chose is compared, not what it chose from.
        let aside: &[&str] = match analysis.kind.as_str() {
            "plan" => &["inputs", "skipped", "curve", "candidates", "admissions"],
            _ => &["inputs", "skipped"],
        };
        let fields = fields.iter().filter(|(name, _)| !aside.contains(&name.as_str()));
        fields.for_each(|(name, value)| flatten(name, name, value, &mut figures));
    }
    figures.truncate(MOST);
    let (file, sha256, what) = (file.to_owned(), sha256.to_owned(), format!("analysis ({})", analysis.kind));
    Run {
        file,
        sha256,
        what,
        exact: true,
        load,
        shape: BTreeMap::new(),
        settings: BTreeMap::new(),
        doubts: Vec::new(),
        figures,
    }
}

/// The unit that the name of a figure ends with.
fn unit_of(name: &str) -> &'static str {
    match name {
        _ if name.ends_with("_ns") => "ns",
        _ if name.ends_with("_s") && !name.ends_with("_per_s") => "s",
        _ if name.ends_with("_bytes") => "bytes",
        _ => "",
    }
}

fn flatten(path: &str, name: &str, value: &Value, figures: &mut Vec<Figure>) {
    match value {
        Value::Number(number) => {
            let better = DIRECTIONS.iter().find(|(known, _)| *known == name).map(|(_, better)| *better);
            if let Some(value) = number.as_f64().filter(|value| value.is_finite()) {
                figures.push(exact(path, unit_of(name), better, value));
            }
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| !name.starts_with("capacity"));
            fields.for_each(|(name, value)| flatten(&format!("{path}.{name}"), name, value, figures));
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate().filter(|(_, item)| item.is_object()) {
                flatten(&format!("{path}[{}]", label(item, place)), name, item, figures);
            }
        }
        _ => {}
    }
}

/// What tells an entry of a list from the others: its words and its capacity.
fn label(item: &Value, place: usize) -> String {
    let words = item.as_object().into_iter().flatten().filter_map(|(name, value)| match value {
        Value::String(word) if name != "unit" => Some(word.clone()),
        Value::Number(number) if name == "capacity" => Some(number.to_string()),
        _ => None,
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { place.to_string() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_of_an_analysis_have_names() {
        let curve = json!({"kind": "curve", "inputs": [{"sha256": "ab"}], "policies": [
            {"policy": "lru", "semantics": "any", "points": [{"capacity": 10, "unit": "blocks", "hit_ratio": 0.5, "total": 4}]}]});
        let run = analysis(&Analysis::of(curve).unwrap(), "c.json", "");
        assert_eq!(run.figures[0].metric, "policies[lru any].points[10].hit_ratio");
        assert_eq!((run.figures[0].better, run.figures[1].better), (Some(Better::Higher), None));
        assert_eq!(run.load["inputs"], "ab");
    }
}
