//! The policies against numbers that others measured, the price of a resident object, and traces
//! of every way to place objects on a real disk.

use std::collections::HashMap;
use std::sync::Arc;

use kvtrace::cache::{Cache, Limits, NewObject, PolicyKind, Rules, Uses};
use kvtrace::trace::Key;

use crate::support::{Bench, data};

/// The token blocks of a Mooncake trace, in the order in which they are used.
fn blocks(name: &str) -> Option<Vec<u64>> {
    #[derive(serde::Deserialize)]
    struct Line {
        hash_ids: Vec<u64>,
    }
    let text = std::fs::read_to_string(data(name)?).expect("the trace");
    Some(text.lines().flat_map(|line| serde_json::from_str::<Line>(line).expect("a request").hash_ids).collect())
}

/// The share of uses that find their block in a tier of so many.
fn hit_ratio(policy: PolicyKind, room: u64, blocks: &[u64]) -> f64 {
    let limits = Limits { capacity_bytes: [Some(0), Some(0), Some(room)], target_usage: 0.8 };
    let mut rules = Rules { policies: [policy; 3], ..Rules::default() };
    if policy == PolicyKind::Belady {
        let mut uses = Uses::default();
        blocks.iter().for_each(|block| uses.note(&Key::Block(*block)).expect("few uses"));
        rules.foresight = Some(Arc::new(uses.finish()));
    }
    let mut cache = Cache::with(limits, &rules);
    let (mut ids, mut moves, mut hits) = (HashMap::new(), Vec::new(), 0u64);
    for block in blocks {
        moves.clear();
        if ids.get(block).is_some_and(|id| cache.read(*id, &mut moves).is_some()) {
            hits += 1;
            continue;
        }
        let object = NewObject { key: Key::Block(*block), size_bytes: 1, tokens: 512 };
        ids.insert(*block, cache.insert(object, &mut moves).expect("a block fits"));
    }
    hits as f64 / blocks.len() as f64
}

/// Measured with libCacheSim on the same blocks, one at a time, at 1,000, 3,000 and 10,000 blocks.
#[test]
fn policies_have_the_hit_ratios_that_libcachesim_has() {
    let Some(blocks) = blocks("mooncake/conversation_trace.jsonl") else { return };
    assert_eq!(blocks.len(), 288_500);
    let mut wrong = Vec::new();
    for (policy, expected, tolerance) in [
        (PolicyKind::Lru, [0.0445, 0.0650, 0.2112], 0.00006),
        (PolicyKind::Fifo, [0.0435, 0.0631, 0.1865], 0.00006),
        (PolicyKind::Sieve, [0.0481, 0.0747, 0.1318], 0.00006),
        (PolicyKind::Lfu, [0.0481, 0.0747, 0.1318], 0.00006),
        (PolicyKind::S3Fifo, [0.0543, 0.0930, 0.1925], 0.00006),
        (PolicyKind::Arc, [0.0529, 0.0859, 0.2225], 0.00006),
    ] {
        for (room, expected) in [1_000, 3_000, 10_000].into_iter().zip(expected) {
            let ratio = hit_ratio(policy, room, &blocks);
            if (ratio - expected).abs() > tolerance {
                wrong.push(format!("{policy:?} at {room}: {ratio:.4}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // With a block more than are ever waited for at once (8,138), nothing that comes back is lost.
    let best = [1_000, 3_000, 10_000].map(|room| hit_ratio(PolicyKind::Belady, room, &blocks));
    assert!(best[0] > 0.15 && best[1] > 0.28 && (best[2] - 0.3664).abs() < 0.00006, "{best:?}");
}

#[test]
fn traces_with_promotions_and_copies_are_replayed_without_an_error() {
    let bench = Bench::on_disk();
    for (placement, policy) in [("exclusive", "lru"), ("inclusive", "s3-fifo"), ("exclusive", "belady")] {
        let record = "record synthetic --model bytes:256 --num-users 10 --duration 4 --gpu-mem-gb 0.0025 \
                      --cpu-mem-gb 0.00375 --storage-capacity-gb 0.01 --promotion on-read --json -o t.csv --placement";
        let stats =
            bench.ok_json(&record.split_whitespace().chain([placement, "--policy", policy]).collect::<Vec<_>>());
        assert!(stats["promotions"].as_u64() > Some(10), "{stats}");
        let replay = "replay t.csv --tier-0 dram --tier-1 dram --tier-2 dir:D --verify full -o r.json";
        bench.ok(&replay.split_whitespace().collect::<Vec<_>>());
        let result = bench.json("r.json");
        assert_eq!(result["verify"]["failure_count"], 0, "{placement}");
        assert!(result["verify"]["checks"].as_u64() > Some(100), "{placement}");
        let facts = &result["trace"];
        assert_eq!(facts["cold_keys"], 0, "{placement}: {facts}");
        let told = result["notes"].to_string();
        assert!(!told.contains("last put") && !told.contains("Delete"), "{placement}: {told}");
        for tier in 0..3 {
            assert_eq!(facts["peak_bytes"][tier], stats["tiers"][tier]["peak_bytes"], "{placement}, tier {tier}");
        }
    }
}

#[test]
fn belady_gives_the_same_bytes_again_and_reads_more_from_memory() {
    let bench = Bench::new();
    let base = "record synthetic --num-users 20 --duration 10 --gpu-mem-gb 0 --cpu-mem-gb 0 --storage-capacity-gb 8 \
                --tier-timing none --json --policy";
    let misses = |policy: &str, name: &str| -> u64 {
        let stats = bench.ok_json(&base.split_whitespace().chain([policy, "-o", name]).collect::<Vec<_>>());
        let kinds = stats["lookups"].as_object().expect("lookups by kind");
        kinds.values().filter_map(|lookups| lookups["misses"].as_u64()).sum()
    };
    let (best, again) = (misses("belady", "a.csv"), misses("belady", "b.csv"));
    assert!(best == again && bench.read("a.csv") == bench.read("b.csv"));
    for policy in ["lru", "fifo", "lfu", "sieve", "s3-fifo", "arc"] {
        let others = misses(policy, "c.csv");
        assert!(best < others, "belady {best}, {policy} {others}");
    }
    let piped =
        bench.ok(&base.replace("--json", "").split_whitespace().chain(["belady", "-o", "-"]).collect::<Vec<_>>());
    assert_eq!(piped.as_bytes(), bench.read("a.csv"));
}
