//! The targets of a tier side by side: which of them an object goes to, and what room they have.

use crate::seed::mix;

use super::extents::{Extent, Space};

/// Sets the choice of a target apart from other uses of a key's hash.
const SALT: u64 = 0x7374_7269_7065_0001;

/// Which of `width` targets an object with this key hash goes to: the high bits of
/// `mix(hash ^ salt) × width`, so that every run on as many targets chooses the same.
pub fn stripe_of(content: u64, width: usize) -> usize {
    ((u128::from(mix(content ^ SALT)) * width as u128) >> 64) as usize
}

/// The room of one target.
#[derive(Clone, Debug, Default)]
struct Shelf {
    space: Space,
    /// Granules that objects of other targets may take: what its own never need by the plan.
    for_strays: u64,
}

/// The targets of a tier.
#[derive(Clone, Debug, Default)]
pub struct Shelves {
    shelves: Vec<Shelf>,
    strays: u64,
}

impl Shelves {
    /// One target.
    pub fn single(space: Space) -> Self {
        Self { shelves: vec![Shelf { space, for_strays: 0 }], strays: 0 }
    }

    /// Several: the room of each, and how much of it the plan needs for its own objects.
    pub fn new(each: impl IntoIterator<Item = (Space, u64)>) -> Self {
        let shelf = |(space, own): (Space, u64)| Shelf { for_strays: space.free_granules().saturating_sub(own), space };
        Self { shelves: each.into_iter().map(shelf).collect(), strays: 0 }
    }

    /// How many objects went to another target than their own because theirs was full.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// The target that has room for `count` granules of an object with this key hash: its own, or
    /// else the first one after it that can spare them; none when none has.
    pub fn choose(&self, content: u64, count: u64) -> Option<u32> {
        let home = stripe_of(content, self.shelves.len());
        if self.shelves.get(home)?.space.free_granules() >= count {
            return Some(home as u32);
        }
        let others = (1..self.shelves.len()).map(|step| (home + step) % self.shelves.len());
        let can_spare = |other: &usize| {
            let shelf = &self.shelves[*other];
            shelf.space.free_granules().min(shelf.for_strays) >= count
        };
        others.into_iter().find(can_spare).map(|other| other as u32)
    }

    /// Takes `count` granules of a target that [`Shelves::choose`] named.
    pub fn take(&mut self, stripe: u32, content: u64, count: u64, into: &mut Vec<Extent>) {
        let home = stripe_of(content, self.shelves.len());
        let shelf = &mut self.shelves[stripe as usize];
        assert!(shelf.space.allocate(count, into), "there was room");
        if home != stripe as usize {
            shelf.for_strays -= count;
            self.strays += 1;
        }
    }

    /// Gives them back.
    pub fn give_back(&mut self, stripe: u32, content: u64, extents: &[Extent]) {
        let home = stripe_of(content, self.shelves.len());
        let shelf = &mut self.shelves[stripe as usize];
        shelf.space.release(extents);
        if home != stripe as usize {
            shelf.for_strays += extents.iter().map(|extent| u64::from(extent.count)).sum::<u64>();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A hash whose own target among `width` is `stripe`.
    fn hash_for(stripe: usize, width: usize) -> u64 {
        (0..).find(|content| stripe_of(*content, width) == stripe).unwrap()
    }

    #[test]
    fn keys_spread_evenly_and_always_alike() {
        for width in [1, 2, 3, 7] {
            let mut counts = vec![0u32; width];
            (0..10_000u64).for_each(|content| counts[stripe_of(mix(content), width)] += 1);
            let mean = 10_000 / width as u32;
            assert!(counts.iter().all(|n| (mean * 9 / 10..=mean * 11 / 10).contains(n)), "{counts:?}");
        }
        let first: Vec<_> = (0..8).map(|content| stripe_of(content, 4)).collect();
        assert_eq!(first, [3, 2, 1, 3, 2, 1, 2, 0], "files of other hosts and earlier runs are found by it");
    }

    #[test]
    fn a_full_target_sends_objects_only_where_nothing_is_needed() {
        let spaces = [(Space::new(0, 4), 4), (Space::new(0, 6), 4)];
        let mut shelves = Shelves::new(spaces);
        let (first, mut extents) = (hash_for(0, 2), Vec::new());
        shelves.take(shelves.choose(first, 4).unwrap(), first, 4, &mut extents);
        let mut stray = Vec::new();
        assert_eq!((shelves.choose(first, 2), shelves.choose(first, 3)), (Some(1), None));
        shelves.take(1, first, 2, &mut stray);
        assert_eq!((shelves.choose(first, 1), shelves.strays()), (None, 1));
        assert_eq!(shelves.choose(hash_for(1, 2), 4), Some(1), "what the plan needs is there");
        shelves.give_back(1, first, &stray);
        assert_eq!(shelves.choose(first, 2), Some(1));
    }

    proptest! {
        #[test]
        fn every_object_lies_on_one_target_and_no_target_holds_more_than_it_can(
            capacities in prop::collection::vec(1u32..60, 1..5),
            steps in prop::collection::vec((any::<u64>(), 1u64..20, any::<bool>()), 1..200),
        ) {
            let each = capacities.iter().map(|&c| (Space::new(0, c), u64::from(c) * 3 / 4));
            let mut shelves = Shelves::new(each);
            let mut held: Vec<(u32, u64, Vec<Extent>)> = Vec::new();
            for (content, count, take) in steps {
                if take || held.is_empty() {
                    let Some(stripe) = shelves.choose(content, count) else { continue };
                    let mut extents = Vec::new();
                    shelves.take(stripe, content, count, &mut extents);
                    prop_assert_eq!(extents.iter().map(|e| u64::from(e.count)).sum::<u64>(), count);
                    held.push((stripe, content, extents));
                } else {
                    let (stripe, content, extents) = held.swap_remove(content as usize % held.len());
                    shelves.give_back(stripe, content, &extents);
                }
                for (stripe, &capacity) in capacities.iter().enumerate() {
                    let there = held.iter().filter(|h| h.0 as usize == stripe);
                    let count = |h: &(u32, u64, Vec<Extent>)| h.2.iter().map(|e| u64::from(e.count)).sum::<u64>();
                    prop_assert!(there.clone().map(count).sum::<u64>() <= u64::from(capacity));
                    let strays = there.filter(|h| stripe_of(h.1, capacities.len()) != stripe);
                    prop_assert!(strays.map(count).sum::<u64>() <= u64::from(capacity) - u64::from(capacity) * 3 / 4);
                }
            }
        }
    }
}
