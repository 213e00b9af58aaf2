//! The text that bpftrace prints for the reference's script (`storage_latency_stack.bt` of MLPerf
//! Storage's KV cache benchmark), read into a [`BlockResult`].
//!
//! `lines` knows what a line is, `maps` which prints of a map count, `names` the fifteen
//! histograms under our names, `result` what the text cannot say.

mod lines;
mod maps;
mod names;
mod result;

use crate::error::{Error, Result};
use crate::measure::BlockResult;

use self::lines::Line;
use self::maps::Maps;

/// The `source` of a result that was read from bpftrace's text.
pub const SOURCE: &str = "bpftrace";

/// What a text held.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The histograms; not complete when the text is cut or broken somewhere.
    pub result: BlockResult,
    /// Where and why reading ended early, e.g. `line 12: …`.
    pub cut: Option<String>,
}

/// Whether a text is bpftrace's: it holds a map or says that probes are being attached.
pub fn is_text(text: &str) -> bool {
    if text.trim_start().starts_with(['{', '[']) {
        return false;
    }
    text.lines().any(|line| match lines::parse(line) {
        Ok(Line::Head { .. } | Line::Value { .. } | Line::Start) => true,
        Ok(Line::Blank | Line::Bucket(_) | Line::Other) => false,
        Err(_) => line.starts_with('@'),
    })
}

/// Reads a text; `name` is what it is called in errors.
///
/// # Errors
/// When it holds none of the reference's histograms. A text that is cut is none: see
/// [`Reading::cut`].
pub fn read(text: &str, name: &str) -> Result<Reading> {
    let maps = Maps::of(text);
    let cut = maps.cut.as_ref().map(ToString::to_string);
    let result = result::of(&maps);
    if result.histograms.is_empty() {
        let found = match (&cut, maps.names().as_slice()) {
            (Some(cut), _) => cut.clone(),
            (None, []) => "it holds no map at all".to_owned(),
            (None, found) => format!("it holds {}", found.join(", ")),
        };
        return Err(Error::usage(format!(
            "{name}: none of the histograms of the reference's bpftrace script was found ({found}); expected is its \
             output with @d2c_read_us, @bssplit_read_kb, @qd_read, @lba_read_gb and the like"
        )));
    }
    Ok(Reading { result, cut })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines of every kind, whole and broken, with numbers up to the largest.
    fn line() -> impl Strategy<Value = String> {
        let names = prop::sample::select(vec!["d2c_read_us", "bssplit_write_kb", "qd_read", "lba_read_gb", "mine"]);
        let number = prop_oneof![
            (0u64..2048).prop_map(|n| n.to_string()),
            (1u64..9000, prop::sample::select(vec!["K", "M", "G", "T", "P", "E"])).prop_map(|(n, s)| format!("{n}{s}")),
            Just("9223372036854775807".to_owned()),
            Just("-9223372036854775808".to_owned()),
            Just("...".to_owned()),
        ];
        prop_oneof![
            3 => names.clone().prop_map(|name| format!("@{name}: ")),
            1 => names.clone().prop_map(|name| format!("@{name}[1, fio]: ")),
            1 => (names, 0u64..9).prop_map(|(name, n)| format!("@{name}: {n}")),
            9 => (number.clone(), number, 0u64..=1 << 44).prop_map(|(low, high, n)| format!("[{low}, {high})  {n} |@@@@|")),
            1 => (0u64..3, 0u64..1 << 20).prop_map(|(value, n)| format!("[{value}]  {n} |@@  |")),
            1 => Just(String::new()),
            1 => Just("Attaching 16 probes...".to_owned()),
            1 => "[ -~]{0,20}",
        ]
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(lines in prop::collection::vec(line(), 0..40)) {
            let text = lines.join("\n");
            let Ok(reading) = read(&text, "text") else { return Ok(()) };
            prop_assert!(is_text(&text));
            prop_assert_eq!(reading.cut.is_none(), reading.result.complete);
            prop_assert!(reading.result.tainted && reading.result.histograms.len() <= 15);
            for histogram in &reading.result.histograms {
                prop_assert_eq!(histogram.count, histogram.buckets.iter().map(|bucket| bucket.2).sum::<u64>());
                prop_assert!(histogram.count > 0);
                for q in [0.0, 0.5, 0.99, 1.0] {
                    let value = histogram.quantile(q).expect("there are values");
                    prop_assert!(value >= histogram.min.unwrap() as f64 && value <= histogram.max.unwrap() as f64);
                }
            }
        }
    }
}
