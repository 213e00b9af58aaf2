//! One trace, read for its summary: Parquet by its columns, anything else row by row.

use crate::checksum;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::{Format, Input, Meta, Op, TraceReader, parquet_meta, parquet_parts};

use crate::analyze::inputs::Source;

use super::distinct::{Gathering, hash};
use super::follower::{Follower, Seen};
use super::groups::{Groups, code};
use super::scan::{Sums, scan};
use super::{Depth, InputFacts};

/// Rows of a part of a Parquet file; a thread holds one.
const PART_ROWS: usize = 1 << 20;
/// Rows between two looks at the stop flag.
const STRIDE: u64 = 8192;
/// Stamps from here on count from 1970, not from the start of a trace.
const EPOCH_LIKE_NS: i64 = 100_000_000 * 1_000_000_000;

/// The columns that a group needs, and those that the rest needs.
const BRIEF: [&str; 4] = ["op", "size_bytes", "tier", "phase"];
const WHOLE: [&str; 9] = ["at_ns", "op", "size_bytes", "tier", "key", "phase", "request", "conversation", "turn"];

/// What one input came to.
pub struct Read {
    /// Its sums.
    pub groups: Groups,
    /// Its different keys.
    pub keys: u64,
    /// Its different conversations.
    pub conversations: u64,
    /// Its different requests.
    pub requests: u64,
    /// The rest.
    pub facts: InputFacts,
}

/// What is known of the files so far.
#[derive(Default)]
struct Found {
    meta: Option<Meta>,
    sums: Vec<String>,
    first_ns: Option<i64>,
    /// Rows that were put in order by a reader.
    sorted: u64,
    ours: bool,
}

/// Reads an input.
///
/// # Errors
/// When a file of it cannot be read, or the user asked to stop.
pub fn read(source: &Source, depth: Depth, stop: &Stop, progress: &dyn Progress) -> Result<Read> {
    let in_parts = source.parts.len() > 1;
    let (mut sums, mut found) = read_all(source, depth, in_parts, stop, progress)?;
    // What other tools write may be out of order; what was followed as it stands is read again, sorted.
    let disorder = sums.follower.as_ref().map_or(0, |follower| follower.inversions);
    if disorder > 0 && !in_parts {
        if found.ours {
            return Err(Error::usage(format!(
                "{}: {disorder} stamps lie below the one before; a trace with kvtrace's metadata is in time order, so \
                 this one was changed (without its metadata it is sorted)",
                source.name
            )));
        }
        (sums, found) = (new_sums(None, depth), Found::default());
        let input = Input::open_until(&source.parts[0], stop)?;
        by_rows(input, false, &mut sums, &mut found, stop, progress)?;
    }
    Ok(finished(source, &sums, found, depth, in_parts))
}

fn read_all(
    source: &Source,
    depth: Depth,
    in_parts: bool,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<(Sums, Found)> {
    let mut found = Found::default();
    let mut sums = None;
    for path in &source.parts {
        let input = Input::open_until(path, stop)?;
        if input.format != Format::Parquet {
            let sums = sums.get_or_insert_with(|| new_sums(None, depth));
            // Opened once: a stream gives what it holds only once.
            by_rows(input, in_parts, sums, &mut found, stop, progress)?;
            continue;
        }
        let meta = parquet_meta(&input)?.map(|json| Meta::from_json(&json).map_err(|e| e.context(&input.name)));
        let meta = meta.transpose()?;
        let columns: &[&str] = if depth.brief { &BRIEF } else { &WHOLE };
        let table = parquet_parts(&input, columns, PART_ROWS)?;
        progress.stage("summary", Some(table.rows()), "rows");
        check_rows(&input.name, meta.as_ref(), table.rows())?;
        let first_ns = match (found.first_ns, depth.brief, table.count()) {
            (Some(first_ns), ..) => first_ns,
            (None, true, _) | (None, _, 0) => 0,
            (None, false, _) => first_stamp(&table, meta.is_some())?,
        };
        found.first_ns = Some(first_ns);
        let sums = sums.get_or_insert_with(|| new_sums(meta.as_ref(), depth));
        scan(&table, &input.name, first_ns, sums, stop, progress)?;
        progress.done();
        found.ours |= meta.is_some();
        found.meta = found.meta.or(meta);
        found.sums.push(input.sha256);
    }
    Ok((sums.unwrap_or_else(|| new_sums(None, depth)), found))
}

fn new_sums(meta: Option<&Meta>, depth: Depth) -> Sums {
    let follower = (!depth.brief).then(|| Follower::new(is_inclusive(meta)));
    Sums::new(follower, depth.approx)
}

/// Whether promotions copy, by the flags of the recording.
fn is_inclusive(meta: Option<&Meta>) -> bool {
    let placement = meta.and_then(|meta| meta.flags.get("placement")).and_then(|value| value.as_str());
    placement == Some("inclusive")
}

fn check_rows(name: &str, meta: Option<&Meta>, rows: u64) -> Result<()> {
    match meta.and_then(|meta| meta.rows).filter(|promised| *promised != rows) {
        None => Ok(()),
        Some(promised) => Err(Error::usage(format!(
            "{name} has {rows} rows where its metadata says {promised}: it was cut or changed; get the whole file, or \
             remove the metadata if it belongs to another file"
        ))),
    }
}

/// What to take off the stamps of a foreign trace.
fn first_stamp(table: &crate::trace::parquet::TableParts, ours: bool) -> Result<i64> {
    if ours {
        return Ok(0);
    }
    let first = table.first_i64("at_ns")?.unwrap_or(0);
    Ok(if first > EPOCH_LIKE_NS { first } else { 0 })
}

/// Reads a file row by row; a foreign one is put in time order by its reader.
fn by_rows(
    input: Input,
    in_parts: bool,
    sums: &mut Sums,
    found: &mut Found,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<()> {
    let name = input.name.clone();
    let mut reader = TraceReader::of(input)?;
    let meta = reader.meta().clone();
    if let (Some(follower), None) = (&mut sums.follower, &found.meta) {
        follower.set_copies(is_inclusive(Some(&meta)));
    }
    progress.stage("summary", meta.rows, "rows");
    // Parts go on with the stamps of the one before: what their reader took off comes back.
    let back_ns = if in_parts && !reader.is_ours() { meta.epoch_ns } else { 0 };
    let mut gathering = sums.keys.gathering();
    for (place, record) in (1u64..).zip(&mut reader) {
        let record = record?;
        let at_ns = record.at_ns.saturating_add(back_ns);
        let first_ns = *found.first_ns.get_or_insert(if at_ns > EPOCH_LIKE_NS { at_ns } else { 0 });
        let key = hash(record.key.as_bytes());
        let code = code(record.tier, record.op, record.phase);
        sums.totals.groups.add(code, record.size_bytes);
        sums.totals.sizes.add(record.op, record.size_bytes);
        sums.keys.add(key, &mut gathering);
        if let Some(follower) = &mut sums.follower {
            follower.take(&Seen {
                at_ns: u64::try_from(at_ns.saturating_sub(first_ns)).unwrap_or(0),
                code,
                size: record.size_bytes,
                key,
                request: record.request,
                conversation: record.conversation.as_deref().map(|name| hash(name.as_bytes())),
                turn: record.turn,
            });
        }
        if place.is_multiple_of(STRIDE) {
            progress.advance(STRIDE);
            if stop.requested() {
                return Err(Error::interrupted(format!("interrupted after {place} rows of {name}")));
            }
        }
    }
    hand_in(sums, &mut gathering);
    progress.done();
    found.sorted += reader.meta().inversions.unwrap_or(0);
    found.ours |= reader.is_ours();
    found.sums.push(reader.sha256().to_owned());
    found.meta = found.meta.take().or(Some(meta));
    Ok(())
}

fn hand_in(sums: &Sums, gathering: &mut Gathering) {
    sums.keys.hand_in(gathering);
}

fn finished(source: &Source, sums: &Sums, found: Found, depth: Depth, in_parts: bool) -> Read {
    let groups = sums.totals.groups.clone();
    let follower = sums.follower.as_ref();
    let disorder = found.sorted + if in_parts { follower.map_or(0, |follower| follower.inversions) } else { 0 };
    let facts = InputFacts {
        file: source.name.clone(),
        parts: source.parts.len() as u64,
        sha256: match &found.sums[..] {
            [one] => one.clone(),
            several => checksum::of(several.concat().as_bytes()),
        },
        seed: found.meta.as_ref().and_then(|meta| meta.seed),
        model: found.meta.as_ref().and_then(|meta| meta.model.as_ref()).map(|model| model.name.clone()),
        rows: groups.rows(),
        span_s: follower.map(Follower::span_s),
        inversions: (!found.ours || in_parts).then_some(disorder),
        sizes: (!depth.brief).then(|| sums.totals.sizes.histograms()),
        peak_second_gb: follower.and_then(Follower::peak_second_bytes).map(|bytes| bytes as f64 / 1e9),
        burstiness: follower.map(Follower::arrivals),
        turns: follower.and_then(Follower::turns),
        occupancy: follower.map(Follower::occupancy),
        deletes: groups.has(Op::Delete),
    };
    Read {
        groups,
        keys: if depth.brief { 0 } else { sums.keys.count() },
        conversations: follower.and_then(Follower::conversation_count).unwrap_or(0),
        requests: follower.and_then(Follower::request_count).unwrap_or(0),
        facts,
    }
}
