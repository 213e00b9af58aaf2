//! What takes time: tiers, networks and links, and a modelled GPU.

use serde_json::Value;

use super::ledger::{requests, rows};
use crate::support::Bench;

/// A ShareGPT file of conversations of one turn: so many characters asked, so many answered.
fn conversations(turns: &[(usize, usize)]) -> String {
    let conversation = |(i, (asked, answered)): (usize, &(usize, usize))| {
        let turn = |who: &str, length: usize| format!(r#"{{"from":"{who}","value":"{}"}}"#, "x".repeat(length));
        format!(r#"{{"id":"c{i}","conversations":[{},{}]}}"#, turn("human", *asked), turn("gpt", *answered))
    };
    format!("[{}]", turns.iter().enumerate().map(conversation).collect::<Vec<_>>().join(","))
}

/// Records `in.json` into `t.csv` and hands out the statistics.
fn record(bench: &Bench, flags: &str) -> Value {
    let fixed = "record sharegpt in.json --tokenizer chars4 --disable-prefix-caching --json -o t.csv";
    let args: Vec<&str> = fixed.split(' ').chain(flags.split_whitespace()).collect();
    bench.ok_json(&args)
}

#[test]
fn a_single_stream_on_an_h100_is_bound_by_the_weights() {
    let bench = Bench::new();
    bench.write("in.json", conversations(&[(400, 4000)]));
    let stats = record(&bench, "--gpu-model h100 --tier-timing none --model llama3.1-8b");
    let request = &requests(&bench.path("t.csv"))[0];
    // 16.06 GB at 3.35 TB/s, 0.1 ms beside it, and 100 to 1,100 tokens of context.
    let ms_per_token = request.generation_ns as f64 / 1e6 / f64::from(request.generate_tokens);
    assert!((4.89..4.93).contains(&ms_per_token), "{ms_per_token}");
    let gpu = &stats["gpu"];
    assert_eq!((&gpu["name"], &gpu["max_batch"]), (&Value::from("h100"), &Value::from(1)));
    assert_eq!((&gpu["prefill_tokens"], &gpu["decode_tokens"]), (&Value::from(100), &Value::from(1000)));
    // A short prompt takes one reading of the weights.
    assert_eq!(gpu["prefill_s"], 0.004_894_186);
    assert_eq!(request.arrival_ns, 0);
    assert!((gpu["busy_share"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{gpu}");
    assert_eq!(bench.json("t.csv.meta.json")["time_model"], "tiers none, gpu h100, pcie 63 GB/s");
    let targets = ["--tier-0", "model:64GB/s+10us", "--tier-1", "skip", "--tier-2", "skip"];
    bench.ok(&[&["replay", "t.csv", "--pace", "trace", "--plan-only"], &targets[..]].concat());
}

#[test]
fn a_measured_engine_is_described_in_a_file() {
    let bench = Bench::new();
    bench.write("in.json", conversations(&[(400, 40), (400, 80)]));
    bench.write(
        "mine.toml",
        "name = \"mine\"\nprefill_tokens_per_s = 10000\ndecode_step_us = 900\ndecode_us_per_request = 100\n\
         decode_ns_per_context_token = 0\nmax_num_seqs = 2\n",
    );
    let stats = record(&bench, "--gpu-model mine.toml --tier-timing none --model bytes:1000 --live-conversations 0");
    // Prompts of 100 tokens take 10 ms in turn, the first waiting for the second; then ten steps
    // of two take 11 ms and ten of one 10 ms.
    let ended: Vec<i64> = requests(&bench.path("t.csv")).iter().map(|row| row.generation_ns).collect();
    assert_eq!(ended, [10_000_000 + 11_000_000, 11_000_000 + 10_000_000]);
    let gpu = &stats["gpu"];
    assert_eq!((&gpu["prefill_s"], &gpu["decode_s"]), (&Value::from(0.02), &Value::from(0.021)));
    assert_eq!((&gpu["max_batch"], &gpu["mean_batch"]), (&Value::from(2), &Value::from(1.5)));
    assert_eq!(gpu["sha256"].as_str().map(str::len), Some(64));
    let meta = bench.json("t.csv.meta.json");
    assert_eq!((&meta["flags"]["workers"], &meta["flags"]["gpu-model"]), (&Value::from(2), &Value::from("mine.toml")));
    assert_eq!(meta["flags"]["generation-mode"], Value::Null);
    let lines = bench.run(&["record", "sharegpt", "in.json", "--gpu-model", "mine.toml", "-o", "u.csv"]).stderr;
    assert!(lines.contains("mine: "), "{lines}");
}

#[test]
fn the_same_gpu_gives_the_same_bytes_and_longer_runs_begin_alike() {
    let bench = Bench::new();
    let flags = "record synthetic --num-users 40 --gpu-mem-gb 4 --cpu-mem-gb 4 --storage-capacity-gb 40 \
                 --gpu-model h100 --max-num-seqs 16 --tier-timing nvme-gen4,2=nvme-gen4@25gbe";
    let record = |more: &[&str]| bench.ok(&flags.split_whitespace().chain(more.iter().copied()).collect::<Vec<_>>());
    record(&["--max-requests", "800", "-o", "a.csv"]);
    record(&["--max-requests", "800", "-o", "b.csv", "--quiet"]);
    assert_eq!(bench.read("a.csv"), bench.read("b.csv"));
    assert_eq!(bench.read("a.requests.parquet"), bench.read("b.requests.parquet"));
    record(&["--max-requests", "1000", "-o", "more.csv"]);
    let left_out = requests(&bench.path("more.csv")).into_iter().find(|row| row.request == 800);
    let until_s = left_out.expect("1000 requests").arrival_ns as f64 / 1e9;
    let early = |name| rows(&bench.path(name)).into_iter().filter(|row| row.at_s < until_s).collect::<Vec<_>>();
    let (few, more) = (early("a.csv"), early("more.csv"));
    assert!(few.len() > 200, "only {} rows before {until_s} s", few.len());
    assert_eq!(few, more);
    let all = rows(&bench.path("more.csv"));
    assert!(all.is_sorted_by(|a, b| a.at_s <= b.at_s), "a stamp goes back");
}

#[test]
fn a_faster_gpu_ends_sooner_and_more_load_takes_longer() {
    let bench = Bench::new();
    bench.write("in.json", conversations(&[(4_000, 1_000); 24]));
    let mean = |flags: &str| {
        record(&bench, flags);
        let requests = requests(&bench.path("t.csv"));
        requests.iter().map(|row| row.generation_ns as f64).sum::<f64>() / requests.len() as f64
    };
    let (slow, fast) = (mean("--gpu-model a100"), mean("--gpu-model h200"));
    assert!(slow > 1.5 * fast, "{slow} {fast}");
    let (alone, together) = (mean("--gpu-model h100 --workers 1"), mean("--gpu-model h100 --workers 24"));
    assert!(together > 1.05 * alone, "{together} {alone}");
    assert_eq!(mean("--gpu-model none --tier-timing none"), 0.0);
}

#[test]
fn a_slow_link_holds_loads_up() {
    let bench = Bench::new();
    bench.write("in.json", conversations(&[(4_000, 4); 4]));
    let span = |flags: &str| record(&bench, flags)["span_s"].as_f64().expect("seconds");
    // 1,000 tokens of 131,072 bytes go to host memory and back, one worker's after another's.
    let base = "--gpu-mem-gb 0 --gpu-model none --tier-timing none --workers 1 --model llama3.1-8b";
    assert_eq!(span(base), 0.0);
    let slow = span(&format!("{base} --pcie 1GB/s"));
    // A write and two reads (one, and a rescan) each.
    let expected_s = 4.0 * 3.0 * 0.131_072;
    assert!((slow - expected_s).abs() < 1e-9, "{slow}");
    assert_eq!(bench.json("t.csv.meta.json")["time_model"], "tiers none, gpu none, pcie 1 GB/s");
    assert_eq!(span(&format!("{base} --pcie none")), 0.0);
    assert_eq!(bench.json("t.csv.meta.json")["time_model"], Value::Null);
}

#[test]
fn flags_of_time_that_make_no_sense_are_named() {
    let bench = Bench::new();
    bench.write("odd.toml", "flops = 1e15\nhbm_gbps = 3000\n");
    for (flags, named) in [
        ("--gpu-model h100 --generation-mode fast", vec!["--generation-mode", "h100"]),
        ("--gpu-model none --generation-mode fast", vec!["--generation-mode", "none"]),
        ("--max-num-seqs 4 --workers 5", vec!["--max-num-seqs 4", "--workers 5"]),
        ("--max-num-seqs 0", vec!["--max-num-seqs 0"]),
        ("--pcie fast", vec!["--pcie", "63GB/s"]),
        ("--gpu-model h100 --model bytes:1000", vec!["bytes:1000", "prefill_tokens_per_s"]),
        ("--gpu-model h100 --model llama3.1-70b-instruct", vec!["141.1 GB", "--tensor-parallel"]),
        ("--gpu-model h100 --gpu-mem-gb 70", vec!["--gpu-mem-gb 70", "59.5"]),
    ] {
        let args: Vec<&str> = "record synthetic -o t.csv".split(' ').chain(flags.split(' ')).collect();
        let line = bench.refused(2, &args);
        assert!(named.iter().all(|word| line.contains(word)), "{flags}: {line}");
    }
    for (flags, named) in [
        ("--gpu-model b100", "h100"),
        ("--gpu-model odd.toml", "hbm_gb_per_s"),
        ("--gpu-model absent.toml", "absent.toml"),
        ("--tier-timing 2=nvme-gen6", "nvme-gen5"),
        ("--tier-timing 2=nfs@50gbe", "100gbe"),
    ] {
        let args: Vec<&str> = "record synthetic -o t.csv".split(' ').chain(flags.split(' ')).collect();
        let ended = bench.run(&args);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(named), "{flags}: {}", ended.stderr);
    }
    assert_eq!(bench.files(), ["odd.toml"]);
}
