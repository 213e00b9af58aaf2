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
    push_fraction::<9>(out, ns % SECOND_NS);
}

/// Appends nanoseconds as seconds with six decimals, the rest cut off.
pub fn push_micros(out: &mut Vec<u8>, ns: u64) {
    push_decimal(out, ns / SECOND_NS);
    push_fraction::<6>(out, ns % SECOND_NS / 1_000);
}

/// Appends an integer in decimal.
pub fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut text = [0u8; 20];
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[start..]);
}

fn push_fraction<const DIGITS: usize>(out: &mut Vec<u8>, mut value: u64) {
    let mut text = [0u8; DIGITS];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.push(b'.');
    out.extend_from_slice(&text);
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

    proptest! {
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
