//! Least recently used, exactly, over what is in the tier: an object that was demoted keeps its
//! place in time and is not taken for a new one.

use super::list::List;
use super::policy::Policy;

/// Two lists, each in the order of last use: what was stored or used here, which arrives in that
/// order, and what came down unused since, which nearly does (the tier above gives away its
/// oldest first). The older of the two fronts is the victim.
#[derive(Debug, Default)]
pub struct Lru {
    used_here: List,
    came_down: List,
    last_use: Vec<u64>,
}

impl Lru {
    fn set_last_use(&mut self, slot: u32, at: u64) {
        if self.last_use.len() <= slot as usize {
            self.last_use.resize(slot as usize + 1, 0);
        }
        self.last_use[slot as usize] = at;
    }

    fn age(&self, slot: u32) -> u64 {
        self.last_use[slot as usize]
    }
}

impl Policy for Lru {
    fn insert(&mut self, slot: u32, _size_bytes: u64, now: u64) {
        self.set_last_use(slot, now);
        self.used_here.push_back(slot);
    }

    fn insert_demoted(&mut self, slot: u32, _size_bytes: u64, last_use: u64) {
        self.set_last_use(slot, last_use);
        let mut neighbour = self.came_down.back();
        while let Some(younger) = neighbour.filter(|other| self.age(*other) > last_use) {
            neighbour = self.came_down.before(younger);
        }
        self.came_down.insert_after(neighbour, slot);
    }

    fn touch(&mut self, slot: u32, now: u64) {
        self.remove(slot);
        self.insert(slot, 0, now);
    }

    fn remove(&mut self, slot: u32) {
        if !self.used_here.remove(slot) {
            self.came_down.remove(slot);
        }
    }

    fn victim(&self) -> Option<u32> {
        match (self.used_here.front(), self.came_down.front()) {
            (Some(a), Some(b)) => Some(if self.age(a) <= self.age(b) { a } else { b }),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_victim_is_the_one_whose_last_use_is_longest_ago(
            steps in prop::collection::vec((0u32..10, 0u8..4, 0u64..50), 1..300),
        ) {
            let (mut lru, mut ages) = (Lru::default(), BTreeMap::<u32, u64>::new());
            for (now, (slot, step, back)) in steps.into_iter().enumerate() {
                // Distinct times: even for now, odd for a time in the past.
                let now = 2 * now as u64 + 1_000;
                let past = now.saturating_sub(2 * back) + 1;
                match (step, ages.contains_key(&slot)) {
                    (0, false) => {
                        lru.insert(slot, 1, now);
                        ages.insert(slot, now);
                    }
                    (1, false) if !ages.values().any(|age| *age == past) => {
                        lru.insert_demoted(slot, 1, past);
                        ages.insert(slot, past);
                    }
                    (2, true) => {
                        lru.touch(slot, now);
                        ages.insert(slot, now);
                    }
                    (3, true) => {
                        lru.remove(slot);
                        ages.remove(&slot);
                    }
                    _ => {}
                }
                let oldest = ages.iter().min_by_key(|(_, age)| **age).map(|(slot, _)| *slot);
                prop_assert_eq!(lru.victim(), oldest);
            }
        }
    }
}
