//! What every policy is checked with: a tier of unit objects for sequences that textbooks have,
//! and random steps for comparison with a model that does the same by walking through everything.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::{AnyPolicy, Entry, NEVER, Policy, PolicyKind};

/// A tier of so many unit objects in front of nothing: one reference at a time.
pub struct World {
    policy: AnyPolicy,
    room: usize,
    /// Place and uses by key.
    residents: HashMap<u64, (u32, u32)>,
    keys: Vec<u64>,
    free: Vec<u32>,
    clock: u64,
    /// When each key is used, counted from 0.
    future: HashMap<u64, Vec<u32>>,
    pub hits: u64,
}

impl World {
    pub fn new(kind: PolicyKind, room: usize) -> Self {
        Self {
            policy: AnyPolicy::new(kind, Some(room as u64)),
            room,
            residents: HashMap::new(),
            keys: vec![0; room],
            free: (0..room as u32).rev().collect(),
            clock: 0,
            future: HashMap::new(),
            hits: 0,
        }
    }

    /// Tells beforehand what will be used.
    pub fn foretell(&mut self, keys: impl IntoIterator<Item = u64>) {
        for (at, key) in keys.into_iter().enumerate() {
            self.future.entry(key).or_default().push(at as u32);
        }
    }

    /// Refers to an object: whether it was there.
    pub fn refer(&mut self, key: u64) -> bool {
        self.clock += 1;
        let last_use = self.clock;
        let later =
            self.future.get(&key).map_or(&[][..], |uses| &uses[uses.partition_point(|at| u64::from(*at) < last_use)..]);
        let mut entry =
            Entry { size_bytes: 1, key, last_use, uses: 1, next_use: later.first().copied().unwrap_or(NEVER) };
        if let Some((place, uses)) = self.residents.get_mut(&key) {
            *uses += 1;
            entry.uses = *uses;
            self.policy.touch(*place, &entry);
            self.hits += 1;
            return true;
        }
        self.policy.announce(&entry);
        if self.residents.len() == self.room {
            let place = self.policy.evict().expect("a full tier has a victim");
            assert!(self.residents.remove(&self.keys[place as usize]).is_some(), "a victim is resident");
            self.free.push(place);
        }
        let place = self.free.pop().expect("there is room now");
        self.keys[place as usize] = key;
        self.residents.insert(key, (place, 1));
        self.policy.insert(place, &entry);
        false
    }
}

/// Refers to each letter in a tier of so many unit objects: the letter for a hit, a dot for a miss.
pub fn play(kind: PolicyKind, room: usize, letters: &str) -> String {
    let mut world = World::new(kind, room);
    world.foretell(letters.bytes().map(u64::from));
    letters.bytes().map(|key| if world.refer(u64::from(key)) { char::from(key) } else { '.' }).collect()
}

/// What may happen to one of a few places.
#[derive(Clone, Debug)]
pub struct Happening {
    what: u8,
    place: u32,
    key: u64,
    size_bytes: u64,
    uses: u32,
    ago: u64,
    next_use: u32,
}

/// Random steps.
pub fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = (0u8..8, 0u32..10, 0u64..16, 1u64..30, 1u32..5, 0u64..40, 0u32..50).prop_map(
        |(what, place, key, size_bytes, uses, ago, next_use)| Happening {
            what,
            place,
            key,
            size_bytes,
            uses,
            ago,
            next_use,
        },
    );
    prop::collection::vec(one, 1..300)
}

/// Lets the same happen to a policy and to a model of it: they name the same victims.
pub fn agree(policy: &mut dyn Policy, model: &mut dyn Policy, happenings: Vec<Happening>) {
    let mut residents: HashMap<u32, Entry> = HashMap::new();
    let mut stamps = BTreeSet::new();
    for (number, happening) in happenings.into_iter().enumerate() {
        let Happening { what, place, key, size_bytes, uses, ago, next_use } = happening;
        // Distinct times: even for now, odd for a time in the past.
        let now = 2 * number as u64 + 1_000;
        let known = residents.get(&place).copied();
        let mut entry = known.unwrap_or(Entry { size_bytes, key, last_use: now, uses, next_use });
        let new = known.is_none() && residents.values().all(|other| other.key != key);
        match what {
            0 | 1 if new => {
                policy.announce(&entry);
                policy.insert(place, &entry);
                model.announce(&entry);
                model.insert(place, &entry);
                residents.insert(place, entry);
            }
            2 | 3 if new && stamps.insert(now - 2 * ago + 1) => {
                entry.last_use = now - 2 * ago + 1;
                policy.insert_demoted(place, &entry);
                model.insert_demoted(place, &entry);
                residents.insert(place, entry);
            }
            4 | 5 if known.is_some() => {
                entry = Entry { last_use: now, uses: entry.uses + 1, next_use, ..entry };
                policy.touch(place, &entry);
                model.touch(place, &entry);
                residents.insert(place, entry);
            }
            6 if known.is_some() => {
                policy.remove(place);
                model.remove(place);
                residents.remove(&place);
            }
            7 => {
                let victim = policy.evict();
                assert_eq!(victim, model.evict(), "step {number}");
                assert_eq!(victim.is_none(), residents.is_empty(), "step {number}");
                victim.map(|place| residents.remove(&place));
            }
            _ => {}
        }
    }
    while let Some(victim) = model.evict() {
        assert_eq!(policy.evict(), Some(victim));
    }
    assert_eq!(policy.evict(), None);
}
