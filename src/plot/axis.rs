//! Axes with ticks that people read: times, sizes and counts on logarithmic scales, percentiles,
//! plain quantities from zero. Whatever they are given, they are finite and of some length.

use crate::analyze::endurance::decimal;
use crate::units;

use super::picture::{Axis, Tick};

/// Marks of a time axis: nanoseconds and words. Decimal to ten seconds, then as clocks have it.
const TIMES: [(f64, &str); 21] = [
    (1.0, "1 ns"),
    (1e1, "10 ns"),
    (1e2, "100 ns"),
    (1e3, "1 us"),
    (1e4, "10 us"),
    (1e5, "100 us"),
    (1e6, "1 ms"),
    (1e7, "10 ms"),
    (1e8, "100 ms"),
    (1e9, "1 s"),
    (1e10, "10 s"),
    (6e10, "1 min"),
    (6e11, "10 min"),
    (3.6e12, "1 h"),
    (3.6e13, "10 h"),
    (8.64e13, "1 d"),
    (8.64e14, "10 d"),
    (8.64e15, "100 d"),
    (3.1536e16, "1 y"),
    (3.1536e17, "10 y"),
    (3.1536e18, "100 y"),
];

/// The largest value that an axis shows, whatever it is given.
const MOST: f64 = 1e18;

/// The ends of a logarithmic axis: the decimal logarithms of two values with some room around.
fn log_ends(low: f64, high: f64, least: f64) -> (f64, f64) {
    let sound = |value: f64, otherwise: f64| if value.is_nan() { otherwise } else { value.clamp(least, 10.0 * MOST) };
    let low = sound(low, least);
    let high = sound(high, low).max(low * 1.000_001);
    let (low, high) = (low.log10(), high.log10());
    let room = ((high - low) * 0.02).max(0.02);
    (low - room, high + room)
}

/// A logarithmic time axis (values are log10 of nanoseconds) from a little below `low_ns` to a
/// little above `high_ns`. Spans below two decades get marks with words at 2 and 5 too.
pub fn log_time(label: &str, low_ns: f64, high_ns: f64) -> Axis {
    let (low, high) = log_ends(low_ns, high_ns, 1.0);
    let spelled = high - low < 2.5;
    let mut ticks = Vec::new();
    for (place, (value, name)) in TIMES.iter().enumerate() {
        let next = TIMES.get(place + 1).map_or(f64::INFINITY, |next| next.0);
        for multiple in 1..10u32 {
            let at = (value * f64::from(multiple)).log10();
            // Beyond ten seconds the marks are closer than a decade.
            if at < low || at > high || value * f64::from(multiple) >= next * 0.999 {
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
    worded(Axis { label: label.to_owned(), low, high, ticks }, units::ns)
}

/// `10 us` times 5 is `50 us`.
fn multiplied(name: &str, by: u32) -> String {
    match name.split_once(' ').and_then(|(number, unit)| Some((number.parse::<u32>().ok()?, unit))) {
        Some((number, unit)) => format!("{} {unit}", number * by),
        None => String::new(),
    }
}

/// An axis shorter than the distance of two marks says its ends at least.
fn worded(mut axis: Axis, name: impl Fn(f64) -> String) -> Axis {
    if axis.ticks.iter().filter(|tick| !tick.label.is_empty()).count() < 2 {
        let room = (axis.high - axis.low) * 0.08;
        for at in [axis.low + room, axis.high - room] {
            axis.ticks.push(Tick { at, label: name(10f64.powf(at)) });
        }
        axis.ticks.sort_by(|a, b| a.at.total_cmp(&b.at));
        axis.ticks.dedup_by(|b, a| a.label == b.label && !a.label.is_empty());
    }
    axis
}

/// A logarithmic axis of counts (values are log10) from 1 at least, with words at powers of ten.
pub fn log_count(label: &str, low: f64, high: f64) -> Axis {
    log_from(label, low, high, 1.0)
}

/// The same of any values above 0, from a billionth.
pub fn log_any(label: &str, low: f64, high: f64) -> Axis {
    log_from(label, low, high, 1e-9)
}

fn log_from(label: &str, low: f64, high: f64, least: f64) -> Axis {
    let (low, high) = log_ends(low, high, least);
    let (narrow, spelled, crowded) = (high - low < 1.0, high - low < 2.0, high - low > 14.0);
    let mut ticks = Vec::new();
    for decade in (low.floor() as i32)..=(high.ceil() as i32) {
        for multiple in 1..if crowded { 2 } else { 10u32 } {
            let at = f64::from(decade) + f64::from(multiple).log10();
            if at < low || at > high {
                continue;
            }
            let said = multiple == 1 || (spelled && matches!(multiple, 2 | 5)) || (narrow && multiple == 3);
            let label = if said { short(10f64.powf(at)) } else { String::new() };
            ticks.push(Tick { at, label });
        }
    }
    worded(Axis { label: label.to_owned(), low, high, ticks }, short)
}

/// A logarithmic axis of sizes (values are log10 of bytes) with words at powers of two.
pub fn log_size(label: &str, low_bytes: f64, high_bytes: f64) -> Axis {
    let (low, high) = log_ends(low_bytes, high_bytes, 1.0);
    let doublings = (high - low) / 2f64.log10();
    let step = (1..=10).find(|step| doublings / f64::from(*step) <= 9.5).unwrap_or(10);
    let ticks = (0..63)
        .filter(|power| power % step == 0)
        .map(|power| (f64::from(power) * 2f64.log10(), 1u64 << power))
        .filter(|(at, _)| (low..=high).contains(at))
        .map(|(at, size)| Tick { at, label: size_name(size) })
        .collect();
    worded(Axis { label: label.to_owned(), low, high, ticks }, |bytes| size_name(bytes as u64))
}

/// A logarithmic axis of sizes (values are log10 of bytes) in powers of 1000, as drives are sold.
pub fn log_decimal(label: &str, low_bytes: f64, high_bytes: f64) -> Axis {
    let mut axis = log_from(label, low_bytes, high_bytes, 1.0);
    for tick in axis.ticks.iter_mut().filter(|tick| !tick.label.is_empty()) {
        tick.label = decimal(10f64.powf(tick.at)).replace(".00 ", " ").replace(".0 ", " ");
    }
    axis
}

/// A number as short as it can be said: `250`, `3 k`, `1.5 M`, `0.02`, `4e-9`.
pub fn short(value: f64) -> String {
    let plain = |value: f64| {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let steps = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    // What rounds to a thousand is one of the next unit.
    match steps.iter().find(|(scale, _)| value.abs() >= scale * 0.999_995) {
        Some((scale, _)) if value.abs() / scale >= 1e3 => format!("{value:.0e}"),
        Some((scale, unit)) => format!("{}{unit}", plain(value / scale)),
        None if value != 0.0 && value.abs() < 0.01 => format!("{value:.0e}"),
        None => plain(value),
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

/// An axis of shares from 0 to 1, said in percent.
pub fn shares(label: &str) -> Axis {
    let ticks = (0..=5).map(|i| Tick { at: f64::from(i) / 5.0, label: format!("{} %", i * 20) });
    Axis { label: label.to_owned(), low: 0.0, high: 1.0, ticks: ticks.collect() }
}

/// An axis from `low` to `high`, which is above it, with at most `marks` round marks and one.
pub fn linear(label: &str, low: f64, high: f64, marks: f64) -> Axis {
    let (low, high) = linear_ends(low, high);
    let step = round_step((high - low) / marks.clamp(1.0, 50.0));
    let largest = low.abs().max(high.abs());
    let digits = (-step.log10().floor()).max(0.0) as usize;
    let name = |at: f64| {
        // Counting up in steps leaves crumbs around 0.
        let at = if at.abs() < step * 1e-6 { 0.0 } else { at };
        if largest >= 1e5 || digits > 4 { short_to(at, step) } else { format!("{at:.digits$}") }
    };
    let first = (low / step - 1e-9).ceil();
    let mut ticks: Vec<Tick> = (0..64)
        .map(|i| (first + f64::from(i)) * step)
        .take_while(|at| *at <= high + step * 1e-9)
        .map(|at| Tick { at: at.clamp(low, high), label: name(at) })
        .collect();
    // No round mark may lie between two ends.
    if ticks.is_empty() {
        ticks.push(Tick { at: low, label: name(low) });
    }
    Axis { label: label.to_owned(), low, high, ticks }
}

/// Two ends that are finite and far enough apart to be told apart.
fn linear_ends(low: f64, high: f64) -> (f64, f64) {
    let sound = |value: f64, otherwise: f64| if value.is_nan() { otherwise } else { value.clamp(-MOST, MOST) };
    let low = sound(low, 0.0);
    let high = sound(high, low);
    let least = (low.abs().max(high.abs()) * 1e-6).max(1e-15);
    if high - low >= least { (low, high) } else { (low, low + least.max(f64::from(low == 0.0))) }
}

/// A number as short as it can be said, to the digits that a step has.
fn short_to(value: f64, step: f64) -> String {
    let steps = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")];
    match steps.iter().find(|(scale, _)| value.abs() >= scale * 0.999_995) {
        _ if value == 0.0 => "0".to_owned(),
        Some((scale, unit)) if value.abs() / scale < 1e7 => {
            let digits = (-(step / scale).log10().floor()).clamp(0.0, 7.0) as usize;
            format!("{:.digits$}{unit}", value / scale)
        }
        _ => format!("{value:e}").split_once('e').map_or_else(String::new, |(number, power)| {
            let number: f64 = number.parse().unwrap_or(0.0);
            format!("{}e{power}", (number * 1e3).round() / 1e3)
        }),
    }
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
        high: names.len().max(1) as f64 - 0.4,
        ticks: ticks.map(|(i, name)| Tick { at: i as f64, label: name.clone() }).collect(),
    }
}

/// Named rows from the top down, for a vertical axis: the first is at 0, the next at -1.
pub fn rows(label: &str, names: &[String]) -> Axis {
    let ticks = names.iter().enumerate().map(|(i, name)| Tick { at: -(i as f64), label: name.clone() });
    Axis { label: label.to_owned(), low: 0.4 - names.len().max(1) as f64, high: 0.6, ticks: ticks.collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn marks_are_round() {
        assert_eq!(words(&from_zero("", 3.3, 200)), ["0", "1", "2", "3"]);
        assert_eq!(words(&from_zero("", 0.042, 200)), ["0.00", "0.01", "0.02", "0.03", "0.04"]);
        assert_eq!(words(&from_zero_to("", 60.0)), ["0", "10", "20", "30", "40", "50", "60"]);
        assert_eq!(words(&from_zero("", 288_500.0, 200)), ["0", "50 k", "100 k", "150 k", "200 k", "250 k", "300 k"]);
        assert_eq!(words(&log_time("", 15_000.0, 60_000.0)), ["20 us", "50 us"]);
        assert_eq!(words(&log_time("", 900.0, 2e9)).len(), 7);
        assert_eq!(words(&log_time("", 1e9, 4e14)), ["1 s", "10 s", "1 min", "10 min", "1 h", "10 h", "1 d"]);
        assert_eq!(words(&log_count("", 1.0, 3e6)), ["1", "10", "100", "1 k", "10 k", "100 k", "1 M"]);
        assert_eq!(
            words(&log_size("", 4096.0, 524_288.0)),
            "4 8 16 32 64 128 256 512".split(' ').map(|n| format!("{n} KiB")).collect::<Vec<_>>()
        );
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

    /// Any number, the odd ones often.
    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            prop::num::f64::ANY,
            prop::sample::select(vec![0.0, -0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e308]),
            -1e3..1e12f64,
        ]
    }

    proptest! {
        #[test]
        fn every_axis_is_finite_has_length_and_few_distinct_marks_inside(a in any_value(), b in any_value(), n in 0..100u32) {
            let axes = [
                log_time("", a, b), log_count("", a, b), log_any("", a, b), log_size("", a, b), linear("", a, b, f64::from(n)),
                from_zero("", a, n), from_zero_to("", a), percentiles("", u64::from(n)), shares(""),
            ];
            for axis in axes {
                prop_assert!(axis.low.is_finite() && axis.high.is_finite() && axis.high > axis.low, "{:?}", axis);
                prop_assert!(axis.ticks.len() <= 240, "{} ticks", axis.ticks.len());
                let room = (axis.high - axis.low) * 1e-6;
                let inside = |tick: &Tick| tick.at >= axis.low - room && tick.at <= axis.high + room;
                prop_assert!(axis.ticks.iter().all(inside), "{:?}", axis);
                prop_assert!(axis.ticks.windows(2).all(|pair| pair[0].at <= pair[1].at), "{:?}", axis);
                let words = words(&axis);
                let bad = |word: &&str| word.contains("NaN") || word.contains("inf") || word.len() > 14;
                prop_assert!(!words.iter().any(bad), "{:?}", words);
                prop_assert!(!words.is_empty(), "{:?}", axis);
            }
        }

        #[test]
        fn a_number_is_said_in_few_signs(value in any_value()) {
            prop_assume!(value.is_finite());
            prop_assert!(short(value).len() <= 9, "{}", short(value));
        }
    }
}
