//! `kvtrace analyze reuse`

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::reuse::Reuse;
use crate::error::Result;
use crate::measure::Histogram;
use crate::stop::Stop;
use crate::units;

use super::blocks::{BlockArgs, BlockFacts, Blocks};
use super::objects;
use super::warmup::Warmup;
use super::{check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `reuse`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    /// The first so many requests, or a share such as 10%, are known and not counted
    #[arg(long, value_name = "N")]
    warmup: Option<Warmup>,
    /// Write the result to a file: .json, .csv or .parquet
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Analysis<'a> {
    schema: &'static str,
    kind: &'static str,
    tool: &'static str,
    #[serde(flatten)]
    facts: &'a BlockFacts,
    warmup_requests: u64,
    #[serde(flatten)]
    reuse: Reuse,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let terminal = Terminal::new(global);
    objects::refuse(&args.blocks, "reuse")?;
    let blocks = args.blocks.read(stop, &terminal)?;
    let warmup = args.warmup.map_or(Ok(0), |warmup| warmup.of(blocks.references.requests(), "requests"))?;
    let analysis = Analysis {
        schema: ANALYSIS_SCHEMA,
        kind: "reuse",
        tool: crate::TOOL,
        facts: &blocks.facts,
        warmup_requests: warmup as u64,
        reuse: Reuse::of(&blocks.references, warmup),
    };
    say_out_of_order(&terminal, analysis.reuse.out_of_order);
    let reuse = &analysis.reuse;
    written(&args.output, &analysis, || csv(reuse), || table(&blocks, reuse), global)
}

/// Says that times are not what the stamps say.
pub fn say_out_of_order(terminal: &Terminal, requests: u64) {
    if requests > 0 {
        let requests = units::plural(requests, "request");
        terminal.say(format!("{requests} out of time order: counted at the time of the one in front"));
    }
}

fn csv(reuse: &Reuse) -> Vec<u8> {
    let mut text = "distribution,unit,low,high,count\n".to_owned();
    for Histogram { name, unit, buckets, .. } in [&reuse.time.histogram, &reuse.stack_distance.histogram] {
        for (low, high, count) in buckets {
            let _ = writeln!(text, "{name},{unit},{low},{high},{count}");
        }
    }
    text.into_bytes()
}

fn table(blocks: &Blocks, reuse: &Reuse) -> String {
    let mut text = format!("{}\n", blocks.line());
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let _ = writeln!(
        text,
        "{} of {} references are to blocks that were used before: {}\n",
        units::count(reuse.reuses),
        units::count(reuse.references),
        percent(reuse.reuse_share)
    );
    let _ = writeln!(text, "{:<22}  {:>10}  {:>10}  {:>10}  {:>10}  {:>10}", "", "p50", "p80", "p90", "p99", "max");
    let (time, depth) = (&reuse.time, &reuse.stack_distance);
    let seconds = [time.p50_s, time.p80_s, time.p90_s, time.p99_s, time.max_s];
    let distances = [depth.p50_blocks, depth.p80_blocks, depth.p90_blocks, depth.p99_blocks, depth.max_blocks];
    push_row(&mut text, "time since last use", seconds.map(|s| s.map(|s| units::ns(s * 1e9))));
    push_row(&mut text, "stack distance, blocks", distances.map(|d| d.map(|d| units::count(d.into()))));
    text.push('\n');
    for within in &reuse.time.within {
        let window = units::ns(within.window_s as f64 * 1e9);
        let _ = writeln!(text, "used again within {window:<6}  {:>8}", percent(within.share));
    }
    let popularity = &reuse.popularity;
    let _ = writeln!(
        text,
        "\n{} blocks, {} used once and never again; the most used one {} times",
        units::count(popularity.blocks),
        percent(popularity.one_hit_share),
        units::count(popularity.most_uses)
    );
    for top in &popularity.top {
        let _ = writeln!(
            text,
            "the most used {:>5} % of the blocks have {:>7} of all reuse, {:>7} of all references",
            top.share_of_blocks * 100.0,
            percent(top.share_of_reuse),
            percent(top.share_of_references)
        );
    }
    text
}

fn push_row(text: &mut String, name: &str, figures: [Option<String>; 5]) {
    let _ = write!(text, "{name:<22}");
    for figure in figures {
        let _ = write!(text, "  {:>10}", figure.unwrap_or("-".to_owned()));
    }
    text.push('\n');
}
