//! The table of latencies.

use crate::measure::Histogram;
use crate::measure::replay::Latency;
use crate::measure::sample::quantile_name;
use crate::units;

/// The quantiles shown; a dash stands where so few operations do not carry one.
const QUANTILES: [f64; 4] = [0.5, 0.95, 0.99, 0.999];

/// Response and service of every kind of operation.
pub fn lines(kinds: &[Latency]) -> Vec<String> {
    let mut lines = vec![format!("{:<21}{:>8}{:>10}{:>9}{}", "(-: too few to say)", "ops", "bytes", "", head())];
    for kind in kinds {
        lines.push(format!(
            "{:<21}{:>8}{:>10}{:>9}{}",
            format!("{} {} {}", kind.tier, kind.op, kind.phase),
            units::count(kind.ops),
            units::bytes(kind.bytes),
            "response",
            times(&kind.response),
        ));
        lines.push(format!("{:<39}{:>9}{}", "", "service", times(&kind.service)));
    }
    lines
}

/// The names of the columns of [`times`].
pub fn head() -> String {
    QUANTILES.iter().map(|q| format!("{:>10}", quantile_name(*q))).collect::<String>() + &format!("{:>10}", "max")
}

/// Quantiles and the maximum, in columns.
pub fn times(histogram: &Histogram) -> String {
    let cell = |value: Option<f64>| format!("{:>10}", value.map_or_else(|| "-".to_owned(), units::ns));
    let max = cell(histogram.max.map(|max| max as f64));
    QUANTILES.iter().map(|q| cell(histogram.carried(*q))).collect::<String>() + &max
}
