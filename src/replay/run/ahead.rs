//! The rows that come next. With a schedule, the data of their writes is made up before they are
//! due, within a bound of memory, so that starting them is only a matter of queueing I/O.

use std::collections::VecDeque;

use crate::error::Result;
use crate::trace::Op as Direction;

use super::Run;
use super::lane::OBJECT_CHUNKS;
use super::op::{Chunk, NEVER};
use crate::replay::config::Pace;
use crate::replay::content::fill::Stream;
use crate::replay::plan::rows::{JOINED, Row, RowIter};
use crate::replay::prepare::Backend;
use crate::replay::prepare::objects::NONE;

/// Rows that are known ahead of their time.
const ROWS: usize = 4096;
/// Rows that are fetched at a time, so that nothing else waits for long.
const FETCHED: usize = 32;

/// Slots with the first bytes of an object, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filled {
    slots: [u32; OBJECT_CHUNKS as usize],
    first: u8,
    end: u8,
}

impl Filled {
    fn push(&mut self, slot: u32) {
        self.slots[usize::from(self.end)] = slot;
        self.end += 1;
    }

    /// How many there have been.
    fn count(self) -> u32 {
        self.end.into()
    }

    /// The next slot.
    pub fn next(&mut self) -> Option<u32> {
        let slot = (self.first < self.end).then(|| self.slots[usize::from(self.first)])?;
        self.first += 1;
        Some(slot)
    }
}

/// A row that comes, and what is ready of it.
#[derive(Clone, Copy, Debug)]
pub struct Upcoming {
    /// The row.
    pub row: Row,
    /// The slots with its data.
    pub filled: Filled,
}

/// The rows that come next.
pub struct Ahead<'a> {
    rows: RowIter<'a>,
    queue: VecDeque<Upcoming>,
    /// No row is left in the plan.
    exhausted: bool,
    /// There were too few rows, and some are being fetched.
    refilling: bool,
    /// How many of the queue need no more filling.
    ready: usize,
}

impl<'a> Ahead<'a> {
    /// All rows of a plan.
    pub fn new(rows: RowIter<'a>) -> Self {
        Self { rows, queue: VecDeque::with_capacity(ROWS), exhausted: false, refilling: true, ready: 0 }
    }

    /// The next row.
    pub fn first(&self) -> Option<&Row> {
        self.queue.front().map(|next| &next.row)
    }

    /// Takes the next row.
    pub fn pop(&mut self) -> Option<Upcoming> {
        self.ready = self.ready.saturating_sub(1);
        self.queue.pop_front()
    }

    /// Whether rows should be fetched.
    pub fn wants_rows(&self) -> bool {
        self.refilling && !self.exhausted
    }

    /// Whether data of rows ahead has not been made up.
    pub fn wants_filling(&self) -> bool {
        self.ready < self.queue.len()
    }

    /// Knows `wanted` rows if there are so many: once there are fewer than half, some more are
    /// fetched each time until there are. True when it fetched some.
    pub fn fetch(&mut self, wanted: usize) -> Result<bool> {
        self.refilling = self.queue.len() < if self.refilling { wanted } else { wanted.div_ceil(2) };
        if !self.wants_rows() {
            return Ok(false);
        }
        for _ in 0..FETCHED.min(wanted) {
            match self.rows.next_row()? {
                Some(row) => self.queue.push_back(Upcoming { row, filled: Filled::default() }),
                None => self.exhausted = true,
            }
        }
        Ok(true)
    }

    /// Takes all slots away from the rows.
    fn strip(&mut self) -> Vec<u32> {
        self.ready = 0;
        let taken = self.queue.iter_mut().map(|next| std::mem::take(&mut next.filled));
        taken.flat_map(|mut filled| std::iter::from_fn(move || filled.next())).collect()
    }
}

impl Run<'_> {
    /// Learns of rows ahead. True when there were some.
    pub fn look_ahead(&mut self) -> Result<bool> {
        let wanted = if self.config.pace == Pace::Asap { 1 } else { ROWS };
        self.ahead.fetch(wanted)
    }

    /// Has one more slot of a row ahead filled, if there is time and room. True when it did.
    pub fn fill_ahead(&mut self) -> Result<bool> {
        if self.config.pace == Pace::Asap {
            self.ahead.ready = self.ahead.queue.len();
            return Ok(false);
        }
        while let Some(next) = self.ahead.queue.get(self.ahead.ready) {
            let Some(chunk) = self.chunk_ahead(next) else {
                self.ahead.ready += 1;
                continue;
            };
            let row = next.row;
            if !self.lanes.may_fill_ahead(chunk.volume, chunk.padded) {
                // What waits for a target that is behind must not keep others from being ready.
                if self.lanes.len() > 1 && !self.lanes.get(chunk.volume).queue.is_empty() {
                    self.ahead.ready += 1;
                    continue;
                }
                return Ok(false);
            }
            if !self.may_fill(chunk.padded) {
                return Ok(false);
            }
            let Some(slot) = self.take_slot(chunk) else { return Ok(false) };
            self.lanes.get(chunk.volume).ahead_bytes += u64::from(chunk.padded);
            self.fill(slot, &Stream::new(self.stage.data_seed, row.content, row.version.into()))?;
            let ready = self.ahead.ready;
            self.ahead.queue[ready].filled.push(slot);
            return Ok(true);
        }
        Ok(false)
    }

    /// The next part of a row's object that can be made up; none when there is none.
    fn chunk_ahead(&self, next: &Upcoming) -> Option<Chunk> {
        let (row, count) = (&next.row, next.filled.count());
        let made_up = row.op == Direction::Write && !row.has(JOINED);
        if !made_up || count == OBJECT_CHUNKS {
            return None;
        }
        let tier = row.tier.index();
        let volume = match self.stage.backends[tier] {
            Backend::Storage(first) => self.stage.home(tier, first, row.content),
            Backend::Gpu(_) => self.stage.gpu_lane(),
            _ => return None,
        };
        let offset = u64::from(count) * self.config.io_size_bytes;
        let len = row.size.checked_sub(offset).filter(|rest| *rest > 0)?.min(self.config.io_size_bytes);
        let padded = len.next_multiple_of(4096) as u32;
        Some(Chunk { op: NONE, write: true, volume, offset, len: len as u32, padded, ..Chunk::default() })
    }

    /// Whether `bytes` may be made up now: by a helper that has time, or here before the next row
    /// is due.
    fn may_fill(&self, bytes: u32) -> bool {
        if self.is_for_helpers(bytes) {
            return self.crew.has_time();
        }
        // No machine that matters makes up less than a gigabyte a second.
        self.next_admission().unwrap_or(NEVER) > self.now().saturating_add(u64::from(bytes))
    }

    /// Gives up the data of rows ahead: an operation that runs needs its room.
    pub fn strip_ahead(&mut self) {
        for slot in self.ahead.strip() {
            self.drop_filled(slot);
        }
    }
}
