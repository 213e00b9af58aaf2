//! What a trace asks for over time: how full its tiers are, and how its requests arrive.

use crate::error::{Error, Result};
use crate::trace::Tier;
use crate::units;

use super::axis;
use super::over_time::OverTime;
use super::picture::{Axis, Colour, Key, Layout, Mark, Panel, Picture, Series};

/// Bytes live on each tier over time, with its capacity where the metadata says one.
///
/// # Errors
/// When no row writes anything.
pub fn occupancy(over: &OverTime, file: &str) -> Result<Picture> {
    let panels: Vec<Panel> = Tier::ALL.iter().filter_map(|tier| tier_panel(over, *tier)).collect();
    if panels.is_empty() {
        return Err(Error::usage(format!("{file} has no row that writes an object, so that nothing is ever full")));
    }
    let foreign = if over.has_deletes { "" } else { " · no Delete rows: what left the last tier is not known" };
    Ok(Picture {
        kind: "occupancy",
        title: "How full the tiers are over time".to_owned(),
        subtitle: format!("{file}{foreign} · the most in each {}", interval(over)),
        layout: Layout::Stack,
        panels,
    })
}

fn interval(over: &OverTime) -> String {
    units::ns(over.interval_s * 1e9)
}

fn time(over: &OverTime) -> Axis {
    axis::from_zero_to("time since the start of the trace (s)", over.occupancy[0].len() as f64 * over.interval_s)
}

fn tier_panel(over: &OverTime, tier: Tier) -> Option<Panel> {
    let (values, peak) = (&over.occupancy[tier.index()], over.peak_bytes[tier.index()]);
    if peak == 0 {
        return None;
    }
    let limit = over.meta.capacity(tier).flatten().filter(|limit| *limit > 0);
    // A limit far above everything would leave a line at the bottom.
    let shown = limit.filter(|limit| limit / 8 <= peak);
    let (unit, scale) = scale(peak.max(shown.unwrap_or(0)));
    let span = values.len() as f64 * over.interval_s;
    let mut series =
        vec![Series { colour: Colour::Blue, mark: Mark::Line, points: steps(values, scale, over.interval_s) }];
    let mut legend = vec![
        Key { text: "live".to_owned(), swatch: Some((Colour::Blue, Mark::Line)) },
        Key { text: format!("peak {}", units::bytes(peak)), swatch: None },
    ];
    if let Some(limit) = limit {
        let swatch = shown.map(|_| (Colour::Vermillion, Mark::Dashes));
        legend.push(Key { text: format!("capacity {}", units::bytes(limit)), swatch });
    }
    if let Some(limit) = shown {
        let at = limit as f64 / scale;
        series.push(Series { colour: Colour::Vermillion, mark: Mark::Dashes, points: vec![(0.0, at), (span, at)] });
    }
    let name = ["GPU", "DRAM", "storage"][tier.index()];
    Some(Panel {
        title: format!("{tier}, {name}"),
        height: 130,
        x: time(over),
        y: axis::from_zero(unit, peak.max(shown.unwrap_or(0)) as f64 / scale, 130),
        series,
        legend,
    })
}

/// A unit in which so many bytes are a number that people read.
fn scale(bytes: u64) -> (&'static str, f64) {
    match bytes {
        b if b >= units::GIB << 10 => ("TiB", (units::GIB << 10) as f64),
        b if b >= units::GIB => ("GiB", units::GIB as f64),
        b if b >= units::MIB => ("MiB", units::MIB as f64),
        b if b >= units::KIB => ("KiB", units::KIB as f64),
        _ => ("bytes", 1.0),
    }
}

/// A value holds for its whole interval.
fn steps(values: &[u64], scale: f64, interval_s: f64) -> Vec<(f64, f64)> {
    let edge = |(i, value): (usize, &u64)| {
        let value = *value as f64 / scale;
        [(i as f64 * interval_s, value), ((i + 1) as f64 * interval_s, value)]
    };
    values.iter().enumerate().flat_map(edge).collect()
}

/// Arrivals over time, and how they crowd at each scale of time.
///
/// # Errors
/// When nothing arrives.
pub fn arrivals(over: &OverTime, file: &str) -> Result<Picture> {
    let total: u64 = over.arrivals.iter().sum();
    if total == 0 {
        return Err(Error::usage(format!("{file} has no rows and no requests, so that nothing arrives")));
    }
    let what = match over.arrivals_from {
        "requests" => "requests, from the requests file",
        "first rows" => "first rows of requests",
        _ => "rows, since nothing says whose they are",
    };
    let mut panels = vec![rate(over, total)];
    if !over.dispersion.is_empty() {
        panels.push(crowding(over));
    }
    Ok(Picture {
        kind: "arrivals",
        title: "How requests arrive".to_owned(),
        subtitle: format!("{file} · {what}"),
        layout: Layout::Stack,
        panels,
    })
}

fn rate(over: &OverTime, total: u64) -> Panel {
    let each_s = over.arrival_interval_s;
    let rates: Vec<f64> = over.arrivals.iter().map(|count| *count as f64 / each_s).collect();
    let highest = rates.iter().copied().fold(0.0, f64::max);
    let span = rates.len() as f64 * each_s;
    let edge = |(i, value): (usize, &f64)| [(i as f64 * each_s, *value), ((i + 1) as f64 * each_s, *value)];
    let swatch = Some((Colour::Blue, Mark::Line));
    Panel {
        title: "arrivals over time".to_owned(),
        height: 170,
        x: axis::from_zero_to("time since the start of the trace (s)", span),
        y: axis::from_zero("per second", highest, 170),
        series: vec![Series {
            colour: Colour::Blue,
            mark: Mark::Line,
            points: rates.iter().enumerate().flat_map(edge).collect(),
        }],
        legend: vec![
            Key { text: format!("in each {}", units::ns(each_s * 1e9)), swatch },
            Key { text: format!("{} in all", units::count(total)), swatch: None },
            Key { text: format!("mean {}/s", axis::short(total as f64 / span)), swatch: None },
            Key { text: format!("most {}/s", axis::short(highest)), swatch: None },
        ],
    }
}

/// The index of dispersion on both logarithmic axes.
fn crowding(over: &OverTime) -> Panel {
    // Nothing is less than a thousandth here that anybody tells apart.
    let floor = |index: f64| index.max(1e-3);
    let all = || over.dispersion.iter().map(|(_, index)| floor(*index));
    let (low, high) = (all().fold(1.0, f64::min), all().fold(1.0, f64::max));
    let (first, last) = (over.dispersion[0].0, over.dispersion[over.dispersion.len() - 1].0);
    let points: Vec<_> =
        over.dispersion.iter().map(|(window, index)| ((window * 1e9).log10(), floor(*index).log10())).collect();
    let x = axis::log_time("length of the window (log scale)", first * 1e9, last * 1e9);
    let poisson = vec![(x.low, 0.0), (x.high, 0.0)];
    let mut legend = vec![
        Key { text: "variance over mean".to_owned(), swatch: Some((Colour::Blue, Mark::Points)) },
        Key { text: "Poisson: 1 at every scale".to_owned(), swatch: Some((Colour::Faded, Mark::Dashes)) },
    ];
    for (window, index) in over.dispersion.iter().step_by(2) {
        legend.push(Key { text: format!("{}: {}", units::ns(window * 1e9), axis::short(*index)), swatch: None });
    }
    let line = |mark| Series { colour: Colour::Blue, mark, points: points.clone() };
    Panel {
        title: "burstiness: index of dispersion".to_owned(),
        height: 170,
        x,
        y: axis::log_any("index (log scale)", low, high),
        series: vec![
            Series { colour: Colour::Faded, mark: Mark::Dashes, points: poisson },
            line(Mark::Line),
            line(Mark::Points),
        ],
        legend,
    }
}
