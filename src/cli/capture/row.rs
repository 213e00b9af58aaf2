//! Figures of a histogram in few columns, and its shape as a picture of one line.

use crate::measure::Histogram;
use crate::units;

/// Columns of a terminal that everything fits in.
pub const COLUMNS: usize = 80;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `d2c             read`.
pub fn label(histogram: &Histogram) -> String {
    let op = match (&histogram.op, histogram.name.as_str()) {
        (Some(op), _) => op,
        (None, "inflight_time") => "both",
        (None, _) => "",
    };
    format!("{:<15} {op:<5}", histogram.name)
}

/// How many values, or for how long where that is what was counted.
pub fn count(histogram: &Histogram) -> String {
    match histogram.name.as_str() {
        "inflight_time" => units::ns(histogram.count as f64),
        _ => short_count(histogram.count),
    }
}

/// The value at `q`, empty where there is none.
pub fn quantile(histogram: &Histogram, q: f64) -> String {
    histogram.quantile(q).map_or_else(String::new, |value| shown(histogram, value))
}

/// The largest value.
pub fn max(histogram: &Histogram) -> String {
    histogram.max.map_or_else(String::new, |max| shown(histogram, max as f64))
}

/// A value in at most eight columns.
fn shown(histogram: &Histogram, value: f64) -> String {
    match histogram.unit.as_str() {
        "ns" => units::ns(value),
        "bytes" => signed_bytes(value),
        "sectors" => signed_bytes(value * 512.0),
        _ if value.abs() < 1e7 => format!("{value:.0}"),
        _ => short_count(value as u64),
    }
}

/// `9,999,999`, then `10.0 M`: a column of nine holds it.
pub fn short_count(value: u64) -> String {
    match value {
        0..10_000_000 => units::count(value),
        10_000_000..10_000_000_000 => format!("{} M", units::three_digits(value as f64 / 1e6)),
        _ => format!("{} G", units::three_digits(value as f64 / 1e9)),
    }
}

/// `64KiB`, `-1.25GiB`: without the space, so that a column of eight holds it.
fn signed_bytes(value: f64) -> String {
    let text = units::bytes(value.abs() as u64).replace(' ', "").replace(".00", "").replace(".0", "");
    if value < 0.0 { format!("-{text}") } else { text }
}

/// Bytes in a time as a rate, in units of 1e9, 1e6 and 1e3.
pub fn rate(bytes: f64, seconds: f64) -> String {
    let rate = if seconds > 0.0 { bytes / seconds } else { 0.0 };
    match [("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3)].iter().find(|(_, scale)| rate >= *scale) {
        Some((unit, scale)) => format!("{} {unit}", units::three_digits(rate / scale)),
        None => format!("{rate:.0} B/s"),
    }
}

/// The shape between minimum and maximum: on a logarithmic axis in both directions from zero, on a
/// linear one for places, in so many columns.
pub fn bar(histogram: &Histogram, columns: usize) -> String {
    let (Some(min), Some(max)) = (histogram.min, histogram.max) else { return String::new() };
    let axis = |value: f64| if histogram.name == "lba" { value } else { value.signum() * value.abs().ln_1p() };
    let (from, to) = (axis(min as f64), axis(max as f64));
    let mut counts = vec![0.0f64; columns];
    for &(low, high, count) in &histogram.buckets {
        let middle = axis((low as f64 + (high as f64 - 1.0)) / 2.0);
        let share = if to > from { (middle - from) / (to - from) } else { 0.0 };
        counts[((share * columns as f64).max(0.0) as usize).min(columns - 1)] += count as f64;
    }
    let most = counts.iter().copied().fold(0.0, f64::max);
    let level = |count: f64| match count {
        0.0 => ' ',
        _ => LEVELS[((count / most * 7.0).round() as usize).min(7)],
    };
    counts.into_iter().map(level).collect::<String>().trim_end().to_owned()
}

/// A text in lines that fit, the later ones indented.
pub fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > COLUMNS {
            out.push_str("\n   ");
            column = 3;
        }
        if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    #[test]
    fn a_single_value_is_one_full_column() {
        let mut counter = LogLinear::times();
        counter.record_many(4096, 7);
        assert_eq!(bar(&counter.save("size", Some("read"), "bytes"), 12), "█");
    }

    #[test]
    fn values_on_both_sides_of_zero_keep_their_sides() {
        let seek = Histogram {
            name: "seek".into(),
            unit: "bytes".into(),
            count: 30,
            sum: 0,
            min: Some(-(1 << 30)),
            max: Some(1 << 30),
            buckets: vec![(-(1 << 30), -(1 << 30) + 1, 10), (0, 1, 10), (1 << 30, (1 << 30) + 1, 10)],
            ..Histogram::default()
        };
        let bar = bar(&seek, 12);
        let filled: Vec<usize> = bar.chars().enumerate().filter(|(_, c)| *c != ' ').map(|(at, _)| at).collect();
        assert_eq!(filled, [0, 6, 11], "{bar}");
        assert_eq!((quantile(&seek, 0.1), quantile(&seek, 0.99)), ("-1GiB".to_owned(), "1GiB".to_owned()));
    }

    #[test]
    fn long_texts_are_wrapped() {
        let text = wrapped(&"word ".repeat(60));
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert_eq!(text.split_whitespace().count(), 60);
    }
}
