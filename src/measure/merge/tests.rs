use proptest::prelude::*;

use crate::error::Kind;
use crate::measure::Histogram;
use crate::measure::histogram::LogLinear;
use crate::measure::replay::{Cpu, Series, TierReport};
use crate::measure::runs::RequestShare;
use crate::trace::{Op, Phase, Tier};

use super::*;

const START: u64 = 1_795_000_000_000_000_000;

fn times(name: &str, values: &[u64]) -> Histogram {
    let mut counter = LogLinear::times();
    values.iter().for_each(|v| counter.record(*v));
    counter.save(name, None, "ns")
}

/// What is drawn of a shard.
#[derive(Clone, Debug)]
struct Drawn {
    values: Vec<u64>,
    start_ns: u64,
    wall_ns: u64,
    doubled: u32,
    cpu_s: f64,
    complete: bool,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let values = prop::collection::vec(0u64..1 << 40, 0..30);
    (values, 0u64..4_000_000_000, 1u64..60_000_000_000, 0u32..4, 0.0..9.9f64, prop::bool::weighted(0.8)).prop_map(
        |(values, start_ns, wall_ns, doubled, cpu_s, complete)| Drawn {
            values,
            start_ns,
            wall_ns,
            doubled,
            cpu_s,
            complete,
        },
    )
}

fn result(index: u32, count: u32, of: &Drawn) -> ReplayResult {
    let (ops, bytes) = (of.values.len() as u64, of.values.iter().sum::<u64>());
    let started = START + of.start_ns;
    let latency =
        of.values.chunks(10).zip([Phase::Prefill, Phase::Decode, Phase::Evict]).map(|(values, phase)| Latency {
            tier: Tier::Storage,
            op: if values.len() > 5 { Op::Write } else { Op::Read },
            phase,
            ops: values.len() as u64,
            bytes: values.iter().sum(),
            response: times("response", values),
            service: times("service", values),
            by_size: Vec::new(),
        });
    let facts = [("ios", ops.into()), ("read_padding_bytes", 7.into()), ("device", format!("nvme{}", ops % 3).into())];
    let tier = TierReport {
        tier: 2,
        backend: "io_uring".to_owned(),
        target: format!("dir:rank_{index}"),
        direct: Some(of.complete),
        layout: None,
        read_bytes: bytes + 7,
        write_bytes: ops,
        facts: facts.map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value)).into(),
        ..TierReport::default()
    };
    let interval_s = 0.005 * f64::from(1 << of.doubled);
    ReplayResult {
        amplification: Vec::new(),
        gds: None,
        schema: REPLAY_SCHEMA.to_owned(),
        tool: crate::TOOL.to_owned(),
        complete: of.complete,
        valid: of.complete,
        invalid_reasons: if of.complete { Vec::new() } else { vec!["interrupted".to_owned()] },
        notes: vec!["pace asap".to_owned(), format!("{} of it", ops % 2)],
        runs: Runs {
            shard: Some(Shard { index, count, source: "--shard".to_owned() }),
            clock: Some(RunClock {
                started_unix_ns: started,
                first_start_unix_ns: (ops > 0).then_some(started + 1),
                last_end_unix_ns: (ops > 0).then_some(started + of.wall_ns),
                start_at_unix_ns: Some(START),
                start_offset_ns: Some(of.start_ns as i64),
                synchronized: Some(ops % 2 == 0),
            }),
            request_storage: RequestStorage::of(
                of.values
                    .iter()
                    .zip(0..)
                    .map(|(ns, i)| (i, RequestShare { storage_ns: *ns, ..RequestShare::default() })),
            ),
            ..Runs::default()
        },
        host: Host { kernel: format!("6.{index}"), started: format!("{started}"), ..Host::default() },
        trace: TraceFacts { sha256: "ab".to_owned(), rows: ops, peak_bytes: [0, ops, bytes], ..TraceFacts::default() },
        config: [("pace", "asap".into()), ("verify", "stamp".into()), ("tier-2", format!("dir:rank_{index}").into())]
            .map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value))
            .into(),
        totals: Totals {
            ops,
            read_bytes: bytes,
            write_bytes: ops,
            moved_bytes: bytes + ops,
            wall_s: of.wall_ns as f64 / 1e9,
            offered_gb_per_s: Some(of.cpu_s / 3.0),
            prepare_s: of.cpu_s,
            ..Totals::default()
        },
        cpu: Cpu { user_s: of.cpu_s, sys_s: of.cpu_s / 7.0, ..Cpu::default() },
        tiers: vec![tier],
        latency: latency.collect(),
        requests: None,
        requests_absent: Some("a shard".to_owned()),
        verdict: Verdict { bound: if ops > 9 { "device" } else { "dram" }.to_owned(), because: "it is".to_owned() },
        tokens: Some(Tokens { tier2_moved_per_s: of.cpu_s, ..Tokens::default() }),
        timing: Timing {
            pacing: "asap".to_owned(),
            lateness: times("lateness", &of.values),
            late_fraction: of.cpu_s / 10.0,
            drift_ppm: Some(of.cpu_s - 5.0),
            ..Timing::default()
        },
        verify: Verify { level: "stamp".to_owned(), checks: ops, ..Verify::default() },
        errors: of.values.iter().map(|v| IoError { row: v % 7, key: format!("{v}"), ..IoError::default() }).collect(),
        block: None,
        series: Series { interval_s, ops: of.values.clone(), lateness_max_ns: of.values.clone(), ..Series::default() },
    }
}

fn named(results: Vec<ReplayResult>) -> Vec<(String, ReplayResult)> {
    results.into_iter().enumerate().map(|(i, result)| (format!("r{i}.json"), result)).collect()
}

fn shards_from(all: &[Drawn]) -> Vec<ReplayResult> {
    all.iter().enumerate().map(|(i, of)| result(i as u32, all.len() as u32, of)).collect()
}

fn plain(ops: usize) -> Drawn {
    Drawn { values: vec![5; ops], start_ns: 0, wall_ns: 1_000_000_000, doubled: 0, cpu_s: 1.0, complete: true }
}

proptest! {
    #[test]
    fn neither_order_nor_grouping_shows(
        all in prop::collection::vec(drawn(), 2..6),
        order in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let results = shards_from(&all);
        let whole = merge(named(results.clone()), false).unwrap();
        let mut turned = results;
        let by = order.index(turned.len());
        turned.rotate_left(by);
        turned.swap(0, by);
        let at = 1 + cut.index(turned.len() - 1);
        let right = merge(named(turned.split_off(at)), true).unwrap();
        let left = merge(named(turned), true).unwrap();
        let both = merge(named(vec![right, left]), false).unwrap();
        prop_assert_eq!(&both, &whole);
        // And it survives being saved; fractions do to their last digit but one.
        let saved: ReplayResult = serde_json::from_slice(&crate::output::to_json(&both)).unwrap();
        prop_assert_eq!((&saved.latency, &saved.series.ops), (&whole.latency, &whole.series.ops));
        prop_assert_eq!(&saved.runs.request_storage, &whole.runs.request_storage);
        prop_assert_eq!(saved.runs.clock, whole.runs.clock);
        prop_assert_eq!(saved.runs.parts.len(), whole.runs.parts.len());
    }

    #[test]
    fn nothing_is_lost(all in prop::collection::vec(drawn(), 2..6)) {
        let merged = merge(named(shards_from(&all)), false).unwrap();
        let values: Vec<u64> = all.iter().flat_map(|of| of.values.clone()).collect();
        prop_assert_eq!(merged.totals.ops, values.len() as u64);
        prop_assert_eq!(&merged.timing.lateness.count, &(values.len() as u64));
        prop_assert_eq!(merged.totals.read_bytes, values.iter().sum::<u64>());
        prop_assert_eq!(merged.series.ops.iter().sum::<u64>(), values.iter().sum::<u64>());
        prop_assert_eq!(merged.latency.iter().map(|l| l.response.sum).sum::<i128>(),
            all.iter().flat_map(|of| of.values.iter().take(30)).map(|v| i128::from(*v)).sum::<i128>());
        prop_assert_eq!(merged.valid, all.iter().all(|of| of.complete) && !merged.invalid_reasons.iter().any(|r| r.contains("together")));
        let storage = merged.runs.request_storage.unwrap();
        prop_assert_eq!(storage.storage_ns.iter().sum::<u64>(), values.iter().sum::<u64>());
    }
}

#[test]
fn the_wall_is_from_the_earliest_start_to_the_latest_end() {
    let late = Drawn { start_ns: 500_000_000, ..plain(2) };
    let merged = merge(named(shards_from(&[plain(3), late])), false).unwrap();
    assert!((merged.totals.wall_s - 1.499_999_999).abs() < 1e-12, "{}", merged.totals.wall_s);
    // 25 bytes read, 5 written: rates over that wall, padding left out.
    assert!((merged.totals.read_gb_per_s - 25.0 / 1.499_999_999 / 1e9).abs() < 1e-15);
    assert!(merged.valid && merged.notes.iter().any(|note| note.contains("33 % of the time")), "{:?}", merged.notes);
    assert_eq!(merged.runs.clock.unwrap().start_offset_ns, Some(500_000_000));
    assert_eq!(merged.host.kernel, "6.0");
    assert_eq!(merged.runs.parts[1].host.kernel, "6.1");
}

#[test]
fn shards_that_did_not_run_together_are_not_valid() {
    let late = Drawn { start_ns: 3_000_000_000, ..plain(2) };
    let merged = merge(named(shards_from(&[plain(3), late])), false).unwrap();
    assert!(
        !merged.valid && merged.invalid_reasons[0].contains("did not run together"),
        "{:?}",
        merged.invalid_reasons
    );
}

#[test]
fn a_missing_shard_is_named_and_accepted_only_when_asked() {
    let mut results = shards_from(&[plain(1), plain(2), plain(3)]);
    results.remove(1);
    let error = merge(named(results.clone()), false).unwrap_err();
    assert!(error.kind() == Kind::Usage && error.to_string().contains("shard 1 of 3 missing"), "{error}");
    let merged = merge(named(results), true).unwrap();
    assert!(!merged.valid && !merged.complete);
    assert!(merged.invalid_reasons[0].contains("shard 1 of 3 missing"), "{:?}", merged.invalid_reasons);
}

#[test]
fn what_is_not_of_one_run_is_refused() {
    let refused = |change: fn(&mut ReplayResult)| {
        let mut results = shards_from(&[plain(1), plain(2)]);
        change(&mut results[1]);
        merge(named(results), false).unwrap_err().to_string()
    };
    assert!(refused(|r| r.trace.sha256 = "cd".to_owned()).contains("sha256"));
    assert!(refused(|r| r.runs.shard.as_mut().unwrap().count = 3).contains("number of shards"));
    assert!(
        refused(|r| r.runs.shard.as_mut().unwrap().index = 0)
            .contains("shard 0 is there twice, in r0.json and in r1.json")
    );
    assert!(refused(|r| r.runs.shard = None).contains("not a shard"));
    let other_pace = |r: &mut ReplayResult| drop(r.config.insert("pace".to_owned(), "trace".into()));
    assert!(refused(other_pace).contains("--pace"), "{}", refused(other_pace));
    let other_kind = |r: &mut ReplayResult| drop(r.config.insert("tier-2".to_owned(), "dram".into()));
    assert!(refused(other_kind).contains("--tier-2"));
    assert!(refused(|r| r.runs.trials.push(Default::default())).contains("trials"));
    assert!(merge(Vec::new(), false).is_err());
}
