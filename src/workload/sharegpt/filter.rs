//! What other tools leave out of a ShareGPT file.

use super::super::{Tokenizer, Turn};

/// A filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// As `vllm bench` does (vllm/benchmarks/datasets): of every conversation only the first two
    /// messages, whoever wrote them, as a prompt and its answer, and those only when neither is
    /// too short or too long. It also shuffles and repeats conversations to get a wanted number of
    /// them, which is not done here.
    Vllm,
}

/// Tokens that a prompt and an answer need at least.
const LEAST: u32 = 4;
/// Tokens that a prompt may have.
const LONGEST_PROMPT: u32 = 1024;
/// Tokens that both may have together.
const LONGEST: u32 = 2048;

/// The first two messages as a turn, or why vLLM leaves them out.
///
/// # Errors
/// The reason.
pub fn first_exchange<'a>(
    mut texts: impl Iterator<Item = &'a str>,
    tokenizer: Tokenizer,
) -> Result<Turn, &'static str> {
    let (Some(prompt), Some(answer)) = (texts.next(), texts.next()) else {
        return Err("conversation of fewer than 2 messages (--filter vllm)");
    };
    let (context_tokens, generate_tokens) = (tokenizer.count(prompt), tokenizer.count(answer));
    if context_tokens < LEAST {
        return Err("prompt below 4 tokens (--filter vllm)");
    }
    if generate_tokens < LEAST {
        return Err("answer below 4 tokens (--filter vllm)");
    }
    if context_tokens > LONGEST_PROMPT {
        return Err("prompt above 1024 tokens (--filter vllm)");
    }
    if context_tokens.saturating_add(generate_tokens) > LONGEST {
        return Err("prompt and answer above 2048 tokens (--filter vllm)");
    }
    Ok(Turn { context_tokens, generate_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_vllm() {
        let outcome = |tokens: &[usize]| {
            let texts: Vec<String> = tokens.iter().map(|n| "a".repeat(4 * n)).collect();
            first_exchange(texts.iter().map(String::as_str), Tokenizer::Chars4)
                .map(|turn| (turn.context_tokens, turn.generate_tokens))
        };
        for kept in [[4, 4], [1024, 1024], [4, 2044]] {
            assert_eq!(outcome(&kept), Ok((kept[0] as u32, kept[1] as u32)));
        }
        assert_eq!(outcome(&[4, 5, 9000]), Ok((4, 5)));
        for (left_out, word) in [
            (&[9][..], "fewer than 2"),
            (&[3, 9], "prompt below"),
            (&[9, 3], "answer below"),
            (&[1025, 9], "prompt above"),
            (&[1024, 1025], "prompt and answer"),
        ] {
            assert!(outcome(left_out).unwrap_err().contains(word), "{left_out:?}");
        }
    }
}
