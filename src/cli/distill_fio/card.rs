//! A fidelity card as people read it: a line for each metric, within 100 columns.

use crate::measure::fidelity::{Fidelity, Metric};

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
    let verdict = if metric.bound.is_none() { "" } else { metric.verdict() };
    let line = format!(
        "{:<12} {:<5} {:>11} {:>11} {:>9} {:>8} {:>8}  {verdict}",
        metric.name,
        metric.op.as_deref().unwrap_or("both"),
        metric.figure(metric.original),
        metric.figure(metric.distilled),
        metric.apart(metric.distance),
        metric.apart(metric.noise_floor),
        metric.apart(metric.allowed.or(metric.bound))
    );
    line.trim_end().to_owned()
}

fn noise(card: &Fidelity) -> String {
    match card.metrics.iter().filter(|metric| metric.passed_by_noise()).count() {
        0 => String::new(),
        some => format!(", {some} of them only because the machine is that noisy: more --runs, or a quiet machine"),
    }
}

fn unjudged(card: &Fidelity) -> String {
    match card.metrics.iter().filter(|metric| metric.pass.is_none() && metric.is_beyond()).count() {
        0 => String::new(),
        some => format!("; {some} could not be judged, because runs of the same thing are too far apart"),
    }
}
