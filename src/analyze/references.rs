//! What a request file refers to: the token blocks of every prompt, from its first token on, in
//! the order of the requests.

use std::num::NonZeroU32;

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::serve::Cutter;
use crate::stop::Stop;
use crate::workload::{Content, Request, Segment};

/// Requests between two looks at the stop flag.
const STRIDE: u64 = 1024;

/// Token blocks by dense numbers, request after request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// The block of each reference, below [`References::distinct`].
    pub blocks: Vec<u32>,
    /// The tokens of each reference.
    pub tokens: Vec<u32>,
    /// Where the references of each request end.
    pub ends: Vec<usize>,
    /// When each request arrives, ns from the start of the source.
    pub arrivals_ns: Vec<u64>,
    /// Different blocks.
    pub distinct: u32,
    /// Requests whose prompts have no ids: they refer to nothing, and count nowhere.
    pub without_ids: u64,
}

impl References {
    /// Reads all requests of a source.
    ///
    /// # Errors
    /// When the source cannot be read, no prompt has ids, there are more than 2^32 blocks, or the
    /// user asked to stop.
    pub fn of(requests: impl Iterator<Item = Result<Request>>, stop: &Stop, progress: &dyn Progress) -> Result<Self> {
        Self::cut(requests, None, stop, progress)
    }

    /// As [`References::of`]; where ids stand for runs of tokens of any length, prompts are cut into
    /// blocks of so many tokens as a recording cuts them: each is known by all that stands before it.
    ///
    /// # Errors
    /// As [`References::of`].
    pub fn cut(
        requests: impl Iterator<Item = Result<Request>>,
        block_tokens: Option<NonZeroU32>,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<Self> {
        progress.stage("requests", None, "requests");
        let mut references = Self::default();
        let mut numbers = FxHashMap::default();
        for (request, number) in requests.zip(1..) {
            let mut request = request?;
            if let (Some(tokens), Content::Segments(segments)) = (block_tokens, &mut request.content) {
                *segments = in_blocks(segments, tokens.get());
            }
            references.add(&request, &mut numbers)?;
            if number % STRIDE == 0 {
                progress.advance(STRIDE);
                if stop.requested() {
                    return Err(Error::interrupted(format!(
                        "interrupted after {number} requests; nothing was written"
                    )));
                }
            }
        }
        progress.done();
        if references.blocks.is_empty() {
            return Err(Error::usage(
                "no request has ids of token blocks, so that nothing is known of what prompts share; use a Mooncake, \
                 Bailian, kv-cache-tester or RAGPulse file",
            ));
        }
        Ok(references)
    }

    fn add(&mut self, request: &Request, numbers: &mut FxHashMap<u64, u32>) -> Result<()> {
        let Content::Segments(segments) = &request.content else {
            self.without_ids += 1;
            return Ok(());
        };
        for segment in segments {
            let next = u32::try_from(numbers.len())
                .map_err(|_| Error::usage("more than 4,294,967,295 different token blocks; analyse a part of them"))?;
            self.blocks.push(*numbers.entry(segment.id).or_insert(next));
            self.tokens.push(segment.tokens);
        }
        self.distinct = numbers.len() as u32;
        self.ends.push(self.blocks.len());
        self.arrivals_ns.push(request.arrival_ns);
        Ok(())
    }

    /// How many requests refer to blocks.
    pub fn requests(&self) -> usize {
        self.ends.len()
    }

    /// Tokens of all prompts.
    pub fn total_tokens(&self) -> u64 {
        self.tokens.iter().map(|tokens| u64::from(*tokens)).sum()
    }

    /// The references of each request: where they begin and end.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(from, to)| from..*to)
    }

    /// Where the references of the requests after the first `warmup` begin.
    pub fn start_after(&self, warmup: usize) -> usize {
        warmup.checked_sub(1).map_or(0, |last| self.ends.get(last).copied().unwrap_or(self.blocks.len()))
    }

    /// For each reference, the number of the next one to the same block; `u32::MAX` for none.
    pub fn next_uses(&self) -> Vec<u32> {
        let mut next = vec![u32::MAX; self.blocks.len()];
        let mut seen = vec![u32::MAX; self.distinct as usize];
        for (at, block) in self.blocks.iter().enumerate().rev() {
            next[at] = std::mem::replace(&mut seen[*block as usize], at as u32);
        }
        next
    }
}

/// A prompt in blocks of so many tokens, the last one perhaps fewer.
fn in_blocks(segments: &[Segment], tokens: u32) -> Box<[Segment]> {
    let (mut cutter, mut keys) = (Cutter::new(tokens), Vec::new());
    segments.iter().for_each(|segment| cutter.push(*segment, &mut keys));
    let rest = cutter.partial().map(|(id, tokens)| Segment { id, tokens });
    keys.into_iter().map(|id| Segment { id, tokens }).chain(rest).collect()
}

#[cfg(test)]
pub mod samples {
    //! References made by hand.

    use super::References;

    /// Requests with blocks of 10 tokens each, one arriving every second.
    pub fn of(requests: &[&[u32]]) -> References {
        let mut references = References::default();
        for (blocks, second) in requests.iter().zip(0..) {
            references.blocks.extend_from_slice(blocks);
            references.tokens.extend(blocks.iter().map(|_| 10));
            references.ends.push(references.blocks.len());
            references.arrivals_ns.push(second * 1_000_000_000);
        }
        references.distinct = references.blocks.iter().max().map_or(0, |most| most + 1);
        references
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn request(ids: &[u64]) -> Result<Request> {
        let segments = ids.iter().map(|id| Segment { id: *id, tokens: 4 }).collect();
        Ok(Request { content: Content::Segments(segments), ..Request::default() })
    }

    #[test]
    fn blocks_get_numbers_in_the_order_in_which_they_come() {
        let source = [request(&[7, 9]), Ok(Request::default()), request(&[7, 8])];
        let references = References::of(source.into_iter(), &Stop::new(), &Silent).unwrap();
        assert_eq!((&references.blocks[..], references.distinct), (&[0, 1, 0, 2][..], 3));
        assert_eq!((references.without_ids, references.total_tokens()), (1, 16));
        assert_eq!(references.ranges().collect::<Vec<_>>(), [0..2, 2..4]);
        assert_eq!(references.next_uses(), [2, u32::MAX, u32::MAX, u32::MAX]);
    }

    #[test]
    fn a_source_without_ids_is_refused() {
        let refused = References::of([Ok(Request::default())].into_iter(), &Stop::new(), &Silent).unwrap_err();
        assert!(refused.to_string().contains("no request has ids"));
    }
}
