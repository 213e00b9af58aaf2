//! Pieces of requests that were larger than the device takes at once (`max_sectors_kb`), made whole again:
//! a job of the pieces would refill its queue after each of them, where the source waited for all.
//!
//! A capture that tells how much a program asked for each time says what its requests were. Of others it
//! is found out: requests at random places that follow one another do so because they were one. So the lengths of
//! runs are the sizes of what was split: of runs that come in a few lengths, and not in ever fewer
//! of each as those of a program do that goes on in order with some probability, all but the last
//! piece have the size of the limit. One stream in order has no such runs; there, what the program asked
//! for is counted, or what is born at once is one request.

use crate::measure::{BlockResult, Histogram};

use super::engine;
use super::sizes::SizeMix;
use super::streams::Direction;

/// The longest run that is taken for one request; objects that are read in order are longer.
const LONGEST: i64 = 16;
/// The share of the runs that may be longer all the same.
const LONGER: f64 = 0.001;
/// The share of the runs that must be of several pieces for it to matter.
const SOME: f64 = 0.002;
/// How far the lengths must be from a geometric distribution (Kolmogorov-Smirnov), at least, and in
/// units of what chance makes of so many once in a thousand times (1.95 / sqrt(n), Kolmogorov 1933).
const NOT_GEOMETRIC: (f64, f64) = (0.005, 1.95);
/// The share of a stream that must be of the limit's size and follow the one before.
const ONE_STREAM: f64 = 0.99;
/// Times between births of pieces of one request, ns, and up to what there is next to nothing then: a
/// kernel splits a request within some microseconds (0.9 to 3 here), a program takes longer for another.
const AT_ONCE_NS: (i64, i64) = (5_000, 12_000);
/// How much of the times may lie between those.
const BETWEEN: f64 = 0.01;
/// How far from a whole number the pieces of a request may be, relative.
const WHOLE_NUMBER: f64 = 0.05;
/// The share of pieces of the limit's size that runs may lack: gaps in a capture.
const LACKING: f64 = 0.001;

/// How near to what the device moved the bytes are that a program asked for, relative: all of it went past
/// the page cache then.
const SAME_BYTES: f64 = 0.02;
/// How near to that of the whole capture the mean size in a part of it is, relative, of which it is not
/// known what was asked for.
const SAME_MEAN: f64 = 0.1;

/// What a capture looks like with requests whole.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The capture: sizes, gaps, seeks and depths are those of whole requests.
    pub block: BlockResult,
    /// The limit that split them, bytes.
    pub limit: u64,
}

/// The pieces of each request, where a mean of so many is a whole number of several.
fn length(pieces: f64) -> Option<u64> {
    let length = pieces.round();
    let fits = (2.0..=LONGEST as f64).contains(&length) && (pieces / length - 1.0).abs() <= WHOLE_NUMBER;
    fits.then_some(length as u64)
}

/// Makes the requests of `block` whole, as far as those of the `whole` capture that it is a part of were
/// split; none where none were, or where it cannot be told.
pub fn joined(whole: &BlockResult, block: &BlockResult) -> Option<Whole> {
    let limit = limit(whole);
    let mut made = block.clone();
    let mut left = [1.0; 2];
    for direction in Direction::ALL {
        let counted = block.histogram("size", Some(direction.word())).map_or(0, |sizes| sizes.count);
        if let Some(requests) = requests(whole, block, direction, limit) {
            left[direction as usize] = requests.count() as f64 / counted.max(1) as f64;
            join(&mut made, direction, counted, &requests);
        }
    }
    if left == [1.0; 2] {
        return None;
    }
    let both = of_both(block, left);
    for histogram in &mut made.histograms {
        match (histogram.name.as_str(), histogram.op.as_deref()) {
            ("inflight_time", Some(word)) => {
                let own = Direction::ALL.into_iter().find(|direction| direction.word() == word);
                shallower(histogram, own.map_or(1.0, |direction| left[direction as usize]));
            }
            ("inflight" | "inflight_time", _) => shallower(histogram, both),
            _ => {}
        }
    }
    Some(Whole { block: made, limit: limit.or_else(|| largest(whole))? })
}

/// A direction's requests: as they were asked for, or as the pieces tell. None where none was split.
fn requests(whole: &BlockResult, block: &BlockResult, direction: Direction, limit: Option<u64>) -> Option<SizeMix> {
    match asked(whole, block, direction) {
        Asked::Whole => None,
        Asked::Split(sizes) => Some(sizes),
        Asked::Unknown => {
            let limit = limit?;
            let found = |block| Runs::of(block, direction, limit).or_else(|| Runs::in_order(block, direction, limit));
            found(whole).and_then(|_| found(block)).map(|runs| runs.whole(limit))
        }
    }
}

/// What a program asked for.
enum Asked {
    /// Not known.
    Unknown,
    /// What the device got.
    Whole,
    /// Larger requests than it got.
    Split(SizeMix),
}

fn asked(whole: &BlockResult, block: &BlockResult, direction: Direction) -> Asked {
    let of = |block: &BlockResult, name: &str| {
        block.histogram(name, Some(direction.word())).filter(|histogram| histogram.count > 0).cloned()
    };
    let near = |a: f64, b: f64, by: f64| (a / b - 1.0).abs() <= by;
    let known = |block| {
        of(block, "size")
            .zip(of(block, "asked"))
            .filter(|(all, asked)| near(asked.sum as f64, all.sum as f64, SAME_BYTES))
    };
    let Some(own) = of(block, "size") else { return Asked::Unknown };
    let mean = |of: &Histogram| of.sum as f64 / of.count as f64;
    let of_whole = || known(whole).filter(|(all, _)| near(mean(&own), mean(all), SAME_MEAN));
    let Some((all, asked)) = known(block).or_else(of_whole) else { return Asked::Unknown };
    if (all.count as f64) < asked.count as f64 * (1.0 + SOME) {
        return Asked::Whole;
    }
    let unit = SizeMix::from_histogram(&all).unit();
    let share = own.sum as f64 / all.sum as f64;
    let part = |count: u64| (count as f64 * share).round() as u64;
    let sizes = SizeMix::of_multiples(&asked, unit);
    Asked::Split(SizeMix::from_sizes(sizes.sizes().iter().map(|&(size, count)| (size, part(count)))))
}

/// The largest request of both directions.
fn largest(block: &BlockResult) -> Option<u64> {
    let sizes = Direction::ALL.into_iter().filter_map(|d| block.histogram("size", Some(d.word())));
    sizes.filter_map(|sizes| SizeMix::from_histogram(sizes).sizes().last().map(|size| size.0)).max()
}

/// How many are left of what is in flight when so many are left of each direction.
fn of_both(block: &BlockResult, left: [f64; 2]) -> f64 {
    let spent = Direction::ALL.map(|direction| {
        let of = |name: &str| block.histogram(name, Some(direction.word())).filter(|h| h.count > 0);
        of("q2c").map(|h| h.sum as f64).or_else(|| of("size").map(|h| h.count as f64)).unwrap_or(0.0)
    });
    (spent[0] * left[0] + spent[1] * left[1]) / (spent[0] + spent[1]).max(1.0)
}

/// What all watched devices take at once; none where that differs or is not known.
fn limit(block: &BlockResult) -> Option<u64> {
    let mut limits = block.devices.iter().map(|device| device.max_sectors_kb << 10);
    let first = limits.next().filter(|limit| *limit > 0)?;
    limits.all(|limit| limit == first).then_some(first)
}

/// Runs of requests of which each begins where the last one ended, by their length.
struct Runs {
    /// Length and number, ascending.
    lengths: Vec<(u64, u64)>,
    sizes: SizeMix,
}

impl Runs {
    /// Those of a direction that are whole requests.
    fn of(block: &BlockResult, direction: Direction, limit: u64) -> Option<Self> {
        let runs = block.histogram("run_length", Some(direction.word())).filter(|runs| runs.count > 0)?;
        let sizes = block.histogram("size", Some(direction.word())).map(SizeMix::from_histogram)?;
        let long: u64 = runs.buckets.iter().filter(|run| run.0 > LONGEST).map(|run| run.2).sum();
        let lengths =
            runs.buckets.iter().filter(|run| (1..=LONGEST).contains(&run.0)).map(|r| (r.0 as u64, r.2)).collect();
        let all = runs.count as f64;
        let found = Self { lengths, sizes };
        let full = found.several().map(|(length, count)| (length - 1) * count).sum::<u64>() as f64;
        let at_limit = found.sizes.sizes().last().filter(|last| last.0 == limit)?.1 as f64;
        let several = found.several().map(|run| run.1).sum::<u64>() as f64;
        let enough = full <= at_limit * (1.0 + LACKING) && several >= SOME * all && long as f64 <= LONGER * all;
        (enough && found.are_not_geometric()).then_some(found)
    }

    /// Those of one stream in order: so many pieces at a time as the program asked less often than there
    /// are pieces, or as the times between births tell.
    fn in_order(block: &BlockResult, direction: Direction, limit: u64) -> Option<Self> {
        let of = |name: &str| block.histogram(name, Some(direction.word())).filter(|histogram| histogram.count > 0);
        let (seeks, gaps, sizes) = (of("seek")?, of("gap")?, of("size").map(SizeMix::from_histogram)?);
        let share = |histogram: &Histogram, which: &dyn Fn(i64) -> bool| {
            let counted: u64 = histogram.buckets.iter().filter(|bucket| which(bucket.0)).map(|bucket| bucket.2).sum();
            counted as f64 / histogram.count as f64
        };
        let at_limit = sizes.sizes().last().filter(|last| last.0 == limit)?.1 as f64 / sizes.count() as f64;
        if at_limit < ONE_STREAM || share(seeks, &|seek| seek == 0) < ONE_STREAM {
            return None;
        }
        let at_once = share(gaps, &|gap| gap < AT_ONCE_NS.0);
        let between = share(gaps, &|gap| (AT_ONCE_NS.0..AT_ONCE_NS.1).contains(&gap));
        let born = (between <= BETWEEN).then(|| 1.0 / (1.0 - at_once)).and_then(length);
        let (uring, calls) = engine::asked(block, direction);
        let told = |times: Option<f64>| length(sizes.count() as f64 / times.filter(|times| *times > 0.0)?);
        let length = told(uring).or_else(|| told(calls)).or(born)?;
        Some(Self { lengths: vec![(length, sizes.count() / length)], sizes })
    }

    fn several(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.lengths.iter().copied().filter(|run| run.0 > 1)
    }

    fn are_not_geometric(&self) -> bool {
        let count: u64 = self.lengths.iter().map(|run| run.1).sum();
        let requests: u64 = self.lengths.iter().map(|run| run.0 * run.1).sum();
        let goes_on = 1.0 - count as f64 / requests.max(1) as f64;
        let mut below = 0.0;
        let mut farthest = 0.0f64;
        for length in 1..=LONGEST as u64 {
            let own = self.lengths.iter().find(|run| run.0 == length).map_or(0, |run| run.1);
            below += own as f64 / count.max(1) as f64;
            farthest = farthest.max((below - (1.0 - goes_on.powi(length as i32))).abs());
        }
        farthest >= NOT_GEOMETRIC.0.max(NOT_GEOMETRIC.1 / (count as f64).sqrt())
    }

    /// The sizes of whole requests. What is smaller than the limit stands alone where so many runs of
    /// one request are, the rest of it ends the others.
    fn whole(&self, limit: u64) -> SizeMix {
        let small: Vec<(u64, u64)> = self.sizes.sizes().iter().copied().filter(|size| size.0 < limit).collect();
        let smaller: u64 = small.iter().map(|size| size.1).sum();
        let alone = self.lengths.first().filter(|run| run.0 == 1).map_or(0, |run| run.1);
        let several: u64 = self.several().map(|run| run.1).sum();
        let small_alone = alone.min(smaller);
        let tails = (smaller - small_alone).min(several);
        let part = |count: u64, of: u64, all: u64| (count as f64 * of as f64 / all.max(1) as f64).round() as u64;
        let mut sizes = vec![(limit, alone - small_alone)];
        sizes.extend(small.iter().map(|&(size, count)| (size, part(count, small_alone, smaller))));
        for (length, count) in self.several() {
            let with_tail = part(count, tails, several);
            sizes.push((length * limit, count - with_tail));
            let ends = small.iter().map(|&(size, n)| ((length - 1) * limit + size, part(n, with_tail, smaller)));
            sizes.extend(ends);
        }
        SizeMix::from_sizes(sizes)
    }
}

/// Makes a direction's figures in a capture of so many `pieces` those of whole requests.
fn join(block: &mut BlockResult, direction: Direction, pieces: u64, sizes: &SizeMix) {
    let requests = sizes.count();
    let more = pieces.saturating_sub(requests);
    for histogram in block.histograms.iter_mut().filter(|h| h.op.as_deref() == Some(direction.word())) {
        match histogram.name.as_str() {
            "size" => *histogram = exact(histogram, sizes),
            // Pieces of one are born at once, each at the end of the one before.
            "gap" => without_lowest(histogram, more),
            "seek" => without_nearest(histogram, more),
            // What was in flight is Little's law of it.
            "q2c" => histogram.sum = (histogram.sum as f64 * requests as f64 / pieces.max(1) as f64) as i128,
            _ => {}
        }
    }
}

fn exact(old: &Histogram, sizes: &SizeMix) -> Histogram {
    let buckets: Vec<(i64, i64, u64)> =
        sizes.sizes().iter().map(|&(size, n)| (size as i64, size as i64 + 1, n)).collect();
    Histogram {
        unit: "bytes".to_owned(),
        count: sizes.count(),
        sum: sizes.bytes() as i128,
        min: buckets.first().map(|bucket| bucket.0),
        max: buckets.last().map(|bucket| bucket.0),
        buckets,
        ..old.clone()
    }
}

fn without_lowest(histogram: &mut Histogram, mut many: u64) {
    for bucket in &mut histogram.buckets {
        let gone = bucket.2.min(many);
        bucket.2 -= gone;
        many -= gone;
    }
    histogram.keep(|bucket| bucket.2 > 0);
}

fn without_nearest(seeks: &mut Histogram, many: u64) {
    if let Some(bucket) = seeks.buckets.iter_mut().find(|bucket| bucket.0 == 0) {
        bucket.2 = bucket.2.saturating_sub(many);
    }
    seeks.keep(|bucket| bucket.2 > 0);
}

/// Depths of fewer, larger requests.
fn shallower(depths: &mut Histogram, factor: f64) {
    let mut fewer: Vec<(i64, i64, u64)> = Vec::new();
    for &(low, high, ns) in &depths.buckets {
        let middle = (low + high - 1) as f64 / 2.0;
        let depth = if low == 0 { 0 } else { ((middle * factor).round() as i64).max(1) };
        match fewer.last_mut().filter(|last| last.0 == depth) {
            Some(last) => last.2 += ns,
            None => fewer.push((depth, depth + 1, ns)),
        }
    }
    depths.buckets = fewer;
    depths.sum = (depths.sum as f64 * factor) as i128;
    depths.min = depths.buckets.first().map(|bucket| bucket.0);
    depths.max = depths.buckets.last().map(|bucket| bucket.0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measure::LogLinear;
    use crate::measure::block::BlockDevice;

    const LIMIT: u64 = 256 << 10;

    fn counted(name: &str, unit: &str, values: &[(i64, u64)]) -> Histogram {
        let buckets: Vec<(i64, i64, u64)> = values.iter().map(|&(value, n)| (value, value + 1, n)).collect();
        Histogram {
            name: name.to_owned(),
            op: Some("read".to_owned()),
            unit: unit.to_owned(),
            count: values.iter().map(|value| value.1).sum(),
            sum: values.iter().map(|&(value, n)| i128::from(value) * i128::from(n)).sum(),
            min: buckets.first().map(|bucket| bucket.0),
            max: buckets.last().map(|bucket| bucket.0),
            buckets,
            ..Histogram::default()
        }
    }

    /// What a device of the limit sees of a program that reads so many of each size at random places.
    fn seen(program: &[(u64, u64)]) -> BlockResult {
        let mut sizes = std::collections::BTreeMap::new();
        let mut runs = std::collections::BTreeMap::new();
        for &(size, count) in program {
            let (full, rest) = (size / LIMIT, size % LIMIT);
            *sizes.entry(LIMIT as i64).or_insert(0) += full * count;
            *sizes.entry(rest as i64).or_insert(0) += count;
            *runs.entry((full + u64::from(rest > 0)) as i64).or_insert(0) += count;
        }
        sizes.remove(&0);
        let list = |map: std::collections::BTreeMap<i64, u64>| map.into_iter().filter(|v| v.1 > 0).collect::<Vec<_>>();
        let histograms = vec![counted("size", "bytes", &list(sizes)), counted("run_length", "ios", &list(runs))];
        let device = BlockDevice { max_sectors_kb: LIMIT >> 10, ..BlockDevice::default() };
        BlockResult { histograms, devices: vec![device], ..BlockResult::default() }
    }

    fn sizes_of(block: &BlockResult) -> Vec<(u64, u64)> {
        SizeMix::from_histogram(block.histogram("size", Some("read")).unwrap()).sizes().to_vec()
    }

    #[test]
    fn what_was_split_is_whole_again() {
        let program = [(4096, 300), (128 << 10, 6000), (512 << 10, 2500), (1 << 20, 1000)];
        let mut block = seen(&program);
        block.histograms.push(counted("inflight_time", "ios", &[(31, 100), (32, 900)]));
        let joined = joined(&block, &block).unwrap();
        assert_eq!((sizes_of(&joined.block), joined.limit), (program.to_vec(), LIMIT));
        // 9800 requests are 15,300 pieces.
        let depths = joined.block.histogram("inflight_time", Some("read")).unwrap();
        assert_eq!(depths.buckets, [(20, 21, 1000)]);
    }

    #[test]
    fn what_a_program_does_in_order_is_left_alone() {
        // Goes on where it was with a probability of one half.
        let runs: Vec<(i64, u64)> = (1..=14).map(|length| (length, 1 << (14 - length))).collect();
        let requests = runs.iter().map(|&(length, count)| length as u64 * count).sum();
        let mut block = seen(&[(LIMIT, requests)]);
        block.histograms[1] = counted("run_length", "ios", &runs);
        assert!(joined(&block, &block).is_none());
        block.histograms[1] = counted("run_length", "ios", &[(requests as i64, 1)]);
        assert!(joined(&block, &block).is_none(), "one stream");
        let unknown = BlockResult { devices: Vec::new(), ..seen(&[(1 << 20, 1000)]) };
        assert!(joined(&unknown, &unknown).is_none(), "no limit");
        let small = seen(&[(64 << 10, 1000)]);
        assert!(joined(&small, &small).is_none());
    }

    #[test]
    fn what_a_program_says_that_it_asked_for_is_believed() {
        // Objects of any length in order, in chunks of up to 1 MiB, with ends of 12 KiB.
        let chunks = [(12 << 10, 400), (1 << 20, 1000)];
        let mut block = seen(&chunks);
        block.histograms[1] = counted("run_length", "ios", &[(5, 100), (17, 150), (33, 40)]);
        assert!(joined(&block, &block).is_none(), "runs do not tell");
        let mut counter = LogLinear::times();
        chunks.iter().for_each(|&(size, count)| counter.record_many(size, count));
        let asked = counter.save("asked", Some("read"), "bytes");
        block.histograms.push(asked.clone());
        assert_eq!(sizes_of(&joined(&block, &block).unwrap().block), chunks);
        // Half of it, of which only the device's side is known.
        let half = seen(&chunks.map(|(size, count)| (size, count / 2)));
        assert_eq!(sizes_of(&joined(&block, &half).unwrap().block), [(12 << 10, 200), (1 << 20, 500)]);
        let other = seen(&[(4096, 1000)]);
        assert!(joined(&block, &other).is_none(), "a part that is nothing like the whole");
        *block.histograms.last_mut().unwrap() = Histogram { sum: asked.sum / 2, ..asked };
        assert!(joined(&block, &block).is_none(), "half of it went through the page cache");
    }

    #[test]
    fn each_direction_has_its_own_pieces() {
        let mut block = seen(&[(1 << 20, 1000)]);
        let writes = |histogram: Histogram| Histogram { op: Some("write".to_owned()), ..histogram };
        block.histograms.push(writes(counted("size", "bytes", &[(4096, 4000)])));
        block.histograms.push(writes(counted("run_length", "ios", &[(1, 4000)])));
        block.histograms.push(counted("inflight_time", "ios", &[(8, 100)]));
        block.histograms.push(writes(counted("inflight_time", "ios", &[(4, 100)])));
        block.histograms.push(Histogram { op: None, ..counted("inflight_time", "ios", &[(12, 100)]) });
        let whole = joined(&block, &block).unwrap().block;
        let depth = |op| whole.histogram("inflight_time", op).unwrap().buckets[0].0;
        assert_eq!([depth(Some("read")), depth(Some("write"))], [2, 4]);
        assert_eq!(depth(None), 8, "as many pieces of either: five eighths");
    }

    #[test]
    fn one_stream_in_order_comes_in_requests_as_its_births_say() {
        let gaps = |at_once: u64, later: u64| counted("gap", "ns", &[(1_200, at_once), (90_000, later)]);
        let mut block = seen(&[(1 << 20, 1000)]);
        block.histograms[1] = counted("run_length", "ios", &[(4000, 1)]);
        block.histograms.extend([counted("seek", "bytes", &[(0, 3999)]), gaps(3000, 999)]);
        let whole = joined(&block, &block).unwrap().block;
        assert_eq!(sizes_of(&whole), [(1 << 20, 1000)]);
        let in_order = whole.histogram("seek", Some("read")).unwrap();
        assert_eq!((in_order.count, in_order.min, in_order.max), (999, Some(0), Some(0)));
        *block.histograms.last_mut().unwrap() = gaps(1400, 2599);
        assert!(joined(&block, &block).is_none(), "now this many and now that many");
        // Whatever the births say, a program that asked so often is believed.
        let asked = |times: u64| Histogram { unit: "ns".to_owned(), ..counted("uring", "ns", &[(90_000, times)]) };
        block.histograms.push(asked(1000));
        assert_eq!(sizes_of(&joined(&block, &block).unwrap().block), [(1 << 20, 1000)]);
        *block.histograms.last_mut().unwrap() = asked(4000);
        assert!(joined(&block, &block).is_none(), "it asked for each");
    }

    proptest! {
        #[test]
        fn bytes_and_runs_are_kept(a in 1u64..16, b in 1u64..16, tail in 1u64..64, counts in (200u64..5000, 200u64..5000)) {
            let program = [(a * LIMIT, counts.0), ((b - 1) * LIMIT + tail * 4096, counts.1)];
            let block = seen(&program);
            if let Some(joined) = joined(&block, &block) {
                let bytes = |sizes: &[(u64, u64)]| sizes.iter().map(|s| s.0 * s.1).sum::<u64>() as f64;
                let made = sizes_of(&joined.block);
                prop_assert!((bytes(&made) / bytes(&program) - 1.0).abs() < 0.01, "{:?} for {:?}", made, program);
                let requests: u64 = made.iter().map(|size| size.1).sum();
                prop_assert!(requests.abs_diff(counts.0 + counts.1) <= 20);
            }
        }
    }
}
