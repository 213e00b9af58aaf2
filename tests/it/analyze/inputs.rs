//! What `analyze hits`, `curve` and `endurance` are given: formats, forms of inputs, and what is said
//! of those that cannot be used.

use serde_json::Value;

use crate::support::Bench;

/// A prompt of 1000 tokens of RAGPulse: 512 of a system prompt, 300 of a passage, the rest its own.
fn ragpulse(second: u32, passage: u32) -> String {
    format!(
        "{{\"timestamp\":\"{second}\",\"input_length\":1000,\"output_length\":8,\"hash_ids\":{{\"sys_prompt\":[1],\
         \"passages_ids\":[{passage}],\"history\":[],\"web_search\":[],\"user_input\":[]}},\"session_id\":\"s\"}}\n"
    )
}

#[test]
fn runs_of_tokens_are_cut_into_blocks_of_one_size() {
    let bench = Bench::new();
    bench.write("0_trace.jsonl", ragpulse(0, 2) + &ragpulse(60, 3) + &ragpulse(120, 2));
    let lengths = "{\"sys_prompt_id\":1,\"token_length\":512}\n{\"passage_id\":2,\"token_length\":300}\n\
                   {\"passage_id\":3,\"token_length\":300}\n";
    bench.write("1_lengths.jsonl", lengths);
    let hits = bench.ok_json(&["analyze", "hits", "0_trace.jsonl", "--model", "bytes:1000", "--json"]);
    // 62 whole blocks of 16 and one of 8; 32 of the system prompt, and 18 whole ones of the passage.
    assert_eq!((&hits["block_tokens"], &hits["blocks"], &hits["tokens"]), (&16.into(), &189.into(), &3000.into()));
    assert_eq!(of(&hits, "token_block.prefix")["hits"], 32.0 + 50.0);
    assert_eq!(of(&hits, "bytes.prefix")["hits"], (32.0 + 50.0) * 16_000.0);
    let larger = ["analyze", "hits", "0_trace.jsonl", "--source-block", "256", "--json"];
    let larger = bench.ok_json(&larger);
    assert_eq!((&larger["block_tokens"], &larger["blocks"]), (&256.into(), &12.into()));
    assert_eq!(of(&larger, "token_block.prefix")["hits"], 2.0 + 3.0);
    let worn = ["analyze", "endurance", "0_trace.jsonl", "--model", "bytes:1000", "--json"];
    let worn = bench.ok_json(&worn);
    let written = worn["rows"][0]["host_writes_bytes"].as_u64().unwrap();
    assert_eq!(written, (189 - 82) * 16_000, "{worn}");
}

fn of<'a>(hits: &'a Value, name: &str) -> &'a Value {
    let all = hits["definitions"].as_array().unwrap();
    all.iter().find(|d| d["name"] == name).unwrap_or_else(|| panic!("no {name} in {hits}"))
}

const ROWS: [&str; 2] = ["0,Write,10,Tier-2,a,Prefill\n1,Read,10,Tier-2,a,Decode\n", "2,Read,10,Tier-2,a,Decode\n"];

#[test]
fn traces_are_found_by_pattern_folder_and_partition() {
    let bench = Bench::new();
    for (day, rows) in (1..).zip(ROWS) {
        std::fs::create_dir_all(bench.path(&format!("parts/day={day}"))).unwrap();
        let text = format!("Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n{rows}");
        bench.write(&format!("parts/day={day}/part.csv"), text);
    }
    for input in ["parts", "parts/day=*/part.csv"] {
        let hits = bench.ok_json(&["analyze", "hits", input, "--json"]);
        assert_eq!((&hits["objects"], &hits["lookups"], &hits["stores"]), (&1.into(), &2.into(), &1.into()));
        let curve = bench.ok_json(&["analyze", "curve", input, "--capacity", "10B", "--json"]);
        assert_eq!(curve["policies"][0]["points"][0]["hits"], 2);
        let worn = bench.ok_json(&["analyze", "endurance", input, "--json"]);
        assert_eq!(worn["recorded"][0]["host_writes_bytes"], 10, "{worn}");
    }
    let refused = |flags: &[&str]| bench.refused(2, &[&["analyze", "hits", "parts/day=1/part.csv"], flags].concat());
    for flags in [["--format", "mooncake"], ["--source-block", "16"], ["--model", "bytes:1"]] {
        let words = refused(&flags);
        assert!(words.starts_with(&format!("kvtrace: {} is about requests", flags[0])), "{words}");
    }
    assert!(refused(&["--tiers", "10B,0"]).contains("--tiers 0"));
    let table = bench.ok(&["analyze", "hits", "parts", "--warmup", "1"]);
    assert!(table.contains("found nothing leave no row") && table.contains("of the whole trace"), "{table}");
}

#[test]
fn what_cannot_be_used_is_counted_by_its_reason() {
    let bench = Bench::new();
    let line = "{\"timestamp\": 1, \"input_length\": -1, \"output_length\": 1, \"hash_ids\": [1]}\n";
    bench.write("bad.jsonl", line.repeat(3));
    for analysis in ["hits", "curve", "summary"] {
        let words = bench.refused(2, &["analyze", analysis, "bad.jsonl"]);
        assert!(words.contains("bad.jsonl holds no request that can be used: 3 x "), "{words}");
    }
    bench.write("good.jsonl", line.replace("-1", "5"));
    let refused = |flag: &str, value: &str| bench.refused(2, &["analyze", "hits", "good.jsonl", flag, value]);
    assert!(refused("--capacity", "9999999999999").contains("more than the 4,294,967,295"));
    assert!(refused("--tiers", "100,0").contains("--tiers 0: a cache holds"));
}
