//! The way of a request on a machine that only decodes: the KV cache of its prompt was computed
//! elsewhere and is one of the objects that are there from the start. Nothing is written; what is
//! gone is missed and stays gone.

use crate::cache::Id;
use crate::error::Result;

use super::answer::{Answer, Next};
use super::retrieval::Retrieval;
use super::service::{Visit, Wait};
use super::system::System;
use super::tally::Sought;

/// Where the request is on its way.
#[derive(Debug)]
pub struct DecodeOnly {
    retrieval: Option<Box<Retrieval>>,
    object: Option<Id>,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Draw,
    Retrieve,
    FirstRead,
    Begin(bool),
    Await(Answer),
    Rescan(Answer),
    Finish,
}

impl DecodeOnly {
    /// Nothing is done yet.
    pub fn new() -> Self {
        Self { retrieval: None, object: None, step: Step::Draw }
    }

    /// Takes one step.
    pub fn step(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        match self.step {
            Step::Draw => {
                self.draw(visit.ordinal, system);
                Ok(Wait::Until(now))
            }
            Step::Retrieve => {
                let retrieved = match &mut self.retrieval {
                    Some(retrieval) => retrieval.step(visit, now, system)?,
                    None => None,
                };
                if retrieved.is_none() {
                    self.step = Step::FirstRead;
                }
                Ok(retrieved.unwrap_or(Wait::Until(now)))
            }
            Step::FirstRead => self.read_first(visit, now, system),
            Step::Begin(rereads) => {
                self.step = Step::Await(Answer::begin(rereads, visit, now, system));
                Ok(Wait::Until(now))
            }
            Step::Await(mut answer) => {
                let (step, wait) = match answer.next(visit.request.generate_tokens) {
                    Next::Rescan(wait) => (Step::Rescan(answer), wait),
                    Next::End(wait) => (Step::Finish, wait),
                };
                self.step = step;
                Ok(wait)
            }
            Step::Rescan(answer) => {
                self.step = Step::Await(answer);
                self.read(visit, now, system).map(|done_ns| Wait::Until(done_ns.unwrap_or(now)))
            }
            Step::Finish => Ok(Wait::Over),
        }
    }

    /// Draws the object, all of them equally likely, and what is looked up besides.
    fn draw(&mut self, ordinal: u64, system: &mut System<'_>) {
        let mut stream = system.config.seed.stream("prepopulated object", ordinal, 0);
        let objects = &system.prepopulated;
        self.object = if objects.is_empty() { None } else { objects[stream.below(objects.len() as u64) as usize] };
        self.retrieval = Retrieval::besides(ordinal, system).map(Box::new);
        self.step = Step::Retrieve;
    }

    fn read_first(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        let done_ns = self.read(visit, now, system)?;
        self.step = Step::Begin(done_ns.is_some());
        Ok(Wait::Until(done_ns.unwrap_or(now)))
    }

    /// Reads the object: when that is done; none when it is gone.
    fn read(&self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Option<u64>> {
        let Some(id) = self.object else {
            visit.missed(Sought::Object, system);
            return Ok(None);
        };
        Ok(visit.read(id, Sought::Object, now, system)?.map(|loaded| loaded.done_ns))
    }
}
