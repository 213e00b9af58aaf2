//! Rows become operations: in the order of the trace, when they are due and there is room.

use crate::error::{Error, Result};
use crate::trace::Op as Direction;

use super::ahead::Upcoming;
use super::blocked::Blocked;
use super::op::{Carrier, Leg, NEVER, Op, Source, leg};
use super::{Run, blocked_by, holds_bytes};
use crate::replay::config::{Pace, Verify};
use crate::replay::content::fill::Stream;
use crate::replay::plan::rows::{JOINED, LAST_USE, Row};
use crate::replay::prepare::Backend;
use crate::replay::prepare::objects::NONE;

impl Run<'_> {
    /// Turns every row that is due and has room into an operation. True when there was one.
    pub fn admit(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(row) = self.next_row()? {
            let now = self.now();
            let sched = self.schedule(&row, now);
            if sched > now {
                break;
            }
            let is_op = row.op != Direction::Delete && !row.has(JOINED);
            if is_op && !self.has_place_for(&row)? {
                self.backlog.block(sched, now, self.blocked.total(Blocked::OURS, now));
                break;
            }
            let window_wait = self.backlog.admit(sched, now, self.blocked.total(Blocked::OURS, now));
            self.row_number += 1;
            let next = self.ahead.pop().expect("the row was there");
            if is_op {
                self.scheduled += 1;
                self.begin(&next, sched, now, window_wait)?;
            } else if row.op == Direction::Delete {
                self.tally.ops += 1;
            }
            if row.has(LAST_USE) {
                self.stage.objects.drop_copy(row.key, row.tier.index());
            }
            any = true;
        }
        Ok(any)
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        if self.ahead.first().is_none() {
            self.look_ahead()?;
        }
        Ok(self.ahead.first().copied())
    }

    /// When the next row will be due; none when there is none, or when it is due and waits for
    /// room.
    pub fn next_admission(&self) -> Option<u64> {
        let row = self.ahead.first()?;
        Some(self.schedule(row, NEVER)).filter(|at| *at != NEVER && !self.backlog.is_blocked())
    }

    /// When a row is meant to start.
    pub fn schedule(&self, row: &Row, asap: u64) -> u64 {
        match self.config.pace {
            Pace::Asap => asap,
            Pace::Trace => (row.at_ns.max(0) as f64 / self.config.speed) as u64,
            // The rate is that of all shards together.
            Pace::Rate(per_s) => (self.scheduled as f64 * 1e9 / (per_s * self.plan.facts.share())) as u64,
        }
    }

    fn has_place_for(&mut self, row: &Row) -> Result<bool> {
        if self.live_ops >= self.config.window() {
            return Ok(false);
        }
        let arriving = match row.leg {
            Some(leg) => Some(leg.tier),
            None => (row.op == Direction::Write).then_some(row.tier),
        };
        let Some(tier) = arriving.map(crate::trace::Tier::index) else { return Ok(true) };
        if !holds_bytes(self.stage.backends[tier]) || self.stage.objects.has_room(tier, row.size, row.content) {
            return Ok(true);
        }
        if self.live_ops == 0 && self.removals == 0 && !self.stage.objects.any_gone() {
            return Err(Error::io(format!(
                "row {}: tier {tier} has no room for {} bytes although the plan says so; please report this",
                self.row_number + 1,
                row.size
            )));
        }
        Ok(false)
    }

    fn begin(&mut self, next: &Upcoming, sched: u64, now: u64, window_wait: u64) -> Result<()> {
        let (row, number) = (&next.row, self.row_number);
        let mut first = leg(row, number, self.stage.backends[row.tier.index()], sched);
        let mut second = first;
        if let Some(to) = row.leg {
            second.row = number + u64::from(to.distance);
            (second.tier, second.op) = (to.tier, Direction::Write);
            second.backend = self.stage.backends[to.tier.index()];
            if self.config.pace == Pace::Trace {
                second.sched = (to.at_ns.max(0) as f64 / self.config.speed) as u64;
            }
        }
        let broken = self.place(row, &mut first)? | (row.leg.is_some() && self.place(row, &mut second)?);
        let op = Op {
            key: row.key,
            next: NONE,
            chain: NONE,
            chain_next: NONE,
            holds: 0,
            errands: 0,
            sync_asked: 0,
            advised: false,
            opened: false,
            closing: false,
            synced: false,
            request: row.request,
            size: row.size,
            content: row.content,
            version: row.version,
            stream: Stream::new(self.stage.data_seed, row.content, row.version.into()),
            check_all: self.checks_all(number),
            legs: [first, second],
            leg_count: 1 + usize::from(row.leg.is_some()),
            pass_number: 0,
            issued: 0,
            sourced: 0,
            sourced_at: 0,
            first_done: 0,
            chunks: 0,
            copied_at: 0,
            failed: broken,
            window_wait,
            blocked_at_due: 0,
            filled: next.filled,
        };
        let index = self.take_op(op);
        if self.line_up(index, row.chain) {
            return Ok(());
        }
        self.ready(index, if self.config.pace == Pace::Asap { now } else { sched }, now)
    }

    fn take_op(&mut self, op: Op) -> u32 {
        self.live_ops += 1;
        if let Some(index) = self.free_ops.pop() {
            self.ops[index as usize] = op;
            return index;
        }
        self.ops.push(op);
        self.ops.len() as u32 - 1
    }

    /// Finds or makes the place of a leg's object. True when what is there must not be used.
    fn place(&mut self, row: &Row, leg: &mut Leg) -> Result<bool> {
        if !holds_bytes(leg.backend) {
            return Ok(false);
        }
        let (tier, objects) = (leg.tier.index(), &mut self.stage.objects);
        leg.place = match leg.op {
            Direction::Write => objects.put(row.key, tier, row.size, row.content).unwrap_or(NONE),
            _ => objects.find(row.key, tier),
        };
        if leg.place == NONE {
            return Err(Error::io(format!(
                "row {}: `{}` is not on tier {tier} although the plan says so; please report this",
                leg.row,
                self.plan.names.get(row.key)
            )));
        }
        if let Backend::Storage(first) = leg.backend {
            leg.backend = Backend::Storage(first + objects.place(leg.place).stripe);
        }
        objects.hold(leg.place);
        Ok(leg.op == Direction::Read && objects.place(leg.place).broken)
    }

    fn checks_all(&self, number: u64) -> bool {
        match self.config.verify {
            Verify::Full => true,
            Verify::Sample(share) => {
                let draw = crate::seed::mix(self.stage.data_seed ^ number) >> 11;
                (draw as f64) < share * (1u64 << 53) as f64
            }
            Verify::Off | Verify::Stamp => false,
        }
    }

    /// Nothing holds an operation back any more: it was due at `due`.
    pub fn ready(&mut self, index: u32, due: u64, now: u64) -> Result<()> {
        let asap = self.config.pace == Pace::Asap;
        let op = &mut self.ops[index as usize];
        let due = if asap { due } else { due.max(op.legs[0].sched) };
        op.legs[0].due = due;
        if asap {
            // Without a schedule an operation is meant to start when its dependencies allow it.
            op.legs[0].sched = due;
        }
        op.blocked_at_due = self.blocked.total(blocked_by(op), now);
        // What it waited for may have been a write that failed.
        let (legs, objects) = (&op.legs[..op.leg_count], &self.stage.objects);
        let reads = legs.iter().filter(|leg| leg.op == Direction::Read && leg.place != NONE);
        op.failed |= reads.into_iter().any(|leg| objects.place(leg.place).broken);
        if op.failed {
            self.tally.broken += op.leg_count as u64;
            return self.end_op(index, now);
        }
        self.start_pass(index, now)
    }

    /// Sends an operation's pass on its way.
    pub fn start_pass(&mut self, index: u32, now: u64) -> Result<()> {
        let op = &self.ops[index as usize];
        let pass = op.pass();
        if pass.source != Source::Timer {
            if self.open_files(index)? || self.prepare_read(index)? {
                return Ok(());
            }
            match self.ops[index as usize].carrier() {
                Carrier::Memory => {
                    self.memory_queue.push_back(index);
                    self.set_memory_blocked();
                }
                Carrier::Storage | Carrier::Gpu => {
                    let lane = self.queue_of(&self.ops[index as usize]);
                    self.lanes.get(lane).queue.push_back(index);
                }
            }
            self.claim_filled(index);
            return Ok(());
        }
        let (leg, size) = (op.legs[pass.source_leg], op.size);
        self.mark_start(index, pass.source_leg, now);
        let at = match leg.backend {
            Backend::Model { bytes_per_s, latency_ns } => {
                let free = &mut self.channel_free[leg.tier.index()];
                *free = (*free).max(now) + (size as f64 / bytes_per_s * 1e9) as u64;
                *free + latency_ns
            }
            _ => now,
        };
        self.timers.push(std::cmp::Reverse((at, index)));
        Ok(())
    }
}
