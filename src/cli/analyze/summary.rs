//! `kvtrace analyze summary`

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::analyze::summary::{Flow, Summary};
use crate::error::Result;
use crate::stop::Stop;
use crate::units;

use super::{check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `summary`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Traces: CSV, CSV in zstd, Parquet, or - for standard input; several count as running side
    /// by side
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Write the result to a file, .json or .csv
    #[arg(long, short)]
    output: Option<PathBuf>,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    let terminal = Terminal::new(global);
    let summary = Summary::of(&args.inputs, stop, &terminal)?;
    for input in &summary.inputs {
        if let Some(inversions) = input.inversions.filter(|n| *n > 0) {
            terminal.say(format!("{}: {} out of time order", input.file, units::plural(inversions, "row")));
        }
    }
    written(&args.output, &summary, || csv(&summary), || table(&summary), global)
}

fn csv(summary: &Summary) -> Vec<u8> {
    let mut text = "tier,op,phase,count,bytes,min_bytes,mean_bytes,max_bytes\n".to_owned();
    for g in &summary.by {
        let (tier, op, phase) = (g.tier, g.op, g.phase);
        let (count, bytes, min, mean, max) = (g.count, g.bytes, g.min_bytes, g.mean_bytes, g.max_bytes);
        let _ = writeln!(text, "{tier},{op},{phase},{count},{bytes},{min},{mean},{max}");
    }
    text.into_bytes()
}

/// The summary for people, within 80 columns.
fn table(summary: &Summary) -> String {
    let mut text = String::new();
    for input in &summary.inputs {
        let model = input.model.as_deref().map_or(String::new(), |model| format!(", {model}"));
        let (rows, span) = (units::count(input.rows), units::ns(input.span_s * 1e9));
        let _ = writeln!(text, "{}: {rows} rows over {span}{model}", input.file);
    }
    let mut who = format!("{} keys", units::count(summary.keys));
    for (count, name) in [(summary.conversations, "conversations"), (summary.requests, "requests")] {
        if let Some(count) = count {
            let _ = write!(who, ", {} {name}", units::count(count));
        }
    }
    let _ = writeln!(text, "{who}\n");
    let _ = writeln!(
        text,
        "{:<6}  {:<6}  {:<7}  {:>10}  {:>10}  {:>8}  {:>8}  {:>8}",
        "tier", "op", "phase", "rows", "bytes", "min", "mean", "max"
    );
    for g in &summary.by {
        let _ = writeln!(
            text,
            "{:<6}  {:<6}  {:<7}  {:>10}  {:>10}  {:>8}  {:>8}  {:>8}",
            g.tier.word(),
            g.op.word(),
            g.phase.word(),
            units::count(g.count),
            units::bytes(g.bytes),
            units::bytes(g.min_bytes),
            units::bytes(g.mean_bytes.round() as u64),
            units::bytes(g.max_bytes)
        );
    }
    let _ = writeln!(
        text,
        "\n{:<6}  {:>12}  {:>12}  {:>12}  {:>14}",
        "tier", "read", "written", "read:write", "offered GB/s"
    );
    for tier in &summary.tiers {
        push_flow(&mut text, tier.tier.word(), &tier.flow);
    }
    push_flow(&mut text, "all", &summary.total);
    text
}

fn push_flow(text: &mut String, name: &str, flow: &Flow) {
    let ratio = flow.read_write_ratio.map_or("-".to_owned(), |ratio| format!("{} : 1", units::three_digits(ratio)));
    let offered = flow.offered_gb_per_s.map_or("-".to_owned(), units::three_digits);
    let (read, written) = (units::bytes(flow.read_bytes), units::bytes(flow.write_bytes));
    let _ = writeln!(text, "{name:<6}  {read:>12}  {written:>12}  {ratio:>12}  {offered:>14}");
}
