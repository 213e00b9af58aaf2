//! The summary of a saved result: its figures in short.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::inputs::Source;
use crate::cli::Global;
use crate::error::{Error, Result};
use crate::measure::{BlockResult, Histogram, Input, ReplayResult, Saved};

use crate::cli::analyze::written;

/// The figures of a result.
#[derive(Serialize)]
struct ResultSummary {
    schema: &'static str,
    kind: &'static str,
    of: String,
    tool: &'static str,
    file: String,
    sha256: String,
    complete: bool,
    /// Whether its numbers may be believed, by its own word.
    valid: bool,
    /// What is counted.
    rows: u64,
    span_s: Option<f64>,
    figures: Vec<Figure>,
    latency: Vec<Quantiles>,
}

#[derive(Serialize)]
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
}

#[derive(Serialize)]
struct Quantiles {
    name: String,
    unit: String,
    count: u64,
    p50: Option<f64>,
    p99: Option<f64>,
    max: Option<i64>,
}

pub fn run(path: &Option<PathBuf>, sources: &[Source], global: Global) -> Result<()> {
    let [source] = sources else {
        return Err(Error::usage(
            "a summary is of one result; `kvtrace report` puts several together, `analyze compare` compares them",
        ));
    };
    let input = Input::read(Path::new(&source.parts[0]))?;
    let summary = match input.result()? {
        Saved::Replay(replay) => of_replay(&replay, &input),
        Saved::Block(block) => of_block(&block, &input),
        Saved::Fidelity(_) | Saved::Analysis(_) => {
            return Err(Error::usage(format!(
                "{} is a result that is a summary already; `kvtrace report {}` shows it",
                input.name, source.name
            )));
        }
    };
    written(path, &summary, || csv(&summary), || table(&summary), global)
}

fn quantiles(name: String, histogram: &Histogram) -> Quantiles {
    let (count, max) = (histogram.count, histogram.max);
    let unit = histogram.unit.clone();
    Quantiles { name, unit, count, p50: histogram.quantile(0.5), p99: histogram.quantile(0.99), max }
}

fn of_replay(replay: &ReplayResult, input: &Input) -> ResultSummary {
    let totals = &replay.totals;
    let figure = |name, value: f64, unit| Figure { name, value, unit };
    let latency = replay.latency.iter().map(|of| {
        let name = format!("{} {} {}", of.tier, of.op, of.phase);
        quantiles(name, &of.response)
    });
    ResultSummary {
        schema: ANALYSIS_SCHEMA,
        kind: "summary",
        of: replay.schema.clone(),
        tool: crate::TOOL,
        file: input.name.clone(),
        sha256: input.sha256.clone(),
        complete: replay.complete,
        valid: replay.valid,
        rows: totals.ops,
        span_s: Some(totals.wall_s),
        figures: vec![
            figure("read", totals.read_bytes as f64, "bytes"),
            figure("written", totals.write_bytes as f64, "bytes"),
            figure("moved", totals.moved_bytes as f64, "bytes"),
            figure("read rate", totals.read_gb_per_s, "GB/s"),
            figure("write rate", totals.write_gb_per_s, "GB/s"),
        ],
        latency: latency.collect(),
    }
}

fn of_block(block: &BlockResult, input: &Input) -> ResultSummary {
    let of = |name: &str, op: &str| block.histograms.iter().find(|h| h.is(name, Some(op)));
    let bytes = |op: &str| of("size", op).map_or(0, |sizes| sizes.sum) as f64;
    let named = block.histograms.iter().filter(|h| h.unit == "ns" && h.count > 0 && h.name != "inflight_time");
    let name = |h: &Histogram| format!("{} {}", h.name, h.op.as_deref().unwrap_or_default()).trim().to_owned();
    ResultSummary {
        schema: ANALYSIS_SCHEMA,
        kind: "summary",
        of: block.schema.clone(),
        tool: crate::TOOL,
        file: input.name.clone(),
        sha256: input.sha256.clone(),
        complete: block.complete,
        valid: !block.tainted,
        rows: ["read", "write"].iter().filter_map(|op| of("size", op)).map(|sizes| sizes.count).sum(),
        span_s: block.duration_s,
        figures: vec![
            Figure { name: "read", value: bytes("read"), unit: "bytes" },
            Figure { name: "written", value: bytes("write"), unit: "bytes" },
        ],
        latency: named.map(|h| quantiles(name(h), h)).collect(),
    }
}

fn csv(summary: &ResultSummary) -> Vec<u8> {
    let mut text = "name,unit,count,p50,p99,max\n".to_owned();
    for of in &summary.latency {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let max = of.max.map_or(String::new(), |max| max.to_string());
        let _ = writeln!(text, "{},{},{},{},{},{max}", of.name, of.unit, of.count, number(of.p50), number(of.p99));
    }
    text.into_bytes()
}

fn table(summary: &ResultSummary) -> String {
    use crate::units;
    let span = summary.span_s.map_or(String::new(), |span| format!(" over {}", units::ns(span * 1e9)));
    let mut text = format!("{} ({}): {} operations{span}\n", summary.file, summary.of, units::count(summary.rows));
    if !summary.complete {
        text.push_str("it is not complete\n");
    }
    if !summary.valid {
        text.push_str("by its own word its numbers may not be believed\n");
    }
    for figure in &summary.figures {
        let value = match figure.unit {
            "bytes" => units::bytes(figure.value as u64),
            unit => format!("{} {unit}", units::three_digits(figure.value)),
        };
        let _ = writeln!(text, "{:<12}  {value}", figure.name);
    }
    let _ = writeln!(text, "\n{:<28}  {:>10}  {:>10}  {:>10}  {:>10}", "latency", "count", "p50", "p99", "max");
    for of in &summary.latency {
        let time = |value: Option<f64>| value.map_or("-".to_owned(), units::ns);
        let (p50, p99, max) = (time(of.p50), time(of.p99), time(of.max.map(|max| max as f64)));
        let _ = writeln!(text, "{:<28}  {:>10}  {p50:>10}  {p99:>10}  {max:>10}", of.name, units::count(of.count));
    }
    text
}
