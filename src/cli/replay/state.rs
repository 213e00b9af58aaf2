//! The state that storage was in before the clock started, for people.

use crate::measure::ReplayResult;
use crate::units;

/// What was overwritten, and what was found out about the devices.
pub fn lines(result: &ReplayResult) -> Vec<String> {
    let mut lines = Vec::new();
    for tier in &result.tiers {
        for done in &tier.preconditioned {
            let rate = done.bytes as f64 / done.seconds.max(1e-9) / 1e9;
            let steady = match &done.steady {
                None => "too little was written to tell whether it is steady".to_owned(),
                Some(steady) => format!(
                    "{} at {} GB/s: the last windows differ by {:.0} % and change by {:+.0} %",
                    if steady.steady { "steady" } else { "NOT steady" },
                    units::three_digits(steady.mean_gb_per_s),
                    steady.range_share * 100.0,
                    steady.slope_share * 100.0
                ),
            };
            lines.push(format!(
                "preconditioned: tier {}: {} in {}, {} GB/s; {steady}",
                done.tier,
                units::bytes(done.bytes),
                units::ns(done.seconds * 1e9),
                units::three_digits(rate)
            ));
        }
        if let Some(sync) = &tier.sync {
            let at = |q| sync.quantile(q).map_or_else(|| "-".to_owned(), units::ns);
            let (half, most) = (at(0.5), at(0.99));
            lines.push(format!("syncs of tier {}: {}, P50 / P99 {half} / {most}", tier.tier, units::count(sync.count)));
        }
    }
    if let Some(found) = result.config.get("bytes-in-flight-found").and_then(|found| found["bytes_in_flight"].as_u64())
    {
        lines.push(format!("bytes in flight: {}, beyond which more made the device no faster", units::bytes(found)));
    }
    lines
}
