//! Which blocks are where, event after event.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::series::Series;
use crate::live::kv_event::{NO_MEDIUM, tier_of};
use crate::live::recording::Received;
use crate::live::{BlockHash, KvEvent, Stored};
use crate::measure::LogLinear;
use crate::model::Model;

use super::{EventGroup, EventSummary, Medium, WHY_NO_HITS};

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
pub struct Follower {
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
    /// Batches.
    pub batches: u64,
}

impl Follower {
    /// Nothing so far.
    pub fn new() -> Self {
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

    /// The next batch, in the order of the recording.
    pub fn take(&mut self, received: &Received) {
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

    /// What it all came to.
    pub fn summary(self, model: Option<&Model>) -> EventSummary {
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
        let bytes =
            |tokens: u64| bytes_per_token.filter(|_| self.tokens_known).map(|bytes| bytes.saturating_mul(tokens));
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
