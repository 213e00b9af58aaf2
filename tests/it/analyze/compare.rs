//! `kvtrace analyze compare`: groups of results.

use crate::samples;
use crate::support::Bench;

/// Replays that took about so long at P99, one file each.
fn group(bench: &Bench, name: &str, medians: &[f64]) -> Vec<String> {
    let write = |(place, median): (usize, &f64)| {
        let mut replay = samples::replay(None);
        "asap".clone_into(&mut replay.timing.pacing);
        replay.config.insert("pace".to_owned(), "asap".into());
        for latency in &mut replay.latency {
            latency.response = samples::times("response", None, *median * 1.7, 2_000);
            latency.service = samples::times("service", None, *median, 2_000);
        }
        let file = format!("{name}{place}.json");
        bench.write(&file, samples::json(&replay));
        file
    };
    medians.iter().enumerate().map(write).collect()
}

fn args<'a>(base: &'a [String], new: &'a [String]) -> Vec<&'a str> {
    let mut args = vec!["analyze", "compare", "--base"];
    args.extend(base.iter().map(String::as_str));
    args.push("--new");
    args.extend(new.iter().map(String::as_str));
    args
}

const SLOW: [f64; 5] = [2.4e6, 2.5e6, 2.45e6, 2.6e6, 2.3e6];
const FAST: [f64; 5] = [1.6e6, 1.7e6, 1.65e6, 1.75e6, 1.5e6];

#[test]
fn a_faster_group_is_better_and_the_same_twice_is_no_difference() {
    let bench = Bench::new();
    let (slow, fast) = (group(&bench, "slow", &SLOW), group(&bench, "fast", &FAST));
    let of = |base: &[String], new: &[String]| bench.ok_json(&[&args(base, new)[..], &["--json"]].concat());
    let comparison = of(&slow, &fast);
    assert_eq!((&comparison["schema"], &comparison["kind"]), (&"kvtrace.analysis/1".into(), &"compare".into()));
    let find = |metric: &str| {
        comparison["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["metric"] == metric)
            .unwrap_or_else(|| panic!("{metric}"))
    };
    let p50 = find("tier2.read.decode.service.p50");
    assert_eq!((&p50["verdict"], &p50["better"]), (&"better".into(), &"lower".into()));
    let change = |end: &str| p50["change"][end].as_f64().unwrap();
    assert!(change("low") < change("value") && change("value") < change("high") && change("high") < -0.2, "{p50}");
    assert_eq!(p50["base"]["values"].as_array().unwrap().len(), 5);
    assert_eq!(find("wall")["verdict"], "no_difference");
    assert_eq!(comparison, of(&slow, &fast), "intervals repeat");
    let same = of(&slow, &slow);
    assert!(same["metrics"].as_array().unwrap().iter().all(|m| m["verdict"] == "no_difference"), "{same}");
    let back = bench.ok(&args(&fast, &slow));
    assert!(back.contains("WORSE") && back.lines().all(|line| line.chars().count() <= 130), "{back}");
}

#[test]
fn few_runs_say_so_and_trials_in_one_file_count() {
    let bench = Bench::new();
    let (slow, fast) = (group(&bench, "slow", &SLOW[..3]), group(&bench, "fast", &FAST[..3]));
    assert!(bench.ok(&args(&slow, &fast)).contains("too few runs"));
    let pair = bench.ok(&["analyze", "compare", &slow[0], &fast[0]]);
    assert!(pair.contains("too few runs") && pair.contains("-32.") && !pair.contains("better"), "{pair}");
    // Five trials in one result.
    for (name, medians) in [("a.json", SLOW), ("b.json", FAST)] {
        let of = |median: f64| {
            let mut replay = samples::replay(None);
            replay.config.insert("pace".to_owned(), "asap".into());
            "asap".clone_into(&mut replay.timing.pacing);
            replay.latency.truncate(3);
            replay.latency.iter_mut().for_each(|l| l.service = samples::times("service", None, median, 2_000));
            replay
        };
        let trials = kvtrace::measure::trials::in_turn(medians.map(of).into());
        bench.write(name, samples::json(&trials));
    }
    let trials = bench.ok_json(&["analyze", "compare", "a.json", "b.json", "--json"]);
    let of = |m: &&serde_json::Value| m["metric"] == "tier2.read.decode.service.p95";
    let p95 = trials["metrics"].as_array().unwrap().iter().find(of).unwrap();
    assert_eq!((&p95["verdict"], p95["base"]["values"].as_array().unwrap().len()), (&"better".into(), 5));
}

#[test]
fn another_load_is_not_ranked_and_named() {
    let bench = Bench::new();
    let slow = group(&bench, "slow", &SLOW);
    let mut fast = group(&bench, "fast", &FAST);
    let mut other = samples::replay(None);
    other.trace.sha256 = "cd".repeat(32);
    other.config.insert("pace".to_owned(), "asap".into());
    bench.write("other.json", samples::json(&other));
    fast.push("other.json".to_owned());
    let ended = bench.run(&args(&slow, &fast));
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stdout.contains("NOT RANKED: trace sha256 is abab") && ended.stdout.contains("other.json"));
    assert!(!ended.stdout.contains("better") && ended.stderr.contains("same load"), "{}", ended.stdout);
    let mut invalid = samples::replay(None);
    (invalid.valid, invalid.invalid_reasons) = (false, vec!["late".to_owned()]);
    bench.write("invalid.json", samples::json(&invalid));
    let refused = bench.refused(1, &["analyze", "compare", "invalid.json", "invalid.json"]);
    assert!(refused.contains("it is not valid: late"), "{refused}");
    bench.ok(&["analyze", "compare", "invalid.json", "invalid.json", "--accept-doubtful"]);
}

#[test]
fn captures_recordings_and_analyses_are_compared_too() {
    let bench = Bench::new();
    bench.write("b.json", samples::json(&samples::kv_block()));
    let text = bench.ok(&["analyze", "compare", "b.json", "b.json"]);
    assert!(text.contains("read.d2c.p99") && text.contains("too few runs"), "{text}");
    let sizes = [(4096, 4_000)];
    let load = |op| samples::Load { op, sizes: &sizes, depths: &[(1, 100)] };
    bench.write("small.json", samples::json(&samples::block(&[load("read"), load("write")])));
    let refused = bench.refused(1, &["analyze", "compare", "b.json", "small.json"]);
    assert!(refused.contains("mean size of reads"), "{refused}");
    for (name, size) in [("small.csv.zst", "1"), ("large.csv.zst", "4")] {
        let flags = ["--num-users", "4", "--duration", "3s", "--gpu-mem-gb", "1", "--cpu-mem-gb", size];
        bench.ok(&[&["record", "synthetic", "-o", name], &flags[..]].concat());
    }
    let text = bench.ok(&["analyze", "compare", "small.csv.zst", "large.csv.zst"]);
    assert!(text.contains("differs: cpu-mem-gb: 1.0 -> 4.0") && text.contains("demotions"), "{text}");
    let refused = bench.refused(2, &["analyze", "compare", "small.csv.zst", "b.json"]);
    assert!(refused.contains("of one kind"), "{refused}");
    bench.write("c.json", r#"{"schema": "kvtrace.analysis/1", "kind": "hits", "inputs": [{"sha256": "x"}], "definitions": [{"name": "token.prefix", "ratio": 0.5}]}"#);
    bench.write("d.json", r#"{"schema": "kvtrace.analysis/1", "kind": "hits", "inputs": [{"sha256": "x"}], "definitions": [{"name": "token.prefix", "ratio": 0.6}]}"#);
    let text = bench.ok(&["analyze", "compare", "c.json", "d.json"]);
    assert!(text.contains("better") && text.contains("+20.0 %"), "{text}");
    assert!(bench.refused(2, &["analyze", "compare", "c.json"]).contains("compared with nothing"));
}

#[test]
fn recordings_and_analyses_of_another_load_are_not_ranked() {
    let bench = Bench::new();
    let requests: String = (0..40)
        .map(|n| {
            format!(
                "{{\"timestamp\": {}, \"input_length\": 1024, \"output_length\": 4, \"hash_ids\": [{}, {}]}}\n",
                n * 100,
                n % 7,
                n % 11 + 20
            )
        })
        .collect();
    bench.write("r.jsonl", requests);
    let record = |name: &str, flags: &[&str]| {
        bench.ok(&[&["record", "requests", "r.jsonl", "-o", name], flags].concat());
    };
    record("plain.parquet", &[]);
    for (name, flags, said) in [
        ("faster.parquet", ["--trace-speedup", "2"], "trace-speedup is 1.0 in"),
        ("small.parquet", ["--kv-dtype", "fp8"], "bytes per token is"),
    ] {
        record(name, &flags);
        let ended = bench.run(&["analyze", "compare", "plain.parquet", name]);
        assert_eq!(ended.code, 1, "{}", ended.stdout);
        assert!(ended.stdout.contains("NOT RANKED") && ended.stdout.contains(said), "{}", ended.stdout);
    }
    let hits = |name: &str, flags: &[&str]| {
        bench.ok(&[&["analyze", "hits", "r.jsonl", "-o", name], flags].concat());
    };
    hits("a.json", &["--capacity", "5"]);
    bench.ok(&["analyze", "compare", "a.json", "a.json"]);
    for (name, flags, said) in [
        ("b.json", ["--capacity", "5", "--warmup", "10"], "warmup_requests is 0 in a.json and 10 in b.json"),
        ("c.json", ["--capacity", "6", "--warmup", "0"], "capacity of the caches is 5 blocks in a.json and 6 blocks"),
        ("d.json", ["--capacity", "5", "--policy", "fifo"], "policy of the caches is lru in a.json and fifo in d.json"),
    ] {
        hits(name, &flags);
        let ended = bench.run(&["analyze", "compare", "a.json", name]);
        assert_eq!(ended.code, 1, "{}", ended.stdout);
        assert!(ended.stdout.contains(said) && !ended.stdout.contains("no difference"), "{}", ended.stdout);
    }
    let ended = bench.run(&["analyze", "compare", "a.json", "c.json"]);
    assert!(ended.stdout.contains("metrics in one group only: definitions["), "{}", ended.stdout);
}
