//! Events: a row per request, on its way from the programs' ring buffer to a file, and from a
//! file back to the histograms that the programs counted.
//!
//! With the feature `ebpf`, `ring` takes rows (`raw`) out of the buffer into the file.
//! [`Reduction`] counts rows again: `flight` is what was in flight, for which `turns` puts what changed the number of requests in flight in
//! its order, `counter` and `counters` are the buckets.

mod counter;
mod counters;
mod flight;
#[cfg(feature = "ebpf")]
mod raw;
mod reduce;
#[cfg(feature = "ebpf")]
mod ring;
mod turns;

pub use reduce::{Reduction, reduce, reduce_input, reduce_watched};
#[cfg(feature = "ebpf")]
pub use ring::Recorder;

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::measure::events::{EventsMeta, EventsWriter, of_calls};
use crate::output::Overwrite;

/// The ring buffer's size unless something else is said: a sixth of a second of 1 M requests a
/// second, three times what is left between two looks at it.
pub const EVENTS_BUFFER: u64 = 16 << 20;
/// The largest: the kernel takes the size as 32 bits.
const MAX_BUFFER: u64 = 1 << 31;

/// Where the events of a capture go.
#[derive(Clone, Debug)]
pub struct EventsTo {
    /// The file.
    pub path: PathBuf,
    /// What may be replaced.
    pub overwrite: Overwrite,
    /// Bytes of the ring buffer; see [`check_buffer`].
    pub buffer_bytes: u64,
}

/// Fails for a size that the kernel does not take: a power of two of pages
/// (kernel/bpf/ringbuf.c, `ringbuf_map_alloc`), and not above 2 GiB.
///
/// # Errors
/// The message says which sizes are possible.
pub fn check_buffer(bytes: u64) -> Result<()> {
    let page = rustix::param::page_size() as u64;
    if bytes.is_power_of_two() && (page..=MAX_BUFFER).contains(&bytes) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "--events-buffer {bytes}: it has to be a power of two, from {page} (a page) to {MAX_BUFFER} bytes; the nearest \
         is {}",
        bytes.clamp(page, MAX_BUFFER).next_power_of_two()
    )))
}

impl EventsTo {
    /// Opens the file for events of these devices.
    #[cfg(feature = "ebpf")]
    pub(super) fn open(&self, devices: &[super::devices::Device]) -> Result<EventsWriter> {
        let names = devices.iter().map(|device| device.name.clone()).collect();
        EventsWriter::create(&self.path, self.overwrite, names)
    }
}

/// The rows of a capture that has ended, in a file that still lacks its name.
pub struct Recorded {
    /// The file, or why there is none.
    writer: Result<EventsWriter>,
    start_monotonic_ns: u64,
    start_unix_ns: u64,
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("failed", &self.writer.as_ref().err()).finish_non_exhaustive()
    }
}

impl Recorded {
    /// Gives the file its name, with `.partial` when the result is not complete, and returns it.
    /// `result` is what the capture counted.
    ///
    /// # Errors
    /// When the file cannot be written, or could not while the capture ran.
    pub fn keep(self, result: &BlockResult) -> Result<PathBuf> {
        let lost = |error: Error| error.context("the events are lost");
        self.writer
            .map_err(lost)?
            .finish(EventsMeta {
                tool: result.tool.clone(),
                complete: result.complete,
                source: result.source.clone(),
                start_monotonic_ns: self.start_monotonic_ns,
                start_unix_ns: self.start_unix_ns,
                duration_s: result.duration_s,
                devices: result.devices.clone(),
                filter: result.filter.clone(),
                ring_drop: result.loss.get("ring_drop").copied().unwrap_or(0),
                loss: result.loss.clone(),
                taint_reasons: result.taint_reasons.clone(),
                calls: of_calls(&result.histograms),
                ..EventsMeta::default()
            })
            .map_err(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sizes_that_the_kernel_takes() {
        for good in [rustix::param::page_size() as u64, 1 << 20, EVENTS_BUFFER, MAX_BUFFER] {
            check_buffer(good).unwrap();
        }
        for bad in [0, 1, 2048, 3 << 20, (1 << 20) + 4096, 1 << 32] {
            let error = check_buffer(bad).unwrap_err();
            assert!(error.to_string().contains("power of two"), "{error}");
        }
        assert!(check_buffer(3 << 20).unwrap_err().to_string().contains("4194304"));
    }
}
