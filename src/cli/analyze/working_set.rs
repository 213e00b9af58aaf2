//! `kvtrace analyze working-set`

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::working_set::{BlockSize, WorkingSet};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::units::{self, Time};

use super::blocks::{BlockArgs, BlockFacts, Blocks};
use super::reuse::say_out_of_order;
use super::{check_output, objects, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `working-set`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    /// Windows over which different blocks are counted, at every request
    #[arg(long, value_name = "TIME", value_delimiter = ',', default_value = "60s,10m,30m")]
    window: Vec<Time>,
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
    #[serde(flatten)]
    set: WorkingSet,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let windows: Vec<u64> = args.window.iter().map(|window| window.0).collect();
    if windows.contains(&0) {
        return Err(Error::usage("--window 0s: nothing is used in no time; give one such as 60s"));
    }
    let terminal = Terminal::new(global);
    objects::refuse(&args.blocks, "working-set")?;
    let blocks = args.blocks.read(stop, &terminal)?;
    let size = BlockSize { tokens: blocks.facts.block_tokens.into(), bytes: blocks.block_bytes() };
    let analysis = Analysis {
        schema: ANALYSIS_SCHEMA,
        kind: "working_set",
        tool: crate::TOOL,
        facts: &blocks.facts,
        set: WorkingSet::of(&blocks.references, &windows, size),
    };
    say_out_of_order(&terminal, analysis.set.out_of_order);
    let set = &analysis.set;
    written(&args.output, &analysis, || csv(set), || table(&blocks, set), global)
}

fn csv(set: &WorkingSet) -> Vec<u8> {
    let mut text = "measure,at,blocks,value\n".to_owned();
    for w in &set.windows {
        let _ = writeln!(text, "window_mean,{},{},", w.window_s, w.mean_blocks);
        let _ = writeln!(text, "window_max,{},{},", w.window_s, w.max_blocks);
    }
    let _ = writeln!(text, "live_peak,{},{},", set.live.at_s, set.live.peak_blocks);
    for r in set.lru.iter().filter(|r| r.blocks.is_some()) {
        let _ = writeln!(
            text,
            "lru,{},{},{}",
            r.share_of_ceiling,
            r.blocks.unwrap_or_default(),
            r.hit_ratio.unwrap_or_default()
        );
    }
    for a in &set.admission {
        let _ = writeln!(text, "admission,{},{},{}", a.touches, a.writes, a.hit_ratio);
    }
    text.into_bytes()
}

fn table(blocks: &Blocks, set: &WorkingSet) -> String {
    let mut text = format!("{}\n\n", blocks.line());
    let bytes = |bytes: Option<u64>| bytes.map_or(String::new(), |bytes| format!("  {:>10}", units::bytes(bytes)));
    for w in &set.windows {
        let _ = writeln!(
            text,
            "different blocks of the last {:<8} {:>10} in the mean, {:>10} at most{}",
            units::ns(w.window_s * 1e9),
            units::count(w.mean_blocks.round() as u64),
            units::count(w.max_blocks),
            bytes(w.max_bytes)
        );
    }
    let (live, ceiling) = (&set.live, &set.ceiling);
    let _ = writeln!(
        text,
        "\nblocks that will be used again, at most: {} ({} tokens){}",
        units::count(live.peak_blocks),
        units::count(live.peak_tokens),
        bytes(live.peak_bytes)
    );
    let _ = writeln!(
        text,
        "a cache without end hits {:.4} of {} references\n",
        ceiling.hit_ratio,
        units::count(ceiling.total)
    );
    let _ = writeln!(text, "{:>14}  {:>12}  {:>16}  {:>8}", "of that, lru", "blocks", "tokens", "hits");
    for r in &set.lru {
        let count = |value: Option<u64>| value.map_or("-".to_owned(), units::count);
        let _ = writeln!(
            text,
            "{:>12} %  {:>12}  {:>16}  {:>8}{}",
            r.share_of_ceiling * 100.0,
            count(r.blocks),
            count(r.tokens),
            r.hit_ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.4}")),
            bytes(r.bytes)
        );
    }
    text.push('\n');
    for a in &set.admission {
        let _ = writeln!(
            text,
            "stored at its use {}: {:>12} writes ({:>5.1} % fewer), hits {:.4}",
            a.touches,
            units::count(a.writes),
            a.writes_saved * 100.0,
            a.hit_ratio
        );
    }
    text
}
