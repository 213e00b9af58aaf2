//! Where a load changes over time: windows of equal length put together as long as neighbours do
//! the same.
//!
//! The rule: a twelfth of the windows, five at least, are one stretch. Of all neighbouring stretches the two that are
//! most alike are joined, again and again, until no two neighbours are alike. Two are alike when
//! none of these differ by more than a bound and by more than three standard errors of the windows:
//! the share of reads, the size of reads and of writes, whether the device was kept busy; and, where
//! both kept it busy, the number in flight (how fast that went is the device's doing), else the
//! rate (how many were in flight is then). Every boundary then moves to where its windows fit best.
//! A load that differs more often than [`MOST`] times comes in bursts, which one job describes
//! better than many.

use std::ops::Range;

use crate::measure::BlockResult;
use crate::measure::replay::Series;
use crate::units;

use super::pace::SATURATED;
use super::streams::Direction;

/// The most slices that are cut unasked.
pub const MOST: usize = 8;
/// The most slices that can be asked for.
pub const MOST_ASKED: usize = 16;
/// Windows of the shortest slice at least, and its part of all: what is shorter is the device's mood
/// more often than another load.
const STRETCH: usize = 5;
const SHORTEST: usize = 12;
/// How far means of sizes may differ, relative to the larger one.
const RELATIVE: f64 = 0.25;
/// How far rates and depths may, which a slow moment of the device changes too: a load of twice the
/// rate is another one.
const TWICE: f64 = 0.45;
/// How far shares may differ: of reads, of busy time.
const SHARE: f64 = 0.1;
/// How many standard errors are no accident.
const ERRORS: f64 = 3.0;

/// What a load did in a short time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// When it began, in ns of the source.
    pub from_ns: u64,
    /// When it ended.
    pub to_ns: u64,
    /// Requests by direction; where a source counts bytes alone, in units of its mean size.
    pub requests: [f64; 2],
    /// Their bytes.
    pub bytes: [f64; 2],
    /// Time with anything in flight; none where that was not captured.
    pub busy_ns: Option<f64>,
    /// Depths times the time spent at them.
    pub depth_ns: f64,
}

/// How finely a load is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Where it changes.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// So many slices, at the largest changes.
    Exactly(usize),
}

/// Neighbouring windows, as a range of their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Cuts {
    /// The slices, in order; one is the whole.
    pub slices: Vec<Range<usize>>,
    /// How they were found, for people.
    pub why: String,
}

impl Window {
    /// Of the requests that ended between two moments.
    pub fn of(block: &BlockResult, from_ns: u64, to_ns: u64) -> Self {
        let of = |name: &str| Direction::ALL.map(|d| block.histogram(name, Some(d.word())));
        let busy = block.histogram("inflight_time", None);
        Self {
            from_ns,
            to_ns,
            requests: of("size").map(|size| size.map_or(0.0, |h| h.count as f64)),
            bytes: of("size").map(|size| size.map_or(0.0, |h| h.sum as f64)),
            busy_ns: busy.map(|h| h.count as f64),
            depth_ns: busy.map_or(0.0, |h| h.sum as f64),
        }
    }

    /// The intervals of a replay, in which storage moved bytes of requests of these mean sizes.
    pub fn of_series(series: &Series, mean_bytes: [f64; 2]) -> Vec<Self> {
        let length = (series.interval_s * 1e9) as u64;
        let columns = [&series.tier2_read_bytes, &series.tier2_write_bytes];
        // Intervals of no length say nothing.
        let count = if length == 0 { 0 } else { columns.iter().map(|column| column.len()).max().unwrap_or(0) as u64 };
        let window = |at: u64| {
            let bytes = columns.map(|column| column.get(at as usize).map_or(0.0, |bytes| *bytes as f64));
            let requests = [0, 1].map(|way| if mean_bytes[way] > 0.0 { bytes[way] / mean_bytes[way] } else { 0.0 });
            Self { from_ns: at * length, to_ns: (at + 1) * length, requests, bytes, busy_ns: None, depth_ns: 0.0 }
        };
        (0..count).map(window).collect()
    }

    fn seconds(&self) -> f64 {
        (self.to_ns - self.from_ns) as f64 / 1e9
    }

    fn total(&self) -> f64 {
        self.requests.iter().sum()
    }

    /// What is compared, each where it means something.
    fn features(&self) -> [Option<f64>; FEATURES.len()] {
        let over = |a: f64, b: f64| (b > 0.0).then(|| a / b);
        [
            over(self.total(), self.seconds()),
            over(self.requests[0], self.total()),
            over(self.bytes[0], self.requests[0]),
            over(self.bytes[1], self.requests[1]),
            self.busy_ns.and_then(|busy| over(busy, self.seconds() * 1e9)),
            self.busy_ns.and_then(|busy| over(self.depth_ns, busy)),
        ]
    }
}

/// Requests a second, share of reads, sizes of reads and of writes, share of busy time, in flight.
const FEATURES: [Bound; 6] = [
    Bound::Relative(TWICE),
    Bound::Share(SHARE),
    Bound::Relative(RELATIVE),
    Bound::Relative(RELATIVE),
    Bound::Share(4.0 * SHARE),
    Bound::Relative(TWICE),
];
const RATE: usize = 0;
const BUSY: usize = 4;
const DEPTH: usize = 5;

#[derive(Clone, Copy)]
enum Bound {
    Relative(f64),
    Share(f64),
}

/// Means and squared standard errors of the features of some windows.
fn summary(windows: &[Window]) -> [Option<(f64, f64)>; FEATURES.len()] {
    let values: Vec<_> = windows.iter().map(Window::features).collect();
    std::array::from_fn(|at| {
        let values: Vec<f64> = values.iter().filter_map(|features| features[at]).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (count > 0.0).then(|| (mean, squares / (count - 1.0).max(1.0) / count))
    })
}

/// How unlike two stretches are: the largest difference, in what is allowed. Up to 1 they are alike.
fn unlike(a: &[Window], b: &[Window]) -> f64 {
    let (a, b) = (summary(a), summary(b));
    let both_busy = [a[BUSY], b[BUSY]].iter().all(|busy| busy.is_some_and(|(share, _)| share >= SATURATED));
    let skipped = if both_busy { RATE } else { DEPTH };
    let compared = (0..FEATURES.len()).filter(|at| *at != skipped);
    let one = |at: usize| {
        let ((x, x_error), (y, y_error)) = (a[at]?, b[at]?);
        let allowed = match FEATURES[at] {
            Bound::Relative(part) => part * x.max(y),
            Bound::Share(points) => points,
        };
        let allowed = allowed.max(ERRORS * (x_error + y_error).sqrt());
        (allowed > 0.0).then(|| (x - y).abs() / allowed)
    };
    compared.filter_map(one).fold(0.0, f64::max)
}

/// Cuts a load where it changes.
pub fn cut(windows: &[Window], wanted: Wanted) -> Cuts {
    let whole = |why: String| Cuts { slices: std::iter::once(0..windows.len()).collect(), why };
    if wanted == Wanted::Off {
        return whole("one, as asked (--slices off)".to_owned());
    }
    let mut slices = stretches(windows.len());
    if slices.len() < 2 {
        return whole("one: the source is too short to look for changes".to_owned());
    }
    loop {
        let apart: Vec<f64> =
            slices.windows(2).map(|pair| unlike(&windows[pair[0].clone()], &windows[pair[1].clone()])).collect();
        let Some((at, least)) = apart.into_iter().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        let goes_on = match wanted {
            Wanted::Exactly(count) => slices.len() > count.max(1),
            _ => least <= 1.0,
        };
        if !goes_on {
            break;
        }
        slices[at] = slices[at].start..slices[at + 1].end;
        slices.remove(at + 1);
    }
    if wanted == Wanted::Auto && slices.len() > MOST {
        return whole(format!(
            "one: the load changes {} times, which is its rhythm rather than its course (--slices N cuts it all the \
             same)",
            slices.len() - 1
        ));
    }
    settle(windows, &mut slices);
    let why = match (wanted, slices.len()) {
        (Wanted::Exactly(_), count) => {
            format!("{}, as asked (--slices {count}), at the largest changes", loads(windows, &slices))
        }
        (_, 1) => "one: the load does not change over time".to_owned(),
        _ => format!("{}: the load changes in rate, mix, size or depth", loads(windows, &slices)),
    };
    Cuts { slices, why }
}

/// How many slices have requests, and how many have none: `3`, `3 loads and 1 pause`.
fn loads(windows: &[Window], slices: &[Range<usize>]) -> String {
    let idle = |slice: &&Range<usize>| windows[(*slice).clone()].iter().all(|window| window.total() == 0.0);
    let pauses = slices.iter().filter(idle).count();
    let loads = slices.len() - pauses;
    match pauses {
        0 => loads.to_string(),
        some => format!("{} and {}", units::plural(loads as u64, "load"), units::plural(some as u64, "pause")),
    }
}

/// Equal stretches; what is left at the end belongs to the last one.
fn stretches(windows: usize) -> Vec<Range<usize>> {
    let stretch = STRETCH.max(windows / SHORTEST);
    let count = (windows / stretch).max(1);
    let end = |at: usize| if at == count { windows } else { at * stretch };
    (0..count).map(|at| end(at)..end(at + 1)).collect()
}

/// Moves each boundary, by less than a stretch, to where its two sides differ most for what they
/// vary themselves.
fn settle(windows: &[Window], slices: &mut [Range<usize>]) {
    for at in 1..slices.len() {
        let (from, to) = (slices[at - 1].start, slices[at].end);
        let middle = slices[at].start;
        let low = (from + 2).max(middle.saturating_sub(STRETCH - 1));
        let high = (to.saturating_sub(2)).min(middle + STRETCH - 1);
        let fit = |cut: &usize| spread(&windows[from..*cut]) + spread(&windows[*cut..to]);
        let best =
            (low..=high).min_by(|a, b| fit(a).total_cmp(&fit(b)).then(a.abs_diff(middle).cmp(&b.abs_diff(middle))));
        if let Some(best) = best {
            slices[at - 1].end = best;
            slices[at].start = best;
        }
    }
}

/// Summed distances of windows from their mean, in what is allowed between two stretches.
fn spread(windows: &[Window]) -> f64 {
    let means = summary(windows);
    let one = |window: &Window| {
        let off = |at: usize| {
            let (mean, value) = (means[at]?.0, window.features()[at]?);
            let allowed = match FEATURES[at] {
                Bound::Relative(part) => part * mean.max(value),
                Bound::Share(points) => points,
            };
            (allowed > 0.0).then(|| (value - mean).abs() / allowed)
        };
        (0..FEATURES.len()).filter_map(off).sum::<f64>()
    };
    windows.iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Windows of 100 ms: so many, at so many requests a second of a size, of which a share reads.
    fn windows(parts: &[(usize, f64, f64, f64)]) -> Vec<Window> {
        let mut all: Vec<Window> = Vec::new();
        for &(count, rate, bytes, reads) in parts {
            for _ in 0..count {
                let from_ns = all.len() as u64 * 100_000_000;
                // As regular as a wave.
                let n = rate / 10.0 * (1.0 + 0.03 * (all.len() as f64).sin());
                let requests = [n * reads, n * (1.0 - reads)];
                all.push(Window {
                    from_ns,
                    to_ns: from_ns + 100_000_000,
                    requests,
                    bytes: requests.map(|n| n * bytes),
                    busy_ns: Some(20e6),
                    depth_ns: 30e6,
                });
            }
        }
        all
    }

    fn lengths(parts: &[(usize, f64, f64, f64)], wanted: Wanted) -> Vec<usize> {
        cut(&windows(parts), wanted).slices.iter().map(ExactSizeIterator::len).collect()
    }

    #[test]
    fn changes_of_rate_size_and_mix_are_found_where_they_are() {
        assert_eq!(lengths(&[(33, 1000.0, 4096.0, 0.5), (31, 3000.0, 4096.0, 0.5)], Wanted::Auto), [33, 31]);
        assert_eq!(lengths(&[(52, 1000.0, 4096.0, 0.5), (48, 1000.0, 65536.0, 0.5)], Wanted::Auto), [52, 48]);
        let there_and_back = [(30, 1000.0, 4096.0, 0.9), (32, 1000.0, 4096.0, 0.5), (38, 1000.0, 4096.0, 0.9)];
        assert_eq!(lengths(&there_and_back, Wanted::Auto), [30, 32, 38]);
        assert_eq!(lengths(&there_and_back, Wanted::Off), [100]);
        assert_eq!(lengths(&there_and_back, Wanted::Exactly(2)).len(), 2);
        assert_eq!(
            lengths(&[(40, 500.0, 4096.0, 1.0), (20, 0.0, 4096.0, 1.0), (40, 500.0, 4096.0, 1.0)], Wanted::Auto),
            [40, 20, 40]
        );
        let with_a_pause = [(40, 500.0, 4096.0, 1.0), (20, 0.0, 4096.0, 1.0), (40, 500.0, 4096.0, 1.0)];
        assert!(cut(&windows(&with_a_pause), Wanted::Auto).why.starts_with("2 loads and 1 pause: "));
    }

    #[test]
    fn a_steady_load_and_a_rhythm_are_one() {
        assert_eq!(lengths(&[(100, 1000.0, 4096.0, 0.7)], Wanted::Auto), [100]);
        let rhythm: Vec<_> = (0..12).map(|at| (10, if at % 2 == 0 { 4000.0 } else { 100.0 }, 4096.0, 0.7)).collect();
        let cuts = cut(&windows(&rhythm), Wanted::Auto);
        assert!(cuts.slices.len() == 1 && cuts.why.contains("rhythm"), "{}", cuts.why);
        assert_eq!(cut(&[], Wanted::Auto).slices.len(), 1);
        assert_eq!(lengths(&[(4, 1000.0, 4096.0, 0.7)], Wanted::Auto), [4]);
    }

    #[test]
    fn how_fast_a_busy_device_is_is_no_change_of_load() {
        let mut busy = windows(&[(50, 1000.0, 4096.0, 0.7), (50, 2000.0, 4096.0, 0.7)]);
        busy.iter_mut().for_each(|window| (window.busy_ns, window.depth_ns) = (Some(99e6), 99e6 * 8.0));
        assert_eq!(cut(&busy, Wanted::Auto).slices.len(), 1);
        busy[50..].iter_mut().for_each(|window| window.depth_ns *= 2.5);
        assert_eq!(cut(&busy, Wanted::Auto).slices, [0..50, 50..100]);
    }

    proptest! {
        #[test]
        fn slices_follow_one_another_and_cover_everything(
            rates in prop::collection::vec((0usize..40, 0.0f64..5000.0, 512.0f64..1e6, 0.0f64..1.0), 0..6),
            asked in 0usize..18,
        ) {
            let windows = windows(&rates);
            let wanted = if asked == 0 { Wanted::Auto } else { Wanted::Exactly(asked) };
            let cuts = cut(&windows, wanted);
            let mut end = 0;
            for slice in &cuts.slices {
                prop_assert_eq!(slice.start, end);
                end = slice.end;
            }
            prop_assert_eq!(end, windows.len());
            prop_assert!(cuts.slices.len() <= MOST.max(asked));
            prop_assert!(cuts.slices.len() < 2 || cuts.slices.iter().all(|slice| slice.len() >= 2));
        }
    }
}
