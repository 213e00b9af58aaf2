//! Inputs for pictures and pages: small, made by hand or by the binary, with known truth.

use kvtrace::measure::BlockResult;
use kvtrace::measure::block::BlockDevice;
use kvtrace::measure::events::{BlockOp, Event, EventsMeta, EventsWriter, Side};
use kvtrace::measure::fidelity::FIDELITY_SCHEMA;
use kvtrace::output::Overwrite;
use serde_json::{Value, json};

use crate::samples;
use crate::support::Bench;

/// A card of two captures; it misses one bound of two.
pub fn card(original: &BlockResult, distilled: &BlockResult) -> Value {
    let side = |file: &str, runs: u32, block: &BlockResult| {
        let command = (runs > 0).then(|| format!("fio {file}"));
        json!({"file": file, "sha256": "ef".repeat(32), "runs": runs, "command": command, "devices": ["vda"],
            "blocks": [block, block]})
    };
    let metric = |name: &str, op: &str, distance: f64, pass: bool| {
        json!({"name": name, "op": op, "unit": "bytes", "original": 131_072.0, "distilled": 132_000.0,
            "measure": "wasserstein", "distance": distance, "noise_floor": null, "bound": 0.03, "allowed": 0.03, "pass": pass})
    };
    json!({"schema": FIDELITY_SCHEMA, "tool": kvtrace::TOOL, "complete": true, "pass": false,
        "original": side("replay.json", 0, original), "distilled": side("job.fio", 2, distilled),
        "metrics": [metric("size", "read", 0.01, true), metric("d2c_p99", "write", 0.5, false)],
        "notes": ["the original is a recording"]})
}

/// An analysis as it lies in a file.
pub fn analysis(kind: &str, fields: &Value) -> String {
    let mut all = json!({"schema": "kvtrace.analysis/1", "kind": kind, "tool": "a test", "inputs": [{"file": "d/t.jsonl", "sha256": "ab"}]});
    let fields = fields.as_object().expect("fields").clone();
    all.as_object_mut().expect("an object").extend(fields);
    all.to_string()
}

/// Curves of so many policies.
pub fn curve(policies: usize, points: &[(u64, f64)]) -> String {
    let points: Vec<Value> = points
        .iter()
        .map(|(capacity, ratio)| {
            json!({"capacity": capacity, "unit": "blocks", "capacity_tokens": capacity * 512,
                "capacity_bytes": capacity.saturating_mul(67_108_864), "hit_ratio": ratio, "hits": 1, "total": 2})
        })
        .collect();
    let policy = |i: usize| json!({"policy": format!("policy-{i}"), "semantics": "any", "points": points});
    analysis("curve", &json!({"blocks": 288_500, "policies": (0..policies).map(policy).collect::<Vec<_>>()}))
}

/// Reuse, popularity and working sets with the given times of reuse in us.
pub fn reuse(times_us: &[i64]) -> String {
    let histogram = |unit: &str| {
        let buckets: Vec<_> = times_us.iter().map(|t| (*t, t + 1, 1)).collect();
        json!({"name": "x", "op": null, "unit": unit, "rel_width": 0.0, "count": times_us.len(),
            "sum": times_us.iter().sum::<i64>(), "min": times_us.iter().min(), "max": times_us.iter().max(), "buckets": buckets})
    };
    analysis(
        "reuse",
        &json!({"reuse_share": 0.4, "time": {"histogram": histogram("us")}, "stack_distance": {"histogram": histogram("blocks")},
            "popularity": {"top": [{"share_of_blocks": 0.001, "share_of_reuse": 0.2}, {"share_of_blocks": 0.1, "share_of_reuse": null},
                {"share_of_blocks": 0.5, "share_of_reuse": 0.9}]},
            "windows": [{"window_s": 10.0, "mean_blocks": 3.5, "max_blocks": 7}, {"window_s": 600.0, "mean_blocks": 90.0, "max_blocks": 180}]}),
    )
}

/// An events file of requests that climb through 1 GiB of a device of 64 GiB, and one far away.
pub fn events(bench: &Bench, name: &str, rows: u64) {
    let device = BlockDevice { name: "vda".to_owned(), size_bytes: 64 << 30, ..BlockDevice::default() };
    let mut writer = EventsWriter::create(&bench.path(name), Overwrite::Ours, vec!["vda".to_owned()]).expect("a file");
    for row in 0..rows {
        let stray = row == 7 && rows > 500;
        writer
            .write(Event {
                side: Side::Target,
                op: if row % 4 == 0 { BlockOp::Write } else { BlockOp::Read },
                queued_ns: row as i64 * 1_000_000,
                issued_ns: Some(row as i64 * 1_000_000 + 500),
                completed_ns: row as i64 * 1_000_000 + 90_000,
                offset_bytes: Some(if stray { 60 << 30 } else { (8 << 30) + (row << 30) / rows }),
                size_bytes: Some(4096),
                ..Event::default()
            })
            .expect("a row");
    }
    let meta = EventsMeta { complete: true, devices: vec![device], ..EventsMeta::default() };
    writer.finish(meta).expect("a file");
}

/// A file of every kind.
pub fn all(bench: &Bench) -> Vec<&'static str> {
    bench.write("r.json", samples::json(&samples::replay(Some(samples::kv_block()))));
    bench.write("b.json", samples::json(&samples::kv_block()));
    bench.write("card.json", samples::json(&card(&samples::kv_block(), &samples::kv_block())));
    bench.write("curve.json", curve(3, &[(1, 0.01), (100, 0.2), (182_790, 0.366)]));
    bench.write("reuse.json", reuse(&[1_000, 50_000, 1_000_000, 90_000_000_000]));
    bench.write(
        "hits.json",
        analysis("hits", &json!({"definitions": [
            {"name": "token_block.prefix", "policy": null, "capacity": null, "unit": "blocks", "hits": 3.0, "total": 8.0, "ratio": 0.375},
            {"name": "token.prefix", "policy": null, "capacity": null, "unit": "tokens", "hits": 3.0, "total": 8.0, "ratio": 0.38},
            {"name": "token_block.prefix", "policy": "lru", "capacity": 40, "unit": "blocks", "hits": 1.0, "total": 8.0, "ratio": 0.125}]})),
    );
    bench.write(
        "endurance.json",
        analysis("endurance", &json!({"rows": [
            {"policy": "lru", "capacity_blocks": 1000, "host_writes_per_day_bytes": 7.5e12, "dwpd": 0.98, "years": 3.2},
            {"policy": "fifo", "capacity_blocks": 1000, "host_writes_per_day_bytes": 9.5e9, "dwpd": 1e-3, "years": null}]})),
    );
    bench.write(
        "strange.json",
        analysis(
            "strange",
            &json!({"answer": 42, "things": [{"name": "<b>", "size": 1.5}, {"name": "y", "more": null}]}),
        ),
    );
    bench.ok(&["analyze", "compare", "r.json", "r.json", "-o", "compare.json"]);
    events(bench, "e.parquet", 2_000);
    let flags = ["--num-users", "4", "--duration", "3s", "--gpu-mem-gb", "1", "--cpu-mem-gb", "1"];
    bench.ok(&[&["record", "synthetic", "-o", "t.csv.zst"], &flags[..]].concat());
    bench.ok(&["distill-fio", "b.json", "-o", "job.fio"]);
    vec![
        "r.json",
        "b.json",
        "card.json",
        "curve.json",
        "reuse.json",
        "hits.json",
        "endurance.json",
        "strange.json",
        "compare.json",
        "e.parquet",
        "t.csv.zst",
        "job.fio",
    ]
}
