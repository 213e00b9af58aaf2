//! Stamps of a trace in text: seconds with up to nine decimals, as integers all the way.

/// Nanoseconds in a second.
const SECOND_NS: u64 = crate::units::SECOND_NS;
/// Decimals of a nanosecond.
const DECIMALS: usize = 9;

/// What a stamp must look like, for messages.
pub const ALLOWED: &str = "a stamp is seconds from 0 to 9223372036, in plain decimals, at most 9 of them";

/// Reads `12.000000345` as nanoseconds; none when it is not a stamp. More than nine decimals are
/// accepted when the rest are zeros, so that nothing is ever rounded.
pub fn parse(text: &[u8]) -> Option<i64> {
    let point = text.iter().position(|b| *b == b'.');
    let (whole, fraction) = match point {
        Some(at) if at + 1 < text.len() => (&text[..at], &text[at + 1..]),
        Some(_) => return None,
        None => (text, &[][..]),
    };
    let seconds = digits(whole)?;
    let (kept, rest) = fraction.split_at(fraction.len().min(DECIMALS));
    if rest.iter().any(|b| *b != b'0') {
        return None;
    }
    let scale = 10u64.pow((DECIMALS - kept.len()) as u32);
    let below = if kept.is_empty() { 0 } else { digits(kept)? * scale };
    let total = seconds.checked_mul(SECOND_NS)?.checked_add(below)?;
    i64::try_from(total).ok()
}

/// Appends nanoseconds as seconds with nine decimals.
pub fn push_nanos(out: &mut Vec<u8>, ns: u64) {
    push_decimal(out, ns / SECOND_NS);
    let below = (ns % SECOND_NS) as u32;
    out.extend_from_slice(&[b'.', b'0' + (below / EIGHT) as u8]);
    out.extend_from_slice(&as_text(eight_digits(below % EIGHT)));
}

/// Appends nanoseconds as seconds with six decimals, the rest cut off.
pub fn push_micros(out: &mut Vec<u8>, ns: u64) {
    push_decimal(out, ns / SECOND_NS);
    let below = (ns % SECOND_NS / 1_000) as u32;
    // The two digits in front of a number below a million are zeros; the point takes one's place.
    let text = as_text(eight_digits(below) >> 8);
    out.extend_from_slice(&text);
    out.truncate(out.len() - 1);
    let point = out.len() - 7;
    out[point] = b'.';
}

/// Appends an integer in decimal.
#[inline]
pub fn push_decimal(out: &mut Vec<u8>, value: u64) {
    if value < u64::from(EIGHT) {
        push_short(out, value as u32);
    } else {
        push_long(out, value);
    }
}

fn push_long(out: &mut Vec<u8>, value: u64) {
    push_decimal(out, value / u64::from(EIGHT));
    out.extend_from_slice(&as_text(eight_digits((value % u64::from(EIGHT)) as u32)));
}

/// Appends a number of at most eight digits: eight bytes at once, of which the zeros in front are
/// shifted out and as many behind are taken back.
#[inline]
fn push_short(out: &mut Vec<u8>, value: u32) {
    let digits = eight_digits(value);
    let zeros = (digits.trailing_zeros() / 8).min(7);
    out.extend_from_slice(&as_text(digits >> (8 * zeros)));
    out.truncate(out.len() - zeros as usize);
}

/// Appends a number with zeros in front up to four digits.
#[inline]
pub fn push_four(out: &mut Vec<u8>, value: u32) {
    if value < 10_000 {
        out.extend_from_slice(&as_text(eight_digits(value) >> 32));
        out.truncate(out.len() - 4);
    } else {
        push_decimal(out, u64::from(value));
    }
}

/// The first number of nine digits.
const EIGHT: u32 = 100_000_000;

/// The eight digits of a number below [`EIGHT`], the first in the lowest byte, each as its value.
/// They are found side by side: the halves of eight digits are split into twos, those into ones.
/// A division by a constant is a multiplication by its inverse, in range for what a lane holds.
#[inline]
fn eight_digits(value: u32) -> u64 {
    let fours = u64::from(value / 10_000) | u64::from(value % 10_000) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

/// Digits as text.
#[inline]
fn as_text(digits: u64) -> [u8; 8] {
    (digits | 0x3030_3030_3030_3030).to_le_bytes()
}

/// A whole number in decimal digits and nothing else; none when it is not or overflows.
pub fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stamps_are_exact() {
        for (text, ns) in [
            ("0", 0),
            ("0.000000001", 1),
            ("12.5", 12_500_000_000),
            ("1795310373.437114", 1_795_310_373_437_114_000),
            ("1.1234567890000", 1_123_456_789),
            ("9223372036.854775807", i64::MAX),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(ns), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_stamp() {
        for text in
            ["", "-1", "NaN", "inf", "1e9", "1.", ".5", "+1", " 1", "1.1234567891", "9223372036.854775808", "1,5"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn integers_are_spelled_as_everybody_does() {
        let mut powers: Vec<u64> = (0..20).map(|n| 10u64.pow(n)).flat_map(|n| [n - 1, n, n + 1]).collect();
        powers.push(u64::MAX);
        for value in (0..200_000).chain(powers) {
            let mut text = Vec::new();
            push_decimal(&mut text, value);
            assert_eq!(String::from_utf8(text).unwrap(), value.to_string());
        }
        for value in 0..20_000 {
            let mut text = Vec::new();
            push_four(&mut text, value);
            assert_eq!(String::from_utf8(text).unwrap(), format!("{value:04}"));
        }
    }

    proptest! {
        #[test]
        fn any_integer_is_spelled_as_everybody_does(value: u64, shift in 0..64u32) {
            let mut text = Vec::new();
            push_decimal(&mut text, value >> shift);
            prop_assert_eq!(String::from_utf8(text).unwrap(), (value >> shift).to_string());
        }

        #[test]
        fn what_is_written_is_read(ns in 0..=i64::MAX) {
            let mut text = Vec::new();
            push_nanos(&mut text, ns as u64);
            prop_assert_eq!(parse(&text), Some(ns));
            text.clear();
            push_micros(&mut text, ns as u64);
            prop_assert_eq!(parse(&text), Some(ns - ns % 1_000));
        }
    }
}
