//! Threads that make cuFile's calls, which block: so many are under way at once. Each call's
//! beginning and end are stamped by whoever makes it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::error::{Error, Result, plain};

use super::{Carry, Failure, Shared};

/// Threads: enough for a device's depth with small I/Os, and no more than cuFile's own pool is
/// made for.
const FEWEST: u64 = 16;
const MOST: u64 = 64;

/// A call that has ended.
#[derive(Debug)]
pub struct Carried {
    /// What was asked.
    pub carry: Carry,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
    /// The bytes that went, or why none did.
    pub went: Result<usize, Failure>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Carry>,
    closed: bool,
}

type Door = Arc<(Mutex<Queue>, Condvar)>;

/// The threads of a run.
pub struct Porters {
    door: Door,
    done: Receiver<Carried>,
    threads: Vec<JoinHandle<()>>,
    busy: usize,
}

impl Porters {
    /// As many as `bytes_in_flight` need with calls of `io_size`, within limits.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn new(gds: &Shared, bytes_in_flight: u64, io_size: u64) -> Result<Self> {
        let (results, done) = channel();
        let door = Door::default();
        let hire = |number| {
            let (gds, door, results) = (Arc::clone(gds), Arc::clone(&door), results.clone());
            let name = format!("kvtrace-gds-{number}");
            std::thread::Builder::new().name(name).spawn(move || work(&gds, &door, &results))
        };
        let count = (bytes_in_flight / io_size).clamp(FEWEST, MOST);
        let threads = (0..count).map(hire).collect::<std::io::Result<Vec<_>>>();
        let threads =
            threads.map_err(|e| Error::unavailable(format!("cannot start the threads of --gds: {}", plain(&e))))?;
        Ok(Self { door, done, threads, busy: 0 })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Calls that have not been collected.
    pub fn busy(&self) -> usize {
        self.busy
    }

    /// Whether one is free.
    pub fn has_room(&self) -> bool {
        self.busy < self.threads.len()
    }

    /// Has a call made, by one that is free.
    pub fn give(&mut self, carry: Carry) {
        self.busy += 1;
        let (queue, bell) = &*self.door;
        queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(carry);
        bell.notify_one();
    }

    /// A call that has ended.
    pub fn collect(&mut self) -> Option<Carried> {
        let carried = self.done.try_recv().ok()?;
        self.busy -= 1;
        Some(carried)
    }
}

impl Drop for Porters {
    fn drop(&mut self) {
        let (queue, bell) = &*self.door;
        queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        bell.notify_all();
        // Who does not come back from a device that does not answer is not waited for.
        if self.busy == 0 {
            for thread in self.threads.drain(..) {
                // One that panicked has said so itself.
                let _ = thread.join();
            }
        }
    }
}

fn work(gds: &Shared, door: &Door, results: &Sender<Carried>) {
    let (queue, bell) = &**door;
    loop {
        let queued = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queued = bell
            .wait_while(queued, |queue| queue.waiting.is_empty() && !queue.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let Some(carry) = queued.waiting.pop_front() else { return };
        drop(queued);
        let began = Instant::now();
        let went = gds.carry(&carry);
        // Nobody collects after the run, and nobody misses it.
        let _ = results.send(Carried { carry, began, ended: Instant::now(), went });
    }
}
