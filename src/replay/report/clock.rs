//! How well the run kept its schedule and its clock, and from where on that makes its times wrong.

use crate::measure::Histogram;
use crate::measure::histogram::LogLinear;
use crate::measure::replay::Timing;
use crate::measure::sample::{least_sample, quantile_name};
use crate::units;

use super::Ended;
use crate::replay::config::Pace;
use crate::replay::prepare::Backend;

/// The least bound of lateness: beyond it, and beyond a share of the service time, a schedule
/// was not kept.
const LATE_NS: f64 = 100_000.0;
/// That share.
const LATE_SHARE: f64 = 0.05;

/// The bound of the reap gap of a run with a schedule, in ns.
const GAP_NS: f64 = 1e6;
/// Without a schedule, the quantiles at which gaps are compared with service times.
const COMPARED: [f64; 2] = [0.5, 0.99];
/// The share of the service time from which a gap is worth a word: the time is that much too long
/// at most.
const NOTED_SHARE: f64 = 0.1;
/// The share from which a time may be more the replay's own than the device's.
const OWN_SHARE: f64 = 0.5;

impl Ended<'_> {
    /// The timing.
    pub fn timing(&self) -> Timing {
        let tally = self.tally;
        let median = self.service(|_| true).quantile(0.5).unwrap_or(0.0);
        let bound = LATE_NS.max(LATE_SHARE * median);
        let lateness = tally.lateness.save("lateness", None, "ns");
        let intended = tally.last_sched.saturating_sub(tally.first_sched);
        let actual = tally.last_start.saturating_sub(tally.first_start.min(tally.last_start));
        let paced = self.config.pace != Pace::Asap && intended > 0;
        Timing {
            pacing: self.config.pace.word().to_owned(),
            late_bound_ns: Some(bound),
            late_fraction: share_above(&lateness, bound),
            lateness,
            wait: tally.wait.save("wait", None, "ns"),
            dependency_wait: tally.dependency.save("dependency_wait", None, "ns"),
            queue_wait: tally.queue.save("queue_wait", None, "ns"),
            reap_gap: tally.reap_gap.save("reap_gap", None, "ns"),
            io: [("read", 0), ("write", 1)].map(|(op, i)| tally.io[i].save("io", Some(op), "ns")).to_vec(),
            spin_margin_ns: tally.spin_margin_ns.filter(|_| self.config.pace != Pace::Asap),
            drift_ppm: paced.then(|| (actual as f64 - intended as f64) / intended as f64 * 1e6),
        }
    }

    /// Service times of the tiers whose backend is wanted.
    fn service(&self, wanted: impl Fn(Backend) -> bool) -> Histogram {
        let mut service = LogLinear::times();
        let kinds = self.tally.kinds().filter(|(tier, ..)| wanted(self.stage.backends[tier.index()]));
        kinds.for_each(|(.., kind)| service.merge(&kind.service));
        service.save("service", None, "ns")
    }

    /// That the replay itself, and not what it measures, could not start operations in time.
    pub fn own_lateness(&self, timing: &Timing) -> Option<String> {
        let (late, bound) = (timing.lateness.quantile(0.99)?, timing.late_bound_ns?);
        (self.config.pace != Pace::Asap && late > bound).then(|| {
            format!(
                "the replay itself started operations late: its own start delay has a P99 of {}, the bound is {}; {}, \
                 or give it more processor time",
                units::ns(late),
                units::ns(bound),
                self.config.pace.way_out()
            )
        })
    }

    /// That completions were seen so late that times are not those of storage.
    pub fn late_looks(&self, timing: &Timing) -> Option<String> {
        if self.config.pace != Pace::Asap {
            return gap_of_a_schedule(&timing.reap_gap);
        }
        gap_beside_times(&timing.reap_gap, &self.storage_service(), OWN_SHARE)
    }

    /// That they were seen late enough to be said, but not so late.
    pub fn noted_looks(&self, timing: &Timing) -> Option<String> {
        if self.config.pace != Pace::Asap || self.late_looks(timing).is_some() {
            return None;
        }
        gap_beside_times(&timing.reap_gap, &self.storage_service(), NOTED_SHARE)
    }

    fn storage_service(&self) -> Histogram {
        self.service(|backend| matches!(backend, Backend::Storage(_)))
    }
}

/// The highest quantile that a sample carries and that gaps are judged by.
fn highest(count: u64) -> Option<f64> {
    [0.999, 0.99, 0.95].into_iter().find(|q| count >= least_sample(*q))
}

/// A completion is seen when the run thread looks, so that a time may be too long by the gap
/// before that look. With a schedule each time is read as what a lone operation takes: the P99.9
/// of the gaps, or the highest quantile that so many carry, must be below 1 ms.
fn gap_of_a_schedule(gaps: &Histogram) -> Option<String> {
    let q = highest(gaps.count)?;
    let gap = gaps.quantile(q).filter(|gap| *gap > GAP_NS)?;
    Some(format!(
        "completions were seen late: the time for which nobody had looked has a {} of {}, the bound is {}; give the \
         replay more processor time",
        quantile_name(q),
        units::ns(gap),
        units::ns(GAP_NS)
    ))
}

/// Without a schedule the device is kept busy and times are mostly queues, so that a gap matters
/// by its share of them: compared at the same quantile, as the long gaps are in the long times,
/// and only beyond 1 ms.
fn gap_beside_times(gaps: &Histogram, service: &Histogram, share: f64) -> Option<String> {
    if gaps.count < least_sample(0.99) {
        return None;
    }
    COMPARED.into_iter().find_map(|q| {
        let (gap, service) = (gaps.quantile(q)?, service.quantile(q)?);
        (gap > GAP_NS.max(share * service)).then(|| {
            format!(
                "completions were seen late: the time for which nobody had looked has a {0} of {1}, that of storage \
                 service a {0} of {2}; latencies are too long by up to that much, bytes per second are right",
                quantile_name(q),
                units::ns(gap),
                units::ns(service)
            )
        })
    })
}

/// The share of values that lie above `bound`.
fn share_above(histogram: &Histogram, bound: f64) -> f64 {
    let above: u64 = histogram.buckets.iter().filter(|b| b.0 as f64 > bound).map(|b| b.2).sum();
    if histogram.count == 0 { 0.0 } else { above as f64 / histogram.count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: &[(u64, u64)]) -> Histogram {
        let mut counter = LogLinear::times();
        values.iter().for_each(|&(us, count)| counter.record_many(us * 1000, count));
        counter.save("x", None, "ns")
    }

    #[test]
    fn gaps_of_a_schedule_are_judged_by_the_highest_quantile_that_they_carry() {
        let of = |values: &[(u64, u64)]| gap_of_a_schedule(&times(values));
        assert!(of(&[(10, 9_980), (5_000, 20)]).unwrap().contains("P99.9 of"));
        assert_eq!(of(&[(10, 9_995), (5_000, 5)]), None);
        assert!(of(&[(10, 390), (5_000, 10)]).unwrap().contains("P99 of"), "400 do not carry P99.9");
        assert_eq!(of(&[(10, 398), (5_000, 2)]), None);
        assert_eq!(of(&[(5_000, 30)]), None, "so few carry nothing");
    }

    #[test]
    fn without_a_schedule_gaps_are_judged_by_their_share_of_the_times() {
        let of =
            |gaps: &[(u64, u64)], service: &[(u64, u64)], share| gap_beside_times(&times(gaps), &times(service), share);
        let (slow, gaps) = ([(60_000, 900), (200_000, 100)], [(50, 900), (25_000, 100)]);
        assert!(of(&gaps, &slow, 0.1).unwrap().contains("P99 of"));
        assert_eq!(of(&gaps, &slow, 0.5), None, "25 ms of 200 ms");
        assert!(of(&gaps, &[(200, 900), (25_000, 100)], 0.5).is_some());
        assert!(of(&[(5_000, 1000)], &slow, 0.05).unwrap().contains("P50"));
        assert_eq!(of(&[(800, 1000)], &[(900, 1000)], 0.1), None, "below 1 ms");
        assert_eq!(of(&[(25_000, 100)], &slow, 0.1), None, "so few carry no P99");
    }
}
