//! SIEVE (Zhang and others, "SIEVE is simpler than LRU", NSDI 2024): a queue in the order of
//! coming, a mark on everything that was used since the hand passed, and a hand that moves from
//! old to new, takes marks off and stops at the first one without.

use super::lists::Lists;
use super::policy::{Entry, Policy};

/// The queue, oldest first.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    order: Lists<1>,
    used: Vec<bool>,
    /// Where the hand goes on; none at the oldest.
    hand: Option<u32>,
}

impl Policy for Sieve {
    fn insert(&mut self, place: u32, _entry: &Entry) {
        if self.used.len() <= place as usize {
            self.used.resize(place as usize + 1, false);
        }
        self.used[place as usize] = false;
        self.order.push_back(0, place);
    }

    fn touch(&mut self, place: u32, _entry: &Entry) {
        self.used[place as usize] = true;
    }

    fn remove(&mut self, place: u32) {
        if self.hand == Some(place) {
            self.hand = self.order.after(place);
        }
        self.order.remove(place);
    }

    /// Takes at most one step for each use since the last victims, and once around.
    fn evict(&mut self) -> Option<u32> {
        loop {
            let place = self.hand.or(self.order.front(0))?;
            if !std::mem::take(&mut self.used[place as usize]) {
                self.hand = Some(place);
                self.remove(place);
                return Some(place);
            }
            self.hand = self.order.after(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::policy::PolicyKind;
    use crate::cache::policy::checks::{agree, happenings, play};
    use proptest::prelude::*;

    /// The queue as a vector, oldest first, and the hand as the number of those that it passed.
    #[derive(Debug, Default)]
    struct Model {
        queue: Vec<(u32, bool)>,
        passed: usize,
    }

    impl Policy for Model {
        fn insert(&mut self, place: u32, _entry: &Entry) {
            // A hand that has passed everything is back at the oldest before anything comes.
            if self.passed == self.queue.len() {
                self.passed = 0;
            }
            self.queue.push((place, false));
        }

        fn touch(&mut self, place: u32, _entry: &Entry) {
            self.queue.iter_mut().filter(|(other, _)| *other == place).for_each(|(_, used)| *used = true);
        }

        fn remove(&mut self, place: u32) {
            let at = self.queue.iter().position(|(other, _)| *other == place).unwrap();
            self.queue.remove(at);
            self.passed -= usize::from(at < self.passed);
        }

        fn evict(&mut self) -> Option<u32> {
            while !self.queue.is_empty() {
                if self.passed >= self.queue.len() {
                    self.passed = 0;
                }
                if !self.queue[self.passed].1 {
                    return Some(self.queue.remove(self.passed).0);
                }
                self.queue[self.passed].1 = false;
                self.passed += 1;
            }
            None
        }
    }

    proptest! {
        #[test]
        fn the_hand_takes_the_first_that_was_not_used(happenings in happenings()) {
            agree(&mut Sieve::default(), &mut Model::default(), happenings);
        }
    }

    #[test]
    fn what_was_used_survives_one_passing_of_the_hand() {
        // a and b are used; e takes the place of c, and the hand goes on behind it: to d, then e.
        assert_eq!(play(PolicyKind::Sieve, 4, "abcdabefgab"), "....ab...ab");
        // The newest was the victim, and the hand begins at the oldest again.
        assert_eq!(play(PolicyKind::Sieve, 3, "abcabdefab"), "...ab.....");
    }
}
