//! Traces of requests through the binary: every format, what is skipped, what is refused, and the
//! real ones where they are at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kvtrace::seed::Seed;
use kvtrace::trace::RequestRow;
use kvtrace::workload::{Content, Population, Request, RequestTrace, Skipped, Tokenizer, TraceOptions, trace_files};
use serde_json::Value;

use super::ledger::{self, rows};
use crate::support::{Bench, data};

const OPTIONS: TraceOptions = TraceOptions {
    format: None,
    time_unit: None,
    block_tokens: None,
    keep_failures: false,
    tokenizer: Tokenizer::Chars4,
    users: 100,
    speedup: 1.0,
    cycles: 1,
    request_rate: None,
    strict: true,
    population: Population::REFERENCE,
};

/// Records `files`, and gives the source in the metadata and the statistics.
fn recorded(bench: &Bench, files: &[&str], more: &[&str]) -> (Value, Value) {
    let flags = ["--model", "tiny-1b", "--tier-timing", "none", "--generation-mode", "none", "--json", "-o", "t.csv"];
    let stats = bench.ok_json(&[&["record", "requests"], files, &flags[..], more].concat());
    let source = bench.json("t.csv.meta.json")["source"].clone();
    (source, stats)
}

fn requests(bench: &Bench) -> Vec<RequestRow> {
    let mut rows = ledger::requests(&bench.path("t.csv"));
    rows.sort_by_key(|row| row.request);
    rows
}

fn all(path: &Path) -> Vec<Request> {
    let trace = RequestTrace::open(&[path.to_owned()], Seed(42), OPTIONS, Skipped::default());
    trace.expect("a trace").map(|request| request.expect("a request")).collect()
}

#[test]
fn every_format_is_found_by_content_and_named() {
    let bench = Bench::new();
    let samples = [
        ("burstgpt", "s", "Timestamp,Model,Request tokens,Response tokens\n5,GPT-4,40,8\n6,GPT-4,30,4\n"),
        (
            "azure",
            "wall clock time",
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,40,8\n",
        ),
        ("vidur", "s", "arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,40,8\n"),
        ("mooncake", "ms", "{\"timestamp\":1,\"input_length\":40,\"output_length\":8,\"hash_ids\":[0]}\n"),
        (
            "bailian",
            "s",
            "{\"chat_id\":1,\"parent_chat_id\":-1,\"timestamp\":1.5,\"input_length\":40,\"output_length\":8,\"hash_ids\":[1,2,3]}",
        ),
        (
            "kv-cache-tester",
            "s",
            "{\"id\":\"a\",\"block_size\":64,\n\"requests\":[{\"t\":0,\"model\":\"m\",\"in\":40,\"out\":8,\"hash_ids\":[]}]}",
        ),
        (
            "ragpulse",
            "s",
            "{\"timestamp\":\"1\",\"input_length\":40,\"output_length\":8,\"hash_ids\":{\"sys_prompt\":[1]},\"session_id\":\"x\"}\n\n",
        ),
    ];
    for (format, unit, text) in samples {
        for bytes in [text.as_bytes().to_vec(), zstd::encode_all(text.as_bytes(), 1).expect("zstd")] {
            bench.write("some.txt", bytes);
            let (source, stats) = recorded(&bench, &["some.txt"], &["--strict"]);
            assert_eq!(source["format"], format);
            assert_eq!(source["time_unit"].as_str().unwrap_or_default(), unit, "{format}");
            assert_eq!(source["sha256"].as_str().map(str::len), Some(64));
            assert!(stats["requests"].as_u64() >= Some(1), "{format}: {stats}");
            let first = &requests(&bench)[0];
            assert_eq!((first.context_tokens, first.generate_tokens, first.arrival_ns), (40, 8, 0), "{format}");
            let forced = recorded(&bench, &["some.txt"], &["--format", format]);
            assert_eq!(forced.0["format"], format);
        }
    }
}

#[test]
fn patterns_and_folders_are_their_files_in_order() {
    let bench = Bench::new();
    let header = "Timestamp,Request tokens,Response tokens";
    bench.write("Burst_2.csv", format!("{header}\n20,3,1\n"));
    bench.write("Burst_1.csv", format!("{header}\n10,1,1\n11,2,1\n"));
    bench.write("readme.md", "not a trace");
    for typed in ["Burst_*.csv", "."] {
        let (source, _) = recorded(&bench, &[typed], &[]);
        let names: Vec<_> = source["files"].as_array().expect("files").iter().map(|file| &file["name"]).collect();
        assert_eq!(names, ["Burst_1.csv", "Burst_2.csv"]);
        assert_eq!(source["first_stamp"], 10.0);
        let seen: Vec<_> = requests(&bench).iter().map(|row| (row.context_tokens, row.arrival_ns)).collect();
        assert_eq!(seen, [(1, 0), (2, 1_000_000_000), (3, 10_000_000_000)]);
        std::fs::remove_file(bench.path("t.csv")).expect("the trace");
        std::fs::remove_file(bench.path("t.csv.meta.json")).expect("its metadata");
    }
    assert!(bench.refused(2, &["record", "requests", "none_*.csv", "-o", "t.csv"]).contains("none_*.csv"));
    std::fs::create_dir(bench.path("empty")).expect("a folder");
    assert!(bench.refused(2, &["record", "requests", "empty", "-o", "t.csv"]).contains("no trace of requests"));
    assert!(trace_files(&["absent.csv".into()]).is_ok_and(|files| files.len() == 1), "opening says what is wrong");
    assert!(bench.refused(2, &["record", "requests", "absent.csv", "-o", "t.csv"]).contains("absent.csv"));
}

#[test]
fn passes_finish_every_request_and_keep_keys_apart() {
    let bench = Bench::new();
    let lines: String = (0..50)
        .map(|n| {
            format!(
                "{{\"timestamp\":{},\"session_id\":\"s{}\",\"input_length\":{},\"output_length\":3}}\n",
                n * 100,
                n % 7,
                20 + n
            )
        })
        .collect();
    bench.write("m.jsonl", lines);
    let (_, stats) =
        recorded(&bench, &["m.jsonl"], &["--replay-cycles", "3", "--trace-speedup", "0", "--workers", "4"]);
    assert_eq!((&stats["requests"], &stats["conversations"]), (&Value::from(150), &Value::from(21)));
    let written: Vec<String> = rows(&bench.path("t.csv"))
        .into_iter()
        .filter(|row| row.op == "Write" && row.phase == "Prefill")
        .map(|row| row.key)
        .collect();
    let distinct: BTreeSet<&String> = written.iter().collect();
    assert_eq!(distinct.len(), written.len());
    assert!(written.iter().any(|key| key == "conv_s0@3_turn_1"), "{written:?}");
}

#[test]
fn a_session_finds_the_blocks_of_its_answers() {
    let bench = Bench::new();
    let turns = "{\"session_id\":\"a\",\"input_length\":512,\"output_length\":512,\"hash_ids\":[1]}\n\
                 {\"session_id\":\"a\",\"delay\":600000,\"input_length\":512,\"output_length\":8,\"hash_ids\":[2]}\n";
    bench.write("s.jsonl", turns);
    let (_, stats) = recorded(&bench, &["s.jsonl"], &["--profile", "engine"]);
    let found = &stats["hit_ratios"]["token_block.prefix"];
    // 512 tokens of the first prompt and 512 of its answer, of 512 and 1536 asked for.
    assert_eq!(found["hits"].as_u64().map(|hits| 2 * hits), found["total"].as_u64(), "{stats}");
}

#[test]
fn what_is_skipped_is_said_and_refused_when_strict() {
    let bench = Bench::new();
    let text = "Timestamp,Request tokens,Response tokens\n1,5,1\n2,5,0\nx,5,1\n3,5,1\n";
    bench.write("b.csv", text);
    let ended = bench.run(&["record", "requests", "b.csv", "-o", "t.csv"]);
    assert!(ended.stderr.contains("1 x request that failed") && ended.stderr.contains("Timestamp"), "{ended:?}");
    std::fs::remove_file(bench.path("t.csv")).expect("the trace");
    let line = bench.refused(2, &["record", "requests", "b.csv", "--strict", "-o", "t.csv"]);
    assert!(line.contains("b.csv line 3") && line.contains("failed"), "{line}");
    assert!(!bench.path("t.csv").exists());
    bench.write("none.csv", "Timestamp,Request tokens,Response tokens\n1,5,0\n");
    let line = bench.refused(2, &["record", "requests", "none.csv", "-o", "t.csv"]);
    assert!(line.contains("no request") && line.contains("1 x"), "{line}");
}

#[test]
fn flags_of_another_source_are_refused() {
    let bench = Bench::new();
    bench.write("b.csv", "Timestamp,Request tokens,Response tokens\n1,5,1\n");
    for (flags, word) in [
        (vec!["synthetic", "--trace-speedup", "2"], "--trace-speedup"),
        (vec!["synthetic", "--strict"], "--strict"),
        (vec!["requests", "b.csv", "--filter", "vllm"], "--filter"),
        (vec!["requests", "b.csv", "--trace-speedup=-1"], "--trace-speedup"),
        (vec!["requests", "b.csv", "--trace-speedup", "nan"], "--trace-speedup"),
        (vec!["requests", "b.csv", "--replay-cycles", "0"], "--replay-cycles"),
        (vec!["requests", "b.csv", "--source-block", "0"], "--source-block"),
        (vec!["requests", "b.csv", "--trace-speedup", "2", "--request-rate", "5"], "--request-rate"),
        (vec!["requests"], "needs a file"),
    ] {
        let line = bench.refused(2, &[&["record", "-o", "t.csv"], &flags[..]].concat());
        assert!(line.contains(word), "{flags:?}: {line}");
    }
}

#[test]
fn mooncakes_conversations_have_their_blocks() {
    let Some(file) = data("mooncake/conversation_trace.jsonl") else { return };
    let requests = all(&file);
    let (mut blocks, mut known, mut hits) = (0u64, BTreeMap::new(), 0u64);
    for request in &requests {
        let Content::Segments(segments) = &request.content else { panic!("{request:?} has no ids") };
        assert_eq!(segments.iter().map(|segment| segment.tokens).sum::<u32>(), request.context_tokens);
        blocks += segments.len() as u64;
        hits += segments.iter().take_while(|segment| known.contains_key(&segment.id)).count() as u64;
        for (at, segment) in segments.iter().enumerate() {
            assert_eq!(*known.entry(segment.id).or_insert(at), at, "an id has one place in a prompt");
        }
    }
    assert_eq!((requests.len(), blocks, known.len()), (12_031, 288_500, 182_790));
    assert!((hits as f64 / blocks as f64 - 0.3664).abs() < 0.0001, "{hits} of {blocks}");
}

#[test]
fn azures_code_trace_is_whole() {
    let Some(file) = data("azure/AzureLLMInferenceTrace_code_2023.csv") else { return };
    let requests = all(&file);
    assert_eq!(requests.len(), 8_819);
    let (first, last) = (&requests[0], &requests[8_818]);
    assert_eq!((first.context_tokens, first.generate_tokens, first.arrival_ns), (4808, 10, 0));
    assert!((3_400..3_500).contains(&(last.arrival_ns / 1_000_000_000)), "{last:?}");
}

#[test]
fn agents_of_the_kv_cache_tester() {
    let Some(folder) = data("kv-cache-tester") else { return };
    let bench = Bench::new();
    let (source, stats) = recorded(&bench, &[folder.to_str().expect("a path")], &["--strict"]);
    assert_eq!((&source["block_tokens"], &stats["requests"]), (&Value::from(64), &Value::from(17)));
    let files = trace_files(&[folder]).expect("the files");
    let long = all(&files[0]);
    let tokens = |request: &Request| match &request.content {
        Content::Segments(segments) => segments.iter().map(|segment| segment.tokens).sum::<u32>(),
        Content::Conversation => 0,
    };
    assert_eq!(long.iter().map(tokens).sum::<u32>(), 649_460, "the file's own total");
    assert_eq!(long.iter().map(|request| request.generate_tokens).sum::<u32>(), 4_130);
    assert!(long.iter().all(|request| request.conversation.to_string() == "trace_0012"));
    assert!(long[13].last_turn && !long[12].last_turn);
}
