//! A program that writes through the page cache and syncs. What the device sees of it is the kernel's
//! writeback: pages, all at once, and then nothing. A job that repeats the program's calls makes the
//! kernel do the same again, which no queue depth and no rate does.

use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::engine::Engine;
use super::pace::{ONE_THREAD, Pace, Paced, SATURATED, span_ns};
use super::pauses::own_pauses;
use super::sizes::{SizeMix, Split};
use super::source::{DSYNC, Sync, sequential};
use super::streams::{Brake, Direction, Part, Stream};

/// The share of the write calls that went through the page cache, at least: a line of a log is another
/// file's.
const NEARLY_ALL: f64 = 0.95;
/// What the device wrote over what was written to the page cache: less where pages were written twice
/// before a sync, more where parts of pages were.
const AS_MUCH: (f64, f64) = (0.9, 1.1);
/// The part of the time outside of calls that pauses of its own must make up, to be all that is copied.
const MOST: f64 = 0.8;

/// The calls of such a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Cached {
    /// Their sizes.
    pub calls: SizeMix,
    /// The share of them that began where the last one ended.
    pub sequential: Option<f64>,
    /// Calls to one sync.
    pub every: u64,
    /// How they began: bursts are counted in calls.
    pub paced: Paced,
    in_calls_ns: f64,
}

impl Cached {
    /// The calls of a source that only writes, where they are known, one thread made them, and they are
    /// what the device wrote.
    pub fn of(block: &BlockResult, sync: &Sync) -> Option<Self> {
        let counted = |name: &str| block.histogram(name, None).filter(|h| h.count > 0);
        let (cached, writes) = (counted("cached_write")?, counted("syscall_write")?);
        // With O_DSYNC each call is its own sync.
        let syncs =
            if sync.option == DSYNC { (cached.count, 0) } else { counted(sync.option).map(|h| (h.count, h.sum))? };
        let written = block.histogram("size", Some("write"))?.sum as f64 / cached.sum as f64;
        let span = span_ns(block)?;
        let in_calls = (writes.sum + syncs.1) as f64;
        let own = cached.count as f64 >= NEARLY_ALL * writes.count as f64
            && (AS_MUCH.0..=AS_MUCH.1).contains(&written)
            && in_calls <= ONE_THREAD * span;
        if !own {
            return None;
        }
        let every = (cached.count as f64 / syncs.0 as f64).round().max(1.0) as u64;
        let (count, own) = (cached.count as f64, own_pauses(block));
        Some(Self {
            calls: SizeMix::from_histogram(cached),
            sequential: in_order(block, cached),
            every,
            paced: paced(own, span, in_calls, (count, syncs.0 as f64)),
            in_calls_ns: in_calls,
        })
    }

    /// What wrote so much of the bytes in a part of the time, ns.
    pub fn part(&self, share: f64, span_ns: f64) -> Self {
        let part = |count: u64| ((count as f64 * share).round() as u64).max(1);
        let calls = SizeMix::from_sizes(self.calls.sizes().iter().map(|&(size, count)| (size, part(count))));
        let in_calls_ns = self.in_calls_ns * share;
        let count = calls.count() as f64;
        let paced = paced(None, span_ns, in_calls_ns, (count, (count / self.every as f64).max(1.0)));
        Self { calls, paced, in_calls_ns, ..self.clone() }
    }

    /// The one job.
    pub fn stream(&self) -> Stream {
        let part = Part { direction: Direction::Write, split: Split::of(&self.calls), mix: self.calls.clone() };
        let brake = match &self.paced.pace {
            Pace::Bursts { requests, idle_ns } => {
                Some(Brake::Think { requests: (*requests).max(1), us: idle_ns.div_ceil(1000).max(1) })
            }
            _ => None,
        };
        Stream { brake, engine: Some(Engine::PageCache), ..Stream::one("write".to_owned(), part, 1) }
    }
}

/// How many times what its calls wrote to the page cache the device wrote, where that is too much for a job
/// that repeats them.
pub fn written_beside(block: &BlockResult) -> Option<f64> {
    let counted = |name: &str| block.histogram(name, None).filter(|h| h.count > 0);
    let (cached, writes) = (counted("cached_write")?, counted("syscall_write")?);
    let written = block.histogram("size", Some("write"))?.sum as f64 / cached.sum.max(1) as f64;
    (cached.count as f64 >= NEARLY_ALL * writes.count as f64 && written > AS_MUCH.1).then_some(written)
}

/// The calls that were no jump: each jump of the device is one of a call.
fn in_order(block: &BlockResult, cached: &Histogram) -> Option<f64> {
    let jumps = block.histogram("seek", Some("write"))?.count as f64 * (1.0 - sequential(block, Direction::Write)?);
    Some((1.0 - jumps / cached.count as f64).max(0.0))
}

/// Whether the program did anything but write and sync, and when.
fn paced(own: Option<(f64, f64)>, span: f64, in_calls: f64, (calls, syncs): (f64, f64)) -> Paced {
    let share = in_calls / span;
    let percent = (share * 100.0).min(100.0);
    if share >= SATURATED {
        let why = format!("one thread was in write and sync calls in {percent:.0} % of the time: it does nothing else");
        return Paced { pace: Pace::Saturated, why };
    }
    let outside = span - in_calls;
    let own = own.filter(|&(count, ns)| ns >= MOST * outside && count <= syncs);
    let pauses = own.map_or(syncs, |own| own.0);
    Paced {
        pace: Pace::Bursts { requests: (calls / pauses).round() as u64, idle_ns: (outside / pauses) as u64 },
        why: format!(
            "one thread was in write and sync calls in {percent:.0} % of the time, and did something else {} times for {} \
             on average",
            units::count(pauses as u64),
            units::ns(outside / pauses)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::LogLinear;

    const S: u64 = 1_000_000_000;

    /// 100 times 16 calls of 64 KiB and a sync, 8 ms in calls each time; the device is busy for 2 ms, and
    /// what the program does beside takes `pause_ns`.
    fn writer(pause_ns: u64) -> BlockResult {
        let counted = |name: &str, op: Option<&str>, values: &[(u64, u64)]| {
            let mut counter = LogLinear::times();
            values.iter().for_each(|&(value, count)| counter.record_many(value, count));
            counter.save(name, op, if name == "cached_write" || name == "size" { "bytes" } else { "ns" })
        };
        let write = Some("write");
        let mut depths = LogLinear::new(5);
        depths.record_many(40, S / 5);
        let histograms = vec![
            counted("cached_write", None, &[(65_536, 1600)]),
            counted("syscall_write", None, &[(250_000, 1600)]),
            counted("fsync", None, &[(4_000_000, 100)]),
            counted("size", write, &[(4096, 25_600)]),
            counted("seek", write, &[(0, 25_600)]),
            counted("gap", write, &[(700, 25_500), (8_000_000 + pause_ns, 100)]),
            depths.save("inflight_time", None, "ios"),
        ];
        BlockResult { histograms, ..BlockResult::default() }
    }

    fn sync() -> Sync {
        Sync { option: "fsync", every: 256, count: 100, journal: 0 }
    }

    fn brake(cached: &Cached) -> Option<Brake> {
        cached.stream().brake
    }

    #[test]
    fn calls_stand_for_the_pages_that_they_wrote() {
        let cached = Cached::of(&writer(0), &sync()).unwrap();
        assert_eq!((cached.calls.sizes(), cached.every, cached.sequential), (&[(65_536, 1600)][..], 16, Some(1.0)));
        let stream = cached.stream();
        assert_eq!((stream.is_cached(), stream.depth, stream.brake), (true, 1, None), "{}", cached.paced.why);
    }

    #[test]
    fn what_else_it_does_is_a_pause_at_each_sync() {
        let cached = Cached::of(&writer(20_000_000), &sync()).unwrap();
        let Some(Brake::Think { requests: 16, us }) = brake(&cached) else { panic!("{cached:?}") };
        assert!((19_500..20_500).contains(&us), "{us}");
        // A half of it in half of the time does the same, in a quarter of the time it does not pause.
        assert_eq!(cached.part(0.5, 1.4e9).every, 16);
        assert!(matches!(brake(&cached.part(0.5, 1.4e9)), Some(Brake::Think { requests: 16, .. })));
        assert_eq!(brake(&cached.part(0.5, 0.45e9)), None);
    }

    #[test]
    fn other_writers_are_none() {
        let changed = |name: &str, change: &dyn Fn(&mut Histogram)| {
            let mut block = writer(0);
            block.histograms.iter_mut().filter(|h| h.name == name).for_each(change);
            Cached::of(&block, &sync())
        };
        let halve = |h: &mut Histogram| (h.count, h.sum) = (h.count / 2, h.sum / 2);
        assert_eq!(changed("cached_write", &halve), None, "half of its writes are direct");
        assert_eq!(changed("size", &halve), None, "half of what it wrote was written again before the sync");
        assert_eq!(changed("syscall_write", &|h: &mut Histogram| h.sum *= 4), None, "four threads");
        assert_eq!(changed("cached_write", &|h: &mut Histogram| h.name.clear()), None, "no calls were seen");
    }
}
