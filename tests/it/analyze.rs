//! `kvtrace analyze hits` and `curve` on files of requests.

mod anonymize;
mod compare;
mod curves;
mod endurance;
mod events;
mod flow;
mod inputs;
mod lookups;
mod objects;
mod plan;
mod reuse;
mod summary;
mod what_if;

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{Bench, data};

/// Requests of a made-up service: conversations that grow, some at a time, behind a shared prompt.
fn requests() -> Vec<Vec<u64>> {
    let mut state = 42u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut conversations: Vec<Vec<u64>> = vec![Vec::new(); 12];
    let mut fresh = 1;
    let mut all = Vec::new();
    for _ in 0..600 {
        let conversation = &mut conversations[draw(12) as usize];
        if conversation.len() > 30 || conversation.is_empty() {
            *conversation = vec![0];
        }
        for _ in 0..=draw(4) {
            conversation.push(fresh);
            fresh += 1;
        }
        all.push(conversation.clone());
    }
    all
}

fn mooncake(requests: &[Vec<u64>]) -> String {
    let mut text = String::new();
    for (ids, number) in requests.iter().zip(0..) {
        // The last block of a prompt has half of its tokens.
        let tokens = ids.len() * 512 - 256;
        let _ = writeln!(
            text,
            "{{\"timestamp\": {}, \"input_length\": {tokens}, \"output_length\": 10, \"hash_ids\": {ids:?}}}",
            number * 100
        );
    }
    text
}

/// The leading blocks that an LRU cache of a vector holds, all in all.
fn plain_lru(requests: &[Vec<u64>], capacity: usize, tail_first: bool) -> u64 {
    let mut cache: VecDeque<u64> = VecDeque::new();
    let mut hits = 0;
    for ids in requests {
        let mut leading = true;
        let use_block = |id: u64, cache: &mut VecDeque<u64>| {
            let place = cache.iter().position(|other| *other == id);
            if let Some(place) = place {
                cache.remove(place);
            }
            cache.push_front(id);
            cache.truncate(capacity);
            place.is_some()
        };
        if tail_first {
            hits += ids.iter().take_while(|id| cache.contains(id)).count() as u64;
            ids.iter().rev().for_each(|id| {
                use_block(*id, &mut cache);
            });
        } else {
            for id in ids {
                leading &= use_block(*id, &mut cache);
                hits += u64::from(leading);
            }
        }
    }
    hits
}

fn figures<'a>(curve: &'a Value, policy: &str, what: &'a str) -> Vec<&'a Value> {
    let all = curve["policies"].as_array().unwrap();
    let found = all.iter().find(|found| found["policy"] == policy).unwrap();
    found["points"].as_array().unwrap().iter().map(|point| &point[what]).collect()
}

#[test]
fn the_lru_curve_is_what_caches_of_each_capacity_do() {
    let bench = Bench::new();
    let requests = requests();
    bench.write("r.jsonl", mooncake(&requests));
    for (semantics, tail_first) in [("prefix", false), ("tail-first", true)] {
        let args = ["analyze", "curve", "r.jsonl", "--json", "--semantics", semantics, "--capacity", "1,7,40,150,400"];
        let curve = bench.ok_json(&args);
        let expected: Vec<_> = [1, 7, 40, 150, 400].map(|c| plain_lru(&requests, c, tail_first)).to_vec();
        assert_eq!(figures(&curve, "lru", "hits"), expected, "{semantics}");
        assert!(expected[0] < expected[3] && expected[3] < expected[4]);
    }
}

#[test]
fn hits_have_names_totals_and_a_capacity() {
    let bench = Bench::new();
    let requests = requests();
    bench.write("r.jsonl", mooncake(&requests));
    let args = ["analyze", "hits", "r.jsonl", "--json", "--model", "bytes:1000", "--capacity", "40,50MB"];
    let hits = bench.ok_json(&args);
    let blocks: usize = requests.iter().map(Vec::len).sum();
    let all = hits["definitions"].as_array().unwrap();
    // Twice six: without end, at 40 blocks, and at 97 blocks of 512,000 bytes.
    assert_eq!(all.len(), 18);
    let of = |name: &str, capacity: Value| {
        all.iter().find(|d| d["name"] == name && d["capacity"] == capacity).unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(of("token_block.prefix", Value::Null)["total"], blocks as f64);
    assert_eq!(of("token_block.prefix", 40.into())["hits"], plain_lru(&requests, 40, false) as f64);
    assert_eq!(of("token_block.prefix", 97.into())["hits"], plain_lru(&requests, 97, false) as f64);
    let (tokens, bytes) = (of("token.prefix", Value::Null), of("bytes.prefix", Value::Null));
    assert_eq!(tokens["hits"].as_f64().unwrap() * 1000.0, bytes["hits"]);
    assert_eq!(hits["requests"], 600);
    let text = bench.ok(&["analyze", "hits", "r.jsonl", "--explain"]);
    assert!(text.contains("request_mean.prefix: the share of each prompt's tokens"), "{text}");
}

#[test]
fn no_policy_beats_the_one_that_knows_the_future() {
    let bench = Bench::new();
    bench.write("r.jsonl", mooncake(&requests()));
    let policies = "lru,fifo,lfu,sieve,s3-fifo,arc,belady";
    let args = ["analyze", "curve", "r.jsonl", "--policy", policies, "--points", "12", "--semantics", "any"];
    bench.ok(&[&args[..], &["-o", "c.csv"]].concat());
    // Twice: what an analysis wrote may be written again, and nothing else.
    bench.ok(&[&args[..], &["-o", "c.parquet"]].concat());
    bench.ok(&[&args[..], &["-o", "c.parquet"]].concat());
    let table = bench.read("c.parquet");
    assert!(table.starts_with(b"PAR1") && String::from_utf8_lossy(&table).contains("hit_ratio"));
    assert!(bench.ok(&["info", "c.parquet"]).contains("the table of an analysis (curve)"));
    bench.write("mine.parquet", &table[..100]);
    assert!(bench.refused(2, &[&args[..], &["-o", "mine.parquet"]].concat()).contains("mine.parquet exists"));
    bench.ok(&[&args[..], &["-o", "c.json"]].concat());
    let curve = bench.json("c.json");
    let best = figures(&curve, "belady", "hit_ratio");
    for policy in policies.split(',') {
        let ratios = figures(&curve, policy, "hit_ratio");
        assert!(ratios.iter().zip(&best).all(|(r, b)| r.as_f64() <= b.as_f64()), "{policy}: {ratios:?}, best {best:?}");
        assert_eq!(ratios.last(), best.last(), "{policy} holds everything at last");
    }
    assert_eq!(String::from_utf8(bench.read("c.csv")).unwrap().lines().count(), 1 + 7 * best.len());
}

#[test]
fn what_cannot_be_analysed_is_named() {
    let bench = Bench::new();
    bench.write("r.jsonl", mooncake(&requests()[..3]));
    let refused = |args: &[&str]| bench.refused(2, &[&["analyze", "curve"], args].concat());
    assert!(refused(&["r.jsonl", "--capacity", "64GiB"]).contains("--model"));
    assert!(refused(&["r.jsonl", "--capacity", "0"]).contains("at least one token block"));
    assert!(refused(&["r.jsonl", "-o", "curve.txt"]).contains(".json, .csv or .parquet"));
    assert!(refused(&["absent.jsonl"]).contains("absent.jsonl"));
    bench.write(
        "b.csv",
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n1,ChatGPT,5,6,11,API log\n",
    );
    assert!(refused(&["b.csv"]).contains("no request has ids"));
}

/// Figures of the public conversation trace that other programs agree on.
#[test]
fn the_figures_of_the_conversation_trace_are_reproduced() {
    let Some(file) = data("mooncake/conversation_trace.jsonl") else { return };
    let (bench, file) = (Bench::new(), file.to_str().unwrap().to_owned());
    let hits = bench.ok_json(&["analyze", "hits", &file, "--json"]);
    let ratios: Vec<_> = hits["definitions"].as_array().unwrap().iter().map(|d| four(&d["ratio"])).collect();
    assert_eq!(ratios, ["0.3664", "0.3664", "0.3736", "0.4094", "0.9999"]);
    let sizes = ["--capacity", "1000,3000,10000,30000,50000,100000"];
    let expect = |args: &[&str], policy: &str, expected: &[&str]| {
        let curve =
            bench.ok_json(&[&["analyze", "curve", &file, "--json", "--policy", policy], &sizes[..], args].concat());
        let found: Vec<_> = figures(&curve, policy, "hit_ratio").into_iter().map(four).collect();
        assert_eq!(found[..expected.len()], *expected, "{policy} {args:?}");
    };
    let any = ["--semantics", "any"];
    expect(&[], "lru", &["0.0445", "0.0650", "0.2112", "0.3257", "0.3546", "0.3637"]);
    expect(&["--semantics", "tail-first"], "lru", &["0.0445", "0.0653", "0.2116"]);
    expect(&any, "fifo", &["0.0435", "0.0631", "0.1865", "0.3021", "0.3400"]);
    expect(&any, "sieve", &["0.0481", "0.0747", "0.1318", "0.2759", "0.3438"]);
    expect(&any, "lfu", &["0.0481", "0.0747", "0.1318", "0.2759", "0.3438"]);
    expect(&any, "s3-fifo", &["0.0543", "0.0930", "0.1925", "0.2549", "0.2872"]);
    expect(&any, "arc", &["0.0529", "0.0859", "0.2225", "0.3108", "0.3433"]);
    expect(&any, "belady", &["0.1907", "0.2945", "0.3664", "0.3664"]);
}

fn four(value: &Value) -> String {
    format!("{:.4}", value.as_f64().unwrap())
}
