//! The tiered cache: three tiers in a waterfall. New objects go to the fastest tier that takes
//! them, a full tier demotes its victims one tier down, the last one deletes. What is used never
//! exceeds a limit, and a step costs the same however many objects are resident.

use crate::trace::{Key, Tier};

mod list;
mod lru;
mod policy;
mod slab;
mod tier;

pub use list::List;
pub use slab::Id;
pub use tier::TierState;

use slab::Slab;

/// How much the tiers may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The limit of each tier in bytes, fastest first; none is unlimited, 0 means that the tier
    /// is absent.
    pub capacity_bytes: [Option<u64>; 3],
    /// The share of a tier's limit up to which it fills, the last tier apart, which fills up.
    pub target_usage: f64,
}

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
    /// Where it was read from.
    pub tier: Tier,
}

/// A resident object.
#[derive(Debug)]
struct Object {
    key: Key,
    size_bytes: u64,
    tokens: u32,
    tier: Tier,
    orphan: bool,
    /// The cache's own clock at its last use.
    last_use: u64,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was written to a tier as a new one.
    Write(Tier),
    /// It made room: it moved down.
    Demote {
        /// Where it was.
        from: Tier,
        /// Where it is now.
        to: Tier,
    },
    /// It was read and moved up.
    Promote {
        /// Where it was.
        from: Tier,
        /// Where it is now.
        to: Tier,
    },
    /// It left a tier for nowhere: it made room, or nobody wants it any more.
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

/// The tiers and what is in them.
#[derive(Debug)]
pub struct Cache {
    objects: Slab<Object>,
    tiers: [TierState; 3],
    clock: u64,
    orphans: u64,
    demotions: u64,
    deletes: u64,
}

impl Cache {
    /// Empty tiers.
    pub fn new(limits: Limits) -> Self {
        let state = |tier: Tier| {
            let last = tier == Tier::Storage;
            TierState::new(limits.capacity_bytes[tier.index()], if last { None } else { Some(limits.target_usage) })
        };
        Self { objects: Slab::default(), tiers: Tier::ALL.map(state), clock: 0, orphans: 0, demotions: 0, deletes: 0 }
    }

    /// Stores an object in the fastest tier that takes one of its size. What had to make room and
    /// the writing itself are appended to `moves`. None, with nothing changed, when the object is
    /// too large for every tier.
    pub fn insert(&mut self, object: NewObject, moves: &mut Vec<Move>) -> Option<Id> {
        let tier = self.tier_for(object.size_bytes, 0)?;
        self.make_room(tier, object.size_bytes, moves);
        self.clock += 1;
        let NewObject { key, size_bytes, tokens } = object;
        moves.push(Move { key: key.clone(), size_bytes, tokens, step: Step::Write(tier) });
        let id = self.objects.insert(Object { key, size_bytes, tokens, tier, orphan: false, last_use: self.clock });
        self.tiers[tier.index()].add_new(id.slot(), size_bytes, self.clock);
        Some(id)
    }

    /// Uses an object: what it is and where it is read from, or none when it is gone. When the
    /// read moves it up, what had to make room and the promotion are appended to `moves`.
    pub fn read(&mut self, id: Id, _moves: &mut Vec<Move>) -> Option<Found> {
        let object = self.objects.get_mut(id)?;
        self.clock += 1;
        object.last_use = self.clock;
        self.tiers[object.tier.index()].touch(id.slot(), self.clock);
        let Object { ref key, size_bytes, tokens, tier, .. } = *object;
        Some(Found { key: key.clone(), size_bytes, tokens, tier })
    }

    /// Says that nobody will ask for an object again; it stays until its tier evicts it.
    pub fn abandon(&mut self, id: Id) {
        if let Some(object) = self.objects.get_mut(id).filter(|object| !object.orphan) {
            object.orphan = true;
            self.orphans += 1;
        }
    }

    /// Takes an object out, wherever it is; its leaving is appended to `moves`. Nothing happens when
    /// it is gone already.
    pub fn remove(&mut self, id: Id, moves: &mut Vec<Move>) {
        if self.objects.get_mut(id).is_some() {
            moves.push(self.delete(id));
        }
    }

    /// A tier and how full it is and was.
    pub fn tier(&self, tier: Tier) -> &TierState {
        &self.tiers[tier.index()]
    }

    /// Resident objects that nobody will ask for again.
    pub fn orphans(&self) -> u64 {
        self.orphans
    }

    /// Objects that moved a tier down.
    pub fn demotions(&self) -> u64 {
        self.demotions
    }

    /// Objects that left the cache.
    pub fn deletes(&self) -> u64 {
        self.deletes
    }

    /// The fastest tier from `first` on that takes an object of that size.
    fn tier_for(&self, size_bytes: u64, first: usize) -> Option<Tier> {
        Tier::ALL.into_iter().skip(first).find(|tier| self.tiers[tier.index()].admits(size_bytes))
    }

    /// Evicts from `tier`, and from the tiers below it as far as needed, until an object of
    /// `size_bytes` fits. What waits for room is kept on a stack of at most one entry a tier: a
    /// victim needs room one tier down before it can go.
    fn make_room(&mut self, tier: Tier, size_bytes: u64, moves: &mut Vec<Move>) {
        let mut waiting: Vec<(Tier, u64, Option<Id>)> = vec![(tier, size_bytes, None)];
        while let Some(&(tier, size_bytes, moving)) = waiting.last() {
            if self.tiers[tier.index()].has_room_for(size_bytes) {
                if let Some(id) = moving {
                    moves.push(self.demote(id, tier));
                }
                waiting.pop();
                continue;
            }
            let slot = self.tiers[tier.index()].victim().expect("an empty tier has room for what it admits");
            let victim = self.objects.id_of(slot);
            let victim_bytes = self.objects[slot].size_bytes;
            match self.tier_for(victim_bytes, tier.index() + 1) {
                Some(below) => waiting.push((below, victim_bytes, Some(victim))),
                None => moves.push(self.delete(victim)),
            }
        }
    }

    fn demote(&mut self, id: Id, to: Tier) -> Move {
        let slot = id.slot();
        let object = &mut self.objects[slot];
        let from = std::mem::replace(&mut object.tier, to);
        self.tiers[from.index()].remove(slot, object.size_bytes);
        self.tiers[to.index()].add_demoted(slot, object.size_bytes, object.last_use);
        self.demotions += 1;
        Move {
            key: object.key.clone(),
            size_bytes: object.size_bytes,
            tokens: object.tokens,
            step: Step::Demote { from, to },
        }
    }

    fn delete(&mut self, id: Id) -> Move {
        let object = self.objects.remove(id).expect("a victim is resident");
        self.tiers[object.tier.index()].remove(id.slot(), object.size_bytes);
        self.deletes += 1;
        self.orphans -= u64::from(object.orphan);
        Move { key: object.key, size_bytes: object.size_bytes, tokens: object.tokens, step: Step::Delete(object.tier) }
    }
}

#[cfg(test)]
mod tests;
