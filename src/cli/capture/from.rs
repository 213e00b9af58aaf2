//! `capture --from FILE`: a result from what somebody else captured, told by content.

use std::path::Path;

use crate::capture::bpftrace;
use crate::error::{Error, Result};
use crate::measure::block::BLOCK_SCHEMA;
use crate::measure::replay::{REPLAY_SCHEMA, Series};
use crate::measure::{BlockResult, Input, ReplayResult, Saved};
use crate::stop::Stop;

use super::events;

/// What a file held.
pub struct Taken {
    pub result: BlockResult,
    /// Where reading ended early, and why.
    pub cut: Option<String>,
    /// The file's name, what it is, and its sha256.
    pub name: String,
    pub schema: String,
    pub sha256: String,
    /// What a replay says of its trace, one line each.
    pub facts: Vec<String>,
    /// A replay over time.
    pub series: Option<Series>,
}

/// Reads a capture of another tool, or a saved one.
///
/// # Errors
/// When the file cannot be read or is of no kind that holds a capture.
pub fn read(path: &Path, stop: &Stop) -> Result<Taken> {
    if events::may_be(path) {
        return events::take(path, stop);
    }
    let input = Input::read(path)?;
    match Form::of(&input) {
        Form::Bpftrace => text(input),
        Form::Result => result(input),
    }
}

/// What a file is.
enum Form {
    /// The output of the reference's bpftrace script.
    Bpftrace,
    /// A result of ours.
    Result,
}

impl Form {
    fn of(input: &Input) -> Self {
        if bpftrace::is_text(&input.text) { Self::Bpftrace } else { Self::Result }
    }
}

fn text(input: Input) -> Result<Taken> {
    let reading = bpftrace::read(&input.text, &input.name)?;
    Ok(Taken {
        result: reading.result,
        cut: reading.cut,
        name: input.name,
        schema: "text of bpftrace".to_owned(),
        sha256: input.sha256,
        facts: Vec::new(),
        series: None,
    })
}

fn result(input: Input) -> Result<Taken> {
    let (result, schema, facts, series) = match input.result().map_err(|error| or_text(&error, &input))? {
        Saved::Block(block) => (*block, BLOCK_SCHEMA, Vec::new(), None),
        Saved::Replay(replay) => {
            let facts = replay_facts(&replay);
            let series = Some(replay.series.clone());
            (captured(*replay, &input.name)?, REPLAY_SCHEMA, facts, series)
        }
    };
    Ok(Taken { result, cut: None, name: input.name, schema: schema.to_owned(), sha256: input.sha256, facts, series })
}

/// What else would do, where a file is not JSON at all.
fn or_text(error: &Error, input: &Input) -> Error {
    let other = if input.text.trim_start().starts_with('{') {
        ""
    } else {
        ", or the text that the reference's bpftrace script printed"
    };
    Error::new(error.kind(), format!("{error}{other}"))
}

/// The capture inside a replay's result.
fn captured(replay: ReplayResult, file: &str) -> Result<BlockResult> {
    replay.block.ok_or_else(|| {
        Error::usage(format!(
            "{file} holds no capture of the block layer; repeat the replay with --capture, or give a file of `kvtrace \
             capture`"
        ))
    })
}

fn replay_facts(replay: &ReplayResult) -> Vec<String> {
    let trace = &replay.trace;
    vec![format!(
        "Replay of {} (sha256 {}), {} rows, pacing {}",
        trace.file, trace.sha256, trace.rows, replay.timing.pacing
    )]
}
