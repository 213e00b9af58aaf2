//! A trace without a device: its objects split as a replay would, as the capture that such a
//! replay would begin with.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use crate::error::Result;
use crate::measure::block::BLOCK_SCHEMA;
use crate::measure::{BlockResult, Histogram};
use crate::trace::{Op, Record, Tier};
use crate::units;

use super::streams::Direction;

/// What `source` says of a trace that was not replayed.
pub const SOURCE: &str = "trace";

/// Bytes in flight of a replay, unless it is told otherwise.
pub const BYTES_IN_FLIGHT: u64 = 16 << 20;

/// Sizes are whole blocks of this, as direct I/O needs.
const BLOCK: u64 = 4096;

/// How objects become requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splitting {
    /// The largest request, in bytes.
    pub io_size: u64,
    /// Bytes in flight, which with the mean size give the depth.
    pub bytes_in_flight: u64,
}

/// What the rows of tier 2 would ask of a device. Times are unknown, so pace and latency are too.
///
/// # Errors
/// Those of the rows.
pub fn of_rows(rows: impl Iterator<Item = Result<Record>>, splitting: Splitting) -> Result<BlockResult> {
    let mut sizes = [SizeCounts::default(), SizeCounts::default()];
    let (mut live, mut last_ns) = (Live::default(), 0);
    for row in rows {
        let row = row?;
        last_ns = last_ns.max(row.at_ns);
        let direction = match (row.tier, row.op) {
            (Tier::Storage, Op::Read) => Direction::Read,
            (Tier::Storage, Op::Write) => Direction::Write,
            (Tier::Storage, Op::Delete) => {
                live.follow(&row);
                continue;
            }
            _ => continue,
        };
        live.follow(&row);
        sizes[direction as usize].split(row.size_bytes, splitting.io_size);
    }
    let requests: u64 = sizes.iter().map(SizeCounts::count).sum();
    let bytes: u128 = sizes.iter().map(SizeCounts::bytes).sum();
    let mean = if requests == 0 { 1.0 } else { bytes as f64 / requests as f64 };
    let depth = (splitting.bytes_in_flight as f64 / mean).max(1.0);
    let mut histograms = Vec::new();
    for (direction, sizes) in Direction::ALL.into_iter().zip(&sizes) {
        let share = sizes.count() as f64 / requests.max(1) as f64;
        histograms.push(sizes.save(direction));
        histograms.push(at_depth(direction, sizes.count(), depth * share));
        histograms.extend(sizes.seeks(direction));
        histograms.extend(live.places(direction, sizes.count()));
    }
    Ok(BlockResult {
        schema: BLOCK_SCHEMA.to_owned(),
        tool: crate::TOOL.to_owned(),
        complete: true,
        source: SOURCE.to_owned(),
        duration_s: Some(last_ns as f64 / units::SECOND_NS as f64),
        histograms,
        ..BlockResult::default()
    })
}

/// What lies on storage.
#[derive(Clone, Debug, Default)]
struct Live {
    objects: FxHashMap<u64, u64>,
    bytes: u64,
    peak: u64,
}

impl Live {
    /// A written or read object is there from then on, a deleted one is not. What moves away without
    /// a Delete row stays counted: then the peak is above the real one.
    fn follow(&mut self, row: &Record) {
        let mut hasher = FxHasher::default();
        row.key.hash(&mut hasher);
        let before = match row.op {
            Op::Delete => self.objects.remove(&hasher.finish()),
            Op::Read | Op::Write => self.objects.insert(hasher.finish(), row.size_bytes),
        };
        let now = if row.op == Op::Delete { 0 } else { row.size_bytes };
        self.bytes = self.bytes.saturating_sub(before.unwrap_or(0)).saturating_add(now);
        self.peak = self.peak.max(self.bytes);
    }

    /// One place as large as the peak: where in it, nobody knows.
    fn places(&self, direction: Direction, count: u64) -> Option<Histogram> {
        let high = i64::try_from(self.peak.next_multiple_of(BLOCK)).ok().filter(|high| count > 0 && *high > 0)?;
        Some(Histogram {
            name: "lba".to_owned(),
            op: Some(direction.word().to_owned()),
            unit: "bytes".to_owned(),
            count,
            buckets: vec![(0, high, count)],
            ..Histogram::default()
        })
    }
}

/// Requests by size, of few different sizes: whole ones and remainders.
#[derive(Clone, Debug, Default)]
struct SizeCounts {
    by_size: BTreeMap<u64, u64>,
    /// Requests that go on where the one before them ended, in the same object.
    going_on: u64,
}

impl SizeCounts {
    fn split(&mut self, object: u64, io_size: u64) {
        let (whole, rest) = (object / io_size, object % io_size);
        self.going_on += (whole + u64::from(rest > 0)).saturating_sub(1);
        if whole > 0 {
            *self.by_size.entry(io_size).or_default() += whole;
        }
        if rest > 0 {
            *self.by_size.entry(rest.next_multiple_of(BLOCK)).or_default() += 1;
        }
    }

    fn count(&self) -> u64 {
        self.by_size.values().sum()
    }

    fn bytes(&self) -> u128 {
        self.by_size.iter().map(|(size, count)| u128::from(*size) * u128::from(*count)).sum()
    }

    /// Where requests begin, from the end of the one before: there, or at the next object.
    fn seeks(&self, direction: Direction) -> Option<Histogram> {
        let jumps = self.count().checked_sub(self.going_on).filter(|_| self.count() > 0)?;
        Some(Histogram {
            name: "seek".to_owned(),
            op: Some(direction.word().to_owned()),
            unit: "bytes".to_owned(),
            count: self.count(),
            buckets: [(0, 1, self.going_on), (1, i64::MAX, jumps)].into_iter().filter(|bucket| bucket.2 > 0).collect(),
            ..Histogram::default()
        })
    }

    fn save(&self, direction: Direction) -> Histogram {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX - 1);
        Histogram {
            name: "size".to_owned(),
            op: Some(direction.word().to_owned()),
            unit: "bytes".to_owned(),
            count: self.count(),
            sum: i128::try_from(self.bytes()).unwrap_or(i128::MAX),
            min: self.by_size.keys().next().map(|size| signed(*size)),
            max: self.by_size.keys().next_back().map(|size| signed(*size)),
            buckets: self.by_size.iter().map(|(size, count)| (signed(*size), signed(*size) + 1, *count)).collect(),
            ..Histogram::default()
        }
    }
}

fn at_depth(direction: Direction, count: u64, depth: f64) -> Histogram {
    let depth = depth.round().max(1.0) as i64;
    let some = count > 0;
    Histogram {
        name: "inflight".to_owned(),
        op: Some(direction.word().to_owned()),
        unit: "ios".to_owned(),
        count,
        sum: i128::from(depth) * i128::from(count),
        min: some.then_some(depth),
        max: some.then_some(depth),
        buckets: if some { vec![(depth, depth + 1, count)] } else { Vec::new() },
        ..Histogram::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn splitting_keeps_the_bytes_to_the_block(objects in prop::collection::vec(1u64..50_000_000, 1..50)) {
            let mut sizes = SizeCounts::default();
            objects.iter().for_each(|object| sizes.split(*object, 1 << 20));
            let blocks: u128 = objects.iter().map(|object| u128::from(object.next_multiple_of(BLOCK))).sum();
            prop_assert_eq!(sizes.bytes(), blocks);
            prop_assert!(sizes.by_size.keys().all(|size| *size <= 1 << 20));
        }
    }
}
