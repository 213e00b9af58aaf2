//! What makes the load of a recording and of an analysis, which runs that are ranked have in common.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::measure::Analysis;
use crate::measure::analysis::text;
use crate::trace::meta::{Meta, RecordStats};

/// Flags of a recording that say what serves the load, which may be what is compared. All others
/// make the load.
const SERVING: [&str; 29] = [
    "columns",
    "cpu-mem-gb",
    "decode-reads",
    "disable-prefix-caching",
    "epoch",
    "generation-mode",
    "gpu-mem-gb",
    "gpu-model",
    "history",
    "largest-object",
    "limits",
    "max-concurrent-allocs",
    "max-num-seqs",
    "num-gpus",
    "objects",
    "partial-blocks",
    "pcie",
    "placement",
    "policy",
    "prefix-sharing",
    "preset",
    "profile",
    "promotion",
    "queue",
    "storage-capacity-gb",
    "target-usage",
    "tier-timing",
    "watermarks",
    "workers",
];

/// Fields of an analysis that say what it counts.
const COUNTED: [&str; 21] = [
    "admit",
    "block_tokens",
    "blocks",
    "bytes_per_token",
    "definition",
    "distinct_blocks",
    "format",
    "lookup_bytes",
    "lookups",
    "model",
    "objects",
    "of",
    "references",
    "requests",
    "sample",
    "semantics",
    "skipped",
    "span_s",
    "tokens",
    "warmup_references",
    "warmup_requests",
];
/// What of a cache is chosen, in entries of lists of an analysis.
const CHOSEN: [&str; 6] = ["admit", "capacity", "policy", "semantics", "tier", "writes"];

/// The most values of a list that are named.
const MOST: usize = 4;

/// A value as it is compared and shown.
pub fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The flags of a recording, first those that make the load.
pub fn flags(meta: &Meta) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let all = meta.flags.iter().map(|(name, value)| (name.clone(), shown(value)));
    all.partition(|(name, _)| !SERVING.contains(&name.as_str()))
}

/// What makes the load of a recording besides its flags.
pub fn of_meta(meta: &Meta) -> BTreeMap<String, String> {
    let mut load = BTreeMap::from([("source".to_owned(), meta.source.kind.clone())]);
    load.extend(meta.source.sha256.clone().map(|digest| ("source sha256".to_owned(), digest)));
    if !meta.source.files.is_empty() {
        let files: Vec<&str> = meta.source.files.iter().map(|file| file.sha256.as_str()).collect();
        load.insert("source files".to_owned(), files.join(", "));
    }
    load.extend(meta.seed.map(|seed| ("seed".to_owned(), seed.to_string())));
    load.insert("tensor-parallel".to_owned(), meta.tensor_parallel.to_string());
    if let Some(model) = &meta.model {
        load.insert("model".to_owned(), model.name.clone());
        load.insert("kv-dtype".to_owned(), model.kv_dtype.clone());
        load.insert("bytes per token".to_owned(), model.bytes_per_token.to_string());
    }
    load
}

/// What the statistics of a recording say of its load: requests by kind, and what hits are of.
pub fn of_statistics(stats: &RecordStats) -> BTreeMap<String, String> {
    let kinds = stats.requests_by_kind.iter().map(|(kind, n)| (format!("requests of {kind}"), n.to_string()));
    let totals = stats.hit_ratios.iter().map(|(name, ratio)| (format!("total of {name}"), ratio.total.to_string()));
    let mut load: BTreeMap<_, _> = kinds.chain(totals).collect();
    load.insert("requests".to_owned(), stats.requests.to_string());
    load.insert("conversations".to_owned(), stats.conversations.to_string());
    load
}

/// What an analysis is of: its files, what it counts of them, and the caches that were chosen.
pub fn of_analysis(analysis: &Analysis) -> BTreeMap<String, String> {
    let mut load = BTreeMap::from([("inputs".to_owned(), analysis.digests().join(", "))]);
    let places = [&analysis.value, analysis.value.get("setting").unwrap_or(&Value::Null)];
    for field in places.iter().flat_map(|place| place.as_object().into_iter().flatten()) {
        // A plan's touches from which on a block is written may be what is compared.
        if COUNTED.contains(&field.0.as_str()) && !(analysis.kind == "plan" && field.0 == "admit") {
            load.insert(field.0.clone(), shown(field.1));
        }
    }
    if analysis.kind != "plan" {
        let mut chosen = BTreeMap::new();
        choices(&analysis.value, &mut chosen);
        let joined = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(", ");
        load.extend(chosen.into_iter().map(|(name, set)| (format!("{name} of the caches"), joined(set))));
    }
    load
}

fn choices(value: &Value, chosen: &mut BTreeMap<&'static str, BTreeSet<String>>) {
    match value {
        Value::Array(items) => {
            for item in items {
                for name in CHOSEN {
                    let value = item.get(name).filter(|value| value.is_string() || value.is_number());
                    if let Some(value) = value {
                        let unit = text(item, "capacity_unit").filter(|_| name == "capacity");
                        let unit = unit.map_or(String::new(), |unit| format!(" {unit}"));
                        chosen.entry(name).or_default().insert(shown(value) + &unit);
                    }
                }
                choices(item, chosen);
            }
        }
        Value::Object(fields) => fields.values().for_each(|field| choices(field, chosen)),
        _ => {}
    }
}

/// Two values that differ, in words; of sets what is in one only.
pub fn apart(a: &str, b: &str) -> (String, String) {
    let set = |value: &str| -> Vec<String> { value.split(", ").map(shortened).collect() };
    let (one, other) = (set(a), set(b));
    if one.len() < 2 && other.len() < 2 {
        return (shortened(a), shortened(b));
    }
    let beyond = |ours: &[String], theirs: &[String]| {
        let own: Vec<String> = ours.iter().filter(|value| !theirs.contains(value)).cloned().collect();
        if own.is_empty() { "nothing more".to_owned() } else { first(&own) }
    };
    (beyond(&one, &other), beyond(&other, &one))
}

/// The first few of a list, and how many more there are.
pub fn first(all: &[String]) -> String {
    let more = all.len().saturating_sub(MOST);
    let shown = all[..all.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// A digest says enough in its first digits; nothing is said as such.
fn shortened(value: &str) -> String {
    match value.len() {
        0 => "none".to_owned(),
        64 if value.bytes().all(|b| b.is_ascii_hexdigit()) => format!("{}…", &value[..12]),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_warm_up_and_another_cache_are_another_load() {
        let hits = |warmup: u32, policy: &str, capacity: u32| {
            let value = json!({"kind": "hits", "inputs": [{"sha256": "ab"}], "warmup_requests": warmup, "definitions": [
                {"name": "token.prefix", "policy": null, "ratio": 0.5},
                {"name": "token.prefix", "policy": policy, "capacity": capacity, "capacity_unit": "blocks", "ratio": 0.2}]});
            of_analysis(&Analysis::of(value).unwrap())
        };
        let base = hits(0, "lru", 100);
        assert_eq!(base, hits(0, "lru", 100));
        assert_eq!(
            (base["policy of the caches"].as_str(), base["capacity of the caches"].as_str()),
            ("lru", "100 blocks")
        );
        for other in [hits(9, "lru", 100), hits(0, "fifo", 100), hits(0, "lru", 200)] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn of_sets_what_one_alone_has_is_said() {
        assert_eq!(apart("a, b, c", "b, d, e, f, g, h"), ("a, c".to_owned(), "d, e, f, g and 1 more".to_owned()));
        assert_eq!(apart("lru", ""), ("lru".to_owned(), "none".to_owned()));
        assert_eq!(apart("a, b", "a").1, "nothing more");
    }
}
