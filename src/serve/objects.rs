//! The object model: what a key names, which objects a request reads, and which conversations
//! have objects in common.

use super::DECODE_BATCH_TOKENS;

/// Everything that tells one object model from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectModel {
    /// What an object is.
    pub kind: ObjectKind,
    /// What a request reads of the turns before it.
    pub history: HistoryReads,
    /// What a request reads while it generates.
    pub decode_reads: DecodeReads,
    /// What conversations have in common.
    pub sharing: Sharing,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// The KV cache of what one turn adds to its conversation.
    Turns,
    /// The KV cache of a run of tokens that begins at a multiple of `tokens`; its key says what
    /// these tokens and all before them are.
    TokenBlocks {
        /// Tokens of a full block, above 0.
        tokens: u32,
        /// Whether the last block of a prompt is stored although it is not full.
        keep_partial: bool,
    },
}

/// What a request reads of the turns before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryReads {
    /// Every earlier turn that survives. There is no such thing for token blocks.
    All,
    /// What survives up to the first turn or token block that does not.
    LongestPrefix,
    /// Nothing: the prompt is a shared system prompt and the turn's own tokens. A prompt that the
    /// source identifies as a whole stays whole.
    None,
}

/// What a request reads of its own objects once they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeReads {
    /// All of them once before the answer begins, and once more for so many tokens of the answer
    /// or part of them; above 0.
    Rescan(u32),
    /// Nothing more: it is loaded once, a turn before its answer and token blocks when they are
    /// found, and decoded from in the GPU's memory.
    None,
}

/// What conversations have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// System prompts; tokens that the source identifies are one conversation's own.
    Prompts,
    /// System prompts, and all tokens that the source says are the same.
    Content,
    /// Nothing.
    None,
}

impl Default for ObjectModel {
    /// What the reference does.
    fn default() -> Self {
        Self {
            kind: ObjectKind::Turns,
            history: HistoryReads::All,
            decode_reads: DecodeReads::Rescan(DECODE_BATCH_TOKENS),
            sharing: Sharing::Prompts,
        }
    }
}

impl DecodeReads {
    /// The tokens of an answer that come before its rescan `number`, from 1, when the rescans are
    /// spread evenly over the answer; none when there is no such rescan.
    pub fn tokens_before(self, number: u32, answer_tokens: u32) -> Option<u32> {
        let DecodeReads::Rescan(every) = self else { return None };
        let rescans = answer_tokens.div_ceil(every.max(1));
        let share = u64::from(answer_tokens) * u64::from(number) / (u64::from(rescans) + 1);
        (number <= rescans).then_some(share as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescans_are_spread_evenly() {
        let all = |reads: DecodeReads, answer| {
            (1..).map_while(|number| reads.tokens_before(number, answer)).collect::<Vec<u32>>()
        };
        assert_eq!(all(DecodeReads::Rescan(32), 96), [24, 48, 72]);
        assert_eq!(all(DecodeReads::Rescan(32), 1), [0]);
        assert_eq!(all(DecodeReads::Rescan(1), 3), [0, 1, 2]);
        assert!(all(DecodeReads::Rescan(32), 0).is_empty() && all(DecodeReads::None, 96).is_empty());
        assert_eq!(DecodeReads::Rescan(1).tokens_before(u32::MAX, u32::MAX), Some(u32::MAX - 1));
    }
}
