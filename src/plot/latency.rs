//! How response and service times are distributed, by tier, direction and phase.

use crate::error::{Error, Result};
use crate::measure::replay::Latency;
use crate::measure::{BlockResult, Histogram, ReplayResult};
use crate::trace::{Op, Phase, Tier};
use crate::units;

use super::axis;
use super::blocks::{DIRECTIONS, subtitle};
use super::picture::{Colour, Key, Layout, Mark, Panel, Picture, Series};

/// One panel for each tier that really moved bytes, a curve for each direction and phase.
///
/// # Errors
/// When the result holds no latency.
pub fn picture(replay: &ReplayResult, file: &str) -> Result<Picture> {
    let panels: Vec<Panel> = Tier::ALL.iter().rev().filter_map(|&tier| panel(replay, tier)).collect();
    if panels.is_empty() {
        return Err(Error::usage(format!(
            "{file} holds no latency of a tier that moved bytes; replay a trace with rows on a real tier"
        )));
    }
    Ok(Picture {
        kind: "latency",
        title: "Latency of object reads and writes".to_owned(),
        subtitle: format!("{file} · replay of {} · pacing {}", replay.trace.file, replay.timing.pacing),
        layout: Layout::Stack,
        panels,
    })
}

/// The parts of a request's time at the block layer: how each is drawn, and what it is.
const PARTS: [(&str, Mark, &str); 3] = [
    ("d2c", Mark::Line, "D2C, the device"),
    ("q2d", Mark::Dots, "Q2D, before the driver"),
    ("q2c", Mark::Dashes, "Q2C, both"),
];

/// How the times of requests at the block layer are distributed.
///
/// # Errors
/// When the capture has no times.
pub fn of_block(block: &BlockResult, file: &str) -> Result<Picture> {
    let found: Vec<(Colour, Mark, &Histogram)> = PARTS
        .iter()
        .flat_map(|&(name, mark, _)| DIRECTIONS.iter().map(move |&(op, colour)| (name, mark, op, colour)))
        .filter_map(|(name, mark, op, colour)| {
            Some((colour, mark, block.histogram(name, Some(op)).filter(|h| h.count > 0)?))
        })
        .collect();
    if found.is_empty() {
        return Err(Error::usage(format!(
            "{file} holds no times of the target's requests; check the --dev and the process filter of its capture"
        )));
    }
    let mut legend: Vec<Key> = PARTS
        .iter()
        .filter(|part| found.iter().any(|(_, _, h)| h.name == part.0))
        .map(|part| Key { text: part.2.to_owned(), swatch: Some((Colour::Ink, part.1)) })
        .collect();
    for (op, colour) in DIRECTIONS {
        let most = found.iter().filter(|(c, _, _)| *c == colour).map(|(_, _, h)| h.count).max();
        let text = most.map(|count| format!("{op}s, {}", units::plural(count, "request")));
        legend.extend(text.map(|text| Key { text, swatch: Some((colour, Mark::Bars(1.0))) }));
    }
    let low = found.iter().filter_map(|(_, _, h)| h.quantile(0.0)).fold(f64::INFINITY, f64::min);
    let high = found.iter().filter_map(|(_, _, h)| h.max).max().unwrap_or(0) as f64;
    let most = found.iter().map(|(_, _, h)| h.count).max().unwrap_or(0);
    Ok(Picture {
        kind: "latency",
        title: "Times of requests at the block layer".to_owned(),
        subtitle: subtitle(block, file),
        layout: Layout::Stack,
        panels: vec![Panel {
            title: "requests of the target".to_owned(),
            height: 260,
            x: axis::log_time("time of one request (log scale)", low, high),
            y: axis::percentiles("share of requests that took no longer", most),
            series: found
                .iter()
                .map(|&(colour, mark, histogram)| Series { colour, mark, points: curve(histogram) })
                .collect(),
            legend,
        }],
    })
}

/// What a tier is called in pictures and tables.
pub fn tier_name(replay: &ReplayResult, tier: Tier) -> String {
    let what = match tier {
        Tier::Gpu => "GPU",
        Tier::Dram => "DRAM",
        Tier::Storage => "storage",
    };
    match replay.tiers.iter().find(|report| usize::from(report.tier) == tier.index()) {
        Some(report) if report.backend != what.to_lowercase() => format!("{tier} ({what}, {})", report.backend),
        _ => format!("{tier} ({what})"),
    }
}

fn panel(replay: &ReplayResult, tier: Tier) -> Option<Panel> {
    let moves = replay
        .tiers
        .iter()
        .find(|report| usize::from(report.tier) == tier.index())
        .is_none_or(|report| report.backend != "model" && report.backend != "skip");
    let timed = |latency: &&Latency| latency.tier == tier && latency.op != Op::Delete && latency.response.count > 0;
    let rows: Vec<&Latency> = replay.latency.iter().filter(timed).collect();
    if rows.is_empty() || !moves {
        return None;
    }
    let all = || rows.iter().flat_map(|row| [&row.response, &row.service]);
    let low = all().filter_map(|h| h.quantile(0.0)).fold(f64::INFINITY, f64::min);
    let high = all().filter_map(|h| h.max).max().unwrap_or(0) as f64;
    let most = rows.iter().map(|row| row.response.count).max().unwrap_or(0);
    let mut series = Vec::new();
    let mut legend = vec![
        Key { text: "response (since it was due)".into(), swatch: Some((Colour::Ink, Mark::Line)) },
        Key { text: "service (since it started)".into(), swatch: Some((Colour::Ink, Mark::Dashes)) },
    ];
    for row in &rows {
        let colour = colour(row.op, row.phase);
        for (histogram, mark) in [(&row.response, Mark::Line), (&row.service, Mark::Dashes)] {
            series.push(Series { colour, mark, points: curve(histogram) });
        }
        let text = format!("{} {}, {} ops", row.op, row.phase, units::count(row.response.count));
        legend.push(Key { text, swatch: Some((colour, Mark::Bars(1.0))) });
    }
    Some(Panel {
        title: tier_name(replay, tier),
        height: 240,
        x: axis::log_time("time of one object (log scale)", low, high),
        y: axis::percentiles("share of objects that took no longer", most),
        series,
        legend,
    })
}

fn colour(op: Op, phase: Phase) -> Colour {
    match (op, phase) {
        (Op::Read, Phase::Prefill) => Colour::Sky,
        (Op::Read, Phase::Decode) => Colour::Blue,
        (Op::Read, Phase::Evict) => Colour::Green,
        (_, Phase::Prefill) => Colour::Vermillion,
        (_, Phase::Decode) => Colour::Purple,
        (_, Phase::Evict) => Colour::Orange,
    }
}

/// The cumulative distribution on log time and percentiles, from the minimum to the value that
/// one in `count` reaches.
fn curve(histogram: &Histogram) -> Vec<(f64, f64)> {
    let log = |ns: f64| ns.max(1.0).log10();
    let (Some(min), Some(max)) = (histogram.min, histogram.max) else { return Vec::new() };
    let mut points = vec![(log(min as f64), 0.0)];
    let mut below = 0;
    for &(_, high, count) in &histogram.buckets {
        below += count;
        let edge = (high as f64).clamp(min as f64, max as f64);
        // The last value has no values beyond it: it is drawn where one of `count` is.
        let share = (below as f64 / histogram.count as f64).min(1.0 - 1.0 / (histogram.count as f64 + 1.0));
        points.push((log(edge), axis::nines(share)));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    #[test]
    fn a_curve_rises_through_its_quantiles() {
        let mut counter = LogLinear::times();
        (1..=1000u64).for_each(|i| counter.record(i * 1000));
        let points = curve(&counter.save("response", None, "ns"));
        assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        let median = points.iter().find(|point| point.1 >= axis::nines(0.5)).unwrap();
        assert!((10f64.powf(median.0) / 500_000.0 - 1.0).abs() < 0.05, "{median:?}");
        assert_eq!(points.last().unwrap().0, 6.0);
    }
}
