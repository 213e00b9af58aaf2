//! Where on the device requests went: from a map of its places to the size of fio's file and to
//! `random_distribution=zoned_abs`.

use std::ops::Range;

use serde::Serialize;

use crate::measure::{BlockResult, Histogram};

use super::density::{self, Area};
use super::sizes::fio_size;
use super::source::sequential;
use super::streams::Direction;

/// A part of the device counts as touched when it saw at least this much of the mean of all parts
/// that saw a request: a filesystem's journal and metadata lie far from a file's data. Where parts of
/// less hold more than so much of all requests together, they are where a load is cold.
const TOUCHED_SHARE: f64 = 0.05;
const STRAY: f64 = 0.01;
/// The least share of the requests that is listed as one hot zone, and how many are listed.
const HOT_SHARE: f64 = 0.01;
const HOT_ZONES: usize = 8;
/// Most zones; fio takes 256, a reader fewer.
const MAX_ZONES: usize = 16;
/// Zones begin at multiples of a step: of at least a device's block, of no more than this part of the
/// file and that part of the smallest zone.
const LEAST_STEP: u64 = 4096;
const STEPS: (u64, u64) = (1024, 16);

/// The touched parts of the device, moved together, with the share of each direction's requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zones {
    /// Bytes of each part, in the order of their places.
    widths: Vec<u64>,
    /// Requests of each direction in each part.
    counts: [Vec<u64>; 2],
    /// The share of each direction's requests that did not follow its last one.
    drawn: [f64; 2],
}

/// Touched parts from which on their widths together say how far a load reaches.
const FINE: usize = 3;

impl Zones {
    /// From a capture's `lba`.
    pub fn of(block: &BlockResult) -> Self {
        Self::within(block, block)
    }

    /// Where a part of a load's requests went, on the parts of the device that the `whole` of it
    /// touched.
    pub fn within(whole: &BlockResult, block: &BlockResult) -> Self {
        let of = |block: &'_ BlockResult| {
            Direction::ALL.map(|direction| block.histogram("lba", Some(direction.word())).cloned())
        };
        let (maps, own) = (of(whole), of(block));
        let maps: Vec<&Histogram> = maps.iter().flatten().collect();
        let mut zones = Self { drawn: Direction::ALL.map(|direction| drawn(block, direction)), ..Self::default() };
        for part in parts(&maps) {
            let (low, high) = (part.start as i64, part.end as i64);
            zones.widths.push(part.end - part.start);
            for (counts, map) in zones.counts.iter_mut().zip(&own) {
                counts.push(map.as_ref().map_or(0, |map| requests_within(map, low, high)));
            }
        }
        zones
    }

    /// Bytes of the touched parts together; 0 when nothing is known.
    pub fn bytes(&self) -> u64 {
        self.widths.iter().sum()
    }

    /// Whether so few parts were touched that their width, and not the load, says how large they are.
    pub fn are_coarse(&self) -> bool {
        self.widths.len() < FINE
    }

    /// The shares of the directions together as `zoned_abs` over a file of `size` bytes (fio 3.33 does
    /// not take a list for each direction) whose requests begin at multiples of `unit` bytes at most;
    /// none where requests are spread evenly as far as so many can tell, or the parts are wider than
    /// the file, so that nothing is known.
    pub fn text(&self, directions: &[Direction], size: u64, unit: u64) -> Option<String> {
        let requests = |at: usize| directions.iter().map(|direction| self.counts[*direction as usize][at]).sum();
        let area = |(at, &bytes): (usize, &u64)| Area { bytes, requests: requests(at) };
        let areas: Vec<Area> = self.widths.iter().enumerate().map(area).collect();
        let total = density::sum(&areas).requests;
        let of = |direction: &Direction| self.counts[*direction as usize].iter().sum::<u64>() as f64;
        let drawn: f64 = directions.iter().map(|way| of(way) * self.drawn[*way as usize]).sum();
        let drawn = drawn / total.max(1) as f64;
        if self.bytes() > size || density::are_even(&areas, drawn) {
            return None;
        }
        let zones = density::zones(&areas, total, drawn, MAX_ZONES);
        let zones: Vec<Area> = zones.into_iter().map(|zone| density::sum(&areas[zone])).collect();
        let shares = over(&whole_percents(&zones, total), self.bytes(), size, unit);
        let text: Vec<String> =
            shares.iter().map(|(percent, bytes)| format!("{percent}/{}", fio_size(*bytes))).collect();
        (text.len() > 1).then(|| text.join(":"))
    }
}

/// Largest remainder: whole percents that add up to 100, with the bytes of their zones. Zones without
/// a percent keep their place.
fn whole_percents(zones: &[Area], total: u64) -> Vec<(u64, u64)> {
    let mut shares: Vec<(u64, u64)> = zones.iter().map(|zone| (zone.requests * 100 / total, zone.bytes)).collect();
    let missing = 100 - shares.iter().map(|share| share.0).sum::<u64>();
    let mut order: Vec<usize> = (0..zones.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(zones[at].requests * 100 % total), at));
    order.iter().take(missing as usize).for_each(|&at| shares[at].0 += 1);
    shares
}

/// The zones stretched or shrunk to the file, which fio wants them to fill exactly; each holds a
/// request's place at least, or what lies in it belongs to its neighbour.
fn over(zones: &[(u64, u64)], bytes: u64, size: u64, unit: u64) -> Vec<(u64, u64)> {
    let smallest = zones.iter().map(|zone| zone.1).min().unwrap_or(1);
    let smallest = (u128::from(smallest) * u128::from(size) / u128::from(bytes)) as u64;
    let step = (size / STEPS.0).min(smallest / STEPS.1).max(1);
    let step = (1 << step.ilog2()).max(LEAST_STEP).max(unit.next_power_of_two());
    let (mut below, mut done, mut fitted) = (0u64, 0u64, Vec::<(u64, u64)>::new());
    let mut carried = 0;
    for (at, (percent, width)) in zones.iter().enumerate() {
        below += width;
        let end = u128::from(below) * u128::from(size) / u128::from(bytes);
        let end = if at + 1 == zones.len() { size } else { ((end as u64 + step / 2) / step * step).min(size) };
        carried += percent;
        let last = fitted.len();
        if end >= done + step {
            fitted.push((std::mem::take(&mut carried), end - done));
            done = end;
        } else if at + 1 == zones.len() && last > 0 {
            fitted[last - 1].0 += carried;
            fitted[last - 1].1 += end - done;
        }
    }
    fitted
}

/// The share of a direction's requests that did not begin where its last one ended.
fn drawn(block: &BlockResult, direction: Direction) -> f64 {
    1.0 - sequential(block, direction).unwrap_or(0.0)
}

/// The parts of the device that maps of the same load say it reaches, in bytes and in order: those
/// that saw more than a stray request, and the gaps between them that chance leaves.
fn parts(maps: &[&Histogram]) -> Vec<Range<u64>> {
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

fn requests_within(map: &Histogram, low: i64, high: i64) -> u64 {
    let scale = scale(map);
    let place = |bucket: &(i64, i64, u64)| bucket.0.saturating_mul(scale);
    let first = map.buckets.partition_point(|bucket| place(bucket) < low);
    map.buckets[first..].iter().take_while(|bucket| place(bucket) < high).map(|bucket| bucket.2).sum()
}

/// A zone of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HotZone {
    /// Its first byte.
    pub low_bytes: u64,
    /// The byte after its last.
    pub high_bytes: u64,
    /// Its share of the direction's requests.
    pub share: f64,
}

/// Where the requests of a map went, on the device as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reached {
    /// Bytes of the parts of the map that were touched.
    pub bytes: u64,
    /// How many parts those are.
    pub parts: usize,
    /// Requests to them.
    pub requests: u64,
    /// From the first to the last of them.
    pub span: Range<u64>,
    /// Zones that are denser than the whole, the densest first; empty where requests are spread evenly.
    pub hot: Vec<HotZone>,
}

impl Reached {
    /// Of a direction's map of places; none without one, or of one without requests.
    pub fn of(block: &BlockResult, direction: Direction) -> Option<Self> {
        let (map, drawn) = (block.histogram("lba", Some(direction.word()))?, drawn(block, direction));
        let parts = parts(&[map]);
        let requests = |part: &Range<u64>| requests_within(map, part.start as i64, part.end as i64);
        let areas: Vec<Area> =
            parts.iter().map(|part| Area { bytes: part.end - part.start, requests: requests(part) }).collect();
        let hot = if density::are_even(&areas, drawn) { Vec::new() } else { hottest(&parts, &areas, drawn) };
        let span = parts.first()?.start..parts.last()?.end;
        let Area { bytes, requests } = density::sum(&areas);
        Some(Self { bytes, parts: parts.len(), requests, span, hot })
    }
}

/// The zones that are denser than all areas together, the densest first. None reaches across a gap.
fn hottest(parts: &[Range<u64>], areas: &[Area], drawn: f64) -> Vec<HotZone> {
    let all = density::sum(areas);
    let mut zones: Vec<(Range<u64>, Area)> = Vec::new();
    let mut first = 0;
    for run in parts.chunk_by(|a, b| a.end == b.start) {
        let own = &areas[first..first + run.len()];
        let of = |zone: Range<usize>| (run[zone.start].start..run[zone.end - 1].end, density::sum(&own[zone]));
        zones.extend(density::zones(own, all.requests, drawn, MAX_ZONES).into_iter().map(of));
        first += run.len();
    }
    zones.retain(|(_, area)| area.density() > all.density());
    zones.sort_by(|a, b| b.1.density().total_cmp(&a.1.density()));
    let share = |area: &Area| area.requests as f64 / all.requests as f64;
    if zones.iter().any(|(_, area)| share(area) >= HOT_SHARE) {
        zones.retain(|(_, area)| share(area) >= HOT_SHARE);
    }
    zones.truncate(HOT_ZONES);
    zones
        .into_iter()
        .map(|(place, area)| HotZone { low_bytes: place.start, high_bytes: place.end, share: share(&area) })
        .collect()
}

/// Bytes of the map's unit.
pub fn scale(map: &Histogram) -> i64 {
    if map.unit == "sectors" { 512 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1 << 20;

    fn zones(parts: &[(i64, u64)]) -> Zones {
        let buckets: Vec<(i64, i64, u64)> =
            parts.iter().map(|&(at, count)| (at * 10 * MIB, (at + 1) * 10 * MIB, count)).collect();
        let lba = Histogram {
            name: "lba".into(),
            op: Some("read".into()),
            unit: "bytes".into(),
            count: parts.iter().map(|part| part.1).sum(),
            buckets,
            ..Histogram::default()
        };
        Zones::of(&BlockResult { histograms: vec![lba], ..BlockResult::default() })
    }

    #[test]
    fn an_even_load_has_no_zones() {
        let even = zones(&[(0, 100), (1, 104), (2, 98), (7, 101)]);
        assert_eq!((even.bytes(), even.text(&[Direction::Read], 40 << 20, 4096)), (40 << 20, None));
    }

    #[test]
    fn hot_parts_keep_their_share_and_gaps_go() {
        let hot = zones(&[(0, 6000), (5, 3000), (9, 1000)]);
        assert_eq!(hot.text(&[Direction::Read], 30 << 20, 4096).unwrap(), "60/10m:30/10m:10/10m");
        assert_eq!(hot.text(&[Direction::Read], 300 << 20, 4096).unwrap(), "60/100m:30/100m:10/100m");
        assert_eq!(hot.text(&[Direction::Read], 10 << 20, 4096), None, "a file smaller than the parts");
        assert_eq!(hot.text(&[Direction::Write], 30 << 20, 4096), None, "nothing was written");
    }

    #[test]
    fn known_densities_come_back_as_the_zones_they_are() {
        let wobble = |at: i64| (at * 7919 % 13) as u64;
        let density = |at: i64| match at {
            0..10 => 600 + 2 * wobble(at),
            10..30 => 150 + wobble(at),
            _ => 14 + wobble(at) / 6,
        };
        let known = zones(&(0..100).map(|at| (at, density(at))).collect::<Vec<_>>());
        let text = known.text(&[Direction::Read], 1000 << 20, 4096).unwrap();
        assert_eq!(text, "60/100m:30/200m:10/700m");
        // Zones narrower than a request are their neighbours'.
        let text = known.text(&[Direction::Read], 1000 << 20, 128 << 20).unwrap();
        assert_eq!(text, "60/128m:30/128m:10/744m");
    }

    #[test]
    fn what_chance_leaves_out_is_reached_and_what_lies_apart_is_not() {
        // One in three of 300 parts was hit, and ten parts far away.
        let sparse: Vec<(i64, u64)> =
            (0..100).map(|at| (at * 3 + at % 2, 1)).chain((5000..5010).map(|at| (at, 1))).collect();
        let reached = zones(&sparse);
        assert_eq!(reached.bytes() >> 20, 299 * 10 + 100);
        assert_eq!(zones(&[(0, 1000), (1, 1000), (2, 1000), (5, 1000)]).bytes() >> 20, 40, "a gap is no chance");
    }

    #[test]
    fn percents_add_up_and_zones_are_few() {
        let many: Vec<(i64, u64)> = (0..1000).map(|i| (i, 1 + (i as u64 % 7) + if i < 100 { 90 } else { 0 })).collect();
        let text = zones(&many).text(&[Direction::Read], 10_000 << 20, 4096).unwrap();
        let percents: Vec<u64> = text.split(':').map(|zone| zone.split_once('/').unwrap().0.parse().unwrap()).collect();
        assert_eq!(percents.iter().sum::<u64>(), 100);
        assert!(percents.len() <= 256, "{}", percents.len());
        let sizes = text.split(':').map(|zone| zone.split_once('/').unwrap().1);
        let bytes = |size: &str| match size.split_at(size.len() - 1) {
            (number, "k") => number.parse::<u64>().unwrap() << 10,
            (number, "m") => number.parse::<u64>().unwrap() << 20,
            (number, "g") => number.parse::<u64>().unwrap() << 30,
            _ => size.parse().unwrap(),
        };
        assert_eq!(sizes.map(bytes).sum::<u64>(), 10_000 << 20, "the zones fill the file");
    }
}
