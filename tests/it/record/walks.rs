//! Walks of a few requests through the tiers that can be followed by hand, row by row. A token
//! weighs 1 MiB and the tokens of a text are a quarter of its characters.

use std::collections::{BTreeMap, BTreeSet};

use kvtrace::trace::{RequestKind, RequestRow};
use serde_json::Value;

use super::ledger::{self, Row, rows};
use crate::support::Bench;

/// A file of conversations, each a list of turns of (context, generation) tokens.
fn write_conversations(bench: &Bench, conversations: &[&[(usize, usize)]]) {
    let text = |tokens: usize| "a b ".repeat(tokens);
    let turn = |(context, generation): &(usize, usize)| {
        format!(r#"{{"from":"human","value":"{}"}},{{"from":"gpt","value":"{}"}}"#, text(*context), text(*generation))
    };
    let conversation = |(number, turns): (usize, &&[(usize, usize)])| {
        let turns: Vec<String> = turns.iter().map(turn).collect();
        format!(r#"{{"id":"{}","conversations":[{}]}}"#, ["A", "B", "C", "D"][number % 4], turns.join(","))
    };
    let all: Vec<String> = conversations.iter().enumerate().map(conversation).collect();
    bench.write("in.json", format!("[{}]", all.join(",")));
}

const BASE: &str = "record sharegpt in.json --tokenizer chars4 --disable-prefix-caching --model bytes:1048576 \
                    -o t.csv --json";
/// What is not said takes no time and is done one after another.
const UNSAID: [(&str, &str); 3] = [("--generation-mode", "none"), ("--tier-timing", "none"), ("--workers", "1")];
/// One tier, storage.
const STORAGE: &str = "--gpu-mem-gb 0 --cpu-mem-gb 0";

/// Records and hands out the statistics.
fn record(bench: &Bench, flags: &str) -> Value {
    let unsaid = UNSAID.iter().filter(|(flag, _)| !flags.contains(flag)).flat_map(|(flag, value)| [*flag, *value]);
    let all: Vec<&str> = BASE.split_whitespace().chain(flags.split_whitespace()).chain(unsaid).collect();
    bench.ok_json(&all)
}

/// Storage for so many MiB.
fn storage_of(mib: f64) -> String {
    format!("{STORAGE} --storage-capacity-gb {}", mib / 1024.0)
}

/// The rows in short: `W A1` is a write of conversation A's first turn, `R c0` a read of chunk 0.
fn told(bench: &Bench) -> String {
    let short = |row: &Row| {
        let key =
            row.key.replace("conv_", "").replace("_turn_", "").replace("rag_doc_000", "d").replace("_chunk_", "c");
        format!("{} {key}", &row.op[..1])
    };
    rows(&bench.path("t.csv")).iter().map(short).collect::<Vec<_>>().join(", ")
}

fn requests(bench: &Bench) -> Vec<RequestRow> {
    ledger::requests(&bench.path("t.csv"))
}

fn hits(stats: &Value, kind: &str) -> u64 {
    stats["lookups"][kind]["hits"].as_array().expect("by tier").iter().filter_map(Value::as_u64).sum()
}

fn misses(stats: &Value, kind: &str) -> u64 {
    stats["lookups"][kind]["misses"].as_u64().expect("a count")
}

/// Without answers nothing is read again: turn n reads its n - 1 predecessors and itself once.
#[test]
fn four_turns_with_room_for_all() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 0); 4]]);
    let stats = record(&bench, STORAGE);
    assert_eq!(told(&bench), "W A1, R A1, R A1, W A2, R A2, R A1, R A2, W A3, R A3, R A1, R A2, R A3, W A4, R A4");
    assert_eq!((hits(&stats, "multi_turn"), hits(&stats, "object")), (1 + 2 + 3, 4));
    assert_eq!((misses(&stats, "multi_turn"), misses(&stats, "object")), (0, 0));
}

/// Storage holds three objects and a half. Turns 1 to 3 fit. Turn 4 reads 1, 2 and 3, of which 1 is
/// then the least recently used, and replaces it. Turn 5 misses 1, reads 2, 3 and 4 and replaces
/// 2; turn 6 misses 1 and 2 and replaces 3.
#[test]
fn six_turns_with_room_for_three_and_a_half() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 0); 6]]);
    let stats = record(&bench, &storage_of(350.0));
    let expected = "W A1, R A1, \
                    R A1, W A2, R A2, \
                    R A1, R A2, W A3, R A3, \
                    R A1, R A2, R A3, D A1, W A4, R A4, \
                    R A2, R A3, R A4, D A2, W A5, R A5, \
                    R A3, R A4, R A5, D A3, W A6, R A6";
    assert_eq!(told(&bench), expected);
    assert_eq!((hits(&stats, "multi_turn"), misses(&stats, "multi_turn")), (1 + 2 + 3 + 3 + 3, 1 + 2));
    assert_eq!((hits(&stats, "object"), misses(&stats, "object")), (6, 0));
    assert_eq!((&stats["deletes"], &stats["tiers"][2]["entries"]), (&Value::from(3), &Value::from(3)));
    let by_turn: Vec<(u32, u32)> = requests(&bench).iter().map(|row| (row.history_hits, row.history_misses)).collect();
    assert_eq!(by_turn, [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2)]);
}

/// 96 tokens of an answer: one read and three more. A prompt of 10,000 tokens is not read back.
#[test]
fn an_answer_is_generated_from_reads_of_the_whole_object() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 96), (10_000, 96)]]);
    record(&bench, STORAGE);
    assert_eq!(told(&bench), "W A1, R A1, R A1, R A1, R A1, R A1, W A2");
}

/// Two documents of two chunks, of which one is kept: the first one goes, chunk by chunk, before
/// the second comes. Every request retrieves both chunks, in either order.
#[test]
fn documents_are_ingested_retrieved_and_make_room() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 0); 2]]);
    let rag = "--enable-rag --rag-num-docs 2 --rag-max-documents 1 --rag-doc-tokens 90..90 --rag-chunk-tokens 60 \
               --rag-request-probability 1";
    let stats = record(&bench, &format!("{STORAGE} {rag}"));
    let ingested = "W d0c0, W d0c1, D d0c0, D d0c1, W d1c0, W d1c1, ";
    let text = told(&bench);
    let walk =
        text.strip_prefix(ingested).unwrap_or_else(|| panic!("{text}")).replace("R d1c1, R d1c0", "R d1c0, R d1c1");
    assert_eq!(walk, "W A1, R d1c0, R d1c1, R A1, R A1, W A2, R d1c0, R d1c1, R A2");
    let rows = rows(&bench.path("t.csv"));
    let background: Vec<u64> = rows.iter().filter(|row| row.request.is_none()).map(|row| row.tokens).collect();
    assert_eq!(background, [60, 30, 60, 30, 60, 30]);
    assert_eq!((hits(&stats, "rag"), misses(&stats, "rag"), &stats["deletes"]), (4, 0, &Value::from(2)));
    assert_eq!(stats["rag"]["documents_evicted"], 1);
}

/// Room for two objects and a half, one of them the only chunk: turn 2 pushes the chunk out, finds
/// it gone, and stores it again in place of turn 1, and so does turn 3 with turn 2.
#[test]
fn a_chunk_that_is_gone_is_computed_and_stored_again() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 0); 3]]);
    let rag = "--enable-rag --rag-num-docs 1 --rag-doc-tokens 100..100 --rag-request-probability 1";
    let stats = record(&bench, &format!("{} {rag}", storage_of(250.0)));
    let expected = "W d0c0, \
                    W A1, R d0c0, R A1, \
                    R A1, D d0c0, W A2, D A1, W d0c0, R A2, \
                    R A2, D d0c0, W A3, D A2, W d0c0, R A3";
    assert_eq!(told(&bench), expected);
    assert_eq!((hits(&stats, "rag"), misses(&stats, "rag")), (1, 2));
    assert_eq!(stats["rag"]["chunks_recomputed"], 2);
    assert_eq!((hits(&stats, "multi_turn"), misses(&stats, "multi_turn")), (2, 1));
}

fn queries(bench: &Bench, flags: &str) -> (Vec<RequestRow>, Vec<Row>) {
    let base = "record synthetic --num-users 3 --duration 12 --model bytes:1000 --disable-prefix-caching -o t.csv \
                --enable-rag --rag-request-probability 0.5 --generation-mode none";
    bench.ok(&base.split_whitespace().chain(flags.split_whitespace()).collect::<Vec<_>>());
    let all =
        requests(bench).into_iter().filter(|row| row.conversation.as_ref().is_some_and(|c| c.starts_with("query_")));
    (all.collect(), rows(&bench.path("t.csv")))
}

#[test]
fn a_question_about_documents_reads_their_chunks_and_stores_nothing() {
    let bench = Bench::new();
    let (queries, rows) = queries(&bench, "--tier-timing none --rag-doc-tokens 1100..1100");
    assert!(queries.len() > 5 && queries.iter().all(|row| row.kind == RequestKind::Rag), "{queries:?}");
    for query in &queries {
        // Three chunks of 512, 512 and 76 tokens, read first and then for every 32 tokens.
        let reads = 3 * (1 + query.generate_tokens.div_ceil(32));
        assert_eq!((query.context_tokens, query.hit_tokens), (1100, 1100));
        assert_eq!((query.rag_hits, query.rag_misses, query.lookups), (reads, 0, reads));
        let mut own = rows.iter().filter(|row| row.request == Some(query.request));
        assert!(own.all(|row| row.op == "Read" && row.key.starts_with("rag_doc_")));
    }
}

/// A chunk of 512 tokens takes 0.5 s to write, so that the first document of eight chunks can be
/// asked about after four seconds.
#[test]
fn before_the_first_document_a_question_is_a_plain_request() {
    let bench = Bench::new();
    let slow = "--rag-doc-tokens 4096..4096 --gpu-mem-gb 0 --cpu-mem-gb 0 --tier-timing 2=100GB/s:1024kB/s+0ns \
                --workers 50 --rag-num-docs 1";
    let (asked, rows) = queries(&bench, slow);
    let first = rows.iter().find(|row| row.key == "rag_doc_0000_chunk_7").expect("the last chunk").at_s;
    let (plain, about): (Vec<_>, Vec<_>) = asked.iter().partition(|row| row.kind == RequestKind::User);
    assert!(!plain.is_empty() && !about.is_empty(), "{asked:?}");
    assert!(plain.iter().all(|row| row.rag_hits + row.rag_misses == 0));
    assert!(about.iter().all(|row| row.kind == RequestKind::Rag && row.start_ns as f64 / 1e9 > first));
    let (none, _) = queries(&bench, "--rag-num-docs 0");
    assert!(!none.is_empty() && none.iter().all(|row| row.kind == RequestKind::User && row.rag_misses == 0));
}

/// One user: ten objects are there at the start, of 2048 MiB each. A request reads one of them
/// once and once more for every 32 tokens of its answer.
#[test]
fn a_machine_that_only_decodes_reads_what_is_there() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 64); 20]]);
    let stats = record(&bench, &format!("{STORAGE} --num-users 1 --decode-only"));
    let rows = rows(&bench.path("t.csv"));
    let (there, reads) = rows.split_at(10);
    for (number, row) in there.iter().enumerate() {
        assert_eq!(
            (row.key.as_str(), row.op.as_str(), row.request),
            (format!("prepop_{number}").as_str(), "Write", None)
        );
        assert_eq!((row.at_s, row.tokens, row.phase.as_str()), (0.0, 2048, "Prefill"));
    }
    assert!(reads.iter().all(|row| row.op == "Read" && row.phase == "Decode"));
    assert_eq!((reads.len(), hits(&stats, "object")), (20 * 3, 60));
    let per_request = |request| reads.iter().filter(move |row| row.request == Some(request)).map(|row| &row.key);
    assert!((0..20).all(|request| per_request(request).collect::<BTreeSet<_>>().len() == 1));
    assert!(reads.iter().map(|row| &row.key).collect::<BTreeSet<_>>().len() > 5, "all objects are equally likely");
}

/// Room for three and a half of the ten objects: the last three are left. A request that draws one
/// of the others misses once, and the object stays away.
#[test]
fn what_a_machine_that_only_decodes_has_lost_stays_lost() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 64); 20]]);
    let stats = record(&bench, &format!("{} --num-users 1 --decode-only", storage_of(3.5 * 2048.0)));
    let requests = requests(&bench);
    assert!(requests.iter().all(|row| [(3, 0), (0, 1)].contains(&(row.hits, row.misses))), "{requests:?}");
    let lost = requests.iter().filter(|row| row.misses == 1).count() as u64;
    assert!((8..20).contains(&lost), "{lost}");
    assert_eq!((misses(&stats, "object"), hits(&stats, "object")), (lost, 3 * (20 - lost)));
    let rows = rows(&bench.path("t.csv"));
    assert!(rows.iter().all(|row| row.request.is_none() || row.op == "Read"));
    assert_eq!(rows.iter().filter(|row| row.op == "Delete").count(), 7);
}

#[test]
fn a_machine_that_only_prefills_reads_nothing_for_its_answers() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 96); 3]]);
    let rag = "--enable-rag --rag-num-docs 1 --rag-doc-tokens 100..100 --rag-request-probability 1";
    record(&bench, &format!("{STORAGE} --prefill-only --generation-mode realistic"));
    assert_eq!(told(&bench), "W A1, R A1, W A2, R A1, R A2, W A3");
    assert!(requests(&bench).iter().all(|row| (row.generate_tokens, row.generation_ns) == (96, 0)));
    record(&bench, &format!("{STORAGE} --prefill-only {rag}"));
    assert_eq!(told(&bench), "W d0c0, W A1, R d0c0, R A1, W A2, R d0c0, R A1, R A2, W A3, R d0c0");
}

/// With room for one chunk, the second document pushes the first one out, and it is not computed
/// again. No tier takes an object.
#[test]
fn a_machine_that_only_decodes_computes_no_chunk_again() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 0); 20]]);
    let rag = "--decode-only --num-users 1 --enable-rag --rag-num-docs 2 --rag-doc-tokens 100..100 \
               --rag-request-probability 1";
    let stats = record(&bench, &format!("{} {rag}", storage_of(150.0)));
    let (found, missed) = (hits(&stats, "rag"), misses(&stats, "rag"));
    assert!(found + missed == 20 && found > 4 && missed > 4, "{found} {missed}");
    assert_eq!(told(&bench), format!("W d0c0, D d0c0, W d1c0{}", ", R d1c0".repeat(found as usize)));
    assert_eq!((misses(&stats, "object"), &stats["rag"]["chunks_recomputed"]), (20, &Value::from(0)));
}

/// Two conversations take turns and only one is kept: every turn drops the other conversation, so
/// that turn n misses its n - 1 predecessors, although all of them are still there.
#[test]
fn a_conversation_that_is_dropped_goes_on_without_its_history() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(100, 0); 3], &[(100, 0); 3]]);
    let flags = format!("{STORAGE} --live-conversations 1 --num-users 2 --request-rate 10 --arrival-cv 0");
    let stats = record(&bench, &flags);
    assert_eq!(told(&bench), "W A1, R A1, W B1, R B1, W A2, R A2, W B2, R B2, W A3, R A3, W B3, R B3");
    let stamps: Vec<f64> = rows(&bench.path("t.csv")).iter().step_by(2).map(|row| row.at_s).collect();
    assert_eq!(stamps, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]);
    assert_eq!((hits(&stats, "multi_turn"), misses(&stats, "multi_turn")), (0, 2 * (1 + 2)));
    assert_eq!((&stats["orphans"], &stats["deletes"]), (&Value::from(6), &Value::from(0)));
    let stats = record(&bench, &flags.replace("--live-conversations 1", "--live-conversations 2"));
    assert_eq!((hits(&stats, "multi_turn"), misses(&stats, "multi_turn")), (2 * (1 + 2), 0));
}

#[test]
fn more_users_than_conversations_are_kept_all_keep_asking() {
    let bench = Bench::new();
    let flags = "record synthetic --num-users 1200 --live-conversations 800 --duration 6 --model bytes:1 \
                 --generation-mode none --tier-timing none -o t.csv --json";
    let stats = bench.ok_json(&flags.split_whitespace().collect::<Vec<_>>());
    let mut asked: BTreeMap<String, (u32, i64)> = BTreeMap::new();
    for request in requests(&bench) {
        let (count, last_ns) = asked.entry(request.user).or_default();
        *count += 1;
        *last_ns = request.arrival_ns.max(*last_ns);
    }
    assert_eq!(asked.len(), 1200);
    // The longest think time is 1.5 s, and a pause is up to 1.2 of it.
    assert!(asked.values().all(|(count, last_ns)| *count >= 3 && *last_ns > 4_200_000_000), "{asked:?}");
    assert!(misses(&stats, "multi_turn") > 100 && stats["orphans"].as_u64().unwrap() > 1000, "{stats}");
}

/// Three workers write 1000 MiB each through channels of 131.072 MB/s: 8 s for every write.
#[test]
fn writes_beyond_the_limit_wait_for_their_turn() {
    let bench = Bench::new();
    write_conversations(&bench, &[&[(1000, 0)], &[(1000, 0)], &[(1000, 0)]]);
    let flags = format!("{STORAGE} --workers 3 --tier-timing 2=1048576kB/s+0ns*8");
    let writes = |flags: &str| {
        let stats = record(&bench, flags);
        let rows = rows(&bench.path("t.csv"));
        let stamps: Vec<f64> = rows.iter().filter(|row| row.op == "Write").map(|row| row.at_s).collect();
        (stamps, stats["allocation_wait_s"].clone())
    };
    assert_eq!(writes(&flags), (vec![0.0, 0.0, 0.0], Value::Null));
    let (stamps, waited) = writes(&format!("{flags} --max-concurrent-allocs 1"));
    assert_eq!(
        (stamps, &waited["mean"], &waited["max"]),
        (vec![0.0, 8.0, 16.0], &Value::from(8.0), &Value::from(16.0))
    );
    let (stamps, waited) = writes(&format!("{flags} --max-concurrent-allocs 2"));
    assert_eq!((stamps, &waited["max"]), (vec![0.0, 0.0, 8.0], &Value::from(8.0)));
}

/// Documents, system prompts and turns are all written; of equal objects, no more than the limit
/// begin within the time that one takes at least.
#[test]
fn there_are_never_more_writes_than_the_limit() {
    let bench = Bench::new();
    let flags = "record synthetic --num-users 40 --duration 8 --model bytes:1000 --generation-mode none --gpu-mem-gb 0 \
                 --cpu-mem-gb 0 --storage-capacity-gb 0.2 --enable-rag --tier-timing 2=10GB/s:1GB/s+20ms*64 -o t.csv";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let most = |limit: &str| {
        bench.ok(&[&flags[..], &["--max-concurrent-allocs", limit]].concat());
        let rows = rows(&bench.path("t.csv"));
        ledger::Book::of(&rows, [Some(0), Some(0), Some(214_748_364)]);
        let stamps: Vec<f64> = rows.iter().filter(|row| row.op == "Write").map(|row| row.at_s).collect();
        let within = |at: &f64| stamps.iter().filter(|other| (*at..at + 0.019_999).contains(other)).count();
        (stamps.len(), stamps.iter().map(within).max().unwrap_or(0))
    };
    let (writes, free) = most("0");
    assert!(writes > 500 && free > 4, "{writes} {free}");
    assert_eq!((most("2").1, most("1").1), (2, 1));
}

#[test]
fn without_time_a_limit_of_writes_changes_nothing() {
    let bench = Bench::new();
    let flags = "record synthetic --num-users 20 --duration 5 --gpu-mem-gb 2 --cpu-mem-gb 4 --storage-capacity-gb 10 \
                 --enable-rag --tier-timing none --generation-mode fast -o";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    bench.ok(&[&flags[..], &["a.csv"]].concat());
    bench.ok(&[&flags[..], &["b.csv", "--max-concurrent-allocs", "1"]].concat());
    assert!(bench.read("a.csv") == bench.read("b.csv"));
}

#[test]
fn machines_documents_and_arrivals_that_make_no_sense() {
    let bench = Bench::new();
    for (flags, word) in [
        ("--prefill-only --decode-only", "--prefill-only"),
        ("--arrival-cv 2", "--request-rate"),
        ("--request-rate 5 --arrival-cv=-1", "--arrival-cv"),
        ("--request-rate 5 --arrival-cv nan", "--arrival-cv"),
        ("--enable-rag --rag-top-k 0", "--rag-top-k"),
        ("--enable-rag --rag-chunk-tokens 0", "--rag-chunk-tokens"),
        ("--enable-rag --rag-num-docs 2000000", "--rag-num-docs"),
        ("--enable-rag --rag-request-probability 1.5", "--rag-request-probability"),
        ("--enable-rag --rag-request-probability nan", "--rag-request-probability"),
        ("--enable-rag --rag-max-chunk-bytes 100KiB", "--rag-max-chunk-bytes"),
    ] {
        let flags: Vec<&str> = flags.split(' ').collect();
        let line = bench.refused(2, &[&["record", "synthetic", "-o", "t.csv"], &flags[..]].concat());
        assert!(line.contains(word), "{flags:?}: {line}");
    }
    assert!(bench.run(&["record", "synthetic", "-o", "t.csv", "--rag-doc-tokens", "9..3"]).code == 2);
    assert!(bench.files().is_empty());
}

#[test]
fn requests_come_as_unevenly_as_asked() {
    let bench = Bench::new();
    for cv in [0.4, 3.0] {
        let flags = format!(
            "record synthetic --num-users 10 --model bytes:1 --disable-multi-turn --generation-mode none \
             --tier-timing none --duration 200 --max-requests 6000 --request-rate 50 --arrival-cv {cv} -o t.csv"
        );
        bench.ok(&flags.split_whitespace().collect::<Vec<_>>());
        let mut stamps: Vec<i64> = requests(&bench).iter().map(|row| row.arrival_ns).collect();
        stamps.sort_unstable();
        let gaps: Vec<f64> = stamps.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e9).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / gaps.len() as f64;
        assert!((mean * 50.0 - 1.0).abs() < 0.1, "mean {mean} at cv {cv}");
        assert!((variance.sqrt() / mean / cv - 1.0).abs() < 0.15, "{} for {cv}", variance.sqrt() / mean);
    }
}
