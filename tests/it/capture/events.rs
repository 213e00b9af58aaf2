//! Rows of single requests: that they say what the histograms say, and what becomes of them when
//! there is no room.

use std::process::Stdio;

use kvtrace::capture::events::reduce;
use kvtrace::measure::events::{BlockOp, Event, EventKind, EventsReader, Side};
use kvtrace::measure::{BlockResult, Histogram};
use kvtrace::stop::Stop;
use rustix::process::{Pid, Signal, kill_process};

use super::device::Loop;
use super::eventually;
use crate::small_disk::SmallDisk;
use crate::support::Bench;

/// What a row per request can tell.
const TOLD: [&str; 14] = [
    "d2c",
    "q2d",
    "q2c",
    "i2d",
    "size",
    "inflight",
    "inflight_time",
    "lba",
    "gap",
    "seek",
    "run_length",
    "flush",
    "discard",
    "write_zeroes",
];

/// Captures a fio job with its events; again where the kernel did not show every event.
fn with_events(device: &Loop, name: &str, job: &[&str]) -> BlockResult {
    let fio = device.fio(name, job);
    let mut args = vec!["capture", "--dev", &device.name, "-o", "b.json", "--events", "e.parquet", "--"];
    args.extend(fio.iter().map(String::as_str));
    for _ in 0..4 {
        device.bench.ok(&args);
        let result = device.result("b.json");
        if ["lost_complete", "left_inflight", "nomatch_later"].iter().all(|loss| result.loss[*loss] == 0) {
            return result;
        }
    }
    panic!("the kernel showed all events in none of four runs")
}

fn rows(bench: &Bench, file: &str) -> Vec<Event> {
    EventsReader::open(&bench.path(file)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every histogram that events can tell is the same in both.
fn assert_same(counted: &[Histogram], again: &[Histogram], whose: &str) {
    let told: Vec<_> = counted.iter().filter(|histogram| TOLD.contains(&histogram.name.as_str())).collect();
    assert!(told.len() >= 15, "{} histograms", told.len());
    for histogram in told {
        let op = histogram.op.as_deref();
        let same = again.iter().find(|h| h.is(&histogram.name, op));
        assert_eq!(Some(histogram), same, "{} of {op:?}, {whose}", histogram.name);
    }
}

#[test]
fn counting_the_rows_gives_the_histograms_again() {
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::new(scheduler) else { return };
        for engine in ["libaio", "io_uring"] {
            let engine = format!("--ioengine={engine}");
            let job = ["--rw=randrw", "--bsrange=4k-96k", "--bs_unaligned=0", "--iodepth=16", "--norandommap=1"];
            let result = with_events(&device, "mix", &[&job[..], &["--io_size=120m", "--fsync=100", &engine]].concat());
            assert!(!result.tainted, "{:?}", result.taint_reasons);
            let again = reduce(&device.bench.path("e.parquet"), &Stop::new()).unwrap();
            assert_same(&result.histograms, &again.histograms, "the target's");
            assert_same(&result.other.histograms, &again.other.histograms, "others'");
            assert_eq!(result.devices, again.devices, "totals of the device");
            assert_eq!((&result.loss, result.duration_s), (&again.loss, again.duration_s));
            let count = |op: &str| result.histogram("size", Some(op)).unwrap().count;
            let rows = rows(&device.bench, "e.parquet");
            let done = |op| rows.iter().filter(|row| row.op == op && row.kind == EventKind::Done).count() as u64;
            assert_eq!((done(BlockOp::Read), done(BlockOp::Write)), (count("read"), count("write")));
            assert!(count("read") > 1000 && rows.iter().all(|row| row.side == Side::Target && row.pid != 0));
            assert!(rows.iter().all(|row| row.queued_ns >= 0 && row.completed_ns >= row.queued_ns));
        }
    }
}

#[test]
fn a_result_can_be_had_from_rows_alone() {
    let Some(device) = Loop::new("none") else { return };
    let job = ["--rw=randread", "--bs=4k", "--ioengine=psync", "--io_size=4m", "--norandommap=1"];
    let result = with_events(&device, "rows", &job);
    assert!(device.bench.ok(&["info", "e.parquet"]).contains("the requests that a capture saw"));
    device.bench.ok(&["capture", "--from", "e.parquet", "-o", "again.json"]);
    let again = device.result("again.json");
    assert_same(&result.histograms, &again.histograms, "the target's");
    let calls = |block: &BlockResult| block.histogram("syscall_read", None).cloned();
    assert!(calls(&result).is_some_and(|calls| calls.count == 1024) && calls(&result) == calls(&again), "calls too");
    assert_eq!((again.complete, again.tainted, again.source), (true, false, result.source));
    let ended = device.bench.run(&["capture", "--from", "e.parquet", "--events", "f.parquet"]);
    assert!(ended.code == 2 && ended.stderr.contains("'--from <FILE>' cannot be used"), "{ended:?}");
}

#[test]
fn a_full_buffer_drops_rows_and_says_so() {
    let Some(device) = Loop::new("none") else { return };
    let page = rustix::param::page_size().to_string();
    let job = ["--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=32", "--io_size=40m", "--norandommap=1"];
    let fio = device.fio("full", &job);
    let mut args = vec!["capture", "--dev", &device.name, "-o", "b.json", "--events", "e.parquet"];
    args.extend(["--events-buffer", &page, "--"]);
    args.extend(fio.iter().map(String::as_str));
    device.bench.ok(&args);
    let result = device.result("b.json");
    let dropped = result.loss["ring_drop"];
    assert!(dropped > 0 && result.tainted, "{:?}", result.loss);
    let reason = result.taint_reasons.iter().find(|reason| reason.starts_with("ring_drop ")).expect("it is said");
    assert!(reason.contains("--events-buffer"), "{reason}");
    let reader = EventsReader::open(&device.bench.path("e.parquet")).unwrap();
    assert_eq!(reader.meta().ring_drop, dropped);
    let rows = reader.rows();
    assert_eq!(reader.filter(Result::is_ok).count() as u64, rows);
    let sizes = result.histogram("size", Some("read")).unwrap().count;
    let elsewhere: u64 = ["rq_merged", "requeue", "lost_complete"].iter().map(|name| result.loss[*name]).sum();
    assert_eq!(sizes, 10_240, "the histograms are whole");
    assert_eq!(rows + dropped, sizes + elsewhere, "every row is in the file or counted");
    let again = reduce(&device.bench.path("e.parquet"), &Stop::new()).unwrap();
    assert!(again.tainted && again.histogram("size", Some("read")).unwrap().count <= rows);
}

#[test]
fn rows_of_an_interrupted_capture_are_kept_as_partial() {
    let Some(device) = Loop::new("none") else { return };
    let args = ["capture", "--dev", &device.name, "-o", "b.json", "--events", "e.parquet", "--", "sleep", "60"];
    let mut child = device.bench.command(&args).stderr(Stdio::null()).spawn().unwrap();
    assert!(eventually(|| !super::children(child.id()).is_empty()), "the command runs");
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(device.bench.files(), ["b.partial.json", "e.partial.parquet"]);
    let reader = EventsReader::open(&device.bench.path("e.partial.parquet")).unwrap();
    assert!(!reader.meta().complete && reader.meta().start_unix_ns > reader.meta().start_monotonic_ns);
}

#[test]
fn a_full_disk_costs_the_rows_and_nothing_else() {
    let Some(device) = Loop::new("none") else { return };
    let Some(small) = SmallDisk::mount(&device.bench, "64k") else { return };
    let fio = device.fio("disk", &["--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=8", "--io_size=40m"]);
    let mut args = vec!["capture", "--dev", &device.name, "-o", "b.json", "--events", "small/e.parquet", "--"];
    args.extend(fio.iter().map(String::as_str));
    let line = device.bench.refused(125, &args);
    assert!(line.contains("the events are lost") && line.contains("small/e.parquet"), "{line}");
    assert!(line.contains("free some space") && line.contains("the result is in b.json"), "{line}");
    let result = device.result("b.json");
    assert!(result.complete && result.histogram("size", Some("read")).unwrap().count > 5_000);
    assert_eq!(small.count(), 0, "nothing half written is left");
}

#[test]
fn files_and_buffers_that_cannot_be_are_refused_before_anything_runs() {
    let bench = Bench::new();
    bench.write("mine.parquet", "precious");
    std::os::unix::fs::symlink(bench.path("mine.parquet"), bench.path("link.json")).unwrap();
    for (args, words) in [
        (&["-o", "x.parquet", "--events", "x.parquet"][..], "-o both name x.parquet"),
        (&["-o", "./x.parquet", "--events", "x.parquet"], "-o both name"),
        (&["--overwrite", "-o", "link.json", "--events", "mine.parquet"], "-o both name"),
        (&["--fio", "x", "--events", "x"], "--fio both name"),
        (&["--events", "mine.parquet"], "--overwrite"),
        (&["--events", "nowhere/e.parquet"], "there is no folder nowhere"),
        (&["--events", "-"], "not to standard output"),
        (&["--events", "e.parquet", "--events-buffer", "3MiB"], "nearest is 4194304"),
        (&["--events", "e.parquet", "--events-buffer", "0"], "power of two"),
    ] {
        let line = bench.refused(2, &[&["capture", "--duration", "1s"], args].concat());
        assert!(line.contains(words), "{args:?}: {line}");
    }
    assert_eq!(bench.read("mine.parquet"), b"precious");
    assert_eq!(bench.files(), ["link.json", "mine.parquet"]);
    for other in [&["replay", "t.csv"][..], &["capture", "--from", "b.json"]] {
        let ended = bench.run(&[other, &["--events-buffer", "1MiB"]].concat());
        assert!(ended.code == 2 && ended.stderr.contains("--events"), "{ended:?}");
    }
}

#[test]
fn the_rows_of_a_replay_are_what_the_plan_wanted_of_storage() {
    let Some(device) = Loop::new("none") else { return };
    let sizes = |i: u64| 30_000 + i * 4_321;
    let write = (0..40).map(|i| format!("0,Write,{},Tier-2,k{i},Prefill", sizes(i)));
    let read = (0..40).map(|i| format!("1,Read,{},Tier-2,k{},Decode", sizes(i * 7 % 40), i * 7 % 40));
    let trace: Vec<_> = write.chain(read).collect();
    let header = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n";
    device.bench.write("t.csv", format!("{header}{}\n", trace.join("\n")));
    let (path, spec) = (device.path(), format!("block:{}", device.path()));
    let args = ["replay", "t.csv", "--tier-2", &spec, "--i-know-this-destroys", &path, "-o", "r.json"];
    let replay = (0..4).find_map(|_| {
        device.bench.ok(&[&args[..], &["--events", "e.parquet"]].concat());
        let replay = device.bench.json("r.json");
        (replay["block"]["loss"]["lost_complete"] == 0 && replay["block"]["loss"]["left_inflight"] == 0)
            .then_some(replay)
    });
    let replay = replay.expect("one of four runs in which the kernel showed every event");
    let rows = rows(&device.bench, "e.parquet");
    let ranges = |op| -> Vec<(u64, u64)> {
        let mine = rows.iter().filter(|row| row.op == op && row.side == Side::Target && row.kind == EventKind::Done);
        let mut found: Vec<_> =
            mine.map(|row| row.offset_bytes.zip(row.size_bytes).map(|(at, size)| (at, at + size)).unwrap()).collect();
        found.sort_unstable();
        found
    };
    let bytes = |ranges: &[(u64, u64)]| ranges.iter().map(|(from, to)| to - from).sum::<u64>();
    let (written, read) = (ranges(BlockOp::Write), ranges(BlockOp::Read));
    let planned: u64 = (0..40).map(|i| sizes(i).next_multiple_of(4096)).sum();
    let tier = &replay["tiers"][2];
    assert_eq!((bytes(&written), bytes(&read)), (planned, planned));
    assert_eq!((&tier["write_bytes"], &tier["read_bytes"]), (&planned.into(), &planned.into()));
    assert!(written.windows(2).all(|pair| pair[0].1 <= pair[1].0), "each object has a place of its own");
    let mut objects: Vec<(u64, u64)> = Vec::new();
    for (from, to) in written {
        match objects.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => objects.push((from, to)),
        }
    }
    let was_written = |range: &(u64, u64)| objects.iter().any(|of| of.0 <= range.0 && range.1 <= of.1);
    assert!(read.iter().all(was_written), "what is read was written");
}
