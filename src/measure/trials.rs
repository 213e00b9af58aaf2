//! Several runs of one plan, one after the other: their sum, and how much they differ.

use std::collections::BTreeSet;

use super::replay::{Cpu, Latency, ReplayResult, Tokens, Totals, Verdict};
use super::runs::{Runs, Statistic, Trial};
use super::sums;
use super::timeline::Timeline;

/// The 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom (NIST/SEMATECH e-Handbook of
/// Statistical Methods, section 1.3.6.7.2).
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The same of the normal distribution, to which it tends.
const Z_975: f64 = 1.959_964;

/// The 97.5 % quantile of Student's t. Beyond the table: the first terms of Abramowitz and Stegun
/// 26.7.5, exact to four digits there.
fn t_975(freedom: usize) -> f64 {
    if let Some(t) = T_975.get(freedom.wrapping_sub(1)) {
        return *t;
    }
    let (z, n) = (Z_975, freedom as f64);
    z + (z.powi(3) + z) / (4.0 * n) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
}

impl Statistic {
    /// Of values in the order of the trials; none of no values.
    pub fn of(metric: String, unit: &str, values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation =
            (values.len() > 1).then(|| (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt());
        let half = deviation.map(|d| t_975(values.len() - 1) * d / n.sqrt());
        Some(Self {
            metric,
            unit: unit.to_owned(),
            mean,
            cv: deviation.filter(|_| mean != 0.0).map(|d| d / mean),
            ci95_low: half.map(|half| mean - half),
            ci95_high: half.map(|half| mean + half),
            values,
        })
    }
}

/// How much trials differ: by rate, processor time, wall time and quantiles of latency.
pub fn statistics(trials: &[ReplayResult]) -> Vec<Statistic> {
    let of = |metric: &str, unit: &str, value: fn(&ReplayResult) -> Option<f64>| {
        Statistic::of(metric.to_owned(), unit, trials.iter().filter_map(value).collect())
    };
    let mut all: Vec<_> = [
        of("wall", "s", |r| Some(r.totals.wall_s)),
        of("read", "GB/s", |r| Some(r.totals.read_gb_per_s)),
        of("write", "GB/s", |r| Some(r.totals.write_gb_per_s)),
        of("storage_read", "GB/s", |r| r.storage_gb_per_s().map(|rates| rates.0)),
        of("storage_write", "GB/s", |r| r.storage_gb_per_s().map(|rates| rates.1)),
        of("cpu", "s/GB", |r| r.cpu.s_per_gb),
    ]
    .into_iter()
    .flatten()
    .collect();
    all.extend(quantiles(trials));
    all
}

/// Quantiles of response and service by tier, direction and phase.
fn quantiles(trials: &[ReplayResult]) -> Vec<Statistic> {
    let key = |l: &Latency| (l.tier, l.op as u8, l.phase as u8);
    let kinds: BTreeSet<_> = trials.iter().flat_map(|r| &r.latency).map(key).collect();
    let mut all = Vec::new();
    for kind in kinds {
        let of_kind: Vec<_> = trials.iter().filter_map(|r| r.latency.iter().find(|l| key(l) == kind)).collect();
        let name = format!("tier{}.{}.{}", u8::from(of_kind[0].tier), of_kind[0].op, of_kind[0].phase).to_lowercase();
        for (word, q) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let response = of_kind.iter().filter_map(|l| l.response.quantile(q)).collect();
            let service = of_kind.iter().filter_map(|l| l.service.quantile(q)).collect();
            all.extend(Statistic::of(format!("{name}.response.{word}"), "ns", response));
            all.extend(Statistic::of(format!("{name}.service.{word}"), "ns", service));
        }
    }
    all
}

/// The trials as one result: their sums, rates over their summed wall time, each trial's own
/// figures, and how much they differ. The list is not empty.
pub fn in_turn(trials: Vec<ReplayResult>) -> ReplayResult {
    let statistics = statistics(&trials);
    let shown = trials.iter().map(trial).collect();
    let totals = totals(&trials);
    let cpu = cpu(&trials, totals.moved_bytes);
    let tokens = tokens(&trials, totals.wall_s);
    let tiers = sums::tiers(trials.iter().map(|r| &r.tiers[..]), false);
    let (notes, reasons) = (said(&trials, |r| &r.notes), said(&trials, |r| &r.invalid_reasons));
    let verdict = verdict(&trials);
    let (last_end, late) = (last_end(&trials), late_fraction(&trials));
    let drift = trials.iter().filter_map(|r| r.timing.drift_ppm).max_by(|a, b| a.abs().total_cmp(&b.abs()));
    let mut trials = trials.into_iter();
    let mut sum = trials.next().expect("there is a trial");
    let mut line = timeline(&mut sum);
    for mut other in trials {
        line = line.with(timeline(&mut other));
        add(&mut sum, other);
    }
    sum.series = line.series();
    sum.runs = Runs { trials: shown, statistics, ..sum.runs };
    if let Some(clock) = &mut sum.runs.clock {
        clock.last_end_unix_ns = last_end;
    }
    (sum.timing.late_fraction, sum.timing.drift_ppm) = (late, drift);
    (sum.notes, sum.invalid_reasons) = (notes, reasons);
    ReplayResult { totals, cpu, tiers, tokens, verdict, ..sum }
}

/// Adds what can be added as it comes. The rest is of the first trial, or is set by the caller.
fn add(sum: &mut ReplayResult, other: ReplayResult) {
    let ReplayResult {
        schema: _,
        tool: _,
        complete,
        valid,
        invalid_reasons: _,
        notes: _,
        runs: _,
        host: _,
        trace: _,
        config: _,
        totals: _,
        cpu: _,
        tiers: _,
        amplification,
        latency,
        requests,
        requests_absent,
        verdict: _,
        tokens: _,
        timing,
        verify,
        errors,
        gds,
        block,
        series: _,
    } = other;
    sum.gds = sums::gds(sum.gds.take(), gds);
    sum.complete &= complete;
    sum.valid &= valid;
    sums::latency(&mut sum.latency, latency);
    sums::amplification(&mut sum.amplification, amplification);
    match (&mut sum.requests, requests) {
        (Some(mine), Some(other)) => sums::requests(mine, other),
        _ => {
            sum.requests = None;
            sum.requests_absent = sum.requests_absent.take().or(requests_absent);
        }
    }
    let spin_margin_ns = sum.timing.spin_margin_ns.max(timing.spin_margin_ns);
    sums::timing(&mut sum.timing, timing);
    sum.timing.spin_margin_ns = spin_margin_ns;
    sums::verify(&mut sum.verify, verify);
    sums::errors(&mut sum.errors, errors);
    match (&mut sum.block, block) {
        (Some(mine), Some(other)) => sums::block(mine, other),
        _ => sum.block = None,
    }
}

fn timeline(result: &mut ReplayResult) -> Timeline {
    let started = result.runs.clock.map_or(0, |clock| clock.started_unix_ns);
    Timeline::new(std::mem::take(&mut result.series), started)
}

fn trial(result: &ReplayResult) -> Trial {
    Trial {
        totals: result.totals.clone(),
        cpu: result.cpu.clone(),
        complete: result.complete,
        valid: result.valid,
        invalid_reasons: result.invalid_reasons.clone(),
        clock: result.runs.clock,
        verdict: result.verdict.clone(),
    }
}

fn last_end(trials: &[ReplayResult]) -> Option<u64> {
    trials.iter().filter_map(|r| r.runs.clock?.last_end_unix_ns).max()
}

fn late_fraction(trials: &[ReplayResult]) -> f64 {
    let starts: u64 = trials.iter().map(|r| r.timing.lateness.count).sum();
    let late: f64 = trials.iter().map(|r| r.timing.late_fraction * r.timing.lateness.count as f64).sum();
    if starts == 0 { 0.0 } else { late / starts as f64 }
}

fn totals(trials: &[ReplayResult]) -> Totals {
    let mut sum = Totals { offered_gb_per_s: trials[0].totals.offered_gb_per_s, ..Totals::default() };
    for Totals {
        ops,
        read_bytes,
        write_bytes,
        moved_bytes,
        wall_s,
        read_gb_per_s: _,
        write_gb_per_s: _,
        offered_gb_per_s: _,
        prepare_s,
    } in trials.iter().map(|r| &r.totals)
    {
        sum.ops += ops;
        sum.read_bytes += read_bytes;
        sum.write_bytes += write_bytes;
        sum.moved_bytes += moved_bytes;
        sum.wall_s += wall_s;
        sum.prepare_s += prepare_s;
    }
    let moved = trials.iter().map(|r| sums::moved(&r.tiers)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    sum.set_rates(moved);
    sum
}

impl Totals {
    /// Rates of bytes really read and written over the wall time.
    pub fn set_rates(&mut self, moved: (u64, u64)) {
        let rate = |bytes: u64| if self.wall_s > 0.0 { bytes as f64 / self.wall_s / 1e9 } else { 0.0 };
        (self.read_gb_per_s, self.write_gb_per_s) = (rate(moved.0), rate(moved.1));
    }
}

fn cpu(trials: &[ReplayResult], moved_bytes: u64) -> Cpu {
    total_cpu(trials.iter().map(|r| &r.cpu), moved_bytes)
}

/// Processor time of several runs that moved so many bytes together.
pub fn total_cpu<'a>(runs: impl Iterator<Item = &'a Cpu>, moved_bytes: u64) -> Cpu {
    let mut sum = Cpu::default();
    for Cpu { user_s, sys_s, fill_s, verify_s, s_per_gb: _ } in runs {
        sum.user_s += user_s;
        sum.sys_s += sys_s;
        sum.fill_s += fill_s;
        sum.verify_s += verify_s;
    }
    sum.s_per_gb = (moved_bytes > 0).then(|| (sum.user_s + sum.sys_s) / (moved_bytes as f64 / 1e9));
    sum
}

/// Token rates over all trials.
fn tokens(trials: &[ReplayResult], wall_s: f64) -> Option<Tokens> {
    let sums = trials.iter().map(|r| Some(r.tokens.as_ref()?.sums));
    let sum = sums.reduce(|a, b| Some(a?.with(b?))).flatten()?;
    (wall_s > 0.0).then(|| sum.rates(wall_s))
}

/// What bounded the trials, if the same bounded all.
fn verdict(trials: &[ReplayResult]) -> Verdict {
    let (first, count) = (&trials[0].verdict, trials.len());
    if trials.iter().all(|r| r.verdict.bound == first.bound) {
        let because = if count == 1 {
            first.because.clone()
        } else {
            format!("in each of {count} trials; in the first {}", first.because)
        };
        return Verdict { bound: first.bound.clone(), because };
    }
    let each =
        trials.iter().enumerate().map(|(i, r)| format!("trial {}: {}: {}", i + 1, r.verdict.bound, r.verdict.because));
    Verdict { bound: "differs".to_owned(), because: each.collect::<Vec<_>>().join("; ") }
}

/// What all trials say once, and what some say with their numbers.
fn said(trials: &[ReplayResult], list: fn(&ReplayResult) -> &Vec<String>) -> Vec<String> {
    let lists: Vec<_> = trials.iter().enumerate().map(|(i, r)| (i as u32 + 1, &list(r)[..])).collect();
    if lists.len() == 1 { list(&trials[0]).clone() } else { collected("trial", &lists) }
}

/// The sentences of several runs, in the order in which they first appear; those that not all say
/// name who does.
pub fn collected(word: &str, lists: &[(u32, &[String])]) -> Vec<String> {
    let mut order: Vec<&String> = Vec::new();
    for text in lists.iter().flat_map(|(_, list)| list.iter()) {
        if !order.contains(&text) {
            order.push(text);
        }
    }
    order
        .into_iter()
        .map(|text| {
            let who = lists.iter().filter(|(_, list)| list.contains(text));
            let who: Vec<_> = who.map(|(number, _)| number.to_string()).collect();
            match who.len() {
                all if all == lists.len() && all > 1 => format!("all {word}s: {text}"),
                1 => format!("{word} {}: {text}", who[0]),
                _ => format!("{word}s {}: {text}", who.join(", ")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        // Values, mean and interval by hand: sd = 1, n = 4, t(3) = 3.182.
        let values = vec![9.0, 10.0, 10.0, 11.0];
        let s = Statistic::of("x".to_owned(), "s", values).unwrap();
        let sd = (2.0f64 / 3.0).sqrt();
        assert!((s.mean - 10.0).abs() < 1e-12 && (s.cv.unwrap() - sd / 10.0).abs() < 1e-12);
        let half = 3.182 * sd / 2.0;
        assert!((s.ci95_low.unwrap() - (10.0 - half)).abs() < 1e-9, "{s:?}");
        assert!((s.ci95_high.unwrap() - (10.0 + half)).abs() < 1e-9, "{s:?}");
        let one = Statistic::of("x".to_owned(), "s", vec![3.0]).unwrap();
        assert_eq!((one.mean, one.cv, one.ci95_low, one.ci95_high), (3.0, None, None, None));
        assert_eq!(Statistic::of("x".to_owned(), "s", Vec::new()), None);
    }

    #[test]
    fn the_table_goes_over_into_the_formula() {
        // The same handbook: 2.040 for 31, 2.000 for 60, 1.984 for 100.
        for (freedom, t) in [(31, 2.040), (60, 2.000), (100, 1.984), (1_000_000, 1.960)] {
            assert!((t_975(freedom) - t).abs() < 0.0006, "{freedom}: {}", t_975(freedom));
        }
        assert!((1..200).all(|n| t_975(n) > t_975(n + 1)));
    }

    #[test]
    fn what_all_say_is_said_once() {
        let (a, b) = (["same".to_owned(), "only a".to_owned()], ["same".to_owned()]);
        assert_eq!(collected("trial", &[(1, &a), (2, &b)]), ["all trials: same", "trial 1: only a"]);
    }
}
