//! A trace over time in bounded memory: how full its tiers are, and when requests arrive. The
//! memory is that of the keys that are live, and of one number for each request.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::{Input, Meta, Op, Phase, Record, RequestsReader, Tier, TraceReader};

/// Intervals that a trace is cut into at most; half as many at least, when it has any length.
const INTERVALS: usize = 480;
/// Intervals of arrivals.
const ARRIVAL_INTERVALS: i64 = 200;
/// The first interval, in ns; it is doubled as the trace goes on.
const FIRST_INTERVAL_NS: i64 = 1_000;
/// Windows in which arrivals are counted, in ns: 10 ms to 100 s.
const WINDOWS_NS: [i64; 9] = [
    10_000_000,
    30_000_000,
    100_000_000,
    300_000_000,
    1_000_000_000,
    3_000_000_000,
    10_000_000_000,
    30_000_000_000,
    100_000_000_000,
];
/// Windows below which a variance says nothing.
const LEAST_WINDOWS: i64 = 10;
/// Rows between two looks at the stop flag.
const STRIDE: u64 = 8192;

/// A trace over time.
#[derive(Clone, Debug, PartialEq)]
pub struct OverTime {
    /// The metadata of the trace.
    pub meta: Meta,
    /// The length of an interval in seconds.
    pub interval_s: f64,
    /// The most bytes live at once in each interval, by tier.
    pub occupancy: [Vec<u64>; 3],
    /// The most bytes ever live at once, by tier.
    pub peak_bytes: [u64; 3],
    /// The length of an interval of arrivals in seconds.
    pub arrival_interval_s: f64,
    /// Requests that arrived in each interval from the start of the trace to the last arrival.
    pub arrivals: Vec<u64>,
    /// Where the arrivals are from: `requests`, `first rows` of requests, or `rows` where nothing
    /// says whose they are.
    pub arrivals_from: &'static str,
    /// The index of dispersion of arrivals: variance over mean of how many come in a window of so
    /// many seconds, 1 for a Poisson process (Cox and Lewis, "The Statistical Analysis of Series of
    /// Events", 1966). Windows of which too few fit are left out.
    pub dispersion: Vec<(f64, f64)>,
    /// Rows of the trace.
    pub rows: u64,
    /// Whether the trace says what leaves its last tier.
    pub has_deletes: bool,
}

impl OverTime {
    /// Reads a trace once, and the requests file beside it.
    ///
    /// # Errors
    /// When one cannot be read, or the user asked to stop.
    pub fn of(path: &Path, stop: &Stop, progress: &dyn Progress) -> Result<(Self, String)> {
        let input = Input::open_until(path, stop)?;
        let mut reader = TraceReader::of(input)?;
        let meta = reader.meta().clone();
        let digest = reader.sha256().to_owned();
        let copies = meta.flags.get("placement").and_then(|value| value.as_str()) == Some("inclusive");
        let mut live = Live { copies, ..Live::default() };
        let mut stamps = Stamps::default();
        let mut rows = 0u64;
        progress.stage("reading the trace", meta.rows, "rows");
        for record in &mut reader {
            if rows.is_multiple_of(STRIDE) {
                if stop.requested() {
                    return Err(Error::interrupted("stopped while the trace was read"));
                }
                progress.advance(if rows == 0 { 0 } else { STRIDE });
            }
            let record = record?;
            rows += 1;
            stamps.row(&record);
            live.row(record);
        }
        progress.done();
        let (mut stamps, arrivals_from) = match RequestsReader::beside(path, &meta)? {
            Some(requests) => (arrivals(requests, stop)?, "requests"),
            None => stamps.taken(),
        };
        stamps.sort_unstable();
        let (arrival_ns, counts) = counted(&stamps);
        let over = Self {
            meta,
            interval_s: live.clock.interval_ns as f64 / 1e9,
            arrival_interval_s: arrival_ns as f64 / 1e9,
            peak_bytes: live.peak,
            has_deletes: live.deletes,
            occupancy: live.finish(),
            arrivals: counts,
            arrivals_from,
            dispersion: dispersion(&stamps),
            rows,
        };
        Ok((over, digest))
    }
}

/// How many of some sorted stamps are in each of a few intervals, and how long one is.
fn counted(stamps: &[i64]) -> (i64, Vec<u64>) {
    let last = stamps.last().copied().unwrap_or(0).max(0);
    let interval_ns = (last / ARRIVAL_INTERVALS + 1).max(FIRST_INTERVAL_NS);
    let mut counts = vec![0u64; if stamps.is_empty() { 0 } else { (last / interval_ns) as usize + 1 }];
    for stamp in stamps {
        counts[((*stamp).max(0) / interval_ns) as usize] += 1;
    }
    (interval_ns, counts)
}

fn arrivals(requests: RequestsReader, stop: &Stop) -> Result<Vec<i64>> {
    let mut stamps = Vec::new();
    for request in requests {
        stamps.push(request?.arrival_ns);
        if (stamps.len() as u64).is_multiple_of(STRIDE) && stop.requested() {
            return Err(Error::interrupted("stopped while the requests were read"));
        }
    }
    Ok(stamps)
}

/// Stamps of what stands for a request, when no requests file says.
#[derive(Default)]
struct Stamps {
    first_rows: Vec<i64>,
    /// One above the highest ordinal so far: ordinals rise as requests come.
    next: u64,
    rows: Vec<i64>,
}

impl Stamps {
    fn row(&mut self, record: &Record) {
        match record.request {
            Some(request) if request >= self.next => {
                self.next = request + 1;
                self.first_rows.push(record.at_ns);
            }
            Some(_) => {}
            // Once one row says whose it is, those that do not are background work.
            None if self.next == 0 => self.rows.push(record.at_ns),
            None => {}
        }
    }

    fn taken(self) -> (Vec<i64>, &'static str) {
        if self.next > 0 { (self.first_rows, "first rows") } else { (self.rows, "rows") }
    }
}

/// Intervals that double when a trace outgrows them.
struct Clock {
    interval_ns: i64,
    used: usize,
}

/// What lives where.
struct Live {
    /// Whether an object that a read brings to a faster tier stays in the slower one too.
    copies: bool,
    sizes: HashMap<(Arc<str>, usize), u64>,
    bytes: [u64; 3],
    peak: [u64; 3],
    clock: Clock,
    most: [Vec<u64>; 3],
    /// The row before, when it read: the first half of a move, perhaps.
    read: Option<Record>,
    deletes: bool,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            copies: false,
            sizes: HashMap::new(),
            bytes: [0; 3],
            peak: [0; 3],
            clock: Clock { interval_ns: FIRST_INTERVAL_NS, used: 0 },
            most: [const { Vec::new() }; 3],
            read: None,
            deletes: false,
        }
    }
}

impl Live {
    fn row(&mut self, record: Record) {
        self.step_to(record.at_ns);
        let tier = record.tier.index();
        match record.op {
            Op::Write => {
                if let Some(from) = self.read.take().filter(|read| self.moves(read, &record)) {
                    self.leave(&from.key, from.tier);
                }
                self.leave(&record.key, record.tier);
                self.bytes[tier] = self.bytes[tier].saturating_add(record.size_bytes);
                self.sizes.insert((record.key, tier), record.size_bytes);
                self.peak[tier] = self.peak[tier].max(self.bytes[tier]);
            }
            Op::Delete => {
                self.deletes = true;
                self.read = None;
                self.leave(&record.key, record.tier);
            }
            Op::Read => self.read = Some(record),
        }
        self.note();
    }

    /// Whether a read and the write after it are one object going to another tier: an eviction's pair
    /// always, a promotion's unless the tier below keeps its copy.
    fn moves(&self, read: &Record, write: &Record) -> bool {
        let pair = read.key == write.key && read.at_ns == write.at_ns && read.tier != write.tier;
        let promotion = write.tier < read.tier && write.phase != Phase::Evict;
        let demotion = write.phase == Phase::Evict && read.phase == Phase::Evict;
        pair && (demotion || (promotion && !self.copies))
    }

    fn leave(&mut self, key: &Arc<str>, tier: Tier) {
        if let Some(size) = self.sizes.remove(&(Arc::clone(key), tier.index())) {
            self.bytes[tier.index()] = self.bytes[tier.index()].saturating_sub(size);
        }
    }

    fn step_to(&mut self, at_ns: i64) {
        while at_ns / self.clock.interval_ns >= INTERVALS as i64 {
            self.clock.interval_ns *= 2;
            for values in &mut self.most {
                *values = values.chunks(2).map(|pair| pair.iter().copied().max().unwrap_or(0)).collect();
            }
        }
        self.clock.used = (at_ns.max(0) / self.clock.interval_ns) as usize + 1;
        for (values, bytes) in self.most.iter_mut().zip(self.bytes) {
            // What lived before lives on in intervals without rows.
            values.resize(self.clock.used.max(values.len()), bytes);
        }
    }

    fn note(&mut self) {
        for (values, bytes) in self.most.iter_mut().zip(self.bytes) {
            if let Some(last) = values.last_mut() {
                *last = (*last).max(bytes);
            }
        }
    }

    fn finish(self) -> [Vec<u64>; 3] {
        self.most
    }
}

/// The index of dispersion of sorted stamps by the length of the window.
fn dispersion(stamps: &[i64]) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (stamps.first(), stamps.last()) else { return Vec::new() };
    let mut found = Vec::new();
    for window in WINDOWS_NS {
        // Only whole windows count: the last one is cut by the end of the trace.
        let whole = (last - first) / window;
        if whole < LEAST_WINDOWS {
            break;
        }
        let (mut squares, mut arrivals, mut at, mut here) = (0u128, 0u128, 0, 0u128);
        for stamp in stamps {
            let place = (stamp - first) / window;
            if place >= whole {
                break;
            }
            if place != at {
                squares += here * here;
                (at, here) = (place, 0);
            }
            here += 1;
            arrivals += 1;
        }
        squares += here * here;
        let mean = arrivals as f64 / whole as f64;
        let variance = squares as f64 / whole as f64 - mean * mean;
        if mean > 0.0 {
            found.push((window as f64 / 1e9, variance.max(0.0) / mean));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn record(at_ns: i64, op: Op, tier: Tier, phase: Phase, key: &str) -> Record {
        let (request, conversation, turn, tokens) = (None, None, None, None);
        Record { at_ns, op, size_bytes: 10, tier, key: key.into(), phase, request, conversation, turn, tokens }
    }

    #[test]
    fn a_move_leaves_and_a_copy_stays() {
        let demoted = [
            record(0, Op::Write, Tier::Gpu, Phase::Prefill, "a"),
            record(5, Op::Read, Tier::Gpu, Phase::Evict, "a"),
            record(5, Op::Write, Tier::Storage, Phase::Evict, "a"),
            record(9, Op::Read, Tier::Storage, Phase::Decode, "a"),
            record(9, Op::Write, Tier::Gpu, Phase::Decode, "a"),
        ];
        for (copies, expected) in [(false, [10, 0, 0]), (true, [10, 0, 10])] {
            let mut live = Live { copies, ..Live::default() };
            demoted.iter().cloned().for_each(|row| live.row(row));
            assert_eq!((live.bytes, live.peak), (expected, [10, 0, 10]), "copies {copies}");
        }
    }

    #[test]
    fn intervals_double_and_keep_the_most() {
        let mut live = Live::default();
        for i in 0..100_000i64 {
            let key = format!("{}", i % 7);
            live.row(record(i * 1_000_000, Op::Write, Tier::Dram, Phase::Prefill, &key));
        }
        assert!((INTERVALS / 2..=INTERVALS).contains(&live.most[1].len()), "{}", live.most[1].len());
        assert_eq!(live.most[1].iter().max(), Some(&70));
        assert_eq!(live.most[0].iter().max(), Some(&0));
    }

    #[test]
    fn dispersion_is_one_for_poisson_zero_for_a_clock_and_large_for_bursts() {
        let mut stream = Seed(3).stream("arrivals", 0, 0);
        let mut at = 0.0;
        let poisson: Vec<i64> = (0..50_000)
            .map(|_| {
                at += stream.exponential(1e7);
                at as i64
            })
            .collect();
        assert!(
            dispersion(&poisson).iter().take(5).all(|(_, index)| (0.8..1.2).contains(index)),
            "{:?}",
            dispersion(&poisson)
        );
        let clock: Vec<i64> = (0..50_000).map(|i| i * 10_000_000).collect();
        assert!(dispersion(&clock).iter().all(|(_, index)| *index < 0.01));
        let bursts: Vec<i64> = (0..50_000).map(|i| i / 100 * 1_000_000_000).collect();
        assert!(dispersion(&bursts)[0].1 > 50.0);
        assert!(dispersion(&[5]).is_empty() && dispersion(&[]).is_empty());
    }
}
