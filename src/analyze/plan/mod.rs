//! How much DRAM and NVMe a load needs: for a hit ratio, a time to the first token, a life of the
//! drives, at the least cost.

pub mod break_even;
pub mod cost;
pub mod curve_points;
pub mod latency;
pub mod search;
pub mod study;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::endurance::writes::Writing;
use super::endurance::{Drives, Load};
use super::needs::HitCurve;
use super::policies::Counts;
use super::references::References;
use crate::error::{Error, Result};

use break_even::BreakEven;
use cost::Prices;
use curve_points::{AdmissionCurve, CurvePoint};
use latency::{TierRate, TtftTarget};
use search::Searched;
use study::Point;

/// Which hits a target is of; the names are those of `kvtrace analyze hits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition {
    /// Blocks found with all before them, of all blocks.
    #[default]
    #[serde(rename = "token_block.prefix")]
    TokenBlockPrefix,
    /// Blocks found, wherever they stand, of all blocks.
    #[serde(rename = "token_block.any")]
    TokenBlockAny,
    /// Tokens of the blocks found with all before them, of all tokens.
    #[serde(rename = "token.prefix")]
    TokenPrefix,
    /// The share of each prompt that those are, averaged over requests.
    #[serde(rename = "request_mean.prefix")]
    RequestMeanPrefix,
}

impl Definition {
    /// All of them.
    pub const ALL: [Definition; 4] =
        [Self::TokenBlockPrefix, Self::TokenBlockAny, Self::TokenPrefix, Self::RequestMeanPrefix];

    /// The name on the command line and in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::TokenBlockPrefix => "token_block.prefix",
            Self::TokenBlockAny => "token_block.any",
            Self::TokenPrefix => "token.prefix",
            Self::RequestMeanPrefix => "request_mean.prefix",
        }
    }

    /// The ratio, from 0 to 1.
    pub fn ratio(self, counts: &Counts, totals: &Totals) -> f64 {
        let (hits, total) = match self {
            Self::TokenBlockPrefix => (counts.prefix_blocks as f64, totals.blocks),
            Self::TokenBlockAny => (counts.any_blocks as f64, totals.blocks),
            Self::TokenPrefix => (counts.prefix_tokens as f64, totals.tokens),
            Self::RequestMeanPrefix => (counts.prefix_shares, totals.requests),
        };
        if total > 0 { hits / total as f64 } else { 0.0 }
    }
}

impl FromStr for Definition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|definition| definition.word() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::word).join(", ");
            Error::usage(format!("`{text}` is no definition of hits; use {known}"))
        })
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What the load is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// References to token blocks.
    pub blocks: u64,
    /// Different token blocks.
    pub distinct_blocks: u64,
    /// Tokens of all prompts.
    pub tokens: u64,
    /// Tokens of a full block, which is what every block is given room for.
    pub block_tokens: u64,
}

impl Totals {
    /// Of references to blocks of so many tokens.
    pub fn of(references: &References, block_tokens: u32) -> Self {
        Self {
            requests: references.requests() as u64,
            blocks: references.blocks.len() as u64,
            distinct_blocks: references.distinct.into(),
            tokens: references.total_tokens(),
            block_tokens: block_tokens.into(),
        }
    }
}

/// Everything that is assumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The model, as `--model` takes it.
    pub model: String,
    /// Bytes of the KV cache of a token of it.
    pub bytes_per_token: u64,
    /// `prefix`, `any` or `tail-first`.
    pub semantics: String,
    /// Which hits are meant.
    pub definition: Definition,
    /// When a block is written to NVMe.
    pub writes: Writing,
    /// From which touch on a block is written to NVMe.
    pub admit: u32,
    /// The time of the load.
    pub load: Load,
    /// How many drives; none takes as many as NVMe needs.
    pub drives: Option<u32>,
    /// Bytes of a drive.
    pub drive_capacity_bytes: Option<u64>,
    /// Host bytes that a drive is rated for.
    pub tbw_bytes: Option<u64>,
    /// Write amplification beyond that of the rating.
    pub waf: f64,
    /// Tokens of a prompt that the GPUs compute in a second.
    pub prefill_tokens_per_s: Option<f64>,
    /// How fast DRAM and NVMe are read.
    pub tiers: Option<[TierRate; 2]>,
    /// How those are written for `--tier-timing`.
    pub tier_timing: Option<String>,
    /// What things cost.
    pub prices: Prices,
}

impl Setting {
    /// Bytes of a full token block.
    pub fn block_bytes(&self, totals: &Totals) -> u64 {
        self.bytes_per_token.saturating_mul(totals.block_tokens)
    }

    /// The drives that hold so many bytes; none for no bytes.
    pub fn drives_for(&self, nvme_bytes: u64) -> Option<Drives> {
        let needed = self.drive_capacity_bytes.map_or(1, |capacity| nvme_bytes.div_ceil(capacity.max(1)));
        let count = self.drives.unwrap_or(u32::try_from(needed).unwrap_or(u32::MAX));
        let (capacity_bytes, tbw_bytes) = (self.drive_capacity_bytes, self.tbw_bytes);
        (nvme_bytes > 0).then_some(Drives { count, capacity_bytes, tbw_bytes, waf: self.waf })
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// A hit ratio by the setting's definition.
    pub hit_ratio: Option<f64>,
    /// A time to the first token.
    pub ttft: Option<TtftTarget>,
    /// Years that the drives last.
    pub years: Option<f64>,
}

impl Targets {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A plan: what `kvtrace analyze plan` finds, and all that a page needs to vary it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The load.
    pub totals: Totals,
    /// What is assumed.
    pub setting: Setting,
    /// What was asked for.
    pub targets: Targets,
    /// The hit ratio of a cache without end.
    pub ceiling: f64,
    /// The choice.
    pub chosen: Point,
    /// The other choices that meet what was asked for, each with another DRAM.
    pub candidates: Vec<Point>,
    /// How the choice was looked for; none where it was given.
    #[serde(default)]
    pub search: Option<Searched>,
    /// From where on loading beats computing, by tier.
    pub break_even: Vec<BreakEven>,
    /// All assumptions in words.
    pub assumptions: Vec<String>,
    /// The words of the command that name what is read.
    pub source: Vec<String>,
    /// The command that gives the choice.
    pub command: String,
    /// The filters of the curves: from which touch on a block is written.
    pub admits: Vec<u32>,
    /// Hits and writes by capacity: LRU, exact, at so many capacities.
    pub curve: Vec<CurvePoint>,
    /// Hits behind a filter and DRAM, for tiers that are written through.
    pub admissions: Vec<AdmissionCurve>,
}

/// Blocks that exclusive LRU tiers write to NVMe: all that DRAM evicts, which is all that came into
/// it less what is there at the end. Without DRAM, all that is not found.
pub fn exclusive_writes(totals: &Totals, hits: &HitCurve, dram: u32, nvme: u32) -> u64 {
    let missed = |capacity| totals.blocks - hits.at(capacity).any_blocks;
    match (dram, nvme) {
        (_, 0) => 0,
        (0, _) => missed(nvme),
        _ => missed(dram) - u64::from(dram).min(missed(u32::MAX)),
    }
}
