//! The sections of the report about requests: their times, their targets, the token rates.

use crate::measure::replay::{QosTarget, Requests};
use crate::measure::sample::quantile_name;
use crate::measure::{Histogram, ReplayResult};
use crate::units;

use super::html::{facts, paragraph, table};
use super::sections::time;

/// The quantiles of a table of requests.
const QUANTILES: [f64; 5] = [0.5, 0.95, 0.99, 0.999, 0.9999];

/// The three rates and what follows from them.
pub fn tokens(replay: &ReplayResult) -> String {
    let Some(tokens) = &replay.tokens else { return String::new() };
    let rate = |value: Option<f64>, what: &str| match value {
        Some(value) => format!("{}{what}", units::three_digits(value)),
        None => "not known: no requests file, or no request that completed".to_owned(),
    };
    facts(&[
        ("tokens generated per wall second".to_owned(), rate(tokens.generated_per_s, "/s")),
        ("tokens moved by tier 2 per wall second".to_owned(), rate(Some(tokens.tier2_moved_per_s), "/s")),
        (
            "tokens generated per summed storage second (the reference's)".to_owned(),
            rate(tokens.generated_per_storage_s, "/s"),
        ),
        (
            "read amplification: moved by tier 2 for each token generated".to_owned(),
            rate(tokens.read_amplification, ""),
        ),
        ("tokens read for each written by prefill, all tiers".to_owned(), rate(tokens.read_per_written, "")),
    ])
}

/// Requests and classes.
pub fn requests(replay: &ReplayResult) -> String {
    let Some(requests) = &replay.requests else {
        return replay.requests_absent.as_deref().map(paragraph).unwrap_or_default();
    };
    let line = |name: &str, how: &str, histogram: &Histogram| {
        let mut row = vec![name.to_owned(), how.to_owned(), units::count(histogram.count)];
        row.extend(QUANTILES.map(|q| time(histogram.carried(q))));
        row.push(time(histogram.max.map(|max| max as f64)));
        row
    };
    let how = |name: &str| requests.how.get(name).map_or("modelled", |how| how.split(": ").next().unwrap_or(how));
    let mut rows = vec![
        line("storage, service summed", how("storage"), &requests.storage),
        line("storage, response summed", how("storage_response"), &requests.storage_response),
        line("queue", how("queue"), &requests.queue),
        line("generation", how("generation"), &requests.generation),
        line("end to end", how("end_to_end"), &requests.end_to_end),
    ];
    for (class, report) in requests.qos.iter().filter(|(_, report)| report.count > 0) {
        rows.push(line(&format!("storage, {class}"), how("storage"), &report.storage));
        rows.push(line(&format!("end to end, {class}"), how("end_to_end"), &report.end_to_end));
    }
    let names = QUANTILES.map(quantile_name);
    let mut head = vec!["part", "how", "requests"];
    head.extend(names.iter().map(String::as_str));
    head.push("max");
    let mut out = table(&head, 2, &rows) + &targets(requests);
    if let Some(apart) = left_out(requests) {
        out.push_str(&paragraph(&apart));
    }
    out + &paragraph("A dash is a quantile that so few requests do not carry.")
}

/// Requests that are not in the figures.
pub fn left_out(requests: &Requests) -> Option<String> {
    let apart = requests.apart;
    let parts = [
        (apart.failed, "failed"),
        (apart.skipped, "with rows of skipped tiers"),
        (apart.unfinished, "not finished by this run"),
    ];
    let parts: Vec<_> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", units::count(*n))).collect();
    (!parts.is_empty()).then(|| format!("Requests counted apart, in no figure: {}.", parts.join(", ")))
}

fn targets(requests: &Requests) -> String {
    let mut rows = Vec::new();
    for (class, report) in &requests.qos {
        if report.no_data {
            rows.push(vec![class.clone(), "no data".to_owned()]);
        }
        rows.extend(report.targets.iter().filter(|_| !report.no_data).map(|target| target_row(class, target)));
    }
    let from = match requests.targets_from.as_str() {
        "trace" => "Targets of the recording, for end-to-end times, which are modelled.",
        _ => "The reference's default targets, for end-to-end times, which are modelled.",
    };
    let out = table(&["class", "target", "limit", "reached", "within", "met"], 2, &rows);
    if out.is_empty() { out } else { out + &paragraph(from) }
}

fn target_row(class: &str, target: &QosTarget) -> Vec<String> {
    let met = match (target.met, &target.why_null) {
        (Some(true), _) => "yes".to_owned(),
        (Some(false), _) => "NO".to_owned(),
        (None, why) => why.clone().unwrap_or_default(),
    };
    vec![
        class.to_owned(),
        quantile_name(target.quantile),
        units::ns(target.target_ms * 1e6),
        time(target.measured_ms.map(|ms| ms * 1e6)),
        target.share_within.map_or("-".to_owned(), |share| format!("{:.2} %", share * 100.0)),
        met,
    ]
}
