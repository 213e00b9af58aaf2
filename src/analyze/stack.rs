//! Stack distances: of each reference, how many different blocks were used since the last one to
//! the same block (Mattson and others, "Evaluation techniques for storage hierarchies", IBM
//! Systems Journal 9(2), 1970). An LRU cache of C blocks hits exactly those of distance C or less,
//! so that one pass gives all capacities.

/// Positions whose marks are counted together: a cache line of bits.
const GROUP: usize = 512;
const WORDS: usize = GROUP / 64;

/// Blocks in the order of their last use. Every use takes the next position in time; the last use
/// of each block is marked, and a distance is a count of marks.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The position of each block's last use, plus 1; 0 for none.
    last: Vec<u32>,
    marks: Vec<u64>,
    /// Sums of marks by group, as a binary indexed tree (Fenwick, "A new data structure for
    /// cumulative frequency tables", 1994).
    sums: Vec<u32>,
    next: u32,
    live: u32,
}

impl Stack {
    /// For so many references to so many blocks.
    pub fn new(references: usize, distinct: u32) -> Self {
        let groups = references.div_ceil(GROUP) + 1;
        Self {
            last: vec![0; distinct as usize],
            marks: vec![0; groups * WORDS],
            sums: vec![0; groups + 1],
            next: 0,
            live: 0,
        }
    }

    /// How far down a block lies, from 1; 0 when it was not used before.
    pub fn distance(&self, block: u32) -> u32 {
        match self.last[block as usize] {
            0 => 0,
            last => self.live - self.marked_before(last - 1),
        }
    }

    /// A block is used.
    pub fn touch(&mut self, block: u32) {
        let last = std::mem::replace(&mut self.last[block as usize], self.next + 1);
        match last {
            0 => self.live += 1,
            last => self.change(last - 1, u32::MAX),
        }
        self.change(self.next, 1);
        self.next += 1;
    }

    fn change(&mut self, position: u32, by: u32) {
        let position = position as usize;
        self.marks[position / 64] ^= 1 << (position % 64);
        let mut at = position / GROUP + 1;
        while at < self.sums.len() {
            self.sums[at] = self.sums[at].wrapping_add(by);
            at += at & at.wrapping_neg();
        }
    }

    /// Marks at positions below this one.
    fn marked_before(&self, position: u32) -> u32 {
        let position = position as usize;
        let (mut at, mut sum) = (position / GROUP, 0);
        let words = &self.marks[at * WORDS..position / 64];
        sum += words.iter().map(|word| word.count_ones()).sum::<u32>();
        sum += (self.marks[position / 64] & ((1 << (position % 64)) - 1)).count_ones();
        while at > 0 {
            sum += self.sums[at];
            at &= at - 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn distances_are_those_of_a_list(uses in prop::collection::vec(0u32..40, 1..1500)) {
            let mut stack = Stack::new(uses.len(), 40);
            let mut list: Vec<u32> = Vec::new();
            for block in uses {
                let place = list.iter().position(|other| *other == block);
                prop_assert_eq!(stack.distance(block), place.map_or(0, |place| place as u32 + 1));
                if let Some(place) = place {
                    list.remove(place);
                }
                list.insert(0, block);
                stack.touch(block);
            }
        }
    }
}
