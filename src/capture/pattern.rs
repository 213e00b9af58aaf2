//! Where requests go one after another: distances from one to the next, and sequential runs.

use libbpf_rs::{MapCore, MapFlags};

use crate::error::Result;
use crate::measure::histogram::{Histogram, TIME_GROUPING, bucket_of};

use super::devices::SECTOR;
use super::layout::{OTHER, PLAIN_SETS, TARGET, TIME_BUCKETS, TIMES};
use super::probes::{Probes, types};
use super::reading::{self, DIRECTIONS, REL_WIDTH, Row, narrow_edges};

/// `seek` and `run_length` of sets, for reads and for writes.
///
/// # Errors
/// When a map cannot be read.
pub fn histograms(probes: &Probes, devices: usize, sets: &[usize]) -> Result<Vec<Histogram>> {
    let row = |name: &str, op: &str| {
        let which = TIMES.iter().position(|row| *row == (name, Some(op))).expect("a row of the layout");
        reading::times(probes, sets, which)
    };
    let mut all = Vec::new();
    for op in DIRECTIONS {
        all.push(seek(row("seek", op)?, row("seek_back", op)?, op));
    }
    for (direction, op) in DIRECTIONS.into_iter().enumerate() {
        let mut runs = row("run_length", op)?;
        for length in open_runs(probes, devices, sets, direction)? {
            count(&mut runs, length);
        }
        all.push(reading::log_linear(runs, ("run_length", Some(op)), "ios"));
    }
    Ok(all)
}

/// The lengths of the runs that go on, in requests.
fn open_runs(probes: &Probes, devices: usize, sets: &[usize], direction: usize) -> Result<Vec<u64>> {
    const RUN: usize = std::mem::offset_of!(types::flight, run);
    const SET: usize = std::mem::offset_of!(types::flight, run_set);
    let side = if sets.contains(&OTHER) { OTHER } else { TARGET };
    let mut lengths = Vec::new();
    for slot in 0..devices {
        let key = (slot * PLAIN_SETS + side) as u32;
        let flight = probes.maps().flights.lookup(&key.to_ne_bytes(), MapFlags::ANY);
        let Some(flight) = flight.map_err(|e| reading::unreadable(&e))? else { continue };
        let length = &flight[RUN + 4 * direction..][..4];
        let length = u32::from_ne_bytes(length.try_into().expect("four bytes"));
        if length > 0 && sets.contains(&usize::from(flight[SET + direction])) {
            lengths.push(length.into());
        }
    }
    Ok(lengths)
}

fn count(row: &mut Row, value: u64) {
    row.buckets.resize(TIME_BUCKETS, 0);
    row.buckets[bucket_of(value, TIME_GROUPING).min(TIME_BUCKETS - 1)] += 1;
    row.sum += u128::from(value);
    row.max = row.max.max(value);
    row.min = row.min.min(value);
}

/// Both halves, counted in sectors, as one histogram of bytes: backward first, 0 is forward. Only
/// multiples of a sector are in a bucket, so that it ends right after its last one.
fn seek(ahead: Row, back: Row, op: &str) -> Histogram {
    let name = ("seek", Some(op));
    let bytes = |sectors: u64| i64::try_from(sectors.saturating_mul(SECTOR)).unwrap_or(i64::MAX);
    let [ahead, back] = [ahead, back].map(|row| row.save(name, "bytes", narrow_edges));
    let whole = |sectors: i64| bytes(sectors.unsigned_abs());
    let behind = back.buckets.iter().rev().map(|&(low, high, n)| (-whole(high - 1), 1 - whole(low), n));
    let before = ahead.buckets.iter().map(|&(low, high, n)| (whole(low), whole(high - 1) + 1, n));
    Histogram {
        rel_width: REL_WIDTH,
        count: ahead.count + back.count,
        sum: (ahead.sum - back.sum) * i128::from(SECTOR),
        min: back.max.map(|far| -whole(far)).or(ahead.min.map(whole)),
        max: ahead.max.map(whole).or(back.min.map(|near| -whole(near))),
        buckets: behind.chain(before).collect(),
        ..ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[u64]) -> Row {
        let mut row = Row::empty();
        values.iter().for_each(|value| count(&mut row, *value));
        row
    }

    #[test]
    fn both_halves_of_a_seek_are_one_histogram() {
        let seek = seek(row(&[0, 0, 8, 1000]), row(&[8, 1000, 3]), "read");
        assert_eq!((seek.count, seek.sum), (7, -3 * 512));
        assert_eq!((seek.min, seek.max), (Some(-512_000), Some(512_000)));
        assert_eq!(seek.buckets[1..5], [(-4096, -4095, 1), (-1536, -1535, 1), (0, 1, 2), (4096, 4097, 1)]);
        let (far, wide) = (seek.buckets[0], seek.buckets[5]);
        assert!(far.0 <= -512_000 && -512_000 < far.1 && wide.0 <= 512_000 && 512_000 < wide.1);
        assert_eq!((far.0, far.1), (1 - wide.1, 1 - wide.0), "the same width both ways");
        assert!(seek.buckets.windows(2).all(|pair| pair[0].1 <= pair[1].0), "ascending");
        assert_eq!(seek.quantile(0.5), Some(0.0));
    }

    #[test]
    fn an_empty_half_leaves_the_other_alone() {
        let none = seek(row(&[]), row(&[]), "read");
        assert_eq!((none.count, none.min, none.max), (0, None, None));
        let back = seek(row(&[]), row(&[8, 16]), "read");
        assert_eq!((back.min, back.max), (Some(-8192), Some(-4096)));
    }
}
