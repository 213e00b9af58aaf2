//! The requests of a replayed trace, from the file beside it.

use kvtrace::trace::meta::{ModelFacts, Source};
use kvtrace::trace::{
    Meta, Op, Phase, RequestKind, RequestRow, RequestsWriter, TraceWriter, WriteOptions, requests_path,
};

use super::record;
use crate::support::Bench;

#[test]
fn requests_are_taken_from_the_file_beside_the_trace() {
    let bench = Bench::on_disk();
    let path = bench.path("t.csv");
    let mut meta = Meta::foreign(Source { kind: "test".to_owned(), ..Source::default() });
    meta.model = Some(ModelFacts { name: "m".to_owned(), bytes_per_token: 1000, kv_dtype: "float16".to_owned() });
    let options = WriteOptions::default();
    let mut writer = TraceWriter::create(&path, options, 0).unwrap();
    let mut requests = RequestsWriter::create(&requests_path(&path), options.overwrite).unwrap();
    for i in 0..20u64 {
        for (op, phase) in [(Op::Write, Phase::Prefill), (Op::Read, Phase::Decode), (Op::Read, Phase::Decode)] {
            writer.write(&record(i as i64, op, 50_000, phase, Some(i))).unwrap();
        }
        requests
            .write(RequestRow {
                request: i,
                conversation: None,
                turn: 1,
                user: "u".to_owned(),
                qos: ["interactive", "batch"][i as usize % 2].to_owned(),
                kind: RequestKind::User,
                arrival_ns: 0,
                start_ns: 60_000_000,
                context_tokens: 50,
                generate_tokens: 10,
                generation_ns: 1_000_000,
                lookups: 1,
                misses: 1,
                ..RequestRow::default()
            })
            .unwrap();
    }
    writer.finish(&meta).unwrap();
    requests.finish(&meta).unwrap();
    bench.ok(&["replay", "t.csv", "--tier-2", "dir:D", "-o", "r.json"]);
    let result = bench.json("r.json");
    let requests = &result["requests"];
    assert_eq!((&requests["count"], &requests["queue"]["min"]), (&20.into(), &60_000_000.into()));
    let target = |class: &str, number: usize| requests["qos"][class]["targets"][number].clone();
    let late = target("interactive", 0);
    assert_eq!((&late["share_within"], &late["met"]), (&0.0.into(), &false.into()), "60 ms of queue are beyond 50 ms");
    assert_eq!((&requests["qos"]["batch"]["count"], &target("batch", 0)["target_ms"]), (&10.into(), &1000.0.into()));
    assert!(target("batch", 3)["met"].is_null() && target("batch", 3)["why_null"].to_string().contains("29956"));
    assert_eq!(
        (&requests["qos"]["responsive"]["no_data"], &requests["targets_from"]),
        (&true.into(), &"defaults".into())
    );
    let service: i64 =
        result["latency"].as_array().unwrap().iter().map(|k| k["service"]["sum"].as_i64().unwrap()).sum();
    assert_eq!(requests["storage"]["sum"], service, "every row belongs to a request");
    let tokens = &result["tokens"];
    assert_eq!((&tokens["read_per_written"], &tokens["read_amplification"]), (&2.0.into(), &15.0.into()));
    let wall = result["totals"]["wall_s"].as_f64().unwrap();
    assert!((tokens["tier2_moved_per_s"].as_f64().unwrap() * wall - 3000.0).abs() < 1.0);
    assert!((tokens["generated_per_s"].as_f64().unwrap() * wall - 200.0).abs() < 1.0);
}
