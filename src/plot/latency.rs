//! How response and service times are distributed, by tier, direction and phase.

use crate::error::{Error, Result};
use crate::measure::replay::Latency;
use crate::measure::{Histogram, ReplayResult};
use crate::trace::{Op, Phase, Tier};
use crate::units;

use super::axis;
use super::picture::{Colour, Key, Mark, Panel, Picture, Series};

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
        panels,
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
