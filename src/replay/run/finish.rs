//! Operations end: their times are noted, their space is freed, the next one on the key goes on.

use crate::error::Result;
use crate::trace::Op as Direction;

use super::Run;
use crate::replay::config::Pace;
use crate::replay::prepare::Backend;
use crate::replay::prepare::objects::NONE;

impl Run<'_> {
    /// A pass of an operation has ended at `now`.
    pub fn end_pass(&mut self, index: u32, now: u64) -> Result<()> {
        if self.make_durable(index)? || self.close_files(index)? {
            return Ok(());
        }
        let op = &mut self.ops[index as usize];
        if op.failed || op.pass_number + 1 == op.passes() {
            return self.end_op(index, now);
        }
        (op.first_done, op.pass_number, op.issued, op.sourced) = (now, op.pass_number + 1, 0, 0);
        op.legs[1].due = now;
        self.start_pass(index, now)
    }

    /// An operation has ended.
    pub fn end_op(&mut self, index: u32, now: u64) -> Result<()> {
        self.note_times(index, now);
        let op = &self.ops[index as usize];
        let (failed, legs, count) = (op.failed, op.legs, op.leg_count);
        for leg in legs[..count].iter().filter(|leg| leg.place != NONE) {
            if failed && leg.op == Direction::Write {
                self.stage.objects.mark_broken(leg.place);
            }
            self.stage.objects.let_go(leg.place);
        }
        self.free_ops.push(index);
        self.live_ops -= 1;
        self.let_next_go_on(index, now)
    }

    fn note_times(&mut self, index: u32, now: u64) {
        let op = &self.ops[index as usize];
        if op.failed {
            return self.tally.requests.failed(op.request);
        }
        let one_pass = op.passes() == 1;
        for (number, leg) in op.legs[..op.leg_count].iter().enumerate() {
            if leg.backend == Backend::Skip {
                self.tally.skipped += 1;
                self.tally.requests.skipped(op.request);
                continue;
            }
            let done = match (number + 1 == op.leg_count, one_pass) {
                (true, _) => now,
                (false, true) => op.sourced_at,
                (false, false) => op.first_done,
            };
            // Without a schedule an operation is meant to start when its dependencies allow it.
            let intended = if self.config.pace == Pace::Asap { leg.due } else { leg.sched };
            self.tally.leg(leg, op.size, intended, done, op.request);
        }
    }
}
