//! The flags of drives and of the load on them, and words of commands.

use crate::analyze::endurance::{Drives, Load};
use crate::units::Size;

/// The drives, and how a day is extrapolated.
#[derive(Clone, Debug, clap::Args)]
pub struct DriveArgs {
    /// Host bytes that a drive is rated for over its life, for years: 14PB
    #[arg(long, value_name = "SIZE", value_parser = above_zero)]
    pub tbw: Option<Size>,
    /// Capacity of a drive, for drive writes per day: 7.68TB
    #[arg(long, value_name = "SIZE", value_parser = above_zero)]
    pub drive_capacity: Option<Size>,
    /// Drives that share the writes evenly [default: 1, or as many as the capacity needs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub drives: Option<u32>,
    /// Write amplification, as a multiple of that of the workload that the rating is for
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = factor)]
    pub waf: f64,
    /// So many times the load that was seen
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = factor)]
    pub rate_scale: f64,
}

/// A factor above 0.
fn factor(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    value.ok_or_else(|| format!("`{text}` is not a factor; it is a number above 0"))
}

fn above_zero(text: &str) -> Result<Size, String> {
    match text.parse::<Size>()? {
        Size(0) => Err("it is above 0".to_owned()),
        size => Ok(size),
    }
}

impl DriveArgs {
    /// The load of a span.
    pub fn load(&self, span_s: f64) -> Load {
        Load { span_s, rate_scale: self.rate_scale }
    }

    /// The drives, as many as are named or hold so many bytes.
    pub fn drives(&self, bytes: Option<u64>) -> Drives {
        let (capacity_bytes, tbw_bytes) = (self.drive_capacity.map(|size| size.0), self.tbw.map(|size| size.0));
        let needed = bytes.zip(capacity_bytes).map_or(1, |(bytes, capacity)| bytes.div_ceil(capacity).max(1));
        let count = self.drives.unwrap_or(u32::try_from(needed).unwrap_or(u32::MAX));
        Drives { count, capacity_bytes, tbw_bytes, waf: self.waf }
    }
}

/// A size as [`Size`] reads it back, without loss.
pub fn size_word(bytes: u64) -> String {
    let units = [("PB", 1_000_000_000_000_000), ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000)];
    let whole = units.iter().find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale));
    whole.map_or_else(|| format!("{bytes}B"), |(unit, scale)| format!("{}{unit}", bytes / scale))
}

/// Words as one line that a shell takes apart again.
pub fn shell_line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    let quoted = words.iter().map(|word| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_back() {
        for bytes in [14_000_000_000_000_000, 7_680_000_000_000, 131_072, 3] {
            assert_eq!(size_word(bytes).parse::<Size>().unwrap().0, bytes);
        }
        assert_eq!(size_word(7_680_000_000_000), "7680GB");
    }

    #[test]
    fn a_line_is_quoted_where_a_shell_would_take_it_apart() {
        let words = ["kvtrace", "it's mine.jsonl", "--price", "dram=4,nvme=80"].map(str::to_owned);
        assert_eq!(shell_line(&words), "kvtrace 'it'\\''s mine.jsonl' --price dram=4,nvme=80");
    }
}
