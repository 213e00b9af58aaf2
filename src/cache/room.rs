//! How room is made: victims fall one tier at a time, or are dropped.

use std::ops::Range;

use crate::trace::Tier;

use super::policy::Entry;
use super::rules::Placement;
use super::{Cache, Move, Step};

/// Room that is needed in a tier.
#[derive(Clone, Copy, Debug, Default)]
struct Need {
    tier: usize,
    size_bytes: u64,
    /// The victim of the tier above that needs it.
    mover: Option<(u32, usize)>,
    /// Something had to go already.
    draining: bool,
}

/// An object that is being moved out of a tier: it is there while room is made for it elsewhere,
/// and nobody's victim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub tier: Tier,
    pub size_bytes: u64,
}

impl Cache {
    /// The fastest tier from `first` on that takes an object of that size.
    pub(super) fn tier_for(&self, size_bytes: u64, first: usize) -> Option<Tier> {
        Tier::ALL.into_iter().skip(first).find(|tier| self.tiers[tier.index()].admits(size_bytes))
    }

    /// Evicts from `tier`, and from the tiers below it as far as needed, until an object of
    /// `size_bytes` fits. What waits for room is on a stack of at most one entry a tier: a victim
    /// needs room one tier down before it can go.
    pub(super) fn make_room(&mut self, tier: Tier, size_bytes: u64, held: Option<Held>, moves: &mut Vec<Move>) {
        let mut needs = [Need::default(); 3];
        needs[0] = Need { tier: tier.index(), size_bytes, mover: None, draining: false };
        let mut top = 0;
        loop {
            let need = &mut needs[top];
            let state = &mut self.tiers[need.tier];
            let victim = match state.has_room_for(need.size_bytes, need.draining) {
                true => None,
                false => state.evict(),
            };
            let Some(slot) = victim else {
                if let Some((mover, from)) = need.mover {
                    let to = need.tier;
                    self.demote(mover, from, to, moves);
                }
                let Some(next) = top.checked_sub(1) else { return };
                top = next;
                continue;
            };
            need.draining = true;
            let from = need.tier;
            let size_bytes = self.objects[slot].size_bytes;
            let below = self.tier_below(from, size_bytes, held);
            if self.placement == Placement::Exclusive {
                self.pass_over(from + 1..below.map_or(3, Tier::index), size_bytes);
            }
            match below {
                Some(below) => {
                    top += 1;
                    needs[top] = Need { tier: below.index(), size_bytes, mover: Some((slot, from)), draining: false };
                }
                None => self.drop_copy(slot, from, moves),
            }
        }
    }

    /// Where a victim of a tier falls to.
    fn tier_below(&self, from: usize, size_bytes: u64, held: Option<Held>) -> Option<Tier> {
        if self.placement == Placement::Inclusive {
            return None;
        }
        let first = self.tier_for(size_bytes, from + 1)?;
        match held {
            // What is held cannot make room.
            Some(held) if held.tier == first && !self.tiers[first.index()].can_hold(size_bytes, held.size_bytes) => {
                self.tier_for(size_bytes, first.index() + 1)
            }
            _ => Some(first),
        }
    }

    /// Counts the tiers that are too small for an object that they are asked to take.
    pub(super) fn pass_over(&mut self, tiers: Range<usize>, size_bytes: u64) {
        for state in self.tiers[tiers].iter_mut().filter(|state| !state.admits(size_bytes)) {
            state.pass_over();
        }
    }

    fn demote(&mut self, slot: u32, from: usize, to: usize, moves: &mut Vec<Move>) {
        let entry = self.entry(slot, to);
        let place = self.tiers[to].add_demoted(slot, &entry);
        let object = &mut self.objects[slot];
        object.leave(from);
        object.enter(to, place);
        self.tiers[from].release(entry.size_bytes);
        self.demotions += 1;
        let step = Step::Demote { from: Tier::ALL[from], to: Tier::ALL[to] };
        moves.push(object.moved(step));
        self.bury_if_out_of_reach(slot);
    }

    /// An object leaves a tier for nowhere; with its last copy it is gone.
    pub(super) fn drop_copy(&mut self, slot: u32, from: usize, moves: &mut Vec<Move>) {
        let object = &mut self.objects[slot];
        object.leave(from);
        self.tiers[from].release(object.size_bytes);
        self.deletes += 1;
        moves.push(object.moved(Step::Delete(Tier::ALL[from])));
        if object.fastest().is_none() {
            self.orphans -= u64::from(object.orphan);
            self.objects.remove(self.objects.id_of(slot));
        } else {
            self.bury_if_out_of_reach(slot);
        }
    }

    /// Moves an object up that was just read in `from`.
    pub(super) fn promote(&mut self, slot: u32, from: Tier, to: Tier, moves: &mut Vec<Move>) {
        let entry = self.entry(slot, to.index());
        let size_bytes = entry.size_bytes;
        let place = self.objects[slot].places[from.index()];
        let held = match self.placement {
            Placement::Exclusive => {
                self.tiers[from.index()].hold(place);
                Some(Held { tier: from, size_bytes })
            }
            Placement::Inclusive => {
                self.tiers[from.index()].touch(place, &entry);
                None
            }
        };
        self.tiers[to.index()].announce(&entry);
        self.make_room(to, size_bytes, held, moves);
        let object = &mut self.objects[slot];
        if held.is_some() {
            object.leave(from.index());
            self.tiers[from.index()].release(size_bytes);
        }
        object.enter(to.index(), self.tiers[to.index()].add(slot, &entry));
        self.promotions += 1;
        moves.push(object.moved(Step::Promote { from, to }));
    }

    /// What a tier's policy may know of an object.
    pub(super) fn entry(&self, slot: u32, tier: usize) -> Entry {
        let object = &self.objects[slot];
        Entry {
            size_bytes: object.size_bytes,
            key: self.hash_for(tier, &object.key),
            last_use: object.last_use,
            uses: object.uses,
            next_use: self.oracle.as_ref().map_or(super::policy::NEVER, |oracle| oracle.next(slot)),
        }
    }

    /// An orphan that is in a tier without a limit alone stays there and is never asked for: its
    /// bytes count, and nothing more is known of it.
    pub(super) fn bury_if_out_of_reach(&mut self, slot: u32) {
        let last = Tier::Storage.index();
        let object = &self.objects[slot];
        if object.out_of_reach && object.is_only_in(last) && self.tiers[last].is_unlimited() {
            self.objects.remove(self.objects.id_of(slot));
        }
    }
}
