use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;

use super::super::{ArrivalRate, Content, Population, Qos, Request, Skipped, Tokenizer};
use super::*;
use crate::error::Result;
use crate::seed::{Seed, mix};

const OPTIONS: TraceOptions = TraceOptions {
    format: None,
    time_unit: None,
    block_tokens: None,
    keep_failures: false,
    tokenizer: Tokenizer::Chars4,
    users: 3,
    speedup: 1.0,
    cycles: 1,
    request_rate: None,
    strict: false,
    population: Population::REFERENCE,
};

/// What came of some files.
struct Read {
    requests: Result<Vec<Request>>,
    skipped: BTreeMap<String, u64>,
}

impl Read {
    fn of(files: &[(&str, &[u8])], options: &TraceOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.path().join(name)).collect();
        for (path, (_, text)) in paths.iter().zip(files) {
            std::fs::write(path, text).unwrap();
        }
        let skipped = Skipped::default();
        let traces: Vec<PathBuf> =
            if paths.len() > 1 { expand(&[dir.path().to_owned()]).unwrap_or(paths) } else { paths };
        let trace = RequestTrace::open(&traces, Seed(1), *options, skipped.clone());
        Self { requests: trace.and_then(Iterator::collect), skipped: skipped.counts() }
    }

    fn one(text: &str) -> Self {
        Self::of(&[("a", text.as_bytes())], &OPTIONS)
    }

    fn requests(&self) -> &[Request] {
        self.requests.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Name, turn, arrival in ms, context and answer of every request.
    fn rows(&self) -> Vec<(String, u32, u64, u32, u32)> {
        let row = |r: &Request| {
            (r.conversation.to_string(), r.turn, r.arrival_ns / 1_000_000, r.context_tokens, r.generate_tokens)
        };
        self.requests().iter().map(row).collect()
    }

    fn error(&self) -> String {
        self.requests.as_ref().expect_err("an error").to_string()
    }

    /// The segments of a request: id and tokens.
    fn segments(&self, at: usize) -> Vec<(u64, u32)> {
        match &self.requests()[at].content {
            Content::Segments(segments) => segments.iter().map(|segment| (segment.id, segment.tokens)).collect(),
            Content::Conversation => Vec::new(),
        }
    }
}

fn row(name: &str, turn: u32, at_ms: u64, context: u32, answer: u32) -> (String, u32, u64, u32, u32) {
    (name.to_owned(), turn, at_ms, context, answer)
}

const BURST_6: &str = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
    5,ChatGPT,472,18,490,Conversation log\n\
    45,GPT-4,100,0,100,API log\n\
    45,GPT-4,0,0,0,API log\n\
    44,GPT-4,30,7,37,API log\n\
    45,GPT-4,20,9,29,API log\n";

const BURST_8: &str = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
    19440110.0,aa-1,43,GPT-4,906,446,1352,Conversation log\n\
    19440110.0,,1,GPT-4,10,4,14,API log\n\
    19440120.0,aa-1,43,GPT-4,1400,46,1446,Conversation log\n\
    19440130.5,aa-1,43,GPT-4,50,46,96,Conversation log\n\
    19440130.5,\"b,2\",43,GPT-4,50,46,96,Conversation log\n";

#[test]
fn burstgpt_with_six_columns_is_lone_requests_in_the_order_of_their_stamps() {
    let read = Read::one(BURST_6);
    assert_eq!(
        read.rows(),
        [row("req_0", 1, 0, 472, 18), row("req_1", 1, 39_000, 30, 7), row("req_2", 1, 40_000, 20, 9)]
    );
    let reasons: Vec<_> = read.skipped.into_iter().collect();
    let expected =
        [("request that failed (no response tokens)", 1), ("request without any token", 1)].map(|(r, n)| (r.into(), n));
    assert_eq!(reasons, expected);
    let read = Read::of(&[("a", BURST_6.as_bytes())], &TraceOptions { keep_failures: true, ..OPTIONS });
    assert_eq!((read.rows().len(), read.rows()[2].clone()), (4, row("req_2", 1, 40_000, 100, 0)));
}

#[test]
fn burstgpt_sessions_are_conversations_whose_turns_add_to_the_prompt() {
    let read = Read::one(BURST_8);
    let rows = read.rows();
    assert_eq!(rows[..2], [row("aa-1", 1, 0, 906, 446), row("req_1", 1, 0, 10, 4)]);
    // 1400 - 906 - 446; then a prompt that is shorter than what was there, which is another conversation.
    assert_eq!(rows[2..4], [row("aa-1", 2, 10_000, 48, 46), row("aa-1#2", 1, 20_500, 50, 46)]);
    assert!(rows[4].0.starts_with("id") && rows[4].1 == 1, "{rows:?}");
    assert!(read.requests()[1].last_turn && !read.requests()[0].last_turn);
}

#[test]
fn columns_go_by_name_however_the_file_was_written() {
    let plain = Read::one(BURST_6).rows();
    let turned: String = BURST_6
        .lines()
        .map(|line| line.split(',').rev().chain(["more"]).collect::<Vec<_>>().join(","))
        .collect::<Vec<_>>()
        .join("\r\n");
    for text in [turned.clone(), format!("\u{feff}{turned}\r\n"), BURST_6.replace("Timestamp", " TIMESTAMP ")] {
        assert_eq!(Read::one(&text).rows(), plain, "{text}");
        let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(Read::of(&[("a.csv", &packed)], &OPTIONS).rows(), plain);
    }
}

#[test]
fn files_on_one_clock_keep_it_and_others_are_put_behind() {
    let later = "Timestamp,Request tokens,Response tokens\n100,1,1\n101,2,2\n";
    let earlier = "Timestamp,Request tokens,Response tokens\n7,3,3\n9,4,4\n";
    let stamps = |files: &[(&str, &str)]| {
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        Read::of(&files, &OPTIONS).rows().iter().map(|row| row.2 / 1000).collect::<Vec<_>>()
    };
    assert_eq!(stamps(&[("1", earlier), ("2", later)]), [0, 2, 93, 94]);
    assert_eq!(stamps(&[("1", later), ("2", earlier)]), [0, 1, 1, 3]);
}

#[test]
fn azure_stamps_are_moments() {
    let text = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n\
        2023-11-16 18:17:04.0319600,3180,8\r\n2023-11-16 18:17:05+00:00,1,x\r\n2023-11-16 18:17:05+00:00,110,27";
    let read = Read::one(text);
    let expected = [row("req_0", 1, 0, 4808, 10), row("req_1", 1, 52, 3180, 8), row("req_2", 1, 1020, 110, 27)];
    assert_eq!(read.rows(), expected);
    assert_eq!(read.skipped.len(), 1);
    let vidur = "arrived_at,num_prefill_tokens,num_decode_tokens\n0.25,374,44\n1.5,396,109\n";
    assert_eq!(Read::one(vidur).rows(), [row("req_0", 1, 0, 374, 44), row("req_1", 1, 1250, 396, 109)]);
}

#[test]
fn mooncake_ids_are_blocks_of_512_and_the_last_is_the_rest() {
    let text = r#"{"timestamp": 27482, "input_length": 1100, "output_length": 52, "hash_ids": [46,47,48]}
{"timestamp": 30482, "input_length": 1024, "output_length": 5, "hash_ids": [46,47], "extra": {"a": [1]}}
"#;
    let read = Read::one(text);
    assert_eq!(read.rows(), [row("req_0", 1, 0, 1100, 52), row("req_1", 1, 3000, 1024, 5)]);
    let (first, second) = (read.segments(0), read.segments(1));
    assert_eq!(first.iter().map(|s| s.1).collect::<Vec<_>>(), [512, 512, 76]);
    assert_eq!(first[..2], second[..]);
    let seconds = TraceOptions { time_unit: Some(TimeUnit::Seconds), block_tokens: Some(1000), ..OPTIONS };
    let read = Read::of(&[("a", text.replace(",48]", "]").as_bytes())], &seconds);
    assert_eq!((read.rows()[1].2, read.segments(0)[1].1), (3_000_000, 100));
    let smaller = Read::of(&[("a", text.as_bytes())], &TraceOptions { block_tokens: Some(1100), ..OPTIONS });
    assert!(smaller.error().contains("--source-block") && smaller.error().contains("line 1"), "{}", smaller.error());
}

#[test]
fn aiperf_sessions_give_what_a_turn_adds_and_delays() {
    let text = r#"{"session_id":"abc","input_length":300,"output_length":40,"timestamp":10.5,"hash_ids":[1]}
{"session_id":"abc","delay":2000,"input_length":150,"output_length":20,"hash_ids":[2]}
{"timestamp":1010.5,"text_input":"12345678","output_length":1}
{"session_id":"x","timestamp":1010.5,"messages":[{"role":"user","content":"1234"},{"role":"user","content":[{"text":"1234"}]}]}
{"payload":{},"timestamp":1}
"#;
    let read = Read::one(text);
    assert_eq!(
        read.rows(),
        [row("abc", 1, 0, 300, 40), row("req_1", 1, 1000, 2, 1), row("x", 1, 1000, 2, 0), row("abc", 2, 2000, 150, 20)]
    );
    // The whole prompt: what was there, its answer of 40 tokens, what is new.
    let (first, last) = (read.segments(0), read.segments(3));
    assert_eq!((last[0], last[1].1, last[2].1, last.len()), (first[0], 40, 150, 3));
    assert_eq!(read.requests()[0].answer, Some(last[1].0));
    assert_eq!(read.requests()[1].answer, None, "nobody names the answer of a lone request again");
    let said: Vec<_> = read.skipped.iter().map(|(reason, n)| (reason.split(' ').nth(2).unwrap(), *n)).collect();
    assert_eq!(said, [("a", 1), ("output_length", 1)]);
}

#[test]
fn bailian_chats_follow_their_parents() {
    let text = r#"{"chat_id":55,"parent_chat_id":-1,"timestamp":61.114,"input_length":33,"output_length":10,"type":"text","turn":1,"hash_ids":[7,8,9]}
{"chat_id":159,"parent_chat_id":55,"timestamp":62.114,"input_length":50,"output_length":5,"type":"text","turn":2,"hash_ids":[7,8,10,11]}
{"chat_id":160,"parent_chat_id":55,"timestamp":63.114,"input_length":44,"output_length":5,"type":"text","turn":2,"hash_ids":[7,8,10]}
{"chat_id":161,"parent_chat_id":99,"timestamp":64,"input_length":16,"output_length":5,"type":"text","turn":3,"hash_ids":[3]}
"#;
    let read = Read::one(text);
    let expected =
        [row("55", 1, 0, 33, 10), row("55", 2, 1000, 7, 5), row("55", 3, 2000, 1, 5), row("161", 1, 2886, 16, 5)];
    assert_eq!(read.rows(), expected);
    assert_eq!(read.segments(1).iter().map(|s| s.1).collect::<Vec<_>>(), [16, 16, 16, 2]);
    assert_eq!(read.segments(0)[..2], read.segments(2)[..2]);
}

const AGENT: &str = r#"{"id":"T","models":["m"],"block_size":64,"hash_id_scope":"local","tool_tokens":1,
 "requests":[{"t":0.0,"type":"n","model":"m","in":130,"out":5,"hash_ids":[1,2],"api_time":1.5},
  {"t":2.5,"type":"subagent","agent_id":"g","duration_ms":null,"models":["h"],"requests":[
    {"t":3.0,"type":"s","model":"h","in":70,"out":2,"hash_ids":[1]},{"t":9.0,"type":"s","model":"m","in":70,"out":2,"hash_ids":[1]}]},
  {"t":4.0,"type":"n","model":"m","in":200,"out":6,"hash_ids":[1,2,3],"api_time":0.5}]}"#;

#[test]
fn agents_share_blocks_within_a_session_and_a_model() {
    let read = Read::one(AGENT);
    let expected =
        [row("T", 1, 0, 130, 5), row("T/g", 1, 3000, 70, 2), row("T", 2, 4000, 65, 6), row("T/g/m", 1, 9000, 70, 2)];
    assert_eq!(read.rows(), expected);
    let last_turns: Vec<bool> = read.requests().iter().map(|request| request.last_turn).collect();
    assert_eq!(last_turns, [false, true, true, true]);
    let [parent, agent, later, same_model] = [0, 1, 2, 3].map(|at| read.segments(at));
    assert_eq!(parent.iter().map(|s| s.1).collect::<Vec<_>>(), [64, 64, 2]);
    assert_eq!(parent[..2], later[..2]);
    assert_ne!(parent[0].0, agent[0].0, "another model");
    assert_eq!(parent[0].0, same_model[0].0);
    assert_ne!(parent[2].0, later[3].0, "what no id covers is a request's own");
}

#[test]
fn sessions_go_on_beside_each_other_as_far_as_there_are_users() {
    let second = AGENT.replace("\"T\"", "\"U\"").replace("\"local\"", "\"global\"");
    let third = AGENT.replace("\"local\"", "\"global\"");
    let files = [("1.json", AGENT.as_bytes()), ("2.json", second.as_bytes()), ("3.json", third.as_bytes())];
    let begins = |users| {
        let read = Read::of(&files, &TraceOptions { users, ..OPTIONS });
        assert_eq!(read.requests().len(), 12);
        let first = |name| read.rows().into_iter().find(|row| row.0 == name).unwrap().2;
        ["T", "U", "T#2"].map(first)
    };
    assert_eq!(begins(3), [0, 0, 0]);
    assert_eq!(begins(2), [0, 0, 9000]);
    assert_eq!(begins(1), [0, 9000, 18_000]);
    let read = Read::of(&files, &OPTIONS);
    let block = |name: &str| {
        let at = read.rows().iter().position(|row| row.0 == name).unwrap();
        read.segments(at)[0].0
    };
    assert_eq!(block("U"), block("T#2"), "global ids");
    assert_ne!(block("T"), block("U"), "local ids");
}

#[test]
fn ragpulse_runs_have_the_lengths_of_the_files_beside_it() {
    let trace = concat!(
        r#"{"timestamp":"82","input_length":100,"output_length":19,"#,
        r#""hash_ids":{"sys_prompt":[1],"passages_ids":[2],"history":[],"web_search":[],"user_input":[3]},"session_id":"s-1"}"#,
        "\n\n"
    );
    let lengths = "{\"sys_prompt_id\":1,\"token_length\":40}\n{\"passage_id\":2,\"token_length\":30}\n{\"user_input_id\":3,\"token_length\":10}\n";
    let read = Read::of(&[("0_trace.jsonl", trace.as_bytes()), ("1_lengths.jsonl", lengths.as_bytes())], &OPTIONS);
    assert_eq!(read.rows(), [row("s-1", 1, 0, 100, 19)]);
    assert_eq!(read.segments(0).iter().map(|s| s.1).collect::<Vec<_>>(), [40, 30, 10, 20]);
    let alone = Read::one(trace);
    assert_eq!(alone.segments(0).iter().map(|s| s.1).sum::<u32>(), 100);
}

#[test]
fn passes_follow_each_other_with_names_of_their_own_and_equal_content() {
    let text = r#"{"timestamp": 0, "session_id": "x", "input_length": 512, "output_length": 5, "hash_ids": [1]}
{"timestamp": 1000, "input_length": 512, "output_length": 5, "hash_ids": [1]}
bad
"#;
    let read = Read::of(&[("a", text.as_bytes())], &TraceOptions { cycles: 3, speedup: 2.0, ..OPTIONS });
    assert_eq!(
        read.rows().iter().map(|row| (row.0.as_str(), row.1, row.2)).collect::<Vec<_>>(),
        [("x", 1, 0), ("req_1", 1, 500), ("x@2", 1, 500), ("req_3", 1, 1000), ("x@3", 1, 1000), ("req_5", 1, 1500)]
    );
    assert_eq!(read.segments(0), read.segments(2));
    assert_eq!(read.skipped.values().sum::<u64>(), 1, "what is skipped is counted in the first pass");
    let at_once = Read::of(&[("a", text.as_bytes())], &TraceOptions { speedup: 0.0, ..OPTIONS });
    assert!(at_once.requests().iter().all(|request| request.arrival_ns == 0));
    let at_a_rate = Read::of(
        &[("a", text.as_bytes())],
        &TraceOptions { request_rate: Some(ArrivalRate { per_second: 1e6, cv: 1.0 }), ..OPTIONS },
    );
    assert!(at_a_rate.requests().iter().all(|request| request.arrival_ns < 100_000));
}

#[test]
fn strict_names_the_place_and_the_reason_of_the_first_row() {
    let strict = |text: &str| Read::of(&[("a", text.as_bytes())], &TraceOptions { strict: true, ..OPTIONS }).error();
    for (text, place, reason) in [
        (BURST_6, "line 3 (byte 107)", "failed"),
        ("Timestamp,Request tokens,Response tokens\nNaN,1,1\n", "line 2", "Timestamp"),
        ("Timestamp,Request tokens,Response tokens\n1,-1,1\n", "line 2", "tokens"),
        ("Timestamp,Request tokens,Response tokens\n1,99999999999,1\n", "line 2", "tokens"),
        ("Timestamp,Request tokens,Response tokens\n1,1\n", "line 2", "number of fields"),
        ("{\"input_length\":1,\"timestamp\":-5}\n", "line 1", "timestamp"),
        ("{\"input_length\":1}\n\n{\"input_length\":[1]}\n", "line 3 (byte 20)", "input_length"),
        ("{\"input_length\":1}\n{\"input\n", "line 2", "not JSON"),
    ] {
        let error = strict(text);
        assert!(error.contains(place) && error.contains(reason) && error.contains("--strict"), "{text}: {error}");
    }
}

#[test]
fn what_is_no_trace_is_refused_with_the_formats_that_there_are() {
    for (text, words) in [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("hello,world\n1,2\n", "`hello,world`"),
        ("\u{0}\u{1}\u{2}", "binary data"),
        ("{\"a\":1}\n", "{\"a\":1}"),
        ("[1,2]", "`[1,2]`"),
    ] {
        let error = Read::one(text).error();
        assert!(error.contains(words) && error.contains("mooncake"), "{text}: {error}");
    }
    let twice = "Timestamp,Request tokens,Response tokens,timestamp\n1,1,1,1\n";
    assert!(Read::one(twice).error().contains("`timestamp` occurs twice"));
    for (text, words) in [
        ("Timestamp,Model,Request tokens\n1,m,1\n", "looks like BurstGPT without the column `Response tokens`"),
        ("TIMESTAMP,GeneratedTokens\n1,1\n", "looks like Azure without the column `ContextTokens`"),
        ("[{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"}]}]", "`kvtrace record sharegpt "),
    ] {
        let error = Read::one(text).error();
        assert!(error.contains(words), "{text}: {error}");
    }
    let blocks = TraceOptions { block_tokens: Some(16), ..OPTIONS };
    let error = Read::of(&[("a", BURST_6.as_bytes())], &blocks).error();
    assert!(error.contains("--source-block 16") && error.contains("burstgpt"), "{error}");
    let forced = TraceOptions { format: Some(Format::Azure), ..OPTIONS };
    let error = Read::of(&[("a", BURST_6.as_bytes())], &forced).error();
    assert!(error.contains("`contexttokens`") && error.contains("request tokens"), "{error}");
    let mixed = [("1", BURST_6.as_bytes()), ("2", AGENT.as_bytes())];
    let error = Read::of(&mixed, &OPTIONS).error();
    assert!(error.contains("burstgpt") && error.contains("kv-cache-tester"), "{error}");
    assert!(Read::of(&[("a", &[0x1F, 0x8B, 8, 0])], &OPTIONS).error().contains("gunzip"));
}

#[test]
fn a_cut_compressed_trace_says_where_and_after_how_many_requests() {
    let lines: String = (0..30_000u64)
        .map(|n| {
            format!("{{\"timestamp\":{n},\"input_length\":{},\"output_length\":{}}}\n", 1 + mix(n) % 9000, mix(n) % 77)
        })
        .collect();
    let rows: String = (0..30_000u64).map(|n| format!("{n},{},{}\n", 1 + mix(n) % 9000, 1 + mix(n) % 77)).collect();
    for text in [lines, format!("Timestamp,Request tokens,Response tokens\n{rows}")] {
        let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
        let error = Read::of(&[("a", &packed[..packed.len() * 2 / 3])], &OPTIONS).error();
        let number = |after: &str| {
            let digits = error.split(after).nth(1).unwrap().split(' ').next().unwrap();
            digits.parse::<usize>().unwrap_or_else(|_| panic!("{error}"))
        };
        let above = text.as_bytes()[..number("at byte ")].iter().filter(|byte| **byte == b'\n').count();
        let headers = usize::from(text.starts_with('T'));
        assert!(above > 1000 && number("after ") == above - headers, "{error}");
        assert!(Read::of(&[("a", &packed[..20])], &OPTIONS).error().contains("after 0 whole requests"));
    }
}

#[test]
fn who_asks_is_of_the_population_that_was_asked_for() {
    let text = BURST_8.as_bytes();
    let classes = |population| {
        let read = Read::of(&[("a", text)], &TraceOptions { population, ..OPTIONS });
        read.requests().iter().map(|request| request.qos).collect::<Vec<_>>()
    };
    let reference = Population::REFERENCE;
    assert_eq!(classes(Population { interactive: 1.0, ..reference }), [Qos::Interactive; 5]);
    assert_eq!(classes(Population { interactive: 0.0, responsive: 1.0, ..reference }), [Qos::Responsive; 5]);
}

fn read_as(format: Format, bytes: &[u8]) {
    let read = Read::of(&[("a", bytes)], &TraceOptions { format: Some(format), ..OPTIONS });
    if let Ok(requests) = read.requests {
        assert!(requests.windows(2).all(|pair| pair[0].arrival_ns <= pair[1].arrival_ns));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), which in 0usize..7) {
        read_as(Format::ALL[which], &bytes);
    }

    #[test]
    fn no_rows_below_a_header_make_a_reader_panic(
        rows in proptest::collection::vec("[0-9.,\"eE+:TZ -]{0,40}", 0..12),
        which in 0usize..3,
    ) {
        let header = [
            "Timestamp,Request tokens,Response tokens,Session ID\n",
            "TIMESTAMP,ContextTokens,GeneratedTokens\n",
            "arrived_at,num_prefill_tokens,num_decode_tokens\n",
        ][which];
        read_as(Format::ALL[which], format!("{header}{}", rows.join("\n")).as_bytes());
    }

    #[test]
    fn numbers_of_any_size_make_no_reader_panic(n in any::<u64>(), x in any::<f64>(), which in 3usize..7) {
        let text = format!(
            r#"{{"id":{n},"chat_id":{n},"parent_chat_id":{n},"timestamp":{n},"t":{n},"input_length":{n},"output_length":1,"delay":{x:?},"session_id":{n},"hash_ids":[],"requests":[{{"t":{x:?},"in":{n},"out":{n}}}]}}"#
        );
        read_as(Format::ALL[which], text.as_bytes());
    }
}
