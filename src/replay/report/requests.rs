//! Requests of the trace, as this run would have served them: queue and generation as recorded,
//! storage as measured.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::checksum;
use crate::error::{Error, Result};
use crate::measure::replay::{QosReport, Requests};
use crate::measure::{LogLinear, ReplayResult};
use crate::trace::{Meta, RequestRow, RequestsReader, TraceReader};

/// The P95 target of a class in milliseconds (the reference's table of QoS classes).
fn target_p95_ms(qos: &str) -> Option<f64> {
    match qos {
        "interactive" => Some(50.0),
        "responsive" => Some(100.0),
        "batch" => Some(1000.0),
        _ => None,
    }
}

/// Room that is made for ordinals beyond the number of requests: a file may be a part of one.
const SPARSE: u64 = 1 << 20;

/// How many requests the file beside a trace has: the highest ordinal and one; none without a
/// file.
///
/// # Errors
/// A file that is there and cannot be read, or belongs to another recording.
pub fn count(trace: &Path, meta: &Meta) -> Result<Option<usize>> {
    let Some(reader) = RequestsReader::beside(trace, meta)? else { return Ok(None) };
    let (mut highest, mut rows) = (0u64, 0u64);
    for row in reader {
        (highest, rows) = (highest.max(row?.request), rows + 1);
    }
    Ok(Some((highest + 1).min(rows * 4 + SPARSE) as usize))
}

/// What the requests were, all in all.
pub struct Served {
    /// The report.
    pub report: Requests,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Storage time summed over requests.
    pub storage_s: f64,
}

/// Puts the requests file and the measured storage times by request together.
///
/// # Errors
/// A file that cannot be read.
pub fn serve(trace: &Path, meta: &Meta, storage_ns: &[u64]) -> Result<Option<Served>> {
    let Some(reader) = RequestsReader::beside(trace, meta)? else { return Ok(None) };
    let mut book = Book::default();
    for row in reader {
        let row = row?;
        let storage = usize::try_from(row.request).ok().and_then(|i| storage_ns.get(i)).copied().unwrap_or(0);
        book.add(&row, storage);
    }
    Ok(Some(book.close()))
}

/// Gives a merged result its requests: the storage times that its shards kept, with the file beside
/// the trace. Without either nothing changes.
///
/// # Errors
/// A trace other than the one that was replayed, or a file that cannot be read.
pub fn attribute(result: &mut ReplayResult, trace: &Path) -> Result<()> {
    let mut file = File::open(trace).map_err(|e| Error::reading(trace, &e))?;
    let sha256 = checksum::of_stream(&mut file, |_| Ok(())).map_err(|e| Error::reading(trace, &e))?;
    if sha256 != result.trace.sha256 {
        return Err(Error::usage(format!(
            "--trace {}: its sha256 is {sha256}, and the shards replayed {}; name the trace that they replayed",
            trace.display(),
            result.trace.sha256
        )));
    }
    let Some(storage) = result.runs.request_storage.as_ref().filter(|_| result.complete) else { return Ok(()) };
    let reader = TraceReader::open(trace)?;
    let meta = reader.meta();
    let Some(count) = count(trace, meta)? else { return Ok(()) };
    let Some(served) = serve(trace, meta, &storage.by_ordinal(count))? else { return Ok(()) };
    if let Some(tokens) = &mut result.tokens {
        let generated = served.generated_tokens as f64;
        tokens.generated_per_s = (result.totals.wall_s > 0.0).then(|| generated / result.totals.wall_s);
        tokens.generated_per_storage_s = (served.storage_s > 0.0).then(|| generated / served.storage_s);
    }
    (result.requests, result.requests_absent) = (Some(served.report), None);
    Ok(())
}

struct Class {
    end_to_end: LogLinear,
    target_ms: f64,
    within: u64,
}

struct Book {
    storage: LogLinear,
    queue: LogLinear,
    generation: LogLinear,
    end_to_end: LogLinear,
    classes: BTreeMap<String, Class>,
    generated_tokens: u64,
    storage_ns: u128,
}

impl Default for Book {
    fn default() -> Self {
        let times = LogLinear::times;
        let (storage, queue, generation, end_to_end) = (times(), times(), times(), times());
        Self { storage, queue, generation, end_to_end, classes: BTreeMap::new(), generated_tokens: 0, storage_ns: 0 }
    }
}

impl Book {
    fn add(&mut self, row: &RequestRow, storage: u64) {
        let queue = row.start_ns.saturating_sub(row.arrival_ns).max(0) as u64;
        let generation = row.generation_ns.max(0) as u64;
        let total = queue + storage + generation;
        self.storage.record(storage);
        self.queue.record(queue);
        self.generation.record(generation);
        self.end_to_end.record(total);
        self.generated_tokens += u64::from(row.generate_tokens);
        self.storage_ns += u128::from(storage);
        if let Some(target_ms) = target_p95_ms(&row.qos) {
            let class = self.classes.entry(row.qos.clone()).or_insert_with(|| Class {
                end_to_end: LogLinear::times(),
                target_ms,
                within: 0,
            });
            class.end_to_end.record(total);
            class.within += u64::from(total as f64 <= target_ms * 1e6);
        }
    }

    fn close(self) -> Served {
        let qos = self.classes.into_iter().map(|(name, class)| {
            let count = class.end_to_end.count();
            let report = QosReport {
                count,
                end_to_end: class.end_to_end.save("end_to_end", None, "ns"),
                target_p95_ms: class.target_ms,
                compliance: class.within as f64 / count as f64,
            };
            (name, report)
        });
        let report = Requests {
            count: self.storage.count(),
            qos: qos.collect(),
            storage: self.storage.save("storage", None, "ns"),
            queue: self.queue.save("queue", None, "ns"),
            generation: self.generation.save("generation", None, "ns"),
            end_to_end: self.end_to_end.save("end_to_end", None, "ns"),
        };
        Served { report, generated_tokens: self.generated_tokens, storage_s: self.storage_ns as f64 / 1e9 }
    }
}
