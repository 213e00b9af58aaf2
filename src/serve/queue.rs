//! Requests that wait for a worker.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::workload::Request;

/// Who is served next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueOrder {
    /// The highest class first, within it the first come (the reference's strict priority).
    Qos,
    /// The first come.
    Fifo,
}

/// A request with its place in the order of arrival.
#[derive(Debug)]
pub struct Waiting {
    /// Its ordinal.
    pub ordinal: u64,
    /// What is asked.
    pub request: Request,
}

/// The queue. It has no limit, as the reference's has none: users do not wait for answers.
#[derive(Debug)]
pub struct Queue {
    order: QueueOrder,
    priorities: [u8; 3],
    heap: BinaryHeap<Entry>,
}

#[derive(Debug)]
struct Entry {
    rank: (u8, Reverse<u64>),
    request: Request,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl Queue {
    /// Nobody waits; `priorities` are those of the classes.
    pub fn new(order: QueueOrder, priorities: [u8; 3]) -> Self {
        Self { order, priorities, heap: BinaryHeap::new() }
    }

    /// A request arrives.
    pub fn push(&mut self, ordinal: u64, request: Request) {
        let class = match self.order {
            QueueOrder::Qos => self.priorities[request.qos as usize],
            QueueOrder::Fifo => 0,
        };
        self.heap.push(Entry { rank: (class, Reverse(ordinal)), request });
    }

    /// A worker takes the next request.
    pub fn pop(&mut self) -> Option<Waiting> {
        self.heap.pop().map(|entry| Waiting { ordinal: entry.rank.1.0, request: entry.request })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Qos;

    fn order(queue_order: QueueOrder, priorities: [u8; 3]) -> Vec<u64> {
        let mut queue = Queue::new(queue_order, priorities);
        for (ordinal, qos) in [Qos::Batch, Qos::Interactive, Qos::Responsive, Qos::Interactive].into_iter().enumerate()
        {
            let request = Request { qos, ..Request::default() };
            queue.push(ordinal as u64, request);
        }
        std::iter::from_fn(|| queue.pop()).map(|waiting| waiting.ordinal).collect()
    }

    #[test]
    fn classes_come_before_order_of_arrival_unless_told_otherwise() {
        assert_eq!(order(QueueOrder::Qos, [1, 2, 3]), [1, 3, 2, 0]);
        assert_eq!(order(QueueOrder::Fifo, [1, 2, 3]), [0, 1, 2, 3]);
    }

    #[test]
    fn priorities_say_which_class_comes_first() {
        assert_eq!(order(QueueOrder::Qos, [9, 2, 3]), [0, 1, 3, 2]);
        assert_eq!(order(QueueOrder::Qos, [1, 1, 1]), [0, 1, 2, 3]);
    }
}
