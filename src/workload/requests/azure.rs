//! Azure's LLM inference traces (Azure/AzurePublicDataset, 2023 and 2024): CSV with the moment on
//! a wall clock and two lengths; and Vidur's form of them, with seconds from the start.

use csv::ByteRecord;

use crate::error::Result;
use crate::trace::stamp;

use super::super::Content;
use super::csv_rows::{Columns, Header};
use super::entry::{Entry, Reading};
use super::json_lines::Outcome;
use super::scalar;

/// Where the columns are.
#[derive(Clone, Copy, Debug)]
pub struct Azure {
    timestamp: usize,
    prompt: usize,
    answer: usize,
}

/// Where the columns are in Vidur's form.
#[derive(Clone, Copy, Debug)]
pub struct Vidur(Azure);

impl Columns for Azure {
    fn find(header: &Header<'_>) -> Result<Self> {
        Ok(Self {
            timestamp: header.needed("timestamp")?,
            prompt: header.needed("contexttokens")?,
            answer: header.needed("generatedtokens")?,
        })
    }

    fn entry(&mut self, row: &ByteRecord, reading: &Reading) -> Outcome {
        let text = row[self.timestamp].trim_ascii();
        match wall_clock(text).or_else(|| scalar::stamp(text, reading.time_unit.ns())) {
            Some(at_ns) => self.at(at_ns, row),
            None => Outcome::Refused("row whose TIMESTAMP is no date and time as in 2023-11-16 18:15:46.68059"),
        }
    }
}

impl Columns for Vidur {
    fn find(header: &Header<'_>) -> Result<Self> {
        Ok(Self(Azure {
            timestamp: header.needed("arrived_at")?,
            prompt: header.needed("num_prefill_tokens")?,
            answer: header.needed("num_decode_tokens")?,
        }))
    }

    fn entry(&mut self, row: &ByteRecord, reading: &Reading) -> Outcome {
        match scalar::stamp(&row[self.0.timestamp], reading.time_unit.ns()) {
            Some(at_ns) => self.0.at(at_ns, row),
            None => Outcome::Refused("row whose arrived_at is no number from 0"),
        }
    }
}

impl Azure {
    fn at(&self, at_ns: u64, row: &ByteRecord) -> Outcome {
        let (prompt, answer) = (scalar::tokens(&row[self.prompt]), scalar::tokens(&row[self.answer]));
        match (prompt, answer) {
            (Some(0), Some(0)) => Outcome::Refused("request without any token"),
            (Some(prompt_tokens), Some(answer_tokens)) => {
                let content = Content::Conversation;
                Outcome::Entry(Entry { at_ns, prompt_tokens, answer_tokens, turn: None, content, answer: None })
            }
            _ => Outcome::Refused("row whose lengths are no numbers of tokens"),
        }
    }
}

/// `2023-11-16 18:15:46.6805900`, with up to nine decimals and perhaps a zone (`Z`, `+00:00`), as
/// ns since 1970.
fn wall_clock(text: &[u8]) -> Option<u64> {
    let number = |from: usize, to: usize| stamp::digits(text.get(from..to)?);
    let is = |at: usize, allowed: &[u8]| text.get(at).is_some_and(|byte| allowed.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b" T") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (hour < 24 && minute < 60 && second < 61);
    if !in_range {
        return None;
    }
    let (fraction_ns, zone) = fraction(text.get(19..)?)?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let at_ns = seconds.checked_mul(1_000_000_000)?.checked_add(fraction_ns)?;
    let east_ns = zone_minutes(zone)? * 60_000_000_000;
    at_ns.checked_add_signed(-east_ns)
}

/// The decimals of a second, in ns, and what follows them.
fn fraction(text: &[u8]) -> Option<(u64, &[u8])> {
    let Some(decimals) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = decimals.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let kept = &decimals[..length.min(9)];
    let ns = stamp::digits(kept)? * 10u64.pow(9 - kept.len() as u32);
    Some((ns, &decimals[length..]))
}

/// How far a zone is east of UTC; none given is UTC.
fn zone_minutes(zone: &[u8]) -> Option<i64> {
    let east = match zone {
        b"" | b"Z" | b"z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let digits: Vec<u8> = zone[1..].iter().copied().filter(|byte| *byte != b':').collect();
    let number = i64::try_from(stamp::digits(&digits)?).ok()?;
    match digits.len() {
        2 if number < 24 => Some(east * number * 60),
        4 if number < 2400 && number % 100 < 60 => Some(east * (number / 100 * 60 + number % 100)),
        _ => None,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. The year is counted from March, so
/// that a leap day is its last: then the months before `month` have (153 m + 2) / 5 days.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let to_march_0000 = year * 365 + leap_days + (153 * month + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    to_march_0000 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_on_a_wall_clock() {
        for (text, ns) in [
            ("1970-01-01 00:00:00", 0),
            ("2023-11-16 18:15:46.6805900", 1_700_158_546_680_590_000),
            ("2024-02-29 23:59:59.123456789", 1_709_251_199_123_456_789),
            ("2024-05-10 00:00:00.009930+00:00", 1_715_299_200_009_930_000),
            ("2024-05-10T02:00:00+02:00", 1_715_299_200_000_000_000),
            ("2000-03-01 00:00:00Z", 951_868_800_000_000_000),
        ] {
            assert_eq!(wall_clock(text.as_bytes()), Some(ns), "{text}");
        }
        for text in [
            "",
            "2023-11-16",
            "2023-13-16 18:15:46",
            "2023-11-16 24:15:46",
            "2023-11-16 18:15:46.",
            "2023-11-16 18:15:46.5x",
            "1969-12-31 23:59:59",
            "2023-11-16 18:15:46+25:00",
            "9999-12-31 23:59:59",
        ] {
            assert_eq!(wall_clock(text.as_bytes()), None, "{text}");
        }
    }
}
