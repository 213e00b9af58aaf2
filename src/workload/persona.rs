//! The kinds of users of the reference: how much they write, how long answers are, how long they
//! think.

use crate::seed::Stream;

/// A kind of user, as inclusive ranges.
#[derive(Debug)]
pub struct Persona {
    context: (u64, u64),
    generation: (u64, u64),
    think_s: (f64, f64),
}

/// Chatbot, coding, document; each is as likely as the others.
const PERSONAS: [Persona; 3] = [
    Persona { context: (512, 4096), generation: (50, 200), think_s: (0.1, 0.5) },
    Persona { context: (4096, 25_000), generation: (100, 500), think_s: (0.2, 1.0) },
    Persona { context: (4096, 16_384), generation: (200, 800), think_s: (0.3, 1.5) },
];

/// What one user is like, for as long as the recording lasts.
#[derive(Clone, Copy, Debug)]
pub struct Character {
    /// The most tokens that a turn adds.
    pub context: u64,
    /// The most tokens of an answer.
    pub generation: u64,
    /// The mean time between two requests, in seconds.
    pub think_s: f64,
}

impl Character {
    /// Draws a kind of user, then a user of that kind.
    pub fn draw(stream: &mut Stream) -> Self {
        let persona = &PERSONAS[stream.below(PERSONAS.len() as u64) as usize];
        Self {
            context: stream.inclusive(persona.context.0, persona.context.1),
            generation: stream.inclusive(persona.generation.0, persona.generation.1),
            think_s: stream.uniform(persona.think_s.0, persona.think_s.1),
        }
    }
}

/// The most tokens that one turn of any user adds.
pub fn largest_context() -> u64 {
    PERSONAS.iter().map(|persona| persona.context.1).max().unwrap_or_default()
}
