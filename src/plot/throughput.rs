//! Bytes moved over time, and how much the replay itself delayed what it started.

use crate::error::{Error, Result};
use crate::measure::ReplayResult;
use crate::measure::replay::Series as OverTime;

use super::axis;
use super::picture::{Colour, Key, Layout, Mark, Panel, Picture, Series};

/// The most points of a line: more would be a band of ink at this width.
const MAX_POINTS: usize = 160;

/// Tier 2, tier 1 below it because it is far faster, and the start delay of the replay itself when the run was
/// paced.
///
/// # Errors
/// When the result holds no series.
pub fn picture(replay: &ReplayResult, file: &str) -> Result<Picture> {
    let series = &coarse(&replay.series);
    let storage = [&series.tier2_read_bytes, &series.tier2_write_bytes];
    let moved = |values: &[u64]| values.iter().any(|bytes| *bytes > 0);
    let interval = series.interval_s;
    let timed = interval.is_finite() && interval > 0.0;
    if !timed || !(storage.iter().any(|values| moved(values)) || moved(&series.tier1_bytes)) {
        return Err(Error::usage(format!(
            "{file} holds no bytes over time; replay a trace with rows on tier 1 or 2 that really move"
        )));
    }
    let mut panels = Vec::new();
    if storage.iter().any(|values| moved(values)) {
        let lines = [
            ("read", Colour::Blue, Mark::Line, &series.tier2_read_bytes[..]),
            ("written", Colour::Vermillion, Mark::Line, &series.tier2_write_bytes[..]),
        ];
        panels.push(rates("Tier-2, storage", 220, interval, &lines));
    }
    if moved(&series.tier1_bytes) {
        let lines = [("both ways", Colour::Green, Mark::Line, &series.tier1_bytes[..])];
        panels.push(rates("Tier-1, DRAM", 110, interval, &lines));
    }
    if replay.timing.pacing != "asap" && moved(&series.lateness_max_ns) {
        panels.push(lateness(interval, &series.lateness_max_ns));
    }
    Ok(Picture {
        kind: "throughput",
        title: "Throughput over time".to_owned(),
        subtitle: format!(
            "{file} · replay of {} · pacing {} · bytes counted at completion, {} a point",
            replay.trace.file,
            replay.timing.pacing,
            crate::units::ns(interval * 1e9)
        ),
        layout: Layout::Stack,
        panels,
    })
}

/// The same series in intervals long enough for [`MAX_POINTS`] to span the run.
fn coarse(series: &OverTime) -> OverTime {
    let longest = [&series.tier2_read_bytes, &series.tier2_write_bytes, &series.tier1_bytes, &series.lateness_max_ns];
    let length = longest.iter().map(|values| values.len()).max().unwrap_or(0);
    let joined = length.div_ceil(MAX_POINTS).max(1);
    let sums = |values: &[u64]| values.chunks(joined).map(|some| some.iter().sum()).collect();
    let largest = |values: &[u64]| values.chunks(joined).map(|some| some.iter().copied().max().unwrap_or(0)).collect();
    OverTime {
        interval_s: series.interval_s * joined as f64,
        tier2_read_bytes: sums(&series.tier2_read_bytes),
        tier2_write_bytes: sums(&series.tier2_write_bytes),
        tier1_bytes: sums(&series.tier1_bytes),
        ops: sums(&series.ops),
        lateness_max_ns: largest(&series.lateness_max_ns),
    }
}

type Line<'a> = (&'static str, Colour, Mark, &'a [u64]);

fn rates(title: &str, height: u32, interval_s: f64, lines: &[Line]) -> Panel {
    let rate = |bytes: u64| bytes as f64 / interval_s / 1e9;
    let points = |values: &[u64]| steps(values.iter().map(|&bytes| rate(bytes)), interval_s);
    let highest = lines.iter().flat_map(|line| line.3).copied().max().unwrap_or(0);
    let length = lines.iter().map(|line| line.3.len()).max().unwrap_or(0);
    let mean = |values: &[u64]| rate(values.iter().sum()) / values.len().max(1) as f64;
    Panel {
        title: title.to_owned(),
        height,
        x: axis::from_zero_to("time since the start of the run (s)", length as f64 * interval_s),
        y: axis::from_zero("GB/s (1e9 bytes)", rate(highest), height),
        series: lines
            .iter()
            .map(|&(_, colour, mark, values)| Series { colour, mark, points: points(values) })
            .collect(),
        legend: lines
            .iter()
            .map(|&(name, colour, mark, values)| Key {
                text: format!("{name}, mean {} GB/s", crate::units::three_digits(mean(values))),
                swatch: Some((colour, mark)),
            })
            .collect(),
    }
}

fn lateness(interval_s: f64, values: &[u64]) -> Panel {
    let highest = values.iter().copied().max().unwrap_or(0) as f64;
    let (unit, scale) = if highest >= 1e9 {
        ("s", 1e9)
    } else if highest >= 1e6 {
        ("ms", 1e6)
    } else {
        ("us", 1e3)
    };
    Panel {
        title: "Start delay of the replay itself, at worst (being behind the schedule is not in it)".to_owned(),
        height: 90,
        x: axis::from_zero_to("time since the start of the run (s)", values.len() as f64 * interval_s),
        y: axis::from_zero(&format!("delay ({unit})"), highest / scale, 90),
        series: vec![Series {
            colour: Colour::Purple,
            mark: Mark::Line,
            points: steps(values.iter().map(|&ns| ns as f64 / scale), interval_s),
        }],
        legend: vec![Key { text: "largest of each interval".to_owned(), swatch: Some((Colour::Purple, Mark::Line)) }],
    }
}

/// A value holds for its whole interval: each is drawn as a step.
fn steps(values: impl Iterator<Item = f64>, interval_s: f64) -> Vec<(f64, f64)> {
    let edge = |(i, value): (usize, f64)| [(i as f64 * interval_s, value), ((i + 1) as f64 * interval_s, value)];
    values.enumerate().flat_map(edge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_intervals_keep_bytes_and_the_worst_lateness() {
        let fine = OverTime {
            interval_s: 0.01,
            tier2_read_bytes: (0..1000).collect(),
            lateness_max_ns: (0..1000).collect(),
            ..OverTime::default()
        };
        let joined = coarse(&fine);
        assert!(joined.tier2_read_bytes.len() <= MAX_POINTS);
        assert_eq!(joined.tier2_read_bytes.iter().sum::<u64>(), 499_500);
        assert_eq!(joined.lateness_max_ns.last(), Some(&999));
        assert!((joined.interval_s - 0.07).abs() < 1e-12);
    }
}
