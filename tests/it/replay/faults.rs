//! `kvtrace replay` when something fails: the data, the disk, the schedule, the rights, the
//! user's patience.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use kvtrace::error::Kind;
use kvtrace::progress::Progress;
use kvtrace::replay::{ReplayConfig, Target, Unwatched, replay};
use kvtrace::stop::Stop;
use serde_json::Value;

use super::trace;
use crate::support::{Bench, has_program, is_root, skip};

/// Starts a replay and waits until its slab is prepared.
fn start_prepared(bench: &Bench, slab: &str, args: &[&str]) -> Child {
    let child = bench.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kvtrace starts");
    let limit = Instant::now() + Duration::from_secs(20);
    while !fs::read(bench.path(slab))
        .is_ok_and(|d| d[..d.len().min(4096)].windows(15).any(|w| w == b"\"prepared\":true"))
    {
        assert!(Instant::now() < limit, "the slab was not prepared");
        sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn corrupted_storage_is_noticed_and_named() {
    let bench = Bench::on_disk();
    let rows = [
        "0 Write 1000000 Tier-2 first Prefill",
        "1 Write 1000 Tier-2 later Prefill",
        "2 Read 1000000 Tier-2 first Decode",
    ];
    trace(&bench, "t.csv", &rows);
    let args = ["replay", "t.csv", "--tier-2", "file:slab,size=4MiB", "--pace", "rate:0.7/s", "-o", "r.json"];
    let child = start_prepared(&bench, "slab", &args);
    sleep(Duration::from_millis(700));
    let slab = fs::File::options().write(true).open(bench.path("slab")).unwrap();
    slab.write_all_at(&vec![0; 3 << 20], 128 << 10).unwrap();
    slab.sync_all().unwrap();
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(5), "{stderr}");
    assert!(stderr.lines().last().unwrap().contains("row 3: `first` at byte 0: zeros"), "{stderr}");
    let result = bench.json("r.json");
    assert_eq!((&result["valid"], &result["complete"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!(result["verify"]["failures"][0]["class"], "zeros");
}

#[test]
fn an_interrupted_run_keeps_what_it_has_as_partial() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..60).map(|i| format!("{i} Write 100000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:10/s", "-o", "r.json"];
    let child = start_prepared(&bench, "D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(800));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let began = Instant::now();
    let ended = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(!bench.path("r.json").exists());
    let result = bench.json("r.partial.json");
    assert_eq!((&result["complete"], &result["valid"]), (&Value::Bool(false), &Value::Bool(false)));
    let ops = result["totals"]["ops"].as_u64().unwrap();
    assert!((1..60).contains(&ops), "{ops}");
}

/// Presses Ctrl-C as soon as a stage has begun and moved.
struct Impatient<'a> {
    stop: &'a Stop,
    stage: &'static str,
    now: Mutex<String>,
}

impl Progress for Impatient<'_> {
    fn stage(&self, name: &str, _total: Option<u64>, _unit: &'static str) {
        name.clone_into(&mut self.now.lock().unwrap());
    }

    fn advance(&self, _amount: u64) {
        if *self.now.lock().unwrap() == self.stage {
            self.stop.request();
        }
    }

    fn done(&self) {}
}

#[test]
fn preparing_ends_when_asked_and_names_the_slab_it_leaves() {
    let bench = Bench::on_disk();
    let rows = ["0 Write 90000000 Tier-1 a Prefill", "1 Write 90000000 Tier-2 b Prefill"];
    let mut config = ReplayConfig::new(trace(&bench, "t.csv", &rows));
    config.targets[2] = Target::Dir(bench.path("D"));
    for stage in ["memory", "prepare"] {
        let stop = Stop::new();
        let impatient = Impatient { stop: &stop, stage, now: Mutex::default() };
        let error = replay(&config, &mut Unwatched, &stop, &impatient).map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted, "{stage}: {error}");
        assert!(error.to_string().contains("D/kvtrace-tier2.slab ("), "{stage}: {error}");
    }
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D", "--verify", "full", "-o", "r.json"]);
    let notes = bench.json("r.json")["notes"].to_string();
    assert!(!notes.contains("did not end"), "an interruption is an end: {notes}");
}

#[test]
fn a_killed_run_is_noticed_by_the_next() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..60).map(|i| format!("{i} Write 100000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:10/s", "-o", "r.json"];
    let mut child = start_prepared(&bench, "D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(300));
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:D"]);
    assert!(last.contains("in use by another replay"), "{last}");
    child.kill().unwrap();
    child.wait().unwrap();
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert!(result["notes"].to_string().contains("left by a run that did not end"), "{}", result["notes"]);
    assert_eq!(result["verify"]["failure_count"], 0);
}

#[test]
fn a_backlog_beyond_the_allowed_lag_ends_the_run() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..400).map(|i| format!("0 Write 4000000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:100000/s", "--max-lag", "20ms", "-o", "r.json"];
    let last = bench.refused(3, &args);
    assert!(last.contains("not sustained") && last.contains("--max-lag") && !last.contains("--speed"), "{last}");
    assert_eq!(bench.json("r.partial.json")["complete"], false);
}

/// A filesystem of the test's own, unmounted and gone when dropped.
pub struct Mounted {
    pub place: PathBuf,
}

impl Mounted {
    fn new(place: PathBuf, args: &[&str]) -> Option<Self> {
        fs::create_dir(&place).unwrap();
        let mounted = Command::new("mount").args(args).arg(&place).output();
        if mounted.is_ok_and(|o| o.status.success()) {
            return Some(Self { place });
        }
        skip("mount is not permitted here");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A replay that was killed lets go of its files a moment after it has ended.
        for _ in 0..50 {
            if Command::new("umount").arg(&self.place).stderr(Stdio::null()).status().is_ok_and(|s| s.success()) {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        assert!(std::thread::panicking(), "{} is still mounted", self.place.display());
    }
}

#[test]
fn root_a_filesystem_without_direct_io_is_refused_with_the_way_out() {
    if !is_root() {
        return skip("needs root to mount a tmpfs");
    }
    let bench = Bench::on_disk();
    let Some(mounted) = Mounted::new(bench.path("m"), &["-t", "tmpfs", "-o", "size=64m", "kvtrace-test"]) else {
        return;
    };
    trace(&bench, "t.csv", &["0 Write 100000 Tier-2 a Prefill", "1 Read 100000 Tier-2 a Decode"]);
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:m/D"]);
    assert!(last.contains("--io buffered"), "{last}");
    assert!(!bench.path("m/D").exists());
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:m/D", "--io", "buffered", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert_eq!(result["tiers"][2]["direct"], false);
    assert!(result["notes"][0].as_str().unwrap().contains("buffered"));
    drop(mounted);
}

/// A small ext4 of the test's own on a loop device.
pub fn small_ext4(bench: &Bench, mib: u64) -> Option<Mounted> {
    if !is_root() || !has_program("mkfs.ext4") {
        skip("needs root and mkfs.ext4 to make a small filesystem");
        return None;
    }
    let image = bench.path("image");
    fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap();
    assert!(made.success());
    Mounted::new(bench.path("m"), &["-o", "loop", image.to_str().unwrap()])
}

#[test]
fn root_a_disk_that_is_too_small_is_refused_with_need_and_have() {
    let bench = Bench::on_disk();
    let Some(_mounted) = small_ext4(&bench, 64) else { return };
    trace(&bench, "t.csv", &["0 Write 90000000 Tier-2 a Prefill", "1 Read 90000000 Tier-2 a Decode"]);
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:m/D", "-o", "r.json"]);
    assert!(last.contains("MiB is needed") && last.contains("is free") && last.contains("--size-scale"), "{last}");
    assert!(!bench.path("m/D").exists() && !bench.path("r.json").exists());
}

#[test]
fn root_a_failing_disk_ends_the_run_with_a_partial_report() {
    let bench = Bench::on_disk();
    let Some(mounted) = small_ext4(&bench, 96) else { return };
    let rows: Vec<_> = (0..60).map(|i| format!("{i} Write 200000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let args = ["replay", "t.csv", "--tier-2", "dir:m/D", "--pace", "rate:20/s", "-o", "r.json"];
    let child = start_prepared(&bench, "m/D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(800));
    shut_down(&mounted.place);
    let began = Instant::now();
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(ended.status.code(), Some(4), "{stderr}");
    let result = bench.json("r.partial.json");
    assert_eq!(result["errors"][0]["errno"], 5, "{stderr}");
    assert_eq!((&result["complete"], &result["errors"][0]["op"]), (&Value::Bool(false), &"write".into()));
}

/// EXT4_IOC_SHUTDOWN without flushing: every I/O fails from now on.
fn shut_down(place: &Path) {
    const EXT4_IOC_SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
    let file = fs::File::open(place).unwrap();
    // SAFETY: the opcode takes a pointer to a 32-bit flag, as here.
    unsafe { rustix::ioctl::ioctl(&file, rustix::ioctl::Setter::<EXT4_IOC_SHUTDOWN, u32>::new(2)) }.unwrap();
}

/// A launcher that forbids io_uring to what it starts, as container runtimes do.
const FORBID: &str = r"
#include <errno.h>
#include <stddef.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
int main(int n, char **args) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 99;
    execv(args[1], args + 1);
    return 98;
}
";

#[test]
fn without_io_uring_the_way_out_is_named() {
    let bench = Bench::on_disk();
    let source = bench.write("forbid.c", FORBID);
    let built = Command::new("cc").args(["-o", "forbid"]).arg(&source).current_dir(bench.path("")).output();
    if !built.is_ok_and(|o| o.status.success()) {
        return skip("no C compiler to build the launcher that forbids io_uring");
    }
    trace(&bench, "t.csv", &["0 Write 100 Tier-2 a Prefill"]);
    let ended = Command::new(bench.path("forbid"))
        .args([env!("CARGO_BIN_EXE_kvtrace"), "replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"])
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(6), "{stderr}");
    assert!(stderr.contains("kernel.io_uring_disabled") && stderr.contains("seccomp"), "{stderr}");
    assert!(!bench.path("r.json").exists());
}
