//! Hits of objects by capacity in bytes: of LRU for every capacity in one pass, of other policies
//! at chosen ones. An object larger than the cache is not taken in.

use crate::cache::{Cache, Foresight, Id, Limits, NewObject, PolicyKind, Rules, Uses};
use crate::error::Result;
use crate::stop::Stop;
use crate::trace::Key;

use super::byte_stack::ByteStack;
use super::curve::{Eviction, in_parallel};
use super::objects::Objects;

/// Hits among lookups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectCounts {
    /// Lookups of objects that were there.
    pub hits: u64,
    /// Bytes of these objects.
    pub hit_bytes: u128,
}

/// The hits of LRU caches of every capacity from the largest object on. Below it, what is in a
/// cache is not the top of one stack, for it lets pass what it cannot hold.
#[derive(Clone, Debug)]
pub struct ByteCurve {
    /// Capacities from which on a lookup is a hit, ascending, and the bytes of its object.
    steps: Vec<(u64, u64)>,
    /// The least capacity that the curve holds for.
    least: u64,
}

impl ByteCurve {
    /// One pass over the references, of which the first `warmup` count nowhere.
    pub fn of(objects: &Objects, warmup: usize) -> Self {
        let mut stack = ByteStack::new(objects.uses.len(), objects.bytes.len());
        let mut steps = Vec::new();
        for (number, (object, lookup)) in objects.uses.iter().zip(&objects.lookups).enumerate() {
            let bytes = objects.bytes[*object as usize];
            let distance = stack.refer(*object, bytes);
            if let Some(distance) = distance.filter(|_| *lookup && number >= warmup) {
                steps.push((distance, bytes));
            }
        }
        steps.sort_unstable();
        Self { steps, least: objects.largest_bytes() }
    }

    /// The hits of one capacity after another, which ascend; none for those that the curve does not
    /// hold for.
    pub fn at(&self, capacities: &[u64]) -> Vec<Option<ObjectCounts>> {
        let (mut counts, mut next) = (ObjectCounts::default(), 0);
        let mut up_to = |capacity: u64| {
            while let Some((_, bytes)) = self.steps.get(next).filter(|(distance, _)| *distance <= capacity) {
                counts.hits += 1;
                counts.hit_bytes += u128::from(*bytes);
                next += 1;
            }
            (capacity >= self.least).then_some(counts)
        };
        capacities.iter().map(|capacity| up_to(*capacity)).collect()
    }
}

/// The hits of a policy at each of some capacities, which ascend. LRU is exact in one pass where
/// every object fits; everything else is simulated, with the policies that recordings use.
///
/// # Errors
/// When the user asked to stop.
pub fn object_counts(
    objects: &Objects,
    eviction: Eviction,
    capacities: &[u64],
    warmup: usize,
    stop: &Stop,
) -> Result<Vec<ObjectCounts>> {
    let known = match eviction {
        Eviction::Lru => ByteCurve::of(objects, warmup).at(capacities),
        _ => vec![None; capacities.len()],
    };
    let foresight = (eviction == Eviction::Belady).then(|| foresight(objects)).transpose()?.map(std::sync::Arc::new);
    let wanted: Vec<_> = capacities.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(c, _)| *c).collect();
    let simulation = Simulation { objects, policy: kind(eviction), warmup, foresight };
    let mut simulated = in_parallel(&wanted, stop, |capacity| simulation.at(*capacity))?.into_iter();
    Ok(known.into_iter().map(|known| known.or_else(|| simulated.next()).unwrap_or_default()).collect())
}

fn kind(eviction: Eviction) -> PolicyKind {
    match eviction {
        Eviction::Lru => PolicyKind::Lru,
        Eviction::Fifo => PolicyKind::Fifo,
        Eviction::Lfu => PolicyKind::Lfu,
        Eviction::Sieve => PolicyKind::Sieve,
        Eviction::S3Fifo => PolicyKind::S3Fifo,
        Eviction::Arc => PolicyKind::Arc,
        Eviction::Belady => PolicyKind::Belady,
    }
}

fn foresight(objects: &Objects) -> Result<Foresight> {
    let mut uses = Uses::default();
    for object in &objects.uses {
        uses.note(&key(*object))?;
    }
    Ok(uses.finish())
}

fn key(object: u32) -> Key {
    Key::Block(object.into())
}

/// What is the same for all capacities of one policy.
struct Simulation<'a> {
    objects: &'a Objects,
    policy: PolicyKind,
    warmup: usize,
    foresight: Option<std::sync::Arc<Foresight>>,
}

impl Simulation<'_> {
    fn at(&self, capacity: u64) -> ObjectCounts {
        let limits = Limits { capacity_bytes: [Some(0), Some(0), Some(capacity)], target_usage: 1.0 };
        let rules = Rules { policies: [self.policy; 3], foresight: self.foresight.clone(), ..Rules::default() };
        let mut cache = Cache::with(limits, &rules);
        let mut ids: Vec<Option<Id>> = vec![None; self.objects.bytes.len()];
        let (mut counts, mut moves) = (ObjectCounts::default(), Vec::new());
        for (number, (object, lookup)) in self.objects.uses.iter().zip(&self.objects.lookups).enumerate() {
            let (id, size_bytes) = (&mut ids[*object as usize], self.objects.bytes[*object as usize]);
            moves.clear();
            if id.is_some_and(|id| cache.read(id, &mut moves).is_some()) {
                if *lookup && number >= self.warmup {
                    counts.hits += 1;
                    counts.hit_bytes += u128::from(size_bytes);
                }
            } else {
                *id = cache.insert(NewObject { key: key(*object), size_bytes, tokens: 0 }, &mut moves);
            }
        }
        counts
    }
}

/// Capacities from `least` to `most`, so many of them, each about the same factor above the one
/// before.
pub fn spread_bytes(least: u64, most: u64, points: u32) -> Vec<u64> {
    let (least, most) = (least.max(1), most.max(least).max(1));
    let last = f64::from(points.saturating_sub(1).max(1));
    let factor = most as f64 / least as f64;
    let at = |point: u32| (least as f64 * libm::pow(factor, f64::from(point) / last)).round() as u64;
    let mut capacities: Vec<u64> = (0..points).map(at).map(|capacity| capacity.clamp(least, most)).collect();
    if let Some(last) = capacities.last_mut() {
        *last = most;
    }
    capacities.dedup();
    capacities
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::objects::samples;

    /// An LRU cache of bytes as a vector, latest first.
    fn plain(objects: &Objects, capacity: u64, warmup: usize) -> ObjectCounts {
        let (mut there, mut counts): (Vec<u32>, _) = (Vec::new(), ObjectCounts::default());
        for (number, (object, lookup)) in objects.uses.iter().zip(&objects.lookups).enumerate() {
            let bytes = |object: &u32| objects.bytes[*object as usize];
            if there.contains(object) && *lookup && number >= warmup {
                counts.hits += 1;
                counts.hit_bytes += u128::from(bytes(object));
            }
            if bytes(object) > capacity {
                continue;
            }
            there.retain(|other| other != object);
            there.insert(0, *object);
            while there.iter().map(bytes).sum::<u64>() > capacity {
                there.pop();
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn lru_of_bytes_is_what_a_vector_does_at_every_capacity(
            uses in prop::collection::vec(0u32..9, 1..200),
            bytes in prop::collection::vec(1u64..30, 9),
            warmup in 0usize..50,
        ) {
            let objects = samples::of(&uses, &bytes);
            let capacities: Vec<u64> = (1..160).collect();
            let found = object_counts(&objects, Eviction::Lru, &capacities, warmup, &Stop::new()).unwrap();
            for (capacity, counts) in capacities.iter().zip(found) {
                prop_assert_eq!(counts, plain(&objects, *capacity, warmup), "{} bytes", capacity);
            }
            let exact = ByteCurve::of(&objects, warmup).at(&capacities);
            prop_assert!(exact.iter().zip(&capacities).all(|(c, at)| c.is_some() == (*at >= objects.largest_bytes())));
        }

        #[test]
        fn every_policy_that_holds_everything_hits_every_lookup(
            uses in prop::collection::vec(0u32..9, 1..100),
            bytes in prop::collection::vec(1u64..30, 9),
        ) {
            let objects = samples::of(&uses, &bytes);
            let totals = objects.totals(0);
            for eviction in Eviction::ALL {
                let all = object_counts(&objects, eviction, &[objects.footprint_bytes()], 0, &Stop::new()).unwrap();
                prop_assert_eq!((all[0].hits, all[0].hit_bytes), (totals.lookups, totals.lookup_bytes), "{}", eviction);
            }
        }
    }

    #[test]
    fn capacities_go_from_the_least_to_the_most() {
        assert_eq!(spread_bytes(10, 10_000, 4), [10, 100, 1000, 10_000]);
        assert_eq!(spread_bytes(5, 5, 64), [5]);
        assert_eq!(spread_bytes(0, 0, 3), [1]);
    }
}
