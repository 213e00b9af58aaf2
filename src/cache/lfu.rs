//! Least frequently used: the one with the fewest uses since it was stored goes first, and of
//! those the one whose last use is longest ago. Uses go with an object from tier to tier.

use super::heap::Heap;
use super::policy::{Entry, Policy};

/// The residents by (uses, last use).
#[derive(Debug, Default)]
pub(super) struct Lfu {
    order: Heap<(u32, u64)>,
}

impl Policy for Lfu {
    fn insert(&mut self, place: u32, entry: &Entry) {
        self.order.set(place, (entry.uses, entry.last_use));
    }

    fn touch(&mut self, place: u32, entry: &Entry) {
        self.insert(place, entry);
    }

    fn remove(&mut self, place: u32) {
        self.order.remove(place);
    }

    fn evict(&mut self) -> Option<u32> {
        self.order.pop().map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::PolicyKind;
    use crate::cache::policy::checks::{agree, happenings, play};
    use proptest::prelude::*;

    #[derive(Debug, Default)]
    struct Model(Vec<(u32, u64, u32)>);

    impl Policy for Model {
        fn insert(&mut self, place: u32, entry: &Entry) {
            self.0.push((entry.uses, entry.last_use, place));
        }

        fn remove(&mut self, place: u32) {
            self.0.retain(|(_, _, other)| *other != place);
        }

        fn evict(&mut self) -> Option<u32> {
            let least = self.0.iter().min()?.2;
            self.remove(least);
            Some(least)
        }
    }

    proptest! {
        #[test]
        fn the_one_with_the_fewest_uses_goes(happenings in happenings()) {
            agree(&mut Lfu::default(), &mut Model::default(), happenings);
        }
    }

    #[test]
    fn frequent_ones_stay_and_ties_go_by_last_use() {
        // a twice, then b and c once each: d pushes out b, and e pushes out c.
        assert_eq!(play(PolicyKind::Lfu, 3, "aabcdbea"), ".a.....a");
        assert_eq!(play(PolicyKind::Lfu, 3, "abcbad"), "...ba.");
    }
}
