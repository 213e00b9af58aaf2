//! A fidelity card as a picture of two columns: what the source did, and what its job did, one row
//! for each kind of distribution.

use crate::error::{Error, Result};
use crate::measure::fidelity::{Fidelity, Metric, Proved};
use crate::measure::{BlockResult, Histogram};
use crate::units;

use super::axis;
use super::blocks::{DIRECTIONS, Places};
use super::picture::{Axis, Colour, Key, Layout, Mark, Panel, Picture, Series, shortened};

/// Bins of a decade of times, and of the places on a device.
const BINS: (f64, usize) = (10.0, 48);
/// The deepest queue that is drawn with a bar for each depth.
const MAX_DEPTH: i64 = 40;

/// The histogram of each direction that one side has, its runs together.
type Side = Vec<(&'static str, Colour, Histogram)>;

/// The picture of a card.
///
/// # Errors
/// When it holds no histograms, as cards of earlier versions do not.
pub fn picture(card: &Fidelity, file: &str) -> Result<Picture> {
    let rows = [
        row(card, "size", "request sizes", sizes),
        row(card, "inflight_time", "requests in flight, by time", depths),
        row(card, "gap", "time between requests", times),
        row(card, "d2c", "time at the device (D2C)", times),
        row(card, "lba", "place on the device", places),
    ];
    let panels: Vec<Panel> = rows.into_iter().flatten().flatten().collect();
    if panels.is_empty() {
        return Err(Error::usage(format!(
            "{file} holds no histograms of its runs; prove the job again with `kvtrace distill-fio --prove`"
        )));
    }
    let name = |side: &Proved| shortened(&side.file, 34);
    let ran = |side: &Proved| match (card.complete, side.blocks.is_empty()) {
        (false, true) => "did not run to its end".to_owned(),
        _ => side.ran(),
    };
    let judged = card.metrics.iter().any(|metric| metric.pass.is_some());
    Ok(Picture {
        kind: "fidelity",
        title: "What the source did, and what its fio job did".to_owned(),
        subtitle: format!(
            "{} · {} ({}) and {} ({}) · {}",
            shortened(file, 40),
            name(&card.original),
            ran(&card.original),
            name(&card.distilled),
            ran(&card.distilled),
            match (card.complete, judged) {
                (false, _) => "interrupted: there is no verdict",
                (true, false) => "nothing could be judged",
                (true, true) if card.pass && card.metrics.iter().any(Metric::is_unjudged) =>
                    "every bound that could be judged is kept",
                (true, true) if card.pass => "every bound is kept",
                (true, true) => "NOT every bound is kept",
            }
        ),
        layout: Layout::Pairs,
        panels,
    })
}

fn side(blocks: &[BlockResult], name: &str) -> Side {
    let of = |&(op, colour): &(&'static str, Colour)| {
        let mut runs = blocks.iter().filter_map(|block| {
            let mut run = block.histogram(name, Some(op)).filter(|h| h.count > 0)?.clone();
            prepare(&mut run);
            Some(run).filter(|run| run.count > 0)
        });
        let mut all = runs.next()?;
        runs.for_each(|run| all.merge(&run));
        Some((op, colour, all))
    };
    DIRECTIONS.iter().filter_map(of).collect()
}

/// Corners of a line, or the middles of bars with their heights.
type Line = Vec<(f64, f64)>;

/// What both sides are drawn on: the axes but for the height, and the shares of a histogram.
struct Ground {
    x: Axis,
    mark: fn(usize, usize) -> (f64, Mark),
    shares: Box<dyn Fn(&Histogram) -> Line>,
    show: fn(f64) -> String,
}

fn row(card: &Fidelity, name: &str, title: &str, ground: fn(&[&Histogram]) -> Ground) -> Option<[Panel; 2]> {
    let sides = [side(&card.original.blocks, name), side(&card.distilled.blocks, name)];
    let all: Vec<&Histogram> = sides.iter().flatten().map(|entry| &entry.2).collect();
    if all.is_empty() {
        return None;
    }
    let ground = ground(&all);
    let series = sides.each_ref().map(|side| series(side, &ground));
    let points = series.iter().flatten().flat_map(|series| &series.points);
    let highest = points.map(|point| point.1).fold(0.0, f64::max);
    let names = ["original", "distilled"];
    let mut made = names.into_iter().zip(sides).zip(series).map(|((who, side), series)| Panel {
        title: format!("{who}: {title}"),
        height: 120,
        x: ground.x.clone(),
        y: axis::from_zero("% of the direction", highest, 120),
        series,
        legend: side.iter().map(|entry| key(entry, &ground)).collect(),
    });
    Some([made.next()?, made.next()?])
}

/// Takes the time without anything in flight out, and counts places from the lowest one: a file lies
/// elsewhere on another run.
fn prepare(histogram: &mut Histogram) {
    match histogram.name.as_str() {
        "inflight_time" => {
            histogram.buckets.retain(|bucket| bucket.0 > 0);
            histogram.count = histogram.buckets.iter().map(|bucket| bucket.2).sum();
        }
        "lba" => {
            let matters = matters(histogram);
            let first = histogram.buckets.iter().find(|bucket| bucket.2 >= matters);
            let base = first.map_or(0, |bucket| bucket.0);
            histogram.buckets.retain(|bucket| bucket.0 >= base);
            histogram.count = histogram.buckets.iter().map(|bucket| bucket.2).sum();
            for bucket in &mut histogram.buckets {
                (bucket.0, bucket.1) = (bucket.0 - base, bucket.1 - base);
            }
            histogram.min = histogram.buckets.first().map(|bucket| bucket.0);
            histogram.max = histogram.buckets.last().map(|bucket| bucket.1 - 1);
        }
        _ => {}
    }
}

/// Requests from which on a place counts: a twentieth of the mean of all places. A stray request to a
/// journal far away would squeeze everything else.
fn matters(histogram: &Histogram) -> u64 {
    histogram.count / (20 * histogram.buckets.len().max(1) as u64)
}

fn series(side: &Side, ground: &Ground) -> Vec<Series> {
    let of = |(place, (_, colour, histogram)): (usize, &(&str, Colour, Histogram))| {
        let (beside, mark) = (ground.mark)(place, side.len());
        let points = (ground.shares)(histogram).into_iter().map(|(at, share)| (at + beside, share));
        Series { colour: *colour, mark, points: points.collect() }
    };
    side.iter().enumerate().map(of).collect()
}

fn key((op, colour, histogram): &(&str, Colour, Histogram), ground: &Ground) -> Key {
    let quantile = |q| histogram.carried(q).map_or("-".to_owned(), ground.show);
    let mark = (ground.mark)(0, 1).1;
    Key { text: format!("{op}s P50 {}, P99 {}", quantile(0.5), quantile(0.99)), swatch: Some((*colour, mark)) }
}

fn beside(place: usize, of: usize) -> (f64, Mark) {
    if of == 1 { (0.0, Mark::Bars(0.7)) } else { (place as f64 * 0.4 - 0.2, Mark::Bars(0.38)) }
}

fn line(_: usize, _: usize) -> (f64, Mark) {
    (0.0, Mark::Line)
}

fn sizes(all: &[&Histogram]) -> Ground {
    let places = Places::of(all.iter().copied());
    let shares = move |h: &Histogram| {
        let shares = places.shares(h, false).into_iter().enumerate();
        shares.filter(|(_, share)| *share > 0.0).map(|(at, share)| (at as f64, share)).collect()
    };
    let places = Places::of(all.iter().copied());
    let x = axis::categories(places.label, &places.names);
    Ground { x, mark: beside, shares: Box::new(shares), show: |bytes| axis::size_name(bytes.max(0.0) as u64) }
}

fn depths(all: &[&Histogram]) -> Ground {
    // What is far deeper for a hundredth of the time would squeeze the rest.
    let deepest = (all.iter().filter_map(|h| h.quantile(0.99)).fold(4.0, f64::max) * 1.25).ceil() as i64;
    let mut x = axis::from_zero_to("requests in flight, to a little above P99", deepest as f64 + 0.6);
    x.low = 0.4;
    x.ticks.retain(|tick| tick.at.fract() == 0.0 && tick.at > 0.0);
    let total = |h: &Histogram| h.count.max(1) as f64;
    let shares = move |h: &Histogram| {
        let shown = h.buckets.iter().filter(|b| b.0 <= deepest);
        shown.map(|b| ((b.0 + b.1 - 1) as f64 / 2.0, b.2 as f64 * 100.0 / total(h))).collect()
    };
    let mark = if deepest <= MAX_DEPTH { beside } else { line };
    Ground { x, mark, shares: Box::new(shares), show: |depth| format!("{depth:.0}") }
}

fn times(all: &[&Histogram]) -> Ground {
    let log = |ns: f64| ns.max(1.0).log10();
    let low = all.iter().filter_map(|h| h.quantile(0.0005)).fold(f64::INFINITY, f64::min);
    let high = all.iter().filter_map(|h| h.quantile(0.9995)).fold(1.0, f64::max);
    let x = axis::log_time("time (log scale)", low, high);
    let (first, last) = (x.low, x.high);
    let bins = ((last - first) * BINS.0).ceil().clamp(8.0, 120.0) as usize;
    let shares = move |h: &Histogram| {
        let middle = |b: &(i64, i64, u64)| log((b.0 as f64 + b.1 as f64 - 1.0) / 2.0);
        outline(h, (first, last), bins, middle)
    };
    Ground { x, mark: line, shares: Box::new(shares), show: units::ns }
}

fn places(all: &[&Histogram]) -> Ground {
    let scale = |h: &Histogram| if h.unit == "sectors" { 512.0 } else { 1.0 };
    let last = |h: &Histogram| h.buckets.iter().rfind(|bucket| bucket.2 >= matters(h)).map(|bucket| bucket.1);
    let ends = all.iter().filter_map(|h| Some(last(h)? as f64 * scale(h)));
    let high = ends.fold(1.0, f64::max) / units::GIB as f64;
    let x = axis::linear("GiB from the lowest place that many requests go to", 0.0, high, 5.0);
    // Bins are whole buckets of the side with the wider ones: others would hold one bucket here and
    // two there, and draw a comb.
    let widths = all.iter().filter_map(|h| Some(h.buckets.iter().map(|b| b.1 - b.0).min()? as f64 * scale(h)));
    let width = widths.fold(1.0, f64::max) / units::GIB as f64;
    let each = (x.high / width / BINS.1 as f64).ceil().max(1.0) * width;
    let bins = (x.high / each).ceil().clamp(1.0, BINS.1 as f64) as usize;
    let last = each * bins as f64;
    let shares = move |h: &Histogram| {
        let share = |b: &(i64, i64, u64)| {
            let ends = [b.0, b.1].map(|end| end as f64 * scale(h) / units::GIB as f64);
            (ends[0], ends[1], b.2 as f64)
        };
        spread(h.buckets.iter().map(share), last, bins)
    };
    let show = |bytes: f64| axis::size_name(bytes.max(0.0) as u64);
    Ground { x, mark: line, shares: Box::new(shares), show }
}

/// The share of each of some even bins from 0, as the outline of their bars: what crosses the edge of a
/// bin counts in both, by how much of it lies in each.
fn spread(buckets: impl Iterator<Item = (f64, f64, f64)>, last: f64, bins: usize) -> Line {
    let width = last / bins as f64;
    let mut sums = vec![0.0; bins];
    for (low, high, count) in buckets {
        let place = |at: f64| ((at / width).max(0.0) as usize).min(bins - 1);
        let met = sums.iter_mut().enumerate().take(place(high) + 1).skip(place(low));
        for (bin, sum) in met {
            let (from, to) = (low.max(bin as f64 * width), high.min((bin + 1) as f64 * width));
            *sum += if high > low { count * ((to - from) / (high - low)).max(0.0) } else { count };
        }
    }
    let total = sums.iter().sum::<f64>().max(1.0);
    let corner = |(bin, sum): (usize, &f64)| [bin, bin + 1].map(|edge| (edge as f64 * width, sum * 100.0 / total));
    sums.iter().enumerate().flat_map(corner).collect()
}

/// The share of each of some even bins, as the outline of their bars.
fn outline(
    histogram: &Histogram,
    (low, high): (f64, f64),
    bins: usize,
    place: impl Fn(&(i64, i64, u64)) -> f64,
) -> Vec<(f64, f64)> {
    let mut sums = vec![0u64; bins];
    for bucket in &histogram.buckets {
        let at = (place(bucket) - low) / (high - low) * bins as f64;
        sums[(at.max(0.0) as usize).min(bins - 1)] += bucket.2;
    }
    let total = sums.iter().sum::<u64>().max(1) as f64;
    let edge = |i: usize| low + (high - low) * i as f64 / bins as f64;
    sums.iter()
        .enumerate()
        .flat_map(|(i, sum)| {
            let share = *sum as f64 * 100.0 / total;
            [(edge(i), share), (edge(i + 1), share)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_holds_all_of_it() {
        let histogram =
            Histogram { count: 10, buckets: vec![(0, 1, 4), (5, 6, 5), (99, 100, 1)], ..Histogram::default() };
        let points = outline(&histogram, (0.0, 10.0), 10, |bucket| bucket.0 as f64);
        assert_eq!((points.len(), points[0], points[1]), (20, (0.0, 40.0), (1.0, 40.0)));
        assert_eq!(points[10].1, 50.0);
        assert_eq!(points[19], (10.0, 10.0), "what lies beyond is in the last");
    }

    #[test]
    fn even_places_are_even_whatever_the_width_of_their_buckets() {
        let narrow = (0..30).map(|i| (f64::from(i), f64::from(i + 1), 1.0));
        let points = spread(narrow, 30.0, 4);
        assert!(points.iter().all(|point| (point.1 - 25.0).abs() < 1e-9), "{points:?}");
        let wide = (0..3).map(|i| (f64::from(i * 10), f64::from(i * 10 + 10), 7.0));
        let points = spread(wide, 30.0, 6);
        assert!(points.iter().all(|point| (point.1 - 100.0 / 6.0).abs() < 1e-9), "{points:?}");
    }

    #[test]
    fn places_begin_where_the_lowest_is() {
        let mut lba = Histogram {
            name: "lba".to_owned(),
            count: 2,
            buckets: vec![(100, 200, 1), (300, 400, 1)],
            ..Histogram::default()
        };
        prepare(&mut lba);
        assert_eq!(lba.buckets, [(0, 100, 1), (200, 300, 1)]);
    }
}
