//! What was stored is not what is read back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Child;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use super::super::trace;
use super::{ended_soon, start_prepared};
use crate::support::Bench;

#[test]
fn corrupted_storage_is_noticed_and_named() {
    let bench = Bench::on_disk();
    let rows = [
        "0 Write 1000000 Tier-2 first Prefill",
        "1 Write 1000 Tier-2 later Prefill",
        "2 Read 1000000 Tier-2 first Decode",
    ];
    trace(&bench, "t.csv", &rows);
    let args = ["replay", "t.csv", "--tier-2", "file:slab,size=4MiB", "--pace", "rate:0.7/s", "-o", "r.json"];
    let child = start_prepared(&bench, "slab", &args);
    sleep(Duration::from_millis(700));
    let slab = fs::File::options().write(true).open(bench.path("slab")).unwrap();
    slab.write_all_at(&vec![0; 3 << 20], 128 << 10).unwrap();
    slab.sync_all().unwrap();
    let ended = ended_soon(child);
    let stderr = &ended.stderr;
    assert_eq!(ended.code, 5, "{stderr}");
    assert!(stderr.lines().last().unwrap().contains("row 3: `first` at byte 0: zeros"), "{stderr}");
    let result = bench.json("r.json");
    assert_eq!((&result["valid"], &result["complete"]), (&false.into(), &true.into()));
    assert_eq!(result["verify"]["failures"][0]["class"], "zeros");
}

const GRANULE: usize = 128 << 10;
const PAGE: usize = 4096;

/// What is done to an object between its last write and its read. Each object's name says it, and
/// its size in pages tells it from the others.
const PLANTED: [(&str, usize, &str); 6] = [
    ("swap", 6, "other_offset"),
    ("stale", 7, "older_version"),
    ("zeros", 8, "zeros"),
    ("other", 9, "other_key"),
    ("bit", 10, "bit_flip"),
    ("noise", 11, "corrupt"),
];

/// After a while two writes of every object, a second apart, and a read of each two seconds later.
fn planted_trace(bench: &Bench) {
    let all = |op: &str, phase: &str| -> Vec<String> {
        PLANTED.iter().map(|(name, pages, _)| format!("0 {op} {} Tier-2 {name} {phase}", pages * PAGE)).collect()
    };
    let pause = |count: usize| vec!["0 Write 1 Tier-0 pause Prefill".to_owned(); count];
    let write = || all("Write", "Prefill");
    // Without Delete rows a version stays up to its last use, so that the first one is read too.
    let read = || all("Read", "Decode");
    trace(bench, "t.csv", &[pause(30), write(), pause(40), read(), write(), pause(80), read()].concat());
}

/// Waits until as many granules as there are objects differ from `before`, each in as many pages as
/// its object has: the slab, and where each object begins.
fn written(bench: &Bench, before: &[u8]) -> (Vec<u8>, BTreeMap<&'static str, usize>) {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < limit, "the objects were not written");
        let now = bench.read("slab");
        let changed = |(a, b): (&[u8], &[u8])| a.chunks(PAGE).zip(b.chunks(PAGE)).filter(|(a, b)| a != b).count();
        let counts: Vec<_> = before.chunks(GRANULE).zip(now.chunks(GRANULE)).map(changed).collect();
        let place = |pages: usize| counts.iter().skip(1).position(|count| *count == pages).map(|at| (at + 1) * GRANULE);
        let places: BTreeMap<_, _> =
            PLANTED.iter().filter_map(|(name, pages, _)| Some((*name, place(*pages)?))).collect();
        if places.len() == PLANTED.len() {
            return (now, places);
        }
        sleep(Duration::from_millis(10));
    }
}

/// Plants all faults; the reads have not begun.
fn plant(bench: &Bench, before: &[u8]) {
    let (first, old) = written(bench, before);
    sleep(Duration::from_millis(300));
    let (second, new) = written(bench, &first);
    let slab = fs::File::options().write(true).open(bench.path("slab")).unwrap();
    let put = |at: usize, data: &[u8]| slab.write_all_at(data, at as u64).unwrap();
    let pages = |data: &[u8], at: usize, count: usize| data[at..at + count * PAGE].to_vec();
    let swap = new["swap"];
    put(swap + PAGE, &pages(&second, swap + 3 * PAGE, 1));
    put(swap + 3 * PAGE, &pages(&second, swap + PAGE, 1));
    put(new["stale"], &pages(&first, old["stale"], 7));
    put(new["zeros"] + 2 * PAGE, &[0; PAGE]);
    put(new["other"] + PAGE, &pages(&second, new["bit"] + PAGE, 1));
    let bit = new["bit"] + 5 * PAGE + 2345;
    put(bit, &[second[bit] ^ 16]);
    put(new["noise"] + 4 * PAGE, &[0xA5; PAGE]);
    slab.sync_all().unwrap();
}

#[test]
fn every_planted_fault_is_found_by_the_levels_that_can_and_named() {
    scope(|scope| {
        for (level, sees_bits) in [("stamp", false), ("sample:1", true), ("full", true)] {
            scope.spawn(move || {
                let bench = Bench::on_disk();
                planted_trace(&bench);
                let args = ["--tier-2", "file:slab,size=8MiB", "--pace", "rate:40/s", "--verify", level];
                let child: Child =
                    start_prepared(&bench, "slab", &[&["replay", "t.csv", "-o", "r.json"][..], &args].concat());
                plant(&bench, &bench.read("slab"));
                let ended = ended_soon(child);
                assert_eq!(ended.code, 5, "{level}: {}", ended.stderr);
                let result = bench.json("r.json");
                let failures = result["verify"]["failures"].as_array().unwrap();
                let found: BTreeMap<_, _> = failures
                    .iter()
                    .map(|failure| (failure["key"].as_str().unwrap(), failure["class"].as_str().unwrap()))
                    .collect();
                let expected: BTreeMap<_, _> =
                    PLANTED.iter().filter(|p| sees_bits || p.0 != "bit").map(|p| (p.0, p.2)).collect();
                assert_eq!(found, expected, "{level}");
                assert_eq!(failures.len(), expected.len(), "{level}: {failures:?}");
                let reasons = &result["invalid_reasons"];
                assert!(result["valid"] == false && reasons.to_string().contains("wrong data"), "{reasons}");
            });
        }
    });
}
