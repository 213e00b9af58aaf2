//! A consumer on a thread of its own: items go over in batches, at most a few of them at a time,
//! so that neither side waits for the other on every item and memory stays bounded.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::error::{Error, Result};

/// Batches that may wait in front of the consumer.
const WAITING: usize = 2;

/// The near end of a consumer's thread. Items arrive in their order, whatever the threads do.
/// Dropped without [`Relay::close`], the consumer is dropped too, once it has what was sent.
pub struct Relay<T, C> {
    batch: Vec<T>,
    batch_items: usize,
    sender: Option<SyncSender<Vec<T>>>,
    /// Batches that are empty again.
    returned: Receiver<Vec<T>>,
    consumer: Option<JoinHandle<Result<C>>>,
}

impl<T: Send + 'static, C: Send + 'static> Relay<T, C> {
    /// Gives `consumer` a thread of that name; `take` hands it a batch of at most `batch_items`.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn start(
        name: &str,
        batch_items: usize,
        mut consumer: C,
        take: impl Fn(&mut C, &[T]) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (sender, batches) = sync_channel::<Vec<T>>(WAITING);
        let (give_back, returned) = sync_channel(WAITING + 1);
        let consume = move || {
            for mut batch in batches {
                take(&mut consumer, &batch)?;
                batch.clear();
                // A full channel or none at all: the batch is not needed any more.
                let _ = give_back.try_send(batch);
            }
            Ok(consumer)
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(consume);
        let consumer = thread.map_err(|e| Error::unavailable(format!("cannot start a thread for {name}: {e}")))?;
        Ok(Self {
            batch: Vec::with_capacity(batch_items),
            batch_items,
            sender: Some(sender),
            returned,
            consumer: Some(consumer),
        })
    }

    /// Hands an item over.
    ///
    /// # Errors
    /// What the consumer failed with, on this or on an earlier item.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<()> {
        self.batch.push(item);
        if self.batch.len() < self.batch_items { Ok(()) } else { self.send() }
    }

    /// Waits until everything is consumed, and hands the consumer back.
    ///
    /// # Errors
    /// What the consumer failed with.
    pub fn close(mut self) -> Result<C> {
        self.send()?;
        self.join()
    }

    fn send(&mut self) -> Result<()> {
        let empty = self.returned.try_recv().unwrap_or_else(|_| Vec::with_capacity(self.batch_items));
        let batch = std::mem::replace(&mut self.batch, empty);
        match self.sender.as_ref().map(|sender| sender.send(batch)) {
            Some(Ok(())) => Ok(()),
            _ => self.join().map(drop),
        }
    }

    fn join(&mut self) -> Result<C> {
        self.sender = None;
        let ended = self.consumer.take().ok_or_else(|| Error::io("a recording goes on after its writer has failed"))?;
        ended.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl<T, C> Drop for Relay<T, C> {
    /// Waits for the consumer to be dropped: what it holds, such as a temporary file, goes with it.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(consumer) = self.consumer.take() {
            // What failed before this relay was dropped is what the user hears of.
            let _ = consumer.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collecting(batch_items: usize) -> Relay<u64, Vec<u64>> {
        let take = |all: &mut Vec<u64>, batch: &[u64]| {
            all.extend_from_slice(batch);
            Ok(())
        };
        Relay::start("collector", batch_items, Vec::new(), take).unwrap()
    }

    #[test]
    fn items_keep_their_order_whatever_the_batches() {
        for (batch_items, items) in [(1, 100), (7, 100), (100, 100), (128, 100), (7, 0)] {
            let mut relay = collecting(batch_items);
            (0..items).for_each(|item| relay.push(item).unwrap());
            assert_eq!(relay.close().unwrap(), (0..items).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_failure_of_the_consumer_reaches_whoever_pushes() {
        let take = |_: &mut (), batch: &[u64]| {
            if batch.contains(&50) { Err(Error::io("the disk is full")) } else { Ok(()) }
        };
        let mut relay = Relay::start("full", 10, (), take).unwrap();
        let failure = (0..).find_map(|item| relay.push(item).err()).unwrap();
        assert_eq!(failure.to_string(), "the disk is full");
        let mut relay = Relay::start("full", 100, (), take).unwrap();
        (0..60).for_each(|item| relay.push(item).unwrap());
        assert_eq!(relay.close().unwrap_err().to_string(), "the disk is full");
    }

    #[test]
    fn a_dropped_relay_drops_its_consumer() {
        struct Flag(std::sync::Arc<std::sync::atomic::AtomicBool>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let gone = std::sync::Arc::default();
        let relay = Relay::start("dropped", 4, Flag(std::sync::Arc::clone(&gone)), |_, _: &[u64]| Ok(())).unwrap();
        drop(relay);
        assert!(gone.load(std::sync::atomic::Ordering::SeqCst));
    }
}
