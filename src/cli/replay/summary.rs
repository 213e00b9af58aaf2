//! A replay for people: whether to believe it and what bounded it, then the figures.

mod latency;
mod plan;
mod requests;

use crate::measure::ReplayResult;
use crate::measure::gds::GdsPath;
use crate::measure::replay::TierReport;
use crate::units;

use super::state;

pub use plan::{plan_lines, run_s};

/// The widest line, in characters.
const COLUMNS: usize = 100;

/// The result in lines of at most 100 columns.
pub fn lines(result: &ReplayResult) -> Vec<String> {
    let mut lines = Vec::new();
    lines.push(match (result.valid, result.complete) {
        (true, _) => "valid: yes".to_owned(),
        (false, true) => "valid: NO".to_owned(),
        (false, false) => "valid: NO (partial)".to_owned(),
    });
    result.invalid_reasons.iter().for_each(|reason| lines.extend(wrapped("  because ", reason)));
    lines.extend(wrapped("bound by: ", &format!("{}: {}", result.verdict.bound, result.verdict.because)));
    result.notes.iter().for_each(|note| lines.extend(wrapped("  note: ", note)));
    let used = result.tiers.iter().filter(|tier| result.latency.iter().any(|kind| u8::from(kind.tier) == tier.tier));
    used.for_each(|tier| lines.extend(wrapped("", &tier_line(tier))));
    lines.extend(gds(result));
    state::lines(result).iter().for_each(|line| lines.extend(wrapped("", line)));
    lines.extend(figures(result));
    lines.extend(latency::lines(&result.latency));
    lines.extend(schedule(result));
    lines.extend(tokens(result));
    lines.extend(requests::lines(result));
    lines.extend(start(result));
    let per_gb = result.cpu.s_per_gb.map_or_else(String::new, |s| format!(", {s:.4} s/GB"));
    lines.push(format!("CPU: {:.3} s user, {:.3} s system{per_gb}", result.cpu.user_s, result.cpu.sys_s));
    lines.push(format!(
        "verified ({}): {} checked, {} wrong",
        result.verify.level,
        units::bytes(result.verify.checked_bytes),
        units::count(result.verify.failure_count)
    ));
    lines.extend(trials(result));
    lines
}

/// Text after a head, broken between words, later lines below the text.
fn wrapped(head: &str, text: &str) -> Vec<String> {
    let indent = " ".repeat(head.chars().count());
    let mut lines = Vec::new();
    let mut line = head.to_owned();
    for word in text.split(' ') {
        let begun = line.chars().count() > indent.len();
        if begun && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(std::mem::replace(&mut line, indent.clone()));
        } else if begun {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// What a tier was, and whether the page cache was bypassed.
fn tier_line(tier: &TierReport) -> String {
    let how = match (tier.backend.as_str(), tier.direct) {
        ("model", _) => "modelled: time only, no bytes moved",
        ("skip", _) => "left out",
        (_, Some(true)) => "direct (O_DIRECT), page cache bypassed",
        (_, Some(false)) => "BUFFERED: the page cache is part of it",
        (_, None) => "bytes really copied",
    };
    let layout = tier.layout.as_ref().map_or_else(String::new, |layout| format!(", {layout}"));
    let backend = if tier.target.starts_with(&tier.backend) { "" } else { &format!("{} ", tier.backend) };
    format!("tier {}: {backend}{}{layout}: {how}", tier.tier, tier.target)
}

/// Which way bytes went between GPU memory and storage.
fn gds(result: &ReplayResult) -> Vec<String> {
    let Some(gds) = &result.gds else { return Vec::new() };
    if gds.path == GdsPath::Off {
        let text = format!("off ({}): GPU and storage go through host memory, by copies and io_uring", gds.why);
        return wrapped("GDS: ", &text);
    }
    let library = gds.library.as_deref().unwrap_or("of unknown version");
    let text = format!(
        "{} (cuFile {library}): {} read, {} written in {}; {}",
        gds.path.word(),
        units::bytes(gds.read_bytes),
        units::bytes(gds.write_bytes),
        units::plural(gds.reads + gds.writes, "call"),
        gds.why
    );
    wrapped("GDS: ", &text)
}

/// Rows, bytes and rates.
fn figures(result: &ReplayResult) -> Vec<String> {
    let totals = &result.totals;
    let mut lines = vec![format!(
        "{} in {}: {} of reads, {} of writes",
        units::plural(totals.ops, "row"),
        units::ns(totals.wall_s * 1e9),
        units::bytes(totals.read_bytes),
        units::bytes(totals.write_bytes),
    )];
    lines.push(match result.storage_gb_per_s() {
        Some((read, written)) => {
            format!("storage: {} GB/s read, {} GB/s written", units::three_digits(read), units::three_digits(written))
        }
        None => "storage: nothing moved".to_owned(),
    });
    for tier in result.tiers.iter().filter(|tier| tier.targets.len() > 1) {
        lines.extend(tier.targets.iter().map(|target| {
            format!(
                "  {}: {} read, {} written",
                target.target,
                units::bytes(target.read_bytes),
                units::bytes(target.write_bytes)
            )
        }));
    }
    lines.push(format!(
        "storage and memory together: {} moved, {} GB/s read, {} GB/s written",
        units::bytes(totals.moved_bytes),
        units::three_digits(totals.read_gb_per_s),
        units::three_digits(totals.write_gb_per_s),
    ));
    let seen = result.amplification.iter().filter_map(|one| {
        let factor = one.amplification?;
        Some(format!(
            "block layer: {} of {} that {}s asked for (amplification {factor:.2})",
            units::bytes(one.block_bytes),
            units::bytes(one.asked_bytes),
            one.op
        ))
    });
    lines.extend(seen);
    lines
}

/// How well a paced run kept its schedule.
fn schedule(result: &ReplayResult) -> Vec<String> {
    let timing = &result.timing;
    if timing.drift_ppm.is_none() {
        return Vec::new();
    }
    let p99 = |h: &crate::measure::Histogram| h.quantile(0.99).map_or_else(|| "-".to_owned(), units::ns);
    let late = timing.lateness.quantile(0.5).map_or_else(|| "-".to_owned(), units::ns);
    let text = format!(
        "own lateness P50 / P99 {late} / {}; waiting for earlier operations P99 {}, in queues P99 {}; completions seen \
         late by up to P99 {}",
        p99(&timing.lateness),
        p99(&timing.dependency_wait),
        p99(&timing.queue_wait),
        p99(&timing.reap_gap),
    );
    wrapped("schedule: ", &text)
}

/// The three token rates, each with its name.
fn tokens(result: &ReplayResult) -> Vec<String> {
    let Some(tokens) = &result.tokens else { return Vec::new() };
    let line = |name: &str, value: Option<f64>, unit: &str| {
        let value = value.map_or("not known".to_owned(), |value| format!("{}{unit}", units::three_digits(value)));
        format!("{name:<64}{value:>14}")
    };
    vec![
        line("tokens generated per wall second", tokens.generated_per_s, "/s"),
        line("tokens moved by tier 2 per wall second", Some(tokens.tier2_moved_per_s), "/s"),
        line("tokens generated per summed storage second (the reference's)", tokens.generated_per_storage_s, "/s"),
        line("read amplification: moved by tier 2 per token generated", tokens.read_amplification, ""),
    ]
}

/// How exactly a run started at the moment it was told.
fn start(result: &ReplayResult) -> Option<String> {
    let clock = result.runs.clock?;
    let offset = clock.start_offset_ns?;
    let doubt = if clock.synchronized == Some(false) { "; the kernel calls its clock not synchronised" } else { "" };
    let side = if offset < 0 { "before" } else { "after" };
    Some(format!("started {} {side} the moment of --start-at{doubt}", units::ns(offset.unsigned_abs() as f64)))
}

/// Means and intervals of several trials; quantiles of latency are in the result.
fn trials(result: &ReplayResult) -> Vec<String> {
    if result.runs.trials.is_empty() {
        return Vec::new();
    }
    let count = result.runs.trials.len();
    let mut lines = vec![format!("over {count} trials, mean and 95 % interval of the mean (Student's t):")];
    let is_shown = |name: &str| !(name.ends_with(".p95") || name.contains(".service."));
    let shown = result.runs.statistics.iter().filter(|s| is_shown(&s.metric));
    lines.extend(shown.map(|s| {
        let value = |v: f64| if s.unit == "ns" { units::ns(v) } else { format!("{v:.4} {}", s.unit) };
        let half = s.ci95_high.map_or_else(|| "unknown, of one value".to_owned(), |high| value(high - s.mean));
        let cv = s.cv.map_or_else(String::new, |cv| format!(", CV {:.1} %", cv * 100.0));
        format!("  {:<36}{} ± {half}{cv}", s.metric, value(s.mean))
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_broken_between_words() {
        let text = "word ".repeat(60);
        let lines = wrapped("  note: ", text.trim());
        assert!(lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= COLUMNS));
        assert!(lines[0].starts_with("  note: word") && lines[1].starts_with("        word"));
        assert_eq!(lines.join(" ").split_whitespace().count(), 61);
        assert_eq!(wrapped("a ", "b"), ["a b"]);
    }
}
