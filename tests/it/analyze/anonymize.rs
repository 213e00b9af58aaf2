//! Files to give away.

use serde_json::Value;

use crate::support::{Bench, data};

fn text(bench: &Bench, name: &str) -> String {
    String::from_utf8_lossy(&bench.read(name)).into_owned()
}

#[test]
fn nothing_of_a_trace_survives_but_what_it_asks_for() {
    let bench = Bench::new();
    let header = "Timestamp,Operation,Object_Size_Bytes,Tier,Key,Phase,Request,Conversation,Turn,Tokens";
    let mut rows = String::new();
    for n in 0..200u64 {
        let (who, turn) = (["alice", "bob smith", "carol@example.org"][n as usize * 7 % 3], n / 3 % 5 + 1);
        let at = 1_795_310_373 + n;
        rows += &format!("{at}.25,Write,{},Tier-0,conv_{who}_turn_{turn},Prefill,{n},{who},{turn},9\n", n % 9 + 1);
        rows += &format!("{at}.5,Read,{},Tier-0,secret/{who},Decode,{n},{who},{turn},9\n", n % 4 + 1);
    }
    bench.write("t.csv", format!("{header}\n{rows}"));
    let run = |out: &str, salt: &str| bench.run(&["analyze", "anonymize", "t.csv", "-o", out, "--salt", salt]);
    let ended = run("a.csv", "pepper");
    assert!(ended.code == 0 && ended.stderr.contains("the same hits: LRU of every capacity from 1 to"), "{ended:?}");
    run("b.csv", "pepper");
    run("c.csv", "other");
    assert_eq!(text(&bench, "a.csv"), text(&bench, "b.csv"));
    assert_ne!(text(&bench, "a.csv"), text(&bench, "c.csv"));
    bench.ok(&["analyze", "anonymize", "t.csv", "-o", "r1.csv"]);
    bench.ok(&["analyze", "anonymize", "t.csv", "-o", "r2.csv"]);
    assert_ne!(text(&bench, "r1.csv"), text(&bench, "r2.csv"), "random salts differ");
    for file in ["a.csv", "a.csv.meta.json", "r1.csv"] {
        let text = text(&bench, file);
        for word in ["alice", "bob", "smith", "carol", "example", "secret", "17953", "pepper", "t.csv"] {
            assert!(!text.contains(word), "{word} is in {file}");
        }
    }
    let summary = |name: &str| bench.ok_json(&["analyze", "summary", name, "--json"]);
    let (before, after) = (summary("t.csv"), summary("a.csv"));
    assert_eq!((&before["by"], &before["keys"], &before["span_s"]), (&after["by"], &after["keys"], &after["span_s"]));
    assert_eq!(before["inputs"][0]["turns"], after["inputs"][0]["turns"]);
}

#[test]
fn a_recording_goes_with_its_requests() {
    let bench = Bench::new();
    bench.ok(&["record", "synthetic", "--num-users", "5", "--duration", "10", "-o", "t.parquet"]);
    bench.ok(&["analyze", "anonymize", "t.parquet", "-o", "a.parquet"]);
    let row = |name: &str| bench.ok_json(&["analyze", "summary", name, "--json"]);
    let (before, after) = (row("t.requests.parquet"), row("a.requests.parquet"));
    assert_eq!((&before["rows"], &before["turns"], &before["by"]), (&after["rows"], &after["turns"], &after["by"]));
    // It still belongs to its trace.
    bench.ok(&["replay", "a.parquet", "--plan-only", "--size-scale", "0.001"]);
    for file in ["a.parquet", "a.requests.parquet"] {
        assert!(!text(&bench, file).contains("user_0"), "{file}");
    }
}

#[test]
fn request_files_lose_names_and_text_and_keep_their_curve() {
    let bench = Bench::new();
    let lines = "{\"timestamp\": 5000, \"input_length\": 1100, \"output_length\": 7, \"hash_ids\": [4711, 4712, 4713], \"session_id\": \"alice\", \"note\": \"hush\"}\n\
                 {\"timestamp\": 5000, \"text_input\": \"tell nobody about this\", \"output_length\": 3}\n\
                 {\"timestamp\": 7000, \"input_length\": 1024, \"output_length\": 9, \"hash_ids\": [4711, 4712], \"session_id\": \"alice\"}\n";
    bench.write("m.jsonl", lines);
    let ended = bench.run(&["analyze", "anonymize", "m.jsonl", "-o", "a.jsonl", "--salt", "s", "--json"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let done: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&done["rows"], &done["references"], &done["distinct"]), (&3.into(), &5.into(), &3.into()));
    assert_eq!((&done["removed"]["note"], &done["removed"]["text_input"]), (&1.into(), &1.into()));
    for file in ["a.jsonl", "a.jsonl.meta.json"] {
        for word in ["4711", "4712", "alice", "hush", "nobody", "5000", "7000"] {
            assert!(!text(&bench, file).contains(word), "{word} is in {file}");
        }
    }
    bench.write("b.csv", "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type,Note\n\
                          19440110.5,alice,4,GPT-4,9,6,15,Conversation log,hush\n19440112.0,,4,ChatGPT,5,6,11,API log,hush\n");
    let ended = bench.run(&["analyze", "anonymize", "b.csv", "-o", "bb.csv"]);
    assert!(ended.code == 0 && ended.stderr.contains("the same lengths and gaps"), "{ended:?}");
    let written = text(&bench, "bb.csv");
    assert!(written.contains("\n1.5,,4,ChatGPT,5,6,11,API log\n"), "{written}");
    assert!(!written.contains("alice") && !written.contains("hush") && !written.contains("1944"), "{written}");
    let said = bench.refused(2, &["analyze", "anonymize", "m.jsonl", "-o", "m.jsonl"]);
    assert!(said.contains("both input and output"), "{said}");
}

#[test]
fn real_traces_keep_their_curve() {
    let bench = Bench::new();
    for name in ["kv-cache-tester/trace_0012.json", "azure/AzureLLMInferenceTrace_code_2023.csv"] {
        let Some(file) = data(name) else { return };
        let file = file.to_str().expect("text");
        let out = name.rsplit('/').next().expect("a name");
        bench.ok(&["analyze", "anonymize", file, "-o", out]);
        let written = text(&bench, out);
        assert!(!written.contains("2023-11-16") && !written.contains("trace_0012"), "{name}");
    }
}
