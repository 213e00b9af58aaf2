//! Work on a stream of items by several threads, with results in the order of the items and a
//! bounded number of items in memory.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Batches that may wait in front of a thread, and behind it.
const WAITING: usize = 2;

/// Results in order. Item number n is worked on by thread n modulo the number of threads, each of
/// which has a queue of its own before and behind it.
pub struct Pipeline<T> {
    results: Vec<Receiver<T>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
}

impl<T: Send + 'static> Pipeline<T> {
    /// Reads `items` on a thread of their own and applies `work` on `threads` others. The threads
    /// end with the items, or when the pipeline is dropped.
    pub fn new<I, W>(items: I, threads: usize, work: W) -> Self
    where
        I: Iterator + Send + 'static,
        I::Item: Send + 'static,
        W: Fn(I::Item) -> T + Clone + Send + 'static,
    {
        let mut queues: Vec<SyncSender<I::Item>> = Vec::new();
        let mut results = Vec::new();
        let mut workers = Vec::new();
        for _ in 0..threads.max(1) {
            let (queue, items) = sync_channel::<I::Item>(WAITING);
            let (done, result) = sync_channel(WAITING);
            let work = work.clone();
            workers.push(thread::spawn(move || {
                for item in items {
                    if done.send(work(item)).is_err() {
                        return;
                    }
                }
            }));
            queues.push(queue);
            results.push(result);
        }
        workers.push(thread::spawn(move || {
            for (number, item) in items.enumerate() {
                if queues[number % queues.len()].send(item).is_err() {
                    return;
                }
            }
        }));
        Self { results, workers, next: 0 }
    }
}

impl<T> Iterator for Pipeline<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Ok(result) = self.results[self.next].recv() {
            self.next = (self.next + 1) % self.results.len();
            return Some(result);
        }
        // The items have ended, or a thread has panicked, which must not look like an end.
        self.results.iter_mut().for_each(|result| *result = sync_channel(0).1);
        for worker in self.workers.drain(..) {
            worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let slow_first = |n: u64| {
            thread::sleep(std::time::Duration::from_micros(if n.is_multiple_of(7) { 300 } else { 0 }));
            n * 2
        };
        for threads in [1, 2, 5] {
            let results: Vec<u64> = Pipeline::new(0..300u64, threads, slow_first).collect();
            assert_eq!(results, (0..300).map(|n| n * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "the work went wrong")]
    fn a_panic_is_not_taken_for_the_end() {
        let work = |n: u64| if n == 7 { panic!("the work went wrong") } else { n };
        Pipeline::new(0..100, 2, work).for_each(drop);
    }

    #[test]
    fn an_endless_input_is_read_only_as_far_as_asked() {
        let mut pipeline = Pipeline::new(0.., 3, |n: u64| n);
        assert_eq!(pipeline.nth(999), Some(999));
    }
}
