//! ARC (Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003), with
//! bytes where the paper counts pages: a list of what was used once and one of what was used
//! again, each in the order of last use, and the keys of what lately left either, which say how
//! much of the tier the first list deserves.

use super::ghost::Ghosts;
use super::lists::Lists;
use super::policy::{Entry, Policy};

const ONCE: usize = 0;
const AGAIN: usize = 1;

#[derive(Clone, Copy, Debug, Default)]
struct Resident {
    key: u64,
    size_bytes: u64,
    list: usize,
}

/// The lists, longest unused first.
#[derive(Debug)]
pub(super) struct Adaptive {
    capacity_bytes: u64,
    /// What the list of those used once is meant to have (the paper's p).
    target_bytes: u64,
    lists: Lists<2>,
    residents: Vec<Resident>,
    bytes: [u64; 2],
    ghosts: [Ghosts; 2],
    /// An object that is about to come and left one of the lists: its key, and which.
    returning: Option<(u64, usize)>,
}

impl Adaptive {
    /// For a tier that fills up to so many bytes.
    pub fn new(capacity_bytes: u64) -> Self {
        Self {
            capacity_bytes,
            target_bytes: 0,
            lists: Lists::default(),
            residents: Vec::new(),
            bytes: [0; 2],
            ghosts: Default::default(),
            returning: None,
        }
    }

    fn put(&mut self, place: u32, resident: Resident) {
        if self.residents.len() <= place as usize {
            self.residents.resize(place as usize + 1, Resident::default());
        }
        self.residents[place as usize] = resident;
        self.bytes[resident.list] += resident.size_bytes;
        self.lists.push_back(resident.list, place);
    }

    fn take(&mut self, place: u32) -> Resident {
        let resident = self.residents[place as usize];
        self.lists.remove(place);
        self.bytes[resident.list] -= resident.size_bytes;
        resident
    }

    /// An object that left `list` is asked for again: the list should have been larger, all the
    /// more the shorter the memory of it is beside the other's.
    fn adapt(&mut self, list: usize, size_bytes: u64) {
        let remembered = self.ghosts[list].bytes().max(1);
        let other = self.ghosts[1 - list].bytes();
        let by = u128::from(size_bytes) * u128::from(remembered.max(other)) / u128::from(remembered);
        let by = u64::try_from(by).unwrap_or(u64::MAX);
        self.target_bytes = match list {
            ONCE => self.target_bytes.saturating_add(by).min(self.capacity_bytes),
            _ => self.target_bytes.saturating_sub(by),
        };
    }

    /// Keeps the memory as long as the paper has it.
    fn forget(&mut self) {
        let once_limit = self.capacity_bytes.saturating_sub(self.bytes[ONCE]);
        self.ghosts[ONCE].shrink_to(once_limit);
        let others = self.bytes[ONCE] + self.bytes[AGAIN] + self.ghosts[ONCE].bytes();
        self.ghosts[AGAIN].shrink_to((2 * self.capacity_bytes).saturating_sub(others));
    }
}

impl Policy for Adaptive {
    fn announce(&mut self, entry: &Entry) {
        self.returning = [ONCE, AGAIN].into_iter().find(|list| self.ghosts[*list].contains(entry.key)).map(|list| {
            self.adapt(list, entry.size_bytes);
            self.ghosts[list].remove(entry.key);
            (entry.key, list)
        });
    }

    fn insert(&mut self, place: u32, entry: &Entry) {
        let Entry { key, size_bytes, .. } = *entry;
        let returning = self.returning.take().is_some_and(|(returning, _)| returning == key);
        let list = if returning { AGAIN } else { ONCE };
        self.put(place, Resident { key, size_bytes, list });
        self.forget();
    }

    /// Nobody asks for it here, so that nothing is learnt from its coming.
    fn insert_demoted(&mut self, place: u32, entry: &Entry) {
        let Entry { key, size_bytes, uses, .. } = *entry;
        self.ghosts.iter_mut().for_each(|ghosts| {
            ghosts.remove(key);
        });
        self.put(place, Resident { key, size_bytes, list: if uses > 1 { AGAIN } else { ONCE } });
        self.forget();
    }

    fn touch(&mut self, place: u32, _entry: &Entry) {
        let resident = self.take(place);
        self.put(place, Resident { list: AGAIN, ..resident });
    }

    fn remove(&mut self, place: u32) {
        self.take(place);
    }

    fn evict(&mut self) -> Option<u32> {
        let once = self.bytes[ONCE];
        let returned_again = self.returning.is_some_and(|(_, list)| list == AGAIN);
        let first =
            if once > self.target_bytes || (returned_again && once == self.target_bytes) { ONCE } else { AGAIN };
        let place = self.lists.front(first).or_else(|| self.lists.front(1 - first))?;
        let Resident { key, size_bytes, list } = self.take(place);
        self.ghosts[list].push(key, size_bytes);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::PolicyKind;
    use crate::cache::policy::checks::{World, agree, happenings};
    use proptest::prelude::*;

    const CAPACITY: u64 = 100;

    /// The paper's T1, T2, B1 and B2 as vectors of (place, key, size), and its p.
    #[derive(Debug, Default)]
    struct Model {
        t: [Vec<(u32, u64, u64)>; 2],
        b: [Vec<(u64, u64)>; 2],
        p: u64,
        hit: Option<usize>,
    }

    impl Model {
        fn t_bytes(&self, list: usize) -> u64 {
            self.t[list].iter().map(|(_, _, size)| size).sum()
        }

        fn b_bytes(&self, list: usize) -> u64 {
            self.b[list].iter().map(|(_, size)| size).sum()
        }

        fn put(&mut self, list: usize, place: u32, entry: &Entry) {
            self.t[list].push((place, entry.key, entry.size_bytes));
            while !self.b[0].is_empty() && self.t_bytes(0) + self.b_bytes(0) > CAPACITY {
                self.b[0].remove(0);
            }
            while !self.b[1].is_empty()
                && self.t_bytes(0) + self.t_bytes(1) + self.b_bytes(0) + self.b_bytes(1) > 2 * CAPACITY
            {
                self.b[1].remove(0);
            }
        }
    }

    impl Policy for Model {
        fn announce(&mut self, entry: &Entry) {
            self.hit = (0..2).find(|list| self.b[*list].iter().any(|(key, _)| *key == entry.key));
            if let Some(list) = self.hit {
                let (own, other) = (self.b_bytes(list), self.b_bytes(1 - list));
                let by = entry.size_bytes * own.max(other) / own;
                self.p = if list == 0 { (self.p + by).min(CAPACITY) } else { self.p.saturating_sub(by) };
                self.b[list].retain(|(key, _)| *key != entry.key);
            }
        }

        fn insert(&mut self, place: u32, entry: &Entry) {
            let list = usize::from(self.hit.take().is_some());
            self.put(list, place, entry);
        }

        fn insert_demoted(&mut self, place: u32, entry: &Entry) {
            self.b.iter_mut().for_each(|ghosts| ghosts.retain(|(key, _)| *key != entry.key));
            self.put(usize::from(entry.uses > 1), place, entry);
        }

        fn touch(&mut self, place: u32, _entry: &Entry) {
            let at = |list: &Vec<(u32, u64, u64)>| list.iter().position(|(other, _, _)| *other == place);
            let list = (0..2).find(|list| at(&self.t[*list]).is_some()).unwrap();
            let resident = at(&self.t[list]).map(|at| self.t[list].remove(at)).unwrap();
            self.t[1].push(resident);
        }

        fn remove(&mut self, place: u32) {
            self.t.iter_mut().for_each(|list| list.retain(|(other, _, _)| *other != place));
        }

        fn evict(&mut self) -> Option<u32> {
            let once = self.t_bytes(0);
            let first = usize::from(!(once > self.p || (self.hit == Some(1) && once == self.p)));
            let list = if self.t[first].is_empty() { 1 - first } else { first };
            if self.t[list].is_empty() {
                return None;
            }
            let (place, key, size) = self.t[list].remove(0);
            self.b[list].push((key, size));
            Some(place)
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_paper_says(happenings in happenings()) {
            agree(&mut Adaptive::new(CAPACITY), &mut Model::default(), happenings);
        }

        /// The paper's case IV keeps L1 within c and all four lists within 2c.
        #[test]
        fn memory_is_bounded(keys in prop::collection::vec(0u64..60, 1..400)) {
            let mut arc = Adaptive::new(10);
            let mut residents = std::collections::BTreeMap::new();
            for (number, key) in keys.into_iter().enumerate() {
                let entry = Entry { key, size_bytes: 1, last_use: number as u64, ..Entry::default() };
                if let Some(place) = residents.get(&key) {
                    arc.touch(*place, &entry);
                } else {
                    arc.announce(&entry);
                    let place = if residents.len() < 10 { residents.len() as u32 } else { arc.evict().unwrap() };
                    residents.retain(|_, other| *other != place);
                    residents.insert(key, place);
                    arc.insert(place, &entry);
                }
                let ghosts = [ONCE, AGAIN].map(|list| arc.ghosts[list].bytes());
                prop_assert!(arc.bytes[ONCE] + ghosts[ONCE] <= 10);
                prop_assert!(arc.bytes[ONCE] + arc.bytes[AGAIN] + ghosts[ONCE] + ghosts[AGAIN] <= 20);
            }
        }
    }

    #[test]
    fn a_scan_leaves_what_is_used_again_alone() {
        let mut world = World::new(PolicyKind::Arc, 10);
        for _ in 0..2 {
            (0..5).for_each(|key| {
                world.refer(key);
            });
        }
        (100..200).for_each(|key| {
            world.refer(key);
        });
        assert!((0..5).all(|key| world.refer(key)));
        let mut lru = World::new(PolicyKind::Lru, 10);
        (0..5).chain(0..5).chain(100..200).for_each(|key| {
            lru.refer(key);
        });
        assert!((0..5).all(|key| !lru.refer(key)));
    }
}
