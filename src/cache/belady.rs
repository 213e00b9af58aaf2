//! The one whose next use is farthest goes first (Belady, "A study of replacement algorithms for
//! a virtual-storage computer", IBM Systems Journal 1966), which no policy that does not see the
//! future can beat while objects are of one size. Of those that nobody will use again, the one
//! whose last use is longest ago goes first.

use std::cmp::Reverse;

use super::heap::Heap;
use super::policy::{Entry, Policy};

/// The residents by (next use, last use).
#[derive(Debug, Default)]
pub(super) struct Belady {
    order: Heap<(Reverse<u32>, u64)>,
}

impl Policy for Belady {
    fn insert(&mut self, place: u32, entry: &Entry) {
        self.order.set(place, (Reverse(entry.next_use), entry.last_use));
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
    struct Model(Vec<(u32, Entry)>);

    impl Policy for Model {
        fn insert(&mut self, place: u32, entry: &Entry) {
            self.0.push((place, *entry));
        }

        fn remove(&mut self, place: u32) {
            self.0.retain(|(other, _)| *other != place);
        }

        fn evict(&mut self) -> Option<u32> {
            let farthest = self.0.iter().map(|(_, entry)| entry.next_use).max()?;
            let candidates = self.0.iter().filter(|(_, entry)| entry.next_use == farthest);
            let place = candidates.min_by_key(|(_, entry)| entry.last_use)?.0;
            self.remove(place);
            Some(place)
        }
    }

    proptest! {
        #[test]
        fn the_one_used_latest_goes(happenings in happenings()) {
            agree(&mut Belady::default(), &mut Model::default(), happenings);
        }

        #[test]
        fn no_policy_has_more_hits(keys in prop::collection::vec(b'a'..b'k', 1..200), room in 1usize..6) {
            let letters = String::from_utf8(keys).unwrap();
            let misses = |kind| play(kind, room, &letters).matches('.').count();
            let least = misses(PolicyKind::Belady);
            for kind in PolicyKind::ALL {
                prop_assert!(misses(kind) >= least, "{kind:?} beats the best");
            }
        }
    }

    /// The reference string of Silberschatz, Galvin and Gagne, "Operating System Concepts",
    /// section 10.4: 9 faults in three frames.
    #[test]
    fn the_textbook_sequence() {
        assert_eq!(play(PolicyKind::Belady, 3, "70120304230321201701").matches('.').count(), 9);
    }
}
