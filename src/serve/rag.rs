//! The documents of the simulated system: they are ingested chunk by chunk from the start on, in
//! the background; a question can be asked about those that are complete.

use std::collections::VecDeque;

use crate::cache::Id;
use crate::seed::{Seed, Stream};
use crate::trace::Key;
use crate::trace::meta::RagUse;
use crate::workload::RagOptions;

/// A document that was ingested, or is being.
#[derive(Debug)]
struct Document {
    number: u32,
    /// Tokens of each chunk, and the object that was last stored for it; it may be gone by now.
    chunks: Vec<(u32, Option<Id>)>,
}

/// A chunk that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// Its document.
    pub document: u32,
    /// Its place in it, from 0.
    pub index: u32,
    /// Its tokens.
    pub tokens: u32,
}

impl Chunk {
    /// Its name in the trace.
    pub fn key(self) -> Key {
        Key::Chunk { document: self.document, index: self.index }
    }
}

/// The documents, oldest first.
#[derive(Debug)]
pub struct Documents {
    options: Option<RagOptions>,
    seed: Seed,
    complete: VecDeque<Document>,
    ingested: Option<Document>,
    begun: u32,
    /// What is counted.
    pub counts: RagUse,
}

impl Documents {
    /// No document yet.
    pub fn new(options: Option<RagOptions>, seed: Seed) -> Self {
        Self { options, seed, complete: VecDeque::new(), ingested: None, begun: 0, counts: RagUse::default() }
    }

    /// Whether requests ask about documents at all.
    pub fn options(&self) -> Option<RagOptions> {
        self.options
    }

    /// Begins to ingest the next document; false when there is none left.
    pub fn begin_next(&mut self) -> bool {
        let Some(options) = self.options.filter(|options| self.begun < options.documents) else { return false };
        let tokens = options.chunks(self.seed, self.begun);
        let chunks = tokens.into_iter().map(|tokens| (tokens, None)).collect();
        self.ingested = Some(Document { number: self.begun, chunks });
        self.begun += 1;
        true
    }

    /// The objects of the oldest document if it has to make room for the one that is being
    /// ingested; it can be asked for no more.
    pub fn make_room(&mut self) -> Option<impl Iterator<Item = Id> + use<>> {
        let limit = self.options.and_then(|options| options.max_documents)?;
        if (self.complete.len() as u64) < u64::from(limit) {
            return None;
        }
        let oldest = self.complete.pop_front()?;
        self.counts.documents_evicted += 1;
        Some(oldest.chunks.into_iter().filter_map(|(_, id)| id))
    }

    /// A chunk of the document that is being ingested; none after its last.
    pub fn next_chunk(&self, index: u32) -> Option<Chunk> {
        let document = self.ingested.as_ref()?;
        let (tokens, _) = *document.chunks.get(index as usize)?;
        Some(Chunk { document: document.number, index, tokens })
    }

    /// A chunk of the document that is being ingested was stored, or could not be.
    pub fn ingested(&mut self, index: u32, id: Option<Id>) {
        if let Some(document) = &mut self.ingested {
            document.chunks[index as usize].1 = id;
            self.counts.chunks_ingested += 1;
        }
    }

    /// The document that is being ingested can be asked about from now on.
    pub fn complete(&mut self) {
        self.counts.documents_ingested += u64::from(self.ingested.is_some());
        self.complete.extend(self.ingested.take());
    }

    /// A document, all of them equally likely, and what is retrieved of it; none while there is
    /// no document.
    pub fn retrieve(&mut self, stream: &mut Stream) -> Option<Vec<Chunk>> {
        let options = self.options.filter(|_| !self.complete.is_empty())?;
        let document = &self.complete[stream.below(self.complete.len() as u64) as usize];
        let picks = options.retrieve(stream, document.chunks.len() as u32);
        self.counts.retrievals += 1;
        let chunk = |index: u32| Chunk { document: document.number, index, tokens: document.chunks[index as usize].0 };
        Some(picks.into_iter().map(chunk).collect())
    }

    /// The object that was last stored for a chunk; the outer none: its document is gone.
    pub fn object(&self, chunk: Chunk) -> Option<Option<Id>> {
        let document = &self.complete[self.place(chunk)?];
        Some(document.chunks[chunk.index as usize].1)
    }

    /// A chunk was stored again, or could not be.
    pub fn stored(&mut self, chunk: Chunk, id: Option<Id>) {
        if let Some(place) = self.place(chunk) {
            self.complete[place].chunks[chunk.index as usize].1 = id;
            self.counts.chunks_recomputed += 1;
        }
    }

    /// Documents are complete in the order of their numbers and leave in that order.
    fn place(&self, chunk: Chunk) -> Option<usize> {
        let first = self.complete.front()?.number;
        let place = chunk.document.checked_sub(first)? as usize;
        (place < self.complete.len()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Distribution;

    /// Documents of two chunks, of which so many are kept.
    fn documents(most: u32) -> Documents {
        let options = RagOptions {
            documents: 4,
            document_tokens: (90, 90),
            chunk_tokens: 60,
            top_k: 5,
            request_probability: 1.0,
            distribution: Distribution::Uniform,
            max_documents: Some(most),
        };
        Documents::new(Some(options), Seed(1))
    }

    /// Ingests the next document; how many chunks it has, and whether one made room.
    fn ingest(documents: &mut Documents) -> (u32, bool) {
        assert!(documents.begin_next());
        let made_room = documents.make_room().is_some();
        let mut count = 0;
        while documents.next_chunk(count).is_some() {
            documents.ingested(count, None);
            count += 1;
        }
        documents.complete();
        (count, made_room)
    }

    #[test]
    fn a_document_can_be_asked_about_from_its_last_chunk_until_it_makes_room() {
        let mut documents = documents(2);
        let retrieved = |documents: &mut Documents| {
            let draw = |n| documents.retrieve(&mut Seed(2).stream("test", 0, n)).map(|chunks| chunks[0].document);
            let mut numbers: Vec<u32> = (0..50).filter_map(draw).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        documents.begin_next();
        assert!(retrieved(&mut documents).is_empty());
        documents.complete();
        assert_eq!(retrieved(&mut documents), [0]);
        assert_eq!(ingest(&mut documents), (2, false));
        assert_eq!(retrieved(&mut documents), [0, 1]);
        assert_eq!(ingest(&mut documents), (2, true));
        assert_eq!(retrieved(&mut documents), [1, 2]);
        let gone = Chunk { document: 0, index: 0, tokens: 60 };
        assert_eq!((documents.object(gone), documents.object(Chunk { document: 2, ..gone })), (None, Some(None)));
        assert_eq!(ingest(&mut documents), (2, true));
        assert!(!documents.begin_next(), "there are four");
    }
}
