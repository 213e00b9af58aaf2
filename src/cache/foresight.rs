//! The future, from a recording made before: in which order every key is used.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::trace::Key;

use super::key::hash;
use super::policy::NEVER;

/// Takes down the uses of a recording, in their order: each storing and each reading of an
/// object, as if nothing had ever been evicted.
#[derive(Debug, Default)]
pub struct Uses {
    keys: FxHashMap<u64, u32>,
    /// The number of the key of each use.
    order: Vec<u32>,
}

impl Uses {
    /// The next use is one of `key`.
    ///
    /// # Errors
    /// After 2^32 - 2 of them.
    pub fn note(&mut self, key: &Key) -> Result<()> {
        if self.order.len() >= NEVER as usize - 1 {
            return Err(Error::usage(
                "--policy belady has to remember more than 4,294,967,294 uses; shorten it with --max-requests",
            ));
        }
        let next = self.keys.len() as u32;
        self.order.push(*self.keys.entry(hash(key)).or_insert(next));
        Ok(())
    }

    /// That was all.
    pub fn finish(self) -> Foresight {
        let mut starts = vec![0u32; self.keys.len() + 1];
        for key in &self.order {
            starts[*key as usize + 1] += 1;
        }
        for key in 1..starts.len() {
            starts[key] += starts[key - 1];
        }
        let mut next = starts.clone();
        let mut positions = vec![0u32; self.order.len()];
        for (position, key) in self.order.iter().enumerate() {
            let place = &mut next[*key as usize];
            positions[*place as usize] = position as u32;
            *place += 1;
        }
        Foresight { keys: self.keys, starts, positions }
    }
}

/// Every use of every key.
#[derive(Debug)]
pub struct Foresight {
    keys: FxHashMap<u64, u32>,
    /// Where the uses of a key begin among the positions.
    starts: Vec<u32>,
    positions: Vec<u32>,
}

/// Reads the foresight as uses happen: the k-th use of a key is taken for its k-th use there.
#[derive(Debug)]
pub(super) struct Oracle {
    foresight: Arc<Foresight>,
    /// Uses of each key so far.
    seen: Vec<u32>,
    /// The key of who is in a slot.
    occupants: Vec<u32>,
}

impl Oracle {
    pub fn new(foresight: Arc<Foresight>) -> Self {
        Self { seen: vec![0; foresight.keys.len()], foresight, occupants: Vec::new() }
    }

    /// An object was stored into a slot: when it will be used next.
    pub fn stored(&mut self, slot: u32, key: &Key) -> u32 {
        if self.occupants.len() <= slot as usize {
            self.occupants.resize(slot as usize + 1, NEVER);
        }
        self.occupants[slot as usize] = self.foresight.keys.get(&hash(key)).copied().unwrap_or(NEVER);
        self.used(slot)
    }

    /// An object was used: when it will be used next.
    pub fn used(&mut self, slot: u32) -> u32 {
        if let Some(seen) = self.seen.get_mut(self.occupants[slot as usize] as usize) {
            *seen = seen.saturating_add(1);
        }
        self.next(slot)
    }

    /// When an object will be used next, after those uses that have happened.
    pub fn next(&self, slot: u32) -> u32 {
        let key = self.occupants[slot as usize] as usize;
        let Some(seen) = self.seen.get(key) else { return NEVER };
        let (start, end) = (self.foresight.starts[key], self.foresight.starts[key + 1]);
        match start.checked_add(*seen) {
            Some(at) if at < end => self.foresight.positions[at as usize],
            _ => NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_use_is_the_one_after_those_that_happened() {
        let mut uses = Uses::default();
        for key in [7, 8, 7, 9, 7, 8] {
            uses.note(&Key::Block(key)).unwrap();
        }
        let mut oracle = Oracle::new(Arc::new(uses.finish()));
        assert_eq!(oracle.stored(3, &Key::Block(7)), 2);
        assert_eq!(oracle.stored(0, &Key::Block(8)), 5);
        assert_eq!(oracle.stored(1, &Key::Block(9)), NEVER);
        assert_eq!(oracle.stored(2, &Key::Block(10)), NEVER, "a key that was not foreseen");
        assert_eq!((oracle.used(3), oracle.next(3), oracle.used(3), oracle.used(3)), (4, 4, NEVER, NEVER));
        assert_eq!(oracle.stored(4, &Key::Block(8)), NEVER, "its second use");
    }
}
