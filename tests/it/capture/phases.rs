//! The target's I/O by phase: said by somebody, or by a replay in its own operations.

use std::collections::BTreeMap;

use kvtrace::measure::{BlockResult, Histogram};

use super::{assert_true, exact, histogram};
use crate::capture::device::Loop;
use crate::support::Bench;

fn sizes<'a>(result: &'a BlockResult, phase: &str, op: &str) -> &'a Histogram {
    let phases = result.phases.as_ref().expect("phases were set");
    let of_phase = phases.get(phase).unwrap_or_else(|| panic!("no {phase} in {:?}", phases.keys()));
    of_phase.histograms.iter().find(|h| h.is("size", Some(op))).expect("a phase has sizes")
}

#[test]
fn io_belongs_to_the_phase_that_was_marked() {
    let Some(device) = Loop::new("none") else { return };
    let (path, binary) = (device.path(), env!("CARGO_BIN_EXE_kvtrace"));
    let read = |count: u32, skip: u32| {
        format!("dd if={path} of=/dev/null bs=8k count={count} skip={skip} iflag=direct 2>/dev/null")
    };
    let mark = |phase: &str| format!("{binary} --quiet mark {phase} --pid $PPID");
    let steps = [read(10, 0), mark("prefill"), read(50, 10), mark("decode"), read(25, 500), mark("none"), read(5, 700)];
    let script = format!("set -e; {}", steps.join("; "));
    device.bench.ok(&["capture", "--dev", &device.name, "-o", "b.json", "--", "sh", "-c", &script]);
    let result = device.result("b.json");
    assert_true(&result);
    assert_eq!(exact(histogram(&result, "size", "read")), BTreeMap::from([(8192, 90)]));
    assert_eq!(exact(sizes(&result, "prefill", "read")), BTreeMap::from([(8192, 50)]));
    assert_eq!(exact(sizes(&result, "decode", "read")), BTreeMap::from([(8192, 25)]));
    let phases = result.phases.as_ref().unwrap();
    assert_eq!(phases.keys().collect::<Vec<_>>(), ["decode", "prefill"]);
    let of = |phase: &str, name: &str| phases[phase].histograms.iter().find(|h| h.is(name, Some("read")));
    assert!(of("prefill", "inflight_time").is_none(), "the depth is that of all phases");
    assert_eq!(of("prefill", "lba").unwrap().count, 50);
    // One run of 60 began before the first mark; a phase breaks none.
    assert_eq!(histogram(&result, "run_length", "read").buckets, [(5, 6, 1), (25, 26, 1), (60, 61, 1)]);
    assert_eq!((of("prefill", "run_length").unwrap().count, of("decode", "run_length").unwrap().sum), (0, 25));
    assert_eq!(of("decode", "seek").unwrap().max, Some(440 * 8192));
}

#[test]
fn a_mark_that_reaches_nobody_says_so() {
    let bench = Bench::new();
    let line = bench.refused(2, &["mark", "decode", "--pid", "4194304"]);
    assert!(line.contains("4194304") && line.contains("capture"), "{line}");
    let ended = bench.run(&["mark", "thinking"]);
    assert_eq!(ended.code, 2);
    assert!(["thinking", "prefill", "decode", "evict", "none"].iter().all(|word| ended.stderr.contains(word)));
}

#[test]
fn a_replay_is_captured_by_phase() {
    let Some(device) = Loop::new("none") else { return };
    let mut rows = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n".to_owned();
    let mut row = |at: u32, op: &str, tier: u32, key: u32, phase: &str| {
        rows += &format!("{at}.0,{op},{},Tier-{tier},k{key},{phase}\n", ((1 + key % 3) * 256) << 10);
    };
    (0..30).for_each(|key| row(1, "Write", if key < 10 { 1 } else { 2 }, key, "Prefill"));
    (10..30).for_each(|key| row(2, "Read", 2, key, "Decode"));
    (10..17).for_each(|key| row(3, "Read", 2, key, "Prefill"));
    for key in 0..5 {
        row(4, "Read", 1, key, "Evict");
        row(4, "Write", 2, key, "Evict");
    }
    let trace = device.bench.write("t.csv", rows);
    let bench = Bench::on_disk();
    let (trace, spec) = (trace.display().to_string(), format!("block:{}", device.path()));
    let args = ["replay", &trace, "--tier-2", &spec, "--i-know-this-destroys", &device.path(), "--max-objects", "4"];
    bench.ok(&[&args[..], &["--capture", "-o", "r.json"]].concat());
    let replayed = bench.json("r.json");
    let block: BlockResult = serde_json::from_value(replayed["block"].clone()).expect("it was captured");
    assert!(block.notes.is_empty(), "{:?}", block.notes);
    let mut expected = BTreeMap::new();
    for kind in replayed["latency"].as_array().unwrap().iter().filter(|kind| kind["tier"] == 2) {
        let word = |name: &str| kind[name].as_str().unwrap().to_lowercase();
        *expected.entry((word("phase"), word("op"))).or_insert(0) += i128::from(kind["bytes"].as_u64().unwrap());
    }
    assert_eq!(expected.len(), 4, "{expected:?}");
    if block.tainted {
        return crate::support::skip(&format!("events were lost: {:?}", block.taint_reasons));
    }
    for ((phase, op), bytes) in &expected {
        assert_eq!(sizes(&block, phase, op).sum, *bytes, "{phase} {op}");
    }
    assert_eq!(sizes(&block, "decode", "write").count, 0);
    for op in ["read", "write"] {
        let by_phase: i128 = ["prefill", "decode", "evict"].iter().map(|phase| sizes(&block, phase, op).sum).sum();
        assert_eq!(histogram(&block, "size", op).sum, by_phase, "every {op} has its phase");
    }
}
