//! S3-FIFO (Yang and others, SOSP 2023): a small queue that newcomers have to survive, a main
//! queue for those that were used twice in it, and the names of those that were not, who come
//! back straight to the main one.

use super::list::{Ends, Links};
use super::{BlockCache, NONE};

/// The small queue's share of the cache, in percent (section 4.2 of the paper).
const SMALL_PERCENT: u64 = 10;
/// Uses after which a block of the small queue moves to the main one.
const USES_TO_MOVE: u8 = 2;
/// Uses are counted up to this.
const MOST_USES: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Nowhere,
    Small,
    Main,
    /// Only its name is known.
    Ghost,
}

/// The queues, oldest first.
#[derive(Clone, Debug)]
pub struct S3Fifo {
    small_limit: u32,
    main_limit: u32,
    state: Vec<(Where, u8)>,
    links: Links,
    small: Ends,
    main: Ends,
    ghosts: Ends,
    evicted: bool,
}

impl S3Fifo {
    /// For `capacity` of `distinct` blocks.
    pub fn new(capacity: u32, distinct: u32) -> Self {
        let small_limit = (u64::from(capacity) * SMALL_PERCENT / 100) as u32;
        Self {
            small_limit,
            main_limit: capacity - small_limit,
            state: vec![(Where::Nowhere, 0); distinct as usize],
            links: Links::new(distinct),
            small: Ends::default(),
            main: Ends::default(),
            ghosts: Ends::default(),
            evicted: false,
        }
    }

    fn forget(&mut self, block: u32) {
        self.links.push_back(&mut self.ghosts, block);
        self.state[block as usize] = (Where::Ghost, 0);
        while self.ghosts.len > self.main_limit {
            let oldest = self.links.pop_front(&mut self.ghosts).expect("the list is not empty");
            self.state[oldest as usize] = (Where::Nowhere, 0);
        }
    }

    /// Goes through the small queue until one has gone; false when all have moved on.
    fn evict_small(&mut self) -> bool {
        while let Some(block) = self.links.pop_front(&mut self.small) {
            if self.state[block as usize].1 < USES_TO_MOVE {
                self.forget(block);
                return true;
            }
            self.links.push_back(&mut self.main, block);
            self.state[block as usize] = (Where::Main, 0);
        }
        false
    }

    /// Goes through the main queue; who was used goes around once more for each use.
    fn evict_main(&mut self) -> bool {
        while let Some(block) = self.links.pop_front(&mut self.main) {
            let uses = self.state[block as usize].1;
            if uses == 0 {
                self.state[block as usize] = (Where::Nowhere, 0);
                return true;
            }
            self.links.push_back(&mut self.main, block);
            self.state[block as usize].1 = uses - 1;
        }
        false
    }

    fn evict(&mut self) {
        self.evicted = true;
        if self.main.len <= self.main_limit && self.evict_small() {
            return;
        }
        if !self.evict_main() {
            self.evict_small();
        }
    }
}

impl BlockCache for S3Fifo {
    fn refer(&mut self, block: u32, _reference: usize) -> bool {
        let (place, uses) = self.state[block as usize];
        if matches!(place, Where::Small | Where::Main) {
            self.state[block as usize].1 = (uses + 1).min(MOST_USES);
            return true;
        }
        let returning = place == Where::Ghost;
        if returning {
            self.links.remove(&mut self.ghosts, block);
            self.state[block as usize].0 = Where::Nowhere;
        }
        if self.small.len + self.main.len == self.small_limit + self.main_limit {
            self.evict();
        }
        // The first that come fill both queues.
        let main = returning || (!self.evicted && self.small.len >= self.small_limit);
        self.links.push_back(if main { &mut self.main } else { &mut self.small }, block);
        self.state[block as usize] = (if main { Where::Main } else { Where::Small }, 0);
        debug_assert_ne!(block, NONE);
        false
    }

    fn holds(&self, block: u32) -> bool {
        matches!(self.state[block as usize].0, Where::Small | Where::Main)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::policies::checks::{Plain, agree};

    /// The queues as vectors of (block, uses).
    #[derive(Default)]
    struct Model {
        small: Vec<(u32, u8)>,
        main: Vec<(u32, u8)>,
        ghosts: Vec<u32>,
        evicted: bool,
        limits: (usize, usize),
    }

    impl Model {
        fn shrink(&mut self) {
            self.evicted = true;
            if self.main.len() <= self.limits.1 {
                while !self.small.is_empty() {
                    let (block, uses) = self.small.remove(0);
                    if uses < 2 {
                        self.ghosts.push(block);
                        while self.ghosts.len() > self.limits.1 {
                            self.ghosts.remove(0);
                        }
                        return;
                    }
                    self.main.push((block, 0));
                }
            }
            while !self.main.is_empty() {
                let (block, uses) = self.main.remove(0);
                if uses == 0 {
                    return;
                }
                self.main.push((block, uses - 1));
            }
        }
    }

    impl Plain for Model {
        fn refer(&mut self, block: u32, _at: usize) -> bool {
            if let Some(found) = self.small.iter_mut().chain(&mut self.main).find(|(other, _)| *other == block) {
                found.1 = (found.1 + 1).min(3);
                return true;
            }
            let returning = self.ghosts.contains(&block);
            self.ghosts.retain(|ghost| *ghost != block);
            if self.small.len() + self.main.len() == self.limits.0 + self.limits.1 {
                self.shrink();
            }
            let main = returning || (!self.evicted && self.small.len() >= self.limits.0);
            if main {
                self.main.push((block, 0));
            } else {
                self.small.push((block, 0));
            }
            false
        }
    }

    proptest! {
        #[test]
        fn it_is_what_three_queues_do(blocks in prop::collection::vec(0u32..40, 1..500), capacity in 10u32..30) {
            let small = capacity as usize / 10;
            let mut model = Model { limits: (small, capacity as usize - small), ..Model::default() };
            agree(&mut S3Fifo::new(capacity, 40), &mut model, &blocks);
        }
    }
}
