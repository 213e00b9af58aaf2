//! A fidelity card as people read it: a line for each metric, within 100 columns.

use crate::measure::fidelity::{Fidelity, Metric};

/// The lines.
pub fn lines(card: &Fidelity) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<12} {:<5} {:>11} {:>11} {:>9} {:>8} {:>8}  ",
        "", "op", "original", "distilled", "distance", "floor", "allowed"
    )];
    lines.extend(card.metrics.iter().map(line));
    lines.push(verdict(card));
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

/// The headline.
fn verdict(card: &Fidelity) -> String {
    let count = |which: fn(&Metric) -> bool| card.metrics.iter().filter(|metric| which(metric)).count();
    let bounds = count(|metric| metric.bound.is_some());
    let (kept, missed) = (count(|metric| metric.pass == Some(true)), count(|metric| metric.pass == Some(false)));
    match (kept, missed) {
        _ if !card.complete => "interrupted: there is no verdict".to_owned(),
        (0, 0) => "nothing could be judged".to_owned(),
        (_, 0) if card.is_undecided() => {
            format!("UNDECIDED: {kept} of {bounds} are within what is allowed{}{}", noise(card), unjudged(card))
        }
        (_, 0) => format!("PASS: {kept} of {bounds} are within what is allowed{}{}", noise(card), unjudged(card)),
        _ => format!("FAIL: {missed} of {bounds} bounds are missed{}", unjudged(card)),
    }
}

fn noise(card: &Fidelity) -> String {
    match card.metrics.iter().filter(|metric| metric.passed_by_noise()).count() {
        0 => String::new(),
        some => format!(", {some} of them only because the machine is that noisy: more --runs, or a quiet machine"),
    }
}

/// Lines that have a bound and could not be judged, and why.
fn unjudged(card: &Fidelity) -> String {
    let lines: Vec<&Metric> = card.metrics.iter().filter(|metric| metric.is_unjudged()).collect();
    if lines.is_empty() {
        return String::new();
    }
    let beyond: Vec<String> = lines.iter().filter(|metric| metric.is_beyond()).map(|metric| name(metric)).collect();
    let noisy = beyond.len();
    let why = match noisy {
        0 => "one side has no figure, or too few requests for one".to_owned(),
        all if all == lines.len() => format!("runs of the same thing are too far apart in {}", beyond.join(", ")),
        _ => format!("runs of the same thing are too far apart in {}, the others lack figures", beyond.join(", ")),
    };
    format!("; {} could not be judged: {why}", lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(distance: f64, pass: Option<bool>) -> Metric {
        Metric { bound: Some(0.1), distance: Some(distance), allowed: Some(0.1), pass, ..Metric::default() }
    }

    fn said(metrics: Vec<Metric>) -> String {
        verdict(&Fidelity { complete: true, metrics, ..Fidelity::default() })
    }

    #[test]
    fn a_pass_counts_what_was_not_judged() {
        let shown = Metric { distance: Some(9.0), ..Metric::default() };
        assert_eq!(said(vec![line(0.05, Some(true)), shown.clone()]), "PASS: 1 of 1 are within what is allowed");
        let of = said(vec![line(0.05, Some(true)), line(0.9, None), shown.clone()]);
        assert!(
            of.starts_with("UNDECIDED: 1 of 2 are within what is allowed; 1 could not be judged: runs of the same"),
            "{of}"
        );
        let of = said(vec![line(0.05, Some(true)), line(0.01, None), line(0.2, Some(false))]);
        assert!(of.starts_with("FAIL: 1 of 3 bounds are missed; 1 could not be judged: one side"), "{of}");
        assert!(said(vec![shown]).starts_with("nothing could be judged"));
    }
}
