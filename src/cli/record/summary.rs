//! What a recording was, in a few lines for people.

use crate::trace::Tier;
use crate::trace::meta::{Lookups, RecordStats, Source};
use crate::units::{bytes, count, three_digits};

use super::Recording;

/// The lines.
pub fn lines(recording: &Recording) -> Vec<String> {
    let meta = &recording.meta;
    let Some(stats) = &meta.record else { return Vec::new() };
    let mut lines = vec![format!(
        "{}: {} rows of {} requests in {} conversations, {} s of virtual time",
        recording.trace.display(),
        count(stats.rows),
        count(stats.requests),
        count(stats.conversations),
        three_digits(stats.span_s)
    )];
    lines.extend(source_line(&meta.source));
    for tier in Tier::ALL {
        lines.extend(tier_line(tier, meta.capacity(tier).flatten(), stats));
    }
    lines.push(format!(
        "found: {}",
        stats.lookups.iter().filter_map(|(kind, lookups)| found(kind, lookups)).collect::<Vec<_>>().join(", ")
    ));
    lines.push(format!(
        "{} demotions, {} deletes, {} orphans left; requests waited {} s in the mean, {} s at most",
        count(stats.demotions),
        count(stats.deletes),
        count(stats.orphans),
        three_digits(stats.queue_wait_s.mean),
        three_digits(stats.queue_wait_s.max)
    ));
    lines.extend(stats.skipped.iter().map(|(reason, n)| format!("skipped: {} x {reason}", count(*n))));
    if let Some(requests) = &recording.requests {
        lines.push(format!("who asked: {}", requests.display()));
    }
    lines
}

/// How a trace of requests was understood: what is wrong here is wrong everywhere.
fn source_line(source: &Source) -> Option<String> {
    let format = source.format.as_ref()?;
    let unit = source.time_unit.as_deref().map_or_else(|| "on a wall clock".to_owned(), |unit| format!("in {unit}"));
    let ids = source.block_tokens.map(|tokens| format!(", ids of {tokens} tokens")).unwrap_or_default();
    let sorted = match source.inversions {
        Some(n) if n > 0 => format!(", {} out of order and sorted", count(n)),
        _ => String::new(),
    };
    Some(format!("read as {format}: stamps {unit}{ids}{sorted}"))
}

fn tier_line(tier: Tier, capacity: Option<u64>, stats: &RecordStats) -> Option<String> {
    let used = stats.tiers.iter().find(|used| used.tier == tier)?;
    let limit = match capacity {
        Some(0) => return None,
        Some(limit) => format!("of {}", bytes(limit)),
        None => "without a limit".to_owned(),
    };
    Some(format!(
        "{tier} {limit}: {} in {} objects at the end, {} at the peak",
        bytes(used.bytes),
        count(used.entries),
        bytes(used.peak_bytes)
    ))
}

fn found(kind: &str, lookups: &Lookups) -> Option<String> {
    let hits: u64 = lookups.hits.iter().sum();
    let total = hits + lookups.misses;
    (total > 0)
        .then(|| format!("{kind} {} of {} ({:.1} %)", count(hits), count(total), 100.0 * hits as f64 / total as f64))
}
