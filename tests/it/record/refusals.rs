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
    ] {
        let line = bench.refused(2, &[&["record", "synthetic", "-o", "t.csv"], &flags[..]].concat());
        assert!(line.contains(flags[0]) && line.contains(ours), "{line}");
    }
    for flags in [vec!["synthetic", "x.json"], vec!["sharegpt"], vec!["synthetic", "--allow-truncated"]] {
        bench.refused(2, &[&["record", "-o", "t.csv"], &flags[..]].concat());
    }
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
