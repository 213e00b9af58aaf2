use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn cache(gpu: u64, dram: u64, storage: u64) -> Cache {
    Cache::new(Limits { capacity_bytes: [Some(gpu), Some(dram), Some(storage)], target_usage: 0.8 })
}

fn object(name: &str, size_bytes: u64) -> NewObject {
    NewObject { key: Key::Text(name.into()), size_bytes, tokens: 1 }
}

/// What made room.
fn told(moves: &[Move]) -> Vec<String> {
    let words = |m: &Move| match m.step {
        Step::Demote { from, to } => Some(format!("{} {from} {to}", m.key)),
        Step::Delete(from) => Some(format!("{} {from} gone", m.key)),
        Step::Write(_) | Step::Promote { .. } => None,
    };
    moves.iter().filter_map(words).collect()
}

/// Stores an object: where it went.
fn placed(cache: &mut Cache, object: NewObject) -> Option<Tier> {
    let mut moves = Vec::new();
    cache.insert(object, &mut moves)?;
    match moves.last()?.step {
        Step::Write(tier) => Some(tier),
        _ => None,
    }
}

#[test]
fn victims_fall_one_tier_at_a_time_and_the_last_tier_deletes() {
    let mut cache = cache(100, 100, 100);
    let mut moves = Vec::new();
    for name in ["a", "b", "c"] {
        cache.insert(object(name, 80), &mut moves).unwrap();
    }
    assert_eq!(told(&moves), ["a Tier-0 Tier-1", "a Tier-1 Tier-2", "b Tier-0 Tier-1"]);
    moves.clear();
    cache.insert(object("d", 80), &mut moves).unwrap();
    assert_eq!(told(&moves), ["a Tier-2 gone", "b Tier-1 Tier-2", "c Tier-0 Tier-1"]);
}

#[test]
fn what_was_read_stays() {
    let mut cache = cache(100, 100, 1000);
    let mut moves = Vec::new();
    let a = cache.insert(object("a", 40), &mut moves).unwrap();
    cache.insert(object("b", 40), &mut moves).unwrap();
    cache.read(a, &mut Vec::new()).unwrap();
    cache.insert(object("c", 40), &mut moves).unwrap();
    assert_eq!(told(&moves), ["b Tier-0 Tier-1"]);
}

#[test]
fn large_objects_skip_a_tier_and_too_large_ones_are_not_taken() {
    let mut cache = cache(100, 1000, 500);
    assert_eq!(placed(&mut cache, object("nearly all of tier 0", 95)), Some(Tier::Gpu));
    assert_eq!(placed(&mut cache, object("above 95 %", 96)), Some(Tier::Dram));
    assert_eq!(placed(&mut cache, object("too large for the last", 900)), Some(Tier::Dram));
    assert_eq!(placed(&mut cache, object("too large for all", 951)), None);
}

#[test]
fn a_victim_that_no_lower_tier_takes_is_deleted() {
    let mut cache = cache(0, 1000, 100);
    let mut moves = Vec::new();
    cache.insert(object("big", 700), &mut moves).unwrap();
    cache.insert(object("new", 700), &mut moves).unwrap();
    assert_eq!(told(&moves), ["big Tier-1 gone"]);
    assert_eq!((cache.deletes(), cache.tier(Tier::Dram).used_bytes()), (1, 700));
}

#[test]
fn orphans_are_counted_until_they_go() {
    let mut cache = cache(0, 0, 100);
    let mut moves = Vec::new();
    let a = cache.insert(object("a", 60), &mut moves).unwrap();
    cache.abandon(a);
    cache.abandon(a);
    assert_eq!(cache.orphans(), 1);
    cache.insert(object("b", 60), &mut moves).unwrap();
    assert_eq!((cache.orphans(), cache.read(a, &mut Vec::new()).is_none()), (0, true));
}

proptest! {
    /// A second book is kept from the moves alone, and must agree at every step.
    #[test]
    fn no_move_ever_exceeds_a_limit(
        limits in (0u64..400, 0u64..400, 50u64..400),
        steps in prop::collection::vec((1u64..300, any::<bool>(), 0usize..64), 1..200),
    ) {
        let capacity = [limits.0, limits.1, limits.2];
        let mut cache = cache(limits.0, limits.1, limits.2);
        let mut book: BTreeMap<String, (usize, u64)> = BTreeMap::new();
        let mut ids = Vec::new();
        for (number, (size, read, which)) in steps.into_iter().enumerate() {
            if read && !ids.is_empty() {
                let (name, id): &(String, Id) = &ids[which % ids.len()];
                let found = cache.read(*id, &mut Vec::new()).map(|object| (object.tier.index(), object.size_bytes));
                prop_assert_eq!(found, book.get(name).copied());
                continue;
            }
            let mut moves = Vec::new();
            let name = format!("object {number}");
            let placed = cache.insert(object(&name, size), &mut moves);
            for moved in &moves {
                let key = moved.key.to_string();
                match moved.step {
                    Step::Write(to) => prop_assert_eq!(book.insert(key, (to.index(), moved.size_bytes)), None),
                    Step::Demote { from, to } => {
                        prop_assert!(to > from);
                        let before = book.insert(key, (to.index(), moved.size_bytes));
                        prop_assert_eq!(before, Some((from.index(), moved.size_bytes)));
                    }
                    Step::Delete(from) => {
                        prop_assert_eq!(book.remove(&key), Some((from.index(), moved.size_bytes)));
                    }
                    Step::Promote { .. } => prop_assert!(false, "nothing was read"),
                }
                prop_assert!(within(&book, capacity));
            }
            match placed {
                Some(id) => ids.push((name, id)),
                None => prop_assert!(moves.is_empty()),
            }
            prop_assert!(within(&book, capacity));
            for tier in Tier::ALL {
                let used: u64 = book.values().filter(|(t, _)| *t == tier.index()).map(|(_, bytes)| bytes).sum();
                prop_assert_eq!(cache.tier(tier).used_bytes(), used);
            }
        }
    }
}

fn within(book: &BTreeMap<String, (usize, u64)>, capacity: [u64; 3]) -> bool {
    (0..3).all(|tier| book.values().filter(|(t, _)| *t == tier).map(|(_, bytes)| bytes).sum::<u64>() <= capacity[tier])
}

#[test]
fn what_is_taken_out_frees_its_room_once() {
    let mut cache = cache(100, 100, 100);
    let mut moves = Vec::new();
    let a = cache.insert(object("a", 60), &mut moves).unwrap();
    let b = cache.insert(object("b", 60), &mut moves).unwrap();
    moves.clear();
    cache.remove(a, &mut moves);
    cache.remove(a, &mut moves);
    assert_eq!(told(&moves), ["a Tier-1 gone"]);
    assert_eq!((cache.tier(Tier::Dram).used_bytes(), cache.deletes()), (0, 1));
    assert!(cache.read(a, &mut Vec::new()).is_none() && cache.read(b, &mut Vec::new()).is_some());
}
