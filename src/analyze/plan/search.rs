//! The smallest or the cheapest pair of DRAM and NVMe that meets what is asked for.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::analyze::curve::spread;
use crate::error::{Error, Kind, Result};
use crate::stop::Stop;
use crate::units;

use super::latency::TierRate;
use super::study::{Behind, Point, Study};
use super::{Definition, Targets};

/// Sizes of DRAM that are tried, spread by factors, besides none.
const DRAM_SIZES: u32 = 32;
/// Sizes between the neighbours of the best one that are tried then.
const FINER_SIZES: u32 = 16;
/// Sizes of NVMe that are tried above the least.
const NVME_SIZES: u32 = 64;

/// How the choice was looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    /// `cost` or `sum`: what was to be the least.
    pub least: String,
    /// Sizes of DRAM that were tried.
    pub dram_sizes: u32,
    /// Whether nothing smaller or cheaper meets the targets at any size, tried or not.
    pub exact: bool,
}

impl Searched {
    /// What may be said of the choice.
    pub fn words(&self, dram_given: bool) -> String {
        let sizes = units::plural(self.dram_sizes.into(), "size");
        match (self.least.as_str(), dram_given, self.exact) {
            ("cost", true, _) => {
                "of what meets the targets with that DRAM the cheapest was looked for, on a grid of sizes \
                                  of NVMe from the exact least one up"
                    .to_owned()
            }
            ("cost", false, _) => format!(
                "of what meets the targets the cheapest was looked for, on a grid of {sizes} of DRAM, and of NVMe from \
                 the exact least one behind each up"
            ),
            (_, true, true) => "the least NVMe that meets the targets with that DRAM, to the block".to_owned(),
            (_, true, false) => {
                "the least NVMe that meets the targets with that DRAM, as far as the time to the first \
                                 token falls with every block, which it need not here"
                    .to_owned()
            }
            (_, false, true) => format!(
                "the smallest sum of DRAM and NVMe that meets the targets, to the block; with that sum, the least DRAM of \
                 {sizes} that were tried: not every price is known (--price, --prefill-tokens-per-s)"
            ),
            (_, false, false) => format!(
                "the smallest sum of DRAM and NVMe was looked for on a grid of {sizes} of DRAM, so that a somewhat \
                 smaller one may do: not every price is known (--price, --prefill-tokens-per-s)"
            ),
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The choice.
    pub chosen: Point,
    /// All pairs it was chosen from: the best for each DRAM that meets the targets.
    pub candidates: Vec<Point>,
    /// How it was looked for.
    pub searched: Searched,
}

/// The best of what meets the targets: the cheapest where everything has its price, else the one of
/// the smallest sum, of those the one with the least DRAM.
///
/// # Errors
/// When nothing meets the targets: the message says what the best is. When the user asked to stop.
pub fn search(study: &Study, targets: &Targets, dram: Option<u32>, stop: &Stop) -> Result<Found> {
    check_ceiling(study, targets)?;
    let distinct = study.references.distinct;
    let alone = dram.map_or_else(|| least_dram_alone(study, targets), |_| None);
    let mut sizes = match dram {
        Some(dram) => vec![dram],
        None => std::iter::once(0).chain(spread(distinct, DRAM_SIZES)).chain(alone).collect(),
    };
    let (mut points, mut tried) = (Vec::new(), BTreeSet::new());
    // Once over all sizes, and once around the best of them.
    for _ in 0..2 {
        for dram in std::mem::take(&mut sizes).into_iter().filter(|dram| tried.insert(*dram)) {
            if stop.requested() {
                return Err(Error::interrupted("interrupted; nothing was written"));
            }
            points.extend(best_nvme(study, targets, dram));
        }
        points.sort_by_key(|point| point.dram_blocks);
        if dram.is_none() {
            sizes = around(&points, distinct);
        }
    }
    let Some(chosen) = points.iter().min_by(|a, b| better(a, b)).cloned() else {
        return Err(unreachable(study, targets, dram));
    };
    let priced = chosen.cost_per_million.total.is_some();
    let one_way = targets.ttft.is_none() || ttft_falls(study);
    let searched = Searched {
        least: if priced { "cost" } else { "sum" }.to_owned(),
        dram_sizes: tried.len() as u32,
        exact: !priced && one_way && (dram.is_some() || study.setting.admit == 1),
    };
    Ok(Found { chosen, candidates: points, searched })
}

/// The least DRAM that meets the targets with no NVMe behind it. It is the smallest sum of both, too,
/// where NVMe holds nothing that DRAM of the same sum would not (no filter), where DRAM is no slower,
/// and where every block more lets the time to the first token fall: nothing is written without
/// NVMe, so that the drives last.
fn least_dram_alone(study: &Study, targets: &Targets) -> Option<u32> {
    let definition = study.setting.definition;
    let enough = |asked| study.hits.smallest(|counts| definition.ratio(counts, &study.totals) >= asked);
    let least = targets.hit_ratio.map_or(Some(0), enough)?;
    let Some(target) = targets.ttft else { return Some(least) };
    let meets = |dram: u32| study.ttft(dram, 0).is_some_and(|ttft| ttft.figure(target.of) <= target.at_most_s);
    first_where(least, study.references.distinct.max(least), meets)
}

/// Whether the time to the first token falls with every block that DRAM or NVMe gains: loading the
/// shortest block that there is beats computing it, and DRAM is no slower than NVMe.
fn ttft_falls(study: &Study) -> bool {
    let (Some([dram, nvme]), Some(rate)) = (study.setting.tiers, study.setting.prefill_tokens_per_s) else {
        return false;
    };
    let tokens = study.references.tokens.iter().copied().min().unwrap_or(1).max(1);
    let (bytes, computing) = (f64::from(tokens) * study.setting.bytes_per_token as f64, f64::from(tokens) / rate);
    let pays = |tier: TierRate| tier.latency_s + bytes / tier.bytes_per_s <= computing;
    pays(dram) && pays(nvme) && dram.latency_s <= nvme.latency_s && dram.bytes_per_s >= nvme.bytes_per_s
}

/// The first number from `low` to `high` that holds, where all above one that holds do too.
fn first_where(mut low: u32, mut high: u32, holds: impl Fn(u32) -> bool) -> Option<u32> {
    if holds(low) {
        return Some(low);
    }
    if !holds(high) {
        return None;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The cheaper, where both are priced, else the smaller.
fn better(a: &Point, b: &Point) -> Ordering {
    let size = |point: &Point| (point.dram_blocks + point.nvme_blocks, point.dram_blocks);
    let costs = a.cost_per_million.total.zip(b.cost_per_million.total);
    costs.map_or(Ordering::Equal, |(a, b)| a.total_cmp(&b)).then(size(a).cmp(&size(b)))
}

/// Sizes of DRAM between the neighbours of the best one.
fn around(points: &[Point], distinct: u32) -> Vec<u32> {
    let Some(best) = (0..points.len()).min_by(|a, b| better(&points[*a], &points[*b])) else { return Vec::new() };
    let size = |at: usize| points.get(at).map_or(u64::from(distinct), |point| point.dram_blocks);
    let (low, high) = (if best == 0 { 0 } else { size(best - 1) }, size(best + 1));
    let step = |number: u32| low + (high - low) * u64::from(number) / u64::from(FINER_SIZES);
    let mut sizes: Vec<u64> = (1..FINER_SIZES).map(step).collect();
    sizes.dedup();
    sizes.retain(|size| !points.iter().any(|point| point.dram_blocks == *size));
    sizes.into_iter().filter_map(|size| u32::try_from(size).ok()).collect()
}

/// The best NVMe behind a DRAM, if any meets the targets.
fn best_nvme(study: &Study, targets: &Targets, dram: u32) -> Option<Point> {
    let behind = study.behind(dram);
    let least = least_nvme(study, &behind, targets, dram)?;
    let distinct = study.references.distinct;
    let sizes = std::iter::once(least).chain(spread(distinct, NVME_SIZES).into_iter().filter(|nvme| *nvme > least));
    let mut points: Vec<Point> = sizes.map(|nvme| study.untimed(behind.at(nvme), dram, nvme)).collect();
    points.sort_by(better);
    points.into_iter().find_map(|point| {
        // What does not depend on time is looked at first, because it is there already.
        let nvme = u32::try_from(point.nvme_blocks).ok().filter(|_| point.fits && lasts(&point, targets))?;
        let point = Point { ttft: study.ttft(dram, nvme), ..point };
        meets(&point, targets).then_some(point)
    })
}

fn check_ceiling(study: &Study, targets: &Targets) -> Result<()> {
    let definition = study.setting.definition;
    let ceiling = definition.ratio(&study.hits.ceiling(), &study.totals);
    match targets.hit_ratio {
        Some(asked) if asked > ceiling => Err(Error::new(
            Kind::Failed,
            format!(
                "--target-hit {asked}: no cache reaches it; one without end has {ceiling:.4} by {definition}{}",
                if definition == Definition::TokenPrefix { "" } else { ", other definitions differ (--definition)" }
            ),
        )),
        _ => Ok(()),
    }
}

/// The least NVMe behind a DRAM with which hits, the life of the drives and the time to the first
/// token are met, if the latter falls with every block. The drives last the longer the larger NVMe
/// is: it is written no more, and there may be more of them.
fn least_nvme(study: &Study, behind: &Behind, targets: &Targets, dram: u32) -> Option<u32> {
    let enough =
        |hit_ratio: f64| behind.smallest(|counts| study.setting.definition.ratio(counts, &study.totals) >= hit_ratio);
    let distinct = study.references.distinct;
    let mut least = targets.hit_ratio.map_or(Some(0), enough)?;
    if let Some(target) = targets.ttft {
        let meets = |nvme: u32| study.ttft(dram, nvme).is_some_and(|ttft| ttft.figure(target.of) <= target.at_most_s);
        least = first_where(least, distinct.max(least), meets)?;
    }
    first_where(least, distinct.max(least), |nvme| lasts(&study.untimed(behind.at(nvme), dram, nvme), targets))
}

fn meets(point: &Point, targets: &Targets) -> bool {
    let hits = targets.hit_ratio.is_none_or(|asked| point.hit_ratio >= asked);
    let ttft =
        targets.ttft.is_none_or(|target| point.ttft.is_some_and(|ttft| ttft.figure(target.of) <= target.at_most_s));
    hits && ttft && lasts(point, targets)
}

/// Whether the drives last; where nothing is written they do.
fn lasts(point: &Point, targets: &Targets) -> bool {
    targets.years.is_none_or(|asked| point.wear.years.is_none_or(|years| years >= asked))
}

/// Why nothing meets the targets, with the best there is.
fn unreachable(study: &Study, targets: &Targets, dram: Option<u32>) -> Error {
    let distinct = study.references.distinct;
    let mut why = Vec::new();
    if let Some(target) = targets.ttft {
        let best = |dram| study.ttft(dram, distinct).map(|ttft| ttft.figure(target.of));
        let best = best(dram.unwrap_or(distinct)).unwrap_or_default();
        why.push(format!(
            "with {} and NVMe without end the time to the first token is {} at {}; --target-ttft asks for {}",
            if dram.is_some() { "that DRAM" } else { "DRAM" },
            units::ns(best * 1e9),
            target.of.word(),
            units::ns(target.at_most_s * 1e9)
        ));
    }
    if let Some(years) = targets.years {
        why.push(format!("--target-years {years}: more --drives, --admit 2 or --writes through write less to each"));
    }
    if study.setting.drives.is_some() {
        why.push("NVMe has to fit --drives".to_owned());
    }
    Error::new(Kind::Failed, format!("nothing meets the targets: {}", why.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::curve::Semantics;
    use crate::analyze::endurance::Load;
    use crate::analyze::endurance::writes::Writing;
    use crate::analyze::plan::{Setting, Totals, cost::Prices};
    use crate::analyze::references::{References, samples};

    fn setting(writes: Writing, admit: u32) -> Setting {
        Setting {
            model: "bytes:1".to_owned(),
            bytes_per_token: 1,
            semantics: "prefix".to_owned(),
            definition: Definition::TokenBlockPrefix,
            writes,
            admit,
            load: Load { span_s: 3600.0, rate_scale: 1.0 },
            drives: None,
            drive_capacity_bytes: None,
            tbw_bytes: Some(1000),
            waf: 1.0,
            prefill_tokens_per_s: Some(1.0),
            tiers: Some([
                TierRate { latency_s: 0.0, bytes_per_s: 100.0 },
                TierRate { latency_s: 0.1, bytes_per_s: 10.0 },
            ]),
            tier_timing: None,
            prices: Prices::default(),
        }
    }

    fn load() -> References {
        samples::of(&[&[0, 1, 2], &[0, 3], &[0, 1, 2], &[4, 5], &[0, 1, 2, 6], &[4, 5]])
    }

    fn study(references: &References, writes: Writing, admit: u32) -> Study<'_> {
        Study::new(references, Totals::of(references, 10), setting(writes, admit), Semantics::Prefix)
    }

    #[test]
    fn the_choice_meets_the_target_and_nothing_smaller_does() {
        let references = load();
        for (writes, admit) in [(Writing::Exclusive, 1), (Writing::Through, 1), (Writing::Through, 2)] {
            let study = study(&references, writes, admit);
            for asked in [0.05, 0.2, 0.3, 0.4] {
                let targets = Targets { hit_ratio: Some(asked), ..Targets::default() };
                for dram in [0, 2, 4] {
                    let Ok(Found { chosen, .. }) = search(&study, &targets, Some(dram), &Stop::new()) else {
                        assert!(study.point(dram, 7).hit_ratio < asked);
                        continue;
                    };
                    assert!(chosen.hit_ratio >= asked, "{chosen:?}");
                    if chosen.nvme_blocks > 0 {
                        assert!(study.point(dram, chosen.nvme_blocks as u32 - 1).hit_ratio < asked, "{chosen:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_sum_is_the_smallest_of_all_pairs() {
        let references = load();
        for writes in [Writing::Exclusive, Writing::Through] {
            let study = study(&references, writes, 1);
            for (asked, years, ttft) in
                [(0.2, None, None), (0.3, Some(1e6), None), (0.5, Some(1e6), None), (0.1, None, Some("24s@mean"))]
            {
                let ttft = ttft.map(|text| text.parse().unwrap());
                let targets = Targets { hit_ratio: Some(asked), years, ttft };
                let found = search(&study, &targets, None, &Stop::new()).unwrap();
                assert!(found.searched.exact || ttft.is_some());
                let all = (0..8).flat_map(|dram| (0..8).map(move |nvme| (dram, nvme)));
                let smallest = all.filter(|(d, n)| meets(&study.point(*d, *n), &targets)).map(|(d, n)| d + n).min();
                let chosen = found.chosen.dram_blocks + found.chosen.nvme_blocks;
                assert_eq!(Some(chosen as u32), smallest, "{writes:?} {asked}");
            }
        }
        let targets = Targets { hit_ratio: Some(0.2), ..Targets::default() };
        let filtered = search(&study(&references, Writing::Through, 2), &targets, None, &Stop::new()).unwrap();
        assert!(!filtered.searched.exact && filtered.searched.words(false).contains("on a grid of 8 sizes of DRAM"));
    }

    #[test]
    fn a_time_to_the_first_token_is_met_at_its_figure() {
        let references = load();
        let study = study(&references, Writing::Exclusive, 1);
        let targets = Targets { ttft: Some("25s@mean".parse().unwrap()), ..Targets::default() };
        let Found { chosen, candidates: points, .. } = search(&study, &targets, None, &Stop::new()).unwrap();
        assert!(chosen.ttft.unwrap().mean_s <= 25.0);
        let sum = |point: &Point| point.dram_blocks + point.nvme_blocks;
        assert!(points.iter().all(|point| point.ttft.unwrap().mean_s <= 25.0 && sum(point) >= sum(&chosen)));
    }

    #[test]
    fn what_cannot_be_reached_is_said_with_the_best_there_is() {
        let references = load();
        let study = study(&references, Writing::Exclusive, 1);
        let refusal = |targets: Targets| search(&study, &targets, None, &Stop::new()).unwrap_err().to_string();
        let hits = refusal(Targets { hit_ratio: Some(0.9), ..Targets::default() });
        assert!(hits.contains("one without end has 0.56"), "{hits}");
        let slow = refusal(Targets { ttft: Some("1s@p99".parse().unwrap()), ..Targets::default() });
        assert!(slow.contains("is 30.0 s at p99"), "{slow}");
    }
}
