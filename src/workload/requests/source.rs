//! The source: requests at the moments of a trace, one pass after another.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::seed::Seed;
use crate::trace::Name;

use super::super::arrivals::{ArrivalRate, Arrivals};
use super::super::refusals::Refusals;
use super::super::{Population, Request, Skipped, Tokenizer};
use super::conversations::Conversations;
use super::detect;
use super::entry::{Entry, Reading, SharedIds};
use super::format::{Format, TimeUnit};
use super::pass::Pass;

/// How a trace of requests is read, and when its requests come.
#[derive(Clone, Copy, Debug)]
pub struct TraceOptions {
    /// The format; none finds it by content.
    pub format: Option<Format>,
    /// The unit of stamps, instead of the format's.
    pub time_unit: Option<TimeUnit>,
    /// Tokens of an id, instead of the format's.
    pub block_tokens: Option<u32>,
    /// Whether requests that failed (no token of an answer) are used.
    pub keep_failures: bool,
    /// How text is counted.
    pub tokenizer: Tokenizer,
    /// Users who hold the conversations in turn, above 0.
    pub users: u32,
    /// How much faster than their stamps requests come; 0: all at once.
    pub speedup: f64,
    /// How often the files are read, above 0.
    pub cycles: u32,
    /// Requests a second, instead of stamps.
    pub request_rate: Option<ArrivalRate>,
    /// Whether a row that cannot be used is an error.
    pub strict: bool,
    /// What the users are like, as far as a trace does not say it.
    pub population: Population,
}

impl TraceOptions {
    /// Once, by the stamps of the requests, whatever became of them: as analyses read them.
    pub fn as_stamped(format: Option<Format>, block_tokens: Option<u32>) -> Self {
        Self {
            format,
            time_unit: None,
            block_tokens,
            keep_failures: true,
            tokenizer: Tokenizer::Chars4,
            users: 1,
            speedup: 1.0,
            cycles: 1,
            request_rate: None,
            strict: false,
            population: Population::REFERENCE,
        }
    }
}

/// What is known of a trace. Cloning shares it; it is complete when the last request was taken.
#[derive(Clone, Debug)]
pub struct TraceFacts {
    /// The format.
    pub format: Format,
    /// The unit of its stamps; none when they are moments on a wall clock.
    pub time_unit: Option<TimeUnit>,
    /// Tokens of an id; none where there are none.
    pub block_tokens: Option<u32>,
    first_stamp_ns: Arc<Mutex<Option<u64>>>,
    inversions: Arc<AtomicU64>,
}

impl TraceFacts {
    /// The first stamp on the source's own clock, ns.
    pub fn first_stamp_ns(&self) -> Option<u64> {
        *self.first_stamp_ns.lock().expect("no holder of this lock panics")
    }

    /// Entries whose stamp was below an earlier one's, of the first pass.
    pub fn inversions(&self) -> u64 {
        self.inversions.load(Ordering::Relaxed)
    }
}

/// Requests of a trace.
pub struct RequestTrace {
    seed: Seed,
    options: TraceOptions,
    files: Vec<Reading>,
    facts: TraceFacts,
    entries: Pass,
    conversations: Conversations,
    /// The pass, from 1.
    pass: u32,
    /// The stamp at which the source's clock stands at 0.
    base_ns: Option<u64>,
    /// Where this pass begins, and the last stamp so far, before any speedup.
    began_ns: u64,
    last_ns: u64,
    requests: u64,
    next_conversation: u64,
    arrivals: Option<Arrivals>,
}

impl RequestTrace {
    /// Opens the files, which are of one format. What they leave out is counted in `skipped`.
    ///
    /// # Errors
    /// When a file cannot be opened, or its format is unknown or another than the first one's.
    pub fn open(paths: &[PathBuf], seed: Seed, options: TraceOptions, skipped: Skipped) -> Result<Self> {
        let format = common_format(paths, options.format)?;
        let time_unit = options.time_unit.or(format.time_unit());
        let block_tokens = options.block_tokens.or(format.block_tokens());
        if let (Some(tokens), true) = (options.block_tokens, format.block_tokens().is_none()) {
            return Err(Error::usage(format!(
                "--source-block {tokens} is about ids of token blocks, and the format {} has none",
                format.word()
            )));
        }
        let refusals = Refusals::new(skipped, options.strict);
        let reading = |(path, number): (&PathBuf, u64)| Reading {
            path: path.clone(),
            number,
            format,
            time_unit: time_unit.unwrap_or(TimeUnit::Seconds),
            block_tokens: block_tokens.unwrap_or(1),
            forced_block_tokens: options.block_tokens,
            keep_failures: options.keep_failures,
            tokenizer: options.tokenizer,
            refusals: refusals.clone(),
            ids: None,
        };
        let files: Vec<Reading> = paths.iter().zip(0..).map(reading).collect();
        let facts =
            TraceFacts { format, time_unit, block_tokens, first_stamp_ns: Arc::default(), inversions: Arc::default() };
        Ok(Self {
            seed,
            options,
            entries: Pass::new(files.clone(), options.users, &facts.inversions),
            files,
            facts,
            conversations: Conversations::default(),
            pass: 1,
            base_ns: None,
            began_ns: 0,
            last_ns: 0,
            requests: 0,
            next_conversation: 0,
            arrivals: options.request_rate.map(|rate| Arrivals::new(seed, rate)),
        })
    }

    /// Before the first request: counts the ids that several files have, which takes some 30 bytes
    /// for each id.
    #[must_use]
    pub fn noting_shared_ids(mut self) -> Self {
        if self.files.len() > 1 {
            let ids = SharedIds::default();
            self.files.iter_mut().for_each(|file| file.ids = Some(ids.clone()));
            self.entries = Pass::new(self.files.clone(), self.options.users, &self.facts.inversions);
        }
        self
    }

    /// What is known of the trace.
    pub fn facts(&self) -> TraceFacts {
        self.facts.clone()
    }

    /// Begins the next pass where the last one ended; false when there is none. What a pass leaves
    /// out was counted in the first.
    fn next_pass(&mut self) -> bool {
        if self.pass >= self.options.cycles || self.requests == 0 {
            return false;
        }
        self.pass += 1;
        for file in &mut self.files {
            file.refusals = Refusals::default();
        }
        self.entries = Pass::new(self.files.clone(), self.options.users, &Arc::default());
        self.conversations = Conversations::default();
        (self.base_ns, self.began_ns) = (None, self.last_ns);
        true
    }

    fn request(&mut self, entry: Entry) -> Request {
        let base_ns = *self.base_ns.get_or_insert(entry.at_ns);
        if self.requests == 0 {
            *self.facts.first_stamp_ns.lock().expect("no holder of this lock panics") = Some(base_ns);
        }
        self.last_ns = self.began_ns.saturating_add(entry.at_ns - base_ns);
        let seat = self.conversations.seat(&entry, self.pass, self.requests, &mut self.next_conversation);
        self.requests += 1;
        Request {
            user: Name::TraceUser(seat.ordinal % u64::from(self.options.users)),
            qos: self.options.population.qos(self.seed.stream("conversation qos", seat.ordinal, 0).unit()),
            conversation: seat.name,
            conversation_ordinal: seat.ordinal,
            turn: seat.turn,
            last_turn: seat.is_last,
            arrival_ns: self.arrival_ns(),
            context_tokens: seat.context_tokens,
            generate_tokens: entry.answer_tokens,
            content: entry.content,
            answer: entry.answer,
            ..Request::default()
        }
    }

    fn arrival_ns(&mut self) -> u64 {
        if let Some(arrivals) = &mut self.arrivals {
            return arrivals.next().1;
        }
        match self.options.speedup {
            1.0 => self.last_ns,
            0.0 => 0,
            speedup => (self.last_ns as f64 / speedup) as u64,
        }
    }
}

impl Iterator for RequestTrace {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.next() {
                Some(Ok(entry)) => return Some(Ok(self.request(entry))),
                Some(Err(error)) => {
                    self.options.cycles = 0;
                    return Some(Err(error));
                }
                None if self.next_pass() => {}
                None => return None,
            }
        }
    }
}

fn common_format(paths: &[PathBuf], forced: Option<Format>) -> Result<Format> {
    let mut common = None;
    for path in paths {
        let found = match forced {
            Some(format) => format,
            None => detect::format_of(path)?,
        };
        let (first, format) = *common.get_or_insert((path, found));
        if format != found {
            return Err(Error::usage(format!(
                "{} is {}, but {} is {}; files of one recording have one format",
                first.display(),
                format.word(),
                path.display(),
                found.word()
            )));
        }
    }
    common.map(|(_, format)| format).ok_or_else(|| Error::usage("requests needs a file: `requests FILE`"))
}
