//! Conversations that arrive by the clock: at every arrival, the next turn of one of those that
//! are going on.

use std::collections::VecDeque;

use crate::error::Result;
use crate::seed::Seed;

use super::arrivals::{ArrivalRate, Arrivals};
use super::{Conversation, Conversations, Request};

/// Requests at a rate, out of up to `users` conversations at a time, which take turns.
pub struct Paced {
    conversations: Conversations,
    going_on: VecDeque<Conversation>,
    users: usize,
    arrivals: Arrivals,
}

impl Paced {
    /// Arrivals at a rate.
    pub fn new(conversations: Conversations, users: u32, rate: ArrivalRate, seed: Seed) -> Self {
        Self { conversations, going_on: VecDeque::new(), users: users as usize, arrivals: Arrivals::new(seed, rate) }
    }
}

impl Iterator for Paced {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.going_on.len() < self.users {
            match self.conversations.next() {
                Some(Ok(conversation)) => self.going_on.push_back(conversation),
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        let mut conversation = self.going_on.pop_front()?;
        let request = conversation.next().expect("a conversation that is going on has a turn left");
        if !conversation.is_over() {
            self.going_on.push_back(conversation);
        }
        let (_, arrival_ns) = self.arrivals.next();
        Some(Ok(Request { arrival_ns, ..request }))
    }
}
