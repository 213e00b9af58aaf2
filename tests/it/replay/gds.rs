//! `kvtrace replay --gds`, on a cuFile and a CUDA driver of our own that work on host memory: what
//! is tested is our side of their calls, not GPUDirect Storage.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::gpu::{driver, moves};
use super::{csv_bytes, result_bytes, trace};
use crate::support::{Bench, Ended, manifest_dir};

/// The folder with cuFile; none when it cannot be built here.
fn cufile() -> Option<&'static PathBuf> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    driver()?;
    Some(FOLDER.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cufile-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for cuFile");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror", "-o"]);
        cc.arg(folder.join("libcufile.so.0")).arg(manifest_dir().join("tests/shim/cufile.c"));
        assert!(cc.status().expect("cc starts").success(), "cuFile does not compile");
        folder
    }))
}

/// Runs the binary with both, told `settings`.
fn run(bench: &Bench, settings: &[(&str, &str)], args: &[&str]) -> Option<Ended> {
    let folders = [cufile()?, driver()?].map(|folder| folder.display().to_string());
    let mut command = bench.command(args);
    command.env("LD_LIBRARY_PATH", folders.join(":")).env("SHIM_CUFILE_LOG", bench.path("cufile.log"));
    command.envs(settings.iter().map(|(name, value)| (format!("SHIM_CUFILE_{name}"), value)));
    Some(Ended::from(command.output().expect("kvtrace starts")))
}

/// A replay that must end with `code`.
struct Replayed {
    result: Value,
    stderr: String,
    /// What cuFile was asked.
    calls: Vec<String>,
}

impl Replayed {
    fn last(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }

    fn count(&self, call: &str) -> usize {
        self.calls.iter().filter(|line| line.starts_with(call)).count()
    }
}

fn replay(bench: &Bench, code: i32, settings: &[(&str, &str)], args: &[&str]) -> Option<Replayed> {
    let began = Instant::now();
    for name in ["cufile.log", "r.json", "r.partial.json"] {
        let _ = fs::remove_file(bench.path(name));
    }
    let ended = run(bench, settings, &[&["replay", "t.csv", "-o", "r.json"], args].concat())?;
    assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    let log = fs::read_to_string(bench.path("cufile.log")).unwrap_or_default();
    let name = ["r.partial.json", "r.json"].into_iter().find(|name| bench.path(name).exists());
    let result = name.map_or(Value::Null, |name| bench.json(name));
    Some(Replayed { result, stderr: ended.stderr, calls: log.lines().map(str::to_owned).collect() })
}

const DIRECT: (&str, &str) = ("DIRECT", "1");
const TIERS: [&str; 6] = ["--tier-0", "gpu", "--tier-1", "dram", "--tier-2", "dir:A"];

#[test]
fn moves_and_reads_of_storage_go_by_cufile_with_their_content() {
    let bench = Bench::on_disk();
    let path = trace(&bench, "t.csv", &moves());
    let small = ["--io-size", "256KiB", "--bytes-in-flight", "1MiB"];
    for (number, verify) in ["full", "stamp", "off"].iter().enumerate() {
        let more = ["--gds", "on", "--verify", verify];
        let args = [&TIERS[..], &more, if number == 1 { &small } else { &[] }].concat();
        let Some(ran) = replay(&bench, 0, &[DIRECT], &args) else { return };
        assert_eq!(result_bytes(&ran.result), csv_bytes(&path), "--verify {verify}");
        assert_eq!(ran.result["verify"]["failure_count"], 0);
        let all = if *verify == "off" { 0 } else { 12 * 2_500_000 + 1_500_001 };
        assert_eq!(ran.result["verify"]["checked_bytes"], all);
        let gds = &ran.result["gds"];
        assert_eq!((&gds["path"], &gds["asked"], &gds["library"]), (&"direct".into(), &"on".into(), &"1.13".into()));
        // Of moves: one from storage to the GPU and one back. Of reads that no tier keeps: those of
        // the four objects that get to storage.
        let padded = 2_500_000_u64.next_multiple_of(4096);
        let reads = ran.result["tiers"][2]["read_bytes"].as_u64().unwrap();
        assert!(gds["read_bytes"].as_u64() >= Some(3 * padded) && gds["read_bytes"].as_u64() <= Some(reads), "{gds}");
        assert_eq!(gds["write_bytes"], padded);
        assert_eq!(gds["copied_back_bytes"].as_u64() > Some(0), *verify != "off");
        assert_eq!((ran.count("read") as u64, ran.count("write") as u64), count(gds));
        assert!(ran.stderr.contains("GDS: direct (cuFile 1.13)"), "{}", ran.stderr);
        let ends = ["file +", "file -", "buffer +", "buffer -", "open strict", "close"].map(|call| ran.count(call));
        assert_eq!(ends, [1; 6], "{:?}", &ran.calls[..6]);
    }
}

fn count(gds: &Value) -> (u64, u64) {
    (gds["reads"].as_u64().unwrap(), gds["writes"].as_u64().unwrap())
}

#[test]
fn compat_and_unknown_are_never_called_direct() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &moves());
    let auto = [&TIERS[..], &["--gds", "auto"]].concat();
    let Some(compat) = replay(&bench, 0, &[], &auto) else { return };
    assert_eq!((&compat.result["gds"]["path"], compat.count("open compat")), (&"compat".into(), 1));
    let notes = compat.result["notes"].to_string();
    assert!(notes.contains("GDS in compat mode") && notes.contains("nvidia-fs is not loaded"), "{notes}");
    assert_eq!(compat.result["verify"]["failure_count"], 0);
    // A file that is taken in compat mode only: cuFile is opened anew.
    let file = replay(&bench, 0, &[DIRECT, ("NO_FILES", "1")], &auto).unwrap();
    assert_eq!((file.count("open strict"), file.count("open compat"), file.count("close")), (1, 1, 2));
    assert_ne!(file.result["gds"]["path"], "direct");
    // A library that cannot be told leaves it open, too.
    let old = replay(&bench, 0, &[DIRECT, ("NO_SET", "1")], &auto).unwrap();
    assert_ne!(old.result["gds"]["path"], "direct");
    let direct = replay(&bench, 0, &[DIRECT], &auto).unwrap();
    assert_eq!(direct.result["gds"]["path"], "direct");
    let none = replay(&bench, 0, &[DIRECT, ("NO_BUFFERS", "1")], &auto).unwrap();
    assert_eq!((&none.result["gds"]["registered"], none.count("buffer")), (&false.into(), 0));
    assert!(none.result["notes"].to_string().contains("could not register all GPU memory"));
}

#[test]
fn without_being_asked_nothing_changes_and_the_result_says_so() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &moves());
    let Some(ran) = replay(&bench, 0, &[DIRECT], &TIERS) else { return };
    assert!(ran.calls.is_empty(), "{:?}", ran.calls);
    assert_eq!((&ran.result["gds"]["path"], &ran.result["gds"]["why"]), (&"off".into(), &"--gds off".into()));
    assert!(ran.stderr.contains("GDS: off (--gds off)"), "{}", ran.stderr);
    let args = ["--tier-0", "dram", "--tier-2", "dir:A"];
    assert_eq!(replay(&bench, 0, &[DIRECT], &args).unwrap().result["gds"], Value::Null);
}

#[test]
fn what_cannot_be_direct_is_refused_before_anything_is_touched() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &moves());
    let with = |more: &[&'static str]| [&TIERS[..], &["--gds", "on"], more].concat();
    let Some(compat) = replay(&bench, 6, &[], &with(&[])) else { return };
    assert!(
        compat.last().contains("does not open for direct") && compat.last().contains("--gds auto"),
        "{}",
        compat.last()
    );
    let old = replay(&bench, 6, &[DIRECT, ("NO_SET", "1")], &with(&[])).unwrap();
    assert!(old.last().contains("CUFILE_ALLOW_COMPAT_MODE=false"), "{}", old.last());
    let no_gpu = ["--tier-0", "dram", "--tier-2", "dir:A", "--gds", "on"];
    assert!(replay(&bench, 6, &[DIRECT], &no_gpu).unwrap().last().contains("no tier is a GPU"));
    for (more, words) in [
        (["--layout", "file"], "stay open"),
        (["--io", "buffered"], "needs O_DIRECT"),
        (["--durability", "dsync"], "no durable writes"),
        (["--engine", "nop"], "does no I/O"),
    ] {
        let ran = replay(&bench, 2, &[DIRECT], &with(&more)).unwrap();
        assert!(ran.last().contains(words), "{more:?}: {}", ran.last());
    }
    assert_eq!(bench.files().iter().filter(|name| !name.ends_with(".log")).collect::<Vec<_>>(), ["t.csv"]);
    let file = replay(&bench, 6, &[DIRECT, ("NO_FILES", "1")], &with(&[])).unwrap();
    assert!(file.last().contains("does not take dir:A") && file.last().contains("5008"), "{}", file.last());
    assert_eq!((file.count("buffer +"), file.count("buffer -"), file.count("close")), (1, 1, 1));
}

#[test]
fn without_the_library_on_is_refused_and_auto_says_why_it_is_off() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &moves());
    let Some(folder) = driver() else { return };
    let run = |gds: &str| {
        let args = [&["replay", "t.csv", "-o", "r.json", "--gds", gds], &TIERS[..]].concat();
        Ended::from(bench.command(&args).env("LD_LIBRARY_PATH", folder).output().expect("kvtrace starts"))
    };
    let on = run("on");
    assert_eq!(on.code, 6, "{}", on.stderr);
    assert!(on.stderr.contains("no cuFile (libcufile.so.0) is here"), "{}", on.stderr);
    assert_eq!((run("auto").code, &bench.json("r.json")["gds"]["path"]), (0, &"off".into()));
    let notes = bench.json("r.json")["notes"].to_string();
    assert!(notes.contains("--gds auto, but cuFile was not used: cuFile does not open: no cuFile"), "{notes}");
}

/// An object that is written to storage, from nowhere, and read back into the GPU.
fn lone() -> [&'static str; 3] {
    ["0 Write 4096 Tier-0 warm Prefill", "0 Write 3000000 Tier-2 first Prefill", "1 Read 3000000 Tier-2 first Decode"]
}

#[test]
fn a_call_that_fails_is_an_error_of_its_row() {
    let rows = lone();
    let args = [&TIERS[..], &["--gds", "on"]].concat();
    for (settings, words, errno) in [
        (vec![("FAIL", "2")], "cuFile: ", 5),
        (vec![("FAIL", "1"), ("FAIL_CODE", "5011")], "CUDA error (cuFile 5011)", 0),
        (vec![("EMPTY", "1")], "nothing was transferred", 0),
    ] {
        let bench = Bench::on_disk();
        trace(&bench, "t.csv", &rows);
        let Some(ran) = replay(&bench, 4, &[&[DIRECT], &settings[..]].concat(), &args) else { return };
        let last = ran.last();
        assert!(last.contains("first in row 3: read of `first`") && last.contains(words), "{settings:?}: {last}");
        assert_eq!((&ran.result["errors"][0]["row"], &ran.result["errors"][0]["errno"]), (&3.into(), &errno.into()));
        assert_eq!((&ran.result["valid"], &ran.result["complete"]), (&false.into(), &false.into()));
        assert_eq!((ran.count("file -"), ran.count("buffer -"), ran.count("close")), (1, 1, 1));
    }
}

#[test]
fn what_comes_short_is_fetched_and_what_is_wrong_is_noticed() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &lone());
    let args = [&TIERS[..], &["--gds", "on", "--verify", "full"]].concat();
    let Some(short) = replay(&bench, 0, &[DIRECT, ("SHORT", "1")], &args) else { return };
    assert_eq!((&short.result["tiers"][2]["facts"]["short_ios"], short.count("read")), (&1.into(), 4));
    assert_eq!(short.result["verify"]["checked_bytes"], 3_000_000);
    let wrong = replay(&bench, 5, &[DIRECT, ("SPOIL", "2")], &args).unwrap();
    assert!(wrong.last().contains("row 3: `first` at byte") && wrong.last().contains("bit_flip"), "{}", wrong.last());
}

#[test]
fn service_is_the_calls_own_time() {
    let bench = Bench::on_disk();
    let mut rows = vec!["0 Write 4096 Tier-0 warm Prefill".to_owned()];
    rows.extend((0..40).map(|i| format!("0 Write 65536 Tier-2 k{i} Prefill")));
    rows.extend((0..40).map(|i| format!("1 Read 65536 Tier-2 k{i} Decode")));
    trace(&bench, "t.csv", &rows);
    let args = [&TIERS[..], &["--gds", "on", "--trials", "2"]].concat();
    let Some(ran) = replay(&bench, 0, &[DIRECT, ("DELAY_US", "20000")], &args) else { return };
    let reads = ran.result["latency"].as_array().unwrap().iter().find(|kind| kind["op"] == "read").unwrap();
    assert!(reads["service"]["min"].as_f64() >= Some(20e6), "{}", reads["service"]["min"]);
    assert_eq!(count(&ran.result["gds"]), (80, 0), "two trials of forty");
    let threads = ran.result["gds"]["threads"].as_u64().unwrap();
    // The rows of the last round are admitted while those before them run.
    let least = ((40_u64.div_ceil(threads) - 1) * 20_000_000) as f64;
    assert!(
        reads["response"]["max"].as_f64() >= Some(least),
        "{} with {threads} calls at once",
        reads["response"]["max"]
    );
}

#[test]
fn doctor_says_whether_cufile_is_there() {
    let bench = Bench::on_disk();
    let Some(ended) = run(&bench, &[], &["doctor"]) else { return };
    let line = ended.stdout.lines().find(|line| line.contains("cuFile")).unwrap_or_default().to_owned();
    assert!(line.contains("libcufile 1.13"), "{line}");
    let without = bench.command(&["doctor"]).output().expect("kvtrace starts");
    let text = String::from_utf8_lossy(&without.stdout).into_owned();
    assert!(text.contains("no cuFile (libcufile.so.0) is here"), "{text}");
}
