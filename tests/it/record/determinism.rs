//! The same flags give the same bytes, and a longer recording begins like a shorter one.

use super::ledger::{requests, rows};
use crate::support::{Bench, data, manifest_dir};

#[test]
fn twice_the_same_flags_are_twice_the_same_bytes() {
    let Some(file) = data("sharegpt/sharegpt_v3_head1500.json") else { return };
    let bench = Bench::new();
    let flags = "--model llama3.1-8b --gpu-mem-gb 0 --cpu-mem-gb 4 --max-conversations 400";
    let record = |trace: &str, more: &[&str]| {
        let flags: Vec<&str> = flags.split(' ').collect();
        bench.ok(&[&["record", "sharegpt", file.to_str().unwrap(), "-o", trace], &flags[..], more].concat())
    };
    record("a.csv.zst", &[]);
    record("b.csv.zst", &["--quiet"]);
    assert_eq!(bench.read("a.csv.zst"), bench.read("b.csv.zst"));
    assert_eq!(bench.read("a.requests.parquet"), bench.read("b.requests.parquet"));
    record("c.csv", &[]);
    let unpacked = zstd::decode_all(&bench.read("a.csv.zst")[..]).expect("a zstd file");
    assert_eq!(unpacked, bench.read("c.csv"));
    assert!(record("d.csv", &["--seed", "43", "--json"]).contains("kvtrace.record/1"));
    assert_ne!(bench.read("d.csv"), bench.read("c.csv"));
}

/// What two recordings hold that differ in how they are written.
#[test]
fn neither_format_nor_processors_change_what_is_recorded() {
    let bench = Bench::new();
    let flags = "synthetic --num-users 40 --duration 60 --gpu-mem-gb 4 --cpu-mem-gb 8 --storage-capacity-gb 60";
    let flags: Vec<&str> = flags.split(' ').collect();
    let args = |trace: &'static str| [&["record"], &flags[..], &["-o", trace]].concat();
    bench.ok(&args("a.csv"));
    bench.ok(&args("b.csv.zst"));
    bench.ok(&args("c.parquet"));
    let plain = bench.read("a.csv");
    assert!(plain.len() > 2 << 20, "{}", plain.len());
    assert_eq!(zstd::decode_all(&bench.read("b.csv.zst")[..]).expect("a zstd file"), plain);
    bench.ok(&["convert", "c.parquet", "d.csv"]);
    assert!(bench.read("d.csv") == plain, "Parquet holds other rows than CSV");
    assert!(bench.run(&args("-")).stdout.into_bytes() == plain, "standard output gets other rows than a file");
    let requests = bench.read("a.requests.parquet");
    assert!(requests == bench.read("b.requests.parquet") && requests == bench.read("c.requests.parquet"));
    // On one processor the threads take turns at other places.
    let mut alone = std::process::Command::new("taskset");
    alone.args(["-c", "0", env!("CARGO_BIN_EXE_kvtrace")]).args(args("e.csv.zst")).current_dir(bench.path("."));
    match alone.output() {
        Ok(output) if output.status.success() => {
            assert!(bench.read("e.csv.zst") == bench.read("b.csv.zst"), "one processor packs otherwise");
            assert!(bench.read("e.requests.parquet") == requests);
        }
        _ => crate::support::skip("no taskset"),
    }
}

/// The second at which a request of a recording arrived.
pub fn before_request(bench: &Bench, trace: &str, ordinal: u64) -> f64 {
    let requests = requests(&bench.path(trace));
    requests.iter().find(|row| row.request == ordinal).expect("as many requests").arrival_ns as f64 / 1e9
}

/// Rows before `until_s` of two recordings agree, and there are some.
pub fn begin_alike(bench: &Bench, shorter: &str, longer: &str, until_s: f64) {
    let early = |name| rows(&bench.path(name)).into_iter().filter(|row| row.at_s < until_s).collect::<Vec<_>>();
    let (shorter, longer) = (early(shorter), early(longer));
    assert!(shorter.len() > 200, "only {} rows", shorter.len());
    assert_eq!(shorter, longer);
}

#[test]
fn a_longer_duration_only_adds() {
    let bench = Bench::new();
    let flags = "record synthetic --num-users 30 --gpu-mem-gb 2 --cpu-mem-gb 4 --storage-capacity-gb 40";
    let documents = "--enable-rag --rag-max-documents 5 --max-concurrent-allocs 3 --request-rate 40 --arrival-cv 2.5";
    for more in ["", documents, "--decode-only", "--prefill-only"] {
        for (name, seconds) in [("short.csv", "5"), ("long.csv", "9")] {
            let flags = flags.split(' ').chain(more.split_whitespace()).chain(["--duration", seconds, "-o", name]);
            bench.ok(&flags.collect::<Vec<_>>());
        }
        begin_alike(&bench, "short.csv", "long.csv", 5.0);
    }
}

#[test]
fn more_requests_only_add() {
    let bench = Bench::new();
    let sample = manifest_dir().join("traces/sharegpt-sample.json");
    let sample = ["sharegpt", sample.to_str().unwrap(), "--model", "tiny-1b", "--cpu-mem-gb", "0.1"];
    let paced = [&sample[..], &["--request-rate", "20"]].concat();
    for source in [vec!["synthetic", "--num-users", "30", "--gpu-mem-gb", "2"], sample.to_vec(), paced] {
        for (name, most) in [("few.csv", "150"), ("more.csv", "300")] {
            bench.ok(&[&["record"], &source[..], &["--max-requests", most, "-o", name]].concat());
        }
        begin_alike(&bench, "few.csv", "more.csv", before_request(&bench, "more.csv", 150));
    }
}

#[test]
fn the_golden_trace_is_recorded_to_the_byte() {
    let bench = Bench::new();
    let readme = std::fs::read_to_string(manifest_dir().join("traces/README.md")).expect("traces/README.md");
    let command = readme.lines().find(|line| line.trim_start().starts_with("kvtrace record")).expect("the command");
    let args: Vec<&str> = command.split_whitespace().skip(1).collect();
    let traces = bench.path("traces");
    std::fs::create_dir(&traces).expect("a folder");
    let sample = "sharegpt-sample.json";
    std::fs::copy(manifest_dir().join("traces").join(sample), traces.join(sample)).expect("the sample");
    bench.ok(&args);
    for name in ["golden.csv", "golden.csv.meta.json"] {
        let golden = std::fs::read_to_string(manifest_dir().join("traces").join(name)).expect("the golden trace");
        let ours = std::fs::read_to_string(traces.join(name)).expect("our trace");
        assert_eq!(golden, ours, "{name} differs; if that is meant, record it again as traces/README.md says");
    }
    let rows = rows(&traces.join("golden.csv"));
    assert!(rows.len() <= 300, "{}", rows.len());
    for tier in 0..3 {
        assert!(rows.iter().any(|row| row.tier() == tier && row.phase == "Decode"), "no read of tier {tier}");
    }
    assert!(rows.iter().any(|row| row.op == "Delete"));
}

#[test]
fn the_sample_is_made_again_to_the_byte() {
    let bench = Bench::new();
    let made = bench.path("sample.json");
    let script = manifest_dir().join("tools/make-samples");
    let Ok(python) = std::process::Command::new("python3").arg(script).arg(&made).output() else {
        return crate::support::skip("no python3");
    };
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let kept = std::fs::read(manifest_dir().join("traces/sharegpt-sample.json")).expect("the sample");
    assert!(bench.read("sample.json") == kept, "tools/make-samples makes another file than traces/ holds");
}
