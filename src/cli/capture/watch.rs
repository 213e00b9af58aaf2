//! The table of a running capture (`--watch`), within 80 columns and the terminal's lines: as with
//! iostat, how many there were and how long they took is of the last interval, and a column has the
//! counts since the start.

use std::fmt::Write as _;

use crate::capture::Snapshot;
use crate::measure::Histogram;
use crate::units;

use super::{row, status, table};

/// Lines that are no histograms: three above, three below and the cursor's.
const AROUND: usize = 7;
/// Columns of a line's picture.
const BAR: usize = 11;

/// The table, for a terminal of so many lines.
pub fn table(earlier: &Snapshot, now: &Snapshot, devices: &str, lines: usize) -> String {
    let lines = lines.saturating_sub(AROUND).max(1);
    let interval = now.since(earlier);
    let seconds = now.elapsed.saturating_sub(earlier.elapsed).as_secs_f64();
    let [reads, writes] = ["read", "write"].map(|op| status::rates(&interval, op, seconds));
    let elapsed = units::ns(now.elapsed.as_secs_f64() * 1e9);
    let mut text = cut(&format!("{elapsed} on {devices}; the last {}:", units::ns(seconds * 1e9)));
    let _ = writeln!(text, "\n{}", cut(&format!("{reads}, {writes}, in flight {}", now.in_flight)));
    let _ = writeln!(
        text,
        "{:<15} {:<5} {:>9} {:>9} {:>8} {:>8} {:>8} min to max",
        "", "op", "count", "of all", "P50", "P99", "max"
    );
    let filled: Vec<_> = interval.iter().zip(&now.histograms).filter(|(_, total)| total.count > 0).collect();
    for (interval, total) in filled.iter().take(lines) {
        let _ = writeln!(text, "{}", line(interval, total));
    }
    if filled.len() > lines {
        let _ = writeln!(text, "and {} more, which the table at the end has", filled.len() - lines);
    }
    if let Some(others) = table::others(&now.other.histograms) {
        let _ = writeln!(text, "{}", cut(&others));
    }
    text.push_str(&cut(table::losses(&now.loss).lines().next().unwrap_or_default()));
    text
}

fn line(interval: &Histogram, total: &Histogram) -> String {
    let line = format!(
        "{} {:>9} {:>9} {:>8} {:>8} {:>8} {}",
        row::label(total),
        row::count(interval),
        row::count(total),
        row::quantile(interval, 0.5),
        row::quantile(interval, 0.99),
        row::max(interval),
        row::bar(interval, BAR)
    );
    line.trim_end().to_owned()
}

/// A line as far as it fits.
fn cut(line: &str) -> String {
    match line.char_indices().nth(row::COLUMNS) {
        Some(_) => line.chars().take(row::COLUMNS - 1).chain(['…']).collect(),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use crate::measure::LogLinear;
    use crate::measure::block::BlockSet;

    fn histogram(name: &str, op: Option<&str>, count: u64) -> Histogram {
        let mut counter = LogLinear::times();
        counter.record_many(1_234_567_890_123, count);
        counter.record_many(999_999_999, count);
        counter.record_many(1, count);
        counter.save(name, op, "ns")
    }

    #[test]
    fn everything_at_once_fits_a_small_terminal() {
        let all = |count: u64| -> Vec<Histogram> {
            let names =
                ["d2c", "q2d", "q2c", "i2d", "size", "inflight", "inflight_time", "lba", "gap", "seek", "uring"];
            let both = names.iter().flat_map(|name| ["read", "write"].map(|op| histogram(name, Some(op), count)));
            both.chain([histogram("fadvise_to_read", None, count), histogram("write_to_fsync", None, count)]).collect()
        };
        let loss = ["requeue", "rq_merged", "lost_complete", "nomatch_before_attach", "partial", "left_inflight"];
        let snapshot = |seconds, count| Snapshot {
            elapsed: Duration::from_secs(seconds),
            histograms: all(count),
            other: BlockSet { histograms: all(count) },
            in_flight: 12_345,
            loss: loss.iter().map(|cause| ((*cause).to_owned(), 123_456_789)).collect::<BTreeMap<_, _>>(),
        };
        let text = table(&snapshot(99_999, 1 << 40), &snapshot(100_000, 1 << 41), &"nvme0n1, ".repeat(20), 24);
        assert!(text.lines().count() < 24, "{} lines", text.lines().count());
        for line in text.lines() {
            assert!(line.chars().count() <= row::COLUMNS, "{} columns: {line}", line.chars().count());
        }
    }

    #[test]
    fn an_interval_shows_its_own_figures_beside_the_totals() {
        let snapshot = |seconds, count| Snapshot {
            elapsed: Duration::from_secs(seconds),
            histograms: vec![histogram("d2c", Some("read"), count)],
            ..Snapshot::default()
        };
        let text = table(&snapshot(4, 100), &snapshot(5, 130), "vda", 24);
        let line = text.lines().find(|line| line.starts_with("d2c")).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[..4], ["d2c", "read", "90", "390"], "{line}");
    }
}
