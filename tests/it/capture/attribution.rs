//! Whose an I/O is: with a neighbour on the same device, through workers of io_uring, written
//! back by others, by cgroup.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use kvtrace::capture::{Capture, CaptureFilter, Target};
use kvtrace::measure::BlockResult;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::device::Loop;
use super::{MIB, eventually, exact, histogram, others};
use crate::support::{Bench, has_program, skip};

/// A process that is told to end when it goes out of scope.
struct Noise(Child);

impl Noise {
    fn start(words: &[String]) -> Self {
        let noise = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(noise.expect("it starts"))
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_raw(self.0.id() as i32).unwrap(), Signal::INT);
        let _ = self.0.wait();
    }
}

#[test]
fn operations_of_a_neighbours_ring_are_not_ours() {
    let Some(device) = Loop::new("none") else { return };
    let job = ["--rw=randwrite", "--bs=8k", "--ioengine=io_uring", "--iodepth=4", "--rate_iops=2000"];
    let noise = Noise::start(&device.fio("noise", &[&job[..], &["--time_based=1", "--runtime=60"]].concat()));
    sleep(Duration::from_millis(500));
    for engine in [&["--iodepth=4"][..], &["--iodepth=2", "--sqthread_poll=1"], &["--iodepth=4", "--force_async=1"]] {
        let mut job = vec!["--rw=randread", "--bs=4k", "--ioengine=io_uring", "--size=1m"];
        job.extend(engine);
        let (result, _) = device.captured("quiet", &job);
        assert!(!result.tainted, "{:?}", result.taint_reasons);
        assert_eq!(histogram(&result, "uring", "read").count, 256, "{engine:?}");
        assert_eq!(exact(histogram(&result, "size", "read")).get(&4096), Some(&256), "{engine:?}");
        for name in ["uring", "size"] {
            assert_eq!(histogram(&result, name, "write").count, 0, "{name} of {engine:?}");
        }
        assert!(others(&result, "size", "write").count > 0);
    }
    drop(noise);
}

/// A filesystem on a loop device, unmounted when dropped.
struct Mounted {
    folder: TempDir,
}

impl Mounted {
    fn on(device: &Loop) -> Option<Self> {
        if !has_program("mkfs.ext4") {
            skip("mkfs.ext4 is needed");
            return None;
        }
        let features = "lazy_itable_init=0,lazy_journal_init=0";
        let made = Command::new("mkfs.ext4").args(["-q", "-E", features, &device.path()]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").arg(device.path()).arg(folder.path()).output().unwrap();
        if !mounted.status.success() {
            skip(&format!("mount: {}", String::from_utf8_lossy(&mounted.stderr)));
            return None;
        }
        Some(Self { folder })
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

fn dd(to: &str, mib: u64) -> Command {
    let mut dd = Command::new("dd");
    dd.args(["if=/dev/zero", "bs=64k", &format!("of={to}"), &format!("count={}", mib * 16)]);
    dd.stdout(Stdio::null()).stderr(Stdio::null());
    dd
}

/// A buffered writer that has ended, a neighbour that writes as well, and a sync by neither.
fn written_back(device: &Loop, mounted: &Mounted) -> BlockResult {
    let filter = CaptureFilter {
        devices: vec![mounted.file("")],
        target: Target::Command(vec!["dd".to_owned()]),
        ..CaptureFilter::default()
    };
    let mut capture = Capture::start(&filter).expect("we have the rights");
    assert_eq!(capture.devices()[0].name, device.name);
    let mut ours = capture.start_command(&mut dd(&mounted.file("ours"), 8)).unwrap();
    assert!(ours.wait().unwrap().success());
    assert!(dd(&mounted.file("theirs"), 4).status().unwrap().success());
    assert!(Command::new("sync").args(["-f", &mounted.file("")]).status().unwrap().success());
    capture.finish().unwrap()
}

#[test]
fn what_others_write_back_is_its_writers() {
    let Some(device) = Loop::new("none") else { return };
    let Some(mounted) = Mounted::on(&device) else { return };
    let mut result = written_back(&device, &mounted);
    for _ in 0..3 {
        if !result.tainted {
            break;
        }
        // The files of the last time are gone before the next is looked at.
        let _ = (fs::remove_file(mounted.file("ours")), fs::remove_file(mounted.file("theirs")));
        assert!(Command::new("sync").args(["-f", &mounted.file("")]).status().unwrap().success());
        result = written_back(&device, &mounted);
    }
    assert!(!result.tainted, "{:?}", result.taint_reasons);
    assert_eq!(histogram(&result, "size", "write").sum, 8 * i128::from(MIB), "{:?}", result.loss);
    assert!(others(&result, "size", "write").sum >= 4 * i128::from(MIB), "the neighbour's, and metadata");
    assert!(result.loss["writeback_owned"] > 0 && result.loss["writeback_unknown"] > 0, "{:?}", result.loss);
    assert_eq!(result.histogram("syscall_write", None).unwrap().count, 128, "dd's calls, on a file of the disk");
}

/// A cgroup of the test's own, removed when dropped.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Option<Self> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = table.lines().find(|line| line.contains(" - cgroup2 "))?.split_ascii_whitespace().nth(4)?;
        let folder = Path::new(mount).join(format!("kvtrace-{name}-{}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                skip(&format!("no cgroup can be made: {error}"));
                None
            }
        }
    }

    /// A shell's words that run others inside.
    fn inside(&self, words: &[String]) -> Vec<String> {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        let shell = ["sh", "-c", &script, "sh"].map(str::to_owned);
        shell.into_iter().chain(words.iter().cloned()).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its last task may just be ending.
        eventually(|| fs::remove_dir(&self.0).is_ok() || !self.0.exists());
    }
}

#[test]
fn a_cgroup_is_a_target() {
    let Some(device) = Loop::new("none") else { return };
    let Some(group) = Group::new("target") else { return };
    let below = group.0.join("below");
    fs::create_dir(&below).unwrap();
    let below = Group(below);
    let noise = device.fio("noise", &["--rw=randwrite", "--bs=8k", "--ioengine=psync", "--runtime=60", "--time_based"]);
    let noise = Noise::start(&noise);
    let mut result = members(&device, &group, &below);
    for _ in 0..3 {
        if result.tainted {
            result = members(&device, &group, &below);
        }
    }
    drop(noise);
    assert!(!result.tainted, "{:?}", result.taint_reasons);
    assert_eq!(histogram(&result, "uring", "read").count, 256);
    assert_eq!(result.histogram("syscall_read", None).unwrap().count, 256);
    assert_eq!(histogram(&result, "size", "read").count, 512);
    assert_eq!(histogram(&result, "size", "write").count, 0);
    assert!(others(&result, "size", "write").count > 0);
}

/// A capture of a group while one fio runs in it and one below it.
fn members(device: &Loop, group: &Group, below: &Group) -> BlockResult {
    let named = vec![group.0.display().to_string()];
    let filter = CaptureFilter { devices: vec![device.path()], cgroups: named.clone(), ..CaptureFilter::default() };
    let capture = Capture::start(&filter).expect("we have the rights");
    for (group, engine) in [(group, "psync"), (below, "io_uring")] {
        let job = device.fio("member", &["--rw=randread", "--bs=4k", "--size=1m", &format!("--ioengine={engine}")]);
        let words = group.inside(&job);
        let member = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::null()).status().unwrap();
        assert!(member.success());
    }
    let result = capture.finish().unwrap();
    assert_eq!(result.filter.cgroups, named);
    result
}

#[test]
fn a_capture_lasts_as_long_as_its_cgroup() {
    let Some(device) = Loop::new("none") else { return };
    let Some(group) = Group::new("life") else { return };
    let named = group.0.display().to_string();
    let mut child = device.bench.command(&["capture", "--dev", &device.name, "--cgroup", &named, "-o", "group.json"]);
    let mut child = child.stderr(Stdio::null()).spawn().unwrap();
    assert!(eventually(|| super::programs(child.id()).len() >= 6), "attached");
    sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none());
    drop(group);
    assert!(child.wait().unwrap().success());
    assert!(device.result("group.json").complete);
}

#[test]
fn what_is_no_cgroup_is_refused() {
    let bench = Bench::new();
    for name in ["/no/such/group", "/tmp"] {
        let line = bench.refused(2, &["capture", "--cgroup", name, "--duration", "1s"]);
        assert!(line.contains(name) && line.contains("--pid"), "{line}");
    }
    if Path::new("/sys/fs/cgroup/memory/memory.usage_in_bytes").exists() {
        let line = bench.refused(2, &["capture", "--cgroup", "/sys/fs/cgroup/memory", "--duration", "1s"]);
        assert!(line.contains("version 1") && line.contains("--pid"), "{line}");
    }
    bench.refused(2, &["capture", "--cgroup", "/", "--", "true"]);
}
