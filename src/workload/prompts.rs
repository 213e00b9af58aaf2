//! System prompts that many users share: real text, so that their lengths are real.

use crate::checksum;
use crate::seed::Seed;
use crate::trace::Key;

/// The share of requests that begin with one (the reference's `system_prompt_hit_probability`).
const SHARE: f64 = 0.2;

/// A system prompt.
#[derive(Clone, Copy, Debug)]
pub struct SystemPrompt {
    /// What it says.
    pub text: &'static str,
    /// Its length in tokens of cl100k_base.
    pub tokens: u32,
}

/// The prompts, one for each kind of user.
pub const ALL: [SystemPrompt; 3] = [
    SystemPrompt {
        text: "You are a helpful assistant in a chat with a member of the public. Answer in the language of the \
               question, in plain words, and keep to what was asked. If you are not sure of a fact, say so instead of \
               guessing, and name what would settle it. Decline politely what could hurt somebody, and point to \
               people who can help where that is wiser than an answer from you.",
        tokens: 82,
    },
    SystemPrompt {
        text: "You are a programming assistant inside an editor. You see the open file, the selection and the last \
               error message. Prefer the smallest change that solves the problem, keep the style of the surrounding \
               code, and do not touch what you were not asked to touch. Reply with a unified diff when code is to be \
               changed and with a short explanation otherwise. When the request is ambiguous, ask one question before \
               you write code. Never invent functions of a library; say which documentation you would look up.",
        tokens: 99,
    },
    SystemPrompt {
        text: "You analyse long documents for a professional reader. The document comes first, the question after it. \
               Base every statement on the document and give the section it rests on; say plainly when the document \
               does not answer the question. Keep numbers, dates and names exactly as they are written. Summaries \
               begin with the conclusion, then the reasons, then what remains open.",
        tokens: 72,
    },
];

impl SystemPrompt {
    /// The key of its object.
    pub fn key(&self) -> Key {
        Key::Prompt(self.hash())
    }

    /// The first 64 bits of the text's sha256.
    pub fn hash(&self) -> u64 {
        let digits = checksum::of(self.text.as_bytes());
        u64::from_str_radix(&digits[..16], 16).expect("a sha256 is written in hex")
    }
}

/// The prompt in front of a request, if it has one.
pub fn draw(seed: Seed, who: u64, ordinal: u64) -> Option<u8> {
    let mut stream = seed.stream("system prompt", who, ordinal);
    stream.chance(SHARE).then(|| stream.below(ALL.len() as u64) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Tokenizer;

    #[test]
    fn lengths_are_those_of_the_text() {
        let counted = ALL.map(|prompt| Tokenizer::Cl100k.count(prompt.text));
        assert_eq!(counted, ALL.map(|prompt| prompt.tokens));
    }

    #[test]
    fn a_fifth_of_the_requests_have_one_and_all_are_used() {
        let mut counts = [0u32; 4];
        for ordinal in 0..10_000 {
            counts[usize::from(draw(Seed(42), 3, ordinal).unwrap_or(3))] += 1;
        }
        assert!((7_800..8_200).contains(&counts[3]), "{counts:?}");
        assert!(counts[..3].iter().all(|n| (560..780).contains(n)), "{counts:?}");
    }

    #[test]
    fn keys_differ() {
        let keys: std::collections::BTreeSet<_> = ALL.iter().map(SystemPrompt::key).collect();
        assert_eq!(keys.len(), ALL.len());
    }
}
