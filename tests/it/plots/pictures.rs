//! `kvtrace plot`: each kind with real, extreme and tiny data.

use std::io::Write;
use std::process::{Command, Stdio};

use kvtrace::measure::{Histogram, LogLinear};

use super::sources;
use crate::samples;
use crate::support::{Bench, has_program, skip};

/// Every kind and an input that has it.
const KINDS: [(&str, &str); 17] = [
    ("latency", "r.json"),
    ("latency", "b.json"),
    ("throughput", "r.json"),
    ("size", "b.json"),
    ("inflight", "b.json"),
    ("lba", "b.json"),
    ("lba", "e.parquet"),
    ("fidelity", "card.json"),
    ("occupancy", "t.csv.zst"),
    ("arrivals", "t.csv.zst"),
    ("curve", "curve.json"),
    ("hits", "hits.json"),
    ("reuse", "reuse.json"),
    ("popularity", "reuse.json"),
    ("working-set", "reuse.json"),
    ("endurance", "endurance.json"),
    ("compare", "compare.json"),
];

/// Asks an XML parser of somebody else's whether all of these are well formed.
fn well_formed(svgs: &[String]) {
    if !has_program("python3") {
        return skip("python3, whose XML parser checks pictures, is not here");
    }
    let program = "import sys, xml.dom.minidom as m\n\
                   for one in sys.stdin.buffer.read().split(b'\\0'):\n d = m.parseString(one); assert d.documentElement.tagName == 'svg'";
    let mut child =
        Command::new("python3").args(["-c", program]).stdin(Stdio::piped()).spawn().expect("python3 starts");
    child.stdin.take().expect("its stdin").write_all(svgs.join("\0").as_bytes()).expect("python3 reads");
    assert!(child.wait().expect("python3 ends").success());
}

fn sound(svg: &str, what: &str) {
    assert!(svg.starts_with("<svg ") && svg.contains("kvtrace.plot/1") && svg.contains("<text"), "{what}");
    assert!(!svg.contains("NaN") && !svg.contains("inf\"") && !svg.contains("inf "), "{what}");
}

#[test]
fn every_kind_is_drawn_in_both_formats_the_same_every_time() {
    let bench = Bench::new();
    sources::all(&bench);
    let mut svgs = Vec::new();
    for (kind, input) in KINDS {
        let svg = bench.ok(&["plot", kind, input, "-o", "-"]);
        sound(&svg, kind);
        assert!(svg.contains(input), "{kind} does not say which file it shows");
        assert_eq!(svg, bench.ok(&["plot", kind, input, "-o", "-"]), "{kind}");
        bench.ok(&["plot", kind, input, "-o", "x.png"]);
        let png = bench.read("x.png");
        // Both are the same layout: the PNG has twice the pixels.
        let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) / 2;
        assert!(svg.contains(&format!("width=\"{}\" height=\"{}\"", size(16), size(20))), "{kind}");
        svgs.push(svg);
    }
    well_formed(&svgs);
}

#[test]
fn a_kind_that_a_file_does_not_hold_is_refused_with_the_way_out() {
    let bench = Bench::new();
    let files = sources::all(&bench);
    let mut refusals = 0;
    for kind in [
        "latency",
        "throughput",
        "size",
        "fidelity",
        "occupancy",
        "arrivals",
        "curve",
        "hits",
        "reuse",
        "endurance",
        "compare",
    ] {
        for file in &files {
            let ended = bench.run(&["plot", kind, file, "-o", "-"]);
            assert!([0, 2].contains(&ended.code), "{kind} of {file}: {}", ended.stderr);
            if ended.code == 2 {
                let line = ended.stderr.lines().last().unwrap_or_default();
                assert!(line.contains(file) && line.len() < 300, "{kind} of {file}: {line}");
                refusals += 1;
            }
        }
    }
    assert!(refusals > 80, "{refusals}");
    assert!(bench.refused(2, &["plot", "size", "b.json", "r.json", "-o", "x.svg"]).contains("drawn of one file"));
    assert!(bench.refused(2, &["plot", "curve", "curve.json", "--x", "miles", "-o", "x.svg"]).contains("gib"));
}

/// A histogram of these times.
fn times(name: &str, op: &str, values: &[u64]) -> Histogram {
    let mut counter = LogLinear::times();
    values.iter().for_each(|value| counter.record(*value));
    counter.save(name, Some(op), "ns")
}

#[test]
fn one_value_zeros_and_twelve_orders_of_magnitude_are_drawn() {
    let bench = Bench::new();
    let cases: [&[u64]; 4] = [&[0], &[1], &[700_000], &[1, 1_000, 1_000_000, 1_000_000_000, 1_000_000_000_000]];
    let mut svgs = Vec::new();
    for (number, values) in cases.into_iter().enumerate() {
        let mut block = samples::block(&[samples::Load { op: "read", sizes: &[(512, 1)], depths: &[(1, 1)] }]);
        block.histograms.retain(|h| h.name != "d2c" && h.name != "q2d");
        block.histograms.extend([
            times("d2c", "read", values),
            times("q2d", "read", values),
            times("gap", "read", values),
        ]);
        let mut replay = samples::replay(Some(block.clone()));
        for latency in &mut replay.latency {
            latency.response = times("response", "read", values);
            latency.service = times("service", "read", &values[..1]);
        }
        replay.series.tier2_read_bytes = vec![u64::MAX >> 8];
        replay.series.interval_s = 1e-9;
        // A name as long as names get.
        let name = format!("{}-{number}.json", "a-very-long-name-of-a-result".repeat(8));
        bench.write(&name, samples::json(&replay));
        bench.write("card.json", samples::json(&sources::card(&block, &samples::kv_block())));
        for kind in ["latency", "throughput", "size", "inflight", "lba"] {
            let svg = bench.ok(&["plot", kind, &name, "-o", "-"]);
            sound(&svg, kind);
            svgs.push(svg);
        }
        svgs.push(bench.ok(&["plot", "fidelity", "card.json", "-o", "-"]));
        let reuse: Vec<i64> = values.iter().map(|value| *value as i64).collect();
        bench.write("reuse.json", sources::reuse(&reuse));
        svgs.push(bench.ok(&["plot", "reuse", "reuse.json", "-o", "-"]));
    }
    well_formed(&svgs);
}

#[test]
fn one_request_is_drawn_over_time_and_in_place() {
    let bench = Bench::new();
    sources::events(&bench, "one.parquet", 1);
    let svg = bench.ok(&["plot", "lba", "one.parquet", "-o", "-"]);
    assert!(svg.contains("1 writes") && svg.contains("vda"), "{svg}");
    bench.write("one.csv", "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n0.5,Write,100,Tier-2,k,Prefill\n");
    let svg = bench.ok(&["plot", "occupancy", "one.csv", "-o", "-"]);
    assert!(svg.contains("peak 100 B") && svg.contains("no Delete rows"), "{svg}");
    sound(&bench.ok(&["plot", "arrivals", "one.csv", "-o", "-"]), "arrivals");
    bench.write("none.csv", "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n");
    assert!(bench.refused(2, &["plot", "occupancy", "none.csv", "-o", "x.svg"]).contains("none.csv"));
}

#[test]
fn twenty_curves_of_several_files_are_told_apart() {
    let bench = Bench::new();
    bench.write("a.json", sources::curve(10, &[(1, 0.0), (1_000_000_000_000, 1.0)]));
    bench.write("b.json", sources::curve(10, &[(7, 0.5)]));
    let svg = bench.ok(&["plot", "curve", "a.json", "b.json", "--x", "gib", "-o", "-"]);
    sound(&svg, "curve");
    assert_eq!(svg.matches("policy-").count(), 20);
    assert!(svg.contains("a.json, b.json"), "both files are named");
    bench.write("many.json", sources::curve(29, &[(7, 0.5)]));
    assert!(bench.refused(2, &["plot", "curve", "many.json", "-o", "x.svg"]).contains("cannot be told apart"));
}

#[test]
fn tiers_are_as_full_over_time_as_the_recording_says() {
    let bench = Bench::new();
    let flags = [
        "--num-users",
        "6",
        "--duration",
        "6s",
        "--gpu-mem-gb",
        "1",
        "--cpu-mem-gb",
        "1",
        "--storage-capacity-gb",
        "2",
    ];
    for (name, more) in
        [("t.csv.zst", &[][..]), ("p.parquet", &["--promotion", "on-read"]), ("e.csv.zst", &["--profile", "engine"])]
    {
        bench.ok(&[&["record", "synthetic", "-o", name], &flags[..], more].concat());
        let page = bench.ok(&["report", name, "-o", "-"]);
        let (over, _) = kvtrace::plot::over_time::OverTime::of(
            &bench.path(name),
            &kvtrace::stop::Stop::new(),
            &kvtrace::progress::Silent,
        )
        .unwrap();
        let record = over.meta.record.as_ref().unwrap();
        let expected: Vec<u64> = record.tiers.iter().map(|tier| tier.peak_bytes).collect();
        let found: Vec<u64> = record.tiers.iter().map(|tier| over.peak_bytes[tier.tier.index()]).collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(over.arrivals.iter().sum::<u64>(), record.requests, "{name}");
        assert!(page.contains("How full the tiers are over time") && page.contains("How requests arrive"), "{name}");
    }
}

#[test]
fn a_heat_map_holds_every_request_and_leaves_strays_out_aloud() {
    let bench = Bench::new();
    sources::events(&bench, "e.parquet", 2_000);
    let svg = bench.ok(&["plot", "lba", "e.parquet", "-o", "-"]);
    assert!(
        svg.contains("1,500 reads") && svg.contains("500 writes") && svg.contains("not shown: 1 request elsewhere"),
        "{svg}"
    );
}
