//! One operation on its way: a row, or the two rows of a move.

use super::ahead::Filled;
use super::files::LegFile;
use crate::replay::content::fill::Stream;
use crate::replay::plan::rows::Row;
use crate::replay::prepare::Backend;
use crate::replay::prepare::objects::NONE;
use crate::trace::{Op as Direction, Phase, Tier};

/// A moment that has not come.
pub const NEVER: u64 = u64::MAX;

/// Where the bytes of a pass come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere; time passes.
    Timer,
    /// They are made up.
    Fill,
    /// A slab.
    Storage,
    /// Memory.
    Memory,
    /// A GPU's memory.
    Gpu,
}

/// Where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Nowhere: they are read, perhaps checked, and dropped.
    Nothing,
    /// A slab.
    Storage,
    /// Memory.
    Memory,
    /// A GPU's memory.
    Gpu,
}

/// The queues in which operations wait for their chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Storage is at an end.
    Storage,
    /// A GPU is, and no storage.
    Gpu,
    /// Only memory is.
    Memory,
}

/// Bytes going from one place to another. A move between tiers that hold bytes is one pass with
/// two legs; where one of them only lets time pass it is two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Where the bytes come from.
    pub source: Source,
    /// Where they go.
    pub sink: Sink,
    /// The leg that the source's times belong to.
    pub source_leg: usize,
    /// The leg that the sink's times belong to.
    pub sink_leg: usize,
}

/// One row's share of an operation: its place and its times.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    /// The row's number, from 1.
    pub row: u64,
    /// The tier.
    pub tier: Tier,
    /// Read or write.
    pub op: Direction,
    /// The phase.
    pub phase: Phase,
    /// What stands for the tier.
    pub backend: Backend,
    /// Where the object lies on it; [`NONE`] when the tier holds no bytes.
    pub place: u32,
    /// When it should start, by the schedule.
    pub sched: u64,
    /// When its dependencies allowed it to.
    pub due: u64,
    /// When its first I/O was submitted.
    pub start: u64,
    /// The file of its object, where each object has one.
    pub file: LegFile,
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Op {
    /// The key.
    pub key: u32,
    /// The next operation on the same key.
    pub next: u32,
    /// The request or conversation in whose order it stands; [`NONE`] for none.
    pub chain: u32,
    /// The next operation of that.
    pub chain_next: u32,
    /// Operations that it waits for.
    pub holds: u8,
    /// Errands that have not ended.
    pub errands: u32,
    /// The pages of its object were dropped before it is read.
    pub advised: bool,
    /// Files were opened for it, and not yet closed.
    pub opened: bool,
    /// They are being closed.
    pub closing: bool,
    /// It was asked to be made durable.
    pub synced: bool,
    /// When that was.
    pub sync_asked: u64,
    /// The request it belongs to.
    pub request: Option<u64>,
    /// Bytes of the object.
    pub size: u64,
    /// The hash of the key.
    pub content: u64,
    /// The version that is read or written.
    pub version: u32,
    /// What the object contains.
    pub stream: Stream,
    /// Whether every byte is checked, not only stamps.
    pub check_all: bool,
    /// One leg, or the two of a move.
    pub legs: [Leg; 2],
    /// How many legs.
    pub leg_count: usize,
    /// Which pass is being worked on.
    pub pass_number: u8,
    /// Bytes of the pass that a chunk was made for.
    pub issued: u64,
    /// Bytes whose source part is done.
    pub sourced: u64,
    /// When the source part was done.
    pub sourced_at: u64,
    /// When the first of two passes was done.
    pub first_done: u64,
    /// Chunks that have not ended.
    pub chunks: u32,
    /// The latest end of a copy of it.
    pub copied_at: u64,
    /// An I/O failed: nothing more is issued, nothing is recorded.
    pub failed: bool,
    /// Time that the row waited for a free place among the operations.
    pub window_wait: u64,
    /// What the clock of blocked time said when it was due.
    pub blocked_at_due: u64,
    /// Slots that were filled before it was due.
    pub filled: Filled,
}

impl Op {
    /// The pass that is being worked on.
    pub fn pass(&self) -> Pass {
        let holds = |leg: &Leg| matches!(leg.backend, Backend::Storage(_) | Backend::Memory(_) | Backend::Gpu(_));
        let of = |source, sink, source_leg, sink_leg| Pass { source, sink, source_leg, sink_leg };
        if self.leg_count == 1 {
            return self.single(0);
        }
        if holds(&self.legs[0]) && holds(&self.legs[1]) {
            return of(source_of(self.legs[0].backend), sink_of(self.legs[1].backend), 0, 1);
        }
        self.single(usize::from(self.pass_number))
    }

    fn single(&self, number: usize) -> Pass {
        let leg = &self.legs[number];
        let (source, sink) = match (leg.backend, leg.op) {
            (Backend::Model { .. } | Backend::Skip, _) => (Source::Timer, Sink::Nothing),
            (backend, Direction::Write) => (Source::Fill, sink_of(backend)),
            (backend, _) => (source_of(backend), Sink::Nothing),
        };
        Pass { source, sink, source_leg: number, sink_leg: number }
    }

    /// Whether the pass is one that cuFile can make: between a GPU and storage, or a read of storage
    /// that stays nowhere.
    pub fn suits_cufile(&self) -> bool {
        let pass = self.pass();
        match (pass.source, pass.sink) {
            (Source::Storage, Sink::Gpu) | (Source::Gpu, Sink::Storage) => true,
            (Source::Storage, Sink::Nothing) => self.leg_count == 1,
            _ => false,
        }
    }

    /// How many passes it takes.
    pub fn passes(&self) -> u8 {
        let pass = self.pass();
        if self.leg_count == 2 && pass.source_leg == pass.sink_leg { 2 } else { 1 }
    }

    /// Where the pass waits until all of its chunks are on their way.
    pub fn carrier(&self) -> Carrier {
        let pass = self.pass();
        if pass.source == Source::Storage || pass.sink == Sink::Storage {
            Carrier::Storage
        } else if pass.source == Source::Gpu || pass.sink == Sink::Gpu {
            Carrier::Gpu
        } else {
            Carrier::Memory
        }
    }
}

fn source_of(backend: Backend) -> Source {
    match backend {
        Backend::Storage(_) => Source::Storage,
        Backend::Memory(_) => Source::Memory,
        Backend::Gpu(_) => Source::Gpu,
        Backend::Model { .. } | Backend::Skip => Source::Timer,
    }
}

fn sink_of(backend: Backend) -> Sink {
    match backend {
        Backend::Storage(_) => Sink::Storage,
        Backend::Memory(_) => Sink::Memory,
        Backend::Gpu(_) => Sink::Gpu,
        Backend::Model { .. } | Backend::Skip => Sink::Nothing,
    }
}

/// The leg of a row that has not been placed.
pub fn leg(row: &Row, number: u64, backend: Backend, sched: u64) -> Leg {
    Leg {
        row: number,
        tier: row.tier,
        op: row.op,
        phase: row.phase,
        backend,
        place: NONE,
        sched,
        due: NEVER,
        start: NEVER,
        file: LegFile::default(),
    }
}

/// Stands for the place in the arena of a chunk that needs none.
pub const NOWHERE: usize = usize::MAX;

/// A part of an object in a slot of the arena.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunk {
    /// Its operation.
    pub op: u32,
    /// Whether it is being written, not read.
    pub write: bool,
    /// The storage target that is read or written.
    pub volume: u32,
    /// The number of the file on it.
    pub file: u32,
    /// Where in the file.
    pub file_offset: u64,
    /// Where in the object.
    pub offset: u64,
    /// Bytes of the object.
    pub len: u32,
    /// Bytes that are transferred: `len` rounded up to 4096.
    pub padded: u32,
    /// Bytes transferred so far.
    pub moved: u32,
    /// Where in the arena.
    pub at: usize,
    /// When its I/O was queued.
    pub pushed: u64,
    /// What the clock of blocked time said when its copy was handed over.
    pub blocked: u64,
    /// Its bytes are checked before they go on.
    pub checking: bool,
    /// Whether a helper makes its data up.
    pub filling: bool,
    /// Nobody wants it any more: it is free once it has been filled.
    pub unwanted: bool,
}
