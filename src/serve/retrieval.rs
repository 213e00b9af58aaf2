//! What one request retrieves of a document: its chunks are read one after another, those that
//! are gone are computed and stored again.

use crate::cache::Id;
use crate::error::Result;

use super::Phases;
use super::rag::Chunk;
use super::service::{Visit, Wait};
use super::system::{Loaded, System};
use super::tally::Sought;

/// A retrieval on its way.
#[derive(Debug)]
pub struct Retrieval {
    chunks: Vec<Chunk>,
    /// The chunks that were gone, and what was last stored for them.
    missing: Vec<(Chunk, Option<Id>)>,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read(usize),
    Compute,
    Store(usize),
}

impl Retrieval {
    /// What a question about documents retrieves; none while there is no document.
    pub fn of_query(ordinal: u64, system: &mut System<'_>) -> Option<Self> {
        let mut stream = system.config.seed.stream("query", ordinal, 0);
        system.documents.retrieve(&mut stream).map(Self::new)
    }

    /// What any other request looks up besides, if it does.
    pub fn besides(ordinal: u64, system: &mut System<'_>) -> Option<Self> {
        let probability = system.documents.options()?.request_probability;
        let mut stream = system.config.seed.stream("retrieval", ordinal, 0);
        if !stream.chance(probability) {
            return None;
        }
        system.documents.retrieve(&mut stream).map(Self::new)
    }

    fn new(chunks: Vec<Chunk>) -> Self {
        Self { chunks, missing: Vec::new(), step: Step::Read(0) }
    }

    /// The tokens of all its chunks.
    pub fn tokens(&self) -> u32 {
        self.chunks.iter().fold(0, |sum, chunk| sum.saturating_add(chunk.tokens))
    }

    /// Takes one step; none when nothing is left to do.
    pub fn step(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Option<Wait>> {
        match self.step {
            Step::Read(place) => self.read(place, visit, now, system).map(Some),
            Step::Compute => {
                self.step = Step::Store(0);
                let tokens = self.missing.iter().map(|(chunk, _)| u64::from(chunk.tokens)).sum();
                let done_ns = if tokens > 0 { system.gpu.prefill(tokens, now) } else { now };
                Ok(Some(Wait::Until(done_ns)))
            }
            Step::Store(place) => self.store(place, visit, now, system),
        }
    }

    fn read(&mut self, place: usize, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let Some(&chunk) = self.chunks.get(place) else {
            self.step = Step::Compute;
            return Ok(Wait::Until(now));
        };
        self.step = Step::Read(place + 1);
        let known = system.documents.object(chunk);
        if let Some(loaded) = visit.read_chunk(chunk, now, system)? {
            // The prompt of a question is its chunks; what others look up besides is not of theirs.
            if visit.request.about_documents {
                visit.hit_tokens = visit.hit_tokens.saturating_add(loaded.tokens);
            }
            return Ok(Wait::Until(loaded.done_ns));
        }
        if !matches!(system.config.phases, Phases::DecodeOnly { .. }) {
            self.missing.push((chunk, known.flatten()));
        }
        Ok(Wait::Until(now))
    }

    fn store(&mut self, place: usize, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Option<Wait>> {
        let Some(&(chunk, known)) = self.missing.get(place) else { return Ok(None) };
        // Whoever missed it too may have stored it meanwhile, and its document may be gone.
        if system.documents.object(chunk) == Some(known) {
            if !visit.may_store(now, system) {
                return Ok(Some(Wait::ToWrite));
            }
            let stored = visit.store(chunk.key(), chunk.tokens, now, system)?;
            system.documents.stored(chunk, stored.id);
            self.step = Step::Store(place + 1);
            return Ok(Some(Wait::Until(stored.done_ns)));
        }
        self.step = Step::Store(place + 1);
        Ok(Some(Wait::Until(now)))
    }

    /// Reads one of its chunks once more; none when there are no more of them.
    pub fn read_again(
        &self,
        place: usize,
        visit: &mut Visit,
        now: u64,
        system: &mut System<'_>,
    ) -> Result<Option<Wait>> {
        let Some(&chunk) = self.chunks.get(place) else { return Ok(None) };
        let loaded = visit.read_chunk(chunk, now, system)?;
        Ok(Some(Wait::Until(loaded.map_or(now, |loaded| loaded.done_ns))))
    }
}

impl Visit {
    /// Reads a chunk of a document for this request; none when it is gone.
    fn read_chunk(&mut self, chunk: Chunk, now: u64, system: &mut System<'_>) -> Result<Option<Loaded>> {
        match system.documents.object(chunk).flatten() {
            Some(id) => self.read(id, Sought::Document, now, system),
            None => {
                self.missed(Sought::Document, system);
                Ok(None)
            }
        }
    }
}
