//! Documents that requests ask about: how they are cut, for which model, and as the reference does.

use std::collections::BTreeMap;

use super::ledger::rows;
use crate::support::{Bench, data};

/// Documents of a trace by the tokens of their chunks, as they are written for the first time.
fn ingested<'a>(chunks: impl Iterator<Item = (&'a str, u64)>) -> BTreeMap<String, Vec<u64>> {
    let mut documents: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (key, tokens) in chunks {
        let Some((document, index)) = key.split_once("_chunk_") else { continue };
        let chunks = documents.entry(document.to_owned()).or_default();
        if index.parse() == Ok(chunks.len()) {
            chunks.push(tokens);
        }
    }
    documents
}

/// The reference's documents and ours are cut alike: tiny-1b on two ranks, 3 documents.
#[test]
fn documents_are_cut_as_in_the_reference() {
    let Some(theirs) = data("mlperf/tiny1b_3u_5s_tp2_rag_capped.csv") else { return };
    let bench = Bench::new();
    let flags = "record synthetic --model tiny-1b --num-users 3 --duration 5 --num-gpus 2 --tensor-parallel 2 \
                 --gpu-mem-gb 0.25 --cpu-mem-gb 0.25 --storage-capacity-gb 0.5 --limits whole --enable-rag \
                 --rag-num-docs 3 --tier-timing none --generation-mode none -o t.csv";
    bench.ok(&flags.split_whitespace().collect::<Vec<_>>());
    let per_token = 24_576 / 2;
    let written = |(op, phase): (&str, &str)| op == "Write" && phase == "Prefill";
    let mut reader = csv::Reader::from_path(theirs).expect("the reference's trace");
    let theirs: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    let theirs = ingested(theirs.iter().filter(|row| written((&row[1], &row[5]))).map(|row| {
        let bytes: u64 = row[2].parse().expect("a size");
        assert_eq!(bytes % per_token, 0);
        (&row[4], bytes / per_token)
    }));
    let ours = rows(&bench.path("t.csv"));
    let ours = ingested(ours.iter().filter(|row| written((&row.op, &row.phase))).map(|row| (&*row.key, row.tokens)));
    for (whose, documents) in [("theirs", &theirs), ("ours", &ours)] {
        let names: Vec<&str> = documents.keys().map(String::as_str).collect();
        assert_eq!(names, ["rag_doc_0000", "rag_doc_0001", "rag_doc_0002"], "{whose}");
        for chunks in documents.values() {
            let (last, full) = chunks.split_last().expect("a chunk");
            assert!(full.iter().all(|tokens| *tokens == 512) && *last <= 512, "{whose}: {chunks:?}");
            assert!((4000..=12_000).contains(&chunks.iter().sum::<u64>()), "{whose}: {chunks:?}");
        }
    }
}

#[test]
fn documents_suit_the_model_and_chunks_their_limit() {
    let bench = Bench::new();
    for (flags, tokens, chunk) in [
        ("--model llama3.1-8b", 4000..=12_000, 512),
        ("--model llama3.1-70b-instruct", 1024..=4096, 512),
        ("--model qwen3-32b", 1024..=4096, 512),
        ("--model llama3.1-8b --rag-max-chunk-bytes 32MiB", 4000..=12_000, 256),
        ("--model llama3.1-70b-instruct --rag-doc-tokens 700..700 --rag-chunk-tokens 300", 700..=700, 300),
    ] {
        let base = "record synthetic --num-users 1 --duration 2 --enable-rag --tier-timing none -o t.csv";
        bench.ok(&base.split_whitespace().chain(flags.split_whitespace()).collect::<Vec<_>>());
        let rows = rows(&bench.path("t.csv"));
        let background = rows.iter().filter(|row| row.request.is_none() && row.op == "Write" && row.phase == "Prefill");
        let documents = ingested(background.map(|row| (&*row.key, row.tokens)));
        assert_eq!(documents.len(), 10, "{flags}");
        for chunks in documents.values() {
            assert!(tokens.contains(&chunks.iter().sum::<u64>()) && chunks[0] == chunk, "{flags}: {chunks:?}");
        }
    }
}
