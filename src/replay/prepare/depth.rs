//! How many bytes in flight a device needs: doubled from two I/Os on until that makes it no faster.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Result;
use crate::progress::Progress;
use crate::seed::{hash_bytes, mix};
use crate::stop::Stop;

use super::Stage;
use super::extents::GRANULE;
use super::load::{Act, Load};
use crate::replay::config::ReplayConfig;
use crate::replay::content::fill::Stream;
use crate::replay::content::verify::SLAB_NAME;
use crate::replay::in_flight::{DEFAULT_BYTES, InFlight, MOST_BYTES};
use crate::replay::plan::PlanFacts;

/// Twice as much in flight that is not faster by more than this was not needed.
const GAIN: f64 = 1.03;
/// Bursts of each number, of which the median counts.
const BURSTS: usize = 3;
/// How long all of it may take.
const BUDGET: Duration = Duration::from_secs(2);
/// A burst is measured for this long at least; before that it runs until what it started with has
/// ended.
const SHORTEST: Duration = Duration::from_millis(5);

/// One number that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Bytes in flight.
    pub bytes_in_flight: u64,
    /// What the storage tiers then moved together, in units of 1e9 bytes per second.
    pub gb_per_s: f64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The larger need of those below.
    pub bytes_in_flight: u64,
    /// Reads; empty when the trace reads nothing from storage.
    pub read: Vec<Point>,
    /// Writes; empty when it writes nothing there.
    pub write: Vec<Point>,
}

/// Tries the slabs, which are written and hold nothing yet that is needed.
///
/// # Errors
/// An I/O that fails, an interruption.
pub fn find(
    stage: &mut Stage,
    facts: &PlanFacts,
    config: &ReplayConfig,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Option<Found>> {
    if config.in_flight != InFlight::Auto {
        return Ok(None);
    }
    let io = config.io_size_bytes;
    let large_enough = |size: u64| size >= GRANULE + io;
    if stage.slabs().next().is_none() || !stage.slabs().all(|slab| large_enough(slab.size_bytes())) {
        let what = if stage.slabs().next().is_none() {
            "there is no slab to try it on"
        } else {
            "the slab is too small for it"
        };
        stage.notes.push(format!("--bytes-in-flight auto: {what}; {} MiB were used", DEFAULT_BYTES >> 20));
        return Ok(None);
    }
    let tiers: Vec<_> = stage.slabs().map(|slab| slab.tier).collect();
    let some = |bytes: [u64; 3]| tiers.iter().any(|tier| bytes[*tier] > 0);
    let (reads, writes) = (some(facts.tier_read_bytes), some(facts.tier_write_bytes));
    progress.stage("bytes in flight", None, "bursts");
    let mut trial = Trial::new(stage, config, usize::from(reads) + usize::from(writes), stop, progress);
    let read = if reads { trial.curve(false)? } else { Vec::new() };
    let write = if writes { trial.curve(true)? } else { Vec::new() };
    progress.done();
    let bytes_in_flight = needed(&read).max(needed(&write)).unwrap_or(DEFAULT_BYTES);
    Ok(Some(Found { bytes_in_flight, read, write }))
}

/// What was asked for, with the number that was found.
pub fn in_force(config: &ReplayConfig, stage: &Stage) -> ReplayConfig {
    let bytes = match config.in_flight {
        InFlight::Bytes(bytes) => bytes,
        InFlight::Auto => {
            // What was found is of all targets together, and the limit is each one's.
            let share = |found: &Found| found.bytes_in_flight / stage.lanes() as u64;
            stage.found.as_ref().map_or(DEFAULT_BYTES, share).max(config.io_size_bytes)
        }
    };
    ReplayConfig { bytes_in_flight: bytes, ..config.clone() }
}

/// The first number of a curve that twice as much is not faster than; none of an empty one.
fn needed(curve: &[Point]) -> Option<u64> {
    let stopped = curve.windows(2).find(|pair| pair[1].gb_per_s < pair[0].gb_per_s * GAIN);
    stopped.map(|pair| pair[0]).or(curve.last().copied()).map(|point| point.bytes_in_flight)
}

/// The numbers that are tried.
fn levels(io_bytes: u64) -> Vec<u64> {
    let first = (2 * io_bytes).min(MOST_BYTES.max(io_bytes));
    std::iter::successors(Some(first), |bytes| Some(bytes * 2).filter(|bytes| *bytes <= MOST_BYTES)).collect()
}

struct Trial<'a> {
    stage: &'a mut Stage,
    io_bytes: u64,
    content: Stream,
    /// The number of the next I/O, from which its place is drawn.
    number: u64,
    window: Duration,
    deadline: Instant,
    stop: &'a Stop,
    progress: &'a dyn Progress,
}

impl<'a> Trial<'a> {
    fn new(
        stage: &'a mut Stage,
        config: &ReplayConfig,
        directions: usize,
        stop: &'a Stop,
        progress: &'a dyn Progress,
    ) -> Self {
        let bursts = directions.max(1) * levels(config.io_size_bytes).len() * BURSTS;
        // The other half is for reaching a steady stream and for its end.
        let window = (BUDGET / 2 / bursts as u32).max(SHORTEST);
        let content = Stream::new(stage.data_seed, hash_bytes(SLAB_NAME), u64::MAX);
        let (io_bytes, deadline) = (config.io_size_bytes, Instant::now() + BUDGET);
        Self { stage, io_bytes, content, number: 0, window, deadline, stop, progress }
    }

    fn curve(&mut self, write: bool) -> Result<Vec<Point>> {
        let mut curve: Vec<Point> = Vec::new();
        for bytes_in_flight in levels(self.io_bytes) {
            let mut rates = Vec::new();
            for _ in 0..BURSTS {
                if Instant::now() < self.deadline || (curve.is_empty() && rates.is_empty()) {
                    rates.push(self.burst(write, bytes_in_flight / self.io_bytes)?);
                    self.progress.advance(1);
                }
            }
            if rates.is_empty() {
                break;
            }
            rates.sort_by(f64::total_cmp);
            curve.push(Point { bytes_in_flight, gb_per_s: rates[rates.len() / 2] });
            if let [.., before, last] = curve[..]
                && last.gb_per_s < before.gb_per_s * GAIN
            {
                break;
            }
        }
        Ok(curve)
    }

    /// What moves per second with so many I/Os in flight, after the first of them have ended.
    fn burst(&mut self, write: bool, depth: u64) -> Result<f64> {
        let (io_bytes, window, content) = (self.io_bytes, self.window, self.content.clone());
        let sizes: Vec<_> = self.stage.slabs().map(super::slab::Slab::size_bytes).collect();
        let mut load = Load::new(self.stage, io_bytes, depth, self.stop);
        let (mut ended, mut bytes, mut since) = (0, 0, None);
        let began = Instant::now();
        loop {
            while load.has_room() {
                let (file, offset) = place(&sizes, io_bytes, self.number);
                // The next version of the content at every number: nothing is written twice.
                let act = if write { Act::Write(&content, self.number * io_bytes) } else { Act::Read };
                load.start(act, file, offset, io_bytes as usize)?;
                self.number += 1;
            }
            let (count, moved) = load.reap()?;
            ended += count;
            bytes += moved;
            let now = Instant::now();
            match since {
                None if ended >= load.depth() => (since, bytes) = (Some(now), 0),
                Some(start) if now - start >= window && bytes > 0 => {
                    load.drain()?;
                    return Ok(bytes as f64 / (now - start).as_secs_f64() / 1e9);
                }
                // A device that is this slow is measured with what it has done.
                None if now - began > BUDGET / 4 && ended > 0 => {
                    load.drain()?;
                    return Ok(bytes as f64 / (now - began).as_secs_f64() / 1e9);
                }
                _ => {}
            }
        }
    }
}

/// Where I/O `number` goes: a slab, as often as it is large, and a granule of it.
fn place(sizes: &[u64], io_bytes: u64, number: u64) -> (u32, u64) {
    let total: u64 = sizes.iter().sum();
    let mut draw = mix(number) % total;
    let mut file = 0;
    while draw >= sizes[file] {
        draw -= sizes[file];
        file += 1;
    }
    // The first granule is the header's.
    let granules = (sizes[file] - GRANULE - io_bytes) / GRANULE + 1;
    (file as u32, GRANULE * (1 + mix(number ^ draw.rotate_left(32)) % granules))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_where_the_curve_stops_rising() {
        let curve = |rates: &[f64]| -> Vec<Point> {
            let points = rates.iter().enumerate();
            points.map(|(i, rate)| Point { bytes_in_flight: 2 << i, gb_per_s: *rate }).collect()
        };
        assert_eq!(needed(&curve(&[1.0, 1.9, 2.1, 2.15])), Some(8));
        assert_eq!(needed(&curve(&[1.0, 1.9, 3.5])), Some(8), "still rising at the end");
        assert_eq!(needed(&curve(&[3.0, 2.9])), Some(2));
        assert_eq!((needed(&curve(&[1.0])), needed(&[])), (Some(2), None));
    }

    #[test]
    fn numbers_double_up_to_the_bound() {
        assert_eq!(levels(1 << 20), [2 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20]);
        assert_eq!(levels(64 << 20), [64 << 20]);
        assert_eq!(levels(24 << 20), [48 << 20]);
        assert_eq!(levels(40 << 20), [64 << 20]);
    }

    #[test]
    fn every_part_of_every_slab_is_hit_and_nothing_else() {
        let (sizes, io) = ([GRANULE * 10, GRANULE * 30], 3 * GRANULE);
        let mut hit = [[0u32; 30]; 2];
        for number in 0..20_000 {
            let (file, offset) = place(&sizes, io, number);
            assert!(offset >= GRANULE && offset + io <= sizes[file as usize], "{file} {offset}");
            hit[file as usize][(offset / GRANULE) as usize] += 1;
        }
        assert!(hit[0][1..8].iter().chain(&hit[1][1..28]).all(|n| *n > 200), "{hit:?}");
    }
}
