//! The curves that a plan carries: exact at each of their capacities, and not all of them.

use serde::{Deserialize, Serialize};

use crate::analyze::curve::{Semantics, spread};
use crate::analyze::needs::Needs;
use crate::analyze::policies::Counts;
use crate::error::{Error, Result};
use crate::stop::Stop;

use super::exclusive_writes;
use super::study::{Point, Study};

/// Capacities that are spread evenly, by factors.
const POINTS: u32 = 512;
/// Capacities besides at which the most becomes hits.
const KNEES: usize = 64;
/// Sizes of DRAM, and of NVMe behind it, for which filters are worked out.
const GRID: u32 = 20;
const FILTERED_POINTS: u32 = 96;
/// The filters that are worked out, besides that of the plan: from which touch on a block is
/// written.
const ADMISSIONS: [u32; 3] = [1, 2, 3];

/// All filters, from the one that admits everything.
pub fn admissions(admit: u32) -> Vec<u32> {
    let mut all = ADMISSIONS.to_vec();
    all.push(admit);
    all.sort_unstable();
    all.dedup();
    all
}

/// One LRU cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Token blocks.
    pub capacity: u32,
    /// What it hits.
    #[serde(flatten)]
    pub hits: Hits,
    /// Blocks written to NVMe of that capacity when all is written through that a filter admits,
    /// for each of the plan's `admits`.
    pub writes_through: Vec<u64>,
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

/// The capacities of the curve: spread by factors, where it is steep, and those around a point.
pub fn capacities(study: &Study, dram: u64, nvme: u64) -> Vec<u32> {
    let distinct = study.references.distinct;
    let mut all = spread(distinct, POINTS);
    all.extend(study.hits.knees(KNEES).into_iter().flat_map(|knee| [knee - 1, knee]));
    all.extend(grid(distinct, GRID, dram));
    all.extend([nvme, dram + nvme].map(clamped));
    all.push(0);
    all.sort_unstable();
    all.dedup();
    all
}

fn clamped(blocks: u64) -> u32 {
    u32::try_from(blocks).unwrap_or(u32::MAX)
}

/// No blocks, so many sizes that are spread by factors, and one more.
fn grid(distinct: u32, sizes: u32, besides: u64) -> Vec<u32> {
    let mut all = spread(distinct, sizes);
    all.extend([0, clamped(besides)]);
    all.sort_unstable();
    all.dedup();
    all
}

/// The exact curve at some capacities, and the curves behind filters around a point.
///
/// # Errors
/// When the user asked to stop.
pub fn curves(
    study: &Study,
    semantics: Semantics,
    chosen: &Point,
    stop: &Stop,
) -> Result<(Vec<CurvePoint>, Vec<AdmissionCurve>)> {
    let (dram, nvme) = (chosen.dram_blocks, chosen.nvme_blocks);
    let mut points: Vec<CurvePoint> =
        capacities(study, dram, nvme).into_iter().map(|capacity| point(study, capacity)).collect();
    let distinct = study.references.distinct;
    let (sizes, mut curves) = (grid(distinct, FILTERED_POINTS, nvme), Vec::new());
    for admit in admissions(study.setting.admit).into_iter().skip(1) {
        let needs = Needs::of(study.references, semantics, admit);
        let hits = needs.hits(study.references);
        for point in &mut points {
            point.writes_through.push(needs.admitted() - hits.at(point.capacity).any_blocks);
        }
        let written = |nvme: u32| if nvme == 0 { 0 } else { needs.admitted() - hits.at(nvme).any_blocks };
        let writes: Vec<u64> = sizes.iter().map(|nvme| written(*nvme)).collect();
        for dram in grid(distinct, GRID, dram) {
            if stop.requested() {
                return Err(Error::interrupted("interrupted; nothing was written"));
            }
            let behind = needs.hits_behind(study.references, &study.all, dram);
            let hits = sizes.iter().map(|nvme| behind.at(*nvme).into()).collect();
            curves.push(AdmissionCurve { admit, dram, nvme: sizes.clone(), hits, writes: writes.clone() });
        }
    }
    Ok((points, curves))
}

/// A point with the writes of what admits everything.
fn point(study: &Study, capacity: u32) -> CurvePoint {
    let hits = study.hits.at(capacity);
    CurvePoint {
        capacity,
        hits: hits.into(),
        writes_through: vec![study.all.admitted() - hits.any_blocks],
        writes_exclusive: exclusive_writes(&study.totals, &study.hits, capacity, 1),
    }
}
