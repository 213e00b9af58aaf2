//! Conversations that are going on, up to a limit, beyond which the one that was used longest ago
//! is forgotten; what is known of each is up to whoever keeps them.

use rustc_hash::FxHashMap;

use crate::cache::Lists;

/// The live conversations and what is known of each.
#[derive(Debug)]
pub struct Live<T> {
    limit: Option<u64>,
    by_ordinal: FxHashMap<u64, u32>,
    /// Ordinals and what is known of them; a free slot keeps its memory.
    slots: Vec<(u64, T)>,
    free: Vec<u32>,
    /// Slots in the order of their last request.
    order: Lists<1>,
}

impl<T: Default> Live<T> {
    /// No conversation yet; a limit of none keeps all.
    pub fn new(limit: Option<u64>) -> Self {
        Self { limit, by_ordinal: FxHashMap::default(), slots: Vec::new(), free: Vec::new(), order: Lists::default() }
    }

    /// A conversation that has a request now: what is known of it, and whether it is new. Each
    /// one that has to go for it is handed to `forget`, which empties it.
    pub fn touch(&mut self, ordinal: u64, forget: impl FnMut(&mut T)) -> (&mut T, bool) {
        let known = self.by_ordinal.get(&ordinal).copied();
        let slot = known.unwrap_or_else(|| self.open(ordinal, forget));
        self.order.remove(slot);
        self.order.push_back(0, slot);
        (&mut self.slots[slot as usize].1, known.is_none())
    }

    /// What is known of a conversation; none when it is over or forgotten.
    pub fn get_mut(&mut self, ordinal: u64) -> Option<&mut T> {
        self.by_ordinal.get(&ordinal).map(|slot| &mut self.slots[*slot as usize].1)
    }

    /// A conversation is over: what is known of it is handed to `forget`, which empties it.
    pub fn end(&mut self, ordinal: u64, forget: impl FnMut(&mut T)) {
        if let Some(slot) = self.by_ordinal.get(&ordinal) {
            self.close(*slot, forget);
        }
    }

    /// Whether there is none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.by_ordinal.is_empty() && self.order.front(0).is_none()
    }

    fn open(&mut self, ordinal: u64, mut forget: impl FnMut(&mut T)) -> u32 {
        while self.limit.is_some_and(|limit| self.by_ordinal.len() as u64 >= limit.max(1)) {
            let oldest = self.order.front(0).expect("as many conversations are in the order as are live");
            self.close(oldest, &mut forget);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, T::default()));
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize].0 = ordinal;
        self.by_ordinal.insert(ordinal, slot);
        slot
    }

    fn close(&mut self, slot: u32, mut forget: impl FnMut(&mut T)) {
        let (ordinal, known) = &mut self.slots[slot as usize];
        forget(known);
        self.by_ordinal.remove(ordinal);
        self.order.remove(slot);
        self.free.push(slot);
    }
}
