//! The card: two groups of captures, metric by metric, with the distance between two runs of the
//! same thing as the floor below which no distance means anything.

use crate::measure::BlockResult;
use crate::measure::fidelity::Metric;

use super::kept::pooled;
use super::metrics::{Definition, definitions};

/// A miss below this many times the noise floor is the device's, not the job's.
const FLOORS: f64 = 2.0;

/// Compares runs of a source with runs of its job. Both must hold one capture at least; the first
/// original says which metrics there are.
pub fn compare(originals: &[BlockResult], distilled: &[BlockResult]) -> Vec<Metric> {
    let Some(first) = originals.first() else { return Vec::new() };
    let all = [pooled(originals), pooled(distilled)].map(|all| all.into_iter().collect::<Vec<_>>());
    let of = |definition: &Definition| metric(definition, [originals, distilled], [&all[0], &all[1]]);
    definitions(first).iter().map(of).collect()
}

/// Whether every metric that is judged passes.
pub fn passes(metrics: &[Metric]) -> bool {
    metrics.iter().all(|metric| metric.pass != Some(false))
}

/// `runs` are the source's and the job's, `all` the same put together.
fn metric(definition: &Definition, runs: [&[BlockResult]; 2], all: [&[BlockResult]; 2]) -> Metric {
    let values = |runs: &[BlockResult]| runs.iter().map(|run| definition.value(run)).collect::<Vec<_>>();
    let [original_runs, distilled_runs] = runs.map(values);
    let compared = if definition.pooled { all } else { runs };
    let [original, other] = compared.map(|runs| median(values(runs).into_iter().flatten().collect()));
    let across = || compared[0].iter().flat_map(|a| compared[1].iter().map(move |b| (a, b)));
    let distance = match original.zip(other) {
        // What is one figure is compared as it is shown.
        Some((a, b)) if definition.is_one_figure() => definition.apart(a, b),
        _ => median(across().filter_map(|(a, b)| definition.distance(a, b)).collect()),
    };
    let floor = runs.into_iter().filter_map(|runs| among(definition, runs)).reduce(f64::max);
    Metric {
        name: definition.name.to_owned(),
        op: definition.direction.map(|direction| direction.word().to_owned()),
        unit: definition.unit.to_owned(),
        original,
        distilled: other,
        measure: definition.measure.word().to_owned(),
        distance,
        ks: median(across().filter_map(|(a, b)| definition.ks(a, b)).collect()),
        over: if definition.pooled { "pooled" } else { "median" }.to_owned(),
        original_runs,
        distilled_runs,
        noise_floor: floor,
        bound: definition.bound,
        allowed: allowed(definition, floor),
        pass: if other.is_none() && runs[1].iter().any(|run| definition.has_too_few(run)) {
            None
        } else {
            verdict(definition, (original, other), distance, floor)
        },
    }
}

/// The median distance of two runs of the same thing; none for a single run.
fn among(definition: &Definition, runs: &[BlockResult]) -> Option<f64> {
    let pairs = runs
        .iter()
        .enumerate()
        .flat_map(|(at, a)| runs[at + 1..].iter().filter_map(move |b| definition.distance(a, b)));
    median(pairs.collect())
}

/// What is allowed from which on being within it says nothing: runs of the same thing differ by more
/// than half of what they measure.
const MEANINGLESS: f64 = 1.0;

/// The part of its bound by which runs of the same thing may differ in a count of requests; more, and there
/// are too few requests to tell a miss from chance.
const TOO_FEW: f64 = 0.5;

/// Nothing to judge without a bound, without an original figure, where runs of the same thing have too
/// few requests, or where the machine is so noisy that
/// anything would pass; a job that does not have what the original has fails.
fn verdict(
    definition: &Definition,
    (original, other): (Option<f64>, Option<f64>),
    distance: Option<f64>,
    floor: Option<f64>,
) -> Option<bool> {
    let (bound, original) = (definition.bound?, original?);
    let Some((other, distance)) = other.zip(distance) else { return Some(false) };
    let allowed = allowed(definition, floor).unwrap_or(bound);
    let chance =
        floor.filter(|floor| definition.pooled && *floor > bound * TOO_FEW).map_or(0.0, |floor| FLOORS * floor);
    if distance > allowed && distance <= chance {
        return None;
    }
    if distance > bound && distance <= allowed && allowed > MEANINGLESS {
        return None;
    }
    Some(distance <= allowed || (other - original).abs() <= definition.slack)
}

/// What depends on the device's mood may differ by as much as two runs of the same thing.
fn allowed(definition: &Definition, floor: Option<f64>) -> Option<f64> {
    let noise = if definition.noisy { FLOORS * floor.unwrap_or(0.0) } else { 0.0 };
    definition.bound.map(|bound| bound.max(noise))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Histogram, LogLinear};

    #[test]
    fn a_floor_that_lets_anything_pass_judges_nothing() {
        let noisy =
            definitions(&capture(&[(4096, 100)], 1.0, 1000)).into_iter().find(|d| d.name == "throughput").unwrap();
        let of = |other, distance, floor| verdict(&noisy, (Some(100.0), Some(other)), Some(distance), Some(floor));
        assert_eq!(of(195.0, 0.95, 0.6), None);
        assert_eq!(of(105.0, 0.05, 0.6), Some(true), "within the bound itself");
        assert_eq!(of(350.0, 2.5, 0.6), Some(false));
        assert_eq!(of(130.0, 0.3, 0.2), Some(true), "twice a floor of a fifth");
    }

    /// A capture of reads of the given sizes, at a second for `rate` bytes.
    fn capture(sizes: &[(u64, u64)], seconds: f64, d2c: u64) -> BlockResult {
        let mut block: BlockResult = serde_json::from_str(
            r#"{"schema": "kvtrace.block/1", "tool": "a test", "complete": true, "source": "tp_btf", "devices": [],
                "filter": {"devices": [], "pids": [], "command": null}, "duration_s": 1.0, "histograms": [],
                "other": {"histograms": []}, "phases": null, "loss": {}, "tainted": false, "taint_reasons": []}"#,
        )
        .unwrap();
        block.duration_s = Some(seconds);
        let (mut size, mut times) = (LogLinear::new(20), LogLinear::times());
        for &(bytes, count) in sizes {
            size.record_many(bytes, count);
            times.record_many(d2c, count);
        }
        let exact = |h: Histogram| Histogram { rel_width: 0.0, ..h };
        block.histograms.push(exact(size.save("size", Some("read"), "bytes")));
        block.histograms.push(times.save("d2c", Some("read"), "ns"));
        block
    }

    fn found<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
        metrics.iter().find(|metric| metric.name == name).unwrap()
    }

    #[test]
    fn the_same_capture_is_no_distance_away() {
        let one = capture(&[(4096, 900), (65_536, 600)], 2.0, 80_000);
        let metrics = compare(std::slice::from_ref(&one), std::slice::from_ref(&one));
        assert!(passes(&metrics));
        for metric in &metrics {
            assert!(metric.distance.is_none_or(|distance| distance == 0.0), "{metric:?}");
            assert_eq!(metric.noise_floor, None, "a single run has no floor");
        }
        assert_eq!(found(&metrics, "d2c_p99").pass, Some(true));
        assert_eq!(found(&metrics, "sequential").pass, None, "what was not captured is not judged");
    }

    #[test]
    fn other_sizes_fail_and_noise_forgives_only_the_device() {
        let slow = |d2c| capture(&[(4096, 900), (65_536, 600)], 2.0, d2c);
        let metrics = compare(&[slow(100_000)], &[slow(200_000)]);
        assert_eq!(found(&metrics, "d2c_p50").pass, Some(false));
        let metrics = compare(&[slow(100_000), slow(130_000)], &[slow(145_000)]);
        assert_eq!(found(&metrics, "d2c_p50").pass, Some(true), "runs of the original differ as much");
        let metrics = compare(&[slow(100_000)], &[capture(&[(4096, 900), (131_072, 600)], 2.0, 100_000)]);
        assert_eq!(found(&metrics, "size").pass, Some(false));
        let distance = found(&metrics, "size").distance.unwrap();
        // 40 % of the requests move by 64 KiB, the mean is 0.6 x 4 KiB + 0.4 x 64 KiB.
        let expected = 0.4 * 65_536.0 / (0.6 * 4096.0 + 0.4 * 65_536.0);
        assert!((distance - expected).abs() < 1e-3, "{distance} for {expected}");
    }

    /// So many reads and writes in flight for half a second each, together or one after the other.
    fn in_flight(depths: &[[u64; 2]], together: bool) -> BlockResult {
        const HALF: u64 = 500_000_000;
        let mut block = capture(&[(4096, 10_000)], 1.0, 100_000);
        let writes = block.histograms[0].clone();
        block.histograms.push(Histogram { op: Some("write".to_owned()), ..writes });
        let mut all = LogLinear::new(5);
        for direction in [0, 1] {
            let mut busy = LogLinear::new(5);
            depths.iter().for_each(|both| busy.record_many(both[direction], HALF));
            let busy = busy.save("inflight_time", Some(["read", "write"][direction]), "ios");
            block.histograms.push(Histogram { name: "q2c".to_owned(), ..busy.clone() });
            block.histograms.push(busy);
        }
        for both in depths {
            match together {
                true => all.record_many(both.iter().sum(), HALF),
                false => both.iter().for_each(|depth| all.record_many(*depth, HALF)),
            }
        }
        block.histograms.push(all.save("inflight_time", None, "ios"));
        block
    }

    #[test]
    fn one_queue_is_judged_by_its_depth_and_two_by_theirs() {
        let judged = |original: &BlockResult, distilled: &BlockResult| -> Vec<(Option<String>, Option<bool>)> {
            let metrics = compare(std::slice::from_ref(original), std::slice::from_ref(distilled));
            let lines = metrics.into_iter().filter(|metric| metric.name == "in_flight");
            lines.map(|metric| (metric.op, metric.pass)).collect()
        };
        let [read, write] = ["read", "write"].map(|word| Some(word.to_owned()));
        let one = in_flight(&[[24, 8], [30, 2]], true);
        let other_parts = in_flight(&[[20, 12], [26, 6]], true);
        assert_eq!(judged(&one, &other_parts), [(None, Some(true)), (read.clone(), None), (write.clone(), None)]);
        assert_eq!(judged(&one, &in_flight(&[[20, 4], [22, 2]], true))[0], (None, Some(false)), "a smaller depth");
        let apart = in_flight(&[[24, 8]], false);
        let lines = judged(&apart, &in_flight(&[[18, 12]], false));
        assert_eq!(lines, [(read, Some(false)), (write, Some(false))], "one after the other");
    }

    #[test]
    fn a_direction_that_the_job_lost_fails() {
        let metrics = compare(&[capture(&[(4096, 100)], 1.0, 1000)], &[capture(&[], 1.0, 1000)]);
        assert_eq!(found(&metrics, "size").pass, Some(false));
        assert!(!passes(&metrics));
    }
}
