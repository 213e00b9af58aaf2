//! Conversations of people with chatbots, in the JSON shapes that carry the name ShareGPT.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::thread;

use crate::error::{Error, Result};
use crate::seed::{Seed, hash_bytes};

use super::json_items::{Broken, Item, Items};
use super::pipeline::Pipeline;
use super::{Conversation, Population, Skipped, Tokenizer};

mod dialogue;

use dialogue::{Dialogue, Parsed};

/// Items that a thread takes at a time, by number and by bytes.
const BATCH_ITEMS: usize = 64;
const BATCH_BYTES: usize = 1 << 20;
/// Conversation names are written into every row; longer ids are replaced by a hash.
const LONGEST_ID: usize = 64;

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
    /// What the users are like, as far as a file does not say it.
    pub population: Population,
}

type Batch = std::result::Result<Vec<Item>, Broken>;
type ParsedBatch = std::result::Result<Vec<Parsed>, Broken>;

/// The conversations of a file, in its order. Memory is bounded by a few batches of items (and 16
/// bytes a conversation, to tell ids that occur again).
pub struct ShareGpt {
    path: PathBuf,
    seed: Seed,
    options: ShareGptOptions,
    skipped: Skipped,
    batches: Pipeline<ParsedBatch>,
    batch: std::vec::IntoIter<Parsed>,
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
        let input = open_text(path)?;
        let threads = thread::available_parallelism().map_or(2, usize::from).min(8);
        let tokenizer = options.tokenizer;
        let work = move |batch: Batch| batch?.iter().map(|item| dialogue::parse(item, tokenizer)).collect();
        Ok(Self {
            path: path.to_owned(),
            seed,
            options,
            skipped,
            batches: Pipeline::new(Batches { items: Items::new(input), broken: None }, threads, work),
            batch: Vec::new().into_iter(),
            items: 0,
            conversations: 0,
            occurrences: HashMap::new(),
            over: false,
        })
    }

    fn next_parsed(&mut self) -> Result<Option<Parsed>> {
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
            Broken::Truncated { .. } if self.options.allow_truncated && self.items > 0 => {
                self.skipped.count("conversation cut off by the end of the file");
                Ok(())
            }
            Broken::Truncated { end } => Err(Error::usage(format!(
                "{path} is cut off at byte {end}, after {} whole conversations{}",
                self.items,
                if self.items > 0 { "; get the rest, or add --allow-truncated to use these" } else { "" }
            ))),
            Broken::Empty => Err(Error::usage(format!("{path} is empty; a ShareGPT file is a JSON array or JSONL"))),
            Broken::Wrong { at, what } => Err(Error::usage(format!(
                "{path} is not a ShareGPT file: byte {at}, after {} items: {what}",
                self.items
            ))),
            Broken::Unreadable(error) => Err(Error::reading(&self.path, &error)),
        }
    }

    fn name(&mut self, id: Option<&str>) -> String {
        let id = match id {
            Some(id) if is_plain(id) => id.to_owned(),
            Some(id) => format!("id{:016x}", hash_bytes(id.as_bytes())),
            None => format!("item{}", self.items - 1),
        };
        let occurrence = self.occurrences.entry(hash_bytes(id.as_bytes())).or_insert(0);
        *occurrence += 1;
        // A plain id has no #, so that no id looks like another's second occurrence.
        if *occurrence == 1 { id } else { format!("{id}#{occurrence}") }
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
        while !self.over {
            if self.options.max_conversations.is_some_and(|most| self.conversations >= most) {
                break;
            }
            match self.next_parsed() {
                Ok(Some(Parsed::Dialogue(dialogue))) => {
                    for (reason, count) in &dialogue.skipped {
                        self.skipped.add(reason, *count);
                    }
                    return Some(Ok(self.conversation(dialogue)));
                }
                Ok(Some(Parsed::Skipped(reason))) => self.skipped.count(reason),
                Ok(None) => break,
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
        self.over = true;
        None
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

fn open_text(path: &Path) -> Result<Box<dyn Read + Send>> {
    const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
    let unreadable = |e: io::Error| Error::reading(path, &e);
    let mut file = File::open(path).map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?.file_type();
    if kind.is_dir() {
        return Err(Error::usage(format!("{} is a directory; name a ShareGPT file in it", path.display())));
    }
    if !kind.is_file() {
        return Err(Error::usage(format!("{} is not a regular file, and it is read twice", path.display())));
    }
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(4).read_to_end(&mut head).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    if head == ZSTD_MAGIC {
        return Ok(Box::new(zstd::stream::read::Decoder::new(file).map_err(unreadable)?));
    }
    Ok(Box::new(file))
}

fn is_plain(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    (1..=LONGEST_ID).contains(&id.len()) && id.chars().all(plain)
}

#[cfg(test)]
mod tests;
