//! The system around the requests: the tiers, how long they take, and where rows go. Reading and
//! storing an object ends here, whatever kind of object it is.

use crate::cache::{Cache, Found, Id, Move, NewObject, Step};
use crate::error::Result;
use crate::trace::{Key, Name, Op, Phase, Row, Tier};

use super::allocations::Allocations;
use super::conversations::Conversations;
use super::gpu::Gpu;
use super::prefixes::Prefixes;
use super::rag::Documents;
use super::residents::Residents;
use super::tally::{Sought, Tally};
use super::timing::Channels;
use super::transcripts::Transcripts;
use super::{Config, Sink};

/// The parts that requests share.
pub struct System<'a> {
    pub config: &'a Config,
    pub cache: Cache,
    pub gpu: Gpu,
    pub conversations: Conversations,
    pub prefixes: Prefixes,
    pub residents: Residents,
    pub transcripts: Transcripts,
    pub documents: Documents,
    /// What was there before the first request; the objects may be gone by now.
    pub prepopulated: Vec<Option<Id>>,
    pub allocations: Allocations,
    pub tally: Tally,
    sink: &'a mut dyn Sink,
    channels: Channels,
    moves: Vec<Move>,
}

/// On whose behalf a row is written.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The request's ordinal; none for background work.
    pub request: Option<u64>,
    /// Its conversation.
    pub conversation: Option<Name>,
    /// Its turn.
    pub turn: Option<u32>,
}

impl Caller {
    /// Nobody: background work.
    pub const BACKGROUND: Caller = Caller { request: None, conversation: None, turn: None };
}

/// What a read found.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    /// When it is done.
    pub done_ns: u64,
    /// The tokens that the object holds.
    pub tokens: u32,
}

/// What became of an object to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Its id; none when no tier takes it.
    pub id: Option<Id>,
    /// When it is written.
    pub done_ns: u64,
}

impl<'a> System<'a> {
    /// An idle system with empty tiers.
    pub fn new(config: &'a Config, sink: &'a mut dyn Sink) -> Self {
        Self {
            config,
            cache: Cache::with(config.limits, &config.rules),
            gpu: Gpu::new(config),
            conversations: Conversations::new(config.live_conversations),
            prefixes: Prefixes::default(),
            residents: Residents::default(),
            transcripts: Transcripts::new(config.objects, config.live_conversations),
            documents: Documents::new(config.rag, config.seed),
            prepopulated: Vec::new(),
            allocations: Allocations::new(config.max_concurrent_allocs),
            tally: Tally::default(),
            sink,
            channels: Channels::new(&config.timing, config.pcie_bytes_per_s),
            moves: Vec::new(),
        }
    }

    /// Hands out a request that has ended.
    pub fn sink(&mut self) -> &mut dyn Sink {
        self.sink
    }

    /// The object of a token block; none when it is not resident.
    pub fn resident_block(&self, block: u64) -> Option<Id> {
        self.residents.find(block, &self.cache)
    }

    /// Reads an object; none when it is gone.
    pub fn read(&mut self, caller: &Caller, id: Id, sought: Sought, now: u64) -> Result<Option<Loaded>> {
        let mut moves = std::mem::take(&mut self.moves);
        moves.clear();
        let found = self.cache.read(id, &mut moves);
        let loaded = match found {
            None => {
                self.tally.looked_up(sought, None);
                None
            }
            Some(found) => {
                self.tally.looked_up(sought, Some(found.tier));
                let Found { key, size_bytes, tokens, tier } = found;
                let done_ns = if moves.is_empty() {
                    // The step is not told: nothing moves.
                    let moved = Move { key, size_bytes, tokens, step: Step::Write(tier) };
                    self.emit(caller, now, &moved, Op::Read, tier, Phase::Decode)?;
                    self.channels.ask(tier, Op::Read, size_bytes, now)
                } else {
                    self.apply(caller, &moves, Phase::Decode, now)?
                };
                Some(Loaded { done_ns, tokens })
            }
        };
        self.moves = moves;
        Ok(loaded)
    }

    /// Stores an object of `tokens` tokens after what makes room for it. `phase` is why it is
    /// written.
    pub fn store(&mut self, caller: &Caller, key: Key, tokens: u32, phase: Phase, now: u64) -> Result<Stored> {
        let size_bytes = self.config.object_bytes(tokens);
        let mut moves = std::mem::take(&mut self.moves);
        moves.clear();
        let object = NewObject { key, size_bytes, tokens };
        let id = if size_bytes > 0 { self.cache.insert(object, &mut moves) } else { None };
        let done_ns = self.apply(caller, &moves, phase, now)?;
        self.moves = moves;
        match id {
            Some(_) => self.tally.stored += 1,
            None => self.tally.refused += 1,
        }
        Ok(Stored { id, done_ns })
    }

    /// Takes an object out, if it is still there.
    pub fn remove(&mut self, caller: &Caller, id: Id, now: u64) -> Result<()> {
        let mut moves = std::mem::take(&mut self.moves);
        moves.clear();
        self.cache.remove(id, &mut moves);
        self.apply(caller, &moves, Phase::Evict, now)?;
        self.moves = moves;
        Ok(())
    }

    /// Forgets what the tiers were asked so far: it took place before the clock started.
    pub fn free_channels(&mut self) {
        self.channels = Channels::new(&self.config.timing, self.config.pcie_bytes_per_s);
    }

    /// Writes the rows of what happened, in its order: when that is done which the request waits
    /// for, the first write of its object or the reading of one that moves up. Lower tiers that
    /// are written through to are busy all the same.
    fn apply(&mut self, caller: &Caller, moves: &[Move], phase: Phase, now: u64) -> Result<u64> {
        let (mut room_ns, mut done_ns) = (now, None);
        for moved in moves {
            match moved.step {
                Step::Delete(from) => {
                    self.emit(caller, now, moved, Op::Delete, from, Phase::Evict)?;
                    self.residents.left(&moved.key, &self.cache);
                }
                Step::Demote { from, to } => {
                    self.pair(caller, moved, (from, to), Phase::Evict, now)?;
                    room_ns = room_ns.max(self.channels.transfer(from, to, moved.size_bytes, now));
                }
                Step::Promote { from, to } => {
                    self.pair(caller, moved, (from, to), Phase::Decode, now)?;
                    let read_ns = self.channels.ask(from, Op::Read, moved.size_bytes, now);
                    self.channels.fill(to, moved.size_bytes, read_ns.max(room_ns));
                    done_ns = Some(read_ns);
                }
                Step::Write(tier) => {
                    self.emit(caller, now, moved, Op::Write, tier, phase)?;
                    let written_ns = self.channels.ask(tier, Op::Write, moved.size_bytes, room_ns);
                    done_ns.get_or_insert(written_ns);
                }
            }
        }
        Ok(done_ns.unwrap_or(now))
    }

    /// The two rows of an object that moves between tiers.
    fn pair(&mut self, caller: &Caller, moved: &Move, (from, to): (Tier, Tier), phase: Phase, now: u64) -> Result<()> {
        self.emit(caller, now, moved, Op::Read, from, phase)?;
        self.emit(caller, now, moved, Op::Write, to, phase)
    }

    fn emit(&mut self, caller: &Caller, now: u64, moved: &Move, op: Op, tier: Tier, phase: Phase) -> Result<()> {
        self.tally.rows += 1;
        self.sink.row(Row {
            at_ns: signed(now),
            size_bytes: moved.size_bytes,
            key: moved.key.clone(),
            conversation: caller.conversation.clone(),
            request: caller.request,
            turn: caller.turn,
            tokens: Some(moved.tokens),
            op,
            tier,
            phase,
        })
    }
}

/// Virtual time fits: 2^63 ns are 292 years.
pub fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
