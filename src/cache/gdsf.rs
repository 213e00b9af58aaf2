//! Greedy-dual-size-frequency (Cherkasova, "Improving WWW proxies performance with
//! greedy-dual-size-frequency caching policy", HPL-98-69, 1998), at a cost of 1 an object: many
//! small objects are kept rather than one large one, and old merit fades.

use super::heap::Heap;
use super::policy::{Entry, Policy};

/// Merit is in units of 2^-64 uses a byte: whole numbers, the same on every machine.
const UNIT_BITS: u32 = 64;

/// The residents by (merit, last use).
#[derive(Debug, Default)]
pub(super) struct Gdsf {
    order: Heap<(u128, u64)>,
    /// The merit of the last victim: what everything stored or used from now on begins with.
    inflation: u128,
}

impl Policy for Gdsf {
    fn insert(&mut self, place: u32, entry: &Entry) {
        let merit = self.inflation + (u128::from(entry.uses) << UNIT_BITS) / u128::from(entry.size_bytes);
        self.order.set(place, (merit, entry.last_use));
    }

    fn touch(&mut self, place: u32, entry: &Entry) {
        self.insert(place, entry);
    }

    fn remove(&mut self, place: u32) {
        self.order.remove(place);
    }

    fn evict(&mut self) -> Option<u32> {
        let ((merit, _), place) = self.order.pop()?;
        self.inflation = merit;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::PolicyKind;
    use crate::cache::policy::checks::{agree, happenings, play};
    use proptest::prelude::*;

    /// In fractions of a common multiple of the sizes that occur (1 to 29).
    const MULTIPLE: u64 = 2_329_089_562_800;

    #[derive(Debug, Default)]
    struct Model {
        residents: Vec<(u64, u64, u32)>,
        inflation: u64,
    }

    impl Policy for Model {
        fn insert(&mut self, place: u32, entry: &Entry) {
            let merit = self.inflation + MULTIPLE / entry.size_bytes * u64::from(entry.uses);
            self.residents.push((merit, entry.last_use, place));
        }

        fn remove(&mut self, place: u32) {
            self.residents.retain(|(_, _, other)| *other != place);
        }

        fn evict(&mut self) -> Option<u32> {
            let (merit, _, place) = *self.residents.iter().min()?;
            self.inflation = merit;
            self.remove(place);
            Some(place)
        }
    }

    /// Equal merits in exact fractions may differ by the rounding of the policy, so sizes are
    /// powers of two, which divide exactly.
    fn exact(entry: &Entry) -> Entry {
        Entry { size_bytes: entry.size_bytes.next_power_of_two().min(16), ..*entry }
    }

    #[derive(Debug)]
    struct Exact<P>(P);

    impl<P: Policy> Policy for Exact<P> {
        fn insert(&mut self, place: u32, entry: &Entry) {
            self.0.insert(place, &exact(entry));
        }

        fn insert_demoted(&mut self, place: u32, entry: &Entry) {
            self.0.insert_demoted(place, &exact(entry));
        }

        fn touch(&mut self, place: u32, entry: &Entry) {
            self.0.touch(place, &exact(entry));
        }

        fn remove(&mut self, place: u32) {
            self.0.remove(place);
        }

        fn evict(&mut self) -> Option<u32> {
            self.0.evict()
        }
    }

    proptest! {
        #[test]
        fn the_one_with_the_least_merit_goes(happenings in happenings()) {
            agree(&mut Exact(Gdsf::default()), &mut Exact(Model::default()), happenings);
        }
    }

    #[test]
    fn one_large_object_goes_before_many_small_ones() {
        let mut gdsf = Gdsf::default();
        let entry = |size_bytes, uses, last_use| Entry { size_bytes, uses, last_use, ..Entry::default() };
        gdsf.insert(0, &entry(1 << 30, 7, 3));
        gdsf.insert(1, &entry(1 << 20, 1, 1));
        gdsf.insert(2, &entry(1 << 20, 1, 2));
        assert_eq!(std::iter::from_fn(|| gdsf.evict()).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn old_merit_fades() {
        // Four uses of a are worth less than two newcomers' single ones, once four others went.
        assert_eq!(play(PolicyKind::Gdsf, 2, "aaaabcdefa"), ".aaa......");
        assert_eq!(play(PolicyKind::Lfu, 2, "aaaabcdefa"), ".aaa.....a");
    }
}
