//! `analyze hits` and `curve` of traces: objects of many sizes.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{Bench, data};

/// A trace of objects that are written, and read now and then.
fn trace() -> (String, Vec<(u64, u64, bool)>) {
    let mut state = 9u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut text = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n".to_owned();
    let (mut uses, mut known) = (Vec::new(), HashSet::new());
    for at in 0..1200 {
        let object = draw(20) * draw(20);
        let (bytes, read) = (1000 + object * 37 % 5000, !known.insert(object));
        let (op, phase) = if read { ("Read", "Decode") } else { ("Write", "Prefill") };
        let tier = draw(3);
        let _ = writeln!(text, "{at}.000000,{op},{bytes},Tier-{tier},obj_{object},{phase}");
        if at % 10 == 0 {
            let _ = writeln!(text, "{at}.000000,Read,{bytes},Tier-0,obj_{object},Evict");
            let _ = writeln!(text, "{at}.000000,Write,{bytes},Tier-1,obj_{object},Evict");
        }
        uses.push((object, bytes, read));
    }
    (text, uses)
}

/// Hits and their bytes of an LRU or FIFO cache of bytes, as a vector.
fn plain(uses: &[(u64, u64, bool)], capacity: u64, lru: bool) -> (u64, u64) {
    let (mut there, mut hits): (Vec<(u64, u64)>, _) = (Vec::new(), (0, 0));
    for (object, bytes, read) in uses {
        let place = there.iter().position(|(other, _)| other == object);
        if place.is_some() && *read {
            hits = (hits.0 + 1, hits.1 + bytes);
        }
        match place {
            Some(place) if lru => {
                let entry = there.remove(place);
                there.push(entry);
            }
            None if *bytes <= capacity => {
                while there.iter().map(|(_, bytes)| bytes).sum::<u64>() + bytes > capacity {
                    there.remove(0);
                }
                there.push((*object, *bytes));
            }
            _ => {}
        }
    }
    hits
}

#[test]
fn the_curve_of_a_trace_is_in_bytes_and_exact() {
    let (bench, (text, uses)) = (Bench::new(), trace());
    bench.write("t.csv", text);
    let args = ["analyze", "curve", "t.csv", "--json", "--policy", "lru,fifo", "--capacity", "1500,4KiB,64KiB,200KiB"];
    let refused = bench.refused(2, &args);
    assert!(refused.contains("give bytes with a unit"), "{refused}");
    let args = ["analyze", "curve", "t.csv", "--json", "--policy", "lru,fifo", "--capacity", "3KiB,5KiB,64KiB,200KiB"];
    let curve = bench.ok_json(&args);
    let lookups = uses.iter().filter(|(.., read)| *read).count();
    assert_eq!((&curve["lookups"], &curve["resized"]), (&lookups.into(), &0.into()));
    for (policy, lru) in [(0, true), (1, false)] {
        let policy = &curve["policies"][policy];
        assert_eq!(policy["semantics"], "any");
        for point in policy["points"].as_array().unwrap() {
            let (hits, bytes) = plain(&uses, point["capacity"].as_u64().unwrap(), lru);
            assert_eq!((&point["hits"], &point["hit_bytes"]), (&hits.into(), &bytes.into()), "{point}");
            assert_eq!((&point["unit"], &point["total"]), (&"bytes".into(), &lookups.into()));
        }
    }
    let curve = bench.ok_json(&["analyze", "curve", "t.csv", "--json", "--policy", "lru,lfu,sieve,s3-fifo,arc,belady"]);
    for policy in curve["policies"].as_array().unwrap() {
        let points = policy["points"].as_array().unwrap();
        assert_eq!(points.last().unwrap()["hits"], lookups, "{} holds everything at last", policy["policy"]);
    }
    let text = bench.ok(&["analyze", "curve", "t.csv", "--points", "5"]);
    assert!(text.contains("lookups and") && text.lines().count() == 9, "{text}");
}

#[test]
fn hits_of_a_trace_are_those_of_its_tiers_and_of_caches() {
    let (bench, (text, uses)) = (Bench::new(), trace());
    bench.write("t.csv", text);
    let hits = bench.ok_json(&["analyze", "hits", "t.csv", "--json", "--capacity", "64KiB", "--tiers", "16KiB,48KiB"]);
    let all = hits["definitions"].as_array().unwrap();
    let of = |name: &str, tier: Value, cumulative: Value, capacity: Value| {
        let is = |d: &&Value| {
            d["name"] == name && d["tier"] == tier && d["cumulative"] == cumulative && d["capacity"] == capacity
        };
        all.iter().find(is).unwrap_or_else(|| panic!("no {name}"))
    };
    let lookups = uses.iter().filter(|(.., read)| *read).count() as f64;
    let recorded: f64 =
        (0..3).map(|tier| of("recorded.reads", tier.into(), false.into(), Value::Null)["hits"].as_f64().unwrap()).sum();
    assert_eq!(recorded, lookups);
    assert_eq!(of("recorded.reads", 2.into(), true.into(), Value::Null)["ratio"], 1.0);
    assert_eq!(
        of("object.lookup", Value::Null, Value::Null, Value::Null)["ratio"],
        1.0,
        "everything that is read was written"
    );
    let (own, with) = (
        of("object.lookup", 1.into(), false.into(), 49_152.into())["hits"].as_f64().unwrap(),
        of("object.lookup", 1.into(), true.into(), 65_536.into())["hits"].as_f64().unwrap(),
    );
    let first = of("object.lookup", 0.into(), true.into(), 16_384.into())["hits"].as_f64().unwrap();
    assert_eq!(first + own, with);
    assert_eq!(first, plain(&uses, 16_384, true).0 as f64, "the first tier is a cache of its own");
    let one = of("object.lookup", Value::Null, Value::Null, 65_536.into())["hits"].as_f64().unwrap();
    assert_eq!(one, plain(&uses, 65_536, true).0 as f64);
    let text = bench.ok(&["analyze", "hits", "t.csv", "--explain"]);
    assert!(text.contains("as recorded: tiers 0 to 2") && text.contains("a lookup: a lookup is a Read row"), "{text}");
    assert!(!text.contains("token_block.prefix:"), "only what is shown is explained: {text}");
}

/// Two objects of 60 bytes fit into 200 bytes, and one each into two tiers of 100.
#[test]
fn tiers_have_room_left_over_that_their_sum_has_not() {
    let bench = Bench::new();
    let mut text = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n".to_owned();
    for (second, (op, key)) in "Wa Wb Wc Rb Ra Rc Ra Rb".split(' ').map(|word| word.split_at(1)).enumerate() {
        let op = if op == "W" { "Write,60,Tier-0" } else { "Read,60,Tier-0" };
        text.push_str(&format!("{second},{op},{key},Prefill\n"));
    }
    bench.write("t.csv", text);
    let hits = bench.ok_json(&["analyze", "hits", "t.csv", "--json", "--tiers", "100B,100B"]);
    let of = |d: &&Value| d["name"] == "object.lookup" && d["tier"] == 1 && d["cumulative"] == true;
    let both = hits["definitions"].as_array().unwrap().iter().find(of).unwrap();
    assert_eq!((both["hits"].as_f64(), both["total"].as_f64()), (Some(2.0), Some(5.0)));
}

#[test]
fn a_recording_with_its_requests_says_what_was_missing() {
    let bench = Bench::new();
    let record =
        ["record", "synthetic", "--num-users", "4", "--max-requests", "80", "--gpu-mem-gb", "1", "--cpu-mem-gb", "1"];
    bench.ok(&[&record[..], &["--storage-capacity-gb", "2", "-o", "t.csv.zst"]].concat());
    let hits = bench.ok_json(&["analyze", "hits", "t.csv.zst", "--json"]);
    let all = hits["definitions"].as_array().unwrap();
    let of = |name: &str| all.iter().find(|d| d["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let (lookups, reads) = (of("recorded.lookups"), of("recorded.reads"));
    let reader = kvtrace::trace::TraceReader::open(&bench.path("t.csv.zst")).unwrap();
    let counted_by_record = reader.meta().record.clone().unwrap().hit_ratios;
    for (name, counted) in [("recorded.tokens", "token.prefix"), ("recorded.request_mean", "request_mean.prefix")] {
        let expected = counted_by_record[counted].ratio;
        let ratio = of(name)["ratio"].as_f64().unwrap();
        assert!((ratio - expected).abs() < 1e-9 && ratio > 0.0 && ratio < 1.0, "{name}: {ratio}, not {expected}");
    }
    assert!(lookups["hits"].as_f64() < lookups["total"].as_f64(), "{lookups}");
    assert_eq!(of("recorded.request.any_hit")["total"], 80.0);
    assert!(reads["total"].as_f64() > Some(0.0));
    std::fs::remove_file(bench.path("t.requests.parquet")).unwrap();
    let hits = bench.ok_json(&["analyze", "hits", "t.csv.zst", "--json"]);
    assert!(!hits.to_string().contains("recorded.lookups"), "without the requests file nothing is known of misses");
}

#[test]
fn what_objects_have_no_use_for_is_refused() {
    let (bench, (text, uses)) = (Bench::new(), trace());
    bench.write("t.csv", text);
    let refused = |args: &[&str]| bench.refused(2, &[&["analyze"], args].concat());
    assert!(refused(&["curve", "t.csv", "--semantics", "prefix"]).contains("do not say what stands before them"));
    assert!(refused(&["curve", "t.csv", "--sample", "0.5"]).contains("not sampled"));
    assert!(refused(&["reuse", "t.csv"]).contains("is a trace of objects"));
    assert!(refused(&["working-set", "t.csv"]).contains("is a trace of objects"));
    assert!(refused(&["curve", "t.csv", "--warmup", "1200"]).contains("none is left to count"));
    assert!(refused(&["hits", "t.csv", "--capacity", "0"]).contains("a cache of nothing"));
    bench.write("empty.csv", "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n");
    assert!(refused(&["hits", "empty.csv"]).contains("no row looks for an object"));
    let warm = bench.ok_json(&["analyze", "curve", "t.csv", "--json", "--warmup", "50%"]);
    let lookups = uses[600..].iter().filter(|(.., read)| *read).count();
    assert_eq!((&warm["lookups"], &warm["warmup_references"]), (&lookups.into(), &600.into()));
}

/// The reference's own trace: who is read was written before, whatever its tiers did.
#[test]
fn the_trace_of_the_reference_is_read() {
    let Some(file) = data("mlperf/io_trace_llama3.1-8b.csv") else { return };
    let (bench, file) = (Bench::new(), file.to_str().unwrap().to_owned());
    let hits = bench.ok_json(&["analyze", "hits", &file, "--json"]);
    let mut tiers = HashMap::new();
    for d in hits["definitions"].as_array().unwrap().iter().filter(|d| d["cumulative"] == false && d["unit"] == "rows")
    {
        tiers.insert(d["tier"].as_u64().unwrap(), d["hits"].as_f64().unwrap());
    }
    assert_eq!((tiers[&0], tiers[&1], tiers[&2]), (713.0, 34.0, 277.0));
    let curve = bench.ok_json(&["analyze", "curve", &file, "--json"]);
    assert_eq!(curve["lookups"], 1024);
    assert_eq!(curve["policies"][0]["points"].as_array().unwrap().last().unwrap()["hit_ratio"], 1.0);
}
