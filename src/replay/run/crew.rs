//! Helpers beside the run thread: they make data up before it is due and check what was read
//! after it has come, so that neither delays the schedule. The run thread hands out jobs and
//! collects them; it never waits for a helper and a helper never waits for it.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::error::{Error, Result, plain};

use crate::replay::content::fill::{BLOCK, Stream};
use crate::replay::content::verify::{Suspect, check_all, check_stamps};
use crate::replay::io::memory::Part;

/// Jobs that a helper has at most, so that an urgent one does not stand behind many others.
const JOBS: usize = 4;

/// Bytes that are made up at a time to compare with.
pub const EXPECTED: usize = 64 << 10;

/// Whose data is checked, for a complaint.
#[derive(Clone, Copy, Debug)]
pub struct Whose {
    /// The row that read it, from 1.
    pub row: u64,
    /// The object.
    pub key: u32,
    /// Its content.
    pub content: u64,
    /// The version that should be there.
    pub version: u32,
}

impl Whose {
    /// The complaint that `found` is at `offset` of it.
    pub fn suspect(self, offset: u64, found: [u8; BLOCK]) -> Suspect {
        let Self { row, key, content, version } = self;
        Suspect { row, key, content, version, offset, found }
    }
}

/// What is to be done with a part of the arena.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Make its data up.
    Fill,
    /// Compare it with what it should be: every byte, or stamps only.
    Check {
        /// Every byte.
        all: bool,
        /// Whose it is.
        whose: Whose,
    },
}

/// Work on the bytes of one slot.
#[derive(Debug)]
pub struct Job {
    /// The slot.
    pub slot: u32,
    /// What the object contains.
    pub stream: Stream,
    /// Where the part lies in the object.
    pub offset: u64,
    /// The part.
    pub part: Part,
    /// What is to be done.
    pub work: Work,
}

/// A job that has ended.
#[derive(Debug)]
pub struct Done {
    /// The slot.
    pub slot: u32,
    /// What was done.
    pub work: Work,
    /// Where the part lies in the object.
    pub offset: u64,
    /// Its length.
    pub len: usize,
    /// The first block that is not what it should be: its place in the part, and itself.
    pub wrong: Option<(usize, [u8; BLOCK])>,
    /// How long it took.
    pub ns: u64,
    helper: usize,
}

/// Does a job. `expected` is overwritten.
pub fn perform(mut job: Job, expected: &mut [u8]) -> Done {
    let began = Instant::now();
    let wrong = match job.work {
        Work::Fill => {
            job.stream.fill(job.offset, job.part.bytes_mut());
            None
        }
        Work::Check { all, .. } => compare(&job.stream, job.offset, job.part.bytes(), all, expected),
    };
    let ns = began.elapsed().as_nanos() as u64;
    Done { slot: job.slot, work: job.work, offset: job.offset, len: job.part.len(), wrong, ns, helper: 0 }
}

/// The first block of `data` that is not what it should be: its place, and itself.
pub fn compare(
    stream: &Stream,
    offset: u64,
    data: &[u8],
    all: bool,
    expected: &mut [u8],
) -> Option<(usize, [u8; BLOCK])> {
    let at = if all { check_all(stream, offset, data, expected) } else { check_stamps(stream, offset, data) }?;
    let mut block = [0; BLOCK];
    let end = data.len().min(at + BLOCK);
    block[..end - at].copy_from_slice(&data[at..end]);
    Some((at, block))
}

/// Wakes the run thread when it sleeps in its ring.
struct Bell {
    asleep: AtomicBool,
    pipe: std::io::PipeWriter,
}

struct Helper {
    jobs: SyncSender<Job>,
    /// Jobs that it has not ended.
    busy: usize,
    thread: JoinHandle<()>,
}

/// The helpers of a run.
pub struct Crew {
    helpers: Vec<Helper>,
    done: Receiver<Done>,
    /// A job that had ended when it was asked whether any had.
    early: Option<Done>,
    bell: Arc<Bell>,
    pipe: std::io::PipeReader,
    busy: usize,
}

impl Crew {
    /// So many helpers.
    ///
    /// # Errors
    /// When the system has no threads or files left.
    pub fn new(helpers: usize) -> Result<Self> {
        let failed = |e: std::io::Error| Error::unavailable(format!("cannot start helper threads: {}", plain(&e)));
        let (pipe, writer) = std::io::pipe().map_err(failed)?;
        let bell = Arc::new(Bell { asleep: AtomicBool::new(false), pipe: writer });
        let (results, done) = channel();
        let hire = |number| {
            let (jobs, todo) = sync_channel(JOBS);
            let (results, bell) = (results.clone(), Arc::clone(&bell));
            let name = format!("kvtrace-data-{number}");
            let thread = std::thread::Builder::new().name(name).spawn(move || help(number, &todo, &results, &bell))?;
            Ok(Helper { jobs, busy: 0, thread })
        };
        let helpers = (0..helpers).map(hire).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        Ok(Self { helpers, done, early: None, bell, pipe, busy: 0 })
    }

    /// How many helpers there are.
    pub fn len(&self) -> usize {
        self.helpers.len()
    }

    /// Whether a helper takes another job.
    pub fn has_time(&self) -> bool {
        self.helpers.iter().any(|helper| helper.busy < JOBS)
    }

    /// Jobs that have not been collected.
    pub fn busy(&self) -> usize {
        self.busy
    }

    /// Gives a job to the helper with the fewest. There is one that has time.
    pub fn give(&mut self, job: Job) {
        let helper = self.helpers.iter_mut().min_by_key(|helper| helper.busy).expect("there are helpers");
        helper.busy += 1;
        self.busy += 1;
        helper.jobs.try_send(job).expect("a helper with time has room for a job");
    }

    /// A job that has ended.
    pub fn collect(&mut self) -> Option<Done> {
        if self.busy == 0 {
            return None;
        }
        let done = self.early.take().or_else(|| self.done.try_recv().ok())?;
        self.helpers[done.helper].busy -= 1;
        self.busy -= 1;
        Some(done)
    }

    /// What becomes readable when a job ends while the run thread sleeps.
    pub fn bell(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// The run thread is going to sleep. False when it must not, because a job has ended.
    pub fn may_sleep(&mut self) -> bool {
        if self.busy == 0 {
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
        if self.busy > 0 {
            self.bell.asleep.store(false, Ordering::SeqCst);
        }
    }

    /// The bell has rung: it is made silent again.
    pub fn heard(&mut self) {
        // One byte is written for every time that the run thread is woken, and it was readable.
        let _ = std::io::Read::read(&mut self.pipe, &mut [0; 64]);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for helper in self.helpers.drain(..) {
            drop(helper.jobs);
            // A helper that panicked has said so itself.
            let _ = helper.thread.join();
        }
    }
}

fn help(number: usize, todo: &Receiver<Job>, results: &Sender<Done>, bell: &Bell) {
    let mut expected = vec![0; EXPECTED];
    while let Ok(job) = todo.recv() {
        let done = Done { helper: number, ..perform(job, &mut expected) };
        if results.send(done).is_err() {
            return;
        }
        if bell.asleep.swap(false, Ordering::SeqCst) {
            // A full pipe wakes it just as well.
            let _ = (&bell.pipe).write(&[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::io::memory::Region;

    fn job(region: &Region, slot: u32, work: Work) -> Job {
        // SAFETY: the slots of these tests do not overlap, and the region outlives the crew.
        let part = unsafe { region.lend(slot as usize * 8192, 8192) };
        Job { slot, stream: Stream::new(1, slot.into(), 0), offset: 4096, part, work }
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
        let mut crew = Crew::new(2).unwrap();
        (0..8).for_each(|slot| crew.give(job(&region, slot, Work::Fill)));
        assert!(!crew.has_time() && all_of(&mut crew).len() == 8);
        region.slice_mut(3 * 8192 + 4100, 1)[0] ^= 1;
        let whose = Whose { row: 1, key: 2, content: 3, version: 4 };
        (0..8).for_each(|slot| crew.give(job(&region, slot, Work::Check { all: slot % 2 == 1, whose })));
        let wrong: Vec<_> = all_of(&mut crew).iter().map(|done| done.wrong.map(|wrong| wrong.0)).collect();
        assert_eq!(wrong, [None, None, None, Some(4096), None, None, None, None]);
    }

    #[test]
    fn a_sleeper_is_woken_or_does_not_fall_asleep() {
        let region = Region::new(1 << 20, "a test", |_| Ok(())).unwrap();
        let mut crew = Crew::new(1).unwrap();
        for _ in 0..200 {
            crew.give(job(&region, 0, Work::Fill));
            if crew.may_sleep() {
                crew.heard();
            }
            crew.awake();
            assert_eq!(all_of(&mut crew).len(), 1);
        }
    }
}
