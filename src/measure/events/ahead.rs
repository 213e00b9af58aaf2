//! Events read ahead: decoding takes about as long as counting, so a thread of its own does it.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::error::Result;

use super::{Event, EventsReader};

/// Slices that wait to be counted at most.
const WAITING: usize = 1;

/// Rows in file order, decoded by another thread.
pub struct Ahead {
    slices: Receiver<Result<Vec<Event>>>,
    slice: std::vec::IntoIter<Event>,
}

impl Ahead {
    /// Begins to read. The thread ends with the file, at the first error, or when this is dropped.
    pub fn of(mut reader: EventsReader) -> Self {
        let (sender, slices) = sync_channel(WAITING);
        thread::spawn(move || {
            while let Some(slice) = reader.next_slice() {
                let failed = slice.is_err();
                if sender.send(slice).is_err() || failed {
                    return;
                }
            }
        });
        Self { slices, slice: Vec::new().into_iter() }
    }
}

impl Iterator for Ahead {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.slice.next() {
                return Some(Ok(row));
            }
            match self.slices.recv().ok()? {
                Ok(slice) => self.slice = slice.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
