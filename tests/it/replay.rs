//! `kvtrace replay`: on a real disk, with real and with broken input.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use kvtrace::output::Overwrite;
use kvtrace::trace::{Meta, Op, Phase, Record, Tier, TraceWriter, WriteOptions, meta::Source};
use serde_json::Value;

use crate::support::{Bench, data, has_program, is_root, skip};

const TINY: &str = "mlperf/tiny1b_3u_5s_tp2_rag_capped.csv";
const HEADER: &str = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n";

/// A trace of the six columns from `time op size tier key phase` lines.
fn trace(bench: &Bench, name: &str, rows: &[&str]) -> PathBuf {
    let lines: Vec<_> = rows.iter().map(|row| row.replace(' ', ",")).collect();
    bench.write(name, format!("{HEADER}{}\n", lines.join("\n")))
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
    let rows = ["0 Write 3000000 Tier-2 a Prefill", "1 Read 3000000 Tier-2 a Decode", "2 Read 500001 Tier-2 cold Decode"];
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
        let args = ["--tier-0", tiers[0], "--tier-1", tiers[1], "--tier-2", tiers[2], "--verify", "full", "-o", "r.json"];
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
    let mut meta = Meta::foreign(Source { kind: "test".to_owned(), file: None, sha256: None });
    meta.time_model = Some("test".to_owned());
    let mut writer =
        TraceWriter::create(&path, WriteOptions { overwrite: Overwrite::Ours, ..WriteOptions::default() }, 0).unwrap();
    for i in 0..200i64 {
        for (op, late) in [(Op::Write, 0), (Op::Read, 2_000_000)] {
            let record = Record {
                at_ns: i * 10_000_000 + late,
                op,
                size_bytes: 200_000,
                tier: Tier::Storage,
                key: format!("k{i}").into(),
                phase: if op == Op::Write { Phase::Prefill } else { Phase::Decode },
                request: None,
                conversation: None,
                turn: None,
                tokens: None,
            };
            writer.write(&record).unwrap();
        }
    }
    meta.rows = Some(400);
    writer.finish(&meta).unwrap();
    bench.run(&["replay", "t.csv", "--pace", "trace", "--speed", "2", "-o", "r.json"]);
    let result = bench.json("r.json");
    let wall = result["totals"]["wall_s"].as_f64().unwrap();
    assert!((0.95..1.6).contains(&wall), "992 ms of schedule took {wall} s");
    assert_eq!(result["totals"]["ops"], 400);
    assert!(result["timing"]["drift_ppm"].as_f64().unwrap().abs() < 100_000.0, "{}", result["timing"]["drift_ppm"]);
    assert_eq!(result["timing"]["lateness"]["count"], 400);
    let offered = result["totals"]["offered_gb_per_s"].as_f64().unwrap();
    assert!((offered - 400.0 * 200_000.0 / 1.992 / 1e9).abs() < 1e-3, "{offered}");
    let late = result["timing"]["late_fraction"].as_f64().unwrap();
    assert!(result["valid"] == true || late > 0.0, "invalid only for a reason that shows");
}

/// Starts a replay and waits until its slab is prepared.
fn start_prepared(bench: &Bench, slab: &str, args: &[&str]) -> Child {
    let child = bench.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kvtrace starts");
    let limit = Instant::now() + Duration::from_secs(20);
    while !fs::read(bench.path(slab)).is_ok_and(|d| d[..d.len().min(4096)].windows(15).any(|w| w == b"\"prepared\":true")) {
        assert!(Instant::now() < limit, "the slab was not prepared");
        sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn corrupted_storage_is_noticed_and_named() {
    let bench = Bench::on_disk();
    let rows = ["0 Write 1000000 Tier-2 first Prefill", "1 Write 1000 Tier-2 later Prefill", "2 Read 1000000 Tier-2 first Decode"];
    trace(&bench, "t.csv", &rows);
    let args = ["replay", "t.csv", "--tier-2", "file:slab,size=4MiB", "--pace", "rate:0.7/s", "-o", "r.json"];
    let child = start_prepared(&bench, "slab", &args);
    sleep(Duration::from_millis(700));
    let slab = fs::File::options().write(true).open(bench.path("slab")).unwrap();
    slab.write_all_at(&vec![0; 3 << 20], 128 << 10).unwrap();
    slab.sync_all().unwrap();
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(5), "{stderr}");
    assert!(stderr.lines().last().unwrap().contains("row 3: `first` at byte 0: zeros"), "{stderr}");
    let result = bench.json("r.json");
    assert_eq!((&result["valid"], &result["complete"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!(result["verify"]["failures"][0]["class"], "zeros");
}

#[test]
fn an_interrupted_run_keeps_what_it_has_as_partial() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..60).map(|i| format!("{i} Write 100000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:10/s", "-o", "r.json"];
    let child = start_prepared(&bench, "D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(800));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let began = Instant::now();
    let ended = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(!bench.path("r.json").exists());
    let result = bench.json("r.partial.json");
    assert_eq!((&result["complete"], &result["valid"]), (&Value::Bool(false), &Value::Bool(false)));
    let ops = result["totals"]["ops"].as_u64().unwrap();
    assert!((1..60).contains(&ops), "{ops}");
}

#[test]
fn a_backlog_beyond_the_allowed_lag_ends_the_run() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..400).map(|i| format!("0 Write 4000000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:100000/s", "--max-lag", "20ms", "-o", "r.json"];
    let last = bench.refused(3, &args);
    assert!(last.contains("not sustained"), "{last}");
    assert_eq!(bench.json("r.partial.json")["complete"], false);
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
    assert!(last.contains("not supported"), "{last}");
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
    for (name, row) in [("size", "0 Read -1 Tier-2 a Decode"), ("tier", "0 Read 1 Tier-9 a Decode"), ("nan", "NaN Read 1 Tier-2 a Decode")]
    {
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

/// A filesystem of the test's own, unmounted and gone when dropped.
struct Mounted {
    place: PathBuf,
}

impl Mounted {
    fn new(place: PathBuf, args: &[&str]) -> Option<Self> {
        fs::create_dir(&place).unwrap();
        let mounted = Command::new("mount").args(args).arg(&place).output();
        if mounted.is_ok_and(|o| o.status.success()) {
            return Some(Self { place });
        }
        skip("mount is not permitted here");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A replay that was killed lets go of its files a moment after it has ended.
        for _ in 0..50 {
            if Command::new("umount").arg(&self.place).stderr(Stdio::null()).status().is_ok_and(|s| s.success()) {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        eprintln!("{} is still mounted", self.place.display());
    }
}

#[test]
fn root_a_filesystem_without_direct_io_is_refused_with_the_way_out() {
    if !is_root() {
        return skip("needs root to mount a tmpfs");
    }
    let bench = Bench::on_disk();
    let Some(mounted) = Mounted::new(bench.path("m"), &["-t", "tmpfs", "-o", "size=64m", "kvtrace-test"]) else { return };
    trace(&bench, "t.csv", &["0 Write 100000 Tier-2 a Prefill", "1 Read 100000 Tier-2 a Decode"]);
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:m/D"]);
    assert!(last.contains("--io buffered"), "{last}");
    assert!(!bench.path("m/D").exists());
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:m/D", "--io", "buffered", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert_eq!(result["tiers"][2]["direct"], false);
    assert!(result["notes"][0].as_str().unwrap().contains("buffered"));
    drop(mounted);
}

/// A small ext4 of the test's own on a loop device.
fn small_ext4(bench: &Bench, mib: u64) -> Option<Mounted> {
    if !is_root() || !has_program("mkfs.ext4") {
        skip("needs root and mkfs.ext4 to make a small filesystem");
        return None;
    }
    let image = bench.path("image");
    fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap();
    assert!(made.success());
    Mounted::new(bench.path("m"), &["-o", "loop", image.to_str().unwrap()])
}

#[test]
fn root_a_disk_that_is_too_small_is_refused_with_need_and_have() {
    let bench = Bench::on_disk();
    let Some(_mounted) = small_ext4(&bench, 64) else { return };
    trace(&bench, "t.csv", &["0 Write 90000000 Tier-2 a Prefill", "1 Read 90000000 Tier-2 a Decode"]);
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:m/D", "-o", "r.json"]);
    assert!(last.contains("MiB is needed") && last.contains("is free") && last.contains("--size-scale"), "{last}");
    assert!(!bench.path("m/D").exists() && !bench.path("r.json").exists());
}

#[test]
fn root_a_failing_disk_ends_the_run_with_a_partial_report() {
    let bench = Bench::on_disk();
    let Some(mounted) = small_ext4(&bench, 96) else { return };
    let rows: Vec<_> = (0..60).map(|i| format!("{i} Write 200000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let args = ["replay", "t.csv", "--tier-2", "dir:m/D", "--pace", "rate:20/s", "-o", "r.json"];
    let child = start_prepared(&bench, "m/D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(800));
    shut_down(&mounted.place);
    let began = Instant::now();
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(ended.status.code(), Some(4), "{stderr}");
    let result = bench.json("r.partial.json");
    assert_eq!(result["errors"][0]["errno"], 5, "{stderr}");
    assert_eq!((&result["complete"], &result["errors"][0]["op"]), (&Value::Bool(false), &"write".into()));
}

/// EXT4_IOC_SHUTDOWN without flushing: every I/O fails from now on.
fn shut_down(place: &Path) {
    const EXT4_IOC_SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
    let file = fs::File::open(place).unwrap();
    // SAFETY: the opcode takes a pointer to a 32-bit flag, as here.
    unsafe { rustix::ioctl::ioctl(&file, rustix::ioctl::Setter::<EXT4_IOC_SHUTDOWN, u32>::new(2)) }.unwrap();
}
