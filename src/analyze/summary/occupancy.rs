//! How full each tier is over time, from the rows alone: a Write puts an object into a tier, a Delete
//! takes it out, an eviction moves it down, a promotion moves it up or copies it.

use std::collections::HashMap;

use serde::Serialize;

use crate::analyze::series::{Point, Series};
use crate::trace::{Op, Phase, Tier};

use super::distinct::BuildAsIs;

/// How full a tier was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TierOccupancy {
    /// Which tier.
    pub tier: Tier,
    /// Most bytes at once.
    pub peak_bytes: u64,
    /// Bytes at the end.
    pub end_bytes: u64,
    /// Objects at the end.
    pub end_objects: u64,
    /// Objects that an eviction moved to another tier.
    pub demoted: u64,
    /// Objects that a read moved, or copied, to this tier.
    pub promoted: u64,
    /// Objects that Delete rows took out.
    pub deleted: u64,
    /// Bytes over time.
    pub series: Vec<Point>,
}

/// What is where. Memory is 17 bytes or so for each object and tier that holds it.
#[derive(Default)]
pub struct Occupancy {
    /// The size of each object, by its hash mixed with its tier.
    live: HashMap<u64, u64, BuildAsIs>,
    bytes: [Series; 3],
    objects: [u64; 3],
    demoted: [u64; 3],
    promoted: [u64; 3],
    deleted: [u64; 3],
    /// The Read row above, which may be the first of a promotion.
    read: Option<(u64, Tier)>,
    /// Objects that were read to make room and are not written yet: in a trace of several threads
    /// the two rows need not be neighbours.
    evicting: HashMap<u64, Tier, BuildAsIs>,
    /// Whether a promotion copies.
    copies: bool,
}

/// The same object in another tier is another entry.
const TIERS: [u64; 3] = [0, 0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F];

impl Occupancy {
    /// Empty tiers; `copies` says that a promotion leaves the object where it is as well.
    pub fn new(copies: bool) -> Self {
        Self { copies, ..Self::default() }
    }

    /// A row, in the order of the trace.
    #[inline]
    pub fn take(&mut self, at_ns: u64, op: Op, tier: Tier, phase: Phase, key: u64, size: u64) {
        match op {
            Op::Read if phase == Phase::Evict => {
                self.evicting.insert(key, tier);
            }
            Op::Read => self.read = Some((key, tier)),
            Op::Write => self.write(at_ns, tier, phase, key, size),
            Op::Delete => {
                self.read = None;
                self.evicting.remove(&key);
                self.deleted[tier.index()] += u64::from(self.leave(at_ns, tier, key));
            }
        }
    }

    fn write(&mut self, at_ns: u64, tier: Tier, phase: Phase, key: u64, size: u64) {
        let read = self.read.take().filter(|(read, from)| *read == key && tier < *from);
        if phase == Phase::Evict {
            if let Some(from) = self.evicting.remove(&key).filter(|from| *from != tier) {
                self.demoted[from.index()] += 1;
                self.leave(at_ns, from, key);
            }
        } else if let Some((_, from)) = read.filter(|_| phase == Phase::Decode) {
            self.promoted[tier.index()] += 1;
            if !self.copies {
                self.leave(at_ns, from, key);
            }
        }
        let t = tier.index();
        let old = self.live.insert(key ^ TIERS[t], size);
        self.objects[t] += u64::from(old.is_none());
        let level = self.bytes[t].level().saturating_sub(old.unwrap_or(0)).saturating_add(size);
        self.bytes[t].set(at_ns, level);
    }

    fn leave(&mut self, at_ns: u64, tier: Tier, key: u64) -> bool {
        let t = tier.index();
        let Some(size) = self.live.remove(&(key ^ TIERS[t])) else { return false };
        self.objects[t] -= 1;
        self.bytes[t].set(at_ns, self.bytes[t].level().saturating_sub(size));
        true
    }

    /// The tiers that held anything.
    pub fn tiers(&self) -> Vec<TierOccupancy> {
        let of = |tier: Tier| {
            let t = tier.index();
            TierOccupancy {
                tier,
                peak_bytes: self.bytes[t].peak(),
                end_bytes: self.bytes[t].level(),
                end_objects: self.objects[t],
                demoted: self.demoted[t],
                promoted: self.promoted[t],
                deleted: self.deleted[t],
                series: self.bytes[t].points(),
            }
        };
        Tier::ALL.into_iter().map(of).filter(|tier| tier.peak_bytes > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Op::{Delete, Read, Write};
    use Phase::{Decode, Evict, Prefill};
    use Tier::{Dram, Gpu, Storage};

    fn after(copies: bool, rows: &[(Op, Tier, Phase, u64, u64)]) -> Vec<(Tier, u64, u64, u64)> {
        let mut occupancy = Occupancy::new(copies);
        for (at, (op, tier, phase, key, size)) in (0..).zip(rows) {
            occupancy.take(at, *op, *tier, *phase, *key, *size);
        }
        occupancy.tiers().iter().map(|t| (t.tier, t.peak_bytes, t.end_bytes, t.end_objects)).collect()
    }

    #[test]
    fn objects_are_where_the_rows_put_them() {
        let rows = [
            (Write, Gpu, Prefill, 1, 10),
            (Write, Gpu, Prefill, 2, 20),
            (Read, Gpu, Evict, 1, 10),
            (Write, Storage, Evict, 1, 10),
            (Read, Storage, Decode, 1, 10),
            (Write, Gpu, Decode, 1, 10),
            (Write, Gpu, Prefill, 2, 25),
            (Delete, Gpu, Evict, 2, 25),
        ];
        assert_eq!(after(false, &rows), [(Gpu, 35, 10, 1), (Storage, 10, 0, 0)]);
        assert_eq!(after(true, &rows), [(Gpu, 35, 10, 1), (Storage, 10, 10, 1)]);
        // A read and a write of other objects are no pair.
        let apart = [(Write, Gpu, Prefill, 1, 5), (Read, Gpu, Evict, 1, 5), (Write, Dram, Evict, 3, 7)];
        assert_eq!(after(false, &apart), [(Gpu, 5, 5, 1), (Dram, 7, 7, 1)]);
        // A pair with another row in between is one.
        let between = [
            (Write, Gpu, Prefill, 1, 5),
            (Read, Gpu, Evict, 1, 5),
            (Read, Gpu, Decode, 3, 7),
            (Write, Dram, Evict, 1, 5),
        ];
        assert_eq!(after(false, &between), [(Gpu, 5, 0, 0), (Dram, 5, 5, 1)]);
    }
}
