use super::*;

/// The requests of a conversation: its id, the tokens of the context, the tokens to generate.
type Turns = Vec<(String, u32, u32)>;

fn read(text: &[u8], options: ShareGptOptions) -> (Vec<Turns>, Skipped, Option<Error>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.json");
    std::fs::write(&path, text).unwrap();
    let skipped = Skipped::default();
    let mut found = Vec::new();
    for conversation in ShareGpt::open(&path, Seed(1), options, skipped.clone()).unwrap() {
        match conversation {
            Ok(conversation) => found.push(
                conversation.map(|r| (r.conversation.to_string(), r.context_tokens, r.generate_tokens)).collect(),
            ),
            Err(error) => return (found, skipped, Some(error)),
        }
    }
    (found, skipped, None)
}

const OPTIONS: ShareGptOptions = ShareGptOptions {
    tokenizer: Tokenizer::Chars4,
    max_conversations: None,
    allow_truncated: false,
    users: 3,
    shared_prefixes: false,
    filter: None,
    max_context_tokens: None,
    max_generation_tokens: None,
    strict: false,
    population: Population::REFERENCE,
};

fn turns(item: &str) -> Vec<(u32, u32)> {
    let (found, _, error) = read(format!("[{item}]").as_bytes(), OPTIONS);
    assert!(error.is_none(), "{item}: {error:?}");
    found.into_iter().flatten().map(|(_, context, generate)| (context, generate)).collect()
}

#[test]
fn one_conversation_in_every_spelling() {
    for item in [
        r#"{"id":"a","conversations":[{"from":"human","value":"12345678"},{"from":"gpt","value":"1234"}]}"#,
        r#"{"conversation":[{"role":"user","content":"12345678"},{"role":"assistant","content":"1234"}]}"#,
        r#"{"id":7,"messages":[{"role":"User","value":"12345678"},{"role":"bard","value":"1234"}],"lang":"en"}"#,
        r#"{"items":[{"from":"user","value":"12345678","text":null},{"from":"chatgpt","markdown":{},"value":"1234"}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"12345678"},{"type":"image"}]},
            {"role":"assistant","content":"1234"}]}"#,
    ] {
        assert_eq!(turns(item), [(2, 1)], "{item}");
    }
}

#[test]
fn odd_orders_of_turns() {
    let item = |roles: &str| {
        let messages: Vec<_> = roles
            .chars()
            .map(|c| match c {
                'h' => r#"{"from":"human","value":"1234"}"#,
                'g' => r#"{"from":"gpt","value":"12345678"}"#,
                's' => r#"{"from":"system","value":"123456789012"}"#,
                't' => r#"{"from":"tool","value":"1234"}"#,
                'n' => r#"{"from":"human","value":null}"#,
                'e' => r#"{"from":"gpt","value":""}"#,
                _ => r#"{"from":"nobody","value":"1234"}"#,
            })
            .collect();
        format!(r#"{{"conversations":[{}]}}"#, messages.join(","))
    };
    for (roles, expected) in [
        ("hghg", vec![(1, 2), (1, 2)]),
        ("ghg", vec![(3, 2)]),
        ("shg", vec![(4, 2)]),
        ("hhg", vec![(2, 2)]),
        ("hggh", vec![(1, 4)]),
        ("hgtg", vec![(1, 2), (1, 2)]),
        ("hgng", vec![(1, 2), (0, 2)]),
        ("he", vec![(1, 0)]),
        ("h?g", vec![(1, 2)]),
        ("gg", vec![]),
        ("h", vec![]),
    ] {
        assert_eq!(turns(&item(roles)), expected, "{roles}");
    }
}

#[test]
fn ids_that_occur_again_get_names_of_their_own() {
    let item = |id: &str| {
        format!(r#"{{"id":{id},"conversations":[{{"from":"human","value":"a"}},{{"from":"gpt","value":"b"}}]}}"#)
    };
    let items = [item("\"x\""), item("\"x\""), item("\"a,\\\"b\""), item("null"), item("\"x\""), item("\"x#2\"")];
    let (found, ..) = read(format!("[{}]", items.join(",")).as_bytes(), OPTIONS);
    let names: Vec<&str> = found.iter().map(|turns| turns[0].0.as_str()).collect();
    assert_eq!((names[0], names[1], names[4]), ("x", "x#2", "x#3"));
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    assert!(names.iter().all(|name| !name.contains([',', '"'])), "{names:?}");
}

#[test]
fn what_is_left_out_is_counted_by_reason() {
    let text = r#"[1, {"x":1}, {"conversations":[]}, {"conversations":["a"]}, {"conversations":"a"},
        {"conversations":[{"from":"gpt","value":"a"}]}, {"conversations":[{"from":"human","value":{}}]},
        {"conversations":[{"from":"human","value":"a"},{"from":"x","value":"a"},{"from":"gpt","value":"a"},
            {"from":"human","value":"a"}]}]"#;
    let (found, skipped, error) = read(text.as_bytes(), OPTIONS);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found.len(), 1);
    let counts: Vec<_> = skipped.counts().into_iter().collect();
    let expected = [
        ("conversation of an unknown shape", 3),
        ("conversation without a question and an answer", 1),
        ("item that is not an object", 1),
        ("item without messages", 2),
        ("message of an unknown role", 1),
        ("message that nobody answered", 1),
    ];
    assert_eq!(counts, expected.map(|(reason, n)| (reason.to_owned(), n)));
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_counted() {
    let text =
        b"{\"conversations\":[{\"from\":\"human\",\"value\":\"abc\xff\"},{\"from\":\"gpt\",\"value\":\"\xc3\"}]}";
    let (found, skipped, error) = read(text, ShareGptOptions { strict: true, ..OPTIONS });
    assert!(error.is_none(), "{error:?}");
    assert_eq!((found[0][0].1, found[0][0].2), (1, 1));
    let counts: Vec<_> = skipped.counts().into_iter().collect();
    assert_eq!(counts, [("conversation with text that is not UTF-8, replaced".to_owned(), 1)]);
}

#[test]
fn a_trace_of_requests_is_sent_to_its_source() {
    let mooncake = "{\"timestamp\":1,\"input_length\":40,\"output_length\":8,\"hash_ids\":[0]}\n".repeat(3);
    for (text, format) in [
        (mooncake.as_str(), "mooncake"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n", "azure"),
    ] {
        let message = read(text.as_bytes(), OPTIONS).2.unwrap().to_string();
        assert!(message.contains(&format!("({format}): `kvtrace record requests ")), "{message}");
    }
}

#[test]
fn lone_surrogates_and_control_characters_are_text() {
    let text = b"[{\"conversations\":[{\"from\":\"human\",\"value\":\"\\ud83d\x01 abc\"},{\"from\":\"gpt\",\"value\":\"b\"}]}]";
    let (found, skipped, error) = read(text, OPTIONS);
    assert!(error.is_none(), "{error:?}");
    assert_eq!((found.len(), skipped.counts().len()), (1, 0));
}

#[test]
fn a_cut_file_says_where_and_gives_what_it_has_when_asked() {
    let item = r#"{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}"#;
    let whole = format!("[{item},{item},{item}]");
    let cut = &whole.as_bytes()[..whole.len() - 10];
    let (found, _, error) = read(cut, OPTIONS);
    let message = error.unwrap().to_string();
    assert_eq!(found.len(), 2);
    assert!(message.contains(&format!("byte {}", cut.len())) && message.contains("2 whole"), "{message}");
    let (found, skipped, error) = read(cut, ShareGptOptions { allow_truncated: true, ..OPTIONS });
    assert!(error.is_none());
    assert_eq!((found.len(), skipped.counts().len()), (2, 1));
}

#[test]
fn a_cut_compressed_file_is_a_cut_file() {
    let item = |n: u32| {
        let text: String = (0..500).map(|at| format!("{:x} ", hash_bytes(&[n as u8, at as u8]))).collect();
        format!(
            "{{\"conversations\":[{{\"from\":\"human\",\"value\":\"{text}\"}},{{\"from\":\"gpt\",\"value\":\"b\"}}]}}\n"
        )
    };
    let text: String = (0..100).map(item).collect();
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let cut = &packed[..packed.len() * 2 / 3];
    let (found, _, error) = read(cut, OPTIONS);
    let message = error.unwrap().to_string();
    assert!(message.contains(" of its unpacked text") && message.contains("--allow-truncated"), "{message}");
    assert!((1..100).contains(&found.len()) && message.contains(&format!("{} whole", found.len())), "{message}");
    let (kept, skipped, error) = read(cut, ShareGptOptions { allow_truncated: true, ..OPTIONS });
    assert!(error.is_none(), "{error:?}");
    assert_eq!((kept, skipped.counts().len()), (found, 1));
    for (allow_truncated, words) in [(true, "none that --allow-truncated could use"), (false, "; get the rest")] {
        let (_, _, error) = read(&packed[..20], ShareGptOptions { allow_truncated, ..OPTIONS });
        let message = error.unwrap().to_string();
        assert!(message.contains("after 0 whole") && message.contains(words), "{message}");
    }
}

#[test]
fn json_that_is_wrong_inside_names_its_byte() {
    let text = "[{\"conversations\":[\n{\"from\":oops}]}]";
    let (_, _, error) = read(text.as_bytes(), OPTIONS);
    let message = error.unwrap().to_string();
    assert!(message.contains("byte 28") && message.contains("not JSON"), "{message}");
}

#[test]
fn a_compressed_file_is_read_as_well() {
    let text = br#"{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}"#;
    let (found, ..) = read(&zstd::encode_all(&text[..], 1).unwrap(), OPTIONS);
    assert_eq!(found.len(), 1);
}

#[test]
fn strict_names_the_first_thing_that_cannot_be_used() {
    let text = r#"[{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}, {"conversations":[]}]"#;
    let (found, _, error) = read(text.as_bytes(), ShareGptOptions { strict: true, ..OPTIONS });
    let message = error.unwrap().to_string();
    assert_eq!(found.len(), 1);
    assert!(message.contains("byte 78") && message.contains("without messages"), "{message}");
}

#[test]
fn what_is_too_long_is_cut_and_counted() {
    let text = r#"[{"conversations":[{"from":"human","value":"1234567890123456"},{"from":"gpt","value":"12345678"}]}]"#;
    let options = ShareGptOptions { max_context_tokens: Some(3), max_generation_tokens: Some(1), ..OPTIONS };
    let (found, skipped, error) = read(text.as_bytes(), options);
    assert!(error.is_none());
    assert_eq!((found[0][0].1, found[0][0].2), (3, 1));
    assert_eq!(skipped.counts().len(), 2);
}

#[test]
fn the_filter_takes_the_first_two_messages_whoever_wrote_them() {
    let message = |from: &str, tokens: usize| format!(r#"{{"from":"{from}","value":"{}"}}"#, "a".repeat(4 * tokens));
    let item = |messages: &[String]| format!(r#"{{"conversations":[{}]}}"#, messages.join(","));
    let items = [
        item(&[message("gpt", 9), message("human", 8), message("gpt", 7)]),
        item(&[message("human", 9)]),
        item(&[message("human", 3), message("gpt", 9)]),
    ];
    let options = ShareGptOptions { filter: Some(Filter::Vllm), strict: true, ..OPTIONS };
    let (found, skipped, error) = read(format!("[{}]", items.join(",")).as_bytes(), options);
    assert!(error.is_none(), "what a filter leaves out is no fault: {error:?}");
    assert_eq!(found.iter().map(|turns| (turns.len(), turns[0].1, turns[0].2)).collect::<Vec<_>>(), [(1, 9, 8)]);
    assert_eq!(skipped.counts().into_values().sum::<u64>(), 2);
}

#[test]
fn siblings_and_markup_are_part_of_the_text() {
    let plain = r#"{"conversations":[{"from":"human","value":"<p>12345</p>"},{"from":"gpt","value":"<|endoftext|>"}]}"#;
    assert_eq!(turns(plain), [(3, 3)]);
    let siblings = r#"{"system":"12345678","tools":"[{\"name\":\"f\"}]","conversations":[{"from":"human","value":"1234"},
        {"from":"gpt","value":"1234"}]}"#;
    assert_eq!(turns(siblings), [(2 + 3 + 1, 1)]);
    let empty_list =
        r#"{"conversations":[],"messages":[{"role":"user","content":"1234"},{"role":"assistant","content":"1234"}]}"#;
    assert_eq!(turns(empty_list), [(1, 1)]);
}
