//! Traces as files: converted, summarised, named, with real ones of the reference as input.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::Stdio;

use kvtrace::output::Overwrite;
use kvtrace::trace::meta::{Meta, ModelFacts, RecordStats, Source, TierCapacity};
use kvtrace::trace::{
    Op, Phase, Record, RequestKind, RequestRow, RequestsWriter, Tier, TraceWriter, WriteOptions, requests_path,
};
use serde_json::Value;

use crate::support::{Bench, Ended, data, manifest_dir};

const REAL: [&str; 3] = [
    "mlperf/io_trace_llama3.1-8b.csv",
    "mlperf/tiny1b_3u_5s_tp2_rag_capped.csv",
    "mlperf/syn_llama8b_32u_30s_seed42.csv.zst",
];

/// The text of a trace as anybody would read it, without our reader.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    let packed = bytes.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]);
    let read = if packed {
        zstd::Decoder::new(bytes).expect("zstd").read_to_string(&mut text)
    } else {
        (&bytes[..]).read_to_string(&mut text)
    };
    read.expect("a readable trace");
    text
}

/// Bytes by tier, direction and phase, counted by cutting lines at their commas.
fn bytes_by_words(csv: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let words = format!("{} {} {}", fields[3], fields[1], fields[5]);
        *sums.entry(words).or_default() += fields[2].parse::<u64>().expect("a size");
    }
    sums
}

fn bytes_by_summary(summary: &Value) -> BTreeMap<String, u64> {
    let word = |value: &Value| {
        let text = value.as_str().expect("a word");
        text[..1].to_uppercase() + &text[1..]
    };
    let rows = summary["by"].as_array().expect("a list").iter();
    rows.map(|row| {
        let words = format!("Tier-{} {} {}", row["tier"], word(&row["op"]), word(&row["phase"]));
        (words, row["bytes"].as_u64().expect("bytes"))
    })
    .collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A small trace of ours with everything that a recording writes, and its requests.
fn record_one(bench: &Bench, name: &str) {
    let path = bench.path(name);
    let row = |at_ns, op, key: &str, request: Option<u64>| Record {
        at_ns,
        op,
        size_bytes: 1 << 20,
        tier: Tier::Storage,
        key: key.into(),
        phase: if op == Op::Delete { Phase::Evict } else { Phase::Prefill },
        request,
        conversation: request.map(|_| "talk, \"quoted\"".into()),
        turn: request.map(|_| 1),
        tokens: Some(8),
    };
    let mut trace = TraceWriter::create(&path, WriteOptions::default(), 0).expect("a new trace");
    for record in [
        row(0, Op::Write, "conv_0_1_turn_1", Some(0)),
        row(1, Op::Read, "line\nbreak", Some(1)),
        row(1_500_000_001, Op::Delete, "conv_0_1_turn_1", None),
    ] {
        trace.write(&record).expect("a row");
    }
    let meta = Meta {
        seed: Some(42),
        profile: Some("mlperf".to_owned()),
        model: Some(ModelFacts { name: "tiny-1b".to_owned(), bytes_per_token: 24_576, kv_dtype: "fp16".to_owned() }),
        tiers: vec![TierCapacity { tier: Tier::Storage, capacity_bytes: None }],
        record: Some(RecordStats { span_s: 1.500_000_001, ..RecordStats::default() }),
        ..Meta::foreign(Source { kind: "synthetic".to_owned(), ..Source::default() })
    };
    trace.finish(&meta).expect("a whole trace");
    let mut requests = RequestsWriter::create(&requests_path(&path), Overwrite::Ours).expect("a requests file");
    for ordinal in 0..2 {
        let request = RequestRow {
            request: ordinal,
            conversation: None,
            turn: 0,
            user: "user_0".to_owned(),
            qos: "batch".to_owned(),
            kind: RequestKind::User,
            arrival_ns: 0,
            start_ns: 0,
            context_tokens: 8,
            generate_tokens: 1,
            generation_ns: 0,
            lookups: 1,
            misses: 1,
            ..RequestRow::default()
        };
        requests.write(request).expect("a request");
    }
    requests.finish(&meta).expect("a whole requests file");
}

#[test]
fn the_reference_s_traces_keep_their_bytes_in_every_format() {
    for name in REAL {
        let Some(path) = data(name) else { continue };
        let path = path.to_str().expect("a plain path");
        let bench = Bench::new();
        let original = text(&std::fs::read(path).expect("the trace"));
        let expected = bytes_by_words(&original);
        let steps = [(path, "a.csv.zst"), ("a.csv.zst", "b.parquet"), ("b.parquet", "c.csv")];
        for (from, to) in steps {
            bench.ok(&["convert", from, to]);
            let summary = json(&bench.ok(&["analyze", "summary", to, "--json"]));
            assert_eq!(bytes_by_summary(&summary), expected, "{name} as {to}");
        }
        assert_eq!(text(&bench.read("a.csv.zst")), text(&bench.read("c.csv")), "{name}: both ways give one text");
    }
}

#[test]
fn a_trace_of_the_reference_comes_back_sorted_with_its_stamps() {
    for name in REAL {
        let Some(path) = data(name) else { continue };
        let bench = Bench::new();
        let ended = bench.run(&["convert", path.to_str().expect("a plain path"), "t.csv", "--columns", "mlperf"]);
        assert!(ended.stderr.contains("out of time order"), "{}", ended.stderr);
        let original = text(&std::fs::read(&path).expect("the trace"));
        let mut rows: Vec<_> = original.lines().skip(1).collect();
        rows.sort_by_key(|row| row.split(',').next());
        let written = text(&bench.read("t.csv"));
        assert_eq!(written.lines().skip(1).collect::<Vec<_>>(), rows, "{name}");
    }
}

#[test]
fn our_traces_are_the_same_bytes_after_a_way_through_parquet() {
    let bench = Bench::new();
    record_one(&bench, "t.csv");
    bench.ok(&["convert", "t.csv", "u.parquet"]);
    bench.ok(&["convert", "u.parquet", "v.csv"]);
    bench.ok(&["convert", "v.csv", "w.csv.zst"]);
    assert_eq!(bench.read("v.csv"), bench.read("t.csv"));
    assert_eq!(bench.read("v.csv.meta.json"), bench.read("t.csv.meta.json"));
    assert_eq!(text(&bench.read("w.csv.zst")).as_bytes(), bench.read("t.csv"));
    assert_eq!(bench.read("w.requests.parquet"), bench.read("t.requests.parquet"), "the requests go along");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bench = Bench::new();
    record_one(&bench, "t.csv");
    for format in ["csv", "csv.zst", "parquet"] {
        let (one, other) = (format!("one.{format}"), format!("other.{format}"));
        bench.ok(&["convert", "t.csv", &one]);
        bench.ok(&["convert", "t.csv", &other]);
        assert_eq!(bench.read(&one), bench.read(&other), "{format}");
    }
}

#[test]
fn a_packed_trace_is_one_data_frame_and_one_skippable_frame() {
    let bench = Bench::new();
    record_one(&bench, "t.csv.zst");
    let file = bench.read("t.csv.zst");
    let data = zstd::zstd_safe::find_frame_compressed_size(&file).expect("a data frame comes first");
    let (_, rest) = file.split_at(data);
    assert_eq!(rest[1..4], [0x2A, 0x4D, 0x18], "then a skippable frame");
    assert_eq!(rest[0] & 0xF0, 0x50);
    let length = u32::from_le_bytes(rest[4..8].try_into().expect("4 bytes")) as usize;
    assert_eq!(8 + length, rest.len(), "and nothing after it");
}

#[test]
fn parquet_with_the_columns_of_a_csv_is_refused() {
    let bench = Bench::new();
    let golden = manifest_dir().join("traces/golden.csv").display().to_string();
    let mlperf = ["-o", "t.parquet", "--columns", "mlperf"];
    assert!(bench.refused(2, &[&["record", "synthetic"], &mlperf[..]].concat()).contains("--columns mlperf"));
    let convert = ["convert", &golden, "t.parquet", "--columns", "mlperf"];
    assert!(bench.refused(2, &convert).contains("--columns mlperf"));
    assert!(bench.files().is_empty(), "{:?}", bench.files());
}

#[test]
fn the_reference_s_columns_have_no_deletes() {
    let bench = Bench::new();
    record_one(&bench, "t.csv.zst");
    let said = bench.run(&["convert", "t.csv.zst", "m.csv", "--columns", "mlperf", "--epoch", "1700000000.5"]).stderr;
    assert!(said.contains("left out: 1 Delete row, for which"), "{said}");
    let text = text(&bench.read("m.csv"));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase");
    assert_eq!(lines[1], "1700000000.500000,Write,1048576,Tier-2,conv_0_1_turn_1,Prefill");
    assert!(!text.contains("Delete"));
    let info = json(&bench.ok(&["info", "m.csv", "--json"]));
    assert_eq!((&info["rows"], &info["epoch_ns"]), (&Value::from(2), &Value::from(1_700_000_000_500_000_000u64)));
}

#[test]
fn standard_input_and_output() {
    let bench = Bench::new();
    record_one(&bench, "t.csv.zst");
    let mut child = bench.command(&["convert", "-", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(&bench.read("t.csv.zst")).expect("it reads");
    let ended = Ended::from(child.wait_with_output().expect("it ends"));
    assert_eq!((ended.code, ended.stdout), (0, text(&bench.read("t.csv.zst"))), "{}", ended.stderr);
}

#[test]
fn a_reader_that_goes_away_is_not_an_error() {
    let Some(path) = data(REAL[2]) else { return };
    let bench = Bench::new();
    let mut command = bench.command(&["convert", path.to_str().expect("a plain path"), "-"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("kvtrace starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_summary_as_table_and_as_files() {
    let bench = Bench::new();
    record_one(&bench, "t.csv");
    let table = bench.ok(&["analyze", "summary", "t.csv"]);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    for words in ["3 rows over 1.50 s, tiny-1b", "2 keys, 1 conversations, 2 requests", "1.00 : 1"] {
        assert!(table.contains(words), "`{words}` is not in\n{table}");
    }
    bench.ok(&["analyze", "summary", "t.csv", "-o", "s.json"]);
    assert_eq!(bench.json("s.json")["kind"], "summary");
    bench.ok(&["analyze", "summary", "t.csv", "-o", "s.csv"]);
    let csv = text(&bench.read("s.csv"));
    assert_eq!(csv.lines().nth(1), Some("Tier-2,Read,Prefill,1,1048576,1048576,1048576,1048576"));
    bench.write("mine.csv", "precious\n");
    bench.refused(2, &["analyze", "summary", "t.csv", "-o", "mine.csv"]);
    assert_eq!(bench.read("mine.csv"), b"precious\n");
}

#[test]
fn info_names_what_we_write() {
    let bench = Bench::new();
    record_one(&bench, "t.csv");
    bench.ok(&["convert", "t.csv", "t.parquet"]);
    bench.ok(&["analyze", "summary", "t.csv", "-o", "s.json"]);
    for (file, schema) in [
        ("t.csv", "kvtrace.trace/1"),
        ("t.parquet", "kvtrace.trace/1"),
        ("t.requests.parquet", "kvtrace.requests/1"),
        ("s.json", "kvtrace.analysis/1"),
        ("t.csv.meta.json", "kvtrace.trace/1"),
    ] {
        let info = json(&bench.ok(&["info", file, "--json"]));
        assert_eq!(info["contains"], schema, "{file}");
        assert!(bench.ok(&["info", file]).contains(schema), "{file}");
    }
    let info = json(&bench.ok(&["info", "t.parquet", "--json"]));
    assert_eq!((&info["seed"], &info["rows"], &info["span_s"]), (&42.into(), &3.into(), &1.500_000_001.into()));
}

#[test]
fn info_tells_a_stranger_s_trace_and_inputs_of_other_commands() {
    if let Some(path) = data(REAL[0]) {
        let info = Bench::new().ok(&["info", path.to_str().expect("a plain path")]);
        assert!(info.contains("without kvtrace's metadata") && info.contains("1,497"), "{info}");
    }
    for (name, words) in [
        ("sharegpt/sharegpt_v3_head1500.json", "record sharegpt"),
        ("mooncake/conversation_trace.jsonl", "record requests"),
        ("azure/AzureLLMInferenceTrace_code_2023.csv", "record burstgpt"),
    ] {
        let Some(path) = data(name) else { continue };
        let said = Bench::new().refused(2, &["info", path.to_str().expect("a plain path")]);
        assert!(said.contains(words), "{said}");
    }
}
