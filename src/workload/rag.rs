//! Documents that requests ask about: how long they are, how they are cut into chunks, and which
//! chunks a question retrieves. Every draw is keyed, so that none depends on another.

use crate::error::Result;
use crate::seed::{Seed, Stream};
use crate::trace::Name;

use super::{Request, Requests};

/// Tokens of the answer to a question about documents, inclusive (as in the reference).
const ANSWER_TOKENS: (u64, u64) = (50, 200);
/// Conversation numbers from here on are those of questions, which belong to no conversation.
const FIRST_QUERY_ORDINAL: u64 = 1 << 63;
/// The weight of a document's first chunk; the one at place i has this over i + 1, rounded down.
/// Whole numbers make the draws exact.
const ZIPF_UNIT: u64 = 1 << 40;

/// Which chunks of a document are retrieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Early chunks more often than late ones, with weights 1, 1/2, 1/3, …
    Zipfian,
    /// Every chunk as often as every other.
    Uniform,
}

/// The documents and what is retrieved of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RagOptions {
    /// Documents that are ingested.
    pub documents: u32,
    /// Tokens of a document, inclusive, above 0.
    pub document_tokens: (u32, u32),
    /// Tokens of a chunk, above 0; the last one of a document may be shorter.
    pub chunk_tokens: u32,
    /// Chunks that are retrieved at most, above 0.
    pub top_k: u32,
    /// The share of requests that are followed by a question about documents, and the share of
    /// requests that look something up besides.
    pub request_probability: f64,
    /// Which chunks.
    pub distribution: Distribution,
    /// Documents that are kept; the one that was ingested first makes room for a new one.
    pub max_documents: Option<u32>,
}

impl RagOptions {
    /// The tokens of each chunk of a document, in its order.
    pub fn chunks(&self, seed: Seed, document: u32) -> Vec<u32> {
        let (low, high) = self.document_tokens;
        let tokens = seed.stream("document", u64::from(document), 0).inclusive(low.into(), high.into()) as u32;
        let starts = (0..tokens).step_by(self.chunk_tokens as usize);
        starts.map(|start| self.chunk_tokens.min(tokens - start)).collect()
    }

    /// The chunks of a document of `count` that one question retrieves, in the order in which
    /// they are drawn, none twice.
    pub fn retrieve(&self, stream: &mut Stream, count: u32) -> Vec<u32> {
        let mut weights: Vec<u64> = (0..u64::from(count))
            .map(|place| match self.distribution {
                Distribution::Zipfian => (ZIPF_UNIT / (place + 1)).max(1),
                Distribution::Uniform => 1,
            })
            .collect();
        let mut total: u64 = weights.iter().sum();
        let picks = self.top_k.min(count);
        (0..picks)
            .map(|_| {
                let mut left = stream.below(total);
                let reached = |weight: &u64| {
                    let within = left < *weight;
                    left = left.saturating_sub(*weight);
                    within
                };
                let pick = weights.iter().position(reached).expect("the draw is below the sum of the weights");
                total -= std::mem::take(&mut weights[pick]);
                pick as u32
            })
            .collect()
    }
}

/// The requests of users who also ask about documents: some requests are followed, at the same
/// moment, by a question of the same user.
pub struct WithQueries {
    requests: Requests,
    seed: Seed,
    probability: f64,
    /// Requests of the users so far.
    asked: u64,
    queries: u32,
    pending: Option<Request>,
}

impl WithQueries {
    /// Questions after a share of the requests.
    pub fn new(requests: Requests, seed: Seed, probability: f64) -> Self {
        Self { requests, seed, probability, asked: 0, queries: 0, pending: None }
    }

    /// The question after a request, if there is one. As long as there is nothing to be retrieved
    /// it is a request like any other, as long as the one before it.
    fn query(&mut self, before: &Request) -> Option<Request> {
        let mut stream = self.seed.stream("document query", 0, self.asked);
        self.asked += 1;
        if !stream.chance(self.probability) {
            return None;
        }
        let n = self.queries;
        self.queries += 1;
        Some(Request {
            user: before.user.clone(),
            qos: before.qos,
            conversation: Name::Query(n),
            conversation_ordinal: FIRST_QUERY_ORDINAL + u64::from(n),
            arrival_ns: before.arrival_ns,
            context_tokens: before.context_tokens.max(1),
            generate_tokens: stream.inclusive(ANSWER_TOKENS.0, ANSWER_TOKENS.1) as u32,
            about_documents: true,
            ..Request::default()
        })
    }
}

impl Iterator for WithQueries {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(query) = self.pending.take() {
            return Some(Ok(query));
        }
        let next = self.requests.next();
        if let Some(Ok(request)) = &next {
            self.pending = self.query(request);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(distribution: Distribution, top_k: u32) -> RagOptions {
        RagOptions {
            documents: 10,
            document_tokens: (1000, 3000),
            chunk_tokens: 512,
            top_k,
            request_probability: 0.1,
            distribution,
            max_documents: None,
        }
    }

    proptest! {
        #[test]
        fn chunks_make_up_the_document(seed: u64, document in 0u32..1_000, chunk_tokens in 1u32..2_000) {
            let chunks = RagOptions { chunk_tokens, ..options(Distribution::Uniform, 5) }.chunks(Seed(seed), document);
            prop_assert!((1000..=3000).contains(&chunks.iter().sum::<u32>()));
            let (last, full) = chunks.split_last().expect("a document has a chunk");
            prop_assert!(full.iter().all(|tokens| *tokens == chunk_tokens) && (1..=chunk_tokens).contains(last));
        }

        #[test]
        fn what_is_retrieved_is_there_and_not_twice(seed: u64, count in 1u32..200, top_k in 1u32..20, zipf: bool) {
            let distribution = if zipf { Distribution::Zipfian } else { Distribution::Uniform };
            let mut stream = Seed(seed).stream("test", 0, 0);
            let mut chunks = options(distribution, top_k).retrieve(&mut stream, count);
            prop_assert_eq!(chunks.len() as u32, top_k.min(count));
            chunks.sort_unstable();
            chunks.dedup();
            prop_assert_eq!(chunks.len() as u32, top_k.min(count));
            prop_assert!(chunks.iter().all(|chunk| *chunk < count));
        }
    }

    /// How often each of four chunks is among the first `top_k` of 60,000 draws.
    fn shares(distribution: Distribution, top_k: u32) -> [f64; 4] {
        let mut counts = [0.0; 4];
        for ordinal in 0..60_000 {
            let mut stream = Seed(1).stream("test", 0, ordinal);
            for chunk in options(distribution, top_k).retrieve(&mut stream, 4) {
                counts[chunk as usize] += 1.0 / 60_000.0;
            }
        }
        counts
    }

    #[test]
    fn zipfian_weights_are_those_of_the_harmonic_series() {
        // 12 : 6 : 4 : 3 of 25; two without replacement: p_i + sum over j of p_j p_i / (1 - p_j).
        let p = [12.0 / 25.0, 6.0 / 25.0, 4.0 / 25.0, 3.0 / 25.0];
        let second = |i: usize| (0..4).filter(|j| *j != i).map(|j| p[j] * p[i] / (1.0 - p[j])).sum::<f64>();
        let (one, two) = (shares(Distribution::Zipfian, 1), shares(Distribution::Zipfian, 2));
        for i in 0..4 {
            assert!((one[i] - p[i]).abs() < 0.008, "{one:?}");
            assert!((two[i] - p[i] - second(i)).abs() < 0.008, "{two:?}");
        }
        assert!(shares(Distribution::Uniform, 2).iter().all(|share| (share - 0.5).abs() < 0.008));
    }

    #[test]
    fn questions_follow_a_share_of_the_requests_and_change_none() {
        let base = || (0..20_000u64).map(|n| Ok(Request { arrival_ns: n, context_tokens: 7, ..Request::default() }));
        let all: Vec<Request> = WithQueries::new(Box::new(base()), Seed(3), 0.1).map(Result::unwrap).collect();
        let (queries, others): (Vec<&Request>, Vec<&Request>) = all.iter().partition(|r| r.about_documents);
        assert!(others.iter().map(|r| r.arrival_ns).eq(0..20_000));
        assert!((1_850..2_150).contains(&queries.len()), "{}", queries.len());
        assert!(queries.iter().all(|r| (50..=200).contains(&r.generate_tokens) && r.last_turn));
        assert!(all.windows(2).all(|w| w[0].arrival_ns <= w[1].arrival_ns));
    }
}
