//! `kvtrace plot` and `kvtrace report`: what pictures and the page hold.

use kvtrace::measure::replay::{QosReport, QosTarget, Requests, TokenSums};
use serde_json::{Value, json};

use crate::samples;
use crate::support::Bench;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("r.json", samples::json(&samples::replay(Some(samples::kv_block()))));
    bench.write("b.json", samples::json(&samples::kv_block()));
    bench
}

/// The words of an SVG.
fn words(svg: &str) -> Vec<String> {
    svg.split("<text")
        .skip(1)
        .filter_map(|t| t.split_once('>')?.1.split_once("</text").map(|w| w.0.trim().to_owned()))
        .collect()
}

#[test]
fn every_picture_has_words_units_and_the_schema_in_both_formats() {
    let bench = bench();
    let expected = [
        ("latency", "r.json", &["P99", "1 ms", "time of one object (log scale)"][..]),
        ("throughput", "r.json", &["GB/s (1e9 bytes)", "time since the start of the run (s)"]),
        ("size", "b.json", &["512 KiB", "% of the direction&apos;s bytes"]),
        ("inflight", "b.json", &["% of the time with any", "reads in flight"]),
        ("lba", "b.json", &["place on the device (GiB)"]),
    ];
    for (kind, input, said) in expected {
        for name in [format!("{kind}.svg"), format!("{kind}.png")] {
            bench.ok(&["plot", kind, input, "-o", &name]);
            let first = bench.read(&name);
            assert!(first.windows(14).any(|window| window == b"kvtrace.plot/1"), "{name}");
            // Ours may be replaced, and comes out the same.
            bench.ok(&["plot", kind, input, "-o", &name]);
            assert_eq!(first, bench.read(&name), "{name}");
        }
        let svg = String::from_utf8(bench.read(&format!("{kind}.svg"))).unwrap();
        let words = words(&svg);
        for word in said {
            assert!(words.iter().any(|w| w == word), "{kind}: no `{word}` in {words:?}");
        }
        assert!(words.iter().any(|w| w.starts_with(input)), "{kind} does not say which file it shows");
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{kind}");
        assert!(bench.read(&format!("{kind}.png")).starts_with(b"\x89PNG\r\n\x1a\n"));
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_with_the_way_out() {
    let bench = bench();
    bench.write("uncaptured.json", samples::json(&samples::replay(None)));
    assert!(bench.refused(2, &["plot", "size", "uncaptured.json", "-o", "x.svg"]).contains("--capture"));
    assert!(bench.refused(2, &["plot", "throughput", "b.json", "-o", "x.svg"]).contains("replay result"));
    assert!(bench.refused(2, &["plot", "latency", "r.json", "-o", "x.jpg"]).contains(".svg or .png"));
    bench.write("idle.json", samples::json(&samples::block(&[])));
    assert!(bench.refused(2, &["plot", "size", "idle.json", "-o", "x.svg"]).contains("saw no request"));
    let mut still = samples::replay(None);
    still.latency.clear();
    still.series = kvtrace::measure::replay::Series::default();
    bench.write("still.json", samples::json(&still));
    assert!(bench.refused(2, &["plot", "latency", "still.json", "-o", "x.svg"]).contains("no latency"));
    assert!(bench.refused(2, &["plot", "throughput", "still.json", "-o", "x.svg"]).contains("no bytes over time"));
    assert!(!bench.files().iter().any(|file| file.starts_with("x.")));
}

#[test]
fn a_report_is_whole_and_opens_with_the_verdict() {
    let bench = bench();
    bench.ok(&["distill-fio", "b.json", "-o", "job.fio"]);
    bench.ok(&["report", "r.json", "job.fio", "-o", "report.html"]);
    let page = String::from_utf8(bench.read("report.html")).unwrap();
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no `{text}` in the report"));
    assert!(at("The storage device bounded this run") < at("Key numbers"));
    assert!(at("D2C is 93 % of the service time") < at("<h2>Latency"));
    for said in [
        "kvtrace.report/1",
        "requests at once",
        "cross-check",
        "No wrong data",
        &"ab".repeat(32),
        "max-objects",
        "bssplit=",
    ] {
        at(said);
    }
    assert_eq!(page.matches("<svg ").count(), 6);
    for outside in ["http://", "https://", "src=", "url(", "@import", "<script", "<link"] {
        let found = page.replace("http://www.w3.org/2000/svg", "").contains(outside);
        assert!(!found, "the page reaches for `{outside}`");
    }
    bench.ok(&["report", "job.fio", "r.json", "-o", "again.html"]);
    assert_eq!(page.as_bytes(), bench.read("again.html"));
}

#[test]
fn an_invalid_run_says_so_first() {
    let bench = Bench::new();
    let mut replay = samples::replay(None);
    replay.valid = false;
    replay.invalid_reasons = vec!["12 % of the starts were later than <1 ms>".to_owned()];
    replay.notes = vec!["tier 2 ran through the page cache".to_owned()];
    replay.verify.failure_count = 1;
    bench.write("r.json", samples::json(&replay));
    let page = bench.ok(&["report", "r.json", "-o", "-"]);
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no `{text}` in the report"));
    assert!(at("NOT VALID") < at("bounded this run"));
    assert!(at("later than &lt;1 ms&gt;") < at("Key numbers") && at("page cache") < at("Key numbers"));
    at("1 wrong reads");
    at("--capture");
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let bench = Bench::new();
    let evil = "<img src=x onerror=alert(1)>\"'&]]>";
    let mut replay = samples::replay(Some(samples::kv_block()));
    replay.trace.file = evil.to_owned();
    replay.host.cpu = evil.to_owned();
    replay.verdict.because = evil.to_owned();
    replay.verdict.bound = evil.to_owned();
    replay.notes = vec![evil.to_owned()];
    replay.tiers[2].target = evil.to_owned();
    replay.tiers[2].backend = evil.to_owned();
    replay.config.insert(evil.to_owned(), evil.into());
    replay.block.as_mut().unwrap().devices[0].name = evil.to_owned();
    replay.block.as_mut().unwrap().loss.insert(evil.to_owned(), 3);
    bench.write("r.json", samples::json(&replay));
    let page = bench.ok(&["report", "r.json", "-o", "-"]);
    assert!(!page.contains("<img"), "markup got through");
    let job = bench.ok(&["distill-fio", "r.json", "-o", "-"]);
    assert!(job.starts_with("# kvtrace.job/1"));
}

#[test]
fn a_report_refuses_what_it_does_not_know() {
    let bench = bench();
    bench.write("junk.json", "{}");
    assert!(bench.refused(2, &["report", "r.json", "junk.json", "-o", "x.html"]).contains("no `schema`"));
}

#[test]
fn a_report_says_what_is_modelled_and_what_few_requests_do_not_carry() {
    let bench = Bench::new();
    let mut replay = samples::replay(None);
    let end_to_end = samples::times("end_to_end", None, 40e6, 500);
    let targets = [(0.95, 50.0, 300), (0.9999, 60_000.0, 500)];
    let targets = targets.map(|(q, ms, within)| QosTarget::judge(q, ms, within, &end_to_end)).into();
    let kept = QosReport { count: 500, end_to_end: end_to_end.clone(), targets, ..QosReport::default() };
    let nobody = QosReport { no_data: true, ..QosReport::default() };
    replay.requests = Some(Requests {
        count: 500,
        storage: end_to_end.clone(),
        end_to_end,
        qos: [("batch".to_owned(), kept), ("responsive".to_owned(), nobody)].into(),
        ..Requests::default()
    });
    let sums = TokenSums { generated: Some(1200), storage_s: Some(3.0), tier2_moved: 60_000.0, ..TokenSums::default() };
    replay.tokens = Some(sums.rates(12.0));
    replay.host.conditions.steal_share = Some(0.07);
    bench.write("r.json", samples::json(&replay));
    let page = bench.ok(&["report", "r.json", "-o", "-"]);
    for said in [
        "tokens generated per wall second</dt><dd>100/s",
        "tokens moved by tier 2 per wall second</dt><dd>5000/s",
        "(the reference&#39;s)</dt><dd>400/s",
        "moved by tier 2 for each token generated</dt><dd>50.0",
        "500 requests do not carry P99.99: it takes 29956",
        "<td>no data</td>",
        "60.00 %</td><td class=\"n\">NO",
        "Conditions of the host",
        "<dd>7.0 %</dd>",
    ] {
        assert!(page.contains(said), "no `{said}` in {page}");
    }
}

#[test]
fn results_of_earlier_versions_are_still_read() {
    let bench = Bench::new();
    let mut old = serde_json::to_value(samples::replay(None)).unwrap();
    let remove = |value: &mut Value, names: &[&str]| {
        names.iter().for_each(|name| assert!(value.as_object_mut().unwrap().remove(*name).is_some(), "{name}"));
    };
    remove(&mut old, &["amplification"]);
    remove(&mut old["host"], &["conditions"]);
    remove(&mut old["latency"][0], &["by_size"]);
    remove(&mut old["tiers"][2], &["decode_read_bytes", "prefill_write_bytes"]);
    remove(&mut old["timing"], &["late_bound_ns"]);
    let times = serde_json::to_value(samples::times("storage", None, 40e6, 500)).unwrap();
    old["requests"] = json!({
        "count": 500, "storage": times, "queue": times, "generation": times, "end_to_end": times,
        "qos": {"batch": {"count": 500, "end_to_end": times, "target_p95_ms": 1000.0, "compliance": 1.0}},
    });
    old["tokens"] = json!({
        "generated_per_s": 1.0, "tier2_moved_per_s": 2.0, "generated_per_storage_s": null, "read_amplification": 3.0,
    });
    bench.write("old.json", old.to_string());
    assert!(bench.ok(&["report", "old.json", "-o", "-"]).contains("end to end, batch"));
}
