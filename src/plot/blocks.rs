//! What the block layer saw: request sizes, requests in flight, places on the device.

use crate::error::{Error, Result};
use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::axis;
use super::picture::{Colour, Key, Layout, Mark, Panel, Picture, Series};

/// The directions of a capture and their colours.
pub const DIRECTIONS: [(&str, Colour); 2] = [("read", Colour::Blue), ("write", Colour::Vermillion)];

/// The most distinct sizes that get a place of their own.
const MAX_PLACES: usize = 14;

/// The histograms of one name that counted something, by direction.
fn both<'a>(block: &'a BlockResult, name: &str, file: &str) -> Result<Vec<(&'static str, Colour, &'a Histogram)>> {
    let found: Vec<_> = DIRECTIONS
        .iter()
        .filter_map(|&(op, colour)| Some((op, colour, block.histogram(name, Some(op)).filter(|h| h.count > 0)?)))
        .collect();
    if found.is_empty() {
        return Err(Error::usage(format!(
            "{file} holds no `{name}` of the target: the capture saw no request of it; check its --dev and \
             process filter"
        )));
    }
    Ok(found)
}

/// What a picture of a capture says below its title.
pub fn subtitle(block: &BlockResult, file: &str) -> String {
    let devices: Vec<_> = block.devices.iter().map(|device| device.name.as_str()).collect();
    let tainted = if block.tainted { " · TAINTED" } else { "" };
    let during = block.duration_s.map_or_else(String::new, |s| format!(" over {s:.1} s"));
    let devices = if devices.is_empty() { "unnamed devices".to_owned() } else { devices.join(", ") };
    format!("{file} · block layer of {devices}{during}{tainted}")
}

fn scale(histogram: &Histogram) -> f64 {
    if histogram.unit == "sectors" { 512.0 } else { 1.0 }
}

/// Shares of requests and of bytes by request size.
///
/// # Errors
/// When the capture saw no request with a size.
pub fn sizes(block: &BlockResult, file: &str) -> Result<Picture> {
    let all = both(block, "size", file)?;
    let places = Places::of(all.iter().map(|entry| entry.2));
    let panel = |title: &str, label: &str, by_bytes: bool| {
        let bars = all.iter().enumerate().map(|(i, &(_, colour, histogram))| {
            let beside = if all.len() == 1 { 0.0 } else { i as f64 * 0.4 - 0.2 };
            let width = if all.len() == 1 { 0.7 } else { 0.38 };
            let shares = places.shares(histogram, by_bytes).into_iter().enumerate();
            let points = shares.filter(|(_, share)| *share > 0.0).map(|(at, share)| (at as f64 + beside, share));
            Series { colour, mark: Mark::Bars(width), points: points.collect() }
        });
        let series: Vec<Series> = bars.collect();
        let highest = series.iter().flat_map(|s| &s.points).map(|point| point.1).fold(0.0, f64::max);
        Panel {
            title: title.to_owned(),
            height: 170,
            x: axis::categories(places.label, &places.names),
            y: axis::from_zero(label, highest, 170),
            series,
            legend: all.iter().map(|&(op, colour, histogram)| key(op, colour, histogram, by_bytes)).collect(),
        }
    };
    Ok(Picture {
        kind: "size",
        title: "Request sizes at the block layer".to_owned(),
        subtitle: subtitle(block, file),
        layout: Layout::Stack,
        panels: vec![
            panel("by requests", "% of the direction's requests", false),
            panel("by bytes", "% of the direction's bytes", true),
        ],
    })
}

fn key(op: &str, colour: Colour, histogram: &Histogram, by_bytes: bool) -> Key {
    let what = if by_bytes {
        units::bytes((histogram.sum as f64 * scale(histogram)) as u64)
    } else {
        format!("{} requests", units::count(histogram.count))
    };
    Key { text: format!("{op}, {what}"), swatch: Some((colour, Mark::Bars(1.0))) }
}

/// The places of a size axis: every size that occurs when they are few, powers of two otherwise.
pub struct Places {
    /// The largest size of each place, ascending.
    upto: Vec<u64>,
    /// What each is called.
    pub names: Vec<String>,
    /// What the axis is called.
    pub label: &'static str,
}

impl Places {
    /// Those of some histograms of sizes.
    pub fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut occurring: Vec<u64> =
            histograms.flat_map(|h| h.buckets.iter().map(|bucket| (bucket.0 as f64 * scale(h)) as u64)).collect();
        occurring.sort_unstable();
        occurring.dedup();
        if occurring.len() <= MAX_PLACES {
            let names = occurring.iter().map(|&size| axis::size_name(size)).collect();
            return Self { upto: occurring, names, label: "request size (every size that occurs)" };
        }
        let power = |size: u64| size.max(1).next_power_of_two();
        let (first, last) = (power(occurring[0]), power(occurring[occurring.len() - 1]));
        let upto: Vec<u64> =
            std::iter::successors(Some(first), |size| size.checked_mul(2)).take_while(|size| *size <= last).collect();
        let names = upto.iter().map(|&size| axis::size_name(size)).collect();
        Self { upto, names, label: "request size, up to and including (log scale)" }
    }

    /// The share of each place in percent, of requests or of bytes.
    pub fn shares(&self, histogram: &Histogram, by_bytes: bool) -> Vec<f64> {
        let mut sums = vec![0.0; self.upto.len()];
        for &(low, _, count) in &histogram.buckets {
            let size = low as f64 * scale(histogram);
            let at = self.upto.partition_point(|&upto| (upto as f64) < size).min(sums.len() - 1);
            sums[at] += count as f64 * if by_bytes { size } else { 1.0 };
        }
        let total: f64 = sums.iter().sum();
        sums.iter().map(|sum| if total > 0.0 { sum * 100.0 / total } else { 0.0 }).collect()
    }
}

/// The share of the time with requests in flight at each number of them.
///
/// # Errors
/// When the capture has no times in flight.
pub fn in_flight(block: &BlockResult, file: &str) -> Result<Picture> {
    let panels = both(block, "inflight_time", file)?
        .into_iter()
        .map(|(op, colour, histogram)| {
            let mut busy = histogram.clone();
            busy.buckets.retain(|bucket| bucket.0 > 0);
            busy.count = busy.buckets.iter().map(|bucket| bucket.2).sum();
            let total = busy.count.max(1) as f64;
            let points: Vec<(f64, f64)> =
                busy.buckets.iter().map(|b| ((b.0 + b.1 - 1) as f64 / 2.0, b.2 as f64 * 100.0 / total)).collect();
            let deepest = points.last().map_or(1.0, |point| point.0);
            let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
            let mut x = axis::from_zero_to(&format!("{op}s in flight"), deepest + 0.6);
            x.low = 0.4;
            x.ticks.retain(|tick| tick.at.fract() == 0.0 && tick.at > 0.0);
            Panel {
                title: format!("{op}s in flight, by time"),
                height: 150,
                x,
                y: axis::from_zero("% of the time with any", highest, 150),
                series: vec![Series { colour, mark: Mark::Bars(0.8), points }],
                legend: quantile_keys(&busy, |value| format!("{value:.0}")),
            }
        })
        .collect();
    Ok(Picture {
        kind: "inflight",
        title: "Requests in flight at the block layer".to_owned(),
        subtitle: subtitle(block, file),
        layout: Layout::Stack,
        panels,
    })
}

fn quantile_keys(histogram: &Histogram, show: impl Fn(f64) -> String) -> Vec<Key> {
    let quantiles = [("P50", 0.5), ("P90", 0.9), ("P99", 0.99), ("max", 1.0)];
    let mut keys: Vec<Key> = quantiles
        .iter()
        .filter_map(|&(name, q)| Some(format!("{name} {}", show(histogram.quantile(q)?))))
        .map(|text| Key { text, swatch: None })
        .collect();
    if let Some(mean) = histogram.mean() {
        keys.insert(0, Key { text: format!("mean {mean:.1}"), swatch: None });
    }
    keys
}

/// Where on the device the requests went.
///
/// # Errors
/// When the capture has no places.
pub fn lba(block: &BlockResult, file: &str) -> Result<Picture> {
    let all = both(block, "lba", file)?;
    let (low, high) = reach(block, &all);
    let panels = all
        .iter()
        .map(|&(op, colour, histogram)| {
            let gib = |place: i64| place as f64 * scale(histogram) / units::GIB as f64;
            let share = |count: u64| count as f64 * 100.0 / histogram.count as f64;
            let widest = histogram.buckets.iter().map(|b| gib(b.1 - b.0)).fold(0.0, f64::max);
            let middles = histogram.buckets.iter().map(|b| (gib(b.0 + b.1) / 2.0, share(b.2)));
            let points: Vec<(f64, f64)> = middles.filter(|point| (low..=high).contains(&point.0)).collect();
            let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
            let size = block.devices.iter().map(|device| device.size_bytes).max().unwrap_or(0);
            Panel {
                title: format!("{op}s by place"),
                height: 140,
                x: axis::linear("place on the device (GiB)", low, high, 7.0),
                y: axis::from_zero(&format!("% of {op}s"), highest, 140),
                series: vec![Series { colour, mark: Mark::Bars(widest), points }],
                legend: vec![
                    Key { text: format!("{} {op}s", units::count(histogram.count)), swatch: None },
                    Key {
                        text: format!("bars of {}", units::bytes((widest * units::GIB as f64) as u64)),
                        swatch: None,
                    },
                    Key { text: format!("device of {}", units::bytes(size)), swatch: None },
                ],
            }
        })
        .collect();
    Ok(Picture {
        kind: "lba",
        title: "Where on the device the requests went".to_owned(),
        subtitle: subtitle(block, file),
        layout: Layout::Stack,
        panels,
    })
}

/// The part of the device to show in GiB: all of it, or what was touched with a margin when that
/// is less than half.
fn reach(block: &BlockResult, all: &[(&str, Colour, &Histogram)]) -> (f64, f64) {
    let gib = |place: i64, histogram: &Histogram| place as f64 * scale(histogram) / units::GIB as f64;
    let device = block.devices.iter().map(|device| device.size_bytes).max().unwrap_or(0) as f64 / units::GIB as f64;
    // A stray request to a journal far away would squeeze everything else: a place counts when it
    // saw a twentieth of the mean of all places.
    let touched = || {
        let many = |h: &Histogram, count: u64| count * 20 * h.buckets.len() as u64 >= h.count;
        all.iter().flat_map(move |e| e.2.buckets.iter().filter(move |b| many(e.2, b.2)).map(move |b| (b, e.2)))
    };
    let low = touched().map(|(b, h)| gib(b.0, h)).fold(f64::INFINITY, f64::min);
    let high = touched().map(|(b, h)| gib(b.1, h)).fold(0.0, f64::max);
    if !low.is_finite() || high - low > device / 2.0 {
        return (0.0, device.max(high).max(f64::MIN_POSITIVE));
    }
    let margin = ((high - low) * 0.05).max(1e-3);
    ((low - margin).max(0.0), high + margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(sizes: &[(i64, u64)]) -> Histogram {
        Histogram {
            unit: "bytes".to_owned(),
            count: sizes.iter().map(|size| size.1).sum(),
            sum: sizes.iter().map(|size| i128::from(size.0) * i128::from(size.1)).sum(),
            buckets: sizes.iter().map(|&(size, count)| (size, size + 512, count)).collect(),
            ..Histogram::default()
        }
    }

    #[test]
    fn few_sizes_have_a_place_each_and_many_share_powers_of_two() {
        let few = histogram(&[(4096, 1), (524_288, 3)]);
        let places = Places::of([&few].into_iter());
        assert_eq!(places.names, ["4 KiB", "512 KiB"]);
        assert_eq!(places.shares(&few, false), [25.0, 75.0]);
        let many = histogram(&(1..=128).map(|i| (i * 4096, 1)).collect::<Vec<_>>());
        let places = Places::of([&many].into_iter());
        assert_eq!(places.upto, [4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288]);
        assert_eq!(places.shares(&many, false)[7], 50.0);
    }
}
