//! Every request of a source as a fio iolog, version 3 (fio, "Trace file format v3"): a line each,
//! in the order in which they were born, with the time of that in microseconds.
//!
//! The file lists requests when they ended. What was born earlier than the line that is next may
//! still follow, but no later than [`Survey`] says: until then rows wait, 4 million at most.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::error::Result;
use crate::measure::events::{BlockOp, Event, EventKind, Side};

mod replay;

pub use replay::OLDEST;

/// The schema of an iolog. It is the name of fio's file in it too, so that whoever looks inside sees
/// whose it is, and fio without `replay_redirect` finds no such folder instead of making a file.
pub const IOLOG_SCHEMA: &str = "kvtrace.iolog/1";
/// Rows that wait for their turn at most, 40 bytes each.
const MOST_WAITING: usize = 1 << 22;
/// Places in fio's file keep their remainder by this, for devices with such blocks.
const ALIGNMENT: u64 = 4096;

/// What has to be known of a source before its first line is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// The first touched byte of each device and the byte after its last.
    extents: Vec<Option<(u64, u64)>>,
    first_ns: Option<i64>,
    latest_ns: i64,
    /// How long after rows that were born later one was listed, at most.
    lag_ns: i64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Iolog {
    /// Reads.
    pub reads: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Writes.
    pub writes: u64,
    /// Their bytes.
    pub write_bytes: u64,
    /// Flushes of the device, as `datasync`.
    pub syncs: u64,
    /// Discards and written zeroes, for which an iolog has no word that fio 3.33 reads.
    pub left_out: u64,
    /// Rows that could not wait for their turn and stand a little late.
    pub late: u64,
    /// The most in flight, from birth to completion.
    pub in_flight: u64,
    /// The largest request.
    pub largest_bytes: u64,
    /// From the first birth to the last one.
    pub span_ns: u64,
    /// What the file must hold.
    pub size_bytes: u64,
}

/// A request that is written.
fn is_row(event: &Event) -> bool {
    let ended = matches!(event.kind, EventKind::Done | EventKind::Unseen);
    event.side == Side::Target && ended && (event.op == BlockOp::Flush || event.size_bytes.is_some_and(|size| size > 0))
}

impl Survey {
    /// Looks at a row.
    pub fn see(&mut self, event: &Event) {
        if !is_row(event) {
            return;
        }
        self.first_ns = Some(self.first_ns.map_or(event.queued_ns, |first| first.min(event.queued_ns)));
        self.lag_ns = self.lag_ns.max(self.latest_ns.saturating_sub(event.queued_ns));
        self.latest_ns = self.latest_ns.max(event.queued_ns);
        let (Some(offset), Some(size)) = (event.offset_bytes, event.size_bytes) else { return };
        if !matches!(event.op, BlockOp::Read | BlockOp::Write) {
            return;
        }
        if self.extents.len() <= event.device {
            self.extents.resize(event.device + 1, None);
        }
        let (low, high) = self.extents[event.device].unwrap_or((u64::MAX, 0));
        self.extents[event.device] = Some((low.min(offset), high.max(offset.saturating_add(size))));
    }

    /// Where the touched part of each device begins, and where it lies in fio's file: one after the
    /// other.
    fn places(&self) -> (Vec<(u64, u64)>, u64) {
        let mut end = 0u64;
        let place = |extent: &Option<(u64, u64)>| {
            let Some((low, high)) = *extent else { return (0, end) };
            let low = low / ALIGNMENT * ALIGNMENT;
            let at = end;
            end += (high - low).next_multiple_of(ALIGNMENT);
            (low, at)
        };
        let places = self.extents.iter().map(place).collect();
        (places, end)
    }
}

/// A line that waits for its turn: by birth, then as it was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    born_ns: i64,
    listed: u64,
    ended_ns: i64,
    act: Act,
    offset: u64,
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Read,
    Write,
    Sync,
}

/// An iolog being written.
pub struct Exact<W: Write> {
    out: BufWriter<W>,
    places: Vec<(u64, u64)>,
    first_ns: i64,
    lag_ns: i64,
    latest_ns: i64,
    listed: u64,
    waiting: BinaryHeap<Reverse<Row>>,
    /// The ends of what is in flight.
    flying: BinaryHeap<Reverse<i64>>,
    last_us: u64,
    done: Iolog,
}

impl<W: Write> Exact<W> {
    /// Begins an iolog of a source that was looked at.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, survey: &Survey) -> io::Result<Self> {
        let (places, size_bytes) = survey.places();
        let mut out = BufWriter::with_capacity(1 << 20, out);
        // fio takes a time of 0 for none, and would drop the pause after it.
        write!(out, "fio version 3 iolog\n1 {IOLOG_SCHEMA} add\n1 {IOLOG_SCHEMA} open\n")?;
        Ok(Self {
            out,
            places,
            first_ns: survey.first_ns.unwrap_or(0),
            lag_ns: survey.lag_ns,
            latest_ns: i64::MIN,
            listed: 0,
            waiting: BinaryHeap::new(),
            flying: BinaryHeap::new(),
            last_us: 1,
            done: Iolog { size_bytes, ..Iolog::default() },
        })
    }

    /// Takes a row, and writes what nothing earlier can precede any more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take(&mut self, event: &Event) -> io::Result<()> {
        if !is_row(event) {
            return Ok(());
        }
        let act = match event.op {
            BlockOp::Read => Act::Read,
            BlockOp::Write => Act::Write,
            BlockOp::Flush => Act::Sync,
            BlockOp::Discard | BlockOp::WriteZeroes => {
                self.done.left_out += 1;
                return Ok(());
            }
        };
        let (low, at) = self.places.get(event.device).copied().unwrap_or_default();
        let place = |offset: u64| offset.saturating_sub(low) + at;
        self.listed += 1;
        self.waiting.push(Reverse(Row {
            born_ns: event.queued_ns,
            listed: self.listed,
            ended_ns: event.completed_ns,
            act,
            offset: if act == Act::Sync { 0 } else { event.offset_bytes.map_or(0, place) },
            size: if act == Act::Sync { 0 } else { event.size_bytes.unwrap_or(0) },
        }));
        self.latest_ns = self.latest_ns.max(event.queued_ns);
        while let Some(Reverse(next)) = self.waiting.peek() {
            let safe = next.born_ns < self.latest_ns.saturating_sub(self.lag_ns);
            if !safe && self.waiting.len() <= MOST_WAITING {
                break;
            }
            self.write_next()?;
        }
        Ok(())
    }

    fn write_next(&mut self) -> io::Result<()> {
        let Some(Reverse(row)) = self.waiting.pop() else { return Ok(()) };
        let since = u64::try_from(row.born_ns.saturating_sub(self.first_ns)).unwrap_or(0);
        let us = since / 1000 + 1;
        self.done.late += u64::from(us < self.last_us);
        self.last_us = self.last_us.max(us);
        self.done.span_ns = self.done.span_ns.max(since);
        let (word, count, bytes) = match row.act {
            Act::Read => ("read", &mut self.done.reads, Some(&mut self.done.read_bytes)),
            Act::Write => ("write", &mut self.done.writes, Some(&mut self.done.write_bytes)),
            Act::Sync => ("datasync", &mut self.done.syncs, None),
        };
        *count += 1;
        if let Some(bytes) = bytes {
            *bytes += row.size;
        }
        self.done.largest_bytes = self.done.largest_bytes.max(row.size);
        while self.flying.peek().is_some_and(|Reverse(end)| *end <= row.born_ns) {
            self.flying.pop();
        }
        self.flying.push(Reverse(row.ended_ns));
        self.done.in_flight = self.done.in_flight.max(self.flying.len() as u64);
        writeln!(self.out, "{} {IOLOG_SCHEMA} {word} {} {}", self.last_us, row.offset, row.size)
    }

    /// Writes what still waits. Returns what was written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self) -> io::Result<Iolog> {
        while !self.waiting.is_empty() {
            self.write_next()?;
        }
        writeln!(self.out, "{} {IOLOG_SCHEMA} close", self.last_us)?;
        self.out.flush()?;
        Ok(self.done)
    }
}

/// Writes an iolog of rows that were looked at before.
///
/// # Errors
/// Those of the rows; `failed` makes one of what cannot be written.
pub fn write<W: Write>(
    rows: impl Iterator<Item = Result<Event>>,
    survey: &Survey,
    out: W,
    failed: impl Fn(&io::Error) -> crate::error::Error,
) -> Result<Iolog> {
    let mut exact = Exact::new(out, survey).map_err(|e| failed(&e))?;
    for row in rows {
        exact.take(&row?).map_err(|e| failed(&e))?;
    }
    exact.end().map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(born: i64, took: i64, write: bool, offset: u64, size: u64) -> Event {
        Event {
            op: if write { BlockOp::Write } else { BlockOp::Read },
            queued_ns: born,
            issued_ns: Some(born),
            completed_ns: born + took,
            offset_bytes: Some(offset),
            size_bytes: Some(size),
            ..Event::default()
        }
    }

    fn written(mut events: Vec<Event>) -> (Iolog, Vec<String>) {
        events.sort_by_key(|event| event.completed_ns);
        let mut survey = Survey::default();
        events.iter().for_each(|event| survey.see(event));
        let mut text = Vec::new();
        let done = write(events.into_iter().map(Ok), &survey, &mut text, |e| crate::error::Error::io(e.to_string()));
        (done.unwrap(), String::from_utf8(text).unwrap().lines().map(str::to_owned).collect())
    }

    #[test]
    fn lines_are_in_order_of_birth_and_places_begin_at_nothing() {
        let slow = event(1_000, 90_000, false, 1 << 30, 4096);
        let other = Event { side: Side::Other, ..event(0, 1, false, 0, 4096) };
        let flush = Event { op: BlockOp::Flush, queued_ns: 50_000, completed_ns: 60_000, ..Event::default() };
        let zeroes = Event { op: BlockOp::WriteZeroes, ..event(2_000, 10, true, 0, 4096) };
        let (done, lines) =
            written(vec![slow, event(11_000, 5_000, true, (1 << 30) + 8192, 512), other, flush, zeroes]);
        assert_eq!(
            lines[3..],
            [
                "1 kvtrace.iolog/1 read 0 4096",
                "11 kvtrace.iolog/1 write 8192 512",
                "50 kvtrace.iolog/1 datasync 0 0",
                "50 kvtrace.iolog/1 close"
            ]
        );
        assert_eq!((done.reads, done.writes, done.syncs, done.left_out), (1, 1, 1, 1));
        assert_eq!((done.in_flight, done.size_bytes, done.late), (2, 12_288, 0));
    }

    proptest! {
        #[test]
        fn every_request_is_there_in_order(
            made in prop::collection::vec((0i64..2_000_000, 1i64..3_000_000, any::<bool>(), 0u64..1000, 1u64..64), 1..200)
        ) {
            let events: Vec<Event> = made
                .iter()
                .map(|&(born, took, write, at, size)| event(born, took, write, (1 << 32) + at * 512, size * 512))
                .collect();
            let (done, lines) = written(events.clone());
            let rows: Vec<Vec<&str>> = lines[3..lines.len() - 1].iter().map(|line| line.split(' ').collect()).collect();
            prop_assert_eq!(rows.len(), events.len());
            let times: Vec<u64> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
            prop_assert!(times.is_sorted() && times[0] == 1 && done.late == 0);
            let bytes: u64 = rows.iter().map(|row| row[4].parse::<u64>().unwrap()).sum();
            prop_assert_eq!(bytes, events.iter().filter_map(|event| event.size_bytes).sum::<u64>());
            let ends = rows.iter().map(|row| row[3].parse::<u64>().unwrap() + row[4].parse::<u64>().unwrap());
            prop_assert!(ends.max().unwrap() <= done.size_bytes);
            let flying = |at: &Event| events.iter().filter(|e| e.queued_ns <= at.queued_ns && e.completed_ns > at.queued_ns).count();
            prop_assert_eq!(done.in_flight, events.iter().map(flying).max().unwrap() as u64);
        }
    }
}
