//! One tier: its limit, what is used of it, and who goes next.

use super::lru::Lru;
use super::policy::Policy;

/// An object above this share of a limit skips the tier, in percent (the reference's
/// `large_entry_limit_ratio`, 0.95).
const LARGEST_OBJECT_PERCENT: u64 = 95;
/// A tier that is used less than this, in percent, takes an object that leaves it above its
/// target: there is next to nothing left to evict (the reference does the same).
const NEARLY_EMPTY_PERCENT: u64 = 5;

/// A tier and how full it is.
#[derive(Debug)]
pub struct TierState {
    capacity_bytes: Option<u64>,
    /// How far it fills; none when up to its limit.
    target_bytes: Option<u64>,
    used_bytes: u64,
    entries: u64,
    peak_bytes: u64,
    peak_entries: u64,
    policy: Box<dyn Policy>,
}

impl TierState {
    /// An empty tier; `target_usage` is none for the last tier.
    pub(super) fn new(capacity_bytes: Option<u64>, target_usage: Option<f64>) -> Self {
        let target_bytes = capacity_bytes.zip(target_usage).map(|(limit, share)| (limit as f64 * share) as u64);
        Self {
            capacity_bytes,
            target_bytes,
            used_bytes: 0,
            entries: 0,
            peak_bytes: 0,
            peak_entries: 0,
            policy: Box::new(Lru::default()),
        }
    }

    /// Bytes resident.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Objects resident.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The most bytes ever resident.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// The most objects ever resident.
    pub fn peak_entries(&self) -> u64 {
        self.peak_entries
    }

    /// Whether the tier takes objects of that size at all.
    pub(super) fn admits(&self, size_bytes: u64) -> bool {
        match (self.capacity_bytes, self.target_bytes) {
            (None, _) => true,
            (Some(limit), None) => size_bytes <= limit,
            (Some(limit), Some(_)) => size_bytes <= percent(limit, LARGEST_OBJECT_PERCENT),
        }
    }

    /// Whether an object that the tier admits fits without evicting anything.
    pub(super) fn has_room_for(&self, size_bytes: u64) -> bool {
        let Some(limit) = self.capacity_bytes else { return true };
        let filled = self.used_bytes.saturating_add(size_bytes);
        match self.target_bytes {
            None => filled <= limit,
            Some(target) => {
                let nearly_empty = self.used_bytes == 0 || self.used_bytes < percent(limit, NEARLY_EMPTY_PERCENT);
                filled <= target || (nearly_empty && filled <= limit)
            }
        }
    }

    pub(super) fn victim(&self) -> Option<u32> {
        self.policy.victim()
    }

    pub(super) fn touch(&mut self, slot: u32, now: u64) {
        self.policy.touch(slot, now);
    }

    pub(super) fn add_new(&mut self, slot: u32, size_bytes: u64, now: u64) {
        self.policy.insert(slot, size_bytes, now);
        self.grow(size_bytes);
    }

    pub(super) fn add_demoted(&mut self, slot: u32, size_bytes: u64, last_use: u64) {
        self.policy.insert_demoted(slot, size_bytes, last_use);
        self.grow(size_bytes);
    }

    pub(super) fn remove(&mut self, slot: u32, size_bytes: u64) {
        self.policy.remove(slot);
        self.used_bytes -= size_bytes;
        self.entries -= 1;
    }

    fn grow(&mut self, size_bytes: u64) {
        self.used_bytes += size_bytes;
        self.entries += 1;
        self.peak_bytes = self.peak_bytes.max(self.used_bytes);
        self.peak_entries = self.peak_entries.max(self.entries);
    }
}

fn percent(bytes: u64, share: u64) -> u64 {
    (u128::from(bytes) * u128::from(share) / 100) as u64
}
