//! Flags of sources that are files.

use clap::ValueEnum;
use serde_json::json;

use crate::error::{Error, Result};
use crate::output;
use crate::workload::{Filter, ShareGptOptions, TimeUnit, Tokenizer, TraceFormat, TraceOptions};

use super::{Complaints, InForce, RecordFlags, SourceKind, word};

/// How text is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenizerFlag {
    /// Exactly, with the vocabulary of GPT-4
    Cl100k,
    /// A quarter of the characters
    Chars4,
}

/// The formats of traces of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatFlag {
    /// CSV of BurstGPT, 6 or 8 columns
    Burstgpt,
    /// CSV of Azure, 2023 or 2024
    Azure,
    /// CSV of Vidur
    Vidur,
    /// JSON lines of Mooncake, aiperf, Dynamo
    Mooncake,
    /// JSON lines of Qwen-Bailian
    Bailian,
    /// One JSON object per session
    KvCacheTester,
    /// JSON lines of RAGPulse
    Ragpulse,
}

/// What a stamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeUnitFlag {
    /// Seconds
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

/// What is left out of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FilterFlag {
    /// As vllm bench: the first two messages, if neither is too short or too long; no shuffling
    Vllm,
}

/// How a file is read.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Files")]
pub struct FileFlags {
    /// Conversations of a sharegpt file at most [default: the whole file]
    #[arg(long, value_name = "N")]
    pub max_conversations: Option<u64>,
    /// How text is counted: of a sharegpt file, and of requests without lengths [default: cl100k]
    #[arg(long, value_enum)]
    pub tokenizer: Option<TokenizerFlag>,
    /// With --tokenizer chars4: the characters of a token, in place of 4
    #[arg(long, value_name = "N")]
    pub chars_per_token: Option<u32>,
    /// Use the whole conversations of a file that is cut off
    #[arg(long)]
    pub allow_truncated: bool,
    /// Leave out of a sharegpt file what another tool leaves out
    #[arg(long, value_enum, value_name = "TOOL")]
    pub filter: Option<FilterFlag>,
    /// Cut questions of a sharegpt file that are longer, tokens [default: no limit]
    #[arg(long, value_name = "TOKENS")]
    pub max_context_tokens: Option<u32>,
    /// Cut answers of a sharegpt file that are longer, tokens [default: no limit]
    #[arg(long, value_name = "TOKENS")]
    pub max_generation_tokens: Option<u32>,
    /// Format of a trace of requests [default: by content]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FormatFlag>,
    /// Unit of the stamps of a trace of requests [default: the format's]
    #[arg(long, value_enum, value_name = "UNIT")]
    pub time_unit: Option<TimeUnitFlag>,
    /// Tokens that a hash id of a trace of requests stands for [default: the format's]
    #[arg(long, value_name = "TOKENS")]
    pub source_block: Option<u32>,
    /// Use requests of a trace that failed (no token of an answer) too
    #[arg(long)]
    pub keep_failures: bool,
    /// How much faster than their stamps requests of a trace come; 0: all at once
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub trace_speedup: f64,
    /// How often a trace of requests is served, one pass after another
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub replay_cycles: u32,
    /// A row or conversation that cannot be used is an error, not counted and left out
    #[arg(long)]
    pub strict: bool,
}

impl FileFlags {
    /// Says what is wrong.
    pub fn check(&self, all: &RecordFlags, complaints: &mut Complaints) {
        complaints.whole("max-conversations", self.max_conversations.unwrap_or(1), 1, u64::MAX);
        complaints.whole("chars-per-token", self.chars_per_token.unwrap_or(1).into(), 1, 64);
        if let (Some(per_token), None | Some(TokenizerFlag::Cl100k)) = (self.chars_per_token, self.tokenizer) {
            complaints.say(format!("--chars-per-token {per_token} is about --tokenizer chars4"));
        }
        if all.files.iter().any(|file| output::is_standard(file)) {
            complaints.say("-: a source is read twice, once for its checksum; save standard input to a file first");
        }
        match (all.source, all.files.as_slice()) {
            (SourceKind::Synthetic, [file, ..]) => {
                complaints.say(format!("synthetic users come from no file, but {} was given", file.display()));
            }
            (SourceKind::Sharegpt, []) => complaints.say("sharegpt needs a file: `sharegpt FILE`"),
            (SourceKind::Sharegpt, [_, second, ..]) => {
                complaints.say(format!("sharegpt takes one file, but {} was given too", second.display()));
            }
            (SourceKind::Requests, []) => complaints.say("requests needs a file: `requests FILE`"),
            _ => {}
        }
        complaints.whole("max-context-tokens", self.max_context_tokens.unwrap_or(1).into(), 1, u32::MAX.into());
        complaints.whole("max-generation-tokens", self.max_generation_tokens.unwrap_or(1).into(), 1, u32::MAX.into());
        complaints.whole("source-block", self.source_block.unwrap_or(1).into(), 1, 1 << 20);
        complaints.real("trace-speedup", self.trace_speedup, 0.0, 1e9);
        complaints.whole("replay-cycles", self.replay_cycles.into(), 1, 1_000_000);
        self.check_source(all, complaints);
    }

    /// Says which flags are about another source.
    fn check_source(&self, all: &RecordFlags, complaints: &mut Complaints) {
        let kind = word(all.source);
        if all.source != SourceKind::Requests {
            let given = [
                (self.format.is_some(), "--format"),
                (self.time_unit.is_some(), "--time-unit"),
                (self.source_block.is_some(), "--source-block"),
                (self.keep_failures, "--keep-failures"),
                (self.trace_speedup != 1.0, "--trace-speedup"),
                (self.replay_cycles != 1, "--replay-cycles"),
            ];
            for (_, flag) in given.iter().filter(|(given, _)| *given) {
                complaints.say(format!("{flag} is about a trace of requests, and the source is {kind}"));
            }
        } else if all.users.rate().is_some() && self.trace_speedup != 1.0 {
            complaints.say("--request-rate replaces the stamps that --trace-speedup divides; give one of them");
        }
        if all.source == SourceKind::Synthetic && self.strict {
            complaints.say("--strict is about files, and the source is synthetic");
        }
        if all.source == SourceKind::Synthetic && self.types_tokenizer(all) {
            complaints.say("--tokenizer is about text, and the source is synthetic");
        }
        if all.source != SourceKind::Sharegpt {
            let given = [
                (self.max_conversations.is_some(), "--max-conversations"),
                (self.allow_truncated, "--allow-truncated"),
                (self.filter.is_some(), "--filter"),
                (self.max_context_tokens.is_some(), "--max-context-tokens"),
                (self.max_generation_tokens.is_some(), "--max-generation-tokens"),
            ];
            for (_, flag) in given.iter().filter(|(given, _)| *given) {
                complaints.say(format!("{flag} is about a sharegpt file, and the source is {kind}"));
            }
        }
    }

    /// Refuses what has no effect on the format of a trace of requests.
    ///
    /// # Errors
    /// A tokenizer for a format that never has text.
    pub fn check_format(&self, all: &RecordFlags, format: TraceFormat) -> Result<()> {
        if format == TraceFormat::Mooncake || !self.types_tokenizer(all) {
            return Ok(());
        }
        let format = format.word();
        Err(Error::usage(format!("--tokenizer is about text, and requests of {format} have lengths in its place")))
    }

    fn types_tokenizer(&self, all: &RecordFlags) -> bool {
        self.tokenizer.is_some() && !all.layers.sets("tokenizer")
    }

    /// What is in force.
    pub fn in_force(&self, all: &RecordFlags) -> InForce {
        match all.source {
            SourceKind::Synthetic => Vec::new(),
            SourceKind::Sharegpt => self.in_force_sharegpt(),
            SourceKind::Requests => self.in_force_requests(),
        }
    }

    fn in_force_requests(&self) -> InForce {
        vec![
            ("format", json!(self.format.map(word))),
            ("time-unit", json!(self.time_unit.map(word))),
            ("source-block", json!(self.source_block)),
            ("keep-failures", json!(self.keep_failures)),
            ("tokenizer", json!(self.tokenizer().word())),
            ("trace-speedup", json!(self.trace_speedup)),
            ("replay-cycles", json!(self.replay_cycles)),
            ("strict", json!(self.strict)),
        ]
    }

    fn in_force_sharegpt(&self) -> InForce {
        vec![
            ("max-conversations", json!(self.max_conversations)),
            ("tokenizer", json!(self.tokenizer().word())),
            ("chars-per-token", json!(self.chars_per_token)),
            ("allow-truncated", json!(self.allow_truncated)),
            ("filter", json!(self.filter.map(word))),
            ("max-context-tokens", json!(self.max_context_tokens)),
            ("max-generation-tokens", json!(self.max_generation_tokens)),
            ("strict", json!(self.strict)),
        ]
    }

    /// How a trace of requests is read.
    pub fn requests(&self, all: &RecordFlags) -> TraceOptions {
        TraceOptions {
            format: self.format.map(FormatFlag::format),
            time_unit: self.time_unit.map(TimeUnitFlag::unit),
            block_tokens: self.source_block,
            keep_failures: self.keep_failures,
            tokenizer: self.tokenizer(),
            users: all.users.num_users,
            speedup: self.trace_speedup,
            cycles: self.replay_cycles,
            request_rate: all.users.rate(),
            strict: self.strict,
            population: all.users.population(&all.layers.sections.population),
        }
    }

    /// How a ShareGPT file is read.
    pub fn sharegpt(&self, all: &RecordFlags) -> ShareGptOptions {
        ShareGptOptions {
            tokenizer: self.tokenizer(),
            max_conversations: self.max_conversations,
            allow_truncated: self.allow_truncated,
            users: all.users.num_users,
            shared_prefixes: all.users.shared_prefixes(all),
            filter: self.filter.map(|FilterFlag::Vllm| Filter::Vllm),
            max_context_tokens: self.max_context_tokens,
            max_generation_tokens: self.max_generation_tokens,
            strict: self.strict,
            population: all.users.population(&all.layers.sections.population),
        }
    }

    fn tokenizer(&self) -> Tokenizer {
        match self.tokenizer.unwrap_or(TokenizerFlag::Cl100k) {
            TokenizerFlag::Cl100k => Tokenizer::Cl100k,
            TokenizerFlag::Chars4 => self.chars_per_token.map_or(Tokenizer::Chars4, Tokenizer::Chars),
        }
    }
}

impl FormatFlag {
    fn format(self) -> TraceFormat {
        match self {
            FormatFlag::Burstgpt => TraceFormat::BurstGpt,
            FormatFlag::Azure => TraceFormat::Azure,
            FormatFlag::Vidur => TraceFormat::Vidur,
            FormatFlag::Mooncake => TraceFormat::Mooncake,
            FormatFlag::Bailian => TraceFormat::Bailian,
            FormatFlag::KvCacheTester => TraceFormat::KvCacheTester,
            FormatFlag::Ragpulse => TraceFormat::RagPulse,
        }
    }
}

impl TimeUnitFlag {
    fn unit(self) -> TimeUnit {
        match self {
            TimeUnitFlag::S => TimeUnit::Seconds,
            TimeUnitFlag::Ms => TimeUnit::Millis,
            TimeUnitFlag::Us => TimeUnit::Micros,
            TimeUnitFlag::Ns => TimeUnit::Nanos,
        }
    }
}
