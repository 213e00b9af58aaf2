//! `kvtrace analyze plan`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{Bench, data};

/// Conversations that grow behind a shared prompt, some at a time, over three hours.
pub fn requests() -> String {
    let (mut state, mut fresh, mut text) = (7u64, 1u64, String::new());
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut conversations: Vec<Vec<u64>> = vec![Vec::new(); 20];
    for number in 0..500u64 {
        let ids = &mut conversations[draw(20) as usize];
        if ids.is_empty() || ids.len() > 24 {
            *ids = vec![0];
        }
        for _ in 0..=draw(3) {
            ids.push(fresh);
            fresh += 1;
        }
        let (stamp, tokens) = (number * 21_600, ids.len() * 512 - 100);
        let line =
            format!("\"timestamp\": {stamp}, \"input_length\": {tokens}, \"output_length\": 9, \"hash_ids\": {ids:?}");
        let _ = writeln!(text, "{{{line}}}");
    }
    text
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("load.jsonl", requests());
    bench
}

const RATES: [&str; 6] =
    ["--tier-timing", "nvme-gen4", "--prefill-tokens-per-s", "5000", "--price", "dram=4,nvme=80,gpu-hour=2.5"];

fn planned(bench: &Bench, args: &[&str]) -> Value {
    bench.ok_json(&[&["analyze", "plan", "load.jsonl", "--model", "llama3.1-8b", "--json"], args].concat())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_smallest_sum_that_hits_enough_is_where_the_curve_says() {
    let bench = bench();
    let plan = planned(&bench, &["--target-hit", "0.4"]);
    let chosen = &plan["chosen"];
    let total = number(&chosen["dram_blocks"]) + number(&chosen["nvme_blocks"]);
    let curve = bench.ok_json(&["analyze", "curve", "load.jsonl", "--points", "100000", "--json"]);
    let points = curve["policies"][0]["points"].as_array().unwrap();
    let first = points.iter().find(|point| number(&point["hit_ratio"]) >= 0.4).unwrap();
    assert_eq!(total, number(&first["capacity"]));
    assert_eq!(chosen["hit_ratio"], first["hit_ratio"]);
    // Every point of the plan's own curve is one of the curve's.
    for own in plan["curve"].as_array().unwrap().iter().filter(|own| own["capacity"] != 0) {
        let same = points.iter().find(|point| point["capacity"] == own["capacity"]);
        assert_eq!(same.unwrap()["hits"], own["prefix_blocks"]);
    }
}

#[test]
fn a_point_is_what_two_simulated_tiers_do() {
    let bench = bench();
    for (writes, admit) in [("exclusive", "1"), ("through", "1"), ("through", "2")] {
        let tiers = ["--dram", "60", "--writes", writes, "--admit", admit];
        let plan = planned(&bench, &[&tiers[..], &["--nvme", "150"]].concat());
        let flags = ["analyze", "endurance", "load.jsonl", "--model", "llama3.1-8b", "--json", "--capacity", "150"];
        let simulated = bench.ok_json(&[&flags[..], &tiers].concat());
        let simulated = simulated["rows"].as_array().unwrap().iter().find(|row| row["capacity"] == 150).unwrap();
        for figure in ["hit_ratio", "host_writes_blocks", "host_writes_per_day_bytes"] {
            assert_eq!(plan["chosen"][figure], simulated[figure], "{figure} of {writes}, {admit}");
        }
    }
}

#[test]
fn targets_are_met_and_the_command_gives_the_point_again() {
    let bench = bench();
    let flags = ["--tbw", "14PB", "--drive-capacity", "7.68TB", "--rate-scale", "2"];
    for target in [["--target-ttft", "1500ms@p95"], ["--target-hit", "0.5"], ["--target-ttft", "600ms@mean"]] {
        let plan = planned(&bench, &[&target[..], &RATES, &flags].concat());
        if target[1].ends_with("p95") {
            assert!(number(&plan["chosen"]["ttft"]["p95_s"]) <= 1.5);
        }
        let cost = |point: &Value| number(&point["cost_per_million"]["total"]);
        let candidates = plan["candidates"].as_array().unwrap();
        assert!(candidates.iter().all(|point| cost(point) >= cost(&plan["chosen"])));
        let command: Vec<&str> = plan["command"].as_str().unwrap().split(' ').skip(1).collect();
        let again = bench.ok_json(&[&command[..], &["--json"]].concat());
        assert_eq!((&again["chosen"], &again["command"]), (&plan["chosen"], &plan["command"]));
    }
    let lasting =
        planned(&bench, &[&["--target-hit", "0.5", "--target-years", "5", "--writes", "through"], &flags[..]].concat());
    assert!(lasting["chosen"]["years"].is_null() || number(&lasting["chosen"]["years"]) >= 5.0);
}

#[test]
fn break_even_is_where_loading_and_computing_take_as_long() {
    let bench = bench();
    let plan =
        planned(&bench, &[&["--dram", "10", "--nvme", "0", "--tier-timing", "2=100MB/s+1ms"], &RATES[2..]].concat());
    let nvme = &plan["break_even"][1];
    // 131072 bytes a token, 5000 tokens a second.
    assert_eq!(number(&nvme["bandwidth_bytes_per_s"]), 131_072.0 * 5000.0);
    assert!(nvme["from_tokens"].is_null(), "100 MB/s never pays: {nvme}");
    let table = bench.ok(&[
        &["analyze", "plan", "load.jsonl", "--model", "llama3.1-8b", "--dram", "10", "--nvme", "0"],
        &RATES[2..4],
        &["--tier-timing", "2=100MB/s+1ms"],
    ]
    .concat());
    assert!(table.contains("NEVER worth it"), "{table}");
}

#[test]
fn a_block_pays_for_drives_over_the_life_that_its_cost_has() {
    let bench = bench();
    let point = |rating: &[&str]| {
        let drives = ["--dram", "10", "--nvme", "100", "--drive-capacity", "1TB"];
        planned(&bench, &[&drives[..], rating, &RATES].concat())
    };
    let (long, short) = (point(&[]), point(&["--tbw", "10TB"]));
    let years = number(&short["chosen"]["years"]);
    assert!(years < 5.0 && long["chosen"]["years"].is_null());
    let keeping = |plan: &Value| number(&plan["break_even"][1]["worth_keeping_s"]);
    assert!((keeping(&short) / keeping(&long) - years / 5.0).abs() < 1e-9);
}

#[test]
fn a_choice_without_nvme_is_found_to_the_block() {
    let bench = bench();
    let drives = ["--target-hit", "0.5", "--target-years", "1e9", "--tbw", "1PB", "--drive-capacity", "1TB"];
    let plan = planned(&bench, &drives);
    let curve = bench.ok_json(&["analyze", "curve", "load.jsonl", "--points", "100000", "--json"]);
    let points = curve["policies"][0]["points"].as_array().unwrap();
    let first = points.iter().find(|point| number(&point["hit_ratio"]) >= 0.5).unwrap();
    assert_eq!((&plan["chosen"]["dram_blocks"], &plan["chosen"]["nvme_blocks"]), (&first["capacity"], &0.into()));
    assert_eq!((&plan["search"]["least"], &plan["search"]["exact"]), (&"sum".into(), &true.into()));
    let filtered = bench.ok(&[
        "analyze",
        "plan",
        "load.jsonl",
        "--model",
        "llama3.1-8b",
        "--target-hit",
        "0.3",
        "--writes",
        "through",
        "--admit",
        "2",
    ]);
    assert!(filtered.contains("was looked for on a grid of"), "{filtered}");
}

#[test]
fn what_cannot_be_planned_says_why() {
    let bench = bench();
    let refused = |code, args: &[&str]| {
        bench.refused(code, &[&["analyze", "plan", "load.jsonl", "--model", "llama3.1-8b"], args].concat())
    };
    let ceiling = refused(1, &["--target-hit", "0.99"]);
    assert!(ceiling.contains("one without end has 0.") && ceiling.contains("token_block.prefix"), "{ceiling}");
    assert!(refused(1, &[&["--target-ttft", "1ms@p99"], &RATES[..]].concat()).contains("at p99"));
    assert!(refused(2, &[]).contains("--target-hit"));
    assert!(refused(2, &["--target-ttft", "1s"]).contains("--prefill-tokens-per-s"));
    assert!(refused(2, &["--target-hit", "0.1", "--admit", "2"]).contains("--writes through"));
    assert!(refused(2, &["--target-hit", "0.1", "--writes", "back"]).contains("endurance"));
    assert!(
        refused(2, &["--dram", "1", "--nvme", "1TiB", "--drives", "1", "--drive-capacity", "1GB"])
            .contains("does not fit")
    );
    for wrong in [["--target-hit", "1.5"], ["--target-hit", "NaN"], ["--price", "dram=-1"], ["--price-years", "0"]] {
        refused(2, &wrong);
    }
    assert!(bench.refused(2, &["analyze", "plan", "load.jsonl", "--target-hit", "0.1"]).contains("--model"));
}

#[test]
fn the_conversation_trace_needs_what_its_curve_says() {
    let Some(file) = data("mooncake/conversation_trace.jsonl") else { return };
    let (bench, file) = (Bench::new(), file.to_str().unwrap().to_owned());
    let plan = bench.ok_json(&[
        "analyze",
        "plan",
        &file,
        "--model",
        "llama3.1-8b",
        "--dram",
        "3000",
        "--nvme",
        "7000",
        "--json",
    ]);
    assert_eq!(format!("{:.4}", number(&plan["chosen"]["hit_ratio"])), "0.2112");
    assert_eq!(format!("{:.4}", number(&plan["chosen"]["dram_hit_ratio"])), "0.0650");
    assert_eq!(format!("{:.4}", number(&plan["ceiling"])), "0.3664");
}
