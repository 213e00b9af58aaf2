//! Which token blocks are resident, by their keys.

use rustc_hash::FxHashMap;

use crate::cache::{Cache, Id};
use crate::trace::Key;

/// The resident token blocks: as many entries as there are blocks in the cache.
#[derive(Debug, Default)]
pub struct Residents(FxHashMap<u64, Id>);

impl Residents {
    /// The object of a block; none when there is none in the cache.
    pub fn find(&self, block: u64, cache: &Cache) -> Option<Id> {
        self.0.get(&block).copied().filter(|id| cache.holds(*id))
    }

    /// A block was stored.
    pub fn stored(&mut self, block: u64, id: Id) {
        self.0.insert(block, id);
    }

    /// An object left a tier for nowhere. A block that has another copy stays known.
    pub fn left(&mut self, key: &Key, cache: &Cache) {
        let Key::Block(block) = key else { return };
        if self.0.get(block).is_some_and(|id| !cache.holds(*id)) {
            self.0.remove(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Limits, NewObject};

    #[test]
    fn who_left_is_forgotten_and_who_came_again_is_not() {
        let limits = Limits { capacity_bytes: [Some(0), Some(0), Some(10)], target_usage: 0.8 };
        let (mut cache, mut residents) = (Cache::new(limits), Residents::default());
        let store = |residents: &mut Residents, cache: &mut Cache, block| {
            let mut moves = Vec::new();
            let object = NewObject { key: Key::Block(block), size_bytes: 6, tokens: 1 };
            let id = cache.insert(object, &mut moves).expect("it fits");
            for moved in &moves {
                residents.left(&moved.key, cache);
            }
            residents.stored(block, id);
        };
        store(&mut residents, &mut cache, 1);
        store(&mut residents, &mut cache, 2);
        assert!(residents.find(1, &cache).is_none() && residents.find(2, &cache).is_some());
        store(&mut residents, &mut cache, 1);
        residents.left(&Key::Block(1), &cache);
        assert!(residents.find(1, &cache).is_some() && residents.find(2, &cache).is_none());
        assert_eq!(residents.0.len(), 1);
    }
}
