//! `kvtrace replay`: whether its numbers are what a reader thinks they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use kvtrace::trace::meta::{ModelFacts, Source};
use kvtrace::trace::{Meta, Op, Phase, RequestRow, RequestsWriter, TraceWriter, WriteOptions, requests_path};
use rustix::fs::FallocateFlags;
use serde_json::{Value, json};

use super::{record, trace};
use crate::support::{Bench, is_root, skip};

/// A trace with a requests file: interactive and batch in turns, each writing an object and reading it
/// twice, but for those without rows.
fn recorded(path: &Path, requests: u64, meta: &Meta, rows_of: impl Fn(u64) -> bool) {
    let options = WriteOptions::default();
    let mut writer = TraceWriter::create(path, options, 0).unwrap();
    let mut file = RequestsWriter::create(&requests_path(path), options.overwrite).unwrap();
    let mut rows = 0;
    for i in 0..requests {
        for (op, phase) in [(Op::Write, Phase::Prefill), (Op::Read, Phase::Decode), (Op::Read, Phase::Decode)] {
            if rows_of(i) {
                rows += 1;
                writer.write(&record(i as i64, op, 40_000 + 300_000 * (i % 2), phase, Some(i))).unwrap();
            }
        }
        let qos = ["interactive", "batch"][i as usize % 2].to_owned();
        let row =
            RequestRow { request: i, qos, generate_tokens: 10, generation_ns: 1_000_000, ..RequestRow::default() };
        file.write(RequestRow { start_ns: 60_000_000, ..row }).unwrap();
    }
    let meta = Meta { rows: Some(rows), ..meta.clone() };
    writer.finish(&meta).unwrap();
    file.finish(&meta).unwrap();
}

fn meta() -> Meta {
    let mut meta = Meta::foreign(Source { kind: "test".to_owned(), ..Source::default() });
    meta.model = Some(ModelFacts { name: "m".to_owned(), bytes_per_token: 1000, kv_dtype: "float16".to_owned() });
    meta
}

#[test]
fn targets_are_the_recordings_and_requests_that_asked_for_nothing_count() {
    let bench = Bench::on_disk();
    let mut meta = meta();
    meta.flags.insert("qos_profiles".to_owned(), json!({"interactive": {"target_latency_p95_ms": 60_000}}));
    recorded(&bench.path("t.csv"), 200, &meta, |request| request != 7);
    bench.ok(&["replay", "t.csv", "--tier-2", "model:10GB/s+10us", "-o", "r.json"]);
    let result = bench.json("r.json");
    let requests = &result["requests"];
    assert_eq!((&requests["count"], &requests["without_rows"]), (&200.into(), &1.into()));
    assert_eq!(requests["targets_from"], "trace");
    let targets = &requests["qos"]["interactive"]["targets"];
    assert_eq!((&targets[0]["target_ms"], &targets[0]["met"]), (&60_000.0.into(), &true.into()));
    assert_eq!((&targets[1]["target_ms"], &targets[1]["measured_ms"]), (&100.0.into(), &Value::Null));
    assert!(requests["how"]["storage"].as_str().unwrap().contains("modelled on tier 2"), "{}", requests["how"]);
    assert!(requests["how"]["end_to_end"].as_str().unwrap().starts_with("modelled"));
    assert_eq!(result["tokens"]["sums"]["generated"], 2000);
}

#[test]
fn requests_of_skipped_tiers_are_counted_apart() {
    let bench = Bench::on_disk();
    recorded(&bench.path("t.csv"), 20, &meta(), |_| true);
    bench.ok(&["replay", "t.csv", "--tier-2", "skip", "-o", "r.json"]);
    let result = bench.json("r.json");
    assert_eq!((&result["requests"]["count"], &result["requests"]["apart"]["skipped"]), (&0.into(), &20.into()));
    assert_eq!(result["requests"]["qos"]["interactive"]["no_data"], true);
    assert!(result["tiers"][2]["decode_read_bytes"].is_null());
}

#[test]
fn a_result_and_its_log_are_two_files() {
    let bench = Bench::on_disk();
    recorded(&bench.path("t.csv"), 2, &meta(), |_| true);
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:D", "-o", "both", "--hlog", "both"]);
    assert!(last.contains("-o and --hlog both name both"), "{last}");
    assert!(!bench.path("D").exists());
}

#[test]
fn an_interval_log_holds_what_the_result_does() {
    let bench = Bench::on_disk();
    recorded(&bench.path("t.csv"), 60, &meta(), |_| true);
    let args = ["--tier-2", "dir:D", "--pace", "rate:300/s", "--hlog", "l.hlog", "--hlog-interval", "100ms"];
    let ended = bench.run(&[&["replay", "t.csv", "-o", "r.json"][..], &args].concat());
    assert!([0, 3].contains(&ended.code), "{}", ended.stderr);
    let (result, text) = (bench.json("r.json"), String::from_utf8(bench.read("l.hlog")).unwrap());
    assert!(text.starts_with("#kvtrace.hlog/1 kvtrace ") && text.ends_with("#complete: true\n"));
    assert!(text.contains(result["trace"]["sha256"].as_str().unwrap()));
    let mut sums: BTreeMap<String, (Histogram<u64>, u32)> = BTreeMap::new();
    let mut deserializer = Deserializer::new();
    let mut begun = 0.0;
    for entry in IntervalLogIterator::new(text.as_bytes()) {
        let LogEntry::Interval(line) = entry.unwrap() else { continue };
        let coded = base64_of(line.encoded_histogram());
        let part: Histogram<u64> = deserializer.deserialize(&mut coded.as_slice()).unwrap();
        assert!((line.max() - part.max() as f64 / 1e6).abs() < 1e-3);
        assert!(line.start_timestamp().as_secs_f64() >= begun && line.duration().as_millis() % 100 == 0);
        begun = line.start_timestamp().as_secs_f64();
        let sum = sums.entry(line.tag().unwrap().as_str().to_owned()).or_insert_with(|| (part.clone(), 0));
        if sum.1 > 0 {
            sum.0.add(&part).unwrap();
        }
        sum.1 += 1;
    }
    assert_eq!(sums.len(), 4, "two kinds, response and service");
    for kind in result["latency"].as_array().unwrap() {
        let tag = format!("tier2-{}-{}", kind["op"].as_str().unwrap(), kind["phase"].as_str().unwrap());
        for (tag, of) in [(tag.clone(), "response"), (format!("{tag}-service"), "service")] {
            let (sum, lines) = &sums[&tag];
            assert!(*lines > 1, "{tag}: half a second is several intervals");
            assert_eq!(Some(sum.len()), kind[of]["count"].as_u64(), "{tag}");
            assert!(sum.equivalent(sum.max(), kind[of]["max"].as_u64().unwrap()), "{tag}");
        }
    }
    bench.write("l.hlog", "precious");
    bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:D", "--hlog", "l.hlog"]);
    assert_eq!(bench.read("l.hlog"), b"precious");
    bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:D", "--hlog", "m.hlog", "--hlog-interval", "1ms"]);
    assert!(!bench.path("m.hlog").exists());
}

/// Standard base64 with padding.
fn base64_of(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for c in text.bytes().filter(|c| *c != b'=') {
        (bits, held) = (bits << 6 | u32::from(value(c)), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

#[test]
fn sizes_add_up_to_their_kinds_and_merge() {
    let bench = Bench::on_disk();
    recorded(&bench.path("t.csv"), 20, &meta(), |_| true);
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]);
    let result = bench.json("r.json");
    for kind in result["latency"].as_array().unwrap() {
        let sizes = kind["by_size"].as_array().unwrap();
        let most: Vec<_> = sizes.iter().map(|class| class["up_to_bytes"].as_u64()).collect();
        assert_eq!(most, [Some(256 << 10), Some(1 << 20)]);
        for field in ["ops", "bytes"] {
            assert_eq!(sizes.iter().map(|class| class[field].as_u64().unwrap()).sum::<u64>(), kind[field]);
        }
        let sum: u64 = sizes.iter().map(|class| class["service"]["sum"].as_u64().unwrap()).sum();
        assert_eq!(sum, kind["service"]["sum"]);
    }
}

#[test]
fn the_conditions_of_the_host_are_said_and_the_summary_fits_100_columns() {
    let bench = Bench::on_disk();
    recorded(&bench.path("t.csv"), 20, &meta(), |_| true);
    let ended = bench.run(&["replay", "t.csv", "--tier-2", "dir:D", "--io", "buffered", "-o", "r.json"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let conditions = &bench.json("r.json")["host"]["conditions"];
    assert!(conditions["load_before"][0].is_number() && conditions["dirty_before_bytes"].is_number(), "{conditions}");
    assert_eq!(conditions["storage"][0]["tier"], 2);
    assert!(conditions["storage"][0]["free_share"].is_number());
    let said: Vec<_> = ended.stderr.lines().collect();
    assert!(
        said.iter().filter(|line| !line.starts_with("result:")).all(|line| line.chars().count() <= 100),
        "{said:#?}"
    );
    let at =
        |text: &str| said.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {said:#?}"));
    assert!(
        at("valid: ") < at("bound by:") && at("bound by:") < at("ran buffered") && at("ran buffered") < at("rows in")
    );
    let rates =
        [at("per wall second"), at("moved by tier 2 per wall"), at("the reference's"), at("read amplification")];
    assert!(rates.is_sorted() && at("BUFFERED") < rates[0] && at("no data") > rates[3]);
}

#[test]
fn a_slab_with_holes_is_written_again_before_it_is_relied_on() {
    let bench = Bench::on_disk();
    trace(&bench, "t.csv", &["0 Write 3000000 Tier-2 a Prefill", "1 Read 3000000 Tier-2 a Decode"]);
    let slab = |more: &[&str]| {
        bench.ok(&[&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"], more].concat());
        bench.json("r.json")["tiers"][2]["facts"]["slab"].as_str().unwrap().to_owned()
    };
    assert_eq!((slab(&[]).as_str(), slab(&[]).as_str()), ("written before the run", "reused"));
    let file = fs::File::options().write(true).open(bench.path("D/kvtrace-tier2.slab")).unwrap();
    let holes = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, holes, 1 << 20, 1 << 20).unwrap();
    let last = bench.refused(2, &["replay", "t.csv", "--tier-2", "dir:D", "--prepare", "never"]);
    assert!(last.contains("never written") && last.contains("--prepare auto"), "{last}");
    assert_eq!(slab(&[]), "written before the run", "a hole reads at the speed of memory");
    assert_eq!(slab(&["--prepare", "never"]), "reused");
}

#[test]
fn bytes_at_the_block_layer_tell_the_device_from_the_page_cache() {
    if !is_root() {
        return skip("the capture needs root");
    }
    let bench = Bench::on_disk();
    let rows: Vec<_> = (0..20)
        .flat_map(|i| [format!("0 Write 1000000 Tier-2 k{i} Prefill"), format!("1 Read 1000000 Tier-2 k{i} Decode")])
        .collect();
    trace(&bench, "t.csv", &rows);
    let run = |more: &[&str]| {
        bench.run(&[&["replay", "t.csv", "--tier-2", "dir:D", "--capture", "-o", "r.json"], more].concat())
    };
    let direct = run(&[]);
    if direct.code == 6 {
        return skip(direct.stderr.lines().last().unwrap_or_default());
    }
    let result = bench.json("r.json");
    let factor = |result: &Value, number: usize| result["amplification"][number]["amplification"].as_f64().unwrap();
    let (read, written) = (factor(&result, 0), factor(&result, 1));
    assert!((0.99..1.2).contains(&read) && (0.99..1.3).contains(&written), "{read} and {written}");
    assert_eq!(result["amplification"][0]["asked_bytes"], result["tiers"][2]["read_bytes"]);
    assert_eq!(result["tiers"][2]["decode_read_bytes"], 20_000_000);
    run(&["--io", "buffered"]);
    let result = bench.json("r.json");
    assert!(factor(&result, 0) < 0.5, "what was just written is in the page cache");
    let notes = result["notes"].to_string();
    assert!(notes.contains("the page cache had the rest") && notes.contains("ran buffered"), "{notes}");
    assert!(!result["invalid_reasons"].to_string().contains("block layer"), "nobody claimed to be direct");
}
