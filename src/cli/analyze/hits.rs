//! `kvtrace analyze hits`

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::curve::{Eviction, Semantics, counts_at};
use crate::analyze::hits::{Cache, Definition, MEANINGS, definitions};
use crate::error::Result;
use crate::stop::Stop;
use crate::units;

use super::blocks::{BlockArgs, BlockFacts, Blocks, Capacity};
use super::{check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `hits`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    /// Also with a cache of this capacity: token blocks, or bytes with a unit and a --model
    #[arg(long, value_name = "CAPACITY", value_delimiter = ',')]
    capacity: Vec<Capacity>,
    /// What goes when there is no room, with --capacity
    #[arg(long, value_name = "POLICY", value_delimiter = ',', default_value = "lru")]
    policy: Vec<Eviction>,
    /// The order in which a prompt's blocks are used; each definition says itself what counts
    #[arg(long, value_enum, default_value_t = Semantics::Prefix)]
    semantics: Semantics,
    /// Say what each definition counts
    #[arg(long)]
    explain: bool,
    /// Write the result to a file, .json or .csv
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Hits<'a> {
    schema: &'static str,
    kind: &'static str,
    tool: &'static str,
    #[serde(flatten)]
    facts: &'a BlockFacts,
    semantics: Semantics,
    definitions: Vec<Definition>,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let blocks = args.blocks.read(stop, &Terminal::new(global))?;
    let hits = Hits {
        schema: ANALYSIS_SCHEMA,
        kind: "hits",
        tool: crate::TOOL,
        facts: &blocks.facts,
        semantics: args.semantics,
        definitions: all_definitions(args, &blocks, stop)?,
    };
    let table = || table(&blocks, &hits.definitions, args.explain);
    written(&args.output, &hits, || csv(&hits.definitions), table, global)
}

fn all_definitions(args: &Args, blocks: &Blocks, stop: &Stop) -> Result<Vec<Definition>> {
    let (references, semantics) = (&blocks.references, args.semantics);
    let bytes_per_token = blocks.facts.bytes_per_token;
    let endless = counts_at(references, Eviction::Lru, semantics, &[references.distinct], stop)?[0];
    let mut all = definitions(&endless, references, Cache { limit: None, semantics }, bytes_per_token);
    let mut capacities = args.capacity.iter().map(|c| blocks.capacity(*c)).collect::<Result<Vec<_>>>()?;
    capacities.sort_unstable();
    capacities.dedup();
    for policy in &args.policy {
        for (capacity, counts) in capacities.iter().zip(counts_at(references, *policy, semantics, &capacities, stop)?) {
            let cache = Cache { limit: Some((*policy, *capacity)), semantics };
            all.extend(definitions(&counts, references, cache, bytes_per_token));
        }
    }
    Ok(all)
}

fn csv(definitions: &[Definition]) -> Vec<u8> {
    let mut text = "name,policy,capacity_blocks,unit,hits,total,ratio\n".to_owned();
    for d in definitions {
        let capacity = d.capacity.map_or(String::new(), |capacity| capacity.to_string());
        let policy = d.policy.unwrap_or_default();
        let _ = writeln!(text, "{},{policy},{capacity},{},{},{},{}", d.name, d.unit, d.hits, d.total, d.ratio);
    }
    text.into_bytes()
}

fn table(blocks: &Blocks, definitions: &[Definition], explain: bool) -> String {
    let mut text = blocks.line();
    let mut cache = None;
    for d in definitions {
        if cache != Some((d.policy, d.capacity)) {
            cache = Some((d.policy, d.capacity));
            let _ = match (d.policy, d.capacity) {
                (Some(policy), Some(capacity)) => {
                    writeln!(text, "\n\n{policy}, {} blocks{}", units::count(capacity), in_bytes(blocks, capacity))
                }
                _ => writeln!(text, "\n\na cache without end"),
            };
        }
        let figure = |value: f64| if d.unit == "bytes" { units::bytes(value as u64) } else { of(value) };
        let _ = writeln!(
            text,
            "{:<20}  {:.4}  {:>14} of {} {}",
            d.name,
            d.ratio,
            figure(d.hits),
            figure(d.total),
            if d.unit == "bytes" { "" } else { d.unit }
        );
    }
    if explain {
        text.push('\n');
        for (name, meaning) in MEANINGS {
            let _ = writeln!(text, "{name}: {meaning}");
        }
    }
    text
}

/// A count, or a mean of requests with what is left of it.
fn of(value: f64) -> String {
    if value.fract() == 0.0 { units::count(value as u64) } else { format!("{value:.1}") }
}

fn in_bytes(blocks: &Blocks, capacity: u64) -> String {
    blocks.block_bytes().map_or(String::new(), |block| format!(" ({})", units::bytes(capacity.saturating_mul(block))))
}
