//! What readers give: an entry for every request of a file, and what they are given to do so.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::seed::mix;

use super::super::refusals::{Place, Refusals};
use super::super::{Content, Tokenizer, text_file};
use super::format::{Format, TimeUnit};

/// A request as a file has it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, in ns of the file's clock.
    pub at_ns: u64,
    /// Tokens of the prompt, or of what the turn adds to it: `before` says which.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub answer_tokens: u32,
    /// The conversation; none for a lone request.
    pub turn: Option<TurnOf>,
    /// What the prompt's tokens are.
    pub content: Content,
    /// What the answer's tokens are, where a later prompt names them.
    pub answer: Option<u64>,
}

/// The conversation of an entry.
#[derive(Clone, Debug)]
pub struct TurnOf {
    /// A number by which its turns are told from others'.
    pub id: u64,
    /// Its name.
    pub name: Arc<str>,
    /// What of the prompt is new.
    pub before: Before,
    /// Whether no turn follows.
    pub is_last: bool,
}

/// What a conversation had before a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// The prompt and the answer of the turn before, which the prompt holds.
    LastTurn,
    /// This prompt and answer, which the prompt holds.
    Turn { prompt_tokens: u32, answer_tokens: u32 },
    /// Whatever it was, the file gives only what is new.
    NotCounted,
}

/// Entries in the order of a file.
pub type Entries = Box<dyn Iterator<Item = Result<Entry>>>;

/// How one file is read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The file.
    pub path: PathBuf,
    /// Its place among the files of the source.
    pub number: u64,
    /// Its format.
    pub format: Format,
    /// The unit of its stamps.
    pub time_unit: TimeUnit,
    /// Tokens of an id.
    pub block_tokens: u32,
    /// The same, when it is said by who reads and not by the file.
    pub forced_block_tokens: Option<u32>,
    /// Whether requests without an answer are used.
    pub keep_failures: bool,
    /// How text is counted where there are no lengths.
    pub tokenizer: Tokenizer,
    /// What becomes of rows that cannot be used.
    pub refusals: Refusals,
    /// The ids of all files and the first file that had each; none where nobody asks.
    pub ids: Option<SharedIds>,
}

/// Ids, the number of the first file that had each, and whether another has it too. Cloning shares
/// them.
pub type SharedIds = Arc<Mutex<FxHashMap<u64, (u64, bool)>>>;

/// What is said of ids that several files have.
const SHARED: &str =
    "id of a token block that an earlier file has too (ids are those of their own file: another block)";

impl Reading {
    /// Notes an id, where somebody asks whether files share some.
    pub fn note_id(&self, id: u64) {
        let Some(ids) = &self.ids else { return };
        let mut ids = ids.lock().expect("no holder of this lock panics");
        let first = ids.entry(id).or_insert((self.number, false));
        if first.0 != self.number && !first.1 {
            first.1 = true;
            self.refusals.note(SHARED, 1);
        }
    }

    /// A place in the file.
    pub fn at(&self, line: u64, byte: u64) -> Place<'_> {
        Place { path: &self.path, line: Some(line), byte }
    }

    /// The error for reading that failed at byte `end` of the text, after so many requests.
    pub fn failed(&self, error: &io::Error, end: u64, requests: u64) -> Error {
        if text_file::is_cut(error) {
            let whole = format!("{requests} whole requests");
            return Error::usage(text_file::cut_off(&self.path, end, true, &whole) + "; get the rest");
        }
        Error::reading(&self.path, error)
    }

    /// A number for something of this file, that nothing of another file has.
    pub fn local(&self, number: u64) -> u64 {
        mix(self.number ^ mix(number))
    }
}
