//! What is counted where something is missing: raw_tp programs, disks without requests, and no
//! rights at all.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use kvtrace::measure::BlockResult;

use super::device::Loop;
use super::rights::As;
use super::{assert_true, exact, histogram};
use crate::support::skip;

const KIB: i64 = 1 << 10;

/// Captures one fio job with that kind of programs.
fn captured_by(kind: &str, device: &Loop, name: &str, job: &[&str]) -> BlockResult {
    let file = format!("{name}.json");
    let fio = device.fio(name, job);
    let mut args = vec!["capture", "--probes", kind, "--dev", &device.name, "-o", &file, "--"];
    args.extend(fio.iter().map(String::as_str));
    // As Loop::captured: an event that the kernel shows to nobody taints, and is not the question.
    for _ in 0..4 {
        device.bench.ok(&args);
        let result = device.result(&file);
        if !["lost_complete", "left_inflight", "nomatch_later"].iter().any(|name| result.loss[*name] > 0) {
            return result;
        }
    }
    device.result(&file)
}

#[test]
fn both_kinds_of_programs_count_the_same() {
    let Some(device) = Loop::new("mq-deadline") else { return };
    for kind in ["tp_btf", "raw_tp"] {
        let read = captured_by(kind, &device, "seq", &["--rw=read", "--bs=4k", "--ioengine=psync", "--size=8192000"]);
        assert_true(&read);
        assert_eq!(read.source, kind);
        assert_eq!(exact(histogram(&read, "size", "read")), BTreeMap::from([(4 * KIB, 2000)]));
        assert_eq!(exact(histogram(&read, "inflight", "read")), BTreeMap::from([(1, 2000)]));
        for name in ["d2c", "q2d", "q2c", "lba"] {
            assert_eq!(histogram(&read, name, "read").count, 2000, "{name} {kind}");
        }
        assert!(read.probes.iter().any(|line| line.starts_with("birth: ")), "{:?}", read.probes);
        assert_eq!(read.probes.iter().any(|line| line.starts_with("raw_tp: ")), kind == "raw_tp");

        let job = ["--rw=randrw", "--bs=64k", "--ioengine=io_uring", "--iodepth=16", "--norandommap=1"];
        let mix = captured_by(kind, &device, "mix", &[&job[..], &["--io_size=192000k"]].concat());
        assert_true(&mix);
        let depth = mix.histogram("inflight_time", None).unwrap();
        assert!(
            depth.max <= Some(16) && depth.count as f64 <= mix.duration_s.unwrap() * 1e9,
            "{kind}: {:?}",
            depth.buckets
        );
        for op in ["read", "write"] {
            let sizes = histogram(&mix, "size", op);
            assert_eq!(exact(sizes).keys().copied().collect::<Vec<_>>(), [64 * KIB], "{op} {kind}");
            assert!(histogram(&mix, "inflight", op).max <= Some(16), "{op} {kind}");
        }
        assert_eq!(histogram(&mix, "size", "read").count + histogram(&mix, "size", "write").count, 3000, "{kind}");
    }
}

/// A new zram device of 32 MiB, removed when dropped; those that were here are not touched.
struct Zram {
    number: String,
}

impl Zram {
    fn new() -> Option<Self> {
        let Ok(number) = fs::read_to_string("/sys/class/zram-control/hot_add") else {
            skip("this kernel makes no zram device");
            return None;
        };
        let this = Self { number: number.trim().to_owned() };
        if fs::write(format!("/sys/block/zram{}/disksize", this.number), "32M").is_err()
            || !fs::exists(this.path()).ok()?
        {
            skip("the new zram device cannot be set up");
            return None;
        }
        Some(this)
    }

    fn name(&self) -> String {
        format!("zram{}", self.number)
    }

    fn path(&self) -> String {
        format!("/dev/{}", self.name())
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        let _ = fs::write("/sys/class/zram-control/hot_remove", &self.number);
    }
}

#[test]
fn a_disk_without_requests_is_seen_by_its_bios() {
    let Some(device) = Loop::new("none") else { return };
    let Some(zram) = Zram::new() else { return };
    let path = zram.path();
    for kind in ["tp_btf", "raw_tp"] {
        let of = |file: &str, fio: &[&str]| {
            let fio = [&["fio", "--direct=1", "--name=bio", "--filename", &path], fio].concat();
            let words = ["capture", "--probes", kind, "--dev", &zram.name(), "-o", file, "--"];
            device.bench.ok(&[&words[..], &fio].concat());
            device.result(file)
        };
        let write = of("w.json", &["--rw=write", "--bs=16k", "--ioengine=psync", "--size=16m"]);
        assert_true(&write);
        assert_eq!(exact(histogram(&write, "size", "write")), BTreeMap::from([(16 * KIB, 1024)]));
        assert_eq!(exact(histogram(&write, "inflight", "write")), BTreeMap::from([(1, 1024)]));
        assert_eq!(write.devices[0].captured, write.devices[0].kernel);

        let read = of("r.json", &["--rw=randread", "--bs=4k", "--ioengine=io_uring", "--iodepth=8", "--size=16m"]);
        assert_true(&read);
        assert_eq!(exact(histogram(&read, "size", "read")), BTreeMap::from([(4 * KIB, 4096)]), "{kind}");
        let (d2c, q2c) = (histogram(&read, "d2c", "read"), histogram(&read, "q2c", "read"));
        assert_eq!((d2c.count, d2c.sum, &d2c.buckets), (4096, q2c.sum, &q2c.buckets), "no queue is seen");
        assert!(read.histogram("q2d", Some("read")).is_none(), "nothing was measured, so nothing is there");
        assert!(read.probes.iter().any(|line| line.starts_with(&zram.name())), "{:?}", read.probes);
        assert_eq!(read.devices[0].size_bytes, 32 << 20);
    }
}

#[test]
fn without_rights_the_kernels_counters_are_better_than_nothing() {
    let Some(device) = Loop::new("none") else { return };
    let Some(nobody) = As::nobody() else { return };
    let fio = device.fio("seq", &["--rw=read", "--bs=64k", "--ioengine=psync", "--time_based=1", "--runtime=3"]);
    let mut reader = Command::new(&fio[0]).args(&fio[1..]).stdout(Stdio::null()).spawn().expect("fio starts");
    let words = ["capture", "--fallback", "--dev", &device.name, "--duration", "2500ms", "-o", "b.json"];
    let ended = nobody.run(&words);
    reader.wait().unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("CAP_BPF") && ended.stderr.contains("quantiles are not available"), "{ended:?}");
    let result: BlockResult = serde_json::from_slice(&nobody.bench.read("b.json")).unwrap();
    assert_eq!((result.source.as_str(), result.complete, result.tainted), ("sysfs", true, true));
    assert!(result.taint_reasons[0].contains("not available"), "{:?}", result.taint_reasons);
    let (counted, times) = (&result.devices[0].kernel, result.devices[0].times.unwrap());
    assert!(counted.read_ios > 0 && counted.read_bytes == counted.read_ios << 16, "{counted:?}");
    assert_eq!((counted.write_ios, times.write_ns), (0, 0));
    assert!(times.read_ns > 0 && times.samples >= 5, "{times:?}");
    assert!(result.histograms.iter().all(|histogram| histogram.name == "inflight_time"), "what is unknown is absent");
    assert!(result.histogram("inflight_time", None).is_none_or(|depth| depth.max == Some(1) || depth.count > 0));
    assert!(result.loss.is_empty() && result.other.histograms.is_empty() && result.processes.is_none());
}

#[test]
fn without_rights_a_commands_own_bytes_are_known() {
    let Some(device) = Loop::new("none") else { return };
    let Some(nobody) = As::nobody() else { return };
    nobody.bench.write("data", vec![7; 1 << 20]);
    let script =
        "dd if=data of=copy bs=64k conv=fsync 2>/dev/null && (dd if=data of=more bs=64k conv=fsync 2>/dev/null)";
    let words = ["capture", "--fallback", "--dev", &device.name, "-o", "b.json", "--", "sh", "-c", script];
    let ended = nobody.run(&words);
    assert_eq!(ended.code, 0, "{ended:?}");
    let result: BlockResult = serde_json::from_slice(&nobody.bench.read("b.json")).unwrap();
    let bytes = result.processes.expect("one may read one's own");
    assert!((2 << 20..3 << 20).contains(&bytes.write_bytes), "{bytes:?}");
    assert!(result.probes.iter().any(|line| line.starts_with("/proc/PID/io")), "{:?}", result.probes);
    let ended = nobody.run(&["capture", "--fallback", "--dev", &device.name, "--", "sh", "-c", "exit 5"]);
    assert_eq!(ended.code, 5, "{ended:?}");
    assert_eq!(nobody.run(&["capture", "--fallback", "--dev", "nosuchdisk", "--duration", "1s"]).code, 2);
}

#[test]
fn with_rights_the_fallback_is_not_taken() {
    let Some(device) = Loop::new("none") else { return };
    device.bench.ok(&["capture", "--fallback", "--dev", &device.name, "--duration", "100ms", "-o", "b.json"]);
    assert_eq!(device.result("b.json").source, "tp_btf");
}
