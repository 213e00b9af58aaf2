//! Patterns whose order is known beforehand: where each request begins after the last one, how
//! long it goes on so, and how long it is between two.

use std::collections::BTreeMap;
use std::fmt::Write;

use kvtrace::measure::BlockResult;

use super::device::Loop;
use super::histogram;
use super::patterns::assert_exact;

fn assert_always(result: &BlockResult, name: &str, op: &str, value: i64, times: u64) {
    let of = histogram(result, name, op);
    assert_eq!((of.count, of.min, of.max), (times, Some(value), Some(value)), "{name} of {op}: {:?}", of.buckets);
    assert_eq!(of.sum, i128::from(value) * i128::from(times), "{name} of {op}");
}

#[test]
fn one_after_the_other_seeks_nowhere() {
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::new(scheduler) else { return };
        let (result, _) = device.captured("seq", &["--rw=read", "--bs=4k", "--ioengine=psync", "--size=20480000"]);
        assert_exact(&result);
        assert_always(&result, "seek", "read", 0, 4999);
        assert_always(&result, "run_length", "read", 5000, 1);
        assert_eq!(histogram(&result, "gap", "read").count, 4999);
        let waits = if scheduler == "none" { 0 } else { 5000 };
        assert_eq!(histogram(&result, "i2d", "read").count, waits, "without a scheduler nothing is inserted");
        for name in ["seek", "run_length", "gap", "i2d"] {
            assert_eq!(histogram(&result, name, "write").count, 0, "{name}");
        }
        let gap = histogram(&result, "gap", "read");
        assert!(gap.min > Some(0) && gap.sum as f64 <= result.duration_s.unwrap() * 1e9, "gaps are parts of the time");
        let lba = histogram(&result, "lba", "read");
        assert_eq!((lba.rel_width, lba.width), (0.0, Some(64 * (1 << 20) / 1024)));
    }
}

#[test]
fn a_stride_seeks_equally_far_each_time() {
    let Some(device) = Loop::sized("none", 256) else { return };
    let (result, _) = device.captured("stride", &["--rw=read:60k", "--bs=4k", "--ioengine=psync", "--io_size=8000k"]);
    assert_exact(&result);
    assert_always(&result, "seek", "read", 120 * 512, 1999);
    assert_always(&result, "run_length", "read", 1, 2000);
}

/// Reads there and back again, in runs of 1 to 5.
fn there_and_back(path: &str) -> (String, BTreeMap<i64, u64>, BTreeMap<i64, u64>) {
    let mut log = format!("fio version 2 iolog\n{path} add\n{path} open\n");
    let (mut seeks, mut runs) = (BTreeMap::new(), BTreeMap::new());
    let mut last: Option<i64> = None;
    for step in 0..300 {
        let (first, run) = (step * 37 % 200 * 128, step % 5 + 1);
        for at in 0..run {
            let sector = first + at * 8;
            if let Some(end) = last {
                *seeks.entry((sector - end) * 512).or_insert(0) += 1;
            }
            writeln!(log, "{path} read {} 4096", sector * 512).expect("a string grows");
            last = Some(sector + 8);
        }
        *runs.entry(run).or_insert(0) += 1;
    }
    writeln!(log, "{path} close").expect("a string grows");
    (log, seeks, runs)
}

#[test]
fn seeks_go_both_ways_and_runs_end() {
    let Some(device) = Loop::new("none") else { return };
    let (log, seeks, runs) = there_and_back(&device.path());
    let file = device.bench.write("list", log).display().to_string();
    let (result, _) = device.captured("both", &["--ioengine=psync", &format!("--read_iolog={file}")]);
    assert_exact(&result);
    let seek = histogram(&result, "seek", "read");
    assert_eq!(seek.count, seeks.values().sum::<u64>());
    assert_eq!(seek.sum, seeks.iter().map(|(far, times)| i128::from(*far) * i128::from(*times)).sum::<i128>());
    assert_eq!((seek.min, seek.max), (seeks.keys().next().copied(), seeks.keys().last().copied()));
    for (far, times) in bucketed(seek.buckets.iter().map(|(low, high, _)| (*low, *high)), &seeks) {
        let counted = seek.buckets.iter().find(|(low, high, _)| (*low, *high) == far).map_or(0, |bucket| bucket.2);
        assert_eq!(counted, times, "seeks in {far:?}");
    }
    let run = histogram(&result, "run_length", "read");
    let counted: BTreeMap<i64, u64> = run.buckets.iter().map(|(low, _, count)| (*low, *count)).collect();
    assert_eq!(counted, runs);
}

/// How many of the true values fall into each bucket; a value that falls into none is a failure.
fn bucketed(edges: impl Iterator<Item = (i64, i64)>, truth: &BTreeMap<i64, u64>) -> BTreeMap<(i64, i64), u64> {
    let edges: Vec<(i64, i64)> = edges.collect();
    let mut found = BTreeMap::new();
    for (value, times) in truth {
        let edge = edges.iter().find(|(low, high)| low <= value && value < high);
        *found.entry(*edge.unwrap_or_else(|| panic!("no bucket has {value}"))).or_insert(0) += times;
    }
    found
}

#[test]
fn a_pause_is_a_gap() {
    let Some(device) = Loop::new("none") else { return };
    let (result, _) = device.captured(
        "pause",
        &["--rw=read", "--bs=4k", "--ioengine=psync", "--size=2000k", "--thinktime=2000", "--thinktime_spin=0"],
    );
    assert_exact(&result);
    let gap = histogram(&result, "gap", "read");
    assert_eq!(gap.count, 499);
    assert!(gap.min >= Some(2_000_000), "nobody wakes early: {:?}", gap.min);
    // On a busy machine most wake-ups come late, but some come on time.
    assert!(gap.quantile(0.05).is_some_and(|ns| ns < 3e6), "{:?}", gap.buckets);
}

#[test]
fn what_is_random_goes_both_ways_and_every_request_is_in_a_run() {
    let Some(device) = Loop::new("mq-deadline") else { return };
    let job = ["--rw=randrw", "--bs=16k", "--ioengine=io_uring", "--iodepth=8", "--norandommap=1", "--io_size=64m"];
    let (result, _) = device.captured("random", &job);
    assert_exact(&result);
    for op in ["read", "write"] {
        let of = |name| histogram(&result, name, op);
        let (seek, ios) = (of("seek"), of("size").count);
        assert_eq!(seek.count, ios - 1);
        assert!(seek.min < Some(0) && seek.max > Some(0), "{:?} to {:?}", seek.min, seek.max);
        assert!(seek.buckets.windows(2).all(|pair| pair[0].1 <= pair[1].0), "ascending, none twice");
        assert_eq!(seek.sum % 512, 0);
        assert_eq!(of("run_length").sum, i128::from(ios), "{op}");
        assert!(of("gap").count < ios);
        let small: BTreeMap<_, _> = seek.buckets.iter().map(|b| (b.0, b.2)).collect();
        assert!(small.len() > 20, "{small:?}");
    }
}
