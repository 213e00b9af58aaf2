//! What a recording of KV events says: which blocks entered and left which medium, how long they
//! stayed, and which of them came back.

mod follower;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::live::{EventRecording, LiveKind, Tally};
use crate::measure::Histogram;
use crate::model::Model;
use crate::progress::Progress;
use crate::stop::Stop;

use super::series::Point;
use follower::Follower;

/// Messages between two looks at the stop flag.
const STRIDE: u64 = 1024;

/// Why events give no hit ratio, and what would.
pub const WHY_NO_HITS: &str = "KV events say what entered and left a cache, not what was looked up in it: a hit on a \
     resident block causes no event, and a load from a lower tier looks like a store. A hit ratio needs what was asked \
     for: LMCache's lookup log (lookup_hashes_*.jsonl), a request file with ids of token blocks (Mooncake, Bailian), or \
     the engine's own counters; `kvtrace analyze summary` says what the events do tell";

/// What the events of some recordings say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventSummary {
    /// [`super::ANALYSIS_SCHEMA`].
    pub schema: &'static str,
    /// `summary`.
    pub kind: &'static str,
    /// `kv-events`.
    pub of: &'static str,
    /// The tool that wrote it, with its version.
    pub tool: &'static str,
    /// What was read.
    pub inputs: Vec<EventInput>,
    /// Batches.
    pub batches: u64,
    /// Events that were understood.
    pub rows: u64,
    /// From the first batch to the last.
    pub span_s: f64,
    /// Batches whose time lies before that of one above them; they count where they stand.
    pub inversions: u64,
    /// Messages that are missing between the numbers of two of one sender; none where the
    /// recording has no numbers.
    pub lost_messages: Option<u64>,
    /// Senders (endpoints, topics, ranks) that are told apart; each has a cache of its own.
    pub senders: u64,
    /// The model, for bytes.
    pub model: Option<String>,
    /// Each kind of event and medium.
    pub by: Vec<EventGroup>,
    /// Each medium.
    pub media: Vec<Medium>,
    /// Null: hits are not in events.
    pub hits: Option<f64>,
    /// Why.
    pub hits_absent: &'static str,
    /// Fields that this version does not know, and how often they were met.
    pub unknown_fields: BTreeMap<String, u64>,
    /// What was left out, by reason.
    pub skipped: BTreeMap<String, u64>,
}

/// One recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventInput {
    /// Its path as it was typed or found.
    pub file: String,
    /// Its sha256, in hex.
    pub sha256: String,
    /// `frames` or `lines`.
    pub format: &'static str,
    /// Its batches.
    pub batches: u64,
}

/// The events of one kind and medium.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventGroup {
    /// `stored`, `removed` or `cleared`.
    pub event: &'static str,
    /// The medium; none of `cleared`, which is of all.
    pub medium: Option<String>,
    /// Events.
    pub count: u64,
    /// Blocks in them; of `cleared`, the blocks that were there.
    pub blocks: u64,
    /// Tokens of these blocks, as far as events say how many a block has.
    pub tokens: u64,
    /// Bytes of these tokens for the model that was named; none without one, or where a block's
    /// tokens are not known.
    pub bytes: Option<u64>,
}

/// What happened in one medium, all senders and groups of layers together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Medium {
    /// Its name.
    pub medium: String,
    /// The tier that it is; none for a name that is not known.
    pub tier: Option<u8>,
    /// Blocks that entered while they were not there.
    pub stored_blocks: u64,
    /// Blocks that were stored while they were there: a second copy, or chunks that overlap.
    pub stored_while_resident: u64,
    /// Blocks that left one by one.
    pub removed_blocks: u64,
    /// Blocks that left because everything was cleared.
    pub cleared_blocks: u64,
    /// Blocks that left without having been seen to enter: they were there before the recording.
    pub removed_unknown: u64,
    /// Different blocks that ever entered.
    pub distinct_blocks: u64,
    /// Blocks that entered again after they had been removed: what a larger cache would have kept.
    /// Those that came back after everything was cleared are not among them.
    pub stored_again: u64,
    /// The same in tokens, as far as their number is known.
    pub stored_again_tokens: u64,
    /// The same in bytes, for the model that was named.
    pub stored_again_bytes: Option<u64>,
    /// How long blocks stayed that left, ns.
    pub residency: Histogram,
    /// How long blocks that came back had been away, ns.
    pub away: Histogram,
    /// Most blocks at once, of those that were seen to enter.
    pub peak_blocks: u64,
    /// Blocks at the end.
    pub end_blocks: u64,
    /// Most bytes at once, for the model that was named.
    pub peak_bytes: Option<u64>,
    /// Blocks over time.
    pub occupancy: Vec<Point>,
}

impl EventSummary {
    /// Reads recordings one after the other; `model` gives bytes.
    ///
    /// # Errors
    /// When one cannot be read, or the user asked to stop.
    pub fn of<P: AsRef<Path>>(
        inputs: &[P],
        model: Option<&Model>,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut follower = Follower::new();
        let (mut unknown, mut skipped, mut facts) = (Tally::default(), Tally::default(), Vec::new());
        for input in inputs {
            let path = input.as_ref();
            let mut recording = EventRecording::open(path)?;
            progress.stage("events", None, "batches");
            let before = follower.batches;
            for received in &mut recording {
                follower.take(&received?);
                if follower.batches.is_multiple_of(STRIDE) {
                    progress.advance(STRIDE);
                    if stop.requested() {
                        let n = follower.batches;
                        return Err(Error::interrupted(format!("interrupted after {n} batches of {}", path.display())));
                    }
                }
            }
            progress.done();
            recording.unknown.counts().iter().for_each(|(what, n)| unknown.add(what, *n));
            recording.skipped.counts().iter().for_each(|(what, n)| skipped.add(what, *n));
            facts.push(EventInput {
                file: path.display().to_string(),
                sha256: recording.sha256().to_owned(),
                format: if recording.kind() == LiveKind::EventLines { "lines" } else { "frames" },
                batches: follower.batches - before,
            });
        }
        let mut summary = follower.summary(model);
        summary.inputs = facts;
        summary.unknown_fields.clone_from(unknown.counts());
        summary.skipped.clone_from(skipped.counts());
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn summary(lines: &str, model: Option<&str>) -> EventSummary {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.jsonl");
        std::fs::write(&path, lines).unwrap();
        let model = model.map(|name| Model::resolve(name, None).unwrap());
        EventSummary::of(&[&path], model.as_ref(), &Stop::new(), &Silent).unwrap()
    }

    fn stored(at: f64, blocks: &str) -> String {
        format!("[{at}, [[\"BlockStored\", {blocks}, null, [], 16, null, \"GPU\"]]]\n")
    }

    fn removed(at: f64, blocks: &str) -> String {
        format!("[{at}, [[\"BlockRemoved\", {blocks}, \"GPU\"]]]\n")
    }

    #[test]
    fn residency_and_what_came_back() {
        let lines = [
            stored(100.0, "[1, 2, 3]"),
            removed(101.0, "[1]"),
            removed(102.0, "[9]"),
            stored(104.0, "[1]"),
            stored(104.0, "[2]"),
            removed(105.0, "[2]"),
            "[110.0, [[\"AllBlocksCleared\"]]]\n".to_owned(),
            stored(111.0, "[3]"),
        ];
        let summary = summary(&lines.concat(), Some("bytes:10"));
        let gpu = &summary.media[0];
        assert_eq!((gpu.medium.as_str(), gpu.tier), ("GPU", Some(0)));
        assert_eq!((gpu.stored_blocks, gpu.stored_while_resident, gpu.distinct_blocks), (5, 1, 3));
        // One copy of 2 is still there until everything is cleared.
        assert_eq!((gpu.removed_blocks, gpu.removed_unknown, gpu.cleared_blocks), (1, 1, 3));
        assert_eq!((gpu.stored_again, gpu.stored_again_tokens, gpu.stored_again_bytes), (1, 16, Some(160)));
        assert_eq!((gpu.peak_blocks, gpu.end_blocks, gpu.peak_bytes), (3, 1, Some(480)));
        assert_eq!(
            (gpu.residency.count, gpu.residency.min, gpu.residency.max),
            (4, Some(1_000_000_000), Some(10_000_000_000))
        );
        assert_eq!((gpu.away.count, gpu.away.max), (1, Some(3_000_000_000)));
        assert_eq!((summary.batches, summary.span_s, summary.inversions), (8, 11.0, 0));
        let stored = summary.by.iter().find(|group| group.event == "stored").unwrap();
        assert_eq!((stored.count, stored.blocks, stored.bytes), (4, 6, Some(960)));
        assert_eq!(summary.hits, None);
    }

    #[test]
    fn placeholders_have_no_bytes() {
        let line = "[1.0, [[\"BlockStored\", [1], 0, [], 0, null, \"SHARED_STORAGE\"]]]\n";
        let summary = summary(line, Some("bytes:10"));
        assert_eq!((summary.media[0].tier, summary.media[0].peak_bytes, summary.by[0].bytes), (Some(2), None, None));
    }

    #[test]
    fn missing_messages_are_counted_by_sender() {
        let frame = |topic: &str, seq: u64| {
            format!(
                "{{\"topic\": \"{topic}\", \"seq\": {seq}, \"payload\": [1.0, [[\"BlockStored\", [1], null, [], 16]]]}}\n"
            )
        };
        let lines = [frame("a", 0), frame("b", 7), frame("a", 3), frame("b", 8), frame("b", 0)];
        let summary = summary(&lines.concat(), None);
        assert_eq!((summary.lost_messages, summary.senders), (Some(2), 2));
    }
}
