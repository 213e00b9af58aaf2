//! What a capture says of its load, in the terms of a fio job.

use crate::measure::{BlockResult, Histogram};

use super::batch::Batch;
use super::budget;
use super::bursts::Bursts;
use super::cached::Cached;
use super::depth::{InFlight, ceiling, edge, overlap, wall};
use super::engine::Engine;
use super::journal;
use super::pace::{Pace, Paced, span_ns};
use super::pieces;
use super::sizes::SizeMix;
use super::streams::{Direction, Habits, Load, Stream};
use super::threads::{self, Threads};
use super::zones::Zones;

/// Syncs of which there are fewer than this many requests each, written ones, are the load's own;
/// rarer ones belong to its end.
const RAREST_SYNC: u64 = 10_000;
/// The shares of all requests and of all bytes below which a direction is left out: what a command
/// reads to start (its program, its libraries) is not its load.
const STRAY_REQUESTS: f64 = 0.01;
const STRAY_BYTES: f64 = 0.002;
/// How many times the mean in flight the number is at most at which a queue is kept that fills and
/// drains: more is a burst. A full queue of which the host takes long to serve all has less than the
/// latter half of its depths.
const FILLS: f64 = 2.0;
/// The share of requests in flight at most, of those counted, for which a paced job has room.
const ROOM: f64 = 0.999;

/// fio's `sync` of files that were opened with O_DSYNC.
pub const DSYNC: &str = "dsync";
/// How near to its writes, or its calls, the flushes of such a file are, relative.
const EACH: f64 = 0.02;

/// A load.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Sizes and depths of reads and of writes.
    pub loads: [Load; 2],
    /// A direction that was left out because there is so little of it, with its requests.
    pub stray: Option<(Direction, u64)>,
    /// How requests began.
    pub paced: Paced,
    /// Where they went.
    pub zones: Zones,
    /// The share of each direction's requests that began where the last one ended; none where that
    /// was not captured.
    pub sequential: [Option<f64>; 2],
    /// Whether reads and writes each keep a queue of their own full.
    pub apart: bool,
    /// Whether what is kept in flight is a number of bytes.
    pub by_bytes: bool,
    /// What each direction's requests were asked for with, where that is known.
    pub engines: [Option<Engine>; 2],
    /// How many requests were asked for at once, where that is known and more than one.
    pub batch: Option<Batch>,
    /// How many threads share the work evenly, where that is known and more than one.
    pub threads: Option<Threads>,
    /// Whether several threads ask, or one for each direction.
    pub several: bool,
    /// How often written data was made durable.
    pub sync: Option<Sync>,
    /// The calls that a job repeats instead of all that, where the source wrote through the page cache.
    pub cached: Option<Cached>,
    /// What the device took at once where it split larger requests, bytes; sizes and depths are those of
    /// whole ones then.
    pub split_at: Option<u64>,
}

/// Writes and then a sync, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sync {
    /// fio's option: `fsync` or `fdatasync`; or [`DSYNC`], the value of its `sync`.
    pub option: &'static str,
    /// Write requests to one sync.
    pub every: u64,
    /// Syncs that were counted.
    pub count: u64,
    /// Writes of the filesystem's journal that they caused, which are not among the load's.
    pub journal: u64,
}

impl Source {
    /// From a capture's target.
    pub fn of(block: &BlockResult) -> Self {
        Self::within(block, block)
    }

    /// A part of a capture's target, on the parts of the device that the `whole` of it touched.
    pub fn within(whole: &BlockResult, block: &BlockResult) -> Self {
        let sync = Sync::of(block);
        match sync.and_then(|sync| journal::without(block, sync.count).map(|own| (sync, own))) {
            Some((sync, (own, journal))) => {
                let writes = own.histogram("size", Some("write")).map_or(0, |h| h.count);
                let every = (writes as f64 / sync.count as f64).round().max(1.0) as u64;
                // The journal is no place of the load's, in the whole of it either.
                let all = journal::without(whole, Sync::of(whole).map_or(sync.count, |sync| sync.count));
                let all = all.map_or_else(|| own.clone(), |(all, _)| all);
                Self::with(&all, &own, Some(Sync { every, journal, ..sync }))
            }
            None => Self::with(whole, block, sync),
        }
    }

    fn with(whole: &BlockResult, block: &BlockResult, sync: Option<Sync>) -> Self {
        let writes_only = load(block, Direction::Read).mix.count() == 0 || left_out(block) == Some(Direction::Read);
        let cached = sync.filter(|_| writes_only).and_then(|sync| Cached::of(block, &sync));
        let whole_requests = pieces::joined(whole, block).filter(|_| cached.is_none());
        let pieces = block;
        let block = whole_requests.as_ref().map_or(block, |whole| &whole.block);
        let mut loads = Direction::ALL.map(|direction| load(block, direction));
        let engines = Direction::ALL.map(|d| Engine::of(block, d, loads[d as usize].mix.count()));
        let in_order = Direction::ALL.map(|direction| sequential(block, direction));
        let each = requests(pieces) as f64 / requests(block).max(1) as f64;
        let batch = Batch::of(block, each).or_else(|| Batch::of(whole, each));
        let batch = batch.filter(|batch| !batch.joins(pieces, in_order));
        let threads = Threads::of(block).or_else(|| Threads::of(whole));
        // As many requests of many sizes are sometimes more pieces and sometimes fewer.
        let varied = whole_requests.is_some() && loads.iter().any(|load| load.mix.sizes().len() > 1);
        let apart = keep_full(&mut loads, block, engines, (batch, threads), varied);
        let stray = stray(&loads);
        if let Some((direction, _)) = stray {
            loads[direction as usize] = Load::default();
        }
        // Two jobs would each sync for themselves.
        let one_queue = threads.is_none() && !engines.contains(&Some(Engine::Calls)) && !apart && sync.is_none();
        let by_bytes = one_queue && budget::keeps_bytes(block, &loads, in_order);
        // A pace leaves walls in each direction's depths, too, which are no queues of their own.
        let asked = threads::several(block).or_else(|| threads::several(whole)).unwrap_or(apart);
        Self {
            several: asked || engines[0] != engines[1],
            by_bytes,
            loads,
            stray,
            paced: Paced::of(block, sync.map(|sync| sync.count)),
            zones: Zones::within(whole, block),
            sequential: in_order,
            apart,
            engines,
            batch,
            threads,
            sync: sync.map(|sync| Sync { every: to_each(sync.every, pieces, block), ..sync }),
            cached,
            split_at: whole_requests.as_ref().map(|whole| whole.limit),
        }
    }

    /// How its requests began, or its calls.
    pub fn pace(&self) -> &Paced {
        self.cached.as_ref().map_or(&self.paced, |cached| &cached.paced)
    }

    /// The share of a direction that a job has in order; none where that was not captured.
    pub fn in_order(&self, direction: Direction) -> Option<f64> {
        match &self.cached {
            Some(cached) => cached.sequential,
            None => self.sequential[direction as usize],
        }
    }

    /// The threads that a job stands for; none where it is one's. Calls that wait are as many threads as there
    /// are of them in flight, where nothing says more.
    pub fn threads_of(&self, stream: &Stream) -> Option<u32> {
        let counted = self.threads.filter(|_| !self.apart).map(|threads| threads.count);
        match stream.engine? {
            Engine::Calls if stream.depth > 1 => Some(stream.depth),
            Engine::Uring | Engine::Aio => counted,
            _ => None,
        }
    }

    /// What the requests of some directions were asked for with, where that is one thing.
    pub fn engine(&self, directions: impl Iterator<Item = Direction>) -> Option<Engine> {
        let mut engines = directions.map(|direction| self.engines[direction as usize]);
        let first = engines.next()??;
        engines.all(|engine| engine == Some(first)).then_some(first)
    }

    /// Whether reads and writes are in one queue, each as many of it as the device and chance make it: in flight
    /// at the same times, and kept by one depth.
    pub fn shares_a_queue(&self, block: &BlockResult) -> bool {
        let both = self.loads.iter().all(|load| load.mix.count() > 0);
        let own = matches!(self.paced.pace, Pace::Rate { .. } | Pace::Mixed(Bursts::Apart { .. }));
        both && !self.apart && !own && overlap(block) >= TOGETHER
    }

    /// All bytes that were moved.
    pub fn bytes(&self) -> u128 {
        self.loads.iter().map(|load| load.mix.bytes()).sum()
    }

    /// A size that is no multiple of 4 KiB.
    pub fn odd_size(&self) -> Option<u64> {
        let sizes = self.loads.iter().flat_map(|load| load.mix.sizes());
        sizes.map(|size| size.0).find(|size| !size.is_multiple_of(4096))
    }

    /// What its jobs have to keep beside sizes and depths.
    pub fn habits(&self) -> Habits {
        Habits {
            syncs: self.sync.is_some(),
            apart: self.apart,
            split: self.split_at.is_some(),
            by_bytes: self.by_bytes,
            several: self.several,
            ..Habits::default()
        }
    }

    /// The largest that the device got at once; 0 when there is none.
    pub fn largest_piece(&self) -> u64 {
        self.split_at.unwrap_or(u64::MAX).min(self.largest())
    }

    /// The largest request; 0 when there is none.
    pub fn largest(&self) -> u64 {
        self.loads.iter().filter_map(|load| load.mix.sizes().last()).map(|size| size.0).max().unwrap_or(0)
    }
}

impl Sync {
    fn of(block: &BlockResult) -> Option<Self> {
        let count = |name: &str| block.histogram(name, None).map_or(0, |h| h.count);
        let writes = block.histogram("size", Some("write")).map_or(0, |h| h.count);
        // Writes that each end with a flush, and no calls that would ask for it.
        let flushes = count("flush");
        let watched = block.histogram("fsync", None).is_some();
        let near = |of: u64| (flushes as f64 / of.max(1) as f64 - 1.0).abs() <= EACH;
        let each = near(writes) || (near(count("cached_write")) && near(count("syscall_write")));
        if watched && each && flushes > 1 && count("fsync") + count("fdatasync") == 0 {
            return Some(Self { option: DSYNC, every: 1, count: flushes, journal: 0 });
        }
        // Without system calls, a flush of the device stands for the call that caused it.
        let seen = [("fsync", count("fsync")), ("fdatasync", count("fdatasync")), ("fdatasync", count("flush"))];
        let (option, count) = match seen[..2].iter().max_by_key(|(_, count)| *count) {
            Some(&(option, count)) if count > 0 => (option, count),
            _ => seen[2],
        };
        let every = writes.checked_div(count)?.max(1);
        (writes > 0 && count > 1 && every <= RAREST_SYNC).then_some(Self { option, every, count, journal: 0 })
    }
}

/// The direction of which a capture has next to nothing, so that a job of it has nothing.
pub fn left_out(block: &BlockResult) -> Option<Direction> {
    stray(&Direction::ALL.map(|direction| load(block, direction))).map(|(direction, _)| direction)
}

/// Writes to a sync, of whole requests instead of pieces.
fn to_each(every: u64, pieces: &BlockResult, whole: &BlockResult) -> u64 {
    let writes = |block: &BlockResult| block.histogram("size", Some("write")).map_or(0, |h| h.count) as f64;
    ((every as f64 * writes(whole) / writes(pieces).max(1.0)).round() as u64).max(1)
}

/// Raises the means in flight to the number at which the queue was kept, or those at which each
/// direction's was; says whether those are two. What is asked for in two ways has two queues. Of pieces of which
/// requests have `varied` numbers none is kept.
fn keep_full(
    loads: &mut [Load; 2],
    block: &BlockResult,
    engines: [Option<Engine>; 2],
    (batch, threads): (Option<Batch>, Option<Threads>),
    varied: bool,
) -> bool {
    let mean: f64 = loads.iter().filter(|load| load.mix.count() > 0).map(|load| load.in_flight).sum();
    let kept = waits(block, batch, mean)
        .or_else(|| of_each(block, threads, mean))
        .or_else(|| wall(block, None))
        .or_else(|| ceiling(block).filter(|_| !varied))
        .filter(|kept| *kept <= mean * FILLS);
    let together = kept.or_else(|| edge(block).filter(|_| is_fast(block))).filter(|kept| *kept > mean);
    let own = Direction::ALL.map(|direction| wall(block, Some(direction)));
    if let ([Some(reads), Some(writes)], Some(most)) = (own, most(block)) {
        // A queue of both has walls for each too, of which one is full when the other is empty.
        if reads + writes <= most * ADD_UP && loads.iter().all(|load| load.mix.count() > 0) {
            loads.iter_mut().zip([reads, writes]).for_each(|(load, kept)| load.in_flight = kept);
            return true;
        }
    }
    if let [Some(reads), Some(writes)] = engines
        && reads != writes
    {
        for (load, kept) in loads.iter_mut().zip(own) {
            load.in_flight = kept.unwrap_or(load.in_flight);
        }
        return true;
    }
    if let Some(kept) = together {
        loads.iter_mut().for_each(|load| load.in_flight *= kept / mean);
    }
    false
}

/// The most in flight of a program that fills its queue when a batch has ended: up to so many fewer are in
/// flight most of the time.
fn waits(block: &BlockResult, batch: Option<Batch>, mean: f64) -> Option<f64> {
    let Some(Batch::Of(many)) = batch else { return None };
    most(block).filter(|most| *most > mean && *most <= mean + f64::from(many))
}

/// The most in flight of threads that each keep as many, which is so many times that, though one or the other of
/// them waits for a processor.
fn of_each(block: &BlockResult, threads: Option<Threads>, mean: f64) -> Option<f64> {
    let threads = threads?.count;
    most(block).filter(|most| *most > mean && (*most as u64).is_multiple_of(u64::from(threads)))
}

/// How much of the rarer direction's time the other one is in flight too, of one queue, at least.
const TOGETHER: f64 = 0.5;

/// Whether requests follow one another as fast as a program asks for them.
fn is_fast(block: &BlockResult) -> bool {
    span_ns(block).is_some_and(|span| span <= FAST_NS * requests(block) as f64)
}

fn requests(block: &BlockResult) -> u64 {
    Direction::ALL.iter().filter_map(|d| block.histogram("size", Some(d.word()))).map(|h| h.count).sum()
}

/// The mean time between requests up to which the one who asks for them may be as slow as the device: a
/// thread of fio takes 4 to 7 us for each here.
const FAST_NS: f64 = 10_000.0;

/// The most in flight, of both directions, but for a fiftieth of the time: requests whose ends were lost
/// count for longer.
fn most(block: &BlockResult) -> Option<f64> {
    let depths = block.histogram("inflight_time", None).filter(|depths| depths.count > 0)?;
    depths.quantile(FULL).map(f64::ceil)
}

/// The share of the time in which no more than both queues are in flight.
const FULL: f64 = 0.98;

/// How many times the most in flight two queues are at most that are full at the same time.
const ADD_UP: f64 = 1.05;

/// The direction of which there is next to nothing.
fn stray(loads: &[Load; 2]) -> Option<(Direction, u64)> {
    let requests: u64 = loads.iter().map(|load| load.mix.count()).sum();
    let bytes: u128 = loads.iter().map(|load| load.mix.bytes()).sum();
    let little = |load: &Load| {
        let (count, moved) = (load.mix.count() as f64, load.mix.bytes() as f64);
        count > 0.0 && count < STRAY_REQUESTS * requests as f64 && moved < STRAY_BYTES * bytes as f64
    };
    Direction::ALL.into_iter().find(|d| little(&loads[*d as usize])).map(|d| (d, loads[d as usize].mix.count()))
}

fn load(block: &BlockResult, direction: Direction) -> Load {
    let word = Some(direction.word());
    let most = |h: &Histogram| h.quantile(ROOM).map_or(1, |most| most.ceil().clamp(1.0, 65_536.0) as u32);
    Load {
        mix: block.histogram("size", word).map(SizeMix::from_histogram).unwrap_or_default(),
        in_flight: InFlight::of(block, direction).map_or(1.0, |in_flight| in_flight.mean),
        most_in_flight: block.histogram("inflight", word).filter(|h| h.count > 0).map_or(1, most),
    }
}

/// The share of a direction's requests that began where its last one ended; none where no seek was
/// captured.
pub fn sequential(block: &BlockResult, direction: Direction) -> Option<f64> {
    let seek = block.histogram("seek", Some(direction.word())).filter(|h| h.count > 0)?;
    let at_once: u64 = seek.buckets.iter().filter(|bucket| bucket.0 == 0).map(|bucket| bucket.2).sum();
    Some(at_once as f64 / seek.count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    fn counted(name: &str, op: Option<&str>, values: &[(u64, u64)]) -> Histogram {
        let mut counter = LogLinear::times();
        values.iter().for_each(|&(value, count)| counter.record_many(value, count));
        counter.save(name, op, "ns")
    }

    fn sync_of(calls: &[(&str, u64)], writes: u64) -> Option<Sync> {
        let calls = calls.iter().map(|&(name, count)| counted(name, None, &[(1000, count)]));
        let histograms = calls.chain([counted("size", Some("write"), &[(4096, writes)])]).collect();
        Sync::of(&BlockResult { histograms, ..BlockResult::default() })
    }

    #[test]
    fn syncs_are_counted_by_the_writes_between_them() {
        let sync = |option, every, count| Some(Sync { option, every, count, journal: 0 });
        assert_eq!(sync_of(&[("fsync", 100), ("flush", 100)], 1600), sync("fsync", 16, 100));
        assert_eq!(sync_of(&[("fdatasync", 100), ("fsync", 1)], 1600), sync("fdatasync", 16, 100));
        assert_eq!(sync_of(&[("flush", 50)], 1600), sync("fdatasync", 32, 50), "a capture without system calls");
        assert_eq!(sync_of(&[("fdatasync", 1)], 1600), None, "one at the end");
        assert_eq!(sync_of(&[], 1600), None);
        assert_eq!(sync_of(&[("fsync", 10)], 0), None);
    }

    #[test]
    fn pieces_of_many_sizes_have_the_depth_that_they_have_on_average() {
        let in_flight = |varied| {
            let depths = [(20, 200), (24, 100), (26, 300), (27, 200), (28, 100), (29, 60), (30, 30), (31, 10)];
            let block =
                BlockResult { histograms: vec![counted("inflight_time", None, &depths)], ..BlockResult::default() };
            let mix = SizeMix::from_sizes([(4096, 10), (1 << 20, 10)]);
            let mut loads = [Load { mix, in_flight: 25.6, most_in_flight: 31 }, Load::default()];
            assert!(!keep_full(&mut loads, &block, [None; 2], (None, None), varied));
            loads[0].in_flight
        };
        assert!((in_flight(true) - 25.6).abs() < 1e-9 && in_flight(false) > 26.0, "{}", in_flight(false));
    }

    #[test]
    fn a_seek_of_nothing_is_sequential() {
        let seek = Histogram {
            buckets: vec![(-4096, -4095, 10), (0, 1, 80), (512, 513, 10)],
            count: 100,
            ..counted("seek", Some("read"), &[])
        };
        let block = BlockResult { histograms: vec![seek], ..BlockResult::default() };
        assert_eq!(Source::of(&block).sequential, [Some(0.8), None]);
    }
}
