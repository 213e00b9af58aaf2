//! Axes with ticks that people read: times and sizes on logarithmic scales, percentiles, plain
//! quantities from zero.

use crate::units;

use super::picture::{Axis, Tick};

/// Labels of a time axis at the powers of ten of a nanosecond.
const TIMES: [&str; 14] = [
    "1 ns", "10 ns", "100 ns", "1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s", "1000 s",
    "10000 s",
];

/// A logarithmic time axis (values are log10 of nanoseconds) from a little below `low_ns` to a
/// little above `high_ns`. Spans below two decades get marks with words at 2 and 5 too.
pub fn log_time(label: &str, low_ns: f64, high_ns: f64) -> Axis {
    let (low, high) = (low_ns.max(1.0).log10(), high_ns.max(2.0).log10());
    let room = ((high - low) * 0.02).max(0.02);
    let (low, high) = (low - room, high + room);
    let spelled = high - low < 2.5;
    let mut ticks = Vec::new();
    for (decade, name) in TIMES.iter().enumerate() {
        for multiple in 1..10u32 {
            let at = decade as f64 + f64::from(multiple).log10();
            if at < low || at > high {
                continue;
            }
            let label = match multiple {
                1 => (*name).to_owned(),
                2 | 5 if spelled => multiplied(name, multiple),
                _ => String::new(),
            };
            ticks.push(Tick { at, label });
        }
    }
    Axis { label: label.to_owned(), low, high, ticks }
}

/// `10 us` times 5 is `50 us`.
fn multiplied(name: &str, by: u32) -> String {
    match name.split_once(' ').and_then(|(number, unit)| Some((number.parse::<u32>().ok()?, unit))) {
        Some((number, unit)) => format!("{} {unit}", number * by),
        None => String::new(),
    }
}

/// Where a quantile stands on the percentile axis: one unit for each nine (`-log10(1 - q)`).
pub fn nines(q: f64) -> f64 {
    -(1.0 - q).max(1e-9).log10()
}

/// A percentile axis up to what `count` values can tell: one value in `count` is beyond the top.
pub fn percentiles(label: &str, count: u64) -> Axis {
    let high = (count.max(2) as f64).log10().clamp(1.0, 6.0) + 0.1;
    let marks = [
        (0.0, "min"),
        (0.5, "P50"),
        (0.9, "P90"),
        (0.99, "P99"),
        (0.999, "P99.9"),
        (0.9999, "P99.99"),
        (0.99999, "P99.999"),
        (0.999_999, "P99.9999"),
    ];
    let ticks = marks.iter().map(|&(q, label)| Tick { at: nines(q), label: label.to_owned() });
    Axis { label: label.to_owned(), low: 0.0, high, ticks: ticks.filter(|tick| tick.at <= high).collect() }
}

/// An axis from 0 to a little above `high`, with as many round marks as a height of `pixels`
/// can hold: one for each 30 or more.
pub fn from_zero(label: &str, high: f64, pixels: u32) -> Axis {
    let high = if high > 0.0 && high.is_finite() { high * 1.04 } else { 1.0 };
    linear(label, 0.0, high, f64::from(pixels / 30))
}

/// The same ending at `high` itself, for time.
pub fn from_zero_to(label: &str, high: f64) -> Axis {
    linear(label, 0.0, if high > 0.0 && high.is_finite() { high } else { 1.0 }, 7.0)
}

/// An axis from `low` to `high`, which is above it, with at most `marks` round marks and one.
pub fn linear(label: &str, low: f64, high: f64, marks: f64) -> Axis {
    let step = round_step((high - low) / marks.max(1.0));
    let digits = (-step.log10().floor()).max(0.0) as usize;
    let first = (low / step - 1e-9).ceil() as i64;
    let ticks = (first..)
        .map(|i| i as f64 * step)
        .take_while(|at| *at <= high + step * 1e-9)
        .map(|at| Tick { at, label: format!("{at:.digits$}") })
        .collect();
    Axis { label: label.to_owned(), low, high, ticks }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|n| n * power).find(|step| *step >= least * 0.999).unwrap_or(10.0 * power)
}

/// A size as short as it can be said: `4 KiB`, `1.5 MiB`.
pub fn size_name(bytes: u64) -> String {
    let text = units::bytes(bytes);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// An axis of named places at 0, 1, 2, …; where there are many, only some say their name.
pub fn categories(label: &str, names: &[String]) -> Axis {
    let every = names.len().div_ceil(14).max(1);
    let ticks = names.iter().enumerate().filter(|(i, _)| i % every == 0);
    Axis {
        label: label.to_owned(),
        low: -0.6,
        high: names.len() as f64 - 0.4,
        ticks: ticks.map(|(i, name)| Tick { at: i as f64, label: name.clone() }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn marks_are_round() {
        assert_eq!(words(&from_zero("", 3.3, 200)), ["0", "1", "2", "3"]);
        assert_eq!(words(&from_zero("", 0.042, 200)), ["0.00", "0.01", "0.02", "0.03", "0.04"]);
        assert_eq!(words(&from_zero_to("", 60.0)), ["0", "10", "20", "30", "40", "50", "60"]);
        assert_eq!(words(&log_time("", 15_000.0, 40_000.0)), ["20 us"]);
        assert_eq!(words(&log_time("", 900.0, 2e9)).len(), 7);
    }

    #[test]
    fn nothing_at_all_is_still_an_axis() {
        for axis in [from_zero("", 0.0, 90), from_zero("", f64::NAN, 90), log_time("", 0.0, 0.0), percentiles("", 0)] {
            assert!(axis.low.is_finite() && axis.high > axis.low && !axis.ticks.is_empty(), "{axis:?}");
        }
    }

    #[test]
    fn percentiles_end_where_the_count_does() {
        assert_eq!(words(&percentiles("", 1000)), ["min", "P50", "P90", "P99", "P99.9"]);
    }
}
