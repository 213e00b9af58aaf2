//! What is done with bytes by whoever has time: they are made up, copied, compared.

use std::time::{Duration, Instant};

use crate::replay::content::fill::{BLOCK, Stream};
use crate::replay::content::verify::{STAMP_EVERY, Suspect, check_all, check_stamps};
use crate::replay::io::copy::{copy, put_away};
use crate::replay::io::memory::Part;

/// Bytes that are made up at a time to compare with, or to put away.
const DRAFT: usize = 64 << 10;

/// Where reads from memory tiers are copied to: larger than a core's own cache, so that the
/// copies are real, and used round and round.
const SCRATCH: usize = 8 << 20;

/// Copies that are remembered: as many as can have been in front of one in a helper's queue.
const REMEMBERED: usize = 8;

/// Whose data is checked, for a complaint.
#[derive(Clone, Copy, Debug)]
pub struct Whose {
    /// The row that read it, from 1.
    pub row: u64,
    /// The object.
    pub key: u32,
    /// Its content.
    pub content: u64,
    /// The version that should be there.
    pub version: u32,
}

impl Whose {
    /// The complaint that `found` is at `offset` of it.
    pub fn suspect(self, offset: u64, found: [u8; BLOCK]) -> Suspect {
        let Self { row, key, content, version } = self;
        Suspect { row, key, content, version, offset, found }
    }
}

/// How something is checked.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Every byte, not only stamps.
    pub all: bool,
    /// Whose it is.
    pub whose: Whose,
}

/// What is to be done with a part of memory.
#[derive(Debug)]
pub enum Work {
    /// Make its data up.
    Fill,
    /// Make its data up where it is to stay, in a memory tier.
    Store,
    /// Compare it with what it should be.
    Check(Check),
    /// Copy it.
    Copy {
        /// Where to; none to leave it at being read.
        to: Option<Part>,
        /// How the copy is checked.
        check: Option<Check>,
        /// Bytes of the object in it.
        len: usize,
    },
}

/// Work on the bytes of one slot.
#[derive(Debug)]
pub struct Job {
    /// The slot.
    pub slot: u32,
    /// What the object contains.
    pub stream: Stream,
    /// Where the part lies in the object.
    pub offset: u64,
    /// The part.
    pub part: Part,
    /// What is to be done.
    pub work: Work,
    /// When it was handed over.
    pub given: Instant,
}

impl Job {
    /// Whether an operation's bytes move: others wait for nothing else.
    pub fn is_copy(&self) -> bool {
        matches!(self.work, Work::Store | Work::Copy { .. })
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A slot was filled.
    Filled,
    /// A slot was checked.
    Checked,
    /// An operation's bytes were moved.
    Moved,
    /// What was moved has been checked; the slot has gone on.
    Reviewed,
}

/// A job that has ended, or the part of one that somebody waits for.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// The slot.
    pub slot: u32,
    /// What was done.
    pub act: Act,
    /// Where the part lies in the object.
    pub offset: u64,
    /// Bytes of the object in it.
    pub len: usize,
    /// How it was checked, if it was.
    pub check: Option<Check>,
    /// The first block that is not what it should be: its place in the part, and itself.
    pub wrong: Option<(usize, [u8; BLOCK])>,
    /// How many blocks of 4096 bytes have something wrong in them.
    pub wrong_blocks: u64,
    /// When the work began.
    pub began: Instant,
    /// How long it took, without the check.
    pub ns: u64,
    /// How long the check took.
    pub check_ns: u64,
    /// Time, before it began, in which other copies were made by the same hands.
    pub queued_ns: u64,
    /// Nothing more comes of the job.
    pub is_last: bool,
    /// Whether the job was a copy.
    pub was_copy: bool,
    /// Whose work it was.
    pub helper: usize,
}

impl Done {
    /// Compares data with what it should be. Only where something is wrong is it looked at block
    /// by block, to say how much.
    fn check_with(&mut self, stream: &Stream, data: &[u8], all: bool, draft: &mut [u8]) {
        self.wrong = compare(stream, self.offset, data, all, draft);
        if self.wrong.is_some() {
            let blocks = data.chunks(STAMP_EVERY).zip((self.offset..).step_by(STAMP_EVERY));
            let wrong = blocks.filter(|(block, at)| compare(stream, *at, block, all, draft).is_some());
            self.wrong_blocks = wrong.count() as u64;
        }
    }
}

/// Where one thread works.
pub struct Desk {
    draft: Vec<u8>,
    scratch: Vec<u8>,
    scratch_at: usize,
    /// When the latest copies were made, and how many there have been.
    copies: [(Instant, Instant); REMEMBERED],
    copied: usize,
}

impl Desk {
    /// An empty one, every page of it present; `copies` says whether anything will be copied.
    pub fn new(copies: bool) -> Self {
        // Memory that is only zeroed is not there before it is written to.
        let (draft, scratch) = (vec![1; DRAFT], vec![1; if copies { SCRATCH } else { 0 }]);
        let now = Instant::now();
        Self { draft, scratch, scratch_at: 0, copies: [(now, now); REMEMBERED], copied: 0 }
    }

    /// Does a job and reports it: what somebody waits for as soon as it is done.
    pub fn perform(&mut self, job: Job, mut report: impl FnMut(Done)) {
        let began = Instant::now();
        let mut done = Done {
            slot: job.slot,
            act: Act::Filled,
            offset: job.offset,
            len: job.part.len(),
            check: None,
            wrong: None,
            wrong_blocks: 0,
            began,
            ns: 0,
            check_ns: 0,
            queued_ns: if job.is_copy() { self.copying_between(job.given, began) } else { 0 },
            is_last: true,
            was_copy: job.is_copy(),
            helper: 0,
        };
        let Job { stream, offset, mut part, work, .. } = job;
        match work {
            Work::Fill => stream.fill(offset, part.bytes_mut()),
            Work::Store => {
                done.act = Act::Moved;
                self.store(&stream, offset, part.bytes_mut());
            }
            Work::Check(check) => {
                (done.act, done.check) = (Act::Checked, Some(check));
                done.check_with(&stream, part.bytes(), check.all, &mut self.draft);
                done.check_ns = nanoseconds(began.elapsed());
                return report(done);
            }
            Work::Copy { to, check, len } => {
                (done.act, done.len) = (Act::Moved, len);
                return self.copy(&stream, &part, to, check, done, report);
            }
        }
        done.ns = nanoseconds(began.elapsed());
        if done.was_copy {
            note_copy(&mut self.copies, &mut self.copied, began);
        }
        report(done);
    }

    /// For how long of the time from `given` to `began` copies were made here.
    fn copying_between(&self, given: Instant, began: Instant) -> u64 {
        let overlap = |(from, to): &(Instant, Instant)| {
            nanoseconds((*to).min(began).saturating_duration_since((*from).max(given)))
        };
        self.copies.iter().map(overlap).sum()
    }

    /// Makes data up in the cache and puts it away past it.
    fn store(&mut self, stream: &Stream, offset: u64, to: &mut [u8]) {
        for (piece, at) in to.chunks_mut(DRAFT / 2).zip((offset..).step_by(DRAFT / 2)) {
            let draft = &mut self.draft[..piece.len()];
            stream.fill(at, draft);
            put_away(draft, piece);
        }
    }

    fn copy(
        &mut self,
        stream: &Stream,
        from: &Part,
        mut to: Option<Part>,
        check: Option<Check>,
        mut done: Done,
        mut report: impl FnMut(Done),
    ) {
        let Self { draft, scratch, scratch_at, copies, copied } = self;
        let is_read = to.is_none();
        let to = match &mut to {
            Some(part) => part.bytes_mut(),
            None => {
                let at = if *scratch_at + from.len() > SCRATCH { 0 } else { *scratch_at };
                *scratch_at = at + from.len();
                &mut scratch[at..at + from.len()]
            }
        };
        copy(from.bytes(), to);
        done.ns = nanoseconds(done.began.elapsed());
        note_copy(copies, copied, done.began);
        let review = is_read && check.is_some_and(|check| check.all);
        if review {
            // Nobody needs to wait for the check of a copy that is ours alone.
            report(Done { is_last: false, ..done });
            (done.act, done.ns) = (Act::Reviewed, 0);
        }
        if let Some(check) = check {
            let before = Instant::now();
            done.check_with(stream, &to[..done.len], check.all, draft);
            (done.check, done.check_ns) = (Some(check), nanoseconds(before.elapsed()));
        }
        report(done);
    }
}

fn note_copy(copies: &mut [(Instant, Instant); REMEMBERED], copied: &mut usize, began: Instant) {
    copies[*copied % REMEMBERED] = (began, Instant::now());
    *copied += 1;
}

/// The first block of `data` that is not what it should be: its place, and itself. `expected` is
/// overwritten.
fn compare(stream: &Stream, offset: u64, data: &[u8], all: bool, expected: &mut [u8]) -> Option<(usize, [u8; BLOCK])> {
    let at = if all { check_all(stream, offset, data, expected) } else { check_stamps(stream, offset, data) }?;
    let mut block = [0; BLOCK];
    let end = data.len().min(at + BLOCK);
    block[..end - at].copy_from_slice(&data[at..end]);
    Some((at, block))
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
