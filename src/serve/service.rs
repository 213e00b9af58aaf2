//! What one request does while a worker serves it: prefix, earlier turns, its own object, reads
//! while it generates. Each step happens at a moment and says when the next one comes.

use std::sync::Arc;

use crate::cache::{Cache, Id, Move, NewObject};
use crate::error::Result;
use crate::trace::{Op, Phase, Record, RequestKind, RequestRow, Tier};
use crate::workload::{Request, prompts};

use super::conversations::{Conversations, History};
use super::tally::{Sought, Tally};
use super::timing::Channels;
use super::{Config, DECODE_BATCH_TOKENS, PREFILL_ONLY_TOKENS, Sink};

/// The system around a request.
pub struct System<'a> {
    pub config: &'a Config,
    pub sink: &'a mut dyn Sink,
    pub cache: Cache,
    pub channels: Channels,
    pub conversations: Conversations,
    pub tally: Tally,
    /// The objects of the shared prompts, by the index of [`prompts::ALL`], and their keys.
    prefixes: Vec<(Arc<str>, Option<Id>)>,
    moves: Vec<Move>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Prefix,
    History(usize),
    Store,
    FirstRead,
    Rescan(u32),
    Finish,
}

/// A request in service.
#[derive(Debug)]
pub struct Service {
    pub ordinal: u64,
    request: Request,
    arrival_ns: u64,
    start_ns: u64,
    step: Step,
    history: History,
    own: Option<Id>,
    generation_start_ns: u64,
    generation_ns: u64,
    hit_tokens: u32,
    prefix_tokens: u32,
    hits: u32,
    misses: u32,
}

impl Service {
    /// A worker takes a request at `now`.
    pub fn begin(ordinal: u64, request: Request, arrival_ns: u64, now: u64, system: &mut System<'_>) -> Self {
        let mut history = History::default();
        let writes = request.context_tokens > 0;
        system.conversations.begin_turn(
            request.conversation_ordinal,
            request.turn,
            writes,
            &mut history,
            &mut system.cache,
        );
        if !system.config.history {
            history = History::default();
        }
        Self {
            ordinal,
            generation_ns: u64::from(request.generate_tokens).saturating_mul(system.config.generation_ns_per_token),
            request,
            arrival_ns,
            start_ns: now,
            step: Step::Prefix,
            history,
            own: None,
            generation_start_ns: 0,
            hit_tokens: 0,
            prefix_tokens: 0,
            hits: 0,
            misses: 0,
        }
    }

    /// Takes steps until one takes time: when the next one is due, or none when the request has
    /// ended (at `now`).
    pub fn advance(&mut self, now: u64, system: &mut System<'_>) -> Result<Option<u64>> {
        loop {
            let due = match self.step {
                Step::Prefix => self.read_prefix(now, system)?,
                Step::History(next) => self.read_history(next, now, system)?,
                Step::Store => self.store_own(now, system)?,
                Step::FirstRead => self.read_first(now, system)?,
                Step::Rescan(number) => self.rescan(number, now, system)?,
                Step::Finish => {
                    self.finish(now, system)?;
                    return Ok(None);
                }
            };
            if due > now {
                return Ok(Some(due));
            }
        }
    }

    fn read_prefix(&mut self, now: u64, system: &mut System<'_>) -> Result<u64> {
        self.step = Step::History(0);
        let Some(index) = self.request.prefix else { return Ok(now) };
        self.prefix_tokens = prompts::ALL[index].tokens;
        if let Some(id) = system.prefixes[index].1
            && let Some((done, tokens)) = self.read(id, Sought::Prefix, now, system)?
        {
            self.hit_tokens += tokens;
            system.tally.prefix_tokens_reused += u64::from(tokens);
            return Ok(done);
        }
        if system.prefixes[index].1.is_none() {
            self.missed(Sought::Prefix, system);
        }
        let key = Arc::clone(&system.prefixes[index].0);
        let (id, done) = self.store(key, self.prefix_tokens, now, system)?;
        system.prefixes[index].1 = id;
        Ok(done)
    }

    fn read_history(&mut self, next: usize, now: u64, system: &mut System<'_>) -> Result<u64> {
        if next == 0 {
            for _ in 0..self.history.unknown {
                self.missed(Sought::History, system);
            }
        }
        let Some(&id) = self.history.objects.get(next) else {
            self.step = Step::Store;
            return Ok(now);
        };
        self.step = Step::History(next + 1);
        let Some((done, tokens)) = self.read(id, Sought::History, now, system)? else { return Ok(now) };
        self.hit_tokens = self.hit_tokens.saturating_add(tokens);
        Ok(done)
    }

    fn store_own(&mut self, now: u64, system: &mut System<'_>) -> Result<u64> {
        let Request { turn, context_tokens, conversation_ordinal, .. } = self.request;
        let mut done = now;
        if context_tokens > 0 {
            let (id, written) = self.store(self.own_key(), context_tokens, now, system)?;
            if let Some(id) = id {
                system.conversations.stored(conversation_ordinal, turn, id, &mut system.cache);
            }
            (self.own, done) = (id, written);
        }
        self.generation_start_ns = done;
        if self.own.is_some() && context_tokens.saturating_add(self.prefix_tokens) < PREFILL_ONLY_TOKENS {
            self.step = Step::FirstRead;
            return Ok(done);
        }
        self.step = Step::Finish;
        Ok(done.saturating_add(self.generation_ns))
    }

    fn read_first(&mut self, now: u64, system: &mut System<'_>) -> Result<u64> {
        let id = self.own.expect("only a stored object is read");
        if let Some((done, _)) = self.read(id, Sought::Object, now, system)? {
            self.generation_start_ns = done;
            self.step = Step::Rescan(1);
            return Ok(self.next_rescan(1, done));
        }
        // Evicted from the last tier between its writing and its first reading: written again,
        // and generated from without being read back, as the reference does.
        let Request { turn, context_tokens, conversation_ordinal, .. } = self.request;
        let (id, done) = self.store(self.own_key(), context_tokens, now, system)?;
        if let Some(id) = id {
            system.conversations.stored(conversation_ordinal, turn, id, &mut system.cache);
        }
        self.generation_start_ns = done;
        self.step = Step::Finish;
        Ok(done.saturating_add(self.generation_ns))
    }

    fn rescans(&self) -> u32 {
        self.request.generate_tokens.div_ceil(DECODE_BATCH_TOKENS)
    }

    /// When a rescan is due: they are spread evenly over the generation, none before the last
    /// read is done. After the last, the end of the generation.
    fn next_rescan(&self, number: u32, done: u64) -> u64 {
        let parts = u128::from(self.rescans()) + 1;
        let share = u128::from(self.generation_ns) * u128::from(number).min(parts) / parts;
        done.max(self.generation_start_ns.saturating_add(share as u64))
    }

    fn rescan(&mut self, number: u32, now: u64, system: &mut System<'_>) -> Result<u64> {
        if number > self.rescans() {
            self.step = Step::Finish;
            return Ok(now);
        }
        self.step = Step::Rescan(number + 1);
        let id = self.own.expect("only a stored object is read");
        let done = self.read(id, Sought::Object, now, system)?.map_or(now, |(done, _)| done);
        Ok(self.next_rescan(number + 1, done))
    }

    fn finish(&mut self, now: u64, system: &mut System<'_>) -> Result<()> {
        let request = &self.request;
        let kind = match (request.prefix, request.turn) {
            (Some(_), _) => RequestKind::System,
            (None, 2..) if system.config.history => RequestKind::MultiTurn,
            _ => RequestKind::User,
        };
        if request.last_turn {
            system.conversations.end(request.conversation_ordinal, &mut system.cache);
        }
        system.tally.ended(kind, request.turn, self.start_ns - self.arrival_ns, now);
        system.sink.request(RequestRow {
            request: self.ordinal,
            conversation: Some(request.conversation.to_string()),
            turn: request.turn,
            user: request.user.to_string(),
            qos: request.qos.word().to_owned(),
            kind,
            arrival_ns: signed(self.arrival_ns),
            start_ns: signed(self.start_ns),
            context_tokens: request.context_tokens.saturating_add(self.prefix_tokens),
            generate_tokens: request.generate_tokens,
            generation_ns: signed(self.generation_ns),
            prefix_tokens: self.prefix_tokens,
            hit_tokens: self.hit_tokens,
            lookups: self.hits + self.misses,
            hits: self.hits,
            misses: self.misses,
        })
    }

    fn own_key(&self) -> Arc<str> {
        format!("conv_{}_turn_{}", self.request.conversation, self.request.turn).into()
    }

    fn missed(&mut self, sought: Sought, system: &mut System<'_>) {
        self.misses += 1;
        system.tally.looked_up(sought, None);
    }

    /// Reads an object: when that is done and how many tokens it has, or none when it is gone.
    fn read(&mut self, id: Id, sought: Sought, now: u64, system: &mut System<'_>) -> Result<Option<(u64, u32)>> {
        let Some(object) = system.cache.read(id) else {
            self.missed(sought, system);
            return Ok(None);
        };
        let (tier, size_bytes, tokens) = (object.tier, object.size_bytes, object.tokens);
        let row = self.row(now, Op::Read, tier, Phase::Decode, &object.key, size_bytes, tokens);
        self.hits += 1;
        system.tally.looked_up(sought, Some(tier));
        system.emit(&row)?;
        Ok(Some((system.channels.ask(tier, Op::Read, size_bytes, now), tokens)))
    }

    /// Stores an object after what makes room for it: its id, unless no tier takes it, and when
    /// it is written.
    fn store(&mut self, key: Arc<str>, tokens: u32, now: u64, system: &mut System<'_>) -> Result<(Option<Id>, u64)> {
        let size_bytes = system.config.object_bytes(tokens);
        let mut moves = std::mem::take(&mut system.moves);
        moves.clear();
        let object = NewObject { key: Arc::clone(&key), size_bytes, tokens };
        let placed = if size_bytes > 0 { system.cache.insert(object, &mut moves) } else { None };
        let mut room_ns = now;
        for moved in &moves {
            room_ns = room_ns.max(self.make_room(moved, now, system)?);
        }
        system.moves = moves;
        let Some((id, tier)) = placed else {
            system.tally.refused += 1;
            return Ok((None, now));
        };
        system.tally.stored += 1;
        let row = self.row(now, Op::Write, tier, Phase::Prefill, &key, size_bytes, tokens);
        system.emit(&row)?;
        Ok((Some(id), system.channels.ask(tier, Op::Write, size_bytes, room_ns)))
    }

    /// A victim goes: when its place is free.
    fn make_room(&self, moved: &Move, now: u64, system: &mut System<'_>) -> Result<u64> {
        let Move { ref key, size_bytes, tokens, from, to } = *moved;
        let Some(to) = to else {
            system.emit(&self.row(now, Op::Delete, from, Phase::Evict, key, size_bytes, tokens))?;
            return Ok(now);
        };
        system.emit(&self.row(now, Op::Read, from, Phase::Evict, key, size_bytes, tokens))?;
        system.emit(&self.row(now, Op::Write, to, Phase::Evict, key, size_bytes, tokens))?;
        let read = system.channels.ask(from, Op::Read, size_bytes, now);
        Ok(system.channels.ask(to, Op::Write, size_bytes, read))
    }

    #[expect(clippy::too_many_arguments, reason = "these are the columns of a row")]
    fn row(&self, at: u64, op: Op, tier: Tier, phase: Phase, key: &Arc<str>, size_bytes: u64, tokens: u32) -> Record {
        Record {
            at_ns: signed(at),
            op,
            size_bytes,
            tier,
            key: Arc::clone(key),
            phase,
            request: Some(self.ordinal),
            conversation: Some(Arc::clone(&self.request.conversation)),
            turn: Some(self.request.turn),
            tokens: Some(tokens),
        }
    }
}

impl<'a> System<'a> {
    /// An idle system with empty tiers.
    pub fn new(config: &'a Config, sink: &'a mut dyn Sink) -> Self {
        Self {
            config,
            sink,
            cache: Cache::new(config.limits),
            channels: Channels::new(&config.timing),
            conversations: Conversations::new(config.live_conversations),
            tally: Tally::default(),
            prefixes: prompts::ALL.iter().map(|prompt| (prompt.key().into(), None)).collect(),
            moves: Vec::new(),
        }
    }

    fn emit(&mut self, row: &Record) -> Result<()> {
        self.tally.rows += 1;
        self.sink.record(row)
    }
}

/// Virtual time fits: 2^63 ns are 292 years.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
