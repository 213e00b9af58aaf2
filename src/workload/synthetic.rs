//! Synthetic users: they think, ask, sometimes end their conversation and begin another, and do
//! not wait for answers.

use crate::error::Result;
use crate::seed::{Purpose, Seed};
use crate::trace::Name;
use crate::units::SECOND_NS;

use super::agenda::Agenda;
use super::arrivals::{ArrivalRate, Arrivals};
use super::persona::{Character, Population};
use super::{Qos, Request, prompts};

/// A turn adds from a quarter of the user's context to all of it; answers likewise.
const SMALLEST_PART: u64 = 4;

const ARRIVING: Purpose = Purpose::new("arriving user");
const PAUSES: Purpose = Purpose::new("pause");
const LENGTHS: Purpose = Purpose::new("lengths");
const ENDS: Purpose = Purpose::new("end of conversation");

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
    /// What the users are like.
    pub population: Population,
}

/// The requests of synthetic users, in the order of their arrival, without end. Every draw is
/// keyed by the user and the ordinal of the user's request.
#[derive(Debug)]
pub struct Synthetic {
    seed: Seed,
    options: SyntheticOptions,
    users: Vec<User>,
    /// The next arrival of every user, soonest first, then by the user's number.
    next: Agenda,
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
        Self::of(seed, options, (0..options.users).map(|number| options.population.draw(seed, number)))
    }

    /// These users, in place of `options.users` drawn ones.
    pub fn of(seed: Seed, options: SyntheticOptions, characters: impl IntoIterator<Item = (Character, Qos)>) -> Self {
        let users: Vec<User> = characters.into_iter().map(User::new).collect();
        let options = SyntheticOptions { users: users.len() as u32, ..options };
        let paced = options.request_rate.map(|rate| Arrivals::new(seed, rate));
        let mut next = Agenda::new(options.users);
        if paced.is_none() {
            for (number, user) in (0..).zip(&users) {
                next.set(number, user.pause_ns(seed, number, options.population.pause), u64::from(number));
            }
        }
        Self { seed, options, users, next, paced, conversations: 0 }
    }

    fn next_arrival(&mut self) -> (u64, u32) {
        match &mut self.paced {
            Some(arrivals) => {
                let (ordinal, at_ns) = arrivals.next();
                let user = self.seed.stream(ARRIVING, 0, ordinal).below(u64::from(self.options.users));
                (at_ns, user as u32)
            }
            None => self.next.next().expect("every user has a next request"),
        }
    }

    fn schedule(&mut self, at_ns: u64, number: u32) {
        if self.paced.is_none() {
            let pause = self.users[number as usize].pause_ns(self.seed, number, self.options.population.pause);
            self.next.set(number, at_ns.saturating_add(pause), u64::from(number));
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
        let request = user.ask(self.seed, number, at_ns, &self.options);
        self.schedule(at_ns, number);
        Some(Ok(request))
    }
}

impl User {
    fn new((character, qos): (Character, Qos)) -> Self {
        Self { qos, character, requests: 0, opened: 0, conversation_ordinal: 0, turn: 0 }
    }

    fn pause_ns(&self, seed: Seed, number: u32, (shortest, longest): (f64, f64)) -> u64 {
        let factor = seed.stream(PAUSES, u64::from(number), self.requests).uniform(shortest, longest);
        (self.character.think_s * factor * SECOND_NS as f64) as u64
    }

    fn open(&mut self, ordinal: u64) {
        self.conversation_ordinal = ordinal;
        self.opened += 1;
    }

    fn ask(&mut self, seed: Seed, number: u32, at_ns: u64, options: &SyntheticOptions) -> Request {
        let who = u64::from(number);
        let mut lengths = seed.stream(LENGTHS, who, self.requests);
        let mut part = |whole: u64| lengths.inclusive((whole / SMALLEST_PART).max(1), whole) as u32;
        let (context, generate_tokens) = (part(self.character.context), part(self.character.generation));
        let population = &options.population;
        let sharing = options.shared_prefixes.then_some(population.prompts);
        let prefix = sharing.and_then(|sharing| prompts::draw(seed, who, self.requests, sharing));
        let covered = prefix.map_or(0, |index| prompts::ALL[usize::from(index)].tokens);
        self.turn += 1;
        let turn = self.turn;
        let ends = || seed.stream(ENDS, who, self.requests).chance(population.end_probability);
        let last_turn = !options.multi_turn || turn >= population.max_turns || ends();
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
        SyntheticOptions {
            users,
            multi_turn: true,
            shared_prefixes: false,
            request_rate: None,
            population: Population::default(),
        }
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
        assert!(requests.iter().all(|r| r.turn <= 50));
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
        let requests = first(
            1,
            SyntheticOptions { request_rate: Some(ArrivalRate { per_second: 100.0, cv: 1.0 }), ..options(10) },
            10_000,
        );
        let span_s = requests.last().unwrap().arrival_ns as f64 / 1e9;
        assert!((95.0..105.0).contains(&(10_000.0 / span_s)), "{span_s}");
    }
}
