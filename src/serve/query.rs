//! The way of a question about documents: what it retrieves is its prompt, of which it stores
//! nothing of its own. The answer is generated from the chunks, which are read again meanwhile as
//! any other request's object is.

use crate::error::Result;

use super::Phases;
use super::answer::{Answer, Next};
use super::retrieval::Retrieval;
use super::service::{Visit, Wait};
use super::system::System;

/// Where the question is on its way.
#[derive(Debug)]
pub struct Query {
    retrieval: Retrieval,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Retrieve,
    Begin,
    Await(Answer),
    Rescan(usize, Answer),
    Finish,
}

impl Query {
    /// Retrieves; none when there is no document to ask about.
    pub fn begin(visit: &mut Visit, system: &mut System<'_>) -> Option<Self> {
        let retrieval = Retrieval::of_query(visit.ordinal, system)?;
        visit.request.context_tokens = retrieval.tokens();
        Some(Self { retrieval, step: Step::Retrieve })
    }

    /// Takes one step.
    pub fn step(&mut self, visit: &mut Visit, now: u64, system: &mut System<'_>) -> Result<Wait> {
        match self.step {
            Step::Retrieve => {
                if let Some(wait) = self.retrieval.step(visit, now, system)? {
                    return Ok(wait);
                }
                self.step = if system.config.phases == Phases::PrefillOnly { Step::Finish } else { Step::Begin };
                Ok(Wait::Until(now))
            }
            Step::Begin => {
                self.step = Step::Await(Answer::begin(true, visit, now, system));
                Ok(Wait::Until(now))
            }
            Step::Await(mut answer) => {
                let (step, wait) = match answer.next(visit.request.generate_tokens) {
                    Next::Rescan(wait) => (Step::Rescan(0, answer), wait),
                    Next::End(wait) => (Step::Finish, wait),
                };
                self.step = step;
                Ok(wait)
            }
            Step::Rescan(place, answer) => {
                let wait = self.retrieval.read_again(place, visit, now, system)?;
                self.step = if wait.is_some() { Step::Rescan(place + 1, answer) } else { Step::Await(answer) };
                Ok(wait.unwrap_or(Wait::Until(now)))
            }
            Step::Finish => Ok(Wait::Over),
        }
    }
}
