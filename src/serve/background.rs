//! What the system does for no request in particular: it has objects ready before the first
//! request, and ingests documents from the start on.

use crate::error::Result;
use crate::trace::{Key, Phase};

use super::Phases;
use super::allocations::Writer;
use super::system::{Caller, System};

/// Tokens of an object that is there before the first request (as in the reference).
const PREPOPULATED_TOKENS: u32 = 2048;

/// Background work; it is never ahead of the requests and goes first at the same moment.
#[derive(Debug)]
pub struct Background {
    step: Step,
    due_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Prepopulate,
    Open,
    /// The chunk to be stored; whether a place among the writes is taken for it already.
    Store(u32, bool),
    /// The chunk that is written.
    Written(u32),
}

impl Background {
    /// Everything is still to be done.
    pub fn new() -> Self {
        Self { step: Step::Prepopulate, due_ns: Some(0) }
    }

    /// When it goes on; none while it waits for others and when it is over.
    pub fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// It may write now.
    pub fn let_in(&mut self, now: u64) {
        if let Step::Store(chunk, _) = self.step {
            self.step = Step::Store(chunk, true);
            self.due_ns = Some(now);
        }
    }

    /// Takes one step.
    pub fn step(&mut self, now: u64, system: &mut System<'_>) -> Result<()> {
        self.due_ns = match self.step {
            Step::Prepopulate => self.prepopulate(now, system)?,
            Step::Open => self.open(now, system)?,
            Step::Store(chunk, let_in) => self.store(chunk, let_in, now, system)?,
            Step::Written(chunk) => {
                system.allocations.end();
                self.step = Step::Store(chunk + 1, false);
                Some(now)
            }
        };
        Ok(())
    }

    /// Everything at once and before the clock starts: no request waits for it.
    fn prepopulate(&mut self, now: u64, system: &mut System<'_>) -> Result<Option<u64>> {
        self.step = Step::Open;
        if let Phases::DecodeOnly { objects } = system.config.phases {
            for number in 0..objects {
                let key = Key::Prepopulated(number);
                let stored = system.store(&Caller::BACKGROUND, key, PREPOPULATED_TOKENS, Phase::Prefill, now)?;
                system.prepopulated.push(stored.id);
            }
            system.free_channels();
        }
        Ok(Some(now))
    }

    fn open(&mut self, now: u64, system: &mut System<'_>) -> Result<Option<u64>> {
        if !system.documents.begin_next() {
            return Ok(None);
        }
        while let Some(objects) = system.documents.make_room() {
            for id in objects {
                system.remove(&Caller::BACKGROUND, id, now)?;
            }
        }
        self.step = Step::Store(0, false);
        Ok(Some(now))
    }

    fn store(&mut self, index: u32, let_in: bool, now: u64, system: &mut System<'_>) -> Result<Option<u64>> {
        let Some(chunk) = system.documents.next_chunk(index) else {
            system.documents.complete();
            self.step = Step::Open;
            return Ok(Some(now));
        };
        if !let_in && !system.allocations.begin(Writer::Background) {
            return Ok(None);
        }
        let stored = system.store(&Caller::BACKGROUND, chunk.key(), chunk.tokens, Phase::Prefill, now)?;
        system.documents.ingested(index, stored.id);
        self.step = Step::Written(index);
        Ok(Some(stored.done_ns))
    }
}
