//! Which object is where: the table of live keys, and the space of each tier.

use std::collections::VecDeque;
use std::io::Write;

use rustc_hash::FxHashMap;

use super::extents::{Extent, granules};
use super::shelf::Shelves;
use crate::replay::io::files::{NAME, Name};

/// No operation, no place.
pub const NONE: u32 = u32::MAX;

/// A key that has a copy somewhere or an operation on its way.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// The place of its copy on each tier.
    pub places: [u32; 3],
    /// The latest operation on it that has not ended.
    pub last_op: u32,
}

/// Where a copy lies.
#[derive(Debug, Default)]
pub struct Place {
    /// Its granules, in order.
    pub extents: Vec<Extent>,
    /// Its tier.
    pub tier: usize,
    /// Which of the tier's targets.
    pub stripe: u32,
    /// The hash of its key.
    pub content: u64,
    /// Its key's number.
    pub key: u32,
    /// Its number among all places that there have been.
    serial: u64,
    /// When it was asked to be removed.
    pub asked: u64,
    /// Operations that are using it.
    users: u32,
    /// No later operation will.
    dead: bool,
    /// Writing it failed: what is there must not be read as data.
    pub broken: bool,
}

/// Which object is where.
pub struct Objects {
    keys: FxHashMap<u32, Live>,
    places: Vec<Place>,
    spare: Vec<u32>,
    tiers: [Shelves; 3],
    /// Tiers whose space is free only when the object's file has been removed.
    filed: [bool; 3],
    /// Places that nobody uses any more and whose file has to be removed.
    gone: VecDeque<u32>,
    serial: u64,
}

impl Objects {
    /// Nothing is anywhere yet.
    pub fn new(tiers: [Shelves; 3]) -> Self {
        Self {
            keys: FxHashMap::default(),
            places: Vec::new(),
            spare: Vec::new(),
            tiers,
            filed: [false; 3],
            gone: VecDeque::new(),
            serial: 0,
        }
    }

    /// Every object of a tier has a file of its own.
    pub fn file_each(&mut self, tier: usize) {
        self.filed[tier] = true;
    }

    /// The name of a place's file: the hash of its key, which no key can make a path of, and a
    /// number that no other place has.
    pub fn file_name(&self, number: u32) -> Name {
        let (place, mut name) = (&self.places[number as usize], [0; NAME]);
        let written = write!(&mut name[..NAME - 1], "{:016x}-{:x}", place.content, place.serial);
        written.expect("both numbers have at most 16 digits");
        name
    }

    /// Whether files have to be removed.
    pub fn any_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// The next place whose file has to be removed; asked for at `now`.
    pub fn next_gone(&mut self, now: u64) -> Option<u32> {
        let number = self.gone.pop_front()?;
        self.places[number as usize].asked = now;
        Some(number)
    }

    /// The file of a place has been removed: its space is free.
    pub fn removed(&mut self, number: u32) {
        let place = &self.places[number as usize];
        self.tiers[place.tier].give_back(place.stripe, place.content, &place.extents);
        self.spare.push(number);
    }

    /// How many objects of a tier went to another target than their own.
    pub fn strays(&self, tier: usize) -> u64 {
        self.tiers[tier].strays()
    }

    /// A key's entry, made if needed.
    pub fn live(&mut self, key: u32) -> &mut Live {
        self.keys.entry(key).or_insert(Live { places: [NONE; 3], last_op: NONE })
    }

    /// Whether an object of `size` bytes with this key hash fits on a tier now.
    pub fn has_room(&self, tier: usize, size: u64, content: u64) -> bool {
        self.tiers[tier].choose(content, granules(size)).is_some()
    }

    /// Puts a key on a tier, instead of what it had there. None when there is no room.
    pub fn put(&mut self, key: u32, tier: usize, size: u64, content: u64) -> Option<u32> {
        self.drop_copy(key, tier);
        let stripe = self.tiers[tier].choose(content, granules(size))?;
        let number = self.spare.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[number as usize];
        place.extents.clear();
        (place.tier, place.stripe, place.content) = (tier, stripe, content);
        self.serial += 1;
        (place.key, place.serial) = (key, self.serial);
        (place.users, place.dead, place.broken) = (0, false, false);
        self.tiers[tier].take(stripe, content, granules(size), &mut place.extents);
        self.live(key).places[tier] = number;
        Some(number)
    }

    /// Where a key lies on a tier; [`NONE`] when it does not.
    pub fn find(&self, key: u32, tier: usize) -> u32 {
        self.keys.get(&key).map_or(NONE, |live| live.places[tier])
    }

    /// A place.
    pub fn place(&self, number: u32) -> &Place {
        &self.places[number as usize]
    }

    /// Writing this place failed.
    pub fn mark_broken(&mut self, number: u32) {
        self.places[number as usize].broken = true;
    }

    /// An operation begins to use a place.
    pub fn hold(&mut self, number: u32) {
        self.places[number as usize].users += 1;
    }

    /// An operation has ended; the last user of a dead place frees its space.
    pub fn let_go(&mut self, number: u32) {
        self.places[number as usize].users -= 1;
        self.free_if_done(number);
    }

    /// No later operation uses the key's copy on a tier.
    pub fn drop_copy(&mut self, key: u32, tier: usize) {
        let Some(live) = self.keys.get_mut(&key) else { return };
        let number = std::mem::replace(&mut live.places[tier], NONE);
        self.forget_if_idle(key);
        if number != NONE {
            self.places[number as usize].dead = true;
            self.free_if_done(number);
        }
    }

    /// Forgets a key that has neither a copy nor an operation.
    pub fn forget_if_idle(&mut self, key: u32) {
        if self.keys.get(&key).is_some_and(|live| live.last_op == NONE && live.places == [NONE; 3]) {
            self.keys.remove(&key);
        }
    }

    fn free_if_done(&mut self, number: u32) {
        let place = &mut self.places[number as usize];
        if place.dead && place.users == 0 {
            if self.filed[place.tier] {
                self.gone.push_back(number);
            } else {
                self.removed(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::prepare::extents::Space;

    fn three_granules() -> Objects {
        Objects::new([Shelves::default(), Shelves::default(), Shelves::single(Space::new(0, 3))])
    }

    #[test]
    fn space_comes_back_when_the_last_user_of_a_dead_copy_ends() {
        let mut objects = three_granules();
        let place = objects.put(7, 2, 300 << 10, 0).unwrap();
        assert_eq!(objects.put(8, 2, 1, 1), None);
        objects.hold(place);
        objects.drop_copy(7, 2);
        assert!(!objects.has_room(2, 1, 1) && objects.find(7, 2) == NONE);
        objects.let_go(place);
        assert!(objects.has_room(2, 300 << 10, 1) && objects.keys.is_empty());
    }

    #[test]
    fn the_space_of_a_file_is_free_when_it_has_been_removed() {
        let mut objects = three_granules();
        objects.file_each(2);
        let place = objects.put(7, 2, 300 << 10, 0xab).unwrap();
        let name = objects.file_name(place);
        assert_eq!(&name[..19], b"00000000000000ab-1\0");
        objects.drop_copy(7, 2);
        assert!(objects.any_gone() && !objects.has_room(2, 1, 1));
        assert_eq!((objects.next_gone(5), objects.next_gone(5)), (Some(place), None));
        objects.removed(place);
        let again = objects.put(7, 2, 300 << 10, 0xab).unwrap();
        assert_ne!(objects.file_name(again), name, "an old file may still be on its way out");
    }

    #[test]
    fn a_new_version_replaces_the_old_copy() {
        let mut objects = three_granules();
        objects.put(7, 2, 300 << 10, 0).unwrap();
        assert!(objects.put(7, 2, 200 << 10, 0).is_some());
        objects.drop_copy(7, 2);
        assert!(objects.has_room(2, 384 << 10, 0));
    }
}
