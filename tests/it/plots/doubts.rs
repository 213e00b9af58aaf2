//! What makes figures doubtful, or is not known, is said in pages and pictures.

use kvtrace::measure::LogLinear;
use kvtrace::measure::block::BlockDevice;
use kvtrace::measure::events::{BlockOp, Event, EventsMeta, EventsWriter, Side};
use kvtrace::output::Overwrite;
use serde_json::{Value, json};

use super::sources;
use crate::samples;
use crate::support::Bench;

#[test]
fn tainted_and_interrupted_events_say_so() {
    let bench = Bench::new();
    let device = BlockDevice { name: "vda".to_owned(), size_bytes: 1 << 30, ..BlockDevice::default() };
    let mut writer = EventsWriter::create(&bench.path("e.parquet"), Overwrite::Ours, vec!["vda".to_owned()]).unwrap();
    let event = Event { side: Side::Target, op: BlockOp::Read, offset_bytes: Some(4096), ..Event::default() };
    writer.write(event).unwrap();
    let taint_reasons = vec!["clocks ran apart".to_owned()];
    let meta = EventsMeta { devices: vec![device], ring_drop: 3, taint_reasons, ..EventsMeta::default() };
    writer.finish(meta).unwrap();
    let page = bench.ok(&["report", "e.partial.parquet", "-o", "-"]);
    for said in
        ["1 read on vda", "The capture was interrupted", "The capture is tainted", "clocks ran apart", "3 rows are"]
    {
        assert!(page.contains(said), "no `{said}`");
    }
    let svg = bench.ok(&["plot", "lba", "e.partial.parquet", "-o", "-"]);
    assert!(svg.contains("INTERRUPTED") && svg.contains("TAINTED: clocks ran apart"), "{svg}");
    assert!(svg.contains("crispEdges"), "cells show seams");
}

#[test]
fn an_interrupted_proof_has_no_verdict() {
    let bench = Bench::new();
    let mut card = sources::card(&samples::kv_block(), &samples::kv_block());
    card["complete"] = json!(false);
    card["distilled"]["blocks"] = json!([]);
    for metric in card["metrics"].as_array_mut().unwrap() {
        metric["pass"] = Value::Null;
    }
    bench.write("card.json", card.to_string());
    let page = bench.ok(&["report", "card.json", "-o", "-"]);
    assert!(page.contains("interrupted: there is no verdict") && page.contains("did not run to its end"), "{page}");
    assert!(!page.contains("NOT every bound") && !page.contains("2 runs"), "{page}");
}

#[test]
fn a_card_marks_what_is_missed_and_what_passed_by_noise_alone() {
    let bench = Bench::new();
    let mut card = sources::card(&samples::kv_block(), &samples::kv_block());
    let first = &mut card["metrics"][0];
    (first["distance"], first["noise_floor"], first["allowed"]) = (json!(0.05), json!(0.04), json!(0.08));
    let mut depth = first.clone();
    (depth["name"], depth["bound"], depth["allowed"], depth["pass"]) =
        (json!("depth"), Value::Null, Value::Null, Value::Null);
    card["metrics"].as_array_mut().unwrap().push(depth);
    bench.write("card.json", card.to_string());
    let page = bench.ok(&["report", "card.json", "-o", "-"]);
    assert!(page.contains("ok, as far as the noise tells") && page.contains("depth (shown, not judged)"));
    assert_eq!(page.matches("<tr class=\"missed\">").count(), 1);
}

#[test]
fn five_objects_carry_no_high_quantile() {
    let bench = Bench::new();
    let mut times = LogLinear::times();
    (1..=5).for_each(|ms| times.record(ms * 1_000_000));
    let mut replay = samples::replay(None);
    replay.latency.truncate(1);
    for latency in &mut replay.latency {
        latency.response = times.save("response", Some("read"), "ns");
        latency.service = times.save("service", Some("read"), "ns");
    }
    bench.write("r.json", samples::json(&replay));
    let page = bench.ok(&["report", "r.json", "-o", "-"]);
    let row = page.split("<td>service</td>").nth(1).and_then(|rest| rest.split("</tr>").next()).unwrap();
    let dash = "<td class=\"n\">-</td>";
    assert!(row.starts_with("<td class=\"n\">5</td>") && row.contains(&dash.repeat(3)) && row.contains(" ms"), "{row}");
}

#[test]
fn a_page_of_several_kinds_is_of_no_single_replay() {
    let bench = Bench::new();
    let files = sources::all(&bench);
    let page = bench.ok(&[&["report"], &files[..], &["-o", "-"]].concat());
    assert!(page.contains(&format!("<h1>Report on {} files</h1>", files.len())));
    assert!(page.contains("job.fio: a fio job of 1 part;") || page.contains("job.fio: a fio job of 2 parts;"));
    let belongs = bench.ok(&["report", "r.json", "job.fio", "-o", "-"]);
    assert!(belongs.contains("<h1>Replay of "));
}

#[test]
fn zeros_of_reuse_are_counted_and_quantiles_are_the_files() {
    let bench = Bench::new();
    let mut reuse: Value = serde_json::from_str(&sources::reuse(&[0, 1_000_000, 2_000_000, 9_000_000])).unwrap();
    reuse["time"]["p50_s"] = json!(1.25);
    bench.write("reuse.json", reuse.to_string());
    let svg = bench.ok(&["plot", "reuse", "reuse.json", "-o", "-"]);
    let words: Vec<&str> =
        svg.split("<text").filter_map(|t| t.split_once('>')?.1.split("</text").next()).map(str::trim).collect();
    assert!(words.contains(&"at 0, at the left edge: 25.0 %") && words.contains(&"P50 1.25 s"), "{words:?}");
    assert!(!words.contains(&"1 ns") && !words.contains(&"1 ms"), "{words:?}");
}

#[test]
fn drives_without_end_have_no_policy_and_sizes_are_decimal() {
    let bench = Bench::new();
    let rows = json!({"rows": [{"policy": "lru", "writes": "through", "capacity": null, "admit": 1,
        "host_writes_per_day_bytes": 3e14, "dwpd": 39.0, "years": 0.128}]});
    bench.write("end.json", sources::analysis("endurance", &rows));
    let page = bench.ok(&["report", "end.json", "-o", "-"]);
    assert!(page.contains("the host writes 300 TB a day, 0.13 years"), "{page}");
    let svg = bench.ok(&["plot", "endurance", "end.json", "-o", "-"]);
    assert!(svg.contains("no end") && svg.contains("300 TB") && !svg.contains("lru") && !svg.contains("TiB"), "{svg}");
}
