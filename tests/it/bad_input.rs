//! Input that must be refused: the right exit code, one line that names the place and the way
//! out, and nothing of the user's overwritten.

use crate::small_disk::SmallDisk;
use crate::support::{Bench, data};

const HEADER: &str = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase";

/// Summarising a trace of these bytes must fail with a message that has all of the words.
fn refused(bench: &Bench, name: &str, bytes: &[u8], words: &[&str]) {
    bench.write(name, bytes);
    let said = bench.refused(2, &["analyze", "summary", name]);
    for word in words.iter().chain([&name]) {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    let bench = Bench::new();
    for (row, words) in [
        ("1,Read,-5,Tier-0,k,Decode", ["column Object_Size_Bytes", "`-5`", "above 0"]),
        ("1,Read,0,Tier-0,k,Decode", ["column Object_Size_Bytes", "`0`", "above 0"]),
        ("1,Read,1.5,Tier-0,k,Decode", ["column Object_Size_Bytes", "`1.5`", "whole number"]),
        ("1,Read,1,Tier-3,k,Decode", ["column Tier", "`Tier-3`", "Tier-0, Tier-1 or Tier-2"]),
        ("1,read,1,Tier-0,k,Decode", ["column Operation", "`read`", "Read, Write or Delete"]),
        ("1,Read,1,Tier-0,k,Both", ["column Phase", "`Both`", "Prefill, Decode or Evict"]),
        ("NaN,Read,1,Tier-0,k,Decode", ["column Timestamp", "`NaN`", "seconds"]),
        ("inf,Read,1,Tier-0,k,Decode", ["column Timestamp", "`inf`", "seconds"]),
        ("-1,Read,1,Tier-0,k,Decode", ["column Timestamp", "`-1`", "seconds"]),
        ("0.0000000001,Read,1,Tier-0,k,Decode", ["column Timestamp", "`0.0000000001`", "at most 9"]),
        ("1,Read,1,Tier-0,,Decode", ["column Key", "``", "a name"]),
        ("1,Read,1,Tier-0,k", ["5 fields", "header has 6", "cut"]),
    ] {
        for end in ["\n", "\r\n"] {
            let good = format!("0,Write,1,Tier-0,k,Prefill{end}");
            let file = format!("{HEADER}{end}{good}{end}{row}{end}{good}");
            let place = "row 2 (line 4)";
            refused(&bench, "t.csv", file.as_bytes(), &[words[0], words[1], words[2], place]);
        }
    }
}

#[test]
fn what_is_no_trace_at_all() {
    let bench = Bench::new();
    refused(&bench, "t.csv", b"", &["empty"]);
    refused(&bench, "t.csv", b"Timestamp,Operation,Size\n1,Read,2\n", &["Object_Size_Bytes", "it has", "Size"]);
    refused(&bench, "t.csv", format!("{HEADER},Key\n").as_bytes(), &["Key is there twice"]);
    refused(&bench, "t.csv", format!("{HEADER}\n1,Read,1,Tier-0,\u{0}\n").as_bytes(), &["5 fields"]);
    refused(&bench, "t.csv", &[HEADER.as_bytes(), b"\n1,Read,1,Tier-0,\xFF,Decode\n"].concat(), &["UTF-8", "Key"]);
    refused(&bench, "t.csv", b"\x1F\x8B\x08\x00abc", &["gzip", "gunzip"]);
    refused(&bench, "t.csv", &vec![b'x'; 3 << 20], &["longer than 1024 KiB"]);
    let unclosed = format!("{HEADER}\n1,Read,1,Tier-0,\"{}", "k,Decode\n".repeat(300_000));
    refused(&bench, "t.csv", unclosed.as_bytes(), &["row 1", "longer than 1024 KiB"]);
    std::fs::create_dir(bench.path("empty")).expect("a folder");
    let said = bench.refused(2, &["analyze", "summary", "empty"]);
    assert!(said.contains("directory"), "{said}");
    let said = bench.refused(2, &["analyze", "summary", "absent.csv"]);
    assert!(said.contains("absent.csv"), "{said}");
}

#[test]
fn a_header_alone_is_a_trace_without_rows() {
    let bench = Bench::new();
    bench.write("t.csv", format!("{HEADER}\n"));
    assert!(bench.ok(&["analyze", "summary", "t.csv"]).contains("0 rows"));
}

#[test]
fn cut_files() {
    let Some(path) = data("mlperf/syn_llama8b_32u_30s_seed42.csv.zst") else { return };
    let bench = Bench::new();
    let whole = std::fs::read(&path).expect("the trace");
    refused(&bench, "cut.csv.zst", &whole[..whole.len() / 2], &["is cut", "whole rows"]);
    bench.ok(&["convert", path.to_str().expect("a plain path"), "t.parquet"]);
    let parquet = bench.read("t.parquet");
    refused(&bench, "cut.parquet", &parquet[..parquet.len() / 2], &["cut or damaged"]);
    bench.ok(&["convert", "t.parquet", "t.csv"]);
    let csv = bench.read("t.csv");
    let end = csv[..csv.len() / 2].iter().rposition(|b| *b == b'\n').expect("a line end") + 1;
    refused(&bench, "t.csv", &csv[..end], &["rows where its metadata says 32485", "cut"]);
}

#[test]
fn damaged_parquet_is_refused_without_a_panic() {
    let bench = Bench::new();
    bench.write("t.csv", format!("{HEADER}\n0,Write,1,Tier-0,k,Prefill\n1,Read,1,Tier-0,k,Decode\n"));
    bench.ok(&["convert", "t.csv", "t.parquet"]);
    let whole = bench.read("t.parquet");
    let mut refusals = 0;
    for at in (4..whole.len() - 4).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xFF;
        bench.write("d.parquet", &damaged);
        let ended = bench.run(&["analyze", "summary", "d.parquet", "--json"]);
        assert!(matches!(ended.code, 0 | 2), "byte {at}: exit {}: {}", ended.code, ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "byte {at}: {}", ended.stderr);
        refusals += usize::from(ended.code == 2);
    }
    assert!(refusals > 20, "only {refusals} of the damages were seen");
}

#[test]
fn metadata_that_is_not_ours() {
    let bench = Bench::new();
    bench.write("t.csv", format!("{HEADER}\n"));
    for (json, words) in [("{", "not the metadata"), ("{\"schema\":\"kvtrace.trace/9\"}", "kvtrace.trace/9")] {
        bench.write("t.csv.meta.json", json);
        let said = bench.refused(2, &["info", "t.csv"]);
        assert!(said.contains(words) && said.contains("t.csv.meta.json"), "{said}");
    }
}

#[test]
fn outputs_that_cannot_be() {
    let bench = Bench::new();
    bench.write("t.csv", format!("{HEADER}\n0,Write,1,Tier-0,k,Prefill\n"));
    bench.write("mine.csv", "precious");
    for (args, words) in [
        (["convert", "t.csv", "t.csv"], "both input and output"),
        (["convert", "t.csv", "./t.csv"], "both input and output"),
        (["convert", "t.csv", "t.xlsx"], ".parquet"),
        (["convert", "t.csv", "mine.csv"], "--overwrite"),
        (["convert", "t.csv", "nowhere/u.csv"], "nowhere/u.csv"),
    ] {
        let said = bench.refused(2, &args);
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(bench.read("mine.csv"), b"precious");
    bench.ok(&["convert", "t.csv", "mine.csv", "--overwrite"]);
}

#[test]
fn a_full_disk_is_an_io_error_and_leaves_nothing() {
    let Some(path) = data("mlperf/syn_llama8b_32u_30s_seed42.csv.zst") else { return };
    let bench = Bench::new();
    let Some(disk) = SmallDisk::mount(&bench, "64k") else { return };
    for name in ["small/t.csv", "small/t.csv.zst", "small/t.parquet"] {
        let said = bench.refused(4, &["convert", path.to_str().expect("a plain path"), name]);
        assert!(said.contains(name) && said.contains("free some space"), "{said}");
        assert_eq!(disk.count(), 0, "{name} left something");
    }
}
