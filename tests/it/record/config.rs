//! `--config`: what a file sets, what wins over it, and what is wrong with it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Bench, manifest_dir};

/// The reference's config.yaml: its sections, keys and values, without models.
const REFERENCE: &str = "\
user_templates:
  chatbot: {context_range: [512, 4096], generation_range: [50, 200], think_time_range: [0.1, 0.5]}
  coding: {context_range: [4096, 25000], generation_range: [100, 500], think_time_range: [0.2, 1.0]}
  document: {context_range: [4096, 16384], generation_range: [200, 800], think_time_range: [0.3, 1.5]}
generation_timing: {none: 0.0, fast: 0.002, realistic: 0.030}
prefill_timing: {none: 0.0, fast: 0.0005, realistic: 0.002}
qos_profiles:
  interactive: {target_latency_p95_ms: 50, target_latency_p99_ms: 100, target_latency_p999_ms: 150, \
target_latency_p9999_ms: 200, priority: 3}
  responsive: {target_latency_p95_ms: 100, target_latency_p99_ms: 200, target_latency_p999_ms: 350, \
target_latency_p9999_ms: 500, priority: 2}
  batch: {target_latency_p95_ms: 1000, target_latency_p99_ms: 5000, target_latency_p999_ms: 7500, \
target_latency_p9999_ms: 10000, priority: 1}
qos_distribution: {interactive_probability: 0.15, responsive_threshold: 0.50}
eviction: {max_recursion_depth: 10, target_usage_ratio: 0.8, large_entry_limit_ratio: 0.95, \
max_evictions_hard_cap: 5000, max_evictions_min: 1000}
gpu_backend: {memory_fraction: 0.9, max_eviction_attempts: 100, free_memory_threshold: 0.1}
prefix_cache: {min_prefix_length: 50, max_prefix_entries: 1000, system_prompt_hit_probability: 0.2}
rag: {chunk_size_tokens: 512, top_k_chunks: 5, max_chunk_bytes: 268435456, request_probability: 0.1, \
retrieval_distribution: zipfian, max_documents: 0, large_model_doc_tokens_min: 1024, \
large_model_doc_tokens_max: 4096, small_model_doc_tokens_min: 4000, small_model_doc_tokens_max: 12000}
conversation: {max_conversations: 1000, max_turns_per_conv: 50, end_conversation_probability: 0.2}
autoscaler: {min_users: 1, max_users: 10000, scale_up_factor: 1.2, scale_down_factor: 0.8, \
consecutive_samples_required: 2}
decode: {batch_size: 32}
sharegpt: {max_context_tokens: 8192, max_generation_tokens: 2048, chars_per_token_estimate: 4}
saturation_detection: {read_latency_p95_threshold_ms: 100, write_latency_p95_threshold_ms: 50, \
queue_depth_threshold: 100, history_window_size: 10}
validation_limits: {max_users: 100000, max_duration_seconds: 86400, max_gpu_memory_gb: 1024, max_cpu_memory_gb: 16384}
model_configs:
  tiny-1b: {name: Tiny, num_layers: 12, hidden_dim: 1024, num_heads: 8, kv_heads: 4, dtype: float16}
  deepseek-v3: {num_layers: 61, hidden_dim: 7168, num_heads: 128, attention_type: mla, kv_lora_rank: 512, \
qk_rope_head_dim: 64}
  qwen3-32b: {num_layers: 64, hidden_dim: 5120, num_heads: 64, kv_heads: 8, kv_dim_per_head: 128}
";

fn printed(bench: &Bench, flags: &[&str]) -> String {
    bench.ok(&[&["record", "--print-config"], flags].concat())
}

fn value(text: &str, key: &str) -> Value {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no {key} in {text}"))).expect("a JSON value")
}

#[test]
fn typed_wins_over_the_file_the_file_over_the_preset_the_preset_over_the_profile() {
    let bench = Bench::new();
    bench.write("c.yaml", "num_users: 11\ncpu-mem-gb: 3\ndisable-multi-turn: true\nlive-conversations: 70\n");
    let flags = ["--config", "c.yaml", "--preset", "smoke-2", "--profile", "engine", "--cpu-mem-gb", "5"];
    let text = printed(&bench, &flags);
    let number = |key| value(&text, key).as_f64().expect("a number");
    assert_eq!((number("cpu-mem-gb"), number("num-users"), number("duration")), (5.0, 11.0, 180.0));
    assert_eq!((number("live-conversations"), value(&text, "profile")), (70.0, "engine".into()));
    assert_eq!(value(&text, "disable-multi-turn"), true);
    let off = printed(&bench, &[&flags[..], &["--disable-multi-turn=false"]].concat());
    assert_eq!(value(&off, "disable-multi-turn"), false);
    bench.write("c.toml", "num-users = 12\nsource = \"synthetic\"\npreset = \"smoke-3\"\n[rag]\ntop_k_chunks = 3\n");
    let text = printed(&bench, &["--config", "c.toml"]);
    assert_eq!((value(&text, "num-users"), value(&text, "duration")), (12.into(), 300.into()));
}

#[test]
fn what_is_printed_can_be_fed_back() {
    let bench = Bench::new();
    let sample = manifest_dir().join("traces/sharegpt-sample.json");
    bench.write("ref.yaml", REFERENCE);
    bench.write(
        "users.yaml",
        "users:\n- {context: 900, generation: 40, think_s: 0.25, qos: interactive}\n- {context: 90, generation: 4, \
         think-s: 1}\nmodels: {mine: {bytes_per_token: 4096}}\nmodel: mine\nsource: synthetic\npause_range: [0.5, 2]\n",
    );
    for (n, flags) in [
        vec!["synthetic"],
        vec!["--config", "users.yaml"],
        vec!["synthetic", "--config", "ref.yaml", "--enable-rag", "--generation-mode", "fast"],
        vec!["--preset", "mlperf-option-2", "--rank", "2"],
        vec!["synthetic", "--profile", "engine", "--model", "bytes:1000", "--request-rate", "5"],
        vec!["sharegpt", sample.to_str().unwrap(), "--config", "ref.yaml", "--tokenizer", "chars4"],
    ]
    .into_iter()
    .enumerate()
    {
        let first = printed(&bench, &flags);
        let file = format!("{n}.yaml");
        bench.write(&file, &first);
        assert_eq!(printed(&bench, &["--config", &file]), first, "{flags:?}");
        let json = format!("{n}.json");
        bench.write(&json, printed(&bench, &[&flags[..], &["--json"]].concat()));
        assert_eq!(printed(&bench, &["--config", &json]), first, "{flags:?}");
    }
    let record = |trace: &str, flags: &[&str]| {
        bench.ok(&[&["record", "--duration", "4", "--quiet", "-o", trace], flags].concat());
        bench.read(trace)
    };
    assert_eq!(record("a.csv", &["--config", "users.yaml"]), record("b.csv", &["--config", "1.yaml"]));
}

#[test]
fn the_references_file_is_taken_as_it_is_and_changes_nothing() {
    let bench = Bench::new();
    bench.write("ref.yaml", REFERENCE);
    let flags = ["record", "synthetic", "--num-users", "9", "--duration", "4", "--model", "tiny-1b", "--enable-rag"];
    let plain = bench.run(&[&flags[..], &["-o", "plain.csv"]].concat());
    let with = bench.run(&[&flags[..], &["-o", "with.csv", "--config", "ref.yaml"]].concat());
    assert_eq!((plain.code, with.code), (0, 0), "{plain:?} {with:?}");
    assert_eq!(bench.read("plain.csv"), bench.read("with.csv"));
    for key in ["autoscaler.max_users", "gpu_backend.memory_fraction", "eviction.max_recursion_depth", "prefill_timing"]
    {
        let said = with.stderr.lines().any(|line| line.contains("no effect") && line.contains(key));
        assert!(said, "{key}: {}", with.stderr);
    }
}

/// Each changed key shows in what is in force, or in the model or the flags that are refused.
#[test]
fn every_key_of_the_reference_has_an_effect() {
    let bench = Bench::new();
    bench.write("ref.yaml", REFERENCE);
    let sample = manifest_dir().join("traces/sharegpt-sample.json");
    let sharegpt = ["sharegpt", sample.to_str().unwrap(), "--tokenizer", "chars4"];
    let synthetic = ["synthetic", "--enable-rag", "--generation-mode", "fast"];
    let large = ["synthetic", "--enable-rag", "--model", "llama3.1-70b-instruct"];
    let before =
        [&sharegpt[..], &synthetic, &large].map(|flags| printed(&bench, &[flags, &["--config", "ref.yaml"]].concat()));
    for (old, new, source) in [
        ("context_range: [512,", "context_range: [513,", 1),
        ("generation_range: [100,", "generation_range: [101,", 1),
        ("think_time_range: [0.3,", "think_time_range: [0.4,", 1),
        ("fast: 0.002", "fast: 0.004", 1),
        ("target_latency_p999_ms: 350", "target_latency_p999_ms: 351", 0),
        ("priority: 2", "priority: 5", 1),
        ("interactive_probability: 0.15", "interactive_probability: 0.25", 1),
        ("responsive_threshold: 0.50", "responsive_threshold: 0.60", 1),
        ("target_usage_ratio: 0.8", "target_usage_ratio: 0.7", 1),
        ("large_entry_limit_ratio: 0.95", "large_entry_limit_ratio: 0.5", 1),
        ("min_prefix_length: 50", "min_prefix_length: 80", 1),
        ("max_prefix_entries: 1000", "max_prefix_entries: 2", 1),
        ("system_prompt_hit_probability: 0.2", "system_prompt_hit_probability: 0.3", 0),
        ("chunk_size_tokens: 512", "chunk_size_tokens: 256", 1),
        ("top_k_chunks: 5", "top_k_chunks: 4", 1),
        ("max_chunk_bytes: 268435456", "max_chunk_bytes: 268435455", 1),
        ("request_probability: 0.1", "request_probability: 0.4", 1),
        ("retrieval_distribution: zipfian", "retrieval_distribution: random", 1),
        ("max_documents: 0", "max_documents: 3", 1),
        ("large_model_doc_tokens_min: 1024", "large_model_doc_tokens_min: 1025", 2),
        ("large_model_doc_tokens_max: 4096", "large_model_doc_tokens_max: 4097", 2),
        ("small_model_doc_tokens_min: 4000", "small_model_doc_tokens_min: 4001", 1),
        ("small_model_doc_tokens_max: 12000", "small_model_doc_tokens_max: 12001", 1),
        ("max_conversations: 1000", "max_conversations: 999", 1),
        ("max_turns_per_conv: 50", "max_turns_per_conv: 5", 1),
        ("end_conversation_probability: 0.2", "end_conversation_probability: 0.4", 1),
        ("chars_per_token_estimate: 4", "chars_per_token_estimate: 3", 0),
        ("batch_size: 32", "batch_size: 16", 1),
        ("max_context_tokens: 8192", "max_context_tokens: 100", 0),
        ("max_generation_tokens: 2048", "max_generation_tokens: 100", 0),
    ] {
        let changed = REFERENCE.replacen(old, new, 1);
        assert_ne!(changed, REFERENCE, "{old}");
        bench.write("changed.yaml", changed);
        let flags = [&sharegpt[..], &synthetic, &large][source];
        let after = printed(&bench, &[flags, &["--config", "changed.yaml"]].concat());
        let others = |text: &str| text.lines().filter(|line| !line.starts_with("model_configs")).count();
        assert_eq!(others(&after), others(&before[source]));
        assert_ne!(after, before[source], "{new}");
    }
    for (old, new, flags, words) in [
        ("max_users: 100000", "max_users: 5", "--num-users 9", "validation_limits.max_users allows 5"),
        ("max_duration_seconds: 86400", "max_duration_seconds: 5", "--duration 9", "max_duration_seconds allows 5"),
        ("max_gpu_memory_gb: 1024", "max_gpu_memory_gb: 5", "--gpu-mem-gb 9", "max_gpu_memory_gb allows 5"),
        ("max_cpu_memory_gb: 16384", "max_cpu_memory_gb: 5", "--cpu-mem-gb 9", "max_cpu_memory_gb allows 5"),
    ] {
        bench.write("changed.yaml", REFERENCE.replacen(old, new, 1));
        let flags: Vec<&str> = flags.split(' ').collect();
        let line = bench
            .refused(2, &[&["record", "synthetic", "--config", "changed.yaml", "-o", "t.csv"], &flags[..]].concat());
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn own_models_and_known_ones_with_other_numbers() {
    let bench = Bench::new();
    bench.write(
        "m.yaml",
        "models:\n  mine: {num_layers: 2, hidden_dim: 64, num_heads: 4, kv_heads: 2, dtype: int8}\n  latent: \
         {attention_type: mla, num_layers: 3, kv_lora_rank: 10, qk_rope_head_dim: 6}\n  llama3.1-8b: {num_layers: \
         16}\n  plain: {bytes_per_token: 12345}\n",
    );
    for (model, bytes) in [("mine", 2 * 2 * 2 * 16), ("latent", 3 * 16 * 2), ("llama3.1-8b", 65_536), ("plain", 12_345)]
    {
        let flags =
            ["record", "synthetic", "--config", "m.yaml", "--max-requests", "30", "-o", "t.csv", "--model", model];
        bench.ok(&[&flags[..], &["--quiet"]].concat());
        assert_eq!(bench.json("t.csv.meta.json")["model"]["bytes_per_token"], bytes, "{model}");
    }
    let line = bench.refused(2, &["record", "synthetic", "--config", "m.yaml", "--model", "mini", "-o", "t.csv"]);
    assert!(line.contains("mine"), "{line}");
}

#[test]
fn a_file_that_is_wrong_is_named_with_its_key_and_what_is_allowed() {
    let bench = Bench::new();
    let bomb: String = (1..12)
        .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", ")))
        .fold("a0: &a0 [x, x]\n".to_owned(), |all, line| all + &line);
    for (text, words) in [
        ("num-usrs: 3", vec!["num-usrs", "num-users"]),
        ("rag: {top_k: 3}", vec!["rag", "top_k", "top_k_chunks"]),
        ("num-users: many", vec!["num-users", "many"]),
        ("num-users: 0", vec!["num-users 0", "1 to 100000"]),
        ("num-users: true", vec!["num-users", "true"]),
        ("num-users: [1, 2]", vec!["num-users", "a single value"]),
        ("disable-multi-turn: 1", vec!["disable-multi-turn", "true or false"]),
        ("queue: lifo", vec!["queue", "lifo", "qos, fifo"]),
        ("request-rate: .nan", vec!["request-rate", "NaN"]),
        ("request-rate: -1", vec!["request-rate", "-1"]),
        ("conversation: {max_turns_per_conv: true}", vec!["max_turns_per_conv is true", "whole number"]),
        ("decode: {batch_size: 0}", vec!["decode.batch_size is 0", "from 1"]),
        ("eviction: {target_usage_ratio: .nan}", vec!["eviction.target_usage_ratio", "NaN"]),
        ("user_templates: {chatbot: {context_range: [9, 3]}}", vec!["chatbot.context_range", "lower first"]),
        ("user_templates: {chatty: {}}", vec!["chatty", "chatbot"]),
        ("users: []", vec!["users", "1 to 100000"]),
        ("users: [{context: 5}]", vec!["users[0]", "generation"]),
        ("users: [{context: 5, generation: 1, think_s: 0}]", vec!["users[0].think_s"]),
        ("target-usage: 0.5\neviction: {target_usage_ratio: 0.5}", vec!["target_usage_ratio", "target-usage"]),
        ("num-users: 1\nnum_users: 2", vec!["num-users", "num_users"]),
        ("models: {m: {num_layers: 99999999999}}", vec!["models.m", "16777216"]),
        ("models: {m: {bytes_per_token: 9000000000000}}", vec!["models.m", "believed"]),
        ("models: {m: {layers: 9}}", vec!["models.m", "num_layers"]),
        ("tier-2: dir:x", vec!["tier-2", "kvtrace run"]),
        ("config: other.yaml", vec!["config", "typed"]),
        ("cache-dir: /x", vec!["cache-dir", "--tier-2"]),
        ("qos_profiles: {batch: {priority: 999}}", vec!["batch.priority", "255"]),
        ("qos_distribution: {interactive_probability: 0.9}", vec!["responsive_threshold"]),
        ("", vec!["empty"]),
        ("# nothing", vec!["no key"]),
        ("- a\n- b", vec!["a list"]),
        ("a: 1\na: 2", vec!["not YAML"]),
        ("rag:\n\ttop_k_chunks: 1", vec!["not YAML"]),
        (&bomb, vec!["not YAML"]),
    ] {
        bench.write("c.yaml", text);
        let line = bench.refused(2, &["record", "synthetic", "--config", "c.yaml", "-o", "t.csv"]);
        let missing: Vec<_> = ["c.yaml"].iter().chain(&words).filter(|word| !line.contains(**word)).collect();
        assert!(
            missing.is_empty() || missing == [&"c.yaml"] && line.starts_with("kvtrace: qos_distribution"),
            "{text}\n{line}\n{missing:?}"
        );
    }
    bench.write("latin1.yaml", b"model: \xe9");
    std::fs::create_dir(bench.path("folder")).unwrap();
    for (file, word) in [("latin1.yaml", "UTF-8"), ("folder", "directory"), ("absent.yaml", "No such file")] {
        let line = bench.refused(2, &["record", "synthetic", "--config", file, "-o", "t.csv"]);
        assert!(line.contains(file) && line.contains(word), "{line}");
    }
    bench.write("c.toml", "num-users = 3\nnum-users = 4\n");
    assert!(bench.refused(2, &["record", "synthetic", "--config", "c.toml", "-o", "t.csv"]).contains("line 2"));
    bench.write("users.yaml", "users: [{context: 5, generation: 1, think_s: 1}]");
    let line = bench.refused(2, &["record", "synthetic", "--config", "users.yaml", "--num-users", "2", "-o", "t.csv"]);
    assert!(line.contains("lists 1 users"), "{line}");
    assert!(!bench.path("t.csv").exists());
}

#[test]
fn a_run_takes_the_flags_of_its_replay_too() {
    let bench = Bench::on_disk();
    bench.write(
        "run.yaml",
        "source: synthetic\nmodel: tiny-1b\nnum-users: 2\nmax-requests: 5\ngpu-mem-gb: 0\ncpu-mem-gb: 0\nsize-scale: \
         0.01\nio: buffered\nno-capture: true\ndir: out\n",
    );
    let ended = bench.run(&["run", "--config", "run.yaml", "--quiet"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(bench.json("out/replay.json")["schema"], "kvtrace.replay/1");
    bench.write("bad.yaml", "source: synthetic\nio: sideways\ndir: out2\n");
    let line = bench.refused(2, &["run", "--config", "bad.yaml"]);
    assert!(line.contains("bad.yaml: io") && line.contains("sideways"), "{line}");
}

/// What is not a flag of a recording: what to do with it, and where flags come from.
const BESIDE: [&str; 9] =
    ["config", "help", "json", "list-presets", "overwrite", "preset", "print-config", "quiet", "rank"];

/// Nothing that changes a recording is missing from its metadata, whatever the source.
#[test]
fn every_flag_in_the_help_is_in_force_somewhere() {
    let bench = Bench::new();
    bench.write("talk.json", "[]");
    bench.write("asked.csv", "arrived_at,num_prefill_tokens,num_decode_tokens\n");
    let help = bench.ok(&["record", "--help"]);
    let named = |line: &str| {
        let (_, rest) = line.split_once("--").filter(|(before, _)| before.trim().len() < 4)?;
        Some(rest.split([' ', '[', '=']).next()?.to_owned())
    };
    let mut flags: BTreeSet<String> = help.lines().filter_map(named).collect();
    assert!(flags.len() > 60 && BESIDE.iter().all(|flag| flags.remove(*flag)), "{flags:?}");
    for source in [&["synthetic", "--enable-rag"][..], &["sharegpt", "talk.json"], &["requests", "asked.csv"]] {
        let in_force = bench.ok_json(&[&["record", "--print-config", "--json"], source].concat());
        flags.retain(|flag| in_force.get(flag).is_none());
    }
    assert!(flags.is_empty(), "in the help, but never in force: {flags:?}");
}
