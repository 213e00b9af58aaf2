//! A conversation of known turns, as a file of dialogues holds it.

use crate::seed::Seed;
use crate::trace::Name;

use super::{Population, PromptSharing, Qos, Request, prompts};

/// One turn: what is asked and how long the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Tokens added to the prompt.
    pub context_tokens: u32,
    /// Tokens of the answer.
    pub generate_tokens: u32,
}

/// A conversation; iterating it gives its requests, turn by turn.
#[derive(Clone, Debug)]
pub struct Conversation {
    ordinal: u64,
    name: Name,
    user: Name,
    qos: Qos,
    turns: std::vec::IntoIter<Turn>,
    turn: u32,
    shared_prefixes: Option<(Seed, PromptSharing)>,
}

impl Conversation {
    /// The conversation number `ordinal` of a source, held by one of `users` users in turn.
    /// `shared_prefixes`: whether some of its requests begin with a shared system prompt.
    pub fn new(seed: Seed, ordinal: u64, name: &str, users: u64, turns: Vec<Turn>, shared_prefixes: bool) -> Self {
        Self {
            ordinal,
            name: Name::Text(name.into()),
            user: Name::DatasetUser(ordinal % users),
            qos: Qos::of(seed.stream("conversation qos", ordinal, 0).unit()),
            turns: turns.into_iter(),
            turn: 0,
            shared_prefixes: shared_prefixes.then_some((seed, Population::REFERENCE.prompts)),
        }
    }

    /// The same conversation, held by a user of another population than the default one.
    #[must_use]
    pub fn of_population(mut self, seed: Seed, population: &Population) -> Self {
        self.qos = population.qos(seed.stream("conversation qos", self.ordinal, 0).unit());
        self.shared_prefixes = self.shared_prefixes.map(|(seed, _)| (seed, population.prompts));
        self
    }

    /// Whether no turn is left.
    pub fn is_over(&self) -> bool {
        self.turns.len() == 0
    }
}

impl Iterator for Conversation {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let turn = self.turns.next()?;
        self.turn += 1;
        let turn_number = u64::from(self.turn);
        let drawn = |(seed, sharing)| prompts::draw(seed, self.ordinal, turn_number, sharing);
        let prefix = self.shared_prefixes.and_then(drawn);
        Some(Request {
            user: self.user.clone(),
            qos: self.qos,
            conversation: self.name.clone(),
            conversation_ordinal: self.ordinal,
            turn: self.turn,
            last_turn: self.is_over(),
            arrival_ns: 0,
            context_tokens: turn.context_tokens,
            generate_tokens: turn.generate_tokens,
            prefix,
            ..Request::default()
        })
    }
}
