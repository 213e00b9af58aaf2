//! Where a request's time went: a bar of its parts, from the queue down to the device.

use crate::measure::replay::{Latency, Requests};
use crate::measure::{Histogram, ReplayResult};
use crate::trace::{Op, Phase, Tier};
use crate::units;

use super::block_sections;
use super::html::{escape, paragraph, table};
use super::report::Replayed;

/// A part of the mean.
struct Part {
    name: &'static str,
    ns: f64,
    how: &'static str,
    /// Its colour's place in the style sheet.
    colour: usize,
}

/// The section of a replay.
pub fn section(replayed: &Replayed) -> String {
    let parts: Vec<Part> = parts(replayed).into_iter().filter(|part| part.ns > 0.0 && part.ns.is_finite()).collect();
    let mut out = String::new();
    if !parts.is_empty() {
        let of = if replayed.replay.requests.is_some() { "the mean request" } else { "the mean object" };
        out.push_str(&bar(&parts));
        out.push_str(&breakdown(&parts, of));
        out.push_str(&paragraph(explanation(replayed)));
    }
    out + "<h3>Below the objects of tier 2</h3>\n" + &block_sections::where_time_went(replayed.replay, replayed.capture)
}

fn bar(parts: &[Part]) -> String {
    let whole: f64 = parts.iter().map(|part| part.ns).sum();
    let piece =
        |part: &Part| format!("<i class=\"c{}\" style=\"width:{:.2}%\"></i>", part.colour, part.ns / whole * 100.0);
    let key = |part: &Part| {
        format!(
            "<span class=\"part\"><span class=\"key c{}\"></span>{} {:.1} %</span>",
            part.colour,
            escape(part.name),
            part.ns / whole * 100.0
        )
    };
    format!(
        "<div class=\"bar\">{}</div>\n<p class=\"keys\">{}</p>\n",
        parts.iter().map(piece).collect::<String>(),
        parts.iter().map(key).collect::<Vec<_>>().join("\n")
    )
}

fn breakdown(parts: &[Part], of: &str) -> String {
    let whole: f64 = parts.iter().map(|part| part.ns).sum();
    let row = |part: &Part| {
        vec![part.name.to_owned(), part.how.to_owned(), units::ns(part.ns), format!("{:.1} %", part.ns / whole * 100.0)]
    };
    let mut rows: Vec<_> = parts.iter().map(row).collect();
    rows.push(vec!["together".to_owned(), String::new(), units::ns(whole), "100 %".to_owned()]);
    table(&[of, "how it is known", "time", "share"], 2, &rows)
}

fn explanation(replayed: &Replayed) -> &'static str {
    match (replayed.replay.requests.is_some(), replayed.capture.is_some()) {
        (true, true) => {
            "Times of a request's objects are summed, as if they followed each other. Waits are shared out among their \
             causes, and the service of tier 2 among what is above the block layer, Q2D and D2C, as the sums over the \
             whole run are."
        }
        (true, false) => {
            "Times of a request's objects are summed, as if they followed each other. Waits are shared out among their \
             causes as the sums over the whole run are."
        }
        (false, _) => {
            "Nothing says whose rows these are (no requests file), so that queue and generation are not known and \
             this is about one object of any tier that moves bytes."
        }
    }
}

fn parts(replayed: &Replayed) -> Vec<Part> {
    let replay = replayed.replay;
    let mut parts = Vec::new();
    let mut part = |name, ns: f64, how, colour| parts.push(Part { name, ns: ns.max(0.0), how, colour });
    let (waits, service) = match &replay.requests {
        Some(requests) => {
            part("queue", mean(&requests.queue), "modelled: the recording's", 0);
            part("generation", mean(&requests.generation), "modelled: the recording's", 1);
            of_requests(requests)
        }
        None => of_objects(replay),
    };
    let causes = [&replay.timing.dependency_wait, &replay.timing.queue_wait, &replay.timing.lateness];
    let [dependency, place, late] = causes.map(|wait| wait.sum as f64);
    let all = dependency + place + late;
    if all > 0.0 {
        part("dependency wait", waits * dependency / all, "measured", 2);
        part("waiting for a place", waits * place / all, "measured", 3);
        part("the replay itself late", waits * late / all, "measured", 4);
    } else {
        part("waiting", waits, "measured", 2);
    }
    let below = storage_share(replay);
    part("GPU and DRAM tiers", service * (1.0 - below), "measured", 5);
    match shares_below(replayed) {
        Some([above, q2d, d2c]) => {
            part("software above the block layer", service * below * above, "measured, apportioned", 6);
            part("Q2D, before the driver", service * below * q2d, "measured, apportioned", 7);
            part("D2C, the device", service * below * d2c, "measured, apportioned", 8);
        }
        None => part("tier 2, not looked into", service * below, "measured; --capture shows what is below", 8),
    }
    parts
}

fn mean(histogram: &Histogram) -> f64 {
    histogram.mean().unwrap_or(0.0)
}

/// What a request waits and is served.
fn of_requests(requests: &Requests) -> (f64, f64) {
    let service = mean(&requests.storage);
    ((mean(&requests.storage_response) - service).max(0.0), service)
}

/// What an object waits and is served.
fn of_objects(replay: &ReplayResult) -> (f64, f64) {
    let rows = || replay.latency.iter().filter(|latency| latency.op != Op::Delete);
    let count: u64 = rows().map(|latency| latency.service.count).sum();
    let sum = |of: fn(&Latency) -> &Histogram| rows().map(|latency| of(latency).sum as f64).sum::<f64>();
    let (response, service) = (sum(|latency| &latency.response), sum(|latency| &latency.service));
    let each = |sum: f64| if count > 0 { sum / count as f64 } else { 0.0 };
    (each((response - service).max(0.0)), each(service))
}

/// The part of the service of rows that requests wait for that is tier 2's; where nothing is evicted
/// for them, evictions are left out.
fn storage_share(replay: &ReplayResult) -> f64 {
    let requests = replay.requests.is_some();
    let counted = |latency: &&Latency| latency.op != Op::Delete && !(requests && latency.phase == Phase::Evict);
    let sum = |storage: bool| -> f64 {
        let rows = replay.latency.iter().filter(counted).filter(|latency| !storage || latency.tier == Tier::Storage);
        rows.map(|latency| latency.service.sum as f64).sum()
    };
    let all = sum(false);
    if all > 0.0 { sum(true) / all } else { 0.0 }
}

/// The shares of what is above the block layer, Q2D and D2C in the service of tier 2. Where block
/// requests overlap so much that their sum is above it, nothing is left for what is above them.
fn shares_below(replayed: &Replayed) -> Option<[f64; 3]> {
    let (block, _) = replayed.capture?;
    let sum = |name| -> f64 {
        let of = |op| block.histogram(name, Some(op)).map_or(0.0, |h| h.sum as f64);
        of("read") + of("write")
    };
    let (q2d, d2c) = (sum("q2d"), sum("d2c"));
    let storage = replayed.replay.latency.iter().filter(|l| l.tier == Tier::Storage && l.op != Op::Delete);
    let objects: f64 = storage.map(|latency| latency.service.sum as f64).sum();
    let whole = objects.max(q2d + d2c);
    (d2c > 0.0 && objects > 0.0).then(|| [(whole - q2d - d2c).max(0.0) / whole, q2d / whole, d2c / whole])
}
