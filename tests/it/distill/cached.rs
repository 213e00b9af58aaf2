//! Programs that write through the page cache and sync.

use crate::support::Bench;

use super::original::device;
use super::prove::can_prove;

/// Captures 64 KiB at a time, a sync after every 16.
fn captured(bench: &Bench, device: &str, name: &str, flags: &[&str]) {
    let command = format!(
        "fio --name=a --filename={device} --ioengine=psync --rw=write --bs=64k --size=32m --fsync=16 --loops=4 \
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
    captured(&bench, &device.path, device.name(), &[]);
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
    captured(&bench, &device.path, device.name(), &["--no-syscalls"]);
    let job = distilled(&bench, "b.json");
    assert!(job.contains("rw=write\nbs=4k\n"), "{job}");
    // What opens and closes a device flushes it too.
    let every = job.lines().find_map(|line| line.strip_prefix("fdatasync=")?.parse::<u32>().ok());
    assert!(every.is_some_and(|every| (240..=256).contains(&every)), "{job}");
    assert!(job.contains("ioengine=libaio") && !job.contains("rate="), "fio's io_uring syncs too often: {job}");
}
