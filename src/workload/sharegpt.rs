//! Conversations of people with chatbots, in the JSON shapes that carry the name ShareGPT.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

use crate::error::{Error, Result};
use crate::seed::{Seed, hash_bytes};

use super::json_items::{Broken, Item, Items};
use super::pipeline::Pipeline;
use super::refusals::{Place, Refusals};
use super::{Conversation, Population, Skipped, Tokenizer, Turn, names, text_file};

mod dialogue;
mod filter;

use dialogue::{Dialogue, Parsed};
pub use filter::Filter;

/// Items that a thread takes at a time, by number and by bytes.
const BATCH_ITEMS: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// How a file is read.
#[derive(Clone, Copy, Debug)]
pub struct ShareGptOptions {
    /// How text is counted.
    pub tokenizer: Tokenizer,
    /// Stop after so many conversations.
    pub max_conversations: Option<u64>,
    /// Use the whole conversations of a file that is cut off.
    pub allow_truncated: bool,
    /// Users who hold the conversations in turn, above 0.
    pub users: u32,
    /// Whether some requests begin with a shared system prompt.
    pub shared_prefixes: bool,
    /// What else is left out.
    pub filter: Option<Filter>,
    /// Longer questions are cut to this.
    pub max_context_tokens: Option<u32>,
    /// Longer answers are cut to this.
    pub max_generation_tokens: Option<u32>,
    /// Whether something that cannot be used is an error.
    pub strict: bool,
    /// What the users are like, as far as a file does not say it.
    pub population: Population,
}

type Batch = std::result::Result<Vec<Item>, Broken>;
/// Each with the byte at which its item begins.
type ParsedBatch = std::result::Result<Vec<(u64, Parsed)>, Broken>;

/// The conversations of a file, in its order. Memory is bounded by a few batches of items (and 16
/// bytes a conversation, to tell ids that occur again).
pub struct ShareGpt {
    path: PathBuf,
    seed: Seed,
    options: ShareGptOptions,
    skipped: Skipped,
    refusals: Refusals,
    batches: Pipeline<ParsedBatch>,
    batch: std::vec::IntoIter<(u64, Parsed)>,
    /// Items of the file so far, the skipped ones included.
    items: u64,
    conversations: u64,
    occurrences: HashMap<u64, u32>,
    over: bool,
}

impl ShareGpt {
    /// Opens a file, compressed with zstd or not. What it leaves out is counted in `skipped`.
    ///
    /// # Errors
    /// When the file cannot be opened or is not a regular file.
    pub fn open(path: &Path, seed: Seed, options: ShareGptOptions, skipped: Skipped) -> Result<Self> {
        let input = text_file::open(path, "a ShareGPT file")?;
        let threads = thread::available_parallelism().map_or(2, usize::from).min(8);
        let ShareGptOptions { tokenizer, filter, .. } = options;
        let parse = move |item: &Item| Ok((item.offset, dialogue::parse(item, tokenizer, filter)?));
        let work = move |batch: Batch| batch?.iter().map(parse).collect();
        Ok(Self {
            path: path.to_owned(),
            seed,
            options,
            refusals: Refusals::new(skipped.clone(), options.strict),
            skipped,
            batches: Pipeline::new(Batches { items: Items::new(input), broken: None }, threads, work),
            batch: Vec::new().into_iter(),
            items: 0,
            conversations: 0,
            occurrences: HashMap::new(),
            over: false,
        })
    }

    fn next_parsed(&mut self) -> Result<Option<(u64, Parsed)>> {
        loop {
            if let Some(parsed) = self.batch.next() {
                self.items += 1;
                return Ok(Some(parsed));
            }
            match self.batches.next() {
                Some(Ok(batch)) => self.batch = batch.into_iter(),
                Some(Err(broken)) => return self.broken(broken).map(|()| None),
                None => return Ok(None),
            }
        }
    }

    /// A file that does not end well is an error, unless it is only cut and that is allowed.
    fn broken(&self, broken: Broken) -> Result<()> {
        let path = self.path.display();
        match broken {
            Broken::Wrong { .. } | Broken::Truncated { .. } if self.conversations == 0 && self.trace().is_some() => {
                self.trace().map_or(Ok(()), Err)
            }
            Broken::Truncated { .. } if self.options.allow_truncated && self.items > 0 => {
                self.skipped.count("conversation cut off by the end of the file");
                Ok(())
            }
            Broken::Truncated { end, packed } => {
                let whole = format!("{} whole conversations", self.items);
                let way_out = match (self.items, self.options.allow_truncated) {
                    (0, true) => "; there is none that --allow-truncated could use: get the rest",
                    (0, false) => "; get the rest",
                    _ => "; get the rest, or add --allow-truncated to use these",
                };
                Err(Error::usage(text_file::cut_off(&self.path, end, packed, &whole) + way_out))
            }
            Broken::Empty => Err(Error::usage(format!("{path} is empty; a ShareGPT file is a JSON array or JSONL"))),
            Broken::Wrong { at, what } => Err(Error::usage(format!(
                "{path} is not a ShareGPT file: byte {at}, after {} items: {what}",
                self.items
            ))),
            Broken::Unreadable(error) => Err(Error::reading(&self.path, &error)),
        }
    }

    /// What to say of a trace of requests, if the file is one.
    fn trace(&self) -> Option<Error> {
        let (format, path) = (super::requests::format_of(&self.path).ok()?.word(), self.path.display());
        Some(Error::usage(format!(
            "{path} looks like a trace of requests ({format}): `kvtrace record requests {path}` reads it"
        )))
    }

    fn name(&mut self, id: Option<&str>) -> String {
        let id = id.map_or_else(|| format!("item{}", self.items - 1), names::plain);
        let occurrence = self.occurrences.entry(hash_bytes(id.as_bytes())).or_insert(0);
        *occurrence += 1;
        // A plain id has no #, so that no id looks like another's second occurrence.
        if *occurrence == 1 { id } else { format!("{id}#{occurrence}") }
    }

    fn refuse(&self, byte: u64, reason: &str, items: u64) -> Result<()> {
        self.refusals.add(Place { path: &self.path, line: None, byte }, reason, items)
    }

    /// Cuts what is longer than allowed.
    fn limit(&self, turn: &mut Turn) {
        let limits = [
            (&mut turn.context_tokens, self.options.max_context_tokens, "question cut to --max-context-tokens"),
            (&mut turn.generate_tokens, self.options.max_generation_tokens, "answer cut to --max-generation-tokens"),
        ];
        for (tokens, limit, what) in limits {
            if limit.is_some_and(|limit| *tokens > limit) {
                *tokens = limit.unwrap_or(*tokens);
                self.skipped.count(what);
            }
        }
    }

    fn next_conversation(&mut self) -> Result<Option<Conversation>> {
        while self.options.max_conversations.is_none_or(|most| self.conversations < most) {
            let Some((byte, parsed)) = self.next_parsed()? else { break };
            match parsed {
                Parsed::Dialogue(mut dialogue) => {
                    for (reason, count) in &dialogue.skipped {
                        self.refuse(byte, reason, *count)?;
                    }
                    self.refusals
                        .note("conversation with text that is not UTF-8, replaced", dialogue.is_replaced.into());
                    dialogue.turns.iter_mut().for_each(|turn| self.limit(turn));
                    return Ok(Some(self.conversation(dialogue)));
                }
                Parsed::Skipped(reason) => self.refuse(byte, reason, 1)?,
                Parsed::Filtered(reason) => self.skipped.count(reason),
            }
        }
        if self.conversations == 0 && self.options.filter.is_none() {
            return self.trace().map_or(Ok(None), Err);
        }
        Ok(None)
    }

    fn conversation(&mut self, dialogue: Dialogue) -> Conversation {
        let name = self.name(dialogue.id.as_deref());
        let ordinal = self.conversations;
        self.conversations += 1;
        let ShareGptOptions { users, shared_prefixes, population, .. } = self.options;
        Conversation::new(self.seed, ordinal, &name, u64::from(users), dialogue.turns, shared_prefixes)
            .of_population(self.seed, &population)
    }
}

impl Iterator for ShareGpt {
    type Item = Result<Conversation>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_conversation().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Items put together, so that threads do not meet for every one of them.
struct Batches<R> {
    items: Items<R>,
    broken: Option<Broken>,
}

impl<R: Read> Iterator for Batches<R> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if let Some(broken) = self.broken.take() {
            return Some(Err(broken));
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_ITEMS && bytes < BATCH_BYTES {
            match self.items.next() {
                Some(Ok(item)) => {
                    bytes += item.json.len();
                    batch.push(item);
                }
                Some(Err(broken)) => {
                    self.broken = Some(broken);
                    break;
                }
                None => break,
            }
        }
        if batch.is_empty() { self.broken.take().map(Err) } else { Some(Ok(batch)) }
    }
}

#[cfg(test)]
mod tests;
