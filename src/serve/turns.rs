//! The way of a request whose objects are turns: its prefix, its earlier turns, its own object,
//! and whole reads of that while it generates. Each step happens at a moment and says what the
//! next one waits for.

use crate::cache::Id;
use crate::error::Result;
use crate::trace::Key;
use crate::workload::{Request, prompts};

use super::PREFILL_ONLY_TOKENS;
use super::conversations::History;
use super::objects::{DecodeReads, HistoryReads};
use super::service::{Visit, Wait};
use super::system::System;
use super::tally::Sought;

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
        let Request { conversation_ordinal, turn, context_tokens, prefix, .. } = visit.request;
        let mut history = History::default();
        system.conversations.begin_turn(conversation_ordinal, turn, context_tokens, &mut history, &mut system.cache);
        if system.config.objects.history == HistoryReads::None {
            history = History::default();
        }
        let prefix_tokens = prefix.map_or(0, |prompt| prompts::ALL[usize::from(prompt)].tokens);
        visit.prompt_tokens = u64::from(prefix_tokens) + history.tokens + u64::from(context_tokens);
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
            Step::Await(number) => Ok(self.await_rescan(number, visit, system)),
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
                    visit.hit_tokens += loaded.tokens;
                    system.tally.prefix_tokens_reused += u64::from(loaded.tokens);
                    return Ok(Wait::Until(loaded.done_ns));
                }
            }
        }
        let stored = visit.store(prompt_text.key(), prompt_text.tokens, now, system)?;
        system.prefixes.stored(prompt, stored.id);
        Ok(Wait::Until(stored.done_ns))
    }

    fn read_history(&mut self, next: usize, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let reads_on = system.config.objects.history == HistoryReads::All;
        if next == 0 && self.history.forgotten > 0 {
            visit.missed_more(Sought::History, self.history.forgotten as usize, system);
            if !reads_on {
                return Ok(self.leave_history(next, visit, now, system));
            }
        }
        let Some(&turn) = self.history.objects.get(next) else {
            self.step = Step::Compute;
            return Ok(Wait::Until(now));
        };
        self.step = Step::History(next + 1);
        let loaded = match turn {
            Some(id) => visit.read(id, Sought::History, now, system)?,
            None => {
                visit.missed(Sought::History, system);
                None
            }
        };
        match loaded {
            Some(loaded) => {
                visit.hit_tokens = visit.hit_tokens.saturating_add(loaded.tokens);
                Ok(Wait::Until(loaded.done_ns))
            }
            None if reads_on => Ok(Wait::Until(now)),
            None => Ok(self.leave_history(next + 1, visit, now, system)),
        }
    }

    /// Nothing after a missing turn is asked for: the turns from `next` on are missing too.
    fn leave_history(&mut self, next: usize, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Wait {
        visit.missed_more(Sought::History, self.history.objects.len() - next, system);
        self.step = Step::Compute;
        Wait::Until(now)
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
        let reads_back = self.own.is_some()
            && system.config.objects.decode_reads != DecodeReads::None
            && context_tokens.saturating_add(visit.prefix_tokens) < PREFILL_ONLY_TOKENS;
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

    /// Waits for the tokens before a rescan; after the last, for the end of the answer.
    fn await_rescan(&mut self, number: u32, visit: &Visit, system: &System<'_>) -> Wait {
        let answer_tokens = visit.request.generate_tokens;
        match system.config.objects.decode_reads.tokens_before(number, answer_tokens) {
            Some(tokens) => {
                self.step = Step::Rescan(number);
                Wait::Tokens(tokens)
            }
            None => {
                self.step = Step::Finish;
                Wait::Tokens(answer_tokens)
            }
        }
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
