//! Whether two sequences of references have the same hits in LRU caches of every capacity.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::analyze::stack::Stack;
use crate::error::{Error, Result};

/// References by the order in which their names came first, 4 bytes each.
pub struct Sequence<K> {
    numbers: FxHashMap<K, u32>,
    references: Vec<u32>,
}

impl<K: Hash + Eq> Default for Sequence<K> {
    fn default() -> Self {
        Self { numbers: FxHashMap::default(), references: Vec::new() }
    }
}

impl<K: Hash + Eq> Sequence<K> {
    /// The next reference.
    ///
    /// # Errors
    /// When there are more than 2^32 different ones.
    pub fn push(&mut self, name: K) -> Result<()> {
        let next = u32::try_from(self.numbers.len())
            .ok()
            .filter(|next| *next < u32::MAX)
            .ok_or_else(|| Error::usage("more than 4,294,967,295 different names; anonymise a part of them"))?;
        self.references.push(*self.numbers.entry(name).or_insert(next));
        Ok(())
    }

    /// How many references there are at each stack distance: at 0 the first ones, at `d` the hits
    /// that a cache of `d` has more than one of `d - 1` (Mattson and others, 1970).
    pub fn hits(&self) -> Vec<u64> {
        let distinct = self.numbers.len() as u32;
        let mut stack = Stack::new(self.references.len(), distinct);
        let mut hits = vec![0u64; distinct as usize + 1];
        for name in &self.references {
            hits[stack.refer(*name) as usize] += 1;
        }
        hits
    }

    /// How many references there are.
    pub fn len(&self) -> u64 {
        self.references.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(names: &[u32]) -> Vec<u64> {
        let mut sequence = Sequence::default();
        names.iter().for_each(|name| sequence.push(*name).unwrap());
        assert_eq!(sequence.len(), names.len() as u64);
        sequence.hits()
    }

    #[test]
    fn other_names_have_the_same_hits_and_other_orders_have_not() {
        let names = [1, 2, 3, 1, 1, 2];
        assert_eq!(hits(&names), [3, 1, 0, 2]);
        assert_eq!(hits(&names.map(|name| name * 7 + 1)), hits(&names));
        assert_ne!(hits(&[1, 2, 3, 1, 2, 1]), hits(&names));
        // Two names that became one.
        assert_ne!(hits(&names.map(|name| name.min(2))), hits(&names));
    }
}
