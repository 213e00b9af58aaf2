//! Rows and bytes by tier, direction and phase, and how large objects are.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::measure::{Histogram, LogLinear};
use crate::trace::{Op, Phase, Tier};

/// Combinations of a tier, a direction and a phase.
pub const CODES: usize = 27;

/// The place of a combination.
#[inline]
pub fn code(tier: Tier, op: Op, phase: Phase) -> u8 {
    (tier.index() * 9 + op as usize * 3 + phase as usize) as u8
}

/// The combination at a place below [`CODES`].
#[inline]
pub fn of_code(code: u8) -> (Tier, Op, Phase) {
    let at = usize::from(code);
    (Tier::ALL[at / 9], Op::ALL[at / 3 % 3], Phase::ALL[at % 3])
}

/// The rows of one tier, direction and phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Which tier.
    pub tier: Tier,
    /// The direction.
    pub op: Op,
    /// Why.
    pub phase: Phase,
    /// Rows.
    pub count: u64,
    /// Bytes of all rows.
    pub bytes: u64,
    /// The smallest object.
    pub min_bytes: u64,
    /// The mean object.
    pub mean_bytes: f64,
    /// The largest object.
    pub max_bytes: u64,
}

/// Sums by combination.
#[derive(Clone)]
pub struct Groups {
    cells: [Cell; CODES],
}

#[derive(Clone, Copy)]
struct Cell {
    count: u64,
    bytes: u128,
    min: u64,
    max: u64,
}

impl Default for Groups {
    fn default() -> Self {
        Self { cells: [Cell { count: 0, bytes: 0, min: u64::MAX, max: 0 }; CODES] }
    }
}

impl Groups {
    /// Adds a row.
    #[inline]
    pub fn add(&mut self, code: u8, size: u64) {
        let cell = &mut self.cells[usize::from(code)];
        cell.count += 1;
        cell.bytes += u128::from(size);
        cell.min = cell.min.min(size);
        cell.max = cell.max.max(size);
    }

    /// Adds the sums of others.
    pub fn merge(&mut self, other: &Groups) {
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            mine.count += theirs.count;
            mine.bytes += theirs.bytes;
            mine.min = mine.min.min(theirs.min);
            mine.max = mine.max.max(theirs.max);
        }
    }

    /// Rows of all.
    pub fn rows(&self) -> u64 {
        self.cells.iter().map(|cell| cell.count).sum()
    }

    /// Whether there are rows of a direction.
    pub fn has(&self, op: Op) -> bool {
        let mut with_code = self.cells.iter().zip(0u8..);
        with_code.any(|(cell, code)| cell.count > 0 && of_code(code).1 == op)
    }

    /// The combinations that occur.
    ///
    /// # Errors
    /// When sizes add up to more than can be.
    pub fn groups(&self) -> Result<Vec<Group>> {
        let with_code = self.cells.iter().zip(0u8..).filter(|(cell, _)| cell.count > 0);
        with_code
            .map(|(cell, code)| {
                let (tier, op, phase) = of_code(code);
                let bytes = u64::try_from(cell.bytes).map_err(|_| {
                    Error::usage(format!(
                        "the objects of {tier} {op} add up to more than 2^64 bytes; the sizes are wrong"
                    ))
                })?;
                Ok(Group {
                    tier,
                    op,
                    phase,
                    count: cell.count,
                    bytes,
                    min_bytes: cell.min,
                    mean_bytes: cell.bytes as f64 / cell.count as f64,
                    max_bytes: cell.max,
                })
            })
            .collect()
    }
}

/// How large what is read and what is written is.
#[derive(Clone)]
pub struct Sizes {
    read: LogLinear,
    write: LogLinear,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { read: LogLinear::times(), write: LogLinear::times() }
    }
}

impl Sizes {
    /// Adds a row.
    #[inline]
    pub fn add(&mut self, op: Op, size: u64) {
        match op {
            Op::Read => self.read.record(size),
            Op::Write => self.write.record(size),
            Op::Delete => {}
        }
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Sizes) {
        self.read.merge(&other.read);
        self.write.merge(&other.write);
    }

    /// The histograms of both directions.
    pub fn histograms(&self) -> Vec<Histogram> {
        vec![self.read.save("size", Some("read"), "bytes"), self.write.save("size", Some("write"), "bytes")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_place_of_its_own() {
        for at in 0..CODES as u8 {
            let (tier, op, phase) = of_code(at);
            assert_eq!(code(tier, op, phase), at);
        }
    }
}
