//! Where on the device requests went: from a map of its places to the size of fio's file and to
//! `random_distribution=zoned_abs`.

use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::density::{self, Area};
use super::reach::{drawn, parts, requests_within};
use super::sizes::fio_size;
use super::streams::Direction;

/// Most zones; fio takes 256, a reader fewer.
pub const MAX_ZONES: usize = 16;
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

/// A part of the mean below which the requests in a part of the device are strays.
const SOME_OF_MEAN: f64 = 0.05;
/// The share of a file that is as good as all of it.
const NEARLY_ALL: f64 = 0.9;

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

    /// The one stretch of a file of `size` bytes that a direction works on, as its beginning and its length;
    /// none where that is nearly all of the file, or not one stretch.
    pub fn stretch(&self, direction: Direction, size: u64) -> Option<(u64, u64)> {
        let counts = &self.counts[direction as usize];
        let reached = counts.iter().filter(|count| **count > 0).count();
        let least = counts.iter().sum::<u64>() as f64 / reached.max(1) as f64 * SOME_OF_MEAN;
        let touched = |count: &u64| *count as f64 >= least && *count > 0;
        let (first, last) = (counts.iter().position(touched)?, counts.iter().rposition(touched)?);
        if !counts[first..=last].iter().all(touched) || self.bytes() > size {
            return None;
        }
        let place = |parts: &[u64]| {
            let at = u128::from(parts.iter().sum::<u64>()) * u128::from(size) / u128::from(self.bytes());
            at as u64 / units::MIB * units::MIB
        };
        let (begin, end) = (place(&self.widths[..first]), place(&self.widths[..=last]));
        let part = (end - begin) as f64 / size as f64;
        (end > begin && part <= NEARLY_ALL).then_some((begin, end - begin))
    }

    /// The shares of the directions together as `zoned_abs` over a file of `size` bytes (fio 3.33 does
    /// not take a list for each direction) whose requests begin at multiples of `unit` bytes at most;
    /// none where requests are spread evenly as far as so many can tell, or the parts are wider than
    /// the file, so that nothing is known.
    pub fn text(&self, directions: &[Direction], size: u64, unit: u64) -> Option<String> {
        let shares = self.shares(directions, size, unit)?;
        let text: Vec<String> =
            shares.iter().map(|(percent, bytes)| format!("{percent}/{}", fio_size(*bytes))).collect();
        (text.len() > 1).then(|| text.join(":"))
    }

    /// The one stretch of a file to which all of that goes, evenly, as its beginning and its length; none
    /// where it is not one.
    pub fn only(&self, directions: &[Direction], size: u64, unit: u64) -> Option<(u64, u64)> {
        let shares = self.shares(directions, size, unit)?;
        let at = shares.iter().position(|zone| zone.0 == 100).filter(|_| shares.len() > 1)?;
        Some((shares[..at].iter().map(|zone| zone.1).sum(), shares[at].1))
    }

    /// Percents of the requests and the bytes that they go to, from the beginning of a file of `size`.
    fn shares(&self, directions: &[Direction], size: u64, unit: u64) -> Option<Vec<(u64, u64)>> {
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
        Some(over(&whole_percents(&zones, total), self.bytes(), size, unit))
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
    fn a_direction_may_have_a_stretch_of_its_own() {
        let read: Vec<(i64, u64)> = (0..60).map(|at| (at, 100)).collect();
        let mut both = zones(&read);
        assert_eq!(both.stretch(Direction::Read, 600 << 20), None, "all of it");
        both.counts[1] = (0..60).map(|at| if at >= 40 { 9 } else { 0 }).collect();
        assert_eq!(both.stretch(Direction::Write, 600 << 20), Some((400 << 20, 200 << 20)));
        assert_eq!(both.stretch(Direction::Write, 1200 << 20), Some((800 << 20, 400 << 20)), "of a larger file");
        both.counts[1][50] = 0;
        assert_eq!(both.stretch(Direction::Write, 600 << 20), None, "two stretches");
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
    fn one_even_zone_is_a_stretch() {
        let even: Vec<(i64, u64)> = (0..60).map(|at| (at, 100)).collect();
        let mut both = zones(&even);
        both.counts[0] = (0..60).map(|at| if at < 40 { 100 } else { 0 }).collect();
        assert_eq!(both.only(&[Direction::Read], 600 << 20, 4096), Some((0, 400 << 20)));
        assert_eq!(zones(&[(0, 6000), (5, 3000)]).only(&[Direction::Read], 20 << 20, 4096), None, "two");
        assert_eq!(zones(&even).only(&[Direction::Read], 600 << 20, 4096), None, "all of it");
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
