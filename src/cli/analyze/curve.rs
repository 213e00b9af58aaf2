//! `kvtrace analyze curve`

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::curve::{Eviction, Semantics, counts_after, spread};
use crate::analyze::hits::Totals;
use crate::analyze::object_curve::{object_counts, spread_bytes};
use crate::analyze::sample::Sampled;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::units;

use super::blocks::{BlockArgs, Blocks, Capacity};
use super::objects::{self, TraceObjects};
use super::warmup::Warmup;
use super::{TAIL_FIRST_BELADY, check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `curve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    /// What goes when there is no room: lru, fifo, lfu, sieve, s3-fifo, arc, belady (sees the
    /// future, with bypass: a bound of blocks found with --semantics any; no bound with tail-first,
    /// nor of a trace's objects, whose sizes differ, without bypass)
    #[arg(long, value_name = "POLICY", value_delimiter = ',', default_value = "lru")]
    policy: Vec<Eviction>,
    /// What counts as a hit: a block after which nothing before is missing, any block, or the
    /// first with the ends of prompts evicted before their beginnings [default: prefix; of a trace's
    /// objects, which are independent, any]
    #[arg(long, value_enum)]
    semantics: Option<Semantics>,
    /// Capacities from one block to all of them (of a trace: from the largest object to all bytes),
    /// each the same factor above the one before
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    points: u32,
    /// These capacities instead: token blocks, or bytes with a unit and a --model; of a trace always
    /// bytes
    #[arg(long, value_name = "CAPACITY", value_delimiter = ',')]
    capacity: Vec<Capacity>,
    /// The first so many requests (of a trace: references), or a share such as 10%, fill the caches
    /// and are not counted
    #[arg(long, value_name = "N")]
    warmup: Option<Warmup>,
    /// Only this share of the blocks, picked by hash, above 0 up to 1 (SHARDS, lru only): less time
    /// and memory, with the error that it makes
    #[arg(long, value_name = "RATE")]
    sample: Option<f64>,
    /// Write the result to a file: .json, .csv or .parquet
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Curve<'a, F: Serialize> {
    schema: &'static str,
    kind: &'static str,
    tool: &'static str,
    #[serde(flatten)]
    facts: &'a F,
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup_requests: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<SampleFacts>,
    policies: Vec<PolicyCurve>,
}

/// What was sampled, and how well.
#[derive(Clone, Copy, Debug, Serialize)]
struct SampleFacts {
    method: &'static str,
    rate: f64,
    blocks: u64,
    references: u64,
    /// The references of the sample, over those that its share would be; corrected for in the
    /// ratios.
    weight: f64,
    confidence: f64,
}

#[derive(Serialize)]
struct PolicyCurve {
    policy: &'static str,
    semantics: Semantics,
    points: Vec<Point>,
}

#[derive(Clone, Default, Serialize)]
struct Point {
    capacity: u64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity_tokens: Option<u64>,
    capacity_bytes: Option<u64>,
    hit_ratio: f64,
    /// Half the width of the interval that a sampled ratio is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<f64>,
    hits: u64,
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte_hit_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hit_bytes: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u128>,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let terminal = Terminal::new(global);
    let (schema, kind, tool) = (ANALYSIS_SCHEMA, "curve", crate::TOOL);
    if let Some(trace) = objects::read(&args.blocks, args.semantics, args.warmup, stop, &terminal)? {
        let policies = of_objects(args, &trace, stop)?;
        let (facts, warmup_requests, sample) = (&trace.facts, None, None);
        let curve = Curve { schema, kind, tool, facts, warmup_requests, sample, policies };
        return written(&args.output, &curve, || csv(&curve.policies), || byte_table(&trace, &curve.policies), global);
    }
    let blocks = args.blocks.read(stop, &terminal)?;
    let warmup = args.warmup.map_or(Ok(0), |warmup| warmup.of(blocks.references.requests(), "requests"))?;
    if args.semantics == Some(Semantics::TailFirst) && args.policy.contains(&Eviction::Belady) {
        terminal.say(TAIL_FIRST_BELADY);
    }
    let (policies, sample) = match args.sample {
        Some(rate) => sampled(args, &blocks, rate, warmup)?,
        None => (exact(args, &blocks, warmup, stop, &terminal)?, None),
    };
    let (facts, warmup_requests) = (&blocks.facts, Some(warmup as u64));
    let curve = Curve { schema, kind, tool, facts, warmup_requests, sample, policies };
    let table = || table(&blocks, &curve.policies, sample);
    written(&args.output, &curve, || csv(&curve.policies), table, global)
}

fn capacities(args: &Args, blocks: &Blocks) -> Result<Vec<u32>> {
    if args.capacity.is_empty() {
        return Ok(spread(blocks.references.distinct, args.points));
    }
    let mut capacities = args.capacity.iter().map(|c| blocks.capacity("--capacity", *c)).collect::<Result<Vec<_>>>()?;
    capacities.sort_unstable();
    capacities.dedup();
    Ok(capacities)
}

fn point(blocks: &Blocks, capacity: u32, total: u64) -> Point {
    let capacity = u64::from(capacity);
    Point {
        capacity,
        unit: "blocks",
        capacity_tokens: Some(capacity.saturating_mul(blocks.facts.block_tokens.into())),
        capacity_bytes: blocks.block_bytes().map(|block| capacity.saturating_mul(block)),
        total,
        ..Point::default()
    }
}

/// References that are counted.
fn counted(blocks: &Blocks, warmup: usize) -> Result<u64> {
    match Totals::after(&blocks.references, warmup).blocks {
        0 => {
            Err(Error::usage("--warmup leaves requests without a token block only, so that nothing counts; take fewer"))
        }
        total => Ok(total),
    }
}

fn exact(
    args: &Args,
    blocks: &Blocks,
    warmup: usize,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Vec<PolicyCurve>> {
    let (capacities, semantics) = (capacities(args, blocks)?, args.semantics.unwrap_or(Semantics::Prefix));
    let total = counted(blocks, warmup)?;
    progress.stage("curves", Some(args.policy.len() as u64), "policies");
    let of = |policy: &Eviction| {
        let counts = counts_after(&blocks.references, *policy, semantics, &capacities, warmup, stop)?;
        let points = capacities.iter().zip(counts).map(|(capacity, counts)| {
            let hits = semantics.blocks(&counts);
            Point { hit_ratio: hits as f64 / total as f64, hits, ..point(blocks, *capacity, total) }
        });
        progress.advance(1);
        Ok(PolicyCurve { policy: policy.word(), semantics, points: points.collect() })
    };
    let policies = args.policy.iter().map(of).collect();
    progress.done();
    policies
}

fn sampled(args: &Args, blocks: &Blocks, rate: f64, warmup: usize) -> Result<(Vec<PolicyCurve>, Option<SampleFacts>)> {
    if args.policy.iter().any(|policy| *policy != Eviction::Lru) {
        return Err(Error::usage("--sample: only --policy lru is sampled; leave --sample out for the others"));
    }
    let (capacities, semantics) = (capacities(args, blocks)?, args.semantics.unwrap_or(Semantics::Prefix));
    let total = counted(blocks, warmup)?;
    let sample = Sampled::of(&blocks.references, semantics, rate, warmup)?;
    let points = capacities.iter().zip(sample.at(semantics, &capacities)).map(|(capacity, estimate)| Point {
        hit_ratio: estimate.ratio,
        error: Some(estimate.error),
        hits: (estimate.ratio * total as f64).round() as u64,
        ..point(blocks, *capacity, total)
    });
    let curve = PolicyCurve { policy: Eviction::Lru.word(), semantics, points: points.collect() };
    let facts = SampleFacts {
        method: "shards-adj",
        rate: sample.rate(),
        blocks: sample.blocks,
        references: sample.references,
        weight: sample.weight,
        confidence: 0.95,
    };
    Ok((vec![curve], Some(facts)))
}

fn of_objects(args: &Args, trace: &TraceObjects, stop: &Stop) -> Result<Vec<PolicyCurve>> {
    if args.sample.is_some() {
        return Err(Error::usage("--sample: objects of a trace have many sizes and are not sampled; leave it out"));
    }
    let capacities = match args.capacity.is_empty() {
        true => spread_bytes(trace.facts.largest_bytes, trace.facts.footprint_bytes, args.points),
        false => objects::capacities("--capacity", &args.capacity)?,
    };
    let (total, total_bytes) = (trace.totals.lookups, trace.totals.lookup_bytes);
    let of = |policy: &Eviction| {
        let counts = object_counts(&trace.traces.objects, *policy, &capacities, trace.warmup, stop)?;
        let points = capacities.iter().zip(counts).map(|(capacity, counts)| Point {
            capacity: *capacity,
            unit: "bytes",
            capacity_bytes: Some(*capacity),
            hit_ratio: counts.hits as f64 / total as f64,
            hits: counts.hits,
            total,
            byte_hit_ratio: (total_bytes > 0).then(|| counts.hit_bytes as f64 / total_bytes as f64),
            hit_bytes: Some(counts.hit_bytes),
            total_bytes: Some(total_bytes),
            ..Point::default()
        });
        Ok(PolicyCurve { policy: policy.word(), semantics: Semantics::Any, points: points.collect() })
    };
    args.policy.iter().map(of).collect()
}

fn csv(policies: &[PolicyCurve]) -> Vec<u8> {
    let mut text = "policy,semantics,capacity,unit,capacity_tokens,capacity_bytes,hit_ratio,error,hits,total,\
                    byte_hit_ratio,hit_bytes,total_bytes\n"
        .to_owned();
    let or_empty = |value: Option<String>| value.unwrap_or_default();
    for policy in policies {
        for p in &policy.points {
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{},{},{},{},{}",
                policy.policy,
                policy.semantics.word(),
                p.capacity,
                p.unit,
                or_empty(p.capacity_tokens.map(|tokens| tokens.to_string())),
                or_empty(p.capacity_bytes.map(|bytes| bytes.to_string())),
                p.hit_ratio,
                or_empty(p.error.map(|error| error.to_string())),
                p.hits,
                p.total,
                or_empty(p.byte_hit_ratio.map(|ratio| ratio.to_string())),
                or_empty(p.hit_bytes.map(|bytes| bytes.to_string())),
                or_empty(p.total_bytes.map(|bytes| bytes.to_string()))
            );
        }
    }
    text.into_bytes()
}

fn table(blocks: &Blocks, policies: &[PolicyCurve], sample: Option<SampleFacts>) -> String {
    let mut text = blocks.line();
    if let Some(sample) = sample {
        let _ = write!(
            text,
            "\nestimated from {} of {} blocks (SHARDS, rate {}), 95 % confidence; without --sample it is exact",
            units::count(sample.blocks),
            units::count(blocks.facts.distinct_blocks),
            sample.rate
        );
    }
    let _ = write!(text, "\n\n{:>12}  {:>16}  {:>10}", "blocks", "tokens", "bytes");
    for policy in policies {
        let _ = write!(text, "  {:>8}", policy.policy);
    }
    text.push('\n');
    for (row, point) in policies[0].points.iter().enumerate() {
        let bytes = point.capacity_bytes.map_or("-".to_owned(), units::bytes);
        let (capacity, tokens) =
            (units::count(point.capacity), point.capacity_tokens.map_or("-".to_owned(), units::count));
        let _ = write!(text, "{capacity:>12}  {tokens:>16}  {bytes:>10}");
        for policy in policies {
            let _ = write!(text, "  {:>8.4}", policy.points[row].hit_ratio);
        }
        let _ = match point.error {
            Some(error) => writeln!(text, " ± {error:.4}"),
            None => writeln!(text),
        };
    }
    text
}

fn byte_table(trace: &TraceObjects, policies: &[PolicyCurve]) -> String {
    let mut text = format!("{}\nof lookups, and of their bytes\n\n{:>12}", trace.line(), "bytes");
    for policy in policies {
        let _ = write!(text, "  {:>8}  {:>8}", policy.policy, "bytes");
    }
    text.push('\n');
    for (row, point) in policies[0].points.iter().enumerate() {
        let _ = write!(text, "{:>12}", units::bytes(point.capacity));
        for policy in policies {
            let point = &policy.points[row];
            let _ = write!(text, "  {:>8.4}  {:>8.4}", point.hit_ratio, point.byte_hit_ratio.unwrap_or_default());
        }
        text.push('\n');
    }
    text
}
