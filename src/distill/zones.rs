//! Where on the device requests went: from a map of its places to the size of fio's file and to
//! `random_distribution=zoned_abs`.

use crate::measure::{BlockResult, Histogram};

use super::sizes::fio_size;
use super::streams::Direction;

/// A part of the device counts as touched when it saw at least this much of the mean of all parts
/// that saw a request: a filesystem's journal and metadata lie far from a file's data.
const TOUCHED_SHARE: f64 = 0.05;
/// The largest difference between the shares and an even distribution (Kolmogorov-Smirnov) that is
/// called even.
const EVEN: f64 = 0.05;
/// What chance alone makes of so many requests spread evenly, times the root of their number: the
/// 99.99th percentile of the Kolmogorov distribution.
const CHANCE: f64 = 2.2;
/// Most zones; fio takes 256, a reader fewer.
const MAX_ZONES: usize = 32;
/// Bytes to which the zones of a file are rounded.
const STEP: u64 = 4096;

/// The touched parts of the device, moved together, with the share of each direction's requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zones {
    /// Bytes of each part, in the order of their places.
    widths: Vec<u64>,
    /// Requests of each direction in each part.
    counts: [Vec<u64>; 2],
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
        let mut parts: Vec<(i64, i64)> = maps.iter().flatten().flat_map(touched).collect();
        parts.sort_unstable();
        parts.dedup();
        let mut zones = Self::default();
        let mut end = i64::MIN;
        for (low, high) in parts {
            // Maps of two sizes of devices may overlap.
            let low = low.max(end);
            if low >= high {
                continue;
            }
            end = high;
            zones.widths.push(u64::try_from(high - low).unwrap_or(0));
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
    /// not take a list for each direction); none where requests are spread evenly as far as so many
    /// can tell, or the parts are wider than the file, so that nothing is known.
    pub fn text(&self, directions: &[Direction], size: u64) -> Option<String> {
        let each = |at: usize| directions.iter().map(|direction| self.counts[*direction as usize][at]).sum();
        let counts: Vec<u64> = (0..self.widths.len()).map(each).collect();
        let total: u64 = counts.iter().sum();
        let noise = CHANCE / (total.max(1) as f64).sqrt();
        if total == 0 || self.bytes() > size || self.unevenness(&counts, total) <= EVEN.max(noise) {
            return None;
        }
        let zones = whole_percents(&self.grouped(&counts, total), total);
        Some(over(&zones, self.bytes(), size))
    }

    fn unevenness(&self, counts: &[u64], total: u64) -> f64 {
        let all = self.bytes() as f64;
        let (mut requests, mut bytes, mut worst) = (0.0, 0.0, 0.0f64);
        for (count, width) in counts.iter().zip(&self.widths) {
            requests += *count as f64 / total as f64;
            bytes += *width as f64 / all;
            worst = worst.max((requests - bytes).abs());
        }
        worst
    }

    /// Neighbouring parts put together until each holds enough of the requests to be told in whole
    /// percents: `(requests, bytes)`.
    fn grouped(&self, counts: &[u64], total: u64) -> Vec<(u64, u64)> {
        let enough = total.div_ceil(MAX_ZONES as u64).max(1);
        let mut zones: Vec<(u64, u64)> = Vec::new();
        for (&count, &width) in counts.iter().zip(&self.widths) {
            match zones.last_mut() {
                Some(last) if last.0 < enough && count < enough => {
                    last.0 += count;
                    last.1 += width;
                }
                _ => zones.push((count, width)),
            }
        }
        zones
    }
}

/// Largest remainder: whole percents that add up to 100. Zones without a percent keep their place.
fn whole_percents(zones: &[(u64, u64)], total: u64) -> Vec<(u64, u64)> {
    let mut shares: Vec<(u64, u64)> = zones.iter().map(|&(count, width)| (count * 100 / total, width)).collect();
    let missing = 100 - shares.iter().map(|share| share.0).sum::<u64>();
    let mut order: Vec<usize> = (0..zones.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(zones[at].0 * 100 % total), at));
    order.iter().take(missing as usize).for_each(|&at| shares[at].0 += 1);
    shares
}

/// The zones stretched or shrunk to the file. fio wants them to fill it exactly.
fn over(zones: &[(u64, u64)], bytes: u64, size: u64) -> String {
    let (mut below, mut done, mut text) = (0u64, 0u64, Vec::new());
    for (at, (percent, width)) in zones.iter().enumerate() {
        below += width;
        let end = u128::from(below) * u128::from(size) / u128::from(bytes);
        let end = if at + 1 == zones.len() { size } else { end as u64 / STEP * STEP };
        if end > done {
            text.push(format!("{percent}/{}", fio_size(end - done)));
        }
        done = end.max(done);
    }
    text.join(":")
}

/// The parts that saw more than a stray request, in bytes.
fn touched(map: &Histogram) -> Vec<(i64, i64)> {
    let scale = scale(map);
    let least = map.count as f64 / map.buckets.len().max(1) as f64 * TOUCHED_SHARE;
    map.buckets.iter().filter(|b| b.2 as f64 >= least).map(|b| (b.0 * scale, b.1 * scale)).collect()
}

fn requests_within(map: &Histogram, low: i64, high: i64) -> u64 {
    let scale = scale(map);
    map.buckets.iter().filter(|b| b.0 * scale >= low && b.0 * scale < high).map(|b| b.2).sum()
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
        assert_eq!((even.bytes(), even.text(&[Direction::Read], 40 << 20)), (40 << 20, None));
    }

    #[test]
    fn hot_parts_keep_their_share_and_gaps_go() {
        let hot = zones(&[(0, 6000), (5, 3000), (9, 1000)]);
        assert_eq!(hot.text(&[Direction::Read], 30 << 20).unwrap(), "60/10m:30/10m:10/10m");
        assert_eq!(hot.text(&[Direction::Read], 300 << 20).unwrap(), "60/100m:30/100m:10/100m");
        assert_eq!(hot.text(&[Direction::Read], 10 << 20), None, "a file smaller than the parts");
        assert_eq!(hot.text(&[Direction::Write], 30 << 20), None, "nothing was written");
    }

    #[test]
    fn percents_add_up_and_zones_are_few() {
        let many: Vec<(i64, u64)> = (0..1000).map(|i| (i, 1 + (i as u64 % 7) + if i < 100 { 90 } else { 0 })).collect();
        let text = zones(&many).text(&[Direction::Read], 10_000 << 20).unwrap();
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
