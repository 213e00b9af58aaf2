//! `analyze reuse` and `working-set`: against a plain model on a made-up service, and the figures of
//! the public conversation trace.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{four, mooncake, requests};
use crate::support::{Bench, data};

/// Seconds between two requests of the made-up service.
const GAP_S: f64 = 0.1;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// The nearest rank.
fn percentile<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() * percent).div_ceil(100) - 1]
}

/// For each reference to a block that was used before: requests since, and different blocks since.
fn plain_reuse(requests: &[Vec<u64>]) -> (Vec<usize>, Vec<usize>) {
    let flat: Vec<(usize, u64)> =
        requests.iter().enumerate().flat_map(|(request, ids)| ids.iter().map(move |id| (request, *id))).collect();
    let mut last = HashMap::new();
    let (mut gaps, mut depths) = (Vec::new(), Vec::new());
    for (at, (request, id)) in flat.iter().enumerate() {
        if let Some(before) = last.insert(*id, at) {
            gaps.push(request - flat[before].0);
            depths.push(flat[before..at].iter().map(|(_, id)| id).collect::<HashSet<_>>().len());
        }
    }
    gaps.sort_unstable();
    depths.sort_unstable();
    (gaps, depths)
}

#[test]
fn reuse_is_what_a_plain_model_finds() {
    let (bench, requests) = (Bench::new(), &requests()[..200]);
    bench.write("r.jsonl", mooncake(requests));
    let reuse = bench.ok_json(&["analyze", "reuse", "r.jsonl", "--json"]);
    let (gaps, depths) = plain_reuse(requests);
    assert_eq!((&reuse["kind"], &reuse["reuses"]), (&"reuse".into(), &gaps.len().into()));
    for (name, percent) in [("p50", 50), ("p80", 80), ("p90", 90), ("p99", 99)] {
        let seconds = number(&reuse["time"][format!("{name}_s")]);
        assert!((seconds - percentile(&gaps, percent) as f64 * GAP_S).abs() < 1e-9, "{name}: {seconds}");
        assert_eq!(reuse["stack_distance"][format!("{name}_blocks")], percentile(&depths, percent), "{name}");
    }
    let mut uses: BTreeMap<u64, u64> = BTreeMap::new();
    requests.iter().flatten().for_each(|id| *uses.entry(*id).or_default() += 1);
    let popularity = &reuse["popularity"];
    assert_eq!(popularity["one_hit_blocks"], uses.values().filter(|uses| **uses == 1).count());
    let mut most: Vec<u64> = uses.into_values().collect();
    most.sort_unstable_by(|one, other| other.cmp(one));
    let tenth: u64 = most[..most.len() / 10].iter().map(|uses| uses - 1).sum();
    let top = popularity["top"].as_array().unwrap().iter().find(|top| top["share_of_blocks"] == 0.1).unwrap();
    assert!((number(&top["share_of_reuse"]) - tenth as f64 / gaps.len() as f64).abs() < 1e-12);
    let text = bench.ok(&["analyze", "reuse", "r.jsonl"]);
    assert!(text.contains("stack distance, blocks") && text.contains("used once and never again"), "{text}");
    let csv = bench.ok(&["analyze", "reuse", "r.jsonl", "-o", "r.csv"]);
    assert!(csv.is_empty() && bench.read("r.csv").starts_with(b"distribution,unit,low,high,count\nreuse_time,us,"));
}

#[test]
fn the_working_set_is_what_a_plain_model_finds() {
    let (bench, requests) = (Bench::new(), &requests()[..200]);
    bench.write("r.jsonl", mooncake(requests));
    let args = ["analyze", "working-set", "r.jsonl", "--json", "--window", "2s,1h", "--model", "bytes:10"];
    let set = bench.ok_json(&args);
    for (number_of, window) in [(0, 20), (1, 36_000)] {
        let sizes: Vec<usize> = (0..requests.len())
            .map(|now| {
                let first = now - now.min(window);
                requests[first..=now].iter().flatten().collect::<HashSet<_>>().len()
            })
            .collect();
        let found = &set["windows"][number_of];
        assert_eq!(found["max_blocks"], *sizes.iter().max().unwrap());
        assert_eq!(found["max_bytes"], sizes.iter().max().unwrap() * 5120);
        let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        assert!((number(&found["mean_blocks"]) - mean).abs() < 1e-9, "{found} {mean}");
    }
    // Blocks that come again, after each reference.
    let flat: Vec<u64> = requests.iter().flatten().copied().collect();
    let live = (0..flat.len()).step_by(7).map(|at| {
        let later: HashSet<_> = flat[at + 1..].iter().collect();
        flat[..=at].iter().filter(|id| later.contains(id)).collect::<HashSet<_>>().len()
    });
    let peak = set["live"]["peak_blocks"].as_u64().unwrap() as usize;
    let seen = live.max().unwrap();
    assert!(seen <= peak && peak <= seen + 7, "{seen} at every seventh reference, {peak} in all");
    let mut uses: HashMap<u64, u64> = HashMap::new();
    let mut again = 0;
    for ids in requests {
        // Blocks of a chain are stored together, so that a prefix ends at the first that is not.
        again += ids.iter().take_while(|id| uses.get(id).is_some_and(|uses| *uses >= 2)).count();
        ids.iter().for_each(|id| *uses.entry(*id).or_default() += 1);
    }
    let two = &set["admission"][1];
    assert_eq!((&two["touches"], &two["hits"]), (&2.into(), &again.into()));
    assert_eq!(two["writes"], uses.values().filter(|uses| **uses >= 2).count());
}

#[test]
fn figures_of_reuse_of_the_conversation_trace() {
    let Some(file) = data("mooncake/conversation_trace.jsonl") else { return };
    let (bench, file) = (Bench::new(), file.to_str().unwrap().to_owned());
    let reuse = bench.ok_json(&["analyze", "reuse", &file, "--json"]);
    let times = ["p50_s", "p80_s", "p90_s", "p99_s"].map(|name| number(&reuse["time"][name]).round());
    assert_eq!(times, [114.0, 324.0, 519.0, 1578.0]);
    let popularity = &reuse["popularity"];
    assert_eq!(four(&popularity["one_hit_share"]), "0.7585");
    assert_eq!(four(&popularity["top"][2]["share_of_reuse"]), "0.7514");
    let ten_minutes = reuse["time"]["within"].as_array().unwrap().iter().find(|w| w["window_s"] == 600).unwrap();
    assert_eq!(four(&ten_minutes["share"]), "0.9371");
    let set = bench.ok_json(&["analyze", "working-set", &file, "--json"]);
    let windows: Vec<_> = set["windows"].as_array().unwrap().iter().collect();
    let means: Vec<_> = windows.iter().map(|w| number(&w["mean_blocks"]).round()).collect();
    let most: Vec<_> = windows.iter().map(|w| number(&w["max_blocks"])).collect();
    assert_eq!((means, most), (vec![4639.0, 33_549.0, 75_414.0], vec![6378.0, 38_265.0, 97_398.0]));
    assert_eq!((&set["live"]["peak_blocks"], &set["live"]["peak_tokens"]), (&8138.into(), &4_166_656.into()));
    let lru: Vec<_> = set["lru"].as_array().unwrap().iter().map(|r| number(&r["blocks"])).collect();
    assert_eq!(lru, [8356.0, 20_942.0, 31_589.0, 37_645.0, 85_268.0, 158_282.0]);
    let two = &set["admission"][1];
    assert_eq!(
        (&two["writes"], four(&two["hit_ratio"]), four(&two["writes_saved"])),
        (&44_144.into(), "0.2134".into(), "0.7585".into())
    );
    assert_eq!(four(&set["ceiling"]["hit_ratio"]), "0.3664");
}
