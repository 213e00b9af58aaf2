//! What a source did in one direction, as a job's header states it for people and for machines.

use serde::Serialize;

use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::depth::InFlight;
use super::logical::SOURCE;
use super::source::Source;
use super::streams::Direction;
use super::zones;

/// The least share of the requests that is listed as one hot zone, and how many are listed.
const HOT_SHARE: f64 = 0.01;
const HOT_ZONES: usize = 8;

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
    /// The parts of the device that saw the most requests.
    pub hot_zones: Vec<HotZone>,
}

/// A part of the device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HotZone {
    /// Its first byte.
    pub low_bytes: u64,
    /// The byte after its last.
    pub high_bytes: u64,
    /// Its share of the direction's requests.
    pub share: f64,
}

impl Facts {
    /// Of a direction of a capture.
    pub fn of(block: &BlockResult, source: &Source, direction: Direction) -> Self {
        let word = Some(direction.word());
        let mix = &source.loads[direction as usize].mix;
        let all: u64 = source.loads.iter().map(|load| load.mix.count()).sum();
        let any = mix.count() > 0;
        let d2c = block.histogram("d2c", word).filter(|h| any && h.count > 0);
        let in_flight = InFlight::of(block, direction).filter(|_| any);
        let device = in_flight.as_ref().and_then(|in_flight| in_flight.device.as_ref());
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
            sequential: source.sequential[direction as usize].filter(|_| any),
            hot_zones: block.histogram("lba", word).filter(|_| any).map(hot_zones).unwrap_or_default(),
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
            format!("  at the device, while any: median {median:.0}, P90 {p90:.0}, max {max:.0}")
        }));
        lines.push(match self.sequential {
            Some(share) => format!("  in order: {:.1} % begin where the last one ended", share * 100.0),
            None => "  in order: not captured, so places are random".to_owned(),
        });
        if self.hot_zones.is_empty() {
            lines.push("  hot LBA zones: not captured, or no part saw 1 % of the requests".to_owned());
        } else {
            lines.push("  hot LBA zones (share of requests):".to_owned());
            let zones: Vec<String> = self.hot_zones.iter().map(HotZone::text).collect();
            lines.extend(zones.chunks(4).map(|some| format!("    {}", some.join(", "))));
        }
        lines
    }
}

impl HotZone {
    fn text(&self) -> String {
        let gib = |bytes: u64| bytes as f64 / units::GIB as f64;
        format!("{:.2}-{:.2} GiB {:.1} %", gib(self.low_bytes), gib(self.high_bytes), self.share * 100.0)
    }
}

fn hot_zones(lba: &Histogram) -> Vec<HotZone> {
    let scale = zones::scale(lba);
    let mut zones: Vec<_> =
        lba.buckets.iter().filter(|bucket| bucket.2 as f64 >= HOT_SHARE * lba.count as f64).collect();
    zones.sort_by_key(|bucket| (std::cmp::Reverse(bucket.2), bucket.0));
    zones.truncate(HOT_ZONES);
    let bytes = |place: i64| u64::try_from(place.saturating_mul(scale)).unwrap_or(0);
    let zone = |&&(low, high, count): &&(i64, i64, u64)| HotZone {
        low_bytes: bytes(low),
        high_bytes: bytes(high),
        share: count as f64 / lba.count as f64,
    };
    zones.iter().map(zone).collect()
}
