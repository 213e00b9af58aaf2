//! How far a load reaches: which parts of a device a map of its places says that it works on.

use std::ops::Range;

use crate::measure::{BlockResult, Histogram};

use super::source::sequential;
use super::streams::Direction;

/// A part of the device counts as touched when it saw at least this much of the mean of all parts
/// that saw a request: a filesystem's journal and metadata lie far from a file's data. Where parts of
/// less hold more than so much of all requests together, they are where a load is cold.
const TOUCHED_SHARE: f64 = 0.05;
const STRAY: f64 = 0.01;

/// The share of a direction's requests that did not begin where its last one ended.
pub fn drawn(block: &BlockResult, direction: Direction) -> f64 {
    1.0 - sequential(block, direction).unwrap_or(0.0)
}

/// The parts of the device that maps of the same load say it reaches, in bytes and in order: those
/// that saw more than a stray request, and the gaps between them that chance leaves.
pub fn parts(maps: &[&Histogram]) -> Vec<Range<u64>> {
    let mut touched: Vec<(i64, i64)> = maps.iter().flat_map(|map| touched(map)).collect();
    touched.sort_unstable();
    touched.dedup();
    let mut parts: Vec<Range<u64>> = Vec::new();
    for (low, high) in touched {
        // Maps of two sizes of devices may overlap.
        let end = parts.last().map_or(0, |part| part.end);
        let (low, high) = (u64::try_from(low).unwrap_or(0).max(end), u64::try_from(high).unwrap_or(0));
        if low < high {
            parts.push(low..high);
        }
    }
    let requests = |part: &Range<u64>| -> u64 {
        maps.iter().map(|map| requests_within(map, part.start as i64, part.end as i64)).sum()
    };
    let counts: Vec<u64> = parts.iter().map(requests).collect();
    let mut all = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let gap = parts[at.saturating_sub(1)].end..part.start;
        if at > 0 && !gap.is_empty() && is_chance(&parts, &counts, at) {
            all.push(gap);
        }
        all.push(part.clone());
    }
    all
}

/// Whether the gap before a part is no longer than requests as dense as those around it leave by chance.
fn is_chance(parts: &[Range<u64>], counts: &[u64], at: usize) -> bool {
    let around = at.saturating_sub(AROUND)..(at + AROUND).min(parts.len());
    let gap = parts[at].start - parts[at - 1].end;
    let bytes = parts[around.end - 1].end - parts[around.start].start - gap;
    let requests: u64 = counts[around].iter().sum();
    requests as f64 / bytes as f64 * gap as f64 <= LEFT_OUT
}

/// The parts on either side of a gap that say how dense requests are there.
const AROUND: usize = 8;
/// Requests that are due in a gap up to which it is chance that none came: of ten once in 22,000 gaps
/// (exp(-10)).
const LEFT_OUT: f64 = 10.0;

/// The parts that saw more than a stray request, in bytes.
fn touched(map: &Histogram) -> Vec<(i64, i64)> {
    let scale = scale(map);
    let least = map.count as f64 / map.buckets.len().max(1) as f64 * TOUCHED_SHARE;
    let stray: u64 = map.buckets.iter().map(|b| b.2).filter(|count| (*count as f64) < least).sum();
    let least = if stray as f64 > STRAY * map.count as f64 { 1.0 } else { least };
    map.buckets
        .iter()
        .filter(|b| b.2 as f64 >= least)
        .map(|b| (b.0.saturating_mul(scale), b.1.saturating_mul(scale)))
        .collect()
}

/// Requests of a map that lie between two places, in bytes.
pub fn requests_within(map: &Histogram, low: i64, high: i64) -> u64 {
    let scale = scale(map);
    let place = |bucket: &(i64, i64, u64)| bucket.0.saturating_mul(scale);
    let first = map.buckets.partition_point(|bucket| place(bucket) < low);
    map.buckets[first..].iter().take_while(|bucket| place(bucket) < high).map(|bucket| bucket.2).sum()
}

/// Bytes of the map's unit.
pub fn scale(map: &Histogram) -> i64 {
    if map.unit == "sectors" { 512 } else { 1 }
}
