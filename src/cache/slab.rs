//! Objects by number: freed slots are used again, and an id of a former occupant finds nothing.

use std::ops::{Index, IndexMut};

/// The name of an object in the cache, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    slot: u32,
    generation: u32,
}

impl Id {
    /// The slot, unique among resident objects.
    pub(super) fn slot(self) -> u32 {
        self.slot
    }
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

/// The objects.
#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, value: T) -> Id {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.entries[slot as usize];
            entry.value = Some(value);
            return Id { slot, generation: entry.generation };
        }
        let slot = u32::try_from(self.entries.len()).expect("fewer than 2^32 objects fit in memory");
        self.entries.push(Entry { generation: 0, value: Some(value) });
        Id { slot, generation: 0 }
    }

    pub fn get(&self, id: Id) -> Option<&T> {
        self.entries.get(id.slot as usize).filter(|entry| entry.generation == id.generation)?.value.as_ref()
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.entries.get_mut(id.slot as usize).filter(|entry| entry.generation == id.generation)?.value.as_mut()
    }

    pub fn remove(&mut self, id: Id) -> Option<T> {
        let entry = self.entries.get_mut(id.slot as usize).filter(|entry| entry.generation == id.generation)?;
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(value)
    }

    /// The id of whoever is in an occupied slot.
    pub fn id_of(&self, slot: u32) -> Id {
        Id { slot, generation: self.entries[slot as usize].generation }
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        self.entries[slot as usize].value.as_ref().expect("the slot is occupied")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        self.entries[slot as usize].value.as_mut().expect("the slot is occupied")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_does_not_find_the_new_occupant() {
        let mut slab = Slab::default();
        let old = slab.insert("old");
        assert_eq!(slab.remove(old), Some("old"));
        let new = slab.insert("new");
        assert_eq!(new.slot(), old.slot());
        assert_eq!(slab.get_mut(old), None);
        assert!(slab.get(old).is_none() && slab.get(new).is_some());
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get_mut(new), Some(&mut "new"));
    }
}
