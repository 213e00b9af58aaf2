//! Recordings of KV events.

use serde_json::Value;

use crate::support::{Bench, data};

/// The first and last message of vLLM 0.9's shape, with a block that goes and comes back.
const LINES: &str = "[100.0, [[\"BlockStored\", [1, 2, 3], null, [], 16, null, \"GPU\"]], 0]\n\
    [101.0, [[\"BlockRemoved\", [1], \"GPU\"], {\"type\": \"BlockStored\", \"block_hashes\": [1], \"parent_block_hash\": null, \
    \"token_ids\": [], \"block_size\": 16, \"medium\": \"CPU\", \"mood\": \"good\"}], 0]\n\
    {\"ts\": 103.5, \"events\": [{\"type\": \"BlockStored\", \"block_hashes\": [1], \"block_size\": 16, \"token_ids\": []}]}\n\
    {\"_tag\": \"BlockRemoved\", \"_fields\": {\"block_hashes\": [2, 9]}, \"_recv_ts\": 104.0}\n";

fn medium<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let media = summary["media"].as_array().expect("a list");
    media.iter().find(|medium| medium["medium"] == name).unwrap_or_else(|| panic!("no {name} in {summary}"))
}

#[test]
fn what_events_tell_and_what_they_do_not() {
    let bench = Bench::new();
    bench.write("e.jsonl", LINES);
    let summary = bench.ok_json(&["analyze", "summary", "e.jsonl", "--json", "--model", "bytes:100"]);
    let gpu = medium(&summary, "GPU");
    assert_eq!(
        (&gpu["stored_blocks"], &gpu["removed_blocks"], &gpu["removed_unknown"]),
        (&4.into(), &2.into(), &1.into())
    );
    assert_eq!(
        (&gpu["stored_again"], &gpu["stored_again_bytes"], &gpu["away"]["max"]),
        (&1.into(), &1600.into(), &2_500_000_000u64.into())
    );
    assert_eq!((&gpu["peak_blocks"], &gpu["end_blocks"], &gpu["peak_bytes"]), (&3.into(), &2.into(), &4800.into()));
    assert_eq!(medium(&summary, "CPU")["stored_blocks"], 1);
    assert_eq!(summary["unknown_fields"]["BlockStored.mood"], 1);
    assert_eq!(summary["hits"], Value::Null);
    let table = bench.ok(&["analyze", "summary", "e.jsonl"]);
    assert!(table.contains("stored again after removal") && table.contains("hits: none"), "{table}");
    for analysis in ["hits", "curve"] {
        let said = bench.refused(2, &["analyze", analysis, "e.jsonl"]);
        assert!(said.contains("KV events") && said.contains("lookup log"), "{said}");
    }
    let info = bench.ok_json(&["info", "e.jsonl", "--json"]);
    assert_eq!((&info["format"], &info["rows"], &info["span_s"]), (&"jsonl".into(), &5.into(), &4.0.into()));
}

#[test]
fn packed_and_in_several_files() {
    let bench = Bench::new();
    let (first, second) = LINES.split_at(LINES.find("{\"ts\"").expect("the third line"));
    bench.write("a.jsonl.zst", zstd::encode_all(first.as_bytes(), 3).expect("in memory"));
    bench.write("b.jsonl", second);
    bench.write("all.jsonl", LINES);
    let apart = bench.ok_json(&["analyze", "summary", "[ab].jsonl*", "--json"]);
    let whole = bench.ok_json(&["analyze", "summary", "all.jsonl", "--json"]);
    assert_eq!((&apart["media"], &apart["by"]), (&whole["media"], &whole["by"]));
    assert_eq!(apart["inputs"].as_array().map(Vec::len), Some(2));
}

#[test]
fn damaged_recordings_are_refused_with_their_place() {
    let bench = Bench::new();
    bench.write("e.jsonl", format!("{LINES}[\"x\", 7]\n"));
    let said = bench.refused(2, &["analyze", "summary", "e.jsonl"]);
    assert!(said.contains("line 5") && said.contains("seconds"), "{said}");
    // A recorder that was killed leaves half a message.
    bench.write("cut.jsonl", &LINES[..LINES.len() - 20]);
    let ended = bench.run(&["analyze", "summary", "cut.jsonl"]);
    assert!(ended.code == 0 && ended.stderr.contains("cut off"), "{ended:?}");
}

#[test]
fn every_encoding_that_engines_have_used() {
    let Some(folder) = data("golden/kvevents_map_v026.msgpack") else { return };
    let folder = folder.parent().expect("a folder").to_owned();
    let bench = Bench::new();
    let file = |name: &str| folder.join(format!("kvevents_{name}.msgpack")).to_str().expect("text").to_owned();
    for (name, stored, removed, in_medium, medium_name) in [
        ("v0.9_array_int", 1, 1, 1, "GPU"),
        ("array_full_int_dp0", 1, 1, 1, "GPU"),
        ("array_bytes_hash", 1, 0, 1, "GPU"),
        ("map_v026", 1, 1, 1, "GPU"),
        ("map_storage_local", 1, 0, 1, "STORAGE"),
        ("llmd_fs_nested_bin", 1, 0, 1, "SHARED_STORAGE"),
    ] {
        let summary = bench.ok_json(&["analyze", "summary", &file(name), "--json"]);
        let found = medium(&summary, medium_name);
        assert_eq!((&found["stored_blocks"], &found["removed_blocks"]), (&stored.into(), &removed.into()), "{name}");
        assert_eq!(found["distinct_blocks"], in_medium, "{name}");
        assert_eq!(
            (&summary["skipped"], &summary["unknown_fields"]),
            (&Value::Object(Default::default()), &Value::Object(Default::default())),
            "{name}"
        );
        assert_eq!(bench.ok_json(&["info", &file(name), "--json"])["format"], "msgpack", "{name}");
    }
    // One message after another, and each behind its length.
    let bytes: Vec<Vec<u8>> =
        ["v0.9_array_int", "map_v026"].iter().map(|name| std::fs::read(file(name)).expect("a golden file")).collect();
    bench.write("plain.bin", bytes.concat());
    let framed = |bytes: &Vec<u8>| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    bench.write("framed.bin", bytes.iter().flat_map(framed).collect::<Vec<u8>>());
    let plain = bench.ok_json(&["analyze", "summary", "plain.bin", "--json"]);
    let framed = bench.ok_json(&["analyze", "summary", "framed.bin", "--json"]);
    assert_eq!((&plain["media"], &plain["batches"]), (&framed["media"], &framed["batches"]));
    assert_eq!(plain["batches"], 2);
    // The same block in both: it came back after it was removed.
    assert_eq!(medium(&plain, "GPU")["stored_again"], 1);
}
