//! What analyses of a trace's objects read, and capacities in bytes.

use serde::Serialize;

use crate::analyze::curve::Semantics;
use crate::analyze::objects::{MEANING, ObjectTotals, TraceFile, Traces};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::units;

use super::blocks::{BlockArgs, Capacity};
use super::input::{of_pipe, refuse_read_once};
use super::warmup::Warmup;
use crate::cli::terminal::Terminal;

/// Traces, and what is said of them in results.
pub struct TraceObjects {
    /// What was read.
    pub traces: Traces,
    /// References that fill the caches and are not counted.
    pub warmup: usize,
    /// What there is to hit.
    pub totals: ObjectTotals,
    /// For results.
    pub facts: ObjectFacts,
}

/// What was read, for results.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectFacts {
    /// The files.
    pub inputs: Vec<TraceFile>,
    /// Different objects.
    pub objects: u64,
    /// Lookups and first storings, all in all.
    pub references: u64,
    /// Of these, the first so many fill the caches and are not counted.
    pub warmup_references: u64,
    /// Lookups that are counted.
    pub lookups: u64,
    /// Bytes of their objects.
    pub lookup_bytes: u128,
    /// First storings that are counted.
    pub stores: u64,
    /// Bytes of all objects.
    pub footprint_bytes: u64,
    /// The largest object.
    pub largest_bytes: u64,
    /// Objects that came back with another size, which count as new ones.
    pub resized: u64,
    /// From the first reference to the last.
    pub span_s: f64,
    /// What counts as a lookup.
    pub lookup: &'static str,
}

/// Reads traces, if the first input is one; none when they are files of requests.
///
/// # Errors
/// What cannot be read, and flags that objects have no use for.
pub fn read(
    blocks: &BlockArgs,
    semantics: Option<Semantics>,
    warmup: Option<Warmup>,
    stop: &Stop,
    terminal: &Terminal,
) -> Result<Option<TraceObjects>> {
    let Some(sources) = blocks.traces()? else { return Ok(None) };
    blocks.refuse_flags_of_requests()?;
    if let Some(semantics @ (Semantics::Prefix | Semantics::TailFirst)) = semantics {
        return Err(Error::usage(format!(
            "--semantics {}: the objects of a trace do not say what stands before them; leave it out, or analyse the \
             requests that the trace was recorded from",
            semantics.word()
        )));
    }
    let traces = Traces::read(&sources, stop, terminal).map_err(|e| of_pipe(&blocks.inputs, e))?;
    let objects = &traces.objects;
    let warmup = warmup.map_or(Ok(0), |warmup| warmup.of(objects.uses.len(), "references"))?;
    let totals = objects.totals(warmup);
    if totals.lookups == 0 {
        return Err(Error::usage("--warmup leaves no lookup to count; take fewer"));
    }
    let facts = ObjectFacts {
        inputs: traces.files.clone(),
        objects: objects.bytes.len() as u64,
        references: objects.uses.len() as u64,
        warmup_references: warmup as u64,
        lookups: totals.lookups,
        lookup_bytes: totals.lookup_bytes,
        stores: totals.stores,
        footprint_bytes: objects.footprint_bytes(),
        largest_bytes: objects.largest_bytes(),
        resized: objects.resized,
        span_s: objects.at_ns.last().map_or(0.0, |last| *last as f64 / 1e9),
        lookup: MEANING,
    };
    if facts.resized > 0 {
        let objects = units::plural(facts.resized, "object");
        terminal.say(format!("{objects} came back with another size and count as new"));
    }
    Ok(Some(TraceObjects { traces, warmup, totals, facts }))
}

impl TraceObjects {
    /// The first line of a table: what was read.
    pub fn line(&self) -> String {
        let facts = &self.facts;
        format!(
            "{}: {} lookups and {} first storings of {} objects, {}, over {}",
            facts.inputs.iter().map(|input| input.file.as_str()).collect::<Vec<_>>().join(" "),
            units::count(facts.lookups),
            units::count(facts.stores),
            units::count(facts.objects),
            units::bytes(facts.footprint_bytes),
            units::ns(facts.span_s * 1e9),
        )
    }
}

/// Capacities in bytes as `flag` gave them, ascending, each once.
///
/// # Errors
/// A number of blocks, or of nothing.
pub fn capacities(flag: &str, typed: &[Capacity]) -> Result<Vec<u64>> {
    let bytes = |capacity: &Capacity| match capacity {
        Capacity::Bytes(0) | Capacity::Blocks(0) => {
            Err(Error::usage(format!("{flag} {capacity}: a cache of nothing holds nothing")))
        }
        Capacity::Bytes(bytes) => Ok(*bytes),
        Capacity::Blocks(_) => Err(Error::usage(format!(
            "{flag} {capacity}: the objects of a trace have many sizes; give bytes with a unit, such as 64GiB"
        ))),
    };
    let mut capacities = typed.iter().map(bytes).collect::<Result<Vec<_>>>()?;
    capacities.sort_unstable();
    capacities.dedup();
    Ok(capacities)
}

/// Refuses a trace where an analysis wants requests with token blocks.
///
/// # Errors
/// That the first input is a trace, or cannot be read.
pub fn refuse(blocks: &BlockArgs, analysis: &str) -> Result<()> {
    blocks.inputs.iter().try_for_each(|path| refuse_read_once(path))?;
    match blocks.traces()? {
        Some(sources) => Err(Error::usage(format!(
            "{}: {analysis} is about token blocks of prompts, and this is a trace of objects; give the requests that it \
             was recorded from, or take `analyze curve`",
            sources[0].name
        ))),
        None => Ok(()),
    }
}
