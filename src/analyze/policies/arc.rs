//! ARC (Megiddo and Modha, FAST 2003): what was used once, what was used again, and the names of
//! what lately left either, which say how much of the cache the first deserves.

use super::BlockCache;
use super::list::{Ends, Links};

const ONCE: usize = 0;
const AGAIN: usize = 1;
/// The lists of names come after those of blocks: T1, T2, B1, B2 of the paper.
const GHOSTS: usize = 2;
const NOWHERE: u8 = 4;

/// The four lists, longest unused first.
#[derive(Clone, Debug)]
pub struct Arc {
    capacity: u32,
    /// What the list of those used once is meant to have: the paper's p.
    target: f64,
    place: Vec<u8>,
    links: Links,
    lists: [Ends; 4],
}

impl Arc {
    /// For `capacity` of `distinct` blocks.
    pub fn new(capacity: u32, distinct: u32) -> Self {
        Self {
            capacity,
            target: 0.0,
            place: vec![NOWHERE; distinct as usize],
            links: Links::new(distinct),
            lists: [Ends::default(); 4],
        }
    }

    fn put(&mut self, list: usize, block: u32) {
        self.links.push_back(&mut self.lists[list], block);
        self.place[block as usize] = list as u8;
    }

    fn drop_oldest(&mut self, list: usize) {
        if let Some(block) = self.links.pop_front(&mut self.lists[list]) {
            self.place[block as usize] = NOWHERE;
        }
    }

    fn len(&self, list: usize) -> u32 {
        self.lists[list].len
    }

    /// The paper's REPLACE: the oldest of one list becomes a name.
    fn replace(&mut self, again: bool) {
        let once = f64::from(self.len(ONCE));
        let first = once > 0.0 && (once > self.target || (again && once == self.target));
        let list = if first || self.len(AGAIN) == 0 { ONCE } else { AGAIN };
        if let Some(block) = self.links.pop_front(&mut self.lists[list]) {
            self.put(GHOSTS + list, block);
        }
    }

    /// A name is asked for: its list should have been larger, all the more the shorter the memory
    /// of it is beside the other's.
    fn adapt(&mut self, list: usize) {
        let (own, other) = (f64::from(self.len(GHOSTS + list)), f64::from(self.len(GHOSTS + 1 - list)));
        let by = (other / own).max(1.0);
        self.target = match list {
            ONCE => (self.target + by).min(f64::from(self.capacity)),
            _ => (self.target - by).max(0.0),
        };
    }

    fn make_room(&mut self) {
        let recent = self.len(ONCE) + self.len(GHOSTS + ONCE);
        let all = recent + self.len(AGAIN) + self.len(GHOSTS + AGAIN);
        if recent == self.capacity {
            if self.len(ONCE) < self.capacity {
                self.drop_oldest(GHOSTS + ONCE);
                self.replace(false);
            } else {
                self.drop_oldest(ONCE);
            }
        } else if all >= self.capacity {
            if all == 2 * self.capacity {
                self.drop_oldest(GHOSTS + AGAIN);
            }
            self.replace(false);
        }
    }
}

impl BlockCache for Arc {
    fn refer(&mut self, block: u32, _reference: usize) -> bool {
        let list = usize::from(self.place[block as usize]);
        if list < GHOSTS {
            self.links.remove(&mut self.lists[list], block);
            self.put(AGAIN, block);
            return true;
        }
        if list < usize::from(NOWHERE) {
            self.adapt(list - GHOSTS);
            self.replace(list == GHOSTS + AGAIN);
            self.links.remove(&mut self.lists[list], block);
            self.put(AGAIN, block);
            return false;
        }
        self.make_room();
        self.put(ONCE, block);
        false
    }

    fn holds(&self, block: u32) -> bool {
        usize::from(self.place[block as usize]) < GHOSTS
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_papers_bounds_hold(blocks in prop::collection::vec(0u32..40, 1..600), capacity in 1u32..15) {
            let mut cache = Arc::new(capacity, 40);
            for block in blocks {
                let there = usize::from(cache.place[block as usize]) < GHOSTS;
                prop_assert_eq!(cache.refer(block, 0), there);
                let [t1, t2, b1, b2] = cache.lists.map(|list| list.len);
                prop_assert!(t1 + t2 <= capacity && t1 + b1 <= capacity && t1 + t2 + b1 + b2 <= 2 * capacity);
                prop_assert!((0.0..=f64::from(capacity)).contains(&cache.target));
                prop_assert_eq!(usize::from(cache.place[block as usize]) < GHOSTS, true);
            }
        }
    }

    #[test]
    fn a_scan_does_not_sweep_away_what_is_used_again() {
        let mut cache = Arc::new(4, 100);
        for block in [0, 1, 0, 1] {
            cache.refer(block, 0);
        }
        (10..60).for_each(|block| {
            cache.refer(block, 0);
        });
        assert!(cache.refer(0, 0) && cache.refer(1, 0));
    }
}
