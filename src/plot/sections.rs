//! The sections of the report but those of the block layer: what each says, from a result to HTML.

use crate::measure::replay::Totals;
use crate::measure::{BlockResult, Histogram, ReplayResult};
use crate::trace::{Meta, Op};
use crate::units;

use super::html::{escape, facts, paragraph, table};
use super::latency::tier_name;
use super::report::Replayed;
use super::request_sections::tokens;

/// The quantiles of a latency table.
pub const QUANTILES: [(&str, f64); 5] = [("P50", 0.5), ("P95", 0.95), ("P99", 0.99), ("P99.9", 0.999), ("max", 1.0)];

/// A time for people, or a dash.
pub fn time(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), units::ns)
}

/// A quantile in a table: of too few values only their largest.
pub fn quantile(histogram: &Histogram, q: f64) -> Option<f64> {
    if q < 1.0 { histogram.carried(q) } else { histogram.quantile(q) }
}

fn gb_per_s(value: f64) -> String {
    format!("{} GB/s", units::three_digits(value))
}

fn card(value: &str, what: &str) -> String {
    format!("<div class=\"card\"><b>{}</b><span>{}</span></div>\n", escape(value), escape(what))
}

pub fn key_numbers(replay: &ReplayResult) -> String {
    let Totals { ops, moved_bytes, wall_s, .. } = replay.totals;
    let totals = &replay.totals;
    let storage = replay.storage_gb_per_s().unwrap_or_default();
    let mut cards = vec![
        card(&gb_per_s(storage.0), "read from storage (1e9 B/s)"),
        card(&gb_per_s(storage.1), "written to storage (1e9 B/s)"),
        card(&gb_per_s(totals.read_gb_per_s), "read, memory too"),
        card(&gb_per_s(totals.write_gb_per_s), "written, memory too"),
        card(&units::bytes(moved_bytes), "really moved, both"),
        card(&units::ns(wall_s * 1e9), "wall time of the run"),
        card(&units::count(ops), "rows executed"),
    ];
    if let Some(cost) = replay.cpu.s_per_gb {
        cards.push(card(&format!("{} s/GB", units::three_digits(cost)), "processor time for 1e9 B moved"));
    }
    if let Some(offered) = totals.offered_gb_per_s {
        cards.push(card(&gb_per_s(offered), "offered by the trace's own time"));
    }
    let timing = &replay.timing;
    if timing.lateness.count > 0 && timing.pacing != "asap" {
        cards.push(card(&time(timing.lateness.carried(0.99)), "P99 start delay of the replay itself"));
        cards.push(card(
            &format!("{:.2} %", timing.late_fraction * 100.0),
            "of starts delayed by the replay itself beyond its bound",
        ));
        cards.push(card(
            &time(timing.wait.carried(0.99)),
            "P99 of starts behind the schedule (no object or place free)",
        ));
    }
    if timing.reap_gap.count > 0 {
        cards.push(card(&time(timing.reap_gap.carried(0.99)), "P99 by which a completion may have been seen late"));
    }
    let tiers: Vec<Vec<String>> = replay.tiers.iter().map(|tier| tier_row(tier, wall_s)).collect();
    let head = [
        "tier",
        "backend",
        "target",
        "cache",
        "read",
        "written",
        "read rate",
        "write rate",
        "decode read",
        "prefill written",
    ];
    let mut out = format!("<div class=\"cards\">\n{}</div>\n", cards.concat());
    out.push_str(&table(&head, 4, &tiers));
    out.push_str(&paragraph(&format!(
        "Rows of the trace ask for {} of reads and {} of writes over all tiers (a demotion is two rows); the rates \
         count only bytes that really moved. Preparing took {} and is in no figure.",
        units::bytes(totals.read_bytes),
        units::bytes(totals.write_bytes),
        units::ns(totals.prepare_s * 1e9)
    )));
    out.push_str(&tokens(replay));
    out
}

fn tier_row(tier: &crate::measure::replay::TierReport, wall_s: f64) -> Vec<String> {
    let rate = |bytes: u64| if wall_s > 0.0 { gb_per_s(bytes as f64 / wall_s / 1e9) } else { "-".to_owned() };
    let cache = match tier.direct {
        Some(true) => "direct",
        Some(false) => "BUFFERED",
        None => "-",
    };
    vec![
        format!("Tier-{}", tier.tier),
        tier.backend.clone(),
        tier.target.clone(),
        cache.to_owned(),
        units::bytes(tier.read_bytes),
        units::bytes(tier.write_bytes),
        rate(tier.read_bytes),
        rate(tier.write_bytes),
        tier.decode_read_bytes.map_or("-".to_owned(), units::bytes),
        tier.prefill_write_bytes.map_or("-".to_owned(), units::bytes),
    ]
}

pub fn latency(replay: &ReplayResult) -> String {
    let mut rows = Vec::new();
    for latency in replay.latency.iter().filter(|latency| latency.ops > 0 && latency.op != Op::Delete) {
        for (what, histogram) in [("response", &latency.response), ("service", &latency.service)] {
            let mut row = vec![
                tier_name(replay, latency.tier),
                format!("{} {}", latency.op, latency.phase),
                what.to_owned(),
                units::count(histogram.count),
            ];
            row.extend(QUANTILES.iter().map(|&(_, q)| time(quantile(histogram, q))));
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut head = vec!["tier", "operation", "time", "objects"];
    head.extend(QUANTILES.iter().map(|quantile| quantile.0));
    table(&head, 3, &rows)
        + &paragraph(
            "Times are of whole objects. Response counts from the intended start, service from the actual start; the \
             difference is waiting. A dash is a quantile that so few objects do not carry.",
        )
}

pub fn verification(replay: &ReplayResult) -> String {
    let verify = &replay.verify;
    let mut out = if verify.level == "off" {
        paragraph("Data was not checked (--verify off).")
    } else if verify.failure_count == 0 {
        paragraph(&format!(
            "No wrong data: {} checks over {} at level {}.",
            units::count(verify.checks),
            units::bytes(verify.checked_bytes),
            verify.level
        ))
    } else {
        format!(
            "<div class=\"verdict bad\"><strong>{} wrong reads.</strong></div>\n",
            escape(&units::count(verify.failure_count))
        )
    };
    let shown = 20;
    let failures: Vec<Vec<String>> = verify
        .failures
        .iter()
        .take(shown)
        .map(|f| vec![units::count(f.row), f.key.clone(), units::bytes(f.offset_bytes), f.class.clone()])
        .collect();
    out.push_str(&table(&["row", "key", "at", "what was read instead"], 4, &failures));
    let errors: Vec<Vec<String>> = replay
        .errors
        .iter()
        .take(shown)
        .map(|e| vec![units::count(e.row), e.key.clone(), e.op.clone(), format!("{} ({})", e.message, e.errno)])
        .collect();
    out.push_str(&paragraph(&match replay.errors.len() {
        0 => "No I/O errors.".to_owned(),
        n => format!("{n} I/O errors; the first {}:", errors.len()),
    }));
    out + &table(&["row", "key", "operation", "error"], 4, &errors)
}

pub fn recording(meta: Option<&Meta>) -> String {
    let Some(meta) = meta else { return String::new() };
    let mut pairs = vec![("source".to_owned(), meta.source.file.clone().unwrap_or(meta.source.kind.clone()))];
    if let Some(model) = &meta.model {
        let text =
            format!("{}, {} bytes a token ({})", model.name, units::count(model.bytes_per_token), model.kv_dtype);
        pairs.push(("model".to_owned(), text));
    }
    if let Some(profile) = &meta.profile {
        pairs.push(("profile".to_owned(), profile.clone()));
    }
    let Some(record) = &meta.record else { return facts(&pairs) };
    pairs.extend([
        ("requests".to_owned(), units::count(record.requests)),
        ("conversations".to_owned(), units::count(record.conversations)),
        ("rows".to_owned(), units::count(record.rows)),
        ("virtual time".to_owned(), units::ns(record.span_s * 1e9)),
        ("demotions".to_owned(), units::count(record.demotions)),
        ("deletes".to_owned(), units::count(record.deletes)),
    ]);
    let lookups: Vec<Vec<String>> = record
        .lookups
        .iter()
        .map(|(kind, lookups)| {
            let hits: u64 = lookups.hits.iter().sum();
            let total = hits + lookups.misses;
            let share = if total > 0 { format!("{:.1} %", hits as f64 * 100.0 / total as f64) } else { "-".to_owned() };
            let [gpu, dram, storage] = lookups.hits.map(units::count);
            vec![kind.clone(), units::count(total), share, gpu, dram, storage, units::count(lookups.misses)]
        })
        .collect();
    let tiers: Vec<Vec<String>> = record
        .tiers
        .iter()
        .map(|tier| {
            let limit = match meta.capacity(tier.tier) {
                Some(Some(bytes)) => units::bytes(bytes),
                Some(None) => "unlimited".to_owned(),
                None => "-".to_owned(),
            };
            vec![
                tier.tier.to_string(),
                limit,
                units::count(tier.entries),
                units::bytes(tier.bytes),
                units::bytes(tier.peak_bytes),
            ]
        })
        .collect();
    facts(&pairs)
        + &table(&["lookups of", "lookups", "hit rate", "in Tier-0", "in Tier-1", "in Tier-2", "misses"], 1, &lookups)
        + &table(&["tier", "capacity", "objects at the end", "bytes at the end", "peak"], 1, &tiers)
}

pub fn job(job: Option<(&str, &str)>) -> String {
    match job {
        Some((text, file)) => format!("{}<pre>{}</pre>\n", paragraph(file), escape(text)),
        None => String::new(),
    }
}

pub fn provenance(input: &Replayed) -> String {
    let replay = input.replay;
    let (trace, host) = (&replay.trace, &replay.host);
    let said = |text: Option<String>| text.unwrap_or("not said".to_owned());
    let mut pairs = vec![
        ("trace".to_owned(), trace.file.clone()),
        ("trace sha256".to_owned(), trace.sha256.clone()),
        ("trace rows".to_owned(), units::count(trace.rows)),
        ("seed".to_owned(), said(trace.seed.map(|seed| seed.to_string()))),
        ("model".to_owned(), said(trace.model.clone())),
        ("result".to_owned(), input.file.to_owned()),
        ("result sha256".to_owned(), input.sha256.to_owned()),
        ("measured by".to_owned(), replay.tool.clone()),
        ("reported by".to_owned(), crate::TOOL.to_owned()),
        ("started".to_owned(), host.started.clone()),
        ("kernel".to_owned(), host.kernel.clone()),
        ("processor".to_owned(), format!("{} ({} online)", host.cpu, host.cpus)),
        ("memory".to_owned(), units::bytes(host.memory_bytes)),
    ];
    if let Some((block, file)) = input.capture {
        let during = block.duration_s.map_or_else(String::new, |s| format!(", {s:.1} s"));
        pairs.push(("capture".to_owned(), format!("{file}, by {}{during}", block.source)));
    }
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let config: Vec<_> = replay.config.iter().map(|(flag, set)| (flag.clone(), value(set))).collect();
    let mut out = facts(&pairs);
    if !config.is_empty() {
        out.push_str("<h3>Settings in force</h3>\n");
        out.push_str(&facts(&config));
    }
    for tier in replay.tiers.iter().filter(|tier| !tier.facts.is_empty()) {
        out.push_str(&format!("<h3>Tier-{}: {}</h3>\n", tier.tier, escape(&tier.target)));
        let known: Vec<_> = tier.facts.iter().map(|(name, fact)| (name.replace('_', " "), value(fact))).collect();
        out.push_str(&facts(&known));
    }
    out
}

/// What nothing of a replay says.
pub fn limits(replay: &ReplayResult, capture: Option<(&BlockResult, &str)>) -> Vec<String> {
    let mut all = vec![
        "No model runs: time that a GPU would compute is not in any measured figure.".to_owned(),
        "The order and the sizes are the trace's; a serving system that reacts to a slower tier would ask differently."
            .to_owned(),
        "The device's state (how full, how worn, how warm) is as it was found, unless it was preconditioned."
            .to_owned(),
    ];
    if let Some(tier) = replay.tiers.iter().find(|tier| tier.backend == "model") {
        all.push(format!("Tier-{} is a model: its times are computed and no byte moved.", tier.tier));
    }
    if replay.timing.pacing == "asap" {
        all.push(
            "The run was not paced: it shows what the tiers can do at this concurrency, not the latency at the trace's \
             own load."
                .to_owned(),
        );
    }
    if replay.requests.is_some() {
        all.push("Queue, generation and end-to-end times of requests are modelled from the recording.".to_owned());
    }
    if capture.is_none() {
        all.push(
            "The block layer was not watched: sizes, depths and device times below the syscall are unknown.".to_owned(),
        );
    }
    all
}
