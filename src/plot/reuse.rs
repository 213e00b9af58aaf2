//! How blocks are used again: after what time, after how many others, and how unevenly.

use crate::error::{Error, Result};
use crate::measure::analysis::number;
use crate::measure::{Analysis, Histogram};
use crate::units;

use super::axis;
use super::curve::files;
use super::picture::{Axis, Key, Layout, Mark, Panel, Picture, Series, shortened, style};

/// A list of analyses, each with the name of its file.
type Named<'a> = [(&'a str, &'a Analysis)];

/// The share of reuse within a time, and within a number of other blocks.
///
/// # Errors
/// When no analysis has such histograms.
pub fn picture(analyses: &Named) -> Result<Picture> {
    let time = |low: f64, high: f64| axis::log_time("time since the block was last used (log scale)", low, high);
    let depth =
        |low: f64, high: f64| axis::log_count("different blocks used since, itself included (log scale)", low, high);
    let panels = [
        cumulative(analyses, "time", "reuse within a time", time),
        cumulative(analyses, "stack_distance", "reuse within a stack distance", depth),
    ];
    let panels: Vec<Panel> = panels.into_iter().flatten().collect();
    let first = analyses.first().map_or("the input", |(file, _)| file);
    if panels.is_empty() {
        return Err(Error::usage(format!(
            "{first} has no times or distances of reuse; `kvtrace analyze reuse … -o reuse.json` makes them"
        )));
    }
    Ok(Picture {
        kind: "reuse",
        title: "How soon blocks are used again".to_owned(),
        subtitle: said(analyses),
        layout: Layout::Stack,
        panels,
    })
}

fn said(analyses: &Named) -> String {
    let names: Vec<&str> = analyses.iter().map(|(file, _)| *file).collect();
    let inputs: Vec<String> = analyses.iter().flat_map(|(_, analysis)| analysis.inputs()).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    match inputs.is_empty() {
        true => files(&names),
        false => format!("{} · of {}", files(&names), files(&inputs)),
    }
}

/// The scale of a histogram's unit: nanoseconds, or what it counts.
fn scale(histogram: &Histogram) -> f64 {
    match histogram.unit.as_str() {
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => 1.0,
    }
}

fn cumulative(analyses: &Named, field: &str, title: &str, x: impl Fn(f64, f64) -> Axis) -> Option<Panel> {
    let found: Vec<(&str, Histogram)> = analyses
        .iter()
        .filter_map(|(file, analysis)| Some((*file, analysis.histogram(field).filter(|h| h.count > 0)?)))
        .collect();
    let (mut low, mut high) = (f64::INFINITY, 1.0f64);
    let (mut series, mut legend) = (Vec::new(), Vec::new());
    for (place, (file, histogram)) in found.iter().enumerate() {
        let scale = scale(histogram);
        let least = histogram.buckets.iter().find(|bucket| bucket.1 > 1 && bucket.2 > 0);
        let least = least.map_or(1, |bucket| bucket.0.max(histogram.min.unwrap_or(0)).max(1));
        low = low.min(least as f64 * scale);
        high = high.max(histogram.max.unwrap_or(1) as f64 * scale);
        let (colour, mark) = style(place);
        series.push(Series { colour, mark, points: curve(histogram, scale) });
        let name = if found.len() == 1 { "reuses".to_owned() } else { shortened(file, 26) };
        let text = format!("{name}: {}", units::count(histogram.count));
        legend.push(Key { text, swatch: Some((colour, mark)) });
        for (word, q) in [("P50", 0.5), ("P90", 0.9), ("P99", 0.99)].into_iter().filter(|_| found.len() == 1) {
            let name = format!("{}_{}", word.to_lowercase(), if field == "time" { "s" } else { "blocks" });
            let exact = analyses.iter().find(|(of, _)| of == file).and_then(|(_, a)| number(a.field(field)?, &name));
            let shown = match exact {
                Some(seconds) if field == "time" => units::ns(seconds * 1e9),
                Some(blocks) => units::count(blocks as u64),
                None => {
                    let value = histogram.quantile(q).unwrap_or(0.0) * scale;
                    let shown = if field == "time" { units::ns(value) } else { units::count(value as u64) };
                    format!("about {shown}")
                }
            };
            legend.push(Key { text: format!("{word} {shown}"), swatch: None });
        }
        let zeros: u64 = histogram.buckets.iter().filter(|bucket| bucket.1 <= 1).map(|bucket| bucket.2).sum();
        if zeros > 0 {
            let share = zeros as f64 * 100.0 / histogram.count as f64;
            legend.push(Key { text: format!("at 0, at the left edge: {share:.1} %"), swatch: None });
        }
    }
    let y = axis::shares("share of reuse");
    (!found.is_empty()).then(|| Panel { title: title.to_owned(), height: 200, x: x(low, high), y, series, legend })
}

/// The share at or below each value, on a logarithmic axis from 1.
fn curve(histogram: &Histogram, scale: f64) -> Vec<(f64, f64)> {
    let log = |value: f64| (value * scale).max(1.0).log10();
    let (min, max) = (histogram.min.unwrap_or(0) as f64, histogram.max.unwrap_or(0) as f64);
    let mut points = vec![(log(min), 0.0)];
    let mut below = 0;
    for &(_, high, count) in &histogram.buckets {
        below += count;
        let edge = ((high - 1) as f64).clamp(min, max);
        points.push((log(edge), below as f64 / histogram.count as f64));
    }
    points
}

/// How much of the reuse is that of the most used blocks.
///
/// # Errors
/// When no analysis says it.
pub fn popularity(analyses: &Named) -> Result<Picture> {
    let (mut series, mut legend) = (Vec::new(), Vec::new());
    let mut low = 100f64;
    for (file, analysis) in analyses {
        let Some(top) = analysis.field("popularity").and_then(|p| p.get("top")).and_then(|top| top.as_array()) else {
            continue;
        };
        let point = |top| Some((number(top, "share_of_blocks")? * 100.0, number(top, "share_of_reuse")?));
        let mut points: Vec<(f64, f64)> = top.iter().filter_map(point).filter(|point| point.0 > 0.0).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.is_empty() {
            continue;
        }
        points.push((100.0, 1.0));
        low = low.min(points[0].0);
        let (colour, mark) = style(series.len() / 2);
        for drawn in [mark, Mark::Points] {
            let points = points.iter().map(|(share, reuse)| (share.log10(), *reuse)).collect();
            series.push(Series { colour, mark: drawn, points });
        }
        legend.push(Key { text: shortened(file, 30), swatch: Some((colour, mark)) });
        if analyses.len() == 1 {
            for (share, reuse) in &points {
                legend.push(Key {
                    text: format!("top {} %: {:.1} % of reuse", axis::short(*share), reuse * 100.0),
                    swatch: None,
                });
            }
        }
    }
    let first = analyses.first().map_or("the input", |(file, _)| file);
    if series.is_empty() {
        return Err(Error::usage(format!(
            "{first} does not say whose reuse it is; `kvtrace analyze reuse … -o reuse.json` does"
        )));
    }
    Ok(Picture {
        kind: "popularity",
        title: "How much of the reuse the most used blocks have".to_owned(),
        subtitle: said(analyses),
        layout: Layout::Stack,
        panels: vec![Panel {
            title: "concentration of reuse".to_owned(),
            height: 220,
            x: axis::log_any("most used blocks, % of all (log scale)", low, 100.0),
            y: axis::shares("share of reuse"),
            series,
            legend,
        }],
    })
}
