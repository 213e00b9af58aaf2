//! From the programs' rows to saved histograms.

use libbpf_rs::{MapCore, MapFlags};

use crate::error::{Error, Result};
use crate::measure::block::KernelCounters;
use crate::measure::histogram::{Histogram, TIME_GROUPING, bucket_low};

use super::devices::{Device, SECTOR};
use super::layout::{
    BUSY, DEPTHS, LBA_BUCKETS, LOSSES, PLAIN_SETS, SIZE_ROWS, SIZES, TIME_BUCKETS, TIMES, WIDE_BUCKETS, WIDES,
};
use super::pattern;
use super::probes::Probes;

/// Directions, in the order of their rows.
pub const DIRECTIONS: [&str; 2] = ["read", "write"];
/// Rows of times that belong to reads and writes, and those of what moves no data after them.
const DATA_TIMES: usize = 6;
const OTHER_TIMES: usize = 9;
/// Rows of times that follow them: insert to issue, then birth to birth.
const MORE_TIMES: usize = 13;

/// One histogram as the programs keep it, all CPUs added.
#[derive(Clone, Debug)]
pub struct Row {
    /// Of the values.
    pub sum: u128,
    /// The largest value.
    pub max: u64,
    /// The smallest one.
    pub min: u64,
    /// Counts.
    pub buckets: Vec<u64>,
}

impl Row {
    /// Nothing counted.
    pub fn empty() -> Self {
        Self { sum: 0, max: 0, min: u64::MAX, buckets: Vec::new() }
    }

    /// Adds one CPU's part.
    fn add(&mut self, words: &[u64]) {
        let &[sum, max, min_inverted, ref buckets @ ..] = words else { return };
        self.sum += u128::from(sum);
        self.max = self.max.max(max);
        self.min = self.min.min(!min_inverted);
        self.buckets.resize(self.buckets.len().max(buckets.len()), 0);
        for (mine, theirs) in self.buckets.iter_mut().zip(buckets) {
            *mine += theirs;
        }
    }

    /// Adds a row whose buckets follow this one's.
    fn append(&mut self, next: Row) {
        self.sum += next.sum;
        self.max = self.max.max(next.max);
        self.min = self.min.min(next.min);
        self.buckets.extend(next.buckets);
    }

    /// Saves it with the values times `scale`; `edges` gives the low and the exclusive high value
    /// of a bucket, before scaling, and none as high for the one without an upper end.
    pub fn save(
        self,
        name: (&str, Option<&str>),
        unit: &str,
        edges: impl Fn(usize) -> (u64, Option<u64>),
    ) -> Histogram {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        let buckets: Vec<(i64, i64, u64)> = filled
            .map(|(at, &count)| {
                let (low, high) = edges(at);
                (signed(low), signed(high.unwrap_or_else(|| self.max.max(low) + 1)), count)
            })
            .collect();
        // Extremes are not counted atomically, buckets are: where they differ, the bucket is right.
        let within = |value: u64, bucket: Option<&(i64, i64, u64)>| bucket.map(|b| signed(value).clamp(b.0, b.1 - 1));
        Histogram {
            name: name.0.to_owned(),
            op: name.1.map(str::to_owned),
            unit: unit.to_owned(),
            rel_width: 0.0,
            width: None,
            count: buckets.iter().map(|bucket| bucket.2).sum(),
            sum: i128::try_from(self.sum).unwrap_or(i128::MAX),
            min: within(self.min, buckets.first()),
            max: within(self.max, buckets.last()),
            buckets,
        }
    }

    fn scale(mut self, factor: u64) -> Self {
        self.sum *= u128::from(factor);
        self.max = self.max.saturating_mul(factor);
        self.min = self.min.saturating_mul(factor);
        self
    }
}

/// All histograms of sets ([`super::layout::TARGET`], `OTHER` and phases), added.
///
/// # Errors
/// When a map cannot be read.
pub fn histograms(probes: &Probes, devices: &[Device], sets: &[usize]) -> Result<Vec<Histogram>> {
    let time = |which: usize| Ok(time(times(probes, sets, which)?, TIMES[which]));
    let wide = |which: usize| row(&probes.maps().wides, sets.iter().map(|set| set * WIDES + which));
    let mut all = (0..DATA_TIMES).map(time).collect::<Result<Vec<_>>>()?;
    for (direction, op) in DIRECTIONS.iter().enumerate() {
        let mut sizes = wide(SIZES[direction])?;
        for more in 1..SIZE_ROWS {
            sizes.append(wide(SIZES[direction] + more)?);
        }
        all.push(size(sizes, op));
    }
    for (direction, op) in DIRECTIONS.iter().enumerate() {
        all.push(depth(wide(DEPTHS[direction])?, ("inflight", Some(op))));
    }
    for (busy, op) in BUSY.into_iter().zip([Some("read"), Some("write"), None]) {
        all.push(depth(wide(busy)?, ("inflight_time", op)));
    }
    for direction in 0..DIRECTIONS.len() {
        all.push(places(probes, devices, sets, direction)?);
    }
    for which in OTHER_TIMES..MORE_TIMES {
        all.push(time(which)?);
    }
    all.extend(pattern::histograms(probes, devices.len(), sets)?);
    for which in DATA_TIMES..OTHER_TIMES {
        all.push(time(which)?);
    }
    Ok(all)
}

/// One of the rows of times (an index of [`TIMES`]) of sets, added and saved.
///
/// # Errors
/// When the map cannot be read.
pub fn time_row(probes: &Probes, sets: &[usize], which: usize) -> Result<Histogram> {
    Ok(time(times(probes, sets, which)?, TIMES[which]))
}

/// A row of times, distances or lengths of sets, added.
///
/// # Errors
/// When the map cannot be read.
pub fn times(probes: &Probes, sets: &[usize], which: usize) -> Result<Row> {
    row(&probes.maps().times, sets.iter().map(|set| set * TIMES.len() + which))
}

/// What a device and both sets completed, in the kernel's terms.
///
/// # Errors
/// When the map cannot be read.
pub fn captured(probes: &Probes, slot: usize) -> Result<KernelCounters> {
    let mut sum = KernelCounters::default();
    for set in 0..PLAIN_SETS {
        for words in cpus(&probes.maps().totals, slot * PLAIN_SETS + set)? {
            let &[reads, writes, read_bytes, write_bytes] = &words[..] else { continue };
            sum.read_ios += reads;
            sum.write_ios += writes;
            sum.read_bytes += read_bytes;
            sum.write_bytes += write_bytes;
        }
    }
    Ok(sum)
}

/// The programs' counters, by name.
///
/// # Errors
/// When the map cannot be read.
pub fn losses(probes: &Probes) -> Result<Vec<(&'static str, u64)>> {
    let count = |at: usize| Ok(cpus(&probes.maps().losses, at)?.iter().flatten().sum());
    LOSSES.iter().enumerate().map(|(at, name)| Ok((*name, count(at)?))).collect()
}

fn time(row: Row, name: (&str, Option<&str>)) -> Histogram {
    log_linear(row, name, "ns")
}

/// Saves a row of log-linear buckets.
pub fn log_linear(row: Row, name: (&str, Option<&str>), unit: &str) -> Histogram {
    Histogram { rel_width: REL_WIDTH, ..row.save(name, unit, narrow_edges) }
}

/// The relative width of a narrow row's buckets.
pub const REL_WIDTH: f64 = 1.0 / (1u64 << TIME_GROUPING) as f64;

/// The low and the exclusive high value of a narrow row's bucket; the last has no upper end.
pub fn narrow_edges(at: usize) -> (u64, Option<u64>) {
    let high = (at + 1 < TIME_BUCKETS).then(|| bucket_low(at + 1, TIME_GROUPING));
    (bucket_low(at, TIME_GROUPING), high)
}

/// Sizes are exact: a bucket a sector, saved in bytes.
fn size(row: Row, op: &str) -> Histogram {
    let last = SIZE_ROWS * WIDE_BUCKETS - 1;
    let edges = |at: usize| (at as u64 * SECTOR, (at < last).then_some(at as u64 * SECTOR + 1));
    row.scale(SECTOR).save(("size", Some(op)), "bytes", edges)
}

/// Depths are exact.
fn depth(row: Row, name: (&str, Option<&str>)) -> Histogram {
    let edges = |at: usize| (at as u64, (at + 1 < WIDE_BUCKETS).then_some(at as u64 + 1));
    row.save(name, "ios", edges)
}

/// Places on all devices in buckets of the largest one that had any I/O of this kind: a bucket is
/// 1/1024 of it, whatever the device.
fn places(probes: &Probes, devices: &[Device], sets: &[usize], direction: usize) -> Result<Histogram> {
    let mut rows = Vec::new();
    for (slot, device) in devices.iter().enumerate() {
        let key = |set: &usize| (slot * probes.sets() + set) * DIRECTIONS.len() + direction;
        let row = row(&probes.maps().places, sets.iter().map(key))?;
        if row.buckets.iter().any(|count| *count > 0) {
            rows.push((device.sectors, row));
        }
    }
    Ok(over_extent(rows, DIRECTIONS[direction]))
}

/// Adds rows over the given extents (sectors).
fn over_extent(rows: Vec<(u64, Row)>, op: &str) -> Histogram {
    let largest = rows.iter().map(|(sectors, _)| *sectors).max().unwrap_or(0);
    let mut sum = Row::empty();
    sum.buckets.resize(LBA_BUCKETS, 0);
    for (sectors, row) in rows {
        sum.sum += row.sum;
        sum.max = sum.max.max(row.max);
        sum.min = sum.min.min(row.min);
        for (at, count) in row.buckets.iter().enumerate().take(LBA_BUCKETS) {
            let sector = place_low(at as u64, sectors);
            let bucket = (u128::from(sector) * LBA_BUCKETS as u128 / u128::from(largest.max(1))) as usize;
            sum.buckets[bucket.min(LBA_BUCKETS - 1)] += count;
        }
    }
    let edges = |at: usize| (place_low(at as u64, largest) * SECTOR, Some(place_low(at as u64 + 1, largest) * SECTOR));
    // Where the extent is no multiple of the buckets, some are a sector wider than others.
    let width = largest.div_ceil(LBA_BUCKETS as u64) * SECTOR;
    let width = (largest > 0).then(|| i64::try_from(width).unwrap_or(i64::MAX));
    Histogram { width, ..sum.scale(SECTOR).save(("lba", Some(op)), "bytes", edges) }
}

/// The first sector of a bucket: the smallest s with floor(s × 1024 / extent) = bucket.
fn place_low(bucket: u64, extent: u64) -> u64 {
    (u128::from(bucket) * u128::from(extent)).div_ceil(LBA_BUCKETS as u128) as u64
}

/// The rows of these keys, added.
fn row(map: &impl MapCore, keys: impl Iterator<Item = usize>) -> Result<Row> {
    let mut row = Row::empty();
    for key in keys {
        for words in cpus(map, key)? {
            row.add(&words);
        }
    }
    Ok(row)
}

/// The values of one key on every CPU, as 64-bit words.
fn cpus(map: &impl MapCore, key: usize) -> Result<Vec<Vec<u64>>> {
    let values = map.lookup_percpu(&(key as u32).to_ne_bytes(), MapFlags::ANY).map_err(|e| unreadable(&e))?;
    let words = |bytes: Vec<u8>| {
        bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes"))).collect()
    };
    Ok(values.unwrap_or_default().into_iter().map(words).collect())
}

/// A map that should be there is not.
pub fn unreadable(error: &libbpf_rs::Error) -> Error {
    Error::unavailable(format!("cannot read what the eBPF programs counted: {error}"))
}
