use std::collections::{BTreeMap, BTreeSet};

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

fn ruled(gpu: u64, dram: u64, storage: Option<u64>, rules: Rules) -> Cache {
    Cache::with(Limits { capacity_bytes: [Some(gpu), Some(dram), storage], target_usage: 0.8 }, &rules)
}

fn promoting(placement: Placement) -> Rules {
    Rules { promotion: Promotion::OnRead, placement, ..Rules::default() }
}

/// Everything that happened.
fn all(moves: &[Move]) -> Vec<String> {
    moves.iter().map(|m| format!("{} {:?}", m.key, m.step)).collect()
}

#[test]
fn a_read_moves_an_object_up_after_what_makes_room() {
    let mut cache = ruled(100, 100, None, promoting(Placement::Exclusive));
    let mut moves = Vec::new();
    let ids: Vec<Id> = ["a", "b"].map(|name| cache.insert(object(name, 60), &mut moves).unwrap()).into();
    moves.clear();
    assert_eq!(cache.read(ids[0], &mut moves).unwrap().tier, Tier::Dram);
    // b does not fit beside a, which is still there, and goes past it.
    assert_eq!(all(&moves), ["b Demote { from: Gpu, to: Storage }", "a Promote { from: Dram, to: Gpu }"]);
    assert_eq!(Tier::ALL.map(|tier| cache.tier(tier).used_bytes()), [60, 0, 60]);
    moves.clear();
    assert_eq!(cache.read(ids[0], &mut moves).unwrap().tier, Tier::Gpu);
    assert!(moves.is_empty());
    assert_eq!((cache.promotions(), cache.demotions()), (1, 2));
}

#[test]
fn what_goes_up_is_nobodys_victim() {
    // Room for b in the middle tier is made by c, not by a, which is on its way up.
    let mut cache = ruled(100, 200, Some(1000), promoting(Placement::Exclusive));
    let mut moves = Vec::new();
    let ids: Vec<Id> = ["a", "c", "b"].map(|name| cache.insert(object(name, 70), &mut moves).unwrap()).into();
    moves.clear();
    cache.read(ids[0], &mut moves).unwrap();
    let expected = [
        "c Demote { from: Dram, to: Storage }",
        "b Demote { from: Gpu, to: Dram }",
        "a Promote { from: Dram, to: Gpu }",
    ];
    assert_eq!(all(&moves), expected);
}

#[test]
fn copies_are_written_through_and_dropped_one_by_one() {
    let mut cache = ruled(100, 200, Some(1000), promoting(Placement::Inclusive));
    let mut moves = Vec::new();
    let a = cache.insert(object("a", 70), &mut moves).unwrap();
    assert_eq!(all(&moves), ["a Write(Gpu)", "a Write(Dram)", "a Write(Storage)"]);
    moves.clear();
    cache.insert(object("b", 70), &mut moves).unwrap();
    assert_eq!(all(&moves), ["a Delete(Gpu)", "b Write(Gpu)", "b Write(Dram)", "b Write(Storage)"]);
    moves.clear();
    assert_eq!(cache.read(a, &mut moves).unwrap().tier, Tier::Dram);
    assert_eq!(all(&moves), ["b Delete(Gpu)", "a Promote { from: Dram, to: Gpu }"]);
    assert_eq!(Tier::ALL.map(|tier| cache.tier(tier).entries()), [1, 2, 2]);
    assert_eq!((cache.demotions(), cache.deletes(), cache.promotions()), (0, 2, 1));
}

#[test]
fn an_object_is_gone_with_its_last_copy() {
    let mut cache = ruled(0, 100, Some(100), Rules { placement: Placement::Inclusive, ..Rules::default() });
    let mut moves = Vec::new();
    let a = cache.insert(object("a", 60), &mut moves).unwrap();
    cache.insert(object("large", 100), &mut moves).unwrap();
    assert!(cache.holds(a), "the large one went to storage alone");
    cache.abandon(a);
    moves.clear();
    cache.insert(object("b", 60), &mut moves).unwrap();
    assert_eq!(all(&moves)[..2], ["a Delete(Dram)", "large Delete(Storage)"]);
    assert_eq!((cache.holds(a), cache.orphans()), (false, 0));
}

#[test]
fn above_the_high_watermark_a_tier_empties_to_the_low_one() {
    let marks = [Some(Watermarks { high: 0.9, low: 0.5 }), None, None];
    let mut cache = ruled(100, 0, None, Rules { watermarks: marks, ..Rules::default() });
    let mut moves = Vec::new();
    for number in 0..9 {
        cache.insert(object(&number.to_string(), 10), &mut moves).unwrap();
    }
    assert!(told(&moves).is_empty());
    cache.insert(object("one more", 10), &mut moves).unwrap();
    assert_eq!((told(&moves).len(), cache.tier(Tier::Gpu).used_bytes()), (5, 50));
}

#[test]
fn an_orphan_out_of_reach_only_counts() {
    let mut cache = ruled(100, 0, None, Rules::default());
    let mut moves = Vec::new();
    let reader = cache.enter_holder();
    let a = cache.insert(object("a", 70), &mut moves).unwrap();
    cache.abandon(a);
    cache.insert(object("b", 70), &mut moves).unwrap();
    assert!(cache.read(a, &mut moves).is_some(), "somebody who was there may still read it");
    cache.leave_holder(reader);
    let another = cache.enter_holder();
    cache.leave_holder(another);
    assert!(!cache.holds(a));
    assert_eq!((cache.orphans(), cache.tier(Tier::Storage).entries()), (1, 1));
    assert_eq!(cache.tier(Tier::Storage).used_bytes(), 70);
}

#[test]
fn memory_is_flat_where_storage_is_unlimited_and_objects_are_left() {
    let mut cache = ruled(1000, 1000, None, Rules::default());
    let mut moves = Vec::new();
    for number in 0..10_000 {
        let holder = cache.enter_holder();
        let id = cache.insert(object(&number.to_string(), 100), &mut moves).unwrap();
        cache.abandon(id);
        cache.leave_holder(holder);
        moves.clear();
    }
    assert_eq!((cache.orphans(), cache.tier(Tier::Storage).entries()), (10_000, 10_000 - 16));
    assert!(cache.objects.slots() < 40, "{}", cache.objects.slots());
}

fn rules() -> impl Strategy<Value = Rules> {
    let kind = prop::sample::select(PolicyKind::ALL.to_vec());
    let marks = prop::option::of((1u32..=20, 1u32..=20)).prop_map(|shares| {
        shares.map(|(a, b)| Watermarks { high: f64::from(a.max(b)) / 20.0, low: f64::from(a.min(b)) / 20.0 })
    });
    let kinds = [kind.clone(), kind.clone(), kind];
    (kinds, [marks.clone(), marks.clone(), marks], any::<bool>(), any::<bool>()).prop_map(
        |(policies, watermarks, promotes, copies)| Rules {
            policies,
            watermarks,
            promotion: if promotes { Promotion::OnRead } else { Promotion::None },
            placement: if copies { Placement::Inclusive } else { Placement::Exclusive },
            foresight: None,
            ..Rules::default()
        },
    )
}

/// The sizes of the objects of each tier, as the moves tell.
#[derive(Default)]
struct Book([BTreeMap<String, u64>; 3]);

impl Book {
    fn used(&self, tier: usize) -> u64 {
        self.0[tier].values().sum()
    }

    fn fastest(&self, key: &str) -> Option<usize> {
        (0..3).find(|tier| self.0[*tier].contains_key(key))
    }

    fn put(&mut self, key: &str, tier: Tier, size: u64) {
        assert_eq!(self.0[tier.index()].insert(key.to_owned(), size), None);
    }

    fn take(&mut self, key: &str, tier: Tier, size: u64) {
        assert_eq!(self.0[tier.index()].remove(key), Some(size), "{key} is not in {tier}");
    }

    fn follow(&mut self, moved: &Move, placement: Placement) {
        let (key, size) = (moved.key.to_string(), moved.size_bytes);
        match moved.step {
            Step::Write(to) => {
                assert!(placement == Placement::Inclusive || self.fastest(&key).is_none());
                self.put(&key, to, size);
            }
            Step::Demote { from, to } => {
                assert!(to > from && placement == Placement::Exclusive);
                self.take(&key, from, size);
                self.put(&key, to, size);
            }
            Step::Promote { from, to } => {
                assert!(to < from && self.fastest(&key) == Some(from.index()));
                if placement == Placement::Exclusive {
                    self.take(&key, from, size);
                }
                self.put(&key, to, size);
            }
            Step::Delete(from) => self.take(&key, from, size),
        }
    }
}

proptest! {
    /// A second book is kept from the moves alone, and must agree at every step.
    #[test]
    fn no_move_ever_exceeds_a_limit(
        limits in (0u64..400, 0u64..400, prop::option::of(50u64..400)),
        rules in rules(),
        steps in prop::collection::vec((1u64..300, 0u8..5, 0usize..64), 1..200),
    ) {
        let capacity = [Some(limits.0), Some(limits.1), limits.2];
        let placement = rules.placement;
        let mut cache = ruled(limits.0, limits.1, limits.2, rules);
        let mut book = Book::default();
        let mut ids: Vec<(String, Id)> = Vec::new();
        let mut holder = cache.enter_holder();
        let mut left = BTreeSet::new();
        for (number, (size, step, which)) in steps.into_iter().enumerate() {
            let mut moves = Vec::new();
            match (step, ids.is_empty()) {
                (0 | 1, false) => {
                    let (name, id) = &ids[which % ids.len()];
                    let before = book.fastest(name);
                    let found = cache.read(*id, &mut moves).map(|object| object.tier.index());
                    prop_assert!(found == before || (found.is_none() && left.contains(name)));
                    let promoted = |last: &Move| matches!(last.step, Step::Promote { .. });
                    let last = moves.last().map(|last| (last.key.to_string(), promoted(last)));
                    prop_assert!(last.is_none_or(|last| last == (name.clone(), true)));
                }
                (2, false) => {
                    let (name, id) = &ids[which % ids.len()];
                    cache.abandon(*id);
                    left.insert(name.clone());
                    let next = cache.enter_holder();
                    cache.leave_holder(std::mem::replace(&mut holder, next));
                }
                _ => {
                    let name = format!("object {number}");
                    match cache.insert(object(&name, size), &mut moves) {
                        Some(id) => ids.push((name, id)),
                        None => prop_assert!(moves.is_empty()),
                    }
                }
            }
            for moved in &moves {
                book.follow(moved, placement);
                for (tier, limit) in capacity.iter().enumerate() {
                    prop_assert!(limit.is_none_or(|limit| book.used(tier) <= limit), "{moves:?}");
                }
            }
            for tier in Tier::ALL {
                prop_assert_eq!(cache.tier(tier).used_bytes(), book.used(tier.index()));
                prop_assert_eq!(cache.tier(tier).entries(), book.0[tier.index()].len() as u64);
            }
        }
    }
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
