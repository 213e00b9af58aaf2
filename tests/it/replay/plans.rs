//! `kvtrace replay --plan-only`: what a trace will take, before and after it is there.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::trace;
use crate::support::Bench;

#[test]
fn tiers_hold_what_they_held_when_the_trace_was_recorded() {
    let bench = Bench::on_disk();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/golden.csv");
    let meta: Value = serde_json::from_slice(&fs::read(golden.with_extension("csv.meta.json")).unwrap()).unwrap();
    let recorded: Vec<_> = (0..3).map(|tier| meta["record"]["tiers"][tier]["peak_bytes"].as_u64().unwrap()).collect();
    let plan = |name: &str| -> Value {
        serde_json::from_str(&bench.ok(&["replay", name, "--plan-only", "--json", "--tier-2", "dir:D"])).unwrap()
    };
    let peaks = |plan: &Value| -> Vec<_> {
        plan["plan"]["peak_bytes"].as_array().unwrap().iter().map(|bytes| bytes.as_u64().unwrap()).collect()
    };
    let golden = golden.to_str().unwrap();
    assert_eq!(peaks(&plan(golden)), recorded);
    bench.ok(&["convert", golden, "six.csv", "--columns", "mlperf"]);
    let six = peaks(&plan("six.csv"));
    assert!(six[2] < recorded[2], "without Delete rows objects go with their last use: {six:?}");
    assert!(bench.ok(&["replay", "six.csv", "--plan-only", "--tier-2", "dir:D"]).contains("has no Delete rows"));
    bench.ok(&["replay", golden, "--tier-2", "dir:D", "--verify", "full", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert!(result["verify"]["failure_count"] == 0 && !result["notes"].to_string().contains("Delete"));
}

#[test]
fn a_plan_says_what_the_slab_will_take() {
    let bench = Bench::on_disk();
    let objects = (0..10).map(|i| format!("0 Write 4000000 Tier-2 k{i} Prefill"));
    let reads = (0..10).map(|i| format!("1 Read 4000000 Tier-2 k{i} Decode"));
    let rows: Vec<_> = objects.chain(reads).collect();
    trace(&bench, "t.csv", &rows);
    let plan = |more: &[&str]| bench.ok(&[&["replay", "t.csv", "--tier-2", "dir:D", "--plan-only"], more].concat());
    let disk = || serde_json::from_str::<Value>(&plan(&["--json"])).unwrap()["disk"][0].clone();
    let planned = disk();
    assert_eq!((&planned["tier"], &planned["there"]), (&2.into(), &false.into()));
    let bytes = planned["bytes"].as_u64().unwrap();
    assert!((40_000_000..40_000_000 * 5 / 4 + (9 << 20)).contains(&bytes), "{bytes} for 40 MB");
    assert!(plan(&[]).contains("on disk, D/kvtrace-tier2.slab, will be written"));
    assert!(!bench.path("D").exists());
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D"]);
    assert_eq!(fs::metadata(bench.path("D/kvtrace-tier2.slab")).unwrap().len(), bytes);
    assert_eq!(disk()["there"], true);
}

#[test]
fn a_plan_says_how_long_the_run_takes_by_its_schedule() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..21).map(|i| format!("{i} Write 4096 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "six.csv", &rows);
    let mut config: Vec<_> = ["replay", "six.csv", "--tier-2", "dir:D", "--plan-only"].to_vec();
    let run_s = |args: &[&str]| {
        serde_json::from_str::<Value>(&bench.ok(&[args, &["--json"]].concat())).unwrap()["run_s"].clone()
    };
    assert_eq!(run_s(&config), Value::Null, "as long as the tiers take");
    assert!(bench.ok(&config).contains("takes as long as the tiers do"));
    config.extend(["--pace", "rate:42/s"]);
    assert_eq!(run_s(&config), 0.5);
    assert!(bench.ok(&config).contains("takes 500 ms by --pace rate:42/s"), "{}", bench.ok(&config));
    bench.ok(&["record", "synthetic", "-o", "own.csv", "--num-users", "2", "--duration", "20s"]);
    let own = [
        "replay",
        "own.csv",
        "--tier-2",
        "dir:D",
        "--plan-only",
        "--size-scale",
        "0.001",
        "--pace",
        "trace",
        "--speed",
        "10",
    ];
    let span = serde_json::from_str::<Value>(&bench.ok(&[&own[..], &["--json"]].concat())).unwrap();
    let (span, run) = (span["plan"]["span_s"].as_f64().unwrap(), span["run_s"].as_f64().unwrap());
    assert!(span > 1.0 && (run - span / 10.0).abs() < 1e-9, "{span} {run}");
    assert!(bench.ok(&own).contains("by --pace trace --speed 10"));
}
