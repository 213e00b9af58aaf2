//! An independent book of the tiers, kept from the rows of a trace alone: nothing may be read
//! where it is not, and no tier may ever hold more than its limit.

use std::collections::HashMap;
use std::path::Path;

use kvtrace::trace::{RequestRow, RequestsReader, requests_path};

use crate::support::{Bench, data, manifest_dir};

/// A row as text has it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct Row {
    #[serde(rename = "Timestamp")]
    pub at_s: f64,
    #[serde(rename = "Operation")]
    pub op: String,
    #[serde(rename = "Object_Size_Bytes")]
    pub bytes: u64,
    #[serde(rename = "Tier")]
    pub tier: String,
    #[serde(rename = "Key")]
    pub key: String,
    #[serde(rename = "Phase")]
    pub phase: String,
    #[serde(rename = "Request")]
    pub request: Option<u64>,
    #[serde(rename = "Tokens")]
    pub tokens: u64,
}

impl Row {
    pub fn tier(&self) -> usize {
        ["Tier-0", "Tier-1", "Tier-2"].iter().position(|name| *name == self.tier).expect("a tier")
    }

    fn is(&self, op: &str, phase: &str) -> bool {
        self.op == op && self.phase == phase
    }
}

pub fn rows(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).expect("a trace");
    reader.deserialize().map(|row| row.expect("a row with all columns")).collect()
}

/// Who asked, beside `trace`.
pub fn requests(trace: &Path) -> Vec<RequestRow> {
    let reader = RequestsReader::open(&requests_path(trace)).expect("a requests file");
    reader.map(|row| row.expect("a request")).collect()
}

/// What the book says in the end.
#[derive(Debug, Default)]
pub struct Book {
    /// Size by key and tier.
    place: HashMap<(String, usize), u64>,
    copies: bool,
    pub used: [u64; 3],
    pub entries: [u64; 3],
    pub peak: [u64; 3],
    pub demotions: u64,
    pub promotions: u64,
    pub deletes: u64,
}

impl Book {
    fn put(&mut self, row: &Row) {
        let tier = row.tier();
        let others = (0..3).filter(|other| *other != tier && self.has(&row.key, *other)).count();
        assert!(self.copies || others == 0, "{} is written while it is live", row.key);
        let before = self.place.insert((row.key.clone(), tier), row.bytes);
        assert_eq!(before, None, "{} is written where it is live", row.key);
        self.used[tier] += row.bytes;
        self.entries[tier] += 1;
        self.peak[tier] = self.peak[tier].max(self.used[tier]);
    }

    fn take(&mut self, row: &Row) {
        let place = (row.key.clone(), row.tier());
        assert_eq!(self.place.remove(&place), Some(row.bytes), "{} is not where it is taken from", row.key);
        self.used[row.tier()] -= row.bytes;
        self.entries[row.tier()] -= 1;
    }

    fn has(&self, key: &str, tier: usize) -> bool {
        self.place.contains_key(&(key.to_owned(), tier))
    }

    fn read(&self, row: &Row, number: usize) {
        let size = self.place.get(&(row.key.clone(), row.tier()));
        assert_eq!(size, Some(&row.bytes), "row {number}: {} is not in {}", row.key, row.tier);
        assert!((0..row.tier()).all(|faster| !self.has(&row.key, faster)), "row {number}: a faster tier has it");
    }

    /// Follows a trace of objects that are in one tier at a time; a limit of none is no limit.
    pub fn of(rows: &[Row], limits: [Option<u64>; 3]) -> Self {
        Self::default().follow(rows, limits)
    }

    /// Follows a trace of objects that may be in several tiers.
    pub fn of_copies(rows: &[Row], limits: [Option<u64>; 3]) -> Self {
        Self { copies: true, ..Self::default() }.follow(rows, limits)
    }

    fn follow(mut self, rows: &[Row], limits: [Option<u64>; 3]) -> Self {
        let mut last_s = 0.0;
        let mut leaving: Option<&Row> = None;
        for (number, row) in rows.iter().enumerate() {
            assert!(row.at_s >= last_s, "row {number}: time runs backwards");
            assert!(row.bytes > 0, "row {number}: an object without bytes");
            last_s = row.at_s;
            if let Some(from) = leaving.take() {
                assert!(row.is("Write", "Evict") && row.tier() > from.tier(), "row {number}: half a demotion");
                self.moved(from, row, number);
                self.demotions += 1;
            } else if row.is("Read", "Evict") {
                assert!(!self.copies, "row {number}: copies are dropped, not demoted");
                leaving = Some(row);
            } else if row.is("Write", "Decode") && number > 0 && rows[number - 1].key == row.key {
                let from = &rows[number - 1];
                assert!(from.is("Read", "Decode") && row.tier() < from.tier(), "row {number}: half a promotion");
                self.moved(from, row, number);
                self.promotions += 1;
            } else if row.is("Write", "Prefill") || row.is("Write", "Decode") {
                self.put(row);
            } else if row.op == "Delete" {
                assert_eq!(row.phase, "Evict");
                self.take(row);
                self.deletes += 1;
            } else {
                assert!(row.is("Read", "Decode"), "row {number}: {row:?}");
                self.read(row, number);
            }
            for (used, limit) in self.used.iter().zip(limits) {
                assert!(limit.is_none_or(|limit| *used <= limit), "row {number}: {used} bytes in a tier of {limit:?}");
            }
        }
        assert_eq!(leaving, None, "the trace ends in the middle of a demotion");
        self
    }

    /// The second row of a pair: capacity moves here.
    fn moved(&mut self, from: &Row, row: &Row, number: usize) {
        assert_eq!((&row.key, row.bytes, row.at_s), (&from.key, from.bytes, from.at_s), "row {number}");
        if !self.copies {
            self.take(from);
        }
        self.put(row);
    }

    /// The statistics of the recording say the same.
    pub fn agrees_with(&self, stats: &serde_json::Value) {
        for (name, count) in [("demotions", self.demotions), ("promotions", self.promotions), ("deletes", self.deletes)]
        {
            assert_eq!(stats[name], count, "{name}");
        }
        for tier in 0..3 {
            let told = &stats["tiers"][tier];
            assert_eq!(told["bytes"], self.used[tier]);
            assert_eq!(told["entries"], self.entries[tier]);
            assert_eq!(told["peak_bytes"], self.peak[tier]);
        }
    }
}

const MIB: u64 = 1 << 20;

fn check(bench: &Bench, flags: &[&str], limits: [Option<u64>; 3]) -> Book {
    let stats = bench.ok_json(&[&["record"], flags, &["-o", "t.csv", "--json"]].concat());
    let rows = rows(&bench.path("t.csv"));
    let book = if flags.contains(&"inclusive") { Book::of_copies(&rows, limits) } else { Book::of(&rows, limits) };
    book.agrees_with(&stats);
    book
}

#[test]
fn the_real_sample_stays_within_4_gib_of_memory() {
    let Some(file) = data("sharegpt/sharegpt_v3_head1500.json") else { return };
    let bench = Bench::new();
    let flags = ["sharegpt", file.to_str().unwrap(), "--gpu-mem-gb", "0", "--cpu-mem-gb", "4"];
    let book = check(&bench, &flags, [Some(0), Some(4096 * MIB), None]);
    assert!(book.demotions > 1_000 && book.deletes == 0, "{} {}", book.demotions, book.deletes);
    let limited = [&flags[..], &["--storage-capacity-gb", "8"]].concat();
    let book = check(&bench, &limited, [Some(0), Some(4096 * MIB), Some(8192 * MIB)]);
    assert!(book.deletes > 1_000, "{}", book.deletes);
    assert!(book.peak[2] > 8000 * MIB, "the last tier fills up: {}", book.peak[2]);
}

#[test]
fn synthetic_users_with_tight_tiers_and_ranks() {
    let bench = Bench::new();
    let base = ["synthetic", "--num-users", "20", "--duration", "8", "--seed", "7"];
    for (flags, limits) in [
        (vec!["--gpu-mem-gb", "2", "--cpu-mem-gb", "4", "--storage-capacity-gb", "20"], [2048, 4096, 20_480]),
        (vec!["--gpu-mem-gb", "0", "--cpu-mem-gb", "0", "--storage-capacity-gb", "3.5"], [0, 0, 3584]),
        (vec!["--gpu-mem-gb", "1", "--cpu-mem-gb", "0.5", "--storage-capacity-gb", "6"], [1024, 512, 6144]),
        (
            "--num-gpus 4 --gpu-mem-gb 1 --tensor-parallel 2 --cpu-mem-gb 4 --storage-capacity-gb 8"
                .split(' ')
                .collect(),
            [2048, 2048, 4096],
        ),
        (
            "--num-gpus 4 --gpu-mem-gb 1 --tensor-parallel 2 --cpu-mem-gb 4 --storage-capacity-gb 8 --limits whole"
                .split(' ')
                .collect(),
            [4096, 4096, 8192],
        ),
        (
            "--gpu-mem-gb 2 --cpu-mem-gb 3 --storage-capacity-gb 9 --generation-mode fast --tier-timing sata \
             --workers 3 --queue fifo"
                .split_whitespace()
                .collect(),
            [2048, 3072, 9216],
        ),
        (
            "--gpu-mem-gb 2 --cpu-mem-gb 3 --storage-capacity-gb 9 --enable-rag --rag-max-documents 4 \
             --rag-request-probability 0.5 --max-concurrent-allocs 2"
                .split_whitespace()
                .collect(),
            [2048, 3072, 9216],
        ),
        (
            "--gpu-mem-gb 2 --cpu-mem-gb 3 --storage-capacity-gb 9 --decode-only".split_whitespace().collect(),
            [2048, 3072, 9216],
        ),
    ] {
        let book = check(&bench, &[&base[..], &flags].concat(), limits.map(|mib| Some(mib * MIB)));
        assert!(book.deletes > 0, "{flags:?}");
    }
}

#[test]
fn every_policy_with_and_without_promotion_and_copies() {
    let bench = Bench::new();
    let base = ["synthetic", "--num-users", "6", "--duration", "3", "--seed", "11", "--gpu-mem-gb", "1.5"];
    let tight = ["--cpu-mem-gb", "2", "--storage-capacity-gb", "3"];
    let loose = ["--cpu-mem-gb", "2.5", "--watermarks", "0=0.9:0.5,1=1:0.7"];
    for policy in ["lru", "fifo", "lfu", "gdsf", "sieve", "s3-fifo", "arc", "belady", "lru,arc,s3-fifo"] {
        for promotion in ["none", "on-read"] {
            for placement in ["exclusive", "inclusive"] {
                let how = ["--policy", policy, "--promotion", promotion, "--placement", placement];
                let limits = [Some(1536 * MIB), Some(2048 * MIB), Some(3072 * MIB)];
                let book = check(&bench, &[&base[..], &tight, &how].concat(), limits);
                assert_eq!(book.promotions > 0, promotion == "on-read", "{how:?}");
                assert_eq!(book.demotions > 0, placement == "exclusive", "{how:?}");
                assert!(book.deletes > 0, "{how:?}");
                let limits = [Some(1536 * MIB), Some(2560 * MIB), None];
                check(&bench, &[&base[..], &loose, &how].concat(), limits);
            }
        }
    }
}

#[test]
fn what_makes_room_for_a_promotion_never_needs_the_room_of_what_is_promoted() {
    let bench = Bench::new();
    let base = ["synthetic", "--num-users", "15", "--duration", "6", "--promotion", "on-read", "--policy"];
    // Tiers of one or two objects each, the middle one the smallest.
    let sizes = ["--gpu-mem-gb", "1", "--cpu-mem-gb", "0.7", "--storage-capacity-gb", "2.5", "--target-usage", "1"];
    for policy in ["lru", "fifo", "gdsf", "arc", "s3-fifo"] {
        let flags = [&base[..], &[policy], &sizes].concat();
        let limits = [Some(1024 * MIB), Some(7 * 1024 * MIB / 10), Some(2560 * MIB)];
        assert!(check(&bench, &flags, limits).promotions > 0, "{policy}");
    }
}

#[test]
fn a_high_watermark_lets_a_tier_empty_to_the_low_one() {
    let bench = Bench::new();
    let base = ["synthetic", "--num-users", "12", "--duration", "6", "--gpu-mem-gb", "4", "--cpu-mem-gb", "0"];
    let pairs = |marks: &str| {
        bench.ok(&[&["record"], &base[..], &["--watermarks", marks, "-o", "t.csv"]].concat());
        let rows = rows(&bench.path("t.csv"));
        let (mut used, mut levels) = (0u64, Vec::new());
        for pair in rows.windows(2) {
            match (pair[0].tier(), pair[0].op.as_str()) {
                (0, "Write") => used += pair[0].bytes,
                (0, "Read") if pair[0].phase == "Evict" => used -= pair[0].bytes,
                _ => {}
            }
            if pair[0].is("Write", "Evict") && pair[1].is("Write", "Prefill") {
                levels.push(used + pair[1].bytes);
            }
        }
        (levels.len(), levels.iter().sum::<u64>() as f64 / levels.len() as f64 / (4096 * MIB) as f64)
    };
    let (often, high) = pairs("0=0.9");
    let (seldom, low) = pairs("0=0.9:0.4");
    assert!(seldom * 2 < often, "{seldom} {often}");
    assert!(low < 0.45 && high > 0.6, "{low} {high}");
}

#[test]
fn objects_are_as_large_as_their_tokens() {
    let bench = Bench::new();
    let flags = ["--num-users", "5", "--duration", "5", "--num-gpus", "2", "--tensor-parallel", "2"];
    for (model, per_token) in [("llama3.1-8b", 131_072), ("deepseek-v3", 70_272), ("bytes:3", 3)] {
        bench.ok(&[&["record", "synthetic", "--model", model, "-o", "t.csv"], &flags[..]].concat());
        let rows = rows(&bench.path("t.csv"));
        assert!(rows.iter().all(|row| row.bytes == row.tokens * per_token / 2), "{model}");
    }
}

/// Turns of one conversation with room for all: turn n reads its n - 1 predecessors, writes, and
/// reads itself once and once more for every 32 generated tokens.
#[test]
fn a_conversation_walks_through_its_history() {
    let bench = Bench::new();
    let turn = r#"{"from":"human","value":"12345678"},{"from":"gpt","value":"1234"}"#;
    bench.write("in.json", format!(r#"[{{"id":"c","conversations":[{turn},{turn},{turn},{turn}]}}]"#));
    let flags = ["--tokenizer", "chars4", "--disable-prefix-caching", "--model", "bytes:1048576"];
    bench.ok(&[&["record", "sharegpt", "in.json", "-o", "t.csv"], &flags[..]].concat());
    let told: Vec<String> = rows(&bench.path("t.csv"))
        .iter()
        .map(|row| format!("{} {}", &row.op[..1], row.key.trim_start_matches("conv_c_turn_")))
        .collect();
    let expected = "W 1, R 1, R 1, R 1, W 2, R 2, R 2, R 1, R 2, W 3, R 3, R 3, R 1, R 2, R 3, W 4, R 4, R 4";
    assert_eq!(told.join(", "), expected);
    let unread: Vec<String> = {
        bench.ok(&[&["record", "sharegpt", "in.json", "--disable-multi-turn", "-o", "t.csv"], &flags[..]].concat());
        rows(&bench.path("t.csv")).iter().map(|row| row.key.clone()).collect()
    };
    assert_eq!(unread.len(), 4 * 3, "{unread:?}");
}

#[test]
fn a_turn_without_new_tokens_writes_nothing() {
    let bench = Bench::new();
    let text = r#"[{"conversations":[{"from":"human","value":"abcd"},{"from":"gpt","value":"abcd"},
        {"from":"human","value":""},{"from":"gpt","value":"abcd"},{"from":"human","value":"abcd"},
        {"from":"gpt","value":"abcd"}]}]"#;
    bench.write("in.json", text);
    bench.ok(&["record", "sharegpt", "in.json", "--disable-prefix-caching", "-o", "t.csv"]);
    let rows = rows(&bench.path("t.csv"));
    let by_request = |request| rows.iter().filter(|row| row.request == Some(request)).count();
    assert_eq!([by_request(0), by_request(1), by_request(2)], [3, 1, 4], "{rows:?}");
}

#[test]
fn every_row_parses_in_pythons_csv_module() {
    let sample = manifest_dir().join("traces/sharegpt-sample.json");
    let bench = Bench::new();
    bench.ok(&["record", "sharegpt", sample.to_str().unwrap(), "--model", "tiny-1b", "-o", "t.csv"]);
    let program = "import csv,sys\n\
        rows=list(csv.DictReader(open(sys.argv[1],newline='')))\n\
        assert all(len(r)==10 and None not in r and None not in r.values() for r in rows)\n\
        assert all(int(r['Object_Size_Bytes'])>0 and float(r['Timestamp'])>=0 for r in rows)\n\
        print(len(rows))";
    let path = bench.path("t.csv");
    let Ok(python) = std::process::Command::new("python3").args(["-c", program]).arg(&path).output() else {
        return crate::support::skip("no python3");
    };
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let counted: usize = String::from_utf8_lossy(&python.stdout).trim().parse().expect("a count");
    assert_eq!(counted, rows(&path).len());
}
