//! Which turn of its conversation an entry is, and what it adds to the prompt.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::trace::Name;

use super::entry::{Before, Entry, TurnOf};

/// The conversations of one pass: about 40 bytes for each that has not ended.
#[derive(Debug, Default)]
pub struct Conversations {
    live: FxHashMap<u64, Live>,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    ordinal: u64,
    /// How often it began anew.
    restarts: u32,
    turns: u32,
    prompt_tokens: u32,
    answer_tokens: u32,
}

/// An entry's place.
#[derive(Clone, Debug)]
pub struct Seat {
    pub name: Name,
    pub ordinal: u64,
    pub turn: u32,
    pub is_last: bool,
    pub context_tokens: u32,
}

impl Conversations {
    /// Seats an entry of the pass number `pass`, from 1. `next_ordinal` counts conversations,
    /// `requests` the requests so far.
    pub fn seat(&mut self, entry: &Entry, pass: u32, requests: u64, next_ordinal: &mut u64) -> Seat {
        let Some(turn_of) = &entry.turn else {
            let ordinal = take(next_ordinal);
            let name = Name::Lone(requests);
            return Seat { name, ordinal, turn: 1, is_last: true, context_tokens: entry.prompt_tokens };
        };
        let Entry { prompt_tokens, answer_tokens, .. } = *entry;
        let live = self.live.entry(turn_of.id).or_insert_with(|| Live {
            ordinal: take(next_ordinal),
            restarts: 0,
            turns: 0,
            prompt_tokens: 0,
            answer_tokens: 0,
        });
        if turn_of.before == Before::LastTurn && prompt_tokens < live.prompt_tokens {
            // It does not hold what was said before: that is another conversation.
            let restarts = live.restarts + 1;
            *live = Live { ordinal: take(next_ordinal), restarts, turns: 0, prompt_tokens: 0, answer_tokens: 0 };
        }
        let context_tokens = live.adds(prompt_tokens, turn_of.before);
        let had = if turn_of.before == Before::NotCounted {
            live.prompt_tokens.saturating_add(live.answer_tokens)
        } else {
            0
        };
        let turns = live.turns + 1;
        *live = Live { turns, prompt_tokens: had.saturating_add(prompt_tokens), answer_tokens, ..*live };
        let seat = Seat {
            name: name(turn_of, live.restarts, pass),
            ordinal: live.ordinal,
            turn: turns,
            is_last: turn_of.is_last,
            context_tokens,
        };
        if turn_of.is_last {
            self.live.remove(&turn_of.id);
        }
        seat
    }
}

impl Live {
    /// The tokens that a turn adds. A prompt shorter than the one before does not hold it, and is
    /// new as a whole.
    fn adds(&self, prompt_tokens: u32, before: Before) -> u32 {
        let (prompt, answer) = match before {
            Before::NotCounted => return prompt_tokens,
            Before::LastTurn => (self.prompt_tokens, self.answer_tokens),
            Before::Turn { prompt_tokens, answer_tokens } => (prompt_tokens, answer_tokens),
        };
        if prompt_tokens < prompt {
            return prompt_tokens;
        }
        prompt_tokens.saturating_sub(prompt.saturating_add(answer))
    }
}

/// What began anew, and every pass, has names of its own.
fn name(turn_of: &TurnOf, restarts: u32, pass: u32) -> Name {
    if (restarts, pass) == (0, 1) {
        return Name::Text(Arc::clone(&turn_of.name));
    }
    let mut name = turn_of.name.to_string();
    if restarts > 0 {
        name.push_str(&format!("#{}", restarts + 1));
    }
    if pass > 1 {
        name.push_str(&format!("@{pass}"));
    }
    Name::Text(name.into())
}

fn take(next: &mut u64) -> u64 {
    *next += 1;
    *next - 1
}
