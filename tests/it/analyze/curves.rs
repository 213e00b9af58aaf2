//! Curves with a warm-up, tiers and samples.

use serde_json::Value;

use super::{figures, four, mooncake, plain_lru, requests};
use crate::support::{Bench, data};

#[test]
fn a_warm_up_fills_the_cache_and_counts_nowhere() {
    let (bench, requests) = (Bench::new(), requests());
    bench.write("r.jsonl", mooncake(&requests));
    let curve = |args: &[&str]| {
        let curve = bench.ok_json(&[&["analyze", "curve", "r.jsonl", "--json", "--capacity", "50,400"], args].concat());
        figures(&curve, "lru", "hits").iter().map(|hits| hits.as_u64().unwrap()).collect::<Vec<_>>()
    };
    let (all, after) = (curve(&[]), curve(&["--warmup", "25%"]));
    let first: Vec<u64> = [50, 400].iter().map(|capacity| plain_lru(&requests[..150], *capacity, false)).collect();
    assert_eq!(after, all.iter().zip(first).map(|(all, first)| all - first).collect::<Vec<_>>());
    assert_eq!(curve(&["--warmup", "150"]), after);
    let every = ["lru", "fifo", "lfu", "sieve", "s3-fifo", "arc", "belady"];
    let hits = bench.ok_json(&["analyze", "hits", "r.jsonl", "--json", "--warmup", "150", "--capacity", "400"]);
    assert_eq!(hits["warmup_requests"], 150);
    let found = |d: &&Value| d["name"] == "token_block.prefix" && d["capacity"] == 400;
    assert_eq!(hits["definitions"].as_array().unwrap().iter().find(found).unwrap()["hits"], after[1] as f64);
    for policy in every {
        let args = ["analyze", "curve", "r.jsonl", "--json", "--policy", policy, "--points", "3", "--warmup", "150"];
        let curve = bench.ok_json(&args);
        let ratio = figures(&curve, policy, "hit_ratio").last().unwrap().as_f64().unwrap();
        assert!((0.0..=1.0).contains(&ratio), "{policy}: {ratio}");
    }
    let refused = bench.refused(2, &["analyze", "curve", "r.jsonl", "--warmup", "600"]);
    assert!(refused.contains("none is left to count"), "{refused}");
}

#[test]
fn tiers_share_out_the_hits_of_their_sum() {
    let (bench, requests) = (Bench::new(), requests());
    bench.write("r.jsonl", mooncake(&requests));
    let hits = bench.ok_json(&["analyze", "hits", "r.jsonl", "--json", "--tiers", "40,60,300"]);
    let all: Vec<_> =
        hits["definitions"].as_array().unwrap().iter().filter(|d| d["name"] == "token_block.prefix").collect();
    let of = |tier: u64, cumulative: bool| {
        let found = all.iter().find(|d| d["tier"] == tier && d["cumulative"] == cumulative).unwrap();
        (found["hits"].as_f64().unwrap(), found["capacity"].as_u64().unwrap())
    };
    let mut sum = 0.0;
    for (tier, (own, together)) in [(40, 40), (60, 100), (300, 400)].into_iter().enumerate() {
        sum += of(tier as u64, false).0;
        assert_eq!(of(tier as u64, false).1, own);
        assert_eq!(of(tier as u64, true), (plain_lru(&requests, together as usize, false) as f64, together));
        assert_eq!(sum, of(tier as u64, true).0);
    }
}

#[test]
fn a_sample_says_how_far_off_it_may_be() {
    let (bench, requests) = (Bench::new(), requests());
    bench.write("r.jsonl", mooncake(&requests));
    let exact = bench.ok_json(&["analyze", "curve", "r.jsonl", "--json"]);
    let sampled = bench.ok_json(&["analyze", "curve", "r.jsonl", "--json", "--sample", "0.5"]);
    assert_eq!(sampled["sample"]["method"], "shards-adj");
    let whole = bench.ok_json(&["analyze", "curve", "r.jsonl", "--json", "--sample", "1"]);
    assert_eq!(figures(&exact, "lru", "hits"), figures(&whole, "lru", "hits"), "a sample of everything is exact");
    let (exact, estimates) = (figures(&exact, "lru", "hit_ratio"), figures(&sampled, "lru", "hit_ratio"));
    let errors = figures(&sampled, "lru", "error");
    let off: Vec<f64> =
        exact.iter().zip(&estimates).map(|(exact, e)| (exact.as_f64().unwrap() - e.as_f64().unwrap()).abs()).collect();
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let said: Vec<f64> = errors.iter().map(|error| error.as_f64().unwrap()).collect();
    assert!(mean(&off) < 0.05 && mean(&off) < 2.0 * mean(&said), "{} off, {} said", mean(&off), mean(&said));
    let refused = |args: &[&str]| bench.refused(2, &[&["analyze", "curve", "r.jsonl"], args].concat());
    assert!(refused(&["--sample", "0"]).contains("above 0, up to 1"));
    assert!(refused(&["--sample", "NaN"]).contains("above 0, up to 1"));
    assert!(refused(&["--sample", "0.001"]).contains("too few"));
    assert!(refused(&["--sample", "0.5", "--policy", "arc"]).contains("only --policy lru"));
    let text = bench.ok(&["analyze", "curve", "r.jsonl", "--sample", "0.5"]);
    assert!(text.contains("SHARDS") && text.contains('±'), "{text}");
}

/// A sampled curve of the public conversation trace is near the exact one.
#[test]
fn a_sample_of_the_conversation_trace_is_near() {
    let Some(file) = data("mooncake/conversation_trace.jsonl") else { return };
    let (bench, file) = (Bench::new(), file.to_str().unwrap().to_owned());
    let args = ["analyze", "curve", &file, "--json", "--semantics", "any"];
    let (exact, sampled) = (bench.ok_json(&args), bench.ok_json(&[&args[..], &["--sample", "0.1"]].concat()));
    let (exact, sampled) = (figures(&exact, "lru", "hit_ratio"), figures(&sampled, "lru", "hit_ratio"));
    let off = exact.iter().zip(&sampled).map(|(one, other)| (one.as_f64().unwrap() - other.as_f64().unwrap()).abs());
    let mean = off.sum::<f64>() / exact.len() as f64;
    assert!(mean < 0.01, "{mean}");
    let three_m_tokens = bench.ok_json(&["analyze", "curve", &file, "--json", "--capacity", "5859,97656"]);
    let ratios: Vec<_> = figures(&three_m_tokens, "lru", "hit_ratio").into_iter().map(four).collect();
    assert_eq!(ratios, ["0.1355", "0.3635"]);
}
