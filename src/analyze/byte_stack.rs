//! Stack distances in bytes: of each reference, how many bytes of different objects were used
//! since the last one to the same object, that one included (Mattson and others 1970, with sizes).

/// Positions there are at least before they are given out again.
const LEAST_POSITIONS: usize = 1 << 16;

/// Objects in the order of their last use: every use takes the next position in time, where the
/// object's bytes are counted until it is used again. When all positions are taken, those that
/// count are numbered anew.
#[derive(Clone, Debug)]
pub struct ByteStack {
    /// The position of each object's last use, from 1; 0 for none.
    last: Vec<u32>,
    /// Who is at each position, as far as it counts.
    bytes: Vec<u64>,
    /// Sums of bytes as a binary indexed tree (Fenwick 1994).
    sums: Vec<u64>,
    next: usize,
    live: u64,
}

impl ByteStack {
    /// For so many references to so many objects.
    pub fn new(references: usize, objects: usize) -> Self {
        let positions = references.min((4 * objects).max(LEAST_POSITIONS)).min(u32::MAX as usize - 1).max(1);
        Self::with(positions, objects)
    }

    fn with(positions: usize, objects: usize) -> Self {
        let (bytes, sums) = (vec![0; positions + 1], vec![0; positions + 1]);
        Self { last: vec![0; objects], bytes, sums, next: 1, live: 0 }
    }

    /// An object is used: the bytes down to it, its own included; none when it was not used before.
    /// Its size stays the same.
    pub fn refer(&mut self, object: u32, bytes: u64) -> Option<u64> {
        let last = self.last[object as usize] as usize;
        let distance = (last > 0).then(|| self.live.wrapping_sub(self.below(last)));
        if last > 0 {
            self.bytes[last] = 0;
            self.change(last, bytes.wrapping_neg());
            self.live = self.live.wrapping_sub(bytes);
        }
        if self.next == self.bytes.len() {
            self.last[object as usize] = 0;
            self.renumber();
        }
        self.last[object as usize] = self.next as u32;
        self.bytes[self.next] = bytes;
        self.change(self.next, bytes);
        self.live = self.live.wrapping_add(bytes);
        self.next += 1;
        distance
    }

    fn change(&mut self, position: usize, by: u64) {
        let mut at = position;
        while at < self.sums.len() {
            self.sums[at] = self.sums[at].wrapping_add(by);
            at += at & at.wrapping_neg();
        }
    }

    /// Bytes at positions below this one.
    fn below(&self, position: usize) -> u64 {
        let (mut at, mut sum) = (position - 1, 0u64);
        while at > 0 {
            sum = sum.wrapping_add(self.sums[at]);
            at &= at - 1;
        }
        sum
    }

    fn renumber(&mut self) {
        let mut order: Vec<u32> = (0..self.last.len() as u32).filter(|o| self.last[*o as usize] > 0).collect();
        order.sort_unstable_by_key(|object| self.last[*object as usize]);
        let old = std::mem::replace(&mut self.bytes, vec![0; self.sums.len()]);
        self.sums.fill(0);
        self.next = 1;
        for object in order {
            let position = std::mem::replace(&mut self.last[object as usize], self.next as u32);
            self.bytes[self.next] = old[position as usize];
            self.change(self.next, old[position as usize]);
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn distances_are_sums_down_a_list(
            uses in prop::collection::vec(0u32..12, 1..400),
            bytes in prop::collection::vec(1u64..1000, 12),
            positions in 13usize..40,
        ) {
            let mut stack = ByteStack::with(positions, 12);
            let mut list: Vec<u32> = Vec::new();
            for object in uses {
                let place = list.iter().position(|other| *other == object);
                let sum = place.map(|place| list[..=place].iter().map(|o| bytes[*o as usize]).sum::<u64>());
                prop_assert_eq!(stack.refer(object, bytes[object as usize]), sum);
                list.retain(|other| *other != object);
                list.insert(0, object);
            }
        }
    }
}
