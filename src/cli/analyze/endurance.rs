//! `kvtrace analyze endurance`

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::curve::{Eviction, Semantics};
use crate::analyze::endurance::writes::{Outcome, Tiers, Writing, outcomes};
use crate::analyze::endurance::{Drives, Load, Wear, decimal};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::units::{self, three_digits};

use super::blocks::{BlockArgs, BlockFacts, Blocks, Capacity};
use super::drives::DriveArgs;
use super::input::of_pipe;
use super::recorded::{Recorded, Recording, recording};
use super::{check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `endurance`. Instead of requests, FILE may be traces, replay results and
/// captures, whose writes are taken as they were recorded.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    #[command(flatten)]
    drives: DriveArgs,
    /// What goes when there is no room: lru, fifo, lfu, sieve, s3-fifo, arc, belady
    #[arg(long, value_name = "POLICY", value_delimiter = ',', default_value = "lru")]
    policy: Vec<Eviction>,
    /// Capacities of the drives besides one without end: token blocks, or bytes
    #[arg(long, value_name = "CAPACITY", value_delimiter = ',')]
    capacity: Vec<Capacity>,
    /// Write a block when it is touched for the N-th time in the trace, and no earlier
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    admit: Vec<u32>,
    /// DRAM in front, LRU, which takes everything: token blocks, or bytes [default: none]
    #[arg(long, value_name = "CAPACITY")]
    dram: Option<Capacity>,
    /// When a block is written: when it is computed (through), when DRAM evicts it unless the drives
    /// have it (back), whenever DRAM evicts it (exclusive, lru only)
    #[arg(long, value_name = "WHEN", value_delimiter = ',', default_value = "through")]
    writes: Vec<Writing>,
    /// The order in which a prompt's blocks are used, and whether hits count behind a missing block
    #[arg(long, value_enum, default_value_t = Semantics::Prefix)]
    semantics: Semantics,
    /// Write the result to a file: .json, .csv or .parquet
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Endurance<'a> {
    schema: &'static str,
    kind: &'static str,
    tool: &'static str,
    #[serde(flatten)]
    facts: &'a BlockFacts,
    semantics: Semantics,
    load: Load,
    drives: Drives,
    assumptions: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    policy: &'static str,
    writes: Writing,
    dram_blocks: u32,
    capacity: Option<u32>,
    capacity_bytes: Option<u64>,
    admit: u32,
    hits: u64,
    hit_ratio: f64,
    /// Less than what a filter that admits everything has.
    hit_ratio_lost: f64,
    host_writes_blocks: u64,
    host_writes_bytes: u64,
    drives: u32,
    #[serde(flatten)]
    wear: Wear,
}

#[derive(Serialize)]
struct RecordedWrites {
    schema: &'static str,
    kind: &'static str,
    tool: &'static str,
    drives: Drives,
    assumptions: Vec<String>,
    recorded: Vec<Recorded>,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let terminal = Terminal::new(global);
    let files = args.blocks.files();
    let kinds = files.iter().map(|file| recording(file)).collect::<Result<Vec<_>>>()?;
    if kinds.iter().all(|kind| *kind == Recording::No) {
        return requests(args, global, &terminal, stop);
    }
    if let Some(other) = files.iter().zip(&kinds).find(|(_, kind)| **kind == Recording::No) {
        return Err(Error::usage(format!(
            "{} is no trace, replay result or capture; requests and recordings are analysed apart",
            other.0.display()
        )));
    }
    args.blocks.refuse_flags_of_requests()?;
    let mut all = Vec::new();
    for (file, kind) in files.iter().zip(kinds) {
        let recorded = Recorded::of(kind, file, &args.drives, stop, &terminal);
        all.extend(recorded.map_err(|e| of_pipe(files, e))?);
    }
    let drives = args.drives.drives(None);
    let (schema, tool, assumptions) = (ANALYSIS_SCHEMA, crate::TOOL, vec![drives.words()]);
    let analysis = RecordedWrites { schema, kind: "endurance", tool, drives, assumptions, recorded: all };
    written(&args.output, &analysis, || recorded_csv(&analysis.recorded), || recorded_table(&analysis), global)
}

fn requests(args: &Args, global: Global, terminal: &Terminal, stop: &Stop) -> Result<()> {
    let blocks = args.blocks.read(stop, terminal)?;
    let Some(block_bytes) = blocks.block_bytes() else {
        return Err(Error::usage("endurance counts bytes; add --model llama3.1-8b, or bytes:N for N bytes a token"));
    };
    let all = all_tiers(args, &blocks)?;
    let found = outcomes(&blocks.references, args.semantics, &all, stop)?;
    let load = args.drives.load(blocks.facts.span_s);
    let rows = all.iter().zip(&found).map(|(tiers, outcome)| {
        let free = all.iter().zip(&found).find(|(other, _)| **other == Tiers { admit: 1, ..*tiers });
        row(args, &blocks, (tiers, outcome), free.map_or(outcome, |(_, outcome)| outcome), block_bytes)
    });
    let analysis = Endurance {
        schema: ANALYSIS_SCHEMA,
        kind: "endurance",
        tool: crate::TOOL,
        semantics: args.semantics,
        load,
        drives: args.drives.drives(None),
        assumptions: assumptions(args, &blocks, &load, block_bytes),
        rows: rows.filter(|row| args.admit.contains(&row.admit)).collect(),
        facts: &blocks.facts,
    };
    written(&args.output, &analysis, || csv(&analysis.rows), || table(&blocks, &analysis), global)
}

/// Every combination, and those without a filter to compare with; drives without end first, where
/// all policies are the same.
fn all_tiers(args: &Args, blocks: &Blocks) -> Result<Vec<Tiers>> {
    let dram = match args.dram {
        None | Some(Capacity::Blocks(0) | Capacity::Bytes(0)) => 0,
        Some(dram) => blocks.capacity("--dram", dram)?,
    };
    let mut capacities = args.capacity.iter().map(|c| blocks.capacity("--capacity", *c)).collect::<Result<Vec<_>>>()?;
    capacities.sort_unstable();
    capacities.dedup();
    let mut admissions = args.admit.clone();
    admissions.push(1);
    admissions.sort_unstable();
    admissions.dedup();
    let mut all = Vec::new();
    for writing in &args.writes {
        for capacity in std::iter::once(None).chain(capacities.iter().copied().map(Some)) {
            let policies = if capacity.is_none() { &[Eviction::Lru][..] } else { &args.policy };
            for policy in policies {
                let tiers = |admit| Tiers { policy: *policy, capacity, dram, writing: *writing, admit };
                all.extend(admissions.iter().copied().map(tiers));
            }
        }
    }
    Ok(all)
}

fn row(args: &Args, blocks: &Blocks, one: (&Tiers, &Outcome), free: &Outcome, block_bytes: u64) -> Row {
    let (tiers, outcome) = one;
    let total = blocks.facts.blocks.max(1) as f64;
    let ratio = |outcome: &Outcome| args.semantics.blocks(&outcome.counts) as f64 / total;
    let bytes = block_bytes.saturating_mul(outcome.writes);
    let capacity_bytes = tiers.capacity.map(|capacity| block_bytes.saturating_mul(capacity.into()));
    let drives = args.drives.drives(capacity_bytes);
    Row {
        policy: tiers.policy.word(),
        writes: tiers.writing,
        dram_blocks: tiers.dram,
        capacity: tiers.capacity,
        capacity_bytes,
        admit: tiers.admit,
        hits: args.semantics.blocks(&outcome.counts),
        hit_ratio: ratio(outcome),
        hit_ratio_lost: ratio(free) - ratio(outcome),
        host_writes_blocks: outcome.writes,
        host_writes_bytes: bytes,
        drives: drives.count,
        wear: drives.wear(bytes as f64, &args.drives.load(blocks.facts.span_s)),
    }
}

fn assumptions(args: &Args, blocks: &Blocks, load: &Load, block_bytes: u64) -> Vec<String> {
    let full =
        format!("every block is written in full: {} tokens, {}", blocks.facts.block_tokens, units::bytes(block_bytes));
    let mut all = vec![load.words(), args.drives.drives(None).words(), full];
    all.push("the caches start empty, and what fills them first counts as written".to_owned());
    if args.drives.drives.is_none() && args.drives.drive_capacity.is_some() {
        all.push("each capacity has as many drives as it needs, one without end has one (--drives)".to_owned());
    }
    if args.admit.iter().any(|admit| *admit > 1) {
        all.push("a filter remembers the touches of every block over the whole trace".to_owned());
    }
    all
}

fn csv(rows: &[Row]) -> Vec<u8> {
    let mut text = "policy,writes,dram_blocks,capacity_blocks,admit,hit_ratio,hit_ratio_lost,host_writes_blocks,\
                    host_writes_bytes,host_writes_per_day_bytes,drives,dwpd,years\n"
        .to_owned();
    for r in rows {
        let capacity = r.capacity.map_or(String::new(), |capacity| capacity.to_string());
        let (writes, wear) = (r.writes.word(), wear_csv(&r.wear, r.drives));
        let _ = writeln!(
            text,
            "{},{writes},{},{capacity},{},{},{},{},{},{wear}",
            r.policy, r.dram_blocks, r.admit, r.hit_ratio, r.hit_ratio_lost, r.host_writes_blocks, r.host_writes_bytes
        );
    }
    text.into_bytes()
}

fn wear_csv(wear: &Wear, drives: u32) -> String {
    let cell = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    format!("{},{drives},{},{}", cell(wear.host_writes_per_day_bytes), cell(wear.dwpd), cell(wear.years))
}

/// Writes of a day, DWPD and years, for a table.
pub fn wear_cells(wear: &Wear) -> [String; 3] {
    let cell = |value: Option<f64>| value.map_or("-".to_owned(), three_digits);
    let years =
        wear.years.map_or("-".to_owned(), |years| if years < 0.01 { "<0.01".to_owned() } else { three_digits(years) });
    [wear.host_writes_per_day_bytes.map_or("-".to_owned(), decimal), cell(wear.dwpd), years]
}

fn table(blocks: &Blocks, analysis: &Endurance) -> String {
    let mut text = blocks.line() + "\n";
    for assumption in &analysis.assumptions {
        let _ = writeln!(text, "- {assumption}");
    }
    let dram = analysis.rows.first().map_or(0, |row| row.dram_blocks);
    if dram > 0 {
        let _ = writeln!(text, "- DRAM in front holds {}", units::plural(dram.into(), "block"));
    }
    let _ = writeln!(
        text,
        "\n{:<8} {:<9} {:>9} {:>5}  {:>6} {:>6}  {:>9}  {:>9}  {:>6}  {:>6}",
        "policy", "writes", "blocks", "admit", "hit", "lost", "written", "per day", "DWPD", "years"
    );
    for r in &analysis.rows {
        let capacity = r.capacity.map_or("no end".to_owned(), |capacity| units::count(capacity.into()));
        let policy = if r.capacity.is_none() { "any" } else { r.policy };
        let [day, dwpd, years] = wear_cells(&r.wear);
        let _ = writeln!(
            text,
            "{policy:<8} {:<9} {capacity:>9} {:>5}  {:.4} {:.4}  {:>9}  {day:>9}  {dwpd:>6}  {years:>6}",
            r.writes.word(),
            r.admit,
            r.hit_ratio,
            r.hit_ratio_lost,
            decimal(r.host_writes_bytes as f64)
        );
    }
    text
}

fn recorded_csv(all: &[Recorded]) -> Vec<u8> {
    let mut text = "file,what,span_s,host_writes_bytes,host_writes_per_day_bytes,drives,dwpd,years\n".to_owned();
    for r in all {
        let wear = wear_csv(&r.wear, r.drives);
        let _ = writeln!(
            text,
            "\"{}\",\"{}\",{},{},{wear}",
            r.file.replace('"', "\"\""),
            r.what,
            r.span_s,
            r.host_writes_bytes
        );
    }
    text.into_bytes()
}

fn recorded_table(analysis: &RecordedWrites) -> String {
    let mut text = String::new();
    for assumption in &analysis.assumptions {
        let _ = writeln!(text, "- {assumption}");
    }
    for r in &analysis.recorded {
        let [day, dwpd, years] = wear_cells(&r.wear);
        let _ = writeln!(
            text,
            "\n{}: {}\n  written {} in {}, {day} a day, DWPD {dwpd}, years {years}",
            r.file,
            r.what,
            decimal(r.host_writes_bytes as f64),
            units::ns(r.span_s * 1e9),
        );
        for note in &r.notes {
            let _ = writeln!(text, "  - {note}");
        }
    }
    text
}
