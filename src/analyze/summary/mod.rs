//! What a trace asks for, in one table: rows and bytes by tier, direction and phase, who asked, how
//! evenly, and how full the tiers become.

pub mod distinct;
mod follower;
pub mod groups;
mod occupancy;
mod rates;
mod read;
mod scan;

use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::measure::Histogram;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::trace::{Op, Phase, Tier};

use super::ANALYSIS_SCHEMA;
use super::inputs::Source;
use distinct::STANDARD_ERROR;

pub use follower::{Arrivals, Turns};
pub use groups::Group;
pub use occupancy::TierOccupancy;
pub use rates::{Burstiness, Rates};

/// How much is summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Different keys are estimated, in little memory, instead of counted.
    pub approx: bool,
    /// Only rows and bytes by tier, direction and phase.
    pub brief: bool,
}

/// The summary of one or more traces.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// [`ANALYSIS_SCHEMA`].
    pub schema: &'static str,
    /// `summary`.
    pub kind: &'static str,
    /// `trace`.
    pub of: &'static str,
    /// The tool that wrote it, with its version.
    pub tool: &'static str,
    /// What was read.
    pub inputs: Vec<InputFacts>,
    /// Rows of all inputs.
    pub rows: u64,
    /// Time from the first row to the last; of several inputs, which count as running side by
    /// side, the longest. None when only groups were asked for.
    pub span_s: Option<f64>,
    /// Different keys, added up over the inputs; none when only groups were asked for.
    pub keys: Option<u64>,
    /// The relative standard error of `keys`, when they are an estimate.
    pub keys_error: Option<f64>,
    /// Different conversations, added up over the inputs; none when no row says.
    pub conversations: Option<u64>,
    /// Different requests, added up over the inputs; none when no row says.
    pub requests: Option<u64>,
    /// All tiers together.
    pub total: Flow,
    /// Each tier that is asked.
    pub tiers: Vec<TierFlow>,
    /// What a byte of new data costs.
    pub amplification: Amplification,
    /// Each combination that occurs, in file order of the words.
    pub by: Vec<Group>,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputFacts {
    /// Its path as it was typed or found.
    pub file: String,
    /// The files that it consists of.
    pub parts: u64,
    /// Its sha256, in hex; of several parts, that of their sums one after the other.
    pub sha256: String,
    /// Its seed, if it says.
    pub seed: Option<u64>,
    /// Its model, if it says.
    pub model: Option<String>,
    /// Its rows.
    pub rows: u64,
    /// Its time from the first row to the last; none when only groups were asked for.
    pub span_s: Option<f64>,
    /// Rows that were out of time order, of a foreign trace. They are put in order, in a trace of
    /// several parts only where they stand.
    pub inversions: Option<u64>,
    /// The sizes of what is read and of what is written; none when only groups were asked for,
    /// like everything below.
    pub sizes: Option<Vec<Histogram>>,
    /// The most bytes, all tiers and directions, in one second of the trace, in units of 1e9 bytes.
    pub peak_second_gb: Option<f64>,
    /// How evenly rows and requests come.
    pub burstiness: Option<Vec<Arrivals>>,
    /// How long conversations are; none when no row says.
    pub turns: Option<Turns>,
    /// How full each tier was.
    pub occupancy: Option<Vec<TierOccupancy>>,
    /// Whether there are Delete rows. Without them nothing ever leaves the last tier, whose
    /// occupancy is then an upper bound.
    pub deletes: bool,
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

/// What the tiers move for each byte that is new (Write rows of the phase Prefill, as often as they
/// are written through). None where nothing is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Amplification {
    /// New bytes.
    pub new_bytes: u64,
    /// Bytes written to any tier.
    pub written: Option<f64>,
    /// Bytes written to storage.
    pub written_to_storage: Option<f64>,
    /// Bytes read from any tier.
    pub read: Option<f64>,
    /// Bytes read from storage.
    pub read_from_storage: Option<f64>,
    /// Bytes read and written to make room.
    pub evicted: Option<f64>,
}

impl Summary {
    /// Reads the traces once, one after the other.
    ///
    /// # Errors
    /// When one cannot be read or the user asked to stop.
    pub fn of(sources: &[Source], depth: Depth, stop: &Stop, progress: &dyn Progress) -> Result<Self> {
        let mut groups = groups::Groups::default();
        let mut facts = Vec::new();
        let (mut keys, mut conversations, mut requests) = (0, 0, 0);
        for source in sources {
            let read = read::read(source, depth, stop, progress)?;
            groups.merge(&read.groups);
            keys += read.keys;
            conversations += read.conversations;
            requests += read.requests;
            facts.push(read.facts);
        }
        let longest = facts.iter().filter_map(|input| input.span_s).fold(0.0, f64::max);
        let by = groups.groups()?;
        let tiers = Tier::ALL.into_iter().filter(|tier| by.iter().any(|group| group.tier == *tier));
        Ok(Self {
            schema: ANALYSIS_SCHEMA,
            kind: "summary",
            of: "trace",
            tool: crate::TOOL,
            rows: groups.rows(),
            inputs: facts,
            span_s: (!depth.brief).then_some(longest),
            keys: (!depth.brief).then_some(keys),
            keys_error: (depth.approx && !depth.brief).then_some(STANDARD_ERROR),
            conversations: (conversations > 0).then_some(conversations),
            requests: (requests > 0).then_some(requests),
            total: Flow::of(by.iter(), longest),
            tiers: tiers
                .map(|tier| TierFlow { tier, flow: Flow::of(by.iter().filter(|group| group.tier == tier), longest) })
                .collect(),
            amplification: Amplification::of(&by),
            by,
        })
    }

    /// The summary of single files.
    ///
    /// # Errors
    /// As [`Summary::of`].
    pub fn of_files<P: AsRef<Path>>(files: &[P], stop: &Stop, progress: &dyn Progress) -> Result<Self> {
        let source =
            |path: &P| Source { name: path.as_ref().display().to_string(), parts: vec![path.as_ref().to_owned()] };
        Self::of(&files.iter().map(source).collect::<Vec<_>>(), Depth::default(), stop, progress)
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

impl Amplification {
    fn of(groups: &[Group]) -> Self {
        let sum =
            |of: &dyn Fn(&&Group) -> bool| -> f64 { groups.iter().filter(of).fold(0.0, |sum, g| sum + g.bytes as f64) };
        let is_new = |g: &&Group| g.op == Op::Write && g.phase == Phase::Prefill;
        let new_bytes = groups.iter().filter(is_new).map(|g| g.bytes).fold(0, u64::saturating_add);
        let per_byte = |bytes: f64| (new_bytes > 0).then(|| bytes / new_bytes as f64);
        let storage = |g: &Group| g.tier == Tier::Storage;
        Self {
            new_bytes,
            written: per_byte(sum(&|g| g.op == Op::Write)),
            written_to_storage: per_byte(sum(&|g| g.op == Op::Write && storage(g))),
            read: per_byte(sum(&|g| g.op == Op::Read)),
            read_from_storage: per_byte(sum(&|g| g.op == Op::Read && storage(g))),
            evicted: per_byte(sum(&|g| g.op != Op::Delete && g.phase == Phase::Evict)),
        }
    }
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
        Summary::of_files(&[&path, &path], &Stop::new(), &Silent).unwrap()
    }

    #[test]
    fn rows_and_bytes_by_tier_direction_and_phase() {
        let rows = "0,Write,100,Tier-2,a,Prefill,1,c,1,\n1,Write,300,Tier-2,b,Prefill,2,c,2,\n2,Read,300,Tier-2,b,Decode,2,c,2,\n\
                    2,Delete,100,Tier-2,a,Evict,,,,\n";
        let summary = summary(rows);
        assert_eq!((summary.rows, summary.span_s, summary.keys), (8, Some(2.0), Some(4)));
        assert_eq!((summary.conversations, summary.requests), (Some(2), Some(4)));
        assert_eq!(summary.total.read_write_ratio, Some(0.75));
        assert_eq!(summary.total.offered_gb_per_s, Some(1400.0 / 1e9 / 2.0));
        let write = summary.by.iter().find(|group| group.op == Op::Write).unwrap();
        assert_eq!((write.count, write.bytes, write.min_bytes, write.max_bytes), (4, 800, 100, 300));
        assert_eq!(write.mean_bytes, 200.0);
        assert_eq!(summary.by.len(), 3);
        assert_eq!((summary.amplification.new_bytes, summary.amplification.read), (800, Some(0.75)));
        let input = &summary.inputs[0];
        let occupancy = &input.occupancy.as_ref().unwrap()[0];
        assert_eq!((occupancy.peak_bytes, occupancy.end_bytes, occupancy.deleted), (400, 300, 1));
        assert_eq!(input.turns.as_ref().map(|turns| (turns.conversations, turns.max)), Some((1, 2)));
        assert!(input.deletes);
    }

    #[test]
    fn an_empty_trace_offers_nothing() {
        let summary = summary("");
        assert_eq!((summary.rows, summary.by.len(), summary.total), (0, 0, Flow::default()));
        assert_eq!(summary.amplification, Amplification::default());
    }
}
