//! A fidelity card as people read it: a line for each metric, within 100 columns.

use crate::measure::fidelity::{Fidelity, Metric};
use crate::units;

/// The lines.
pub fn lines(card: &Fidelity) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<12} {:<5} {:>11} {:>11} {:>9} {:>8} {:>8}  ",
        "", "op", "original", "distilled", "distance", "floor", "allowed"
    )];
    lines.extend(card.metrics.iter().map(line));
    let judged = card.metrics.iter().filter(|metric| metric.pass.is_some()).count();
    let missed = card.metrics.iter().filter(|metric| metric.pass == Some(false)).count();
    lines.push(match (missed, judged) {
        _ if !card.complete => "interrupted: there is no verdict".to_owned(),
        (_, 0) => "nothing could be judged".to_owned(),
        (0, _) => format!("PASS: {judged} of {judged} are within what is allowed{}{}", noise(card), unjudged(card)),
        _ => format!("FAIL: {missed} of {judged} bounds are missed"),
    });
    if let Some(tuned) = &card.tuned {
        lines.extend(tuned.tried.iter().map(|line| format!("tuned: {line}")));
        lines.extend(tuned.unreached.iter().map(|line| format!("not reached: {line}")));
    }
    lines.extend(card.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// `read d2c_p99`.
pub fn name(metric: &Metric) -> String {
    format!("{} {}", metric.op.as_deref().unwrap_or(""), metric.name).trim().to_owned()
}

fn line(metric: &Metric) -> String {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| figure(&metric.unit, value));
    let apart = |value: Option<f64>| value.map_or("-".to_owned(), |value| distance(&metric.measure, value));
    let verdict = match metric.pass {
        Some(true) if metric.passed_by_noise() => "ok, as far as the noise tells",
        Some(true) if beyond(metric) => "ok, within 1",
        Some(true) => "ok",
        Some(false) => "MISSED",
        None if beyond(metric) && metric.noise_floor.is_some() => "not judged: too noisy",
        None => "",
    };
    let line = format!(
        "{:<12} {:<5} {:>11} {:>11} {:>9} {:>8} {:>8}  {verdict}",
        metric.name,
        metric.op.as_deref().unwrap_or("both"),
        shown(metric.original),
        shown(metric.distilled),
        apart(metric.distance),
        apart(metric.noise_floor),
        apart(metric.allowed.or(metric.bound))
    );
    line.trim_end().to_owned()
}

/// Whether the distance is beyond the bound itself.
fn beyond(metric: &Metric) -> bool {
    metric.distance.zip(metric.bound).is_some_and(|(distance, bound)| distance > bound)
}

fn noise(card: &Fidelity) -> String {
    match card.metrics.iter().filter(|metric| metric.passed_by_noise()).count() {
        0 => String::new(),
        some => format!(", {some} of them only because the machine is that noisy: more --runs, or a quiet machine"),
    }
}

fn unjudged(card: &Fidelity) -> String {
    match card.metrics.iter().filter(|metric| metric.pass.is_none() && beyond(metric)).count() {
        0 => String::new(),
        some => format!("; {some} could not be judged, because runs of the same thing are too far apart"),
    }
}

fn figure(unit: &str, value: f64) -> String {
    match unit {
        "ns" => units::ns(value),
        "bytes" => units::bytes(value.round().max(0.0) as u64),
        "bytes/s" => format!("{} MB/s", units::three_digits(value / 1e6)),
        "percent" => format!("{value:.2} %"),
        _ => units::three_digits(value),
    }
}

/// Relative distances and Wasserstein distances over the mean are shares, shown as percents.
fn distance(measure: &str, value: f64) -> String {
    match measure {
        "points" => format!("{value:.2} pt"),
        "ks" => format!("ks {value:.3}"),
        _ if value.abs() < 0.1 => format!("{:.2} %", (value * 100.0).abs()),
        _ => format!("{:.1} %", (value * 100.0).abs()),
    }
}
