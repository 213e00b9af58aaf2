//! The way of a request whose objects are turns: its prefix, its earlier turns, its own object,
//! what it retrieves of documents, and whole reads of its object while it generates. Each step
//! happens at a moment and says what the next one waits for.

use crate::cache::Id;
use crate::error::Result;
use crate::trace::Key;
use crate::workload::{Request, prompts};

use super::answer::{Answer, Next};
use super::conversations::History;
use super::objects::HistoryReads;
use super::retrieval::Retrieval;
use super::service::{Visit, Wait};
use super::system::System;
use super::tally::Sought;
use super::{PREFILL_ONLY_TOKENS, Phases};

#[derive(Clone, Copy, Debug)]
enum Step {
    Prefix,
    /// What was last stored for the prompt when it was missed.
    StorePrefix(Option<Id>),
    History(usize),
    Store,
    Compute,
    Retrieve,
    FirstRead,
    StoreAgain,
    /// Whether the object is read again meanwhile.
    Begin(bool),
    Await(Answer),
    Rescan(Answer),
    Finish,
}

/// Where a request is on its way.
#[derive(Debug)]
pub struct Turns {
    step: Step,
    history: History,
    own: Option<Id>,
    /// Tokens of a shared prefix that has to be computed.
    missed_prefix_tokens: u32,
    retrieval: Option<Box<Retrieval>>,
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
        Self { step: Step::Prefix, history, own: None, missed_prefix_tokens: 0, retrieval: None }
    }

    /// Takes one step.
    pub fn step(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        match self.step {
            Step::Prefix => self.read_prefix(visit, now, system),
            Step::StorePrefix(known) => self.store_prefix(known, visit, now, system),
            Step::History(next) => self.read_history(next, visit, now, system),
            Step::Compute => self.compute(visit, now, system),
            Step::Store => self.store_own(visit, now, system),
            Step::Retrieve => self.retrieve(visit, now, system),
            Step::FirstRead => self.read_first(visit, now, system),
            Step::StoreAgain => self.store_again(visit, now, system),
            Step::Begin(rereads) => {
                self.step = Step::Await(Answer::begin(rereads, visit, now, system));
                Ok(Wait::Until(now))
            }
            Step::Await(answer) => Ok(self.await_rescan(answer, visit)),
            Step::Rescan(answer) => self.rescan(answer, visit, now, system),
            Step::Finish => Ok(Wait::Over),
        }
    }

    fn read_prefix(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        self.step = Step::History(0);
        let Some(prompt) = visit.request.prefix else { return Ok(Wait::Until(now)) };
        let prompt_text = &prompts::ALL[usize::from(prompt)];
        visit.prefix_tokens = prompt_text.tokens;
        visit.resident_tokens += u64::from(prompt_text.tokens);
        let known = system.prefixes.object(prompt);
        match known {
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
        self.missed_prefix_tokens = prompt_text.tokens;
        self.step = Step::StorePrefix(known);
        Ok(Wait::Until(now))
    }

    /// Stores the prompt, unless whoever missed it too has done so meanwhile.
    fn store_prefix(
        &mut self,
        known: Option<Id>,
        visit: &mut Visit,
        now: u64,
        system: &mut System<'_>,
    ) -> Result<Wait> {
        let Some(prompt) = visit.request.prefix.filter(|prompt| system.prefixes.object(*prompt) == known) else {
            self.step = Step::History(0);
            return Ok(Wait::Until(now));
        };
        if !visit.may_store(now, system) {
            return Ok(Wait::ToWrite);
        }
        self.step = Step::History(0);
        let prompt_text = &prompts::ALL[usize::from(prompt)];
        let stored = visit.store(prompt_text.key(), prompt_text.tokens, now, system)?;
        system.prefixes.stored(prompt, stored.id, &mut system.cache);
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
                visit.resident_tokens += u64::from(loaded.tokens);
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
        system.tally.ratios.prompt(u64::from(visit.hit_tokens), visit.prompt_tokens);
        let tokens = u64::from(visit.request.context_tokens) + u64::from(self.missed_prefix_tokens);
        Ok(Wait::Until(system.gpu.prefill(tokens, now)))
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
        let stores = visit.request.context_tokens > 0;
        if stores && !visit.may_store(now, system) {
            return Ok(Wait::ToWrite);
        }
        let done_ns = if stores { self.store(visit, now, system)? } else { now };
        self.retrieval = Retrieval::besides(visit.ordinal, system).map(Box::new);
        self.step = Step::Retrieve;
        Ok(Wait::Until(done_ns))
    }

    fn retrieve(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        if let Some(retrieval) = &mut self.retrieval
            && let Some(wait) = retrieval.step(visit, now, system)?
        {
            return Ok(wait);
        }
        let prompt_tokens = visit.request.context_tokens.saturating_add(visit.prefix_tokens);
        self.step = match system.config.phases {
            Phases::PrefillOnly => Step::Finish,
            _ if self.own.is_some() && prompt_tokens < PREFILL_ONLY_TOKENS => Step::FirstRead,
            _ => Step::Begin(false),
        };
        Ok(Wait::Until(now))
    }

    fn read_first(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let id = self.own.expect("only a stored object is read");
        let Some(loaded) = visit.read(id, Sought::Object, now, system)? else {
            self.step = Step::StoreAgain;
            return Ok(Wait::Until(now));
        };
        self.step = Step::Begin(true);
        Ok(Wait::Until(loaded.done_ns))
    }

    /// Evicted from the last tier between its writing and its first reading: written again, and
    /// generated from without being read back, as the reference does.
    fn store_again(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        if !visit.may_store(now, system) {
            return Ok(Wait::ToWrite);
        }
        self.step = Step::Begin(false);
        Ok(Wait::Until(self.store(visit, now, system)?))
    }

    fn await_rescan(&mut self, mut answer: Answer, visit: &Visit) -> Wait {
        let (step, wait) = match answer.next(visit.request.generate_tokens) {
            Next::Rescan(wait) => (Step::Rescan(answer), wait),
            Next::End(wait) => (Step::Finish, wait),
        };
        self.step = step;
        wait
    }

    /// Reads the whole object once more.
    fn rescan(&mut self, answer: Answer, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        self.step = Step::Await(answer);
        let id = self.own.expect("only a stored object is read");
        let loaded = visit.read(id, Sought::Object, now, system)?;
        Ok(Wait::Until(loaded.map_or(now, |loaded| loaded.done_ns)))
    }
}
