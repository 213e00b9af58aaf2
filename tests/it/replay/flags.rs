//! Wrong values of a replay's flags: one line that names the flag, the value and what is allowed.

use super::trace;
use crate::support::Bench;

#[test]
fn a_wrong_value_of_a_flag_is_one_clear_line() {
    let bench = Bench::new();
    trace(&bench, "t.csv", &["0 Read 1 Tier-2 a Decode"]);
    for (flag, value, words) in [
        ("--pace", "fast", ["asap, trace or rate:50/s", "fast"]),
        ("--pace", "rate:-5/s", ["rate", "above 0"]),
        ("--pace", "rate:0/s", ["rate", "above 0"]),
        ("--pace", "rate:NaN/s", ["rate", "above 0"]),
        ("--speed", "-1", ["-1", "above 0"]),
        ("--speed", "0", ["0", "above 0"]),
        ("--speed", "inf", ["inf", "above 0"]),
        ("--speed", "fast", ["fast", "above 0"]),
        ("--size-scale", "-0.5", ["-0.5", "above 0"]),
        ("--size-scale", "NaN", ["NaN", "above 0"]),
        ("--size-scale", "2000", ["2000", "at most 1000"]),
        ("--io-size", "-4096", ["-4096", "a size"]),
        ("--io-size", "1000", ["1000", "multiple of 4096"]),
        ("--io-size", "1M", ["1M", "MiB"]),
        ("--io-size", "128MiB", ["--io-size", "64MiB"]),
        ("--bytes-in-flight", "-1", ["-1", "a size"]),
        ("--bytes-in-flight", "4KiB", ["--bytes-in-flight", "one I/O"]),
        ("--bytes-in-flight", "99999999999999999999TiB", ["99999999999999999999TiB", "number"]),
        ("--max-objects", "0", ["0", "at least one"]),
        ("--max-objects", "-3", ["-3", "whole number"]),
        ("--max-objects", "9999999999", ["9999999999", "whole number"]),
        ("--max-objects", "1.5", ["1.5", "whole number"]),
        ("--max-errors", "-1", ["-1", "whole number"]),
        ("--helpers", "-1", ["-1", "whole number"]),
        ("--helpers", "1000", ["1000", "256"]),
        ("--max-lag", "-1s", ["-1s", "30s"]),
        ("--max-lag", "5", ["5", "no unit"]),
        ("--max-lag", "soon", ["soon", "30s"]),
        ("--data-seed", "-1", ["-1", "whole number"]),
        ("--verify", "sample:2", ["2", "sample:0.1"]),
        ("--verify", "sample:-0.1", ["-0.1", "sample:0.1"]),
        ("--verify", "all", ["all", "sample:0.1"]),
        ("--only-tier", "3", ["3", "0, 1 or 2"]),
        ("--only-tier", "-1", ["-1", "0, 1 or 2"]),
        ("--wait", "sleep", ["sleep", "timeout"]),
        ("--engine", "libaio", ["libaio", "io_uring"]),
        ("--order", "keys", ["keys", "the nearest is key"]),
        ("--durability", "fsnyc", ["fsnyc", "the nearest is fsync"]),
        ("--tier-2", "tape", ["tape", "dir:"]),
        ("--tier-2", "file:x,size=-1", ["-1", "size"]),
        ("--tier-1", "dram:-4GiB", ["-4GiB", "size"]),
        ("--tier-0", "model:-1GB/s+10us", ["-1GB/s", "--tier-0"]),
        ("--tier-0", "model:64GB/s+-10us", ["10us", "--tier-0"]),
    ] {
        for args in [vec![flag.to_owned(), value.to_owned()], vec![format!("{flag}={value}")]] {
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            let ended = bench.run(&[&["replay", "t.csv"][..], &args].concat());
            assert_eq!(ended.code, 2, "{args:?}: {}", ended.stderr);
            let lines: Vec<_> = ended.stderr.lines().collect();
            assert!(lines.len() == 1 && lines[0].starts_with("kvtrace: "), "{args:?}: {}", ended.stderr);
            let said = lines[0];
            assert!(said.contains(flag) && words.iter().all(|word| said.contains(word)), "{args:?}: {said}");
        }
    }
    assert_eq!(bench.files(), ["t.csv"]);
}

#[test]
fn values_below_zero_are_explained_in_every_command() {
    let bench = Bench::new();
    trace(&bench, "t.csv", &["0 Read 1 Tier-2 a Decode"]);
    for (args, words) in [
        (vec!["capture", "--duration", "-5s"], "--duration -5s"),
        (vec!["models", "--context", "-1"], "--context -1"),
        (vec!["models", "--users", "-1"], "--users -1"),
        (vec!["analyze", "curve", "t.csv", "--points", "-3"], "--points -3: allowed are 2 to 100000"),
    ] {
        let line = bench.refused(2, &args);
        assert!(line.contains(words) && !line.contains("unexpected argument"), "{args:?}: {line}");
    }
}
