//! Requests of the trace, as this run would have served them: queue and generation as recorded,
//! storage as measured.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::checksum;
use crate::error::{Error, Result};
use crate::measure::replay::{QosReport, QosTarget, Requests};
use crate::measure::requests::Apart;
use crate::measure::{LogLinear, ReplayResult};
use crate::trace::{Meta, Op, RequestRow, RequestsReader, TraceReader};

use super::qos::Targets;
use crate::replay::plan::Plan;
use crate::replay::plan::rows::JOINED;
use crate::replay::run::per_request::PerRequest;

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
    /// Tokens that requests in the report generated.
    pub generated_tokens: u64,
    /// Their storage time.
    pub storage_s: f64,
}

/// What decides whether a request is whole.
pub struct Wholeness {
    /// Rows by request that there should have been; none after a run that went to its end.
    planned: Option<Vec<u32>>,
    /// Whether the trace that was replayed has all rows of its recording, so that a request
    /// without rows asked for nothing.
    all_rows: bool,
}

impl Wholeness {
    /// For a run that executed the plan to its end, or did not.
    ///
    /// # Errors
    /// When the plan cannot be read back.
    pub fn of(plan: &Plan, requests: usize, to_its_end: bool) -> Result<Self> {
        let all_rows = plan.meta.complete && plan.meta.rows.is_none_or(|rows| rows == plan.facts.rows);
        if to_its_end {
            return Ok(Self { planned: None, all_rows });
        }
        let mut planned = vec![0; requests];
        let mut rows = plan.rows.iter();
        while let Some(row) = rows.next_row()? {
            let place = row.request.and_then(|request| planned.get_mut(usize::try_from(request).ok()?));
            if let Some(planned) = place.filter(|_| row.op != Op::Delete && !row.has(JOINED)) {
                *planned += 1 + u32::from(row.leg.is_some());
            }
        }
        Ok(Self { planned: Some(planned), all_rows })
    }

    /// Whether all rows of a request ended, when `ended` did.
    fn is_whole(&self, request: u64, ended: u32) -> bool {
        match &self.planned {
            None => ended > 0 || self.all_rows,
            Some(planned) => {
                let planned = usize::try_from(request).ok().and_then(|request| planned.get(request));
                planned.is_some_and(|&planned| planned > 0 && planned == ended)
            }
        }
    }
}

/// Puts the requests file and the measured storage times by request together; `storage` says
/// where those are from.
///
/// # Errors
/// A file that cannot be read.
pub fn serve(
    trace: &Path,
    meta: &Meta,
    times: &PerRequest,
    whole: &Wholeness,
    storage: String,
) -> Result<Option<Served>> {
    let Some(reader) = RequestsReader::beside(trace, meta)? else { return Ok(None) };
    let mut book = Book::new(Targets::of(meta));
    for row in reader {
        book.add(&row?, times, whole);
    }
    Ok(Some(book.close(storage)))
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
    let mut times = PerRequest::new(count);
    storage.shares().for_each(|(request, share)| times.put(request, share));
    let whole = Wholeness { planned: None, all_rows: meta.complete };
    let how = "measured, summed over the shards".to_owned();
    let Some(served) = serve(trace, meta, &times, &whole, how)? else { return Ok(()) };
    if let Some(tokens) = &mut result.tokens {
        let known = (Some(served.generated_tokens), Some(served.storage_s));
        (tokens.sums.generated, tokens.sums.storage_s) = known;
        *tokens = tokens.sums.rates(result.totals.wall_s);
    }
    (result.requests, result.requests_absent) = (Some(served.report), None);
    Ok(())
}

/// Times of requests.
struct Times {
    storage: LogLinear,
    queue: LogLinear,
    generation: LogLinear,
    end_to_end: LogLinear,
}

impl Times {
    fn new() -> Self {
        let times = LogLinear::times;
        Self { storage: times(), queue: times(), generation: times(), end_to_end: times() }
    }

    /// Adds a request; returns its end-to-end time.
    fn add(&mut self, storage: u64, queue: u64, generation: u64) -> u64 {
        let total = queue + storage + generation;
        self.storage.record(storage);
        self.queue.record(queue);
        self.generation.record(generation);
        self.end_to_end.record(total);
        total
    }
}

struct Class {
    times: Times,
    /// Quantile, target in ms and requests within it.
    targets: Vec<(f64, f64, u64)>,
}

impl Class {
    fn new(targets: &[(f64, f64)]) -> Self {
        Self { times: Times::new(), targets: targets.iter().map(|&(quantile, ms)| (quantile, ms, 0)).collect() }
    }

    fn close(self) -> QosReport {
        let count = self.times.end_to_end.count();
        let end_to_end = self.times.end_to_end.save("end_to_end", None, "ns");
        let judged = self.targets.iter().map(|&(q, ms, within)| QosTarget::judge(q, ms, within, &end_to_end));
        QosReport {
            count,
            no_data: count == 0,
            targets: judged.collect(),
            storage: self.times.storage.save("storage", None, "ns"),
            queue: self.times.queue.save("queue", None, "ns"),
            generation: self.times.generation.save("generation", None, "ns"),
            end_to_end,
        }
    }
}

struct Book {
    times: Times,
    response: LogLinear,
    classes: BTreeMap<String, Class>,
    targets_from: &'static str,
    apart: Apart,
    without_rows: u64,
    generated_tokens: u64,
    storage_ns: u128,
}

impl Book {
    fn new(targets: Targets) -> Self {
        let classes = targets.classes.iter().map(|(name, targets)| (name.clone(), Class::new(targets)));
        Self {
            times: Times::new(),
            response: LogLinear::times(),
            classes: classes.collect(),
            targets_from: targets.from,
            apart: Apart::default(),
            without_rows: 0,
            generated_tokens: 0,
            storage_ns: 0,
        }
    }

    fn add(&mut self, row: &RequestRow, times: &PerRequest, whole: &Wholeness) {
        let rows = times.get(row.request);
        let apart = if rows.failed {
            Some(&mut self.apart.failed)
        } else if rows.skipped {
            Some(&mut self.apart.skipped)
        } else if whole.is_whole(row.request, rows.ended) {
            None
        } else {
            Some(&mut self.apart.unfinished)
        };
        if let Some(counter) = apart {
            *counter += 1;
            return;
        }
        let queue = row.start_ns.saturating_sub(row.arrival_ns).max(0) as u64;
        let generation = row.generation_ns.max(0) as u64;
        let total = self.times.add(rows.service_ns, queue, generation);
        self.response.record(rows.response_ns);
        self.without_rows += u64::from(rows.ended == 0);
        self.generated_tokens += u64::from(row.generate_tokens);
        self.storage_ns += u128::from(rows.service_ns);
        if !self.classes.contains_key(&row.qos) {
            self.classes.insert(row.qos.clone(), Class::new(&[]));
        }
        if let Some(class) = self.classes.get_mut(&row.qos) {
            class.times.add(rows.service_ns, queue, generation);
            for (_, target_ms, within) in &mut class.targets {
                *within += u64::from(total as f64 <= *target_ms * 1e6);
            }
        }
    }

    fn close(self, storage: String) -> Served {
        let modelled = |what: &str| format!("modelled: {what}");
        let how = [
            ("queue", modelled("as recorded")),
            ("generation", modelled("as recorded")),
            ("end_to_end", modelled("queue and generation as recorded, and storage; storage does not delay the queue")),
            ("storage_response", storage.clone()),
            ("storage", storage),
        ];
        let report = Requests {
            count: self.times.storage.count(),
            apart: self.apart,
            without_rows: self.without_rows,
            how: how.into_iter().map(|(name, how)| (name.to_owned(), how)).collect(),
            storage: self.times.storage.save("storage", None, "ns"),
            storage_response: self.response.save("storage_response", None, "ns"),
            queue: self.times.queue.save("queue", None, "ns"),
            generation: self.times.generation.save("generation", None, "ns"),
            end_to_end: self.times.end_to_end.save("end_to_end", None, "ns"),
            targets_from: self.targets_from.to_owned(),
            qos: self.classes.into_iter().map(|(name, class)| (name, class.close())).collect(),
        };
        Served { report, generated_tokens: self.generated_tokens, storage_s: self.storage_ns as f64 / 1e9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::meta::Source;

    fn closed(planned: Option<Vec<u32>>, all_rows: bool) -> Served {
        let mut times = PerRequest::new(5);
        for request in 0..4 {
            times.ended(Some(request), 1_000_000, 3_000_000);
        }
        times.failed(Some(0));
        times.skipped(Some(1));
        let mut book = Book::new(Targets::of(&Meta::foreign(Source::default())));
        let whole = Wholeness { planned, all_rows };
        for request in 0..5 {
            let row = RequestRow { request, qos: "batch".to_owned(), generate_tokens: 7, ..RequestRow::default() };
            book.add(&row, &times, &whole);
        }
        book.close("measured".to_owned())
    }

    #[test]
    fn only_requests_that_completed_are_averaged() {
        let served = closed(None, true);
        let apart = Apart { failed: 1, skipped: 1, unfinished: 0 };
        assert_eq!((served.report.count, served.report.apart, served.report.without_rows), (3, apart, 1));
        assert_eq!((served.generated_tokens, served.report.storage.sum), (21, 2_000_000));
        assert_eq!(served.report.storage_response.sum, 6_000_000);
        assert_eq!((served.report.qos["batch"].count, served.report.qos["interactive"].no_data), (3, true));
    }

    #[test]
    fn requests_without_rows_of_a_part_of_a_trace_are_not_finished() {
        let served = closed(None, false);
        assert_eq!((served.report.count, served.report.apart.unfinished), (2, 1));
    }

    #[test]
    fn requests_that_an_early_end_cut_are_not_finished() {
        let served = closed(Some(vec![1, 1, 1, 2, 0]), true);
        assert_eq!((served.report.count, served.report.apart.unfinished, served.generated_tokens), (1, 2, 7));
    }
}
