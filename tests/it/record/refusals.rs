//! What `record` and `models` refuse, and that it costs the user nothing.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Bench, data};

#[test]
fn files_that_are_no_conversations() {
    let bench = Bench::new();
    bench.write("empty.json", "");
    bench.write("words.json", "hello");
    bench.write("inside.json", r#"[{"conversations":[}]"#);
    bench.write("nothing.json", "[]");
    bench.write("odd.json", r#"[{"a":1},7]"#);
    std::fs::create_dir(bench.path("folder")).unwrap();
    for (file, words) in [
        ("empty.json", vec!["empty.json", "is empty"]),
        ("words.json", vec!["words.json", "byte 0"]),
        ("inside.json", vec!["inside.json", "byte 19"]),
        ("nothing.json", vec!["nothing.json", "no conversation"]),
        ("odd.json", vec!["odd.json", "item without messages", "not an object"]),
        ("folder", vec!["folder", "is a directory"]),
        ("absent.json", vec!["absent.json", "No such file"]),
    ] {
        let line = bench.refused(2, &["record", "sharegpt", file, "-o", "t.csv"]);
        assert!(words.iter().all(|word| line.contains(word)), "{file}: {line}");
    }
    let left: Vec<_> = bench.files().into_iter().filter(|name| name.contains("t.")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_file_that_is_cut_off_names_the_byte_and_can_be_used() {
    let Some(file) = data("sharegpt/sharegpt_v3_head1500.json") else { return };
    let bench = Bench::new();
    let whole = std::fs::read(file).unwrap();
    bench.write("cut.json", &whole[..300_000]);
    let line = bench.refused(2, &["record", "sharegpt", "cut.json", "-o", "t.csv"]);
    assert!(line.contains("byte 300000") && line.contains("--allow-truncated"), "{line}");
    assert!(!bench.path("t.csv").exists());
    let stats = bench.ok(&["record", "sharegpt", "cut.json", "--allow-truncated", "--json", "-o", "t.csv"]);
    assert!(stats.contains("cut off by the end of the file"), "{stats}");
}

#[test]
fn all_wrong_flags_are_named_together() {
    let bench = Bench::new();
    let flags = "--num-users 0 --duration 90000 --gpu-mem-gb nan --tensor-parallel 2 --request-rate inf \
                 --model llama3-8b --generation-mode soon --cache-dir /tmp";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let line = bench.refused(2, &[&["record", "synthetic", "-o", "t.csv"], &flags[..]].concat());
    for word in flags.iter().filter(|word| word.starts_with("--") && **word != "--model").chain([&"llama3.1-8b"]) {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(bench.files().is_empty());
}

#[test]
fn a_word_that_is_none_of_the_choices_is_answered_with_them() {
    let bench = Bench::new();
    for (flag, choice) in [("--profile", "mlperf"), ("--queue", "fifo"), ("--tokenizer", "chars4")] {
        let ended = bench.run(&["record", "synthetic", "-o", "t.csv", flag, "no-such-word"]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(flag) && ended.stderr.contains(choice), "{ended:?}");
    }
}

#[test]
fn flags_of_the_reference_point_to_ours() {
    let bench = Bench::new();
    for (flags, ours) in [
        (vec!["--cache-dir", "/x"], "--tier-2"),
        (vec!["--io-trace-log", "x.csv"], "-o"),
        (vec!["--dataset-path", "x.json"], "sharegpt FILE"),
        (vec!["--enable-latency-tracing"], "capture"),
        (vec!["--output", "x.json"], "-o"),
        (vec!["--xlsx-output", "x.xlsx"], "--json"),
        (vec!["--use-burst-trace"], "requests FILE"),
        (vec!["--burst-trace-path", "x.csv"], "requests FILE"),
        (vec!["--enable-autoscaling"], "--num-users"),
        (vec!["--autoscaler-mode", "qos"], "--num-users"),
        (vec!["--target-saturation", "0.8"], "--num-users"),
        (vec!["--precondition"], "replay"),
        (vec!["--precondition-size-gb", "4"], "replay"),
        (vec!["--precondition-threads", "4"], "replay"),
        (vec!["--performance-profile", "latency"], "judges"),
        (vec!["--validation-trace", "x.json"], "analyze"),
        (vec!["--log-level", "DEBUG"], "--quiet"),
    ] {
        let line = bench.refused(2, &[&["record", "synthetic", "-o", "t.csv"], &flags[..]].concat());
        assert!(line.contains(flags[0]) && line.contains(ours), "{line}");
    }
    for flags in [vec!["synthetic", "x.json"], vec!["sharegpt"], vec!["synthetic", "--allow-truncated"]] {
        bench.refused(2, &[&["record", "-o", "t.csv"], &flags[..]].concat());
    }
}

#[test]
fn nothing_is_computed_from_values_that_are_out_of_range() {
    let bench = Bench::new();
    let base = ["record", "synthetic", "-o", "t.csv"];
    bench.write("zero.yaml", "tensor-parallel: 0\n");
    for (flags, whole) in [
        (vec!["--tensor-parallel", "0"], "--tensor-parallel 0: allowed are 1 to 1"),
        (vec!["--num-gpus", "0"], "--num-gpus 0: allowed are 1 to 65536"),
        (vec!["--config", "zero.yaml"], "zero.yaml: tensor-parallel 0: allowed are 1 to 1"),
        (vec!["--largest-object", "0"], "--largest-object 0: allowed are 0.05 to 1"),
        (vec!["--target-usage", "nan"], "--target-usage NaN: allowed are 0.05 to 1"),
        (vec!["--enable-rag", "--rag-chunk-tokens", "0"], "--rag-chunk-tokens 0: allowed are 1 to 1000000"),
        (vec!["--duration", "18446744073709551615"], "--duration 18446744073709551615: allowed are 1 to 86400"),
        (vec!["--gpu-model", "h100", "--workers", "0"], "--workers 0: allowed are 1 to 100000"),
        (
            vec!["--watermarks", "2=0.9", "--storage-capacity-gb", "nan"],
            "--storage-capacity-gb NaN: allowed are 0 to 1048576",
        ),
    ] {
        let line = bench.refused(2, &[&base[..], &flags].concat());
        assert_eq!(line.trim_start_matches("kvtrace: "), whole, "{flags:?}");
    }
    let line = bench.refused(2, &[&base[..], &["--tensor-parallel", "2"]].concat());
    assert!(line.contains("--num-gpus 2"), "{line}");
}

#[test]
fn a_number_below_zero_is_a_value_of_its_flag() {
    let bench = Bench::new();
    for command in ["record", "run"] {
        for (flag, value) in
            [("--request-rate", "-1"), ("--gpu-mem-gb", "-1"), ("--arrival-cv", "-0.5"), ("--trace-speedup", "-2")]
        {
            let line = bench.refused(2, &[command, "synthetic", "-o", "t.csv", flag, value]);
            assert!(line.contains(&format!("{flag} {value}: allowed are 0 to")), "{line}");
        }
        let ended = bench.run(&[command, "synthetic", "-o", "t.csv", "--num-users", "-1"]);
        assert!(ended.code == 2 && ended.stderr.contains("'-1' for '--num-users <N>'"), "{ended:?}");
    }
    assert!(bench.files() == ["t.csv"] || bench.files().is_empty(), "{:?}", bench.files());
}

#[test]
fn formats_where_a_source_is_meant() {
    let bench = Bench::new();
    bench
        .write("b.csv", "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,GPT-4,100,10,110,x\n");
    bench.ok(&["record", "burstgpt", "b.csv", "-o", "t.csv"]);
    assert_eq!(bench.json("t.csv.meta.json")["source"]["kind"], "requests");
    bench.write("c.yaml", "source: burstgpt\n");
    bench.ok(&["record", "b.csv", "--config", "c.yaml", "-o", "u.csv"]);
    assert_eq!(bench.read("t.csv"), bench.read("u.csv"));
    for word in ["azure", "mooncake"] {
        let line = bench.refused(2, &["record", word, "b.csv", "-o", "t.csv"]);
        assert!(line.contains(word) && line.contains("record requests FILE"), "{line}");
    }
}

#[test]
fn documents_are_looked_at_only_where_there_are_some() {
    let bench = Bench::new();
    let large = ["record", "synthetic", "--print-config", "--model", "bytes:1073741824"];
    bench.ok(&large);
    let line = bench.refused(2, &[&large[..], &["--enable-rag"]].concat());
    assert!(line.contains("--rag-max-chunk-bytes"), "{line}");
}

#[test]
fn tiers_that_are_too_small_for_any_object() {
    let bench = Bench::new();
    let small = ["--gpu-mem-gb", "0", "--cpu-mem-gb", "0", "--storage-capacity-gb", "0.001"];
    let flags = ["record", "synthetic", "--disable-prefix-caching", "--max-requests", "20", "-o", "t.csv"];
    let line = bench.refused(2, &[&flags[..], &small].concat());
    assert!(line.contains("--storage-capacity-gb"), "{line}");
    assert!(bench.files().is_empty(), "{:?}", bench.files());
}

#[test]
fn tiers_that_contradict_what_is_to_be_in_them() {
    let bench = Bench::new();
    let base = ["record", "synthetic", "--max-requests", "20", "-o", "t.csv"];
    for (flags, words) in [
        (vec!["--gpu-mem-gb", "0.0001"], vec!["--gpu-mem-gb", "one token", "Tier-0"]),
        (vec!["--cpu-mem-gb", "0.0001", "--num-gpus", "2", "--tensor-parallel", "2"], vec!["--cpu-mem-gb", "a rank"]),
        (vec!["--storage-capacity-gb", "0.0001"], vec!["--storage-capacity-gb", "unlimited"]),
        (vec!["--watermarks", "0.6:0.8"], vec!["--watermarks", "LOW <= HIGH"]),
        (vec!["--watermarks", "2=0.8"], vec!["--watermarks 2", "--storage-capacity-gb"]),
        (vec!["--watermarks", "0=0.8", "--gpu-mem-gb", "0"], vec!["--watermarks 0", "--gpu-mem-gb"]),
        (vec!["--policy", "mru"], vec!["--policy", "s3-fifo"]),
        (vec!["--policy", "lru,lru"], vec!["--policy", "three"]),
    ] {
        let ended = bench.run(&[&base[..], &flags].concat());
        assert_eq!(ended.code, 2, "{flags:?} {ended:?}");
        assert!(words.iter().all(|word| ended.stderr.contains(word)), "{flags:?}: {}", ended.stderr);
    }
    assert!(bench.files().is_empty(), "{:?}", bench.files());
    let small = [&base[..], &["--disable-prefix-caching", "--cpu-mem-gb", "0.001", "--gpu-mem-gb", "1"]].concat();
    let told = bench.run(&small);
    assert!(told.code == 0 && told.stderr.contains("--cpu-mem-gb"), "{told:?}");
}

#[test]
fn a_strangers_file_is_kept() {
    let bench = Bench::new();
    bench.write("t.csv", "precious");
    let flags = ["record", "synthetic", "--max-requests", "3", "-o", "t.csv"];
    assert!(bench.refused(2, &flags).contains("--overwrite"));
    assert_eq!(bench.read("t.csv"), b"precious");
    bench.ok(&[&flags[..], &["--overwrite"]].concat());
    bench.ok(&flags);
}

#[test]
fn the_configuration_in_force_is_printed() {
    let bench = Bench::new();
    let text = bench.ok(&["record", "synthetic", "--print-config", "--num-users", "7"]);
    assert!(
        text.contains("num-users: 7\n") && text.contains("workers: 7\n") && text.contains("duration: 60\n"),
        "{text}"
    );
    assert!(bench.files().is_empty());
}

#[test]
fn an_interrupted_recording_keeps_what_it_has() {
    let bench = Bench::new();
    let flags = ["record", "synthetic", "--num-users", "2000", "--duration", "86400", "-o", "t.csv"];
    let child = bench.command(&flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    let names = bench.files();
    assert_eq!(names, ["t.partial.csv", "t.partial.csv.meta.json", "t.partial.requests.parquet"]);
    assert_eq!(bench.json("t.partial.csv.meta.json")["complete"], false);
}

#[test]
fn models_by_name_and_by_configuration() {
    let bench = Bench::new();
    let table = bench.ok(&["models", "--context", "8192"]);
    assert!(table.lines().any(|line| line.contains("deepseek-v3") && line.contains("70272")), "{table}");
    let config = r#"{"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":8}"#;
    bench.write("config.json", config);
    let listing = bench.ok_json(&["models", "config.json", "--users", "3", "--json"]);
    assert_eq!(listing["models"][0]["bytes_per_token"], 2 * 2 * 8 * 2 * 2);
    assert_eq!(listing["models"][0]["users_bytes"], 128u64 * 8192 * 3);
    bench.write("hybrid.json", r#"{"num_hidden_layers":2,"num_attention_heads":4,"mamba_d_state":16}"#);
    assert!(bench.refused(2, &["models", "hybrid.json"]).contains("mamba_d_state"));
    let line = bench.refused(2, &["record", "synthetic", "--model", "hybrid.json", "-o", "t.csv"]);
    assert!(line.contains("mamba_d_state"), "{line}");
}

const BURST: &str = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,GPT-4,100,10,110,x\n";
const TALK: &str = r#"[{"conversations":[{"from":"human","value":"how are you"},{"from":"gpt","value":"well"}]}]"#;

#[test]
fn a_run_makes_no_folder_for_what_it_refuses() {
    let bench = Bench::new();
    for flags in [
        vec!["synthetic", "-o", "dir", "--num-users", "0"],
        vec!["requests", "absent.csv", "-o", "dir"],
        vec!["sharegpt", "absent.json", "-o", "dir"],
        vec!["synthetic", "-o", "dir", "--size-scale", "0"],
        vec!["synthetic", "-o", "-"],
    ] {
        bench.refused(2, &[&["run"], &flags[..]].concat());
        assert!(bench.files().is_empty(), "{flags:?}: {:?}", bench.files());
    }
}

#[test]
fn what_is_read_is_not_replaced() {
    let bench = Bench::new();
    bench.write("in.csv", BURST);
    std::os::unix::fs::symlink("in.csv", bench.path("link.csv")).unwrap();
    std::fs::hard_link(bench.path("in.csv"), bench.path("t.requests.parquet")).unwrap();
    bench.write("c.csv", "num-users: 3\n");
    for flags in [
        vec!["requests", "in.csv", "-o", "in.csv"],
        vec!["requests", "in.csv", "-o", "link.csv"],
        vec!["requests", "in.csv", "-o", "t.csv"],
        vec!["synthetic", "--config", "c.csv", "-o", "c.csv"],
    ] {
        let line = bench.refused(2, &[&["record", "--overwrite"], &flags[..]].concat());
        assert!(line.contains("which is read"), "{line}");
    }
    assert_eq!(bench.read("in.csv"), BURST.as_bytes());
}

#[test]
fn a_pattern_stands_for_one_file_of_conversations() {
    let bench = Bench::new();
    bench.write("data1.json", TALK);
    bench.ok(&["record", "sharegpt", "data*.json", "-o", "t.csv"]);
    bench.write("data2.json", TALK);
    let line = bench.refused(2, &["record", "sharegpt", "data*.json", "-o", "t.csv"]);
    assert!(line.contains("2 files") && line.contains("data2.json"), "{line}");
    assert!(bench.refused(2, &["record", "sharegpt", "x*.json", "-o", "t.csv"]).contains("no file fits"));
}

#[test]
fn standard_input_is_no_source() {
    let bench = Bench::new();
    for flags in [vec!["sharegpt", "-"], vec!["requests", "-"], vec!["synthetic", "--config", "-"]] {
        let line = bench.refused(2, &[&["record", "-o", "t.csv"], &flags[..]].concat());
        assert!(line.contains("save standard input to"), "{line}");
    }
    let line = bench.refused(2, &["record", "requests", "/dev/stdin", "-o", "t.csv"]);
    assert!(line.contains("/dev/stdin") && line.contains("twice"), "{line}");
}

#[test]
fn values_may_have_their_units() {
    let bench = Bench::new();
    let printed = |flags: &str| {
        let flags: Vec<&str> = flags.split_whitespace().collect();
        bench.ok(&[&["record", "synthetic", "--print-config"], &flags[..]].concat())
    };
    let bare = "--duration 600 --request-rate 50 --gpu-mem-gb 8 --cpu-mem-gb 0.5 --storage-capacity-gb 1024";
    let units = "--duration 10m --request-rate 50/s --gpu-mem-gb 8GiB --cpu-mem-gb 512MiB --storage-capacity-gb 1TiB";
    assert_eq!(printed(bare), printed(units));
    for (flag, value, allowed) in
        [("--duration", "1500ms", "10m"), ("--request-rate", "50/m", "50/s"), ("--cpu-mem-gb", "16G", "16GiB")]
    {
        let ended = bench.run(&["record", "synthetic", "-o", "t.csv", flag, value]);
        assert!(ended.code == 2 && ended.stderr.contains(flag) && ended.stderr.contains(allowed), "{ended:?}");
    }
}

#[test]
fn what_has_no_effect_is_refused_where_it_is_typed() {
    let bench = Bench::new();
    bench.write("in.csv", BURST);
    bench.write("c.yaml", "tokenizer: chars4\ndecode-reads: rescan:8\nmax-requests: 5\n");
    for (flags, flag) in [
        (vec!["synthetic", "--tokenizer", "chars4", "-o", "t.csv"], "--tokenizer"),
        (vec!["requests", "in.csv", "--tokenizer", "chars4", "-o", "t.csv"], "--tokenizer"),
        (vec!["synthetic", "--prefill-only", "--decode-reads", "rescan:8", "-o", "t.csv"], "--decode-reads"),
        (vec!["synthetic", "--epoch", "5", "-o", "t.parquet"], "--epoch"),
    ] {
        let line = bench.refused(2, &[&["record"], &flags[..]].concat());
        assert!(line.contains(flag), "{line}");
    }
    bench.ok(&["record", "synthetic", "--prefill-only", "--config", "c.yaml", "-o", "t.csv"]);
    bench.ok(&["record", "requests", "in.csv", "--config", "c.yaml", "-o", "t.csv"]);
}

#[test]
fn a_tier_that_stays_empty_is_noted_and_nothing_is_skipped() {
    let bench = Bench::new();
    let flags = "record synthetic --disable-prefix-caching --max-requests 1 --gpu-mem-gb 0.001 --prefill-only -o t.csv";
    let told = bench.run(&flags.split_whitespace().collect::<Vec<_>>());
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stderr.contains("note: 1 x object too large for Tier-0"), "{told:?}");
    assert!(!told.stderr.contains("skipped:") && !told.stderr.lines().any(|line| line == "found: "), "{told:?}");
    let stats = &bench.json("t.csv.meta.json")["record"];
    assert!(stats["skipped"].as_object().unwrap().is_empty() && stats["notes"].as_object().unwrap().len() == 1);
    let line =
        bench.refused(2, &"record synthetic --duration 10 --gpu-mem-gb 0.001 -o u.csv".split(' ').collect::<Vec<_>>());
    assert!(line.contains("--gpu-mem-gb") && !bench.path("u.csv").exists(), "{line}");
}

#[test]
fn a_folder_that_is_not_there_is_said_of_what_was_typed() {
    let bench = Bench::new();
    let line = bench.refused(2, &["record", "synthetic", "-o", "absent/x.csv"]);
    assert!(line.contains("cannot write absent/x.csv:"), "{line}");
}
