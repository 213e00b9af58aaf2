//! Blocks by their last use, from which the one used longest ago can be taken.

use std::collections::VecDeque;

use crate::analyze::policies::BlockCache;

/// Uses that are stale are swept when there are so many more of them than blocks.
const SLACK: usize = 1024;

/// An LRU list.
#[derive(Clone, Debug)]
pub struct Recency {
    capacity: usize,
    held: usize,
    /// The number of each block's last use, plus 1; 0 for those that are not there.
    last: Vec<u32>,
    /// Uses, oldest first: block and number; of those that are followed by another only the name
    /// is left.
    uses: VecDeque<(u32, u32)>,
}

impl Recency {
    /// For `capacity` of `distinct` blocks.
    pub fn new(capacity: u32, distinct: u32) -> Self {
        Self { capacity: capacity as usize, held: 0, last: vec![0; distinct as usize], uses: VecDeque::new() }
    }

    /// A block is used, and there from now on; which one had to go, with the number of its last
    /// use. Numbers ascend.
    pub fn put(&mut self, block: u32, number: u32) -> Option<(u32, u32)> {
        if self.capacity == 0 {
            return Some((block, number));
        }
        let new = std::mem::replace(&mut self.last[block as usize], number + 1) == 0;
        self.held += usize::from(new);
        self.uses.push_back((block, number));
        if self.uses.len() > 2 * self.capacity + SLACK {
            let last = &self.last;
            self.uses.retain(|(block, number)| last[*block as usize] == number + 1);
        }
        if self.held > self.capacity { self.oldest() } else { None }
    }

    /// Takes a block out, if it is there.
    pub fn take(&mut self, block: u32) -> bool {
        let there = std::mem::replace(&mut self.last[block as usize], 0) != 0;
        self.held -= usize::from(there);
        there
    }

    /// Takes out the one that was used longest ago.
    fn oldest(&mut self) -> Option<(u32, u32)> {
        while let Some((block, number)) = self.uses.pop_front() {
            if self.last[block as usize] == number + 1 {
                self.take(block);
                return Some((block, number));
            }
        }
        None
    }
}

impl BlockCache for Recency {
    fn refer(&mut self, block: u32, reference: usize) -> bool {
        let there = self.holds(block);
        self.put(block, reference as u32);
        there
    }

    fn holds(&self, block: u32) -> bool {
        self.last[block as usize] != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_list(uses in prop::collection::vec((0u32..9, any::<bool>()), 1..400), capacity in 0u32..6) {
            let (mut list, mut plain) = (Recency::new(capacity, 9), Vec::<u32>::new());
            for ((block, take), number) in uses.iter().zip(0..) {
                let place = plain.iter().position(|other| other == block);
                prop_assert_eq!(list.holds(*block), place.is_some());
                if let Some(place) = place {
                    plain.remove(place);
                }
                if *take {
                    prop_assert_eq!(list.take(*block), place.is_some());
                    continue;
                }
                plain.push(*block);
                let gone = (plain.len() > capacity as usize).then(|| plain.remove(0));
                prop_assert_eq!(list.put(*block, number).map(|(block, _)| block), gone);
            }
        }
    }
}
