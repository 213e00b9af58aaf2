//! Flags of the object model: what a key names, and which objects a request reads.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde_json::json;

use crate::serve::{DECODE_BATCH_TOKENS, DecodeReads, HistoryReads, ObjectKind, ObjectModel, Sharing};

use super::{Complaints, InForce, RecordFlags, word};

/// Tokens of vLLM's own KV blocks, and of a chunk that it offloads unless told otherwise
/// (`block_size` 16, `blocks_per_chunk` 1).
const VLLM_BLOCK_TOKENS: u32 = 16;
/// LMCache's `chunk_size`.
const LMCACHE_CHUNK_TOKENS: u32 = 256;
/// `block_size` of llm-d's file system connector: the tokens of one file.
const LLM_D_FILE_TOKENS: u32 = 256;
/// The largest block: larger than any prompt that a model takes.
const MOST_BLOCK_TOKENS: u32 = 1 << 24;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectsFlag {
    /// What a turn adds.
    Turn,
    /// So many tokens.
    TokenBlocks(u32),
}

/// What is read of the turns before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HistoryFlag {
    /// Every earlier turn that survives
    All,
    /// What survives, to the first that does not
    LongestPrefix,
    /// Nothing
    None,
}

/// What is read while generating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeReadsFlag(DecodeReads);

/// What becomes of a last block that is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PartialFlag {
    /// It is not stored
    Drop,
    /// It is stored
    Keep,
}

/// What conversations have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SharingFlag {
    /// System prompts, in front of a fifth of the requests
    Prompts,
    /// These, and all that a source says is the same
    Content,
    /// Nothing
    None,
}

/// What the objects are.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Objects")]
pub struct ObjectFlags {
    /// What one object holds: turn (what a turn adds), token-blocks:N (N tokens, keyed by them
    /// and all before), vllm (16), lmcache (256) or llm-d (256)
    #[arg(long, default_value_t = ObjectsFlag::Turn, value_name = "MODEL")]
    pub objects: ObjectsFlag,
    /// What a request reads of earlier turns [default: all; of token blocks: longest-prefix]
    #[arg(long, value_enum)]
    pub history: Option<HistoryFlag>,
    /// What a request reads while it generates: rescan:N (all of its objects, before the answer
    /// and once per N tokens of it) or none (once: a turn before its answer, blocks when found)
    /// [default: rescan:32]
    #[arg(long, value_name = "READS")]
    pub decode_reads: Option<DecodeReadsFlag>,
    /// The last token block of a prompt that does not fill it
    #[arg(long, value_enum, default_value_t = PartialFlag::Drop)]
    pub partial_blocks: PartialFlag,
    /// What conversations share [default: prompts; of token blocks: content]
    #[arg(long, value_enum)]
    pub prefix_sharing: Option<SharingFlag>,
}

impl ObjectFlags {
    /// Says what is wrong.
    pub fn check(&self, all: &RecordFlags, complaints: &mut Complaints) {
        let objects = self.objects;
        match objects {
            ObjectsFlag::Turn => {
                if self.partial_blocks == PartialFlag::Keep {
                    complaints.say("--partial-blocks keep is about token blocks, and --objects turn has none");
                }
                if self.prefix_sharing == Some(SharingFlag::Content) {
                    complaints.say("--prefix-sharing content needs keys that follow the content: not --objects turn");
                }
            }
            ObjectsFlag::TokenBlocks(_) => {
                if self.history == Some(HistoryFlag::All) {
                    complaints.say(format!(
                        "--history all reads earlier turns one by one, and --objects {objects} has none: \
                         longest-prefix or none"
                    ));
                }
                let turns_only = [(all.rag.enable_rag, "--enable-rag"), (all.users.decode_only, "--decode-only")];
                for (_, flag) in turns_only.iter().filter(|(given, _)| *given) {
                    complaints.say(format!("{flag} has whole objects of its own: not with --objects {objects}"));
                }
            }
        }
        if let (true, Some(reads)) = (all.users.prefill_only, self.decode_reads)
            && reads.0 != DecodeReads::None
            && !all.layers.sets("decode-reads")
        {
            complaints.say(format!("--decode-reads {reads} is about answers, and --prefill-only generates none"));
        }
        // What a profile says gives way to the two switches.
        if all.users.disable_multi_turn && self.history == Some(HistoryFlag::All) {
            complaints.say("--disable-multi-turn is --history none, and --history all is given");
        }
        if all.users.disable_prefix_caching && self.prefix_sharing == Some(SharingFlag::Prompts) {
            complaints.say("--disable-prefix-caching is --prefix-sharing none, and --prefix-sharing prompts is given");
        }
    }

    /// What is in force.
    pub fn in_force(&self, all: &RecordFlags) -> InForce {
        vec![
            ("objects", json!(self.objects.to_string())),
            ("history", json!(word(self.history(all)))),
            ("decode-reads", json!(self.decode_reads.unwrap_or_default().to_string())),
            ("partial-blocks", json!(word(self.partial_blocks))),
            ("prefix-sharing", json!(word(self.sharing(all)))),
        ]
    }

    /// The object model.
    pub fn model(&self, all: &RecordFlags) -> ObjectModel {
        ObjectModel {
            kind: match self.objects {
                ObjectsFlag::Turn => ObjectKind::Turns,
                ObjectsFlag::TokenBlocks(tokens) => {
                    ObjectKind::TokenBlocks { tokens, keep_partial: self.partial_blocks == PartialFlag::Keep }
                }
            },
            history: match self.history(all) {
                HistoryFlag::All => HistoryReads::All,
                HistoryFlag::LongestPrefix => HistoryReads::LongestPrefix,
                HistoryFlag::None => HistoryReads::None,
            },
            decode_reads: self.decode_reads.unwrap_or_default().0,
            sharing: match self.sharing(all) {
                SharingFlag::Prompts => Sharing::Prompts,
                SharingFlag::Content => Sharing::Content,
                SharingFlag::None => Sharing::None,
            },
        }
    }

    /// Whether some requests begin with a shared system prompt.
    pub fn shares_prompts(&self, all: &RecordFlags) -> bool {
        self.sharing(all) != SharingFlag::None
    }

    fn history(&self, all: &RecordFlags) -> HistoryFlag {
        match (self.history, self.objects) {
            _ if all.users.disable_multi_turn => HistoryFlag::None,
            (Some(history), _) => history,
            (None, ObjectsFlag::Turn) => HistoryFlag::All,
            (None, ObjectsFlag::TokenBlocks(_)) => HistoryFlag::LongestPrefix,
        }
    }

    fn sharing(&self, all: &RecordFlags) -> SharingFlag {
        match (self.prefix_sharing, self.objects) {
            _ if all.users.disable_prefix_caching => SharingFlag::None,
            (Some(sharing), _) => sharing,
            (None, ObjectsFlag::Turn) => SharingFlag::Prompts,
            (None, ObjectsFlag::TokenBlocks(_)) => SharingFlag::Content,
        }
    }
}

impl FromStr for ObjectsFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("token-blocks:")) {
            ("turn", _) => Ok(ObjectsFlag::Turn),
            ("vllm", _) => Ok(ObjectsFlag::TokenBlocks(VLLM_BLOCK_TOKENS)),
            ("lmcache", _) => Ok(ObjectsFlag::TokenBlocks(LMCACHE_CHUNK_TOKENS)),
            ("llm-d", _) => Ok(ObjectsFlag::TokenBlocks(LLM_D_FILE_TOKENS)),
            (_, Some(number)) => match number.parse() {
                Ok(tokens @ 1..=MOST_BLOCK_TOKENS) => Ok(ObjectsFlag::TokenBlocks(tokens)),
                _ => Err(format!("a token block has 1 to {MOST_BLOCK_TOKENS} tokens")),
            },
            _ => Err("it is turn, token-blocks:N, vllm, lmcache or llm-d".to_owned()),
        }
    }
}

impl fmt::Display for ObjectsFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectsFlag::Turn => f.write_str("turn"),
            ObjectsFlag::TokenBlocks(tokens) => write!(f, "token-blocks:{tokens}"),
        }
    }
}

impl Default for DecodeReadsFlag {
    fn default() -> Self {
        Self(DecodeReads::Rescan(DECODE_BATCH_TOKENS))
    }
}

impl FromStr for DecodeReadsFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(DecodeReads::None));
        }
        let tokens = text.strip_prefix("rescan:").and_then(|number| number.parse().ok());
        match tokens {
            Some(tokens @ 1..=u32::MAX) => Ok(Self(DecodeReads::Rescan(tokens))),
            _ => Err("it is none, or rescan:N with N tokens above 0".to_owned()),
        }
    }
}

impl fmt::Display for DecodeReadsFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DecodeReads::Rescan(tokens) => write!(f, "rescan:{tokens}"),
            DecodeReads::None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_as_people_write_them() {
        for (text, tokens) in [("token-blocks:512", 512), ("vllm", 16), ("lmcache", 256), ("llm-d", 256)] {
            let objects: ObjectsFlag = text.parse().unwrap();
            assert_eq!(objects, ObjectsFlag::TokenBlocks(tokens));
            assert_eq!(objects.to_string().parse(), Ok(objects), "what is printed can be typed");
        }
        assert_eq!("turn".parse(), Ok(ObjectsFlag::Turn));
        for wrong in ["", "turns", "token-blocks", "token-blocks:0", "token-blocks:-1", "token-blocks:99999999"] {
            assert!(wrong.parse::<ObjectsFlag>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn decode_reads_as_people_write_them() {
        for text in ["none", "rescan:1", "rescan:32"] {
            assert_eq!(text.parse::<DecodeReadsFlag>().unwrap().to_string(), text);
        }
        for wrong in ["", "rescan", "rescan:0", "rescan:x", "all"] {
            assert!(wrong.parse::<DecodeReadsFlag>().is_err(), "{wrong}");
        }
    }
}
