//! Whether results are shards of one run: the same trace, the same settings, each shard once.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Result};

use super::merge::shards_of;
use super::replay::{REPLAY_SCHEMA, ReplayResult};

/// Settings in which ranks differ by nature: the generation of data on their own slabs, and how
/// many helpers their machine has processors for.
const OWN: [&str; 2] = ["data-epoch", "helpers"];

/// Checks results, each with the name of its file.
///
/// # Errors
/// What is no shard, what differs, which shard is there twice.
pub fn check(results: &[(String, ReplayResult)]) -> Result<()> {
    let Some((first_name, first)) = results.first() else {
        return Err(Error::usage("no result to merge; name the results of all shards"));
    };
    let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
    for (name, result) in results {
        check_one(name, result)?;
        let pair = format!("{first_name} and {name}");
        let differs = |what: &str, a: &dyn std::fmt::Display, b: &dyn std::fmt::Display| {
            Err(Error::usage(format!("{pair} are not of one run: {what} is {a} and {b}")))
        };
        if result.trace.sha256 != first.trace.sha256 {
            return differs("the sha256 of the trace", &first.trace.sha256, &result.trace.sha256);
        }
        let count = |result: &ReplayResult| shards_of(result)[0].count;
        if count(result) != count(first) {
            return differs("the number of shards", &count(first), &count(result));
        }
        if let Some((what, a, b)) = other_setting(first, result) {
            return differs(&format!("--{what}"), &a, &b);
        }
        for shard in shards_of(result) {
            if let Some(other) = seen.insert(shard.index, name) {
                return Err(Error::usage(format!(
                    "shard {} is there twice, in {other} and in {name}; name each shard's result once",
                    shard.index
                )));
            }
        }
    }
    Ok(())
}

fn check_one(name: &str, result: &ReplayResult) -> Result<()> {
    let refuse = |why: &str| Err(Error::usage(format!("{name} {why}")));
    if result.schema != REPLAY_SCHEMA {
        return refuse(&format!("is `{}`; {REPLAY_SCHEMA} is expected", result.schema));
    }
    if !result.runs.trials.is_empty() {
        return refuse("is of several trials; only shards of one run are merged");
    }
    let shards = shards_of(result);
    let Some(first) = shards.first() else {
        return refuse("is a replay of a whole trace, not a shard; replay with --shard i/n or from a launcher");
    };
    match shards.iter().all(|shard| shard.count == first.count && shard.index < shard.count) {
        true => Ok(()),
        false => refuse("says of its shards what cannot be"),
    }
}

/// The first setting in which two results differ although shards of one run do not.
fn other_setting(a: &ReplayResult, b: &ReplayResult) -> Option<(String, Value, Value)> {
    let names = a.config.keys().chain(b.config.keys()).filter(|name| !OWN.contains(&name.as_str()));
    names
        .map(|name| {
            let value = |result: &ReplayResult| result.config.get(name).cloned().unwrap_or_default();
            (name.clone(), value(a), value(b))
        })
        .find(|(name, a, b)| if name.starts_with("tier-") { !same_targets(a, b) } else { a != b })
}

/// Whether targets are alike but for their paths. A merged result lists those of its shards.
fn same_targets(a: &Value, b: &Value) -> bool {
    let kinds = |value: &Value| -> Vec<String> {
        let mut kinds: Vec<_> = match value {
            Value::Array(all) => all.iter().filter_map(Value::as_str).map(kind).collect(),
            one => one.as_str().map(kind).into_iter().collect(),
        };
        kinds.sort();
        kinds.dedup();
        kinds
    };
    kinds(a) == kinds(b)
}

/// A target without its path: `dir`, `file,size=1`, `dram:1`.
fn kind(target: &str) -> String {
    match target.split_once(':') {
        Some((word @ ("dir" | "block"), _)) => word.to_owned(),
        Some(("file", rest)) => format!("file{}", rest.rfind(",size=").map_or("", |at| &rest[at..])),
        _ => target.to_owned(),
    }
}
