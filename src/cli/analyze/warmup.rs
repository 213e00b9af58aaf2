//! `--warmup`: what fills the caches and is not counted.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// So many requests or references, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warmup {
    /// A number.
    Count(u64),
    /// Percent of all.
    Percent(f64),
}

impl Warmup {
    /// How many of `all`.
    ///
    /// # Errors
    /// When nothing is left to count.
    pub fn of(self, all: usize, what: &str) -> Result<usize> {
        let count = match self {
            Warmup::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Warmup::Percent(percent) => (all as f64 * percent / 100.0) as usize,
        };
        if count > 0 && count >= all {
            return Err(Error::usage(format!(
                "--warmup {self}: there are {all} {what}, so that none is left to count; take fewer"
            )));
        }
        Ok(count)
    }
}

impl FromStr for Warmup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a warm-up; use a number of requests, or a share such as 10%");
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse::<f64>() {
                Ok(percent) if (0.0..100.0).contains(&percent) => Ok(Warmup::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.parse().map(Warmup::Count).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for Warmup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warmup::Count(count) => write!(f, "{count}"),
            Warmup::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_share() {
        assert_eq!("10%".parse::<Warmup>().unwrap().of(250, "requests").unwrap(), 25);
        assert_eq!("7".parse::<Warmup>().unwrap().of(250, "requests").unwrap(), 7);
        assert_eq!("0".parse::<Warmup>().unwrap().of(0, "requests").unwrap(), 0);
        assert!("250".parse::<Warmup>().unwrap().of(250, "requests").is_err());
        for text in ["", "-1", "100%", "NaN%", "x", "1.5"] {
            assert!(text.parse::<Warmup>().is_err(), "{text}");
        }
    }
}
