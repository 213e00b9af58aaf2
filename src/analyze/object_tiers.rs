//! Hits of objects in LRU tiers that follow each other: what is used lies in the first tier that can
//! hold it, and what leaves a tier goes to the next. With objects of many sizes the tiers together
//! hold less than one cache of their sum: each has room left over that no object fits into.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::stop::Stop;

use super::object_curve::ObjectCounts;
use super::objects::Objects;

/// References between two looks at the stop flag.
const STRIDE: usize = 65_536;

/// The hits of each tier alone, fastest first. The first `warmup` references count nowhere.
///
/// # Errors
/// When the user asked to stop.
pub fn tier_counts(objects: &Objects, capacities: &[u64], warmup: usize, stop: &Stop) -> Result<Vec<ObjectCounts>> {
    let mut tiers = Waterfall::new(objects, capacities);
    let mut counts = vec![ObjectCounts::default(); capacities.len()];
    for (number, (object, lookup)) in objects.uses.iter().zip(&objects.lookups).enumerate() {
        if number % STRIDE == 0 && stop.requested() {
            return Err(Error::interrupted("interrupted; nothing was written"));
        }
        let found = tiers.refer(*object);
        if let Some(tier) = found.filter(|_| *lookup && number >= warmup) {
            counts[tier].hits += 1;
            counts[tier].hit_bytes += u128::from(objects.bytes[*object as usize]);
        }
    }
    Ok(counts)
}

/// One tier: its objects by the time at which they came into it.
struct Tier {
    capacity: u64,
    used: u64,
    order: BTreeMap<u64, u32>,
}

struct Waterfall<'a> {
    bytes: &'a [u64],
    tiers: Vec<Tier>,
    /// The tier of each object and when it came into it.
    places: Vec<Option<(usize, u64)>>,
    clock: u64,
}

impl<'a> Waterfall<'a> {
    fn new(objects: &'a Objects, capacities: &[u64]) -> Self {
        let tier = |capacity: &u64| Tier { capacity: *capacity, used: 0, order: BTreeMap::new() };
        let places = vec![None; objects.bytes.len()];
        Self { bytes: &objects.bytes, tiers: capacities.iter().map(tier).collect(), places, clock: 0 }
    }

    /// Uses an object: it comes into the first tier. The tier where it was found.
    fn refer(&mut self, object: u32) -> Option<usize> {
        let found = self.places[object as usize].take();
        if let Some((tier, stamp)) = found {
            self.tiers[tier].order.remove(&stamp);
            self.tiers[tier].used -= self.bytes[object as usize];
        }
        self.put(0, object);
        found.map(|(tier, _)| tier)
    }

    /// Puts an object into the first tier from `tier` on that can hold it, if there is one. What it
    /// drives out goes on from the next tier, who was there longest first.
    fn put(&mut self, tier: usize, object: u32) {
        let bytes = self.bytes[object as usize];
        let Some(tier) = (tier..self.tiers.len()).find(|tier| bytes <= self.tiers[*tier].capacity) else { return };
        while self.tiers[tier].capacity - self.tiers[tier].used < bytes {
            let Some((_, out)) = self.tiers[tier].order.pop_first() else { break };
            self.tiers[tier].used -= self.bytes[out as usize];
            self.places[out as usize] = None;
            self.put(tier + 1, out);
        }
        self.clock += 1;
        self.tiers[tier].order.insert(self.clock, object);
        self.tiers[tier].used += bytes;
        self.places[object as usize] = Some((tier, self.clock));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::curve::Eviction;
    use crate::analyze::object_curve::object_counts;
    use crate::analyze::objects::samples;

    /// Tiers as vectors, latest first, and a queue of what has to go on.
    fn plain(objects: &Objects, capacities: &[u64], warmup: usize) -> Vec<u64> {
        let bytes = |object: u32| objects.bytes[object as usize];
        let mut tiers: Vec<Vec<u32>> = vec![Vec::new(); capacities.len()];
        let mut hits = vec![0; capacities.len()];
        for (number, (object, lookup)) in objects.uses.iter().zip(&objects.lookups).enumerate() {
            let found = tiers.iter().position(|tier| tier.contains(object));
            if let Some(tier) = found {
                tiers[tier].retain(|other| other != object);
                hits[tier] += u64::from(*lookup && number >= warmup);
            }
            let mut coming = vec![*object];
            for (tier, capacity) in tiers.iter_mut().zip(capacities) {
                let mut leaving = Vec::new();
                for object in coming {
                    if bytes(object) > *capacity {
                        leaving.push(object);
                        continue;
                    }
                    while tier.iter().map(|o| bytes(*o)).sum::<u64>() + bytes(object) > *capacity {
                        leaving.extend(tier.pop());
                    }
                    tier.insert(0, object);
                }
                coming = leaving;
            }
        }
        hits
    }

    #[test]
    fn a_tier_of_one_object_holds_one() {
        let objects = samples::of(&[0, 1, 2, 1, 0, 2, 0, 1], &[60, 60, 60]);
        let counts = tier_counts(&objects, &[100, 100], 0, &Stop::new()).unwrap();
        assert_eq!(counts.iter().map(|c| (c.hits, c.hit_bytes)).collect::<Vec<_>>(), [(0, 0), (2, 120)]);
    }

    proptest! {
        #[test]
        fn tiers_hit_what_vectors_do(
            uses in prop::collection::vec(0u32..9, 1..200),
            bytes in prop::collection::vec(0u64..30, 9),
            capacities in prop::collection::vec(0u64..70, 1..5),
            warmup in 0usize..50,
        ) {
            let objects = samples::of(&uses, &bytes);
            let counts = tier_counts(&objects, &capacities, warmup, &Stop::new()).unwrap();
            let hits: Vec<u64> = counts.iter().map(|c| c.hits).collect();
            prop_assert_eq!(hits, plain(&objects, &capacities, warmup));
        }

        #[test]
        fn tiers_of_whole_objects_of_one_size_are_one_cache(
            uses in prop::collection::vec(0u32..9, 1..200),
            capacities in prop::collection::vec(0u64..5, 1..4),
        ) {
            let objects = samples::of(&uses, &[10; 9]);
            let bytes: Vec<u64> = capacities.iter().map(|c| c * 10).collect();
            let counts = tier_counts(&objects, &bytes, 0, &Stop::new()).unwrap();
            let sum = bytes.iter().sum();
            let one = object_counts(&objects, Eviction::Lru, &[sum], 0, &Stop::new()).unwrap()[0];
            prop_assert_eq!(counts.iter().map(|c| c.hits).sum::<u64>(), one.hits);
        }
    }
}
