//! Stack distances: of each reference, how many different blocks were used since the last one to
//! the same block (Mattson and others, "Evaluation techniques for storage hierarchies", IBM
//! Systems Journal 9(2), 1970). An LRU cache of C blocks hits exactly those of distance C or less,
//! so that one pass gives all capacities.

/// Positions whose marks are counted together: a cache line of bits.
const GROUP: usize = 512;
const WORDS: usize = GROUP / 64;
/// Positions there are at least before they are given out again.
const LEAST_POSITIONS: usize = 1 << 16;
/// No position.
const NOWHERE: u32 = u32::MAX;

/// Blocks in the order of their last use. Every use takes the next position in time; the last use
/// of each block is marked, and a distance is a count of marks. When all positions are taken, the
/// marked ones are numbered anew, so that memory depends on the blocks and not on the references.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The position of each block's last use, plus 1; 0 for none.
    last: Vec<u32>,
    marks: Vec<u64>,
    /// Sums of marks by group, as a binary indexed tree (Fenwick, "A new data structure for
    /// cumulative frequency tables", 1994). A group enters it when its last position is taken.
    sums: Vec<u32>,
    positions: u32,
    next: u32,
    live: u32,
    /// A group of which marks were taken that its sums do not know of yet, and how many. The
    /// blocks of a prompt were last used one after another, so that they lie in one group.
    behind: (usize, u32),
    /// A position and the marks below it, from the use before.
    known: (u32, u32),
}

impl Stack {
    /// For so many references to so many blocks.
    pub fn new(references: usize, distinct: u32) -> Self {
        let positions = references.min((4 * distinct as usize).max(LEAST_POSITIONS)).min(NOWHERE as usize - 1);
        let groups = positions.div_ceil(GROUP) + 1;
        Self {
            last: vec![0; distinct as usize],
            marks: vec![0; groups * WORDS],
            sums: vec![0; groups + 1],
            positions: positions as u32,
            next: 0,
            live: 0,
            behind: (0, 0),
            known: (NOWHERE, 0),
        }
    }

    /// A block is used: how far down it lay, from 1; 0 when it was not used before.
    pub fn refer(&mut self, block: u32) -> u32 {
        let last = self.last[block as usize];
        let distance = if last == 0 {
            self.live += 1;
            0
        } else {
            let below = self.marked_below(last - 1);
            self.unmark(last - 1);
            // What was used right after this block lies as deep, now that this one is on top.
            self.known = (last, below);
            self.live - below
        };
        self.mark_next(block);
        distance
    }

    /// How far down a block lies, from 1; 0 when it was not used before. That is no use of it.
    pub fn distance(&mut self, block: u32) -> u32 {
        match self.last[block as usize] {
            0 => 0,
            last => {
                let below = self.marked_below(last - 1);
                // The block used right before this one, which is the next of a prompt that was
                // used from its end.
                self.known = if last > 1 && self.is_marked(last - 2) { (last - 2, below - 1) } else { (NOWHERE, 0) };
                self.live - below
            }
        }
    }

    fn is_marked(&self, position: u32) -> bool {
        self.marks[position as usize / 64] >> (position % 64) & 1 == 1
    }

    fn mark_next(&mut self, block: u32) {
        if self.next == self.positions {
            self.renumber(block);
        }
        let position = self.next as usize;
        self.marks[position / 64] |= 1 << (position % 64);
        self.next += 1;
        self.last[block as usize] = self.next;
        if (self.next as usize).is_multiple_of(GROUP) {
            let group = position / GROUP;
            let marks = self.marks[group * WORDS..][..WORDS].iter().map(|word| word.count_ones()).sum();
            self.change(group, marks);
        }
    }

    fn unmark(&mut self, position: u32) {
        let position = position as usize;
        self.marks[position / 64] &= !(1 << (position % 64));
        let group = position / GROUP;
        if group == self.next as usize / GROUP {
            return;
        }
        if group != self.behind.0 {
            self.catch_up();
            self.behind.0 = group;
        }
        self.behind.1 += 1;
    }

    fn catch_up(&mut self) {
        let (group, taken) = std::mem::take(&mut self.behind);
        if taken > 0 {
            self.change(group, taken.wrapping_neg());
        }
    }

    fn change(&mut self, group: usize, by: u32) {
        let mut at = group + 1;
        while at < self.sums.len() {
            self.sums[at] = self.sums[at].wrapping_add(by);
            at += at & at.wrapping_neg();
        }
    }

    /// Marks at positions below this one.
    fn marked_below(&mut self, position: u32) -> u32 {
        if position == self.known.0 {
            return self.known.1;
        }
        self.catch_up();
        self.counted_below(position)
    }

    fn counted_below(&self, position: u32) -> u32 {
        let position = position as usize;
        let (mut at, mut sum) = (position / GROUP, 0);
        let words = &self.marks[at * WORDS..position / 64];
        sum += words.iter().map(|word| word.count_ones()).sum::<u32>();
        sum += (self.marks[position / 64] & ((1 << (position % 64)) - 1)).count_ones();
        while at > 0 {
            sum = sum.wrapping_add(self.sums[at]);
            at &= at - 1;
        }
        sum
    }

    /// Gives the marked positions the lowest numbers, in their order. The block that is being used
    /// has none.
    fn renumber(&mut self, used: u32) {
        self.catch_up();
        self.last[used as usize] = 0;
        let mut last = std::mem::take(&mut self.last);
        for last in last.iter_mut().filter(|last| **last > 0) {
            *last = self.counted_below(*last - 1) + 1;
        }
        let kept = last.iter().copied().max().unwrap_or(0);
        self.last = last;
        self.marks.fill(0);
        self.sums.fill(0);
        for position in 0..kept as usize {
            self.marks[position / 64] |= 1 << (position % 64);
        }
        for group in 0..kept as usize / GROUP {
            self.change(group, GROUP as u32);
        }
        self.next = kept;
        self.known = (NOWHERE, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A stack with so few positions that they are numbered anew all the time.
    fn cramped(distinct: u32, positions: u32) -> Stack {
        Stack { positions, ..Stack::new(2 * positions as usize, distinct) }
    }

    proptest! {
        #[test]
        fn distances_are_those_of_a_list(
            uses in prop::collection::vec((0u32..40, 1u32..6), 1..500),
            positions in prop::sample::select(vec![41u32, 600, 10_000]),
        ) {
            let mut stack = cramped(48, positions.max(49));
            let mut list: Vec<u32> = Vec::new();
            // Runs of blocks, as prompts are.
            for block in uses.iter().flat_map(|(block, run)| *block..block + run) {
                let place = list.iter().position(|other| *other == block);
                let depth = place.map_or(0, |place| place as u32 + 1);
                prop_assert_eq!(stack.distance(block), depth);
                prop_assert_eq!(stack.refer(block), depth);
                list.retain(|other| *other != block);
                list.insert(0, block);
            }
        }

        #[test]
        fn a_prompt_that_is_looked_up_first_is_not_disturbed(
            prompts in prop::collection::vec((0u32..40, 1u32..9), 1..150),
        ) {
            let mut stack = Stack::new(10_000, 48);
            let mut list: Vec<u32> = Vec::new();
            for (first, blocks) in prompts {
                for block in first..first + blocks {
                    let place = list.iter().position(|other| *other == block);
                    prop_assert_eq!(stack.distance(block), place.map_or(0, |place| place as u32 + 1));
                }
                for block in (first..first + blocks).rev() {
                    stack.refer(block);
                    list.retain(|other| *other != block);
                    list.insert(0, block);
                }
            }
        }
    }
}
