//! What lines with a stamp and two lengths have in common.

use super::entry::Reading;
use super::scalar::Scalar;

/// When a request comes, and how long its prompt and its answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When, in ns of the file's clock.
    pub at_ns: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer; one of the two is above 0.
    pub answer_tokens: u32,
}

impl Asked {
    /// Of the columns `timestamp`, `input_length` and `output_length`.
    ///
    /// # Errors
    /// Why there is no request in them.
    pub fn of(timestamp: &Scalar, input: &Scalar, output: &Scalar, reading: &Reading) -> Result<Self, &'static str> {
        let Some(at_ns) = timestamp.stamp(reading.time_unit.ns()) else {
            return Err("request whose timestamp is no number from 0");
        };
        let (Some(prompt_tokens), Some(answer_tokens)) = (input.tokens(), output.tokens()) else {
            return Err("request whose input_length or output_length is no number of tokens");
        };
        if prompt_tokens == 0 && answer_tokens == 0 {
            return Err("request without any token");
        }
        Ok(Self { at_ns, prompt_tokens, answer_tokens })
    }
}
