//! `kvtrace report` of every kind of input, and the page in a browser.

use std::process::Command;
use std::time::{Duration, Instant};

use super::sources;
use crate::samples;
use crate::support::{Bench, has_program, skip};

#[test]
fn every_input_alone_makes_a_page_with_its_verdict() {
    let bench = Bench::new();
    sources::all(&bench);
    for (input, said) in [
        ("r.json", "The storage device bounded this run."),
        ("b.json", "reads, at the device P50"),
        ("card.json", "The job misses 1 of 2 bounds."),
        ("curve.json", "policy-0 hits at most 36.6 %, and 36.6 % from 182,790 blocks"),
        ("reuse.json", "40.0 % of references are to blocks that were used before"),
        ("hits.json", "a cache without end hits 37.5 % of token blocks and 38.0 % of tokens"),
        ("endurance.json", "a day, 3.20 years of rated writes"),
        ("strange.json", "an analysis of the kind strange"),
        ("compare.json", "with too few runs to tell"),
        ("t.csv.zst", "rows and"),
        ("e.parquet", "Where on the device the requests went, over time"),
        ("job.fio", "bssplit="),
    ] {
        let page = bench.ok(&["report", input, "-o", "-"]);
        assert!(page.contains(said), "{input}: no `{said}` in {}", &page[page.find("<h1").unwrap()..]);
        assert!(page.contains("kvtrace.report/1") && page.contains(input), "{input}");
        assert!(!page.contains("NaN") && !page.contains("<b>&lt;"), "{input}");
    }
}

#[test]
fn all_inputs_share_one_page_that_reaches_for_nothing() {
    let bench = Bench::new();
    let files = sources::all(&bench);
    bench.ok(&[&["report"], &files[..], &["-o", "all.html"]].concat());
    let page = String::from_utf8(bench.read("all.html")).unwrap();
    for outside in ["http://", "https://", "src=", "url(", "@import", "<script", "<link"] {
        assert!(!page.replace("http://www.w3.org/2000/svg", "").contains(outside), "the page reaches for `{outside}`");
    }
    assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"[..].repeat(2).as_str()), "markup from outside");
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no `{text}`"));
    assert!(at("r.json: The storage device bounded this run.") < at("Where a request&#39;s time went"));
    for drawn in ["What the source did", "Hit ratio by capacity", "How soon blocks are used again", "What changed"] {
        at(drawn);
    }
}

#[test]
fn several_replays_stand_side_by_side() {
    let bench = Bench::new();
    let replay = samples::replay(Some(samples::kv_block()));
    bench.write("a.json", samples::json(&replay));
    let mut other = replay.clone();
    other.totals.wall_s = 24.0;
    other.trace.sha256 = "cd".repeat(32);
    bench.write("b.json", samples::json(&other));
    let page = bench.ok(&["report", "a.json", "b.json", "-o", "-"]);
    for said in [
        "2 replays",
        "The replays side by side",
        "Their loads DIFFER",
        "Key numbers · a.json",
        "Latency · b.json",
        "24.0 s",
    ] {
        assert!(page.contains(said), "no `{said}`");
    }
    other.trace.sha256.clone_from(&replay.trace.sha256);
    bench.write("b.json", samples::json(&other));
    assert!(!bench.ok(&["report", "a.json", "b.json", "-o", "-"]).contains("DIFFER"));
}

#[test]
fn where_the_time_went_adds_up() {
    let bench = Bench::new();
    let mut replay = samples::replay(Some(samples::kv_block()));
    let times = |name: &str, median| samples::times(name, None, median, 400);
    replay.requests = Some(kvtrace::measure::replay::Requests {
        count: 400,
        queue: times("queue", 9e6),
        generation: times("generation", 80e6),
        storage: times("storage", 20e6),
        storage_response: times("storage_response", 50e6),
        ..Default::default()
    });
    replay.timing.dependency_wait = times("dependency_wait", 3e6);
    bench.write("r.json", samples::json(&replay));
    let page = bench.ok(&["report", "r.json", "-o", "-"]);
    let from = page.find("<h2>Where a request").unwrap();
    let section = &page[from..page[from..].find("Below the objects").unwrap() + from];
    let parts = ["queue", "generation", "dependency wait", "software above the block layer", "Q2D", "D2C, the device"];
    for part in parts {
        assert!(section.contains(part), "no `{part}` in {section}");
    }
    let widths = section
        .match_indices("width:")
        .map(|(at, found)| section[at + found.len()..].split('%').next().unwrap().parse::<f64>().unwrap());
    let sum: f64 = widths.sum();
    assert!((sum - 100.0).abs() < 0.1, "{sum}");
    bench.write("without.json", samples::json(&samples::replay(None)));
    let page = bench.ok(&["report", "without.json", "-o", "-"]);
    assert!(page.contains("no requests file") && page.contains("tier 2, not looked into"));
}

/// What a page says in its title after a script has run in it, in a frame of so many pixels.
fn in_browser(bench: &Bench, page: &str, width: u32, script: &str) -> Option<String> {
    if !has_program("chromium") {
        skip("chromium, in which pages are tested, is not here");
        return None;
    }
    // A frame has any width and its own media queries; a window is at least 500 pixels wide.
    let held = page.replace('&', "&amp;").replace('"', "&quot;");
    let html = format!(
        "<!doctype html><title>none</title><script>let errors=[];onerror=m=>errors.push(m)</script>\
         <iframe id=f width={width} height=800 srcdoc=\"{held}\"></iframe>\
         <script>f.onload=()=>{{let d=f.contentDocument,w=f.contentWindow;document.title=(()=>{{{script}}})()}}</script>"
    );
    bench.write("frame.html", html);
    let url = format!("file://{}", bench.path("frame.html").display());
    let profile = bench.path("profile");
    let args = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--enable-logging=stderr", "--v=0"];
    let mut command = Command::new("chromium");
    command.args(args).arg(format!("--user-data-dir={}", profile.display())).arg(url);
    let out = command.output().expect("chromium runs");
    let log = String::from_utf8_lossy(&out.stderr);
    assert!(!log.contains("CONSOLE"), "the page complains: {log}");
    let dom = String::from_utf8_lossy(&out.stdout);
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    Some(title.unwrap_or_else(|| panic!("no page: {log}")).to_owned())
}

#[test]
fn nothing_is_wider_than_a_narrow_screen() {
    let bench = Bench::new();
    let files = sources::all(&bench);
    let page = bench.ok(&[&["report"], &files[..], &["-o", "-"]].concat());
    let script = "let held=e=>e.closest('.wide,pre,figure,svg');\
                  let over=[...d.querySelectorAll('body *')].filter(e=>!held(e)&&e.getBoundingClientRect().right>391);\
                  let e=d.documentElement;return [e.scrollWidth-e.clientWidth, over.length, d.querySelectorAll('svg').length, d.title].join(' ')";
    let Some(said) = in_browser(&bench, &page, 390, script) else { return };
    let mut words = said.split(' ');
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<u32>().ok());
    assert_eq!((number(words.next()), number(words.next())), (Some(0), Some(0)), "{said}");
    assert!(number(words.next()) > Some(15), "{said}");
    // The check can fail: something wide is seen.
    let wide = page.replace("<h1>", "<div style=\"width:600px\">x</div><h1>");
    let said = in_browser(&bench, &wide, 390, script).unwrap();
    assert!(!said.starts_with("0 0"), "{said}");
}

#[test]
fn the_page_prints() {
    let bench = Bench::new();
    if !has_program("chromium") {
        return skip("chromium, in which pages are tested, is not here");
    }
    bench.write("r.json", samples::json(&samples::replay(Some(samples::kv_block()))));
    bench.ok(&["report", "r.json", "-o", "r.html"]);
    let url = format!("file://{}", bench.path("r.html").display());
    let started = Instant::now();
    let mut command = Command::new("chromium");
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"])
        .arg(format!("--user-data-dir={}", bench.path("profile").display()))
        .arg(format!("--print-to-pdf={}", bench.path("r.pdf").display()))
        .arg(url);
    let out = command.output().expect("chromium runs");
    let pdf = bench.read("r.pdf");
    assert!(pdf.starts_with(b"%PDF") && pdf.len() > 20_000, "{}", String::from_utf8_lossy(&out.stderr));
    assert!(started.elapsed() < Duration::from_secs(120), "a page that hangs a browser");
}
