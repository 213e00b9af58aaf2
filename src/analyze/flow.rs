//! What became of one request or one conversation: its rows in their order, turn by turn, with what
//! others did to its objects.

use std::path::Path;

use rustc_hash::FxHashSet;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::{Op, Phase, Record, RequestRow, RequestsReader, Tier, TraceReader};

use super::ANALYSIS_SCHEMA;

/// Rows between two looks at the stop flag.
const STRIDE: u64 = 8192;
/// Conversations that a message names.
const NAMED: usize = 5;

/// Whose rows are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those that a request caused.
    Request(u64),
    /// Those that a conversation caused, and those on its objects.
    Conversation(String),
}

/// The flow of a request or a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flow {
    /// [`ANALYSIS_SCHEMA`].
    pub schema: &'static str,
    /// `flow`.
    pub kind: &'static str,
    /// The tool that wrote it, with its version.
    pub tool: &'static str,
    /// The trace.
    pub file: String,
    /// Its sha256, in hex.
    pub sha256: String,
    /// The request that was asked for.
    pub request: Option<u64>,
    /// The conversation that was asked for, or of that request.
    pub conversation: Option<String>,
    /// What happened, turn by turn.
    pub turns: Vec<Turn>,
    /// Events.
    pub rows: u64,
    /// Events that are left out of `turns` because there are more than were asked for.
    pub left_out: u64,
    /// Bytes read, written, moved to make room and deleted; left-out events included.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Objects of the conversation that were moved to a slower tier.
    pub demotions: u64,
    /// Objects of the conversation that were deleted.
    pub deletes: u64,
}

/// What happened from one turn to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Turn {
    /// The turn, from 1; none for rows that do not say.
    pub turn: Option<u32>,
    /// Its request.
    pub request: Option<u64>,
    /// Who asked, where a requests file says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// What happened.
    pub events: Vec<Event>,
}

/// What a request was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// When it arrived, seconds since the start of the trace.
    pub arrival_s: f64,
    /// Prompt tokens.
    pub context_tokens: u32,
    /// Generated tokens.
    pub generate_tokens: u32,
    /// Objects found.
    pub hits: u32,
    /// Objects missing.
    pub misses: u32,
}

/// One thing that happened; a demotion or promotion is one, though it is two rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Seconds since the start of the trace.
    pub at_s: f64,
    /// `read`, `write`, `demote`, `promote`, `delete`.
    pub event: &'static str,
    /// The tier.
    pub tier: Tier,
    /// Where a demotion or promotion goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Tier>,
    /// The object's size.
    pub size_bytes: u64,
    /// Why.
    pub phase: Phase,
    /// The object.
    pub key: String,
    /// Whether the object is somebody else's (who made room), or somebody else did it (`other`); none
    /// where it is all of one conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<&'static str>,
}

struct Follower<'a> {
    whose: &'a Whose,
    keys: FxHashSet<String>,
    flow: Flow,
    most: usize,
    /// A Read row that may be the first of a pair.
    waiting: Option<(Record, Option<&'static str>)>,
    /// Some conversations that there are.
    others: Vec<String>,
}

impl Flow {
    /// Reads a trace, and keeps up to `most` events.
    ///
    /// # Errors
    /// When it cannot be read, holds nothing of what was asked for, or the user asked to stop.
    pub fn of(path: &Path, whose: &Whose, most: usize, stop: &Stop, progress: &dyn Progress) -> Result<Self> {
        let mut reader = TraceReader::open_until(path, stop)?;
        progress.stage("flow", reader.meta().rows, "rows");
        let requests = RequestsReader::beside(path, reader.meta())?;
        let flow = Self::empty(path, reader.sha256(), whose);
        let keys = FxHashSet::default();
        let mut follower = Follower { whose, keys, flow, most, waiting: None, others: Vec::new() };
        for (place, record) in (1u64..).zip(&mut reader) {
            follower.take(record?);
            if place.is_multiple_of(STRIDE) {
                progress.advance(STRIDE);
                if stop.requested() {
                    return Err(Error::interrupted(format!("interrupted after {place} rows of {}", path.display())));
                }
            }
        }
        progress.done();
        let mut flow = follower.finished()?;
        if let Some(requests) = requests {
            flow.ask(requests)?;
        }
        Ok(flow)
    }

    fn empty(path: &Path, sha256: &str, whose: &Whose) -> Self {
        let (request, conversation) = match whose {
            Whose::Request(request) => (Some(*request), None),
            Whose::Conversation(name) => (None, Some(name.clone())),
        };
        Self {
            schema: ANALYSIS_SCHEMA,
            kind: "flow",
            tool: crate::TOOL,
            file: path.display().to_string(),
            sha256: sha256.to_owned(),
            request,
            conversation,
            turns: Vec::new(),
            rows: 0,
            left_out: 0,
            read_bytes: 0,
            write_bytes: 0,
            demotions: 0,
            deletes: 0,
        }
    }

    fn ask(&mut self, requests: RequestsReader) -> Result<()> {
        for row in requests {
            let row = row?;
            let turns = self.turns.iter_mut().filter(|turn| turn.request == Some(row.request));
            turns.for_each(|turn| turn.asked = Some(Asked::of(&row)));
        }
        Ok(())
    }
}

impl Asked {
    fn of(row: &RequestRow) -> Self {
        Self {
            arrival_s: row.arrival_ns as f64 / 1e9,
            context_tokens: row.context_tokens,
            generate_tokens: row.generate_tokens,
            hits: row.hits,
            misses: row.misses,
        }
    }
}

impl Follower<'_> {
    fn take(&mut self, record: Record) {
        let other = self.other(&record);
        // The second row of a pair follows the first at once.
        if let Some((read, of)) = self.waiting.take() {
            let is_pair = record.op == Op::Write
                && (&record.key, record.at_ns, record.phase) == (&read.key, read.at_ns, read.phase)
                && record.tier != read.tier;
            if is_pair {
                let event = if record.tier > read.tier { "demote" } else { "promote" };
                return self.push(&read, event, Some(record.tier), of);
            }
            self.push(&read, "read", None, of);
        }
        let Some(other) = other else { return };
        match record.op {
            Op::Read if record.phase != Phase::Prefill => self.waiting = Some((record, other)),
            Op::Read => self.push(&record, "read", None, other),
            Op::Write => self.push(&record, "write", None, other),
            Op::Delete => self.push(&record, "delete", None, other),
        }
    }

    /// None where the row is not wanted; else what of it is somebody else's.
    fn other(&mut self, record: &Record) -> Option<Option<&'static str>> {
        match self.whose {
            Whose::Request(request) => {
                let wanted = record.request == Some(*request);
                if wanted && self.flow.conversation.is_none() {
                    self.flow.conversation = record.conversation.as_deref().map(str::to_owned);
                }
                wanted.then_some(None)
            }
            Whose::Conversation(name) => {
                let key = key_conversation(&record.key);
                let named = record.conversation.as_deref().or(key);
                let by_us = record.conversation.as_deref() == Some(name);
                let of_us = key == Some(name) || self.keys.contains(&*record.key);
                if by_us && record.op == Op::Write && record.phase == Phase::Prefill {
                    self.keys.insert(record.key.to_string());
                }
                if let Some(named) = named.filter(|_| self.others.len() < NAMED)
                    && !self.others.iter().any(|other| other == named)
                {
                    self.others.push(named.to_owned());
                }
                match (by_us, of_us || by_us && record.phase != Phase::Evict) {
                    (true, true) => Some(None),
                    (true, false) => Some(Some("object of others")),
                    (false, true) if record.conversation.is_some() => Some(Some("by others")),
                    (false, true) => Some(None),
                    (false, false) => None,
                }
            }
        }
    }

    fn push(&mut self, record: &Record, event: &'static str, to: Option<Tier>, other: Option<&'static str>) {
        let flow = &mut self.flow;
        flow.rows += 1;
        let size = record.size_bytes;
        let (read, write) = (event != "write" && event != "delete", event != "read" && event != "delete");
        flow.read_bytes = flow.read_bytes.saturating_add(if read { size } else { 0 });
        flow.write_bytes = flow.write_bytes.saturating_add(if write { size } else { 0 });
        let ours = other != Some("object of others");
        flow.demotions += u64::from(ours && event == "demote");
        flow.deletes += u64::from(ours && event == "delete");
        if flow.rows as usize > self.most {
            flow.left_out += 1;
            return;
        }
        let by_us = other != Some("by others");
        let turn = if by_us { record.turn.or_else(|| key_turn(&record.key)) } else { None };
        let request = record.request.filter(|_| by_us);
        let starts = flow.turns.last().is_none_or(|last| by_us && (request, turn) != (last.request, last.turn));
        let goes_on = record.request.is_none() && record.phase != Phase::Prefill && !flow.turns.is_empty();
        if starts && !goes_on {
            flow.turns.push(Turn { turn, request, ..Turn::default() });
        }
        let Some(last) = flow.turns.last_mut() else { return };
        last.events.push(Event {
            at_s: record.at_ns as f64 / 1e9,
            event,
            tier: record.tier,
            to,
            size_bytes: size,
            phase: record.phase,
            key: record.key.to_string(),
            other,
        });
    }

    fn finished(mut self) -> Result<Flow> {
        if let Some((read, other)) = self.waiting.take() {
            self.push(&read, "read", None, other);
        }
        if self.flow.rows > 0 {
            return Ok(self.flow);
        }
        let file = &self.flow.file;
        Err(Error::usage(match self.whose {
            Whose::Request(request) => format!(
                "no row of {file} says that request {request} caused it; requests are numbered in the column Request, which a \
                 six-column trace has not"
            ),
            Whose::Conversation(name) => {
                let named = self.others.join(", ");
                let there = if named.is_empty() {
                    "no row names one".to_owned()
                } else {
                    format!("there are {named} and so on")
                };
                format!("no row of {file} is of the conversation `{name}`; {there}")
            }
        }))
    }
}

/// The conversation that a key names: `conv_NAME_turn_3`.
fn key_conversation(key: &str) -> Option<&str> {
    key.strip_prefix("conv_")?.rsplit_once("_turn_").map(|(name, _)| name)
}

fn key_turn(key: &str) -> Option<u32> {
    key.strip_prefix("conv_")?.rsplit_once("_turn_")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    const ROWS: &str = "0,Write,10,Tier-0,conv_a_turn_1,Prefill,1,a,1,\n1,Write,20,Tier-0,conv_b_turn_1,Prefill,2,b,1,\n\
        2,Read,10,Tier-0,conv_a_turn_1,Evict,3,b,2,\n2,Write,10,Tier-2,conv_a_turn_1,Evict,3,b,2,\n\
        2,Write,20,Tier-0,conv_b_turn_2,Prefill,3,b,2,\n3,Read,10,Tier-2,conv_a_turn_1,Decode,4,a,2,\n\
        3,Write,5,Tier-0,conv_a_turn_2,Prefill,4,a,2,\n4,Delete,10,Tier-2,conv_a_turn_1,Evict,,,,\n";

    fn flow(whose: Whose, most: usize) -> Result<Flow> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let header = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase,Request,Conversation,Turn,Tokens";
        std::fs::write(&path, format!("{header}\n{ROWS}")).unwrap();
        Flow::of(&path, &whose, most, &Stop::new(), &Silent)
    }

    fn events(flow: &Flow) -> Vec<Vec<(&'static str, Option<&'static str>)>> {
        flow.turns.iter().map(|turn| turn.events.iter().map(|event| (event.event, event.other)).collect()).collect()
    }

    #[test]
    fn a_conversation_with_what_others_did_to_its_objects() {
        let flow = flow(Whose::Conversation("a".to_owned()), 100).unwrap();
        assert_eq!(
            events(&flow),
            [
                vec![("write", None), ("demote", Some("by others"))],
                vec![("read", None), ("write", None), ("delete", None)],
            ]
        );
        assert_eq!((flow.turns[1].turn, flow.turns[1].request), (Some(2), Some(4)));
        assert_eq!((flow.demotions, flow.deletes, flow.rows, flow.left_out), (1, 1, 5, 0));
        assert_eq!(flow.turns[0].events[1].to, Some(Tier::Storage));
    }

    #[test]
    fn a_request_with_the_room_that_it_made() {
        let flow = flow(Whose::Request(3), 1).unwrap();
        assert_eq!((flow.conversation.as_deref(), flow.rows, flow.left_out), (Some("b"), 2, 1));
        assert_eq!(events(&flow), [[("demote", None)]]);
    }

    #[test]
    fn nothing_is_an_error_that_says_what_there_is() {
        let why = flow(Whose::Conversation("x".to_owned()), 9).unwrap_err().to_string();
        assert!(why.contains("`x`") && why.contains("a, b"), "{why}");
        assert!(flow(Whose::Request(99), 9).unwrap_err().to_string().contains("request 99"));
    }
}
