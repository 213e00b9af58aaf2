//! `kvtrace info`: what a file is.

mod data;

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::analyze::identity::Identity;
use crate::error::Result;
use crate::output;
use crate::stop::Stop;
use crate::trace::meta::{Source, TierCapacity};
use crate::trace::stamp;
use crate::units;

use super::Global;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A trace, a requests file or a result; - is standard input
    #[arg(required_unless_present = "data")]
    file: Option<PathBuf>,
    #[command(flatten)]
    data: data::DataArgs,
}

pub fn run(args: Args, global: Global, stop: &Stop) -> Result<()> {
    let Some(file) = args.file else { return data::run(&args.data, global, stop) };
    let identity = Identity::of(&file)?;
    let text = if global.json { output::to_json(&identity) } else { lines(&identity).into_bytes() };
    output::to_stdout(&text)
}

/// The identity for people: a name and a value on each line.
fn lines(id: &Identity) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            rows.push((name.to_owned(), value));
        }
    };
    row("file", Some(id.file.clone()));
    row("what", Some(id.what.clone()));
    row("schema", id.contains.clone());
    row("written by", id.written_by.clone());
    row("complete", id.complete.filter(|complete| !complete).map(|_| "no: it was interrupted".to_owned()));
    row("size", Some(format!("{} ({} bytes)", units::bytes(id.size_bytes), units::count(id.size_bytes))));
    row("sha256", Some(id.sha256.clone()));
    row("rows", id.rows.map(units::count));
    row("span", id.span_s.map(|span| units::ns(span * 1e9)));
    row("epoch", id.epoch_ns.map(seconds));
    row("out of order", id.inversions.map(|n| format!("{}, before sorting", units::plural(n, "row"))));
    row("seed", id.seed.map(|seed| seed.to_string()));
    row("source", id.source.as_ref().map(source));
    let model = id.model.as_ref();
    row(
        "model",
        model.map(|m| format!("{}, {} bytes a token, {}", m.name, units::count(m.bytes_per_token), m.kv_dtype)),
    );
    row("tensor parallel", id.tensor_parallel.filter(|tp| *tp > 1).map(|tp| tp.to_string()));
    for tier in &id.tiers {
        row(tier.tier.word(), Some(capacity(tier)));
    }
    row("requests", id.requests_file.clone());
    for (name, value) in &id.facts {
        row(name, Some(value.as_str().map_or_else(|| Value::to_string(value), str::to_owned)));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:<width$}  {value}");
        text
    })
}

fn source(source: &Source) -> String {
    match &source.file {
        Some(file) => format!("{}, {file}", source.kind),
        None => source.kind.clone(),
    }
}

/// Nanoseconds as exact seconds.
fn seconds(ns: i64) -> String {
    let mut text = Vec::new();
    stamp::push_nanos(&mut text, ns.unsigned_abs());
    format!("{}{} s", if ns < 0 { "-" } else { "" }, String::from_utf8_lossy(&text))
}

fn capacity(tier: &TierCapacity) -> String {
    match tier.capacity_bytes {
        None => "unlimited".to_owned(),
        Some(0) => "absent".to_owned(),
        Some(bytes) => units::bytes(bytes),
    }
}
