//! Synthetic users: they think, ask, sometimes end their conversation and begin another, and do
//! not wait for answers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::seed::Seed;
use crate::trace::Name;
use crate::units::SECOND_NS;

use super::arrivals::{ArrivalRate, Arrivals};
use super::persona::{self, Character};
use super::{Qos, Request, prompts};

/// The probability that a user ends a conversation before the next request (the reference's
/// `end_conversation_probability`).
const END_PROBABILITY: f64 = 0.2;
/// The most turns of a conversation (the reference's `max_turns_per_conv`).
const MAX_TURNS: u32 = 50;
/// A pause is the user's think time times a uniform draw from this range.
const PAUSE: (f64, f64) = (0.8, 1.2);
/// A turn adds from a quarter of the user's context to all of it; answers likewise.
const SMALLEST_PART: u64 = 4;

/// What the synthetic users do.
#[derive(Clone, Copy, Debug)]
pub struct SyntheticOptions {
    /// How many there are, above 0.
    pub users: u32,
    /// Whether a user has conversations of several turns.
    pub multi_turn: bool,
    /// Whether some requests begin with a shared system prompt.
    pub shared_prefixes: bool,
    /// All users together ask at this rate, instead of after their think times.
    pub request_rate: Option<ArrivalRate>,
}

/// The requests of synthetic users, in the order of their arrival, without end. Every draw is
/// keyed by the user and the ordinal of the user's request.
#[derive(Debug)]
pub struct Synthetic {
    seed: Seed,
    options: SyntheticOptions,
    users: Vec<User>,
    /// The next arrival of every user, soonest first, then by the user's number.
    next: BinaryHeap<Reverse<(u64, u32)>>,
    paced: Option<Arrivals>,
    conversations: u64,
}

#[derive(Debug)]
struct User {
    qos: Qos,
    character: Character,
    requests: u64,
    /// Conversations opened so far, the open one included.
    opened: u32,
    conversation_ordinal: u64,
    /// The last turn asked; 0 when no conversation is open.
    turn: u32,
}

impl Synthetic {
    /// The users whom the seed draws.
    pub fn new(seed: Seed, options: SyntheticOptions) -> Self {
        let characters = (0..options.users).map(|number| {
            let mut stream = seed.stream("user", u64::from(number), 0);
            let character = Character::draw(&mut stream);
            (character, Qos::of(stream.unit()))
        });
        Self::of(seed, options, characters)
    }

    /// These users, in place of `options.users` drawn ones.
    pub fn of(seed: Seed, options: SyntheticOptions, characters: impl IntoIterator<Item = (Character, Qos)>) -> Self {
        let users: Vec<User> = characters.into_iter().map(User::new).collect();
        let options = SyntheticOptions { users: users.len() as u32, ..options };
        let paced = options.request_rate.map(|rate| Arrivals::new(seed, rate));
        let first = |number: u32| Reverse((users[number as usize].pause_ns(seed, number), number));
        let next = if paced.is_some() { BinaryHeap::new() } else { (0..options.users).map(first).collect() };
        Self { seed, options, users, next, paced, conversations: 0 }
    }

    /// The most tokens that one of their turns can add to a prompt.
    pub fn largest_context() -> u64 {
        persona::largest_context()
    }

    fn next_arrival(&mut self) -> (u64, u32) {
        match &mut self.paced {
            Some(arrivals) => {
                let (ordinal, at_ns) = arrivals.next();
                let user = self.seed.stream("arriving user", 0, ordinal).below(u64::from(self.options.users));
                (at_ns, user as u32)
            }
            None => self.next.peek().expect("every user has a next request").0,
        }
    }

    fn schedule(&mut self, at_ns: u64, number: u32) {
        if let Some(mut top) = self.next.peek_mut() {
            let pause = self.users[number as usize].pause_ns(self.seed, number);
            *top = Reverse((at_ns.saturating_add(pause), number));
        }
    }
}

impl Iterator for Synthetic {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Self::Item> {
        let (at_ns, number) = self.next_arrival();
        let user = &mut self.users[number as usize];
        if user.turn == 0 {
            user.open(self.conversations);
            self.conversations += 1;
        }
        let request = user.ask(self.seed, number, at_ns, self.options);
        self.schedule(at_ns, number);
        Some(Ok(request))
    }
}

impl User {
    fn new((character, qos): (Character, Qos)) -> Self {
        Self { qos, character, requests: 0, opened: 0, conversation_ordinal: 0, turn: 0 }
    }

    fn pause_ns(&self, seed: Seed, number: u32) -> u64 {
        let factor = seed.stream("pause", u64::from(number), self.requests).uniform(PAUSE.0, PAUSE.1);
        (self.character.think_s * factor * SECOND_NS as f64) as u64
    }

    fn open(&mut self, ordinal: u64) {
        self.conversation_ordinal = ordinal;
        self.opened += 1;
    }

    fn ask(&mut self, seed: Seed, number: u32, at_ns: u64, options: SyntheticOptions) -> Request {
        let who = u64::from(number);
        let mut lengths = seed.stream("lengths", who, self.requests);
        let mut part = |whole: u64| lengths.inclusive((whole / SMALLEST_PART).max(1), whole) as u32;
        let (context, generate_tokens) = (part(self.character.context), part(self.character.generation));
        let prefix = if options.shared_prefixes { prompts::draw(seed, who, self.requests) } else { None };
        let covered = prefix.map_or(0, |index| prompts::ALL[usize::from(index)].tokens);
        self.turn += 1;
        let turn = self.turn;
        let ends = || seed.stream("end of conversation", who, self.requests).chance(END_PROBABILITY);
        let last_turn = !options.multi_turn || turn >= MAX_TURNS || ends();
        if last_turn {
            self.turn = 0;
        }
        self.requests += 1;
        Request {
            user: Name::User(number),
            qos: self.qos,
            conversation: Name::UserConversation { user: number, n: self.opened - 1 },
            conversation_ordinal: self.conversation_ordinal,
            turn,
            last_turn,
            arrival_ns: at_ns,
            context_tokens: context.saturating_sub(covered),
            generate_tokens,
            prefix,
            ..Request::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn options(users: u32) -> SyntheticOptions {
        SyntheticOptions { users, multi_turn: true, shared_prefixes: false, request_rate: None }
    }

    fn first(seed: u64, options: SyntheticOptions, count: usize) -> Vec<Request> {
        Synthetic::new(Seed(seed), options).take(count).map(Result::unwrap).collect()
    }

    #[test]
    fn arrivals_are_ordered_and_turns_count_up() {
        let requests = first(1, options(20), 5_000);
        assert!(requests.windows(2).all(|w| w[0].arrival_ns <= w[1].arrival_ns));
        let mut last: BTreeMap<u64, (u32, bool)> = BTreeMap::new();
        for request in &requests {
            let before = last.insert(request.conversation_ordinal, (request.turn, request.last_turn));
            assert_eq!(before.unwrap_or((0, false)), (request.turn - 1, false), "{request:?}");
        }
    }

    #[test]
    fn conversations_have_five_turns_in_the_mean() {
        let requests = first(3, options(50), 50_000);
        let conversations = requests.iter().filter(|r| r.turn == 1).count();
        let mean = requests.len() as f64 / conversations as f64;
        assert!((4.8..5.2).contains(&mean), "{mean}");
        assert!(requests.iter().all(|r| r.turn <= MAX_TURNS));
    }

    #[test]
    fn users_ask_at_the_rate_that_their_think_times_give() {
        let users = 600;
        let requests = first(5, options(users), 60_000);
        let span_s = requests.last().unwrap().arrival_ns as f64 / 1e9;
        let rate = requests.len() as f64 / span_s / f64::from(users);
        // The mean of 1/think over the three ranges is 2.46 a second; see the reference's section 4.
        assert!((2.2..2.7).contains(&rate), "{rate}");
    }

    #[test]
    fn lengths_stay_in_their_ranges() {
        for request in first(9, options(200), 20_000) {
            assert!((128..=25_000).contains(&request.context_tokens), "{request:?}");
            assert!((12..=800).contains(&request.generate_tokens), "{request:?}");
        }
    }

    #[test]
    fn without_multi_turn_every_request_is_a_conversation() {
        let requests = first(1, SyntheticOptions { multi_turn: false, ..options(3) }, 100);
        assert!(requests.iter().all(|r| r.turn == 1 && r.last_turn));
    }

    #[test]
    fn a_rate_replaces_the_think_times() {
        let requests =
            first(1, SyntheticOptions { request_rate: Some(ArrivalRate::poisson(100.0)), ..options(10) }, 10_000);
        let span_s = requests.last().unwrap().arrival_ns as f64 / 1e9;
        assert!((95.0..105.0).contains(&(10_000.0 / span_s)), "{span_s}");
    }
}
