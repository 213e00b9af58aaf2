//! What `kvtrace replay` refuses before it touches anything.

use std::fs;

use serde_json::Value;

use super::{HEADER, trace};
use crate::support::Bench;

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
