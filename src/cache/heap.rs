//! A binary heap of small numbers whose priorities may change: the lowest priority is on top.

const NOWHERE: u32 = u32::MAX;

/// The heap. A number is in it at most once; equal priorities stand in the order of the numbers.
#[derive(Clone, Debug)]
pub(super) struct Heap<P> {
    entries: Vec<(P, u32)>,
    /// Where a number is among the entries.
    places: Vec<u32>,
}

impl<P> Default for Heap<P> {
    fn default() -> Self {
        Self { entries: Vec::new(), places: Vec::new() }
    }
}

impl<P: Ord + Copy> Heap<P> {
    /// The number of the lowest priority, with it.
    pub fn top(&self) -> Option<(P, u32)> {
        self.entries.first().copied()
    }

    /// Puts a number in, or gives it another priority.
    pub fn set(&mut self, slot: u32, priority: P) {
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, NOWHERE);
        }
        let mut at = self.places[slot as usize] as usize;
        if at == NOWHERE as usize {
            at = self.entries.len();
            self.entries.push((priority, slot));
        } else {
            self.entries[at].0 = priority;
        }
        self.settle(at);
    }

    /// Takes a number out; false when it was not there.
    pub fn remove(&mut self, slot: u32) -> bool {
        let Some(place) = self.places.get_mut(slot as usize).filter(|place| **place != NOWHERE) else { return false };
        let at = std::mem::replace(place, NOWHERE) as usize;
        self.entries.swap_remove(at);
        if at < self.entries.len() {
            self.settle(at);
        }
        true
    }

    /// Takes the number of the lowest priority out.
    pub fn pop(&mut self) -> Option<(P, u32)> {
        let top = self.top()?;
        self.remove(top.1);
        Some(top)
    }

    /// Moves the entry at a place up or down until the order holds.
    fn settle(&mut self, mut at: usize) {
        let entry = self.entries[at];
        while at > 0 && entry < self.entries[(at - 1) / 2] {
            self.put((at - 1) / 2, at);
            at = (at - 1) / 2;
        }
        loop {
            let left = 2 * at + 1;
            let Some(mut least) = self.entries.get(left) else { break };
            let mut child = left;
            if let Some(right) = self.entries.get(left + 1).filter(|right| *right < least) {
                (least, child) = (right, left + 1);
            }
            if entry <= *least {
                break;
            }
            self.put(child, at);
            at = child;
        }
        self.entries[at] = entry;
        self.places[entry.1 as usize] = at as u32;
    }

    fn put(&mut self, from: usize, to: usize) {
        let entry = self.entries[from];
        self.entries[to] = entry;
        self.places[entry.1 as usize] = to as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_lowest_comes_first_whatever_changes(
            steps in prop::collection::vec((0u32..20, 0u8..4, 0u64..30), 1..400),
        ) {
            let (mut heap, mut model) = (Heap::default(), BTreeMap::<u32, u64>::new());
            for (slot, step, priority) in steps {
                match step {
                    0 => prop_assert_eq!(heap.remove(slot), model.remove(&slot).is_some()),
                    1 => {
                        let top = heap.pop();
                        let least = model.iter().map(|(slot, priority)| (*priority, *slot)).min();
                        prop_assert_eq!(top, least);
                        least.map(|(_, slot)| model.remove(&slot));
                    }
                    _ => {
                        heap.set(slot, priority);
                        model.insert(slot, priority);
                    }
                }
                prop_assert_eq!(heap.top(), model.iter().map(|(slot, priority)| (*priority, *slot)).min());
            }
        }
    }
}
