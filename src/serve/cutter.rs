//! Token blocks and their keys: a stream of tokens with an identity is cut at every multiple of
//! the block size, and a block's key is a hash of the block before it and of the pieces that it
//! covers: which segment, from which of its tokens on, how many.
//!
//! So two prompts have the same keys exactly as far as they agree in whole blocks, whatever the
//! lengths of their segments: where a source has ids for blocks of the same size, the keys agree
//! as its ids do; ids of larger blocks are split, ids of smaller ones and of segments of any
//! length are merged.
//!
//! A key has 64 bits. Among n different blocks, two have the same key with a chance of about
//! n^2 / 2^65: 3 in 10^8 for a million blocks, 3 in 10^4 for a hundred million. vLLM's integer
//! block hashes are as wide.

use crate::seed::mix;
use crate::workload::Segment;

/// What the first block of a prompt has before it.
const ROOT: u64 = 0x6b76_7472_6163_6501;

/// Cuts one stream of tokens.
#[derive(Debug)]
pub struct Cutter {
    block_tokens: u32,
    /// The hash of everything before the open block, and of the open block's pieces so far.
    state: u64,
    /// Tokens in the open block.
    filled: u32,
}

impl Cutter {
    /// At the beginning of a stream; `block_tokens` is above 0.
    pub fn new(block_tokens: u32) -> Self {
        Self { block_tokens, state: ROOT, filled: 0 }
    }

    /// Appends a segment; the keys of the blocks that it fills go to `keys`.
    pub fn push(&mut self, segment: Segment, keys: &mut Vec<u64>) {
        let mut offset = 0;
        while offset < segment.tokens {
            let tokens = (segment.tokens - offset).min(self.block_tokens - self.filled);
            let piece = u64::from(offset) << 32 | u64::from(tokens);
            self.state = mix(mix(self.state ^ segment.id) ^ piece);
            self.filled += tokens;
            offset += tokens;
            if self.filled == self.block_tokens {
                keys.push(self.state);
                self.filled = 0;
            }
        }
    }

    /// The key and the tokens of the block that is not full; none when the last one is.
    pub fn partial(&self) -> Option<(u64, u32)> {
        (self.filled > 0).then_some((self.state, self.filled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segments(lengths: &[(u64, u32)]) -> Vec<Segment> {
        lengths.iter().map(|(id, tokens)| Segment { id: *id, tokens: *tokens }).collect()
    }

    /// The keys of all blocks, the one that is not full included.
    fn keys(block_tokens: u32, stream: &[Segment]) -> Vec<u64> {
        let (mut cutter, mut keys) = (Cutter::new(block_tokens), Vec::new());
        for segment in stream {
            cutter.push(*segment, &mut keys);
        }
        keys.extend(cutter.partial().map(|(key, _)| key));
        keys
    }

    /// Tokens one by one, as (segment, place in it): what a block is made of.
    fn tokens(stream: &[Segment]) -> Vec<(u64, u32)> {
        stream.iter().flat_map(|segment| (0..segment.tokens).map(|at| (segment.id, at))).collect()
    }

    #[test]
    fn blocks_of_the_sources_size_are_the_sources_ids() {
        let with_tail = |ids: &[u64], tail| {
            let mut stream: Vec<(u64, u32)> = ids.iter().map(|id| (*id, 512)).collect();
            stream.last_mut().expect("an id").1 = tail;
            keys(512, &segments(&stream))
        };
        let (a, b) = (with_tail(&[0, 1, 2], 102), with_tail(&[0, 1, 3, 4], 7));
        assert_eq!((a.len(), b.len()), (3, 4));
        assert_eq!(a[..2], b[..2]);
        assert_ne!(a[2], b[2]);
        assert_ne!(with_tail(&[5, 1], 512)[1], with_tail(&[6, 1], 512)[1], "the same id after another one");
        assert_ne!(a[2], with_tail(&[0, 1, 2], 103)[2], "the same id with another length");
    }

    #[test]
    fn a_segment_without_tokens_is_nothing() {
        assert_eq!(keys(4, &segments(&[(1, 3), (9, 0), (2, 5)])), keys(4, &segments(&[(1, 3), (2, 5)])));
        assert!(keys(4, &[]).is_empty());
    }

    /// Streams over few ids, in which an id has one length, as sources have them.
    fn stream() -> impl Strategy<Value = Vec<Segment>> {
        let lengths = [1, 2, 3, 5, 7, 16, 33];
        prop::collection::vec(0usize..lengths.len(), 0..12)
            .prop_map(move |ids| ids.into_iter().map(|id| Segment { id: id as u64, tokens: lengths[id] }).collect())
    }

    proptest! {
        #[test]
        fn prompts_agree_in_the_blocks_inside_their_common_part(
            common in stream(), a in stream(), b in stream(), block_tokens in 1u32..40,
        ) {
            let (a, b) = ([&common[..], &a[..]].concat(), [&common[..], &b[..]].concat());
            let (tokens_a, tokens_b) = (tokens(&a), tokens(&b));
            let alike = tokens_a.iter().zip(&tokens_b).take_while(|(a, b)| a == b).count();
            let (keys_a, keys_b) = (keys(block_tokens, &a), keys(block_tokens, &b));
            let agreeing = keys_a.iter().zip(&keys_b).take_while(|(a, b)| a == b).count();
            let whole = alike / block_tokens as usize;
            // Where both end at the same token of the same stream, so do their last blocks.
            let expected = if tokens_a == tokens_b { keys_a.len() } else { whole };
            prop_assert_eq!(agreeing, expected);
            let later = keys_a.iter().skip(agreeing).filter(|key| keys_b.contains(key)).count();
            prop_assert_eq!(later, 0, "no block agrees after one that does not");
        }

        #[test]
        fn keys_do_not_depend_on_who_hands_out_the_segments(
            stream in stream(), block_tokens in 1u32..40, cut in 0usize..12,
        ) {
            let (mut cutter, mut by_two) = (Cutter::new(block_tokens), Vec::new());
            let (first, second) = stream.split_at(cut.min(stream.len()));
            for segment in first {
                cutter.push(*segment, &mut by_two);
            }
            let before = by_two.len();
            let partial = cutter.partial();
            prop_assert_eq!(keys(block_tokens, first).len(), before + usize::from(partial.is_some()));
            for segment in second {
                cutter.push(*segment, &mut by_two);
            }
            by_two.extend(cutter.partial().map(|(key, _)| key));
            prop_assert_eq!(by_two, keys(block_tokens, &stream));
        }

        #[test]
        fn larger_blocks_agree_where_all_their_smaller_ones_do(
            common in stream(), a in stream(), b in stream(), block_tokens in 1u32..20, times in 1u32..5,
        ) {
            let (a, b) = ([&common[..], &a[..]].concat(), [&common[..], &b[..]].concat());
            let agreeing = |block_tokens: u32| {
                let whole = |stream: &[Segment]| {
                    let full = tokens(stream).len() / block_tokens as usize;
                    keys(block_tokens, stream).into_iter().take(full).collect::<Vec<u64>>()
                };
                whole(&a).iter().zip(&whole(&b)).take_while(|(a, b)| a == b).count()
            };
            prop_assert_eq!(agreeing(block_tokens * times), agreeing(block_tokens) / times as usize);
        }
    }
}
