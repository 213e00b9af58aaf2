//! `--preset`, `--rank` and `--profile`.

use serde_json::Value;

use crate::support::{Bench, manifest_dir};

fn in_force(bench: &Bench, flags: &[&str]) -> Value {
    bench.ok_json(&[&["record", "--print-config", "--json"], flags].concat())
}

#[test]
fn every_preset_records_rows() {
    let bench = Bench::new();
    let listed = bench.ok_json(&["record", "--list-presets", "--json"]);
    let presets = listed["presets"].as_array().expect("a list");
    assert_eq!(presets.len(), 25);
    let sample = manifest_dir().join("traces/sharegpt-sample.json");
    for preset in presets {
        let name = preset["name"].as_str().unwrap();
        let file = if preset["flags"]["source"] == "sharegpt" { vec![sample.to_str().unwrap()] } else { Vec::new() };
        let short = ["--preset", name, "--duration", "2", "--max-requests", "60", "-o", "t.csv"];
        let ended = bench.run(&[&["record"], &file[..], &short].concat());
        assert_eq!(ended.code, 0, "{name}: {ended:?}");
        assert!(bench.read("t.csv").iter().filter(|byte| **byte == b'\n').count() > 60, "{name}");
        let said = ended.stderr.contains("a recording leaves out");
        assert_eq!(said, preset["left_out"] != "", "{name}: {ended:?}");
        let meta = bench.json("t.csv.meta.json");
        assert_eq!(meta["flags"]["preset"], name);
    }
}

#[test]
fn a_rank_is_added_to_the_seed() {
    let bench = Bench::new();
    let third = in_force(&bench, &["--preset", "mlperf-option-3", "--rank", "3"]);
    for (flag, value) in [("seed", 45.0), ("num-users", 70.0), ("duration", 300.0), ("cpu-mem-gb", 0.0)] {
        assert_eq!(third[flag].as_f64(), Some(value), "{flag}");
    }
    assert_eq!((&third["model"], &third["max-concurrent-allocs"]), (&"llama3.1-70b-instruct".into(), &4.into()));
    for (flags, words) in [
        (vec!["--preset", "smoke-1", "--rank", "1"], "--rank"),
        (vec!["synthetic", "--rank", "1"], "--preset mlperf-option-N"),
        (vec!["--preset", "mlperf-option-1", "--rank", "1", "--seed", "9"], "not both"),
        (vec!["--preset", "mlperf-option-9"], "mlperf-option-1"),
    ] {
        let line = bench.refused(2, &[&["record", "-o", "t.csv"], &flags[..]].concat());
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn what_is_typed_wins_over_a_preset_and_a_preset_over_a_profile() {
    let bench = Bench::new();
    let typed = in_force(&bench, &["--preset", "smoke-2", "--num-users", "7", "--enable-rag"]);
    assert_eq!((&typed["num-users"], &typed["duration"], &typed["enable-rag"]), (&7.into(), &180.into(), &true.into()));
    let off = in_force(&bench, &["--preset", "smoke-7", "--enable-rag=false"]);
    assert_eq!(off["enable-rag"], false);
    let engine = in_force(&bench, &["synthetic", "--profile", "engine"]);
    let mlperf = in_force(&bench, &["synthetic"]);
    assert_eq!((&engine["live-conversations"], &mlperf["live-conversations"]), (&0.into(), &1000.into()));
    assert_eq!((&engine["promotion"], &mlperf["promotion"]), (&"on-read".into(), &"none".into()));
    let typed = in_force(&bench, &["synthetic", "--profile", "engine", "--live-conversations", "5"]);
    assert_eq!(typed["live-conversations"], 5);
    let line = bench.refused(2, &["record", "--preset", "suite-gpu-cpu", "--target-usage", "2", "-o", "t.csv"]);
    assert!(line.contains("--target-usage 2"), "{line}");
}
