//! First in, first out: the one that came to the tier first goes first, used or not.

use super::lists::Lists;
use super::policy::{Entry, Policy};

/// The residents in the order of their coming.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    order: Lists<1>,
}

impl Policy for Fifo {
    fn insert(&mut self, place: u32, _entry: &Entry) {
        self.order.push_back(0, place);
    }

    fn touch(&mut self, _place: u32, _entry: &Entry) {}

    fn remove(&mut self, place: u32) {
        self.order.remove(place);
    }

    fn evict(&mut self) -> Option<u32> {
        self.order.pop_front(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::PolicyKind;
    use crate::cache::policy::checks::{agree, happenings, play};
    use proptest::prelude::*;

    #[derive(Debug, Default)]
    struct Model(Vec<u32>);

    impl Policy for Model {
        fn insert(&mut self, place: u32, _entry: &Entry) {
            self.0.push(place);
        }

        fn touch(&mut self, _place: u32, _entry: &Entry) {}

        fn remove(&mut self, place: u32) {
            self.0.retain(|other| *other != place);
        }

        fn evict(&mut self) -> Option<u32> {
            (!self.0.is_empty()).then(|| self.0.remove(0))
        }
    }

    proptest! {
        #[test]
        fn they_go_as_they_came(happenings in happenings()) {
            agree(&mut Fifo::default(), &mut Model::default(), happenings);
        }
    }

    /// The reference string of Silberschatz, Galvin and Gagne, "Operating System Concepts",
    /// section 10.4: 15 faults in three frames; and Belady's anomaly: 9 faults in three frames,
    /// 10 in four.
    #[test]
    fn the_textbook_sequences() {
        let misses = |room, letters| play(PolicyKind::Fifo, room, letters).matches('.').count();
        assert_eq!(misses(3, "70120304230321201701"), 15);
        assert_eq!([misses(3, "123412512345"), misses(4, "123412512345")], [9, 10]);
    }
}
