//! Gaps, distances and runs of patterns that are known.

use std::collections::BTreeMap;

use super::{MIB, assert_true, histogram};
use crate::capture::device::Loop;

#[test]
fn what_is_sequential_is_one_run() {
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::new(scheduler) else { return };
        let (result, _) = device.captured("seq", &["--rw=read", "--bs=4k", "--ioengine=psync", "--size=20480000"]);
        assert_true(&result);
        let of = |name| histogram(&result, name, "read");
        assert_eq!(of("seek").buckets, [(0, 1, 4999)], "{scheduler}");
        assert_eq!((of("run_length").count, of("run_length").sum), (1, 5000), "{scheduler}");
        assert_eq!((of("gap").count, of("gap").min.unwrap() > 0), (4999, true), "{scheduler}");
        assert!(of("gap").sum as f64 <= result.duration_s.unwrap() * 1e9, "gaps are parts of the time");
        assert!(of("i2d").count <= 5000 && of("i2d").sum <= of("q2d").sum, "{scheduler}");
        for name in ["seek", "run_length", "gap", "i2d"] {
            assert_eq!(histogram(&result, name, "write").count, 0, "{name}");
        }
        let lba = of("lba");
        assert_eq!((lba.rel_width, lba.width), (0.0, Some(64 * MIB as i64 / 1024)));
        assert_eq!((of("seek").rel_width, of("seek").width), (1.0 / 32.0, None));
    }
}

#[test]
fn a_stride_is_its_distance_and_never_a_run() {
    let Some(device) = Loop::new("none") else { return };
    let job = ["--rw=read:60k", "--bs=4k", "--ioengine=psync", "--number_ios=1000", "--size=64m"];
    let (result, _) = device.captured("stride", &job);
    assert_true(&result);
    let seek = histogram(&result, "seek", "read");
    assert_eq!((seek.count, seek.min, seek.max), (999, Some(61_440), Some(61_440)));
    assert_eq!(seek.sum, 999 * 61_440);
    let (low, high, count) = seek.buckets[0];
    assert!(seek.buckets.len() == 1 && low <= 61_440 && 61_440 < high && count == 999, "{:?}", seek.buckets);
    assert_eq!(histogram(&result, "run_length", "read").buckets, [(1, 2, 1000)]);
}

#[test]
fn what_is_random_goes_both_ways_and_every_request_is_in_a_run() {
    let Some(device) = Loop::new("mq-deadline") else { return };
    let job = ["--rw=randrw", "--bs=16k", "--ioengine=io_uring", "--iodepth=8", "--norandommap=1", "--io_size=64m"];
    let (result, _) = device.captured("random", &job);
    assert_true(&result);
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
