//! Token blocks, from requests to rows: which are found, which are written, and when.

use std::collections::HashMap;

use kvtrace::cache::{Limits, Rules};
use kvtrace::error::Result;
use kvtrace::model::Model;
use kvtrace::progress::Silent;
use kvtrace::seed::Seed;
use kvtrace::serve::{
    self, Config, DecodeReads, GpuModel, HistoryReads, ObjectKind, ObjectModel, Phases, QueueOrder, Recorded, Sharing,
    Sink,
};
use kvtrace::stop::Stop;
use kvtrace::trace::{Key, Op, Phase, RequestRow, Row, Served};
use kvtrace::workload::{Content, Request, Segment, Workload, prompts};
use serde_json::Value;

use super::determinism::{before_request, begin_alike};
use super::ledger::{self, Book, requests, rows};
use crate::support::{Bench, data};

/// Tells what it is given, one word a row: `R`, `W`, `D`, the block's letter in the order in which
/// they are first seen, and `*` after a block that an answer filled.
#[derive(Default)]
struct Told {
    letters: HashMap<Key, char>,
    words: Vec<String>,
    requests: Vec<RequestRow>,
}

impl Sink for Told {
    fn row(&mut self, row: Row) -> Result<()> {
        let next = char::from(b'a' + self.letters.len() as u8);
        let letter = *self.letters.entry(row.key).or_insert(next);
        let mark = if (row.op, row.phase) == (Op::Write, Phase::Decode) { "*" } else { "" };
        self.words.push(format!("{}{letter}{mark}", &row.op.word()[..1]));
        Ok(())
    }

    fn request(&mut self, served: Served) -> Result<()> {
        let mut row = RequestRow::default();
        row.spell(&served);
        self.requests.push(row);
        Ok(())
    }
}

impl Told {
    fn words(&self) -> String {
        self.words.join(" ")
    }
}

fn model(tokens: u32, keep_partial: bool) -> ObjectModel {
    ObjectModel {
        kind: ObjectKind::TokenBlocks { tokens, keep_partial },
        history: HistoryReads::LongestPrefix,
        decode_reads: DecodeReads::None,
        sharing: Sharing::Content,
    }
}

/// A system with storage alone, in which a token takes a byte and 1 ns to generate.
fn config(objects: ObjectModel, storage_bytes: Option<u64>) -> Config {
    Config {
        model: Model::resolve("bytes:1", None).expect("a model"),
        tensor_parallel: 1,
        limits: Limits { capacity_bytes: [Some(0), Some(0), storage_bytes], target_usage: 0.8 },
        timing: "none".parse().expect("a timing"),
        gpu: GpuModel::Fixed { ns_per_token: 1 },
        workers: 8,
        queue: QueueOrder::Fifo,
        live_conversations: None,
        duration_ns: None,
        max_requests: None,
        objects,
        seed: Seed(42),
        phases: Phases::Both,
        rag: None,
        max_concurrent_allocs: None,
        pcie_bytes_per_s: None,
        rules: Rules::default(),
        priorities: [1, 2, 3],
        most_prefixes: 1000,
    }
}

fn serve(config: &Config, requests: Vec<Request>) -> (Told, Recorded) {
    let mut told = Told::default();
    let workload = Workload::Open(Box::new(requests.into_iter().map(Ok)));
    let recorded = serve::record(config, workload, &mut told, &Stop::new(), &Silent).expect("nothing can fail");
    (told, recorded)
}

/// A turn at `arrival_ns`; every conversation is told apart by its number.
fn turn(arrival_ns: u64, conversation: u64, turn: u32, tokens: (u32, u32)) -> Request {
    Request {
        arrival_ns,
        conversation_ordinal: conversation,
        turn,
        last_turn: false,
        context_tokens: tokens.0,
        generate_tokens: tokens.1,
        ..Request::default()
    }
}

/// A prompt that the source identifies, in segments of (id, tokens).
fn prompt(arrival_ns: u64, segments: &[(u64, u32)]) -> Request {
    let segments: Vec<Segment> = segments.iter().map(|(id, tokens)| Segment { id: *id, tokens: *tokens }).collect();
    let context_tokens = segments.iter().map(|segment| segment.tokens).sum();
    Request {
        content: Content::Segments(segments.into()),
        ..turn(arrival_ns, 1_000 + arrival_ns, 1, (context_tokens, 0))
    }
}

/// What the requests looked up and found, in tokens and in blocks.
fn found(told: &Told) -> Vec<(u32, u32, u32, u32)> {
    told.requests.iter().map(|row| (row.context_tokens, row.hit_tokens, row.hits, row.misses)).collect()
}

#[test]
fn a_conversation_reuses_its_prompts_and_answers() {
    let turns = || vec![turn(0, 1, 1, (6, 5)), turn(100, 1, 2, (4, 2)), turn(200, 1, 3, (3, 0))];
    let (told, recorded) = serve(&config(model(4, false), None), turns());
    // 6 tokens of a prompt, 5 of its answer: one block is full, a second one with the answer. Then
    // 11 and 4 and 2, then 17 and 3.
    assert_eq!(told.words(), "Wa Wb* Ra Rb Wc Wd* Ra Rb Rc Rd We");
    assert_eq!(found(&told), [(6, 0, 0, 1), (15, 8, 2, 1), (20, 16, 4, 1)]);
    let ratios = &recorded.stats.hit_ratios;
    assert_eq!((ratios["token_block.prefix"].hits, ratios["token_block.prefix"].total), (Some(6), 9));
    assert_eq!((ratios["token.prefix"].hits, ratios["token.prefix"].total), (Some(24), 41));
    assert_eq!((ratios["bytes.prefix"].hits, ratios["bytes.prefix"].total), (Some(24), 36));
    assert!((ratios["request_mean.prefix"].ratio - (8.0 / 15.0 + 16.0 / 20.0) / 3.0).abs() < 1e-12);

    let none = ObjectModel { history: HistoryReads::None, ..model(4, false) };
    let (told, _) = serve(&config(none, None), turns());
    assert_eq!(found(&told), [(6, 0, 0, 1), (4, 0, 0, 1), (3, 0, 0, 0)], "a prompt is its own turn");
}

#[test]
fn a_last_block_that_is_not_full_is_dropped_or_kept() {
    let twice = || vec![prompt(0, &[(1, 4), (2, 2)]), prompt(10, &[(1, 4), (2, 2)]), prompt(20, &[(1, 4), (3, 2)])];
    let (told, _) = serve(&config(model(4, false), None), twice());
    assert_eq!((told.words().as_str(), found(&told)[1]), ("Wa Ra Ra", (6, 4, 1, 0)));
    let (told, _) = serve(&config(model(4, true), None), twice());
    assert_eq!(told.words(), "Wa Wb Ra Rb Ra Wc");
    assert_eq!(found(&told), [(6, 0, 0, 2), (6, 6, 2, 0), (6, 4, 1, 1)]);
    let (told, _) = serve(&config(model(4, true), None), vec![turn(0, 1, 1, (6, 5)), turn(100, 1, 2, (4, 0))]);
    assert_eq!(told.words(), "Wa Wb Wc* Ra Rc Wd We", "what the answer leaves over is nobody's last block");
}

#[test]
fn a_system_prompt_is_shared_by_conversations() {
    assert_eq!(prompts::ALL[0].tokens, 82);
    let with_prompt = |at, conversation| Request { prefix: Some(0), ..turn(at, conversation, 1, (30, 0)) };
    let (told, recorded) = serve(&config(model(16, false), None), vec![with_prompt(0, 1), with_prompt(10, 2)]);
    assert_eq!(told.words(), "Wa Wb Wc Wd We Wf Wg Ra Rb Rc Rd Re Wh Wi");
    assert_eq!(found(&told), [(112, 0, 0, 7), (112, 80, 5, 2)]);
    assert_eq!(recorded.stats.prefix_tokens_reused, 80);
    assert!(told.requests.iter().all(|row| row.prefix_tokens == 82 && row.kind.word() == "system"));
}

#[test]
fn behind_a_hole_nothing_is_looked_up_and_nothing_is_written_twice() {
    let system = |request: Request| Request { prefix: Some(0), ..request };
    let requests = vec![
        system(turn(1, 1, 1, (82, 82))),
        turn(2, 2, 1, (82, 0)),
        system(turn(100, 3, 1, (82, 0))),
        turn(101, 4, 1, (82, 0)),
        turn(102, 1, 2, (1, 0)),
    ];
    let (told, recorded) = serve(&config(model(82, false), Some(5 * 82)), requests);
    // The answer's block d is younger than c, which is younger than b; a is used again. So b goes
    // first, and d is there when its conversation comes back: c goes for b, and d stays.
    assert_eq!(told.words(), "Wa Wb Wc Wd* Ra We Db Wf Ra Dc Wb");
    assert_eq!(found(&told)[4], (247, 82, 1, 2));
    assert_eq!(recorded.stats.deletes, 2);
}

#[test]
fn what_two_requests_miss_is_written_once() {
    let timed = Config { timing: "2=1GB/s+1us*8".parse().expect("a timing"), ..config(model(4, false), None) };
    let both = vec![(1, 4), (2, 4)];
    let (told, _) = serve(&timed, vec![prompt(0, &both[..1]), prompt(9_000, &both), prompt(9_000, &both)]);
    assert_eq!(told.words(), "Wa Ra Ra Wb");
    assert_eq!(found(&told)[1..], [(8, 4, 1, 1), (8, 4, 1, 1)]);
}

#[test]
fn rescans_read_all_blocks_of_the_prompt() {
    let rescans = ObjectModel { decode_reads: DecodeReads::Rescan(32), ..model(4, false) };
    let request = |at| Request { generate_tokens: 33, ..prompt(at, &[(1, 8)]) };
    let (told, _) = serve(&config(rescans, None), vec![request(0), request(1_000)]);
    let answer = |from: char| (from..).take(8).map(|letter| format!(" W{letter}*")).collect::<String>();
    let expected = format!("Wa Wb Ra Rb Ra Rb Ra Rb{} Ra Rb Ra Rb Ra Rb{}", answer('c'), answer('k'));
    assert_eq!(told.words(), expected, "once before the answer and twice in it; what was found has been read");
}

#[test]
fn identities_can_be_kept_to_a_conversation() {
    let local = ObjectModel { sharing: Sharing::Prompts, ..model(4, false) };
    let (told, _) = serve(&config(local, None), vec![prompt(0, &[(1, 4)]), prompt(10, &[(1, 4)])]);
    assert_eq!(told.words(), "Wa Wb");
}

#[test]
fn a_prompt_of_too_many_blocks_is_refused() {
    let mut told = Told::default();
    let workload = Workload::Open(Box::new(std::iter::once(Ok(turn(0, 1, 1, (u32::MAX, u32::MAX))))));
    let config = config(model(16, false), None);
    let error = serve::record(&config, workload, &mut told, &Stop::new(), &Silent).expect_err("2^28 blocks");
    assert!(error.to_string().contains("--objects token-blocks:N"), "{error}");
}

fn stats(bench: &Bench, flags: &[&str]) -> Value {
    bench.ok_json(&[&["record"], flags, &["--json", "-o", "t.csv"]].concat())
}

/// The published numbers of the trace, recomputed independently (`wants.md`, d1).
#[test]
fn mooncakes_conversations_are_found_as_their_ids_say() {
    let Some(file) = data("mooncake/conversation_trace.jsonl") else { return };
    let bench = Bench::new();
    let flags = "--profile engine --partial-blocks keep --decode-reads none --tier-timing none --objects";
    let record = |objects: &str| {
        let flags: Vec<&str> = flags.split(' ').chain([objects]).collect();
        stats(&bench, &[&["requests", file.to_str().unwrap()], &flags[..]].concat())["hit_ratios"].take()
    };
    let of_its_size = record("token-blocks:512");
    let blocks = &of_its_size["token_block.prefix"];
    assert_eq!((&blocks["hits"], &blocks["total"]), (&Value::from(105_710), &Value::from(288_500)));
    assert_eq!(of_its_size["token.prefix"]["hits"], 54_098_411);
    assert_eq!(of_its_size["token.prefix"]["total"], 144_793_823);
    let mean = of_its_size["request_mean.prefix"]["ratio"].as_f64().unwrap();
    assert!((mean - 0.409_384_796).abs() < 1e-9, "{mean}");
    let halved = record("token-blocks:256");
    assert_eq!(halved["token.prefix"], of_its_size["token.prefix"], "halves of blocks are found with them");
}

const MIB: u64 = 1 << 20;

#[test]
fn tight_tiers_hold_no_more_than_their_limits() {
    let bench = Bench::new();
    let base = "synthetic --num-users 20 --duration 6 --seed 7 --gpu-mem-gb 2 --cpu-mem-gb 4 --storage-capacity-gb 20";
    for more in [
        "--objects lmcache --decode-reads none",
        "--objects token-blocks:1000 --partial-blocks keep --decode-reads rescan:100 --workers 5",
        "--objects token-blocks:300 --decode-reads none --prefix-sharing none --live-conversations 3",
        "--objects llm-d --decode-reads none --history none --generation-mode none --tier-timing none",
        "--objects llm-d --decode-reads none --max-concurrent-allocs 2",
    ] {
        let flags: Vec<&str> = base.split(' ').chain(more.split(' ')).collect();
        let stats = stats(&bench, &flags);
        let rows = rows(&bench.path("t.csv"));
        let book = Book::of(&rows, [2048, 4096, 20_480].map(|mib| Some(mib * MIB)));
        assert!(book.deletes > 100 && stats["deletes"] == book.deletes, "{more}: {}", book.deletes);
        let answers = rows.iter().filter(|row| row.op == "Write" && row.phase == "Decode").count();
        assert!(answers > 10, "{more}");
    }
}

#[test]
fn ratios_can_be_computed_from_the_requests() {
    let bench = Bench::new();
    let base = "synthetic --num-users 20 --duration 8 --gpu-mem-gb 0 --cpu-mem-gb 2 --storage-capacity-gb 30";
    let flags = "--objects token-blocks:64 --decode-reads none --history longest-prefix --prefix-sharing prompts";
    let stats = stats(&bench, &base.split(' ').chain(flags.split(' ')).collect::<Vec<_>>());
    let requests = requests(&bench.path("t.csv"));
    let sum = |of: fn(&RequestRow) -> u32| requests.iter().map(|row| u64::from(of(row))).sum::<u64>();
    for (name, hits, total) in [
        ("token_block.prefix", sum(|row| row.hits), sum(|row| row.lookups)),
        ("token_block.prefix", sum(|row| row.hit_tokens / 64), sum(|row| row.context_tokens / 64)),
        ("token.prefix", sum(|row| row.hit_tokens), sum(|row| row.context_tokens)),
    ] {
        let ratio = &stats["hit_ratios"][name];
        assert_eq!((&ratio["hits"], &ratio["total"]), (&Value::from(hits), &Value::from(total)), "{name}");
        assert!(hits > 1_000 && hits < total, "{name}: {hits} of {total}");
    }
    let reads = rows(&bench.path("t.csv")).iter().filter(|row| row.op == "Read" && row.phase == "Decode").count();
    assert_eq!(sum(|row| row.hits), reads as u64, "each block found is read once");
}

#[test]
fn more_requests_only_add_and_twice_is_the_same() {
    let bench = Bench::new();
    let flags = "record synthetic --num-users 20 --gpu-mem-gb 1 --objects lmcache --decode-reads none --duration 30";
    let flags: Vec<&str> = flags.split(' ').collect();
    for (name, most) in [("few.csv", "120"), ("again.csv", "120"), ("more.csv", "240")] {
        bench.ok(&[&flags[..], &["--max-requests", most, "-o", name]].concat());
    }
    assert_eq!(bench.read("few.csv"), bench.read("again.csv"));
    begin_alike(&bench, "few.csv", "more.csv", before_request(&bench, "more.csv", 120));
}

/// Six turns of two tokens with room for three and a half: what the turns find of each other.
#[test]
fn turns_are_read_all_or_to_the_first_that_is_missing() {
    let bench = Bench::new();
    let turns = [r#"{"from":"human","value":"12345678"},{"from":"gpt","value":"1234"}"#; 6].join(",");
    bench.write("in.json", format!(r#"[{{"id":"c","conversations":[{turns}]}}]"#));
    let flags = "sharegpt in.json --tokenizer chars4 --disable-prefix-caching --model bytes:1048576 --gpu-mem-gb 0 \
                 --cpu-mem-gb 0";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let walk_in = |gib: &str, more: &[&str]| {
        let stats = stats(&bench, &[&flags[..], &["--storage-capacity-gb", gib], more].concat());
        let word = |row: &ledger::Row| format!("{}{}", &row.op[..1], row.key.trim_start_matches("conv_c_turn_"));
        let words: Vec<String> = rows(&bench.path("t.csv")).iter().map(word).collect();
        let history = &stats["lookups"]["multi_turn"];
        (words.join(" "), history["hits"][2].as_u64().unwrap(), history["misses"].as_u64().unwrap())
    };
    let walk = |more: &[&str]| walk_in("0.0068359375", more);
    let (rows, hits, misses) = walk(&["--decode-reads", "none"]);
    assert_eq!(rows, "W1 R1 R1 W2 R2 R1 R2 W3 R3 R1 R2 R3 D1 W4 R4 R2 R3 R4 D2 W5 R5 R3 R4 R5 D3 W6 R6");
    assert_eq!((hits, misses), (12, 3));
    let (rows, hits, misses) = walk(&["--decode-reads", "none", "--history", "longest-prefix"]);
    assert_eq!(rows, "W1 R1 R1 W2 R2 R1 R2 W3 R3 R1 R2 R3 D1 W4 R4 D2 W5 R5 D3 W6 R6");
    assert_eq!((hits, misses), (6, 9));
    let (rows, hits, _) = walk_in("0", &["--decode-reads", "none", "--max-requests", "4"]);
    assert_eq!((rows.matches('R').count(), hits), (10, 6), "1 + 2 + 3 of history, and one of each turn: {rows}");
    let (rows, ..) = walk(&["--history", "none"]);
    assert_eq!(rows, "W1 R1 R1 W2 R2 R2 W3 R3 R3 D1 W4 R4 R4 D2 W5 R5 R5 D3 W6 R6 R6");
    let (rows, ..) = walk(&["--history", "none", "--decode-reads", "rescan:1000"]);
    assert_eq!(rows.split(' ').filter(|word| word.starts_with('R')).count(), 12);
}

#[test]
fn flags_that_contradict_each_other_are_named() {
    let bench = Bench::new();
    for (flags, named) in [
        ("--objects vllm --history all", ["--objects token-blocks:16", "--history all"]),
        ("--partial-blocks keep", ["--partial-blocks keep", "--objects turn"]),
        ("--prefix-sharing content", ["--prefix-sharing content", "--objects turn"]),
        ("--objects llm-d --enable-rag", ["--enable-rag", "--objects token-blocks:256"]),
        ("--objects vllm --decode-only", ["--decode-only", "--objects token-blocks:16"]),
        ("--history all --disable-multi-turn", ["--disable-multi-turn", "--history"]),
        ("--prefix-sharing prompts --disable-prefix-caching", ["--disable-prefix-caching", "--prefix-sharing"]),
    ] {
        let all: Vec<&str> = ["record", "synthetic", "-o", "t.csv"].into_iter().chain(flags.split(' ')).collect();
        let line = bench.refused(2, &all);
        assert!(named.iter().all(|flag| line.contains(flag)), "{flags}: {line}");
    }
    for (flag, value) in [("--objects", "token-blocks:0"), ("--objects", "blocks"), ("--decode-reads", "rescan:0")] {
        let ended = bench.run(&["record", "synthetic", "-o", "t.csv", flag, value]);
        assert!(ended.code == 2 && ended.stderr.contains(flag), "{ended:?}");
    }
    let small = "record synthetic --objects token-blocks:100000 --max-requests 5 -o t.csv";
    let line = bench.refused(2, &small.split(' ').collect::<Vec<_>>());
    assert!(line.contains("--partial-blocks keep"), "{line}");
    assert!(bench.files().is_empty(), "{:?}", bench.files());
}

#[test]
fn what_is_in_force_is_printed() {
    let bench = Bench::new();
    let printed = |flags: &[&str]| bench.ok(&[&["record", "synthetic", "--print-config"], flags].concat());
    let turns = printed(&[]);
    for line in [
        "objects: \"turn\"",
        "history: \"all\"",
        "decode-reads: \"rescan:32\"",
        "partial-blocks: \"drop\"",
        "prefix-sharing: \"prompts\"",
    ] {
        assert!(turns.contains(line), "{line}: {turns}");
    }
    let blocks = printed(&["--objects", "lmcache", "--disable-multi-turn"]);
    for line in ["objects: \"token-blocks:256\"", "history: \"none\"", "prefix-sharing: \"content\""] {
        assert!(blocks.contains(line), "{line}: {blocks}");
    }
}
