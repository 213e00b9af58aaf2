//! Least recently used, exactly, over what is in the tier: an object that was demoted keeps its
//! place in time and is not taken for a new one.

use super::heap::Heap;
use super::lists::Lists;
use super::policy::{Entry, Policy};

const USED_HERE: usize = 0;
const CAME_DOWN: usize = 1;
/// How far back in the list a demoted object looks for its place before it goes to the heap.
const LOOKS: usize = 8;

/// Two lists, each in the order of last use: what was stored or used here, which arrives in that
/// order, and what came down unused since, which nearly does (the tier above gives away its
/// oldest first). What came down far out of that order is in a heap. The oldest of the three
/// fronts is the victim.
#[derive(Debug, Default)]
pub(super) struct Lru {
    lists: Lists<2>,
    stragglers: Heap<u64>,
    last_use: Vec<u64>,
}

impl Lru {
    fn set_last_use(&mut self, place: u32, at: u64) {
        if self.last_use.len() <= place as usize {
            self.last_use.resize(place as usize + 1, 0);
        }
        self.last_use[place as usize] = at;
    }

    fn age(&self, place: u32) -> u64 {
        self.last_use[place as usize]
    }
}

impl Policy for Lru {
    fn insert(&mut self, place: u32, entry: &Entry) {
        self.set_last_use(place, entry.last_use);
        self.lists.push_back(USED_HERE, place);
    }

    fn insert_demoted(&mut self, place: u32, entry: &Entry) {
        self.set_last_use(place, entry.last_use);
        let mut neighbour = self.lists.back(CAME_DOWN);
        for _ in 0..LOOKS {
            match neighbour.filter(|other| self.age(*other) > entry.last_use) {
                None => return self.lists.insert_behind(CAME_DOWN, neighbour, place),
                Some(younger) => neighbour = self.lists.before(younger),
            }
        }
        self.stragglers.set(place, entry.last_use);
    }

    fn remove(&mut self, place: u32) {
        if !self.lists.remove(place) {
            self.stragglers.remove(place);
        }
    }

    fn evict(&mut self) -> Option<u32> {
        let fronts = [USED_HERE, CAME_DOWN].map(|list| self.lists.front(list));
        let straggler = self.stragglers.top().map(|(_, place)| place);
        let oldest = fronts.into_iter().chain([straggler]).flatten().min_by_key(|place| self.age(*place))?;
        self.remove(oldest);
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::PolicyKind;
    use crate::cache::policy::checks::{agree, happenings, play};
    use proptest::prelude::*;

    #[derive(Debug, Default)]
    struct Model(Vec<(u64, u32)>);

    impl Policy for Model {
        fn insert(&mut self, place: u32, entry: &Entry) {
            self.0.push((entry.last_use, place));
        }

        fn remove(&mut self, place: u32) {
            self.0.retain(|(_, other)| *other != place);
        }

        fn evict(&mut self) -> Option<u32> {
            let oldest = self.0.iter().min()?.1;
            self.remove(oldest);
            Some(oldest)
        }
    }

    proptest! {
        #[test]
        fn the_victim_is_the_one_whose_last_use_is_longest_ago(happenings in happenings()) {
            agree(&mut Lru::default(), &mut Model::default(), happenings);
        }
    }

    #[test]
    fn what_comes_down_in_any_order_goes_in_its_own() {
        let mut lru = Lru::default();
        let ages: Vec<u64> = (0..100).map(|n| n * 37 % 101).collect();
        for (place, last_use) in ages.iter().enumerate() {
            lru.insert_demoted(place as u32, &Entry { last_use: *last_use, ..Entry::default() });
        }
        assert!(lru.stragglers.top().is_some(), "some of them have to be out of reach");
        let gone: Vec<u64> = std::iter::from_fn(|| lru.evict()).map(|place| ages[place as usize]).collect();
        assert!(gone.len() == 100 && gone.is_sorted(), "{gone:?}");
    }

    /// The reference string of Silberschatz, Galvin and Gagne, "Operating System Concepts",
    /// section 10.4: 12 faults in three frames.
    #[test]
    fn the_textbook_sequence() {
        let told = play(PolicyKind::Lru, 3, "70120304230321201701");
        assert_eq!(told, "....0.0....32.2.1.01");
    }
}
