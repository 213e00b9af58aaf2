//! One line about the last second of a running capture.

use crate::capture::Snapshot;
use crate::measure::Histogram;
use crate::units;

use super::row;

/// Rates of both directions, the depth now, and how slow the slowest hundredth was.
pub fn line(earlier: &Snapshot, now: &Snapshot) -> String {
    let interval = now.since(earlier);
    let seconds = now.elapsed.saturating_sub(earlier.elapsed).as_secs_f64();
    let [reads, writes] = ["read", "write"].map(|op| rates(&interval, op, seconds));
    let d2c = interval.iter().filter(|h| h.name == "d2c").cloned().reduce(|mut sum, more| {
        sum.merge(&more);
        sum
    });
    let slow = d2c.and_then(|d2c| d2c.quantile(0.99)).map_or_else(|| "-".to_owned(), units::ns);
    format!("{reads}  {writes}  in flight {}  P99 {slow}", now.in_flight)
}

/// `read 12,345/s 50.6 MB/s`.
pub fn rates(interval: &[Histogram], op: &str, seconds: f64) -> String {
    let sizes = interval.iter().find(|h| h.is("size", Some(op)));
    let (count, bytes) = sizes.map_or((0, 0), |sizes| (sizes.count, sizes.sum));
    let per_second = if seconds > 0.0 { (count as f64 / seconds).round() as u64 } else { 0 };
    format!("{op} {}/s {}", units::count(per_second), row::rate(bytes as f64, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::measure::LogLinear;

    fn snapshot(seconds: u64, ios: u64) -> Snapshot {
        let mut sizes = LogLinear::times();
        let mut times = LogLinear::times();
        if ios > 0 {
            sizes.record_many(4096, ios);
            times.record_many(10_000, ios);
        }
        Snapshot {
            elapsed: Duration::from_secs(seconds),
            histograms: vec![sizes.save("size", Some("read"), "bytes"), times.save("d2c", Some("read"), "ns")],
            in_flight: 3,
            ..Snapshot::default()
        }
    }

    #[test]
    fn it_is_about_the_last_second_only() {
        let line = line(&snapshot(10, 5_000), &snapshot(11, 17_000));
        assert_eq!(line, "read 12,000/s 49.2 MB/s  write 0/s 0 B/s  in flight 3  P99 10.0 us");
    }

    #[test]
    fn a_second_without_requests_has_no_time() {
        let line = line(&snapshot(10, 5_000), &snapshot(11, 5_000));
        assert_eq!(line, "read 0/s 0 B/s  write 0/s 0 B/s  in flight 3  P99 -");
    }
}
