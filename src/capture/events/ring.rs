//! The thread that empties the ring buffer into a file.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use libbpf_rs::{MapHandle, RingBufferBuilder};
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Error, Result};
use crate::measure::events::EventsWriter;
use crate::stop::Stop;

use super::Recorded;
use super::raw::decode;

/// How often the buffer is emptied. The programs wake nobody: that would cost them more than the
/// row does.
const TICK: Duration = Duration::from_millis(50);

/// Events on their way to a file. Dropped without [`Recorder::end`], it leaves no file.
pub struct Recorder {
    start_monotonic_ns: u64,
    start_unix_ns: u64,
    stop: Stop,
    thread: Option<JoinHandle<Result<EventsWriter>>>,
}

impl Recorder {
    /// Begins to empty `ring` into the file; stamps are relative to `start_monotonic_ns`.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(ring: MapHandle, writer: EventsWriter, start_monotonic_ns: u64) -> Result<Self> {
        let start_unix_ns = now_ns(ClockId::Realtime) - now_ns(ClockId::Monotonic) + start_monotonic_ns;
        let stop = Stop::new();
        let told = stop.clone();
        let thread = std::thread::Builder::new()
            .name("kvtrace-events".to_owned())
            .spawn(move || record(&ring, writer, start_monotonic_ns, &told))
            .map_err(|e| Error::unavailable(format!("cannot start the thread that records events: {e}")))?;
        Ok(Self { start_monotonic_ns, start_unix_ns, stop, thread: Some(thread) })
    }

    /// Takes the last rows out of the buffer and ends. The programs must not write any more.
    pub fn end(mut self) -> Recorded {
        let writer = self.join().unwrap_or_else(|| Err(Error::io("the thread that records events broke off")));
        Recorded { writer, start_monotonic_ns: self.start_monotonic_ns, start_unix_ns: self.start_unix_ns }
    }

    fn join(&mut self) -> Option<Result<EventsWriter>> {
        let thread = self.thread.take()?;
        self.stop.request();
        thread.thread().unpark();
        thread.join().ok()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.join();
    }
}

fn now_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Where rows go: into the file, until it cannot be written, and nowhere from then on, so that the
/// buffer does not fill and the count of dropped rows stays that of a full buffer.
struct Sink {
    writer: Result<EventsWriter>,
    start_ns: u64,
}

impl Sink {
    fn take(&mut self, bytes: &[u8]) {
        let Ok(writer) = &mut self.writer else { return };
        let Some(event) = decode(bytes, self.start_ns) else { return };
        if let Err(error) = writer.write(event) {
            self.writer = Err(error);
        }
    }
}

fn record(ring: &MapHandle, writer: EventsWriter, start_ns: u64, stop: &Stop) -> Result<EventsWriter> {
    let unreadable = |e: libbpf_rs::Error| Error::unavailable(format!("cannot read the buffer of events: {e}"));
    let sink = Rc::new(RefCell::new(Sink { writer: Ok(writer), start_ns }));
    let taker = Rc::clone(&sink);
    let mut builder = RingBufferBuilder::new();
    builder
        .add(ring, move |bytes| {
            taker.borrow_mut().take(bytes);
            0
        })
        .map_err(unreadable)?;
    let buffer = builder.build().map_err(unreadable)?;
    loop {
        // Asked before the last look, so that nothing comes after it.
        let last = stop.requested();
        buffer.consume().map_err(unreadable)?;
        if last {
            break;
        }
        std::thread::park_timeout(TICK);
    }
    drop(buffer);
    Rc::into_inner(sink)
        .map_or_else(|| Err(Error::io("the buffer of events is still in use")), |sink| sink.into_inner().writer)
}
