//! The curves that a plan carries: exact at each of their capacities, and not all of them.

use serde::{Deserialize, Serialize};

use crate::analyze::curve::{Semantics, spread};
use crate::analyze::needs::{HitCurve, Needs};
use crate::analyze::policies::Counts;
use crate::stop::Stop;

use super::exclusive_writes;
use super::study::Study;

/// Capacities that are spread evenly, by factors.
const POINTS: u32 = 512;
/// Capacities besides at which the most becomes hits.
const KNEES: usize = 64;
/// Sizes of DRAM, and of NVMe behind it, for which filters are worked out.
const GRID: u32 = 20;
const FILTERED_POINTS: u32 = 96;
/// From which touch on a block is written: everything, and the filters that are worked out.
pub const ADMISSIONS: [u32; 3] = [1, 2, 3];

/// One LRU cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Token blocks.
    pub capacity: u32,
    /// What it hits.
    #[serde(flatten)]
    pub hits: Hits,
    /// Blocks written to NVMe of that capacity when all is written through that was touched once,
    /// twice, three times ([`ADMISSIONS`]).
    pub writes_through: [u64; 3],
    /// Blocks that exclusive tiers write to NVMe behind DRAM of that capacity.
    pub writes_exclusive: u64,
}

/// The hits of a cache, which the definitions are ratios of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hits {
    /// Blocks with all before them.
    pub prefix_blocks: u64,
    /// Blocks.
    pub any_blocks: u64,
    /// Tokens of the former.
    pub prefix_tokens: u64,
    /// Their shares of prompts, summed.
    pub prefix_shares: f64,
}

impl From<Counts> for Hits {
    fn from(counts: Counts) -> Self {
        let Counts { any_blocks, prefix_blocks, prefix_tokens, prefix_shares, .. } = counts;
        Self { prefix_blocks, any_blocks, prefix_tokens, prefix_shares }
    }
}

/// NVMe behind a filter, beside DRAM of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdmissionCurve {
    /// From which touch on a block is written.
    pub admit: u32,
    /// Token blocks of DRAM.
    pub dram: u32,
    /// Token blocks of NVMe.
    pub nvme: Vec<u32>,
    /// The hits of both together, for each of those.
    pub hits: Vec<Hits>,
    /// Blocks written to NVMe, for each of those.
    pub writes: Vec<u64>,
}

/// The capacities of the curve: spread by factors, where it is steep, and those of `besides`.
pub fn capacities(study: &Study, besides: &[u64]) -> Vec<u32> {
    let distinct = study.references.distinct;
    let mut all = spread(distinct, POINTS);
    all.extend(study.hits.knees(KNEES).into_iter().flat_map(|knee| [knee - 1, knee]));
    all.extend(grid(distinct));
    all.extend(besides.iter().map(|blocks| u32::try_from(*blocks).unwrap_or(u32::MAX).min(distinct)));
    all.push(0);
    all.sort_unstable();
    all.dedup();
    all
}

fn grid(distinct: u32) -> Vec<u32> {
    let mut sizes = vec![0];
    sizes.extend(spread(distinct, GRID));
    sizes
}

/// The exact curve at some capacities, and the curves behind filters.
pub fn curves(
    study: &Study,
    semantics: Semantics,
    capacities: &[u32],
    stop: &Stop,
) -> crate::error::Result<(Vec<CurvePoint>, Vec<AdmissionCurve>)> {
    let filtered: Vec<(u32, Needs, HitCurve)> = ADMISSIONS[1..]
        .iter()
        .map(|admit| {
            let needs = Needs::of(study.references, semantics, *admit);
            let hits = needs.hits(study.references);
            (*admit, needs, hits)
        })
        .collect();
    let points = capacities.iter().map(|capacity| point(study, &filtered, *capacity)).collect();
    let mut admissions = Vec::new();
    let sizes = spread(study.references.distinct, FILTERED_POINTS);
    for (admit, needs, own) in &filtered {
        for dram in grid(study.references.distinct) {
            if stop.requested() {
                return Err(crate::error::Error::interrupted("interrupted; nothing was written"));
            }
            let behind = needs.hits_behind(study.references, &study.all, dram);
            admissions.push(AdmissionCurve {
                admit: *admit,
                dram,
                hits: sizes.iter().map(|nvme| behind.at(*nvme).into()).collect(),
                writes: sizes.iter().map(|nvme| needs.admitted() - own.at(*nvme).any_blocks).collect(),
                nvme: sizes.clone(),
            });
        }
    }
    Ok((points, admissions))
}

fn point(study: &Study, filtered: &[(u32, Needs, HitCurve)], capacity: u32) -> CurvePoint {
    let counts = study.hits.at(capacity);
    let mut writes_through = [study.all.admitted() - counts.any_blocks; 3];
    for (writes, (_, needs, hits)) in writes_through[1..].iter_mut().zip(filtered) {
        *writes = needs.admitted() - hits.at(capacity).any_blocks;
    }
    let writes_exclusive = exclusive_writes(&study.totals, &study.hits, capacity, 1);
    CurvePoint { capacity, hits: counts.into(), writes_through, writes_exclusive }
}
