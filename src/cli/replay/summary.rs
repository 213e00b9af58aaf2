//! A replay for people: validity first, then the figures, then what bounded it.

use crate::measure::ReplayResult;
use crate::replay::{Plan, ReplayConfig};
use crate::units;

/// The result in a few lines.
pub fn lines(result: &ReplayResult) -> Vec<String> {
    let mut lines = Vec::new();
    lines.push(match (result.valid, result.complete) {
        (true, _) => "valid: yes".to_owned(),
        (false, true) => "valid: NO".to_owned(),
        (false, false) => "valid: NO (partial)".to_owned(),
    });
    lines.extend(result.invalid_reasons.iter().map(|reason| format!("  because {reason}")));
    lines.extend(result.notes.iter().map(|note| format!("  note: {note}")));
    let totals = &result.totals;
    lines.push(format!(
        "{} rows in {}: {} of reads, {} of writes",
        units::count(totals.ops),
        units::ns(totals.wall_s * 1e9),
        units::bytes(totals.read_bytes),
        units::bytes(totals.write_bytes),
    ));
    lines.push(match result.storage_gb_per_s() {
        Some((read, written)) => {
            format!("storage: {} GB/s read, {} GB/s written", units::three_digits(read), units::three_digits(written))
        }
        None => "storage: nothing moved".to_owned(),
    });
    lines.push(format!(
        "storage and memory together: {} moved, {} GB/s read, {} GB/s written",
        units::bytes(totals.moved_bytes),
        units::three_digits(totals.read_gb_per_s),
        units::three_digits(totals.write_gb_per_s),
    ));
    lines.push(format!("{:<24}{:>8}{:>12}{:>24}{:>24}", "", "ops", "bytes", "response P50 / P99", "service P50 / P99"));
    for kind in &result.latency {
        let times = |h: &crate::measure::Histogram| {
            let at = |q| h.quantile(q).map_or_else(|| "-".to_owned(), units::ns);
            format!("{} / {}", at(0.5), at(0.99))
        };
        lines.push(format!(
            "{:<24}{:>8}{:>12}{:>24}{:>24}",
            format!("{} {} {}", kind.tier, kind.op, kind.phase),
            units::count(kind.ops),
            units::bytes(kind.bytes),
            times(&kind.response),
            times(&kind.service),
        ));
    }
    lines.extend(schedule(result));
    lines.extend(start(result));
    let per_gb = result.cpu.s_per_gb.map_or_else(String::new, |s| format!(", {s:.4} s/GB"));
    lines.push(format!("CPU: {:.3} s user, {:.3} s system{per_gb}", result.cpu.user_s, result.cpu.sys_s));
    lines.push(format!(
        "verified ({}): {} checked, {} wrong",
        result.verify.level,
        units::bytes(result.verify.checked_bytes),
        units::count(result.verify.failure_count)
    ));
    lines.push(format!("bound by: {}: {}", result.verdict.bound, result.verdict.because));
    lines.extend(trials(result));
    lines
}

/// How well a paced run kept its schedule.
fn schedule(result: &ReplayResult) -> Option<String> {
    let timing = &result.timing;
    timing.drift_ppm?;
    let p99 = |h: &crate::measure::Histogram| h.quantile(0.99).map_or_else(|| "-".to_owned(), units::ns);
    let late = timing.lateness.quantile(0.5).map_or_else(|| "-".to_owned(), units::ns);
    Some(format!(
        "schedule: own lateness P50 / P99 {late} / {}; waiting for earlier operations P99 {}, in queues P99 {}",
        p99(&timing.lateness),
        p99(&timing.dependency_wait),
        p99(&timing.queue_wait),
    ))
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

/// A plan in a few lines.
pub fn plan_lines(plan: &Plan, config: &ReplayConfig, fits: bool) -> Vec<String> {
    let facts = &plan.facts;
    let mut lines = vec![
        format!(
            "rows: {} over {}, {} objects",
            units::count(facts.rows),
            units::ns(facts.span_s * 1e9),
            units::count(facts.keys)
        ),
        format!("read {}, written {}", units::bytes(facts.read_bytes), units::bytes(facts.write_bytes)),
    ];
    if let Some(offered) = facts.offered_gb_per_s() {
        let whose =
            if plan.meta.time_model.is_some() { "the trace's own time" } else { "the stamps of a foreign tool" };
        lines.push(format!(
            "offered by {whose}: {} GB/s on average, {} in its busiest second",
            units::three_digits(offered),
            units::bytes(facts.busiest_second_bytes)
        ));
    }
    for tier in 0..3 {
        lines.push(format!(
            "tier {tier} ({}): at most {} live, largest object {}, {} there before the clock starts",
            config.targets[tier],
            units::bytes(facts.peak_bytes[tier]),
            units::bytes(facts.largest_bytes[tier]),
            units::bytes(facts.cold_bytes[tier]),
        ));
    }
    let oddities = [
        (facts.moves, "moves from tier to tier"),
        (facts.cold_keys, "objects read before they are written"),
        (facts.misplaced_reads, "reads from another tier than the object was last put on"),
        (facts.clamped_rows, "rows that name another size than the object has"),
        (facts.idle_deletes, "Delete rows of objects that are not there"),
    ];
    lines.extend(oddities.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", units::count(*n))));
    lines.push(format!("fits: {}", if fits { "yes" } else { "no" }));
    lines
}
