//! How the run thread waits for the schedule: asleep in the ring, awake, or asleep until shortly
//! before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::Result;

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

/// How the thread waits.
#[derive(Debug)]
pub struct Waiter {
    mode: Wait,
    margin_ns: u64,
    /// Since when nothing could be done.
    idle_since: Option<u64>,
}

impl Waiter {
    /// Nothing learnt yet.
    pub fn new(mode: Wait) -> Self {
        Self { mode, margin_ns: FIRST_MARGIN_NS, idle_since: None }
    }

    /// How long before its time something is waited for awake; none where that is not done.
    pub fn margin_ns(&self) -> Option<u64> {
        (self.mode == Wait::Hybrid).then_some(self.margin_ns)
    }

    /// How long to sleep when something is due in `ns`; 0 to stay awake.
    fn sleep_ns(&self, ns: u64, is_schedule: bool) -> u64 {
        match self.mode {
            Wait::Timeout => ns,
            Wait::Hybrid if is_schedule => ns.saturating_sub(self.margin_ns),
            Wait::Hybrid => ns,
            Wait::Spin => 0,
        }
    }

    /// A sleep was so much longer than it should have been.
    fn overslept(&mut self, ns: u64) {
        let margin = self.margin_ns;
        self.margin_ns = if ns > margin { margin + UNCOVERED_STEPS * STEP_NS } else { margin.saturating_sub(STEP_NS) }
            .clamp(MARGIN_NS.0, MARGIN_NS.1);
    }

    /// Something was done.
    pub fn busy(&mut self) {
        self.idle_since = None;
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
        if self.gpu_in_flight > 0 {
            // Nobody wakes us when a GPU has done something.
            sleep_ns = sleep_ns.min(gpu::NAP_NS);
        }
        let queued = !(self.io_queue.is_empty() && self.gpu_queue.is_empty());
        let stuck = self.in_flight + self.gpu_in_flight == 0 && timer == NEVER && self.crew.busy() == 0 && queued;
        if stuck && self.ahead.bytes > 0 {
            // What runs cannot go on, and nothing will end that it could wait for.
            self.strip_ahead();
        } else if sleep_ns > 0 && self.crew.may_sleep() {
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
            && (self.in_flight == 0
                || self.blocked.is_running(Blocked::MEMORY) && !self.blocked.is_running(Blocked::STORAGE));
        let gpus = self.gpu_in_flight > 0
            && (self.in_flight == 0
                || self.blocked.is_running(Blocked::GPU) && !self.blocked.is_running(Blocked::STORAGE));
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
        let waiting = [self.io_queue.front(), self.gpu_queue.front(), self.memory_queue.front()].into_iter().flatten();
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
    fn the_margin_settles_where_one_sleep_of_twenty_is_not_covered() {
        let mut waiter = Waiter::new(Wait::Hybrid);
        for i in 0..20_000u64 {
            // From 0 to 10 us, and now and then milliseconds, which are nobody's habit.
            waiter.overslept(if i % 200 == 0 { 3_000_000 } else { i * 7919 % 10_000 });
        }
        assert!((8_000..13_000).contains(&waiter.margin_ns), "{}", waiter.margin_ns);
        assert_eq!([waiter.sleep_ns(5_000, true), waiter.sleep_ns(5_000, false)], [0, 5_000]);
        assert!(waiter.sleep_ns(100_000, true) > 80_000);
        assert_eq!([Waiter::new(Wait::Spin), Waiter::new(Wait::Timeout)].map(|w| w.sleep_ns(9, true)), [0, 9]);
    }
}
