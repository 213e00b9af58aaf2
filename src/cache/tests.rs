use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn cache(gpu: u64, dram: u64, storage: u64) -> Cache {
    Cache::new(Limits { capacity_bytes: [Some(gpu), Some(dram), Some(storage)], target_usage: 0.8 })
}

fn object(name: &str, size_bytes: u64) -> NewObject {
    NewObject { key: name.into(), size_bytes, tokens: 1 }
}

fn told(moves: &[Move]) -> Vec<String> {
    let words = |tier: Option<Tier>| tier.map_or("gone", Tier::word);
    moves.iter().map(|m| format!("{} {} {}", m.key, m.from.word(), words(m.to))).collect()
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
    let (a, _) = cache.insert(object("a", 40), &mut moves).unwrap();
    cache.insert(object("b", 40), &mut moves).unwrap();
    cache.read(a).unwrap();
    cache.insert(object("c", 40), &mut moves).unwrap();
    assert_eq!(told(&moves), ["b Tier-0 Tier-1"]);
}

#[test]
fn large_objects_skip_a_tier_and_too_large_ones_are_not_taken() {
    let mut cache = cache(100, 1000, 500);
    let mut moves = Vec::new();
    assert_eq!(cache.insert(object("nearly all of tier 0", 95), &mut moves).unwrap().1, Tier::Gpu);
    assert_eq!(cache.insert(object("above 95 %", 96), &mut moves).unwrap().1, Tier::Dram);
    assert_eq!(cache.insert(object("too large for the last", 900), &mut moves).unwrap().1, Tier::Dram);
    assert!(cache.insert(object("too large for all", 951), &mut moves).is_none());
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
    let (a, _) = cache.insert(object("a", 60), &mut moves).unwrap();
    cache.abandon(a);
    cache.abandon(a);
    assert_eq!(cache.orphans(), 1);
    cache.insert(object("b", 60), &mut moves).unwrap();
    assert_eq!((cache.orphans(), cache.read(a).is_none()), (0, true));
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
                let found = cache.read(*id).map(|object| (object.tier.index(), object.size_bytes));
                prop_assert_eq!(found, book.get(name).copied());
                continue;
            }
            let mut moves = Vec::new();
            let name = format!("object {number}");
            let placed = cache.insert(object(&name, size), &mut moves);
            for moved in &moves {
                let (tier, bytes) = book.remove(&*moved.key).expect("only what is resident moves");
                prop_assert_eq!((tier, bytes), (moved.from.index(), moved.size_bytes));
                if let Some(to) = moved.to {
                    prop_assert!(to > moved.from);
                    book.insert(moved.key.to_string(), (to.index(), bytes));
                }
                prop_assert!(within(&book, capacity));
            }
            match placed {
                Some((id, tier)) => {
                    book.insert(name.clone(), (tier.index(), size));
                    ids.push((name, id));
                }
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
