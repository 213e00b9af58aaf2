//! The way of a request whose objects are turns: its prefix, its earlier turns, its own object,
//! and whole reads of that while it generates. Each step happens at a moment and says what the
//! next one waits for.

use crate::cache::Id;
use crate::error::Result;
use crate::trace::Key;
use crate::workload::{Request, prompts};

use super::conversations::History;
use super::service::{Visit, Wait};
use super::system::System;
use super::tally::Sought;
use super::{DECODE_BATCH_TOKENS, PREFILL_ONLY_TOKENS};

#[derive(Clone, Copy, Debug)]
enum Step {
    Prefix,
    History(usize),
    Store,
    Compute,
    FirstRead,
    Begin,
    Await(u32),
    Rescan(u32),
    Generate,
    Finish,
}

/// Where a request is on its way.
#[derive(Debug)]
pub struct Turns {
    step: Step,
    history: History,
    own: Option<Id>,
}

impl Turns {
    /// Looks up what the conversation has so far.
    pub fn begin(visit: &mut Visit, system: &mut System<'_>) -> Self {
        let Request { conversation_ordinal, turn, context_tokens, .. } = visit.request;
        let mut history = History::default();
        system.conversations.begin_turn(
            conversation_ordinal,
            turn,
            context_tokens > 0,
            &mut history,
            &mut system.cache,
        );
        if !system.config.history {
            history = History::default();
        }
        Self { step: Step::Prefix, history, own: None }
    }

    /// Takes one step.
    pub fn step(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        match self.step {
            Step::Prefix => self.read_prefix(visit, now, system),
            Step::History(next) => self.read_history(next, visit, now, system),
            Step::Compute => self.compute(visit, now, system),
            Step::Store => self.store_own(visit, now, system),
            Step::FirstRead => self.read_first(visit, now, system),
            Step::Begin => Ok(self.begin_answer(visit, now, system)),
            Step::Await(number) => Ok(self.await_rescan(number, visit)),
            Step::Rescan(number) => self.rescan(number, visit, now, system),
            Step::Generate => Ok(self.generate(visit, now, system)),
            Step::Finish => Ok(Wait::Over),
        }
    }

    fn read_prefix(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        self.step = Step::History(0);
        let Some(prompt) = visit.request.prefix else { return Ok(Wait::Until(now)) };
        let prompt_text = &prompts::ALL[usize::from(prompt)];
        visit.prefix_tokens = prompt_text.tokens;
        match system.prefixes.object(prompt) {
            None => visit.missed(Sought::Prefix, system),
            Some(id) => {
                if let Some(loaded) = visit.read(id, Sought::Prefix, now, system)? {
                    system.prefixes.used(prompt);
                    visit.hit_tokens += loaded.tokens;
                    system.tally.prefix_tokens_reused += u64::from(loaded.tokens);
                    return Ok(Wait::Until(loaded.done_ns));
                }
            }
        }
        let stored = visit.store(prompt_text.key(), prompt_text.tokens, now, system)?;
        system.prefixes.stored(prompt, stored.id, &mut system.cache);
        Ok(Wait::Until(stored.done_ns))
    }

    fn read_history(&mut self, next: usize, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        if next == 0 {
            for _ in 0..self.history.unknown {
                visit.missed(Sought::History, system);
            }
        }
        let Some(&id) = self.history.objects.get(next) else {
            self.step = Step::Compute;
            return Ok(Wait::Until(now));
        };
        self.step = Step::History(next + 1);
        let Some(loaded) = visit.read(id, Sought::History, now, system)? else { return Ok(Wait::Until(now)) };
        visit.hit_tokens = visit.hit_tokens.saturating_add(loaded.tokens);
        Ok(Wait::Until(loaded.done_ns))
    }

    fn compute(&mut self, visit: &Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        self.step = Step::Store;
        Ok(Wait::Until(system.gpu.prefill(u64::from(visit.request.context_tokens), now)))
    }

    /// Stores the turn's object and remembers it as part of the conversation: when it is written.
    fn store(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<u64> {
        let Request { turn, context_tokens, conversation_ordinal, .. } = visit.request;
        let key = Key::Turn { conversation: visit.request.conversation.clone(), turn };
        let stored = visit.store(key, context_tokens, now, system)?;
        if let Some(id) = stored.id {
            system.conversations.stored(conversation_ordinal, turn, id, &mut system.cache);
        }
        self.own = stored.id;
        Ok(stored.done_ns)
    }

    fn store_own(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let context_tokens = visit.request.context_tokens;
        let done_ns = if context_tokens > 0 { self.store(visit, now, system)? } else { now };
        let reads_back = self.own.is_some() && context_tokens.saturating_add(visit.prefix_tokens) < PREFILL_ONLY_TOKENS;
        self.step = if reads_back { Step::FirstRead } else { Step::Generate };
        Ok(Wait::Until(done_ns))
    }

    fn read_first(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let id = self.own.expect("only a stored object is read");
        let Some(loaded) = visit.read(id, Sought::Object, now, system)? else {
            // Evicted from the last tier between its writing and its first reading: written
            // again, and generated from without being read back, as the reference does.
            self.step = Step::Generate;
            return Ok(Wait::Until(self.store(visit, now, system)?));
        };
        self.step = Step::Begin;
        Ok(Wait::Until(loaded.done_ns))
    }

    fn begin_answer(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Wait {
        visit.begin_generating(now, system);
        self.step = Step::Await(1);
        Wait::Until(now)
    }

    /// Waits for the tokens before a rescan, which are spread evenly over the answer; after the
    /// last, for the end of the answer.
    fn await_rescan(&mut self, number: u32, visit: &Visit) -> Wait {
        let generate_tokens = visit.request.generate_tokens;
        let rescans = generate_tokens.div_ceil(DECODE_BATCH_TOKENS);
        if number > rescans {
            self.step = Step::Finish;
            return Wait::Tokens(generate_tokens);
        }
        self.step = Step::Rescan(number);
        let share = u64::from(generate_tokens) * u64::from(number) / u64::from(rescans + 1);
        Wait::Tokens(share as u32)
    }

    /// Reads the whole object once more.
    fn rescan(&mut self, number: u32, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        self.step = Step::Await(number + 1);
        let id = self.own.expect("only a stored object is read");
        let loaded = visit.read(id, Sought::Object, now, system)?;
        Ok(Wait::Until(loaded.map_or(now, |loaded| loaded.done_ns)))
    }

    fn generate(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Wait {
        visit.begin_generating(now, system);
        self.step = Step::Finish;
        Wait::Tokens(visit.request.generate_tokens)
    }
}
