//! An independent book of the tiers, kept from the rows of a trace alone: nothing may be read
//! where it is not, and no tier may ever hold more than its limit.

use std::collections::HashMap;
use std::path::Path;

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

/// What the book says in the end.
#[derive(Debug, Default)]
pub struct Book {
    place: HashMap<String, (usize, u64)>,
    used: [u64; 3],
    pub peak: [u64; 3],
    pub demotions: u64,
    pub deletes: u64,
}

impl Book {
    fn put(&mut self, key: &str, tier: usize, bytes: u64) {
        assert_eq!(self.place.insert(key.to_owned(), (tier, bytes)), None, "{key} is written while it is live");
        self.used[tier] += bytes;
        self.peak[tier] = self.peak[tier].max(self.used[tier]);
    }

    fn take(&mut self, key: &str, tier: usize, bytes: u64) {
        assert_eq!(self.place.remove(key), Some((tier, bytes)), "{key} is not where it is taken from");
        self.used[tier] -= bytes;
    }

    /// Follows a trace row by row; a limit of none is no limit.
    pub fn of(rows: &[Row], limits: [Option<u64>; 3]) -> Self {
        let mut book = Self::default();
        let mut last_s = 0.0;
        let mut leaving: Option<&Row> = None;
        for (number, row) in rows.iter().enumerate() {
            assert!(row.at_s >= last_s, "row {number}: time runs backwards");
            assert!(row.bytes > 0, "row {number}: an object without bytes");
            last_s = row.at_s;
            if let Some(from) = leaving.take() {
                assert!(row.is("Write", "Evict") && row.tier() > from.tier(), "row {number}: half a demotion");
                assert_eq!((&row.key, row.bytes, row.at_s), (&from.key, from.bytes, from.at_s), "row {number}");
                book.take(&from.key, from.tier(), from.bytes);
                book.put(&row.key, row.tier(), row.bytes);
                book.demotions += 1;
            } else if row.is("Read", "Evict") {
                leaving = Some(row);
            } else if row.is("Write", "Prefill") {
                book.put(&row.key, row.tier(), row.bytes);
            } else if row.op == "Delete" {
                book.take(&row.key, row.tier(), row.bytes);
                book.deletes += 1;
            } else {
                assert!(row.is("Read", "Decode"), "row {number}: {row:?}");
                assert_eq!(book.place.get(&row.key), Some(&(row.tier(), row.bytes)), "row {number}: {}", row.key);
            }
            for (used, limit) in book.used.iter().zip(limits) {
                assert!(limit.is_none_or(|limit| *used <= limit), "row {number}: {used} bytes in a tier of {limit:?}");
            }
        }
        assert_eq!(leaving, None, "the trace ends in the middle of a demotion");
        book
    }
}

const MIB: u64 = 1 << 20;

fn check(bench: &Bench, flags: &[&str], limits: [Option<u64>; 3]) -> Book {
    bench.ok(&[&["record"], flags, &["-o", "t.csv"]].concat());
    Book::of(&rows(&bench.path("t.csv")), limits)
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
