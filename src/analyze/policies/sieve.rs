//! SIEVE (Zhang and others, NSDI 2024): a queue, a mark on what was used since the hand passed,
//! and a hand that goes from old to new, takes marks off and stops at the first one without.

use super::list::{Ends, Links};
use super::{BlockCache, NONE};

const ABSENT: u8 = 0;
const THERE: u8 = 1;
const USED: u8 = 2;

/// The queue and the hand.
#[derive(Clone, Debug)]
pub struct Sieve {
    capacity: u32,
    state: Vec<u8>,
    links: Links,
    queue: Ends,
    hand: u32,
}

impl Sieve {
    /// For `capacity` of `distinct` blocks.
    pub fn new(capacity: u32, distinct: u32) -> Self {
        Self {
            capacity,
            state: vec![ABSENT; distinct as usize],
            links: Links::new(distinct),
            queue: Ends::default(),
            hand: NONE,
        }
    }

    fn evict(&mut self) {
        let mut block = if self.hand == NONE { self.queue.front } else { self.hand };
        while self.state[block as usize] == USED {
            self.state[block as usize] = THERE;
            let after = self.links.after(block);
            block = if after == NONE { self.queue.front } else { after };
        }
        self.hand = self.links.after(block);
        self.links.remove(&mut self.queue, block);
        self.state[block as usize] = ABSENT;
    }
}

impl BlockCache for Sieve {
    fn refer(&mut self, block: u32, _reference: usize) -> bool {
        let state = &mut self.state[block as usize];
        if *state != ABSENT {
            *state = USED;
            return true;
        }
        *state = THERE;
        if self.queue.len == self.capacity {
            self.evict();
        }
        self.links.push_back(&mut self.queue, block);
        false
    }

    fn holds(&self, block: u32) -> bool {
        self.state[block as usize] != ABSENT
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::policies::checks::{Plain, agree};

    /// A vector, oldest first, and a place in it.
    struct Model(Vec<(u32, bool)>, usize, usize);

    impl Plain for Model {
        fn refer(&mut self, block: u32, _at: usize) -> bool {
            if let Some(found) = self.0.iter_mut().find(|(other, _)| *other == block) {
                found.1 = true;
                return true;
            }
            if self.0.len() == self.2 {
                loop {
                    if self.1 >= self.0.len() {
                        self.1 = 0;
                    }
                    if !std::mem::take(&mut self.0[self.1].1) {
                        break;
                    }
                    self.1 += 1;
                }
                self.0.remove(self.1);
                // A hand that has taken the newest goes on at the oldest.
                if self.1 == self.0.len() {
                    self.1 = 0;
                }
            }
            self.0.push((block, false));
            false
        }
    }

    proptest! {
        #[test]
        fn it_is_what_a_vector_and_a_hand_do(blocks in prop::collection::vec(0u32..12, 1..300), capacity in 1u32..9) {
            agree(&mut Sieve::new(capacity, 12), &mut Model(Vec::new(), 0, capacity as usize), &blocks);
        }
    }
}
