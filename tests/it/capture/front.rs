//! What people see of a capture, and captures of other tools.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use kvtrace::measure::{BlockResult, Histogram};

use super::device::Loop;
use crate::support::{Bench, has_program, skip};

/// What bpftrace 0.17 printed for the block half of the reference's script and its syscall half on
/// tracepoints, with fio and an fsyncing writer beside it; leftover stamps are shortened to twelve.
const TEXT: &str = include_str!("bpftrace.txt");

/// The reference's maps and our names.
const FIFTEEN: [(&str, &str, Option<&str>); 15] = [
    ("d2c_read_us", "d2c", Some("read")),
    ("d2c_write_us", "d2c", Some("write")),
    ("q2d_read_us", "q2d", Some("read")),
    ("q2d_write_us", "q2d", Some("write")),
    ("bssplit_read_kb", "size", Some("read")),
    ("bssplit_write_kb", "size", Some("write")),
    ("qd_read", "inflight", Some("read")),
    ("qd_write", "inflight", Some("write")),
    ("lba_read_gb", "lba", Some("read")),
    ("lba_write_gb", "lba", Some("write")),
    ("vfs_read_us", "syscall_read", None),
    ("vfs_write_us", "syscall_write", None),
    ("fsync_us", "fsync", None),
    ("write_to_fsync_us", "write_to_fsync", None),
    ("fadvise_to_read_us", "fadvise_to_read", None),
];

/// Values of each histogram, by the last number before its bar.
fn printed() -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    let mut map = String::new();
    for line in TEXT.lines() {
        if let Some(name) = line.strip_prefix('@') {
            map = name.split(':').next().unwrap().to_owned();
        } else if let Some((before, _)) = line.split_once('|') {
            let count: u64 = before.split_whitespace().last().unwrap().parse().unwrap();
            *sums.entry(map.clone()).or_insert(0) += count;
        }
    }
    sums
}

fn taken(bench: &Bench, text: &str) -> BlockResult {
    bench.write("trace.txt", text);
    bench.ok(&["capture", "--quiet", "--from", "trace.txt", "-o", "taken.json"]);
    serde_json::from_slice(&bench.read("taken.json")).expect("a kvtrace.block/1 file")
}

fn bucket(histogram: &Histogram, low: i64) -> (i64, u64) {
    let found = histogram.buckets.iter().find(|bucket| bucket.0 == low);
    found.map(|bucket| (bucket.1, bucket.2)).unwrap_or_else(|| panic!("no {low} in {:?}", histogram.buckets))
}

#[test]
fn the_references_fifteen_are_read_to_the_last_value() {
    let bench = Bench::new();
    let result = taken(&bench, TEXT);
    assert!(result.complete && result.source == "bpftrace" && result.duration_s.is_none());
    let sums = printed();
    assert_eq!(sums.len(), 15, "the sample has them all: {sums:?}");
    for (map, name, op) in FIFTEEN {
        let histogram = result.histogram(name, op).unwrap_or_else(|| panic!("no {name} {op:?}"));
        assert_eq!(histogram.count, sums[map], "{map}");
        assert_eq!(histogram.buckets.iter().map(|bucket| bucket.2).sum::<u64>(), sums[map], "{map}");
        assert_eq!(histogram.rel_width, if name == "lba" { 0.0 } else { 1.0 }, "{map}");
    }
    assert_eq!(result.histograms.len(), 15, "what bpftrace cannot know is absent, not zero");
    // The rows that the reference's own parser drops: [0] and [512, 1K).
    let sizes = result.histogram("size", Some("read")).unwrap();
    assert_eq!(bucket(sizes, 0), (1024, 864));
    assert_eq!(bucket(sizes, 512 << 10), (1 << 20, 8));
    let d2c = result.histogram("d2c", Some("write")).unwrap();
    assert_eq!(bucket(d2c, 4_000), (8_000, 2));
    let lba = result.histogram("lba", Some("read")).unwrap();
    assert_eq!(bucket(lba, 80 << 30), (90 << 30, 206));
    assert!(result.tainted);
    let reasons = result.taint_reasons.join("\n");
    assert!(reasons.contains("@inflight_write stood at 3836"), "the script's counter leaks: {reasons}");
    assert_eq!((result.loss["left_inflight"], result.loss["lost_complete"]), (12, 3904), "{reasons}");
}

#[test]
fn depths_below_zero_are_counted_and_said() {
    let bench = Bench::new();
    let text = "Attaching 12 probes...\n\n@inflight_write: -342\n\n@qd_write: \n\
                (..., 0)            3181 |@@@@@@@@@@|\n[0]                    9 |          |\n\
                [1]                   10 |          |\n\n";
    let result = taken(&bench, text);
    let depth = result.histogram("inflight", Some("write")).unwrap();
    assert_eq!((depth.count, depth.buckets[0]), (3200, (-1, 0, 3181)));
    let reasons = result.taint_reasons.join("\n");
    assert!(reasons.contains("3,181 of 3,200") && reasons.contains("-342"), "{reasons}");
    assert!(result.histogram("inflight", Some("read")).is_none());
    let line = bench.refused(2, &["distill-fio", "trace.txt", "-o", "job.fio"]);
    assert!(line.contains("no request sizes"), "{line}");
}

#[test]
fn unknown_maps_are_named_and_nothing_at_all_is_refused() {
    let bench = Bench::new();
    let text = format!("{TEXT}@mine: \n[1]    5 |@@@@|\n\n@hits[4, fio]: 7\n@seen: 3\n\n");
    let notes = taken(&bench, &text).notes.join("\n");
    for unknown in ["@mine (a histogram of 5", "@hits[…]", "@seen: 3"] {
        assert!(notes.contains(unknown), "{unknown}: {notes}");
    }
    bench.write("other.txt", "Attaching 1 probe...\n\n@mine: \n[1]    5 |@@@@|\n\n");
    let line = bench.refused(2, &["capture", "--from", "other.txt"]);
    assert!(line.contains("@mine") && line.contains("@bssplit_read_kb"), "{line}");
}

#[test]
fn a_text_that_is_cut_names_its_line_and_keeps_what_came_before() {
    let bench = Bench::new();
    let whole = taken(&bench, TEXT);
    let mut partly = 0;
    for end in (200..TEXT.len()).step_by(1_117) {
        bench.write("cut.txt", &TEXT[..end]);
        let ended = bench.run(&["capture", "--quiet", "--overwrite", "--from", "cut.txt", "-o", "cut.json"]);
        let line = TEXT[..end].lines().count();
        match ended.code {
            2 if !ended.stderr.contains("none of the histograms") => {
                assert!(ended.stderr.contains(&format!("line {line}: ")), "{end}: {ended:?}");
                let kept: BlockResult = serde_json::from_slice(&bench.read("cut.partial.json")).unwrap();
                assert!(!kept.complete && !bench.files().contains(&"cut.json".to_owned()));
                for histogram in &kept.histograms {
                    let real = whole.histogram(&histogram.name, histogram.op.as_deref()).unwrap();
                    assert_eq!(histogram, real, "what is kept is whole");
                }
                let refused = bench.refused(2, &["distill-fio", "cut.txt", "-o", "job.fio"]);
                assert!(refused.contains("--from cut.txt"), "{refused}");
                partly += 1;
            }
            2 => assert!(ended.stderr.contains(&format!("line {line}: ")), "{end}: {ended:?}"),
            // Cut between two lines: nothing shows that more was to come, but an open histogram.
            _ => assert!(TEXT[..end].ends_with('\n') || TEXT[end..].starts_with('\n'), "{end}: {ended:?}"),
        }
        let _ = std::fs::remove_file(bench.path("cut.json"));
    }
    assert!(partly >= 5, "{partly} cuts");
}

/// A job without the lines that say what it was made from.
fn body(bench: &Bench, name: &str) -> String {
    let text = String::from_utf8(bench.read(name)).unwrap();
    let told = ["# Source:", "#   sha256"];
    text.lines()
        .filter(|line| !told.iter().any(|word| line.starts_with(word)) && !line.contains("--filename=FILE"))
        .collect()
}

#[test]
fn a_job_is_distilled_from_the_text_the_result_and_at_the_end_alike() {
    let bench = Bench::new();
    bench.write("trace.txt", TEXT);
    bench.ok(&["capture", "--quiet", "--from", "trace.txt", "-o", "taken.json", "--fio", "end.fio"]);
    bench.ok(&["distill-fio", "taken.json", "-o", "result.fio"]);
    bench.ok(&["distill-fio", "trace.txt", "-o", "text.fio"]);
    assert_eq!(body(&bench, "end.fio"), body(&bench, "result.fio"));
    assert_eq!(body(&bench, "text.fio"), body(&bench, "result.fio"));
    let job = body(&bench, "text.fio");
    assert!(job.contains("bssplit=512/"), "sub-KiB requests are not lost");
    assert!(job.contains("stood at 3836") && job.contains("iodepth is their mean"), "what is doubtful is said");
    bench.ok(&["capture", "--quiet", "--from", "trace.txt", "--fio", "alone.fio"]);
    assert_eq!(body(&bench, "alone.fio"), body(&bench, "text.fio"));
    let line = bench.refused(2, &["capture", "--from", "trace.txt", "-o", "x.json", "--fio", "x.json"]);
    assert!(line.contains("same file"), "{line}");
    assert!(!bench.files().contains(&"x.json".to_owned()));
}

const JOB: [&str; 6] =
    ["--rw=randread", "--bs=4k", "--ioengine=io_uring", "--iodepth=4", "--time_based=1", "--runtime=3"];

#[test]
fn watching_shows_tables_that_fit_and_ends_with_the_whole() {
    let Some(device) = Loop::new("none") else { return };
    let fio = device.fio("watched", &JOB);
    let mut args = vec!["capture", "--dev", &device.name, "--watch", "--interval", "500ms", "--fio", "w.fio", "--"];
    args.extend(fio.iter().map(String::as_str));
    let ended = device.bench.run(&args);
    assert_eq!(ended.code, 0, "{ended:?}");
    for line in ended.stderr.lines().filter(|line| !line.starts_with("warning")) {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
    let tables: Vec<&str> = ended.stderr.split("; the last ").collect();
    assert!(tables.len() >= 3, "{ended:?}");
    assert!(tables[..tables.len() - 1].iter().all(|table| table.lines().count() < 24), "{ended:?}");
    let total = |table: &str, column: usize| -> u64 {
        let line = table.lines().find(|line| line.starts_with("size            read")).unwrap_or("- - - 0 0");
        line.split_whitespace().nth(column).unwrap_or("0").replace(',', "").parse().unwrap_or(0)
    };
    let totals: Vec<u64> = tables[1..tables.len() - 1].iter().map(|table| total(table, 3)).collect();
    assert!(totals.is_sorted(), "what there was in all only grows: {totals:?}");
    let last = tables.last().unwrap();
    assert!(last.contains("the job in w.fio") && last.contains("P95"), "{last}");
    let said = device.bench.json("watched.fio")["jobs"][0]["read"]["total_ios"].as_u64().unwrap();
    let counted = last.lines().rfind(|line| line.starts_with("size            read")).map(|line| total(line, 2));
    assert_eq!(counted, Some(said), "the final table is of all: {last}");
    assert!(device.bench.files().contains(&"w.fio".to_owned()), "without -o too");
}

#[test]
fn a_terminal_gets_a_line_a_second_unless_quiet() {
    let Some(device) = Loop::new("none") else { return };
    if !has_program("script") {
        return skip("`script` of util-linux makes the terminal");
    }
    let fio = device.fio("shown", &JOB).join(" ");
    let shown = |flags: &str| {
        let line = format!("{} capture {flags} --dev {} -- {fio}", env!("CARGO_BIN_EXE_kvtrace"), device.name);
        let mut script = Command::new("script");
        script.args(["-qefc", &line, "/dev/null"]).current_dir(device.bench.path("")).stdin(Stdio::null());
        String::from_utf8_lossy(&script.output().expect("script starts").stdout).into_owned()
    };
    let text = shown("");
    assert!(text.contains("in flight") && text.contains("P99"), "{text}");
    assert!(text.contains("min to max"), "the table at the end: {text}");
    let text = shown("--quiet");
    assert!(!text.contains("in flight"), "{text}");
    let text = shown("--watch");
    assert!(text.contains("; the last ") && text.contains("\u{1b}["), "in place: {text}");
}
