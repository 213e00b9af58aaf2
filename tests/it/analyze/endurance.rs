//! `kvtrace analyze endurance`: writes of simulated drives, and writes as they were recorded.

use serde_json::{Value, json};

use crate::samples;
use crate::support::{Bench, data};

/// Requests of blocks, a second apart, ending after `hours`.
fn mooncake(requests: &[&[u64]], hours: f64) -> String {
    let last = (requests.len() - 1).max(1) as f64;
    let line = |(ids, number): (&&[u64], u32)| {
        let stamp = (f64::from(number) * hours * 3.6e6 / last).round() as u64;
        let tokens = ids.len() * 512;
        json!({"timestamp": stamp, "input_length": tokens, "output_length": 1, "hash_ids": ids}).to_string() + "\n"
    };
    requests.iter().zip(0..).map(line).collect()
}

/// Blocks 0 and 1 come three times, 2 twice, the rest once: 12 references to 7 blocks.
const LOAD: [&[u64]; 5] = [&[0, 1, 2], &[0, 1, 3], &[0, 1, 2], &[4, 5], &[6]];

fn row<'a>(found: &'a Value, wanted: &[(&str, Value)]) -> &'a Value {
    let rows = found["rows"].as_array().unwrap();
    let mut matching = rows.iter().filter(|row| wanted.iter().all(|(key, value)| row[key] == *value));
    let first = matching.next().unwrap_or_else(|| panic!("no row with {wanted:?} in {rows:#?}"));
    assert!(matching.next().is_none(), "several rows with {wanted:?}");
    first
}

fn near(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((value - expected).abs() <= 1e-9 * expected.abs().max(1e-9), "{value} is not {expected}");
}

#[test]
fn a_day_of_writes_wears_drives_as_worked_out_by_hand() {
    let bench = Bench::new();
    bench.write("load.jsonl", mooncake(&LOAD, 6.0));
    let found = bench.ok_json(&[
        "analyze",
        "endurance",
        "load.jsonl",
        "--model",
        "bytes:1000",
        "--admit",
        "1,2,3",
        "--tbw",
        "2GB",
        "--drive-capacity",
        "1GB",
        "--drives",
        "2",
        "--waf",
        "2",
        "--rate-scale",
        "3",
        "--json",
    ]);
    // Seven blocks of 512 kB in a quarter of a day, three times as much, on two drives.
    let all = row(&found, &[("admit", json!(1))]);
    assert_eq!((&all["capacity"], &all["host_writes_blocks"]), (&Value::Null, &json!(7)));
    let day = 7.0 * 512_000.0 * 4.0 * 3.0;
    near(&all["host_writes_per_day_bytes"], day);
    near(&all["dwpd"], day / 2e9);
    near(&all["years"], 2.0 * 2e9 / (day * 2.0 * 365.0));
    near(&all["hit_ratio"], 5.0 / 12.0);
    // Two of the three that come again are only found when they come for the third time.
    let filtered = row(&found, &[("admit", json!(2))]);
    assert_eq!(filtered["host_writes_blocks"], 3);
    near(&filtered["hit_ratio"], 2.0 / 12.0);
    near(&filtered["hit_ratio_lost"], 3.0 / 12.0);
    assert_eq!(row(&found, &[("admit", json!(3))])["host_writes_blocks"], 2);
    assert!(!found["assumptions"].to_string().contains("LESS THAN AN HOUR"));
}

#[test]
fn what_little_time_says_of_a_day_is_said_so() {
    let bench = Bench::new();
    bench.write("short.jsonl", mooncake(&LOAD, 0.5));
    let table = bench.ok(&["analyze", "endurance", "short.jsonl", "--model", "bytes:1"]);
    assert!(table.contains("LESS THAN AN HOUR") && table.contains("30.0 min"), "{table}");
    bench.write("moment.jsonl", mooncake(&LOAD, 0.0));
    let found =
        bench.ok_json(&["analyze", "endurance", "moment.jsonl", "--model", "bytes:1", "--tbw", "1PB", "--json"]);
    let only = row(&found, &[]);
    assert!(only["host_writes_per_day_bytes"].is_null() && only["years"].is_null(), "{only}");
}

#[test]
fn dram_in_front_changes_what_is_written() {
    let bench = Bench::new();
    bench.write("load.jsonl", mooncake(&LOAD, 2.0));
    let found = bench.ok_json(&[
        "analyze",
        "endurance",
        "load.jsonl",
        "--model",
        "bytes:1",
        "--dram",
        "3",
        "--capacity",
        "100",
        "--writes",
        "through,back,exclusive",
        "--json",
    ]);
    let writes = |writing: &str| {
        row(&found, &[("writes", json!(writing)), ("capacity", json!(100))])["host_writes_blocks"].clone()
    };
    // 0 1 2 | 0 1 3 evicts 2 | 0 1 2 evicts 3 | 4 5 evict 0 1 | 6 evicts 2, which still lies there.
    assert_eq!((writes("through"), writes("back"), writes("exclusive")), (json!(7), json!(4), json!(5)));
}

#[test]
fn recorded_writes_are_taken_as_they_are() {
    let bench = Bench::new();
    let rows = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n\
                0.000000000,Write,1000,Tier-0,a,Prefill\n\
                1.000000000,Write,1000,Tier-2,a,Evict\n\
                2.000000000,Read,1000,Tier-2,a,Decode\n\
                7200.000000000,Write,500,Tier-2,b,Prefill\n";
    bench.write("t.csv", rows);
    let found = bench.ok_json(&["analyze", "endurance", "t.csv", "--tbw", "1MB", "--drive-capacity", "6kB", "--json"]);
    let trace = &found["recorded"][0];
    assert_eq!(trace["host_writes_bytes"], 1500);
    near(&trace["host_writes_per_day_bytes"], 1500.0 * 12.0);
    near(&trace["dwpd"], 3.0);
    near(&trace["years"], 1e6 / (18_000.0 * 365.0));
    let capture = samples::kv_block();
    let sizes = capture.histograms.iter().find(|h| h.name == "size" && h.op.as_deref() == Some("write"));
    let bytes = sizes.unwrap().sum as u64;
    bench.write("b.json", samples::json(&capture));
    bench.write("r.json", samples::json(&samples::replay(Some(capture))));
    let found = bench.ok_json(&["analyze", "endurance", "b.json", "r.json", "--json"]);
    let captured = |of: &Value| of["what"] == "block layer, as captured" && of["host_writes_bytes"] == bytes;
    let all = found["recorded"].as_array().unwrap();
    assert_eq!(all.iter().filter(|of| captured(of)).count(), 2, "{all:#?}");
    bench.write("load.jsonl", mooncake(&LOAD, 2.0));
    assert!(bench.refused(2, &["analyze", "endurance", "t.csv", "load.jsonl"]).contains("analysed apart"));
}

#[test]
fn what_is_not_modelled_is_refused() {
    let bench = Bench::new();
    bench.write("load.jsonl", mooncake(&LOAD, 2.0));
    let refused = |args: &[&str]| bench.refused(2, &[&["analyze", "endurance", "load.jsonl"], args].concat());
    assert!(refused(&[]).contains("--model"));
    let exclusive = refused(&["--model", "bytes:1", "--writes", "exclusive", "--policy", "fifo", "--capacity", "3"]);
    assert!(exclusive.contains("--writes back"), "{exclusive}");
    for wrong in [["--tbw", "0PB"], ["--waf", "0"], ["--waf", "NaN"], ["--drives", "0"], ["--admit", "0"]] {
        refused(&[&["--model", "bytes:1"], &wrong[..]].concat());
    }
}

/// Figures of the public conversation trace that another program found.
#[test]
fn the_writes_of_the_conversation_trace_are_reproduced() {
    let Some(file) = data("mooncake/conversation_trace.jsonl") else { return };
    let (bench, file) = (Bench::new(), file.to_str().unwrap().to_owned());
    let args = ["analyze", "endurance", &file, "--model", "llama3.1-8b", "--admit", "1,2", "--tbw", "14PB", "--json"];
    let found = bench.ok_json(&args);
    let (all, twice) = (row(&found, &[("admit", json!(1))]), row(&found, &[("admit", json!(2))]));
    assert_eq!((&all["host_writes_blocks"], &twice["host_writes_blocks"]), (&json!(182_790), &json!(44_144)));
    assert_eq!(all["host_writes_bytes"].as_u64().unwrap() >> 30, 11_424);
    assert_eq!(format!("{:.4}", twice["hit_ratio"].as_f64().unwrap()), "0.2134");
    assert_eq!(format!("{:.4}", all["hit_ratio"].as_f64().unwrap()), "0.3664");
    assert!(found["assumptions"].to_string().contains("LESS THAN AN HOUR"));
}
