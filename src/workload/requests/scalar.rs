//! Single values of JSON and CSV, as tolerant as files need it: a number may be text, a length may
//! be a float. What is out of range is none, so that a row with it is left out by reason and not
//! by a parser's message.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::seed::hash_bytes;

/// A value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Scalar {
    /// A whole number.
    Whole(u64),
    /// Another number.
    Real(f64),
    /// Text.
    Text(String),
    /// Null, or absent.
    #[default]
    Absent,
    /// Something else.
    Other,
}

impl Scalar {
    /// Whether there is nothing.
    pub fn is_absent(&self) -> bool {
        *self == Scalar::Absent
    }

    /// A number of tokens.
    pub fn tokens(&self) -> Option<u32> {
        match self {
            Scalar::Whole(n) => u32::try_from(*n).ok(),
            Scalar::Real(x) => whole(*x),
            Scalar::Text(text) => tokens(text.as_bytes()),
            Scalar::Absent | Scalar::Other => None,
        }
    }

    /// A stamp in units of `unit_ns`, in ns.
    pub fn stamp(&self, unit_ns: u64) -> Option<u64> {
        match self {
            Scalar::Whole(n) => n.checked_mul(unit_ns),
            Scalar::Real(x) => real_stamp(*x, unit_ns),
            Scalar::Text(text) => stamp(text.as_bytes(), unit_ns),
            Scalar::Absent | Scalar::Other => None,
        }
    }

    /// A name.
    pub fn label(&self) -> Option<String> {
        match self {
            Scalar::Whole(n) => Some(n.to_string()),
            Scalar::Real(x) => Some(x.to_string()),
            Scalar::Text(text) => Some(text.clone()),
            Scalar::Absent | Scalar::Other => None,
        }
    }
}

/// Text as a number of tokens: `472`, `472.0`, ` 472 `.
pub fn tokens(text: &[u8]) -> Option<u32> {
    let mut value = 0u32;
    let text = text.trim_ascii();
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?,
            _ if at == 0 => return None,
            _ => return whole(std::str::from_utf8(text).ok()?.parse().ok()?),
        }
    }
    (!text.is_empty()).then_some(value)
}

/// Text as a stamp in ns, exact as far as its decimals go down to 1 ns: `5`, `19440110.0`, `1e3`.
pub fn stamp(text: &[u8], unit_ns: u64) -> Option<u64> {
    let text = text.trim_ascii();
    match plain_stamp(text, unit_ns) {
        Some(at_ns) => Some(at_ns),
        None if text.first()?.is_ascii_digit() => real_stamp(std::str::from_utf8(text).ok()?.parse().ok()?, unit_ns),
        None => None,
    }
}

fn plain_stamp(text: &[u8], unit_ns: u64) -> Option<u64> {
    let (mut whole, mut below, mut scale) = (0u64, 0u64, unit_ns);
    let mut digits = text.iter();
    let mut begun = false;
    for byte in digits.by_ref() {
        match byte {
            b'0'..=b'9' => whole = whole.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            b'.' if begun => break,
            _ => return None,
        }
        begun = true;
    }
    for byte in digits {
        scale /= 10;
        match byte {
            b'0'..=b'9' => below += u64::from(byte - b'0') * scale,
            _ => return None,
        }
    }
    if begun { whole.checked_mul(unit_ns)?.checked_add(below) } else { None }
}

fn real_stamp(value: f64, unit_ns: u64) -> Option<u64> {
    let ns = (value * unit_ns as f64).round();
    (0.0..9.2e18).contains(&ns).then_some(ns as u64)
}

fn whole(value: f64) -> Option<u32> {
    (value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value)).then_some(value as u32)
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Whole(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Real(value as f64))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Real(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.to_owned()))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar::Absent)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// An id of content: a number, or text of which the hash counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentId(pub u64);

impl<'de> Deserialize<'de> for ContentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = ContentId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_u64<E>(self, value: u64) -> Result<ContentId, E> {
                Ok(ContentId(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<ContentId, E> {
                Ok(ContentId(value as u64))
            }

            fn visit_str<E>(self, value: &str) -> Result<ContentId, E> {
                Ok(ContentId(hash_bytes(value.as_bytes())))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_counts_in_every_spelling() {
        for (text, expected) in [("0", Some(0)), ("472", Some(472)), ("472.0", Some(472)), (" 7 ", Some(7))] {
            assert_eq!(tokens(text.as_bytes()), expected, "{text}");
        }
        for text in ["", "-1", "nan", "inf", "4.5", "4294967296", "1e30", "x", "7 8", "-0x1", "99999999999999999999"] {
            assert_eq!(tokens(text.as_bytes()), None, "{text}");
        }
        assert_eq!(tokens(b"4294967295"), Some(u32::MAX));
    }

    #[test]
    fn stamps_are_exact_to_the_nanosecond() {
        for (text, unit, expected) in [
            ("5", 1_000_000_000, 5_000_000_000),
            ("19440110.0", 1_000_000_000, 19_440_110_000_000_000),
            ("61.114", 1_000_000_000, 61_114_000_000),
            ("27482", 1_000_000, 27_482_000_000),
            ("0.5", 1_000_000, 500_000),
            ("1e3", 1_000_000, 1_000_000_000),
            ("1.9999999999", 1, 1),
        ] {
            assert_eq!(stamp(text.as_bytes(), unit), Some(expected), "{text}");
        }
        for text in ["", "-1", "nan", "inf", ".5", "1e30", "1:00", "99999999999999999999"] {
            assert_eq!(stamp(text.as_bytes(), 1_000_000_000), None, "{text}");
        }
    }

    #[test]
    fn values_of_json() {
        let read = |text: &str| serde_json::from_str::<Scalar>(text).unwrap();
        assert_eq!(read("61.114").stamp(1_000_000_000), Some(61_114_000_000));
        assert_eq!(read("\"82\"").stamp(1_000_000_000), Some(82_000_000_000));
        assert_eq!((read("-3").tokens(), read("3.0").tokens(), read("\"3\"").tokens()), (None, Some(3), Some(3)));
        assert_eq!((read("[1,[2]]"), read("{\"a\":1}"), read("null")), (Scalar::Other, Scalar::Other, Scalar::Absent));
        assert_eq!(read("7").label().as_deref(), Some("7"));
    }
}
