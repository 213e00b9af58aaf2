//! How the source asked for its I/O is how its job does.

use kvtrace::measure::{Histogram, LogLinear};

use crate::samples::{self, Load};
use crate::support::Bench;

use super::option;
use super::original::device;
use super::prove::can_prove;

fn job_of(bench: &Bench, device: (&str, &str), flags: &str) -> String {
    let (name, path) = device;
    let fio = format!("fio --name=a --filename={path} --direct=1 --size=16m --output-format=terse {flags}");
    let mut words = vec!["capture", "--dev", name, "-o", "b.json", "--overwrite", "--"];
    words.extend(fio.split(' '));
    bench.ok(&words);
    bench.ok(&["distill-fio", "b.json", "-o", "job.fio", "--overwrite", "--accept-tainted"]);
    String::from_utf8(bench.read("job.fio")).expect("a job is text")
}

#[test]
fn a_job_asks_as_its_source_did() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(64) else { return };
    let (bench, device) = (Bench::on_disk(), (device.name(), &*device.path));
    let random = "--rw=randread --bs=4k --norandommap --loops=4";
    for (engine, depth) in [("psync", 1), ("io_uring", 4), ("libaio", 4)] {
        let job = job_of(&bench, device, &format!("{random} --ioengine={engine} --iodepth={depth}"));
        assert!(job.lines().any(|line| line == format!("ioengine={engine}")), "{engine}: {job}");
        assert_eq!(job.contains("iodepth="), engine != "psync", "{job}");
    }
    bench.ok(&["distill-fio", "b.json", "-o", "a.fio", "--ioengine", "io_uring", "--accept-tainted"]);
    let asked = String::from_utf8(bench.read("a.fio")).unwrap();
    assert!(asked.contains("ioengine=io_uring") && !asked.contains("libaio"), "{asked}");
}

/// The job of 100,000 reads by io_uring at a depth of 16, of which the capture also counted this.
fn job_of_counted(name: &str, values: &[(u64, u64)]) -> String {
    let mut block =
        samples::block(&[Load { op: "read", sizes: &[(16_384, 100_000)], depths: &[(15, 100), (16, 900)] }]);
    let depths = block.histogram("inflight_time", Some("read")).expect("a sample has depths").clone();
    let mut counted = |name: &str, op: Option<&str>, values: &[(u64, u64)]| {
        let mut counter = LogLinear::times();
        values.iter().for_each(|&(value, count)| counter.record_many(value, count));
        block.histograms.push(counter.save(name, op, "ios"));
    };
    counted("uring", Some("read"), &[(400_000, 100_000)]);
    counted(name, None, values);
    block.histograms.push(Histogram { op: None, ..depths });
    let bench = Bench::new();
    bench.write("b.json", samples::json(&block));
    bench.ok(&["distill-fio", "b.json", "-o", "job.fio"]);
    String::from_utf8(bench.read("job.fio")).expect("a job is text")
}

#[test]
fn a_job_submits_together_what_its_source_did() {
    let of = |values: &[(u64, u64)]| {
        let job = job_of_counted("batch", values);
        let names = ["iodepth_batch", "iodepth_batch_complete_min", "iodepth_batch_complete_max"];
        names.map(|name| option(&job, "read", name))
    };
    let text = |number: &str| Some(number.to_owned());
    assert_eq!(of(&[(1, 800), (7, 800), (8, 11_700)]), [text("8"), text("8"), text("16")]);
    assert_eq!(of(&[(1, 30_000), (2, 20_000), (5, 6000)]), [text("5"), text("5"), text("16")]);
    assert_eq!(of(&[(1, 30_000), (2, 20_000), (5, 5900), (12, 400)]), [text("16"), None, text("16")]);
    assert_eq!(of(&[(1, 100_000)]), [None, None, None], "each alone");
}

#[test]
fn a_job_has_as_many_threads_as_its_source() {
    let of = |values: &[(u64, u64)]| {
        let job = job_of_counted("thread", values);
        ["numjobs", "iodepth"].map(|name| option(&job, "read", name))
    };
    let text = |number: &str| Some(number.to_owned());
    assert_eq!(of(&[(24_000, 2), (26_000, 2)]), [text("4"), text("4")]);
    assert_eq!(of(&[(90_000, 1), (10_000, 1)]), [None, text("16")], "they do not do the same");
    assert_eq!(of(&[(20_000, 5)]), [text("5"), text("3")], "within a tenth of the depth");
    assert_eq!(of(&[(9_000, 11)]), [None, text("16")], "no part of the depth is one of theirs");
}

#[test]
fn a_job_asks_for_what_its_source_asked_for() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(64) else { return };
    let (bench, device) = (Bench::on_disk(), (device.name(), &*device.path));
    // In order for a half, so that what lies behind each other is not one request.
    let half = "--rw=randread --percentage_random=50 --bs=2m --loops=16 --ioengine=io_uring --iodepth=4";
    let job = job_of(&bench, device, half);
    assert!(job.contains("\nbs=2m\n"), "{job}");
}

#[test]
fn writes_that_are_durable_at_their_end_are_so_again() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(64) else { return };
    let (bench, device) = (Bench::on_disk(), (device.name(), &*device.path));
    let job = job_of(&bench, device, "--rw=write --bs=16k --ioengine=psync --sync=dsync");
    assert!(job.contains("\nsync=dsync\n") && !job.contains("fdatasync="), "{job}");
    let synced = job_of(&bench, device, "--rw=write --bs=16k --ioengine=psync --fsync=4");
    assert!(synced.contains("\nfsync=4\n") && !synced.contains("sync=dsync"), "{synced}");
}

#[test]
fn what_is_asked_for_in_two_ways_has_two_queues() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(64) else { return };
    let (bench, device) = (Bench::on_disk(), (device.name(), &*device.path));
    let two = "--time_based --runtime=1s --rw=randread --bs=4k --ioengine=io_uring --iodepth=4 --name=log --filename=PATH \
               --direct=1 --size=16m --offset=32m --time_based --runtime=1s --rw=write --bs=4k --ioengine=psync \
               --fdatasync=1";
    let job = job_of(&bench, device, &two.replace("PATH", device.1));
    let sections: Vec<&str> = job.split("\n[").collect();
    let [_, _, reads, log] = &sections[..] else { panic!("two jobs: {job}") };
    assert!(reads.starts_with("read]") && reads.contains("iodepth=") && !reads.contains("psync"), "{job}");
    assert!(log.contains("ioengine=psync") && log.contains("\nfdatasync=1") && !log.contains("iodepth"), "{job}");
}
