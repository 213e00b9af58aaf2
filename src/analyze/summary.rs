//! What a trace asks for, in one table: rows and bytes by tier, direction and phase, and who asked.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::{Op, Phase, Record, Tier, TraceReader};

use super::ANALYSIS_SCHEMA;

/// Rows between two looks at the stop flag.
const STRIDE: u64 = 8192;

/// The summary of one or more traces.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// [`ANALYSIS_SCHEMA`].
    pub schema: &'static str,
    /// `summary`.
    pub kind: &'static str,
    /// The tool that wrote it, with its version.
    pub tool: &'static str,
    /// What was read.
    pub inputs: Vec<InputFacts>,
    /// Rows of all inputs.
    pub rows: u64,
    /// Time from the first row to the last; of several inputs, which count as running side by
    /// side, the longest.
    pub span_s: f64,
    /// Different keys, added up over the inputs.
    pub keys: u64,
    /// Different conversations, added up over the inputs; none when no row says.
    pub conversations: Option<u64>,
    /// Different requests, added up over the inputs; none when no row says.
    pub requests: Option<u64>,
    /// All tiers together.
    pub total: Flow,
    /// Each tier that is asked.
    pub tiers: Vec<TierFlow>,
    /// Each combination that occurs, in file order of the words.
    pub by: Vec<Group>,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputFacts {
    /// Its path as it was typed.
    pub file: String,
    /// Its sha256, in hex.
    pub sha256: String,
    /// Its seed, if it says.
    pub seed: Option<u64>,
    /// Its model, if it says.
    pub model: Option<String>,
    /// Its rows.
    pub rows: u64,
    /// Its time from the first row to the last.
    pub span_s: f64,
    /// Rows that were out of time order, of a foreign trace.
    pub inversions: Option<u64>,
}

/// Bytes in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Flow {
    /// Bytes of Read rows.
    pub read_bytes: u64,
    /// Bytes of Write rows.
    pub write_bytes: u64,
    /// Bytes read for each byte written; none when nothing is written.
    pub read_write_ratio: Option<f64>,
    /// Bytes read and written per second of the trace, in units of 1e9 bytes; none without a
    /// time span.
    pub offered_gb_per_s: Option<f64>,
}

/// Bytes in both directions of one tier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TierFlow {
    /// Which tier.
    pub tier: Tier,
    /// Its bytes.
    #[serde(flatten)]
    pub flow: Flow,
}

/// The rows of one tier, direction and phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Which tier.
    pub tier: Tier,
    /// The direction.
    pub op: Op,
    /// Why.
    pub phase: Phase,
    /// Rows.
    pub count: u64,
    /// Bytes of all rows.
    pub bytes: u64,
    /// The smallest object.
    pub min_bytes: u64,
    /// The mean object.
    pub mean_bytes: f64,
    /// The largest object.
    pub max_bytes: u64,
}

impl Summary {
    /// Reads the traces once, one after the other.
    ///
    /// # Errors
    /// When one cannot be read or the user asked to stop.
    pub fn of<P: AsRef<Path>>(inputs: &[P], stop: &Stop, progress: &dyn Progress) -> Result<Self> {
        let mut groups = BTreeMap::new();
        let mut seen = Seen::default();
        let mut facts = Vec::new();
        for input in inputs {
            facts.push(read(input.as_ref(), &mut groups, &mut seen, stop, progress)?);
        }
        let span_s = facts.iter().map(|input| input.span_s).fold(0.0, f64::max);
        let by: Vec<Group> = groups.into_values().collect();
        let tiers = Tier::ALL.into_iter().filter(|tier| by.iter().any(|group| group.tier == *tier));
        Ok(Self {
            schema: ANALYSIS_SCHEMA,
            kind: "summary",
            tool: crate::TOOL,
            rows: facts.iter().map(|input| input.rows).sum(),
            inputs: facts,
            span_s,
            keys: seen.keys,
            conversations: (seen.conversations > 0).then_some(seen.conversations),
            requests: (seen.requests > 0).then_some(seen.requests),
            total: Flow::of(by.iter(), span_s),
            tiers: tiers
                .map(|tier| TierFlow { tier, flow: Flow::of(by.iter().filter(|group| group.tier == tier), span_s) })
                .collect(),
            by,
        })
    }
}

type Groups = BTreeMap<(Tier, Op, Phase), Group>;

fn read(path: &Path, groups: &mut Groups, seen: &mut Seen, stop: &Stop, progress: &dyn Progress) -> Result<InputFacts> {
    let mut reader = TraceReader::open(path)?;
    progress.stage("summary", reader.meta().rows, "rows");
    let mut rows = 0u64;
    let mut span: Option<(i64, i64)> = None;
    let mut names = Names::default();
    for record in &mut reader {
        let record = record?;
        rows += 1;
        span = Some((span.map_or(record.at_ns, |(first, _)| first), record.at_ns));
        names.add(&record);
        let key = (record.tier, record.op, record.phase);
        groups.entry(key).or_insert_with(|| Group::new(&record)).add(&record)?;
        if rows.is_multiple_of(STRIDE) {
            progress.advance(STRIDE);
            if stop.requested() {
                return Err(Error::interrupted(format!("interrupted after {rows} rows of {}", path.display())));
            }
        }
    }
    progress.done();
    seen.add(&names);
    let meta = reader.meta();
    Ok(InputFacts {
        file: path.display().to_string(),
        sha256: reader.sha256().to_owned(),
        seed: meta.seed,
        model: meta.model.as_ref().map(|model| model.name.clone()),
        rows,
        span_s: span.map_or(0.0, |(first, last)| (last - first) as f64 / 1e9),
        inversions: meta.inversions,
    })
}

impl Group {
    fn new(record: &Record) -> Self {
        let Record { tier, op, phase, .. } = *record;
        Self { tier, op, phase, count: 0, bytes: 0, min_bytes: u64::MAX, mean_bytes: 0.0, max_bytes: 0 }
    }

    fn add(&mut self, record: &Record) -> Result<()> {
        let size = record.size_bytes;
        self.count += 1;
        self.bytes = self.bytes.checked_add(size).ok_or_else(|| {
            Error::usage(format!(
                "the objects of {} {} add up to more than 2^64 bytes; the sizes are wrong",
                self.tier, self.op
            ))
        })?;
        self.min_bytes = self.min_bytes.min(size);
        self.max_bytes = self.max_bytes.max(size);
        self.mean_bytes = self.bytes as f64 / self.count as f64;
        Ok(())
    }
}

impl Flow {
    fn of<'a>(groups: impl Iterator<Item = &'a Group>, span_s: f64) -> Self {
        let (mut read_bytes, mut write_bytes) = (0u64, 0u64);
        for group in groups {
            match group.op {
                Op::Read => read_bytes = read_bytes.saturating_add(group.bytes),
                Op::Write => write_bytes = write_bytes.saturating_add(group.bytes),
                Op::Delete => {}
            }
        }
        let moved = read_bytes as f64 + write_bytes as f64;
        Self {
            read_bytes,
            write_bytes,
            read_write_ratio: (write_bytes > 0).then(|| read_bytes as f64 / write_bytes as f64),
            offered_gb_per_s: (span_s > 0.0).then(|| moved / 1e9 / span_s),
        }
    }
}

/// Different names over all inputs.
#[derive(Default)]
struct Seen {
    keys: u64,
    conversations: u64,
    requests: u64,
}

impl Seen {
    fn add(&mut self, names: &Names) {
        self.keys += names.keys.len() as u64;
        self.conversations += names.conversations.len() as u64;
        self.requests += names.requests.len() as u64;
    }
}

/// The names that one input uses. Of a text only 128 bits of hash are kept, so memory is 16 bytes
/// a name however long names are; two names in one place are out of the question.
#[derive(Default)]
struct Names {
    keys: HashSet<u128>,
    conversations: HashSet<u128>,
    requests: HashSet<u64>,
    /// The conversation of the last row; runs of rows share it.
    last: Option<Arc<str>>,
}

impl Names {
    fn add(&mut self, record: &Record) {
        self.keys.insert(fingerprint(&record.key));
        if self.last != record.conversation {
            self.conversations.extend(record.conversation.as_deref().map(fingerprint));
            self.last.clone_from(&record.conversation);
        }
        self.requests.extend(record.request);
    }
}

fn fingerprint(text: &str) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, text).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn summary(rows: &str) -> Summary {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let header = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase,Request,Conversation,Turn,Tokens";
        std::fs::write(&path, format!("{header}\n{rows}")).unwrap();
        Summary::of(&[&path, &path], &Stop::new(), &Silent).unwrap()
    }

    #[test]
    fn rows_and_bytes_by_tier_direction_and_phase() {
        let rows = "0,Write,100,Tier-2,a,Prefill,1,c,1,\n1,Write,300,Tier-2,b,Prefill,2,c,2,\n2,Read,300,Tier-2,b,Decode,2,c,2,\n\
                    2,Delete,100,Tier-2,a,Evict,,,,\n";
        let summary = summary(rows);
        assert_eq!((summary.rows, summary.span_s, summary.keys), (8, 2.0, 4));
        assert_eq!((summary.conversations, summary.requests), (Some(2), Some(4)));
        assert_eq!(summary.total.read_write_ratio, Some(0.75));
        assert_eq!(summary.total.offered_gb_per_s, Some(1400.0 / 1e9 / 2.0));
        let write = summary.by.iter().find(|group| group.op == Op::Write).unwrap();
        assert_eq!((write.count, write.bytes, write.min_bytes, write.max_bytes), (4, 800, 100, 300));
        assert_eq!(write.mean_bytes, 200.0);
        assert_eq!(summary.by.len(), 3);
    }

    #[test]
    fn an_empty_trace_offers_nothing() {
        let summary = summary("");
        assert_eq!((summary.rows, summary.by.len(), summary.total), (0, 0, Flow::default()));
    }
}
