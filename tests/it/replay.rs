//! `kvtrace replay`: on a real disk, with real and with broken input.

mod devices;
mod faults;
mod flags;
mod gpu;
mod memory;
mod pace;
mod stalls;
mod storage;
mod truth;
mod volumes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kvtrace::error::{Kind, Result};
use kvtrace::measure::BlockResult;
use kvtrace::progress::Silent;
use kvtrace::replay::{Device, Pace, ReplayConfig, RunWatch, Target, Unwatched, Verify, replay};
use kvtrace::seed::Seed;
use kvtrace::stop::Stop;
use kvtrace::trace::meta::{ModelFacts, Source};
use kvtrace::trace::{
    Meta, Op, Phase, Record, RequestKind, RequestRow, RequestsWriter, Tier, TraceWriter, WriteOptions, requests_path,
};
use serde_json::Value;

use crate::support::{Bench, data};

const TINY: &str = "mlperf/tiny1b_3u_5s_tp2_rag_capped.csv";
const HEADER: &str = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n";

/// A trace of the six columns from `time op size tier key phase` lines.
fn trace(bench: &Bench, name: &str, rows: &[&str]) -> PathBuf {
    let lines: Vec<_> = rows.iter().map(|row| row.replace(' ', ",")).collect();
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
    let path = trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    for tiers in [["dram", "dir:A", "dir:B"], ["model:64GB/s+10us", "dram", "dir:B"], ["dir:A", "dir:C", "dram"]] {
        let args =
            ["--tier-0", tiers[0], "--tier-1", tiers[1], "--tier-2", tiers[2], "--verify", "full", "-o", "r.json"];
        bench.ok(&[&["replay", "t.csv", "--io-size", "256KiB", "--bytes-in-flight", "1MiB"][..], &args].concat());
        let result = bench.json("r.json");
        assert_eq!(result_bytes(&result), csv_bytes(&path), "{tiers:?}");
        assert_eq!(result["verify"]["failure_count"], 0, "{tiers:?}");
    }
}

#[test]
fn a_paced_replay_keeps_the_traces_schedule() {
    let bench = Bench::on_disk();
    let path = bench.path("t.csv");
    let mut meta = Meta::foreign(Source { kind: "test".to_owned(), ..Source::default() });
    meta.time_model = Some("test".to_owned());
    let mut writer = TraceWriter::create(&path, WriteOptions::default(), 0).unwrap();
    for i in 0..200i64 {
        for (op, late) in [(Op::Write, 0), (Op::Read, 2_000_000)] {
            let phase = if op == Op::Write { Phase::Prefill } else { Phase::Decode };
            let row = Record { at_ns: i * 10_000_000 + late, ..record(i, op, 200_000, phase, None) };
            writer.write(&row).unwrap();
        }
    }
    meta.rows = Some(400);
    writer.finish(&meta).unwrap();
    let ended = bench.run(&["replay", "t.csv", "--pace", "trace", "--speed", "2", "-o", "r.json"]);
    let result = bench.json("r.json");
    let wall = result["totals"]["wall_s"].as_f64().unwrap();
    assert_eq!(result["totals"]["ops"], 400);
    // The first or the last start may be late on a busy machine, and the last read waits for its
    // write; nothing else moves the schedule.
    let drift = result["timing"]["drift_ppm"].as_f64().unwrap();
    let longest = |of: &str| result["timing"][of]["max"].as_f64().unwrap();
    let latest = longest("lateness") + longest("wait");
    // A busy disk may take long over the last of them.
    let service = |kind: &Value| kind["service"]["max"].as_f64().unwrap();
    let slowest = result["latency"].as_array().unwrap().iter().map(service).fold(0.0, f64::max);
    let most = 0.996 + (latest + slowest) / 1e9 + 0.1;
    assert!((0.95..most).contains(&wall), "996 ms of schedule took {wall} s, at most {most} s");
    assert!(drift.abs() <= latest / 996e6 * 1e6 + 1.0, "{drift} ppm of 996 ms, at most {latest} ns late");
    assert_eq!(result["timing"]["lateness"]["count"], 400);
    let offered = result["totals"]["offered_gb_per_s"].as_f64().unwrap();
    assert!((offered - 400.0 * 200_000.0 / 1.992 / 1e9).abs() < 1e-3, "{offered}");
    let late = result["timing"]["late_fraction"].as_f64().unwrap();
    assert!(result["valid"] == true || late > 0.0, "invalid only for a reason that shows");
    // A busy machine may make it late or leave it behind; then the exit code says so, and only then.
    let kept = result["valid"] == true && result["verdict"]["bound"] == "pace";
    assert_eq!(ended.code, if kept { 0 } else { 3 }, "{}", ended.stderr);
}

#[test]
fn a_schedule_that_is_not_kept_is_said_with_figures_and_ends_with_3() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..50).map(|i| format!("0 Write 4000000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    // 200 MB in half a millisecond, one after the other through a tier that takes 100 ms.
    let tiers = ["--tier-2", "model:2GB/s+10us", "--max-objects", "1", "--pace", "rate:100000/s", "-o", "r.json"];
    let last = bench.refused(3, &[&["replay", "t.csv"][..], &tiers].concat());
    assert!(last.contains("not sustained") && last.contains("rate:N/s") && !last.contains("--speed"), "{last}");
    let result = bench.json("r.json");
    assert_eq!(result["complete"], true);
    let note = result["notes"][0].as_str().unwrap();
    assert!(
        note.contains("the load was not sustained: the last operation started") && note.contains("behind"),
        "{note}"
    );
    let reasons = result["invalid_reasons"].to_string();
    assert!(result["valid"] == true || reasons.contains("start delay"), "{reasons}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_touched() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &["0 Write 900000000000000 Tier-2 a Prefill", "1 Read 900000000000000 Tier-2 a Decode"]);
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]);
    assert!(last.contains("--size-scale 0.01") && last.contains("TiB is needed") && last.contains("free"), "{last}");
    assert_eq!(bench.files(), ["t.csv"]);
    let plan: Value = serde_json::from_str(&bench.run(&["replay", "t.csv", "--plan-only", "--json"]).stdout).unwrap();
    assert_eq!((&plan["fits"], &plan["plan"]["peak_bytes"][2]), (&Value::Bool(false), &900_000_000_000_000u64.into()));
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "file:f,size=1MiB"]);
    assert!(last.contains("larger size="), "{last}");
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D", "--size-scale", "0.00000001", "-o", "r.json"]);
    assert_eq!(bench.json("r.json")["totals"]["write_bytes"], 9_000_000);
}

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
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
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
fn strangers_files_and_system_folders_are_left_alone() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &["0 Write 100 Tier-2 a Prefill"]);
    fs::create_dir(bench.path("D")).unwrap();
    bench.write("D/kvtrace-tier2.slab", "precious");
    bench.write("D/other", "theirs");
    bench.write("mine", "precious");
    for spec in ["dir:D", "file:mine,size=1MiB"] {
        let last = bench.refused(2, &["replay", "t.csv", "--tier-2", spec]);
        assert!(last.contains("--overwrite"), "{last}");
    }
    assert_eq!((bench.read("D/kvtrace-tier2.slab"), bench.read("mine")), (b"precious".to_vec(), b"precious".to_vec()));
    bench.ok(&["replay", "t.csv", "--tier-2", "file:mine,size=1MiB", "--overwrite"]);
    fs::remove_file(bench.path("D/kvtrace-tier2.slab")).unwrap();
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D"]);
    assert_eq!(bench.read("D/other"), b"theirs");
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:/usr/kv"]);
    assert!(last.contains("below /usr"), "{last}");
    let last = bench.refused(6, &["replay", "t.csv", "--tier-0", "gpu"]);
    assert!(last.contains("model:64GB/s"), "{last}");
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "block:/dev/null"]);
    assert!(last.contains("not a block device"), "{last}");
    bench.write("r.json", "precious");
    bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]);
    assert_eq!(bench.read("r.json"), b"precious");
}

#[test]
fn bad_traces_and_flags_are_refused() {
    let bench = Bench::new();
    let replay = |name: &str, more: &[&str]| bench.refused(2, &[&["replay", name][..], more].concat());
    bench.write("column.csv", "Timestamp,Operation,Object_Size_Bytes,Tier,Phase\n0,Read,1,Tier-2,Decode\n");
    assert!(replay("column.csv", &[]).contains("Key"));
    for (name, row) in [
        ("size", "0 Read -1 Tier-2 a Decode"),
        ("tier", "0 Read 1 Tier-9 a Decode"),
        ("nan", "NaN Read 1 Tier-2 a Decode"),
    ] {
        trace(&bench, name, &[row]);
        assert!(replay(name, &[]).contains("row"), "{name}");
    }
    bench.write("empty.csv", HEADER);
    replay("empty.csv", &[]);
    replay("absent.csv", &[]);
    replay(".", &[]);
    trace(&bench, "t.csv", &["0 Read 1 Tier-2 a Decode"]);
    let last = replay("t.csv", &["--pace", "trace"]);
    assert!(last.contains("--pace asap") && last.contains("rate:"), "{last}");
    for (flag, value) in [
        ("--pace", "fast"),
        ("--tier-2", "tape"),
        ("--io-size", "1000"),
        ("--bytes-in-flight", "4KiB"),
        ("--max-objects", "0"),
        ("--size-scale", "0"),
        ("--speed", "-1"),
        ("--verify", "sample:2"),
        ("--max-lag", "5"),
    ] {
        let ended = bench.run(&["replay", "t.csv", &format!("{flag}={value}")]);
        assert_eq!(ended.code, 2, "{flag}={value}: {}", ended.stderr);
    }
    assert!(!bench.path("kvtrace-data").exists());
}

#[test]
fn requests_are_taken_from_the_file_beside_the_trace() {
    let bench = Bench::on_disk();
    let path = bench.path("t.csv");
    let mut meta = Meta::foreign(Source { kind: "test".to_owned(), ..Source::default() });
    meta.model = Some(ModelFacts { name: "m".to_owned(), bytes_per_token: 1000, kv_dtype: "float16".to_owned() });
    let options = WriteOptions::default();
    let mut writer = TraceWriter::create(&path, options, 0).unwrap();
    let mut requests = RequestsWriter::create(&requests_path(&path), options.overwrite).unwrap();
    for i in 0..20u64 {
        for (op, phase) in [(Op::Write, Phase::Prefill), (Op::Read, Phase::Decode), (Op::Read, Phase::Decode)] {
            writer.write(&record(i as i64, op, 50_000, phase, Some(i))).unwrap();
        }
        requests
            .write(RequestRow {
                request: i,
                conversation: None,
                turn: 1,
                user: "u".to_owned(),
                qos: ["interactive", "batch"][i as usize % 2].to_owned(),
                kind: RequestKind::User,
                arrival_ns: 0,
                start_ns: 60_000_000,
                context_tokens: 50,
                generate_tokens: 10,
                generation_ns: 1_000_000,
                lookups: 1,
                misses: 1,
                ..RequestRow::default()
            })
            .unwrap();
    }
    writer.finish(&meta).unwrap();
    requests.finish(&meta).unwrap();
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]);
    let result = bench.json("r.json");
    let requests = &result["requests"];
    assert_eq!((&requests["count"], &requests["queue"]["min"]), (&20.into(), &60_000_000.into()));
    let target = |class: &str, number: usize| requests["qos"][class]["targets"][number].clone();
    let late = target("interactive", 0);
    assert_eq!((&late["share_within"], &late["met"]), (&0.0.into(), &false.into()), "60 ms of queue are beyond 50 ms");
    assert_eq!((&requests["qos"]["batch"]["count"], &target("batch", 0)["target_ms"]), (&10.into(), &1000.0.into()));
    assert!(target("batch", 3)["met"].is_null() && target("batch", 3)["why_null"].to_string().contains("29956"));
    assert_eq!(
        (&requests["qos"]["responsive"]["no_data"], &requests["targets_from"]),
        (&true.into(), &"defaults".into())
    );
    let service: i64 =
        result["latency"].as_array().unwrap().iter().map(|k| k["service"]["sum"].as_i64().unwrap()).sum();
    assert_eq!(requests["storage"]["sum"], service, "every row belongs to a request");
    let tokens = &result["tokens"];
    assert_eq!((&tokens["read_per_written"], &tokens["read_amplification"]), (&2.0.into(), &15.0.into()));
    let wall = result["totals"]["wall_s"].as_f64().unwrap();
    assert!((tokens["tier2_moved_per_s"].as_f64().unwrap() * wall - 3000.0).abs() < 1.0);
    assert!((tokens["generated_per_s"].as_f64().unwrap() * wall - 200.0).abs() < 1.0);
}

/// Notes when it was called and what the disk below the target had written by then.
#[derive(Default)]
struct Onlooker {
    seen: Vec<(&'static str, u64)>,
    devices: Vec<Device>,
}

impl Onlooker {
    fn sectors_written(&self) -> u64 {
        let stat = |d: &Device| fs::read_to_string(format!("/sys/block/{}/stat", d.name)).unwrap_or_default();
        let field =
            |text: String| text.split_ascii_whitespace().nth(6).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        self.devices.iter().map(|d| field(stat(d))).sum()
    }
}

impl RunWatch for Onlooker {
    fn begin(&mut self, devices: &[Device], pid: u32) -> Result<()> {
        assert_eq!(pid, std::process::id());
        self.devices = devices.to_vec();
        self.seen.push(("begin", self.sectors_written()));
        Ok(())
    }

    fn end(&mut self) -> Result<Option<BlockResult>> {
        self.seen.push(("end", self.sectors_written()));
        Ok(None)
    }
}

#[test]
fn an_onlooker_sees_the_run_and_not_the_preparation() {
    let bench = Bench::on_disk();
    let rows = ["0 Write 50000000 Tier-2 a Prefill", "1 Read 50000000 Tier-2 a Decode"];
    let mut config = ReplayConfig::new(trace(&bench, "t.csv", &rows));
    config.targets[2] = Target::Dir(bench.path("D"));
    let mut onlooker = Onlooker::default();
    let replayed = replay(&config, &mut onlooker, &Stop::new(), &Silent).unwrap();
    assert!(replayed.failure.is_none() && replayed.result.valid);
    let [("begin", before), ("end", after)] = onlooker.seen[..] else { panic!("{:?}", onlooker.seen) };
    if !onlooker.devices.is_empty() {
        assert!((after - before) * 512 >= 50_000_000, "{} sectors", after - before);
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
        let mut config =
            ReplayConfig::new(trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>()));
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
