//! Times in which a source began nothing: whether its program makes them, and what lies between them.

use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::pace::{Pace, Paced, busy_ns, middle, span_ns};
use super::streams::Direction;

/// The squared coefficient of variation of pauses up to which they are a program's own, whatever
/// their length: what stops a program from outside is of many lengths. Random pauses have 1.
const REGULAR: f64 = 0.2;
/// And the mean pause from which on less regular ones are its own too: longer than what a scheduler
/// takes from one program for another.
const LONG_PAUSE_NS: f64 = 20_000_000.0;
/// The share of its time with requests in flight below which regular pauses are copied even so: what
/// a job without them would move too much is half of the bound on its throughput.
const GAPLESS: f64 = 0.95;
/// Pauses from which on they can be told to be regular.
const SEVERAL: f64 = 4.0;
/// And their mean from which on a scheduler's slices, which are alike too, do not make them (EEVDF's are
/// of some 3 ms, `sched_base_slice`).
const SLICE_NS: f64 = 6_000_000.0;
/// How many times the median gap those are that make up half of the idle time, from which on a source
/// pauses; of a Poisson process those that make up half of all time are 2.4.
const PAUSES: f64 = 8.0;
/// A pause is at least this part of those.
const PAUSE_SHARE: f64 = 0.25;
/// The part of the idle time that a program's own pauses must make up, to be all that is copied.
const MOST: f64 = 0.8;
/// The share of all time that pauses between syncs make up, at least.
const OF_ALL_TIME: f64 = 0.1;
/// Requests between two pauses from which on pauses are copied one by one; below, a rate does.
pub const BURST: f64 = 4.0;

/// The pauses that a program makes of its own, if it makes any: how many, and their time together, ns.
pub fn own_pauses(block: &BlockResult) -> Option<(f64, f64)> {
    let gap =
        Direction::ALL.into_iter().filter_map(|d| block.histogram("gap", Some(d.word()))).max_by_key(|h| h.count)?;
    let busy = block.histogram("inflight_time", None).map_or(0.0, busy_ns);
    let pauses = Pauses::of(gap, span_ns(block)? - busy).filter(Pauses::are_own)?;
    Some((pauses.count, pauses.ns))
}

/// The time in which a source had nothing in flight.
pub struct Idle {
    /// That time, ns.
    pub ns: f64,
    /// Requests of the source.
    pub requests: f64,
    /// All of its time, ns.
    pub span: f64,
}

/// Times in which nothing began. A pause is a gap of the kind in which most of the time lies, where
/// that is another kind than the gap between most requests.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// How many.
    pub count: f64,
    /// Together.
    ns: f64,
    /// The squared coefficient of variation of their lengths.
    variation: f64,
}

impl Pauses {
    /// Those of a source that was idle for so long, if there are any.
    pub fn of(gap: &Histogram, idle_ns: f64) -> Option<Self> {
        let (mut time, mut usual) = (0.0, 0.0);
        for bucket in gap.buckets.iter().rev() {
            time += middle(bucket) * bucket.2 as f64;
            if time >= idle_ns / 2.0 {
                usual = middle(bucket);
                break;
            }
        }
        if usual < PAUSES * gap.quantile(0.5)?.max(1.0) {
            return None;
        }
        let long = || gap.buckets.iter().filter(|bucket| middle(bucket) >= usual * PAUSE_SHARE);
        let (count, ns) = long().fold((0.0, 0.0), |sum, b| (sum.0 + b.2 as f64, sum.1 + middle(b) * b.2 as f64));
        let mean = ns / count;
        let squares: f64 = long().map(|b| (middle(b) - mean).powi(2) * b.2 as f64).sum();
        Some(Self { count, ns, variation: squares / count / (mean * mean) })
    }

    /// Whether the program pauses, not the host.
    pub fn are_own(&self) -> bool {
        self.variation <= REGULAR || self.ns / self.count >= LONG_PAUSE_NS
    }

    /// The bursts of a program that writes and then syncs, where its other pauses are not all that it has.
    pub fn between_syncs(&self, block: &BlockResult, syncs: u64, idle: &Idle) -> Option<Paced> {
        let burst = idle.requests / syncs as f64;
        if burst < BURST || (self.are_own() && self.ns >= MOST * idle.ns) || self.count >= idle.requests / BURST {
            return None;
        }
        // A job syncs too, and takes as long for it.
        let syncing = ["fsync", "fdatasync", "flush"].iter().filter_map(|name| block.histogram(name, None)?.mean());
        let pause_ns = (idle.ns / syncs as f64 - syncing.fold(0.0, f64::max)).max(0.0);
        if pause_ns * (syncs as f64) < OF_ALL_TIME * idle.span {
            return None;
        }
        Some(Paced {
            pace: Pace::Bursts { requests: burst.round() as u64, idle_ns: pause_ns as u64 },
            why: format!(
                "nothing was in flight in {:.0} % of the time, and most began right after another: {} syncs end bursts \
                 of {burst:.0}, with {} between them",
                idle.ns / idle.span * 100.0,
                units::count(syncs),
                units::ns(pause_ns)
            ),
        })
    }

    /// Whether a busy source has them by a clock, which nothing outside of it does.
    pub fn are_regular(&self, busy: f64) -> bool {
        let long = self.ns / self.count >= SLICE_NS;
        busy < GAPLESS && long && self.variation <= REGULAR && self.count >= SEVERAL
    }

    /// As a pace: so many requests, then a pause.
    pub fn paced(&self, requests: f64, span: f64) -> Paced {
        Paced {
            pace: Pace::Bursts {
                requests: (requests / self.count).round() as u64,
                idle_ns: (self.ns / self.count).round() as u64,
            },
            why: format!("nothing began in {:.0} % of the time, in {:.0} pauses", self.ns / span * 100.0, self.count),
        }
    }
}
