//! How the run thread waits for the schedule: asleep in the ring, awake, or asleep until shortly
//! before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::units;

use super::blocked::Blocked;
use super::op::NEVER;
use super::{Early, Run, gpu};
use crate::replay::config::{Pace, Wait};

/// How long the thread sleeps at most, so that it notices a request to stop.
pub const NAP_NS: u64 = 50_000_000;

/// Bounds of the margin: one wake-up, and what no machine that is fit for measuring needs.
const MARGIN_NS: (u64, u64) = (2_000, 200_000);
/// What the margin starts from.
const FIRST_MARGIN_NS: u64 = 20_000;
/// One step of the margin.
const STEP_NS: u64 = 250;
/// It grows by so many steps after a sleep that it did not cover, and shrinks by one after one
/// that it did, so that it settles where 1 of 20 is not covered.
const UNCOVERED_STEPS: u64 = 19;

/// Sleeps before the clock starts, from which the margin is learnt, and their length.
const TRIALS: u32 = 40;
const TRIAL_NS: u64 = 50_000;

/// A wait is disturbed when the processor was somebody else's for longer than any margin covers.
/// One of so many waits is what the share of disturbed ones is smoothed over.
const MEMORY: f64 = 512.0;
/// With a larger share, staying awake helps nobody: whoever is awake uses up the time that the
/// scheduler gives it, and then waits longer. With a smaller one it is tried again.
const DISTURBED: (f64, f64) = (0.004, 0.01);

/// How the thread waits.
#[derive(Debug)]
pub struct Waiter {
    mode: Wait,
    margin_ns: u64,
    /// The share of waits that were disturbed.
    disturbed: f64,
    /// Staying awake is given up for now.
    yields: bool,
    /// Waits for the schedule, and how many of them would have ended awake.
    waits: (u64, u64),
    /// When it was last awake with nothing to do, if it still is.
    awake_at: Option<u64>,
    /// Since when nothing could be done.
    idle_since: Option<u64>,
}

impl Waiter {
    /// Nothing learnt yet.
    pub fn new(mode: Wait) -> Self {
        Self {
            mode,
            margin_ns: FIRST_MARGIN_NS,
            disturbed: 0.0,
            yields: false,
            waits: (0, 0),
            awake_at: None,
            idle_since: None,
        }
    }

    /// How long before its time something is waited for awake; none where that is not done.
    pub fn margin_ns(&self) -> Option<u64> {
        (self.mode == Wait::Hybrid).then_some(self.margin_ns)
    }

    /// How long to sleep when something is due in `ns`; 0 to stay awake.
    fn sleep_ns(&self, ns: u64, is_schedule: bool) -> u64 {
        match self.mode {
            Wait::Timeout => ns,
            Wait::Hybrid if is_schedule && !self.yields => ns.saturating_sub(self.margin_ns),
            Wait::Hybrid => ns,
            Wait::Spin => 0,
        }
    }

    /// That waiting awake was given up for a part of the run, if it was.
    pub fn note(&self) -> Option<String> {
        let (all, slept) = self.waits;
        (slept > 0).then(|| {
            format!(
                "--wait hybrid: other programs took the processor for more than {} again and again, so that {:.0} % of \
                 the waits were slept to their end instead",
                units::ns(MARGIN_NS.1 as f64),
                slept as f64 / all as f64 * 100.0
            )
        })
    }

    /// A wait ended so long after it should have.
    fn disturbance(&mut self, ns: u64) {
        let disturbed = f64::from(u8::from(ns > MARGIN_NS.1));
        self.disturbed += (disturbed - self.disturbed) / MEMORY;
        self.yields = self.disturbed > if self.yields { DISTURBED.0 } else { DISTURBED.1 };
        self.waits = (self.waits.0 + 1, self.waits.1 + u64::from(self.yields && self.mode == Wait::Hybrid));
    }

    /// It stays awake at `now` and looks again: how long it was not looking was somebody else's.
    fn stays_awake(&mut self, now: u64) {
        if let Some(before) = self.awake_at.replace(now).filter(|before| now - before > MARGIN_NS.1) {
            self.disturbance(now - before);
        }
    }

    /// A sleep was so much longer than it should have been.
    fn overslept(&mut self, ns: u64) {
        self.disturbance(ns);
        let margin = self.margin_ns;
        self.margin_ns = if ns > margin { margin + UNCOVERED_STEPS * STEP_NS } else { margin.saturating_sub(STEP_NS) }
            .clamp(MARGIN_NS.0, MARGIN_NS.1);
    }

    /// Something was done.
    pub fn busy(&mut self) {
        (self.idle_since, self.awake_at) = (None, None);
    }
}

/// When the first timer goes off.
fn first(timers: &BinaryHeap<Reverse<(u64, u32)>>) -> u64 {
    timers.peek().map_or(NEVER, |Reverse((at, _))| *at)
}

impl Run<'_> {
    /// Learns how much longer than asked a sleep takes here.
    pub fn learn_to_wait(&mut self) -> Result<()> {
        if self.waiter.mode != Wait::Hybrid || self.config.pace == Pace::Asap {
            return Ok(());
        }
        for _ in 0..TRIALS {
            let before = self.now();
            self.stage.ring.wait(TRIAL_NS)?;
            self.waiter.overslept((self.now() - before).saturating_sub(TRIAL_NS));
        }
        Ok(())
    }

    /// Waits for whatever comes next: a completion, a timer, the schedule. In the last moments
    /// before it, and always if that was asked for, only time is noted: the caller looks again.
    pub fn sleep(&mut self) -> Result<()> {
        let now = self.now();
        let since = self.waiter.idle_since.unwrap_or(now);
        let timer = first(&self.timers);
        let due = timer.min(self.next_admission().unwrap_or(NEVER));
        let until = due.min(now + NAP_NS);
        let mut sleep_ns = self.waiter.sleep_ns(until.saturating_sub(now), until == due);
        if self.unrung() {
            // Nobody wakes us when a GPU or cuFile has done something.
            sleep_ns = sleep_ns.min(gpu::NAP_NS);
        }
        let gpus_rest = self.gpu_in_flight == 0 && self.to_gpu.is_empty();
        if timer == NEVER && self.crew.busy() == 0 && gpus_rest && self.lanes.stuck() {
            // What runs cannot go on, and nothing will end that it could wait for.
            self.strip_ahead();
            self.flush()?;
        } else if sleep_ns == 0 || !self.crew.may_sleep() {
            self.waiter.stays_awake(now);
            self.flush()?;
        } else {
            self.waiter.awake_at = None;
            self.stamp_starts();
            self.stage.ring.wait(sleep_ns)?;
            self.looked = self.now();
            if self.looked >= now + sleep_ns {
                self.waiter.overslept(self.looked - now - sleep_ns);
            }
        }
        self.crew.awake();
        self.check_lag();
        let after = self.now();
        self.waiter.idle_since = Some(after);
        // Copies wait for the hands that make them, however much I/O is in flight besides, unless
        // that is at its limit.
        let movers = self.crew.copies() > 0
            && (self.in_flight == 0 || self.blocked.is_running(Blocked::MEMORY) && !self.blocked.is_storage_running());
        let gpus = self.gpu_in_flight > 0
            && (self.in_flight == 0 || self.blocked.is_running(Blocked::GPU) && !self.blocked.is_storage_running());
        let account = &mut self.tally.spent;
        if movers {
            account.copy_ns += after - since;
        } else if gpus {
            account.gpu_ns += after - since;
        } else if self.in_flight > 0 {
            account.device_ns += after - since;
        } else if timer != NEVER {
            account.model_ns += after - since;
        } else if self.crew.busy() > 0 {
            account.data_ns += after - since;
        } else {
            account.pace_ns += after - since;
        }
        Ok(())
    }

    /// Ends the run when what has not started is further behind the schedule than allowed.
    fn check_lag(&mut self) {
        let Some(most) = self.config.max_lag_ns.filter(|_| self.config.pace != Pace::Asap) else { return };
        let waiting = self
            .lanes
            .iter()
            .flat_map(|lane| [lane.queue.front(), lane.opening.front()])
            .flatten()
            .chain(self.memory_queue.front());
        let legs = waiting.map(|index| self.ops[*index as usize].legs[0]);
        let queued = legs.filter(|leg| leg.start == NEVER).map(|leg| leg.sched);
        let next = self.ahead.first().map(|row| self.schedule(row, NEVER));
        let lag = queued.chain(next).map(|sched| self.now().saturating_sub(sched)).max().unwrap_or(0);
        if lag > most {
            self.early.get_or_insert(Early::Lag(lag));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sleeps_to_the_end_while_others_take_the_processor() {
        let mut waiter = Waiter::new(Wait::Hybrid);
        let mut wait = |of: u64, late: u64| {
            (0..2_000u64).for_each(|i| waiter.overslept(if i % of == 0 { late } else { 3_000 }));
            waiter.sleep_ns(1_000, true) > 0
        };
        assert!(!wait(1_000, 2_000_000), "now and then is nothing");
        assert!(wait(20, 2_000_000));
        assert!(!wait(20, 50_000), "what a margin covers is not somebody else's");
        assert!(waiter.note().is_some_and(|note| note.contains("--wait hybrid")));
        assert_eq!(Waiter::new(Wait::Timeout).note(), None);
    }

    #[test]
    fn the_margin_settles_where_one_sleep_of_twenty_is_not_covered() {
        let mut waiter = Waiter::new(Wait::Hybrid);
        for i in 0..20_000u64 {
            // From 0 to 10 us, and now and then milliseconds, which are nobody's habit.
            waiter.overslept(if i % 500 == 0 { 3_000_000 } else { i * 7919 % 10_000 });
        }
        assert!((8_000..13_000).contains(&waiter.margin_ns), "{}", waiter.margin_ns);
        assert_eq!([waiter.sleep_ns(5_000, true), waiter.sleep_ns(5_000, false)], [0, 5_000]);
        assert!(waiter.sleep_ns(100_000, true) > 80_000);
        assert_eq!([Waiter::new(Wait::Spin), Waiter::new(Wait::Timeout)].map(|w| w.sleep_ns(9, true)), [0, 9]);
    }
}
