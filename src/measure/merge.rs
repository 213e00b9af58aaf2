//! Shards of one run, on one host or on many, put together: what was counted is added, what was
//! measured by the clock is taken from the earliest start to the latest end.
//!
//! Single values are recomputed from the shards in their order, histograms are integers: merging
//! does not depend on the order of the results nor on which were merged before.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::units;

use super::comparable;
use super::gds::GdsReport;
use super::replay::{
    Host, IoError, Latency, REPLAY_SCHEMA, ReplayResult, Timing, TokenSums, Tokens, Totals, TraceFacts, Verdict, Verify,
};
use super::runs::{Part, PartTiming, RequestStorage, RunClock, Runs, Shard};
use super::sums;
use super::timeline::Timeline;
use super::trials::{collected, total_cpu};

/// Merges results, each with the name of its file. All shards have to be there, unless `partial`.
///
/// # Errors
/// Results that are no shards, or not of one run; a shard that is missing or there twice.
pub fn merge(results: Vec<(String, ReplayResult)>, partial: bool) -> Result<ReplayResult> {
    comparable::check(&results)?;
    let mut whole = Merging::default();
    for (_, result) in results {
        whole.add(result);
    }
    whole.parts.sort_by_key(|part| part.shard.index);
    let missing = whole.missing();
    if !missing.is_empty() && !partial {
        return Err(Error::usage(format!(
            "{} of {} missing; name their results too, or add --partial to merge without them",
            shards(&missing),
            whole.parts.first().map_or(0, |part| part.shard.count)
        )));
    }
    Ok(whole.result())
}

/// Shards by their numbers, in words.
fn shards(numbers: &[u32]) -> String {
    let list: Vec<_> = numbers.iter().map(u32::to_string).collect();
    format!("shard{} {}", if list.len() == 1 { "" } else { "s" }, list.join(", "))
}

/// What has been added so far.
#[derive(Default)]
struct Merging {
    parts: Vec<Part>,
    trace: TraceFacts,
    latency: Vec<Latency>,
    timing: Timing,
    verify: Verify,
    errors: Vec<IoError>,
    timeline: Option<Timeline>,
    /// The requests' storage times; none once a result has none.
    storage: Option<RequestStorage>,
    gds: Option<GdsReport>,
}

impl Merging {
    /// Adds what is counted; what has to be recomputed from all shards is in their parts.
    fn add(&mut self, mut result: ReplayResult) {
        let first = self.parts.is_empty();
        if result.runs.parts.is_empty() {
            result.runs.parts.push(part(&result));
        }
        let ReplayResult {
            schema: _,
            tool: _,
            complete: _,
            valid: _,
            invalid_reasons: _,
            notes: _,
            runs,
            host: _,
            trace,
            config: _,
            totals: _,
            cpu: _,
            tiers: _,
            amplification: _,
            latency,
            requests: _,
            requests_absent: _,
            verdict: _,
            tokens: _,
            timing,
            verify,
            errors,
            gds,
            block: _,
            series,
        } = result;
        let Runs { shard: _, clock, request_storage, parts, trials: _, statistics: _ } = runs;
        self.parts.extend(parts);
        self.trace = trace;
        sums::latency(&mut self.latency, latency);
        sums::timing(&mut self.timing, timing);
        sums::verify(&mut self.verify, verify);
        sums::errors(&mut self.errors, errors);
        self.gds = sums::gds(self.gds.take(), gds);
        let line = Timeline::new(series, clock.map_or(0, |clock| clock.started_unix_ns));
        self.timeline = Some(match self.timeline.take() {
            Some(mine) => mine.with(line),
            None => line,
        });
        let storage = self.storage.take();
        self.storage = match first {
            true => request_storage,
            false => storage.zip(request_storage).and_then(|(mine, other)| mine.with(other)),
        };
    }

    fn missing(&self) -> Vec<u32> {
        let count = self.parts.first().map_or(0, |part| part.shard.count);
        (0..count).filter(|index| self.parts.iter().all(|part| part.shard.index != *index)).collect()
    }

    fn result(self) -> ReplayResult {
        let parts = &self.parts[..];
        let clock = clock(parts);
        let totals = totals(parts, clock);
        let missing = self.missing();
        let verify = Verify { level: first(parts, "verify"), ..self.verify };
        ReplayResult {
            schema: REPLAY_SCHEMA.to_owned(),
            tool: crate::TOOL.to_owned(),
            complete: missing.is_empty() && parts.iter().all(|part| part.complete),
            invalid_reasons: reasons(parts, &missing),
            valid: reasons(parts, &missing).is_empty() && parts.iter().all(|part| part.valid),
            notes: notes(parts),
            host: Host { started: started(parts), ..parts[0].host.clone() },
            trace: trace(parts, self.trace),
            config: config(parts),
            cpu: total_cpu(parts.iter().map(|part| &part.cpu), totals.moved_bytes),
            tiers: sums::tiers(parts.iter().map(|part| &part.tiers[..]), true),
            amplification: Vec::new(),
            requests: None,
            requests_absent: Some(absent(parts, self.storage.is_some())),
            verdict: verdict(parts),
            tokens: tokens(parts, totals.wall_s),
            timing: timing(parts, self.timing),
            verify,
            errors: self.errors,
            gds: self.gds,
            block: None,
            series: self.timeline.map(Timeline::series).unwrap_or_default(),
            latency: self.latency,
            totals,
            runs: Runs {
                shard: None,
                clock,
                request_storage: self.storage,
                parts: self.parts,
                trials: Vec::new(),
                statistics: Vec::new(),
            },
        }
    }
}

/// A shard's result as a part of a merged one.
fn part(result: &ReplayResult) -> Part {
    Part {
        shard: result.runs.shard.clone().unwrap_or_default(),
        tool: result.tool.clone(),
        host: result.host.clone(),
        clock: result.runs.clock,
        complete: result.complete,
        valid: result.valid,
        invalid_reasons: result.invalid_reasons.clone(),
        notes: result.notes.clone(),
        trace: result.trace.clone(),
        config: result.config.clone(),
        totals: result.totals.clone(),
        cpu: result.cpu.clone(),
        tiers: result.tiers.clone(),
        verdict: result.verdict.clone(),
        timing: PartTiming {
            starts: result.timing.lateness.count,
            late_fraction: result.timing.late_fraction,
            drift_ppm: result.timing.drift_ppm,
            spin_margin_ns: result.timing.spin_margin_ns,
        },
        tokens: result.tokens.as_ref().map(|tokens| tokens.sums),
        requests_absent: result.requests_absent.clone(),
        captured: result.block.is_some(),
    }
}

/// A setting that all parts have in common.
fn first(parts: &[Part], name: &str) -> String {
    parts[0].config.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

fn clock(parts: &[Part]) -> Option<RunClock> {
    let clocks: Vec<_> = parts.iter().map(|part| part.clock).collect::<Option<_>>()?;
    let one = clocks[0];
    let offsets = clocks.iter().filter_map(|clock| clock.start_offset_ns);
    Some(RunClock {
        started_unix_ns: clocks.iter().map(|clock| clock.started_unix_ns).min()?,
        first_start_unix_ns: clocks.iter().filter_map(|clock| clock.first_start_unix_ns).min(),
        last_end_unix_ns: clocks.iter().filter_map(|clock| clock.last_end_unix_ns).max(),
        start_at_unix_ns: one.start_at_unix_ns.filter(|at| clocks.iter().all(|c| c.start_at_unix_ns == Some(*at))),
        start_offset_ns: offsets.max_by_key(|offset| (offset.unsigned_abs(), *offset)),
        synchronized: clocks.iter().map(|clock| clock.synchronized).min().flatten(),
    })
}

/// From the first start to the last end of all parts; without their clocks, the longest.
fn wall_s(parts: &[Part], clock: Option<RunClock>) -> f64 {
    let span = clock.and_then(|clock| clock.last_end_unix_ns?.checked_sub(clock.first_start_unix_ns?));
    let longest = || parts.iter().map(|part| part.totals.wall_s).fold(0.0, f64::max);
    span.map_or_else(longest, |ns| ns as f64 / 1e9)
}

fn totals(parts: &[Part], clock: Option<RunClock>) -> Totals {
    let mut sum = Totals { wall_s: wall_s(parts, clock), offered_gb_per_s: Some(0.0), ..Totals::default() };
    for part in parts {
        let Totals {
            ops,
            read_bytes,
            write_bytes,
            moved_bytes,
            wall_s: _,
            read_gb_per_s: _,
            write_gb_per_s: _,
            offered_gb_per_s,
            prepare_s,
        } = &part.totals;
        sum.ops += ops;
        sum.read_bytes += read_bytes;
        sum.write_bytes += write_bytes;
        sum.moved_bytes += moved_bytes;
        sum.offered_gb_per_s = sum.offered_gb_per_s.zip(*offered_gb_per_s).map(|(mine, other)| mine + other);
        sum.prepare_s = sum.prepare_s.max(*prepare_s);
    }
    let moved = parts.iter().map(|part| sums::moved(&part.tiers)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    sum.set_rates(moved);
    sum
}

fn reasons(parts: &[Part], missing: &[u32]) -> Vec<String> {
    let mut reasons = Vec::new();
    if !missing.is_empty() {
        reasons.push(format!("{} of {} missing: every figure is too small", shards(missing), parts[0].shard.count));
    }
    reasons.extend(apart(parts));
    let lists: Vec<_> = parts.iter().map(|part| (part.shard.index, &part.invalid_reasons[..])).collect();
    reasons.extend(collected("shard", &lists));
    reasons
}

/// That the parts did not run together, if so.
fn apart(parts: &[Part]) -> Option<String> {
    let spans = spans(parts)?;
    let (latest_start, earliest_end) = (spans.iter().map(|s| s.0).max()?, spans.iter().map(|s| s.1).min()?);
    (parts.len() > 1 && latest_start > earliest_end).then(|| {
        format!(
            "the shards did not run together: one started {} after another had ended; start them with --start-at",
            units::ns((latest_start - earliest_end) as f64)
        )
    })
}

/// The first start and the last end of every part that did something.
fn spans(parts: &[Part]) -> Option<Vec<(u64, u64)>> {
    let clocks: Vec<_> = parts.iter().map(|part| part.clock).collect::<Option<_>>()?;
    Some(clocks.iter().filter_map(|clock| Some((clock.first_start_unix_ns?, clock.last_end_unix_ns?))).collect())
}

fn notes(parts: &[Part]) -> Vec<String> {
    let mut notes = vec![format!(
        "merged from {} of {} shards; `host` is that of shard {}, each shard's own is in `parts`",
        parts.len(),
        parts[0].shard.count,
        parts[0].shard.index
    )];
    match spans(parts) {
        Some(spans) if parts.len() > 1 => notes.extend(together(&spans)),
        Some(_) => {}
        None => notes.push("not every shard says when it ran: the wall time is that of the longest".to_owned()),
    }
    if parts.iter().any(|part| part.tool != parts[0].tool) {
        notes.push("the shards were replayed by different versions of kvtrace".to_owned());
    }
    if parts.iter().any(|part| part.captured) {
        notes.push("what the block layer did is in the shards' own results; captures are not merged".to_owned());
    }
    let peaks = "`peak_bytes` and the spaces of tiers are the sums of the shards' own, each at its own time".to_owned();
    notes.push(peaks);
    let lists: Vec<_> = parts.iter().map(|part| (part.shard.index, &part.notes[..])).collect();
    notes.extend(collected("shard", &lists));
    notes
}

/// How much of the time all parts ran, where it was not nearly all of it.
fn together(spans: &[(u64, u64)]) -> Option<String> {
    let (first, last) = (spans.iter().map(|s| s.0).min()?, spans.iter().map(|s| s.1).max()?);
    let (from, to) = (spans.iter().map(|s| s.0).max()?, spans.iter().map(|s| s.1).min()?);
    let share = to.saturating_sub(from) as f64 / (last - first).max(1) as f64;
    (share < 0.9).then(|| {
        format!(
            "all shards ran together for {:.0} % of the time; their starts are {} apart, their ends {}",
            share * 100.0,
            units::ns((from - first) as f64),
            units::ns((last - to) as f64)
        )
    })
}

/// When the first part started.
fn started(parts: &[Part]) -> String {
    let first = parts.iter().min_by_key(|part| (part.clock.map(|clock| clock.started_unix_ns), part.shard.index));
    first.map(|part| part.host.started.clone()).unwrap_or_default()
}

fn trace(parts: &[Part], one: TraceFacts) -> TraceFacts {
    let TraceFacts { file: _, sha256, seed, model, rows: _, inversions, span_s, peak_bytes: _, cold_keys: _ } = one;
    TraceFacts {
        file: parts[0].trace.file.clone(),
        sha256,
        seed,
        model,
        rows: parts.iter().map(|part| part.trace.rows).sum(),
        inversions,
        span_s,
        peak_bytes: [0, 1, 2].map(|tier| parts.iter().map(|part| part.trace.peak_bytes[tier]).sum()),
        cold_keys: parts.iter().map(|part| part.trace.cold_keys).sum(),
    }
}

/// Settings: what all have in common, otherwise the list of what each has.
fn config(parts: &[Part]) -> BTreeMap<String, serde_json::Value> {
    let value = |name: &String| {
        let values: Vec<_> = parts.iter().map(|part| part.config.get(name).cloned().unwrap_or_default()).collect();
        if values.iter().all(|v| *v == values[0]) { values[0].clone() } else { values.into() }
    };
    parts[0].config.keys().map(|name| (name.clone(), value(name))).collect()
}

fn absent(parts: &[Part], kept: bool) -> String {
    if kept {
        return "requests need the trace's requests file: `kvtrace merge --trace TRACE` puts them together".to_owned();
    }
    parts.iter().find_map(|part| part.requests_absent.clone()).unwrap_or_default()
}

fn verdict(parts: &[Part]) -> Verdict {
    let bounds: Vec<_> = parts.iter().map(|part| part.verdict.bound.as_str()).collect();
    let bound = if bounds.iter().all(|bound| *bound == bounds[0]) { bounds[0] } else { "differs" };
    let because: Vec<_> = parts
        .iter()
        .map(|part| format!("shard {}: {}: {}", part.shard.index, part.verdict.bound, part.verdict.because))
        .collect();
    Verdict { bound: bound.to_owned(), because: because.join("; ") }
}

/// Token rates over all shards; what requests generated is not known before they are put together.
fn tokens(parts: &[Part], wall_s: f64) -> Option<Tokens> {
    // A part that did nothing has none of its own.
    let sums = parts.iter().map(|part| part.tokens.or((part.totals.moved_bytes == 0).then(TokenSums::default)));
    let mut sum = sums.reduce(|a, b| Some(a?.with(b?))).flatten()?;
    (sum.generated, sum.storage_s) = (None, None);
    let known = parts.iter().any(|part| part.tokens.is_some());
    (known && wall_s > 0.0).then(|| sum.rates(wall_s))
}

fn timing(parts: &[Part], sum: Timing) -> Timing {
    let starts: u64 = parts.iter().map(|part| part.timing.starts).sum();
    let late: f64 = parts.iter().map(|part| part.timing.late_fraction * part.timing.starts as f64).sum();
    let drifts = parts.iter().filter_map(|part| part.timing.drift_ppm);
    Timing {
        late_fraction: if starts == 0 { 0.0 } else { late / starts as f64 },
        drift_ppm: drifts.max_by(|a, b| a.abs().total_cmp(&b.abs())),
        spin_margin_ns: parts.iter().filter_map(|part| part.timing.spin_margin_ns).max(),
        ..sum
    }
}

/// The shards that a result is of: its own, or those that it was merged from.
pub fn shards_of(result: &ReplayResult) -> Vec<&Shard> {
    let Runs { shard, parts, .. } = &result.runs;
    if parts.is_empty() { shard.iter().collect() } else { parts.iter().map(|part| &part.shard).collect() }
}

#[cfg(test)]
mod tests;
