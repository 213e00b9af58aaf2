//! The best that a cache can do that knows the future (Belady, "A study of replacement algorithms
//! for a virtual-storage computer", IBM Systems Journal 5(2), 1966), with bypass: a block that is
//! used later than everything that is there is not taken in.

use std::collections::BinaryHeap;

use super::BlockCache;

/// A block that is never used again.
const NEVER: u32 = u32::MAX;

/// The blocks by their next use.
#[derive(Clone, Debug)]
pub struct Belady<'a> {
    capacity: usize,
    /// For each reference, the number of the next one to the same block.
    next_uses: &'a [u32],
    /// The next use of each block that is there; [`NEVER`] for those that are not.
    next: Vec<u32>,
    held: usize,
    /// Next uses and their blocks, farthest first; those of blocks that were used since are stale.
    farthest: BinaryHeap<(u32, u32)>,
}

impl<'a> Belady<'a> {
    /// For `capacity` of `distinct` blocks, whose [next uses](super::References::next_uses) are
    /// known.
    pub fn new(capacity: u32, distinct: u32, next_uses: &'a [u32]) -> Self {
        Self {
            capacity: capacity as usize,
            next_uses,
            next: vec![NEVER; distinct as usize],
            held: 0,
            farthest: BinaryHeap::new(),
        }
    }

    /// The block whose next use is farthest away.
    fn last(&mut self) -> Option<(u32, u32)> {
        while let Some(&(at, block)) = self.farthest.peek() {
            if self.next[block as usize] == at {
                return Some((at, block));
            }
            self.farthest.pop();
        }
        None
    }
}

impl BlockCache for Belady<'_> {
    fn refer(&mut self, block: u32, reference: usize) -> bool {
        let again = self.next_uses[reference];
        let there = self.next[block as usize] != NEVER;
        self.held -= usize::from(there);
        self.next[block as usize] = NEVER;
        if again == NEVER {
            // What is never used again needs no room.
            return there;
        }
        if self.held == self.capacity {
            let Some((at, last)) = self.last().filter(|(at, _)| *at > again) else { return there };
            debug_assert_eq!(self.next[last as usize], at);
            self.next[last as usize] = NEVER;
            self.farthest.pop();
            self.held -= 1;
        }
        self.next[block as usize] = again;
        self.farthest.push((again, block));
        self.held += 1;
        there
    }

    fn holds(&self, block: u32) -> bool {
        self.next[block as usize] != NEVER
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The most hits of any choices, by trying all of them.
    fn best(blocks: &[u32], there: &[u32], capacity: usize) -> u32 {
        let Some((first, rest)) = blocks.split_first() else { return 0 };
        if there.contains(first) {
            return 1 + best(rest, there, capacity);
        }
        let mut most = best(rest, there, capacity);
        let with = |kept: &[u32]| [kept, &[*first]].concat();
        if there.len() < capacity {
            most = most.max(best(rest, &with(there), capacity));
        }
        for out in 0..there.len() {
            let kept: Vec<u32> = there.iter().enumerate().filter(|(at, _)| *at != out).map(|(_, b)| *b).collect();
            most = most.max(best(rest, &with(&kept), capacity));
        }
        most
    }

    proptest! {
        #[test]
        fn no_choice_does_better(blocks in prop::collection::vec(0u32..5, 1..11), capacity in 1u32..4) {
            let mut next = vec![NEVER; blocks.len()];
            for at in 0..blocks.len() {
                let later = (at + 1..blocks.len()).find(|later| blocks[*later] == blocks[at]);
                next[at] = later.map_or(NEVER, |later| later as u32);
            }
            let mut cache = Belady::new(capacity, 5, &next);
            let hits = blocks.iter().enumerate().filter(|(at, block)| cache.refer(**block, *at)).count();
            prop_assert_eq!(hits as u32, best(&blocks, &[], capacity as usize));
        }
    }
}
