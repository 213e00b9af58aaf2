//! The way of a request whose objects are token blocks: the longest resident prefix of its prompt
//! is read, the rest computed and written, and the blocks that its answer fills are written when
//! it ends.
//!
//! A prompt is looked up block by block, all at one moment; nothing is asked after the first block
//! that is missing, for attention to a later one needs all before it. A block that is resident by
//! the time it would be written is left alone: another request was faster, or it lay behind a
//! hole. Blocks of the prompt have phase Prefill, those that the answer completes phase Decode;
//! the latter are written behind the answer, and nobody waits for them.

use crate::error::{Error, Result};
use crate::trace::{Key, Phase};

use super::Phases;
use super::answer::{Answer, Next};
use super::cutter::Cutter;
use super::objects::DecodeReads;
use super::service::{Visit, Wait};
use super::system::System;
use super::tally::Sought;

/// Blocks of one prompt and its answer at most: 128 MiB of keys.
const MOST_BLOCKS: u64 = 1 << 24;

#[derive(Clone, Copy, Debug)]
enum Step {
    Cut,
    LookUp,
    Compute,
    Store,
    FirstRead,
    Begin,
    Await(Answer),
    Rescan(Answer),
    StoreAnswer,
    Finish,
}

/// Where a request is on its way.
#[derive(Debug)]
pub struct Blocks {
    step: Step,
    block_tokens: u32,
    keep_partial: bool,
    /// The full blocks of the prompt and its answer, first token first.
    keys: Vec<u64>,
    /// How many of them the prompt fills.
    full: usize,
    /// The prompt's last block, if it is not full and is kept.
    partial: Option<(u64, u32)>,
    /// Blocks of the prompt that were found, first token first.
    found: usize,
}

impl Blocks {
    /// Before the first step. `block_tokens` is above 0.
    pub fn new(block_tokens: u32, keep_partial: bool) -> Self {
        Self { step: Step::Cut, block_tokens, keep_partial, keys: Vec::new(), full: 0, partial: None, found: 0 }
    }

    /// Takes one step.
    pub fn step(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        match self.step {
            Step::Cut => self.cut(visit, now, system),
            Step::LookUp => self.look_up(visit, now, system),
            Step::Compute => self.compute(visit, now, system),
            Step::Store => self.store_prompt(visit, now, system),
            Step::FirstRead => self.read_again(self.found, Step::Begin, visit, now, system),
            Step::Begin => Ok(self.begin_answer(visit, now, system)),
            Step::Await(answer) => Ok(self.await_rescan(answer, visit)),
            Step::Rescan(answer) => self.read_again(0, Step::Await(answer), visit, now, system),
            Step::StoreAnswer => self.store_answer(visit, now, system),
            Step::Finish => Ok(Wait::Over),
        }
    }

    /// Finds out what the prompt consists of.
    fn cut(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let (mut cutter, mut prompt_tokens) = (Cutter::new(self.block_tokens), 0u64);
        let (keys, most_tokens) = (&mut self.keys, MOST_BLOCKS * u64::from(self.block_tokens));
        let answer = system.transcripts.begin_turn(visit.ordinal, &mut visit.request, |segment| {
            prompt_tokens = prompt_tokens.saturating_add(u64::from(segment.tokens));
            if prompt_tokens <= most_tokens {
                cutter.push(segment, keys);
            }
        });
        let tokens = prompt_tokens.saturating_add(u64::from(answer.tokens));
        if tokens > most_tokens {
            return Err(self.too_long(visit, tokens));
        }
        self.full = keys.len();
        self.partial = cutter.partial().filter(|_| self.keep_partial);
        cutter.push(answer, keys);
        (visit.prompt_tokens, visit.resident_tokens) = (prompt_tokens, prompt_tokens);
        visit.prefix_tokens = visit.request.prefix.map_or(0, |prompt| system.transcripts.prompt_tokens(prompt));
        self.step = Step::LookUp;
        Ok(Wait::Until(now))
    }

    fn too_long(&self, visit: &Visit, tokens: u64) -> Error {
        Error::usage(format!(
            "turn {} of {} has {tokens} tokens with its answer, more than {MOST_BLOCKS} blocks of {}; larger ones \
             (--objects token-blocks:N) or --objects turn take it",
            visit.request.turn, visit.request.conversation, self.block_tokens
        ))
    }

    /// Blocks of the prompt.
    fn sought(&self) -> usize {
        self.full + usize::from(self.partial.is_some())
    }

    /// A block of the prompt, and how many tokens it has.
    fn block(&self, index: usize) -> (u64, u32) {
        match self.partial {
            Some(partial) if index == self.full => partial,
            _ => (self.keys[index], self.block_tokens),
        }
    }

    /// Tokens of the first `blocks` blocks of the prompt.
    fn tokens(&self, blocks: usize) -> u64 {
        let partial = self.partial.filter(|_| blocks > self.full).map_or(0, |(_, tokens)| u64::from(tokens));
        blocks.min(self.full) as u64 * u64::from(self.block_tokens) + partial
    }

    /// Their bytes.
    fn bytes(&self, blocks: usize, system: &System<'_>) -> u64 {
        let partial = self.partial.filter(|_| blocks > self.full).map_or(0, |(_, tokens)| tokens);
        let full_bytes = system.config.object_bytes(self.block_tokens);
        (blocks.min(self.full) as u64).saturating_mul(full_bytes).saturating_add(system.config.object_bytes(partial))
    }

    fn look_up(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let (mut done_ns, sought, mut asked) = (now, self.sought(), 0);
        while self.found < sought
            && let Some(id) = system.resident_block(self.block(self.found).0)
        {
            asked += 1;
            let Some(loaded) = visit.read(id, Sought::Object, now, system)? else { break };
            done_ns = done_ns.max(loaded.done_ns);
            self.found += 1;
        }
        visit.missed_more(Sought::Object, sought - asked, system);
        let hit_tokens = self.tokens(self.found);
        visit.hit_tokens = u32::try_from(hit_tokens).unwrap_or(u32::MAX);
        system.tally.prefix_tokens_reused += hit_tokens.min(u64::from(visit.prefix_tokens));
        let (hit_bytes, sought_bytes) = (self.bytes(self.found, system), self.bytes(sought, system));
        system.tally.ratios.prompt(hit_tokens, visit.prompt_tokens);
        system.tally.ratios.looked_up(self.found as u64, sought as u64, hit_bytes, sought_bytes);
        self.step = Step::Compute;
        Ok(Wait::Until(done_ns))
    }

    fn compute(&mut self, visit: &Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        self.step = Step::Store;
        Ok(Wait::Until(system.gpu.prefill(visit.prompt_tokens - self.tokens(self.found), now)))
    }

    fn store_prompt(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let missing = (self.found..self.sought()).map(|index| self.block(index));
        let Some(done_ns) = store(missing, Phase::Prefill, visit, now, system)? else { return Ok(Wait::ToWrite) };
        self.step = match (system.config.phases, system.config.objects.decode_reads) {
            (Phases::PrefillOnly, _) => Step::Finish,
            (_, DecodeReads::Rescan(_)) => Step::FirstRead,
            (_, DecodeReads::None) => Step::Begin,
        };
        Ok(Wait::Until(done_ns))
    }

    /// Reads the blocks of the prompt from `first` on once more, as far as they are there.
    fn read_again(
        &mut self,
        first: usize,
        then: Step,
        visit: &mut Visit,
        now: u64,
        system: &mut System<'_>,
    ) -> Result<Wait> {
        self.step = then;
        let mut done_ns = now;
        for index in first..self.sought() {
            match system.resident_block(self.block(index).0) {
                None => visit.missed(Sought::Object, system),
                Some(id) => {
                    let loaded = visit.read(id, Sought::Object, now, system)?;
                    done_ns = done_ns.max(loaded.map_or(now, |loaded| loaded.done_ns));
                }
            }
        }
        Ok(Wait::Until(done_ns))
    }

    fn begin_answer(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Wait {
        self.step = Step::Await(Answer::begin(self.sought() > 0, visit, now, system));
        Wait::Until(now)
    }

    fn await_rescan(&mut self, mut answer: Answer, visit: &Visit) -> Wait {
        let (step, wait) = match answer.next(visit.request.generate_tokens) {
            Next::Rescan(wait) => (Step::Rescan(answer), wait),
            Next::End(wait) => (Step::StoreAnswer, wait),
        };
        self.step = step;
        wait
    }

    /// Writes the blocks that the answer has filled. Its last one, if it is not full, is never
    /// stored: no later prompt ends where it does.
    fn store_answer(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        visit.answered(now);
        let of_answer = self.keys[self.full..].iter().map(|key| (*key, self.block_tokens));
        let Some(done_ns) = store(of_answer, Phase::Decode, visit, now, system)? else { return Ok(Wait::ToWrite) };
        self.step = Step::Finish;
        // A place among the writes in progress is kept until they are done.
        Ok(Wait::Until(if system.allocations.limited() { done_ns } else { now }))
    }
}

/// Stores blocks, those apart that are resident by now: when they are written, or none when the
/// request has to wait for its turn to write.
fn store(
    blocks: impl Iterator<Item = (u64, u32)>,
    phase: Phase,
    visit: &mut Visit,
    now: u64,
    system: &mut System<'_>,
) -> Result<Option<u64>> {
    let mut done_ns = now;
    for (block, tokens) in blocks {
        if system.resident_block(block).is_some() {
            continue;
        }
        if !visit.may_store(now, system) {
            return Ok(None);
        }
        let stored = system.store(&visit.caller, Key::Block(block), tokens, phase, now)?;
        if let Some(id) = stored.id {
            system.residents.stored(block, id);
        }
        done_ns = done_ns.max(stored.done_ns);
    }
    Ok(Some(done_ns))
}
