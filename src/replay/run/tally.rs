//! What the run counts while it runs. Everything is allocated before the clock starts.

use crate::measure::histogram::LogLinear;
use crate::measure::replay::{IoError, Series};
use crate::trace::{Op, Phase, Tier};

use super::files::FileTimes;
use super::interval_log::IntervalLog;
use super::kinds::{self, Kind, Kinds};
use super::op::{Leg, NEVER};
use super::per_request::PerRequest;
use crate::replay::content::verify::Suspect;
use crate::replay::gds::Count;

/// Failures and errors that are kept in full; more are only counted.
pub const KEPT: usize = 1000;

/// Intervals that a series has at most.
const INTERVALS: usize = 2048;
/// The first length of an interval.
const FIRST_INTERVAL_NS: u64 = 5_000_000;

/// How the run thread spent its time; the parts add up to the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Asleep while storage worked.
    pub device_ns: u64,
    /// Asleep while a modelled tier let time pass.
    pub model_ns: u64,
    /// Asleep until the schedule went on.
    pub pace_ns: u64,
    /// Copying to and from memory tiers.
    pub copy_ns: u64,
    /// Asleep while copies to and from a GPU were under way.
    pub gpu_ns: u64,
    /// Making data up and checking it.
    pub data_ns: u64,
}

/// Bytes of one tier.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moved {
    /// Bytes of objects read.
    pub read: u64,
    /// Bytes of objects written.
    pub written: u64,
    /// Bytes read or written beyond the objects' ends.
    pub read_padding: u64,
    /// The same for writes.
    pub write_padding: u64,
}

impl Moved {
    /// So many more bytes, with `padding` beyond the object's end.
    pub fn add(&mut self, write: bool, len: u64, padding: u64) {
        if write {
            (self.written, self.write_padding) = (self.written + len, self.write_padding + padding);
        } else {
            (self.read, self.read_padding) = (self.read + len, self.read_padding + padding);
        }
    }
}

/// What the run counts.
pub struct Tally {
    kinds: Kinds,
    /// Start less the moment it could have started.
    pub lateness: LogLinear,
    /// Waiting for dependencies and for free places.
    pub wait: LogLinear,
    /// Waiting for dependencies.
    pub dependency: LogLinear,
    /// Waiting for free places and for the limit of bytes in flight.
    pub queue: LogLinear,
    /// For each completion, how long nobody had looked for it at most.
    pub reap_gap: LogLinear,
    /// From queueing an I/O to its completion; reads and writes.
    pub io: [LogLinear; 2],
    /// By tier: from asking for an fdatasync or fsync of an object to its end.
    pub sync: [LogLinear; 3],
    /// The last margin of hybrid waiting.
    pub spin_margin_ns: Option<u64>,
    /// Rows executed.
    pub ops: u64,
    /// Rows of tiers that are left out.
    pub skipped: u64,
    /// Rows not executed because what they needed had failed.
    pub broken: u64,
    /// By tier.
    pub moved: [Moved; 3],
    /// What was asked about files, where every object has one.
    pub files: FileTimes,
    /// By storage target.
    pub volumes: Vec<Moved>,
    /// Where the time went.
    pub spent: Spent,
    /// I/Os that had not ended five seconds after the run had to.
    pub hung: u32,
    /// I/Os.
    pub chunks: u64,
    /// I/Os that the kernel did in part.
    pub short: u64,
    /// The first start.
    pub first_start: u64,
    /// The first start by the schedule.
    pub first_sched: u64,
    /// The last start by the schedule.
    pub last_sched: u64,
    /// The start of the operation that the schedule has last.
    pub last_start: u64,
    /// The last completion.
    pub last_done: u64,
    /// Errors, the first thousand.
    pub errors: Vec<IoError>,
    /// How many there were.
    pub error_count: u64,
    /// Wrong data, the first thousand.
    pub suspects: Vec<Suspect>,
    /// How much there was.
    pub suspect_count: u64,
    /// Elapsed time of making data up, helpers' included.
    pub fill_ns: u64,
    /// Elapsed time of checking it, helpers' included.
    pub verify_ns: u64,
    /// Bytes of objects that were checked.
    pub checked_bytes: u64,
    /// Stamps or sectors that were compared.
    pub checks: u64,
    /// What went by cuFile.
    pub gds: Count,
    /// What rows took by request; empty when nobody asked.
    pub requests: PerRequest,
    /// Latency by interval, when somebody asked.
    pub log: Option<IntervalLog>,
    series: Series,
}

impl Tally {
    /// Nothing counted yet; room for `requests` requests.
    pub fn new(requests: usize) -> Self {
        let mut series = Series { interval_s: FIRST_INTERVAL_NS as f64 / 1e9, ..Series::default() };
        for values in columns(&mut series) {
            values.reserve(INTERVALS);
        }
        Self {
            kinds: Kinds::new(),
            lateness: LogLinear::times(),
            wait: LogLinear::times(),
            dependency: LogLinear::times(),
            queue: LogLinear::times(),
            reap_gap: LogLinear::times(),
            io: [LogLinear::times(), LogLinear::times()],
            sync: [LogLinear::times(), LogLinear::times(), LogLinear::times()],
            spin_margin_ns: None,
            ops: 0,
            skipped: 0,
            broken: 0,
            moved: [Moved::default(); 3],
            files: FileTimes::new(),
            volumes: Vec::new(),
            spent: Spent::default(),
            hung: 0,
            chunks: 0,
            short: 0,
            first_start: NEVER,
            first_sched: NEVER,
            last_sched: 0,
            last_start: 0,
            last_done: 0,
            errors: Vec::new(),
            error_count: 0,
            suspects: Vec::new(),
            suspect_count: 0,
            fill_ns: 0,
            verify_ns: 0,
            checked_bytes: 0,
            checks: 0,
            gds: Count::default(),
            requests: PerRequest::new(requests),
            log: None,
            series,
        }
    }

    /// A leg has ended at `done`; response counts from `intended`.
    pub fn leg(&mut self, leg: &Leg, size: u64, intended: u64, done: u64, request: Option<u64>) {
        let (service, response) = (done.saturating_sub(leg.start), done.saturating_sub(intended));
        let kind = kinds::number(leg.tier, leg.op, leg.phase);
        self.kinds.record(kind, size, response, service);
        self.requests.ended(request, service, response);
        if let Some(log) = &mut self.log {
            log.record(kind, response, service, done);
        }
        self.ops += 1;
        self.last_done = self.last_done.max(done);
        self.at(done, |series, i| series.ops[i] += 1);
    }

    /// An operation has started: so late by our own fault, after waiting for dependencies and in
    /// queues.
    pub fn started(&mut self, now: u64, lateness: u64, dependency: u64, queue: u64) {
        self.first_start = self.first_start.min(now);
        self.lateness.record(lateness);
        self.dependency.record(dependency);
        self.queue.record(queue);
        self.wait.record(dependency + queue);
        self.at(now, |series, i| series.lateness_max_ns[i] = series.lateness_max_ns[i].max(lateness));
    }

    /// Bytes of an object were read from or written to a tier, with `padding` beyond its end.
    pub fn bytes(&mut self, tier: Tier, write: bool, len: u64, padding: u64, now: u64) {
        self.moved[tier.index()].add(write, len, padding);
        match (tier, write) {
            (Tier::Storage, false) => self.at(now, |series, i| series.tier2_read_bytes[i] += len),
            (Tier::Storage, true) => self.at(now, |series, i| series.tier2_write_bytes[i] += len),
            (Tier::Dram, _) => self.at(now, |series, i| series.tier1_bytes[i] += len),
            (Tier::Gpu, _) => {}
        }
    }

    /// An I/O error.
    pub fn error(&mut self, error: IoError) {
        self.error_count += 1;
        if self.errors.len() < KEPT {
            self.errors.push(error);
        }
    }

    /// Wrong data.
    pub fn suspect(&mut self, suspect: Suspect, blocks: u64) {
        self.suspect_count += blocks;
        if self.suspects.len() < KEPT {
            self.suspects.push(suspect);
        }
    }

    /// So many bytes were compared, in units of `unit` bytes.
    pub fn checked(&mut self, len: usize, unit: usize) {
        self.checked_bytes += len as u64;
        self.checks += len.div_ceil(unit) as u64;
    }

    /// The kinds of operations that there were, in the order tier, op, phase.
    pub fn kinds(&self) -> impl Iterator<Item = (Tier, Op, Phase, Kind)> {
        let all =
            kinds::all().enumerate().map(|(number, (tier, op, phase))| (tier, op, phase, self.kinds.whole(number)));
        all.filter(|(.., kind)| kind.ops > 0)
    }

    /// The size classes of one of them, with their largest sizes.
    pub fn sizes(&self, tier: Tier, op: Op, phase: Phase) -> impl Iterator<Item = (Option<u64>, &Kind)> {
        self.kinds.classes(kinds::number(tier, op, phase))
    }

    /// The run over time.
    pub fn series(&self) -> &Series {
        &self.series
    }

    fn at(&mut self, now: u64, add: impl FnOnce(&mut Series, usize)) {
        loop {
            let index = (now as f64 / 1e9 / self.series.interval_s) as usize;
            if index >= INTERVALS {
                halve(&mut self.series);
                continue;
            }
            if index >= self.series.ops.len() {
                columns(&mut self.series).iter_mut().for_each(|values| values.resize(index + 1, 0));
            }
            return add(&mut self.series, index);
        }
    }
}

fn columns(series: &mut Series) -> [&mut Vec<u64>; 5] {
    [
        &mut series.tier2_read_bytes,
        &mut series.tier2_write_bytes,
        &mut series.tier1_bytes,
        &mut series.ops,
        &mut series.lateness_max_ns,
    ]
}

/// Makes intervals twice as long.
fn halve(series: &mut Series) {
    series.interval_s *= 2.0;
    let [read, written, memory, ops, late] = columns(series);
    for values in [read, written, memory, ops] {
        *values = values.chunks(2).map(|pair| pair.iter().sum()).collect();
    }
    *late = late.chunks(2).map(|pair| pair.iter().copied().max().unwrap_or(0)).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_longer_intervals_and_loses_nothing() {
        let mut tally = Tally::new(0);
        for second in 0..100 {
            tally.bytes(Tier::Storage, true, 7, 0, second * 1_000_000_000);
            tally.started(second * 1_000_000_000, second, 0, 0);
        }
        let series = tally.series();
        assert!(series.tier2_write_bytes.len() <= INTERVALS && series.interval_s < 0.1);
        assert_eq!(series.tier2_write_bytes.iter().sum::<u64>(), 700);
        assert_eq!(series.lateness_max_ns.iter().max(), Some(&99));
        assert_eq!(series.ops.len(), series.tier2_write_bytes.len());
    }
}
