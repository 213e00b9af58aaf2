//! `kvtrace replay` with a schedule: its own part measured without a device, data made up ahead,
//! what operations wait for, and when they count as written.

use std::path::PathBuf;

use kvtrace::trace::meta::Source;
use kvtrace::trace::{Meta, Op, Phase, Record, TraceWriter, WriteOptions};
use serde_json::Value;

use super::{record, trace};
use crate::support::Bench;

fn number(result: &Value, path: &[&str]) -> f64 {
    let value = path.iter().fold(result, |value, name| &value[name]);
    value.as_f64().unwrap_or_else(|| panic!("{path:?} is {value}"))
}

/// Writes of `count` objects at one moment, and their reads at a later one.
fn burst(bench: &Bench, count: usize, size: u64) {
    let writes = (0..count).map(|i| format!("0 Write {size} Tier-2 k{i} Prefill"));
    let reads = (0..count).map(|i| format!("0.1 Read {size} Tier-2 k{i} Decode"));
    let rows: Vec<_> = writes.chain(reads).collect();
    trace(bench, "t.csv", &rows);
}

#[test]
fn without_a_device_only_the_schedule_is_left() {
    let bench = Bench::on_disk();
    burst(&bench, 500, 10_000);
    for wait in ["timeout", "hybrid", "spin"] {
        let args = ["--engine", "nop", "--pace", "rate:5000/s", "--wait", wait, "--tier-2", "dir:D", "-o", "r.json"];
        let ended = bench.run(&[&["replay", "t.csv"][..], &args].concat());
        let result = bench.json("r.json");
        assert_eq!(ended.code, if result["valid"] == true { 0 } else { 3 }, "{}", ended.stderr);
        assert!(ended.stderr.contains("schedule: own lateness P50 / P99"), "{}", ended.stderr);
        let timing = &result["timing"];
        assert_eq!((&timing["lateness"]["count"], &result["totals"]["ops"]), (&1000.into(), &1000.into()));
        assert!(number(&result, &["totals", "wall_s"]) > 0.1, "{wait}: 1,000 operations at 5,000 a second");
        assert_eq!(timing["spin_margin_ns"].is_null(), wait != "hybrid");
        assert_eq!((&result["tiers"][2]["backend"], &result["config"]["wait"]), (&"nop".into(), &wait.into()));
        assert_eq!((&result["totals"]["moved_bytes"], &result["verify"]["level"]), (&0.into(), &"off".into()));
        let ios = &timing["io"];
        assert_eq!(
            (&ios[0]["count"], &ios[1]["count"], &timing["reap_gap"]["count"]),
            (&500.into(), &500.into(), &1000.into())
        );
        assert!(result["notes"].to_string().contains("no device took part"));
    }
    assert!(!bench.path("D").exists());
}

#[test]
fn what_is_filled_ahead_and_checked_behind_is_right() {
    let bench = Bench::on_disk();
    // More than the slots that are filled ahead hold, in pieces of every length.
    for (count, size, helpers) in [(60, 3_000_000, "2"), (60, 3_000_000, "0"), (700, 5_000, "1"), (90, 140_000, "1")] {
        burst(&bench, count, size);
        let args = ["--pace", "rate:1000/s", "--verify", "full", "--helpers", helpers, "--bytes-in-flight", "4MiB"];
        let more = ["--tier-2", "dir:D", "-o", "r.json"];
        let ended = bench.run(&[&["replay", "t.csv"][..], &args, &more].concat());
        let result = bench.json("r.json");
        assert!([0, 3].contains(&ended.code), "{}", ended.stderr);
        assert_eq!(result["verify"]["failure_count"], 0, "{count} of {size}");
        assert_eq!(result["verify"]["checked_bytes"], count as u64 * size);
        assert_eq!(result["config"]["helpers"].to_string(), helpers);
        assert!(number(&result, &["cpu", "fill_s"]) > 0.0 && number(&result, &["cpu", "verify_s"]) > 0.0);
        let timing = &result["timing"];
        let sum = |name: &str| timing[name]["sum"].as_u64().unwrap();
        assert_eq!(sum("wait"), sum("dependency_wait") + sum("queue_wait"));
    }
}

/// Ten reads of one request and conversation, and ten of as many others, all at one moment.
fn two_requests(bench: &Bench) -> PathBuf {
    let path = bench.path("t.csv");
    let mut writer = TraceWriter::create(&path, WriteOptions::default(), 0).unwrap();
    for i in 0..20 {
        let whose = if i < 10 { 0 } else { i as u64 };
        let conversation = Some(format!("c{whose}").as_str().into());
        let row = record(i, Op::Read, 1_000, Phase::Decode, Some(whose));
        writer.write(&Record { at_ns: 0, conversation, turn: Some(1), ..row }).unwrap();
    }
    let mut meta = Meta::foreign(Source { kind: "test".to_owned(), ..Source::default() });
    meta.rows = Some(20);
    writer.finish(&meta).unwrap();
    path
}

#[test]
fn operations_of_one_request_or_conversation_wait_for_each_other_if_asked_to() {
    let bench = Bench::on_disk();
    two_requests(&bench);
    let wall = |order: &str| {
        bench.ok(&["replay", "t.csv", "--tier-2", "model:64GB/s+20ms", "--order", order, "-o", "r.json"]);
        let result = bench.json("r.json");
        assert_eq!((&result["totals"]["ops"], &result["config"]["order"]), (&20.into(), &order.into()));
        number(&result, &["totals", "wall_s"])
    };
    let (key, request, conversation) = (wall("key"), wall("request"), wall("conversation"));
    assert!(key < 0.15 && request >= 0.2 && conversation >= 0.2, "{key} {request} {conversation}");
    bench.ok(&["convert", "t.csv", "six.csv", "--columns", "mlperf"]);
    let last = bench.refused(2, &["replay", "six.csv", "--order", "request"]);
    assert!(last.contains("--order key"), "{last}");
}

#[test]
fn an_object_counts_as_written_when_it_is_as_durable_as_asked() {
    let bench = Bench::on_disk();
    burst(&bench, 12, 300_000);
    for durability in ["none", "fdatasync", "fsync", "dsync"] {
        for io in ["direct", "buffered"] {
            let args =
                ["--durability", durability, "--io", io, "--verify", "full", "--tier-2", "dir:D", "-o", "r.json"];
            bench.ok(&[&["replay", "t.csv"][..], &args].concat());
            let result = bench.json("r.json");
            assert_eq!((&result["verify"]["failure_count"], &result["totals"]["ops"]), (&0.into(), &24.into()));
            assert_eq!(result["config"]["durability"], durability);
        }
    }
    // The I/O of an object ends before the fsync does, and the object with the fsync.
    bench.ok(&["replay", "t.csv", "--durability", "fsync", "--max-objects", "1", "--tier-2", "dir:D", "-o", "r.json"]);
    let result = bench.json("r.json");
    let write = result["latency"].as_array().unwrap().iter().find(|kind| kind["op"] == "write").unwrap();
    let (service, io) = (write["service"]["sum"].as_u64().unwrap(), result["timing"]["io"][1]["sum"].as_u64().unwrap());
    assert!(service > io, "{service} ns for objects, {io} ns for their I/O");
}

#[test]
fn the_page_cache_is_advised_only_where_it_is_used() {
    let bench = Bench::on_disk();
    burst(&bench, 12, 300_000);
    let last = bench.refused(2, &["replay", "t.csv", "--fadvise", "dontneed", "--tier-2", "dir:D"]);
    assert!(last.contains("--io 2=buffered"), "{last}");
    for fadvise in ["none", "sequential", "dontneed"] {
        let args = ["--io", "buffered", "--fadvise", fadvise, "--durability", "fdatasync", "--verify", "full"];
        bench.ok(&[&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"][..], &args].concat());
        let result = bench.json("r.json");
        assert_eq!((&result["verify"]["failure_count"], &result["config"]["fadvise"]), (&0.into(), &fadvise.into()));
    }
}

#[test]
fn one_tier_alone_keeps_its_rows_and_leaves_the_others_out() {
    let bench = Bench::on_disk();
    let rows = [
        "0 Write 100000 Tier-1 a Prefill",
        "1 Read 100000 Tier-1 a Evict",
        "1 Write 100000 Tier-2 a Evict",
        "2 Read 100000 Tier-2 a Decode",
        "3 Read 50000 Tier-0 b Decode",
    ];
    trace(&bench, "t.csv", &rows);
    bench.ok(&["replay", "t.csv", "--only-tier", "2", "--tier-2", "dir:D", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert_eq!((&result["totals"]["ops"], &result["totals"]["moved_bytes"]), (&2.into(), &200_000.into()));
    assert!(result["notes"].to_string().contains("3 rows of skipped tiers left out"));
    assert_eq!((&result["tiers"][0]["backend"], &result["tiers"][1]["backend"]), (&"skip".into(), &"skip".into()));
    bench.refused(2, &["replay", "t.csv", "--only-tier", "3"]);
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
    trace(&bench, "t.csv", &rows);
    // 200 MB in half a millisecond, one after the other through a tier that takes 100 ms.
    let tiers = ["--tier-2", "model:2GB/s+10us", "--max-objects", "1", "--pace", "rate:100000/s", "-o", "r.json"];
    let last = bench.refused(3, &[&["replay", "t.csv"][..], &tiers].concat());
    assert!(last.contains("not sustained") && last.contains("rate:N/s") && !last.contains("--speed"), "{last}");
    let result = bench.json("r.json");
    assert_eq!(result["complete"], true);
    let note = result["notes"][0].as_str().unwrap();
    assert!(note.contains("the load was not sustained: the ") && note.contains("behind its schedule"), "{note}");
    let reasons = result["invalid_reasons"].to_string();
    assert!(result["valid"] == true || reasons.contains("start delay"), "{reasons}");
}
