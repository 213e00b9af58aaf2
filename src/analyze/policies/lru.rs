//! Least recently used: one capacity, where the stack gives all.

use super::BlockCache;
use super::list::{Ends, Links};

/// Blocks, longest unused first.
#[derive(Clone, Debug)]
pub struct Lru {
    capacity: u32,
    there: Vec<bool>,
    links: Links,
    queue: Ends,
}

impl Lru {
    /// For `capacity` of `distinct` blocks.
    pub fn new(capacity: u32, distinct: u32) -> Self {
        Self { capacity, there: vec![false; distinct as usize], links: Links::new(distinct), queue: Ends::default() }
    }
}

impl BlockCache for Lru {
    fn refer(&mut self, block: u32, _reference: usize) -> bool {
        let there = std::mem::replace(&mut self.there[block as usize], true);
        if there {
            if self.queue.back == block {
                return true;
            }
            self.links.remove(&mut self.queue, block);
        } else if self.queue.len == self.capacity
            && let Some(oldest) = self.links.pop_front(&mut self.queue)
        {
            self.there[oldest as usize] = false;
        }
        self.links.push_back(&mut self.queue, block);
        there
    }

    fn holds(&self, block: u32) -> bool {
        self.there[block as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::policies::checks::{Plain, agree};

    /// Latest first, and a capacity.
    struct Model(Vec<u32>, usize);

    impl Plain for Model {
        fn refer(&mut self, block: u32, _at: usize) -> bool {
            let there = self.0.contains(&block);
            self.0.retain(|other| *other != block);
            self.0.insert(0, block);
            self.0.truncate(self.1);
            there
        }
    }

    proptest! {
        #[test]
        fn the_longest_unused_goes(blocks in prop::collection::vec(0u32..12, 1..300), capacity in 1u32..9) {
            agree(&mut Lru::new(capacity, 12), &mut Model(Vec::new(), capacity as usize), &blocks);
        }
    }
}
