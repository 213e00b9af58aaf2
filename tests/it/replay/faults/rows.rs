//! Rows that are wrong, and rows that only look it.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::time::Instant;

use serde_json::Value;

use super::super::{HEADER, trace};
use super::SOON;
use crate::support::Bench;

/// Replays a file that must be refused, and hands out what is said.
fn refused(bench: &Bench, name: &str) -> String {
    let began = Instant::now();
    let ended = bench.run(&["replay", name, "--tier-2", "dir:D", "-o", "r.json"]);
    assert_eq!(ended.code, 2, "{name}: {}", ended.stderr);
    assert!(began.elapsed() < SOON && !ended.stderr.contains("panicked"), "{name}: {}", ended.stderr);
    assert!(!bench.path("D").exists() && !bench.path("r.json").exists(), "{name}: nothing may be touched");
    ended.stderr.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_wrong_row_is_named_before_anything_is_touched() {
    let bench = Bench::on_disk();
    for (row, words) in [
        ("-1,Read,1,Tier-2,k,Decode", ["row 2", "Timestamp", "-1"]),
        ("NaN,Read,1,Tier-2,k,Decode", ["row 2", "Timestamp", "NaN"]),
        ("inf,Read,1,Tier-2,k,Decode", ["row 2", "Timestamp", "inf"]),
        ("1e400,Read,1,Tier-2,k,Decode", ["row 2", "Timestamp", "1e400"]),
        ("1,Read,0,Tier-2,k,Decode", ["row 2", "Object_Size_Bytes", "above 0"]),
        ("1,Read,-1,Tier-2,k,Decode", ["row 2", "Object_Size_Bytes", "-1"]),
        ("1,Read,99999999999999999999999,Tier-2,k,Decode", ["row 2", "Object_Size_Bytes", "9999"]),
        ("1,Read,1,Tier-3,k,Decode", ["row 2", "Tier", "Tier-3"]),
        ("1,Read,1,,k,Decode", ["row 2", "Tier", "Tier-0, Tier-1 or Tier-2"]),
        ("1,Read,1,Tier-2,,Decode", ["row 2", "Key", "a name"]),
        ("1,Move,1,Tier-2,k,Decode", ["row 2", "Operation", "Move"]),
        ("1,Read,1,Tier-2", ["row 2", "4 fields", "6"]),
    ] {
        bench.write("t.csv", format!("{HEADER}0,Write,1,Tier-2,k,Prefill\n{row}\n"));
        let last = refused(&bench, "t.csv");
        assert!(words.iter().all(|word| last.contains(word)), "{row}: {last}");
    }
    let bytes = [HEADER.as_bytes(), b"0,Read,1,Tier-2,\xC3\x28,Decode\n"].concat();
    bench.write("t.csv", bytes);
    let last = refused(&bench, "t.csv");
    assert!(last.contains("row 1") && last.contains("UTF-8"), "{last}");
}

#[test]
fn a_cut_or_damaged_compressed_trace_is_refused() {
    let bench = Bench::on_disk();
    let rows: Vec<_> =
        (0..5000).map(|i| format!("{i} Write {} Tier-2 k{} Prefill", 1000 + i * 7 % 977, i * 31)).collect();
    trace(&bench, "t.csv", &rows);
    bench.ok(&["convert", "t.csv", "whole.csv.zst"]);
    let whole = bench.read("whole.csv.zst");
    for share in [10, 50, 90] {
        bench.write("cut.csv.zst", &whole[..whole.len() * share / 100]);
        let last = refused(&bench, "cut.csv.zst");
        assert!(last.contains("cut.csv.zst"), "{share} %: {last}");
    }
    let mut damaged = whole.clone();
    damaged[whole.len() / 3..][..64].fill(0);
    bench.write("damaged.csv.zst", damaged);
    assert!(refused(&bench, "damaged.csv.zst").contains("damaged.csv.zst"));
}

#[test]
fn a_line_of_hundreds_of_megabytes_is_refused_soon() {
    let bench = Bench::on_disk();
    let path = bench.write("t.csv", format!("{HEADER}0,Write,1,Tier-2,k,Prefill\n1,Read,1,Tier-2,"));
    // A hole reads as zeros and takes no space.
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    let end = file.seek(SeekFrom::End(0)).unwrap();
    file.set_len(end + (300 << 20)).unwrap();
    file.write_all(b",Decode\n").unwrap();
    drop(file);
    let last = refused(&bench, "t.csv");
    assert!(last.contains("row 2") && last.contains("longer than"), "{last}");
}

#[test]
fn large_objects_and_strange_names_are_replayed() {
    let bench = Bench::on_disk();
    let gib5 = 5u64 << 30;
    let strange = ["../../etc/passwd", "a b", "ключ", "a\u{0}b", "'; rm -rf /; '", "-rf"];
    let mut rows = format!("{HEADER}0,Write,{gib5},Tier-2,large,Prefill\n1,Read,{gib5},Tier-2,large,Decode\n");
    for (at, name) in strange.iter().enumerate() {
        rows += &format!("{},Write,70000,Tier-2,{name},Prefill\n{},Read,70000,Tier-2,{name},Decode\n", at + 2, at + 2);
    }
    bench.write("t.csv", rows);
    bench.ok(&["replay", "t.csv", "--engine", "nop", "-o", "r.json"]);
    let result = bench.json("r.json");
    let least = 2 * gib5;
    let moved = |name: &str| result["totals"][name].as_u64().unwrap();
    assert_eq!(moved("ops"), 2 + 2 * strange.len() as u64);
    assert!(moved("read_bytes") + moved("write_bytes") > least);
    let shrink = ["--size-scale", "0.001", "--verify", "full", "--tier-2", "dir:D", "-o", "s.json"];
    bench.ok(&[&["replay", "t.csv"][..], &shrink].concat());
    assert_eq!(bench.json("s.json")["verify"]["failure_count"], 0);
    assert_eq!(bench.files(), ["D", "r.json", "s.json", "t.csv"]);
    assert_eq!(fs::read_dir(bench.path("D")).unwrap().count(), 1, "keys are no paths");
}

#[test]
fn sums_beyond_64_bits_do_not_wrap() {
    let bench = Bench::on_disk();
    let most = i64::MAX as u64;
    let rows: Vec<_> = (0..5).map(|i| format!("{i} Write {most} Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows);
    let ended = bench.run(&["replay", "t.csv", "--plan-only", "--json", "--tier-2", "dir:D"]);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let plan: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&plan["fits"], ended.code), (&false.into(), 2));
    refused(&bench, "t.csv");
}
