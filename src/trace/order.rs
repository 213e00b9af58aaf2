//! The time order of a foreign trace: how far its rows are out of it, and the smallest window
//! that puts them back, stably.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::error::Result;

use super::record::Record;

/// What one pass over a foreign trace found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Rows.
    pub rows: u64,
    /// The smallest stamp; 0 without rows.
    pub first_ns: i64,
    /// Rows whose stamp is below an earlier row's.
    pub inversions: u64,
    /// The farthest that a row's stamp lies below the largest stamp before it.
    pub displacement_ns: i64,
}

impl Scan {
    /// Reads all rows.
    pub fn of(rows: impl Iterator<Item = Result<Record>>) -> Result<Self> {
        let mut scan = Scan::default();
        let mut latest = i64::MIN;
        for row in rows {
            let at_ns = row?.at_ns;
            if scan.rows == 0 || at_ns < scan.first_ns {
                scan.first_ns = at_ns;
            }
            scan.rows += 1;
            if at_ns < latest {
                scan.inversions += 1;
                scan.displacement_ns = scan.displacement_ns.max(latest.saturating_sub(at_ns));
            }
            latest = latest.max(at_ns);
        }
        Ok(scan)
    }
}

/// Rows put into time order; rows of one stamp stay in file order.
///
/// A row is held until the input has reached its stamp plus the largest displacement: no later
/// row can lie before it then. So the memory is what the trace holds in that time, not the trace.
pub struct Sorted<I> {
    rows: I,
    displacement_ns: i64,
    held: BinaryHeap<Reverse<Held>>,
    /// Rows taken from the input.
    taken: u64,
    latest: i64,
    ended: bool,
}

/// A row that waits, with its place in the file.
struct Held {
    record: Record,
    place: u64,
}

impl<I: Iterator<Item = Result<Record>>> Sorted<I> {
    /// Sorts `rows`, none of which lies more than `displacement_ns` below an earlier one.
    pub fn new(rows: I, displacement_ns: i64) -> Self {
        let held = BinaryHeap::new();
        Self { rows, displacement_ns, held, taken: 0, latest: i64::MIN, ended: false }
    }

    fn ripe(&self) -> bool {
        let Some(Reverse(first)) = self.held.peek() else { return false };
        self.ended || first.record.at_ns.saturating_add(self.displacement_ns) <= self.latest
    }
}

impl<I: Iterator<Item = Result<Record>>> Iterator for Sorted<I> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ripe() && !self.ended {
            match self.rows.next() {
                Some(Ok(record)) => {
                    self.latest = self.latest.max(record.at_ns);
                    self.held.push(Reverse(Held { record, place: self.taken }));
                    self.taken += 1;
                }
                Some(Err(e)) => return Some(Err(e)),
                None => self.ended = true,
            }
        }
        self.held.pop().map(|Reverse(held)| Ok(held.record))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.record.at_ns, self.place).cmp(&(other.record.at_ns, other.place))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Held {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trace::{Op, Phase, Tier};

    fn rows(stamps: &[i64]) -> Vec<Record> {
        let row = |(place, at_ns): (usize, &i64)| Record {
            at_ns: *at_ns,
            op: Op::Read,
            size_bytes: place as u64 + 1,
            tier: Tier::Gpu,
            key: "k".into(),
            phase: Phase::Decode,
            request: None,
            conversation: None,
            turn: None,
            tokens: None,
        };
        stamps.iter().enumerate().map(row).collect()
    }

    #[test]
    fn a_scan_counts_what_is_out_of_order() {
        let scan = Scan::of(rows(&[5, 3, 7, 6, 7, 1]).into_iter().map(Ok)).unwrap();
        assert_eq!(scan, Scan { rows: 6, first_ns: 1, inversions: 3, displacement_ns: 6 });
    }

    #[test]
    fn the_window_holds_no_more_than_the_displacement() {
        let stamps: Vec<i64> = (0..10_000).map(|i| if i % 10 == 0 { i - 20 } else { i }).collect();
        let rows = rows(&stamps);
        let scan = Scan::of(rows.iter().cloned().map(Ok)).unwrap();
        let mut sorted = Sorted::new(rows.into_iter().map(Ok), scan.displacement_ns);
        while sorted.next().is_some() {
            assert!(sorted.held.len() <= 40, "{} rows held", sorted.held.len());
        }
    }

    proptest! {
        #[test]
        fn sorting_in_a_window_is_a_stable_sort(stamps in prop::collection::vec(0..60i64, 0..120)) {
            let rows = rows(&stamps);
            let scan = Scan::of(rows.iter().cloned().map(Ok)).unwrap();
            let sorted: Vec<_> =
                Sorted::new(rows.iter().cloned().map(Ok), scan.displacement_ns).map(Result::unwrap).collect();
            let mut expected = rows;
            expected.sort_by_key(|row| row.at_ns);
            prop_assert_eq!(sorted, expected);
        }
    }
}
