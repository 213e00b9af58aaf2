//! The sections of the report that need a capture: where the time went, and the block layer.

use crate::measure::{BlockResult, Histogram, ReplayResult};
use crate::trace::{Op, Tier};
use crate::units;

use super::html::{escape, facts, list, paragraph, table};
use super::sections::{quantile, time};

/// Summed times of one direction on tier 2 and below it.
struct Spent {
    objects: f64,
    q2d: f64,
    d2c: f64,
}

impl Spent {
    fn of(replay: &ReplayResult, block: &BlockResult, op: Op) -> Option<Self> {
        let word = if op == Op::Read { "read" } else { "write" };
        let seconds = |name| block.histogram(name, Some(word)).filter(|h| h.count > 0).map(|h| h.sum as f64 / 1e9);
        let tier2 = replay.latency.iter().filter(|l| l.tier == Tier::Storage && l.op == op);
        let objects = tier2.map(|l| l.service.sum as f64 / 1e9).sum::<f64>();
        let d2c = seconds("d2c")?;
        (objects > 0.0).then(|| Self { objects, q2d: seconds("q2d").unwrap_or(0.0), d2c })
    }
}

pub fn where_time_went(replay: &ReplayResult, capture: Option<(&BlockResult, &str)>) -> String {
    let Some((block, _)) = capture else {
        return paragraph(
            "Without a capture of the block layer the time below the service time is not known; repeat the replay with \
             --capture.",
        );
    };
    let mut out = String::new();
    let mut rows = Vec::new();
    for op in [Op::Read, Op::Write] {
        let Some(spent) = Spent::of(replay, block, op) else { continue };
        let Spent { objects, q2d, d2c } = spent;
        let below = q2d + d2c;
        rows.push(vec![
            format!("{op}s"),
            units::ns(objects * 1e9),
            units::ns(below * 1e9),
            units::ns(q2d * 1e9),
            units::ns(d2c * 1e9),
            units::three_digits(below / objects),
        ]);
        let above = (objects - below).max(0.0);
        let whole = above + below;
        let parts = [("above the block layer", above, 6), ("Q2D", q2d, 7), ("D2C, the device", d2c, 8)];
        let bars = parts.iter().filter(|part| part.1 > 0.0);
        let bars: String = bars
            .map(|part| format!("<i class=\"c{}\" style=\"width:{:.2}%\"></i>", part.2, part.1 / whole * 100.0))
            .collect();
        let key: Vec<String> = parts
            .iter()
            .map(|part| {
                format!("<span class=\"key c{}\"></span>{} {:.1} %", part.2, escape(part.0), part.1 / whole * 100.0)
            })
            .collect();
        out.push_str(&format!(
            "<h4>{op}s of tier 2</h4>\n<div class=\"bar\">{bars}</div>\n<p>{}</p>\n",
            key.join(" &nbsp; ")
        ));
    }
    if rows.is_empty() {
        return paragraph("The capture saw no request of tier 2 in this run.");
    }
    out + &table(&["tier 2", "service of objects", "block layer", "Q2D", "D2C", "requests at once"], 1, &rows)
        + &paragraph(
            "Sums over all objects and over all block requests. Q2D is a request's wait before the driver, D2C the \
             device. The requests of one object overlap: where \u{201c}requests at once\u{201d} (block layer over \
             service) is above 1, what lies above the block layer hides behind that overlap and shows as 0.",
        )
}

pub fn block_layer(capture: Option<(&BlockResult, &str)>) -> String {
    let Some((block, _)) = capture else { return String::new() };
    let mut out = String::new();
    if block.tainted {
        out.push_str(&format!(
            "<div class=\"verdict bad\"><strong>The capture is tainted.</strong>\n{}</div>\n",
            list(&block.taint_reasons)
        ));
    }
    let rows: Vec<Vec<String>> = ["read", "write"].iter().filter_map(|op| block_row(block, op)).collect();
    let head = [
        "target",
        "requests",
        "bytes",
        "mean size",
        "D2C P50",
        "D2C P99",
        "D2C max",
        "Q2D P50",
        "Q2D P99",
        "in flight",
    ];
    out.push_str(&table(&head, 1, &rows));
    out.push_str(&cross_check(block));
    let losses: Vec<(String, String)> =
        block.loss.iter().filter(|(_, n)| **n > 0).map(|(cause, n)| (cause.clone(), units::count(*n))).collect();
    if losses.is_empty() {
        out.push_str(&paragraph(&format!("Nothing was lost: all {} loss counters are zero.", block.loss.len())));
    } else {
        out.push_str(&paragraph("What was not seen or not understood, by cause:"));
        out.push_str(&facts(&losses));
    }
    out
}

fn block_row(block: &BlockResult, op: &str) -> Option<Vec<String>> {
    let size = block.histogram("size", Some(op)).filter(|h| h.count > 0)?;
    let scale = if size.unit == "sectors" { 512 } else { 1 };
    let quantile = |name: &str, q| time(block.histogram(name, Some(op)).and_then(|h| quantile(h, q)));
    let depth = block.histogram("inflight_time", Some(op)).and_then(Histogram::mean);
    Some(vec![
        format!("{op}s"),
        units::count(size.count),
        units::bytes(big(size.sum) * scale),
        units::bytes(big(size.sum) * scale / size.count),
        quantile("d2c", 0.5),
        quantile("d2c", 0.99),
        quantile("d2c", 1.0),
        quantile("q2d", 0.5),
        quantile("q2d", 0.99),
        depth.map_or("-".to_owned(), units::three_digits),
    ])
}

/// The capture against the kernel's own account of the same time.
fn cross_check(block: &BlockResult) -> String {
    let mut rows = Vec::new();
    for device in &block.devices {
        let (kernel, captured) = (&device.kernel, &device.captured);
        let pairs = [
            ("reads", kernel.read_ios, captured.read_ios, false),
            ("bytes read", kernel.read_bytes, captured.read_bytes, true),
            ("writes", kernel.write_ios, captured.write_ios, false),
            ("bytes written", kernel.write_bytes, captured.write_bytes, true),
        ];
        for (what, kernel, captured, is_bytes) in pairs {
            let show = |value: u64| if is_bytes { units::bytes(value) } else { units::count(value) };
            let apart = match kernel {
                same if same == captured => "none".to_owned(),
                0 => "-".to_owned(),
                _ => format!("{:+.2} %", (captured as f64 / kernel as f64 - 1.0) * 100.0),
            };
            rows.push(vec![device.name.clone(), what.to_owned(), show(captured), show(kernel), apart]);
        }
    }
    table(&["device", "cross-check, all processes", "captured", "kernel's counters", "apart"], 2, &rows)
}

fn big(value: i128) -> u64 {
    u64::try_from(value.max(0)).unwrap_or(u64::MAX)
}
