//! What each input says, in a sentence or two at the top of the report.

use serde_json::Value;

use crate::analyze::compare::one_sided;
use crate::analyze::endurance::decimal;
use crate::measure::analysis::{number, text};
use crate::measure::replay::Verdict;
use crate::measure::{Analysis, BlockResult, Fidelity, Histogram, ReplayResult};
use crate::trace::Tier;
use crate::units;

use super::heat::HeatMap;
use super::html::{escape, list};
use super::over_time::OverTime;
use super::report::Replayed;
use super::sources::{Content, Source};
use super::what_if;

/// How a sentence is meant.
enum Tone {
    Good,
    Note,
    Bad,
}

fn boxed(tone: &Tone, strong: &str, rest: &str) -> String {
    let class = match tone {
        Tone::Good => "verdict",
        Tone::Note => "verdict note",
        Tone::Bad => "verdict bad",
    };
    let rest = if rest.is_empty() { String::new() } else { format!("\n<p>{}</p>", escape(rest)) };
    format!("<div class=\"{class}\"><strong>{}</strong>{rest}</div>\n", escape(strong))
}

/// The verdict of an input; each names its file where there are several.
pub fn verdict(source: &Source, several: bool, replays: &[Replayed]) -> String {
    let named = if several { format!("{}: ", source.name) } else { String::new() };
    match &source.content {
        Content::Replay(replay) => {
            let capture = replays.iter().find(|replayed| std::ptr::eq(replayed.replay, &raw const **replay));
            of_replay(replay, capture.and_then(|replayed| replayed.capture).map(|capture| capture.0), &named)
        }
        Content::Block(block) => of_block(block, &named),
        Content::Fidelity(card) => of_card(card, &named),
        Content::Analysis(analysis) => of_analysis(analysis, &named),
        Content::Trace(over) => boxed(&Tone::Good, &format!("{named}{}", of_trace(over)), ""),
        Content::Plan(plan) => what_if::opening(plan, &named),
        Content::Events(map) => of_events(map, &named),
        Content::Job(text) => boxed(&Tone::Note, &format!("{named}{}", of_job(text)), ""),
        Content::Meta(_) => String::new(),
    }
}

fn of_replay(replay: &ReplayResult, capture: Option<&BlockResult>, named: &str) -> String {
    let mut out = String::new();
    if !replay.valid {
        out.push_str(&format!(
            "<div class=\"verdict bad\"><strong>{}This run is NOT VALID: do not quote its numbers.</strong>\n{}</div>\n",
            escape(named),
            list(&replay.invalid_reasons)
        ));
    }
    if !replay.complete {
        let rest = "It was interrupted or ended by an error; everything below is about the part that ran.";
        out.push_str(&boxed(&Tone::Bad, &format!("{named}This run is incomplete."), rest));
    }
    let words = format!("{named}{}", verdict_words(&replay.verdict));
    out.push_str(&boxed(&Tone::Good, &words, &replay.verdict.because));
    let mut notes = replay.notes.clone();
    if let Some(block) = capture.filter(|block| block.tainted) {
        let why = block.taint_reasons.join("; ");
        if !notes.iter().any(|note| note.contains(&why)) {
            notes.push(format!("the capture of the block layer is tainted, its figures may be off: {why}"));
        }
    }
    if !notes.is_empty() {
        out.push_str(&format!(
            "<div class=\"verdict note\"><strong>{}Note</strong>\n{}</div>\n",
            escape(named),
            list(&notes)
        ));
    }
    out
}

fn verdict_words(verdict: &Verdict) -> String {
    match verdict.bound.as_str() {
        "device" => "The storage device bounded this run.".to_owned(),
        "dram" => "DRAM bounded this run.".to_owned(),
        "generator" => "kvtrace itself bounded this run: the device could do more.".to_owned(),
        "pace" => "Nothing bounded this run: it took as long as its schedule.".to_owned(),
        "queue" => "The request queue bounded this run.".to_owned(),
        "generation" => "Token generation bounded this run.".to_owned(),
        "" => "What bounded this run is not known.".to_owned(),
        other => format!("Bound: {other}."),
    }
}

fn of_block(block: &BlockResult, named: &str) -> String {
    let side = |op: &str| {
        let count = block.histogram("size", Some(op)).filter(|h| h.count > 0)?.count;
        let quantile = |q| block.histogram("d2c", Some(op)).and_then(|h| h.carried(q)).map(units::ns);
        let times = match (quantile(0.5), quantile(0.99)) {
            (Some(p50), Some(p99)) => format!(", at the device P50 {p50} and P99 {p99}"),
            (Some(p50), None) => format!(", at the device P50 {p50}"),
            _ => String::new(),
        };
        Some(format!("{}{times}", units::plural(count, op)))
    };
    let sides: Vec<String> = ["read", "write"].iter().filter_map(|op| side(op)).collect();
    let said = if sides.is_empty() { "the capture saw no request of its target".to_owned() } else { sides.join("; ") };
    let sum = |name| -> f64 {
        let of = |op| block.histogram(name, Some(op)).map_or(0.0, |h: &Histogram| h.sum as f64);
        of("read") + of("write")
    };
    let (q2d, d2c) = (sum("q2d"), sum("d2c"));
    let rest = if q2d + d2c > 0.0 {
        format!("The device is {:.1} % of the time from queue to completion.", d2c * 100.0 / (q2d + d2c))
    } else {
        String::new()
    };
    let mut out = boxed(&Tone::Good, &format!("{named}{said}."), &rest);
    if block.tainted {
        let why = block.taint_reasons.join("; ");
        out.push_str(&boxed(&Tone::Bad, &format!("{named}The capture is tainted: its figures may be off."), &why));
    }
    out
}

fn of_card(card: &Fidelity, named: &str) -> String {
    let judged = card.metrics.iter().filter(|metric| metric.pass.is_some()).count();
    let name = |metric: &crate::measure::fidelity::Metric| match &metric.op {
        Some(op) => format!("{} of {op}s", metric.name),
        None => metric.name.clone(),
    };
    let missed: Vec<String> = card.metrics.iter().filter(|m| m.pass == Some(false)).map(name).collect();
    if !card.complete {
        let said = format!("{named}The proof was interrupted: there is no verdict.");
        return boxed(&Tone::Note, &said, "Whether the job behaves like its source is not known.");
    }
    let by_noise = match card.metrics.iter().filter(|metric| metric.passed_by_noise()).count() {
        0 => String::new(),
        n => format!("{n} of them only because two runs of the same thing differ by more than the bound."),
    };
    match (judged, missed.is_empty()) {
        (0, _) => boxed(&Tone::Note, &format!("{named}Nothing of the job could be judged."), ""),
        (_, true) => {
            let rest = match card.metrics.iter().filter(|metric| metric.is_unjudged()).count() {
                0 => by_noise,
                n => format!("{n} more could not be judged. {by_noise}").trim_end().to_owned(),
            };
            let said = if card.is_undecided() {
                format!(
                    "{named}Not decided: {judged} bounds are kept, others are beyond what so noisy a machine can tell."
                )
            } else {
                format!("{named}The job behaves like its source: all {judged} bounds that could be judged are kept.")
            };
            boxed(if rest.is_empty() { &Tone::Good } else { &Tone::Note }, &said, &rest)
        }
        (_, false) => {
            let said = format!("{named}The job misses {} of {judged} bounds.", missed.len());
            boxed(&Tone::Bad, &said, &missed.join(", "))
        }
    }
}

fn of_events(map: &HeatMap, named: &str) -> String {
    let mut out = boxed(&Tone::Good, &format!("{named}{}", map.sentence()), "");
    if !map.complete {
        let rest = "Everything below is about the part that was captured.";
        out.push_str(&boxed(&Tone::Bad, &format!("{named}The capture was interrupted."), rest));
    }
    if !map.doubts.is_empty() {
        let said = format!("{named}The capture is tainted: its figures may be off.");
        out.push_str(&boxed(&Tone::Bad, &said, &map.doubts.join("; ")));
    }
    out
}

/// What a job is: a part for each section but the one of settings for all.
fn of_job(text: &str) -> String {
    let parts = text.lines().filter(|line| line.starts_with('[') && !line.starts_with("[global]")).count();
    format!(
        "a fio job of {}; how like its source it behaves, a fidelity card says (distill-fio --prove).",
        units::plural(parts as u64, "part")
    )
}

fn of_trace(over: &OverTime) -> String {
    let peaks = Tier::ALL.iter().map(|tier| (tier, over.peak_bytes[tier.index()])).filter(|(_, bytes)| *bytes > 0);
    let peaks: Vec<String> = peaks.map(|(tier, bytes)| format!("{} on {tier}", units::bytes(bytes))).collect();
    let arrivals: u64 = over.arrivals.iter().sum();
    let what = if over.arrivals_from == "rows" { "row" } else { "request" };
    let most =
        if peaks.is_empty() { "nothing is ever written".to_owned() } else { format!("at most {}", peaks.join(", ")) };
    format!("{} and {}; {most}.", units::plural(over.rows, "row"), units::plural(arrivals, what))
}

fn of_analysis(analysis: &Analysis, named: &str) -> String {
    let said = match analysis.kind.as_str() {
        "curve" => of_curve(analysis),
        "hits" => of_hits(analysis),
        "reuse" => of_reuse(analysis),
        "working_set" => of_working_set(analysis),
        "compare" => return of_comparison(analysis, named),
        "summary" => analysis.number("rows").map(|rows| {
            let span = analysis.number("span_s").map_or_else(String::new, |s| format!(" over {}", units::ns(s * 1e9)));
            format!("{}{span}.", units::plural(rows as u64, "row"))
        }),
        "endurance" => of_endurance(analysis),
        _ => None,
    };
    // A sentence that the analysis has itself is better than none.
    let own = || text(&analysis.value, "verdict").or_else(|| text(&analysis.value, "sentence")).map(str::to_owned);
    let said = said.or_else(own).unwrap_or_else(|| format!("an analysis of the kind {}.", analysis.kind));
    boxed(&Tone::Good, &format!("{named}{said}"), "")
}

fn of_curve(analysis: &Analysis) -> Option<String> {
    let best = |policy: &Value| {
        let points = policy.get("points")?.as_array()?;
        let ratios = points.iter().filter_map(|p| Some((number(p, "hit_ratio")?, number(p, "capacity")?)));
        let (most, _) = ratios.clone().max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)))?;
        let (half, at) = ratios.filter(|(ratio, _)| *ratio >= most * 0.9).min_by(|a, b| a.1.total_cmp(&b.1))?;
        let unit = text(points.first()?, "unit").unwrap_or("blocks");
        Some(format!(
            "{} hits at most {:.1} %, and {:.1} % from {} {unit}",
            text(policy, "policy")?,
            most * 100.0,
            half * 100.0,
            units::count(at as u64)
        ))
    };
    let all: Vec<String> = analysis.list("policies").iter().take(3).filter_map(best).collect();
    (!all.is_empty()).then(|| format!("{}.", all.join("; ")))
}

fn of_hits(analysis: &Analysis) -> Option<String> {
    let endless = analysis.list("definitions").iter().filter(|d| d.get("capacity").is_none_or(Value::is_null));
    let ratio = |name: &str| {
        let found = endless.clone().find(|d| text(d, "name") == Some(name))?;
        Some(number(found, "ratio")? * 100.0)
    };
    let (blocks, tokens) = (ratio("token_block.prefix")?, ratio("token.prefix")?);
    Some(format!("a cache without end hits {blocks:.1} % of token blocks and {tokens:.1} % of tokens (by prefix)."))
}

fn of_reuse(analysis: &Analysis) -> Option<String> {
    let share = number(&analysis.value, "reuse_share").or_else(|| analysis.field("reuse_share")?.as_f64())?;
    let exact = analysis.field("time").and_then(|time| number(time, "p50_s")).map(|s| units::ns(s * 1e9));
    let half = exact.or_else(|| {
        let times = analysis.histogram("time")?;
        let scale = if times.unit == "us" { 1e3 } else { 1.0 };
        times.quantile(0.5).map(|value| units::ns(value * scale))
    });
    let half = half.map_or_else(String::new, |half| format!(", half of that within {half}"));
    Some(format!("{:.1} % of references are to blocks that were used before{half}.", share * 100.0))
}

fn of_working_set(analysis: &Analysis) -> Option<String> {
    let live = analysis.field("live").and_then(|live| {
        let bytes = number(live, "peak_bytes").map_or_else(String::new, |b| format!(" ({})", units::bytes(b as u64)));
        let blocks = units::count(number(live, "peak_blocks")? as u64);
        Some(format!("at most {blocks} blocks{bytes} are live at a time"))
    });
    let windows = analysis.entries_with("window_s").iter();
    let longest = windows.filter_map(|w| Some((number(w, "window_s")?, number(w, "max_blocks")?)));
    let longest = longest.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(span, blocks)| {
        format!("at most {} are used within {}", units::count(blocks as u64), units::ns(span * 1e9))
    });
    let ceiling = analysis.field("ceiling").and_then(|ceiling| number(ceiling, "hit_ratio"));
    let ceiling = ceiling.map(|ratio| format!("a cache without end hits {:.1} %", ratio * 100.0));
    let said: Vec<String> = [live, longest, ceiling].into_iter().flatten().collect();
    (!said.is_empty()).then(|| format!("{}.", said.join("; ")))
}

fn of_endurance(analysis: &Analysis) -> Option<String> {
    let entries = analysis.entries_with("host_writes_per_day_bytes");
    let ends = |field: &str| {
        let values = entries.iter().filter_map(|entry| number(entry, field));
        let low = values.clone().fold(f64::INFINITY, f64::min);
        low.is_finite().then(|| (low, values.fold(0.0, f64::max)))
    };
    let (low, high) = ends("host_writes_per_day_bytes")?;
    let years = ends("years").map_or_else(String::new, |(a, b)| {
        format!(", {} years of rated writes", range(units::three_digits(a), units::three_digits(b)))
    });
    Some(format!("the host writes {} a day{years}.", range(decimal(low), decimal(high))))
}

/// From one to another, or both when they are the same.
fn range(low: String, high: String) -> String {
    if low == high { low } else { format!("{low} to {high}") }
}

fn of_comparison(analysis: &Analysis, named: &str) -> String {
    if analysis.value.get("ranked") == Some(&Value::Bool(false)) {
        let why: Vec<&str> = analysis.list("not_ranked").iter().filter_map(Value::as_str).collect();
        return boxed(&Tone::Note, &format!("{named}The groups are not ranked."), &why.join("; "));
    }
    let count = |verdict: &str| analysis.list("metrics").iter().filter(|m| text(m, "verdict") == Some(verdict)).count();
    let kinds = [
        ("better", "better"),
        ("worse", "worse"),
        ("differs", "different, where no way is better"),
        ("no_difference", "without a difference"),
        ("too_few_runs", "with too few runs to tell"),
    ];
    let said: Vec<String> = kinds
        .iter()
        .map(|(key, words)| (count(key), words))
        .filter(|(n, _)| *n > 0)
        .map(|(n, w)| format!("{n} {w}"))
        .collect();
    let left_out: Vec<String> = analysis.list("left_out").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let (tone, aside) = match (count("worse"), left_out.len()) {
        (0, 0) => (Tone::Good, String::new()),
        (0, _) => (Tone::Note, one_sided(&left_out)),
        (_, 0) => (Tone::Bad, String::new()),
        _ => (Tone::Bad, one_sided(&left_out)),
    };
    boxed(&tone, &format!("{named}Of {} metrics {}.", analysis.list("metrics").len(), said.join(", ")), &aside)
}
