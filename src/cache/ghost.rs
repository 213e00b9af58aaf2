//! What a policy remembers of objects that are gone: the hashes of their keys, in the order in
//! which they went, and the bytes that they had.

use rustc_hash::FxHashMap;

use super::lists::Lists;

#[derive(Clone, Copy, Debug)]
struct Shade {
    key: u64,
    size_bytes: u64,
}

/// The gone, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    by_key: FxHashMap<u64, u32>,
    shades: Vec<Shade>,
    free: Vec<u32>,
    order: Lists<1>,
    bytes: u64,
}

impl Ghosts {
    /// The bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether an object is among them.
    pub fn contains(&self, key: u64) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Remembers an object as the youngest.
    pub fn push(&mut self, key: u64, size_bytes: u64) {
        self.remove(key);
        let shade = Shade { key, size_bytes };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.shades[slot as usize] = shade;
                slot
            }
            None => {
                self.shades.push(shade);
                self.shades.len() as u32 - 1
            }
        };
        self.by_key.insert(key, slot);
        self.order.push_back(0, slot);
        self.bytes += size_bytes;
    }

    /// Forgets an object; false when it was not remembered.
    pub fn remove(&mut self, key: u64) -> bool {
        let Some(slot) = self.by_key.remove(&key) else { return false };
        self.order.remove(slot);
        self.free.push(slot);
        self.bytes -= self.shades[slot as usize].size_bytes;
        true
    }

    /// Forgets the oldest one; false when there is none.
    pub fn forget_oldest(&mut self) -> bool {
        self.order.front(0).is_some_and(|slot| self.remove(self.shades[slot as usize].key))
    }

    /// Forgets the oldest ones until the rest has at most so many bytes.
    pub fn shrink_to(&mut self, bytes: u64) {
        while self.bytes > bytes && self.forget_oldest() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut ghosts = Ghosts::default();
        for key in 1..=4 {
            ghosts.push(key, 10 * key);
        }
        ghosts.push(1, 5);
        assert_eq!(ghosts.bytes(), 95);
        ghosts.shrink_to(50);
        assert_eq!([1, 2, 3, 4].map(|key| ghosts.contains(key)), [true, false, false, true]);
        assert!(ghosts.remove(4) && !ghosts.remove(4));
        assert_eq!((ghosts.bytes(), ghosts.forget_oldest(), ghosts.forget_oldest()), (5, true, false));
    }
}
