//! The capture against what fio says it did, on loop devices of the test's own.

mod above;
mod attribution;
mod device;
mod events;
mod fallback;
mod faults;
mod front;
mod invariants;
mod oracle;
mod order;
mod patterns;
mod phases;
mod planted;
mod rights;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use kvtrace::capture::{Capture, CaptureFilter};
use kvtrace::measure::{BlockResult, Histogram};
use rustix::process::{Pid, Signal, kill_process};

use self::device::Loop;
use crate::support::{Bench, Ended, is_root, skip};

const MIB: u64 = 1 << 20;

fn histogram<'a>(result: &'a BlockResult, name: &str, op: &str) -> &'a Histogram {
    result.histogram(name, Some(op)).unwrap_or_else(|| panic!("no {name} of {op}"))
}

/// Exact values and how often each came.
fn exact(histogram: &Histogram) -> BTreeMap<i64, u64> {
    histogram
        .buckets
        .iter()
        .map(|&(low, high, count)| {
            assert_eq!(high, low + 1, "{} has exact buckets", histogram.name);
            (low, count)
        })
        .collect()
}

fn others(result: &BlockResult, name: &str, op: &str) -> Histogram {
    result.other.histograms.iter().find(|h| h.is(name, Some(op))).expect("other has the same histograms").clone()
}

/// Nothing was lost, and the kernel counted the same.
fn assert_true(result: &BlockResult) {
    assert!(!result.tainted, "{:?}", result.taint_reasons);
    for device in &result.devices {
        let (kernel, ours) = (device.kernel, device.captured);
        for (theirs, mine) in [
            (kernel.read_ios, ours.read_ios),
            (kernel.read_bytes, ours.read_bytes),
            (kernel.write_ios, ours.write_ios),
            (kernel.write_bytes, ours.write_bytes),
        ] {
            assert!(theirs.abs_diff(mine) * 100 <= theirs, "{}: kernel {kernel:?}, captured {ours:?}", device.name);
        }
    }
}

#[test]
fn sequential_reads_are_counted_one_by_one() {
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::new(scheduler) else { return };
        let (result, _) = device.captured("seq", &["--rw=read", "--bs=4k", "--ioengine=psync", "--size=20480000"]);
        assert_true(&result);
        assert_eq!(exact(histogram(&result, "size", "read")), BTreeMap::from([(4096, 5000)]), "{scheduler}");
        assert_eq!(exact(histogram(&result, "inflight", "read")), BTreeMap::from([(1, 5000)]));
        for name in ["d2c", "q2d", "q2c", "lba"] {
            assert_eq!(histogram(&result, name, "read").count, 5000, "{name}");
            assert_eq!(histogram(&result, name, "write").count, 0, "{name}");
        }
        let lba = histogram(&result, "lba", "read");
        assert_eq!((lba.min, lba.max), (Some(0), Some(4999 * 4096)));
        assert_eq!(lba.sum, (0..5000i128).map(|at| at * 4096).sum::<i128>());
        let bucket = 64 * MIB as i64 / 1024;
        assert!(
            lba.buckets.iter().all(|(low, high, _)| low % bucket == 0 && high - low == bucket),
            "1024 of the extent"
        );
        assert_eq!(result.devices[0].scheduler, scheduler);
        assert_eq!(result.devices[0].size_bytes, 64 * MIB);
    }
}

#[test]
fn sizes_of_a_split_are_exactly_those_of_fio() {
    let Some(device) = Loop::new("mq-deadline") else { return };
    let log = device.bench.path("split").display().to_string();
    let (result, _) = device.captured(
        "split",
        &[
            "--rw=randread",
            "--bssplit=4k/25:12k/25:48k/25:200k/25",
            "--bs_unaligned=0",
            "--ioengine=io_uring",
            "--iodepth=4",
            "--io_size=128m",
            "--size=64m",
            "--norandommap=1",
            &format!("--write_lat_log={log}"),
        ],
    );
    assert_true(&result);
    let mut said = BTreeMap::new();
    for line in String::from_utf8(device.bench.read("split_clat.1.log")).unwrap().lines() {
        let bytes: i64 = line.split(", ").nth(3).unwrap().parse().unwrap();
        *said.entry(bytes).or_insert(0u64) += 1;
    }
    assert!(said.len() >= 4, "{said:?}");
    assert_eq!(exact(histogram(&result, "size", "read")), said);
    assert!(histogram(&result, "inflight", "read").max <= Some(4));
}

#[test]
fn a_mix_at_depth_sixteen_is_seen_as_such() {
    for scheduler in ["none", "mq-deadline"] {
        let Some(device) = Loop::new(scheduler) else { return };
        let job = ["--rw=randrw", "--bs=64k", "--ioengine=io_uring", "--iodepth=16", "--norandommap=1"];
        let (result, fio) = device.captured("mix", &[&job[..], &["--io_size=480000k"]].concat());
        assert_true(&result);
        for op in ["read", "write"] {
            let ios = fio[op]["total_ios"].as_u64().unwrap();
            assert_eq!(exact(histogram(&result, "size", op)), BTreeMap::from([(64 << 10, ios)]), "{op} {scheduler}");
        }
        assert_eq!(histogram(&result, "size", "read").count + histogram(&result, "size", "write").count, 7_500);
        // A busy machine lets the submitter wait, so the queue is not always full; it is never fuller.
        let depth = result.histogram("inflight_time", None).expect("both directions");
        let median = depth.quantile(0.5).unwrap();
        assert!((12.0..=16.0).contains(&median) && depth.max == Some(16), "{scheduler}: {:?}", depth.buckets);
        assert!(depth.count as f64 <= result.duration_s.unwrap() * 1e9, "no more time than there was");
        for op in ["read", "write"] {
            let one = histogram(&result, "inflight_time", op).quantile(0.5).unwrap();
            assert!((4.0..=12.0).contains(&one), "half of the depth is {op}: {one}");
        }
    }
}

#[test]
fn a_large_read_is_the_requests_it_becomes() {
    let Some(device) = Loop::new("none") else { return };
    device.set("max_sectors_kb", "256");
    let (result, _) = device.captured("large", &["--rw=read", "--bs=1m", "--ioengine=psync", "--size=50m"]);
    assert_true(&result);
    assert_eq!(exact(histogram(&result, "size", "read")), BTreeMap::from([(256 << 10, 200)]));
    assert_eq!(result.devices[0].max_sectors_kb, 256);
}

#[test]
fn times_nest_from_the_device_outwards() {
    let Some(device) = Loop::new("mq-deadline") else { return };
    let log = device.bench.path("nest").display().to_string();
    let (result, _) = device.captured(
        "nest",
        &["--rw=randread", "--bs=4k", "--ioengine=psync", "--io_size=16m", &format!("--write_lat_log={log}")],
    );
    assert_true(&result);
    let text = String::from_utf8(device.bench.read("nest_clat.1.log")).unwrap();
    let mut clat: Vec<f64> = text.lines().map(|line| line.split(", ").nth(1).unwrap().parse().unwrap()).collect();
    clat.sort_by(f64::total_cmp);
    let (d2c, q2c) = (histogram(&result, "d2c", "read"), histogram(&result, "q2c", "read"));
    assert_eq!(clat.len() as u64, q2c.count);
    for percent in [1, 10, 25, 50, 75, 90, 99] {
        let q = f64::from(percent) / 100.0;
        let (inner, outer) = (d2c.quantile(q).unwrap(), q2c.quantile(q).unwrap());
        let whole = clat[(clat.len() * percent as usize / 100).min(clat.len() - 1)];
        assert!(inner <= outer * (1.0 + d2c.rel_width), "P{percent}: d2c {inner} q2c {outer}");
        assert!(outer <= whole * (1.0 + q2c.rel_width), "P{percent}: q2c {outer} clat {whole}");
    }
    let sums = histogram(&result, "q2d", "read").sum + d2c.sum;
    assert_eq!(sums, q2c.sum, "every request's time is its wait and its service");
}

#[test]
fn a_neighbour_on_the_same_device_is_kept_apart() {
    let Some(device) = Loop::new("none") else { return };
    let noise = device.fio(
        "noise",
        &["--rw=randwrite", "--bs=8k", "--ioengine=libaio", "--iodepth=8", "--time_based=1", "--runtime=60"],
    );
    let mut noise = Command::new(&noise[0])
        .args(&noise[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("fio starts");
    sleep(Duration::from_millis(500));
    let mut seen = Vec::new();
    for engine in [
        &["--ioengine=io_uring", "--iodepth=8"][..],
        &["--ioengine=io_uring", "--sqthread_poll=1", "--iodepth=8"],
        &["--ioengine=io_uring", "--force_async=1", "--iodepth=8"],
        &["--ioengine=libaio", "--iodepth=8"],
        &["--ioengine=psync"],
    ] {
        let mut job = vec!["--rw=randread", "--bs=4k", "--size=8m"];
        job.extend(engine);
        seen.push(device.captured("quiet", &job).0);
    }
    let pid = Pid::from_raw(noise.id() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    noise.wait().unwrap();
    for (at, result) in seen.iter().enumerate() {
        assert!(!result.tainted, "{:?}", result.taint_reasons);
        assert_eq!(exact(histogram(result, "size", "read")), BTreeMap::from([(4096, 2048)]), "engine {at}");
        assert_eq!(histogram(result, "size", "write").count, 0, "engine {at}");
        let theirs = others(result, "size", "write");
        assert!(theirs.count > 0 && theirs.min == Some(8192) && theirs.max == Some(8192), "engine {at}: {theirs:?}");
        assert_eq!(others(result, "size", "read").count, 0, "engine {at}");
    }
}

#[test]
fn a_flush_has_a_time_and_no_size() {
    let Some(device) = Loop::new("none") else { return };
    let (result, fio) =
        device.captured("sync", &["--rw=write", "--bs=16k", "--ioengine=psync", "--size=1600k", "--fsync=1"]);
    if result.devices[0].write_cache != "write back" {
        return skip("this loop device takes no flushes");
    }
    assert_true(&result);
    assert_eq!(exact(histogram(&result, "size", "write")), BTreeMap::from([(16 << 10, 100)]));
    let flush = result.histogram("flush", None).unwrap();
    assert_eq!(flush.count, fio["sync"]["total_ios"].as_u64().unwrap(), "{:?}", fio["sync"]);
}

#[test]
fn a_full_table_taints_and_invents_nothing() {
    let Some(device) = Loop::new("none") else { return };
    let filter = CaptureFilter { devices: vec![device.path()], requests: Some(4), ..CaptureFilter::default() };
    let capture = Capture::start(&filter).expect("we have the rights");
    let fio = device.fio(
        "full",
        &["--rw=randread", "--bs=4k", "--ioengine=io_uring", "--iodepth=64", "--io_size=40m", "--norandommap=1"],
    );
    let status = Command::new(&fio[0]).args(&fio[1..]).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    let result = capture.finish().unwrap();
    assert!(result.tainted);
    assert!(result.taint_reasons.iter().any(|reason| reason.starts_with("map_full ")), "{:?}", result.taint_reasons);
    let sizes = histogram(&result, "size", "read");
    assert!(
        sizes.count + result.loss["map_full"] >= 10_240 && sizes.count < 10_240,
        "{} {:?}",
        sizes.count,
        result.loss
    );
    assert_eq!(exact(sizes).keys().copied().collect::<Vec<_>>(), [4096]);
    assert_eq!(result.loss["left_inflight"], 0);
}

#[test]
fn a_pid_means_its_whole_tree() {
    let Some(device) = Loop::new("none") else { return };
    let path = device.path();
    let script = format!(
        "sleep 1; for i in 1 2 3; do dd if={path} of=/dev/null bs=64k count=100 skip=$((i*100)) \
         iflag=direct 2>/dev/null; done; :"
    );
    let mut shell = Command::new("sh").args(["-c", &script]).spawn().expect("a shell");
    let pid = shell.id().to_string();
    device.bench.ok(&["capture", "--dev", &path, "--pid", &pid, "--duration", "4s", "-o", "b.json"]);
    shell.wait().unwrap();
    let result = device.result("b.json");
    assert_true(&result);
    assert_eq!(exact(histogram(&result, "size", "read")), BTreeMap::from([(64 << 10, 300)]));
    assert!(result.complete && result.filter.pids == [shell.id()]);
}

#[test]
fn the_commands_exit_code_is_ours() {
    let Some(device) = Loop::new("none") else { return };
    let run = |words: &[&str]| -> Ended {
        let mut args = vec!["capture", "--quiet", "--dev", &device.name, "-o", "b.json", "--"];
        args.extend(words);
        device.bench.run(&args)
    };
    assert_eq!(run(&["true"]).code, 0);
    assert_eq!(run(&["sh", "-c", "exit 7"]).code, 7);
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).code, 128 + 15);
    let ended = run(&["no-such-command"]);
    assert_eq!(ended.code, 127, "{ended:?}");
    assert!(ended.stderr.contains("no-such-command"));
    assert_eq!(run(&["/etc/hostname"]).code, 126);
    let ended = device.bench.run(&["capture", "--dev", "nosuchdisk", "--", "true"]);
    assert_eq!(ended.code, 125, "{ended:?}");
    device.bench.write("precious.json", "mine");
    let ended = device.bench.run(&["capture", "--dev", &device.name, "-o", "precious.json", "--", "touch", "ran"]);
    assert_eq!((ended.code, device.bench.files().contains(&"ran".to_owned())), (125, false), "refused before it ran");
}

#[test]
fn ctrl_c_reaches_the_command_and_keeps_what_there_is() {
    let Some(device) = Loop::new("none") else { return };
    let mut command = device.bench.command(&["capture", "--dev", &device.name, "-o", "b.json", "--", "sleep", "60"]);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let kvtrace = Pid::from_raw(child.id() as i32).unwrap();
    assert!(eventually(|| !children(child.id()).is_empty()), "the command runs");
    let sleeper = children(child.id())[0];
    kill_process(kvtrace, Signal::INT).unwrap();
    let start = Instant::now();
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!fs::exists(format!("/proc/{sleeper}")).unwrap(), "the command was told");
    assert!(!device.result("b.partial.json").complete);
    assert!(!device.bench.files().contains(&"b.json".to_owned()));

    let child = device
        .bench
        .command(&["capture", "--dev", &device.name, "-o", "c.json"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = child;
    assert!(eventually(|| !programs(child.id()).is_empty()), "attached");
    sleep(Duration::from_millis(300));
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "without another end, Ctrl-C is the end");
    assert!(device.result("c.json").complete);
}

#[cfg(feature = "ebpf")]
#[test]
fn a_killed_capture_leaves_nothing_attached() {
    let Some(device) = Loop::new("none") else { return };
    let mut child = device.bench.command(&["capture", "--dev", &device.name]).stderr(Stdio::null()).spawn().unwrap();
    assert!(eventually(|| programs(child.id()).len() >= 6), "attached");
    let ours = programs(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = || libbpf_rs::query::ProgInfoIter::default().all(|info| !ours.contains(&info.id));
    assert!(eventually(gone), "programs {ours:?} are still in the kernel");
}

#[test]
fn what_cannot_be_captured_is_refused() {
    let bench = Bench::new();
    let line = bench.refused(2, &["capture", "--dev", "nosuchdisk", "--duration", "1s"]);
    assert!(line.contains("nosuchdisk"), "{line}");
    let line = bench.refused(2, &["capture", "--pid", "4194305", "--duration", "1s"]);
    assert!(line.contains("4194305"), "{line}");
    if !is_root() || !cfg!(feature = "ebpf") {
        return skip("the loss of rights is shown by root giving them up");
    }
    // The binary's folder may be closed to nobody: a copy lies in the open.
    let open = Bench::new();
    let copy: PathBuf = open.path("kvtrace");
    fs::copy(env!("CARGO_BIN_EXE_kvtrace"), &copy).unwrap();
    Command::new("chmod").arg("755").args([&copy, copy.parent().unwrap()]).status().unwrap();
    let output =
        Command::new(&copy).args(["capture", "--duration", "1s"]).current_dir("/").uid(65534).gid(65534).output();
    let ended = Ended::from(output.unwrap());
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.stderr.contains("CAP_BPF") && ended.stderr.contains("sudo"), "{ended:?}");
}

#[test]
fn doctor_names_every_ability() {
    let bench = Bench::new();
    let report: serde_json::Value = serde_json::from_str(&bench.ok(&["doctor", "--json"])).unwrap();
    assert_eq!(report["schema"], "kvtrace.doctor/1");
    let abilities = report["abilities"].as_array().unwrap();
    for name in ["io_uring", "O_DIRECT here", "BTF", "eBPF rights", "block capture", "fio", "GPU", "memory"] {
        let ability = abilities.iter().find(|a| a["name"] == name).unwrap_or_else(|| panic!("{name}"));
        let explained = ability["follows"].is_string() && ability["way_out"].is_string();
        assert_eq!(ability["status"] == "missing", explained, "{ability}");
    }
    assert_eq!(bench.ok(&["doctor"]).lines().count(), abilities.len(), "a line each");
    assert!(bench.files().is_empty(), "it leaves nothing behind");
}

fn eventually(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if condition() {
            return true;
        }
        sleep(Duration::from_millis(20));
    }
    false
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// The ids of the eBPF programs that a process holds.
fn programs(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let mut ids: Vec<u32> = entries
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
