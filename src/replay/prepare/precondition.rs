//! Slabs and devices are overwritten before the run, so that what is measured is a drive in use
//! and not one fresh from the box.

use std::time::Instant;

use crate::error::{Error, Result};
use crate::measure::precondition::{Pass, Preconditioned, Steady};
use crate::progress::Progress;
use crate::seed::{hash_bytes, mix};
use crate::stop::Stop;

use super::Stage;
use super::extents::GRANULE;
use super::load::{Act, Load};
use crate::replay::config::ReplayConfig;
use crate::replay::content::fill::Stream;
use crate::replay::in_flight::{DEFAULT_BYTES, InFlight, Precondition};

/// Windows that each pass is cut into.
const WINDOWS_PER_PASS: u64 = 10;
/// I/Os that a window has at least.
const LEAST_IOS: u64 = 16;

/// Overwrites all storage tiers as asked, one after the other.
///
/// # Errors
/// An I/O that fails, an interruption.
pub fn precondition(
    stage: &mut Stage,
    config: &ReplayConfig,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Vec<Preconditioned>> {
    let Some(amount) = config.precondition else { return Ok(Vec::new()) };
    let slabs: Vec<_> = (0..stage.volumes.len()).filter(|number| stage.volumes[*number].slab().is_some()).collect();
    if slabs.is_empty() {
        stage.notes.push(format!("--precondition {amount} has no effect: there is no slab or device to overwrite"));
    }
    slabs.into_iter().map(|number| one(stage, number, amount, config, stop, progress)).collect()
}

fn one(
    stage: &mut Stage,
    number: usize,
    amount: Precondition,
    config: &ReplayConfig,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Preconditioned> {
    let slab = stage.volumes[number].slab().expect("only slabs are overwritten");
    let (tier, target) = (slab.tier as u8, slab.path.display().to_string());
    let file = slab.file.try_clone().and_then(|mut file| std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)));
    let size_bytes = file.map_err(|e| Error::reading(&slab.path, &e))?.max(slab.size_bytes());
    let io = config.io_size_bytes;
    let body = size_bytes.saturating_sub(GRANULE);
    let total = amount.bytes(body);
    let in_flight = if config.in_flight == InFlight::Auto { DEFAULT_BYTES } else { config.bytes_in_flight };
    let seed = stage.data_seed;
    progress.stage("precondition", Some(total), "bytes");
    let mut work = Work {
        load: Load::new(stage, io, in_flight / io, stop),
        number,
        body,
        io,
        seed,
        windows: Windows::new((body / WINDOWS_PER_PASS).max(LEAST_IOS * io)),
        progress,
    };
    let (began, mut passes) = (Instant::now(), Vec::new());
    let mut left = total;
    while left > 0 && body > 0 {
        let pass = work.pass(passes.len() as u64, left.min(body))?;
        left -= pass.bytes.min(left);
        passes.push(pass);
    }
    progress.done();
    let seconds = began.elapsed().as_secs_f64();
    let bytes = passes.iter().map(|pass| pass.bytes).sum();
    let steady = Steady::of(work.windows.bytes, &work.windows.rates);
    Ok(Preconditioned { tier, target, size_bytes, bytes, seconds, passes, steady })
}

struct Work<'a> {
    load: Load<'a>,
    number: usize,
    /// Bytes after the header.
    body: u64,
    io: u64,
    seed: u64,
    windows: Windows,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    /// Writes at least `bytes`, each place at most once, in random order.
    fn pass(&mut self, number: u64, bytes: u64) -> Result<Pass> {
        let content = Stream::new(self.seed, hash_bytes(b"\0precondition"), number);
        let order = Shuffle::new(self.body.div_ceil(self.io), mix(self.seed ^ number));
        let (began, mut written) = (Instant::now(), 0);
        for turn in 0..order.count {
            if written >= bytes {
                break;
            }
            let offset = order.place(turn) * self.io;
            let len = (self.body - offset).min(self.io) / 4096 * 4096;
            while !self.load.has_room() {
                self.reap()?;
            }
            if len > 0 {
                let act = Act::Write(&content, offset);
                self.load.start(act, self.number as u32, GRANULE + offset, len as usize)?;
            }
            written += len.max(1);
        }
        while self.load.is_busy() {
            self.reap()?;
        }
        self.load.sync(self.number)?;
        let seconds = began.elapsed().as_secs_f64();
        let written = written.min(self.body);
        Ok(Pass { bytes: written, seconds, gb_per_s: written as f64 / seconds.max(1e-9) / 1e9 })
    }

    fn reap(&mut self) -> Result<()> {
        let ended = self.load.reap()?.1;
        self.windows.add(ended);
        self.progress.advance(ended);
        Ok(())
    }
}

/// Rates of windows of equal bytes.
struct Windows {
    bytes: u64,
    rates: Vec<f64>,
    moved: u64,
    since: Instant,
}

impl Windows {
    fn new(bytes: u64) -> Self {
        Self { bytes, rates: Vec::new(), moved: 0, since: Instant::now() }
    }

    fn add(&mut self, bytes: u64) {
        self.moved += bytes;
        if self.moved >= self.bytes {
            let now = Instant::now();
            self.rates.push(self.moved as f64 / (now - self.since).as_secs_f64().max(1e-9) / 1e9);
            (self.moved, self.since) = (0, now);
        }
    }
}

/// The numbers below `count` in random order, each once, without memory: a Feistel network of four
/// rounds over the next power of four, walked until the number is below `count` (Black and Rogaway,
/// "Ciphers with arbitrary finite domains", CT-RSA 2002).
struct Shuffle {
    count: u64,
    half_bits: u32,
    seed: u64,
}

impl Shuffle {
    fn new(count: u64, seed: u64) -> Self {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Self { count, half_bits: bits.div_ceil(2).max(1), seed }
    }

    fn place(&self, turn: u64) -> u64 {
        let mut value = turn;
        loop {
            value = self.network(value);
            if value < self.count {
                return value;
            }
        }
    }

    fn network(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..4u64 {
            (left, right) = (right, left ^ mix(self.seed ^ mix(right << 2 | round)) & mask);
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_shuffle_has_every_number_once(count in 1u64..5000, seed: u64) {
            let shuffle = Shuffle::new(count, seed);
            let mut seen = vec![false; count as usize];
            for turn in 0..count {
                let place = shuffle.place(turn) as usize;
                prop_assert!(!std::mem::replace(&mut seen[place], true), "{} twice", place);
            }
        }
    }

    #[test]
    fn a_shuffle_is_in_no_order() {
        let shuffle = Shuffle::new(1000, 7);
        let places: Vec<_> = (0..1000).map(|turn| shuffle.place(turn)).collect();
        let next = places.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        let rising = places.windows(2).filter(|pair| pair[1] > pair[0]).count();
        assert!(next < 10 && (400..600).contains(&rising), "{next} neighbours, {rising} rising");
    }
}
