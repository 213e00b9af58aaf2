//! How densely requests lie: neighbouring areas put together as long as they are about as dense, so
//! that as few zones as can tell where the requests went remain.
//!
//! The rule: of all neighbours the two that are most alike are joined, again and again. Two are alike
//! when chance explains the difference (each request of both falls on one of them by its share of
//! their bytes: a binomial distribution), or when it is too small for a reader, or too few requests
//! lie elsewhere for whole percents to tell. Every border then moves to where its two sides differ
//! most (the largest likelihood).

use std::ops::Range;

/// Standard errors up to which a difference is chance: hundreds of borders are looked at, of which
/// not one may be found where there is none.
const ERRORS: f64 = 5.0;
/// Densities that differ by less than this part of the higher one are called the same.
const ALIKE: f64 = 0.15;
/// The share of all requests that lies elsewhere at most without that whole percents can tell.
const MOVED: f64 = 0.01;
/// The largest difference between the shares and an even distribution (Kolmogorov-Smirnov) that is
/// called even.
const EVEN: f64 = 0.05;
/// Areas that are compared at most: their number squared is what it costs.
const FINEST: usize = 512;

/// Bytes and the requests on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// How wide it is.
    pub bytes: u64,
    /// Requests that began in it.
    pub requests: u64,
}

impl Area {
    /// Requests to a byte.
    pub fn density(&self) -> f64 {
        self.requests as f64 / self.bytes.max(1) as f64
    }

    fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, requests: self.requests + other.requests }
    }
}

/// All of them as one.
pub fn sum(areas: &[Area]) -> Area {
    areas.iter().fold(Area::default(), |sum, area| sum.and(*area))
}

/// Whether requests are spread evenly over the areas, as far as so many can tell. The share `drawn` of
/// them has a place of its own; the others follow one of those.
pub fn are_even(areas: &[Area], drawn: f64) -> bool {
    let all = sum(areas);
    let total = all.requests.max(1) as f64;
    let mut below = Area::default();
    let apart = areas.iter().map(|area| {
        below = below.and(*area);
        (below.requests as f64 / total - below.bytes as f64 / all.bytes.max(1) as f64).abs()
    });
    apart.fold(0.0, f64::max) <= EVEN || zones(areas, all.requests, drawn, usize::MAX).len() < 2
}

/// Neighbouring areas of about the same density put together, as ranges of their numbers that follow
/// one another, `most` at most. `total` is the number of all requests, of which these may be a part, and
/// `drawn` the share of them that has a place of its own.
pub fn zones(areas: &[Area], total: u64, drawn: f64, most: usize) -> Vec<Range<usize>> {
    let mut zones = finest(areas, total);
    let of = |range: &Range<usize>| sum(&areas[range.clone()]);
    let mut sums: Vec<Area> = zones.iter().map(of).collect();
    let mut apart: Vec<f64> = sums.windows(2).map(|pair| unlike(pair[0], pair[1], total, drawn)).collect();
    while let Some((at, least)) = apart.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)) {
        if least > 1.0 && zones.len() <= most.max(1) {
            break;
        }
        sums[at] = sums[at].and(sums.remove(at + 1));
        zones[at].end = zones.remove(at + 1).end;
        apart.remove(at);
        for border in at.saturating_sub(1)..=at {
            if let Some(apart) = apart.get_mut(border) {
                *apart = unlike(sums[border], sums[border + 1], total, drawn);
            }
        }
    }
    settle(areas, &mut zones);
    zones
}

/// Areas to begin with: those that hold next to nothing go together where there are very many.
fn finest(areas: &[Area], total: u64) -> Vec<Range<usize>> {
    let enough = if areas.len() > FINEST { total.div_ceil(FINEST as u64) } else { 0 };
    let mut all: Vec<Range<usize>> = Vec::new();
    let mut held = 0;
    for (at, area) in areas.iter().enumerate() {
        match all.last_mut() {
            Some(last) if held + area.requests < enough => {
                last.end = at + 1;
                held += area.requests;
            }
            _ => {
                all.push(at..at + 1);
                held = area.requests;
            }
        }
    }
    all
}

/// How unlike two neighbours are; up to 1 they are alike.
fn unlike(a: Area, b: Area, total: u64, drawn: f64) -> f64 {
    let both = a.and(b);
    if both.requests == 0 || both.bytes == 0 {
        return 0.0;
    }
    let (requests, share) = (both.requests as f64, a.bytes as f64 / both.bytes as f64);
    let moved = (a.requests as f64 - requests * share).abs();
    let denser = a.density().max(b.density());
    let relative = (a.density() - b.density()).abs() / denser;
    let chance = deviance(a.requests, requests * share) + deviance(b.requests, requests * (1.0 - share));
    ((chance * drawn).max(0.0).sqrt() / ERRORS).min(relative / ALIKE).min(moved / (MOVED * total.max(1) as f64))
}

/// A part of the likelihood ratio of what is there against what is due: its sum is the square of the
/// standard errors between them, also where few are due (Wilks 1938).
fn deviance(requests: u64, due: f64) -> f64 {
    let requests = requests as f64;
    if requests > 0.0 { 2.0 * (requests * (requests / due).ln() - (requests - due)) } else { 2.0 * due }
}

/// Moves every border to where its two zones fit best.
fn settle(areas: &[Area], zones: &mut [Range<usize>]) {
    let fit = |area: Area| if area.requests == 0 { 0.0 } else { area.requests as f64 * area.density().ln() };
    for at in 1..zones.len() {
        let (from, to) = (zones[at - 1].start, zones[at].end);
        let both = sum(&areas[from..to]);
        let mut left = Area::default();
        let mut best = (f64::NEG_INFINITY, zones[at].start);
        for cut in from + 1..to {
            left = left.and(areas[cut - 1]);
            let right = Area { bytes: both.bytes - left.bytes, requests: both.requests - left.requests };
            let fits = fit(left) + fit(right);
            if fits > best.0 {
                best = (fits, cut);
            }
        }
        zones[at - 1].end = best.1;
        zones[at].start = best.1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seed::Seed;

    /// 100 areas of 10 MiB with so many requests drawn at random, by shares in percent of widths.
    fn drawn(zones: &[(u64, usize)], requests: u64) -> Vec<Area> {
        let mut areas = vec![Area { bytes: 10 << 20, requests: 0 }; 100];
        let mut draws = Seed(7).stream("places", requests, 0);
        for _ in 0..requests {
            let (mut percent, mut first) = (draws.below(100), 0);
            for &(share, width) in zones {
                if percent < share {
                    areas[first + draws.below(width as u64) as usize].requests += 1;
                    break;
                }
                percent -= share;
                first += width;
            }
        }
        areas
    }

    fn ends(areas: &[Area]) -> Vec<usize> {
        zones(areas, sum(areas).requests, 1.0, 64).iter().map(|zone| zone.end).collect()
    }

    #[test]
    fn known_zones_come_back() {
        for requests in [3_000, 30_000, 300_000] {
            let areas = drawn(&[(60, 10), (30, 20), (10, 70)], requests);
            let found = ends(&areas);
            assert!(found.len() == 3 && found[0].abs_diff(10) <= 1 && found[1].abs_diff(30) <= 1, "{found:?}");
        }
        // A hot spot of one area.
        assert_eq!(ends(&drawn(&[(20, 40), (50, 1), (30, 59)], 20_000)), [40, 41, 100]);
    }

    #[test]
    fn chance_makes_no_zones() {
        for requests in [50, 1_000, 20_000, 1_000_000] {
            let areas = drawn(&[(100, 100)], requests);
            assert_eq!(ends(&areas), [100]);
            assert!(are_even(&areas, 1.0));
        }
        let nearly = drawn(&[(52, 50), (48, 50)], 1_000_000);
        assert!(are_even(&nearly, 1.0) && ends(&nearly) == [100], "{:?}", ends(&nearly));
        // Of requests that follow one another in runs of eight, chance makes more.
        let runs: Vec<Area> =
            drawn(&[(100, 100)], 1_000).iter().map(|a| Area { requests: a.requests * 8, ..*a }).collect();
        assert!(ends(&runs).len() > 1 && zones(&runs, 8_000, 0.125, 64).len() == 1 && are_even(&runs, 0.125));
        assert!(!are_even(&drawn(&[(70, 50), (30, 50)], 2_000), 1.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn zones_follow_one_another_and_cover_everything(
            counts in prop::collection::vec((1u64..1 << 30, 0u64..10_000), 0..700),
            most in 1usize..70,
        ) {
            let areas: Vec<Area> = counts.iter().map(|&(bytes, requests)| Area { bytes, requests }).collect();
            let zones = zones(&areas, sum(&areas).requests, 1.0, most);
            let mut end = 0;
            for zone in &zones {
                prop_assert!(zone.start == end && zone.end > zone.start);
                end = zone.end;
            }
            prop_assert_eq!(end, areas.len());
            prop_assert!(zones.len() <= most);
        }
    }
}
