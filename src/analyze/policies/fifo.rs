//! First in, first out: what came first goes first, used or not.

use std::collections::VecDeque;

use super::BlockCache;

/// A queue of blocks.
#[derive(Clone, Debug)]
pub struct Fifo {
    capacity: usize,
    there: Vec<bool>,
    queue: VecDeque<u32>,
}

impl Fifo {
    /// For `capacity` of `distinct` blocks.
    pub fn new(capacity: u32, distinct: u32) -> Self {
        let capacity = capacity as usize;
        Self { capacity, there: vec![false; distinct as usize], queue: VecDeque::with_capacity(capacity) }
    }
}

impl BlockCache for Fifo {
    fn refer(&mut self, block: u32, _reference: usize) -> bool {
        if std::mem::replace(&mut self.there[block as usize], true) {
            return true;
        }
        if self.queue.len() == self.capacity {
            let oldest = self.queue.pop_front().expect("a full queue has a first");
            self.there[oldest as usize] = false;
        }
        self.queue.push_back(block);
        false
    }

    fn holds(&self, block: u32) -> bool {
        self.there[block as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_does_not_save_a_block() {
        let mut cache = Fifo::new(2, 4);
        let hits: Vec<_> = [0, 1, 0, 2, 0, 1].iter().map(|block| cache.refer(*block, 0)).collect();
        assert_eq!(hits, [false, false, true, false, false, false]);
    }
}
