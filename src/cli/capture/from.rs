//! `capture --from FILE`: a result from what somebody else captured, told by content.

use std::path::Path;

use crate::capture::bpftrace;
use crate::error::{Error, Result};
use crate::measure::block::BLOCK_SCHEMA;
use crate::measure::replay::{Cpu, REPLAY_SCHEMA, Series};
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
        other => {
            return Err(Error::usage(format!(
                "{} is {}; a file of `kvtrace capture`, or of `kvtrace replay` with --capture, is expected",
                input.name,
                other.what()
            )));
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
    let what = format!(
        "Replay of {} (sha256 {}), {} rows, pacing {}",
        trace.file, trace.sha256, trace.rows, replay.timing.pacing
    );
    let copies = replay.tiers.iter().any(|tier| tier.backend == "dram");
    let own = own_work(&replay.cpu, replay.totals.wall_s, replay.host.cpus, copies);
    [Some(what), own].into_iter().flatten().collect()
}

/// The part of all processors' time that a replay's own work takes, from which on a device that they serve too
/// is slower for it.
const BUSY: f64 = 0.25;

/// That a replay took much of the processors for itself, which only its capture shows, and how one that copies
/// memory does without.
fn own_work(cpu: &Cpu, wall_s: f64, cpus: u32, copies: bool) -> Option<String> {
    let (own_s, all_s) = (cpu.user_s + cpu.sys_s, wall_s * f64::from(cpus));
    let way_out = match copies {
        true => ". A replay with --tier-1 model:64GB/s+10us (time that passes) leaves most of that out",
        false => "",
    };
    (all_s > 0.0 && own_s / all_s >= BUSY).then(|| {
        format!(
            "The replay itself (tiers of memory, data) took {:.0} % of the time of {cpus} processors, and a job takes next to \
             none: a device that they serve too, such as a loop device, is faster for it{way_out}",
            own_s / all_s * 100.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_that_computes_much_says_so() {
        let cpu = Cpu { user_s: 2.5, sys_s: 0.5, ..Cpu::default() };
        let said = own_work(&cpu, 2.0, 2, true).expect("much");
        assert!(said.contains("took 75 % of the time of 2 processors"), "{said}");
        assert!(said.contains("--tier-1 model") && !own_work(&cpu, 2.0, 2, false).expect("much").contains("--tier-1"));
        assert_eq!(own_work(&cpu, 2.0, 64, true), None, "2 % of a large host is not much");
    }
}
