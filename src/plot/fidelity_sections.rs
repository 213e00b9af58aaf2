//! A fidelity card in the report: its lines, and the picture of both sides.

use crate::measure::fidelity::{Fidelity, Metric, Proved};
use crate::units;

use super::fidelity;
use super::html::{facts, list, paragraph, table};
use super::report::figure;

/// The card.
pub fn card(card: &Fidelity, file: &str) -> String {
    let head = ["metric", "op", "original", "distilled", "distance", "noise floor", "allowed", "verdict"];
    let rows: Vec<Vec<String>> = card.metrics.iter().map(row).collect();
    let drawn = match fidelity::picture(card, file) {
        Ok(picture) => figure(&picture),
        Err(error) => paragraph(&error.to_string()),
    };
    table(&head, 2, &rows)
        + &paragraph(
            "Distances of distributions are 1-Wasserstein over the original's mean, or Kolmogorov-Smirnov (ks); the \
             noise floor is how far apart two runs of the same thing are. What depends on the device passes up to \
             twice the floor.",
        )
        + &list(&card.notes)
        + &drawn
        + &facts(&[
            ("original".to_owned(), side(&card.original)),
            ("distilled".to_owned(), side(&card.distilled)),
            ("proved by".to_owned(), card.tool.clone()),
        ])
}

fn side(proved: &Proved) -> String {
    let runs = if proved.runs == 0 { "a recording".to_owned() } else { units::plural(u64::from(proved.runs), "run") };
    let command = proved.command.as_deref().map_or_else(String::new, |command| format!(": {command}"));
    format!("{} ({runs}, on {}){command}", proved.file, proved.devices.join(", "))
}

fn row(metric: &Metric) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| figure_of(&metric.unit, value));
    let apart = |value: Option<f64>| value.map_or("-".to_owned(), |value| distance(&metric.measure, value));
    let verdict = match metric.pass {
        Some(true) => "ok",
        Some(false) => "MISSED",
        None => "not judged",
    };
    vec![
        metric.name.clone(),
        metric.op.clone().unwrap_or_else(|| "both".to_owned()),
        shown(metric.original),
        shown(metric.distilled),
        apart(metric.distance),
        apart(metric.noise_floor),
        apart(metric.allowed.or(metric.bound)),
        verdict.to_owned(),
    ]
}

fn figure_of(unit: &str, value: f64) -> String {
    match unit {
        "ns" => units::ns(value),
        "bytes" => units::bytes(value.round().max(0.0) as u64),
        "bytes/s" => format!("{} MB/s", units::three_digits(value / 1e6)),
        "percent" => format!("{value:.2} %"),
        _ => units::three_digits(value),
    }
}

fn distance(measure: &str, value: f64) -> String {
    match measure {
        "points" => format!("{value:.2} pt"),
        "ks" => format!("ks {value:.3}"),
        _ => format!("{:.1} %", value.abs() * 100.0),
    }
}
