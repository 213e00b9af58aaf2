//! Several runs: shards from launchers, their common start, their merged result, and trials.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use kvtrace::error::{Kind, Result};
use kvtrace::measure::BlockResult;
use kvtrace::progress::Silent;
use kvtrace::replay::{Device, ReplayConfig, RunWatch, Target, Unwatched, Verify, replay};
use kvtrace::stop::Stop;
use serde_json::Value;

use crate::support::{Bench, Ended, has_program, is_root, skip};

const SCALE: [&str; 6] = ["--size-scale", "0.001", "--bytes-in-flight", "4MiB", "--tier-2", "dir:D"];

/// Every variable by which a launcher says what it started.
const LAUNCHERS: [&str; 12] = [
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK",
    "PMI_SIZE",
    "PMIX_RANK",
    "SLURM_PROCID",
    "SLURM_NTASKS",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "JOB_COMPLETION_INDEX",
    "KVTRACE_SHARD_COUNT",
];

/// A recorded trace with its requests, small enough to move for real.
fn recorded(bench: &Bench) {
    let load = ["--num-users", "6", "--duration", "8", "--model", "llama3.1-8b"];
    bench
        .ok(&[&["record", "synthetic"][..], &load, &["--gpu-mem-gb", "2", "--cpu-mem-gb", "4", "-o", "t.csv.zst"]]
            .concat());
}

/// Runs `kvtrace ARGS` with only these of the launchers' variables.
fn with(bench: &Bench, env: &[(&str, &str)], args: &[&str]) -> Ended {
    let mut command = bench.command(args);
    for name in LAUNCHERS {
        command.env_remove(name);
    }
    Ended::from(command.envs(env.iter().copied()).output().expect("kvtrace starts"))
}

fn kinds(result: &Value) -> Vec<String> {
    let fields = ["tier", "op", "phase", "ops", "bytes"];
    let kinds = result["latency"].as_array().unwrap().iter();
    kinds.map(|kind| fields.map(|name| kind[name].to_string()).join(" ")).collect()
}

/// What does not depend on when and where: it is the same for a whole replay and for its shards.
fn same_work(whole: &Value, merged: &Value) {
    assert_eq!(kinds(whole), kinds(merged));
    for name in ["ops", "read_bytes", "write_bytes", "moved_bytes"] {
        assert_eq!(whole["totals"][name], merged["totals"][name], "{name}");
    }
    for name in ["sha256", "rows", "cold_keys", "span_s"] {
        assert_eq!(whole["trace"][name], merged["trace"][name], "{name}");
    }
    for tier in 0..3 {
        for name in ["read_bytes", "write_bytes", "backend"] {
            assert_eq!(whole["tiers"][tier][name], merged["tiers"][tier][name], "tier {tier} {name}");
        }
    }
    assert_eq!(whole["verify"]["checked_bytes"], merged["verify"]["checked_bytes"]);
    let offered = |r: &Value| r["totals"]["offered_gb_per_s"].as_f64().unwrap_or(0.0);
    assert!((offered(whole) - offered(merged)).abs() <= offered(whole) * 1e-9);
}

/// Two ranks of mpirun that start so many seconds later, and that moment in unix seconds.
fn two_ranks(bench: &Bench, later: u64) -> (Ended, u64) {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + later;
    let mut mpirun = Command::new("mpirun");
    mpirun.current_dir(bench.path("")).stdin(Stdio::null());
    if is_root() {
        mpirun.arg("--allow-run-as-root");
    }
    mpirun.args(["--oversubscribe", "-n", "2", env!("CARGO_BIN_EXE_kvtrace"), "replay", "t.csv.zst"]);
    mpirun.args(SCALE).args(["--start-at", &at.to_string(), "-o", "r-{rank}.json"]);
    (Ended::from(mpirun.output().expect("mpirun starts")), at)
}

/// Merges; whether shards that ran one after the other are valid together is not what is asked.
fn merge(bench: &Bench, args: &[&str]) {
    let ended = bench.run(args);
    assert!([0, 3].contains(&ended.code), "{}", ended.stderr);
}

#[test]
fn two_ranks_of_mpirun_do_what_one_does() {
    if !has_program("mpirun") {
        return skip("mpirun: not installed (openmpi-bin)");
    }
    let bench = Bench::on_disk();
    recorded(&bench);
    bench.ok(&[&["replay", "t.csv.zst", "-o", "whole.json"][..], &SCALE].concat());
    // A busy machine may need longer to get ready; then it says so.
    let (ended, at) = [6, 40].into_iter().map(|later| two_ranks(&bench, later)).find(|(e, _)| e.code != 3).unwrap();
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("shard 1 of 2, from 0 on, by openmpi (OMPI_COMM_WORLD_RANK"), "{said}");
    let folders: Vec<_> =
        ["D/rank_0", "D/rank_1"].iter().map(|dir| bench.path(dir).join("kvtrace-tier2.slab")).collect();
    assert!(folders.iter().all(|slab| slab.exists()), "each rank has a folder of its own");

    merge(&bench, &["merge", "r-1.json", "r-0.json", "--trace", "t.csv.zst", "-o", "m.json"]);
    let (whole, merged) = (bench.json("whole.json"), bench.json("m.json"));
    same_work(&whole, &merged);
    assert_eq!((&merged["complete"], merged["schema"].as_str()), (&Value::Bool(true), Some("kvtrace.replay/1")));
    assert_eq!(merged["parts"].as_array().unwrap().len(), 2);
    let clock = &merged["clock"];
    assert_eq!(clock["start_at_unix_ns"].as_u64(), Some(at * 1_000_000_000));
    assert!(clock["start_offset_ns"].as_i64().unwrap() >= 0, "never before the moment: {clock}");
    let wall = clock["last_end_unix_ns"].as_u64().unwrap() - clock["first_start_unix_ns"].as_u64().unwrap();
    assert!((merged["totals"]["wall_s"].as_f64().unwrap() - wall as f64 / 1e9).abs() < 1e-9);
    // Storage times are added request by request before their quantiles are taken.
    let sum: u64 = ["r-0.json", "r-1.json"].iter().flat_map(|name| storage_times(&bench.json(name))).sum();
    assert_eq!(merged["requests"]["storage"]["sum"].as_u64(), Some(sum));
    for name in ["storage", "end_to_end", "queue"] {
        assert_eq!(merged["requests"][name]["count"], whole["requests"]["count"], "{name}");
    }
    assert_eq!(merged["requests"]["queue"], whole["requests"]["queue"]);
    assert!(bench.json("r-0.json")["requests"].is_null());
    assert!(merged["tokens"]["generated_per_s"].as_f64() > Some(0.0));
    assert_eq!(merged["tokens"]["read_amplification"], whole["tokens"]["read_amplification"]);
    // Whatever reads a result reads a merged one.
    assert!(bench.ok(&["info", "m.json"]).contains("the result of a replay"));
    bench.ok(&["report", "m.json", "-o", "m.html"]);
    bench.ok(&["plot", "latency", "m.json", "-o", "m.svg"]);
    bench.ok(&["plot", "throughput", "m.json", "-o", "t.svg"]);
    assert!(String::from_utf8(bench.read("m.html")).unwrap().contains("merged from 2 of 2 shards"));
}

fn storage_times(result: &Value) -> Vec<u64> {
    result["request_storage"]["storage_ns"].as_array().unwrap().iter().map(|ns| ns.as_u64().unwrap()).collect()
}

#[test]
fn every_launchers_environment_makes_the_same_shards() {
    let bench = Bench::on_disk();
    recorded(&bench);
    bench.ok(&[&["replay", "t.csv.zst", "--engine", "nop", "-o", "whole.json"][..], &SCALE].concat());
    let whole = bench.json("whole.json");
    let forms: [(&str, &[&str; 2]); 3] = [
        ("pmi", &["PMI_RANK", "PMI_SIZE"]),
        ("slurm", &["SLURM_PROCID", "SLURM_NTASKS"]),
        ("kubernetes", &["JOB_COMPLETION_INDEX", "KVTRACE_SHARD_COUNT"]),
    ];
    for (word, names) in forms {
        for rank in ["0", "1", "2"] {
            let env = [(names[0], rank), (names[1], "3")];
            let args = [&["replay", "t.csv.zst", "--engine", "nop", "-o", "r-{rank}.json"][..], &SCALE].concat();
            let ended = with(&bench, &env, &args);
            assert!(ended.well(), "{}", ended.stderr);
            let shard = &bench.json(&format!("r-{rank}.json"))["shard"];
            assert_eq!((shard["index"].to_string().as_str(), &shard["count"]), (rank, &3.into()));
            assert!(shard["source"].as_str().unwrap().starts_with(word), "{shard}");
        }
        merge(&bench, &["merge", "r-0.json", "r-1.json", "r-2.json", "-o", "m.json"]);
        same_work(&whole, &bench.json("m.json"));
    }
}

#[test]
fn environments_that_contradict_themselves_are_refused_by_name() {
    let bench = Bench::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/golden.csv");
    let golden = golden.to_str().unwrap();
    let plan = |env: &[(&str, &str)], more: &[&str]| {
        let ended = with(&bench, env, &[&["replay", golden, "--plan-only"][..], more].concat());
        (ended.code, ended.stderr)
    };
    let refused = |env: &[(&str, &str)], more: &[&str]| {
        let (code, said) = plan(env, more);
        assert_eq!(code, 2, "{env:?} {more:?}: {said}");
        said
    };
    assert!(refused(&[("OMPI_COMM_WORLD_RANK", "0")], &[]).contains("OMPI_COMM_WORLD_SIZE is not"));
    assert!(refused(&[("JOB_COMPLETION_INDEX", "0")], &[]).contains("KVTRACE_SHARD_COUNT"));
    let two = [("PMI_RANK", "0"), ("PMI_SIZE", "2"), ("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2")];
    let said = refused(&two, &[]);
    assert!(said.contains("PMI_RANK=0 of PMI_SIZE=2 and SLURM_PROCID=1 of SLURM_NTASKS=2"), "{said}");
    assert!(plan(&two, &["--shard", "slurm"]).1.contains("shard 1 of 2"));
    assert_eq!(plan(&two, &["--shard", "0/1"]).0, 0);
    assert!(refused(&[], &["--shard", "2/2"]).contains("numbered from 0"));
    assert!(refused(&[], &["--shard", "0/2", "--trials", "3"]).contains("--trials 3"));
    assert!(refused(&[], &["--cooldown", "1s"]).contains("--cooldown"));
    // Every rank would write the same result.
    let said = refused(&[("PMI_RANK", "0"), ("PMI_SIZE", "2")], &["-o", "r.json"]);
    assert!(said.contains("r-{rank}.json"), "{said}");
    // Evictions are chained to the conversation that caused them, of objects of others.
    let said = refused(&[], &["--shard", "0/2", "--order", "conversation"]);
    assert!(said.contains("--order key"), "{said}");
}

/// A trace of one object, read cold and written again.
fn one_object(bench: &Bench) -> PathBuf {
    let rows = "0,Read,300000,Tier-2,a,Decode\n1,Write,500000,Tier-2,a,Prefill\n2,Read,500000,Tier-2,a,Decode\n";
    bench.write("one.csv", format!("Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n{rows}"))
}

#[test]
fn a_shards_data_is_the_wholes_and_a_rank_without_rows_counts() {
    let bench = Bench::on_disk();
    one_object(&bench);
    bench.ok(&["replay", "one.csv", "--tier-2", "dir:W", "--verify", "full", "-o", "whole.json"]);
    for shard in ["0/2", "1/2"] {
        let output = format!("r{}.json", &shard[..1]);
        bench.ok(&["replay", "one.csv", "--tier-2", "dir:S", "--verify", "full", "--shard", shard, "-o", &output]);
    }
    let owner = (0..2).find(|i| bench.json(&format!("r{i}.json"))["totals"]["ops"] == 3).expect("one has all rows");
    assert_eq!(bench.json(&format!("r{}.json", 1 - owner))["totals"]["ops"], 0);
    let slab = |path: String| fs::read(bench.path(&path)).unwrap()[128 << 10..].to_vec();
    assert!(slab("W/kvtrace-tier2.slab".to_owned()) == slab(format!("S/rank_{owner}/kvtrace-tier2.slab")));
    merge(&bench, &["merge", "r0.json", "r1.json", "-o", "m.json"]);
    same_work(&bench.json("whole.json"), &bench.json("m.json"));
}

#[test]
fn only_shards_of_one_run_are_merged() {
    let bench = Bench::on_disk();
    one_object(&bench);
    let shard = |shard: &str, output: &str, more: &[&str]| {
        let args = ["replay", "one.csv", "--engine", "nop", "--tier-2", "dir:S", "--shard", shard, "-o", output];
        bench.ok(&[&args[..], more].concat());
    };
    shard("0/2", "r0.json", &[]);
    shard("1/2", "r1.json", &[]);
    shard("1/2", "other.json", &["--io-size", "64KiB"]);
    bench.ok(&["replay", "one.csv", "--engine", "nop", "--tier-2", "dir:S", "-o", "whole.json"]);
    let refused = |args: &[&str]| bench.refused(2, &[&["merge", "-o", "m.json"][..], args].concat());
    assert!(refused(&["r0.json"]).contains("shard 1 of 2 missing"));
    assert!(refused(&["r0.json", "r0.json"]).contains("twice"));
    assert!(refused(&["r0.json", "other.json"]).contains("--io-size"));
    assert!(refused(&["whole.json"]).contains("not a shard"));
    assert!(refused(&["one.csv"]).contains("one.csv"));
    assert!(bench.refused(2, &["merge", "r0.json", "r1.json"]).contains("-o"));
    assert!(!bench.path("m.json").exists());
    merge(&bench, &["merge", "r1.json", "--partial", "-o", "p.json"]);
    let partial = bench.json("p.json");
    assert_eq!((&partial["valid"], &partial["complete"]), (&false.into(), &false.into()));
    merge(&bench, &["merge", "p.json", "r0.json", "-o", "m.json"]);
    assert_eq!(bench.json("m.json")["complete"], true);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/golden.csv");
    assert!(refused(&["r0.json", "r1.json", "--trace", golden.to_str().unwrap()]).contains("sha256"));
}

#[test]
fn trials_start_from_the_same_state_and_say_how_much_they_differ() {
    let bench = Bench::on_disk();
    one_object(&bench);
    let run = ["replay", "one.csv", "--tier-1", "dram", "--tier-2", "dir:D", "--verify", "full"];
    bench.ok(&[&run[..], &["--trials", "3", "--cooldown", "10ms", "-o", "t.json"]].concat());
    let result = bench.json("t.json");
    let trials = result["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 3);
    assert!(trials.iter().all(|trial| trial["totals"]["ops"] == 3 && trial["valid"] == true));
    assert_eq!((&result["totals"]["ops"], &result["totals"]["read_bytes"]), (&9.into(), &2_400_000.into()));
    assert_eq!(
        (&result["verify"]["failure_count"], &result["verify"]["checked_bytes"]),
        (&0.into(), &2_400_000.into())
    );
    let wall: f64 = trials.iter().map(|trial| trial["totals"]["wall_s"].as_f64().unwrap()).sum();
    assert!((result["totals"]["wall_s"].as_f64().unwrap() - wall).abs() < 1e-9);
    let statistics = result["statistics"].as_array().unwrap();
    let of =
        |name: &str| statistics.iter().find(|s| s["metric"] == name).unwrap_or_else(|| panic!("{name} is missing"));
    for name in [
        "wall",
        "storage_read",
        "storage_write",
        "cpu",
        "tier2.read.decode.response.p99",
        "tier2.write.prefill.service.p50",
    ] {
        let s = of(name);
        let bounds = ["ci95_low", "mean", "ci95_high"].map(|field| s[field].as_f64().unwrap());
        assert!(bounds[0] <= bounds[1] && bounds[1] <= bounds[2] && s["values"].as_array().unwrap().len() == 3, "{s}");
    }
    let gaps = trials.windows(2).map(|pair| {
        pair[1]["clock"]["started_unix_ns"].as_u64().unwrap() - pair[0]["clock"]["last_end_unix_ns"].as_u64().unwrap()
    });
    assert!(gaps.into_iter().all(|gap| gap >= 10_000_000), "the cooldown is kept");
    bench.ok(&["report", "t.json", "-o", "t.html"]);
    bench.ok(&["plot", "throughput", "t.json", "-o", "t.svg"]);
    let ended = bench.run(&[&run[..], &["--trials", "2", "-o", "u.json"]].concat());
    assert!(ended.stderr.contains("over 2 trials") && ended.stderr.contains(" ± "), "{}", ended.stderr);
    bench.ok(&[&run[..], &["-o", "one.json"]].concat());
    assert_eq!(bench.json("one.json")["trials"], Value::Array(Vec::new()));
}

/// Asks to stop when a trial begins or ends.
struct Stopper<'a> {
    stop: &'a Stop,
    begun: u32,
    ended: u32,
    stop_at_begin: u32,
    stop_at_end: u32,
}

impl RunWatch for Stopper<'_> {
    fn begin(&mut self, _devices: &[Device], _pid: u32) -> Result<()> {
        self.begun += 1;
        if self.begun == self.stop_at_begin {
            self.stop.request();
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Option<BlockResult>> {
        self.ended += 1;
        if self.ended == self.stop_at_end {
            self.stop.request();
        }
        Ok(None)
    }
}

#[test]
fn interrupted_trials_keep_the_whole_ones() {
    let bench = Bench::on_disk();
    let mut config = ReplayConfig::new(one_object(&bench));
    config.targets[2] = Target::Dir(bench.path("D"));
    (config.verify, config.trials) = (Verify::Full, 5);
    for (stop_at_begin, stop_at_end) in [(3, 0), (0, 2)] {
        let stop = Stop::new();
        let mut watch = Stopper { stop: &stop, begun: 0, ended: 0, stop_at_begin, stop_at_end };
        let replayed = replay(&config, &mut watch, &stop, &Silent).unwrap();
        let (result, failure) = (replayed.result, replayed.failure.unwrap());
        assert_eq!((result.runs.trials.len(), result.totals.ops, result.complete), (2, 6, false));
        assert!(result.valid && result.notes[0].contains("2 of 5 trials"), "{:?}", result.notes);
        assert!(failure.kind() == Kind::Interrupted && failure.to_string().contains("2 of 5 trials"), "{failure}");
    }
    // An interruption of the first leaves what a single run leaves.
    let stop = Stop::new();
    let mut watch = Stopper { stop: &stop, begun: 0, ended: 0, stop_at_begin: 1, stop_at_end: 0 };
    let replayed = replay(&config, &mut watch, &stop, &Silent).unwrap();
    assert!(!replayed.result.complete && replayed.result.runs.trials.is_empty());
    // The slab was left in order.
    let again = replay(&ReplayConfig { trials: 1, ..config }, &mut Unwatched, &Stop::new(), &Silent).unwrap();
    assert!(again.failure.is_none() && !again.result.notes.iter().any(|note| note.contains("did not end")));
}

#[test]
fn a_start_is_waited_for_and_never_missed_silently() {
    let bench = Bench::on_disk();
    one_object(&bench);
    let run = |at: &str| bench.run(&["replay", "one.csv", "--tier-2", "dir:D", "--start-at", at, "-o", "r.json"]);
    let ended = run("2020-01-01T00:00:00Z");
    assert!(ended.code == 2 && ended.stderr.contains("ago"), "{}", ended.stderr);
    assert!(!bench.path("D").exists(), "nothing was prepared for a moment that is past");
    assert!(run("tomorrow").stderr.contains("2026-11-22T10:00:00Z"));

    let began = Instant::now();
    let ended = run("+4s");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(began.elapsed() >= Duration::from_secs(4));
    let clock = bench.json("r.json")["clock"].clone();
    let offset = clock["start_offset_ns"].as_i64().unwrap();
    assert!(offset >= 0 && ended.stderr.contains("the moment of --start-at"), "{offset} {}", ended.stderr);
    let at = |name: &str| clock[name].as_u64().unwrap();
    assert_eq!(at("started_unix_ns"), at("start_at_unix_ns") + offset as u64);

    // Preparing takes longer than the moment is away: that is said, and what was prepared stays.
    let big = "0,Write,200000000,Tier-2,b,Prefill\n1,Read,200000000,Tier-2,b,Decode\n";
    bench.write("big.csv", format!("Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n{big}"));
    let late = (0..5).any(|_| {
        let args =
            ["replay", "big.csv", "--tier-2", "dir:B", "--prepare", "always", "--start-at", "+40ms", "-o", "l.json"];
        let ended = bench.run(&args);
        assert!([0, 2, 3].contains(&ended.code), "{}", ended.stderr);
        ended.code == 3 && ended.stderr.contains("too late to start")
    });
    assert!(late, "200 MB are not prepared in 40 ms");
}

#[test]
fn a_wait_for_the_start_can_be_interrupted() {
    let bench = Bench::on_disk();
    one_object(&bench);
    let args = ["replay", "one.csv", "--tier-2", "dir:D", "--start-at", "+10m", "-o", "r.json"];
    let mut child = bench.command(&args).stderr(Stdio::piped()).spawn().unwrap();
    let slab = bench.path("D/kvtrace-tier2.slab");
    let deadline = Instant::now() + Duration::from_secs(20);
    // Only the header is text.
    let header = || {
        let data = fs::read(&slab).unwrap_or_default();
        String::from_utf8_lossy(&data[..data.len().min(4096)]).into_owned()
    };
    while !header().contains("\"prepared\":true") && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.id() as i32).unwrap(),
        rustix::process::Signal::INT,
    )
    .unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(130));
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert!(header().contains("\"dirty_run\":null"), "{}", header().trim_end());
    assert!(!bench.path("r.json").exists());
}
