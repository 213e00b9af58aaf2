//! Where on its device a direction's requests were densest, for the header.

use std::ops::Range;

use serde::Serialize;

use crate::measure::BlockResult;

use super::density::{self, Area};
use super::reach::{drawn, parts, requests_within};
use super::streams::Direction;
use super::zones::MAX_ZONES;

/// The least share of the requests that is listed as one hot zone, and how many are listed.
const HOT_SHARE: f64 = 0.01;
const HOT_ZONES: usize = 8;

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
