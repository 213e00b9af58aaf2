//! What a recording of KV events says: which blocks entered and left which medium, how long they
//! stayed, and which of them came back.

use std::collections::BTreeMap;
use std::path::Path;

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::live::kv_event::{NO_MEDIUM, tier_of};
use crate::live::recording::Received;
use crate::live::{BlockHash, EventRecording, KvEvent, LiveKind, Stored, Tally};
use crate::measure::{Histogram, LogLinear};
use crate::model::Model;
use crate::progress::Progress;
use crate::stop::Stop;

use super::ANALYSIS_SCHEMA;
use super::series::{Point, Series};

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
    /// [`ANALYSIS_SCHEMA`].
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

/// A block in a medium of one sender.
type Place = (u32, u32, u64, BlockHash);

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Copies that are there; 0 after it left.
    copies: u32,
    tokens: u32,
    since_ns: u64,
    /// Whether it left because everything was cleared.
    cleared: bool,
}

struct MediumTally {
    medium: Medium,
    residency: LogLinear,
    away: LogLinear,
    blocks: Series,
    tokens: u64,
    peak_tokens: u64,
    tokens_known: bool,
}

/// The events so far.
struct Follower {
    senders: FxHashMap<(String, u64), u32>,
    numbers: FxHashMap<u32, u64>,
    media: Vec<MediumTally>,
    blocks: FxHashMap<Place, Entry>,
    by: BTreeMap<(&'static str, Option<String>), (u64, u64, u64)>,
    first_s: Option<f64>,
    latest_s: f64,
    inversions: u64,
    numbered: bool,
    lost: u64,
    batches: u64,
}

impl EventSummary {
    /// Reads recordings one after the other; `model` gives bytes.
    ///
    /// # Errors
    /// When one cannot be read, or the user asked to stop.
    pub fn of<P: AsRef<Path>>(inputs: &[P], model: Option<&Model>, stop: &Stop, progress: &dyn Progress) -> Result<Self> {
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

impl Follower {
    fn new() -> Self {
        Self {
            senders: FxHashMap::default(),
            numbers: FxHashMap::default(),
            media: Vec::new(),
            blocks: FxHashMap::default(),
            by: BTreeMap::new(),
            first_s: None,
            latest_s: 0.0,
            inversions: 0,
            numbered: false,
            lost: 0,
            batches: 0,
        }
    }

    fn take(&mut self, received: &Received) {
        let batch = &received.batch;
        self.batches += 1;
        let first_s = *self.first_s.get_or_insert(batch.at_s);
        self.inversions += u64::from(batch.at_s < self.latest_s);
        self.latest_s = self.latest_s.max(batch.at_s);
        let at_ns = ((self.latest_s - first_s) * 1e9) as u64;
        let next = self.senders.len() as u32;
        let from = (received.source.clone().unwrap_or_default(), batch.rank.unwrap_or(0));
        let sender = *self.senders.entry(from).or_insert(next);
        if let Some(seq) = received.seq {
            self.numbered = true;
            // A number that is not above the one before is that of an engine that began again.
            if let Some(last) = self.numbers.insert(sender, seq).filter(|last| seq > *last) {
                self.lost += seq - last - 1;
            }
        }
        for event in &batch.events {
            match event {
                KvEvent::Stored(stored) => self.stored(sender, at_ns, stored),
                KvEvent::Removed { blocks, medium, group } => {
                    self.removed(sender, at_ns, blocks, medium.as_deref(), *group);
                }
                KvEvent::Cleared => self.cleared(sender, at_ns),
            }
        }
    }

    fn medium(&mut self, name: Option<&str>) -> usize {
        let name = name.unwrap_or(NO_MEDIUM);
        let found = self.media.iter().position(|tally| tally.medium.medium == name);
        found.unwrap_or_else(|| {
            self.media.push(MediumTally::new(name));
            self.media.len() - 1
        })
    }

    fn stored(&mut self, sender: u32, at_ns: u64, stored: &Stored) {
        let medium = self.medium(stored.medium.as_deref());
        let each = if stored.block_tokens > 0 {
            stored.block_tokens
        } else {
            stored.tokens.checked_div(stored.blocks.len() as u64).unwrap_or(0)
        };
        let tokens = u32::try_from(each).unwrap_or(u32::MAX);
        let tally = &mut self.media[medium];
        tally.tokens_known &= tokens > 0;
        for block in &stored.blocks {
            let place = (sender, medium as u32, stored.group, *block);
            let fresh = Entry { copies: 0, tokens, since_ns: at_ns, cleared: true };
            let mut is_new = false;
            let entry = self.blocks.entry(place).or_insert_with(|| {
                is_new = true;
                fresh
            });
            tally.medium.distinct_blocks += u64::from(is_new);
            if entry.copies > 0 {
                tally.medium.stored_while_resident += 1;
                entry.copies = entry.copies.saturating_add(1);
                continue;
            }
            if !entry.cleared {
                tally.medium.stored_again += 1;
                tally.medium.stored_again_tokens += u64::from(tokens);
                tally.away.record(at_ns.saturating_sub(entry.since_ns));
            }
            *entry = Entry { copies: 1, tokens, since_ns: at_ns, cleared: false };
            tally.medium.stored_blocks += 1;
            tally.enter(at_ns, tokens);
        }
        let blocks = stored.blocks.len() as u64;
        self.note("stored", Some(medium), blocks, blocks * u64::from(tokens));
    }

    fn removed(&mut self, sender: u32, at_ns: u64, blocks: &[BlockHash], medium: Option<&str>, group: u64) {
        let medium = self.medium(medium);
        let tally = &mut self.media[medium];
        let mut tokens = 0;
        for block in blocks {
            let entry = self.blocks.get_mut(&(sender, medium as u32, group, *block)).filter(|entry| entry.copies > 0);
            let Some(entry) = entry else {
                tally.medium.removed_unknown += 1;
                continue;
            };
            tokens += u64::from(entry.tokens);
            entry.copies -= 1;
            if entry.copies == 0 {
                tally.medium.removed_blocks += 1;
                tally.leave(at_ns, entry);
            }
        }
        self.note("removed", Some(medium), blocks.len() as u64, tokens);
    }

    fn cleared(&mut self, sender: u32, at_ns: u64) {
        let (mut blocks, mut tokens) = (0, 0);
        for (place, entry) in &mut self.blocks {
            if place.0 != sender || entry.copies == 0 {
                continue;
            }
            let tally = &mut self.media[place.1 as usize];
            tally.medium.cleared_blocks += 1;
            (blocks, tokens) = (blocks + 1, tokens + u64::from(entry.tokens));
            entry.copies = 0;
            entry.cleared = true;
            tally.leave(at_ns, entry);
        }
        self.note("cleared", None, blocks, tokens);
    }

    fn note(&mut self, event: &'static str, medium: Option<usize>, blocks: u64, tokens: u64) {
        let medium = medium.map(|n| self.media[n].medium.medium.clone());
        let group = self.by.entry((event, medium)).or_default();
        *group = (group.0 + 1, group.1 + blocks, group.2 + tokens);
    }

    fn summary(self, model: Option<&Model>) -> EventSummary {
        let per_token = model.map(Model::bytes_per_token);
        let known = |medium: &Option<String>| {
            let mut of = self.media.iter().filter(|t| medium.as_ref().is_none_or(|m| *m == t.medium.medium));
            of.all(|tally| tally.tokens_known)
        };
        let bytes = |tokens: u64, known: bool| per_token.filter(|_| known).map(|bytes| bytes.saturating_mul(tokens));
        let by = self.by.iter().map(|((event, medium), (count, blocks, tokens))| EventGroup {
            event,
            medium: medium.clone(),
            count: *count,
            blocks: *blocks,
            tokens: *tokens,
            bytes: bytes(*tokens, known(medium)),
        });
        EventSummary {
            schema: ANALYSIS_SCHEMA,
            kind: "summary",
            of: "kv-events",
            tool: crate::TOOL,
            inputs: Vec::new(),
            batches: self.batches,
            rows: self.by.values().map(|group| group.0).sum(),
            span_s: self.first_s.map_or(0.0, |first| self.latest_s - first),
            inversions: self.inversions,
            lost_messages: self.numbered.then_some(self.lost),
            senders: self.senders.len() as u64,
            model: model.map(|model| model.name.clone()),
            by: by.collect(),
            media: self.media.iter().map(|tally| tally.finished(per_token)).collect(),
            hits: None,
            hits_absent: WHY_NO_HITS,
            unknown_fields: BTreeMap::new(),
            skipped: BTreeMap::new(),
        }
    }
}

impl MediumTally {
    fn new(name: &str) -> Self {
        let (residency, away) = (LogLinear::times(), LogLinear::times());
        let medium = Medium {
            medium: name.to_owned(),
            tier: tier_of(name),
            stored_blocks: 0,
            stored_while_resident: 0,
            removed_blocks: 0,
            cleared_blocks: 0,
            removed_unknown: 0,
            distinct_blocks: 0,
            stored_again: 0,
            stored_again_tokens: 0,
            stored_again_bytes: None,
            residency: residency.save("residency", None, "ns"),
            away: away.save("away", None, "ns"),
            peak_blocks: 0,
            end_blocks: 0,
            peak_bytes: None,
            occupancy: Vec::new(),
        };
        Self { medium, residency, away, blocks: Series::default(), tokens: 0, peak_tokens: 0, tokens_known: true }
    }

    fn enter(&mut self, at_ns: u64, tokens: u32) {
        self.blocks.set(at_ns, self.blocks.level() + 1);
        self.tokens += u64::from(tokens);
        self.peak_tokens = self.peak_tokens.max(self.tokens);
    }

    fn leave(&mut self, at_ns: u64, entry: &mut Entry) {
        self.residency.record(at_ns.saturating_sub(entry.since_ns));
        entry.since_ns = at_ns;
        self.blocks.set(at_ns, self.blocks.level().saturating_sub(1));
        self.tokens = self.tokens.saturating_sub(entry.tokens.into());
    }

    fn finished(&self, bytes_per_token: Option<u64>) -> Medium {
        let bytes = |tokens: u64| bytes_per_token.filter(|_| self.tokens_known).map(|bytes| bytes.saturating_mul(tokens));
        Medium {
            residency: self.residency.save("residency", None, "ns"),
            away: self.away.save("away", None, "ns"),
            peak_blocks: self.blocks.peak(),
            end_blocks: self.blocks.level(),
            peak_bytes: bytes(self.peak_tokens),
            stored_again_bytes: bytes(self.medium.stored_again_tokens),
            occupancy: self.blocks.points(),
            ..self.medium.clone()
        }
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
        assert_eq!((gpu.residency.count, gpu.residency.min, gpu.residency.max), (4, Some(1_000_000_000), Some(10_000_000_000)));
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
            format!("{{\"topic\": \"{topic}\", \"seq\": {seq}, \"payload\": [1.0, [[\"BlockStored\", [1], null, [], 16]]]}}\n")
        };
        let lines = [frame("a", 0), frame("b", 7), frame("a", 3), frame("b", 8), frame("b", 0)];
        let summary = summary(&lines.concat(), None);
        assert_eq!((summary.lost_messages, summary.senders), (Some(2), 2));
    }
}
