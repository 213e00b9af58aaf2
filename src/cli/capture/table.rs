//! The table that a capture ends with, within 80 columns: the verdict first, then a line per
//! histogram, then phases, everybody else, and what was lost.

use std::fmt::Write as _;

use crate::measure::block::{BlockDevice, KernelCounters};
use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::row;

/// Columns of a line's picture.
const BAR: usize = 12;
const DIRECTIONS: [&str; 2] = ["read", "write"];

/// All of it.
pub fn of(result: &BlockResult) -> String {
    if result.source == "sysfs" {
        return super::counters::of(result);
    }
    let mut text = verdict(result);
    text.push_str(&lines(&result.histograms));
    text.push_str(&phases(result));
    if let Some(others) = others(&result.other.histograms) {
        let _ = writeln!(text, "{others}");
    }
    let _ = writeln!(text, "{}", losses(&result.loss));
    for note in &result.notes {
        let _ = writeln!(text, "{}", row::wrapped(&format!("note: {note}")));
    }
    text
}

/// What was seen, and whether it is to be trusted.
fn verdict(result: &BlockResult) -> String {
    let names: Vec<&str> = result.devices.iter().filter(|d| is_busy(d.captured)).map(|d| d.name.as_str()).collect();
    let names = if names.is_empty() { String::new() } else { format!(" on {}", names.join(", ")) };
    let during = result.duration_s.map_or_else(String::new, |s| format!(" in {}", units::ns(s * 1e9)));
    let cut = if result.complete { "" } else { ", INTERRUPTED" };
    let [reads, writes] = DIRECTIONS.map(|op| seen(result, op));
    let mut text = row::wrapped(&format!("{reads}; {writes}{names}{during}{cut}"));
    text.push('\n');
    if result.tainted {
        for reason in &result.taint_reasons {
            let _ = writeln!(text, "{}", row::wrapped(&format!("NOT TO BE TRUSTED: {reason}")));
        }
    } else {
        let _ = writeln!(text, "{}", row::wrapped(&format!("trusted: nothing was lost; {}", agreement(result))));
    }
    text
}

/// How the kernel's counters compare with ours.
fn agreement(result: &BlockResult) -> String {
    let uncounted: Vec<&str> = result.devices.iter().filter(|d| d.uncounted).map(|d| d.name.as_str()).collect();
    if !uncounted.is_empty() {
        return format!("{} has no counters of the kernel's to compare with (iostats=0)", uncounted.join(", "));
    }
    let apart = |d: &BlockDevice| {
        d.kernel.read_ios.abs_diff(d.captured.read_ios) + d.kernel.write_ios.abs_diff(d.captured.write_ios)
    };
    match result.devices.iter().map(apart).sum::<u64>() {
        0 => "the kernel's own counters agree".to_owned(),
        some => format!(
            "the kernel's own counters differ by {} I/Os, within what is done while the two are read",
            units::count(some)
        ),
    }
}

fn is_busy(counters: KernelCounters) -> bool {
    counters.read_ios + counters.write_ios > 0
}

/// `read 5,000 I/Os, 19.5 MiB (12,345/s, 50.6 MB/s)`.
fn seen(result: &BlockResult, op: &str) -> String {
    let (count, bytes, whose) = match result.histogram("size", Some(op)) {
        Some(sizes) => (sizes.count, sizes.sum as f64, ""),
        None if result.devices.is_empty() => return format!("{op} not seen"),
        None => {
            let of = |device: &KernelCounters| match op {
                "read" => (device.read_ios, device.read_bytes),
                _ => (device.write_ios, device.write_bytes),
            };
            let sums = result.devices.iter().map(|device| of(&device.kernel));
            let (ios, bytes) = sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            (ios, bytes as f64, " by everybody")
        }
    };
    if count == 0 {
        return format!("{op} nothing{whose}");
    }
    let rates = result.duration_s.filter(|seconds| *seconds > 0.0).map_or_else(String::new, |seconds| {
        format!(" ({}/s, {})", units::count((count as f64 / seconds).round() as u64), row::rate(bytes, seconds))
    });
    format!("{op} {} I/Os, {}{whose}{rates}", units::count(count), units::bytes(bytes as u64))
}

/// A line for each histogram that holds anything.
fn lines(histograms: &[Histogram]) -> String {
    let filled: Vec<&Histogram> = histograms.iter().filter(|histogram| histogram.count > 0).collect();
    if filled.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{:<15} {:<5} {:>9} {:>8} {:>8} {:>8} {:>8} min to max\n",
        "", "op", "count", "P50", "P95", "P99", "max"
    );
    for histogram in filled {
        let _ = writeln!(text, "{}", line(histogram));
    }
    text
}

fn line(histogram: &Histogram) -> String {
    let line = format!(
        "{} {:>9} {:>8} {:>8} {:>8} {:>8} {}",
        row::label(histogram),
        row::count(histogram),
        row::quantile(histogram, 0.5),
        row::quantile(histogram, 0.95),
        row::quantile(histogram, 0.99),
        row::max(histogram),
        row::bar(histogram, BAR)
    );
    line.trim_end().to_owned()
}

/// A line for each phase and direction that had I/O.
fn phases(result: &BlockResult) -> String {
    let mut text = String::new();
    for (phase, set) in result.phases.iter().flatten() {
        for op in DIRECTIONS {
            let find = |name: &str| set.histograms.iter().find(|h| h.is(name, Some(op)));
            let Some(sizes) = find("size").filter(|sizes| sizes.count > 0) else { continue };
            let time = |q| find("d2c").map_or_else(String::new, |d2c| row::quantile(d2c, q));
            let _ = writeln!(
                text,
                "{:<15} {op:<5} {:>9} {:>10}   d2c P50 {:>8}, P99 {:>8}",
                format!("phase {phase}"),
                row::short_count(sizes.count),
                units::bytes(sizes.sum as u64),
                time(0.5),
                time(0.99)
            );
        }
    }
    text
}

/// Everybody else on the same devices, in one line; none when nobody was there.
pub fn others(histograms: &[Histogram]) -> Option<String> {
    let named = |name: &'static str| histograms.iter().filter(move |h| h.name == name);
    let (ios, bytes) = named("size").fold((0, 0), |sum, sizes| (sum.0 + sizes.count, sum.1 + sizes.sum));
    let d2c = named("d2c").cloned().reduce(|mut sum, more| {
        sum.merge(&more);
        sum
    });
    let slow = d2c.map_or_else(String::new, |d2c| row::quantile(&d2c, 0.99));
    let slow = if slow.is_empty() { slow } else { format!(", d2c P99 {slow}") };
    (ios > 0).then(|| {
        format!("others on the same devices: {} I/Os, {}{slow}", units::count(ios), units::bytes(bytes as u64))
    })
}

/// Everything that was lost or is counted apart, in one line where it fits.
pub fn losses(loss: &std::collections::BTreeMap<String, u64>) -> String {
    let counted = loss.iter().filter(|(_, count)| **count > 0);
    let counted: Vec<String> = counted.map(|(cause, count)| format!("{cause} {}", units::count(*count))).collect();
    match (loss.is_empty(), counted.is_empty()) {
        (true, _) => "losses: the source does not count them".to_owned(),
        (false, true) => "losses: none".to_owned(),
        (false, false) => row::wrapped(&format!("losses and what is counted apart: {}", counted.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    #[test]
    fn a_line_fits_eighty_columns() {
        for (name, op, unit, largest) in [
            ("inflight_time", Some("write"), "ios", 2_047),
            ("write_to_fsync", None, "ns", 1 << 47),
            ("fadvise_to_read", None, "ns", 1 << 47),
            ("run_length", Some("write"), "ios", 1 << 46),
            ("size", Some("read"), "bytes", 1 << 30),
            ("lba", Some("write"), "bytes", 1 << 47),
        ] {
            let mut counter = LogLinear::times();
            for shift in 0..10 {
                counter.record_many(largest >> shift, 99_999_999_999);
            }
            let mut histogram = counter.save(name, op, unit);
            let line = line(&histogram);
            assert!(line.chars().count() <= row::COLUMNS, "{} columns: {line}", line.chars().count());
            histogram.min = histogram.max.map(|max| -max);
            histogram.max = Some(-1);
            histogram.buckets = histogram.buckets.iter().rev().map(|&(low, high, n)| (-high, -low, n)).collect();
            let line = super::line(&histogram);
            assert!(line.chars().count() <= row::COLUMNS, "{} columns: {line}", line.chars().count());
        }
    }

    #[test]
    fn counters_that_differ_or_are_not_kept_do_not_agree() {
        let device = |kernel, captured, uncounted| BlockDevice {
            name: "sdx".to_owned(),
            kernel: KernelCounters { read_ios: kernel, ..KernelCounters::default() },
            captured: KernelCounters { read_ios: captured, ..KernelCounters::default() },
            uncounted,
            ..BlockDevice::default()
        };
        let said = |device| agreement(&BlockResult { devices: vec![device], ..BlockResult::default() });
        assert_eq!(said(device(500, 500, false)), "the kernel's own counters agree");
        assert!(said(device(19_813, 19_978, false)).contains("differ by 165 I/Os"));
        assert!(said(device(0, 500, true)).contains("iostats=0"));
    }
}
