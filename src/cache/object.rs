//! A resident object, and what is told of one.

use crate::trace::{Key, Tier};

/// An object to be stored.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// Its name in the trace.
    pub key: Key,
    /// Its size, above 0.
    pub size_bytes: u64,
    /// The tokens that it holds.
    pub tokens: u32,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The object's name in the trace.
    pub key: Key,
    /// Its size.
    pub size_bytes: u64,
    /// The tokens that it holds.
    pub tokens: u32,
    /// Where it was read from: the fastest tier that it was in.
    pub tier: Tier,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was written to a tier as a new one. Where several tiers take it, there is a step for
    /// each, fastest first, one behind the other.
    Write(Tier),
    /// It made room: it moved down.
    Demote {
        /// Where it was.
        from: Tier,
        /// Where it is now.
        to: Tier,
    },
    /// It was read and moved up; with inclusive placement it is in both tiers now.
    Promote {
        /// Where it was.
        from: Tier,
        /// Where it is now.
        to: Tier,
    },
    /// It made room: it left a tier for nowhere.
    Delete(Tier),
}

/// Something that happened to an object; in their order no limit is exceeded after any of them.
#[derive(Clone, Debug)]
pub struct Move {
    /// Its name in the trace.
    pub key: Key,
    /// Its size.
    pub size_bytes: u64,
    /// The tokens that it holds.
    pub tokens: u32,
    /// What happened.
    pub step: Step,
}

/// A resident object.
#[derive(Debug)]
pub(super) struct Object {
    pub key: Key,
    pub size_bytes: u64,
    /// The cache's own clock at its last use.
    pub last_use: u64,
    pub tokens: u32,
    /// How often it was used since it was stored, that included.
    pub uses: u32,
    /// Where each tier has it, if it is there.
    pub places: [u32; 3],
    /// A bit for each tier that has it.
    tiers: u8,
    /// Nobody who begins from now on will ask for it.
    pub orphan: bool,
    /// Nor will anybody who has begun.
    pub out_of_reach: bool,
}

impl Object {
    /// A new object in no tier.
    pub fn new(object: NewObject, now: u64) -> Self {
        let NewObject { key, size_bytes, tokens } = object;
        Self {
            key,
            size_bytes,
            last_use: now,
            tokens,
            uses: 1,
            places: [0; 3],
            tiers: 0,
            orphan: false,
            out_of_reach: false,
        }
    }

    /// The fastest tier that has it.
    pub fn fastest(&self) -> Option<Tier> {
        Tier::ALL.get(self.tiers.trailing_zeros() as usize).copied()
    }

    /// Whether a tier has it.
    pub fn is_in(&self, tier: usize) -> bool {
        self.tiers & (1 << tier) != 0
    }

    /// Whether a tier has it, and no other.
    pub fn is_only_in(&self, tier: usize) -> bool {
        self.tiers == 1 << tier
    }

    /// A tier has it now.
    pub fn enter(&mut self, tier: usize, place: u32) {
        self.tiers |= 1 << tier;
        self.places[tier] = place;
    }

    /// A tier has it no more.
    pub fn leave(&mut self, tier: usize) {
        self.tiers &= !(1 << tier);
    }

    /// What is told of a step.
    pub fn moved(&self, step: Step) -> Move {
        Move { key: self.key.clone(), size_bytes: self.size_bytes, tokens: self.tokens, step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Object>(), 72);
    }
}
