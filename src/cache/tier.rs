//! One tier: its limit, what is used of it, and who goes next.

use super::policy::{AnyPolicy, Entry, Policy, PolicyKind};
use super::rules::Watermarks;

/// An object above this share of a limit skips the tier, in percent (the reference's
/// `large_entry_limit_ratio`, 0.95); the last tier takes what it can hold.
const LARGEST_OBJECT_PERCENT: u64 = 95;
/// A tier that is used less than this, in percent, takes an object that leaves it above its
/// watermark: there is next to nothing left to evict (the reference does the same).
const NEARLY_EMPTY_PERCENT: u64 = 5;

/// A tier and how full it is.
#[derive(Debug)]
pub struct TierState {
    limit: Option<Limit>,
    used_bytes: u64,
    entries: u64,
    peak_bytes: u64,
    peak_entries: u64,
    passed_over: u64,
    policy: AnyPolicy,
    /// The slot of who is in a place; a tier without a limit has no places.
    slots: Vec<u32>,
    free: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    bytes: u64,
    largest_object_bytes: u64,
    nearly_empty_bytes: u64,
    high_bytes: u64,
    low_bytes: u64,
}

impl TierState {
    /// An empty tier.
    pub(super) fn new(capacity_bytes: Option<u64>, last: bool, marks: Watermarks, kind: PolicyKind) -> Self {
        let limit = capacity_bytes.map(|bytes| {
            let share = |of: f64| ((bytes as f64 * of) as u64).min(bytes);
            Limit {
                bytes,
                largest_object_bytes: if last { bytes } else { percent(bytes, LARGEST_OBJECT_PERCENT) },
                nearly_empty_bytes: percent(bytes, NEARLY_EMPTY_PERCENT).max(1),
                high_bytes: share(marks.high),
                low_bytes: share(marks.low),
            }
        });
        Self {
            limit,
            used_bytes: 0,
            entries: 0,
            peak_bytes: 0,
            peak_entries: 0,
            passed_over: 0,
            policy: AnyPolicy::new(kind, limit.map(|limit| limit.high_bytes)),
            slots: Vec::new(),
            free: Vec::new(),
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

    /// New objects that were too large for the tier and went to a slower one, or nowhere; none
    /// are counted where there is no such tier.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Whether the tier has no limit.
    pub(super) fn is_unlimited(&self) -> bool {
        self.limit.is_none()
    }

    /// Whether the policy is told the keys.
    pub(super) fn wants_keys(&self) -> bool {
        self.policy.wants_keys()
    }

    /// Whether the policy sees the future.
    pub(super) fn foresees(&self) -> bool {
        matches!(self.policy, AnyPolicy::Belady(_))
    }

    /// Whether the tier takes objects of that size at all.
    pub fn admits(&self, size_bytes: u64) -> bool {
        self.limit.is_none_or(|limit| size_bytes <= limit.largest_object_bytes)
    }

    /// A new object was too large.
    pub(super) fn pass_over(&mut self) {
        self.passed_over += u64::from(self.limit.is_some_and(|limit| limit.bytes > 0));
    }

    /// Whether `bytes` fit beside `others` at all.
    pub(super) fn can_hold(&self, bytes: u64, others: u64) -> bool {
        self.limit.is_none_or(|limit| bytes.saturating_add(others) <= limit.bytes)
    }

    /// Whether an object that the tier admits goes in: without anything having to go, or, when
    /// the tier is `draining`, without anything more.
    pub(super) fn has_room_for(&self, size_bytes: u64, draining: bool) -> bool {
        let Some(limit) = self.limit else { return true };
        let filled = self.used_bytes.saturating_add(size_bytes);
        let mark = if draining { limit.low_bytes } else { limit.high_bytes };
        filled <= mark || (self.used_bytes < limit.nearly_empty_bytes && filled <= limit.bytes)
    }

    /// An object will come, because somebody asks for it.
    pub(super) fn announce(&mut self, entry: &Entry) {
        self.policy.announce(entry);
    }

    /// An object comes: its place.
    pub(super) fn add(&mut self, slot: u32, entry: &Entry) -> u32 {
        let place = self.grow(slot, entry.size_bytes);
        self.policy.insert(place, entry);
        place
    }

    /// An object comes down: its place.
    pub(super) fn add_demoted(&mut self, slot: u32, entry: &Entry) -> u32 {
        let place = self.grow(slot, entry.size_bytes);
        self.policy.insert_demoted(place, entry);
        place
    }

    /// An object is used.
    pub(super) fn touch(&mut self, place: u32, entry: &Entry) {
        self.policy.touch(place, entry);
    }

    /// Whoever goes next, by slot. Its bytes are there until they are [released](Self::release).
    pub(super) fn evict(&mut self) -> Option<u32> {
        let place = self.policy.evict()?;
        self.free.push(place);
        Some(self.slots[place as usize])
    }

    /// Takes an object out of the reach of the policy. Its bytes are there until they are
    /// [released](Self::release).
    pub(super) fn hold(&mut self, place: u32) {
        if !self.is_unlimited() {
            self.policy.remove(place);
            self.free.push(place);
        }
    }

    /// The bytes of an object that was evicted or held are free.
    pub(super) fn release(&mut self, size_bytes: u64) {
        self.used_bytes -= size_bytes;
        self.entries -= 1;
    }

    fn grow(&mut self, slot: u32, size_bytes: u64) -> u32 {
        self.used_bytes += size_bytes;
        self.entries += 1;
        self.peak_bytes = self.peak_bytes.max(self.used_bytes);
        self.peak_entries = self.peak_entries.max(self.entries);
        if self.is_unlimited() {
            return 0;
        }
        match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        }
    }
}

fn percent(bytes: u64, share: u64) -> u64 {
    (u128::from(bytes) * u128::from(share) / 100) as u64
}
