//! `kvtrace replay`: how storage tiers are used, tier by tier, and what state they are in.

use std::fs;
use std::process::Command;
use std::sync::Mutex;

use kvtrace::error::Kind;
use kvtrace::replay::{Precondition, ReplayConfig, Target, Unwatched, replay};
use kvtrace::stop::Stop;
use serde_json::Value;

use super::faults::Mounted;
use super::faults::process::Impatient;
use super::trace;
use crate::loop_device::LoopDevice;
use crate::support::{Bench, has_program, is_root, skip};

/// Objects written and then read on tiers 1 and 2.
fn two_tiers(bench: &Bench, objects: u32) {
    let rows = (1..3).flat_map(|tier| {
        let writes = (0..objects).map(move |i| format!("{i} Write 300000 Tier-{tier} k{tier}-{i} Prefill"));
        writes.chain((0..objects).map(move |i| format!("{} Read 300000 Tier-{tier} k{tier}-{i} Decode", objects + i)))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| row.split(' ').next().unwrap().parse::<u32>().unwrap());
    trace(bench, "t.csv", &rows);
}

#[test]
fn storage_is_used_as_told_tier_by_tier() {
    let bench = Bench::on_disk();
    two_tiers(&bench, 12);
    let two = ["replay", "t.csv", "--tier-1", "dir:A", "--tier-2", "dir:B", "--verify", "full", "-o", "r.json"];
    let run = |more: &[&str]| {
        bench.ok(&[&two, more].concat());
        let result = bench.json("r.json");
        assert_eq!((&result["verify"]["failure_count"], &result["errors"]), (&0.into(), &Value::Array(vec![])));
        result
    };
    let mixed = run(&["--io", "1=buffered", "--fadvise", "1=dontneed", "--durability", "1=none,2=fdatasync"]);
    let tier = |result: &Value, tier: usize| result["tiers"][tier].clone();
    let (first, second) = (tier(&mixed, 1), tier(&mixed, 2));
    assert_eq!((&first["direct"], &second["direct"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!((&first["facts"]["fadvise"], &second["facts"]["fadvise"]), (&"dontneed".into(), &"none".into()));
    assert_eq!((&first["facts"]["durability"], &second["facts"]["durability"]), (&"none".into(), &"fdatasync".into()));
    assert!(first["sync"].is_null(), "nobody asked: {}", first["sync"]);
    assert_eq!((&second["sync"]["count"], &second["sync"]["unit"]), (&12.into(), &"ns".into()));
    let notes = mixed["notes"].to_string();
    assert!(notes.contains("tier 1 ran buffered") && !notes.contains("tier 2 ran buffered"), "{notes}");
    assert_eq!(mixed["config"]["durability"], "1=none,2=fdatasync");
    let common = run(&["--durability", "fsync"]);
    assert_eq!((&tier(&common, 1)["sync"]["count"], &tier(&common, 2)["sync"]["count"]), (&12.into(), &12.into()));
    let written_through = run(&["--durability", "dsync"]);
    assert!(tier(&written_through, 1)["sync"].is_null(), "no sync of its own follows");
}

#[test]
fn what_is_said_of_a_tier_that_is_not_storage_is_refused() {
    let bench = Bench::on_disk();
    two_tiers(&bench, 1);
    for (flag, value, why) in [
        ("--durability", "1=fsync", "tier 1 is dram, not storage"),
        ("--io", "0=buffered", "tier 0 is model:"),
        ("--fadvise", "2=dontneed", "add --io 2=buffered"),
        ("--durability", "2=later", "none, fdatasync, fsync, dsync"),
        ("--io", "3=direct", "the tiers are 0, 1 and 2"),
    ] {
        let ended = bench.run(&["replay", "t.csv", "--tier-2", "dir:D", flag, value]);
        assert_eq!(ended.code, 2, "{flag} {value}");
        assert!(ended.stderr.contains(why), "{flag} {value}: {}", ended.stderr);
    }
    assert!(!bench.path("D").exists());
    bench.ok(&["replay", "t.csv", "--tier-2", "dram", "--durability", "fsync", "-o", "r.json"]);
    let notes = bench.json("r.json")["notes"].to_string();
    assert!(notes.contains("has no effect: no tier is storage"), "{notes}");
}

/// An ext4 of the test's own on a loop device of the test's own; both gone when dropped.
struct Looped {
    // Unmounted before the device is detached.
    _mounted: Mounted,
    device: LoopDevice,
}

impl Looped {
    fn new(bench: &Bench, mib: u64) -> Option<Self> {
        if !is_root() || !has_program("mkfs.ext4") {
            skip("needs root and mkfs.ext4 to make a small filesystem");
            return None;
        }
        let image = bench.path("image");
        fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap();
        assert!(made.success());
        let device = LoopDevice::over(&image, &[])?;
        let mounted = Mounted::new(bench.path("m"), &[&device.path])?;
        Some(Self { _mounted: mounted, device })
    }

    /// Flushes that the device was asked for, field 16 of its statistics
    /// (Documentation/admin-guide/iostats.rst).
    fn flushes(&self) -> u64 {
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", self.device.name())).unwrap();
        stat.split_ascii_whitespace().nth(15).unwrap().parse().unwrap()
    }
}

#[test]
fn root_durability_is_counted_in_flushes_of_the_device() {
    const OBJECTS: u64 = 40;
    let bench = Bench::on_disk();
    let Some(looped) = Looped::new(&bench, 64) else { return };
    let rows: Vec<_> = (0..OBJECTS).map(|i| format!("{i} Write 300000 Tier-2 k{i} Prefill")).collect();
    trace(&bench, "t.csv", &rows);
    let run = |durability: &str| {
        let before = looped.flushes();
        // One object at a time, so that one flush does not serve two.
        let args = ["--max-objects", "1", "--durability", durability, "-o", "r.json"];
        bench.ok(&[&["replay", "t.csv", "--tier-2", "dir:m/D"][..], &args].concat());
        (looped.flushes() - before, bench.json("r.json")["tiers"][2]["sync"]["count"].as_u64())
    };
    run("none");
    let (without, counted) = run("none");
    // The header's, when it is taken into use and when it is let go, and the one at the end.
    assert!((1..=8).contains(&without) && counted.is_none(), "{without} flushes, {counted:?}");
    for durability in ["fdatasync", "fsync"] {
        let (flushes, counted) = run(durability);
        assert_eq!(counted, Some(OBJECTS), "{durability}");
        let own = flushes - without;
        // An fsync may also commit the filesystem's journal, which flushes before and after.
        let most = if durability == "fsync" { OBJECTS * 4 } else { OBJECTS + OBJECTS / 4 };
        assert!((OBJECTS..=most).contains(&own), "{durability}: {own} flushes for {OBJECTS} objects");
    }
    let (flushes, _) = run("dsync");
    assert!(flushes - without >= OBJECTS, "every I/O is flushed: {flushes}");
}

/// A launcher that takes something away from what it starts: huge pages, or one of the calls by
/// which a ring registers files (opcode 2) or buffers (opcode 0).
const TAKE_AWAY: &str = r#"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
int main(int n, char **args) {
    if (!strcmp(args[1], "huge-pages")) {
        if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)) return 99;
    } else {
        int opcode = strcmp(args[1], "files") ? 0 : 2;
        struct sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_register, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, opcode, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {6, filter};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 99;
    }
    execv(args[2], args + 2);
    return 98;
}
"#;

const VERIFIED: [&str; 7] = ["replay", "t.csv", "--tier-2", "dir:D", "--verify", "full", "-o"];

/// That a run with less worked all the same, and said what it lacked both in its result and on
/// stderr.
fn assert_said(bench: &Bench, ended: std::process::Output, words: &str) -> Value {
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{words}: {stderr}");
    let result = bench.json("r.json");
    assert_eq!((&result["verify"]["failure_count"], &result["valid"]), (&0.into(), &Value::Bool(true)));
    assert!(result["notes"].to_string().contains(words), "{words}: {}", result["notes"]);
    // Notes are broken between words.
    let said = stderr.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let notes = said.split("note: ").skip(1);
    assert!(notes.into_iter().any(|note| note.contains(words)), "{stderr}");
    result
}

#[test]
fn what_the_kernel_refuses_is_done_without_and_said() {
    let bench = Bench::on_disk();
    let source = bench.write("take.c", TAKE_AWAY);
    let built = Command::new("cc").args(["-o", "take"]).arg(&source).current_dir(bench.path("")).output();
    if !built.is_ok_and(|o| o.status.success()) {
        return skip("no C compiler to build the launcher that takes things away");
    }
    two_tiers(&bench, 20);
    for (what, words, fact) in [
        ("huge-pages", "0 B of the", "buffer_huge_page_bytes"),
        ("files", "files could not be registered (Cannot allocate memory)", "fixed_files"),
        ("buffers", "buffers could not be registered (Cannot allocate memory)", "fixed_buffers"),
    ] {
        let ended = Command::new(bench.path("take"))
            .args([what, env!("CARGO_BIN_EXE_kvtrace")])
            .args(VERIFIED)
            .arg("r.json")
            .current_dir(bench.path(""))
            .output()
            .unwrap();
        let result = assert_said(&bench, ended, words);
        let value = &result["tiers"][2]["facts"][fact];
        assert!(*value == false || *value == 0, "{what}: {value}");
    }
}

#[test]
fn root_without_locked_memory_buffers_are_not_registered_and_that_is_said() {
    const NOBODY: u32 = 65534;
    if !is_root() || !has_program("prlimit") || !has_program("setpriv") {
        return skip("needs root, prlimit and setpriv to run as somebody with less");
    }
    let bench = Bench::on_disk();
    two_tiers(&bench, 20);
    fs::copy(env!("CARGO_BIN_EXE_kvtrace"), bench.path("kvtrace")).unwrap();
    std::os::unix::fs::chown(bench.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
    let as_nobody = |program: &str, args: &[&str]| {
        let mut command = Command::new("prlimit");
        command.args(["--memlock=65536:65536", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(program).args(args).current_dir(bench.path(""));
        command.output().unwrap()
    };
    if !as_nobody("./kvtrace", &["--version"]).status.success() {
        return skip("the test's folder cannot be reached by an unprivileged user");
    }
    let ended = as_nobody("./kvtrace", &[&VERIFIED[..], &["r.json"]].concat());
    let result = assert_said(&bench, ended, "raise the limit of locked memory (ulimit -l)");
    assert_eq!(result["tiers"][2]["facts"]["fixed_buffers"], false);
}

#[test]
fn the_bytes_in_flight_that_a_device_needs_are_found_before_the_clock_starts() {
    let bench = Bench::on_disk();
    two_tiers(&bench, 20);
    let args = ["--bytes-in-flight", "auto", "--io-size", "128KiB", "--verify", "full", "-o", "r.json"];
    bench.ok(&[&["replay", "t.csv", "--tier-2", "dir:D"][..], &args].concat());
    let result = bench.json("r.json");
    assert_eq!(result["verify"]["failure_count"], 0, "what is tried harms nothing");
    let (config, found) = (&result["config"], &result["config"]["bytes-in-flight-found"]);
    assert_eq!(
        (&config["bytes-in-flight-asked"], &config["bytes-in-flight"]),
        (&"auto".into(), &found["bytes_in_flight"])
    );
    assert_eq!(&result["tiers"][2]["facts"]["bytes_in_flight_curve"], found);
    for of in ["read", "write"] {
        let curve = found[of].as_array().unwrap();
        let tried: Vec<_> = curve.iter().map(|point| point["bytes_in_flight"].as_u64().unwrap()).collect();
        assert_eq!(tried, (0..tried.len()).map(|i| (256 << 10) << i).collect::<Vec<_>>(), "{of}");
        assert!(!tried.is_empty() && curve.iter().all(|point| point["gb_per_s"].as_f64().unwrap() > 0.0), "{curve:?}");
    }
    assert!(found["bytes_in_flight"].as_u64().unwrap() <= 64 << 20);
    bench.ok(&["replay", "t.csv", "--tier-2", "dram", "--bytes-in-flight", "auto", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert!(result["notes"].to_string().contains("no slab to try it on"), "{}", result["notes"]);
    assert_eq!(
        (&result["config"]["bytes-in-flight"], &result["config"]["bytes-in-flight-found"]),
        (&(16 << 20).into(), &Value::Null)
    );
}

#[test]
fn preconditioning_overwrites_the_slab_and_stays_out_of_the_figures() {
    let bench = Bench::on_disk();
    two_tiers(&bench, 20);
    let run = |amount: &str| {
        let args = ["--precondition", amount, "--verify", "full", "-o", "r.json"];
        bench.ok(&[&["replay", "t.csv", "--tier-2", "file:slab,size=40MiB"][..], &args].concat());
        bench.json("r.json")
    };
    let result = run("2x");
    let before = bench.read("slab");
    let done = &result["tiers"][2]["preconditioned"][0];
    let body = (40 << 20) - (128u64 << 10);
    let passes = done["passes"].as_array().unwrap();
    assert_eq!(passes.iter().map(|pass| pass["bytes"].as_u64().unwrap()).collect::<Vec<_>>(), [body, body]);
    assert!(done["bytes"].as_u64().unwrap() == 2 * body && done["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!((&result["verify"]["failure_count"], &result["config"]["precondition"]), (&0.into(), &"2x".into()));
    assert_eq!(result["totals"]["write_bytes"], 12_000_000, "rows of both tiers, and nothing else");
    let again = run("8MiB");
    let after = bench.read("slab");
    let bytes = again["tiers"][2]["preconditioned"][0]["bytes"].as_u64().unwrap();
    assert!((8 << 20..9 << 20).contains(&bytes), "{bytes}");
    let changed = before.chunks(4096).zip(after.chunks(4096)).filter(|(a, b)| a != b).count() * 4096;
    assert!((8 << 20..18 << 20).contains(&changed), "8 MiB and the run's 6 MB: {changed}");
    let wrong = bench.run(&["replay", "t.csv", "--precondition", "0x"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("a factor above 0"), "{}", wrong.stderr);
}

#[test]
fn preconditioning_ends_when_asked() {
    let bench = Bench::on_disk();
    let mut config = ReplayConfig::new(trace(&bench, "t.csv", &["0 Write 9000000 Tier-2 a Prefill"]));
    config.targets[2] = Target::Dir(bench.path("D"));
    config.precondition = Some(Precondition::Times(2.0));
    let stop = Stop::new();
    let impatient = Impatient { stop: &stop, stage: "precondition", now: Mutex::default() };
    let error = replay(&config, &mut Unwatched, &stop, &impatient).map(drop).unwrap_err();
    assert!(error.kind() == Kind::Interrupted && error.to_string().contains("nothing was measured"), "{error}");
}
