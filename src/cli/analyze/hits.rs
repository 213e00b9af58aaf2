//! `kvtrace analyze hits`

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::curve::{Eviction, Semantics, counts_after};
use crate::analyze::hits::{Cache, Definition, MEANINGS, Totals, definitions, object_definitions};
use crate::analyze::object_curve::{ObjectCounts, object_counts};
use crate::analyze::object_tiers::tier_counts;
use crate::analyze::objects::MEANING;
use crate::error::Result;
use crate::stop::Stop;
use crate::units;

use super::blocks::{BlockArgs, Blocks, Capacity};
use super::objects::{self, TraceObjects};
use super::warmup::Warmup;
use super::{TAIL_FIRST_BELADY, check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `hits`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    /// Also with a cache of this capacity: token blocks, or bytes with a unit and a --model; of a
    /// trace always bytes
    #[arg(long, value_name = "CAPACITY", value_delimiter = ',')]
    capacity: Vec<Capacity>,
    /// Also with tiers of these capacities, fastest first, a hit moving to the first one and what
    /// leaves a tier to the next (lru): each tier's hits, and with the tiers above it
    #[arg(long, value_name = "CAPACITY", value_delimiter = ',')]
    tiers: Vec<Capacity>,
    /// What goes when there is no room, with --capacity; belady is no bound with --semantics
    /// tail-first
    #[arg(long, value_name = "POLICY", value_delimiter = ',', default_value = "lru")]
    policy: Vec<Eviction>,
    /// The order in which a prompt's blocks are used; each definition says itself what counts
    /// [default: prefix]
    #[arg(long, value_enum)]
    semantics: Option<Semantics>,
    /// The first so many requests (of a trace: references), or a share such as 10%, fill the caches
    /// and are not counted
    #[arg(long, value_name = "N")]
    warmup: Option<Warmup>,
    /// Say what each definition counts
    #[arg(long)]
    explain: bool,
    /// Write the result to a file: .json, .csv or .parquet
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Hits<'a, F: Serialize> {
    schema: &'static str,
    kind: &'static str,
    tool: &'static str,
    #[serde(flatten)]
    facts: &'a F,
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup_requests: Option<u64>,
    semantics: Semantics,
    definitions: Vec<Definition>,
    /// What to know before quoting them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let terminal = Terminal::new(global);
    let semantics = args.semantics.unwrap_or(Semantics::Prefix);
    let (schema, kind, tool) = (ANALYSIS_SCHEMA, "hits", crate::TOOL);
    if let Some(trace) = objects::read(&args.blocks, args.semantics, args.warmup, stop, &terminal)? {
        let definitions = of_objects(args, &trace, stop)?;
        let (facts, semantics, warmup_requests) = (&trace.facts, Semantics::Any, None);
        let notes = trace_notes(&definitions, args.warmup.is_some());
        let hits = Hits { schema, kind, tool, facts, warmup_requests, semantics, definitions, notes };
        let line = || std::iter::once(trace.line()).chain(hits.notes.iter().cloned()).collect::<Vec<_>>().join("\n- ");
        let table = || table(&line(), &hits.definitions, None, args.explain);
        return written(&args.output, &hits, || csv(&hits.definitions), table, global);
    }
    let blocks = args.blocks.read(stop, &terminal)?;
    if semantics == Semantics::TailFirst && args.policy.contains(&Eviction::Belady) {
        terminal.say(TAIL_FIRST_BELADY);
    }
    let requests = blocks.references.requests();
    let warmup = args.warmup.map_or(Ok(0), |warmup| warmup.of(requests, "requests"))?;
    let definitions = of_blocks(args, &blocks, semantics, warmup, stop)?;
    let (facts, warmup_requests) = (&blocks.facts, Some(warmup as u64));
    let hits = Hits { schema, kind, tool, facts, warmup_requests, semantics, definitions, notes: Vec::new() };
    let table = || table(&blocks.line(), &hits.definitions, blocks.block_bytes(), args.explain);
    written(&args.output, &hits, || csv(&hits.definitions), table, global)
}

fn of_blocks(
    args: &Args,
    blocks: &Blocks,
    semantics: Semantics,
    warmup: usize,
    stop: &Stop,
) -> Result<Vec<Definition>> {
    let references = &blocks.references;
    let totals = Totals::after(references, warmup);
    let counts = |policy, capacities: &[u32]| counts_after(references, policy, semantics, capacities, warmup, stop);
    let define =
        |limit, counts: &_| definitions(counts, totals, Cache { limit, bytes: false }, blocks.facts.bytes_per_token);
    let mut all = define(None, &counts(Eviction::Lru, &[references.distinct])?[0]);
    let mut capacities = args.capacity.iter().map(|c| blocks.capacity("--capacity", *c)).collect::<Result<Vec<_>>>()?;
    capacities.sort_unstable();
    capacities.dedup();
    for policy in &args.policy {
        for (capacity, counts) in capacities.iter().zip(counts(*policy, &capacities)?) {
            all.extend(define(Some((*policy, u64::from(*capacity))), &counts));
        }
    }
    let tiers = args.tiers.iter().map(|c| blocks.capacity("--tiers", *c).map(u64::from)).collect::<Result<Vec<_>>>()?;
    let bounds = cumulative(&tiers);
    let short: Vec<u32> = bounds.iter().map(|bound| u32::try_from(*bound).unwrap_or(u32::MAX)).collect();
    let at: Vec<_> = counts(Eviction::Lru, &short)?;
    let at = bounds.iter().zip(at).map(|(bound, counts)| define(Some((Eviction::Lru, *bound)), &counts));
    all.extend(by_tier(&tiers, at.collect()));
    Ok(all)
}

fn of_objects(args: &Args, trace: &TraceObjects, stop: &Stop) -> Result<Vec<Definition>> {
    let (objects, totals) = (&trace.traces.objects, &trace.totals);
    let define = |limit, counts: &_| object_definitions(counts, totals, Cache { limit, bytes: true });
    let counts = |policy, capacities: &[u64]| object_counts(objects, policy, capacities, trace.warmup, stop);
    let mut all = trace.traces.recorded.definitions();
    all.extend(define(None, &counts(Eviction::Lru, &[u64::MAX])?[0]));
    let capacities = objects::capacities("--capacity", &args.capacity)?;
    for policy in &args.policy {
        for (capacity, counts) in capacities.iter().zip(counts(*policy, &capacities)?) {
            all.extend(define(Some((*policy, *capacity)), &counts));
        }
    }
    let tiers = args.tiers.iter().map(|c| Ok(objects::capacities("--tiers", &[*c])?[0])).collect::<Result<Vec<_>>>()?;
    let bounds = cumulative(&tiers);
    let mut together = ObjectCounts::default();
    let at = bounds.iter().zip(tier_counts(objects, &tiers, trace.warmup, stop)?).map(|(bound, counts)| {
        together.hits += counts.hits;
        together.hit_bytes += counts.hit_bytes;
        define(Some((Eviction::Lru, *bound)), &together)
    });
    let at = at.collect();
    all.extend(by_tier(&tiers, at));
    Ok(all)
}

/// What to know of the ratios of a trace.
fn trace_notes(definitions: &[Definition], warmup: bool) -> Vec<String> {
    let lookups = definitions.iter().find(|d| d.name == "recorded.lookups");
    let mut notes = vec![match lookups.map(|d| d.total - d.hits) {
        Some(missed) if missed > 0.0 => format!(
            "{} of the recording's lookups found nothing and left no row: object.* and bytes.* are of those that did \
             (recorded.lookups has all)",
            units::count(missed as u64)
        ),
        Some(_) => "every lookup of the recording found something".to_owned(),
        None => "lookups that found nothing leave no row in a trace: object.* and bytes.* are of those that did".into(),
    }];
    if warmup {
        notes.push("recorded.* are of the whole trace: --warmup is about the simulated caches".to_owned());
    }
    notes
}

/// What tiers hold together with those above them.
fn cumulative(tiers: &[u64]) -> Vec<u64> {
    let mut all = 0u64;
    tiers
        .iter()
        .map(|tier| {
            all = all.saturating_add(*tier);
            all
        })
        .collect()
}

/// Of what the tiers together hit, what each has alone. LRU tiers of blocks in a waterfall hold what
/// one LRU cache of their sum would, the later used the faster; of objects they are simulated.
fn by_tier(tiers: &[u64], together: Vec<Vec<Definition>>) -> Vec<Definition> {
    let mut all = Vec::new();
    let mut above: Option<Vec<Definition>> = None;
    for (tier, (capacity, definitions)) in tiers.iter().zip(together).enumerate() {
        let alone = definitions.iter().enumerate().map(|(number, with)| {
            let before = above.as_ref().map_or(0.0, |above| above[number].hits);
            let own = Definition::plain(with.name, with.unit, with.hits - before, with.total).of_tier(tier, false);
            Definition { policy: with.policy, capacity: Some(*capacity), capacity_unit: with.capacity_unit, ..own }
        });
        all.extend(alone);
        all.extend(definitions.iter().map(|with| with.clone().of_tier(tier, true)));
        above = Some(definitions);
    }
    all
}

fn csv(definitions: &[Definition]) -> Vec<u8> {
    let mut text = "name,policy,capacity,capacity_unit,tier,cumulative,unit,hits,total,ratio\n".to_owned();
    for d in definitions {
        let of = |value: Option<String>| value.unwrap_or_default();
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{}",
            d.name,
            d.policy.unwrap_or_default(),
            of(d.capacity.map(|capacity| capacity.to_string())),
            d.capacity_unit.unwrap_or_default(),
            of(d.tier.map(|tier| tier.to_string())),
            of(d.cumulative.map(|cumulative| cumulative.to_string())),
            d.unit,
            d.hits,
            d.total,
            of(d.ratio.map(|ratio| ratio.to_string()))
        );
    }
    text.into_bytes()
}

fn table(line: &str, definitions: &[Definition], block_bytes: Option<u64>, explain: bool) -> String {
    let mut text = format!("{line}\n");
    let mut last = None;
    // The first tier with those above it is the first tier.
    for d in definitions.iter().filter(|d| (d.tier, d.cumulative) != (Some(0), Some(true))) {
        let title = title(d, block_bytes);
        if last.as_ref() != Some(&title) {
            let _ = writeln!(text, "\n{title}");
            last = Some(title);
        }
        let figure = |value: f64| if d.unit == "bytes" { units::bytes(value as u64) } else { of(value) };
        let _ = writeln!(
            text,
            "{:<24}  {}  {:>14} of {} {}",
            d.name,
            d.ratio.map_or("     -".to_owned(), |ratio| format!("{ratio:.4}")),
            figure(d.hits),
            figure(d.total),
            if d.unit == "bytes" { "" } else { d.unit }
        );
    }
    if explain {
        text.push('\n');
        for (name, meaning) in MEANINGS.iter().filter(|(name, _)| definitions.iter().any(|d| d.name == *name)) {
            let _ = writeln!(text, "{name}: {meaning}");
        }
        if definitions.iter().any(|d| d.name.ends_with(".lookup")) {
            let _ = writeln!(text, "a lookup: {MEANING}");
        }
    }
    text
}

/// Of which cache the next definitions are.
fn title(d: &Definition, block_bytes: Option<u64>) -> String {
    let capacity = match (d.capacity, d.capacity_unit) {
        (Some(bytes), Some("bytes")) => format!(", {}", units::bytes(bytes)),
        (Some(blocks), _) => {
            let bytes = block_bytes.map(|block| format!(" ({})", units::bytes(blocks.saturating_mul(block))));
            format!(", {} blocks{}", units::count(blocks), bytes.unwrap_or_default())
        }
        (None, _) => String::new(),
    };
    let cache = match d.policy {
        Some(policy) => format!("{policy}{capacity}"),
        None if d.name.starts_with("recorded.") => "as recorded".to_owned(),
        None => "a cache without end".to_owned(),
    };
    match (d.tier, d.cumulative) {
        (Some(tier), Some(true)) => format!("{cache}: tiers 0 to {tier}"),
        (Some(tier), _) => format!("{cache}: tier {tier}"),
        _ => cache,
    }
}

/// A count, or a mean of requests with what is left of it.
fn of(value: f64) -> String {
    if value.fract() == 0.0 { units::count(value as u64) } else { format!("{value:.1}") }
}
