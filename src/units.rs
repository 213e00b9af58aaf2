//! Sizes, times and rates: how people write them, and how they are shown. Inside, bytes and
//! nanoseconds are plain integers whose names end in `_bytes` and `_ns`.

use std::fmt;
use std::str::FromStr;

/// Bytes in a KiB, MiB, GiB and TiB.
pub const KIB: u64 = 1 << 10;
/// Bytes in a MiB.
pub const MIB: u64 = 1 << 20;
/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;
/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

const SIZE_UNITS: [(&str, u64); 11] = [
    ("B", 1),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
];

const TIME_UNITS: [(&str, u64); 6] =
    [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", SECOND_NS), ("m", 60 * SECOND_NS), ("h", 3_600 * SECOND_NS)];

/// A size as typed: `128KiB`, `16GiB`, `4GB`, `4096` (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_scaled(text, &SIZE_UNITS, Some("B")).map(Size).map_err(|why| {
            format!("{why}; a size is written 128KiB, 16GiB or 4GB (also B, MiB, TiB, PiB, kB, MB, TB, PB)")
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bytes(self.0))
    }
}

/// A time as typed: `250us`, `30s`, `10m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_scaled(text, &TIME_UNITS, None)
            .map(Time)
            .map_err(|why| format!("{why}; a time is written 250us, 30s or 10m (also ns, ms, h)"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ns(self.0 as f64))
    }
}

/// A rate as typed: `50/s`, `1.5/s`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix("/s").unwrap_or(text);
        match number.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Rate(rate)),
            _ => Err(format!("`{text}` is not a rate; a rate is written 50/s and is above 0")),
        }
    }
}

fn parse_scaled(text: &str, units: &[(&str, u64)], bare: Option<&str>) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim_start());
    let unit = if unit.is_empty() { bare.ok_or(format!("`{text}` has no unit"))? } else { unit };
    let scale = units
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("`{text}` has the unknown unit `{unit}`"))?
        .1;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale).ok_or(format!("`{text}` is too large"));
    }
    match number.parse::<f64>() {
        Ok(value) if value * (scale as f64) < 9.0e18 => Ok((value * scale as f64).round() as u64),
        _ => Err(format!("`{text}` does not start with a number")),
    }
}

/// Bytes for people, in binary units: `1.25 GiB`.
pub fn bytes(value: u64) -> String {
    let steps = [("TiB", 1u64 << 40), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
    match steps.iter().find(|(_, scale)| value >= *scale) {
        Some((unit, scale)) => format!("{} {unit}", three_digits(value as f64 / *scale as f64)),
        None => format!("{value} B"),
    }
}

/// Nanoseconds for people: `1.25 ms`.
pub fn ns(value: f64) -> String {
    let steps = [("h", 3.6e12), ("min", 6e10), ("s", 1e9), ("ms", 1e6), ("us", 1e3)];
    match steps.iter().find(|(_, scale)| value.abs() >= *scale) {
        Some((unit, scale)) => format!("{} {unit}", three_digits(value / scale)),
        None => format!("{value:.0} ns"),
    }
}

/// A count for people, with thousands separated: `12,345`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many of something, for people: `1 row`, `12,345 rows`. The noun takes an s.
pub fn plural(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// Three significant digits without an exponent.
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let rows = [0, 1, 12_345].map(|n| plural(n, "row"));
        assert_eq!(rows, ["0 rows", "1 row", "12,345 rows"]);
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, expected) in
            [("128KiB", 131_072), ("4GB", 4_000_000_000), ("1.5MiB", 1_572_864), ("4096", 4096), ("0", 0)]
        {
            assert_eq!(text.parse::<Size>().unwrap().0, expected, "{text}");
        }
        for text in ["", "-1", "128K", "GiB", "1e3", "99999999TiB", "1..2KiB", "NaN"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_rates_as_people_write_them() {
        assert_eq!("250us".parse::<Time>().unwrap().0, 250_000);
        assert_eq!("10m".parse::<Time>().unwrap().0, 600 * SECOND_NS);
        assert!("30".parse::<Time>().is_err());
        assert_eq!("50/s".parse::<Rate>().unwrap().0, 50.0);
        assert!("0/s".parse::<Rate>().is_err());
    }

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(bytes(1_342_177_280), "1.25 GiB");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(ns(1_250_000.0), "1.25 ms");
        assert_eq!(ns(12.0), "12 ns");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
    }
}
