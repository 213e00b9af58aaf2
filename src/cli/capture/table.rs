//! The table that a capture ends with: a line per histogram, within 80 columns.

use std::fmt::Write as _;

use crate::measure::{BlockResult, Histogram};
use crate::units;

/// Columns of a line's picture.
const BAR: usize = 12;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The target's histograms that hold anything, and what else there is to know.
pub fn of(result: &BlockResult) -> String {
    if result.source == "sysfs" {
        return super::counters::of(result);
    }
    let mut text = String::new();
    let names: Vec<&str> = result
        .devices
        .iter()
        .filter(|d| d.captured.read_ios + d.captured.write_ios > 0)
        .map(|d| d.name.as_str())
        .collect();
    let names = if names.is_empty() { "no I/O".to_owned() } else { format!("I/O on {}", names.join(", ")) };
    let _ = writeln!(text, "{names} within {}", units::ns(result.duration_s * 1e9));
    let _ = writeln!(
        text,
        "{:<13} {:<5} {:>9} {:>8} {:>8} {:>8} {:>8}  min to max",
        "", "op", "count", "P50", "P95", "P99", "max"
    );
    for histogram in result.histograms.iter().filter(|histogram| histogram.count > 0) {
        let _ = writeln!(text, "{}", line(histogram));
    }
    let others: u64 = result.other.histograms.iter().filter(|h| h.name == "size").map(|h| h.count).sum();
    if others > 0 {
        let _ = writeln!(text, "others on the same devices: {} I/Os", units::count(others));
    }
    let facts: Vec<String> =
        result.loss.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name} {}", units::count(*n))).collect();
    if !facts.is_empty() {
        let _ = writeln!(text, "counted apart: {}", facts.join(", "));
    }
    text
}

fn line(histogram: &Histogram) -> String {
    let show = |value: Option<f64>| value.map_or_else(String::new, |value| shown(histogram, value));
    let quantile = |q| show(histogram.quantile(q));
    let count = match histogram.name.as_str() {
        "inflight_time" => units::ns(histogram.count as f64),
        _ => short_count(histogram.count),
    };
    format!(
        "{:<13} {:<5} {:>9} {:>8} {:>8} {:>8} {:>8}  {}",
        histogram.name,
        histogram.op.as_deref().unwrap_or("both"),
        count,
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        show(histogram.max.map(|max| max as f64)),
        bar(histogram)
    )
}

fn shown(histogram: &Histogram, value: f64) -> String {
    match histogram.unit.as_str() {
        "ns" => units::ns(value),
        "bytes" => short_bytes(value as u64),
        _ => format!("{value:.0}"),
    }
}

/// `9,999,999`, then `10.0 M`: a column of nine holds it.
fn short_count(value: u64) -> String {
    match value {
        0..10_000_000 => units::count(value),
        10_000_000..10_000_000_000 => format!("{} M", units::three_digits(value as f64 / 1e6)),
        _ => format!("{} G", units::three_digits(value as f64 / 1e9)),
    }
}

/// `64KiB`, `1.25GiB`: without the space, so that a column of eight holds it.
fn short_bytes(value: u64) -> String {
    units::bytes(value).replace(' ', "").replace(".00", "").replace(".0", "")
}

/// The shape between minimum and maximum: on a logarithmic axis, on a linear one for places.
fn bar(histogram: &Histogram) -> String {
    let (Some(min), Some(max)) = (histogram.min, histogram.max) else { return String::new() };
    let axis = |value: f64| if histogram.name == "lba" { value } else { (value + 1.0).ln() };
    let (from, to) = (axis(min as f64), axis(max as f64));
    let mut columns = [0.0f64; BAR];
    for &(low, high, count) in &histogram.buckets {
        let middle = axis((low as f64 + (high - 1) as f64) / 2.0);
        let share = if to > from { (middle - from) / (to - from) } else { 0.0 };
        columns[((share * BAR as f64).max(0.0) as usize).min(BAR - 1)] += count as f64;
    }
    let most = columns.iter().copied().fold(0.0, f64::max);
    let level = |count: f64| match count {
        0.0 => ' ',
        _ => LEVELS[((count / most * 7.0).round() as usize).min(7)],
    };
    columns.into_iter().map(level).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    #[test]
    fn a_line_fits_eighty_columns() {
        for (name, op, unit, largest) in [
            ("inflight_time", Some("write"), "ios", 2_047),
            ("q2c", None, "ns", 1 << 47),
            ("size", Some("read"), "bytes", 1 << 30),
            ("lba", Some("write"), "bytes", 1 << 47),
        ] {
            let mut counter = LogLinear::times();
            for shift in 0..10 {
                counter.record_many(largest >> shift, 99_999_999_999);
            }
            let line = line(&counter.save(name, op, unit));
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
    }

    #[test]
    fn a_single_value_is_one_full_column() {
        let mut counter = LogLinear::times();
        counter.record_many(4096, 7);
        assert_eq!(bar(&counter.save("size", Some("read"), "bytes")), "█");
    }
}
