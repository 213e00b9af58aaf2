//! What bounded the run: where the run thread spent most of its time.

use crate::measure::replay::Verdict;
use crate::units;

use crate::replay::run::tally::Spent;

/// How far a paced run was behind its schedule.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// At its last operation.
    pub behind_ns: u64,
    /// The P99 of waiting for dependencies and free places.
    pub wait_p99_ns: u64,
}

/// The schedule was kept when its last operation, and the wait of 99 % of them, were behind by at
/// most this share of the run, within these bounds.
const KEPT_SHARE: u64 = 100;
const KEPT_NS: (u64, u64) = (10_000_000, 100_000_000);

impl Backlog {
    /// Whether a run of `wall_ns` nanoseconds kept its schedule.
    pub fn is_small(self, wall_ns: u64) -> bool {
        self.behind_ns.max(self.wait_p99_ns) <= (wall_ns / KEPT_SHARE).clamp(KEPT_NS.0, KEPT_NS.1)
    }

    /// What a reader must know of a run with a backlog that is not small.
    pub fn not_sustained(self) -> String {
        format!("the load was not sustained: {}", self.words().replacen("its", "the", 1))
    }

    /// The larger delay first.
    fn words(self) -> String {
        let (behind, wait) = (units::ns(self.behind_ns as f64), units::ns(self.wait_p99_ns as f64));
        if self.behind_ns > self.wait_p99_ns {
            return format!(
                "its last operation started {behind} behind its schedule, and waiting for objects and free places has a \
                 P99 of {wait}"
            );
        }
        format!(
            "its operations waited for objects and free places with a P99 of {wait}, and the last one started {behind} \
             behind its schedule"
        )
    }
}

/// The verdict on a run of `wall_ns` nanoseconds; `backlog` of a run with a schedule.
pub fn verdict(spent: &Spent, wall_ns: u64, backlog: Option<Backlog>) -> Verdict {
    if let Some(kept) = backlog.filter(|b| b.is_small(wall_ns)) {
        let because = format!("the run was as long as its schedule: {}", kept.words());
        return Verdict { bound: "pace".to_owned(), because };
    }
    let known = spent.device_ns + spent.gpu_ns + spent.model_ns + spent.pace_ns + spent.copy_ns + spent.data_ns;
    let rest = wall_ns.saturating_sub(known);
    let shares = [
        (spent.device_ns, "device", "waiting for storage with I/O in flight"),
        (spent.copy_ns, "dram", "copying to and from memory tiers"),
        (spent.gpu_ns, "gpu", "waiting for copies to and from the GPU"),
        (spent.data_ns + rest, "generator", "making data up, checking it and submitting I/O"),
        (spent.model_ns, "model", "waiting for modelled tiers"),
        (spent.pace_ns, "pace", "waiting for the next operation of the schedule"),
    ];
    // With a backlog, idle time between bursts bounds nothing.
    let candidates = shares.into_iter().filter(|(_, word, _)| backlog.is_none() || *word != "pace");
    let (largest, bound, doing) = candidates.max_by_key(|share| share.0).expect("there are several");
    let share = |ns: u64| 100.0 * ns as f64 / wall_ns.max(1) as f64;
    let others: Vec<_> = shares
        .iter()
        .filter(|(ns, word, _)| *word != bound && share(*ns) >= 1.0)
        .map(|(ns, word, _)| format!("{word} {:.0} %", share(*ns)))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!("; the rest: {}", others.join(", ")) };
    let backlog = backlog.map_or_else(String::new, |b| format!("the schedule was not kept ({}); ", b.words()));
    let because = format!(
        "{backlog}the run thread spent {:.0} % of {} {doing}{others}",
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
        let verdict = verdict(&spent, 1000, None);
        assert_eq!(verdict.bound, "device");
        assert!(verdict.because.contains("70 % of 1.00 us") && verdict.because.contains("dram 20 %"), "{verdict:?}");
    }

    #[test]
    fn unexplained_time_is_the_generators() {
        assert_eq!(verdict(&Spent::default(), 10, None).bound, "generator");
    }

    #[test]
    fn a_kept_schedule_bounds_the_run_and_a_backlog_does_not() {
        let spent = Spent { device_ns: 900_000, ..Spent::default() };
        let of = |behind_ns, wait_p99_ns| verdict(&spent, 1_000_000, Some(Backlog { behind_ns, wait_p99_ns })).bound;
        assert_eq!([of(5_000, 0), of(20_000_000, 0), of(0, 20_000_000)], ["pace", "device", "device"]);
    }
}
