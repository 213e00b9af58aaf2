//! `kvtrace analyze curve`

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::curve::{Eviction, Semantics, counts_at, spread};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::units;

use super::blocks::{BlockArgs, BlockFacts, Blocks, Capacity};
use super::{check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `curve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    /// What goes when there is no room: lru, fifo, lfu, sieve, s3-fifo, arc, belady (the best that
    /// is possible, with bypass)
    #[arg(long, value_name = "POLICY", value_delimiter = ',', default_value = "lru")]
    policy: Vec<Eviction>,
    /// What counts as a hit: a block after which nothing before is missing, any block, or the
    /// first with the ends of prompts evicted before their beginnings
    #[arg(long, value_enum, default_value_t = Semantics::Prefix)]
    semantics: Semantics,
    /// Capacities from one block to all of them, each the same factor above the one before
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    points: u32,
    /// These capacities instead: token blocks, or bytes with a unit and a --model
    #[arg(long, value_name = "CAPACITY", value_delimiter = ',')]
    capacity: Vec<Capacity>,
    /// Write the result to a file, .json or .csv
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Curve<'a> {
    schema: &'static str,
    kind: &'static str,
    tool: &'static str,
    #[serde(flatten)]
    facts: &'a BlockFacts,
    policies: Vec<PolicyCurve>,
}

#[derive(Serialize)]
struct PolicyCurve {
    policy: &'static str,
    semantics: Semantics,
    points: Vec<Point>,
}

#[derive(Serialize)]
struct Point {
    capacity: u64,
    unit: &'static str,
    capacity_tokens: u64,
    capacity_bytes: Option<u64>,
    hit_ratio: f64,
    hits: u64,
    total: u64,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let blocks = args.blocks.read(stop, &Terminal::new(global))?;
    let capacities = capacities(args, &blocks)?;
    let mut policies = Vec::new();
    for policy in &args.policy {
        policies.push(policy_curve(&blocks, *policy, args.semantics, &capacities, stop)?);
    }
    let (facts, tool) = (&blocks.facts, crate::TOOL);
    let curve = Curve { schema: ANALYSIS_SCHEMA, kind: "curve", tool, facts, policies };
    written(&args.output, &curve, || csv(&curve), || table(&blocks, &curve), global)
}

fn capacities(args: &Args, blocks: &Blocks) -> Result<Vec<u32>> {
    if args.capacity.is_empty() {
        return Ok(spread(blocks.references.distinct, args.points));
    }
    let mut capacities = args.capacity.iter().map(|c| blocks.capacity(*c)).collect::<Result<Vec<_>>>()?;
    capacities.sort_unstable();
    capacities.dedup();
    if capacities.is_empty() { Err(Error::usage("--capacity: name at least one")) } else { Ok(capacities) }
}

fn policy_curve(
    blocks: &Blocks,
    policy: Eviction,
    semantics: Semantics,
    capacities: &[u32],
    stop: &Stop,
) -> Result<PolicyCurve> {
    let counts = counts_at(&blocks.references, policy, semantics, capacities, stop)?;
    let total = blocks.facts.blocks;
    let points = capacities.iter().zip(counts).map(|(capacity, counts)| {
        let (capacity, hits) = (u64::from(*capacity), semantics.blocks(&counts));
        Point {
            capacity,
            unit: "blocks",
            capacity_tokens: capacity * u64::from(blocks.facts.block_tokens),
            capacity_bytes: blocks.block_bytes().map(|block| capacity.saturating_mul(block)),
            hit_ratio: hits as f64 / total as f64,
            hits,
            total,
        }
    });
    Ok(PolicyCurve { policy: policy.word(), semantics, points: points.collect() })
}

fn csv(curve: &Curve) -> Vec<u8> {
    let mut text = "policy,semantics,capacity_blocks,capacity_tokens,capacity_bytes,hit_ratio,hits,total\n".to_owned();
    for policy in &curve.policies {
        let (name, semantics) = (policy.policy, policy.semantics.word());
        for p in &policy.points {
            let bytes = p.capacity_bytes.map_or(String::new(), |bytes| bytes.to_string());
            let (blocks, tokens) = (p.capacity, p.capacity_tokens);
            let _ =
                writeln!(text, "{name},{semantics},{blocks},{tokens},{bytes},{},{},{}", p.hit_ratio, p.hits, p.total);
        }
    }
    text.into_bytes()
}

fn table(blocks: &Blocks, curve: &Curve) -> String {
    let mut text = format!("{}\n\n{:>12}  {:>16}  {:>10}", blocks.line(), "blocks", "tokens", "bytes");
    for policy in &curve.policies {
        let _ = write!(text, "  {:>8}", policy.policy);
    }
    text.push('\n');
    for (row, point) in curve.policies[0].points.iter().enumerate() {
        let bytes = point.capacity_bytes.map_or("-".to_owned(), units::bytes);
        let (capacity, tokens) = (units::count(point.capacity), units::count(point.capacity_tokens));
        let _ = write!(text, "{capacity:>12}  {tokens:>16}  {bytes:>10}");
        for policy in &curve.policies {
            let _ = write!(text, "  {:>8.4}", policy.points[row].hit_ratio);
        }
        text.push('\n');
    }
    text
}
