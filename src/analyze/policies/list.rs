//! Doubly linked lists of blocks in two arrays.

use super::NONE;

/// The two ends of a list and its length.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The oldest block.
    pub front: u32,
    /// The newest block.
    pub back: u32,
    /// How many blocks.
    pub len: u32,
}

impl Default for Ends {
    fn default() -> Self {
        Self { front: NONE, back: NONE, len: 0 }
    }
}

/// The neighbours of each block in the list that it is in.
#[derive(Clone, Debug)]
pub struct Links {
    links: Vec<(u32, u32)>,
}

impl Links {
    /// For blocks below `distinct`.
    pub fn new(distinct: u32) -> Self {
        Self { links: vec![(NONE, NONE); distinct as usize] }
    }

    /// The block after another.
    pub fn after(&self, block: u32) -> u32 {
        self.links[block as usize].1
    }

    /// Appends a block that is in no list.
    pub fn push_back(&mut self, ends: &mut Ends, block: u32) {
        self.links[block as usize] = (ends.back, NONE);
        match ends.back {
            NONE => ends.front = block,
            back => self.links[back as usize].1 = block,
        }
        ends.back = block;
        ends.len += 1;
    }

    /// Takes a block out of its list.
    pub fn remove(&mut self, ends: &mut Ends, block: u32) {
        let (before, after) = self.links[block as usize];
        match before {
            NONE => ends.front = after,
            before => self.links[before as usize].1 = after,
        }
        match after {
            NONE => ends.back = before,
            after => self.links[after as usize].0 = before,
        }
        ends.len -= 1;
    }

    /// Takes the oldest block.
    pub fn pop_front(&mut self, ends: &mut Ends) -> Option<u32> {
        let block = ends.front;
        (block != NONE).then(|| {
            self.remove(ends, block);
            block
        })
    }
}
