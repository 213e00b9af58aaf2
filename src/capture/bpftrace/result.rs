//! From the maps to a block result, with everything that they cannot say.

use std::collections::BTreeMap;

use crate::TOOL;
use crate::measure::block::{BLOCK_SCHEMA, BlockFilter, BlockResult, BlockSet};
use crate::measure::histogram::Histogram;
use crate::units;

use super::SOURCE;
use super::maps::Maps;
use super::names::{NAMES, Name, Place, is_known};

/// Values below zero stand in one bucket, how far below is not known: they are taken as -1.
const BELOW_ZERO: (i64, i64) = (-1, 0);

/// Values beyond this, either way, stand there: any two differ by a number that fits.
const FARTHEST: i64 = 1 << 61;

/// The histograms that were printed; those that were not are absent.
pub fn of(maps: &Maps) -> BlockResult {
    let mut histograms = Vec::new();
    let mut doubts = vec![
        "bpftrace does not say what it missed, and the script counts every process on every device: nothing here can \
         be checked"
            .to_owned(),
    ];
    for name in &NAMES {
        let Some((buckets, restarts)) = maps.histogram(name.map) else { continue };
        let steps: Vec<_> = buckets.iter().map(|&((low, high), count)| (low, high, count)).collect();
        doubts.extend(doubts_of(name, &steps, restarts));
        histograms.push(histogram(name, &steps));
    }
    let loss = losses(maps, &histograms);
    doubts.extend(leaks(maps));
    doubts.extend(loss.iter().map(|(cause, count)| meaning(cause, *count)));
    doubts.extend(maps.open.as_ref().map(|name| {
        format!("the text ends right after a bucket of @{name}, without the empty line that follows a histogram: buckets may be missing")
    }));
    doubts.extend(maps.cut.as_ref().map(|cut| format!("the text is broken, and was read up to there: {cut}")));
    BlockResult {
        schema: BLOCK_SCHEMA.to_owned(),
        tool: TOOL.to_owned(),
        complete: maps.cut.is_none(),
        source: SOURCE.to_owned(),
        devices: Vec::new(),
        filter: BlockFilter::default(),
        duration_s: None,
        notes: notes(maps, &histograms),
        histograms,
        other: BlockSet::default(),
        phases: None,
        loss,
        tainted: true,
        taint_reasons: doubts,
        probes: Vec::new(),
        processes: None,
    }
}

/// One histogram in our unit.
fn histogram(name: &Name, steps: &[(Option<i64>, Option<i64>, u64)]) -> Histogram {
    let scaled = |value: i64| value.saturating_mul(name.scale).clamp(-FARTHEST, FARTHEST);
    let ends = steps.iter().filter_map(|(low, high, _)| high.zip(*low));
    let widest = ends.map(|(high, low)| high.saturating_sub(low)).max();
    let buckets: Vec<(i64, i64, u64)> = steps
        .iter()
        .map(|&(low, high, count)| {
            let (low, high) = match (low, high) {
                (Some(low), Some(high)) => (low, high),
                // Open upwards: as wide as the others, and said.
                (Some(low), None) => (low, low.saturating_add(widest.unwrap_or(1))),
                (None, _) => BELOW_ZERO,
            };
            (scaled(low), scaled(high), count)
        })
        .collect();
    let value = |low: i64, high: i64| match name.at {
        Place::Low => i128::from(low),
        Place::Middle => (i128::from(low) + i128::from(high) - 1).div_euclid(2),
    };
    Histogram {
        name: name.name.to_owned(),
        op: name.op.map(str::to_owned),
        unit: name.unit.to_owned(),
        rel_width: name.rel_width,
        width: widest.filter(|_| name.rel_width == 0.0).map(scaled),
        count: total(buckets.iter().map(|bucket| bucket.2)),
        sum: buckets.iter().fold(0i128, |sum, &(low, high, count)| {
            sum.saturating_add(value(low, high).saturating_mul(i128::from(count)))
        }),
        min: buckets.first().map(|bucket| bucket.0),
        max: buckets.last().map(|bucket| bucket.1 - 1),
        buckets,
    }
}

fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// What is wrong with one histogram.
fn doubts_of(name: &Name, steps: &[(Option<i64>, Option<i64>, u64)], restarts: u64) -> Vec<String> {
    let all = total(steps.iter().map(|step| step.2));
    let mut doubts = Vec::new();
    let below = total(steps.iter().filter(|(low, ..)| low.is_none_or(|low| low < 0)).map(|step| step.2));
    if below > 0 {
        doubts.push(format!(
            "@{}: {} of {} values are below zero, how far is not printed; they stand as -1{}",
            name.map,
            units::count(below),
            units::count(all),
            if name.name == "inflight" {
                " (the script's counter leaks, and starts at 0 with requests on their way)"
            } else {
                ""
            }
        ));
    }
    let beyond = total(steps.iter().filter(|(_, high, _)| high.is_none()).map(|step| step.2));
    if beyond > 0 {
        doubts.push(format!("@{}: {} values lie beyond its last bucket", name.map, units::count(beyond)));
    }
    if restarts > 0 {
        doubts.push(format!(
            "@{}: its counts began anew {restarts} times (a cleared map, or several runs in one text); they were added",
            name.map
        ));
    }
    doubts
}

/// What the maps show to be missing. Only what is there: the script counts no losses.
fn losses(maps: &Maps, histograms: &[Histogram]) -> BTreeMap<String, u64> {
    let of = |name: &str, op: &str| histograms.iter().find(|h| h.is(name, Some(op))).map(|h| h.count);
    let unmatched = ["read", "write"].map(|op| Some(of("size", op)?.saturating_sub(of("d2c", op)?)));
    let unmatched = total(unmatched.into_iter().flatten());
    let mut loss = BTreeMap::new();
    for (cause, count) in [("left_inflight", maps.entries("d")), ("lost_complete", unmatched)] {
        if count > 0 {
            loss.insert(cause.to_owned(), count);
        }
    }
    loss
}

fn meaning(cause: &str, count: u64) -> String {
    let count_text = units::count(count);
    match cause {
        "left_inflight" => format!("left_inflight {count_text}: entries of @d that no completion took away"),
        _ => format!("{cause} {count_text}: requests were issued (or issued again) without a completion in d2c"),
    }
}

/// What the script's own depth counters stood at, at the end.
fn leaks(maps: &Maps) -> Vec<String> {
    let of = |map: &str| maps.value(map).filter(|left| *left != 0).map(|left| (map.to_owned(), left));
    let left: Vec<_> = ["inflight_read", "inflight_write"].into_iter().filter_map(of).collect();
    let said = left.iter().map(|(map, left)| {
        format!(
            "@{map} stood at {left} at the end: it counts requests in flight and leaks, so depths are off by up to that"
        )
    });
    said.collect()
}

fn notes(maps: &Maps, histograms: &[Histogram]) -> Vec<String> {
    let has = |name: &str| histograms.iter().any(|h| h.name == name);
    let mut notes = vec![
        "values are known to a bucket of a factor of two; sums, means, minima and maxima are made from the buckets' \
         ends and middles"
            .to_owned(),
    ];
    let when = [
        (
            "size",
            "sizes are taken as the lowest of their bucket, which is right for powers of two and else up to half of the truth",
        ),
        (
            "q2d",
            "q2d is from queue insertion to issue, of requests that were inserted: what happened before, and requests that went past the scheduler, are not in it",
        ),
        ("inflight", "inflight is of the whole machine, not of one device"),
        ("lba", "lba puts the places of all devices on one axis"),
        (
            "syscall_read",
            "syscall_read and syscall_write are of vfs_read and vfs_write: pipes and sockets too, no preadv, no io_uring",
        ),
    ];
    notes.extend(when.into_iter().filter(|(name, _)| has(name)).map(|(_, note)| note.to_owned()));
    let absent: Vec<_> = NAMES.iter().filter(|name| maps.histogram(name.map).is_none()).collect();
    if !absent.is_empty() {
        let absent: Vec<_> = absent.iter().map(|name| format!("@{}", name.map)).collect();
        notes.push(format!(
            "the text does not have {}: what was not seen and what was not watched look alike",
            absent.join(", ")
        ));
    }
    let unknown = maps.unknown(is_known);
    if !unknown.is_empty() {
        notes.push(format!("maps that the reference's script does not have were left out: {}", unknown.join(", ")));
    }
    notes
}
