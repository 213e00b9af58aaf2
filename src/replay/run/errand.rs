//! What an operation asks of the kernel besides moving bytes: that a written object be durable,
//! that an object's pages be dropped from the page cache before it is read. Both go through the
//! ring and belong to the operation's service time.

use crate::error::Result;
use crate::measure::replay::IoError;

use super::Run;
use super::op::{Sink, Source};
use crate::replay::config::{Durability, Fadvise, IoMode};
use crate::replay::io::ring::{ERRAND, Errand};
use crate::replay::prepare::Backend;
use crate::replay::prepare::extents::GRANULE;

impl Run<'_> {
    /// Asks for what has to be done before an operation's object is read. True when it has to be
    /// waited for.
    pub fn prepare_read(&mut self, index: u32) -> Result<bool> {
        let op = &mut self.ops[index as usize];
        let pass = op.pass();
        let tier = op.legs[pass.source_leg].tier.index();
        let dropped = self.config.io.of(tier) == IoMode::Buffered && self.config.fadvise.of(tier) == Fadvise::Dontneed;
        if !dropped || pass.source != Source::Storage || std::mem::replace(&mut op.advised, true) {
            return Ok(false);
        }
        let leg = op.legs[pass.source_leg];
        let Backend::Storage(_) = leg.backend else { return Ok(false) };
        let file = self.file_of(index, pass.source_leg);
        for at in 0..self.stage.objects.place(leg.place).extents.len() {
            let extent = self.stage.objects.place(leg.place).extents[at];
            let (offset, len) = (u64::from(extent.first) * GRANULE, u64::from(extent.count) * GRANULE);
            self.send(index, file, Errand::Drop { offset, len })?;
        }
        self.starting.push((index, pass.source_leg));
        Ok(true)
    }

    /// Asks for what has to be done after an operation's object was written. True when it has to
    /// be waited for.
    pub fn make_durable(&mut self, index: u32) -> Result<bool> {
        let now = self.now();
        let op = &mut self.ops[index as usize];
        let pass = op.pass();
        let data_only = match self.config.durability.of(op.legs[pass.sink_leg].tier.index()) {
            Durability::Fdatasync => true,
            Durability::Fsync => false,
            Durability::None | Durability::Dsync => return Ok(false),
        };
        if pass.sink != Sink::Storage || op.failed || std::mem::replace(&mut op.synced, true) {
            return Ok(false);
        }
        let Backend::Storage(_) = op.legs[pass.sink_leg].backend else { return Ok(false) };
        op.sync_asked = now;
        let file = self.file_of(index, pass.sink_leg);
        self.send(index, file, Errand::Sync { data_only })?;
        Ok(true)
    }

    fn send(&mut self, index: u32, file: u32, errand: Errand) -> Result<()> {
        self.ops[index as usize].errands += 1;
        self.in_flight += 1;
        self.stage.ring.send(file, errand, ERRAND | u64::from(index))
    }

    /// An errand of an operation has ended.
    pub fn errand_ended(&mut self, index: u32, result: i32, now: u64) -> Result<()> {
        self.in_flight -= 1;
        let op = &mut self.ops[index as usize];
        op.errands -= 1;
        if op.synced && result >= 0 {
            let tier = op.legs[op.pass().sink_leg].tier.index();
            self.tally.sync[tier].record(now.saturating_sub(op.sync_asked));
        }
        if op.errands > 0 {
            return Ok(());
        }
        if !op.synced {
            // Advice that is not taken is no error; what is read then comes from memory.
            return self.start_pass(index, now);
        }
        if result < 0 {
            let row = op.legs[op.pass().sink_leg].row;
            op.failed = true;
            let message = crate::error::plain(&rustix::io::Errno::from_raw_os_error(-result).into());
            let key = self.plan.names.get(op.key);
            self.note_error(IoError { row, key, op: "fsync".to_owned(), errno: -result, message });
        }
        self.end_pass(index, now)
    }
}
