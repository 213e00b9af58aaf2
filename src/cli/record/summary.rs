//! What a recording was, in a few lines for people.

use crate::trace::Tier;
use crate::trace::meta::{GpuUse, Lookups, Meta, RecordStats};
use crate::units::{bytes, count, ns, three_digits};

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
    lines.extend(source_line(meta));
    for tier in Tier::ALL {
        lines.extend(tier_line(tier, meta.capacity(tier).flatten(), stats));
    }
    let found: Vec<String> = stats.lookups.iter().filter_map(|(kind, lookups)| found(kind, lookups)).collect();
    if !found.is_empty() {
        lines.push(format!("found: {}", found.join(", ")));
    }
    lines.extend(prefix_line(stats));
    lines.push(format!(
        "{} demotions, {} promotions, {} deletes, {} orphans left; requests waited {} s in the mean, {} s at most",
        count(stats.demotions),
        count(stats.promotions),
        count(stats.deletes),
        count(stats.orphans),
        three_digits(stats.queue_wait_s.mean),
        three_digits(stats.queue_wait_s.max)
    ));
    lines.extend(overload(stats));
    lines.extend(stats.gpu.as_ref().map(gpu_line));
    lines.extend(stats.rag.as_ref().map(|rag| {
        format!(
            "{} documents in {} chunks, {} made room; {} retrievals, {} chunks computed again",
            count(rag.documents_ingested),
            count(rag.chunks_ingested),
            count(rag.documents_evicted),
            count(rag.retrievals),
            count(rag.chunks_recomputed)
        )
    }));
    lines.extend(stats.allocation_wait_s.as_ref().map(|wait| {
        let (mean, max) = (three_digits(wait.mean), three_digits(wait.max));
        format!("requests waited {mean} s in the mean to write, {max} s at most")
    }));
    lines.extend(stats.gpu.as_ref().and_then(crowded));
    lines.extend(stats.skipped.iter().map(|(reason, n)| format!("skipped: {} x {reason}", count(*n))));
    lines.extend(stats.notes.iter().map(|(what, n)| format!("note: {} x {what}", count(*n))));
    if let Some(requests) = &recording.requests {
        lines.push(format!("who asked: {}", requests.display()));
    }
    lines
}

/// How a trace of requests was understood: what is wrong here is wrong everywhere.
fn source_line(meta: &Meta) -> Option<String> {
    let source = &meta.source;
    let format = source.format.as_ref()?;
    let unit = source.time_unit.as_deref().unwrap_or("an unknown unit");
    let unused = match meta.flags.get("objects").and_then(|objects| objects.as_str()) {
        Some("turn") => ", not used by one object per turn (--profile engine uses them)",
        _ => "",
    };
    let ids = source.block_tokens.map(|tokens| format!(", ids of {tokens} tokens{unused}")).unwrap_or_default();
    let sorted = match source.inversions {
        Some(n) if n > 0 => format!(", {} out of order and sorted", count(n)),
        _ => String::new(),
    };
    Some(format!("read as {format}: stamps in {unit}{ids}{sorted}"))
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

fn gpu_line(gpu: &GpuUse) -> String {
    let each = |seconds: f64, tokens: u64| ns(seconds * 1e9 / tokens.max(1) as f64);
    format!(
        "{}: {} prompt tokens at {} each, {} generated at {} each for who asked; busy {:.1} %, {} requests a step in \
         the mean, {} at most",
        gpu.name,
        count(gpu.prefill_tokens),
        each(gpu.prefill_s, gpu.prefill_tokens),
        count(gpu.decode_tokens),
        each(gpu.generation_s, gpu.decode_tokens),
        100.0 * gpu.busy_share,
        three_digits(gpu.mean_batch),
        gpu.max_batch
    )
}

/// How much of the prompts was found, where objects are token blocks.
fn prefix_line(stats: &RecordStats) -> Option<String> {
    let of = |name: &str| stats.hit_ratios.get(name);
    let blocks = of("token_block.prefix")?;
    let percent = |name: &str| format!("{:.2} %", 100.0 * of(name).map_or(0.0, |found| found.ratio));
    Some(format!(
        "prefixes: {} of {} token blocks found ({}), {} of the tokens, {} of a prompt in the mean",
        count(blocks.hits.unwrap_or_default()),
        count(blocks.total),
        percent("token_block.prefix"),
        percent("token.prefix"),
        percent("request_mean.prefix")
    ))
}

/// What a real engine would not have run at a time.
fn crowded(gpu: &GpuUse) -> Option<String> {
    let room = gpu.context_room_bytes.filter(|room| gpu.max_context_bytes > *room)?;
    Some(format!(
        "{}: who generated held {} of context at a time at most, more than the {} beside the weights; a real engine \
         would have let requests wait, as a lower --max-num-seqs does",
        gpu.name,
        bytes(gpu.max_context_bytes),
        bytes(room)
    ))
}

/// Requests that mostly wait make a trace of how fast the system serves, not of how they come.
fn overload(stats: &RecordStats) -> Option<String> {
    (stats.queue_wait_s.mean > stats.span_s / 10.0).then(|| {
        "requests came faster than they were served: fewer --num-users, a lower --request-rate or a faster \
         --tier-timing lets the system keep up"
            .to_owned()
    })
}

fn found(kind: &str, lookups: &Lookups) -> Option<String> {
    let kind = match kind {
        "object" => "objects of the request itself",
        "multi_turn" => "earlier turns",
        "system" => "shared prompts",
        _ => "chunks of documents",
    };
    let hits: u64 = lookups.hits.iter().sum();
    let total = hits + lookups.misses;
    (total > 0)
        .then(|| format!("{kind} {} of {} ({:.1} %)", count(hits), count(total), 100.0 * hits as f64 / total as f64))
}
