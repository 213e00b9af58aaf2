//! The run: one thread that starts operations when they are due, moves their bytes and notes the
//! times. It never drops an operation and never moves the schedule.

pub mod admit;
pub mod ahead;
pub mod backlog;
pub mod blocked;
pub mod crew;
pub mod data;
pub mod desk;
pub mod errand;
pub mod files;
pub mod finish;
pub mod gds;
pub mod gpu;
pub mod interval_log;
pub mod kinds;
pub mod labour;
pub mod lane;
pub mod op;
pub mod order;
pub mod per_request;
pub mod pieces;
pub mod tally;
pub mod transfer;
pub mod wait;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::num::NonZeroU64;
use std::time::Instant;

use crate::error::Result;
use crate::progress::Progress;
use crate::stop::Stop;

use crate::replay::config::{Pace, ReplayConfig};
use crate::replay::io::files::{FILE, UNLINK};
use crate::replay::io::ring::{BELL, Completion, ERRAND};
use crate::replay::plan::Plan;
use crate::replay::prepare::{Backend, Stage};
use crate::replay::start::Gate;
use ahead::Ahead;
use backlog::Backlog;
use blocked::Blocked;
use crew::Crew;
use desk::{Desk, Job};
use gds::Traffic;
use lane::Lanes;
use op::{Chunk, NEVER, Op, Sink, Source};
use order::Chains;
use tally::Tally;
use wait::{NAP_NS, Waiter};

/// How long it waits for I/O in flight when it has to end early.
const DRAIN_NS: u64 = 5_000_000_000;
/// Rows between two reports of progress.
const REPORT_ROWS: u64 = 256;

/// Why a run ended before the trace did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// Somebody asked.
    Stopped,
    /// More I/O errors than allowed.
    Errors,
    /// Further behind the schedule than allowed, by so many nanoseconds.
    Lag(u64),
}

/// Executes the plan, when `gate` lets it. Returns why it ended early, if it did.
///
/// # Errors
/// When the ring itself fails, the plan cannot be read back, or somebody asks to stop at the gate.
pub fn run(
    plan: &Plan,
    stage: &mut Stage,
    config: &ReplayConfig,
    tally: &mut Tally,
    gate: &mut Gate,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Option<Early>> {
    // The default slack of 50 us would be added to every wait for the schedule. Without the
    // right to change it, lateness shows it.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let crew = Crew::new(config.helpers as usize, stage.has_memory())?;
    let traffic = Traffic::new(&stage.gds, config)?;
    let mut run = Run::new(plan, stage, config, tally, crew, traffic);
    let ended = run.work(gate, stop, progress);
    progress.done();
    run.close_left_open();
    run.close_traffic();
    ended?;
    run.tally.spin_margin_ns = run.waiter.margin_ns();
    let note = run.waiter.note().filter(|_| config.pace != Pace::Asap);
    run.stage.notes.extend(note);
    Ok(run.early)
}

/// The state of a run. Its steps are in `admit` (rows become operations), `transfer` (chunks go
/// through the ring), `labour` (what the processor does itself) and `finish`.
pub(super) struct Run<'a> {
    pub plan: &'a Plan,
    pub stage: &'a mut Stage,
    pub config: &'a ReplayConfig,
    pub tally: &'a mut Tally,
    /// The rows that come next, and the number of the latest that was taken, from 1.
    pub ahead: Ahead<'a>,
    pub row_number: u64,
    /// Operations that have a schedule of their own so far, for `rate`.
    pub scheduled: u64,
    pub ops: Vec<Op>,
    pub free_ops: Vec<u32>,
    pub live_ops: u32,
    /// The slots of the arena, and after them those of chunks that need no room there.
    pub chunks: Vec<Chunk>,
    pub bare_slots: Vec<u32>,
    /// The storage targets, with what waits for each.
    pub lanes: Lanes,
    /// Who makes data up and checks it beside this thread.
    pub crew: Crew,
    /// Operations between memory and memory.
    pub memory_queue: VecDeque<u32>,
    /// Slots whose bytes wait to be copied to a GPU.
    pub to_gpu: VecDeque<u32>,
    /// Copies to and from GPUs that have not ended.
    pub gpu_in_flight: u32,
    /// What goes by cuFile.
    pub traffic: Traffic,
    /// Slots whose bytes were read and have to be passed on.
    pub landed: VecDeque<u32>,
    /// What was read and has to be checked.
    pub unchecked: VecDeque<Job>,
    pub in_flight: u32,
    /// Files that are being removed.
    pub removals: u32,
    /// Operations of a storage target that may have files open at once.
    pub most_open: u32,
    pub timers: BinaryHeap<Reverse<(u64, u32)>>,
    /// When the modelled channel of each tier is free.
    pub channel_free: [u64; 3],
    /// Operations whose first I/O is in the batch that is being queued, with the leg.
    pub starting: Vec<(u32, usize)>,
    /// Slots whose I/O is in that batch.
    pub batch: Vec<u32>,
    pub blocked: Blocked,
    /// How long rows wait for room.
    pub backlog: Backlog,
    pub chains: Chains,
    /// Slots of operations that run whose data is being made up.
    pub filling: u32,
    /// Where this thread makes data up, copies and checks it.
    pub desk: Desk,
    pub early: Option<Early>,
    pub waiter: Waiter,
    /// When completions were looked for.
    pub looked: u64,
    completions: Vec<Completion>,
    clock: Instant,
}

impl<'a> Run<'a> {
    fn new(
        plan: &'a Plan,
        stage: &'a mut Stage,
        config: &'a ReplayConfig,
        tally: &'a mut Tally,
        crew: Crew,
        traffic: Traffic,
    ) -> Self {
        let slots = stage.lane_slots() * stage.lanes();
        let bare = labour::bare_slots(config.helpers as usize);
        let window = config.window() as usize;
        Self {
            ahead: Ahead::new(plan.rows.iter()),
            plan,
            config,
            tally,
            row_number: 0,
            scheduled: 0,
            ops: Vec::with_capacity(window),
            free_ops: Vec::new(),
            live_ops: 0,
            chunks: vec![Chunk::default(); slots + bare],
            bare_slots: (slots..slots + bare).rev().map(|slot| slot as u32).collect(),
            lanes: Lanes::new(stage, config.bytes_in_flight, config.io_size_bytes as usize, window),
            crew,
            memory_queue: VecDeque::with_capacity(window),
            to_gpu: VecDeque::with_capacity(slots),
            gpu_in_flight: 0,
            traffic,
            landed: VecDeque::with_capacity(slots),
            unchecked: VecDeque::with_capacity(slots),
            in_flight: 0,
            removals: 0,
            most_open: files::most_open(stage.lanes()),
            timers: BinaryHeap::with_capacity(window),
            channel_free: [0; 3],
            starting: Vec::with_capacity(slots),
            batch: Vec::with_capacity(slots),
            blocked: Blocked::new(stage.lanes()),
            backlog: Backlog::default(),
            chains: Chains::default(),
            filling: 0,
            desk: Desk::new(stage.has_memory()),
            early: None,
            waiter: Waiter::new(config.wait),
            looked: 0,
            completions: Vec::with_capacity(slots),
            clock: Instant::now(),
            stage,
        }
    }

    /// Nanoseconds since the clock started.
    pub fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    /// When the clock started.
    pub fn clock(&self) -> Instant {
        self.clock
    }

    fn work(&mut self, gate: &mut Gate, stop: &Stop, progress: &dyn Progress) -> Result<()> {
        self.make_ready()?;
        gate.pass(stop, progress)?;
        progress.stage("run", Some(self.plan.rows.len()), "rows");
        self.clock = Instant::now();
        self.set_gpu_clocks()?;
        self.open_traffic();
        let mut reported = 0;
        loop {
            if stop.requested() {
                self.early.get_or_insert(Early::Stopped);
            }
            if self.early.is_some() {
                return self.drain();
            }
            self.fire_timers()?;
            let admitted = self.admit()?;
            let collected = self.collect()?;
            self.open_waiting()?;
            self.remove_gone()?;
            let issued = self.issue()?;
            if self.has_more_to_do() {
                self.flush()?;
            }
            let reaped = self.reap()? | self.gpu_step()?;
            let laboured = self.labour()? | self.look_ahead()? | self.fill_ahead()?;
            if self.row_number >= reported + REPORT_ROWS {
                progress.advance(self.row_number - reported);
                reported = self.row_number;
            }
            if admitted || collected || issued || reaped || laboured {
                self.waiter.busy();
                continue;
            }
            if self.is_over() {
                progress.advance(self.row_number - reported);
                return Ok(());
            }
            self.sleep()?;
        }
    }

    /// What can be done before the clock starts.
    fn make_ready(&mut self) -> Result<()> {
        self.stage.ring.listen(self.crew.bell())?;
        self.learn_to_wait()?;
        while self.look_ahead()? | self.fill_ahead()? | self.collect()? || self.crew.busy() > 0 {}
        Ok(())
    }

    fn is_over(&self) -> bool {
        let removed = self.removals == 0 && !self.stage.objects.any_gone();
        let idle = self.live_ops == 0
            && self.traffic.is_empty()
            && self.unchecked.is_empty()
            && self.crew.busy() == 0
            && removed;
        idle && self.ahead.first().is_none()
    }

    /// Lets operations of modelled tiers end whose time has come.
    fn fire_timers(&mut self) -> Result<()> {
        while let Some(&Reverse((at, op))) = self.timers.peek() {
            if at > self.now() {
                break;
            }
            self.timers.pop();
            self.end_pass(op, at)?;
        }
        Ok(())
    }

    /// Whether something is to be done now that what is queued in the ring must not wait for.
    /// Otherwise it starts with the system call that waits, which saves one for each operation.
    fn has_more_to_do(&self) -> bool {
        let idle = self.landed.is_empty()
            && self.unchecked.is_empty()
            && self.memory_queue.is_empty()
            && self.lanes.iter().all(|lane| lane.queue.is_empty() && lane.to_write.is_empty());
        !idle || self.ahead.wants_rows() || self.ahead.wants_filling()
    }

    /// Starts what is queued in the ring, and stamps it.
    pub fn flush(&mut self) -> Result<()> {
        self.stamp_starts();
        self.stage.ring.submit()
    }

    /// What is queued in the ring starts now.
    pub fn stamp_starts(&mut self) {
        if !(self.batch.is_empty() && self.starting.is_empty()) {
            let now = self.now();
            for slot in self.batch.drain(..) {
                self.chunks[slot as usize].pushed = now;
            }
            let mut starting = std::mem::take(&mut self.starting);
            for (op, leg) in starting.drain(..) {
                self.mark_start(op, leg, now);
            }
            self.starting = starting;
        }
    }

    fn reap(&mut self) -> Result<bool> {
        let mut completions = std::mem::take(&mut self.completions);
        self.stage.ring.completions(&mut completions);
        let any = !completions.is_empty();
        let now = self.now();
        let gap = now - std::mem::replace(&mut self.looked, now);
        if any {
            self.tally.reap_gap.record_many(gap, completions.len() as u64);
            for (id, result) in completions.drain(..) {
                if id == BELL {
                    self.crew.heard();
                    self.stage.ring.listen(self.crew.bell())?;
                } else if id & UNLINK != 0 {
                    self.removed(id as u32, result, now);
                } else if id & FILE != 0 {
                    self.file_step_ended(id, result, now)?;
                } else if id & ERRAND != 0 {
                    self.errand_ended(id as u32, result, now)?;
                } else {
                    self.completed(id as u32, result, now)?;
                }
            }
        }
        self.completions = completions;
        Ok(any)
    }

    /// A leg's first I/O starts now; for an operation's first leg, how late that is.
    pub fn mark_start(&mut self, op: u32, leg: usize, now: u64) {
        let blocked = self.blocked.total(blocked_by(&self.ops[op as usize]), now);
        self.mark_start_after(op, leg, now, blocked);
    }

    /// The same where the clock of blocked time said `blocked` then.
    pub fn mark_start_after(&mut self, op: u32, leg: usize, now: u64, blocked: u64) {
        let op = &mut self.ops[op as usize];
        if op.legs[leg].start != NEVER {
            // Copies of one operation may begin in another order than they are heard of.
            op.legs[leg].start = op.legs[leg].start.min(now);
            return;
        }
        op.legs[leg].start = now;
        op.legs[leg].due = op.legs[leg].due.min(now);
        let first = op.legs[0];
        // What is left out is nobody's delay.
        if leg > 0 || first.backend == Backend::Skip {
            return;
        }
        let blocked = blocked.saturating_sub(op.blocked_at_due);
        let since_due = now.saturating_sub(first.due);
        // A row that waited for room and then for another operation waited for room before that.
        let (room_before, room_after) = if first.due > first.sched { (op.window_wait, 0) } else { (0, op.window_wait) };
        let lateness = since_due.saturating_sub(blocked + room_after);
        let lag = now.saturating_sub(first.sched);
        let dependency = first.due.saturating_sub(first.sched + room_before);
        self.tally.started(now, lateness, dependency, lag.saturating_sub(lateness + dependency));
        self.tally.first_sched = self.tally.first_sched.min(first.sched);
        if first.sched >= self.tally.last_sched {
            (self.tally.last_sched, self.tally.last_start) = (first.sched, now);
        }
        if self.config.pace != Pace::Asap && self.config.max_lag_ns.is_some_and(|most| lag > most) {
            self.early.get_or_insert(Early::Lag(lag));
        }
    }

    /// Whether something is under way whose end wakes nobody.
    pub fn unrung(&self) -> bool {
        self.gpu_in_flight > 0 || self.traffic.busy() > 0
    }

    /// Waits for the I/O in flight, at most five seconds; nothing new is started.
    fn drain(&mut self) -> Result<()> {
        let deadline = self.now() + DRAIN_NS;
        self.flush()?;
        while self.in_flight + self.gpu_in_flight > 0 && self.now() < deadline {
            self.stage.ring.wait(if self.unrung() { gpu::NAP_NS } else { NAP_NS })?;
            self.reap()?;
            self.gpu_reap()?;
            // What was read and only has to be checked still counts.
            while let Some(slot) = self.landed.pop_front() {
                self.take_landed(slot)?;
            }
        }
        self.check_all_landed()?;
        self.tally.hung = self.in_flight + self.gpu_in_flight;
        Ok(())
    }
}

/// The clock of blocked time that an operation waits by.
pub(super) fn blocked_by(op: &Op) -> usize {
    let pass = op.pass();
    match (pass.source, pass.sink) {
        (Source::Timer, _) => Blocked::NOTHING,
        (Source::Storage, _) | (_, Sink::Storage) => Blocked::storage(Run::lane_of(op)),
        (Source::Gpu, _) | (_, Sink::Gpu) => Blocked::GPU,
        _ => Blocked::MEMORY,
    }
}

/// Whether a tier holds bytes.
pub(super) fn holds_bytes(backend: Backend) -> bool {
    matches!(backend, Backend::Storage(_) | Backend::Memory(_) | Backend::Gpu(_))
}
