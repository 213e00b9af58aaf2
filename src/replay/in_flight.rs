//! How many bytes of I/O may be in flight: a number, or what the device needs.

use std::fmt;
use std::str::FromStr;

use crate::units::{MIB, Size};

/// What may be in flight unless something else is said.
pub const DEFAULT_BYTES: u64 = 16 * MIB;

/// The most that is tried when the device's own number is looked for.
pub const MOST_BYTES: u64 = 64 * MIB;

/// Most bytes of I/O in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlight {
    /// So many.
    Bytes(u64),
    /// As many as make the device faster, found before the clock starts.
    Auto,
}

impl FromStr for InFlight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse::<Size>().map(|size| Self::Bytes(size.0)).map_err(|why| format!("{why}; or auto"))
    }
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl InFlight {
    /// The bytes that buffers are made for.
    pub fn most_bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Auto => MOST_BYTES,
        }
    }
}

/// How much of a tier is written before the run: that many times its size, or so many bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Precondition {
    /// So many times all of it.
    Times(f64),
    /// So many bytes.
    Bytes(u64),
}

impl Precondition {
    /// Bytes to write over something of `size_bytes`.
    pub fn bytes(self, size_bytes: u64) -> u64 {
        match self {
            Self::Times(times) => (size_bytes as f64 * times) as u64,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl FromStr for Precondition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(times) = text.strip_suffix('x') {
            return match times.parse::<f64>() {
                Ok(times) if times > 0.0 && times <= 100.0 => Ok(Self::Times(times)),
                _ => Err(format!("`{text}`: a factor above 0, at most 100, such as 2x")),
            };
        }
        if text.parse::<u64>().is_ok() {
            return Err(format!("`{text}` has no unit; write {text}x for times the tier's size, or {text}GiB"));
        }
        match text.parse::<Size>() {
            Ok(Size(bytes)) if bytes > 0 => Ok(Self::Bytes(bytes)),
            Ok(_) => Err("0 bytes precondition nothing; leave it out".to_owned()),
            Err(why) => Err(format!("{why}; or a factor on the tier's size, such as 2x")),
        }
    }
}

impl fmt::Display for Precondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}x"),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sizes_mean_what_they_say() {
        assert_eq!("auto".parse(), Ok(InFlight::Auto));
        assert_eq!("16MiB".parse(), Ok(InFlight::Bytes(DEFAULT_BYTES)));
        assert!("many".parse::<InFlight>().unwrap_err().contains("auto"));
        assert_eq!("2x".parse(), Ok(Precondition::Times(2.0)));
        assert_eq!("512GiB".parse::<Precondition>().map(|p| p.bytes(1)), Ok(512 << 30));
        assert_eq!("0.5x".parse::<Precondition>().map(|p| p.bytes(1000)), Ok(500));
        for wrong in ["", "x", "0x", "-1x", "NaNx", "101x", "0B", "twice"] {
            assert!(wrong.parse::<Precondition>().is_err(), "{wrong}");
        }
    }
}
