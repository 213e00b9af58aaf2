//! Requests in a result: what storage cost each of them, and whether the targets of their classes
//! were met.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::sample::{least_sample, quantile_name};

/// Requests of the trace, as this run would have served them. Only those whose rows all ended
/// well are in the histograms; the others are counted apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// Requests in the histograms.
    pub count: u64,
    /// Requests that are not in them.
    #[serde(default)]
    pub apart: Apart,
    /// Of `count`, requests that asked nothing of any tier: their storage time is 0.
    #[serde(default)]
    pub without_rows: u64,
    /// Where each time comes from, by its name below: `measured` or `modelled`, and what of it.
    #[serde(default)]
    pub how: BTreeMap<String, String>,
    /// Sum of the service times of a request's rows.
    pub storage: Histogram,
    /// Sum of the response times of a request's rows.
    #[serde(default)]
    pub storage_response: Histogram,
    /// Wait for a worker in the recording.
    pub queue: Histogram,
    /// Generation in the recording.
    pub generation: Histogram,
    /// Queue, storage service and generation together.
    pub end_to_end: Histogram,
    /// Where the targets are from: `trace` (its metadata) or `defaults` (the reference's).
    #[serde(default)]
    pub targets_from: String,
    /// By QoS class.
    pub qos: BTreeMap<String, QosReport>,
}

/// Requests that are not averaged in, each in the first of these that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apart {
    /// A row failed, or was left out because what it needed had failed.
    pub failed: u64,
    /// A row is of a tier that is skipped.
    pub skipped: u64,
    /// The run ended, or the trace that was replayed did, before all their rows.
    pub unfinished: u64,
}

impl Apart {
    /// All of them.
    pub fn total(self) -> u64 {
        self.failed + self.skipped + self.unfinished
    }
}

/// One QoS class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QosReport {
    /// Requests of the class in the histograms.
    pub count: u64,
    /// That there were none, so that nothing is said of it.
    #[serde(default)]
    pub no_data: bool,
    /// Sum of the service times of a request's rows.
    #[serde(default)]
    pub storage: Histogram,
    /// Wait for a worker in the recording.
    #[serde(default)]
    pub queue: Histogram,
    /// Generation in the recording.
    #[serde(default)]
    pub generation: Histogram,
    /// Queue, storage service and generation together.
    pub end_to_end: Histogram,
    /// What was promised, and whether it was kept.
    #[serde(default)]
    pub targets: Vec<QosTarget>,
}

/// A target of a class for its end-to-end time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QosTarget {
    /// Of which quantile, e.g. 0.999.
    pub quantile: f64,
    /// The most milliseconds.
    pub target_ms: f64,
    /// The quantile that was reached; none when the requests are too few to carry it.
    pub measured_ms: Option<f64>,
    /// Requests within the target.
    pub within: u64,
    /// Their share; none without requests.
    pub share_within: Option<f64>,
    /// Whether the share is at least the quantile; none when it is and the requests are too few
    /// to promise that.
    pub met: Option<bool>,
    /// Why something is none.
    pub why_null: Option<String>,
}

impl QosTarget {
    /// What is to be said of a target of which `within` of the requests in `end_to_end` (ns) were.
    pub fn judge(quantile: f64, target_ms: f64, within: u64, end_to_end: &Histogram) -> Self {
        let (count, least) = (end_to_end.count, least_sample(quantile));
        let share = (count > 0).then(|| within as f64 / count as f64);
        let carried = count >= least;
        let why_null = if count == 0 {
            Some("no data".to_owned())
        } else if carried {
            None
        } else {
            Some(format!("{count} requests do not carry {}: it takes {least}", quantile_name(quantile)))
        };
        Self {
            quantile,
            target_ms,
            measured_ms: end_to_end.carried(quantile).map(|ns| ns / 1e6),
            within,
            share_within: share,
            met: share.and_then(|share| if share < quantile { Some(false) } else { carried.then_some(true) }),
            why_null,
        }
    }
}

impl QosReport {
    /// Adds the requests of the same class in another run.
    pub fn merge(&mut self, other: &QosReport) {
        self.count += other.count;
        self.no_data = self.count == 0;
        self.storage.merge(&other.storage);
        self.queue.merge(&other.queue);
        self.generation.merge(&other.generation);
        self.end_to_end.merge(&other.end_to_end);
        let theirs = |target: &QosTarget| {
            let same = other.targets.iter().find(|t| (t.quantile, t.target_ms) == (target.quantile, target.target_ms));
            same.map_or(0, |t| t.within)
        };
        for target in &mut self.targets {
            let within = target.within + theirs(target);
            *target = QosTarget::judge(target.quantile, target.target_ms, within, &self.end_to_end);
        }
    }
}

impl Requests {
    /// Adds other requests; each request must be in one of the results only.
    pub fn merge(&mut self, other: &Requests) {
        self.count += other.count;
        self.without_rows += other.without_rows;
        self.apart.failed += other.apart.failed;
        self.apart.skipped += other.apart.skipped;
        self.apart.unfinished += other.apart.unfinished;
        self.storage.merge(&other.storage);
        self.storage_response.merge(&other.storage_response);
        self.queue.merge(&other.queue);
        self.generation.merge(&other.generation);
        self.end_to_end.merge(&other.end_to_end);
        for (class, theirs) in &other.qos {
            match self.qos.get_mut(class) {
                Some(ours) => ours.merge(theirs),
                None => {
                    self.qos.insert(class.clone(), theirs.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    fn times(values: impl Iterator<Item = u64>) -> Histogram {
        let mut counter = LogLinear::times();
        values.for_each(|ms| counter.record(ms * 1_000_000));
        counter.save("end_to_end", None, "ns")
    }

    #[test]
    fn a_target_that_few_requests_cannot_carry_is_not_said_to_be_met() {
        let few = times((0..500).map(|i| i % 40));
        let judge = |q, within| QosTarget::judge(q, 100.0, within, &few);
        assert_eq!((judge(0.99, 500).met, judge(0.99, 490).met), (Some(true), Some(false)));
        let tail = judge(0.9999, 500);
        assert_eq!((tail.met, tail.measured_ms, tail.share_within), (None, None, Some(1.0)));
        assert!(tail.why_null.unwrap().contains("500 requests do not carry P99.99"));
        assert_eq!(judge(0.9999, 499).met, Some(false), "what was broken was broken");
        let nobody = QosTarget::judge(0.95, 100.0, 0, &Histogram::default());
        assert_eq!((nobody.met, nobody.share_within, nobody.why_null.as_deref()), (None, None, Some("no data")));
    }

    #[test]
    fn merged_requests_are_judged_anew() {
        let class = |count: u64, within: u64| {
            let end_to_end = times((0..count).map(|i| i % 40));
            let targets = vec![QosTarget::judge(0.99, 100.0, within, &end_to_end)];
            QosReport { count, end_to_end, targets, ..QosReport::default() }
        };
        let of = |report| Requests { qos: BTreeMap::from([("batch".to_owned(), report)]), ..Requests::default() };
        let mut sum = of(class(200, 200));
        assert_eq!(sum.qos["batch"].targets[0].met, None);
        sum.merge(&of(class(200, 200)));
        let target = &sum.qos["batch"].targets[0];
        assert_eq!((target.within, target.met, &target.why_null), (400, Some(true), &None));
    }
}
