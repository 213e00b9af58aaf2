//! `kvtrace replay`: on a real disk, with real and with broken input.

mod devices;
mod faults;
mod flags;
mod gds;
mod gpu;
mod memory;
mod onlooker;
mod pace;
mod plans;
mod refusals;
mod requests;
mod stalls;
mod storage;
mod truth;
mod volumes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kvtrace::error::Kind;
use kvtrace::progress::Silent;
use kvtrace::replay::{Pace, ReplayConfig, Target, Unwatched, Verify, replay};
use kvtrace::seed::Seed;
use kvtrace::stop::Stop;
use kvtrace::trace::{Op, Phase, Record, Tier};
use serde_json::Value;

use crate::support::{Bench, data};

const TINY: &str = "mlperf/tiny1b_3u_5s_tp2_rag_capped.csv";
const HEADER: &str = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n";

/// A trace of the six columns from `time op size tier key phase` lines.
fn trace(bench: &Bench, name: &str, rows: &[impl AsRef<str>]) -> PathBuf {
    let lines: Vec<_> = rows.iter().map(|row| row.as_ref().replace(' ', ",")).collect();
    bench.write(name, format!("{HEADER}{}\n", lines.join("\n")))
}

/// A row of tier 2 on a key and at a time of its own.
fn record(i: i64, op: Op, size_bytes: u64, phase: Phase, request: Option<u64>) -> Record {
    Record {
        at_ns: i * 1_000_000,
        op,
        size_bytes,
        tier: Tier::Storage,
        key: format!("k{i}").into(),
        phase,
        request,
        conversation: None,
        turn: None,
        tokens: None,
    }
}

type Bytes = BTreeMap<(u64, String, String), (u64, u64)>;

/// Operations and bytes by tier, direction and phase, as a CSV has them.
fn csv_bytes(path: &Path) -> Bytes {
    let mut sums = Bytes::new();
    for line in fs::read_to_string(path).unwrap().lines().skip(1) {
        let f: Vec<_> = line.split(',').collect();
        let key = (f[3][5..].parse().unwrap(), f[1].to_lowercase(), f[5].to_lowercase());
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + 1, sum.1 + f[2].parse::<u64>().unwrap());
    }
    sums
}

/// The same, as a result has them.
fn result_bytes(result: &Value) -> Bytes {
    let word = |kind: &Value, name: &str| kind[name].as_str().unwrap().to_owned();
    let kinds = result["latency"].as_array().unwrap().iter();
    kinds
        .map(|k| {
            let (ops, bytes) = (k["ops"].as_u64().unwrap(), k["bytes"].as_u64().unwrap());
            assert_eq!((k["response"]["count"].as_u64(), k["service"]["count"].as_u64()), (Some(ops), Some(ops)));
            ((k["tier"].as_u64().unwrap(), word(k, "op"), word(k, "phase")), (ops, bytes))
        })
        .collect()
}

#[test]
fn the_references_trace_moves_exactly_its_bytes_and_verifies() {
    let Some(tiny) = data(TINY) else { return };
    let bench = Bench::on_disk();
    bench.ok(&["replay", tiny.to_str().unwrap(), "--tier-2", "dir:D", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert_eq!(result["schema"], "kvtrace.replay/1");
    assert_eq!(result_bytes(&result), csv_bytes(&tiny));
    assert_eq!((&result["complete"], &result["valid"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!((&result["verify"]["failure_count"], &result["errors"]), (&0.into(), &Value::Array(vec![])));
    assert!(result["verify"]["checks"].as_u64() > Some(500_000));
    let storage = &result["tiers"][2];
    assert_eq!((&storage["direct"], storage["backend"].as_str()), (&Value::Bool(true), Some("io_uring")));
    assert_eq!(storage["read_bytes"], 753_364_992u64);
    assert_eq!(storage["write_bytes"], 2_320_613_376u64);
    assert_eq!(result["tiers"][1]["write_bytes"], 2_526_965_760u64);
    assert_eq!(result["tiers"][0]["read_bytes"], 0, "a modelled tier moves nothing");
    assert_eq!(result["trace"]["inversions"], 6);
    assert!(result["requests"].is_null() && result["requests_absent"].as_str().unwrap().contains("requests.parquet"));
    let series = &result["series"];
    let sum = |name: &str| series[name].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("tier2_read_bytes"), sum("tier2_write_bytes")), (753_364_992, 2_320_613_376));
    assert_eq!(sum("ops"), 889);
}

#[test]
fn a_slab_is_kept_and_reused() {
    let bench = Bench::on_disk();
    let rows =
        ["0 Write 3000000 Tier-2 a Prefill", "1 Read 3000000 Tier-2 a Decode", "2 Read 500001 Tier-2 cold Decode"];
    trace(&bench, "t.csv", &rows);
    let run = |more: &[&str]| {
        let args = [&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json", "--verify", "full"], more].concat();
        bench.ok(&args);
        bench.json("r.json")
    };
    let (first, second, third) = (run(&[]), run(&["--prepare", "never"]), run(&["--prepare", "always"]));
    let slab = |result: &Value| result["tiers"][2]["facts"]["slab"].as_str().unwrap().to_owned();
    assert_eq!(slab(&first), "written before the run");
    assert_eq!((slab(&second), slab(&third)), ("reused".to_owned(), "written before the run".to_owned()));
    assert_eq!((&first["trace"]["cold_keys"], &second["verify"]["failure_count"]), (&1.into(), &0.into()));
    assert_eq!(second["config"]["data-epoch"], 2, "a second run on the same slab has data of its own");
    let names: Vec<_> = fs::read_dir(bench.path("D")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["kvtrace-tier2.slab"]);
    let padding = first["tiers"][2]["facts"]["write_padding_bytes"].as_u64().unwrap();
    assert_eq!(first["tiers"][2]["write_bytes"], 3_000_000 + padding);
    assert_eq!((3_000_000 + padding) % 4096, 0);
}

#[test]
fn every_kind_of_move_carries_its_content() {
    let bench = Bench::on_disk();
    let mut rows = Vec::new();
    for (i, (from, to)) in [(1, 2), (2, 1), (0, 1), (0, 2), (2, 0), (1, 0), (1, 2), (2, 1)].iter().enumerate() {
        let phase = if to > from { "Evict" } else { "Decode" };
        rows.push(format!("{i} Write 2500000 Tier-{from} k{i} Prefill"));
        rows.push(format!("{i} Read 2500000 Tier-{from} k{i} {phase}"));
        rows.push(format!("{i} Write 2500000 Tier-{to} k{i} {phase}"));
        rows.push(format!("{i} Read 2500000 Tier-{to} k{i} Decode"));
    }
    let path = trace(&bench, "t.csv", &rows);
    for tiers in [["dram", "dir:A", "dir:B"], ["model:64GB/s+10us", "dram", "dir:B"], ["dir:A", "dir:C", "dram"]] {
        let args =
            ["--tier-0", tiers[0], "--tier-1", tiers[1], "--tier-2", tiers[2], "--verify", "full", "-o", "r.json"];
        bench.ok(&[&["replay", "t.csv", "--io-size", "256KiB", "--bytes-in-flight", "1MiB"][..], &args].concat());
        let result = bench.json("r.json");
        assert_eq!(result_bytes(&result), csv_bytes(&path), "{tiers:?}");
        assert_eq!(result["verify"]["failure_count"], 0, "{tiers:?}");
    }
}

/// Rows that nobody planned: any operation on any tier, sizes that change, keys that come back.
fn wild_rows(seed: u64, count: u64) -> Vec<String> {
    let mut draw = Seed(seed).stream("wild rows", 0, 0);
    let rows = (0..count).map(|at| {
        let op = ["Read", "Read", "Write", "Write", "Delete"][draw.below(5) as usize];
        let phase = ["Prefill", "Decode", "Evict"][draw.below(3) as usize];
        let power = 8 + draw.below(12);
        let size = 1 + draw.below(1 << power);
        format!("{}.{:06} {op} {size} Tier-{} k{} {phase}", at / 1000, at % 1000, draw.below(3), draw.below(15))
    });
    rows.collect()
}

#[test]
fn rows_in_any_order_are_executed_and_what_is_read_is_right() {
    let bench = Bench::on_disk();
    let model = || "model:1GB/s+20us".parse::<Target>().unwrap();
    for seed in 0..12 {
        let rows = wild_rows(seed, 400);
        let mut config = ReplayConfig::new(trace(&bench, "t.csv", &rows));
        let dir = |name: &str| Target::Dir(bench.path(name));
        config.targets = match seed % 4 {
            0 => [model(), Target::Dram(None), dir("A")],
            1 => [Target::Dram(None), dir("B"), dir("A")],
            2 => [dir("B"), model(), dir("A")],
            _ => [dir("C"), dir("B"), Target::Dram(None)],
        };
        config.verify = Verify::Full;
        config.io_size_bytes = if seed % 3 == 0 { 4096 } else { 128 << 10 };
        config.bytes_in_flight = if seed % 2 == 0 { 128 << 10 } else { 4 << 20 };
        config.max_objects = [None, Some(1), Some(7)][seed as usize % 3];
        config.pace = if seed % 5 == 4 { Pace::Rate(5000.0) } else { Pace::Asap };
        let replayed = replay(&config, &mut Unwatched, &Stop::new(), &Silent).unwrap();
        // A busy machine may not keep the pace; nothing else may go wrong.
        let wrong = replayed.failure.filter(|e| e.kind() != Kind::NotSustained || config.pace == Pace::Asap);
        assert!(wrong.is_none(), "seed {seed}: {wrong:?}");
        let result = replayed.result;
        assert_eq!((result.totals.ops, result.verify.failure_count), (400, 0), "seed {seed}");
        assert!(result.verify.checked_bytes > 0, "seed {seed}");
    }
}
