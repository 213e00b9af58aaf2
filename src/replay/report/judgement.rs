//! What is to be said about a run: why it is not valid, what a reader should know, and what the
//! command ends with.

use crate::error::{Error, Kind};
use crate::measure::replay::{Timing, Verify};
use crate::units;

use super::Ended;
use super::doubts::doubts;
use crate::replay::config::{Engine, IoMode, Layout, Pace};
use crate::replay::prepare::{Backend, storage};
use crate::replay::run::Early;

impl Ended<'_> {
    /// Why the numbers may not be believed; empty when they may.
    pub fn invalid_reasons(&self, timing: &Timing, verify: &Verify) -> Vec<String> {
        let mut reasons = Vec::new();
        match self.early {
            Some(Early::Stopped) => reasons.push("interrupted before the end of the trace".to_owned()),
            Some(Early::Lag(lag)) => {
                reasons.push(format!("the load was not sustained: {} behind the schedule", units::ns(lag as f64)));
            }
            Some(Early::Errors) | None => {}
        }
        if self.tally.error_count > 0 {
            reasons.push(format!("{} I/O errors", self.tally.error_count));
        }
        if self.tally.hung > 0 {
            reasons.push(format!(
                "{} did not end within 5 s of the end of the run; the device may hang",
                units::plural(self.tally.hung.into(), "I/O")
            ));
        }
        if self.tally.broken > 0 {
            let rows = units::plural(self.tally.broken, "row");
            reasons.push(format!("{rows} left out: what was to be read had not been written"));
        }
        if verify.failure_count > 0 {
            let blocks = units::plural(verify.failure_count, "block");
            reasons.push(format!("{blocks} of 4 KiB held wrong data when read"));
        }
        reasons.extend(self.own_lateness(timing));
        reasons.extend(self.late_looks(timing));
        reasons
    }

    /// That the tiers did not keep up with the schedule of a run that went to its end.
    fn not_sustained(&self) -> Option<String> {
        let backlog = self.backlog().filter(|b| self.early.is_none() && !b.is_small(self.wall_ns()))?;
        Some(format!("{}; {}", backlog.not_sustained(), self.config.pace.way_out()))
    }

    /// What a reader should know although it does not make the run invalid.
    /// `reached` is what the block layer showed.
    pub fn notes(&self, timing: &Timing, reached: Vec<String>) -> Vec<String> {
        let (facts, tally) = (&self.plan.facts, self.tally);
        let mut notes: Vec<String> = self.not_sustained().into_iter().collect();
        if self.config.engine == Engine::Nop {
            notes.push(
                "engine nop: no device took part and nothing is verified; times of storage are the replay's own"
                    .to_owned(),
            );
        }
        let kept = self.stage.volumes.iter().filter(|volume| volume.path().is_some());
        let buffered = kept.filter(|volume| self.config.io.of(volume.tier) == IoMode::Buffered);
        let mut tiers: Vec<_> = buffered.map(|volume| volume.tier).collect();
        tiers.dedup();
        notes.extend(
            tiers
                .iter()
                .map(|tier| format!("tier {tier} ran buffered: the page cache was measured too, not only the device")),
        );
        notes.extend(self.gds_notes());
        notes.extend(storage::without_effect(self.config));
        if self.config.layout == Layout::File && self.stage.has_storage() {
            notes.push(
                "layout file: every object is a file of its own, as long as the object rounded up to 4096 bytes; it is \
                 opened or made, with its blocks reserved (unwritten extents), and closed within the service time, and \
                 removed when the object goes (`unlink`, measured apart) or when the run ends"
                    .to_owned(),
            );
        }
        notes.extend(self.stage.notes.iter().cloned());
        if let Some(block) = self.block.as_ref().filter(|block| block.tainted) {
            notes.push(format!("the capture is tainted: {}", block.taint_reasons.join("; ")));
        }
        notes.extend(reached);
        notes.extend(self.noted_looks(timing));
        notes.extend(doubts(&self.host.conditions, self.host.cpus));
        notes.extend(facts.freeing().map(str::to_owned));
        let huge = self.stage.arena.huge_bytes();
        if self.stage.has_storage() && huge.is_some_and(|huge| huge < self.stage.arena.len() as u64) {
            notes.push(format!(
                "{} of the {} of I/O buffers are on huge pages: more CPU per I/O, and large I/Os may be split; see \
                 /sys/kernel/mm/transparent_hugepage/enabled (madvise or always) and free memory",
                units::bytes(huge.unwrap_or(0)),
                units::bytes(self.stage.arena.len() as u64)
            ));
        }
        if self.config.pace == Pace::Asap {
            let from = "the moment an operation's dependencies and the limit of objects let it start";
            notes.push(format!("pace asap: response counts from {from}"));
        }
        let mut count = |n: u64, noun: &str, what: &str| {
            if n > 0 {
                notes.push(format!("{} {what}", units::plural(n, noun)));
            }
        };
        count(facts.cold_keys, "object", "read before being written: put there before the clock started");
        count(
            facts.misplaced_reads,
            "row",
            "with an object on another tier than it was last put on: it was kept there for that",
        );
        count(facts.clamped_rows, "row", "with another size than the object has: the object's was moved");
        count(facts.idle_deletes, "Delete row", "of an object that is not there");
        count(
            self.strays(),
            "object",
            "put on another target of the tier than the hash of the key names, because that one was full at that moment",
        );
        count(tally.skipped, "row", "of skipped tiers left out");
        if self.config.shard.is_some() && tally.error_count + tally.suspect_count > 0 {
            notes.push("rows of errors and of wrong data are counted in the rows of this shard".to_owned());
        }
        if let (Backend::Model { .. }, Some(why)) = (self.stage.backends[0], &self.config.modelled_because) {
            notes.push(format!("tier 0 is a model, its time is computed and no bytes move: {why}"));
        }
        if !self.plan.meta.complete {
            notes.push("the trace is partial: its recording was interrupted".to_owned());
        }
        notes
    }

    /// What the command ends with: the worst of what happened.
    pub fn failure(&self, timing: &Timing, verify: &Verify) -> Option<Error> {
        if let Some(first) = verify.failures.first() {
            return Some(Error::new(
                Kind::WrongData,
                format!(
                    "wrong data was read back, {} of 4 KiB; first in row {}: `{}` at byte {}: {}; do not trust this \
                     device or filesystem with data",
                    units::plural(verify.failure_count, "block"),
                    first.row,
                    first.key,
                    first.offset_bytes,
                    first.class
                ),
            ));
        }
        if let Some(first) = self.tally.errors.first().filter(|first| first.row == 0) {
            return Some(Error::io(format!("{}: {}", first.op, first.message)));
        }
        if let Some(first) = self.tally.errors.first() {
            let rest = if self.early == Some(Early::Errors) { "; --max-errors N goes on after errors" } else { "" };
            return Some(Error::io(format!(
                "{} I/O errors; first in row {}: {} of `{}`: {}{rest}",
                self.tally.error_count, first.row, first.op, first.key, first.message
            )));
        }
        match self.early {
            Some(Early::Lag(lag)) => Some(Error::new(
                Kind::NotSustained,
                format!(
                    "the load was not sustained: {} behind the schedule; {}, or a larger --max-lag",
                    units::ns(lag as f64),
                    self.config.pace.way_out()
                ),
            )),
            Some(Early::Stopped | Early::Errors) => {
                Some(Error::interrupted("interrupted; what was measured so far is kept as a partial result"))
            }
            None => {
                let why =
                    self.not_sustained().or_else(|| self.own_lateness(timing)).or_else(|| self.late_looks(timing))?;
                Some(Error::new(Kind::NotSustained, format!("{why}; the result is complete")))
            }
        }
    }
}
