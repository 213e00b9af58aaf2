//! Flags of documents that requests ask about.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde_json::json;

use crate::model::Model;
use crate::units::Size;
use crate::workload::{Distribution, RagOptions};

use super::{Complaints, InForce, word};

/// Documents of a large model (see [`Model::is_large`]) and of any other: the reference's ranges.
const LARGE_MODEL_DOC_TOKENS: TokenRange = TokenRange { low: 1024, high: 4096 };
const DOC_TOKENS: TokenRange = TokenRange { low: 4000, high: 12_000 };
/// More documents, or more tokens in one of them, are a typing error.
const MOST: u64 = 1_000_000;

/// Which chunks are retrieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DistributionFlag {
    /// Early chunks more often, with weights 1, 1/2, 1/3 and so on
    Zipfian,
    /// All alike
    #[value(alias = "random")]
    Uniform,
}

/// A range of token counts, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRange {
    pub low: u32,
    pub high: u32,
}

impl FromStr for TokenRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a range of tokens; one is written 4000..12000, lowest first");
        let (low, high) = text.split_once("..").ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| (1..=MOST).contains(&u64::from(*n)));
        let (low, high) = number(low).zip(number(high)).ok_or_else(wrong)?;
        if low > high { Err(wrong()) } else { Ok(Self { low, high }) }
    }
}

impl fmt::Display for TokenRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.low, self.high)
    }
}

/// What is asked about documents.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Documents")]
pub struct RagFlags {
    /// Ingest documents at the start and ask about them; the flags below apply with this one
    #[arg(long)]
    pub enable_rag: bool,
    /// Documents [0 to 1000000]
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub rag_num_docs: u32,
    /// Tokens of a document [default: 1024..4096 with a large model (64 layers or 8192 wide), else
    /// 4000..12000]
    #[arg(long, value_name = "LOW..HIGH")]
    pub rag_doc_tokens: Option<TokenRange>,
    /// Tokens of a chunk
    #[arg(long, default_value_t = 512, value_name = "N")]
    pub rag_chunk_tokens: u32,
    /// A chunk's bytes at most, of all ranks together; a chunk has fewer tokens where needed
    #[arg(long, default_value = "256MiB", value_name = "SIZE")]
    pub rag_max_chunk_bytes: Size,
    /// Chunks retrieved at a time
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub rag_top_k: u32,
    /// Which chunks
    #[arg(long, value_enum, default_value_t = DistributionFlag::Zipfian)]
    pub rag_distribution: DistributionFlag,
    /// Share of synthetic users' requests that a question about a document follows, and share of
    /// all requests that look something up besides [0 to 1]
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub rag_request_probability: f64,
    /// Documents kept, the first to come is the first to go; 0: all
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub rag_max_documents: u32,
}

impl RagFlags {
    /// Says what is wrong.
    pub fn check(&self, model: Option<&Model>, complaints: &mut Complaints) {
        if !self.enable_rag {
            return;
        }
        complaints.whole("rag-num-docs", self.rag_num_docs.into(), 0, MOST);
        complaints.whole("rag-chunk-tokens", self.rag_chunk_tokens.into(), 1, MOST);
        complaints.whole("rag-top-k", self.rag_top_k.into(), 1, 1000);
        complaints.real("rag-request-probability", self.rag_request_probability, 0.0, 1.0);
        if let Some(model) = model.filter(|model| self.rag_max_chunk_bytes.0 < model.bytes_per_token()) {
            complaints.say(format!(
                "--rag-max-chunk-bytes {}: one token of {} has {} bytes",
                self.rag_max_chunk_bytes,
                model.name,
                model.bytes_per_token()
            ));
        }
    }

    /// What is in force for a model.
    pub fn in_force(&self, model: &Model) -> InForce {
        let mut flags = vec![("enable-rag", json!(self.enable_rag))];
        if self.enable_rag {
            flags.extend([
                ("rag-num-docs", json!(self.rag_num_docs)),
                ("rag-doc-tokens", json!(self.doc_tokens(model).to_string())),
                ("rag-chunk-tokens", json!(self.rag_chunk_tokens)),
                ("rag-max-chunk-bytes", json!(self.rag_max_chunk_bytes.0)),
                ("rag-top-k", json!(self.rag_top_k)),
                ("rag-distribution", json!(word(self.rag_distribution))),
                ("rag-request-probability", json!(self.rag_request_probability)),
                ("rag-max-documents", json!(self.rag_max_documents)),
            ]);
        }
        flags
    }

    /// The documents, if there are any.
    pub fn options(&self, model: &Model) -> Option<RagOptions> {
        let TokenRange { low, high } = self.doc_tokens(model);
        self.enable_rag.then(|| RagOptions {
            documents: self.rag_num_docs,
            document_tokens: (low, high),
            chunk_tokens: self.chunk_tokens(model),
            top_k: self.rag_top_k,
            request_probability: self.rag_request_probability,
            distribution: match self.rag_distribution {
                DistributionFlag::Zipfian => Distribution::Zipfian,
                DistributionFlag::Uniform => Distribution::Uniform,
            },
            max_documents: (self.rag_max_documents > 0).then_some(self.rag_max_documents),
        })
    }

    fn doc_tokens(&self, model: &Model) -> TokenRange {
        let default = if model.is_large() { LARGE_MODEL_DOC_TOKENS } else { DOC_TOKENS };
        self.rag_doc_tokens.unwrap_or(default)
    }

    /// The tokens that a chunk may have by their number and by their bytes.
    fn chunk_tokens(&self, model: &Model) -> u32 {
        let by_bytes = self.rag_max_chunk_bytes.0 / model.bytes_per_token();
        u32::try_from(by_bytes).unwrap_or(u32::MAX).min(self.rag_chunk_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_people_write_them() {
        assert_eq!("10..20".parse(), Ok(TokenRange { low: 10, high: 20 }));
        assert_eq!("7..7".parse::<TokenRange>().unwrap().to_string(), "7..7");
        for wrong in ["", "10", "20..10", "0..5", "1..2000000", "-1..5", "1...5", "a..b"] {
            assert!(wrong.parse::<TokenRange>().is_err(), "{wrong}");
        }
    }
}
