//! The statistics of a recording can be computed again from its rows and its requests.

use std::collections::BTreeMap;

use kvtrace::trace::{RequestKind, RequestRow};
use serde_json::Value;

use super::ledger::{Book, requests, rows};
use crate::support::Bench;

const FLAGS: [&str; 13] = [
    "record",
    "synthetic",
    "--num-users",
    "25",
    "--duration",
    "10",
    "--gpu-mem-gb",
    "3",
    "--cpu-mem-gb",
    "5",
    "--storage-capacity-gb",
    "30",
    "--json",
];

#[test]
fn statistics_agree_with_rows_and_requests() {
    let bench = Bench::new();
    let stats = bench.ok_json(&[&FLAGS[..], &["-o", "t.csv"]].concat());
    let (rows, requests) = (rows(&bench.path("t.csv")), requests(&bench.path("t.csv")));
    let book = Book::of(&rows, [None; 3]);
    assert_eq!(stats["rows"], rows.len());
    assert_eq!(stats["requests"], requests.len());
    assert_eq!((&stats["demotions"], &stats["deletes"]), (&Value::from(book.demotions), &Value::from(book.deletes)));
    for tier in 0..3 {
        assert_eq!(stats["tiers"][tier]["peak_bytes"], book.peak[tier]);
    }
    let decode = |tier: usize| rows.iter().filter(|row| row.phase == "Decode" && row.tier() == tier).count() as u64;
    let kinds = ["object", "multi_turn", "system"];
    for tier in 0..3 {
        let hits: u64 = kinds.iter().filter_map(|kind| stats["lookups"][*kind]["hits"][tier].as_u64()).sum();
        assert_eq!(hits, decode(tier), "tier {tier}");
    }
    let misses: u64 = kinds.iter().filter_map(|kind| stats["lookups"][*kind]["misses"].as_u64()).sum();
    assert!(misses > 0, "the storage tier is small enough to lose history");
    assert_eq!(misses, requests.iter().map(|row| u64::from(row.misses)).sum::<u64>());
    assert!(requests.iter().all(|row| row.lookups == row.hits + row.misses));
    let mut by_kind = BTreeMap::new();
    for row in &requests {
        *by_kind.entry(row.kind.word().to_owned()).or_insert(0u64) += 1;
    }
    assert_eq!(stats["requests_by_kind"], serde_json::to_value(by_kind).unwrap());
    let waits: Vec<i64> = requests.iter().map(|row| row.start_ns - row.arrival_ns).collect();
    assert!(waits.iter().all(|wait| *wait >= 0));
    let mean_s = waits.iter().sum::<i64>() as f64 / waits.len() as f64 / 1e9;
    assert!((stats["queue_wait_s"]["mean"].as_f64().unwrap() - mean_s).abs() < 1e-6);
}

/// Every hit rate, both miss counters and the tokens that shared prefixes saved.
#[test]
fn the_requests_alone_give_every_hit_rate_again() {
    let bench = Bench::new();
    let rag = ["--enable-rag", "--rag-request-probability", "0.4", "--rag-max-documents", "6"];
    let stats = bench.ok_json(&[&FLAGS[..], &rag, &["-o", "t.csv"]].concat());
    let requests = requests(&bench.path("t.csv"));
    let sum = |of: fn(&RequestRow) -> u32| requests.iter().map(|row| u64::from(of(row))).sum::<u64>();
    assert!(requests.iter().all(|row| row.lookups == row.hits + row.misses));
    let own_hits = sum(|row| row.hits - row.history_hits - row.prefix_hits - row.rag_hits);
    let own_misses = sum(|row| row.misses - row.history_misses - row.prefix_misses - row.rag_misses);
    let kinds = [
        ("object", own_hits, own_misses),
        ("multi_turn", sum(|row| row.history_hits), sum(|row| row.history_misses)),
        ("system", sum(|row| row.prefix_hits), sum(|row| row.prefix_misses)),
        ("rag", sum(|row| row.rag_hits), sum(|row| row.rag_misses)),
    ];
    for (kind, hits, misses) in kinds {
        let by_tier = stats["lookups"][kind]["hits"].as_array().expect("hits by tier");
        assert_eq!(by_tier.iter().filter_map(Value::as_u64).sum::<u64>(), hits, "{kind}");
        assert_eq!(stats["lookups"][kind]["misses"], misses, "{kind}");
        assert!(hits > 0 && (misses > 0 || kind == "object"), "{kind}: {hits} {misses}");
    }
    // What was read for requests is what they found, tier by tier.
    let rows = rows(&bench.path("t.csv"));
    let reads = rows.iter().filter(|row| row.phase == "Decode").count() as u64;
    assert_eq!(reads, sum(|row| row.hits));
    let saved = requests.iter().filter(|row| row.prefix_hits > 0).map(|row| u64::from(row.prefix_tokens)).sum::<u64>();
    assert_eq!(stats["prefix_tokens_reused"], saved);
    assert!(saved > 0 && saved != sum(|row| row.prefix_hits), "tokens are not hits");
    let queries = requests.iter().filter(|row| row.kind == RequestKind::Rag).count();
    assert_eq!(stats["requests_by_kind"]["rag"], queries);
    let conversations = requests.iter().filter(|row| row.turn == 1 && row.kind != RequestKind::Rag).count();
    assert_eq!(stats["conversations"], conversations);
}

/// A prompt is as long as its user's range says, whether or not a shared prefix covers some of it.
#[test]
fn shared_prefixes_cover_a_part_of_the_prompt() {
    let bench = Bench::new();
    let mut prompts = Vec::new();
    for flags in [vec![], vec!["--disable-prefix-caching"]] {
        bench.ok(&[&FLAGS[..], &flags, &["-o", "t.csv"]].concat());
        let mut lengths: Vec<_> = requests(&bench.path("t.csv"))
            .iter()
            .map(|row| (row.request, row.context_tokens, row.prefix_tokens > 0))
            .collect();
        lengths.sort_unstable();
        prompts.push(lengths);
    }
    let covered = prompts[0].iter().filter(|(_, _, covered)| *covered).count() as f64 / prompts[0].len() as f64;
    assert!((0.15..0.25).contains(&covered), "{covered}");
    assert!(prompts[0].iter().map(|p| (p.0, p.1)).eq(prompts[1].iter().map(|p| (p.0, p.1))));
}

#[test]
fn metadata_say_how_the_trace_came_to_be() {
    let bench = Bench::new();
    bench.ok(&[&FLAGS[..], &["--epoch", "1700000000", "-o", "t.csv"]].concat());
    let meta = bench.json("t.csv.meta.json");
    assert_eq!(meta["schema"], "kvtrace.trace/1");
    assert_eq!(meta["model"]["bytes_per_token"], 131_072);
    assert_eq!((&meta["seed"], &meta["profile"]), (&Value::from(42), &Value::from("mlperf")));
    assert_eq!(meta["flags"]["num-users"], 25);
    assert_eq!(meta["tiers"][2]["capacity_bytes"], 30u64 << 30);
    assert_eq!(meta["time_model"], "nvme-gen5");
    assert!(rows(&bench.path("t.csv"))[0].at_s > 1.7e9);
    bench.ok(&[&FLAGS[..], &["--tier-timing", "none", "-o", "t.csv"]].concat());
    assert_eq!(bench.json("t.csv.meta.json")["time_model"], Value::Null);
}

#[test]
fn a_higher_class_waits_less() {
    let bench = Bench::new();
    let record = |queue: &str| {
        bench.ok(&[&FLAGS[..], &["--workers", "2", "--queue", queue, "-o", "t.csv"]].concat());
        let requests = requests(&bench.path("t.csv"));
        ["responsive", "batch"].map(|class| {
            let of_class: Vec<_> = requests.iter().filter(|row| row.qos == class).collect();
            of_class.iter().map(|row| (row.start_ns - row.arrival_ns) as f64 / 1e9).sum::<f64>() / of_class.len() as f64
        })
    };
    let (qos, fifo) = (record("qos"), record("fifo"));
    assert!(qos[0] * 1.5 < qos[1] && qos[0] * 1.2 < fifo[0] && fifo[1] < qos[1], "{qos:?} {fifo:?}");
}

#[test]
fn reads_are_spread_over_the_time_of_generation() {
    let bench = Bench::new();
    let text = "12345678".repeat(16);
    let turn = format!(r#"{{"from":"human","value":"{text}"}},{{"from":"gpt","value":"{text}{text}{text}"}}"#);
    bench.write("in.json", format!(r#"[{{"id":"c","conversations":[{turn}]}}]"#));
    let flags = "--tokenizer chars4 --disable-prefix-caching --tier-timing none --generation-mode 10ms -o t.csv";
    bench.ok(&[&["record", "sharegpt", "in.json"], &flags.split(' ').collect::<Vec<_>>()[..]].concat());
    let stamps: Vec<f64> = rows(&bench.path("t.csv")).iter().map(|row| row.at_s).collect();
    // 96 generated tokens: 0.96 s, one read and three rescans, a quarter of it apart.
    assert_eq!(stamps, [0.0, 0.0, 0.24, 0.48, 0.72]);
    assert_eq!(bench.json("t.csv.meta.json")["record"]["span_s"], 0.96);
}
