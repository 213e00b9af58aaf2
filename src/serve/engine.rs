//! The event loop: arrivals, workers, and the steps of the requests in service, in the order of
//! (time, class, ordinal).

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::meta::RecordStats;
use crate::workload::{Agenda, Conversation, Conversations, Request, Requests, Workload};

use super::allocations::Writer;
use super::background::Background;
use super::queue::Queue;
use super::service::{Service, Wait};
use super::system::System;
use super::{Config, Recorded, Sink};

/// Stamps are 63 bits of nanoseconds; half of them, so that nothing that is under way overflows.
const END_OF_TIME_NS: u64 = i64::MAX as u64 / 2;
/// Events between two looks at the stop flag.
const EVENTS_BETWEEN_LOOKS: u64 = 1024;

/// The system and what is going on in it.
pub struct Engine<'a> {
    system: System<'a>,
    background: Background,
    queue: Queue,
    /// Requests in service, by worker.
    workers: Vec<Option<Service>>,
    idle: Vec<u32>,
    /// The next step of every request in service. At one moment, steps come before arrivals.
    steps: Agenda,
    admitted: u64,
}

/// What makes requests come.
enum Arrivals {
    Open { requests: Requests, next: Option<Request> },
    Closed { conversations: Conversations, held: Vec<Option<Conversation>> },
}

impl Arrivals {
    /// When the next request arrives by the clock.
    fn next_ns(&self) -> Option<u64> {
        match self {
            Arrivals::Open { next, .. } => next.as_ref().map(|request| request.arrival_ns),
            Arrivals::Closed { .. } => None,
        }
    }
}

impl<'a> Engine<'a> {
    /// An idle system.
    pub fn new(config: &'a Config, sink: &'a mut dyn Sink) -> Self {
        Self {
            system: System::new(config, sink),
            background: Background::new(),
            queue: Queue::new(config.queue, config.priorities),
            workers: (0..config.workers).map(|_| None).collect(),
            idle: (0..config.workers).rev().collect(),
            steps: Agenda::new(config.workers),
            admitted: 0,
        }
    }

    /// Serves a workload to its end.
    pub fn run(mut self, workload: Workload, stop: &Stop, progress: &dyn Progress) -> Result<Recorded> {
        progress.stage("recording", self.system.config.max_requests, "requests");
        let mut arrivals = self.start(workload)?;
        let mut reported = 0;
        let mut complete = true;
        for event in 1u64.. {
            if event.is_multiple_of(EVENTS_BETWEEN_LOOKS) {
                let served = self.system.tally.requests();
                progress.advance(served - reported);
                reported = served;
                if stop.requested() {
                    complete = false;
                    break;
                }
            }
            if !self.next_event(&mut arrivals)? {
                break;
            }
        }
        progress.done();
        let System { config, tally, cache, documents, gpu, .. } = self.system;
        let gpu = gpu.used(tally.ended_ns());
        Ok(Recorded { stats: RecordStats { gpu, ..tally.stats(config, &cache, &documents) }, complete })
    }

    fn start(&mut self, workload: Workload) -> Result<Arrivals> {
        match workload {
            Workload::Open(mut requests) => {
                let next = self.admissible(&mut requests)?;
                Ok(Arrivals::Open { requests, next })
            }
            Workload::Closed(conversations) => {
                let held = (0..self.workers.len()).map(|_| None).collect();
                let mut arrivals = Arrivals::Closed { conversations, held };
                for worker in std::mem::take(&mut self.idle).into_iter().rev() {
                    self.take_next(worker, 0, &mut arrivals)?;
                }
                Ok(arrivals)
            }
        }
    }

    /// Lets the next thing happen; false when nothing is left. At one moment, background work
    /// comes before steps, steps before tokens, and tokens before arrivals.
    fn next_event(&mut self, arrivals: &mut Arrivals) -> Result<bool> {
        if self.system.tally.ended_ns() > END_OF_TIME_NS {
            return Err(Error::usage(
                "virtual time ends after 146 years; less --generation-mode or --tier-timing, or more --trace-speedup, is \
                 needed",
            ));
        }
        let step = self.steps.next();
        let tokens = self.system.gpu.next().filter(|at| step.is_none_or(|(step_at, _)| *at < step_at));
        let due = tokens.or(step.map(|(at, _)| at));
        if let Some(at) = self.background.due_ns()
            && due.is_none_or(|due_ns| at <= due_ns)
            && arrivals.next_ns().is_none_or(|arrival_ns| at <= arrival_ns)
        {
            self.background.step(at, &mut self.system)?;
            self.let_in(at);
            return Ok(true);
        }
        if let Arrivals::Open { requests, next } = arrivals
            && let Some(request) = next.take_if(|request| due.is_none_or(|at| request.arrival_ns < at))
        {
            self.arrive(request);
            *next = self.admissible(requests)?;
            return Ok(true);
        }
        let goes_on = match (tokens, step) {
            (Some(now), _) => self.system.gpu.take(now).map(|worker| (now, worker)),
            (None, Some(step)) => Some(step),
            (None, None) => return Ok(false),
        };
        if let Some((now, worker)) = goes_on {
            self.advance(worker, now, arrivals)?;
        }
        Ok(true)
    }

    /// A worker's request goes on.
    fn advance(&mut self, worker: u32, now: u64, arrivals: &mut Arrivals) -> Result<()> {
        let service = self.workers[worker as usize].as_mut().expect("whoever goes on is in service");
        match service.advance(now, &mut self.system)? {
            Wait::Until(due) => self.steps.set(worker, due, service.visit.ordinal),
            Wait::Tokens(_) | Wait::ToWrite => self.steps.clear(worker),
            Wait::Over => {
                self.workers[worker as usize] = None;
                self.take_next(worker, now, arrivals)?;
            }
        }
        self.let_in(now);
        Ok(())
    }

    /// Whose turn to write it is goes on.
    fn let_in(&mut self, now: u64) {
        while let Some(writer) = self.system.allocations.let_in() {
            match writer {
                Writer::Background => self.background.let_in(now),
                Writer::Request { ordinal, worker } => self.steps.set(worker, now, ordinal),
            }
        }
    }

    /// A request arrives by the clock.
    fn arrive(&mut self, request: Request) {
        let now = request.arrival_ns;
        let ordinal = self.admit();
        // Nobody waits while somebody is idle.
        match self.idle.pop() {
            Some(worker) => self.serve(worker, ordinal, request, now),
            None => self.queue.push(ordinal, request),
        }
    }

    /// A worker is free and looks for work.
    fn take_next(&mut self, worker: u32, now: u64, arrivals: &mut Arrivals) -> Result<()> {
        let next = match arrivals {
            Arrivals::Open { .. } => self.queue.pop(),
            Arrivals::Closed { conversations, held } => {
                self.next_turn(conversations, &mut held[worker as usize], now)?.map(|request| (self.admit(), request))
            }
        };
        match next {
            Some((ordinal, request)) => self.serve(worker, ordinal, request, now),
            None => {
                self.steps.clear(worker);
                self.idle.push(worker);
            }
        }
        Ok(())
    }

    fn serve(&mut self, worker: u32, ordinal: u64, request: Request, now: u64) {
        let service = Service::begin(ordinal, request, worker, now, &mut self.system);
        self.workers[worker as usize] = Some(service);
        self.steps.set(worker, now, ordinal);
    }

    fn admit(&mut self) -> u64 {
        self.admitted += 1;
        self.admitted - 1
    }

    fn admits(&self, at_ns: u64, admitted: u64) -> bool {
        let Config { duration_ns, max_requests, .. } = *self.system.config;
        duration_ns.is_none_or(|end| at_ns < end) && max_requests.is_none_or(|most| admitted < most)
    }

    /// The next request of an open workload; none once one comes too late or is one too many.
    fn admissible(&self, requests: &mut Requests) -> Result<Option<Request>> {
        let Some(request) = requests.next().transpose()? else { return Ok(None) };
        Ok(Some(request).filter(|request| self.admits(request.arrival_ns, self.admitted)))
    }

    /// The next turn of the conversation that a worker of a closed workload holds, or the first
    /// of another one.
    fn next_turn(
        &self,
        conversations: &mut Conversations,
        held: &mut Option<Conversation>,
        now: u64,
    ) -> Result<Option<Request>> {
        if !self.admits(now, self.admitted) {
            return Ok(None);
        }
        loop {
            if let Some(request) = held.as_mut().and_then(Iterator::next) {
                return Ok(Some(Request { arrival_ns: now, ..request }));
            }
            *held = conversations.next().transpose()?;
            if held.is_none() {
                return Ok(None);
            }
        }
    }
}
