//! What analyses of token blocks read: request files with ids, and capacities in words.

mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

use crate::analyze::events::WHY_NO_HITS;
use crate::analyze::inputs::{Kind, Source, find};
use crate::analyze::lookups;
use crate::analyze::references::References;
use crate::checksum;
use crate::cli::analyze::input::{holds_objects, refuse_read_once};
use crate::cli::terminal::Terminal;
use crate::error::{self, Error, Result};
use crate::model::Model;
use crate::seed::Seed;
use crate::stop::Stop;
use crate::units::{self, Size};
use crate::workload::{RequestTrace, Skipped, TraceFormat, TraceOptions, trace_files, trace_format};

/// Tokens of the blocks that runs of tokens are cut into: those of vLLM's KV blocks (its
/// `--block-size`).
const RUN_BLOCK_TOKENS: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// The flags of what is read.
#[derive(Clone, Debug, clap::Args)]
pub struct BlockArgs {
    /// Request files whose prompts have ids of token blocks (Mooncake, Qwen-Bailian,
    /// kv-cache-tester, RAGPulse), or LMCache's lookup logs; patterns or folders; several follow each
    /// other, and ids are those of their own file
    #[arg(required = true, value_name = "FILE")]
    pub inputs: Vec<PathBuf>,
    /// Their format, instead of finding it by content
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<TraceFormat>,
    /// Tokens of an id, instead of the format's; of RAGPulse, whose ids are runs of any length: the
    /// blocks that prompts are cut into [default: 16]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    source_block: Option<u32>,
    /// For bytes and GiB: a model by name, config.json or bytes:N
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
}

fn format(text: &str) -> Result<TraceFormat, String> {
    let known = || TraceFormat::ALL.map(TraceFormat::word).join(", ");
    let found = TraceFormat::ALL.into_iter().find(|format| format.word() == text);
    found.ok_or_else(|| format!("`{text}` is not a format; use one of {}", known()))
}

/// What was read.
pub struct Blocks {
    /// The references.
    pub references: References,
    /// What is said of them in results.
    pub facts: BlockFacts,
}

/// What was read, for results.
#[derive(Clone, Debug, Serialize)]
pub struct BlockFacts {
    /// The files.
    pub inputs: Vec<InputFile>,
    /// Their format.
    pub format: &'static str,
    /// Tokens of an id.
    pub block_tokens: u32,
    /// Requests with ids.
    pub requests: u64,
    /// Requests without, which are left out.
    pub without_ids: u64,
    /// Other things that were left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Requests whose stamp lies below that of one above them; they were put in order.
    pub inversions: u64,
    /// References to blocks.
    pub blocks: u64,
    /// Different blocks.
    pub distinct_blocks: u64,
    /// Tokens of all prompts.
    pub tokens: u64,
    /// From the first arrival to the last.
    pub span_s: f64,
    /// The model, and the bytes of a token.
    pub model: Option<String>,
    /// Bytes of the KV cache of one token of that model.
    pub bytes_per_token: Option<u64>,
}

/// One input.
#[derive(Clone, Debug, Serialize)]
pub struct InputFile {
    /// As it was typed or found.
    pub file: String,
    /// Its checksum, in hex.
    pub sha256: String,
}

impl BlockArgs {
    /// Reads everything.
    ///
    /// # Errors
    /// What cannot be read, or has no ids.
    pub fn read(&self, stop: &Stop, terminal: &Terminal) -> Result<Blocks> {
        self.inputs.iter().try_for_each(|path| refuse_read_once(path))?;
        let model = self.model.as_deref().map(|name| Model::resolve(name, None)).transpose()?;
        let mut blocks = match self.kind()? {
            Some((Kind::Events, name)) => {
                return Err(Error::usage(format!("{name} is a recording of KV events: {WHY_NO_HITS}")));
            }
            Some((Kind::Lookups, _)) => self.of_lookups(stop, terminal)?,
            _ => self.of_requests(stop, terminal)?,
        };
        if let Some(model) = &model {
            blocks.facts.model = Some(model.name.clone());
            blocks.facts.bytes_per_token = Some(model.bytes_per_token());
        }
        for (reason, count) in &blocks.facts.skipped {
            terminal.say(format!("left out or adapted: {} x {reason}", units::count(*count)));
        }
        if blocks.facts.inversions > 0 {
            let rows = units::plural(blocks.facts.inversions, "request");
            terminal.say(format!("put in order: {rows} stamped before one above"));
        }
        Ok(blocks)
    }

    /// The inputs as traces of objects, whose content they have; none where they are requests.
    ///
    /// # Errors
    /// What cannot be read, and flags that traces have no use for.
    pub fn traces(&self) -> Result<Option<Vec<Source>>> {
        let (kind, sources) = match self.format {
            None => find(&self.inputs)?,
            // A format is forced for what is not told by its content.
            Some(_) => match self.inputs.first() {
                Some(path) if path.is_file() => find(std::slice::from_ref(path))?,
                _ => return Ok(None),
            },
        };
        let is_trace = kind == Kind::Trace && holds_objects(&sources[0].parts[0])?;
        Ok(is_trace.then_some(sources))
    }

    /// Refuses the flags that are about requests.
    ///
    /// # Errors
    /// That one of them was given.
    pub fn refuse_flags_of_requests(&self) -> Result<()> {
        let flags = [
            ("--format", self.format.is_some(), "a trace is told by its content"),
            ("--source-block", self.source_block.is_some(), "the objects of a trace have sizes in bytes"),
            ("--model", self.model.is_some(), "the objects of a trace have sizes in bytes"),
        ];
        match flags.into_iter().find(|(_, given, _)| *given) {
            Some((flag, _, why)) => Err(Error::usage(format!(
                "{flag} is about requests, and {} is a trace: {why}; leave it out",
                self.inputs[0].display()
            ))),
            None => Ok(()),
        }
    }

    /// What the inputs are, and the first one; none where a format is forced. They are of one kind.
    fn kind(&self) -> Result<Option<(Kind, String)>> {
        if self.format.is_some() {
            return Ok(None);
        }
        let (kind, sources) = find(&self.inputs)?;
        Ok(Some((kind, sources[0].name.clone())))
    }

    fn of_lookups(&self, stop: &Stop, terminal: &Terminal) -> Result<Blocks> {
        let (_, sources) = find(&self.inputs)?;
        let files: Vec<PathBuf> = sources.into_iter().flat_map(|source| source.parts).collect();
        let (requests, lookups) = lookups::read(&files, stop)?;
        let references = References::of(requests.into_iter().map(Ok), stop, terminal)?;
        let inputs = files.iter().zip(lookups.sha256);
        let inputs = inputs.map(|(path, sha256)| InputFile { file: path.display().to_string(), sha256 }).collect();
        let facts = BlockFacts {
            inputs,
            format: "lmcache-lookups",
            block_tokens: lookups.chunk_tokens,
            skipped: lookups.skipped.counts().clone(),
            inversions: lookups.inversions,
            model: lookups.models.keys().next().filter(|_| lookups.models.len() == 1).cloned(),
            bytes_per_token: lookups.bytes_per_token,
            ..BlockFacts::of(&references)
        };
        Ok(Blocks { references, facts })
    }

    fn of_requests(&self, stop: &Stop, terminal: &Terminal) -> Result<Blocks> {
        let files = trace_files(&self.inputs)?;
        let skipped = Skipped::default();
        let format = files.first().map_or(Ok(self.format), |file| match self.format {
            Some(format) => Ok(Some(format)),
            None => trace_format(file).map(Some),
        })?;
        // Their ids stand for runs of any length, and not for blocks.
        let runs = format == Some(TraceFormat::RagPulse);
        let cut = runs.then(|| self.source_block.and_then(NonZeroU32::new).unwrap_or(RUN_BLOCK_TOKENS));
        let source_block = self.source_block.filter(|_| !runs);
        let requests =
            RequestTrace::open(&files, Seed(0), TraceOptions::as_stamped(self.format, source_block), skipped.clone())?;
        let requests = requests.noting_shared_ids();
        let trace = requests.facts();
        if let Some(tokens) = cut {
            terminal.say(format!(
                "{}: its ids stand for runs of tokens of any length; prompts are cut into blocks of {tokens} tokens, as \
                 --objects token-blocks:{tokens} cuts them when they are recorded (--source-block)",
                trace.format.word()
            ));
        }
        let mut usable = 0u64;
        let requests = requests.inspect(|request| usable += u64::from(request.is_ok()));
        let references = References::cut(requests, cut, stop, terminal).map_err(|e| {
            let reasons = skipped.counts();
            let nothing = usable == 0 && e.kind() == error::Kind::Usage && !reasons.is_empty();
            if nothing { nothing_usable(&files, "request", &reasons) } else { e }
        })?;
        let facts = BlockFacts {
            inputs: files.iter().map(input).collect::<Result<_>>()?,
            format: trace.format.word(),
            block_tokens: cut.map(NonZeroU32::get).or(trace.block_tokens).unwrap_or(1),
            skipped: skipped.counts(),
            inversions: trace.inversions(),
            ..BlockFacts::of(&references)
        };
        Ok(Blocks { references, facts })
    }
}

impl BlockFacts {
    /// What references say themselves.
    fn of(references: &References) -> Self {
        Self {
            inputs: Vec::new(),
            format: "",
            block_tokens: 1,
            requests: references.requests() as u64,
            without_ids: references.without_ids,
            skipped: BTreeMap::new(),
            inversions: 0,
            blocks: references.blocks.len() as u64,
            distinct_blocks: references.distinct.into(),
            tokens: references.total_tokens(),
            span_s: references.arrivals_ns.iter().max().map_or(0.0, |last| *last as f64 / 1e9),
            model: None,
            bytes_per_token: None,
        }
    }
}

/// That nothing in some files can be used, and why not, the most frequent reason first.
pub fn nothing_usable(files: &[PathBuf], what: &str, reasons: &BTreeMap<String, u64>) -> Error {
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    let mut reasons: Vec<_> = reasons.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let reasons: Vec<_> = reasons.iter().map(|(why, count)| format!("{} x {why}", units::count(**count))).collect();
    Error::usage(format!("{} holds no {what} that can be used: {}", names.join(" "), reasons.join("; ")))
}

fn input(path: &PathBuf) -> Result<InputFile> {
    let unreadable = |e| Error::reading(path, &e);
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let sha256 = checksum::of_stream(&mut file, |_| Ok(())).map_err(unreadable)?;
    Ok(InputFile { file: path.display().to_string(), sha256 })
}

impl Blocks {
    /// The first line of a table: what was read.
    pub fn line(&self) -> String {
        let facts = &self.facts;
        format!(
            "{}: {} requests, {} references to {} blocks of {} tokens over {}",
            facts.inputs.iter().map(|input| input.file.as_str()).collect::<Vec<_>>().join(" "),
            units::count(facts.requests),
            units::count(facts.blocks),
            units::count(facts.distinct_blocks),
            facts.block_tokens,
            units::ns(facts.span_s * 1e9),
        )
    }

    /// A capacity in blocks, as `flag` gave it.
    ///
    /// # Errors
    /// A capacity in bytes without a model, of nothing, or of more blocks than can be numbered.
    pub fn capacity(&self, flag: &str, capacity: Capacity) -> Result<u32> {
        let blocks = match (capacity, self.block_bytes()) {
            (Capacity::Blocks(blocks), _) => blocks,
            (Capacity::Bytes(bytes), Some(block)) => bytes / block,
            (Capacity::Bytes(_), None) => {
                return Err(Error::usage(format!(
                    "{flag} {capacity}: how many token blocks that is depends on the model; add --model \
                     llama3.1-8b, or give a number of blocks without a unit"
                )));
            }
        };
        if blocks == 0 {
            return Err(Error::usage(format!("{flag} {capacity}: a cache holds at least one token block")));
        }
        u32::try_from(blocks).map_err(|_| {
            Error::usage(format!(
                "{flag} {capacity}: that is {} token blocks, more than the {} that are counted; {} hold everything here",
                units::count(blocks),
                units::count(u32::MAX.into()),
                units::count(self.references.distinct.into())
            ))
        })
    }

    /// Bytes of a token block, for the model that was named.
    pub fn block_bytes(&self) -> Option<u64> {
        Some(self.facts.bytes_per_token? * u64::from(self.facts.block_tokens))
    }
}

/// A capacity as it is typed: token blocks without a unit, bytes with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Token blocks.
    Blocks(u64),
    /// Bytes.
    Bytes(u64),
}

impl FromStr for Capacity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<u64>() {
            Ok(blocks) => Ok(Capacity::Blocks(blocks)),
            Err(_) => text.parse::<Size>().map(|size| Capacity::Bytes(size.0)).map_err(|_| {
                format!("`{text}` is not a capacity; use a number of token blocks, or bytes such as 64GiB")
            }),
        }
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Capacity::Blocks(blocks) => write!(f, "{blocks}"),
            Capacity::Bytes(bytes) => f.write_str(&units::bytes(*bytes)),
        }
    }
}

impl clap::ValueEnum for crate::analyze::curve::Semantics {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Prefix, Self::Any, Self::TailFirst]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.word()))
    }
}
