//! A trace without a device: its objects split as a replay would, as the capture that such a
//! replay would begin with.

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
    let mut last_ns = 0;
    for row in rows {
        let row = row?;
        last_ns = last_ns.max(row.at_ns);
        let direction = match (row.tier, row.op) {
            (Tier::Storage, Op::Read) => Direction::Read,
            (Tier::Storage, Op::Write) => Direction::Write,
            _ => continue,
        };
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

/// Requests by size, of few different sizes: whole ones and remainders.
#[derive(Clone, Debug, Default)]
struct SizeCounts(std::collections::BTreeMap<u64, u64>);

impl SizeCounts {
    fn split(&mut self, object: u64, io_size: u64) {
        let (whole, rest) = (object / io_size, object % io_size);
        if whole > 0 {
            *self.0.entry(io_size).or_default() += whole;
        }
        if rest > 0 {
            *self.0.entry(rest.next_multiple_of(BLOCK)).or_default() += 1;
        }
    }

    fn count(&self) -> u64 {
        self.0.values().sum()
    }

    fn bytes(&self) -> u128 {
        self.0.iter().map(|(size, count)| u128::from(*size) * u128::from(*count)).sum()
    }

    fn save(&self, direction: Direction) -> Histogram {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX - 1);
        Histogram {
            name: "size".to_owned(),
            op: Some(direction.word().to_owned()),
            unit: "bytes".to_owned(),
            count: self.count(),
            sum: i128::try_from(self.bytes()).unwrap_or(i128::MAX),
            min: self.0.keys().next().map(|size| signed(*size)),
            max: self.0.keys().next_back().map(|size| signed(*size)),
            buckets: self.0.iter().map(|(size, count)| (signed(*size), signed(*size) + 1, *count)).collect(),
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
            prop_assert!(sizes.0.keys().all(|size| *size <= 1 << 20));
        }
    }
}
