//! What a source did over time: from events, what was counted up to so many moments; from a replay,
//! its series.

use std::ops::Range;

use crate::capture::events::{Reduction, reduce_watched};
use crate::distill::Division;
use crate::distill::pace::Pace;
use crate::distill::slices::{Cuts, Wanted, Window, cut};
use crate::distill::source::Source;
use crate::error::Result;
use crate::measure::events::{BlockOp, Event, EventsReader, Side};
use crate::measure::replay::Series;
use crate::measure::{BlockResult, Histogram};
use crate::stop::Stop;
use crate::trace::Input;

/// Windows that a capture is cut into when it says how long it was, and the most there are.
const WINDOWS: u64 = 128;
const MOST_WINDOWS: usize = 256;
/// The shortest window.
const SHORTEST_NS: u64 = 1_000_000;

/// Windows of a slice from which on those at its edges, which hold some of its neighbour, are left
/// out of what it did.
const LONG: usize = 5;

/// What was counted up to a moment.
struct State {
    at_ns: u64,
    histograms: Vec<Histogram>,
    /// By direction, the time between the last request born before it and the first one after.
    across: [Option<u64>; 2],
}

/// The states of a capture, equally far apart.
pub struct Course {
    width_ns: u64,
    states: Vec<State>,
}

impl Course {
    /// Counts events, and remembers what was counted from time to time.
    ///
    /// # Errors
    /// When the events cannot be read.
    pub fn read(input: &Input, stop: &Stop) -> Result<(BlockResult, Self)> {
        let meta = EventsReader::of(input)?.meta().clone();
        let whole_ns = meta.duration_s.map_or(0, |seconds| (seconds * 1e9) as u64);
        let mut course = Self { width_ns: (whole_ns / WINDOWS).max(SHORTEST_NS), states: Vec::new() };
        let mut end_ns = 0;
        let block = reduce_watched(input, stop, |event, counted| {
            end_ns = end_ns.max(u64::try_from(event.completed_ns).unwrap_or(0));
            course.see(event, end_ns, counted);
        })?;
        let last = State { at_ns: end_ns + 1, histograms: block.histograms.clone(), across: [None; 2] };
        course.states.push(last);
        Ok((block, course))
    }

    fn see(&mut self, event: &Event, now_ns: u64, counted: &Reduction) {
        let next_ns = self.states.last().map_or(0, |state| state.at_ns + self.width_ns);
        if self.states.is_empty() || now_ns >= next_ns {
            // Nothing ended in windows that were skipped: what was counted is the same.
            let histograms = counted.target();
            let mut at_ns = next_ns;
            while at_ns <= now_ns {
                self.states.push(State { at_ns, histograms: histograms.clone(), across: [None; 2] });
                if self.states.len() > MOST_WINDOWS {
                    self.thin();
                }
                at_ns = self.states.last().map_or(at_ns, |state| state.at_ns) + self.width_ns;
            }
        }
        let (Some(way), Some(state)) = (way(event), self.states.last_mut()) else { return };
        let (Some(gap), Ok(born)) = (event.gap_ns, u64::try_from(event.queued_ns)) else { return };
        if event.side == Side::Target && born >= state.at_ns && born.saturating_sub(gap) < state.at_ns {
            state.across[way] = Some(gap);
        }
    }

    /// Twice as long windows, half as many.
    fn thin(&mut self) {
        self.width_ns *= 2;
        let mut states = std::mem::take(&mut self.states).into_iter();
        while let Some(mut kept) = states.next() {
            if let Some(dropped) = states.next() {
                for (mine, other) in kept.across.iter_mut().zip(dropped.across) {
                    *mine = mine.or(other);
                }
            }
            self.states.push(kept);
        }
    }

    /// What was counted between two states.
    fn between(&self, from: usize, to: usize, whole: &BlockResult) -> BlockResult {
        let (earlier, later) = (&self.states[from], &self.states[to]);
        let since = |now: &Histogram| {
            let then = earlier.histograms.iter().find(|h| h.is(&now.name, now.op.as_deref()));
            then.map_or_else(|| now.clone(), |then| now.since(then))
        };
        let mut histograms: Vec<Histogram> = later.histograms.iter().map(since).collect();
        for (op, gap) in ["read", "write"].into_iter().zip(earlier.across) {
            let counted = histograms.iter_mut().find(|h| h.is("gap", Some(op)));
            counted.into_iter().zip(gap).for_each(|(counted, gap)| without(counted, gap));
        }
        BlockResult {
            histograms,
            duration_s: Some((later.at_ns - earlier.at_ns) as f64 / 1e9),
            phases: None,
            ..whole.clone()
        }
    }

    /// Cuts the capture where its load changes.
    pub fn divided(&self, whole: &BlockResult, wanted: Wanted) -> Division {
        let states = self.states.len();
        let all: Vec<BlockResult> = (1..states).map(|to| self.between(to - 1, to, whole)).collect();
        let times = self.states.windows(2).map(|pair| (pair[0].at_ns, pair[1].at_ns));
        let mut windows: Vec<Window> =
            all.iter().zip(times).map(|(block, (from, to))| Window::of(block, from, to)).collect();
        let mut first = 0;
        // A capture begins before its load and ends after it.
        while windows.last().is_some_and(idle) {
            windows.pop();
        }
        while windows.get(first).is_some_and(idle) {
            first += 1;
        }
        windows.drain(..first);
        let cuts = if wanted == Wanted::Auto && writes_as_it_can(whole) {
            as_one(&windows, KERNEL)
        } else {
            cut(&windows, wanted)
        };
        let blocks = if cuts.slices.len() > 1 {
            let inner = |slice: &Range<usize>| {
                let edge = |is_inside: bool| usize::from(is_inside && slice.len() >= LONG);
                (slice.start + edge(slice.start > 0), slice.end - edge(slice.end < windows.len()))
            };
            let inner = cuts.slices.iter().map(inner);
            inner.map(|(from, to)| self.between(first + from, first + to, whole)).collect()
        } else {
            Vec::new()
        };
        Division::Slices { cuts, windows, blocks }
    }
}

/// Cuts a replay where the bytes of its storage change, if something else than the device paced it.
pub fn of_series(series: &Series, block: &BlockResult, wanted: Wanted) -> Division {
    let mean = |op: &str| block.histogram("size", Some(op)).and_then(Histogram::mean).unwrap_or(0.0);
    let windows = Window::of_series(series, [mean("read"), mean("write")]);
    if windows.is_empty() || wanted == Wanted::Off {
        return Division::Whole;
    }
    let cuts = match Source::of(block).pace().pace {
        Pace::Rate { .. } => cut(&windows, wanted),
        _ => as_one(&windows, "a replay's series tells rates, and here something else than a rate sets the pace"),
    };
    Division::Slices { cuts, windows, blocks: Vec::new() }
}

/// Why a program that does nothing but write through the page cache is one slice.
const KERNEL: &str = "the program does nothing but write, and what changes is how the kernel writes back";

fn writes_as_it_can(whole: &BlockResult) -> bool {
    Source::of(whole).cached.is_some_and(|cached| cached.paced.pace == Pace::Saturated)
}

fn as_one(windows: &[Window], why: &str) -> Cuts {
    Cuts { slices: std::iter::once(0..windows.len()).collect(), why: format!("one: {why}") }
}

fn idle(window: &Window) -> bool {
    window.requests.iter().sum::<f64>() == 0.0
}

fn way(event: &Event) -> Option<usize> {
    match event.op {
        BlockOp::Read => Some(0),
        BlockOp::Write => Some(1),
        _ => None,
    }
}

/// Takes one value out of a histogram: the time before a slice is none of its own.
fn without(gap: &mut Histogram, value: u64) {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    let Some(bucket) = gap.buckets.iter_mut().find(|bucket| bucket.0 <= value && value < bucket.1) else { return };
    bucket.2 -= 1;
    gap.buckets.retain(|bucket| bucket.2 > 0);
    gap.count -= 1;
    gap.sum -= i128::from(value);
    gap.max = gap.buckets.last().map(|bucket| bucket.1 - 1);
    gap.min = gap.buckets.first().map(|bucket| bucket.0);
}
