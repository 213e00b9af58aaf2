//! S3-FIFO (Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023): a
//! small queue that newcomers have to survive, a main queue for those that were used twice while
//! they were in it, and the keys of those that were not, who come back straight to the main one.

use super::ghost::Ghosts;
use super::lists::Lists;
use super::policy::{Entry, Policy};

const SMALL: usize = 0;
const MAIN: usize = 1;
/// The small queue's share of the tier, and what the main queue and the ghosts have of it, in
/// percent (section 4.2 of the paper).
const SMALL_PERCENT: u64 = 10;
/// Uses after which an object of the small queue moves to the main one.
const USES_TO_MOVE: u8 = 2;
/// Uses are counted up to this.
const MOST_USES: u8 = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Resident {
    key: u64,
    size_bytes: u64,
    uses: u8,
    main: bool,
}

/// The queues, oldest first.
#[derive(Debug)]
pub(super) struct S3Fifo {
    small_limit: u64,
    main_limit: u64,
    queues: Lists<2>,
    residents: Vec<Resident>,
    small_bytes: u64,
    main_bytes: u64,
    ghosts: Ghosts,
    /// The key of an object that is about to come and was among the ghosts.
    returning: Option<u64>,
    evicted: bool,
}

impl S3Fifo {
    /// For a tier that fills up to so many bytes.
    pub fn new(capacity_bytes: u64) -> Self {
        let small_limit = (u128::from(capacity_bytes) * u128::from(SMALL_PERCENT) / 100) as u64;
        Self {
            small_limit,
            main_limit: capacity_bytes - small_limit,
            queues: Lists::default(),
            residents: Vec::new(),
            small_bytes: 0,
            main_bytes: 0,
            ghosts: Ghosts::default(),
            returning: None,
            evicted: false,
        }
    }

    fn put(&mut self, place: u32, resident: Resident) {
        if self.residents.len() <= place as usize {
            self.residents.resize(place as usize + 1, Resident::default());
        }
        self.residents[place as usize] = resident;
        *self.bytes(resident.main) += resident.size_bytes;
        self.queues.push_back(if resident.main { MAIN } else { SMALL }, place);
    }

    fn take(&mut self, place: u32) -> Resident {
        let resident = self.residents[place as usize];
        self.queues.remove(place);
        *self.bytes(resident.main) -= resident.size_bytes;
        resident
    }

    fn bytes(&mut self, main: bool) -> &mut u64 {
        if main { &mut self.main_bytes } else { &mut self.small_bytes }
    }

    /// Goes through the small queue: who was used moves to the main one, the first who was not
    /// goes.
    fn evict_small(&mut self) -> Option<u32> {
        while let Some(place) = self.queues.front(SMALL) {
            let resident = self.take(place);
            if resident.uses < USES_TO_MOVE {
                self.ghosts.push(resident.key, resident.size_bytes);
                self.ghosts.shrink_to(self.main_limit);
                return Some(place);
            }
            self.put(place, Resident { uses: 0, main: true, ..resident });
        }
        None
    }

    /// Goes through the main queue: who was used goes around once more for each use.
    fn evict_main(&mut self) -> Option<u32> {
        while let Some(place) = self.queues.front(MAIN) {
            let resident = self.take(place);
            if resident.uses == 0 {
                return Some(place);
            }
            self.put(place, Resident { uses: resident.uses - 1, ..resident });
        }
        None
    }
}

impl Policy for S3Fifo {
    fn announce(&mut self, entry: &Entry) {
        self.returning = self.ghosts.remove(entry.key).then_some(entry.key);
    }

    fn insert(&mut self, place: u32, entry: &Entry) {
        let Entry { key, size_bytes, .. } = *entry;
        let returning = self.returning.take() == Some(key) || self.ghosts.remove(key);
        // The first that come fill both queues.
        let main = returning || (!self.evicted && self.small_bytes >= self.small_limit);
        self.put(place, Resident { key, size_bytes, uses: 0, main });
    }

    fn touch(&mut self, place: u32, _entry: &Entry) {
        let uses = &mut self.residents[place as usize].uses;
        *uses = (*uses + 1).min(MOST_USES);
    }

    fn remove(&mut self, place: u32) {
        self.take(place);
    }

    fn evict(&mut self) -> Option<u32> {
        self.evicted = true;
        if self.main_bytes <= self.main_limit
            && let Some(place) = self.evict_small()
        {
            return Some(place);
        }
        self.evict_main().or_else(|| self.evict_small())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::PolicyKind;
    use crate::cache::policy::checks::{agree, happenings, play};
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const CAPACITY: u64 = 100;

    /// Vectors of (place, key, size, uses), and a vector of (key, size).
    #[derive(Debug, Default)]
    struct Model {
        small: VecDeque<(u32, u64, u64, u8)>,
        main: VecDeque<(u32, u64, u64, u8)>,
        ghosts: VecDeque<(u64, u64)>,
        returning: bool,
        evicted: bool,
    }

    fn bytes(queue: &VecDeque<(u32, u64, u64, u8)>) -> u64 {
        queue.iter().map(|resident| resident.2).sum()
    }

    impl Policy for Model {
        fn announce(&mut self, entry: &Entry) {
            self.returning = self.ghosts.iter().any(|(key, _)| *key == entry.key);
            self.ghosts.retain(|(key, _)| *key != entry.key);
        }

        fn insert(&mut self, place: u32, entry: &Entry) {
            let resident = (place, entry.key, entry.size_bytes, 0);
            if self.returning || (!self.evicted && bytes(&self.small) >= CAPACITY / 10) {
                self.main.push_back(resident);
            } else {
                self.small.push_back(resident);
            }
            self.returning = false;
        }

        fn insert_demoted(&mut self, place: u32, entry: &Entry) {
            self.announce(entry);
            self.insert(place, entry);
        }

        fn touch(&mut self, place: u32, _entry: &Entry) {
            let all = self.small.iter_mut().chain(&mut self.main);
            all.filter(|resident| resident.0 == place).for_each(|resident| resident.3 = 3.min(resident.3 + 1));
        }

        fn remove(&mut self, place: u32) {
            self.small.retain(|resident| resident.0 != place);
            self.main.retain(|resident| resident.0 != place);
        }

        fn evict(&mut self) -> Option<u32> {
            self.evicted = true;
            loop {
                let from_small = bytes(&self.main) <= CAPACITY * 9 / 10 && !self.small.is_empty();
                if from_small || self.main.is_empty() {
                    // Once begun, the small queue is gone through until one goes.
                    while let Some((place, key, size, uses)) = self.small.pop_front() {
                        if uses < 2 {
                            self.ghosts.push_back((key, size));
                            while self.ghosts.iter().map(|(_, size)| size).sum::<u64>() > CAPACITY * 9 / 10 {
                                self.ghosts.pop_front();
                            }
                            return Some(place);
                        }
                        self.main.push_back((place, key, size, 0));
                    }
                }
                let (place, key, size, uses) = self.main.pop_front()?;
                if uses == 0 {
                    return Some(place);
                }
                self.main.push_back((place, key, size, uses - 1));
            }
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_paper_says(happenings in happenings()) {
            agree(&mut S3Fifo::new(CAPACITY), &mut Model::default(), happenings);
        }
    }

    #[test]
    fn one_hit_wonders_pass_by_the_main_queue() {
        // Ten that fill the tier: a in the small queue, the others in the main one. K to R pass
        // through the small queue; L, once gone, comes back to stay, at the expense of b.
        let told = play(PolicyKind::S3Fifo, 10, "abcdefghijKLMNLOPQRLcb");
        assert_eq!(told, "...................Lc.");
    }
}
