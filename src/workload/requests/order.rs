//! Entries in the order of their stamps, when the file has them nearly so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

use super::super::Content;
use super::entry::Entry;

/// Entries among which order is restored. A file in which an entry comes later than this many
/// after its place is not a trace that was written as it happened.
pub const WINDOW: usize = 1 << 16;
/// Segments of prompts that they may have together (32 MiB), which makes the window smaller.
const WINDOW_SEGMENTS: usize = 2 << 20;

/// Entries sorted by stamp, those of one stamp in the order of the file. Memory is bounded by the
/// window.
pub struct Sorted<I> {
    entries: I,
    waiting: VecDeque<Entry>,
    /// The segments of those that wait.
    segments: usize,
    /// The stamp of the entry that was handed out last.
    out_ns: u64,
    /// The highest stamp read.
    highest_ns: u64,
    inversions: Arc<AtomicU64>,
    over: bool,
}

impl<I: Iterator<Item = Result<Entry>>> Sorted<I> {
    /// Sorts `entries`; those below an earlier one's stamp are counted in `inversions`.
    pub fn new(entries: I, inversions: Arc<AtomicU64>) -> Self {
        Self { entries, waiting: VecDeque::new(), segments: 0, out_ns: 0, highest_ns: 0, inversions, over: false }
    }

    fn take(&mut self, entry: Entry) -> Result<()> {
        self.segments += segments_of(&entry);
        if entry.at_ns >= self.highest_ns {
            self.highest_ns = entry.at_ns;
            self.waiting.push_back(entry);
            return Ok(());
        }
        self.inversions.fetch_add(1, Ordering::Relaxed);
        if entry.at_ns < self.out_ns {
            return Err(Error::usage(format!(
                "a request is stamped {:.3} s before another that stands {} requests above it or more; sort \
                 the file by its stamps first",
                (self.out_ns - entry.at_ns) as f64 / 1e9,
                self.waiting.len()
            )));
        }
        let place = self.waiting.partition_point(|waiting| waiting.at_ns <= entry.at_ns);
        self.waiting.insert(place, entry);
        Ok(())
    }
}

impl<I: Iterator<Item = Result<Entry>>> Iterator for Sorted<I> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over && self.waiting.len() < WINDOW && self.segments < WINDOW_SEGMENTS {
            let taken = match self.entries.next() {
                Some(entry) => entry.and_then(|entry| self.take(entry)),
                None => {
                    self.over = true;
                    break;
                }
            };
            if let Err(error) = taken {
                self.over = true;
                self.waiting.clear();
                return Some(Err(error));
            }
        }
        let entry = self.waiting.pop_front()?;
        self.out_ns = entry.at_ns;
        self.segments -= segments_of(&entry);
        Some(Ok(entry))
    }
}

fn segments_of(entry: &Entry) -> usize {
    match &entry.content {
        Content::Conversation => 0,
        Content::Segments(segments) => segments.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at_ns: u64, prompt_tokens: u32) -> Entry {
        Entry { at_ns, prompt_tokens, answer_tokens: 1, turn: None, content: Content::Conversation, answer: None }
    }

    fn sorted(stamps: impl IntoIterator<Item = u64>) -> (Result<Vec<(u64, u32)>>, u64) {
        let inversions = Arc::default();
        let entries = stamps.into_iter().zip(0..).map(|(at, n)| Ok(entry(at, n)));
        let found = Sorted::new(entries, Arc::clone(&inversions))
            .map(|entry| entry.map(|entry| (entry.at_ns, entry.prompt_tokens)))
            .collect();
        (found, inversions.load(Ordering::Relaxed))
    }

    #[test]
    fn equal_stamps_keep_the_order_of_the_file() {
        let (found, inversions) = sorted([5, 5, 3, 5, 3, 7]);
        assert_eq!(found.unwrap(), [(3, 2), (3, 4), (5, 0), (5, 1), (5, 3), (7, 5)]);
        assert_eq!(inversions, 2);
    }

    #[test]
    fn disorder_beyond_the_window_is_an_error() {
        let late = |distance: usize| sorted((1..=distance as u64).chain([0]));
        assert!(late(WINDOW - 1).0.is_ok());
        assert!(late(WINDOW).0.unwrap_err().to_string().contains("sort the file"));
    }
}
