//! Patterns whose every request is known beforehand: what is captured equals them exactly.

use std::collections::BTreeMap;
use std::fmt::Write;

use kvtrace::measure::BlockResult;

use super::device::Loop;
use super::{exact, histogram};
use crate::support::has_program;

const KIB: i64 = 1 << 10;

/// Losses that a loop device never has a reason for.
const NEVER: [&str; 9] = [
    "map_full",
    "late_attr",
    "nomatch_later",
    "lost_complete",
    "left_inflight",
    "never_issued",
    "partial",
    "requeue",
    "recursion_misses",
];

fn bytes(result: &BlockResult, op: &str) -> u64 {
    let sets = [&result.histograms, &result.other.histograms];
    sets.iter().flat_map(|set| set.iter()).filter(|h| h.is("size", Some(op))).map(|h| h.sum as u64).sum()
}

/// Nothing lost, nothing left, every byte as the kernel counted it, and every histogram that has
/// one value a request has as many.
pub fn assert_exact(result: &BlockResult) {
    assert!(!result.tainted, "{:?}", result.taint_reasons);
    for name in NEVER {
        assert_eq!(result.loss[name], 0, "{name}: {:?}", result.loss);
    }
    for device in &result.devices {
        assert_eq!(device.captured, device.kernel, "{}: captured, and counted by the kernel", device.name);
    }
    let kernel = result.devices[0].kernel;
    assert_eq!((bytes(result, "read"), bytes(result, "write")), (kernel.read_bytes, kernel.write_bytes));
    for op in ["read", "write"] {
        let requests = histogram(result, "size", op).count;
        for name in ["d2c", "q2d", "q2c", "inflight", "lba"] {
            assert_eq!(histogram(result, name, op).count, requests, "{name} of {op}");
        }
    }
}

fn sizes(pairs: &[(i64, u64)]) -> BTreeMap<i64, u64> {
    pairs.iter().copied().collect()
}

#[test]
fn sequential_writes_at_depth_are_all_there() {
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::sized(scheduler, 256) else { return };
        device.set("nomerges", "2");
        let (result, _) = device
            .captured("writes", &["--rw=write", "--bs=64k", "--ioengine=io_uring", "--iodepth=8", "--io_size=192000k"]);
        assert_exact(&result);
        assert_eq!(exact(histogram(&result, "size", "write")), sizes(&[(64 * KIB, 3000)]), "{scheduler}");
        assert!(histogram(&result, "inflight", "write").max <= Some(8));
        assert_eq!(histogram(&result, "lba", "write").sum, (0..3000).map(|at| at * i128::from(64 * KIB)).sum::<i128>());
        assert_eq!(histogram(&result, "size", "read").count, 0);
    }
}

#[test]
fn a_large_read_is_four_requests_whatever_the_scheduler() {
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::new(scheduler) else { return };
        device.set("max_sectors_kb", "256");
        let (result, _) = device.captured("large", &["--rw=read", "--bs=1m", "--ioengine=psync", "--size=50m"]);
        assert_exact(&result);
        assert_eq!(exact(histogram(&result, "size", "read")), sizes(&[(256 * KIB, 200)]), "{scheduler}");
        assert!(histogram(&result, "inflight", "read").max <= Some(4));
    }
}

/// A fixed list of reads, in a fixed disorder, as fio reads it.
fn list_of_reads(device: &Loop, counts: &[(i64, u64)]) -> (String, i128) {
    let mut left: Vec<(i64, u64)> = counts.to_vec();
    let (mut log, mut sum, mut step) = (String::from("fio version 2 iolog\n"), 0i128, 0u64);
    let path = device.path();
    writeln!(log, "{path} add\n{path} open").expect("a string grows");
    while let Some(most) = left.iter_mut().filter(|(_, left)| *left > 0).max_by_key(|(size, left)| {
        // Any order will do, as long as it is the same and mixes.
        (*left * 7 + step * (*size as u64 / 4096)) % 1009
    }) {
        most.1 -= 1;
        step += 1;
        let at = step * 7919 % (60 << 8) * 4096;
        sum += i128::from(at);
        writeln!(log, "{path} read {at} {}", most.0).expect("a string grows");
    }
    writeln!(log, "{path} close").expect("a string grows");
    (log, sum)
}

#[test]
fn a_list_of_sizes_is_found_to_the_last_one() {
    let wanted = [(4 * KIB, 2020), (12 * KIB, 1984), (48 * KIB, 2015), (200 * KIB, 1981)];
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::new(scheduler) else { return };
        let (log, places) = list_of_reads(&device, &wanted);
        let file = device.bench.write("list", log).display().to_string();
        let (result, _) =
            device.captured("sizes", &["--ioengine=io_uring", "--iodepth=4", &format!("--read_iolog={file}")]);
        assert_exact(&result);
        assert_eq!(exact(histogram(&result, "size", "read")), sizes(&wanted), "{scheduler}");
        assert_eq!(histogram(&result, "lba", "read").sum, places);
        assert!(histogram(&result, "inflight", "read").max <= Some(4));
    }
}

#[test]
fn a_stride_reads_every_sixteenth_block() {
    let Some(device) = Loop::sized("none", 256) else { return };
    let (result, _) = device.captured("stride", &["--rw=read:60k", "--bs=4k", "--ioengine=psync", "--io_size=8000k"]);
    assert_exact(&result);
    assert_eq!(exact(histogram(&result, "size", "read")), sizes(&[(4 * KIB, 2000)]));
    let lba = histogram(&result, "lba", "read");
    assert_eq!((lba.min, lba.max), (Some(0), Some(1999 * 64 * KIB)));
    assert_eq!(lba.sum, (0..2000).map(|at| at * i128::from(64 * KIB)).sum::<i128>());
    assert_eq!(exact(histogram(&result, "inflight", "read")), sizes(&[(1, 2000)]));
}

#[test]
fn a_mix_is_split_exactly_as_fio_split_it() {
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::sized(scheduler, 256) else { return };
        let (result, fio) = device
            .captured("mix", &["--rw=randrw", "--bs=4k", "--ioengine=io_uring", "--iodepth=32", "--io_size=240000k"]);
        assert_exact(&result);
        let mut all = 0;
        for op in ["read", "write"] {
            let ios = fio[op]["total_ios"].as_u64().unwrap();
            // Neighbouring blocks may still meet in one request.
            let requests = histogram(&result, "size", op);
            assert_eq!(requests.sum, i128::from(ios) * 4096, "{op}, {scheduler}");
            all += ios;
        }
        assert_eq!(all, 60_000);
        let most = result.histogram("inflight_time", None).unwrap().max;
        assert!(most <= Some(32), "{scheduler}: {most:?}");
    }
}

#[test]
fn merged_blocks_are_one_request_and_lose_no_byte() {
    let Some(device) = Loop::sized("mq-deadline", 64) else { return };
    // A loop device begins without.
    device.set("nomerges", "0");
    let merges = device.stat(1);
    let (result, _) = device.captured(
        "merges",
        &[
            "--rw=read",
            "--bs=4k",
            "--ioengine=libaio",
            "--iodepth=32",
            "--iodepth_batch=32",
            "--iodepth_batch_complete_min=32",
            "--size=32m",
        ],
    );
    assert_exact(&result);
    let size = histogram(&result, "size", "read");
    assert_eq!(size.sum, 32 << 20);
    let merged = device.stat(1) - merges;
    assert!(merged > 4096, "batches of neighbours merge: {merged}");
    // The counter holds every run of the job, of which only the last is the result's.
    assert_eq!((size.count + merged) % 8192, 0, "{} requests and {merged} merges", size.count);
    assert!(size.buckets.iter().all(|(low, ..)| low % 4096 == 0) && size.max > Some(4096), "{:?}", size.buckets);
}

#[test]
fn an_fsync_is_a_flush_and_a_discard_is_neither_read_nor_write() {
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::new(scheduler) else { return };
        let (result, fio) =
            device.captured("flush", &["--rw=randwrite", "--bs=8k", "--ioengine=psync", "--size=1600k", "--fsync=1"]);
        assert_exact(&result);
        if result.devices[0].write_cache == "write back" {
            let flushes = result.histogram("flush", None).unwrap().count;
            assert_eq!(flushes, fio["sync"]["total_ios"].as_u64().unwrap(), "{scheduler}: {:?}", fio["sync"]);
        }
        assert_eq!(exact(histogram(&result, "size", "write")), sizes(&[(8 * KIB, 200)]));
        if !has_program("blkdiscard") {
            continue;
        }
        let result = device.command("discard", &["blkdiscard", "--step", "1MiB", &device.path()]);
        assert_eq!(result.histogram("discard", None).unwrap().count, 64, "{scheduler}: {:?}", result.loss);
        // It looks for a filesystem first.
        assert_eq!(histogram(&result, "size", "write").count, 0);
    }
}
