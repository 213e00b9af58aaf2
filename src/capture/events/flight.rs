//! What events say was in flight on a device and side, change by change, in the programs' order.

use std::collections::{BTreeMap, HashSet};

use crate::measure::events::{Event, EventKind, Word};
use crate::trace::Phase;

use super::counters::{Counters, direction};
use super::turns::Turns;

/// What is in flight on a device and side.
pub struct Flight {
    turns: Turns<Turn>,
    depth: [u64; 2],
    since: i64,
    runs: [Option<Run>; 2],
    /// Requests that were turned away and come again, by birth and process.
    again: HashSet<(i64, u32)>,
}

/// One request more or fewer in flight.
struct Turn {
    at_ns: i64,
    way: usize,
    /// One more, and whether that was the request's first flight: how it follows the last one.
    up: Option<Option<Follows>>,
}

/// How a request follows the last one of its direction.
struct Follows {
    sequential: bool,
    phase: Option<Phase>,
}

/// A sequential run that goes on.
struct Run {
    requests: u64,
    phase: Option<Phase>,
}

/// Where time at a depth and runs are counted.
pub struct Sums<'a> {
    /// Of no phase, and the time at each depth.
    pub plain: &'a mut Counters,
    /// By phase; none on a side that has none.
    pub phases: Option<&'a mut BTreeMap<&'static str, Counters>>,
}

impl Sums<'_> {
    /// The set of a phase; without one, the plain one.
    pub fn of(&mut self, phase: Option<Phase>) -> &mut Counters {
        let word = phase.and_then(|phase| Phase::WORDS.iter().find(|(known, _)| *known == phase));
        match (word, &mut self.phases) {
            (Some((_, word)), Some(phases)) => phases.entry(word).or_insert_with(Counters::new),
            _ => self.plain,
        }
    }
}

impl Flight {
    /// Nothing.
    pub fn new() -> Self {
        Self { turns: Turns::new(), depth: [0; 2], since: i64::MIN, runs: [None, None], again: HashSet::new() }
    }

    /// Files the changes that a request made. Only what landed has flown to its end: until then
    /// another row of the request follows.
    pub fn take(&mut self, event: &Event) {
        let Some(way) = direction(event.op) else { return };
        let request = (event.queued_ns, event.pid);
        let came_again = self.again.remove(&request);
        let flew = event.took_off.zip(event.took_off_ns()).zip(event.landed);
        if event.kind == EventKind::Requeued && (came_again || flew.is_some()) {
            self.again.insert(request);
        }
        let Some(((took_off, flown), landed)) = flew else { return };
        let follows = Follows { sequential: event.seek_bytes == Some(0), phase: event.phase };
        self.turns.push(took_off, Turn { at_ns: flown, way, up: Some((!came_again).then_some(follows)) });
        self.turns.push(landed, Turn { at_ns: event.completed_ns, way, up: None });
    }

    /// Goes through the changes whose turn it is.
    pub fn play(&mut self, sums: &mut Sums<'_>) {
        self.play_until(sums, false);
    }

    /// Goes through all that is left, and ends the runs. Returns how many changes never came.
    pub fn end(&mut self, sums: &mut Sums<'_>) -> u64 {
        self.play_until(sums, true);
        for (way, run) in self.runs.iter_mut().enumerate() {
            run.take().into_iter().for_each(|run| sums.of(run.phase).count_run(way, run.requests));
        }
        self.turns.missing()
    }

    fn play_until(&mut self, sums: &mut Sums<'_>, end: bool) {
        while let Some(turn) = self.turns.pop(end) {
            if turn.at_ns > self.since {
                let spent = turn.at_ns.saturating_sub(self.since) as u64;
                sums.plain.count_depths(self.depth[0], self.depth[1], spent);
                self.since = turn.at_ns;
            }
            let depth = &mut self.depth[turn.way];
            match turn.up {
                None => *depth = depth.saturating_sub(1),
                Some(first) => {
                    *depth += 1;
                    first.into_iter().for_each(|follows| self.follow(turn.way, &follows, sums));
                }
            }
        }
    }

    /// A request goes on with the run of its direction, or ends it and begins one.
    fn follow(&mut self, way: usize, follows: &Follows, sums: &mut Sums<'_>) {
        match &mut self.runs[way] {
            Some(run) if follows.sequential => run.requests += 1,
            run => {
                let ended = run.replace(Run { requests: 1, phase: follows.phase });
                ended.into_iter().for_each(|run| sums.of(run.phase).count_run(way, run.requests));
            }
        }
    }
}
