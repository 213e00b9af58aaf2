//! Pictures of named rows with a figure each: hit ratios by definition, wear by policy, changes of
//! metrics with their intervals.

use serde_json::Value;

use crate::analyze::endurance::decimal;
use crate::error::{Error, Result};
use crate::measure::Analysis;
use crate::measure::analysis::{number, text};
use crate::units;

use super::axis;
use super::curve::files;
use super::picture::{Axis, Colour, Key, Layout, Mark, Panel, Picture, Series, shortened, style};

/// The most rows of a picture.
const MAX_ROWS: usize = 48;

/// Figures with the rows that they are in.
type Dots = Vec<(f64, f64)>;
/// A logarithmic axis by its name and ends.
type LogAxis = fn(&str, f64, f64) -> Axis;

/// Pixels of a row.
const ROW: u32 = 22;

fn panel(title: &str, names: &[String], x: Axis, series: Vec<Series>, legend: Vec<Key>) -> Panel {
    Panel {
        title: title.to_owned(),
        height: 24 + ROW * names.len() as u32,
        x,
        y: axis::rows("", names),
        series,
        legend,
    }
}

fn dots(colour: Colour, points: Vec<(f64, f64)>) -> Series {
    Series { colour, mark: Mark::Points, points }
}

/// Hit ratios by definition, a colour for each cache.
///
/// # Errors
/// When the analysis has no definitions.
pub fn hits(analysis: &Analysis, file: &str) -> Result<Picture> {
    let mut names: Vec<String> = Vec::new();
    let mut caches: Vec<(String, Dots)> = Vec::new();
    for definition in analysis.list("definitions") {
        let (Some(name), Some(ratio)) = (text(definition, "name"), number(definition, "ratio")) else { continue };
        let row = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        let cache = match (text(definition, "policy"), number(definition, "capacity")) {
            (Some(policy), Some(capacity)) => format!("{policy}, {} blocks", units::count(capacity as u64)),
            _ => "without end".to_owned(),
        };
        let place = caches.iter().position(|(known, _)| *known == cache).unwrap_or_else(|| {
            caches.push((cache, Vec::new()));
            caches.len() - 1
        });
        caches[place].1.push((ratio * 100.0, -(row as f64)));
    }
    if names.is_empty() {
        return Err(Error::usage(format!("{file} has no hit ratios; `kvtrace analyze hits … -o hits.json` has them")));
    }
    names.truncate(MAX_ROWS);
    let legend = caches
        .iter()
        .enumerate()
        .map(|(i, (cache, _))| Key { text: cache.clone(), swatch: Some((style(i).0, Mark::Points)) });
    let legend = legend.collect();
    let highest = caches.iter().flat_map(|(_, points)| points).map(|point| point.0).fold(0.0, f64::max);
    // Beside each other in a row, so that equal ones are seen.
    let beside = |i: usize| (i as f64 - (caches.len() - 1) as f64 / 2.0) * (0.6 / caches.len() as f64).min(0.16);
    let dodged = |(i, (_, points)): (usize, &(String, Dots))| {
        dots(style(i).0, points.iter().map(|(x, y)| (*x, y - beside(i))).collect())
    };
    let series = caches.iter().enumerate().map(dodged).collect();
    Ok(Picture {
        kind: "hits",
        title: "Hit ratios, by what each counts".to_owned(),
        subtitle: format!("{} · of {}", shortened(file, 50), files(&strs(&analysis.inputs()))),
        layout: Layout::Stack,
        panels: vec![panel("definitions", &names, axis::from_zero_to("hit ratio (%)", highest * 1.04), series, legend)],
    })
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// Writes per day, drive writes per day and years of an analysis of endurance.
///
/// # Errors
/// When the analysis has none.
pub fn endurance(analysis: &Analysis, file: &str) -> Result<Picture> {
    let entries = analysis.entries_with("host_writes_per_day_bytes");
    let names: Vec<String> = entries.iter().take(MAX_ROWS).map(label).collect();
    let row = |field: &str| -> Vec<(f64, f64)> {
        let values = entries.iter().take(MAX_ROWS).enumerate();
        values.filter_map(|(i, entry)| Some((number(entry, field).filter(|v| *v > 0.0)?, -(i as f64)))).collect()
    };
    let mut panels = Vec::new();
    let kinds: [(&str, &str, LogAxis, Colour); 3] = [
        ("host_writes_per_day_bytes", "host writes a day (log scale)", axis::log_decimal, Colour::Blue),
        ("dwpd", "drive writes per day (log scale)", axis::log_any, Colour::Vermillion),
        ("years", "years until the rated writes are used up (log scale)", axis::log_any, Colour::Green),
    ];
    for (field, label, x, colour) in kinds {
        let points = row(field);
        if points.is_empty() {
            continue;
        }
        let low = points.iter().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|point| point.0).fold(0.0, f64::max);
        let axis = x(label, low, high);
        let shown =
            |value: f64| if field == "host_writes_per_day_bytes" { decimal(value) } else { units::three_digits(value) };
        let valued: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let at = points.iter().find(|point| point.1 == -(i as f64));
                at.map_or_else(|| format!("{name}: -"), |point| format!("{name}: {}", shown(point.0)))
            })
            .collect();
        let points = points.iter().map(|(value, row)| (value.log10(), *row)).collect();
        let title = label.split(" (").next().unwrap_or(label);
        panels.push(panel(title, &valued, axis, vec![dots(colour, points)], Vec::new()));
    }
    if panels.is_empty() {
        return Err(Error::usage(format!(
            "{file} has no writes per day; `kvtrace analyze endurance … -o endurance.json` has them"
        )));
    }
    Ok(Picture {
        kind: "endurance",
        title: "What the load writes, and how long drives last".to_owned(),
        subtitle: format!("{} · of {}", shortened(file, 50), files(&strs(&analysis.inputs()))),
        layout: Layout::Stack,
        panels,
    })
}

/// What tells a row from the others: its words, its capacity, after how many uses it stores.
fn label(entry: &Value) -> String {
    let endless = entry.get("capacity").is_some_and(Value::is_null);
    let part = |(name, value): (&String, &Value)| match (name.as_str(), value) {
        // No policy evicts anything where there is no end.
        ("policy", _) if endless => None,
        ("capacity", Value::Null) => Some("no end".to_owned()),
        ("policy" | "writes" | "admission" | "name", Value::String(word)) => Some(word.clone()),
        ("capacity_blocks" | "nvme_blocks" | "capacity", Value::Number(n)) => {
            Some(format!("{} blocks", units::count(n.as_u64()?)))
        }
        ("admit" | "touches", Value::Number(n)) => Some(format!("from use {n}")),
        _ => None,
    };
    let parts: Vec<String> = entry.as_object().into_iter().flatten().filter_map(part).collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
}

/// The change of each metric with its interval.
///
/// # Errors
/// When no metric of the comparison has a change.
pub fn compare(analysis: &Analysis, file: &str) -> Result<Picture> {
    let mut names = Vec::new();
    let mut of: [(Dots, Colour, &str); 4] = [
        (Vec::new(), Colour::Green, "better"),
        (Vec::new(), Colour::Vermillion, "worse"),
        (Vec::new(), Colour::Blue, "differs, no way is better"),
        (Vec::new(), Colour::Faded, "no difference, or not known"),
    ];
    let (mut intervals, mut left_out) = (Vec::new(), 0);
    let (mut low, mut high) = (0f64, 0f64);
    for metric in analysis.list("metrics") {
        let Some(change) = metric.get("change") else { continue };
        let Some(value) = number(change, "value").map(|value| value * 100.0) else { continue };
        if names.len() == MAX_ROWS {
            left_out += 1;
            continue;
        }
        let row = -(names.len() as f64);
        names.push(text(metric, "metric").unwrap_or("unnamed").to_owned());
        let place = match text(metric, "verdict") {
            Some("better") => 0,
            Some("worse") => 1,
            Some("differs") => 2,
            _ => 3,
        };
        of[place].0.push((value, row));
        (low, high) = (low.min(value), high.max(value));
        if let (Some(from), Some(to)) = (number(change, "low"), number(change, "high")) {
            let (from, to) = (from * 100.0, to * 100.0);
            (low, high) = (low.min(from), high.max(to));
            intervals.push(Series { colour: of[place].1, mark: Mark::Line, points: vec![(from, row), (to, row)] });
        }
    }
    if names.is_empty() {
        return Err(Error::usage(format!(
            "{file} has no changes; `kvtrace analyze compare … -o compare.json` has them"
        )));
    }
    let room = ((high - low) * 0.04).max(0.5);
    let x = axis::linear("change of the median (%), with its 95 % interval", low - room, high + room, 8.0);
    let zero =
        Series { colour: Colour::Ink, mark: Mark::Dashes, points: vec![(0.0, 1.0), (0.0, -(names.len() as f64))] };
    let legend = of.iter().filter(|(points, _, _)| !points.is_empty());
    let legend =
        legend.map(|(_, colour, words)| Key { text: (*words).to_owned(), swatch: Some((*colour, Mark::Points)) });
    let legend = legend.collect();
    let mut series = vec![zero];
    series.extend(intervals);
    series.extend(of.into_iter().map(|(points, colour, _)| dots(colour, points)));
    let group = |name: &str| -> Vec<String> {
        analysis.list(name).iter().filter_map(|f| text(f, "file")).map(str::to_owned).collect()
    };
    Ok(Picture {
        kind: "compare",
        title: "What changed".to_owned(),
        subtitle: format!(
            "{}{} · base {} · new {}",
            shortened(file, 30),
            if left_out > 0 { format!(" · the first {MAX_ROWS}, {left_out} more in the file") } else { String::new() },
            files(&strs(&group("base"))),
            files(&strs(&group("new")))
        ),
        layout: Layout::Stack,
        panels: vec![panel("new against base", &names, x, series, legend)],
    })
}
