//! `kvtrace replay` on several storage targets, on block devices and on one file per object.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use kvtrace::progress::Silent;
use kvtrace::replay::{Layout, Pace, ReplayConfig, Target, Unwatched, Verify, replay};
use kvtrace::stop::Stop;
use serde_json::Value;

use super::faults::small_ext4;
use super::{trace, wild_rows};
use crate::support::Bench;

/// Writes and reads of `count` objects of tier 2.
fn round(count: u64, size: u64) -> Vec<String> {
    let writes = (0..count).map(|i| format!("0 Write {size} Tier-2 k{i} Prefill"));
    writes.chain((0..count).map(|i| format!("1 Read {size} Tier-2 k{i} Decode"))).collect()
}

fn sum(targets: &Value, name: &str) -> u64 {
    targets.as_array().unwrap().iter().map(|target| target[name].as_u64().unwrap()).sum()
}

#[test]
fn objects_spread_over_the_targets_of_a_tier_and_read_back_right() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &round(60, 300_000));
    let tiers = ["--tier-2", "dir:A", "--tier-2", "dir:B", "--tier-2", "file:c,size=12MiB", "--verify", "full"];
    bench.ok(&[&["replay", "t.csv", "-o", "r.json"][..], &tiers].concat());
    let result = bench.json("r.json");
    let tier = &result["tiers"][2];
    assert_eq!(tier["target"], "dir:A + dir:B + file:c,size=12582912");
    let targets = &tier["targets"];
    assert_eq!((sum(targets, "read_bytes"), &tier["read_bytes"]), (60 * 303_104, &(60 * 303_104u64).into()));
    assert_eq!(sum(targets, "write_bytes"), 60 * 303_104);
    for target in targets.as_array().unwrap() {
        let objects = target["write_bytes"].as_u64().unwrap() / 303_104;
        assert!((8..=32).contains(&objects), "{objects} of 60 on {}", target["target"]);
        assert_eq!((&target["facts"]["slab"], &target["direct"]), (&"written before the run".into(), &true.into()));
    }
    assert_eq!((&result["verify"]["failure_count"], &result["valid"]), (&0.into(), &true.into()));
    assert!(result["verify"]["checked_bytes"].as_u64() >= Some(60 * 300_000));
    let notes = result["notes"].to_string();
    assert!(notes.contains("on one device") && notes.contains("own limit of bytes in flight"), "{notes}");
    assert!(bench.path("A/kvtrace-tier2.slab").exists() && bench.path("B/kvtrace-tier2.slab").exists());
    let again = bench.run(&[&["replay", "t.csv", "-o", "r.json", "--prepare", "never"][..], &tiers].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    let moved = |result: &Value| -> Vec<u64> {
        let targets = result["tiers"][2]["targets"].as_array().unwrap();
        targets.iter().map(|target| target["write_bytes"].as_u64().unwrap()).collect()
    };
    assert_eq!(moved(&bench.json("r.json")), moved(&result), "the same keys go to the same targets");
    assert!(again.stderr.contains("  dir:A: "), "{}", again.stderr);
}

#[test]
fn targets_that_cannot_share_a_tier_are_refused_before_anything_is_touched() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &round(40, 300_000));
    std::os::unix::fs::symlink(bench.path("A"), bench.path("link")).unwrap();
    fs::create_dir(bench.path("A")).unwrap();
    let refused = |tiers: &[&str]| bench.refused(2, &[&["replay", "t.csv", "-o", "r.json"][..], tiers].concat());
    let last = refused(&["--tier-2", "dir:A", "--tier-2", "dir:link"]);
    assert!(last.contains("are the same place") && last.contains("dir:link"), "{last}");
    let last = refused(&["--tier-2", "dir:A", "--tier-2", "dram"]);
    assert!(last.contains("several storage targets only"), "{last}");
    let last = refused(&["--tier-2", "file:b,size=1GiB", "--tier-2", "file:c,size=1MiB"]);
    assert!(last.contains("--tier-2 file:c,size=1048576: the trace needs") && last.contains("larger size="), "{last}");
    let many: Vec<_> = (0..40).flat_map(|i| ["--tier-2".to_owned(), format!("dir:D{i}")]).collect();
    let last = refused(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(last.contains("--bytes-in-flight") && last.contains("40 storage targets"), "{last}");
    assert_eq!(fs::read_dir(bench.path("A")).unwrap().count(), 0);
    assert_eq!(bench.files(), ["A", "link", "t.csv"]);
}

#[test]
fn any_rows_are_right_on_any_number_of_targets() {
    let bench = Bench::on_disk();
    for seed in 0..8u64 {
        let rows = wild_rows(100 + seed, 400);
        trace(&bench, "t.csv", &rows);
        let mut config = ReplayConfig::new(bench.path("t.csv"));
        let dirs =
            |names: &[&str]| Target::of(names.iter().map(|name| Target::Dir(bench.path(name))).collect()).unwrap();
        config.targets = match seed % 3 {
            0 => [Target::Dram(None), Target::Dram(None), dirs(&["A", "B", "C"])],
            1 => [Target::Dram(None), dirs(&["D", "E"]), dirs(&["A", "B"])],
            _ => [dirs(&["F", "G"]), dirs(&["D"]), dirs(&["A", "B", "C"])],
        };
        config.verify = Verify::Full;
        config.io_size_bytes = if seed % 2 == 0 { 64 << 10 } else { 1 << 20 };
        config.bytes_in_flight = config.io_size_bytes * [1, 4][seed as usize / 2 % 2];
        config.max_objects = [None, Some(1), Some(7)][seed as usize % 3];
        config.pace = if seed % 4 == 3 { Pace::Rate(5000.0) } else { Pace::Asap };
        run_right(&config, 400);
    }
}

/// Runs a replay in which nothing may go wrong but the pace, which a busy machine may not keep.
fn run_right(config: &ReplayConfig, rows: u64) -> kvtrace::measure::ReplayResult {
    let replayed = replay(config, &mut Unwatched, &Stop::new(), &Silent).unwrap();
    let wrong = replayed.failure.filter(|e| e.kind().exit_code() != 3);
    assert!(wrong.is_none(), "{wrong:?}");
    assert_eq!((replayed.result.totals.ops, replayed.result.verify.failure_count), (rows, 0));
    assert!(replayed.result.verify.checked_bytes > 0);
    replayed.result
}

#[test]
fn without_a_device_several_targets_work_too() {
    let bench = Bench::new();
    trace(&bench, "t.csv", &round(50, 100_000));
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:A", "--tier-2", "dir:B", "--engine", "nop", "-o", "r.json"]);
    assert_eq!(bench.json("r.json")["totals"]["ops"], 100);
    assert!(!Path::new(&bench.path("A")).exists());
}

/// Names below a folder that are not the marker's.
fn object_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "kvtrace-objects.json").collect()
}

const FOLDER: &str = "D/kvtrace-objects/tier2";

#[test]
fn both_layouts_move_the_same_bytes_and_read_back_right() {
    let bench = Bench::on_disk();
    let mut rows = round(40, 300_001);
    rows.extend((0..20).map(|i| format!("2 Write 150000 Tier-2 k{i} Prefill")));
    rows.extend((0..40).map(|i| format!("3 Read 100000 Tier-2 k{i} Decode")));
    rows.extend((0..80).map(|i| format!("4 Read 5000 Tier-2 cold{i} Decode")));
    trace(&bench, "t.csv", &rows);
    let run = |layout: &str, more: &[&str]| {
        let args = ["replay", "t.csv", "--tier-2", "dir:D", "--verify", "full", "-o", "r.json", "--layout", layout];
        bench.ok(&[&args[..], more].concat());
        bench.json("r.json")
    };
    let (slab, file) = (run("slab", &[]), run("file", &[]));
    let bytes = |result: &Value| -> Vec<Value> {
        let tier = &result["tiers"][2];
        [&tier["read_bytes"], &tier["write_bytes"], &result["verify"]["checked_bytes"], &result["totals"]["ops"]]
            .into_iter()
            .cloned()
            .collect()
    };
    assert_eq!(bytes(&slab), bytes(&file));
    assert_eq!((&file["verify"]["failure_count"], &file["errors"]), (&0.into(), &Value::Array(vec![])));
    let tier = &file["tiers"][2];
    assert_eq!((&tier["layout"], &tier["direct"]), (&"file".into(), &true.into()));
    let count = |name: &str| tier["facts"][name]["count"].as_u64().unwrap();
    assert_eq!((count("create"), count("fallocate")), (60, 60), "each write makes a file");
    assert_eq!((count("open"), count("unlink")), (160, 140), "each read opens one, each object goes once");
    assert!(file["notes"].to_string().contains("unwritten extents"), "{}", file["notes"]);
    assert!(object_files(&bench.path(FOLDER)).is_empty() && bench.path("D/kvtrace-tier2.slab").exists());
    let buffered = run("file", &["--io", "buffered", "--fadvise", "dontneed", "--durability", "fdatasync"]);
    assert_eq!((bytes(&buffered), &buffered["config"]["data-epoch"]), (bytes(&slab), &2.into()));
}

#[test]
fn any_rows_are_right_with_one_file_per_object() {
    let bench = Bench::on_disk();
    for seed in 0..6u64 {
        trace(&bench, "t.csv", &wild_rows(200 + seed, 300));
        let mut config = ReplayConfig::new(bench.path("t.csv"));
        let dirs =
            |names: &[&str]| Target::of(names.iter().map(|name| Target::Dir(bench.path(name))).collect()).unwrap();
        config.targets = match seed % 3 {
            0 => ["model:1GB/s+20us".parse().unwrap(), Target::Dram(None), dirs(&["A"])],
            1 => [Target::Dram(None), dirs(&["A"]), dirs(&["A", "B"])],
            _ => [dirs(&["A"]), "model:1GB/s+20us".parse().unwrap(), dirs(&["A", "B"])],
        };
        config.layout = Layout::File;
        config.verify = Verify::Full;
        config.io_size_bytes = if seed % 2 == 0 { 64 << 10 } else { 1 << 20 };
        config.pace = if seed == 5 { Pace::Rate(3000.0) } else { Pace::Asap };
        run_right(&config, 300);
        for folder in ["A/kvtrace-objects/tier2", "B/kvtrace-objects/tier2", "A/kvtrace-objects/tier1"] {
            assert!(object_files(&bench.path(folder)).is_empty(), "seed {seed}: {folder}");
        }
    }
}

#[test]
fn files_of_a_killed_run_are_removed_and_strangers_files_refused() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..60).map(|i| format!("{i} Write 100000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &[rows, vec!["99 Read 100000 Tier-2 k1 Decode".to_owned()]].concat());
    let on = ["replay", "t.csv", "--tier-2", "dir:D", "--layout", "file", "-o", "r.json"];
    let mut child = bench.command(&[&on[..], &["--pace", "rate:20/s"]].concat()).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while object_files(&bench.path(FOLDER)).is_empty() {
        assert!(Instant::now() < limit, "no object was written");
        sleep(Duration::from_millis(20));
    }
    let last = bench.refused(2, &on);
    assert!(last.contains("in use by another replay"), "{last}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!object_files(&bench.path(FOLDER)).is_empty());
    bench.ok(&on);
    let result = bench.json("r.json");
    assert!(result["notes"].to_string().contains("files of a run that did not end"), "{}", result["notes"]);
    assert!(result["tiers"][2]["facts"]["files_of_an_earlier_run"].as_u64() > Some(0));
    bench.write(&format!("{FOLDER}/precious"), "theirs");
    let last = bench.refused(2, &on);
    assert!(last.contains("precious is not a file of kvtrace"), "{last}");
    assert_eq!(bench.read(&format!("{FOLDER}/precious")), b"theirs");
    for (flags, what) in [
        (["--prepare", "always", "--tier-2", "dir:E"], "no slab to prepare"),
        (["--tier-1", "file:f,size=1GiB", "--tier-2", "dir:E"], "fits"),
    ] {
        let ended = bench.run(&[&["replay", "t.csv", "--layout", "file", "--plan-only"][..], &flags[..]].concat());
        assert!(ended.stderr.contains(what) || ended.stdout.contains(what), "{} {}", ended.stdout, ended.stderr);
    }
    let last = bench.refused(2, &["replay", "t.csv", "--layout", "file", "--tier-2", "file:f,size=1GiB"]);
    assert!(last.contains("is not a folder; use dir:"), "{last}");
    assert!(!bench.path("E").exists());
}

#[test]
fn root_a_disk_that_fills_up_ends_the_run_with_a_partial_report() {
    let bench = Bench::on_disk();
    let Some(mounted) = small_ext4(&bench, 64) else { return };
    let rows: Vec<_> = (0..600).map(|i| format!("{i} Write 300000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows);
    let args = ["replay", "t.csv", "--tier-2", "dir:m/D", "--layout", "file", "--pace", "rate:20/s", "-o", "r.json"];
    let mut child = bench.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while object_files(&bench.path("m/D/kvtrace-objects/tier2")).is_empty() {
        assert!(Instant::now() < limit, "no object was written");
        sleep(Duration::from_millis(20));
    }
    let filler = fs::File::create(mounted.place.join("filler")).unwrap();
    // An object that goes leaves room for the next one, so the disk is kept full.
    let mut filled = 0u64;
    while child.try_wait().unwrap().is_none() {
        match std::os::unix::fs::FileExt::write_at(&filler, &[1; 65536], filled) {
            Ok(length) => filled += length as u64,
            Err(_) => sleep(Duration::from_millis(1)),
        }
    }
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{stderr}");
    let result = bench.json("r.partial.json");
    assert_eq!((&result["errors"][0]["errno"], &result["complete"]), (&28.into(), &false.into()), "{stderr}");
    assert!(["open", "fallocate"].contains(&result["errors"][0]["op"].as_str().unwrap()), "{stderr}");
    assert!(object_files(&bench.path("m/D/kvtrace-objects/tier2")).is_empty(), "what was written is removed");
    drop(filler);
}

#[test]
fn files_behind_the_page_cache_are_said_to_be_so() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &round(3, 300_000));
    let run = |io: &str| {
        let tier = ["--tier-2", "dir:D", "--layout", "file", "--io", io, "--overwrite", "-o", "r.json"];
        bench.ok(&[&["replay", "t.csv"][..], &tier].concat());
        bench.json("r.json")["notes"].to_string().contains("tier 2 ran buffered")
    };
    assert_eq!([run("buffered"), run("direct")], [true, false]);
}
