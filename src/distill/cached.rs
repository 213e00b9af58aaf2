//! A program that writes through the page cache and syncs. What the device sees of it is the kernel's
//! writeback: pages, all at once, and then nothing. A job that repeats the program's calls makes the
//! kernel do the same again, which no queue depth and no rate does.

use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::pace::{Pace, Paced, own_pauses, span_ns};
use super::sizes::{SizeMix, Split};
use super::source::{Sync, sequential};
use super::streams::{Brake, Direction, Part, Stream};

/// The share of the write calls that went through the page cache, at least: a line of a log is another
/// file's.
const NEARLY_ALL: f64 = 0.95;
/// What the device wrote over what was written to the page cache: less where pages were written twice
/// before a sync, more where parts of pages were.
const AS_MUCH: (f64, f64) = (0.9, 1.1);
/// The share of its time in write and sync calls from which on a program does nothing else, as far as
/// storage can tell.
const BUSY: f64 = 0.75;
/// And the most of it, which is one thread's.
const ONE_THREAD: f64 = 1.1;
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
}

impl Cached {
    /// The calls of a source that only writes, where they are known, one thread made them, and they are
    /// what the device wrote.
    pub fn of(block: &BlockResult, sync: &Sync) -> Option<Self> {
        let counted = |name: &str| block.histogram(name, None).filter(|h| h.count > 0);
        let (cached, writes) = (counted("cached_write")?, counted("syscall_write")?);
        let syncs = counted(sync.option)?;
        let written = block.histogram("size", Some("write"))?.sum as f64 / cached.sum as f64;
        let span = span_ns(block)?;
        let in_calls = (writes.sum + syncs.sum) as f64;
        let own = cached.count as f64 >= NEARLY_ALL * writes.count as f64
            && (AS_MUCH.0..=AS_MUCH.1).contains(&written)
            && in_calls <= ONE_THREAD * span;
        if !own {
            return None;
        }
        let every = (cached.count as f64 / syncs.count as f64).round().max(1.0) as u64;
        let paced = paced(block, span, in_calls, (cached.count as f64, syncs.count as f64));
        Some(Self { calls: SizeMix::from_histogram(cached), sequential: in_order(block, cached), every, paced })
    }

    /// The one job.
    pub fn stream(&self) -> Stream {
        let part = Part { direction: Direction::Write, split: Split::of(&self.calls), mix: self.calls.clone() };
        let brake = match self.paced.pace {
            Pace::Bursts { requests, idle_ns } => {
                Some(Brake::Think { requests: requests.max(1), us: idle_ns.div_ceil(1000).max(1) })
            }
            _ => None,
        };
        Stream { brake, cached: true, ..Stream::one("write".to_owned(), part, 1) }
    }
}

/// The calls that were no jump: each jump of the device is one of a call.
fn in_order(block: &BlockResult, cached: &Histogram) -> Option<f64> {
    let jumps = block.histogram("seek", Some("write"))?.count as f64 * (1.0 - sequential(block, Direction::Write)?);
    Some((1.0 - jumps / cached.count as f64).max(0.0))
}

/// Whether the program did anything but write and sync, and when.
fn paced(block: &BlockResult, span: f64, in_calls: f64, (calls, syncs): (f64, f64)) -> Paced {
    let share = in_calls / span;
    let percent = (share * 100.0).min(100.0);
    if share >= BUSY {
        let why = format!("one thread was in write and sync calls in {percent:.0} % of the time: it does nothing else");
        return Paced { pace: Pace::Saturated, why };
    }
    let outside = span - in_calls;
    let own = own_pauses(block).filter(|&(count, ns)| ns >= MOST * outside && count <= syncs);
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
