//! `kvtrace replay` with a GPU tier, on a CUDA driver of our own that works on host memory: what
//! is tested is our side of the driver's calls, not a GPU.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{csv_bytes, result_bytes, trace};
use crate::support::{Bench, Ended, has_program, manifest_dir, skip};

/// The folder with the driver; none when it cannot be built here.
pub fn driver() -> Option<&'static PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        if !has_program("cc") {
            return None;
        }
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cuda-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the driver");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror", "-o"]);
        cc.arg(folder.join("libcuda.so.1")).arg(manifest_dir().join("tests/shim/cuda.c"));
        assert!(cc.status().expect("cc starts").success(), "the driver does not compile");
        Some(folder)
    });
    if made.is_none() {
        skip("there is no cc to build a CUDA driver with");
    }
    made.as_ref()
}

/// Runs the binary with the driver, which is told `settings`.
fn run(bench: &Bench, settings: &[(&str, &str)], args: &[&str]) -> Option<Ended> {
    let folder = driver()?;
    let mut command = bench.command(args);
    command.env("LD_LIBRARY_PATH", folder);
    command.envs(settings.iter().map(|(name, value)| (format!("SHIM_CUDA_{name}"), value)));
    Some(Ended::from(command.output().expect("kvtrace starts")))
}

/// Runs a replay that must end with `code`; its last line and its result.
fn replay(bench: &Bench, code: i32, settings: &[(&str, &str)], args: &[&str]) -> Option<(String, Value)> {
    let began = Instant::now();
    let ended = run(bench, settings, &[&["replay", "t.csv", "-o", "r.json"], args].concat())?;
    assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    let names = bench.files();
    let name = ["r.partial.json", "r.json"].into_iter().find(|name| names.iter().any(|there| there == name));
    let last = ended.stderr.lines().last().unwrap_or_default().to_owned();
    Some((last, name.map_or(Value::Null, |name| bench.json(name))))
}

/// Moves between all tiers, in both directions, and reads of what arrived.
pub fn moves() -> Vec<String> {
    let mut rows = vec!["0 Read 1500001 Tier-0 cold Decode".to_owned()];
    for (i, (from, to)) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)].iter().enumerate() {
        let phase = if to > from { "Evict" } else { "Decode" };
        rows.push(format!("{i} Write 2500000 Tier-{from} k{i} Prefill"));
        rows.push(format!("{i} Read 2500000 Tier-{from} k{i} {phase}"));
        rows.push(format!("{i} Write 2500000 Tier-{to} k{i} {phase}"));
        rows.push(format!("{i} Read 2500000 Tier-{to} k{i} Decode"));
    }
    rows
}

#[test]
fn every_move_from_and_to_a_gpu_carries_its_content() {
    let bench = Bench::on_disk();
    let path = trace(&bench, "t.csv", &moves());
    let layouts = [["gpu", "dram", "dir:A"], ["gpu:0", "dir:A", "dram"], ["dram", "dir:A", "gpu"]];
    for (number, tiers) in layouts.iter().enumerate() {
        let tiers = ["--tier-0", tiers[0], "--tier-1", tiers[1], "--tier-2", tiers[2]];
        let more = ["--verify", ["full", "stamp", "full"][number], "--helpers", ["1", "2", "0"][number]];
        let small = ["--io-size", "256KiB", "--bytes-in-flight", "1MiB"];
        let args = [&tiers[..], &more, if number == 1 { &small } else { &[] }].concat();
        let Some((_, result)) = replay(&bench, 0, &[], &args) else { return };
        assert_eq!(result_bytes(&result), csv_bytes(&path), "{tiers:?}");
        assert_eq!((&result["verify"]["failure_count"], &result["complete"]), (&0.into(), &Value::Bool(true)));
        assert_eq!(result["verify"]["checked_bytes"], 12 * 2_500_000 + 1_500_001);
        let gpu = &result["tiers"][if number == 2 { 2 } else { 0 }];
        assert_eq!((gpu["backend"].as_str(), gpu["facts"]["device"].as_str()), (Some("gpu"), Some("shim")));
        assert_eq!((&gpu["facts"]["pinned"], &gpu["facts"]["driver_cuda_version"]), (&true.into(), &"12.8".into()));
        assert!(
            gpu["read_bytes"].as_u64() >= Some(4 * 2_500_000) && gpu["write_bytes"].as_u64() >= Some(4 * 2_500_000)
        );
    }
}

#[test]
fn service_is_what_the_gpu_took_and_waiting_in_its_stream_is_not_ours() {
    let bench = Bench::on_disk();
    let mut rows: Vec<_> = (0..20).map(|i| format!("0 Write 1000000 Tier-0 k{i} Prefill")).collect();
    rows.extend((0..20).map(|i| format!("1 Read 1000000 Tier-0 k{i} Decode")));
    trace(&bench, "t.csv", &rows);
    let slow = [("MB_PER_S", "100"), ("LATENCY_US", "100")];
    let args = ["--tier-0", "gpu", "--pace", "rate:1000/s", "--verify", "off"];
    let Some((_, result)) = replay(&bench, 3, &slow, &args) else { return };
    for kind in result["latency"].as_array().unwrap() {
        let (least, most) = (kind["service"]["min"].as_f64().unwrap(), kind["response"]["max"].as_f64().unwrap());
        assert!(least >= 10.1e6 * 0.999, "1 MB at 100 MB/s and 100 us take 10.1 ms, not {least} ns");
        assert!(most >= 19.0 * 10.1e6 * 0.9, "the last of twenty waits for nineteen: {most} ns");
    }
    let sum = |of: &str| result["timing"][of]["sum"].as_f64().unwrap();
    assert!(sum("queue_wait") > 2.0 * sum("lateness"), "{} {}", sum("queue_wait"), sum("lateness"));
    assert_eq!(result["verdict"]["bound"], "gpu", "{}", result["verdict"]["because"]);
}

#[test]
fn a_wrong_byte_in_the_gpus_memory_is_noticed() {
    let bench = Bench::on_disk();
    let rows = ["0 Write 3000000 Tier-0 first Prefill", "1 Read 3000000 Tier-0 first Decode"];
    trace(&bench, "t.csv", &rows);
    let args = ["--tier-0", "gpu", "--verify", "full"];
    let Some((last, result)) = replay(&bench, 5, &[("SPOIL_COPY", "2")], &args) else { return };
    assert!(last.contains("row 2: `first` at byte 1") && last.contains("bit_flip"), "{last}");
    assert_eq!(result["verify"]["failure_count"], 1);
}

#[test]
fn a_copy_that_fails_is_an_error_of_its_row() {
    let rows = ["0 Write 3000000 Tier-0 first Prefill", "1 Read 3000000 Tier-0 first Decode"];
    for (how, words) in [("REFUSE_COPY", "ILLEGAL_ADDRESS"), ("BREAK_COPY", "LAUNCH_FAILED")] {
        for (number, row, op) in [("2", 1, "write"), ("5", 2, "read")] {
            let bench = Bench::on_disk();
            trace(&bench, "t.csv", &rows);
            let Some((last, result)) = replay(&bench, 4, &[(how, number)], &["--tier-0", "gpu"]) else { return };
            let expected = format!("first in row {row}: {op} of `first`: copying");
            assert!(last.contains(&expected) && last.contains(words), "{how} {number}: {last}");
            assert_eq!((&result["errors"][0]["row"], &result["valid"]), (&row.into(), &false.into()));
            assert_eq!(result["verify"]["failure_count"], 0, "what was not written is not read");
        }
    }
}

#[test]
fn what_a_gpu_does_not_have_is_said_before_anything_is_touched() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &["0 Write 90000000 Tier-0 a Prefill", "1 Write 100 Tier-2 b Prefill"]);
    let args = ["--tier-0", "gpu", "--tier-2", "dir:D"];
    let Some((last, _)) = replay(&bench, 2, &[("MEMORY", "50000000")], &args) else { return };
    assert!(last.contains("MiB of the GPU's memory is needed and 47.7 MiB is free"), "{last}");
    let other = replay(&bench, 6, &[], &["--tier-0", "gpu:3", "--tier-2", "dir:D"]).unwrap();
    assert!(other.0.contains("1 device(s)") && other.0.contains("model:64GB/s"), "{}", other.0);
    let none = replay(&bench, 6, &[("DEVICES", "0")], &args).unwrap();
    assert!(none.0.contains("no device"), "{}", none.0);
    assert_eq!(bench.files(), ["t.csv"]);
    let (_, result) = replay(&bench, 0, &[("NO_PIN", "1")], &args).unwrap();
    let notes = result["notes"].to_string();
    assert!(notes.contains("could not be pinned") && result["tiers"][0]["facts"]["pinned"] == false, "{notes}");
}

#[test]
fn tier_0_is_the_gpu_that_is_there_and_otherwise_a_model_which_is_said() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &["0 Write 3000000 Tier-0 a Prefill"]);
    let Some((_, result)) = replay(&bench, 0, &[], &[]) else { return };
    assert_eq!(result["tiers"][0]["backend"], "gpu");
    let (_, result) = replay(&bench, 0, &[("DEVICES", "0")], &[]).unwrap();
    assert_eq!(result["tiers"][0]["backend"], "model");
    let notes = result["notes"].to_string();
    assert!(notes.contains("tier 0 is a model") && notes.contains("the CUDA driver has no device"), "{notes}");
    let doctor = run(&bench, &[], &["doctor"]).unwrap();
    let line = doctor.stdout.lines().find(|line| line.contains("GPU")).unwrap_or_default().to_owned();
    assert!(line.starts_with("ok") && line.contains("shim, 1.00 GiB"), "{line}");
}
