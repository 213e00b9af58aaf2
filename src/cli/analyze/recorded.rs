//! Host writes as they were recorded: by a trace, a replay, a capture.

use std::path::Path;

use serde::Serialize;

use crate::analyze::endurance::Wear;
use crate::analyze::inputs::{Kind, Source, find};
use crate::analyze::summary::{Depth, Summary};
use crate::error::{Error, Result};
use crate::measure::{BlockResult, Input, ReplayResult, Saved};
use crate::stop::Stop;
use crate::trace::Tier;

use super::drives::DriveArgs;
use super::input::holds_objects;
use crate::cli::terminal::Terminal;

/// Writes of one file.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// The file.
    pub file: String,
    /// Its sha256, in hex.
    pub sha256: String,
    /// What is counted.
    pub what: String,
    /// Bytes written by the host.
    pub host_writes_bytes: u64,
    /// In this time.
    pub span_s: f64,
    /// The drives that it is spread over.
    pub drives: u32,
    /// What that does to them.
    #[serde(flatten)]
    pub wear: Wear,
    /// What to know before quoting it.
    pub notes: Vec<String>,
}

/// What a file may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recording {
    /// A JSON result of ours.
    Result,
    /// Traces.
    Trace(Vec<Source>),
    /// Something else: requests.
    No,
}

/// What a path holds, which may be a pattern or a folder, by content.
///
/// # Errors
/// When it cannot be read.
pub fn recording(path: &Path) -> Result<Recording> {
    let (kind, sources) = find(&[path.to_owned()])?;
    Ok(match kind {
        Kind::Result => Recording::Result,
        // A trace is read in one go, also from a pipe.
        Kind::Trace if holds_objects(&sources[0].parts[0])? => Recording::Trace(sources),
        _ => Recording::No,
    })
}

impl Recorded {
    /// Everything that a recording says of writes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(
        recording: Recording,
        path: &Path,
        args: &DriveArgs,
        stop: &Stop,
        terminal: &Terminal,
    ) -> Result<Vec<Self>> {
        let results = match recording {
            Recording::Trace(sources) => {
                let of = |source: Source| Self::trace(source, args, stop, terminal);
                return sources.into_iter().map(of).collect();
            }
            _ => find(&[path.to_owned()])?.1,
        };
        let each = results.iter().flat_map(|source| &source.parts).map(|path| Self::of_result(path, args));
        Ok(each.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn of_result(path: &Path, args: &DriveArgs) -> Result<Vec<Self>> {
        let input = Input::read(path)?;
        Ok(match input.result()? {
            Saved::Replay(replay) => Self::replay(&replay, &input, args),
            Saved::Block(block) => vec![Self::block(&block, &input, args)],
            Saved::Fidelity(_) | Saved::Analysis(_) => {
                return Err(Error::usage(format!(
                    "{} is neither a replay nor a capture, which say what was written",
                    input.name
                )));
            }
        })
    }

    fn new(file: &str, sha256: &str, what: &str, bytes: u64, span_s: f64, args: &DriveArgs) -> Self {
        let load = args.load(span_s);
        Self {
            file: file.to_owned(),
            sha256: sha256.to_owned(),
            what: what.to_owned(),
            host_writes_bytes: bytes,
            span_s,
            drives: args.drives(None).count,
            wear: args.drives(None).wear(bytes as f64, &load),
            notes: vec![load.words()],
        }
    }

    fn trace(source: Source, args: &DriveArgs, stop: &Stop, terminal: &Terminal) -> Result<Self> {
        let file = source.name.clone();
        let summary = Summary::of(&[source], Depth::default(), stop, terminal)?;
        let bytes = summary.tiers.iter().filter(|tier| tier.tier == Tier::Storage).map(|tier| tier.flow.write_bytes);
        let sha256 = summary.inputs[0].sha256.clone();
        Ok(Self::new(&file, &sha256, "Write rows of Tier-2", bytes.sum(), summary.span_s.unwrap_or(0.0), args))
    }

    fn replay(replay: &ReplayResult, input: &Input, args: &DriveArgs) -> Vec<Self> {
        let bytes = replay.tiers.iter().filter(|tier| tier.tier == 2).map(|tier| tier.write_bytes).sum();
        // As fast as it goes says nothing of a day: the trace's own time does.
        let (span_s, of) = match replay.timing.pacing.as_str() {
            "trace" => (replay.totals.wall_s, "of the run, paced by its trace"),
            _ if replay.trace.span_s > 0.0 => (replay.trace.span_s, "of the trace, which the run did not follow"),
            _ => (replay.totals.wall_s, "of the run, which is as fast as it goes and no day's load"),
        };
        let mut all = vec![Self::new(&input.name, &input.sha256, "tier 2, as asked", bytes, span_s, args)];
        if let Some(block) = &replay.block {
            let bytes = written(block);
            all.push(Self::new(&input.name, &input.sha256, "block layer, as captured", bytes, span_s, args));
        }
        for recorded in &mut all {
            recorded.notes.push(format!("the time is that {of}"));
            if !replay.valid || !replay.complete {
                recorded.notes.push("the run is not valid or not complete".to_owned());
            }
        }
        all
    }

    fn block(block: &BlockResult, input: &Input, args: &DriveArgs) -> Self {
        let span_s = block.duration_s.unwrap_or_default();
        let mut own = Self::new(&input.name, &input.sha256, "block layer, as captured", written(block), span_s, args);
        if block.tainted {
            own.notes.push(format!("the capture is tainted: {}", block.taint_reasons.join("; ")));
        }
        if !block.histograms.iter().any(|h| h.name == "size" && h.op.as_deref() == Some("write")) {
            own.notes.push("it has no histogram of the sizes of writes".to_owned());
        }
        own
    }
}

/// Bytes of the target's writes.
fn written(block: &BlockResult) -> u64 {
    let sizes = block.histograms.iter().filter(|h| h.name == "size" && h.op.as_deref() == Some("write"));
    sizes.map(|h| u64::try_from(h.sum).unwrap_or_default()).sum()
}
