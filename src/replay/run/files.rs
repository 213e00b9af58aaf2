//! One file per object: an operation opens the files of its object before its first I/O and closes
//! them after its last, as a serving system does, and that belongs to its service time. A file is
//! made, with its blocks reserved, when the object is written, and removed when it goes. All of
//! that goes through the ring.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Resource;

use crate::error::{Result, plain};
use crate::measure::histogram::LogLinear;
use crate::measure::replay::IoError;
use crate::trace::Op as Direction;

use super::op::{Leg, Sink, Source};
use super::{Early, Run};
use crate::replay::config::{Fadvise, IoMode};
use crate::replay::io::files::{FILE, FileWork, SECOND, UNLINK};
use crate::replay::prepare::Backend;
use crate::replay::prepare::folder::Folder;
use crate::replay::prepare::objects::NONE;

/// Operations of one storage target that have files open at once, at most.
const MOST_OPEN: u32 = 256;
/// Removals on their way at once, at most.
const MOST_REMOVALS: u32 = 64;
/// Descriptors that are left to everything else.
const SPARE_FILES: u64 = 128;

/// What is being done with a leg's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is not open.
    #[default]
    Closed,
    /// It is being opened, or made.
    Opening,
    /// Its blocks are being reserved.
    Reserving,
    /// It is open.
    Open,
    /// It is being closed.
    Closing,
}

/// A leg's file.
#[derive(Clone, Copy, Debug, Default)]
pub struct LegFile {
    step: Step,
    fd: RawFd,
    /// When the step was asked for.
    asked: u64,
}

/// How long the kernel took for what was asked about files.
#[derive(Debug)]
pub struct FileTimes {
    /// Opening one to read it.
    pub open: LogLinear,
    /// Making one.
    pub create: LogLinear,
    /// Reserving its blocks.
    pub reserve: LogLinear,
    /// Removing one.
    pub unlink: LogLinear,
}

impl FileTimes {
    /// Nothing asked yet.
    pub fn new() -> Self {
        let [open, create, reserve, unlink] = std::array::from_fn(|_| LogLinear::times());
        Self { open, create, reserve, unlink }
    }
}

/// How many operations of each of so many storage targets may have files open at once. The limit of
/// the process is raised as far as it may be.
pub fn most_open(targets: usize) -> u32 {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, the old limit holds.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    let have = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // An operation has at most two.
    let each = have.saturating_sub(SPARE_FILES) / 2 / targets.max(1) as u64;
    (each as u32).clamp(1, MOST_OPEN)
}

impl Run<'_> {
    fn folder_of(&self, leg: &Leg) -> Option<&Folder> {
        let Backend::Storage(number) = leg.backend else { return None };
        self.stage.volumes.get(number as usize)?.folder().filter(|_| leg.place != NONE)
    }

    /// The number in the ring of the file in which a leg's object lies.
    pub fn file_of(&self, index: u32, leg: usize) -> u32 {
        let of_leg = &self.ops[index as usize].legs[leg];
        match of_leg.backend {
            Backend::Storage(number) if self.folder_of(of_leg).is_none() => number,
            _ => index * 2 + leg as u32,
        }
    }

    /// The legs of an operation's pass that storage takes part in.
    fn storage_legs(&self, index: u32) -> [Option<usize>; 2] {
        let pass = self.ops[index as usize].pass();
        let source = (pass.source == Source::Storage).then_some(pass.source_leg);
        [source, (pass.sink == Sink::Storage).then_some(pass.sink_leg)]
    }

    /// Opens the files of an operation that are not open. True when that has to be waited for.
    pub fn open_files(&mut self, index: u32) -> Result<bool> {
        let closed = |leg: usize| {
            let leg = &self.ops[index as usize].legs[leg];
            self.folder_of(leg).is_some() && leg.file.step == Step::Closed
        };
        if !self.storage_legs(index).into_iter().flatten().any(closed) {
            return Ok(false);
        }
        let lane = self.lanes.get(Self::lane_of(&self.ops[index as usize]));
        if lane.open_ops >= self.most_open {
            lane.opening.push_back(index);
        } else {
            self.begin_opening(index)?;
        }
        Ok(true)
    }

    /// Opens the files of operations that waited for others to be closed.
    pub fn open_waiting(&mut self) -> Result<()> {
        for lane in 0..self.lanes.len() as u32 {
            while self.lanes.get(lane).open_ops < self.most_open
                && let Some(index) = self.lanes.get(lane).opening.pop_front()
            {
                self.begin_opening(index)?;
            }
        }
        Ok(())
    }

    fn begin_opening(&mut self, index: u32) -> Result<()> {
        self.lanes.get(Self::lane_of(&self.ops[index as usize])).open_ops += 1;
        self.ops[index as usize].opened = true;
        for leg in self.storage_legs(index).into_iter().flatten() {
            let of_leg = self.ops[index as usize].legs[leg];
            let Some(folder) = self.folder_of(&of_leg) else { continue };
            let name = self.stage.objects.file_name(of_leg.place);
            let create = of_leg.op == Direction::Write;
            let work = FileWork::Open { folder: folder.fd(), name, create, direct: folder.direct };
            self.take_step(index, leg, Step::Opening, work)?;
            self.starting.push((index, leg));
        }
        Ok(())
    }

    fn take_step(&mut self, index: u32, leg: usize, step: Step, work: FileWork) -> Result<()> {
        let now = self.now();
        let op = &mut self.ops[index as usize];
        op.errands += 1;
        let file = &mut op.legs[leg].file;
        (file.step, file.asked) = (step, now);
        self.in_flight += 1;
        let second = if leg > 0 { SECOND } else { 0 };
        self.stage.ring.ask(work, FILE | second | u64::from(index))
    }

    /// A step of an operation's file has ended.
    pub fn file_step_ended(&mut self, id: u64, result: i32, now: u64) -> Result<()> {
        let (index, leg) = (id as u32, usize::from(id & SECOND != 0));
        self.in_flight -= 1;
        self.ops[index as usize].errands -= 1;
        let of_leg = self.ops[index as usize].legs[leg];
        let took = now.saturating_sub(of_leg.file.asked);
        match of_leg.file.step {
            Step::Opening => self.file_opened(index, leg, result, took)?,
            Step::Reserving => {
                self.tally.files.reserve.record(took);
                self.ops[index as usize].legs[leg].file.step = Step::Open;
                // A filesystem that cannot reserve blocks takes them with the first write.
                if result < 0 && -result != rustix::io::Errno::OPNOTSUPP.raw_os_error() {
                    self.file_failed(index, leg, "fallocate", -result);
                }
            }
            Step::Closing => {
                self.ops[index as usize].legs[leg].file.step = Step::Closed;
                if result < 0 {
                    self.file_failed(index, leg, "close", -result);
                }
            }
            Step::Open | Step::Closed => {}
        }
        let op = &self.ops[index as usize];
        if op.errands > 0 {
            return Ok(());
        }
        if op.closing || op.failed {
            return self.end_pass(index, now);
        }
        // What ends early goes no further.
        if self.early.is_none() { self.start_pass(index, now) } else { Ok(()) }
    }

    fn file_opened(&mut self, index: u32, leg: usize, result: i32, took: u64) -> Result<()> {
        let write = self.ops[index as usize].legs[leg].op == Direction::Write;
        let times = &mut self.tally.files;
        if write { &mut times.create } else { &mut times.open }.record(took);
        let size = self.ops[index as usize].size;
        let file = &mut self.ops[index as usize].legs[leg].file;
        if result < 0 {
            file.step = Step::Closed;
            self.file_failed(index, leg, "open", -result);
            return Ok(());
        }
        (file.step, file.fd) = (Step::Open, result);
        let number = self.file_of(index, leg);
        self.stage.ring.set_file(number, result);
        let tier = self.ops[index as usize].legs[leg].tier.index();
        if self.config.io.of(tier) == IoMode::Buffered && self.config.fadvise.of(tier) == Fadvise::Sequential {
            // SAFETY: the kernel has just opened it for us, and it is closed only after this.
            let fd = unsafe { BorrowedFd::borrow_raw(result) };
            // Advice that is not taken is no error.
            let _ = rustix::fs::fadvise(fd, 0, None, rustix::fs::Advice::Sequential);
        }
        if write && self.early.is_none() {
            let work = FileWork::Reserve { fd: result, len: size.next_multiple_of(4096) };
            self.take_step(index, leg, Step::Reserving, work)?;
        }
        Ok(())
    }

    fn file_failed(&mut self, index: u32, leg: usize, word: &str, errno: i32) {
        let op = &mut self.ops[index as usize];
        op.failed = true;
        let message = plain(&rustix::io::Errno::from_raw_os_error(errno).into());
        let (row, key) = (op.legs[leg].row, self.plan.names.get(op.key));
        self.note_error(IoError { row, key, op: word.to_owned(), errno, message });
    }

    /// Counts an error, and ends the run after too many.
    pub fn note_error(&mut self, error: IoError) {
        self.tally.error(error);
        if self.tally.error_count > self.config.max_errors {
            self.early.get_or_insert(Early::Errors);
        }
    }

    /// Closes the files of an operation whose pass has ended. True when that has to be waited for.
    pub fn close_files(&mut self, index: u32) -> Result<bool> {
        let lane = Self::lane_of(&self.ops[index as usize]);
        for leg in 0..2 {
            let file = self.ops[index as usize].legs[leg].file;
            if file.step == Step::Open {
                self.ops[index as usize].closing = true;
                self.take_step(index, leg, Step::Closing, FileWork::Close { fd: file.fd })?;
            }
        }
        let op = &mut self.ops[index as usize];
        if op.errands > 0 {
            return Ok(true);
        }
        if std::mem::take(&mut op.opened) {
            op.closing = false;
            self.lanes.get(lane).open_ops -= 1;
        }
        Ok(false)
    }

    /// Removes the files of objects that are gone.
    pub fn remove_gone(&mut self) -> Result<()> {
        while self.removals < MOST_REMOVALS && self.stage.objects.any_gone() {
            let now = self.now();
            let Some(place) = self.stage.objects.next_gone(now) else { break };
            let name = self.stage.objects.file_name(place);
            let of_place = self.stage.objects.place(place);
            let Backend::Storage(first) = self.stage.backends[of_place.tier] else { break };
            let Some(folder) = self.stage.volumes[(first + of_place.stripe) as usize].folder() else { break };
            let work = FileWork::Unlink { folder: folder.fd(), name };
            (self.removals, self.in_flight) = (self.removals + 1, self.in_flight + 1);
            self.stage.ring.ask(work, UNLINK | u64::from(place))?;
        }
        Ok(())
    }

    /// A file has been removed.
    pub fn removed(&mut self, place: u32, result: i32, now: u64) {
        (self.removals, self.in_flight) = (self.removals - 1, self.in_flight - 1);
        let of_place = self.stage.objects.place(place);
        self.tally.files.unlink.record(now.saturating_sub(of_place.asked));
        // A file that could not be made is not there.
        let absent = of_place.broken && -result == rustix::io::Errno::NOENT.raw_os_error();
        if result < 0 && !absent {
            let message = plain(&rustix::io::Errno::from_raw_os_error(-result).into());
            let (row, key) = (self.row_number, self.plan.names.get(of_place.key));
            self.note_error(IoError { row, key, op: "unlink".to_owned(), errno: -result, message });
        }
        self.stage.objects.removed(place);
    }

    /// Closes what a run that ended early left open.
    pub fn close_left_open(&mut self) {
        for leg in self.ops.iter_mut().flat_map(|op| &mut op.legs) {
            if matches!(leg.file.step, Step::Open | Step::Reserving) {
                leg.file.step = Step::Closed;
                // SAFETY: the kernel opened it for us and nobody closes it twice: the step says so.
                drop(unsafe { OwnedFd::from_raw_fd(leg.file.fd) });
            }
        }
    }
}
