//! Programs that write through the page cache and sync.

use crate::loop_device::LoopDevice;
use crate::support::Bench;

use super::original::device;
use super::prove::can_prove;

/// Captures 64 KiB at a time, a sync after every so many.
fn captured(bench: &Bench, device: &LoopDevice, every: u32, flags: &[&str]) {
    let (name, device) = (device.name(), &device.path);
    let command = format!(
        "fio --name=a --filename={device} --ioengine=psync --rw=write --bs=64k --size=32m --fsync={every} --loops=4 \
         --output-format=terse"
    );
    let mut words = vec!["capture", "--dev", name, "-o", "b.json", "--events", "e.parquet", "--overwrite"];
    words.extend(flags);
    words.extend(["--", "sh", "-c", &command]);
    bench.ok(&words);
}

fn distilled(bench: &Bench, input: &str) -> String {
    bench.ok(&["distill-fio", input, "-o", "job.fio", "--overwrite", "--accept-tainted"]);
    String::from_utf8(bench.read("job.fio")).expect("a job is text")
}

#[test]
fn its_calls_are_repeated() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(64) else { return };
    let bench = Bench::on_disk();
    captured(&bench, &device, 16, &[]);
    for input in ["b.json", "e.parquet"] {
        let job = distilled(&bench, input);
        for line in ["ioengine=psync", "direct=0", "rw=write", "bs=64k", "fsync=16"] {
            assert!(job.lines().any(|l| l == line), "{line} of {input}: {job}");
        }
        for none in ["iodepth", "rate=", "thinktime", "stonewall"] {
            assert!(!job.contains(none), "{none} of {input}: {job}");
        }
    }
    let mut words =
        vec!["--json", "distill-fio", "b.json", "-o", "job.fio", "--overwrite", "--accept-tainted", "--prove"];
    words.extend(["--target", &device.path, "--i-know-this-destroys", &device.path, "--runtime", "500ms"]);
    let proved = bench.run(&words);
    let card: serde_json::Value = serde_json::from_str(&proved.stdout).unwrap_or_else(|_| panic!("{}", proved.stderr));
    for name in ["size", "sequential", "byte_share"] {
        assert_eq!(super::metric(&card, name, "write")["pass"], true, "{name}: {card}");
    }
}

#[test]
fn without_its_calls_each_sync_ends_a_burst() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(64) else { return };
    let bench = Bench::on_disk();
    captured(&bench, &device, 64, &["--no-syscalls"]);
    let job = distilled(&bench, "b.json");
    // Kernels write back page by page, or as many at once as the device takes.
    let bytes = match super::option(&job, "write", "bs").as_deref() {
        Some("4k") => 4 << 10,
        Some("512k") => 512 << 10,
        _ => panic!("{job}"),
    };
    // What opens and closes a device flushes it too, and fio before 3.38 syncs more often than it is told.
    let every = super::option(&job, "write", "fdatasync").and_then(|every| every.parse::<u64>().ok()).unwrap_or(0);
    assert!((3 << 20..=5 << 20).contains(&(every * bytes)), "{job}");
    assert!(job.contains("ioengine=libaio") && !job.contains("rate="), "fio's io_uring syncs too often: {job}");
}
