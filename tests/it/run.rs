//! `kvtrace run`: the whole pipeline on the sample that the repository ships.

use std::collections::BTreeMap;
use std::process::Command;

use kvtrace::trace::{Tier, TraceReader};

use crate::support::{Bench, Ended, has_program, is_root, manifest_dir, skip};

/// Tiers so small that each of them is read, and that objects fall through all of them.
const TIERS: [&str; 6] = ["--gpu-mem-gb", "0.03", "--cpu-mem-gb", "0.06", "--storage-capacity-gb", "0.12"];

fn run(bench: &Bench, more: &[&str]) -> Ended {
    let sample = manifest_dir().join("traces/sharegpt-sample.json");
    let mut args = vec!["run", "sharegpt", sample.to_str().unwrap(), "--model", "tiny-1b", "--max-conversations", "30"];
    args.extend(TIERS);
    args.extend(more);
    bench.run(&args)
}

/// Bytes of the rows of a trace by tier and direction.
fn bytes_of_rows(bench: &Bench) -> BTreeMap<(u8, String), u64> {
    let mut sums = BTreeMap::new();
    for row in TraceReader::open(&bench.path("out/trace.csv.zst")).unwrap() {
        let row = row.unwrap();
        *sums.entry((row.tier.into(), row.op.word().to_lowercase())).or_insert(0) += row.size_bytes;
    }
    sums
}

fn exists(bench: &Bench, name: &str) -> bool {
    bench.path(&format!("out/{name}")).is_file()
}

#[test]
fn one_command_leaves_a_trace_a_result_a_job_and_a_report() {
    let bench = Bench::on_disk();
    let ended = run(&bench, &["-o", "out", "--runtime", "2s"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for name in
        ["trace.csv.zst", "trace.requests.parquet", "replay.json", "report.html", "latency.svg", "throughput.png"]
    {
        assert!(exists(&bench, name), "{name} is missing; {}", ended.stderr);
        assert!(ended.stderr.contains("out"), "the folder is named");
    }
    for (name, words) in [("report.html", "a report"), ("latency.png", "a picture"), ("trace.csv.zst", "a trace")] {
        assert!(bench.ok(&["info", &format!("out/{name}")]).contains(words), "{name}");
    }
    let replay = bench.json("out/replay.json");
    assert_eq!(replay["valid"], true, "{}", replay["invalid_reasons"]);
    assert_eq!(replay["verify"]["failure_count"], 0);
    let mut replayed = BTreeMap::new();
    for row in replay["latency"].as_array().unwrap() {
        let key = (row["tier"].as_u64().unwrap() as u8, row["op"].as_str().unwrap().to_owned());
        *replayed.entry(key).or_insert(0) += row["bytes"].as_u64().unwrap();
    }
    let mut asked = bytes_of_rows(&bench);
    asked.retain(|(_, op), _| op != "delete");
    replayed.retain(|(_, op), _| op != "delete");
    assert_eq!(replayed, asked, "every row was executed");
    assert!(asked.keys().any(|(tier, op)| *tier == u8::from(Tier::Storage) && op == "read"), "the disk is read");
    if !exists(&bench, "block.json") {
        assert!(ended.stderr.contains("was not captured"), "{}", ended.stderr);
        assert!(!is_root(), "root can capture: {}", ended.stderr);
        return skip("the block layer cannot be captured here");
    }
    the_block_layer_saw_what_was_moved(&bench);
    fio_runs_the_job(&bench);
}

/// What reached the device is what tier 2 moved: direct I/O, no cache and no amplification.
fn the_block_layer_saw_what_was_moved(bench: &Bench) {
    let (block, replay) = (bench.json("out/block.json"), bench.json("out/replay.json"));
    let storage = replay["tiers"].as_array().unwrap().iter().find(|tier| tier["tier"] == 2).unwrap().clone();
    for (op, moved) in [("read", "read_bytes"), ("write", "write_bytes")] {
        let sizes = block["histograms"].as_array().unwrap().iter().find(|h| h["name"] == "size" && h["op"] == op);
        let seen = sizes.unwrap()["sum"].as_f64().unwrap();
        let moved = storage[moved].as_f64().unwrap();
        assert!((seen - moved).abs() <= 0.01 * moved + 64.0 * 1024.0, "{op}: {seen} at the device, {moved} moved");
    }
    assert_eq!(block["schema"], "kvtrace.block/1");
}

fn fio_runs_the_job(bench: &Bench) {
    if !has_program("fio") {
        return skip("fio is not installed");
    }
    let file = format!("--filename={}", bench.path("fio.dat").display());
    let mut fio = Command::new("fio");
    fio.args([&file, "--size=64m", "--output-format=json"]).arg(bench.path("out/job.fio"));
    let ended = Ended::from(fio.output().expect("fio starts"));
    assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("\"total_ios\""), "{}", ended.stdout);
}

#[test]
fn a_second_run_replaces_the_first_and_leaves_strangers_alone() {
    let bench = Bench::on_disk();
    let first = run(&bench, &["-o", "out", "--no-capture", "--max-requests", "20"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(!exists(&bench, "job.fio"), "without a capture there is nothing to distil");
    let trace = bench.read("out/trace.csv.zst");
    let second = run(&bench, &["-o", "out", "--no-capture", "--max-requests", "20"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_eq!(bench.read("out/trace.csv.zst"), trace, "one seed, one trace");
    bench.write("out/report.html", "my own page");
    let third = run(&bench, &["-o", "out", "--no-capture", "--max-requests", "20"]);
    assert_eq!(third.code, 2, "{}", third.stderr);
    assert!(third.stderr.contains("report.html") && third.stderr.contains("--overwrite"), "{}", third.stderr);
    assert_eq!(bench.read("out/report.html"), b"my own page");
}

#[test]
fn a_run_that_never_reaches_storage_says_so_and_leaves_nothing_of_the_last_one() {
    let bench = Bench::on_disk();
    let first = run(&bench, &["-o", "out", "--max-requests", "20", "--runtime", "1s"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let small = ["run", "synthetic", "--duration", "2", "--num-users", "1", "--model", "tiny-1b", "-o", "out"];
    let second = bench.run(&small);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(second.stderr.contains("nothing reached storage"), "{}", second.stderr);
    assert!(exists(&bench, "report.html"));
    for stale in ["block.json", "job.fio", "size.svg", "lba.png"] {
        assert!(!exists(&bench, stale), "{stale} is of another trace");
    }
}

#[test]
fn an_output_never_replaces_an_input_of_another_kind() {
    let bench = Bench::on_disk();
    let made = run(&bench, &["-o", "out", "--no-capture", "--max-requests", "20"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let result = bench.read("out/replay.json");
    let line = bench.refused(2, &["report", "out/replay.json", "-o", "out/replay.json"]);
    assert!(line.contains("is a kvtrace.replay/1 file"), "{line}");
    assert_eq!(bench.read("out/replay.json"), result);
    let trace = bench.read("out/trace.csv.zst");
    bench.refused(2, &["replay", "out/trace.csv.zst", "--tier-2", "dir:d", "-o", "out/trace.csv.zst"]);
    assert_eq!(bench.read("out/trace.csv.zst"), trace);
}
