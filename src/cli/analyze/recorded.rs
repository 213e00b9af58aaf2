//! Host writes as they were recorded: by a trace, a replay, a capture.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;

use crate::analyze::endurance::Wear;
use crate::analyze::summary::Summary;
use crate::error::{Error, Result};
use crate::measure::block::BLOCK_SCHEMA;
use crate::measure::replay::REPLAY_SCHEMA;
use crate::measure::{BlockResult, Input, ReplayResult, Saved};
use crate::stop::Stop;
use crate::trace::Tier;

use super::drives::DriveArgs;
use crate::cli::terminal::Terminal;

/// How much of a file tells what it is.
const HEAD_BYTES: u64 = 4096;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// A JSON result of ours.
    Result,
    /// A trace.
    Trace,
    /// Something else: requests.
    No,
}

/// The first bytes of a file, decompressed.
///
/// # Errors
/// When it cannot be read.
pub fn head(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(bytes).read_to_end(&mut head)?;
    if head.starts_with(&zstd::zstd_safe::MAGICNUMBER.to_le_bytes()) {
        head.clear();
        zstd::Decoder::new(File::open(path)?)?.take(bytes).read_to_end(&mut head)?;
    }
    Ok(head)
}

/// Whether a file is a recording of I/O, by its first bytes.
///
/// # Errors
/// When it cannot be read.
pub fn recording(path: &Path) -> Result<Recording> {
    if !path.is_file() {
        return Ok(Recording::No);
    }
    let head = head(path, HEAD_BYTES).map_err(|e| Error::reading(path, &e))?;
    let text = String::from_utf8_lossy(&head);
    let ours = [REPLAY_SCHEMA, BLOCK_SCHEMA].iter().any(|schema| text.contains(&format!("\"{schema}\"")));
    Ok(match () {
        () if text.trim_start().starts_with('{') && ours => Recording::Result,
        () if head.starts_with(b"PAR1") || text.contains("Object_Size_Bytes") => Recording::Trace,
        () => Recording::No,
    })
}

impl Recorded {
    /// Everything that a recording says of writes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path, args: &DriveArgs, stop: &Stop, terminal: &Terminal) -> Result<Vec<Self>> {
        if recording(path)? == Recording::Trace {
            return Ok(vec![Self::trace(path, args, stop, terminal)?]);
        }
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

    fn trace(path: &Path, args: &DriveArgs, stop: &Stop, terminal: &Terminal) -> Result<Self> {
        let summary = Summary::of_files(&[path], stop, terminal)?;
        let bytes = summary.tiers.iter().filter(|tier| tier.tier == Tier::Storage).map(|tier| tier.flow.write_bytes);
        let (file, sha256) = (path.display().to_string(), summary.inputs[0].sha256.clone());
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
