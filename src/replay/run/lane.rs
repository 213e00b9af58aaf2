//! What waits for one storage target, and what is on its way to it. Each target has its own share
//! of the arena and its own limit of bytes in flight, so that none that is at its limit holds up
//! I/O of another.

use std::collections::VecDeque;

use super::Run;
use super::op::{Carrier, Chunk, Op, Pass, Sink, Source};
use super::pieces::Pieces;
use crate::replay::gpu::IN_STREAM;
use crate::replay::prepare::{Backend, Stage};

/// Operations that are looked at for the next chunk.
const LOOK_AHEAD: usize = 64;

/// Chunks of one object that are on their way at most, as a worker of a serving system would.
pub const OBJECT_CHUNKS: u32 = 8;

/// One storage target during the run.
#[derive(Debug)]
pub struct Lane {
    /// Operations with storage at an end, in the order in which they became ready: by where they
    /// read, or else by where they write.
    pub queue: VecDeque<u32>,
    /// Slots whose bytes wait to be written.
    pub to_write: VecDeque<u32>,
    /// I/Os on their way.
    pub in_flight: u32,
    /// Their bytes.
    pub in_flight_bytes: u64,
    /// Bytes that are read from another target, or were, to be written here.
    pub coming: u64,
    /// Bytes of its slots that hold data of rows that are not due yet.
    pub ahead_bytes: u64,
    /// Operations that have files open.
    pub open_ops: u32,
    /// Operations that wait for others to close theirs.
    pub opening: VecDeque<u32>,
    /// It is at its limit.
    pub full: bool,
    /// Where its share of the arena begins.
    start: usize,
    free_slots: Vec<u32>,
    pieces: Pieces,
}

/// The storage targets during the run.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    slots_each: usize,
    limit: u64,
    /// Which one is asked first for the next work of the processor.
    turn: usize,
}

impl Lanes {
    /// For the targets of a stage, each with so many bytes in flight at most.
    pub fn new(stage: &Stage, limit: u64, io_size: usize, window: usize) -> Self {
        Self::with(stage.lanes(), stage.lane_bytes, stage.lane_slots(), limit, io_size, window)
    }

    fn with(count: usize, bytes: usize, slots_each: usize, limit: u64, io_size: usize, window: usize) -> Self {
        let lane = |number: usize| Lane {
            queue: VecDeque::with_capacity(window),
            to_write: VecDeque::with_capacity(slots_each),
            in_flight: 0,
            in_flight_bytes: 0,
            coming: 0,
            ahead_bytes: 0,
            open_ops: 0,
            opening: VecDeque::new(),
            full: false,
            start: number * bytes,
            free_slots: (number * slots_each..(number + 1) * slots_each).rev().map(|slot| slot as u32).collect(),
            pieces: Pieces::new(bytes, io_size),
        };
        Self { lanes: (0..count).map(lane).collect(), slots_each, limit, turn: 0 }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter()
    }

    /// One of them.
    pub fn get(&mut self, number: u32) -> &mut Lane {
        &mut self.lanes[number as usize]
    }

    /// Room for a chunk: a slot, and its place in the arena; none when the target has none left.
    pub fn take_slot(&mut self, chunk: &Chunk) -> Option<(u32, usize)> {
        let lane = self.get(chunk.volume);
        let slot = lane.free_slots.pop()?;
        let Some((at, _)) = lane.pieces.take(chunk.padded as usize) else {
            lane.free_slots.push(slot);
            return None;
        };
        Some((slot, lane.start + at))
    }

    /// Whose slot that is.
    pub fn owner(&self, slot: u32) -> u32 {
        slot / self.slots_each as u32
    }

    /// A slot at `at` of the arena is free again.
    pub fn free_slot(&mut self, slot: u32, at: usize) {
        let lane = self.get(self.owner(slot));
        lane.pieces.give(at - lane.start);
        lane.free_slots.push(slot);
    }

    /// Whether so many more bytes may be in flight on a target.
    pub fn fits(&self, number: u32, bytes: u32) -> bool {
        let lane = &self.lanes[number as usize];
        lane.in_flight == 0 || lane.in_flight_bytes + u64::from(bytes) <= self.limit
    }

    /// Whether more may be read to be written to a target.
    pub fn may_come(&self, number: u32) -> bool {
        self.lanes[number as usize].coming < self.limit
    }

    /// Whether so many more bytes may be made up for a target before they are due.
    pub fn may_fill_ahead(&self, number: u32, bytes: u32) -> bool {
        self.lanes[number as usize].ahead_bytes + u64::from(bytes) <= self.limit
    }

    /// Their numbers, each time beginning with another one, so that none is always the last.
    pub fn in_turn(&mut self) -> impl Iterator<Item = u32> + use<> {
        let (first, count) = (self.turn, self.lanes.len());
        self.turn = (first + 1) % count;
        (0..count).map(move |step| ((first + step) % count) as u32)
    }

    /// Whether operations wait, on a target on which nothing is on its way, for room that data of
    /// rows which are not due yet takes.
    pub fn stuck(&self) -> bool {
        let stuck = |lane: &Lane| {
            lane.in_flight == 0 && lane.to_write.is_empty() && !lane.queue.is_empty() && lane.ahead_bytes > 0
        };
        self.lanes.iter().any(stuck)
    }
}

impl Run<'_> {
    /// The target in whose queue an operation waits.
    pub fn lane_of(op: &Op) -> u32 {
        let pass = op.pass();
        let leg = &op.legs[if pass.source == Source::Storage { pass.source_leg } else { pass.sink_leg }];
        match leg.backend {
            Backend::Storage(number) => number,
            _ => 0,
        }
    }

    /// The lane in which an operation that storage or a GPU takes part in waits.
    pub fn queue_of(&self, op: &Op) -> u32 {
        if op.carrier() == Carrier::Storage { Self::lane_of(op) } else { self.stage.gpu_lane() }
    }

    /// The oldest operation of any lane that may have one more chunk.
    pub fn next_anywhere(&self, mut wanted: impl FnMut(Pass) -> bool) -> Option<u32> {
        (0..self.lanes.len() as u32).find_map(|lane| self.next_in_queue(lane, |pass, _| wanted(pass)))
    }

    /// The oldest operation of a lane whose next chunk has to be made up. What goes to a GPU waits
    /// while enough for it is there.
    pub fn next_to_fill(&self, lane: u32) -> Option<u32> {
        let full = self.to_gpu.len() >= 2 * IN_STREAM;
        self.next_in_queue(lane, |pass, _| pass.source == Source::Fill && !(full && pass.sink == Sink::Gpu))
    }

    /// The oldest operation of a target with a kind of source that may have one more chunk. Older
    /// ones come first, and no object takes all of the device.
    pub fn next_in_queue(&self, lane: u32, mut wanted: impl FnMut(Pass, u32) -> bool) -> Option<u32> {
        let queue = self.lanes.iter().nth(lane as usize).map(|lane| &lane.queue)?;
        queue.iter().take(LOOK_AHEAD).copied().find(|&index| {
            let op = &self.ops[index as usize];
            op.chunks < OBJECT_CHUNKS && wanted(op.pass(), index)
        })
    }

    /// A slot's bytes are there to be written.
    pub fn write_later(&mut self, slot: u32) {
        let volume = self.chunks[slot as usize].volume;
        self.lanes.get(volume).to_write.push_back(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(volume: u32) -> Chunk {
        Chunk { volume, padded: 1 << 20, ..Chunk::default() }
    }

    #[test]
    fn a_target_at_its_limit_leaves_the_room_of_the_others() {
        let mut lanes = Lanes::with(2, 6 << 20, 8, 2 << 20, 1 << 20, 4);
        let taken: Vec<_> = std::iter::from_fn(|| lanes.take_slot(&chunk(0))).collect();
        assert_eq!(taken.len(), 6, "its own share of the arena and no more");
        assert!(taken.iter().all(|(slot, at)| lanes.owner(*slot) == 0 && *at < 6 << 20));
        let lane = lanes.get(0);
        (lane.in_flight, lane.in_flight_bytes, lane.coming) = (2, 2 << 20, 2 << 20);
        assert_eq!((lanes.fits(0, 4096), lanes.may_come(0)), (false, false));
        assert!(lanes.fits(1, 1 << 20) && lanes.may_come(1) && lanes.may_fill_ahead(1, 1 << 20));
        let (slot, at) = lanes.take_slot(&chunk(1)).unwrap();
        assert_eq!((lanes.owner(slot), at >= 6 << 20), (1, true));
        lanes.free_slot(taken[0].0, taken[0].1);
        assert_eq!(lanes.take_slot(&chunk(0)), Some(taken[0]));
        assert_eq!((0..4).map(|_| lanes.in_turn().next()).collect::<Vec<_>>(), [0, 1, 0, 1].map(Some));
    }
}
