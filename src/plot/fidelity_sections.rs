//! A fidelity card in the report: its lines, and the picture of both sides.

use crate::measure::fidelity::{Fidelity, Metric, Proved};

use super::fidelity;
use super::html::{facts, list, marked_table, paragraph};
use super::report::figure;

/// The card.
pub fn card(card: &Fidelity, file: &str) -> String {
    let head = ["metric", "op", "original", "distilled", "distance", "noise floor", "allowed", "verdict"];
    let rows: Vec<Vec<String>> = card.metrics.iter().map(row).collect();
    let drawn = match fidelity::picture(card, file) {
        Ok(picture) => figure(&picture),
        Err(error) => paragraph(&error.to_string()),
    };
    let missed: Vec<bool> = card.metrics.iter().map(|metric| metric.pass == Some(false)).collect();
    marked_table(&head, 2, &rows, &missed)
        + &paragraph(
            "Distances of distributions are 1-Wasserstein over the original's mean, or Kolmogorov-Smirnov (ks); the \
             noise floor is how far apart two runs of the same thing are. What depends on the device passes up to \
             twice the floor.",
        )
        + &list(&shown_alone(card))
        + &list(&card.notes)
        + &drawn
        + &facts(&[
            ("original".to_owned(), side(&card.original, card.complete)),
            ("distilled".to_owned(), side(&card.distilled, card.complete)),
            ("proved by".to_owned(), card.tool.clone()),
        ])
}

/// What the rows without a bound are: they help to see why others miss theirs.
fn shown_alone(card: &Fidelity) -> Vec<String> {
    let explained = [
        ("depth", "requests at the device at a time, as a distribution over the time in which any was"),
        ("d2c", "the whole distribution of times at the device, of which d2c_p50 and d2c_p99 are judged"),
        ("q2c", "times from queue to completion, waiting in the scheduler included, as it was tuned on each machine"),
    ];
    let shown = |name: &str| card.metrics.iter().any(|metric| metric.name == name && metric.bound.is_none());
    let words = |(name, what): (&str, &str)| format!("{name} (shown, not judged): {what}");
    explained.into_iter().filter(|(name, _)| shown(name)).map(words).collect()
}

fn side(proved: &Proved, complete: bool) -> String {
    let runs = if complete || !proved.blocks.is_empty() { proved.ran() } else { "did not run to its end".to_owned() };
    let command = proved.command.as_deref().map_or_else(String::new, |command| format!(": {command}"));
    format!("{} ({runs}, on {}){command}", proved.file, proved.devices.join(", "))
}

fn row(metric: &Metric) -> Vec<String> {
    vec![
        metric.name.clone(),
        metric.op.clone().unwrap_or_else(|| "both".to_owned()),
        metric.figure(metric.original),
        metric.figure(metric.distilled),
        metric.apart(metric.distance),
        metric.apart(metric.noise_floor),
        metric.apart(metric.allowed.or(metric.bound)),
        metric.verdict().to_owned(),
    ]
}
