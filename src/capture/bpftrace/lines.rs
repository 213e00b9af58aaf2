//! What one line of bpftrace's output is.
//!
//! A histogram is printed as `@name: `, then a line for each bucket from the first filled one to
//! the last, `[512, 1K)    12 |@@@    |`, then an empty line; `hist()` has powers of two with the
//! single values `[0]` and `[1]` and everything negative in `(..., 0)`, `lhist()` equal steps with
//! open ends `(..., 0)` and `[8000, ...)`. Suffixes are powers of 1024 (bpftrace, `output.cpp`).

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing.
    Blank,
    /// `Attaching 16 probes...`: a run begins.
    Start,
    /// `@name:` or `@name[key]:` above a histogram.
    Head { name: &'a str, keyed: bool },
    /// `@name: 42` or `@name[key]: 42`.
    Value { name: &'a str, keyed: bool, value: &'a str },
    /// A bucket of the histogram above.
    Bucket(Bucket),
    /// What bpftrace or the script said otherwise.
    Other,
}

/// A bucket as printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The lowest value; none for `(...`.
    pub low: Option<i64>,
    /// The first value above; none for `...)`.
    pub high: Option<i64>,
    /// Values.
    pub count: u64,
    /// Whether its bar is as long as bars get: that of the largest count is.
    pub full: bool,
}

/// Most values of a bucket: more than any machine counts, and few enough that sums stay numbers.
const MOST: u64 = 1 << 44;

const SUFFIXES: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];

/// Tells what a line is.
///
/// # Errors
/// What is wrong with a line that begins as a map or a bucket and does not go on as one.
pub fn parse(line: &str) -> Result<Line<'_>, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(Line::Blank);
    }
    if line.starts_with("Attaching ") && line.contains(" probe") {
        return Ok(Line::Start);
    }
    if let Some(map) = line.strip_prefix('@') {
        return map_line(map).ok_or_else(|| format!("`{}` is a map without its `:`", shortened(line)));
    }
    let bucket_like =
        |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit() || "-.".contains(c)) || rest.is_empty();
    if line.strip_prefix(['[', '(']).is_some_and(bucket_like) {
        let parsed = bucket(line).map(Line::Bucket);
        return parsed.ok_or_else(|| {
            format!(
                "`{}` is no whole bucket; one is written `[512, 1K)   12 |@@@   |`, with its bar's end",
                shortened(line)
            )
        });
    }
    Ok(Line::Other)
}

/// The rest of a line after its `@`.
fn map_line(map: &str) -> Option<Line<'_>> {
    let (name, keyed, value) = match (map.find('['), map.find(':')) {
        (Some(open), Some(colon)) if open < colon => {
            let (key, value) = map[open..].split_once("]:")?;
            debug_assert!(key.starts_with('['));
            (&map[..open], true, value)
        }
        (_, Some(colon)) => (&map[..colon], false, &map[colon + 1..]),
        (_, None) => return None,
    };
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_word.then_some(match value.trim() {
        "" => Line::Head { name, keyed },
        value => Line::Value { name, keyed, value },
    })
}

/// `[512, 1K)    12 |@@@    |`.
fn bucket(line: &str) -> Option<Bucket> {
    let (range, rest) = line.split_at(line.find([']', ')'])? + 1);
    let (count, bar) = rest.trim_start().split_once(char::is_whitespace)?;
    let bar = bar.trim_start().strip_prefix('|')?.strip_suffix('|')?;
    let inside = &range[1..range.len() - 1];
    let (low, high) = if let Some((low, high)) = inside.split_once(',') {
        (end(low)?, end(high)?)
    } else {
        let only = number(inside)?;
        (Some(only), Some(only.checked_add(1)?))
    };
    let ordered = match (low, high) {
        (Some(low), Some(high)) => low < high,
        (None, None) => false,
        _ => true,
    };
    let full = !bar.is_empty() && bar.bytes().all(|b| b == b'@');
    let count = count.parse().ok().filter(|count| *count <= MOST)?;
    ordered.then_some(Bucket { low, high, count, full })
}

/// An end of a range; `...` is open.
fn end(text: &str) -> Option<Option<i64>> {
    match text.trim() {
        "..." => Some(None),
        text => number(text).map(Some),
    }
}

/// `512`, `1K`, `-3`: suffixes are powers of 1024. What is beyond a signed 64-bit number ends there.
fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    let (digits, power) = match text.strip_suffix(SUFFIXES) {
        Some(digits) => (digits, SUFFIXES.iter().position(|suffix| text.ends_with(*suffix))? + 1),
        None => (text, 0),
    };
    let value = i128::from(digits.trim_end().parse::<i64>().ok()?) * (1i128 << (10 * power));
    Some(i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX }))
}

/// A line as far as a message shows it.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(line: &str) -> (Option<i64>, Option<i64>, u64) {
        match parse(line) {
            Ok(Line::Bucket(bucket)) => (bucket.low, bucket.high, bucket.count),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn buckets_of_every_form() {
        for (line, low, high, count) in [
            ("[0]                  864 |@@@@        |", Some(0), Some(1), 864),
            ("[1]                    0 |            |", Some(1), Some(2), 0),
            ("[4, 8)              7551 |@@@@@       |", Some(4), Some(8), 7551),
            ("[512, 1K)              8 |            |", Some(512), Some(1024), 8),
            ("[512K, 1M)             8 |            |", Some(512 << 10), Some(1 << 20), 8),
            ("[2G, 4G)               3 |@@@@@@@@@@@@|", Some(2 << 30), Some(4 << 30), 3),
            ("(..., 0)               1 |@@@@@@@@@@@@|", None, Some(0), 1),
            ("[8000, ...)            1 |@@@@@@@@@@@@|", Some(8000), None, 1),
            ("[-10, 0)               1 |@@@@@@@@@@@@|\r", Some(-10), Some(0), 1),
        ] {
            assert_eq!(range(line), (low, high, count), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_cut_is_none() {
        let whole = "[512, 1K)              8 |@@          |";
        for end in 1..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        assert!(parse("@bssplit_read").is_err());
        assert!(parse("[8, 4)   1 |@|").is_err(), "backwards");
        assert!(parse("[1Q, 2Q)   1 |@|").is_err());
        assert!(parse("[1, 2)   99999999999999999999999 |@|").is_err());
    }

    #[test]
    fn maps_and_talk() {
        let head = |name, keyed| Ok(Line::Head { name, keyed });
        assert_eq!(parse("@d2c_read_us: "), head("d2c_read_us", false));
        assert_eq!(parse("@lat[a: b, 3]: "), head("lat", true));
        let value = |name, keyed, value| Ok(Line::Value { name, keyed, value });
        assert_eq!(parse("@d[1, 8]: 36593982118982"), value("d", true, "36593982118982"));
        assert_eq!(parse("@inflight_write: -342"), value("inflight_write", false, "-342"));
        assert_eq!(parse("Attaching 16 probes..."), Ok(Line::Start));
        for talk in ["^C", "WARNING: Could not …", "[sudo] password for somebody:", "(standard input)"] {
            assert_eq!(parse(talk), Ok(Line::Other), "{talk}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_never_panics(line in "[\\[\\(@a-c0-9KMGTPE,. :\\)\\]|-]{0,40}") {
            let _ = parse(&line);
        }

        #[test]
        fn what_is_printed_is_read(power in 0u32..40, count in 0u64..1 << 40) {
            let label = |value: u64| match value {
                0..1024 => value.to_string(),
                _ => {
                    let step = value.ilog2() / 10;
                    format!("{}{}", value >> (10 * step), SUFFIXES[step as usize - 1])
                }
            };
            let (low, high) = (1u64 << power, 2u64 << power);
            let line = format!("{:<16} {count:>8} |{:<52}|", format!("[{}, {})", label(low), label(high)), "@");
            prop_assert_eq!(range(&line), (Some(low as i64), Some(high as i64), count));
        }
    }
}
