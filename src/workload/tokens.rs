//! How long a text is in tokens.

use std::sync::LazyLock;

use tiktoken_rs::CoreBPE;

/// Longer texts are counted in pieces: the pattern that splits text into words gives up on runs
/// of white space beyond about a million characters.
const PIECE_BYTES: usize = 64 << 10;

/// A way to count tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokenizer {
    /// The vocabulary of GPT-4, which the reference uses when it can; carried in the binary.
    Cl100k,
    /// A quarter of the characters, at least 1: the reference's estimate.
    Chars4,
    /// So many characters, above 0, are a token; at least 1 token.
    Chars(u32),
}

impl Tokenizer {
    /// The name, as `--tokenizer` takes it.
    pub fn word(self) -> &'static str {
        match self {
            Tokenizer::Cl100k => "cl100k",
            Tokenizer::Chars4 | Tokenizer::Chars(_) => "chars4",
        }
    }

    /// Tokens of a text; an empty text has none. Text that looks like a special token
    /// (`<|endoftext|>`) is ordinary text.
    pub fn count(self, text: &str) -> u32 {
        static CL100K: LazyLock<&CoreBPE> = LazyLock::new(tiktoken_rs::cl100k_base_singleton);
        if text.is_empty() {
            return 0;
        }
        let count: usize = match self {
            Tokenizer::Cl100k => pieces(text).map(|piece| CL100K.count_ordinary(piece)).sum(),
            Tokenizer::Chars4 => (text.chars().count() / 4).max(1),
            Tokenizer::Chars(per_token) => (text.chars().count() / per_token.max(1) as usize).max(1),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE_BYTES));
        text = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_have_known_lengths() {
        assert_eq!(Tokenizer::Cl100k.count("Hello, world!"), 4);
        assert_eq!(Tokenizer::Cl100k.count(""), 0);
        assert_eq!(Tokenizer::Chars4.count("Hello, world!"), 3);
        assert_eq!(Tokenizer::Chars4.count("é"), 1);
    }

    #[test]
    fn special_tokens_in_text_are_text() {
        assert!(Tokenizer::Cl100k.count("<|endoftext|>") > 1);
    }

    #[test]
    fn hostile_texts_end() {
        let blank = " ".repeat(3 << 20);
        assert!(Tokenizer::Cl100k.count(&blank) > 0);
        assert!(Tokenizer::Cl100k.count(&"a".repeat(300_000)) > 0);
        assert!(Tokenizer::Cl100k.count(&"é\n".repeat(100_000)) > 0);
    }
}
