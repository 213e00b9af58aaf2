//! A load under a setting, and what a pair of DRAM and NVMe does for it.

use serde::{Deserialize, Serialize};

use crate::analyze::curve::Semantics;
use crate::analyze::endurance::Wear;
use crate::analyze::endurance::writes::Writing;
use crate::analyze::needs::{HitCurve, Needs};
use crate::analyze::policies::Counts;
use crate::analyze::references::References;

use super::cost::{Bill, Cost};
use super::latency::{Place, Rates, Ttft};
use super::{Definition, Setting, Totals, exclusive_writes};

/// What a pair of DRAM and NVMe does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Token blocks of DRAM.
    pub dram_blocks: u64,
    /// Token blocks of NVMe.
    pub nvme_blocks: u64,
    /// Bytes of DRAM.
    pub dram_bytes: u64,
    /// Bytes of NVMe.
    pub nvme_bytes: u64,
    /// Drives that NVMe is made of.
    pub drives: u32,
    /// Whether it fits the drives that were given.
    pub fits: bool,
    /// Hits by the setting's definition, both tiers together.
    pub hit_ratio: f64,
    /// Those of DRAM alone.
    pub dram_hit_ratio: f64,
    /// Tokens found, of all.
    pub token_hit_ratio: f64,
    /// Blocks written to NVMe.
    pub host_writes_blocks: u64,
    /// Bytes written to NVMe in the span, a full block each.
    pub host_writes_bytes: u64,
    /// What that does to the drives.
    #[serde(flatten)]
    pub wear: Wear,
    /// The time to the first token, where the rates are known.
    pub ttft: Option<Ttft>,
    /// What a million prompt tokens cost.
    pub cost_per_million: Cost,
}

/// A load under a setting.
#[derive(Debug)]
pub struct Study<'a> {
    /// The load.
    pub references: &'a References,
    /// What it is made of.
    pub totals: Totals,
    /// What is assumed.
    pub setting: Setting,
    /// What each reference needs of a cache that takes everything.
    pub all: Needs,
    /// Their hits.
    pub hits: HitCurve,
    /// What each needs behind the setting's filter, and their hits; none when it admits everything.
    filtered: Option<(Needs, HitCurve)>,
}

/// The hits by NVMe behind a DRAM.
#[derive(Debug)]
pub enum Behind<'a> {
    /// Those of one cache of both together.
    Sum(&'a HitCurve, u32),
    /// Those of the larger one.
    Larger(&'a HitCurve, u32),
    /// Those of a pass of their own.
    Own(HitCurve),
}

impl Behind<'_> {
    /// The hits with so much NVMe.
    pub fn at(&self, nvme: u32) -> Counts {
        match self {
            Behind::Sum(hits, dram) => hits.at(dram.saturating_add(nvme)),
            Behind::Larger(hits, dram) => hits.at(nvme.max(*dram)),
            Behind::Own(hits) => hits.at(nvme),
        }
    }

    /// The least NVMe whose hits are enough, as [`HitCurve::smallest`].
    pub fn smallest(&self, enough: impl Fn(&Counts) -> bool) -> Option<u32> {
        match self {
            Behind::Sum(hits, dram) => Some(hits.smallest(enough)?.saturating_sub(*dram)),
            Behind::Larger(hits, dram) => hits.smallest(enough).map(|least| if least <= *dram { 0 } else { least }),
            Behind::Own(hits) => hits.smallest(enough),
        }
    }
}

impl<'a> Study<'a> {
    /// A pass over the load, and one more for a filter.
    pub fn new(references: &'a References, totals: Totals, setting: Setting, semantics: Semantics) -> Self {
        let all = Needs::of(references, semantics, 1);
        let hits = all.hits(references);
        let filtered = (setting.admit > 1).then(|| {
            let needs = Needs::of(references, semantics, setting.admit);
            let hits = needs.hits(references);
            (needs, hits)
        });
        Self { references, totals, setting, all, hits, filtered }
    }

    /// The hits by NVMe behind a DRAM.
    pub fn behind(&self, dram: u32) -> Behind<'_> {
        match (self.setting.writes, &self.filtered) {
            (Writing::Exclusive, _) => Behind::Sum(&self.hits, dram),
            (_, None) => Behind::Larger(&self.hits, dram),
            (_, Some((needs, _))) => Behind::Own(needs.hits_behind(self.references, &self.all, dram)),
        }
    }

    /// Blocks written to NVMe.
    fn writes(&self, dram: u32, nvme: u32) -> u64 {
        match (self.setting.writes, &self.filtered) {
            _ if nvme == 0 => 0,
            (Writing::Exclusive, _) => exclusive_writes(&self.totals, &self.hits, dram, nvme),
            (_, None) => self.all.admitted() - self.hits.at(nvme).any_blocks,
            (_, Some((needs, hits))) => needs.admitted() - hits.at(nvme).any_blocks,
        }
    }

    /// Where the block of a reference lies.
    fn place(&self, at: usize, dram: u32, nvme: u32) -> Place {
        let below = match (self.setting.writes, &self.filtered) {
            (Writing::Exclusive, _) => self.all.at(at) <= dram.saturating_add(nvme),
            (_, None) => self.all.at(at) <= nvme,
            (_, Some((needs, _))) => needs.at(at) <= nvme,
        };
        match () {
            () if self.all.at(at) <= dram => Place::Dram,
            () if below => Place::Nvme,
            () => Place::Missing,
        }
    }

    /// The times to the first token, where the rates are known.
    pub fn ttft(&self, dram: u32, nvme: u32) -> Option<Ttft> {
        let rates = Rates {
            tiers: self.setting.tiers?,
            prefill_tokens_per_s: self.setting.prefill_tokens_per_s?,
            bytes_per_token: self.setting.bytes_per_token as f64,
        };
        Some(Ttft::of(self.references, &rates, |at| self.place(at, dram, nvme)))
    }

    /// What a pair does.
    pub fn point(&self, dram: u32, nvme: u32) -> Point {
        Point { ttft: self.ttft(dram, nvme), ..self.untimed(self.behind(dram).at(nvme), dram, nvme) }
    }

    /// What a pair of these hits does, the time to the first token apart.
    pub fn untimed(&self, counts: Counts, dram: u32, nvme: u32) -> Point {
        let (setting, totals) = (&self.setting, &self.totals);
        let block = setting.block_bytes(totals);
        let [dram_bytes, nvme_bytes] = [dram, nvme].map(|blocks| block.saturating_mul(blocks.into()));
        let writes = self.writes(dram, nvme);
        let host_writes_bytes = block.saturating_mul(writes);
        let drives = setting.drives_for(nvme_bytes);
        let room = drives.and_then(|drives| Some(f64::from(drives.count) * drives.capacity_bytes? as f64));
        let wear = drives.map(|drives| drives.wear(host_writes_bytes as f64, &setting.load)).unwrap_or_default();
        let bill = Bill {
            dram_bytes,
            nvme_bytes: room.unwrap_or(nvme_bytes as f64),
            nvme_years: wear.years,
            tokens: totals.tokens,
            missed_tokens: totals.tokens - counts.prefix_tokens,
            prefill_tokens_per_s: setting.prefill_tokens_per_s,
        };
        Point {
            dram_blocks: dram.into(),
            nvme_blocks: nvme.into(),
            dram_bytes,
            nvme_bytes,
            drives: drives.map_or(0, |drives| drives.count),
            fits: room.is_none_or(|room| nvme_bytes as f64 <= room),
            hit_ratio: setting.definition.ratio(&counts, totals),
            dram_hit_ratio: setting.definition.ratio(&self.hits.at(dram), totals),
            token_hit_ratio: Definition::TokenPrefix.ratio(&counts, totals),
            host_writes_blocks: writes,
            host_writes_bytes,
            wear,
            ttft: None,
            cost_per_million: bill.per_million(&setting.prices, &setting.load),
        }
    }
}
