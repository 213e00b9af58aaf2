//! The arena in pieces: blocks as long as the largest I/O, some of them cut into smaller pieces,
//! so that thousands of small I/Os have room where a few large ones would.

/// The shortest piece.
const SHORTEST: usize = 4096;
/// How much longer the pieces of each class are than those of the one before.
const GROWTH: usize = 4;

/// A block of the arena.
#[derive(Clone, Debug, Default)]
struct Block {
    /// Which pieces it is cut into.
    class: usize,
    /// The pieces that are free, if it is cut.
    free: Vec<u16>,
}

/// The free pieces of an arena.
#[derive(Debug)]
pub struct Pieces {
    block_bytes: usize,
    /// The length of the pieces of each class; the last one's are whole blocks.
    lengths: Vec<usize>,
    blocks: Vec<Block>,
    empty: Vec<u32>,
    /// Blocks of each class that have pieces left.
    partial: Vec<Vec<u32>>,
}

impl Pieces {
    /// An arena of `arena_bytes` in blocks of `block_bytes`, all free.
    pub fn new(arena_bytes: usize, block_bytes: usize) -> Self {
        let shorter = std::iter::successors(Some(SHORTEST), |length| Some(length * GROWTH));
        let mut lengths: Vec<_> = shorter.take_while(|length| length * 2 <= block_bytes).collect();
        lengths.push(block_bytes);
        let count = arena_bytes / block_bytes;
        Self {
            block_bytes,
            blocks: vec![Block::default(); count],
            empty: (0..count as u32).rev().collect(),
            partial: vec![Vec::new(); lengths.len()],
            lengths,
        }
    }

    /// Takes a piece of at least `len` bytes, at most a block. Where it lies in the arena, and how
    /// long it is; none when there is none.
    pub fn take(&mut self, len: usize) -> Option<(usize, usize)> {
        let class = self.lengths.iter().position(|length| *length >= len)?;
        let length = self.lengths[class];
        if class + 1 == self.lengths.len() {
            let number = self.empty.pop()? as usize;
            self.blocks[number].class = class;
            return Some((number * self.block_bytes, length));
        }
        let Some(&number) = self.partial[class].last() else {
            let number = self.empty.pop()?;
            self.cut(number, class);
            return self.take(len);
        };
        let free = &mut self.blocks[number as usize].free;
        let piece = free.pop().expect("a block in the list of those with pieces left has one");
        if free.is_empty() {
            self.partial[class].pop();
        }
        Some((number as usize * self.block_bytes + usize::from(piece) * length, length))
    }

    fn cut(&mut self, number: u32, class: usize) {
        let block = &mut self.blocks[number as usize];
        block.class = class;
        block.free.extend((0..(self.block_bytes / self.lengths[class]) as u16).rev());
        self.partial[class].push(number);
    }

    /// Gives a piece back.
    pub fn give(&mut self, at: usize) {
        let number = at / self.block_bytes;
        let (class, inside) = (self.blocks[number].class, at % self.block_bytes);
        if class + 1 == self.lengths.len() {
            return self.empty.push(number as u32);
        }
        let length = self.lengths[class];
        let block = &mut self.blocks[number];
        block.free.push((inside / length) as u16);
        let free = block.free.len();
        if free == self.block_bytes / length {
            block.free.clear();
            let partial = &mut self.partial[class];
            if let Some(place) = partial.iter().position(|other| *other as usize == number) {
                partial.swap_remove(place);
            }
            self.empty.push(number as u32);
        } else if free == 1 {
            self.partial[class].push(number as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_never_overlap_and_all_come_back(
            block in 1usize..80,
            steps in prop::collection::vec((1usize..400_000, any::<bool>(), any::<usize>()), 1..300),
        ) {
            let (block, arena) = (block * 4096, 16 * block * 4096);
            let mut pieces = Pieces::new(arena, block);
            let mut held: Vec<(usize, usize)> = Vec::new();
            for (len, take, which) in steps {
                if take || held.is_empty() {
                    let wanted = len.min(block);
                    if let Some((at, room)) = pieces.take(wanted) {
                        prop_assert!(room >= wanted && at + room <= arena && at % 4096 == 0);
                        prop_assert!(held.iter().all(|(a, r)| at + room <= *a || a + r <= at), "{} overlaps", at);
                        held.push((at, room));
                    }
                } else {
                    let (at, _) = held.swap_remove(which % held.len());
                    pieces.give(at);
                }
            }
            held.drain(..).for_each(|(at, _)| pieces.give(at));
            for _ in 0..16 {
                prop_assert!(pieces.take(block).is_some());
            }
            prop_assert!(pieces.take(1).is_none());
        }
    }

    #[test]
    fn one_block_holds_many_small_pieces() {
        let mut pieces = Pieces::new(2 << 20, 1 << 20);
        let small: Vec<_> = (0..256).map(|_| pieces.take(4096).unwrap()).collect();
        assert!(small.iter().all(|(at, room)| at / (1 << 20) == small[0].0 / (1 << 20) && *room == 4096));
        assert!(pieces.take(1 << 20).is_some() && pieces.take(4096).is_none());
    }
}
