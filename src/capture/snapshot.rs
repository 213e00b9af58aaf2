//! What a running capture has counted so far.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::measure::block::BlockSet;
use crate::measure::histogram::Histogram;

/// The counts at one moment. They are read while they grow, so those of one moment may differ by
/// the requests of some microseconds; the final result is read after the programs are gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Since the capture began to count.
    pub elapsed: Duration,
    /// The target's.
    pub histograms: Vec<Histogram>,
    /// Everybody else's on the same devices.
    pub other: BlockSet,
    /// The target's requests at the devices now.
    pub in_flight: u64,
    /// What was lost or is counted apart, by cause.
    pub loss: BTreeMap<String, u64>,
}

impl Snapshot {
    /// The target's histogram of that name and direction.
    pub fn histogram(&self, name: &str, op: Option<&str>) -> Option<&Histogram> {
        self.histograms.iter().find(|h| h.is(name, op))
    }

    /// The target's histograms, counting from an `earlier` snapshot of the same capture.
    pub fn since(&self, earlier: &Snapshot) -> Vec<Histogram> {
        let one = |now: &Histogram| match earlier.histogram(&now.name, now.op.as_deref()) {
            Some(then) => now.since(then),
            None => now.clone(),
        };
        self.histograms.iter().map(one).collect()
    }
}
