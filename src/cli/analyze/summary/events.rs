//! The summary of KV events, as CSV and as a table.

use std::fmt::Write as _;

use crate::analyze::events::{EventSummary, Medium};
use crate::units;

/// The groups, a line each.
pub fn csv(summary: &EventSummary) -> Vec<u8> {
    let mut text = "event,medium,count,blocks,tokens,bytes\n".to_owned();
    for group in &summary.by {
        let medium = group.medium.as_deref().unwrap_or_default();
        let bytes = group.bytes.map_or(String::new(), |bytes| bytes.to_string());
        let _ = writeln!(text, "{},{medium},{},{},{},{bytes}", group.event, group.count, group.blocks, group.tokens);
    }
    text.into_bytes()
}

/// The summary for people, its table within 80 columns.
pub fn table(summary: &EventSummary) -> String {
    let files: Vec<_> = summary.inputs.iter().map(|input| input.file.as_str()).collect();
    let mut text = format!(
        "{}: {} in {} over {}, from {}\n",
        files.join(" "),
        units::plural(summary.rows, "event"),
        if summary.batches == 1 { "1 batch".to_owned() } else { format!("{} batches", units::count(summary.batches)) },
        units::ns(summary.span_s * 1e9),
        units::plural(summary.senders, "sender")
    );
    if let Some(lost) = summary.lost_messages.filter(|lost| *lost > 0) {
        let _ = writeln!(text, "{} missing between the numbers of others", units::plural(lost, "message"));
    }
    if summary.inversions > 0 {
        let _ = writeln!(text, "{} stamped before one above", units::plural(summary.inversions, "row"));
    }
    let _ = writeln!(
        text,
        "\n{:<8}  {:<16}  {:>10}  {:>12}  {:>14}  {:>10}",
        "event", "medium", "events", "blocks", "tokens", "bytes"
    );
    for group in &summary.by {
        let _ = writeln!(
            text,
            "{:<8}  {:<16}  {:>10}  {:>12}  {:>14}  {:>10}",
            group.event,
            group.medium.as_deref().unwrap_or("all"),
            units::count(group.count),
            units::count(group.blocks),
            units::count(group.tokens),
            group.bytes.map_or("-".to_owned(), units::bytes)
        );
    }
    summary.media.iter().for_each(|medium| push_medium(&mut text, medium));
    let _ = writeln!(text, "\nhits: none. {}", summary.hits_absent);
    text
}

fn push_medium(text: &mut String, medium: &Medium) {
    let bytes = |bytes: Option<u64>| bytes.map_or(String::new(), |bytes| format!(" ({})", units::bytes(bytes)));
    let tier = medium.tier.map_or("of no known tier".to_owned(), |tier| format!("tier {tier}"));
    let _ = writeln!(text, "\n{}, {tier}", medium.medium);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<26}  {value}");
    };
    line("blocks at the peak", format!("{}{}", units::count(medium.peak_blocks), bytes(medium.peak_bytes)));
    line("blocks at the end", units::count(medium.end_blocks));
    line("different blocks", units::count(medium.distinct_blocks));
    line(
        "stored again after removal",
        format!("{}{}", units::count(medium.stored_again), bytes(medium.stored_again_bytes)),
    );
    line("stored while there", units::count(medium.stored_while_resident));
    line("removed, never seen to enter", units::count(medium.removed_unknown));
    let at = |of: &crate::measure::Histogram, q: f64| of.quantile(q).map_or("-".to_owned(), units::ns);
    for (name, of) in [("stayed", &medium.residency), ("was away before it came back", &medium.away)] {
        if of.count > 0 {
            line(name, format!("p50 {}, p90 {}, p99 {}", at(of, 0.5), at(of, 0.9), at(of, 0.99)));
        }
    }
}
