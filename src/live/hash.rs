//! The hash by which an engine names a token block: a whole number or bytes, of which the number is
//! the last part.

use crate::seed::hash_bytes;

use super::value::Value;

/// A block's hash, in 64 bits whatever its encoding: a number as it is (one below zero as its two's
/// complement, which older builds wrote), of bytes the last eight, big-endian. vLLM makes its
/// numbers from digests that way and llm-d reads bytes so, so that recordings of one engine with
/// either encoding name a block alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockHash(pub u64);

impl BlockHash {
    /// The hash that a value is; none for what is no hash.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(n) => u64::try_from(*n).ok().or_else(|| i64::try_from(*n).ok().map(|n| n as u64)).map(Self),
            Value::Bytes(bytes) if !bytes.is_empty() => Some(Self(last_eight(bytes))),
            Value::Text(text) => Self::of_text(text),
            _ => None,
        }
    }

    /// The hash of text: hex with or without `0x` (and a sign, as Python's `hex` writes it), a
    /// decimal number, or anything else, whose own hash counts.
    pub fn of_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        if text.is_empty() {
            return None;
        }
        let signed = |value: u64| Self(if negative { value.wrapping_neg() } else { value });
        if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            return of_hex(hex).map(signed);
        }
        match digits.parse::<u64>() {
            Ok(value) => Some(signed(value)),
            Err(_) if digits.len() >= 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => of_hex(digits).map(signed),
            Err(_) => Some(Self(hash_bytes(text.as_bytes()))),
        }
    }
}

fn last_eight(bytes: &[u8]) -> u64 {
    bytes[bytes.len().saturating_sub(8)..].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn of_hex(digits: &str) -> Option<u64> {
    let last = digits.get(digits.len().saturating_sub(16)..)?;
    u64::from_str_radix(last, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_one_name_in_every_encoding() {
        let digest: Vec<u8> = (0..32).collect();
        let number = 0x1819_1a1b_1c1d_1e1f;
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        for value in [
            Value::Bytes(digest),
            Value::Int(number.into()),
            Value::Text(format!("0x{hex}")),
            Value::Text(hex),
            Value::Text(number.to_string()),
        ] {
            assert_eq!(BlockHash::of(&value), Some(BlockHash(number)), "{value:?}");
        }
        assert_eq!(BlockHash::of(&Value::Int(-1)), Some(BlockHash(u64::MAX)));
        assert_eq!(BlockHash::of_text("-0x1"), Some(BlockHash(u64::MAX)));
        assert_eq!(BlockHash::of(&Value::Nil), None);
    }
}
