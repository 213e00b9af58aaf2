//! One request while a worker serves it: what it looked up, where its time went, and which way it
//! walks.

use crate::cache::{Holder, Id};
use crate::error::Result;
use crate::trace::requests::Found;
use crate::trace::{Key, Phase, RequestKind, Served};
use crate::workload::Request;

use super::Phases;
use super::allocations::Writer;
use super::blocks::Blocks;
use super::decode_only::DecodeOnly;
use super::objects::{HistoryReads, ObjectKind};
use super::query::Query;
use super::system::{Caller, Loaded, Stored, System, signed};
use super::tally::Sought;
use super::turns::Turns;

/// What a request waits for after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A moment.
    Until(u64),
    /// So many of its tokens, counted from the beginning of its answer.
    Tokens(u32),
    /// Its turn to write: the same step is taken again then.
    ToWrite,
    /// Nothing: it has ended.
    Over,
}

/// A request in service.
#[derive(Debug)]
pub struct Service {
    pub visit: Visit,
    walk: Walk,
    holder: Option<Holder>,
}

/// The way a request goes, by the kind of its objects.
#[derive(Debug)]
enum Walk {
    /// One object per turn.
    Turns(Turns),
    /// One object per token block.
    Blocks(Blocks),
    /// Objects that were there before.
    DecodeOnly(DecodeOnly),
    /// The chunks of a document.
    Query(Query),
}

/// A request's place among the writes that are in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    None,
    /// It has waited for one since then.
    Wanted(u64),
    /// It has one until its next step.
    Taken,
}

/// What every way keeps of a request.
#[derive(Debug)]
pub struct Visit {
    pub ordinal: u64,
    pub caller: Caller,
    pub request: Request,
    pub worker: u32,
    pub start_ns: u64,
    /// When it began to generate; none before.
    pub generating_since_ns: Option<u64>,
    /// When its answer was complete, if it went on after that.
    answered_ns: Option<u64>,
    pub hit_tokens: u32,
    pub prefix_tokens: u32,
    /// Tokens before the answer, found or computed.
    pub resident_tokens: u64,
    /// The whole prompt: a shared prefix, the turns before as far as they are known, and this
    /// turn's own.
    pub prompt_tokens: u64,
    /// By [`Sought`].
    pub found: [Found; 4],
    place: Place,
    /// How long it waited for its turn to write.
    waited_to_write_ns: u64,
}

impl Service {
    /// A worker takes a request at `now`.
    pub fn begin(ordinal: u64, request: Request, worker: u32, now: u64, system: &mut System<'_>) -> Self {
        let holder = Some(system.cache.enter_holder());
        let resident_tokens = u64::from(request.context_tokens);
        let caller = Caller {
            request: Some(ordinal),
            conversation: Some(request.conversation.clone()),
            turn: Some(request.turn),
        };
        let mut visit = Visit {
            ordinal,
            caller,
            request,
            worker,
            start_ns: now,
            generating_since_ns: None,
            answered_ns: None,
            hit_tokens: 0,
            prefix_tokens: 0,
            resident_tokens,
            prompt_tokens: 0,
            found: [Found::default(); 4],
            place: Place::None,
            waited_to_write_ns: 0,
        };
        let walk = Walk::choose(&mut visit, system);
        Self { visit, walk, holder }
    }

    /// Takes steps until one takes time, and says what it waits for.
    pub fn advance(&mut self, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let wait = loop {
            self.visit.go_on(now, system);
            let wait = match &mut self.walk {
                Walk::Turns(turns) => turns.step(&mut self.visit, now, system)?,
                Walk::Blocks(blocks) => blocks.step(&mut self.visit, now, system)?,
                Walk::DecodeOnly(decode_only) => decode_only.step(&mut self.visit, now, system)?,
                Walk::Query(query) => query.step(&mut self.visit, now, system)?,
            };
            let wait = self.visit.resolve(wait, now, system);
            if wait != Wait::Until(now) {
                break wait;
            }
        };
        if wait == Wait::Over {
            self.finish(now, system)?;
        }
        Ok(wait)
    }

    fn finish(&mut self, now: u64, system: &mut System<'_>) -> Result<()> {
        let Visit { ordinal, request, start_ns, prefix_tokens, hit_tokens, found, .. } = &self.visit;
        let kind = match (request.prefix, request.turn) {
            _ if matches!(self.walk, Walk::Query(_)) => RequestKind::Rag,
            (Some(_), _) => RequestKind::System,
            (None, 2..) if system.config.objects.history != HistoryReads::None => RequestKind::MultiTurn,
            _ => RequestKind::User,
        };
        if request.last_turn {
            system.conversations.end(request.conversation_ordinal, &mut system.cache);
            system.transcripts.end(request.conversation_ordinal);
        }
        if self.visit.generating_since_ns.is_some() {
            system.gpu.end(self.visit.worker, now);
        }
        if let Some(holder) = self.holder.take() {
            system.cache.leave_holder(holder);
        }
        system.tally.ended(kind, request.turn, start_ns - request.arrival_ns, now);
        system.tally.waited_to_write(self.visit.waited_to_write_ns);
        let context_tokens = match &self.walk {
            Walk::Blocks(_) => u32::try_from(self.visit.prompt_tokens).unwrap_or(u32::MAX),
            _ => request.context_tokens.saturating_add(*prefix_tokens),
        };
        let answered_ns = self.visit.answered_ns.unwrap_or(now);
        let generation_ns = self.visit.generating_since_ns.map_or(0, |since| answered_ns.saturating_sub(since));
        system.sink().request(Served {
            request: *ordinal,
            conversation: request.conversation.clone(),
            turn: request.turn,
            user: request.user.clone(),
            qos: request.qos.word(),
            kind,
            arrival_ns: signed(request.arrival_ns),
            start_ns: signed(*start_ns),
            context_tokens,
            generate_tokens: request.generate_tokens,
            generation_ns: signed(generation_ns),
            prefix_tokens: *prefix_tokens,
            hit_tokens: *hit_tokens,
            found: *found,
        })
    }
}

impl Walk {
    fn choose(visit: &mut Visit, system: &mut System<'_>) -> Self {
        if visit.request.about_documents
            && let Some(query) = Query::begin(visit, system)
        {
            return Walk::Query(query);
        }
        if let Phases::DecodeOnly { .. } = system.config.phases {
            return Walk::DecodeOnly(DecodeOnly::new());
        }
        match system.config.objects.kind {
            ObjectKind::Turns => Walk::Turns(Turns::begin(visit, system)),
            ObjectKind::TokenBlocks { tokens, keep_partial } => Walk::Blocks(Blocks::new(tokens, keep_partial)),
        }
    }
}

impl Visit {
    /// Whether it may make room and write now. If not, the step ends with [`Wait::ToWrite`] and is
    /// taken again. The place is free again with the step after, when the write is done.
    pub fn may_store(&mut self, now: u64, system: &mut System<'_>) -> bool {
        if !system.allocations.limited() || self.place == Place::Taken {
            return true;
        }
        let writer = Writer::Request { ordinal: self.ordinal, worker: self.worker };
        let begun = system.allocations.begin(writer);
        self.place = if begun { Place::Taken } else { Place::Wanted(now) };
        begun
    }

    /// Another step begins.
    fn go_on(&mut self, now: u64, system: &mut System<'_>) {
        match self.place {
            Place::None => {}
            Place::Taken => {
                system.allocations.end();
                self.place = Place::None;
            }
            Place::Wanted(since_ns) => {
                self.waited_to_write_ns += now - since_ns;
                self.place = Place::Taken;
            }
        }
    }

    /// Tokens that are generated at a known time are a wait for that time.
    fn resolve(&self, wait: Wait, now: u64, system: &mut System<'_>) -> Wait {
        let Wait::Tokens(tokens) = wait else { return wait };
        let since_ns = self.generating_since_ns.unwrap_or(now);
        match system.gpu.after(self.worker, tokens, since_ns, now) {
            Some(at_ns) => Wait::Until(at_ns.max(now)),
            None => wait,
        }
    }

    /// Reads an object for this request; none when it is gone.
    pub fn read(&mut self, id: Id, sought: Sought, now: u64, system: &mut System<'_>) -> Result<Option<Loaded>> {
        let loaded = system.read(&self.caller, id, sought, now)?;
        let found = &mut self.found[sought as usize];
        match loaded {
            Some(_) => found.hits += 1,
            None => found.misses += 1,
        }
        Ok(loaded)
    }

    /// Something was sought of which not even an object is known.
    pub fn missed(&mut self, sought: Sought, system: &mut System<'_>) {
        self.found[sought as usize].misses += 1;
        system.tally.looked_up(sought, None);
    }

    /// So many more objects were sought of which nothing is known.
    pub fn missed_more(&mut self, sought: Sought, objects: usize, system: &mut System<'_>) {
        for _ in 0..objects {
            self.missed(sought, system);
        }
    }

    /// Stores an object for this request because of its prompt.
    pub fn store(&mut self, key: Key, tokens: u32, now: u64, system: &mut System<'_>) -> Result<Stored> {
        system.store(&self.caller, key, tokens, Phase::Prefill, now)
    }

    /// The answer is complete.
    pub fn answered(&mut self, now: u64) {
        self.answered_ns.get_or_insert(now);
    }

    /// The answer begins.
    pub fn begin_generating(&mut self, now: u64, system: &mut System<'_>) {
        self.generating_since_ns = Some(now);
        system.gpu.begin(self.worker, self.resident_tokens, self.request.generate_tokens, now);
    }
}
