//! Summaries of traces, whatever their packing, and of requests and results.

use serde_json::Value;

use crate::support::{Bench, data};

const RECORD: [&str; 14] = [
    "record",
    "synthetic",
    "--num-users",
    "12",
    "--duration",
    "40",
    "--gpu-mem-gb",
    "1",
    "--cpu-mem-gb",
    "2",
    "--storage-capacity-gb",
    "8",
    "--seed",
    "7",
];

/// A trace of a small recording with evictions and deletes, in the formats of these names.
fn traces(bench: &Bench, names: &[&str]) {
    bench.ok(&[&RECORD[..], &["-o", names[0]]].concat());
    names[1..].iter().for_each(|name| {
        bench.ok(&["convert", names[0], name]);
    });
}

fn summary(bench: &Bench, args: &[&str]) -> Value {
    bench.ok_json(&[&["analyze", "summary", "--json"], args].concat())
}

/// What must not depend on how the trace is packed.
fn content(summary: &Value) -> Value {
    let mut content = summary.clone();
    for input in content["inputs"].as_array_mut().expect("inputs") {
        for name in ["file", "sha256", "parts", "inversions"] {
            input.as_object_mut().expect("an object").remove(name);
        }
    }
    content
}

#[test]
fn columns_and_rows_give_the_same() {
    let bench = Bench::new();
    traces(&bench, &["t.csv", "t.csv.zst", "t.parquet"]);
    let of_rows = summary(&bench, &["t.csv"]);
    for name in ["t.csv.zst", "t.parquet"] {
        assert_eq!(content(&summary(&bench, &[name])), content(&of_rows), "{name}");
    }
    let brief = summary(&bench, &["t.parquet", "--brief"]);
    assert_eq!((&brief["by"], &brief["keys"], &brief["span_s"]), (&of_rows["by"], &Value::Null, &Value::Null));
    let approx = summary(&bench, &["t.parquet", "--approx"]);
    let (exact, about) = (of_rows["keys"].as_f64().unwrap(), approx["keys"].as_f64().unwrap());
    assert!((exact - about).abs() <= 1.0 + exact * 4.0 * approx["keys_error"].as_f64().unwrap(), "{about} of {exact}");
    assert_eq!(approx["inputs"][0]["occupancy"], of_rows["inputs"][0]["occupancy"]);
}

#[test]
fn the_tiers_are_as_full_as_the_recording_says() {
    let bench = Bench::new();
    for placement in ["exclusive", "inclusive"] {
        let args = [&RECORD[..], &["--placement", placement, "--promotion", "on-read", "-o", "t.csv"]].concat();
        bench.ok(&args);
        let record = &bench.json("t.csv.meta.json")["record"];
        let summary = summary(&bench, &["t.csv"]);
        let input = &summary["inputs"][0];
        let found = input["occupancy"].as_array().expect("tiers");
        assert!(found.len() >= 2 && input["deletes"] == true, "{input}");
        for tier in found {
            let said = &record["tiers"].as_array().expect("tiers")[tier["tier"].as_u64().expect("a tier") as usize];
            assert_eq!(
                (&tier["peak_bytes"], &tier["end_bytes"], &tier["end_objects"]),
                (&said["peak_bytes"], &said["bytes"], &said["entries"]),
                "{placement} {tier}"
            );
        }
        let demoted: u64 = found.iter().map(|tier| tier["demoted"].as_u64().unwrap()).sum();
        assert_eq!(record["demotions"], demoted, "{placement}");
        assert_eq!((&summary["requests"], &summary["conversations"]), (&record["requests"], &record["conversations"]));
        let series = found[0]["series"].as_array().expect("points");
        assert!(series.len() > 100 && series.len() <= 512, "{}", series.len());
    }
}

#[test]
fn partitions_are_one_trace() {
    let bench = Bench::new();
    traces(&bench, &["t.csv"]);
    let text = String::from_utf8(bench.read("t.csv")).expect("text");
    let (header, rows) = text.split_once('\n').expect("a header");
    let rows: Vec<&str> = rows.lines().collect();
    for (part, rows) in rows.chunks(rows.len().div_ceil(11)).enumerate() {
        let folder = bench.path(&format!("h/day={}", part + 1));
        std::fs::create_dir_all(&folder).expect("a folder");
        bench.write("part.csv", format!("{header}\n{}\n", rows.join("\n")));
        bench.ok(&["convert", "part.csv", folder.join("part.parquet").to_str().expect("text")]);
    }
    std::fs::remove_file(bench.path("part.csv")).expect("the last part");
    let whole = summary(&bench, &["t.csv"]);
    for name in ["h", "h/*/part.parquet"] {
        let parts = summary(&bench, &[name]);
        assert_eq!(
            (&parts["by"], &parts["keys"], &parts["requests"]),
            (&whole["by"], &whole["keys"], &whole["requests"])
        );
        let input = &parts["inputs"][0];
        assert_eq!((&input["parts"], &input["inversions"]), (&11.into(), &0.into()), "{name}");
        assert_eq!(input["burstiness"], whole["inputs"][0]["burstiness"], "{name}");
    }
}

#[test]
fn requests_have_a_summary_too() {
    let bench = Bench::new();
    traces(&bench, &["t.csv"]);
    let record = &bench.json("t.csv.meta.json")["record"];
    let requests = summary(&bench, &["t.requests.parquet"]);
    assert_eq!((&requests["rows"], &requests["of"]), (&record["requests"], &"requests".into()));
    assert_eq!(requests["conversations"], record["conversations"]);
    let kinds = requests["by"]["kind"].as_object().expect("kinds");
    assert_eq!(kinds.values().filter_map(Value::as_u64).sum::<u64>(), record["requests"].as_u64().unwrap());
    assert!(bench.ok(&["analyze", "summary", "t.requests.parquet"]).contains("dispersion of requests"));
    assert!(bench.refused(2, &["analyze", "summary", "t.requests.parquet", "--brief"]).contains("for traces"));
    let Some(file) = data("mooncake/conversation_trace.jsonl") else { return };
    let found = summary(&bench, &[file.to_str().expect("text")]);
    let figures = ["rows", "blocks", "distinct_blocks"].map(|name| found[name].as_u64());
    assert_eq!(figures, [Some(12_031), Some(288_500), Some(182_790)]);
}
