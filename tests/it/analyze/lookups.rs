//! LMCache's lookup logs, and request files that are not what they should be.

use serde_json::Value;

use super::{four, requests};
use crate::support::Bench;

/// The requests of a made-up service as LMCache logs them: 256-token chunks, the tail uncovered.
fn log(requests: &[Vec<u64>]) -> String {
    let mut text = String::new();
    for (ids, number) in requests.iter().zip(0..) {
        let hashes: Vec<_> = ids.iter().map(|id| format!("0x{:064x}", id + 1)).collect();
        let line = serde_json::json!({
            "timestamp": 1711929600.5 + f64::from(number), "request_id": format!("r{number}"), "model_name": "m",
            "chunk_size": 256, "seq_len": ids.len() * 256 + 100, "dtypes": ["bfloat16"], "shapes": [[4, 256, 8]],
            "chunk_hashes": hashes,
        });
        text.push_str(&format!("{line}\n"));
    }
    text
}

fn definition(hits: &Value, name: &str) -> (f64, f64) {
    let all = hits["definitions"].as_array().expect("a list");
    let found = all.iter().find(|d| d["name"] == name && d["capacity"].is_null()).expect("a definition");
    (found["hits"].as_f64().expect("a number"), found["total"].as_f64().expect("a number"))
}

#[test]
fn lookups_give_hits_and_curves() {
    let bench = Bench::new();
    let requests = requests();
    bench.write("lookup_hashes_1.jsonl", log(&requests));
    let hits = bench.ok_json(&["analyze", "hits", "lookup_hashes_1.jsonl", "--json"]);
    let mut seen: std::collections::HashSet<&u64> = std::collections::HashSet::new();
    let mut expected = 0;
    for ids in &requests {
        expected += ids.iter().take_while(|id| seen.contains(*id)).count();
        seen.extend(ids);
    }
    let tokens: usize = requests.iter().map(|ids| ids.len() * 256 + 100).sum();
    assert_eq!(definition(&hits, "token.prefix"), (expected as f64 * 256.0, tokens as f64));
    // 4 x 256 x 8 elements of two bytes over 256 tokens.
    assert_eq!(
        (&hits["bytes_per_token"], &hits["model"], &hits["block_tokens"]),
        (&64.into(), &"m".into(), &256.into())
    );
    let curve = bench.ok_json(&["analyze", "curve", "lookup_hashes_1.jsonl", "--json", "--capacity", "1GiB"]);
    let point = &curve["policies"][0]["points"][0];
    assert_eq!(point["capacity"], (1u64 << 30) / 64 / 256);
    assert_eq!(four(&point["hit_ratio"]), format!("{:.4}", expected as f64 / point["total"].as_f64().unwrap()));
    let summary = bench.ok_json(&["analyze", "summary", "lookup_hashes_1.jsonl", "--json"]);
    assert_eq!((&summary["rows"], &summary["prompt_tokens"]), (&600.into(), &tokens.into()));
}

#[test]
fn repeated_unsorted_and_mixed_lookups_are_counted_or_refused() {
    let bench = Bench::new();
    let requests = requests();
    let text = log(&requests[..5]);
    let lines: Vec<&str> = text.lines().collect();
    bench.write("l.jsonl", [lines[0], lines[2], lines[1], lines[1], lines[3]].join("\n"));
    let hits = bench.ok_json(&["analyze", "hits", "l.jsonl", "--json"]);
    assert_eq!((&hits["requests"], &hits["inversions"]), (&4.into(), &1.into()));
    let skipped = hits["skipped"].as_object().expect("an object");
    assert!(skipped.iter().any(|(why, n)| why.contains("made before") && *n == 1), "{skipped:?}");
    bench.write("m.jsonl", format!("{}\n{}\n", lines[0], lines[1].replace("\"chunk_size\":256", "\"chunk_size\":16")));
    assert!(bench.refused(2, &["analyze", "hits", "m.jsonl"]).contains("chunks of 256 tokens and of 16"));
}

#[test]
fn request_files_that_disagree_are_named_and_counted() {
    let bench = Bench::new();
    let line = |at: u32, tokens: u32, ids: &str| {
        format!("{{\"timestamp\": {at}, \"input_length\": {tokens}, \"output_length\": 1, \"hash_ids\": {ids}}}\n")
    };
    // Too many ids for the prompt: a block is smaller than said.
    bench.write("many.jsonl", line(0, 600, "[1, 2]") + &line(1, 600, "[1, 2, 3]"));
    let said = bench.refused(2, &["analyze", "hits", "many.jsonl"]);
    assert!(said.contains("line 2") && said.contains("3 ids are too many"), "{said}");
    // Too few: counted.
    bench.write("few.jsonl", line(5, 2000, "[1]") + &line(3, 512, "[1]"));
    let hits = bench.ok_json(&["analyze", "hits", "few.jsonl", "--json"]);
    assert!(hits["skipped"].to_string().contains("fewer ids"), "{}", hits["skipped"]);
    assert_eq!(hits["inversions"], 1);
    // The same ids in two files are other blocks, and that is said.
    bench.write("a.jsonl", line(0, 1024, "[1, 2]"));
    bench.write("b.jsonl", line(0, 1024, "[1, 2]"));
    let both = bench.ok_json(&["analyze", "hits", "[ab].jsonl", "--json"]);
    assert_eq!(both["distinct_blocks"], 4);
    let skipped = both["skipped"].as_object().expect("an object");
    assert!(skipped.iter().any(|(why, n)| why.contains("an earlier file has too") && *n == 2), "{skipped:?}");
    // Different kinds in one pattern, and a pattern of nothing.
    bench.write("t.csv", "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n0,Write,1,Tier-0,k,Prefill\n");
    let said = bench.refused(2, &["analyze", "summary", "a.jsonl", "t.csv"]);
    assert!(said.contains("a.jsonl is a trace of requests, but t.csv is a trace"), "{said}");
    assert!(bench.refused(2, &["analyze", "summary", "none*.csv"]).contains("no file fits"));
}
