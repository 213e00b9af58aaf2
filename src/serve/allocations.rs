//! How many object writes may be in progress at a time: making room for an object and writing it.
//! Whoever finds the limit reached waits, and is let in by the order of requests.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Who writes; what is not done for a request comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    /// The documents' ingestion.
    Background,
    /// A request.
    Request {
        /// Its ordinal.
        ordinal: u64,
        /// Its worker.
        worker: u32,
    },
}

/// The writes in progress and those that wait.
#[derive(Debug)]
pub struct Allocations {
    limit: Option<u32>,
    in_progress: u32,
    waiting: BinaryHeap<Reverse<Writer>>,
    let_in: Vec<Writer>,
}

impl Allocations {
    /// Nothing is being written; a limit of none lets everybody in.
    pub fn new(limit: Option<u32>) -> Self {
        Self { limit, in_progress: 0, waiting: BinaryHeap::new(), let_in: Vec::new() }
    }

    /// Whether there is a limit.
    pub fn limited(&self) -> bool {
        self.limit.is_some()
    }

    /// A write begins, unless it has to wait.
    pub fn begin(&mut self, writer: Writer) -> bool {
        match self.limit {
            Some(limit) if self.in_progress >= limit => {
                self.waiting.push(Reverse(writer));
                false
            }
            _ => {
                self.in_progress += 1;
                true
            }
        }
    }

    /// A write is done; the first of those that wait takes its place.
    pub fn end(&mut self) {
        match self.waiting.pop() {
            Some(Reverse(writer)) => self.let_in.push(writer),
            None => self.in_progress -= 1,
        }
    }

    /// Somebody whose wait is over.
    pub fn let_in(&mut self) -> Option<Writer> {
        self.let_in.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(ordinal: u64) -> Writer {
        Writer::Request { ordinal, worker: 7 * ordinal as u32 }
    }

    #[test]
    fn those_who_wait_are_let_in_by_their_ordinal() {
        let mut allocations = Allocations::new(Some(2));
        let begun: Vec<bool> = [5, 4, 3, 1, 2].into_iter().map(|n| allocations.begin(request(n))).collect();
        assert_eq!(begun, [true, true, false, false, false]);
        assert!(!allocations.begin(Writer::Background));
        let mut order = Vec::new();
        for _ in 0..6 {
            allocations.end();
            order.extend(allocations.let_in());
        }
        assert_eq!(order, [Writer::Background, request(1), request(2), request(3)]);
        assert!(allocations.begin(request(7)) && allocations.begin(request(8)) && !allocations.begin(request(9)));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let mut allocations = Allocations::new(None);
        assert!((0..1000).all(|n| allocations.begin(request(n))));
    }
}
