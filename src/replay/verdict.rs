//! What bounded the run: where the run thread spent most of its time.

use crate::measure::replay::Verdict;
use crate::units;

use super::tally::Spent;

/// The verdict on a run of `wall_ns` nanoseconds.
pub fn verdict(spent: &Spent, wall_ns: u64) -> Verdict {
    let known = spent.device_ns + spent.model_ns + spent.pace_ns + spent.copy_ns + spent.data_ns;
    let rest = wall_ns.saturating_sub(known);
    let shares = [
        (spent.device_ns, "device", "waiting for storage with I/O in flight"),
        (spent.copy_ns, "dram", "copying to and from memory tiers"),
        (spent.data_ns + rest, "generator", "making data up, checking it and submitting I/O"),
        (spent.model_ns, "model", "waiting for modelled tiers"),
        (spent.pace_ns, "pace", "waiting for the next operation of the schedule"),
    ];
    let (largest, bound, doing) = shares.into_iter().max_by_key(|share| share.0).expect("there are five");
    let share = |ns: u64| 100.0 * ns as f64 / wall_ns.max(1) as f64;
    let others: Vec<_> = shares
        .iter()
        .filter(|(ns, word, _)| *word != bound && share(*ns) >= 1.0)
        .map(|(ns, word, _)| format!("{word} {:.0} %", share(*ns)))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!("; the rest: {}", others.join(", ")) };
    let because = format!(
        "the run thread spent {:.0} % of {} {doing}{others}",
        share(largest),
        units::ns(wall_ns as f64)
    );
    Verdict { bound: bound.to_owned(), because }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_share_is_named_with_its_figure() {
        let spent = Spent { device_ns: 700, copy_ns: 200, ..Spent::default() };
        let verdict = verdict(&spent, 1000);
        assert_eq!(verdict.bound, "device");
        assert!(verdict.because.contains("70 % of 1.00 us") && verdict.because.contains("dram 20 %"), "{verdict:?}");
    }

    #[test]
    fn unexplained_time_is_the_generators() {
        assert_eq!(verdict(&Spent::default(), 10).bound, "generator");
    }
}
