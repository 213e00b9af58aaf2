//! Flags of sources that are files.

use clap::ValueEnum;
use serde_json::json;

use crate::workload::{ShareGptOptions, Tokenizer};

use super::{Complaints, InForce, RecordFlags, SourceKind, word};

/// How text is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenizerFlag {
    /// Exactly, with the vocabulary of GPT-4
    Cl100k,
    /// A quarter of the characters
    Chars4,
}

/// How a file is read.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Files")]
pub struct FileFlags {
    /// Conversations of a sharegpt file at most [default: the whole file]
    #[arg(long, value_name = "N")]
    pub max_conversations: Option<u64>,
    /// How the text of a sharegpt file is counted
    #[arg(long, value_enum, default_value_t = TokenizerFlag::Cl100k)]
    pub tokenizer: TokenizerFlag,
    /// With --tokenizer chars4: the characters of a token, in place of 4
    #[arg(long, value_name = "N")]
    pub chars_per_token: Option<u32>,
    /// Use the whole conversations of a file that is cut off
    #[arg(long)]
    pub allow_truncated: bool,
}

impl FileFlags {
    /// Says what is wrong.
    pub fn check(&self, all: &RecordFlags, complaints: &mut Complaints) {
        complaints.whole("max-conversations", self.max_conversations.unwrap_or(1), 1, u64::MAX);
        complaints.whole("chars-per-token", self.chars_per_token.unwrap_or(1).into(), 1, 64);
        if let (Some(per_token), TokenizerFlag::Cl100k) = (self.chars_per_token, self.tokenizer) {
            complaints.say(format!("--chars-per-token {per_token} is about --tokenizer chars4"));
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
        if all.source != SourceKind::Sharegpt {
            let given = [
                (self.max_conversations.is_some(), "--max-conversations"),
                (self.allow_truncated, "--allow-truncated"),
            ];
            for (_, flag) in given.iter().filter(|(given, _)| *given) {
                complaints.say(format!("{flag} is about a sharegpt file, and the source is {}", word(all.source)));
            }
        }
    }

    /// What is in force.
    pub fn in_force(&self, all: &RecordFlags) -> InForce {
        if all.source != SourceKind::Sharegpt {
            return Vec::new();
        }
        vec![
            ("max-conversations", json!(self.max_conversations)),
            ("tokenizer", json!(self.tokenizer().word())),
            ("chars-per-token", json!(self.chars_per_token)),
            ("allow-truncated", json!(self.allow_truncated)),
        ]
    }

    /// How a ShareGPT file is read.
    pub fn sharegpt(&self, all: &RecordFlags) -> ShareGptOptions {
        ShareGptOptions {
            tokenizer: self.tokenizer(),
            max_conversations: self.max_conversations,
            allow_truncated: self.allow_truncated,
            users: all.users.num_users,
            shared_prefixes: all.users.shared_prefixes(),
            population: all.users.population(&all.layers.sections.population),
        }
    }

    fn tokenizer(&self) -> Tokenizer {
        match self.tokenizer {
            TokenizerFlag::Cl100k => Tokenizer::Cl100k,
            TokenizerFlag::Chars4 => self.chars_per_token.map_or(Tokenizer::Chars4, Tokenizer::Chars),
        }
    }
}
