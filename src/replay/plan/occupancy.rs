//! How full the tiers become when the rows are executed one after the other.

use std::collections::HashMap;

use crate::error::Result;
use crate::trace::{Op, Tier};

use super::Plan;
use super::rows::{JOINED, LAST_USE};
use crate::replay::prepare::extents::granules;
use crate::replay::prepare::shelf::stripe_of;

/// How full each tier becomes, and each target that shares its objects.
#[derive(Default)]
pub struct Occupancy {
    widths: [usize; 3],
    live: HashMap<(u32, usize), (u64, usize)>,
    bytes: [u64; 3],
    granules: [Vec<u64>; 3],
    all_granules: [u64; 3],
    /// Most bytes at once.
    pub peak_bytes: [u64; 3],
    /// Most granules at once.
    pub peak_granules: [u64; 3],
    /// Most granules at once, by target.
    pub volume_granules: [Vec<u64>; 3],
}

impl Occupancy {
    /// Follows a plan's rows with each tier's objects on so many targets.
    ///
    /// # Errors
    /// When the plan cannot be read back.
    pub fn follow(plan: &Plan, widths: [usize; 3]) -> Result<Self> {
        let each = widths.map(|width| vec![0; width]);
        let mut occupancy = Self { widths, granules: each.clone(), volume_granules: each, ..Self::default() };
        for object in &plan.cold {
            occupancy.enter(object.key, object.content, object.tier, object.size);
        }
        let mut rows = plan.rows.iter();
        while let Some(row) = rows.next_row()? {
            if let Some(leg) = row.leg {
                occupancy.enter(row.key, row.content, leg.tier, row.size);
            } else if row.op == Op::Write && !row.has(JOINED) {
                occupancy.enter(row.key, row.content, row.tier, row.size);
            }
            if row.has(LAST_USE) {
                occupancy.leave(row.key, row.tier);
            }
        }
        Ok(occupancy)
    }

    fn enter(&mut self, key: u32, content: u64, tier: Tier, size: u64) {
        self.leave(key, tier);
        let t = tier.index();
        let volume = stripe_of(content, self.widths[t]);
        self.live.insert((key, t), (size, volume));
        self.bytes[t] = self.bytes[t].saturating_add(size);
        self.all_granules[t] = self.all_granules[t].saturating_add(granules(size));
        self.granules[t][volume] = self.granules[t][volume].saturating_add(granules(size));
        self.peak_bytes[t] = self.peak_bytes[t].max(self.bytes[t]);
        self.peak_granules[t] = self.peak_granules[t].max(self.all_granules[t]);
        self.volume_granules[t][volume] = self.volume_granules[t][volume].max(self.granules[t][volume]);
    }

    fn leave(&mut self, key: u32, tier: Tier) {
        let t = tier.index();
        if let Some((size, volume)) = self.live.remove(&(key, t)) {
            self.bytes[t] = self.bytes[t].saturating_sub(size);
            self.all_granules[t] = self.all_granules[t].saturating_sub(granules(size));
            self.granules[t][volume] = self.granules[t][volume].saturating_sub(granules(size));
        }
    }
}
