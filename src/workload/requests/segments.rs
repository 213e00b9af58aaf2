//! Prompts made of ids: how many tokens each id stands for, and an identity for the tokens that
//! have none.

use crate::seed::mix;

use super::super::{Content, Segment};
use super::entry::Reading;
use super::scalar::ContentId;

/// The rest of a prompt, which no id covers, is the request's own.
const OWN: u64 = 0x6f77_6e5f_7461_696c;

/// What is said of prompts with whole blocks that no id covers.
const FEW_IDS: &str = "prompt with fewer ids than whole blocks (used; what no id covers is the request's own)";

/// Why ids do not make a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The prompt of `prompt_tokens` tokens whose blocks of `block_tokens` have `ids`, the last one
/// perhaps fewer. Tokens beyond the ids get an id that is `own` alone.
///
/// # Errors
/// When there are more ids than the prompt has blocks: then a block is smaller than said.
pub fn of_blocks(
    ids: impl ExactSizeIterator<Item = u64>,
    block_tokens: u32,
    prompt_tokens: u32,
    own: u64,
) -> Result<Vec<Segment>, TooMany> {
    if ids.len() as u64 > u64::from(prompt_tokens.div_ceil(block_tokens)) {
        return Err(TooMany);
    }
    let mut rest = prompt_tokens;
    let mut segments = Vec::with_capacity(ids.len() + 1);
    for id in ids {
        let tokens = rest.min(block_tokens);
        segments.push(Segment { id, tokens });
        rest -= tokens;
    }
    segments.extend(tail(rest, own));
    Ok(segments)
}

/// The segments of the prompt of line `number`, if it has ids.
///
/// # Errors
/// When there are too many of them, in words.
pub fn of_ids(
    ids: Option<&[ContentId]>,
    prompt_tokens: u32,
    number: u64,
    reading: &Reading,
) -> Result<Option<Vec<Segment>>, String> {
    let Some(ids) = ids else { return Ok(None) };
    let block_tokens = reading.block_tokens;
    let covered = u64::from(block_tokens) * ids.len() as u64;
    let uncovered = u64::from(prompt_tokens).saturating_sub(covered);
    reading.refusals.note(FEW_IDS, u64::from(uncovered >= u64::from(block_tokens)));
    if reading.ids.is_some() {
        ids.iter().for_each(|id| reading.note_id(id.0));
    }
    let local = ids.iter().map(|id| reading.local(id.0));
    match of_blocks(local, block_tokens, prompt_tokens, reading.local(number)) {
        Ok(segments) => Ok(Some(segments)),
        Err(TooMany) => Err(too_many(ids.len(), prompt_tokens, block_tokens)),
    }
}

/// As [`of_ids`], as the content of the prompt.
///
/// # Errors
/// As [`of_ids`].
pub fn of_line(
    ids: Option<&[ContentId]>,
    prompt_tokens: u32,
    number: u64,
    reading: &Reading,
) -> Result<Content, String> {
    Ok(of_ids(ids, prompt_tokens, number, reading)?.map_or(Content::Conversation, content))
}

/// What is wrong when there are too many ids.
pub fn too_many(ids: usize, prompt_tokens: u32, block_tokens: u32) -> String {
    format!(
        "{ids} ids are too many for a prompt of {prompt_tokens} tokens in blocks of {block_tokens}; --source-block N \
         says how many tokens an id stands for"
    )
}

/// Tokens that no id covers, if there are any.
pub fn tail(tokens: u32, own: u64) -> Option<Segment> {
    (tokens > 0).then(|| Segment { id: mix(OWN ^ mix(own)), tokens })
}

/// Segments as the content of a prompt.
pub fn content(segments: Vec<Segment>) -> Content {
    Content::Segments(segments.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[u64], prompt: u32) -> Result<Vec<u32>, TooMany> {
        let segments = of_blocks(ids.iter().copied(), 64, prompt, 9)?;
        assert!(segments.iter().all(|segment| segment.tokens > 0));
        Ok(segments.iter().map(|segment| segment.tokens).collect())
    }

    #[test]
    fn the_last_id_has_the_rest_and_what_is_beyond_has_an_id_of_its_own() {
        assert_eq!(tokens(&[1, 2], 128), Ok(vec![64, 64]));
        assert_eq!(tokens(&[1, 2], 100), Ok(vec![64, 36]));
        assert_eq!(tokens(&[1, 2], 150), Ok(vec![64, 64, 22]));
        assert_eq!(tokens(&[], 5), Ok(vec![5]));
        assert_eq!(tokens(&[1, 2, 3], 128), Err(TooMany));
        assert_ne!(tail(3, 1), tail(3, 2));
    }
}
