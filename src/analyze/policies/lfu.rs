//! Least frequently used: fewest uses since it came goes first, of those the one whose last use
//! is longest ago. Blocks of equal uses are in one list, so that nothing is searched.

use super::list::{Ends, Links};
use super::{BlockCache, NONE};

/// Lists by number of uses.
#[derive(Clone, Debug)]
pub struct Lfu {
    capacity: u32,
    held: u32,
    /// Uses of each block; 0 for those that are not there.
    uses: Vec<u32>,
    links: Links,
    by_uses: Vec<Ends>,
    fewest: usize,
}

impl Lfu {
    /// For `capacity` of `distinct` blocks.
    pub fn new(capacity: u32, distinct: u32) -> Self {
        Self {
            capacity,
            held: 0,
            uses: vec![0; distinct as usize],
            links: Links::new(distinct),
            by_uses: vec![Ends::default(); 2],
            fewest: 1,
        }
    }

    fn put(&mut self, block: u32, uses: u32) {
        self.uses[block as usize] = uses;
        if self.by_uses.len() <= uses as usize {
            self.by_uses.resize(uses as usize + 1, Ends::default());
        }
        self.links.push_back(&mut self.by_uses[uses as usize], block);
    }

    fn evict(&mut self) {
        while self.by_uses[self.fewest].front == NONE {
            self.fewest += 1;
        }
        let block = self.links.pop_front(&mut self.by_uses[self.fewest]).expect("the list is not empty");
        self.uses[block as usize] = 0;
        self.held -= 1;
    }
}

impl BlockCache for Lfu {
    fn refer(&mut self, block: u32, _reference: usize) -> bool {
        let uses = self.uses[block as usize];
        if uses > 0 {
            self.links.remove(&mut self.by_uses[uses as usize], block);
            self.put(block, uses + 1);
            return true;
        }
        if self.held == self.capacity {
            self.evict();
        }
        self.put(block, 1);
        self.held += 1;
        self.fewest = 1;
        false
    }

    fn holds(&self, block: u32) -> bool {
        self.uses[block as usize] > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::policies::checks::{Plain, agree};

    /// (block, uses, last use), and a capacity.
    struct Model(Vec<(u32, u32, usize)>, usize);

    impl Plain for Model {
        fn refer(&mut self, block: u32, at: usize) -> bool {
            if let Some(found) = self.0.iter_mut().find(|(other, ..)| *other == block) {
                (found.1, found.2) = (found.1 + 1, at);
                return true;
            }
            if self.0.len() == self.1 {
                let victim = self.0.iter().min_by_key(|(_, uses, last)| (*uses, *last)).unwrap().0;
                self.0.retain(|(other, ..)| *other != victim);
            }
            self.0.push((block, 1, at));
            false
        }
    }

    proptest! {
        #[test]
        fn the_least_used_goes(blocks in prop::collection::vec(0u32..12, 1..300), capacity in 1u32..9) {
            agree(&mut Lfu::new(capacity, 12), &mut Model(Vec::new(), capacity as usize), &blocks);
        }
    }
}
