//! The flow of a conversation through a recorded trace.

use crate::support::Bench;

#[test]
fn a_conversation_turn_by_turn() {
    let bench = Bench::new();
    let args =
        ["record", "synthetic", "--num-users", "8", "--duration", "30", "--gpu-mem-gb", "1", "--cpu-mem-gb", "1"];
    bench.ok(&[&args[..], &["--storage-capacity-gb", "4", "-o", "t.csv"]].concat());
    let text = String::from_utf8(bench.read("t.csv")).expect("text");
    // Whoever has an object that was evicted.
    let evicted = text.lines().find(|line| line.contains(",Evict,") && line.contains(",conv_")).expect("an eviction");
    let key = evicted.split(',').nth(4).expect("a key");
    let name = key.strip_prefix("conv_").and_then(|rest| rest.rsplit_once("_turn_")).expect("a turn").0;
    let flow = bench.ok_json(&["analyze", "flow", "t.csv", "--conversation", name, "--json"]);
    let events: Vec<_> = flow["turns"]
        .as_array()
        .expect("turns")
        .iter()
        .flat_map(|turn| turn["events"].as_array().expect("events"))
        .collect();
    assert!(
        events.iter().any(|event| event["key"] == key && (event["event"] == "demote" || event["event"] == "delete"))
    );
    let prefix = format!("conv_{name}_turn_");
    let rows = text.lines().filter(|line| line.contains(&prefix) && !line.contains(",Evict,")).count();
    let own =
        events.iter().filter(|e| e["key"].as_str().unwrap().starts_with(&prefix) && e["phase"] != "evict").count();
    assert_eq!(own, rows);
    assert!(flow["turns"][0]["asked"]["context_tokens"].as_u64().is_some_and(|tokens| tokens > 0));
    let table = bench.ok(&["analyze", "flow", "t.csv", "--conversation", name]);
    assert!(table.contains("turn 1") && table.contains(key), "{table}");
    let request = flow["turns"][0]["request"].as_u64().expect("a request").to_string();
    let one = bench.ok_json(&["analyze", "flow", "t.csv", "--request", &request, "--json"]);
    assert_eq!(one["conversation"], name);
    assert!(bench.refused(2, &["analyze", "flow", "t.csv", "--conversation", "nobody"]).contains("`nobody`"));
    assert!(bench.refused(2, &["analyze", "flow", "t.csv"]).contains("--request"));
}
