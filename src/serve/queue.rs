//! Requests that wait for a worker.

use crate::workload::Request;

use super::waiting::Line;

/// Who is served next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueOrder {
    /// The highest class first, within it the first come (the reference's strict priority).
    Qos,
    /// The first come.
    Fifo,
}

/// The queue: a line for every priority. It has no limit, as the reference's has none: users do
/// not wait for answers.
#[derive(Debug)]
pub struct Queue {
    /// The line of every class.
    line_of: [usize; 3],
    /// What is served last comes first.
    lines: [Line; 3],
}

impl Queue {
    /// Nobody waits; `priorities` are those of the classes, the highest served first.
    pub fn new(order: QueueOrder, priorities: [u8; 3]) -> Self {
        let behind = |priority: u8| priorities.iter().filter(|other| **other < priority).count();
        let line_of = match order {
            QueueOrder::Qos => priorities.map(behind),
            QueueOrder::Fifo => [0; 3],
        };
        Self { line_of, lines: Default::default() }
    }

    /// A request arrives, later than all before.
    pub fn push(&mut self, ordinal: u64, request: Request) {
        self.lines[self.line_of[request.qos as usize]].push(ordinal, request);
    }

    /// A worker takes the next request, with its ordinal.
    pub fn pop(&mut self) -> Option<(u64, Request)> {
        self.lines.iter_mut().rev().find_map(Line::pop)
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
        std::iter::from_fn(|| queue.pop()).map(|(ordinal, _)| ordinal).collect()
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
