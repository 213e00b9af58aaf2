//! The interval log: latency by interval and kind of operation as an HdrHistogram V2 log, which
//! the tools of HdrHistogram read. A thread writes it: the run thread only counts, and hands a set
//! of histograms over when an interval ends.

use std::io::BufWriter;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::error::{Error, Result, plain};
use crate::output::Output;

use super::kinds::{self, KINDS};

/// The schema of an interval log.
pub const HLOG_SCHEMA: &str = "kvtrace.hlog/1";

/// Significant digits of a value: buckets are at most 0.1 % wide.
const DIGITS: u8 = 3;
/// The longest time that is told from longer ones: an hour, in ns.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// The log has the maxima of its intervals in ms, as HdrHistogram's own writer does for ns.
const MAX_DIVISOR: f64 = 1e6;

/// Histograms of one interval: response and service of every kind.
struct Set {
    histograms: Vec<Histogram<u32>>,
    used: [bool; KINDS],
}

impl Set {
    fn new() -> Self {
        let empty = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are in order");
        Self { histograms: vec![empty; 2 * KINDS], used: [false; KINDS] }
    }
}

/// What the writer is told.
struct Interval {
    set: Box<Set>,
    begin_ns: u64,
    end_ns: u64,
    /// When the clock of the run was 0.
    epoch: SystemTime,
}

/// The log of a run.
pub struct IntervalLog {
    interval_ns: u64,
    begin_ns: u64,
    last_ns: u64,
    epoch: Option<SystemTime>,
    set: Option<Box<Set>>,
    full: Option<SyncSender<Interval>>,
    empty: Receiver<Box<Set>>,
    writer: Option<JoinHandle<Result<Output>>>,
}

impl IntervalLog {
    /// Starts the writer. `facts` are said at the head of the file, a line each.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(output: Output, interval_ns: u64, facts: Vec<String>) -> Result<Self> {
        // Two sets go round, so that neither side ever waits for room in a channel.
        let (full, to_write) = sync_channel::<Interval>(2);
        let (written, empty) = sync_channel::<Box<Set>>(2);
        written.send(Box::new(Set::new())).expect("the receiver is here");
        let writer = std::thread::Builder::new()
            .name("hlog".to_owned())
            .spawn(move || write(output, &facts, &to_write, &written))
            .map_err(|e| Error::unavailable(format!("--hlog: no thread to write it: {}", plain(&e))))?;
        Ok(Self {
            interval_ns,
            begin_ns: 0,
            last_ns: 0,
            epoch: None,
            set: Some(Box::new(Set::new())),
            full: Some(full),
            empty,
            writer: Some(writer),
        })
    }

    /// An object's times, at `done` of the run's clock.
    pub fn record(&mut self, kind: usize, response: u64, service: u64, done: u64) {
        if self.epoch.is_none() {
            self.epoch = SystemTime::now().checked_sub(Duration::from_nanos(done));
        }
        if done >= self.begin_ns + self.interval_ns {
            self.turn(done);
        }
        self.last_ns = self.last_ns.max(done);
        let Some(set) = &mut self.set else { return };
        set.used[kind] = true;
        set.histograms[2 * kind].saturating_record(response);
        set.histograms[2 * kind + 1].saturating_record(service);
    }

    /// An interval has ended. Where the writer still has the other set this one goes on, and the
    /// interval is so much longer.
    fn turn(&mut self, now: u64) {
        let Ok(next) = self.empty.try_recv() else { return };
        self.hand_over();
        self.set = Some(next);
        self.begin_ns += (now - self.begin_ns) / self.interval_ns * self.interval_ns;
    }

    fn hand_over(&mut self) {
        let (Some(set), Some(full)) = (self.set.take(), &self.full) else { return };
        let whole = (self.last_ns.saturating_sub(self.begin_ns) / self.interval_ns + 1) * self.interval_ns;
        let epoch = self.epoch.unwrap_or_else(SystemTime::now);
        let interval = Interval { set, begin_ns: self.begin_ns, end_ns: self.begin_ns + whole, epoch };
        // The writer ends only when the sender is dropped.
        let _ = full.send(interval);
    }

    /// Writes what is left and gives the file its name: its own, or a partial one's. Returns that.
    ///
    /// # Errors
    /// When the file could not be written.
    pub fn finish(mut self, complete: bool) -> Result<PathBuf> {
        self.hand_over();
        drop(self.full.take());
        let writer = self.writer.take().expect("nobody else takes it");
        let mut output =
            writer.join().unwrap_or_else(|_| Err(Error::io("--hlog: its writer ended by an error of its own")))?;
        let path = output.path().to_owned();
        writeln!(output, "#complete: {complete}").map_err(|e| Error::writing(&path, &e))?;
        if !complete {
            return output.keep_partial();
        }
        output.finish()?;
        Ok(path)
    }
}

impl Drop for IntervalLog {
    fn drop(&mut self) {
        drop(self.full.take());
        if let Some(writer) = self.writer.take() {
            // What it wrote goes with it: nobody finished the log.
            let _ = writer.join();
        }
    }
}

/// `tier2-read-decode`, for response times.
fn tag(kind: usize) -> String {
    let (tier, op, phase) = kinds::all().nth(kind).expect("a kind has a number below their count");
    format!("tier{}-{op}-{phase}", u8::from(tier)).to_lowercase()
}

fn write(
    output: Output,
    facts: &[String],
    to_write: &Receiver<Interval>,
    written: &SyncSender<Box<Set>>,
) -> Result<Output> {
    let path = output.path().to_owned();
    let failed = |e: std::io::Error| Error::writing(&path, &e);
    let first = to_write.recv().ok();
    let epoch = first.as_ref().map_or_else(SystemTime::now, |interval| interval.epoch);
    let mut builder = IntervalLogWriterBuilder::new();
    facts.iter().for_each(|fact| {
        builder.add_comment(fact);
    });
    builder.add_comment("[Histogram log format version 1.3]");
    builder.with_start_time(epoch).with_base_time(epoch).with_max_value_divisor(MAX_DIVISOR);
    let (mut file, mut serializer) = (BufWriter::new(output), V2DeflateSerializer::new());
    let tags: Vec<_> = (0..KINDS).map(tag).flat_map(|tag| [tag.clone(), format!("{tag}-service")]).collect();
    {
        let mut log = builder.begin_log_with(&mut file, &mut serializer).map_err(failed)?;
        for Interval { mut set, begin_ns, end_ns, .. } in first.into_iter().chain(to_write.iter()) {
            for number in (0..2 * KINDS).filter(|number| set.used[number / 2]) {
                let (begin, length) = (Duration::from_nanos(begin_ns), Duration::from_nanos(end_ns - begin_ns));
                log.write_histogram(&set.histograms[number], begin, length, Tag::new(&tags[number]))
                    .map_err(|e| Error::io(format!("cannot write {}: {e}", path.display())))?;
            }
            (0..2 * KINDS).filter(|number| set.used[number / 2]).for_each(|number| set.histograms[number].reset());
            set.used = [false; KINDS];
            // Nobody takes the last one.
            let _ = written.try_send(set);
        }
    }
    file.into_inner().map_err(|e| failed(e.into_error()))
}
