//! The tiered cache: three tiers, in a waterfall or with copies. New objects go to the fastest
//! tier that takes them, a full tier demotes its victims one tier down or drops them, the last one
//! deletes. What is used never exceeds a limit, and a step costs the same however many objects
//! are resident (or its logarithm, with the policies that keep an order of merit).

use crate::trace::{Key, Tier};

mod arc;
mod belady;
mod fifo;
mod foresight;
mod gdsf;
mod ghost;
mod heap;
mod key;
mod lfu;
mod limbo;
mod lists;
mod lru;
mod object;
mod policy;
mod room;
mod rules;
mod s3_fifo;
mod sieve;
mod slab;
mod tier;

pub use foresight::{Foresight, Uses};
pub use limbo::Holder;
pub use lists::Lists;
pub use object::{Found, Move, NewObject, Step};
pub use policy::PolicyKind;
pub use rules::{Limits, Placement, Promotion, Rules, Watermarks};
pub use slab::Id;
pub use tier::TierState;

use foresight::Oracle;
use limbo::Limbo;
use object::Object;
use policy::Entry;
use slab::Slab;

/// The tiers and what is in them.
#[derive(Debug)]
pub struct Cache {
    objects: Slab<Object>,
    tiers: [TierState; 3],
    promotion: Promotion,
    placement: Placement,
    oracle: Option<Oracle>,
    limbo: Limbo,
    clock: u64,
    orphans: u64,
    demotions: u64,
    promotions: u64,
    deletes: u64,
}

impl Cache {
    /// Empty tiers with the rules that are the default.
    pub fn new(limits: Limits) -> Self {
        Self::with(limits, &Rules::default())
    }

    /// Empty tiers.
    pub fn with(limits: Limits, rules: &Rules) -> Self {
        let state = |tier: Tier| {
            let last = tier == Tier::Storage;
            let usage = if last { 1.0 } else { limits.target_usage };
            let marks = rules.watermarks[tier.index()].unwrap_or(Watermarks { high: usage, low: usage });
            let largest = if last { 1.0 } else { rules.largest_object };
            TierState::new(limits.capacity_bytes[tier.index()], largest, marks, rules.policies[tier.index()])
        };
        Self {
            objects: Slab::default(),
            tiers: Tier::ALL.map(state),
            promotion: rules.promotion,
            placement: rules.placement,
            oracle: rules.foresight.clone().map(Oracle::new),
            limbo: Limbo::default(),
            clock: 0,
            orphans: 0,
            demotions: 0,
            promotions: 0,
            deletes: 0,
        }
    }

    /// Stores an object in the fastest tier that takes one of its size, or in all that do. What
    /// had to make room and the writing itself are appended to `moves`. None, with nothing
    /// changed, when the object is too large for every tier.
    pub fn insert(&mut self, object: NewObject, moves: &mut Vec<Move>) -> Option<Id> {
        let size_bytes = object.size_bytes;
        let fastest = self.tier_for(size_bytes, 0);
        let slowest = match (fastest, self.placement) {
            (Some(fastest), Placement::Exclusive) => fastest.index(),
            _ => 3,
        };
        self.pass_over(0..slowest, size_bytes);
        let takers = self.takers(fastest?);
        self.clock += 1;
        for tier in takers {
            if self.tiers[tier.index()].admits(size_bytes) {
                self.announce(*tier, &object);
                self.make_room(*tier, size_bytes, None, moves);
            }
        }
        let id = self.objects.insert(Object::new(object, self.clock));
        if let Some(oracle) = &mut self.oracle {
            oracle.stored(id.slot(), &self.objects[id.slot()].key);
        }
        for tier in takers {
            if self.tiers[tier.index()].admits(size_bytes) {
                self.enter(id.slot(), *tier);
                moves.push(self.objects[id.slot()].moved(Step::Write(*tier)));
            }
        }
        Some(id)
    }

    /// Uses an object: what it is and where it is read from, or none when it is gone. When the
    /// read moves it up, what had to make room and the promotion are appended to `moves`.
    pub fn read(&mut self, id: Id, moves: &mut Vec<Move>) -> Option<Found> {
        let object = self.objects.get_mut(id)?;
        self.clock += 1;
        object.last_use = self.clock;
        object.uses = object.uses.saturating_add(1);
        let tier = object.fastest().expect("a resident object is in a tier");
        let Object { ref key, size_bytes, tokens, .. } = *object;
        let found = Found { key: key.clone(), size_bytes, tokens, tier };
        let slot = id.slot();
        if let Some(oracle) = &mut self.oracle {
            oracle.used(slot);
        }
        let above = match self.promotion {
            Promotion::None => None,
            Promotion::OnRead => self.tier_for(size_bytes, 0).filter(|above| *above < tier),
        };
        match above {
            Some(above) => self.promote(slot, tier, above, moves),
            None => self.touch(slot, tier.index()),
        }
        if self.oracle.is_some() {
            self.foretell_lower_tiers(slot, tier.index() + 1);
        }
        Some(found)
    }

    /// Whether an object is still there. That is no use of it.
    pub fn holds(&self, id: Id) -> bool {
        self.objects.get(id).is_some()
    }

    /// Somebody begins to look for objects, and may ask for what was there when it began until it
    /// [leaves](Self::leave_holder).
    pub fn enter_holder(&mut self) -> Holder {
        self.limbo.enter()
    }

    /// Somebody has ended who had begun.
    pub fn leave_holder(&mut self, holder: Holder) {
        self.limbo.leave(holder);
        self.bury();
    }

    /// Says that nobody who begins from now on will ask for an object again; it stays until its
    /// tiers evict it. In a tier without a limit that is never: there it goes on to count, and
    /// cannot be read once everybody has left who was there.
    pub fn abandon(&mut self, id: Id) {
        let Some(object) = self.objects.get_mut(id).filter(|object| !object.orphan) else { return };
        object.orphan = true;
        self.orphans += 1;
        if self.tiers[Tier::Storage.index()].is_unlimited() {
            self.limbo.push(id);
            self.bury();
        }
    }

    fn bury(&mut self) {
        while let Some(id) = self.limbo.pop() {
            if let Some(object) = self.objects.get_mut(id) {
                object.out_of_reach = true;
                self.bury_if_out_of_reach(id.slot());
            }
        }
    }

    /// Takes an object out of all tiers that it is in; its leaving is appended to `moves`. Nothing
    /// happens when it is gone already.
    pub fn remove(&mut self, id: Id, moves: &mut Vec<Move>) {
        for tier in 0..self.tiers.len() {
            let Some(object) = self.objects.get(id) else { return };
            if object.is_in(tier) {
                self.tiers[tier].hold(object.places[tier]);
                self.drop_copy(id.slot(), tier, moves);
            }
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

    /// Objects that a read moved, or copied, to a faster tier.
    pub fn promotions(&self) -> u64 {
        self.promotions
    }

    /// Objects, or with inclusive placement copies, that left a tier for nowhere.
    pub fn deletes(&self) -> u64 {
        self.deletes
    }

    /// The tiers that may get a copy of a new object, of which `fastest` is the first that does.
    fn takers(&self, fastest: Tier) -> &'static [Tier] {
        match self.placement {
            Placement::Exclusive => &TIERS[fastest.index()..=fastest.index()],
            Placement::Inclusive => &TIERS[fastest.index()..],
        }
    }

    fn announce(&mut self, tier: Tier, object: &NewObject) {
        let key = self.hash_for(tier.index(), &object.key);
        self.tiers[tier.index()].announce(&Entry { size_bytes: object.size_bytes, key, ..Entry::default() });
    }

    /// A tier gets an object that is in use.
    fn enter(&mut self, slot: u32, tier: Tier) {
        let entry = self.entry(slot, tier.index());
        let place = self.tiers[tier.index()].add(slot, &entry);
        self.objects[slot].enter(tier.index(), place);
    }

    fn touch(&mut self, slot: u32, tier: usize) {
        let entry = self.entry(slot, tier);
        self.tiers[tier].touch(self.objects[slot].places[tier], &entry);
    }

    /// Tiers that see the future know of the next use of their copies, whichever tier is read.
    fn foretell_lower_tiers(&mut self, slot: u32, first: usize) {
        for tier in first..3 {
            if self.tiers[tier].foresees() && self.objects[slot].is_in(tier) {
                self.touch(slot, tier);
            }
        }
    }

    /// The hash of a key, where a tier's policy wants it.
    fn hash_for(&self, tier: usize, key: &Key) -> u64 {
        if self.tiers[tier].wants_keys() { key::hash(key) } else { 0 }
    }
}

static TIERS: [Tier; 3] = Tier::ALL;

#[cfg(test)]
mod tests;
