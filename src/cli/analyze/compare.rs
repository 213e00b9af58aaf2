//! `kvtrace analyze compare`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::analyze::compare::runs::{self, Run};
use crate::analyze::compare::{Comparison, Estimate, Metric, Side, one_sided, verdicts};
use crate::cli::Global;
use crate::cli::inputs::begins_as_text;
use crate::cli::terminal::Terminal;
use crate::error::{Error, Kind, Result};
use crate::measure::{Input, Saved};
use crate::trace::meta::{RECORD_SCHEMA, RecordStats, TRACE_SCHEMA};
use crate::trace::{Meta, TraceReader};
use crate::units;

use super::{check_output, written};

/// What was typed after `compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Two files, base and new, where each group is one: replay results, captures, traces with the
    /// statistics of their recording, or analyses
    #[arg(num_args = 0..=2, value_name = "FILE", conflicts_with_all = ["base", "new"])]
    pair: Vec<PathBuf>,
    /// The files of the group to compare with; a result of several trials counts as so many runs
    #[arg(long, value_name = "FILE", num_args = 1..)]
    base: Vec<PathBuf>,
    /// The files of the other group
    #[arg(long, value_name = "FILE", num_args = 1..)]
    new: Vec<PathBuf>,
    /// Rank runs that are not valid, incomplete or tainted too
    #[arg(long)]
    accept_doubtful: bool,
    /// Write the result to a file: .json, .csv or .parquet
    #[arg(long, short)]
    output: Option<PathBuf>,
}

pub fn run(args: &Args, global: Global) -> Result<()> {
    check_output(&args.output)?;
    let (base, new) = match &args.pair[..] {
        [] => (&args.base[..], &args.new[..]),
        [base, new] => (std::slice::from_ref(base), std::slice::from_ref(new)),
        _ => return Err(Error::usage("one file is compared with nothing; name two, or --base A… --new B…")),
    };
    let read = |files: &[PathBuf]| files.iter().map(|file| of_file(file)).collect::<Result<Vec<Run>>>();
    let comparison = Comparison::of(&read(base)?, &read(new)?, args.accept_doubtful)?;
    if comparison.metrics.is_empty() {
        return Err(Error::usage("the groups have no metric in common; compare results of the same kind of run"));
    }
    written(&args.output, &comparison, || csv(&comparison), || table(&comparison), global)?;
    let terminal = Terminal::new(global);
    match comparison.not_ranked.as_slice() {
        [] => {
            if !comparison.left_out.is_empty() {
                terminal.say(format!("{}; nothing is said of them", one_sided(&comparison.left_out)));
            }
            Ok(())
        }
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            let why = format!("the groups are not ranked: {first}{more}");
            Err(Error::new(Kind::Failed, format!("{why}; compare runs of the same load, or --accept-doubtful ones")))
        }
    }
}

fn of_file(path: &Path) -> Result<Run> {
    if !begins_as_text(path)? {
        let reader = TraceReader::open(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return Ok(runs::trace(reader.meta(), &name, reader.sha256()));
    }
    let input = Input::read(path)?;
    let (name, sha256) = (input.name.as_str(), input.sha256.as_str());
    match input.schema().as_deref() {
        Some(TRACE_SCHEMA) => {
            let meta = Meta::from_json(input.text.as_bytes()).map_err(|e| e.context(name))?;
            Ok(runs::trace(&meta, name, sha256))
        }
        Some(RECORD_SCHEMA) => {
            let stats: RecordStats =
                serde_json::from_str(&input.text).map_err(|e| Error::usage(format!("{name}: {e}")))?;
            Ok(runs::recording(&stats, name, sha256))
        }
        _ => match input.result()? {
            Saved::Replay(replay) => Ok(runs::replay(&replay, name, sha256)),
            Saved::Block(block) => Ok(runs::block(&block, name, sha256)),
            Saved::Analysis(analysis) => Ok(runs::analysis(&analysis, name, sha256)),
            Saved::Fidelity(_) => Err(Error::usage(format!(
                "{name} is a fidelity card, which compares already; name replay results, captures, traces or analyses"
            ))),
        },
    }
}

fn csv(comparison: &Comparison) -> Vec<u8> {
    let mut text =
        "metric,unit,verdict,base_runs,base_median,base_low,base_high,base_mean,new_runs,new_median,new_low,\
                    new_high,new_mean,change,change_low,change_high,p\n"
            .to_owned();
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for m in &comparison.metrics {
        let side = |s: &Side| {
            let (low, high) = (number(s.median.low), number(s.median.high));
            format!("{},{},{low},{high},{}", s.values.len(), s.median.value, s.mean.value)
        };
        let verdict = m.verdict.words().to_lowercase();
        let change = |of: fn(&Estimate) -> Option<f64>| number(m.change.as_ref().and_then(of));
        let _ = writeln!(
            text,
            "\"{}\",{},{verdict},{},{},{},{},{},{}",
            m.metric.replace('"', "\"\""),
            m.unit,
            side(&m.base),
            side(&m.new),
            change(|c| Some(c.value)),
            change(|c| c.low),
            change(|c| c.high),
            number(m.p)
        );
    }
    text.into_bytes()
}

/// The widest name of a metric in the table.
const NAME: usize = 44;

/// The comparison for people, within 120 columns.
fn table(comparison: &Comparison) -> String {
    let mut text = String::new();
    let runs = |side: fn(&Metric) -> &Side| comparison.metrics.iter().map(|m| side(m).values.len()).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "{}: base {} in {}, new {} in {}",
        comparison.of,
        units::plural(runs(|m| &m.base) as u64, "run"),
        units::plural(comparison.base.len() as u64, "file"),
        units::plural(runs(|m| &m.new) as u64, "run"),
        units::plural(comparison.new.len() as u64, "file")
    );
    for difference in &comparison.differences {
        let _ = writeln!(
            text,
            "differs: {}: {} -> {}",
            difference.setting,
            difference.base.join(", "),
            difference.new.join(", ")
        );
    }
    for why in &comparison.not_ranked {
        let _ = writeln!(text, "NOT RANKED: {why}");
    }
    let name = comparison.metrics.iter().map(|m| m.metric.chars().count()).max().unwrap_or(6).clamp(6, NAME);
    let _ = writeln!(
        text,
        "\n{:<name$}  {:>11}  {:>11}  {:>9}  {:<21}  {:>6}  verdict",
        "metric", "base", "new", "change", "95 % interval", "p"
    );
    for m in &comparison.metrics {
        let shown = |s: &Side| figure(&m.unit, s.median.value);
        let percent = |value: f64| format!("{:+.1} %", value * 100.0);
        let change = m.change.map_or("-".to_owned(), |c| percent(c.value));
        let ends = m.change.and_then(|c| c.low.zip(c.high));
        let interval = ends.map_or("-".to_owned(), |(low, high)| format!("{} to {}", percent(low), percent(high)));
        let p = m.p.map_or("-".to_owned(), |p| format!("{p:.3}"));
        let metric = crate::plot::picture::shortened(&m.metric, NAME);
        let (base, new, verdict) = (shown(&m.base), shown(&m.new), m.verdict.words());
        let _ =
            writeln!(text, "{metric:<name$}  {base:>11}  {new:>11}  {change:>9}  {interval:<21}  {p:>6}  {verdict}");
    }
    let counts = verdicts(&comparison.metrics);
    let said: Vec<String> = counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    let _ = writeln!(text, "\nmedians; {}", said.join(", "));
    if comparison.ranked && !comparison.left_out.is_empty() {
        let _ = writeln!(text, "NO VERDICT ON ALL OF IT: {}", one_sided(&comparison.left_out));
    }
    if comparison.metrics.iter().any(|m| m.p.is_some_and(|p| p <= 0.05)) && comparison.metrics.len() >= 20 {
        let chance = comparison.metrics.len() as f64 * 0.05;
        let _ = writeln!(
            text,
            "of {} metrics chance alone makes up to {chance:.0} seem to differ",
            comparison.metrics.len()
        );
    }
    text
}

fn figure(unit: &str, value: f64) -> String {
    match unit {
        "ns" => units::ns(value),
        "s" => units::ns(value * 1e9),
        "bytes" if value >= 0.0 => units::bytes(value as u64),
        "GB/s" => format!("{} GB/s", units::three_digits(value)),
        "ratio" => format!("{value:.4}"),
        _ if value.fract() == 0.0 && (0.0..1e15).contains(&value) => units::count(value as u64),
        _ => units::three_digits(value),
    }
}
