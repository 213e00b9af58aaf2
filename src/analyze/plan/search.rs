//! The smallest or the cheapest pair of DRAM and NVMe that meets what is asked for.

use std::cmp::Ordering;

use crate::analyze::curve::spread;
use crate::error::{Error, Kind, Result};
use crate::stop::Stop;
use crate::units;

use super::study::{Behind, Point, Study};
use super::{Definition, Targets};

/// Sizes of DRAM that are tried, spread by factors, besides none.
const DRAM_SIZES: u32 = 32;
/// Sizes between the neighbours of the best one that are tried then.
const FINER_SIZES: u32 = 16;
/// Sizes of NVMe that are tried above the least.
const NVME_SIZES: u32 = 64;

/// The choice, and all pairs it was chosen from: the best for each DRAM that is tried. The best is
/// the cheapest where everything has its price, else the one of the smallest sum, of those the one
/// with the least DRAM.
///
/// # Errors
/// When nothing meets the targets: the message says what the best is. When the user asked to stop.
pub fn search(study: &Study, targets: &Targets, dram: Option<u32>, stop: &Stop) -> Result<(Point, Vec<Point>)> {
    check_ceiling(study, targets)?;
    let distinct = study.references.distinct;
    let mut sizes = match dram {
        Some(dram) => vec![dram],
        None => std::iter::once(0).chain(spread(distinct, DRAM_SIZES)).collect(),
    };
    let mut points = Vec::new();
    // Once over all sizes, and once around the best of them.
    for _ in 0..2 {
        for dram in std::mem::take(&mut sizes) {
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
    match points.iter().min_by(|a, b| better(a, b)).cloned() {
        Some(chosen) => Ok((chosen, points)),
        None => Err(unreachable(study, targets, dram)),
    }
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

/// The least NVMe behind a DRAM with which hits and the time to the first token are met, if the
/// latter falls with every block.
fn least_nvme(study: &Study, behind: &Behind, targets: &Targets, dram: u32) -> Option<u32> {
    let enough =
        |hit_ratio: f64| behind.smallest(|counts| study.setting.definition.ratio(counts, &study.totals) >= hit_ratio);
    let least = targets.hit_ratio.map_or(Some(0), enough)?;
    let Some(target) = targets.ttft else { return Some(least) };
    let meets = |nvme: u32| study.ttft(dram, nvme).is_some_and(|ttft| ttft.figure(target.of) <= target.at_most_s);
    let (mut low, mut high) = (least, study.references.distinct.max(least));
    if meets(low) {
        return Some(low);
    }
    if !meets(high) {
        return None;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if meets(middle) { high = middle } else { low = middle }
    }
    Some(high)
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
    use crate::analyze::plan::latency::TierRate;
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
                    let Ok((chosen, _)) = search(&study, &targets, Some(dram), &Stop::new()) else {
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
    fn a_time_to_the_first_token_is_met_at_its_figure() {
        let references = load();
        let study = study(&references, Writing::Exclusive, 1);
        let targets = Targets { ttft: Some("25s@mean".parse().unwrap()), ..Targets::default() };
        let (chosen, points) = search(&study, &targets, None, &Stop::new()).unwrap();
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
