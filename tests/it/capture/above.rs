//! What is above the block layer: io_uring operations and system calls, against fio and our own.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use kvtrace::capture::{Capture, CaptureFilter, Target};
use kvtrace::measure::{BlockResult, Histogram};
use rustix::fs::{Advice, fadvise};

use super::device::Loop;
use super::{assert_true, exact, histogram};

/// What belongs to no direction.
fn plain<'a>(result: &'a BlockResult, name: &str) -> &'a Histogram {
    result.histogram(name, None).unwrap_or_else(|| panic!("no {name}"))
}

fn count(result: &BlockResult, name: &str) -> u64 {
    plain(result, name).count
}

#[test]
fn operations_of_io_uring_are_counted_one_by_one() {
    let Some(device) = Loop::new("none") else { return };
    for (engine, punted) in [
        (&["--iodepth=8"][..], false),
        (&["--iodepth=8", "--fixedbufs=1", "--registerfiles=1"], false),
        (&["--iodepth=4", "--nonvectored=0"], false),
        (&["--iodepth=4", "--sqthread_poll=1", "--size=512k"], false),
        (&["--iodepth=8", "--force_async=1"], true),
    ] {
        let mut job = vec!["--rw=randrw", "--bs=4k", "--ioengine=io_uring", "--size=2m"];
        job.extend(engine);
        let (result, fio) = device.captured("uring", &job);
        assert_true(&result);
        for op in ["read", "write"] {
            let ios = fio[op]["total_ios"].as_u64().unwrap();
            let (outer, inner) = (histogram(&result, "uring", op), histogram(&result, "q2c", op));
            assert_eq!((outer.count, inner.count), (ios, ios), "{op} of {engine:?}");
            for q in [0.1, 0.5, 0.9, 0.99] {
                let (outer, inner) = (outer.quantile(q).unwrap(), inner.quantile(q).unwrap());
                assert!(inner <= outer * (1.0 + 1.0 / 32.0), "{engine:?} {op} {q}: q2c {inner} uring {outer}");
            }
        }
        let all = histogram(&result, "uring", "read").count + histogram(&result, "uring", "write").count;
        assert_eq!(result.loss["uring_punted"], if punted { all } else { 0 }, "{engine:?}");
        for lost in ["uring_full", "uring_unmatched", "uring_left"] {
            assert_eq!(result.loss[lost], 0, "{lost} of {engine:?}");
        }
        assert_eq!(count(&result, "syscall_read"), 0, "operations are no calls");
        assert!(result.other.histograms.iter().all(|h| h.name != "uring"), "others' are not looked at");
    }
}

#[test]
fn what_is_submitted_together_is_counted_by_call() {
    let Some(device) = Loop::new("none") else { return };
    for engine in ["--ioengine=io_uring", "--ioengine=libaio"] {
        let job = ["--rw=randread", "--bs=4k", "--size=4m", "--iodepth=16", engine];
        let (result, fio) = device.captured("alone", &job);
        let alone = plain(&result, "batch");
        let ios = fio["read"]["total_ios"].as_u64().unwrap();
        assert_eq!((alone.count, alone.sum, alone.max), (ios, ios.into(), Some(1)), "{engine}");
        let batch = ["--iodepth_batch=16", "--iodepth_batch_complete_min=16", "--iodepth_batch_complete_max=16"];
        let (result, _) = device.captured("together", &[&job[..], &batch].concat());
        let together = plain(&result, "batch");
        assert_eq!((together.sum, together.max, together.unit.as_str()), (ios.into(), Some(16), "ios"), "{engine}");
        assert!(together.count <= ios / 8, "{engine}: {together:?}");
    }
}

#[test]
fn each_thread_is_counted_for_itself() {
    let Some(device) = Loop::new("none") else { return };
    for engine in ["io_uring", "libaio", "psync"] {
        let engine = format!("--ioengine={engine}");
        let job = ["--rw=randread", "--bs=4k", "--size=1m", "--numjobs=3", "--group_reporting", &engine];
        let (result, _) = device.captured("processes", &job);
        assert_eq!((count(&result, "thread"), count(&result, "process")), (3, 3), "{engine}");
        let (result, _) = device.captured("threads", &[&job[..], &["--thread"]].concat());
        let (threads, processes) = (plain(&result, "thread"), plain(&result, "process"));
        assert_eq!((processes.count, processes.sum), (1, 768), "{engine}");
        assert_eq!((threads.count, threads.min, threads.max, threads.sum), (3, Some(256), Some(256), 768), "{engine}");
    }
}

#[test]
fn what_was_asked_for_is_told_whole_where_the_device_splits_it() {
    let Some(device) = Loop::new("none") else { return };
    for engine in ["io_uring", "psync"] {
        let job = ["--rw=randrw", "--bssplit=4k/50:2m/50", "--size=32m", &format!("--ioengine={engine}")];
        let (result, fio) = device.captured("asked", &job);
        assert_true(&result);
        for op in ["read", "write"] {
            let asked = histogram(&result, "asked", op);
            let of = |key: &str| fio[op][key].as_u64().unwrap();
            assert_eq!((asked.count, asked.sum), (of("total_ios"), of("io_bytes").into()), "{op} of {engine}");
            assert_eq!((asked.min, asked.max, asked.unit.as_str()), (Some(4096), Some(2 << 20), "bytes"));
            assert!(histogram(&result, "size", op).count > asked.count, "a loop device takes 2 MiB in pieces");
        }
    }
    let (result, _) =
        device.captured("cached", &["--direct=0", "--rw=rw", "--bs=64k", "--size=4m", "--ioengine=psync"]);
    assert_eq!([histogram(&result, "asked", "read").count, histogram(&result, "asked", "write").count], [0, 0]);
}

#[test]
fn syncs_through_io_uring_are_syncs() {
    let Some(device) = Loop::new("none") else { return };
    for (flag, name, none) in [("--fsync=8", "fsync", "fdatasync"), ("--fdatasync=8", "fdatasync", "fsync")] {
        let job = ["--rw=write", "--bs=4k", "--ioengine=io_uring", "--iodepth=1", "--size=1m", flag];
        let (result, _) = device.captured("ring-sync", &job);
        assert_true(&result);
        // fio's own count leaves fdatasync out, and it syncs between its writes, not after the last.
        assert_eq!(count(&result, name), 31, "{name}");
        assert_eq!((count(&result, none), count(&result, "write_to_fsync")), (0, 0), "no calls");
        assert_eq!(histogram(&result, "uring", "write").count, 256);
    }
}

#[test]
fn calls_are_counted_one_by_one() {
    let Some(device) = Loop::new("none") else { return };
    for engine in ["psync", "sync", "pvsync", "pvsync2"] {
        let job = ["--rw=randrw", "--bs=4k", "--size=2m", "--fsync=16", &format!("--ioengine={engine}")];
        let (result, fio) = device.captured("calls", &job);
        assert_true(&result);
        for (op, name) in [("read", "syscall_read"), ("write", "syscall_write"), ("sync", "fsync")] {
            assert_eq!(count(&result, name), fio[op]["total_ios"].as_u64().unwrap(), "{name} of {engine}");
        }
        assert_eq!((count(&result, "fdatasync"), histogram(&result, "uring", "read").count), (0, 0));
        assert_eq!(count(&result, "cached_write"), 0, "nothing goes through the page cache");
        for (op, name) in [("read", "syscall_read"), ("write", "syscall_write")] {
            let (inner, outer) = (histogram(&result, "q2c", op), plain(&result, name));
            for q in [0.1, 0.5, 0.9] {
                let (inner, outer) = (inner.quantile(q).unwrap(), outer.quantile(q).unwrap());
                assert!(inner <= outer * (1.0 + 1.0 / 32.0), "{engine} {op} {q}: q2c {inner} call {outer}");
            }
        }
    }
    let job = ["--rw=write", "--bs=4k", "--size=2m", "--ioengine=psync", "--fdatasync=16"];
    let (result, _) = device.captured("gap", &job);
    assert_eq!((count(&result, "fdatasync"), count(&result, "fsync")), (31, 0), "between the writes");
    assert_eq!(count(&result, "write_to_fsync"), 31, "each follows a write");
    assert!(plain(&result, "write_to_fsync").min > Some(0));
}

#[test]
fn what_goes_through_the_page_cache_is_told_by_its_bytes() {
    let Some(device) = Loop::new("none") else { return };
    let job = ["--direct=0", "--rw=write", "--bssplit=4k/50:96k/50", "--size=4m", "--fsync=4", "--ioengine=psync"];
    let (result, fio) = device.captured("cached", &job);
    let cached = plain(&result, "cached_write");
    assert_eq!(cached.count, fio["write"]["total_ios"].as_u64().unwrap());
    assert_eq!((cached.unit.as_str(), cached.sum), ("bytes", fio["write"]["io_bytes"].as_u64().unwrap().into()));
    let sizes: Vec<i64> = cached.buckets.iter().map(|bucket| bucket.0).collect();
    assert!(sizes.contains(&4096) && sizes.contains(&98_304), "{sizes:?}");
    let job = ["--direct=0", "--rw=read", "--bs=16k", "--size=4m", "--ioengine=psync"];
    let (result, fio) = device.captured("read", &job);
    let (cached, asked) = (plain(&result, "cached_read"), histogram(&result, "asked", "read"));
    assert_eq!((cached.count, cached.sum), (fio["read"]["total_ios"].as_u64().unwrap(), 4 << 20));
    assert_eq!((asked.count, count(&result, "cached_write")), (0, 0));
}

#[test]
fn only_files_of_the_watched_disk_count() {
    let Some(device) = Loop::new("none") else { return };
    let filter = CaptureFilter {
        devices: vec![device.path()],
        target: Target::Trees(vec![std::process::id()]),
        ..CaptureFilter::default()
    };
    let capture = Capture::start(&filter).expect("we have the rights");
    let mut disk = OpenOptions::new().read(true).write(true).open(device.path()).unwrap();
    let mut block = [7u8; 4096];
    for at in 0..10 {
        disk.write_all_at(&block, at * 4096).unwrap();
    }
    disk.sync_data().unwrap();
    disk.sync_all().unwrap();
    disk.sync_all().unwrap();
    for (advice, reads) in
        [(Advice::DontNeed, 2), (Advice::Sequential, 1), (Advice::WillNeed, 1), (Advice::DontNeed, 0)]
    {
        fadvise(&disk, 0, None, advice).unwrap();
        for at in 0..reads {
            disk.read_exact_at(&mut block, at * 4096).unwrap();
        }
    }
    disk.seek(SeekFrom::End(0)).unwrap();
    assert_eq!(disk.read(&mut block).unwrap(), 0, "the end of the device is a read as well");
    assert!(disk.write(&block).is_err(), "a failed call is none");
    elsewhere(&device);
    let result = capture.finish().unwrap();
    assert_eq!(count(&result, "syscall_write"), 10);
    assert_eq!(count(&result, "syscall_read"), 5);
    assert_eq!((count(&result, "fdatasync"), count(&result, "fsync")), (1, 2));
    assert_eq!(count(&result, "write_to_fsync"), 1, "the first sync after a write");
    assert_eq!(count(&result, "fadvise_to_read"), 3, "advice about the page cache, and the first read after it");
    assert_eq!(exact(histogram(&result, "size", "write")).into_keys().sum::<i64>() % 4096, 0);
}

/// Reads and writes that are none of the disk's: a pipe, a file on another filesystem.
fn elsewhere(device: &Loop) {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"pipe").unwrap();
    reader.read_exact(&mut [0; 4]).unwrap();
    let path = device.bench.write("elsewhere", [1; 4096]);
    File::open(path).unwrap().read_exact(&mut [0; 4096]).unwrap();
}

#[test]
fn what_is_not_watched_is_absent() {
    let Some(device) = Loop::new("none") else { return };
    let names = |result: &BlockResult| -> BTreeMap<String, u64> {
        result.histograms.iter().map(|h| (h.name.clone(), h.count)).collect()
    };
    let calls = [
        "syscall_read",
        "syscall_write",
        "fsync",
        "fdatasync",
        "write_to_fsync",
        "fadvise_to_read",
        "cached_read",
        "cached_write",
        "batch",
        "thread",
        "process",
    ];
    let run = |flags: &[&str], command: &[&str]| {
        let mut args = vec!["capture", "--dev", &device.name, "-o", "b.json"];
        args.extend(flags);
        args.extend(command);
        device.bench.ok(&args);
        names(&device.result("b.json"))
    };
    let everybody = ["--duration", "1ms"];
    for (found, watched) in [
        (run(&[], &["--", "true"]), true),
        (run(&["--no-syscalls"], &["--", "true"]), false),
        (run(&["--no-syscalls", "--syscalls"], &["--", "true"]), true),
        (run(&[], &everybody), false),
        (run(&["--syscalls"], &everybody), true),
    ] {
        assert!(calls.iter().all(|name| found.contains_key(*name) == watched), "{watched}: {found:?}");
        assert!(found.contains_key("uring"));
    }
}
