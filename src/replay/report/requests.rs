//! Requests of the trace, as this run would have served them: queue and generation as recorded,
//! storage as measured.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Result;
use crate::measure::LogLinear;
use crate::measure::replay::{QosReport, Requests};
use crate::trace::{Meta, RequestRow, RequestsReader};

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
