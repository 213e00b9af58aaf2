//! Values with a unit that may be left out.

use crate::units::{GIB, SECOND_NS, Size, Time};

/// Whole seconds: `60`, `30s`, `10m`.
pub fn seconds(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let wrong = || "it is a whole number of seconds: 60, 30s, 10m or 2h".to_owned();
    let Time(ns) = text.parse().map_err(|_| wrong())?;
    if ns.is_multiple_of(SECOND_NS) { Ok(ns / SECOND_NS) } else { Err(wrong()) }
}

/// Events a second: `50`, `0.5/s`.
pub fn per_second(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    number.parse().map_err(|_| "it is a number of requests a second: 50, 50/s or 0.5/s".to_owned())
}

/// GiB, in which a power of two divides exactly what was meant: `16`, `0.5`, `16GiB`, `64GB`.
pub fn gib(text: &str) -> Result<f64, String> {
    if let Ok(gib) = text.parse() {
        return Ok(gib);
    }
    match text.parse() {
        Ok(Size(bytes)) => Ok(bytes as f64 / GIB as f64),
        Err(_) => Err("it is a number of GiB, or a size with its unit: 16, 0.5, 16GiB, 512MiB or 64GB".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_and_without_their_units() {
        assert_eq!((seconds("60"), seconds("30s"), seconds("10m")), (Ok(60), Ok(30), Ok(600)));
        assert_eq!((per_second("50"), per_second("0.5/s"), per_second("-1")), (Ok(50.0), Ok(0.5), Ok(-1.0)));
        assert_eq!((gib("16"), gib("16GiB"), gib("512MiB"), gib("-1")), (Ok(16.0), Ok(16.0), Ok(0.5), Ok(-1.0)));
        assert_eq!(gib("64GB").map(|gib| (gib * GIB as f64) as u64), Ok(64_000_000_000));
    }

    #[test]
    fn anything_else_is_answered_with_what_is_allowed() {
        for text in ["", "soon", "1500ms", "1.5", "-1", "99999999999h"] {
            assert!(seconds(text).is_err_and(|why| why.contains("10m")), "{text}");
        }
        for text in ["", "50/m", "fast", "/s"] {
            assert!(per_second(text).is_err_and(|why| why.contains("50/s")), "{text}");
        }
        for text in ["", "16G", "GiB", "-1GiB"] {
            assert!(gib(text).is_err_and(|why| why.contains("16GiB")), "{text}");
        }
    }
}
