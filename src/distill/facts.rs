//! What a source did in one direction, as a job's header states it for people and for machines.

use std::ops::Range;

use serde::Serialize;

use crate::measure::BlockResult;
use crate::units;

use super::depth::InFlight;
use super::hot::{HotZone, Reached};
use super::logical::SOURCE;
use super::sizes::SizeMix;
use super::source::{Source, sequential};
use super::streams::Direction;

/// A direction of a source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// `read` or `write`.
    pub op: &'static str,
    /// Its requests; 0 is a direction that the source did not have, or too little of.
    pub requests: u64,
    /// Their share of all requests.
    pub request_share: f64,
    /// Their bytes.
    pub bytes: u64,
    /// Their mean size; none without requests.
    pub mean_bytes: Option<f64>,
    /// From issue to completion, the median; none where that was not captured.
    pub d2c_p50_ns: Option<f64>,
    /// The 99th percentile of the same.
    pub d2c_p99_ns: Option<f64>,
    /// Mean number in flight; none where that was not captured.
    pub in_flight: Option<f64>,
    /// How that was found.
    pub in_flight_from: Option<&'static str>,
    /// In flight at the device while any was: median, 90th percentile, maximum.
    pub at_device: Option<[f64; 3]>,
    /// The share of requests that began where the last one ended; none where that was not captured.
    pub sequential: Option<f64>,
    /// Bytes of the device that the requests reached, as wide as the LBA map's parts; none where places
    /// were not captured.
    pub reached_bytes: Option<u64>,
    /// The zones in which requests are densest, the densest first; empty where they are spread evenly, or
    /// places were not captured.
    pub hot_zones: Vec<HotZone>,
    #[serde(skip)]
    places: String,
}

impl Facts {
    /// Of a direction of a capture.
    pub fn of(block: &BlockResult, source: &Source, direction: Direction) -> Self {
        let word = Some(direction.word());
        let [reads, writes] = Direction::ALL.map(|direction| seen(block, source, direction));
        let all = reads.count() + writes.count();
        let mix = if direction == Direction::Read { reads } else { writes };
        let any = mix.count() > 0;
        let d2c = block.histogram("d2c", word).filter(|h| any && h.count > 0);
        // Of a trace only the sum of its objects is known, not where they lie, and nothing of a device.
        let captured = any && block.source != SOURCE;
        let in_flight = InFlight::of(block, direction).filter(|_| any);
        let device = in_flight.as_ref().and_then(|in_flight| in_flight.device.as_ref()).filter(|_| captured);
        let reached = captured.then(|| Reached::of(block, direction)).flatten();
        Self {
            op: direction.word(),
            requests: mix.count(),
            request_share: if any { mix.count() as f64 / all as f64 } else { 0.0 },
            bytes: u64::try_from(mix.bytes()).unwrap_or(u64::MAX),
            mean_bytes: any.then(|| mix.mean()),
            d2c_p50_ns: d2c.and_then(|h| h.quantile(0.5)),
            d2c_p99_ns: d2c.and_then(|h| h.quantile(0.99)),
            at_device: device.and_then(|h| Some([h.quantile(0.5)?, h.quantile(0.9)?, h.max? as f64])),
            in_flight: in_flight.as_ref().map(|in_flight| in_flight.mean),
            in_flight_from: in_flight.map(|in_flight| {
                if block.source == SOURCE {
                    "assumed: what a replay keeps, in requests of this size"
                } else {
                    in_flight.from
                }
            }),
            sequential: match source.split_at {
                Some(_) => sequential(block, direction).filter(|_| any),
                None => source.sequential[direction as usize].filter(|_| any),
            },
            reached_bytes: reached.as_ref().map(|reached| reached.bytes),
            places: places(reached.as_ref()),
            hot_zones: reached.map(|reached| reached.hot).unwrap_or_default(),
        }
    }

    /// As the header says it.
    pub fn lines(&self) -> Vec<String> {
        let Some(mean) = self.mean_bytes else { return vec![format!("{}: none", self.op)] };
        let mut lines = vec![format!(
            "{}: {} requests ({:.2} %), {}, mean {}",
            self.op,
            units::count(self.requests),
            self.request_share * 100.0,
            units::bytes(self.bytes),
            units::bytes(mean.round() as u64)
        )];
        lines.push(match (self.d2c_p50_ns, self.d2c_p99_ns) {
            (Some(p50), Some(p99)) => {
                format!("  D2C: P50 {}, P99 {} (issue to completion)", units::ns(p50), units::ns(p99))
            }
            _ => "  D2C: not captured".to_owned(),
        });
        lines.push(match (self.in_flight, self.in_flight_from) {
            (Some(mean), Some(from)) => format!("  in flight: mean {mean:.2} ({from})"),
            _ => "  in flight: not captured, taken as 1".to_owned(),
        });
        lines.extend(self.at_device.map(|[median, p90, max]| {
            format!("  in flight at the device, while any is: median {median:.0}, P90 {p90:.0}, max {max:.0}")
        }));
        lines.push(match self.sequential {
            Some(share) => format!("  in order: {:.1} % begin where the last one ended", share * 100.0),
            None => "  in order: not captured, so places are random".to_owned(),
        });
        lines.push(format!("  hot LBA zones: {}", self.places));
        let zones: Vec<String> = self.hot_zones.iter().map(zone).collect();
        lines.extend(zones.chunks(ON_A_LINE).map(|some| format!("    {}", some.join(", "))));
        lines
    }
}

/// The requests of a load as the device got them, in pieces where it split them.
pub fn seen(block: &BlockResult, source: &Source, direction: Direction) -> SizeMix {
    let own = &source.loads[direction as usize].mix;
    let pieces = block.histogram("size", Some(direction.word()));
    let pieces = pieces.filter(|_| source.split_at.is_some() && own.count() > 0);
    pieces.map_or_else(|| own.clone(), SizeMix::from_histogram)
}

/// Where requests went, in a few words.
fn places(reached: Option<&Reached>) -> String {
    let Some(reached) = reached else { return "not captured".to_owned() };
    let (bytes, span) = (units::bytes(reached.bytes), range(&reached.span));
    if !reached.hot.is_empty() {
        format!("share of the requests to {bytes}, the densest first:")
    } else if reached.requests < ENOUGH {
        format!("not known: {} in {span} are too few to tell", units::plural(reached.requests, "request"))
    } else if reached.parts < KNOWN {
        format!("not known: the map has {} for all of them, {span}", units::plural(reached.parts as u64, "part"))
    } else {
        format!("none, spread evenly over {bytes} ({span})")
    }
}

/// Requests from which on some zone would have to show (a Kolmogorov-Smirnov distance of 0.16).
const ENOUGH: u64 = 200;
/// Parts of a map from which on it says that requests are spread evenly.
const KNOWN: usize = 4;
/// Hot zones on one line of the header.
const ON_A_LINE: usize = 3;

fn zone(zone: &HotZone) -> String {
    format!("{} {:.1} %", range(&(zone.low_bytes..zone.high_bytes)), zone.share * 100.0)
}

/// A range of places in one unit: `512-576 MiB`, `1.50-2.75 GiB`.
fn range(places: &Range<u64>) -> String {
    let (unit, scale) = if places.end >= 10 * units::GIB { ("GiB", units::GIB) } else { ("MiB", units::MIB) };
    let whole = places.start.is_multiple_of(scale) && places.end.is_multiple_of(scale);
    let digits = if whole { 0 } else { 2 };
    let of = |bytes: u64| bytes as f64 / scale as f64;
    format!("{:.digits$}-{:.digits$} {unit}", of(places.start), of(places.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Histogram;
    use crate::measure::block::BlockDevice;

    const MIB: i64 = 1 << 20;

    fn said(parts: &[(i64, u64)]) -> String {
        let buckets = parts.iter().map(|&(at, count)| (at * 64 * MIB, (at + 1) * 64 * MIB, count)).collect();
        let count = parts.iter().map(|part| part.1).sum();
        let (name, op, unit) = ("lba".to_owned(), Some("read".to_owned()), "bytes".to_owned());
        let map = Histogram { name, op, unit, count, buckets, ..Histogram::default() };
        let block = BlockResult { histograms: vec![map], ..BlockResult::default() };
        let reached = Reached::of(&block, Direction::Read).unwrap();
        let zones: Vec<String> = reached.hot.iter().map(zone).collect();
        format!("{} {}", places(Some(&reached)), zones.join(", "))
    }

    #[test]
    fn what_is_even_hot_or_not_known_is_said() {
        assert_eq!(places(None), "not captured");
        let even: Vec<(i64, u64)> = (0..32).map(|at| (at, 1000 + at as u64 % 3)).collect();
        assert_eq!(said(&even), "none, spread evenly over 2.00 GiB (0-2048 MiB) ");
        assert_eq!(said(&[(3, 9), (9, 4)]), "not known: 13 requests in 192-640 MiB are too few to tell ");
        assert_eq!(said(&[(3, 500)]), "not known: the map has 1 part for all of them, 192-256 MiB ");
        // Neighbours that are as dense are one zone, what lies apart is another.
        let hot: Vec<(i64, u64)> = (0..40).map(|at| (at, if (8..12).contains(&at) { 2000 } else { 100 })).collect();
        let more = [&hot[..], &[(200, 1600)]].concat();
        assert_eq!(
            said(&more),
            "share of the requests to 2.56 GiB, the densest first: 512-768 MiB 60.6 %, 12.50-12.56 GiB 12.1 %"
        );
    }

    #[test]
    fn a_header_has_the_pieces_that_reached_the_device() {
        let counted = |name: &str, low: i64, count: u64| Histogram {
            name: name.to_owned(),
            op: Some("read".to_owned()),
            count,
            sum: i128::from(low) * i128::from(count),
            buckets: vec![(low, low + 1, count)],
            ..Histogram::default()
        };
        let limit = BlockDevice { max_sectors_kb: 256, ..BlockDevice::default() };
        let seek = Histogram { count: 3999, buckets: vec![(0, 1, 3000), (4096, 4097, 999)], ..counted("seek", 0, 1) };
        let histograms = vec![counted("size", 256 << 10, 4000), counted("run_length", 4, 1000), seek];
        let block = BlockResult { histograms, devices: vec![limit], ..BlockResult::default() };
        let source = Source::of(&block);
        assert_eq!((source.loads[0].mix.sizes(), source.split_at), (&[(1 << 20, 1000)][..], Some(256 << 10)));
        let facts = Facts::of(&block, &source, Direction::Read);
        assert_eq!((facts.requests, facts.mean_bytes, facts.request_share), (4000, Some(262_144.0), 1.0));
        assert!((facts.sequential.unwrap() - 0.75).abs() < 0.001, "{:?}", facts.sequential);
    }
}
