//! The page of a plan, in a headless browser: its numbers are those of the command that it prints.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::plan::requests;
use crate::support::{Bench, has_program, skip};

const PLAN: [&str; 14] = [
    "analyze",
    "plan",
    "load.jsonl",
    "--model",
    "llama3.1-8b",
    "--target-hit",
    "0.4",
    "--tbw",
    "14PB",
    "--drive-capacity",
    "7.68TB",
    "--prefill-tokens-per-s",
    "5000",
    "-o",
];

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("load.jsonl", requests());
    let prices = ["plan.json", "--price", "dram=4,nvme=80,gpu-hour=2.5"];
    bench.ok(&[&PLAN[..], &prices].concat());
    bench.ok(&["report", "plan.json", "-o", "page.html"]);
    bench
}

/// What the page is once its script has run at a point.
fn shown(bench: &Bench, hash: &str) -> String {
    let page = format!("file://{}{hash}", bench.path("page.html").display());
    let profile = format!("--user-data-dir={}", bench.path("profile").display());
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", &profile, "--dump-dom", &page]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("chromium starts");
    String::from_utf8(output.stdout).expect("a page is UTF-8")
}

/// What is between a tag's end and the next one, of the element with an id.
fn text(page: &str, id: &str) -> String {
    let at = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in the page"));
    let rest = &page[at..];
    let inside = &rest[rest.find('>').unwrap() + 1..];
    inside[..inside.find('<').unwrap()].replace("&amp;", "&")
}

fn value(page: &str, id: &str) -> Option<f64> {
    let at = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in the page"));
    let tag = &page[at..at + page[at..].find('>').unwrap()];
    let raw = tag.split("data-value=\"").nth(1).unwrap_or_else(|| panic!("no number at {id}: {tag}"));
    raw[..raw.find('"').unwrap()].parse().ok()
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let bench = bench();
    let page = String::from_utf8(bench.read("page.html")).unwrap();
    for (outside, why) in
        [("http://", "network"), ("https://", "network"), ("src=", "other files"), ("@import", "sheets")]
    {
        assert!(!page.contains(outside), "the page asks for {why}");
    }
    // Without its script it says the plan, a table of the curve, and what is assumed.
    for words in ["of NVMe hit", "hit ratio", "What is assumed", "exclusive", "sha256", "<noscript>"] {
        assert!(page.contains(words), "no `{words}`");
    }
    assert!(page.contains("id=\"what-if\" hidden") && !page.contains("NaN"));
    bench.write("cut.json", "{\"schema\": \"kvtrace.analysis/1\", \"kind\": \"plan\"}");
    assert!(bench.refused(2, &["report", "cut.json", "-o", "x.html"]).contains("missing field"));
}

#[test]
fn a_name_of_a_file_is_no_markup() {
    let bench = Bench::new();
    let name = "a<b>&'\"</script>.jsonl".replace('/', "_");
    bench.write(&name, requests());
    bench.ok(&["analyze", "plan", &name, "--model", "bytes:100", "--target-hit", "0.3", "-o", "plan.json"]);
    bench.ok(&["report", "plan.json", "-o", "page.html"]);
    let page = String::from_utf8(bench.read("page.html")).unwrap();
    let head = &page[..page.find("<style>").unwrap()];
    assert!(!head.contains("<b>") && head.contains("&lt;b&gt;"), "{head}");
}

#[test]
fn every_point_of_the_page_is_what_its_command_says() {
    if !has_program("chromium") {
        return skip("no chromium to open the page with");
    }
    let bench = bench();
    let points = [
        "",
        "#dram=40&nvme=200&drives=3&tbw=7.3&rate=2.5",
        "#writes=through:1&dram=30&nvme=300&price-dram=6.5&years=3",
        "#writes=through:2&dram=25&nvme=120&model=qwen3-32b&capacity=3.84",
    ];
    for hash in points {
        let page = shown(&bench, hash);
        let command = text(&page, "wi-command");
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let said = bench.ok_json(&[&words[..], &["--json"]].concat());
        let chosen = &said["chosen"];
        let figures = [
            ("wi-hit", &chosen["hit_ratio"]),
            ("wi-day", &chosen["host_writes_per_day_bytes"]),
            ("wi-dwpd", &chosen["dwpd"]),
            ("wi-years", &chosen["years"]),
            ("wi-cost", &chosen["cost_per_million"]["total"]),
        ];
        for (id, expected) in figures {
            let found = value(&page, id);
            let same = match (found, expected.as_f64()) {
                (Some(found), Some(expected)) => (found - expected).abs() <= 1e-12 * expected.abs(),
                (None, None) => true,
                _ => false,
            };
            assert!(same, "{id} at {hash}: the page says {found:?}, `{command}` {expected}");
        }
        assert_eq!(said["command"].as_str(), Some(command.as_str()), "the command names itself");
    }
    let plan: Value = bench.json("plan.json");
    assert_eq!(plan["command"].as_str(), Some(text(&shown(&bench, ""), "wi-command").as_str()));
}
