//! Traces of requests and LMCache's lookup logs.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::analyze::inputs::{Kind, kind};
use crate::analyze::lookups;
use crate::error::{Error, Result};
use crate::output::{self, Output, Overwrite};
use crate::seed::Seed;
use crate::stop::Stop;
use crate::trace::Input;
use crate::workload::{Content, Request, RequestTrace, Skipped, TraceFormat, TraceOptions, trace_format};

use super::json::Rewrite;
use super::proof::Sequence;
use super::salt::Salt;
use super::{ANONYMOUS_SCHEMA, Anonymized, csv_rows, refused};

/// Arrivals that differ by less are equal: stamps of a wall clock in floating point have no more
/// digits.
const CLOSE_NS: u64 = 1_000;

/// Anonymises a file of requests.
pub fn anonymize(from: &Path, to: &Path, salt: &Salt, overwrite: Overwrite, stop: &Stop) -> Result<Anonymized> {
    if output::is_standard(to) {
        return Err(Error::usage("-o -: what is written is read again to prove it; name a file"));
    }
    let format = if kind(from)? == Kind::Lookups { None } else { Some(trace_format(from)?) };
    if format == Some(TraceFormat::RagPulse) {
        return Err(Error::usage(format!(
            "{}: the lengths of RAGPulse's segments are in other files, under the same ids; that is not anonymised",
            from.display()
        )));
    }
    let original = facts(&requests(from, format, stop)?)?;
    let mut done = Anonymized {
        schema: ANONYMOUS_SCHEMA,
        tool: crate::TOOL,
        format: format.map_or("lmcache-lookups", TraceFormat::word).to_owned(),
        ..Anonymized::default()
    };
    let input = Input::open_until(from, stop)?;
    let mut out = std::io::BufWriter::new(Output::create(to, ANONYMOUS_SCHEMA, overwrite)?);
    let failed = |e: std::io::Error| Error::writing(to, &e);
    match format {
        Some(TraceFormat::Azure | TraceFormat::Vidur) => {
            done.rows = csv_rows::vidur(requests(from, format, stop)?.into_iter().map(Ok), &mut out)?;
        }
        Some(TraceFormat::BurstGpt) => {
            let mut open = || input.text();
            (done.shifted_s, done.rows) = csv_rows::burstgpt(from, &mut open, &mut out, salt, &mut done.removed)?;
        }
        Some(TraceFormat::KvCacheTester) => whole(&input, &mut out, salt, &mut done)?,
        _ => lines(&input, &mut out, salt, &mut done, stop)?,
    }
    out.flush().map_err(failed)?;
    let out = out.into_inner().map_err(|e| Error::writing(to, e.error()))?;
    done.replaced = salt.replaced();
    output::write_all(&output::sidecar_path(to), ANONYMOUS_SCHEMA, overwrite, &output::to_json(&done))?;
    out.finish()?;
    let written = if format == Some(TraceFormat::Azure) { Some(TraceFormat::Vidur) } else { format };
    let after = facts(&requests(to, written, stop)?)?;
    if !original.same(&after) {
        return Err(refused(to, "its hits, lengths or gaps are not those of the original"));
    }
    (done.references, done.distinct) = (original.references, original.hits.len() as u64 - 1);
    done.capacities_equal = done.distinct;
    output::write_all(&output::sidecar_path(to), ANONYMOUS_SCHEMA, overwrite, &output::to_json(&done))?;
    Ok(done)
}

/// The requests of a file, in the order of their stamps.
fn requests(path: &Path, format: Option<TraceFormat>, stop: &Stop) -> Result<Vec<Request>> {
    let Some(format) = format else { return Ok(lookups::read(&[path.to_owned()], stop)?.0) };
    let options = TraceOptions::as_stamped(Some(format), None);
    let files: [PathBuf; 1] = [path.to_owned()];
    RequestTrace::open(&files, Seed(0), options, Skipped::default())?.collect()
}

/// What has to stay the same.
struct Facts {
    /// Hits by stack distance.
    hits: Vec<u64>,
    references: u64,
    /// Arrival, tokens of the prompt and of the answer.
    requests: Vec<(u64, u32, u32)>,
}

fn facts(requests: &[Request]) -> Result<Facts> {
    let mut sequence = Sequence::default();
    for request in requests {
        if let Content::Segments(segments) = &request.content {
            segments.iter().try_for_each(|segment| sequence.push((segment.id, segment.tokens)))?;
        }
    }
    let first_ns = requests.first().map_or(0, |request| request.arrival_ns);
    let of = |r: &Request| (r.arrival_ns - first_ns, r.context_tokens, r.generate_tokens);
    Ok(Facts { hits: sequence.hits(), references: sequence.len(), requests: requests.iter().map(of).collect() })
}

impl Facts {
    fn same(&self, other: &Facts) -> bool {
        let close =
            |(a, b): (&(u64, u32, u32), &(u64, u32, u32))| a.0.abs_diff(b.0) <= CLOSE_NS && (a.1, a.2) == (b.1, b.2);
        self.hits == other.hits
            && self.requests.len() == other.requests.len()
            && self.requests.iter().zip(&other.requests).all(close)
    }
}

/// JSON lines, read twice: for the first stamp, then to be rewritten.
fn lines(input: &Input, out: &mut impl Write, salt: &Salt, done: &mut Anonymized, stop: &Stop) -> Result<()> {
    let mut first = f64::INFINITY;
    each_line(input, stop, |object| {
        let stamp = object.and_then(|object| object.get("timestamp")?.as_f64());
        first = stamp.map_or(first, |stamp| first.min(stamp));
        Ok(())
    })?;
    done.shifted_s = if first.is_finite() { first } else { 0.0 };
    let mut rewrite = Rewrite { salt, first: done.shifted_s, removed: std::mem::take(&mut done.removed) };
    each_line(input, stop, |object| {
        let Some(object) = object else {
            *rewrite.removed.entry("line that is no JSON object".to_owned()).or_default() += 1;
            return Ok(());
        };
        done.rows += 1;
        let line = serde_json::to_vec(&Value::Object(rewrite.object(&object))).expect("JSON serialises");
        out.write_all(&line).and_then(|()| out.write_all(b"\n")).map_err(unwritten)
    })?;
    done.removed = rewrite.removed;
    Ok(())
}

fn each_line(input: &Input, stop: &Stop, mut each: impl FnMut(Option<Map<String, Value>>) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, input.text()?);
    let mut text = Vec::new();
    loop {
        text.clear();
        if reader.read_until(b'\n', &mut text).map_err(|e| input.unreadable(&e))? == 0 {
            return Ok(());
        }
        let line = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text).trim_ascii();
        if !line.is_empty() {
            each(serde_json::from_slice(line).ok())?;
        }
        if stop.requested() {
            return Err(Error::interrupted("interrupted; nothing was written"));
        }
    }
}

/// One session, or a list of them.
fn whole(input: &Input, out: &mut impl Write, salt: &Salt, done: &mut Anonymized) -> Result<()> {
    let damaged = |e| Error::usage(format!("{} is no whole JSON ({e})", input.name));
    let value: Value = serde_json::from_reader(BufReader::new(input.text()?)).map_err(damaged)?;
    let mut rewrite = Rewrite { salt, first: 0.0, removed: std::mem::take(&mut done.removed) };
    let session =
        |value: &Value, rewrite: &mut Rewrite| value.as_object().map(|object| Value::Object(rewrite.object(object)));
    let kept = match &value {
        Value::Array(sessions) => sessions.iter().map(|value| session(value, &mut rewrite)).collect(),
        value => session(value, &mut rewrite),
    };
    let kept = kept.ok_or_else(|| Error::usage(format!("{} holds no sessions", input.name)))?;
    done.removed = rewrite.removed;
    let count = |value: &Value| value.get("requests").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    done.rows = kept.as_array().map_or_else(|| count(&kept), |sessions| sessions.iter().map(count).sum());
    serde_json::to_writer(&mut *out, &kept)
        .map_err(|e| Error::io(format!("cannot write the anonymised requests: {e}")))?;
    out.write_all(b"\n").map_err(unwritten)
}

fn unwritten(error: std::io::Error) -> Error {
    Error::io(format!("cannot write the anonymised requests: {error}"))
}
