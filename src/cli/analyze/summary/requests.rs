//! The summary of requests, as CSV and as a table.

use std::fmt::Write as _;

use crate::analyze::requests_summary::RequestsSummary;
use crate::units;

use super::trace::push_arrivals;

/// A figure a line.
pub fn csv(summary: &RequestsSummary) -> Vec<u8> {
    let mut text = "name,value\n".to_owned();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name},{value}");
    };
    line("requests", summary.rows.to_string());
    line("span_s", summary.span_s.to_string());
    line("prompt_tokens", summary.prompt_tokens.to_string());
    line("answer_tokens", summary.answer_tokens.to_string());
    line("conversations", summary.conversations.to_string());
    for (name, value) in [("blocks", summary.blocks), ("distinct_blocks", summary.distinct_blocks)] {
        line(name, value.map_or(String::new(), |value| value.to_string()));
    }
    for window in summary.burstiness.iter().flat_map(|of| &of.windows) {
        let index = window.index_of_dispersion.map_or(String::new(), |index| index.to_string());
        line(&format!("index_of_dispersion_{}s", window.window_s), index);
    }
    text.into_bytes()
}

/// The summary for people, within 80 columns.
pub fn table(summary: &RequestsSummary) -> String {
    let files: Vec<_> = summary.inputs.iter().map(|input| input.file.as_str()).collect();
    let rate = summary.requests_per_s.map_or(String::new(), |rate| format!(", {}/s", units::three_digits(rate)));
    let mut text = format!(
        "{} ({}): {} over {}{rate}\n\n",
        files.join(" "),
        summary.format,
        units::plural(summary.rows, "request"),
        units::ns(summary.span_s * 1e9)
    );
    for tokens in &summary.tokens {
        let at = |q: f64| tokens.quantile(q).map_or("-".to_owned(), |tokens| units::count(tokens as u64));
        let _ = writeln!(
            text,
            "{:<6} tokens       {:>14} in all; mean {}, p50 {}, p90 {}, p99 {}",
            tokens.name,
            units::count(tokens.sum as u64),
            tokens.mean().map_or("-".to_owned(), |mean| units::count(mean as u64)),
            at(0.5),
            at(0.9),
            at(0.99)
        );
    }
    let conversations = units::count(summary.conversations);
    let turns = summary.turns.as_ref().map_or(String::new(), |turns| {
        format!(": {} turns in the mean, {} at most", units::three_digits(turns.mean), turns.max)
    });
    let _ = writeln!(text, "conversations       {conversations}{turns}");
    if let (Some(blocks), Some(distinct)) = (summary.blocks, summary.distinct_blocks) {
        let _ = writeln!(text, "token blocks        {}, {} different", units::count(blocks), units::count(distinct));
    }
    for (property, values) in &summary.by {
        let values: Vec<_> = values.iter().map(|(value, count)| format!("{value} {}", units::count(*count))).collect();
        let _ = writeln!(text, "by {property:<17}{}", values.join(", "));
    }
    if let Some(inversions) = summary.inversions.filter(|n| *n > 0) {
        let _ = writeln!(text, "put in order        {}", units::plural(inversions, "request"));
    }
    push_arrivals(&mut text, &summary.burstiness);
    text
}
