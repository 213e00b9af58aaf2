//! Helpers beside the run thread: they copy from and to memory tiers, make data up before it is
//! due and check what was read after it has come, so that nothing of that delays the schedule. The
//! run thread hands out jobs and collects them; it never waits for a helper and a helper never
//! waits for it. Copies are what operations wait for, so that they go first.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;

use crate::error::{Error, Result, plain};

use super::desk::{Desk, Done, Job};

/// Jobs of each kind, urgent or not, that a helper has at most.
const JOBS: usize = 4;

/// Wakes the run thread when it sleeps in its ring.
struct Bell {
    asleep: AtomicBool,
    pipe: std::io::PipeWriter,
}

struct Helper {
    /// Copies, and everything else.
    queues: [SyncSender<Job>; 2],
    /// Jobs of both that it has not ended.
    busy: [usize; 2],
    thread: JoinHandle<()>,
}

/// The number of the queue of copies, and of the other one.
const COPIES: usize = 0;
const OTHERS: usize = 1;

/// The helpers of a run.
pub struct Crew {
    helpers: Vec<Helper>,
    done: Receiver<Done>,
    /// A job that had ended when it was asked whether any had.
    early: Option<Done>,
    bell: Arc<Bell>,
    pipe: std::io::PipeReader,
    busy: [usize; 2],
}

impl Crew {
    /// So many helpers; `copies` says whether anything will be copied.
    ///
    /// # Errors
    /// When the system has no threads or files left.
    pub fn new(helpers: usize, copies: bool) -> Result<Self> {
        let failed = |e: std::io::Error| Error::unavailable(format!("cannot start helper threads: {}", plain(&e)));
        let (pipe, writer) = std::io::pipe().map_err(failed)?;
        // The kernel wakes who polls a pipe after it has let go of it: the ring may say that there
        // is something to read when it has been read already.
        rustix::io::ioctl_fionbio(&pipe, true).map_err(|e| failed(e.into()))?;
        let bell = Arc::new(Bell { asleep: AtomicBool::new(false), pipe: writer });
        let (results, done) = channel();
        let hire = |number| {
            let (first, urgent) = sync_channel(JOBS);
            let (others, rest) = sync_channel(JOBS);
            let (results, bell) = (results.clone(), Arc::clone(&bell));
            let name = format!("kvtrace-data-{number}");
            let work = move || help(number, copies, &[urgent, rest], &results, &bell);
            let thread = std::thread::Builder::new().name(name).spawn(work)?;
            Ok(Helper { queues: [first, others], busy: [0; 2], thread })
        };
        let helpers = (0..helpers).map(hire).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        Ok(Self { helpers, done, early: None, bell, pipe, busy: [0; 2] })
    }

    /// How many helpers there are.
    pub fn len(&self) -> usize {
        self.helpers.len()
    }

    /// Whether a helper takes another job that is not urgent.
    pub fn has_time(&self) -> bool {
        self.helpers.iter().any(|helper| helper.busy[OTHERS] < JOBS)
    }

    /// Whether a helper takes another copy.
    pub fn takes_copies(&self) -> bool {
        self.helpers.iter().any(|helper| helper.busy[COPIES] < JOBS)
    }

    /// Jobs that have not been collected.
    pub fn busy(&self) -> usize {
        self.busy[COPIES] + self.busy[OTHERS]
    }

    /// Copies that have not been collected.
    pub fn copies(&self) -> usize {
        self.busy[COPIES]
    }

    /// Gives a job to the helper with the fewest of its kind. There is one that has time.
    pub fn give(&mut self, job: Job) {
        let queue = if job.is_copy() { COPIES } else { OTHERS };
        let fewest = |helper: &&mut Helper| (helper.busy[queue], helper.busy[1 - queue]);
        let helper = self.helpers.iter_mut().min_by_key(fewest).expect("there are helpers");
        helper.busy[queue] += 1;
        self.busy[queue] += 1;
        helper.queues[queue].try_send(job).expect("a helper with time has room for a job");
        helper.thread.thread().unpark();
    }

    /// A job that has ended, or a part of one.
    pub fn collect(&mut self) -> Option<Done> {
        if self.busy() == 0 {
            return None;
        }
        let done = self.early.take().or_else(|| self.done.try_recv().ok())?;
        if done.is_last {
            let queue = if done.was_copy { COPIES } else { OTHERS };
            self.helpers[done.helper].busy[queue] -= 1;
            self.busy[queue] -= 1;
        }
        Some(done)
    }

    /// What becomes readable when a job ends while the run thread sleeps.
    pub fn bell(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// The run thread is going to sleep. False when it must not, because a job has ended.
    pub fn may_sleep(&mut self) -> bool {
        if self.busy() == 0 {
            return true;
        }
        self.bell.asleep.store(true, Ordering::SeqCst);
        if self.early.is_none() {
            self.early = self.done.try_recv().ok();
        }
        self.early.is_none()
    }

    /// It does not sleep any more.
    pub fn awake(&self) {
        if self.busy() > 0 {
            self.bell.asleep.store(false, Ordering::SeqCst);
        }
    }

    /// The bell has rung: it is made silent again.
    pub fn heard(&mut self) {
        // Nothing is there when it was silenced before.
        let _ = std::io::Read::read(&mut self.pipe, &mut [0; 64]);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for helper in self.helpers.drain(..) {
            drop(helper.queues);
            helper.thread.thread().unpark();
            // A helper that panicked has said so itself.
            let _ = helper.thread.join();
        }
    }
}

/// The next job, the urgent ones first; waits for one. None when there will be no more.
fn next(queues: &[Receiver<Job>; 2]) -> Option<Job> {
    loop {
        let mut open = false;
        for queue in queues {
            match queue.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Empty) => open = true,
                Err(TryRecvError::Disconnected) => {}
            }
        }
        if !open {
            return None;
        }
        // A job that was sent since has left its mark, so that this returns at once.
        std::thread::park();
    }
}

fn help(number: usize, copies: bool, queues: &[Receiver<Job>; 2], results: &Sender<Done>, bell: &Bell) {
    let mut desk = Desk::new(copies);
    while let Some(job) = next(queues) {
        desk.perform(job, |done| {
            // Nobody collects after the run, and nobody misses it.
            let _ = results.send(Done { helper: number, ..done });
            if bell.asleep.swap(false, Ordering::SeqCst) {
                // A full pipe wakes it just as well.
                let _ = (&bell.pipe).write(&[0]);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::replay::content::fill::Stream;
    use crate::replay::io::memory::Region;
    use crate::replay::run::desk::{Act, Check, Whose, Work};

    fn job(region: &Region, slot: u32, work: Work) -> Job {
        // SAFETY: the slots of these tests do not overlap, and the region outlives the crew.
        let part = unsafe { region.lend(slot as usize * 8192, 8192) };
        Job { slot, stream: Stream::new(1, slot.into(), 0), offset: 4096, part, work, given: Instant::now() }
    }

    fn all_of(crew: &mut Crew) -> Vec<Done> {
        let mut all = Vec::new();
        while crew.busy() > 0 {
            all.extend(crew.collect());
        }
        all.sort_by_key(|done| done.slot);
        all
    }

    #[test]
    fn helpers_fill_and_find_what_is_wrong() {
        let mut region = Region::new(1 << 20, "a test", |_| Ok(())).unwrap();
        let mut crew = Crew::new(2, true).unwrap();
        (0..8).for_each(|slot| crew.give(job(&region, slot, Work::Fill)));
        assert!(!crew.has_time() && all_of(&mut crew).len() == 8);
        region.slice_mut(3 * 8192 + 4100, 1)[0] ^= 1;
        let whose = Whose { row: 1, key: 2, content: 3, version: 4 };
        (0..8).for_each(|slot| crew.give(job(&region, slot, Work::Check(Check { all: slot % 2 == 1, whose }))));
        let wrong: Vec<_> = all_of(&mut crew).iter().map(|done| done.wrong.map(|wrong| wrong.0)).collect();
        assert_eq!(wrong, [None, None, None, Some(4096), None, None, None, None]);
    }

    #[test]
    fn a_sleeper_is_woken_or_does_not_fall_asleep() {
        let region = Region::new(1 << 20, "a test", |_| Ok(())).unwrap();
        let mut crew = Crew::new(1, true).unwrap();
        for _ in 0..200 {
            crew.give(job(&region, 0, Work::Fill));
            if crew.may_sleep() {
                crew.heard();
            }
            crew.awake();
            assert_eq!(all_of(&mut crew).len(), 1);
        }
    }

    #[test]
    fn copies_arrive_and_what_they_carry_is_checked_behind_them() {
        let mut region = Region::new(1 << 20, "a test", |_| Ok(())).unwrap();
        let stream = Stream::new(1, 0, 0);
        stream.fill(4096, region.slice_mut(0, 8192));
        region.slice_mut(5000, 1)[0] ^= 1;
        let mut crew = Crew::new(1, true).unwrap();
        let whose = Whose { row: 1, key: 2, content: 3, version: 4 };
        for (slot, to) in [(0, Some(512 << 10)), (1, None)] {
            // SAFETY: as in `job`.
            let to = to.map(|to| unsafe { region.lend(to, 8192) });
            let work = Work::Copy { to, check: Some(Check { all: true, whose }), len: 8192 };
            // SAFETY: as in `job`.
            let part = unsafe { region.lend(0, 8192) };
            crew.give(Job { slot, stream: stream.clone(), offset: 4096, part, work, given: Instant::now() });
        }
        let done = all_of(&mut crew);
        let told: Vec<_> = done.iter().map(|d| (d.slot, d.act, d.wrong.map(|wrong| wrong.0))).collect();
        let wrong = Some(4992);
        assert_eq!(told, [(0, Act::Moved, wrong), (1, Act::Moved, None), (1, Act::Reviewed, wrong)]);
        assert_eq!(region.slice(0, 8192), region.slice(512 << 10, 8192));
        assert!(done[1].queued_ns > 0, "it waited for the first");
    }
}
