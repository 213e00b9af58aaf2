//! A load under a setting, and what a pair of DRAM and NVMe does for it.

use serde::{Deserialize, Serialize};

use crate::analyze::curve::Semantics;
use crate::analyze::endurance::Wear;
use crate::analyze::endurance::writes::Writing;
use crate::analyze::needs::{HitCurve, NEVER, Needs};
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
    /// What each needs of one behind the setting's filter.
    admitted: Needs,
    /// Their hits.
    admitted_hits: HitCurve,
}

impl<'a> Study<'a> {
    /// Two passes over the load.
    pub fn new(references: &'a References, totals: Totals, setting: Setting, semantics: Semantics) -> Self {
        let all = Needs::of(references, semantics, 1);
        let hits = all.hits(references);
        let (admitted, admitted_hits) = match setting.admit {
            1 => (all.clone(), hits.clone()),
            admit => {
                let needs = Needs::of(references, semantics, admit);
                let hits = needs.hits(references);
                (needs, hits)
            }
        };
        Self { references, totals, setting, all, hits, admitted, admitted_hits }
    }

    /// The hits by NVMe, behind a DRAM: in exclusive tiers those of the sum of both.
    pub fn hits_behind(&self, dram: u32) -> HitCurve {
        match (self.setting.writes, self.setting.admit) {
            (Writing::Exclusive, _) => HitCurve::of(self.references, |at| match self.all.at(at) {
                NEVER => NEVER,
                need => need.saturating_sub(dram),
            }),
            _ => self.admitted.hits_behind(self.references, &self.all, dram),
        }
    }

    fn counts(&self, dram: u32, nvme: u32) -> Counts {
        match (self.setting.writes, self.setting.admit) {
            (Writing::Exclusive, _) => self.hits.at(dram.saturating_add(nvme)),
            (_, 1) => self.hits.at(dram.max(nvme)),
            _ => self.hits_behind(dram).at(nvme),
        }
    }

    /// Blocks written to NVMe.
    fn writes(&self, dram: u32, nvme: u32) -> u64 {
        match self.setting.writes {
            _ if nvme == 0 => 0,
            Writing::Exclusive => exclusive_writes(&self.totals, &self.hits, dram, nvme),
            _ => self.admitted.admitted() - self.admitted_hits.at(nvme).any_blocks,
        }
    }

    /// Where the block of a reference lies.
    fn place(&self, at: usize, dram: u32, nvme: u32) -> Place {
        let below = match self.setting.writes {
            Writing::Exclusive => self.all.at(at) <= dram.saturating_add(nvme),
            _ => self.admitted.at(at) <= nvme,
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
        Point { ttft: self.ttft(dram, nvme), ..self.untimed(self.counts(dram, nvme), dram, nvme) }
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
