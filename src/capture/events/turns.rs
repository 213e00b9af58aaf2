//! Numbered things that come nearly in order, put in order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// How many may wait for one that is missing: a request that takes a second among 500,000 others.
const MOST_WAITING: usize = 1 << 20;
/// Numbers before they begin again: 0 means none.
const NUMBERS: u64 = u32::MAX as u64;

/// Things in the order of their numbers, which count from 1 and begin again after 2^32 - 1.
#[derive(Debug)]
pub struct Turns<T> {
    waiting: BinaryHeap<Reverse<Numbered<T>>>,
    /// How many came before the one that is next.
    next: u64,
    missing: u64,
}

#[derive(Debug)]
struct Numbered<T> {
    place: u64,
    thing: T,
}

impl<T> Turns<T> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { waiting: BinaryHeap::new(), next: 0, missing: 0 }
    }

    /// Adds the thing with this number. One whose turn was given up, or that was there, is dropped.
    pub fn push(&mut self, number: u32, thing: T) {
        let place = self.place(number);
        if place >= self.next {
            self.waiting.push(Reverse(Numbered { place, thing }));
        }
    }

    /// The next thing whose turn it is; with `end`, also when others are missing before it.
    pub fn pop(&mut self, end: bool) -> Option<T> {
        let crowded = self.waiting.len() > MOST_WAITING;
        let first = self.waiting.peek_mut()?;
        // Of two with one number the first stays.
        let place = first.0.place.max(self.next);
        if place > self.next && !end && !crowded {
            return None;
        }
        self.missing += place - self.next;
        self.next = place + 1;
        Some(PeekMut::pop(first).0.thing)
    }

    /// How many never came.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The place of a number among all, the one that is nearest to the next.
    fn place(&self, number: u32) -> u64 {
        let within = u64::from(number).saturating_sub(1);
        let ahead = (within + NUMBERS - self.next % NUMBERS) % NUMBERS;
        if ahead <= NUMBERS / 2 { self.next + ahead } else { self.next.saturating_sub(NUMBERS - ahead) }
    }
}

impl<T> PartialEq for Numbered<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl<T> Eq for Numbered<T> {}

impl<T> PartialOrd for Numbered<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Numbered<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(turns: &mut Turns<u32>, end: bool) -> Vec<u32> {
        std::iter::from_fn(|| turns.pop(end)).collect()
    }

    #[test]
    fn what_is_missing_is_waited_for_until_the_end() {
        let mut turns = Turns::new();
        for number in [2, 4, 1] {
            turns.push(number, number);
        }
        assert_eq!(drain(&mut turns, false), [1, 2]);
        assert_eq!((drain(&mut turns, true), turns.missing()), (vec![4], 1));
        turns.push(3, 3);
        assert_eq!((drain(&mut turns, true), turns.missing()), (vec![], 1), "its turn was given up");
    }

    #[test]
    fn numbers_begin_again_after_the_last() {
        let mut turns = Turns::new();
        turns.next = NUMBERS - 1;
        for number in [2, u32::MAX, 1, 3] {
            turns.push(number, number);
        }
        assert_eq!(drain(&mut turns, false), [u32::MAX, 1, 2, 3]);
        assert_eq!((turns.next, turns.missing()), (NUMBERS + 3, 0));
    }

    proptest! {
        #[test]
        fn any_shuffle_comes_out_in_order(
            order in prop::collection::vec(any::<u16>(), 1..300), drop in prop::collection::vec(any::<bool>(), 300)
        ) {
            let mut shuffled: Vec<u32> = (1..=order.len() as u32).collect();
            shuffled.sort_by_key(|number| order[*number as usize - 1]);
            let mut turns = Turns::new();
            let mut out = Vec::new();
            for number in shuffled.iter().filter(|number| !drop[**number as usize - 1]) {
                turns.push(*number, *number);
                out.extend(drain(&mut turns, false));
            }
            out.extend(drain(&mut turns, true));
            let kept: Vec<u32> = (1..=order.len() as u32).filter(|number| !drop[*number as usize - 1]).collect();
            let last = kept.last().map_or(0, |last| *last as usize);
            prop_assert_eq!(turns.missing() as usize, last - kept.len());
            prop_assert_eq!(out, kept);
        }
    }
}
