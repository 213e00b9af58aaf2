//! The process is killed, stopped, interrupted, restricted, or has nowhere to put its result.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

use kvtrace::error::Kind;
use kvtrace::progress::Progress;
use kvtrace::replay::{ReplayConfig, Target, Unwatched, replay};
use kvtrace::stop::Stop;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::super::{HEADER, trace};
use super::{Mounted, ended_soon, partial, start_prepared, writes_and_reads};
use crate::support::{Bench, Ended, is_root, skip};

#[test]
fn an_interrupted_run_keeps_what_it_has_as_partial() {
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..60).map(|i| format!("{i} Write 100000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows);
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:10/s", "-o", "r.json"];
    let child = start_prepared(&bench, "D/kvtrace-tier2.slab", &args);
    sleep(Duration::from_millis(800));
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    let began = Instant::now();
    let ended = ended_soon(child);
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_eq!(ended.code, 130, "{}", ended.stderr);
    assert!(!bench.path("r.json").exists());
    let result = bench.json("r.partial.json");
    assert_eq!((&result["complete"], &result["valid"]), (&Value::Bool(false), &Value::Bool(false)));
    let ops = result["totals"]["ops"].as_u64().unwrap();
    assert!((1..60).contains(&ops), "{ops}");
}

/// Presses Ctrl-C as soon as a stage has begun and moved.
pub struct Impatient<'a> {
    pub stop: &'a Stop,
    pub stage: &'static str,
    pub now: Mutex<String>,
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
    trace(&bench, "t.csv", &rows);
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
    trace(&bench, "t.csv", &rows);
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:100000/s", "--max-lag", "20ms", "-o", "r.json"];
    let last = bench.refused(3, &args);
    assert!(last.contains("not sustained") && last.contains("--max-lag") && !last.contains("--speed"), "{last}");
    assert_eq!(bench.json("r.partial.json")["complete"], false);
}

/// A replay of a few seconds, and how it is started.
const SLOW: [&str; 8] = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:10/s", "-o", "r.json"];
const SLAB: &str = "D/kvtrace-tier2.slab";

#[test]
fn what_a_killed_run_left_is_removed_or_named_with_the_command_that_does() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &writes_and_reads(30, 100_000));
    let mut child = start_prepared(&bench, SLAB, &SLOW);
    sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    let left = bench.files().into_iter().find(|name| name.starts_with(".r.json.kvtrace-")).unwrap();
    let ended = bench.run(&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("removed what a killed run left") && ended.stderr.contains(&left),
        "{}",
        ended.stderr
    );
    assert!(!bench.path(&left).exists());
    let notes = bench.json("r.json")["notes"].to_string();
    assert!(notes.contains("left by a run that did not end") && notes.contains(&format!("rm '{SLAB}'")), "{notes}");
    let again = bench.run(&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]);
    assert!(!again.stderr.contains("rm ") && !again.stderr.contains("removed"), "it was an end: {}", again.stderr);
}

#[test]
fn what_a_run_elsewhere_is_writing_stays() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &writes_and_reads(2, 100_000));
    // As of a container that shares the folder: no such process here, and yet it is being written.
    let theirs = ".r.json.kvtrace-4000000000";
    let held = fs::File::create(bench.path(theirs)).unwrap();
    held.lock().unwrap();
    let said = bench.run(&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]).stderr;
    assert!(bench.path(theirs).exists() && !said.contains("removed"), "{said}");
    drop(held);
    let said = bench.run(&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]).stderr;
    assert!(!bench.path(theirs).exists() && said.contains("removed"), "{said}");
}

#[test]
fn a_run_killed_while_preparing_is_prepared_anew() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &["0 Write 180000000 Tier-2 a Prefill", "1 Read 180000000 Tier-2 a Decode"]);
    let mut child = bench.command(&SLOW).stderr(Stdio::null()).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while bench.path(SLAB).metadata().map_or(0, |slab| slab.len()) == 0 {
        assert!(Instant::now() < limit);
        sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D", "--verify", "full", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert_eq!((&result["valid"], &result["verify"]["failure_count"]), (&true.into(), &0.into()));
    assert!(result["notes"].to_string().contains("rm 'D/kvtrace-tier2.slab'"), "{}", result["notes"]);
}

#[test]
fn what_a_run_killed_before_its_first_byte_leaves_is_used() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &writes_and_reads(3, 10_000));
    for (file, layout) in [(SLAB, "slab"), ("F/kvtrace-objects/tier2/kvtrace-objects.json", "file")] {
        let folder = file.split('/').next().unwrap();
        fs::create_dir_all(bench.path(file).parent().unwrap()).unwrap();
        fs::write(bench.path(file), "").unwrap();
        let target = format!("dir:{folder}");
        bench.ok(&["replay", "t.csv", "--tier-2", &target, "--layout", layout, "--verify", "full", "-o", "r.json"]);
        assert_eq!(bench.json("r.json")["valid"], true);
    }
}

#[test]
fn a_second_signal_does_not_lose_the_result() {
    for signal in [Signal::INT, Signal::TERM] {
        let bench = Bench::on_disk();
        trace(&bench, "t.csv", &writes_and_reads(30, 100_000));
        let child = start_prepared(&bench, SLAB, &SLOW);
        sleep(Duration::from_millis(700));
        for _ in 0..2 {
            kill_process(Pid::from_child(&child), signal).unwrap();
        }
        let ended = ended_soon(child);
        assert_eq!(ended.code, 130, "{}", ended.stderr);
        let result = partial(&bench, "r.partial.json");
        assert!(result["totals"]["ops"].as_u64().unwrap() > 0, "{}", ended.stderr);
    }
}

#[test]
fn one_signal_ends_the_reading_of_a_stream_that_does_not_end() {
    for endless in [false, true] {
        let bench = Bench::on_disk();
        let args = ["replay", "-", "--tier-2", "dir:D"];
        let mut command = bench.command(&args);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (asked, ask) = channel::<()>();
        let writer = std::thread::spawn(move || {
            stdin.write_all(HEADER.as_bytes()).unwrap();
            // Until nobody reads any more, and no faster than a disk has room for in the meantime.
            while endless && stdin.write_all(b"0,Write,4096,Tier-2,k,Prefill\n").is_ok() {
                sleep(Duration::from_micros(100));
            }
            // A stream that says nothing stays open until the end has been seen.
            let _ = ask.recv();
        });
        sleep(Duration::from_millis(300));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let ended = ended_soon(child);
        drop(asked);
        writer.join().unwrap();
        assert_eq!(ended.code, 130, "{}", ended.stderr);
        assert!(ended.stderr.contains("interrupted while reading standard input"), "{}", ended.stderr);
        assert!(bench.files().is_empty(), "{:?}", bench.files());
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_and_nothing_is_lost() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &writes_and_reads(30, 100_000));
    let child = start_prepared(&bench, SLAB, &SLOW);
    for _ in 0..3 {
        let pid = Pid::from_child(&child);
        let _ = kill_process(pid, Signal::STOP);
        sleep(Duration::from_millis(100));
        let _ = kill_process(pid, Signal::CONT);
        sleep(Duration::from_millis(20));
    }
    let ended = ended_soon(child);
    // It was not able to keep its schedule, and says so.
    assert!([0, 3].contains(&ended.code), "{}", ended.stderr);
    let result = bench.json("r.json");
    assert_eq!((&result["totals"]["ops"], &result["verify"]["failure_count"]), (&60.into(), &0.into()));
}

/// A launcher that forbids a system call to what it starts, as container runtimes do.
const FORBID: &str = r"
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
int main(int n, char **args) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, atoi(args[1]), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | atoi(args[2])),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 99;
    execv(args[3], args + 3);
    return 98;
}
";

/// System calls, by the numbers that every architecture has for them since they are new.
const IO_URING_SETUP: &str = "425";
const IO_URING_ENTER: &str = "426";
const IO_URING_REGISTER: &str = "427";
const EPERM: &str = "1";
const ENOSYS: &str = "38";

/// Runs a replay to which a system call is forbidden; none without a compiler.
fn run_without(bench: &Bench, call: &str, errno: &str, args: &[&str]) -> Option<Ended> {
    let source = bench.write("forbid.c", FORBID);
    let built = Command::new("cc").args(["-o", "forbid"]).arg(&source).current_dir(bench.path("")).output();
    if !built.is_ok_and(|o| o.status.success()) {
        skip("no C compiler to build the launcher that forbids system calls");
        return None;
    }
    let mut command = Command::new(bench.path("forbid"));
    command.args([call, errno, env!("CARGO_BIN_EXE_kvtrace")]).args(args).current_dir(bench.path(""));
    Some(Ended::from(command.output().unwrap()))
}

#[test]
fn without_io_uring_the_way_out_is_named_and_nothing_is_touched() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &["0 Write 100 Tier-2 a Prefill"]);
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"];
    for (call, errno, words) in [
        (IO_URING_SETUP, EPERM, ["kernel.io_uring_disabled", "seccomp"]),
        (IO_URING_SETUP, ENOSYS, ["no io_uring", "Linux 5.11"]),
        (IO_URING_ENTER, EPERM, ["io_uring_enter", "seccomp"]),
    ] {
        let Some(ended) = run_without(&bench, call, errno, &args) else { return };
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert_eq!(ended.code, 6, "{}", ended.stderr);
        assert!(words.iter().all(|word| last.contains(word)), "{last}");
        assert!(!bench.path("r.json").exists() && !bench.path("D").exists());
    }
}

#[test]
fn where_nothing_can_be_registered_it_runs_without_and_says_so() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &writes_and_reads(10, 3_000_000));
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--verify", "full", "-o", "r.json"];
    let Some(ended) = run_without(&bench, IO_URING_REGISTER, EPERM, &args) else { return };
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let result = bench.json("r.json");
    let facts = &result["tiers"][2]["facts"];
    assert_eq!((&facts["fixed_buffers"], &facts["fixed_files"]), (&false.into(), &false.into()));
    let notes = result["notes"].to_string();
    assert!(notes.contains("files could not be registered") && notes.contains("buffers could not"), "{notes}");
    assert_eq!(result["verify"]["failure_count"], 0);
}

/// Runs a replay with a limit that `ulimit` sets.
fn run_limited(bench: &Bench, limit: &str, args: &[&str]) -> Ended {
    let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_kvtrace")]).args(args).current_dir(bench.path(""));
    Ended::from(command.output().unwrap())
}

#[test]
fn limits_of_the_process_end_it_with_words() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &writes_and_reads(4, 3_000_000));
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"];
    let mut ran = 0;
    for files in 4..24 {
        let ended = run_limited(&bench, &format!("-n {files}"), &args);
        assert!([0, 2, 4, 6].contains(&ended.code), "{files}: {} {}", ended.code, ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{files}: {}", ended.stderr);
        ran += u32::from(ended.code == 0);
        if ended.code != 0 {
            assert!(ended.stderr.contains("Too many open files"), "{files}: {}", ended.stderr);
        }
    }
    assert!((1..20).contains(&ran), "{ran} of 20 runs");
    fs::remove_dir_all(bench.path("D")).unwrap();
    // In units of 1024 bytes.
    let ended = run_limited(&bench, "-f 4000", &args);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(ended.code == 2 && last.contains("ulimit -f") && last.contains("kvtrace-tier2") | last.contains("dir:D"));
    assert!(!bench.path("D").exists(), "refused before anything is touched");
}

#[test]
fn root_a_result_that_cannot_be_written_is_kept_elsewhere_and_its_place_said() {
    if !is_root() {
        return skip("needs root to mount a tmpfs");
    }
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &writes_and_reads(20, 10_000));
    let Some(_small) = Mounted::new(bench.path("small"), &["-t", "tmpfs", "-o", "size=16k", "kvtrace-test"]) else {
        return;
    };
    let _ = fs::write(bench.path("small/filler"), vec![1; 64 << 10]);
    fs::create_dir(bench.path("tmp")).unwrap();
    let replay = |tmp: &str| {
        let mut command = bench.command(&["replay", "t.csv", "--tier-2", "dir:D", "-o", "small/r.json"]);
        Ended::from(command.env("TMPDIR", bench.path(tmp)).output().unwrap())
    };
    let ended = replay("tmp");
    let last = ended.stderr.lines().last().unwrap();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert!(last.contains("small/r.json") && last.contains("the result is kept as "), "{last}");
    let kept = last.split("kept as ").nth(1).unwrap();
    let result: Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
    assert_eq!((&result["complete"], &result["totals"]["ops"]), (&true.into(), &40.into()));
    assert_eq!(fs::read_dir(bench.path("small")).unwrap().count(), 1, "no half of it is left");
}

#[test]
fn the_folder_of_the_result_vanishes_in_mid_run() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &writes_and_reads(15, 10_000));
    for folder in ["out", "tmp"] {
        fs::create_dir(bench.path(folder)).unwrap();
    }
    let args = ["replay", "t.csv", "--tier-2", "dir:D", "--pace", "rate:30/s", "-o", "out/r.json"];
    let mut command = bench.command(&args);
    let child = command.env("TMPDIR", bench.path("tmp")).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(500));
    fs::remove_dir_all(bench.path("out")).unwrap();
    let ended = ended_soon(child);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains("out/r.json") && last.contains("the result is kept as "), "{last}");
    let result: Value = serde_json::from_slice(&fs::read(last.split("kept as ").nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!(result["totals"]["ops"], 30);
}
