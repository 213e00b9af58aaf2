//! The kinds of synthetic users: how much they write, how long answers are, how long they think,
//! and how their conversations go. The defaults are the reference's.

use crate::seed::{Seed, Stream};

use super::Qos;

/// A kind of user, as inclusive ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Template {
    /// The most tokens that a turn adds to the prompt.
    pub context: (u64, u64),
    /// The most tokens of an answer.
    pub generation: (u64, u64),
    /// The mean time between two requests, in seconds.
    pub think_s: (f64, f64),
}

/// The names of the kinds, in the order of [`Population::templates`].
pub const TEMPLATE_NAMES: [&str; 3] = ["chatbot", "coding", "document"];

/// What all synthetic users have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    /// The kinds of users, each as likely as the others.
    pub templates: [Template; TEMPLATE_NAMES.len()],
    /// The share of interactive users (`interactive_probability` of the reference's
    /// `qos_distribution`).
    pub interactive: f64,
    /// The share of interactive and responsive users together (its `responsive_threshold`).
    pub responsive: f64,
    /// A pause is the user's think time times a uniform draw from this range.
    pub pause: (f64, f64),
    /// The probability that a conversation ends after a turn (the reference's
    /// `end_conversation_probability`).
    pub end_probability: f64,
    /// The most turns of a conversation, above 0 (the reference's `max_turns_per_conv`).
    pub max_turns: u32,
    /// Which requests begin with a shared system prompt.
    pub prompts: PromptSharing,
}

/// Which requests begin with a shared system prompt, and which prompts are shared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PromptSharing {
    /// The share of requests (the reference's `system_prompt_hit_probability`).
    pub share: f64,
    /// A prompt of fewer tokens is not shared (its `min_prefix_length`).
    pub min_tokens: u32,
}

impl Default for Population {
    fn default() -> Self {
        Self::REFERENCE
    }
}

impl Population {
    /// The users of the reference.
    pub const REFERENCE: Self = Self {
        templates: [
            Template { context: (512, 4096), generation: (50, 200), think_s: (0.1, 0.5) },
            Template { context: (4096, 25_000), generation: (100, 500), think_s: (0.2, 1.0) },
            Template { context: (4096, 16_384), generation: (200, 800), think_s: (0.3, 1.5) },
        ],
        interactive: 0.15,
        responsive: 0.50,
        pause: (0.8, 1.2),
        end_probability: 0.2,
        max_turns: 50,
        prompts: PromptSharing { share: 0.2, min_tokens: 50 },
    };

    /// Draws a user: the kind, a user of that kind, the user's class.
    pub fn draw(&self, seed: Seed, number: u32) -> (Character, Qos) {
        let mut stream = seed.stream("user", u64::from(number), 0);
        let character = Character::draw(&self.templates, &mut stream);
        (character, self.qos(stream.unit()))
    }

    /// The class for a uniform draw in `[0, 1)`.
    pub fn qos(&self, draw: f64) -> Qos {
        match draw {
            u if u < self.interactive => Qos::Interactive,
            u if u < self.responsive => Qos::Responsive,
            _ => Qos::Batch,
        }
    }
}

/// What one user is like, for as long as the recording lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Character {
    /// The most tokens that a turn adds.
    pub context: u64,
    /// The most tokens of an answer.
    pub generation: u64,
    /// The mean time between two requests, in seconds.
    pub think_s: f64,
}

impl Character {
    fn draw(templates: &[Template], stream: &mut Stream) -> Self {
        let template = &templates[stream.below(templates.len() as u64) as usize];
        Self {
            context: stream.inclusive(template.context.0, template.context.1),
            generation: stream.inclusive(template.generation.0, template.generation.1),
            think_s: stream.uniform(template.think_s.0, template.think_s.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_of_the_kinds_and_classes_that_were_asked_for() {
        let template = Template { context: (7, 7), generation: (3, 3), think_s: (2.0, 2.0) };
        let population =
            Population { templates: [template; 3], interactive: 0.0, responsive: 1.0, ..Population::default() };
        for number in 0..100 {
            let (character, qos) = population.draw(Seed(number), number as u32);
            assert_eq!((character, qos), (Character { context: 7, generation: 3, think_s: 2.0 }, Qos::Responsive));
        }
    }
}
