//! Places on the device over time, from an events file: how many requests fell into each cell.

use std::path::Path;

use crate::error::{Error, Result};
use crate::measure::events::{BlockOp, Event, EventKind, EventsMeta, EventsReader, Side};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::units;

use super::axis;
use super::picture::{Colour, Key, Layout, Mark, Panel, Picture, Series};

/// Cells of the picture: in time, in place.
const CELLS: (usize, usize) = (160, 64);
/// Parts of the device that are counted first, to find what was touched.
const COARSE: usize = 4096;
/// Rows between two looks at the stop flag.
const STRIDE: u64 = 8192;

/// What requests of one device did where and when.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    device: String,
    span_s: f64,
    /// The part of the device that is shown, in bytes.
    low: u64,
    high: u64,
    /// Requests by direction (read, write), place and time.
    cells: [Vec<u32>; 2],
    /// Requests of each direction.
    counts: [u64; 2],
    /// Requests outside the part that is shown.
    outside: u64,
    /// Requests of the target on other devices.
    elsewhere: u64,
    /// False when the capture was interrupted.
    pub complete: bool,
    /// Why the numbers are doubtful; empty when they are not.
    pub doubts: Vec<String>,
}

impl HeatMap {
    /// Reads an events file twice: for where and when there is anything, and for how much.
    ///
    /// # Errors
    /// When it cannot be read, holds no request of the target, or the user asked to stop.
    pub fn of(path: &Path, stop: &Stop, progress: &dyn Progress) -> Result<Self> {
        let reader = EventsReader::open(path)?;
        let sizes: Vec<u64> = reader.meta().devices.iter().map(|device| device.size_bytes.max(1)).collect();
        let names: Vec<String> = reader.meta().devices.iter().map(|device| device.name.clone()).collect();
        let (complete, doubts) = (reader.meta().complete, doubts(reader.meta()));
        progress.stage("reading events", Some(reader.rows() * 2), "rows");
        let mut coarse = vec![vec![0u64; COARSE]; sizes.len()];
        let mut ends = vec![0i64; sizes.len()];
        each(reader, stop, progress, |event, offset| {
            let (device, size) = (event.device, sizes[event.device]);
            let place = (u128::from(offset) * COARSE as u128 / u128::from(size)) as usize;
            coarse[device][place.min(COARSE - 1)] += 1;
            ends[device] = ends[device].max(event.queued_ns);
        })?;
        let busiest = (0..sizes.len()).max_by_key(|device| (coarse[*device].iter().sum::<u64>(), usize::MAX - device));
        let Some(device) = busiest.filter(|device| coarse[*device].iter().any(|count| *count > 0)) else {
            return Err(Error::usage(format!(
                "{} holds no request of the target; check the --dev and the process filter of its capture",
                path.display()
            )));
        };
        let elsewhere = coarse.iter().flatten().sum::<u64>() - coarse[device].iter().sum::<u64>();
        let (low, high) = touched(&coarse[device], sizes[device]);
        let span_ns = ends[device].max(1);
        let mut map = Self {
            device: names[device].clone(),
            span_s: span_ns as f64 / 1e9,
            low,
            high,
            cells: [const { Vec::new() }; 2].map(|_: Vec<u32>| vec![0; CELLS.0 * CELLS.1]),
            counts: [0; 2],
            outside: 0,
            elsewhere,
            complete,
            doubts,
        };
        each(EventsReader::open(path)?, stop, progress, |event, offset| {
            if event.device == device {
                map.add(event, offset, span_ns);
            }
        })?;
        progress.done();
        Ok(map)
    }

    fn add(&mut self, event: &Event, offset: u64, span_ns: i64) {
        let direction = usize::from(event.op != BlockOp::Read);
        self.counts[direction] += 1;
        if !(self.low..self.high).contains(&offset) {
            self.outside += 1;
            return;
        }
        let x = (i128::from(event.queued_ns.max(0)) * CELLS.0 as i128 / i128::from(span_ns)) as usize;
        let y = (u128::from(offset - self.low) * CELLS.1 as u128 / u128::from(self.high - self.low)) as usize;
        let cell = &mut self.cells[direction][y.min(CELLS.1 - 1) * CELLS.0 + x.min(CELLS.0 - 1)];
        *cell = cell.saturating_add(1);
    }

    /// What the events hold, in a sentence.
    pub fn sentence(&self) -> String {
        let sides = ["read", "write"].into_iter().zip(self.counts).filter(|(_, count)| *count > 0);
        let sides: Vec<String> = sides.map(|(op, count)| units::plural(count, op)).collect();
        let others = match self.elsewhere {
            0 => String::new(),
            n => format!(" (and {} on other devices)", units::plural(n, "request")),
        };
        format!("{} on {}{others} in {}.", sides.join(" and "), self.device, units::ns(self.span_s * 1e9))
    }

    /// The picture: a panel for each direction that has requests.
    pub fn picture(&self, file: &str) -> Picture {
        let outside = match self.outside + self.elsewhere {
            0 => String::new(),
            n => format!(" · not shown: {} elsewhere", units::plural(n, "request")),
        };
        let cut = if self.complete { "" } else { " · INTERRUPTED" };
        let tainted = match &self.doubts[..] {
            [] => String::new(),
            reasons => format!(" · TAINTED: {}", reasons.join("; ")),
        };
        let both = ["read", "write"].into_iter().enumerate();
        Picture {
            kind: "lba",
            title: "Where on the device the requests went, over time".to_owned(),
            subtitle: format!("{file} · {}{outside}{cut}{tainted}", self.device),
            layout: Layout::Stack,
            panels: both.filter(|(i, _)| self.counts[*i] > 0).map(|(i, op)| self.panel(i, op)).collect(),
        }
    }

    fn panel(&self, direction: usize, op: &str) -> Panel {
        let cells = &self.cells[direction];
        let gib = |place: u64| place as f64 / units::GIB as f64;
        let (low, high) = (gib(self.low), gib(self.high));
        let size = (self.span_s / CELLS.0 as f64, (high - low) / CELLS.1 as f64);
        let most = cells.iter().copied().max().unwrap_or(0);
        let limits = steps(most);
        let mut series: Vec<Series> = (0..limits.len())
            .map(|shade| Series {
                colour: shade_of(shade, limits.len()),
                mark: Mark::Cells(size.0, size.1),
                points: Vec::new(),
            })
            .collect();
        for (place, count) in cells.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (x, y) = (place % CELLS.0, place / CELLS.0);
            let shade = limits.partition_point(|limit| limit < count).min(limits.len() - 1);
            series[shade].points.push(((x as f64 + 0.5) * size.0, low + (y as f64 + 0.5) * size.1));
        }
        let mut legend = vec![
            Key { text: format!("{} {op}s", units::count(self.counts[direction])), swatch: None },
            Key { text: "requests in a cell:".to_owned(), swatch: None },
        ];
        let mut from = 1;
        for (shade, limit) in limits.iter().enumerate() {
            let text = if from == *limit { from.to_string() } else { format!("{from} to {limit}") };
            legend.push(Key { text, swatch: Some((shade_of(shade, limits.len()), Mark::Bars(1.0))) });
            from = limit + 1;
        }
        Panel {
            title: format!("{op}s"),
            height: 220,
            x: axis::from_zero_to("time since the start of the capture (s)", self.span_s),
            y: axis::linear("place on the device (GiB)", low, high, 7.0),
            series,
            legend,
        }
    }
}

/// What a reader of these events must know: why the capture is tainted, and what the file lacks.
fn doubts(meta: &EventsMeta) -> Vec<String> {
    let mut all = meta.taint_reasons.clone();
    if meta.ring_drop > 0 && !all.iter().any(|reason| reason.contains("buffer was full")) {
        all.push(format!("{} are not in the file, the buffer was full", units::plural(meta.ring_drop, "row")));
    }
    all
}

fn shade_of(step: usize, steps: usize) -> Colour {
    let last = usize::from(Colour::SHADES - 1);
    Colour::Shade((step * last).checked_div(steps - 1).unwrap_or(last) as u8)
}

/// The largest count of each shade, ascending: even steps of the logarithm.
fn steps(most: u32) -> Vec<u32> {
    let most = most.max(1);
    let shades = f64::from(Colour::SHADES);
    let mut limits: Vec<u32> =
        (1..=Colour::SHADES).map(|step| f64::from(most).powf(f64::from(step) / shades).round() as u32).collect();
    limits.dedup();
    limits
}

/// Calls `take` for each request of the target that has a place.
fn each(reader: EventsReader, stop: &Stop, progress: &dyn Progress, mut take: impl FnMut(&Event, u64)) -> Result<()> {
    for (row, event) in (0u64..).zip(reader) {
        if row.is_multiple_of(STRIDE) {
            if stop.requested() {
                return Err(Error::interrupted("stopped while the events were read"));
            }
            progress.advance(if row == 0 { 0 } else { STRIDE });
        }
        let event = event?;
        let data = matches!(event.op, BlockOp::Read | BlockOp::Write);
        let ended = matches!(event.kind, EventKind::Done | EventKind::Unseen);
        if let (Side::Target, true, Some(offset)) = (event.side, data && ended, event.offset_bytes) {
            take(&event, offset);
        }
    }
    Ok(())
}

/// The part of the device from the first to the last place that saw a twentieth of what places with
/// any saw in the mean: a stray request to a journal far away would squeeze everything else.
fn touched(coarse: &[u64], size: u64) -> (u64, u64) {
    let used = coarse.iter().filter(|count| **count > 0).count() as u64;
    let total: u64 = coarse.iter().sum();
    let matters = |count: &u64| *count > 0 && u128::from(*count) * u128::from(used) * 20 >= u128::from(total);
    let first = coarse.iter().position(matters).unwrap_or(0);
    let last = coarse.iter().rposition(matters).unwrap_or(coarse.len() - 1);
    let edge = |place: usize| (u128::from(size) * place as u128 / coarse.len() as u128) as u64;
    let (low, high) = (edge(first), edge(last + 1));
    (low, high.max(low + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_are_few_and_reach_the_most() {
        assert_eq!(steps(0), [1]);
        assert_eq!(steps(1), [1]);
        assert_eq!(steps(3), [1, 2, 3]);
        let many = steps(1_000_000);
        assert_eq!((many.len(), many.last()), (8, Some(&1_000_000)));
        assert!(many.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(
            (shade_of(0, 1), shade_of(0, 8), shade_of(7, 8)),
            (Colour::Shade(7), Colour::Shade(0), Colour::Shade(7))
        );
    }

    #[test]
    fn a_stray_request_does_not_squeeze_the_rest() {
        let mut coarse = vec![0u64; 4096];
        coarse[100..110].fill(1000);
        coarse[4000] = 1;
        assert_eq!(touched(&coarse, 4096), (100, 110));
        assert_eq!(touched(&[0, 0, 5, 0], 400), (200, 300));
    }
}
