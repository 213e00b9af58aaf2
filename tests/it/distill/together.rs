//! `distill-fio`: flags that make no sense together are refused in one line before anything runs.

use crate::samples;
use crate::support::Bench;

use super::events::write_events;

#[test]
fn flags_without_effect_are_refused() {
    let bench = Bench::new();
    bench.write("b.json", samples::json(&samples::kv_block()));
    bench.write("t.csv", "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase\n0.0,Write,4096,Tier-2,k,Prefill\n");
    write_events(&bench, "e.parquet", &[(200, 200_000, 4096, 3)]);
    std::fs::create_dir(bench.path("ground")).unwrap();
    bench.write("mine.json", "{}");
    let prove = ["--prove", "--target", "ground"];
    let cases: &[(&str, &[&str], bool, &str)] = &[
        ("b.json", &["--method", "mlperf", "--tune"], true, "as it is"),
        ("b.json", &["--method", "mlperf", "--by", "phase"], false, "one job for all"),
        ("e.parquet", &["--method", "mlperf", "--slices", "3"], false, "one job for all"),
        ("t.csv", &["--method", "mlperf", "--slices", "3"], true, "one job for all"),
        ("t.csv", &["--slices", "3"], true, "is a trace"),
        ("t.csv", &["--hlog", "x.hlog"], true, "--hlog"),
        ("t.csv", &["--pace", "trace"], false, "only replayed with --prove"),
        ("b.json", &["--pace", "trace"], true, "is no trace"),
        ("b.json", &["--io-size", "64KiB"], false, "is no trace"),
        ("b.json", &["--i-know-this-destroys", "/dev/null"], false, "--prove"),
        ("b.json", &["--card", "-"], true, "--json"),
        ("b.json", &["--card", "j.fio"], true, "its own"),
        ("b.json", &["--card", "b.json"], true, "its own"),
        ("b.json", &["--card", "mine.json"], true, "--overwrite"),
        ("b.json", &["--runs", "3"], false, "--prove"),
        ("b.json", &["--", "true"], false, "--prove"),
        ("t.csv", &["--", "true"], true, "replays a trace"),
        ("e.parquet", &["--exact", "--tune"], true, "--tune"),
        ("e.parquet", &["--exact", "--runtime", "3s"], true, "--runtime"),
    ];
    bench.write("j.fio", "# kvtrace.job/1 by a test\n");
    for &(input, flags, proves, expected) in cases {
        let (command, words) = flags.split_at(flags.iter().position(|flag| *flag == "--").unwrap_or(flags.len()));
        let mut all = vec!["distill-fio", input, "-o", "j.fio"];
        all.extend(if proves { &prove[..] } else { &[] });
        all.extend(command.iter().chain(words));
        let ended = bench.run(&all);
        assert_eq!(ended.code, 2, "{all:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{all:?}: {}", ended.stderr);
        assert_eq!(std::fs::read_dir(bench.path("ground")).unwrap().count(), 0, "{all:?}");
    }
    let own = bench.refused(2, &["--overwrite", "distill-fio", "b.json", "-o", "b.json"]);
    assert!(own.contains("is the input"), "{own}");
    bench.ok(&["distill-fio", "t.csv", "-o", "j.fio", "--io-size", "64KiB"]);
    bench.ok(&["distill-fio", "e.parquet", "-o", "j.fio", "--method", "mlperf", "--slices", "off"]);
}
