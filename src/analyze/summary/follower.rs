//! What depends on the order of the rows: rates, who asks, how full the tiers are.

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::distinct::BuildAsIs;
use super::groups::of_code;
use super::occupancy::{Occupancy, TierOccupancy};
use super::rates::{Burstiness, Rates};

/// Ordinals in one piece of a set of requests.
const PIECE: u64 = 1 << 12;

/// A row, as far as its order matters.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Nanoseconds since the start of the trace.
    pub at_ns: u64,
    /// The place of its tier, direction and phase.
    pub code: u8,
    /// Its size.
    pub size: u64,
    /// The hash of its key.
    pub key: u64,
    /// The request.
    pub request: Option<u64>,
    /// The hash of the conversation's name.
    pub conversation: Option<u64>,
    /// The turn, from 1.
    pub turn: Option<u32>,
}

/// How long conversations are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Turns {
    /// Conversations whose turns are known.
    pub conversations: u64,
    /// Turns of all of them, by the highest of each.
    pub turns: u64,
    /// The mean of a conversation.
    pub mean: f64,
    /// The longest.
    pub max: u32,
    /// Conversations by their turns: `[turns, conversations]`, longer than 64 turns as 65.
    pub counts: Vec<[u64; 2]>,
}

/// What comes how evenly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arrivals {
    /// `rows`, or `requests`: by the first row of each.
    pub of: &'static str,
    /// By length of the window.
    pub windows: Vec<Burstiness>,
}

/// The rows so far.
pub struct Follower {
    first_ns: Option<u64>,
    last_ns: u64,
    /// Rows whose stamp is below that of the row above.
    pub inversions: u64,
    rows: Rates,
    requests: Rates,
    /// The requests that were met, as bits.
    met: FxHashMap<u64, Box<[u64; (PIECE / 64) as usize]>>,
    met_count: u64,
    last_request: Option<u64>,
    /// The conversation and the turn of the last row that had one.
    last_turn: (u64, u32),
    turns: Longest,
    occupancy: Occupancy,
}

/// The longest turn of each conversation.
type Longest = std::collections::HashMap<u64, u32, BuildAsIs>;

impl Follower {
    /// Nothing so far; `copies` says that promotions copy.
    pub fn new(copies: bool) -> Self {
        Self {
            first_ns: None,
            last_ns: 0,
            inversions: 0,
            rows: Rates::default(),
            requests: Rates::default(),
            met: FxHashMap::default(),
            met_count: 0,
            last_request: None,
            // No turn is that long.
            last_turn: (0, u32::MAX),
            turns: Longest::default(),
            occupancy: Occupancy::new(copies),
        }
    }

    /// Says, before the first row, whether promotions copy.
    pub fn set_copies(&mut self, copies: bool) {
        if self.first_ns.is_none() {
            self.occupancy = Occupancy::new(copies);
        }
    }

    /// A row, in the order of the trace.
    #[inline]
    pub fn take(&mut self, row: &Seen) {
        let first_ns = *self.first_ns.get_or_insert(row.at_ns);
        self.inversions += u64::from(row.at_ns < self.last_ns);
        self.last_ns = self.last_ns.max(row.at_ns);
        let at_ns = self.last_ns - first_ns;
        self.rows.count(at_ns, row.size);
        if row.request != self.last_request {
            self.last_request = row.request;
            if row.request.is_some_and(|request| self.is_new(request)) {
                self.requests.count(at_ns, 0);
            }
        }
        if let Some(conversation) = row.conversation {
            let turn = (conversation, row.turn.unwrap_or(0));
            if self.last_turn != turn {
                self.last_turn = turn;
                self.turn(turn.0, turn.1);
            }
        }
        let (tier, op, phase) = of_code(row.code);
        self.occupancy.take(at_ns, op, tier, phase, row.key, row.size);
    }

    #[inline]
    fn turn(&mut self, conversation: u64, turn: u32) {
        let longest = self.turns.entry(conversation).or_insert(turn);
        *longest = turn.max(*longest);
    }

    fn is_new(&mut self, request: u64) -> bool {
        let piece = self.met.entry(request / PIECE).or_insert_with(|| Box::new([0; (PIECE / 64) as usize]));
        let (word, bit) = ((request % PIECE / 64) as usize, 1u64 << (request % 64));
        let is_new = piece[word] & bit == 0;
        piece[word] |= bit;
        self.met_count += u64::from(is_new);
        is_new
    }

    /// From the first row to the last.
    pub fn span_s(&self) -> f64 {
        self.first_ns.map_or(0.0, |first| (self.last_ns - first) as f64 / 1e9)
    }

    /// Different requests; none when no row says.
    pub fn request_count(&self) -> Option<u64> {
        (self.met_count > 0).then_some(self.met_count)
    }

    /// Different conversations; none when no row says.
    pub fn conversation_count(&self) -> Option<u64> {
        (!self.turns.is_empty()).then_some(self.turns.len() as u64)
    }

    /// The most bytes, of all rows, in one second.
    pub fn peak_second_bytes(&self) -> Option<u64> {
        self.rows.peak_second_bytes()
    }

    /// How evenly rows and requests come.
    pub fn arrivals(&self) -> Vec<Arrivals> {
        let mut arrivals = vec![Arrivals { of: "rows", windows: self.rows.burstiness() }];
        if self.met_count > 0 {
            arrivals.push(Arrivals { of: "requests", windows: self.requests.burstiness() });
        }
        arrivals
    }

    /// How long conversations are; none when no row says.
    pub fn turns(&self) -> Option<Turns> {
        Turns::of(self.turns.values().copied())
    }

    /// How full each tier was.
    pub fn occupancy(&self) -> Vec<TierOccupancy> {
        self.occupancy.tiers()
    }
}

impl Turns {
    /// The turns of conversations; none when none has any.
    pub fn of(longest: impl Iterator<Item = u32>) -> Option<Self> {
        const LONG: u32 = 65;
        let mut counts = [0u64; LONG as usize + 1];
        let (mut conversations, mut turns, mut max) = (0, 0, 0);
        for turn in longest.filter(|turn| *turn > 0) {
            counts[turn.min(LONG) as usize] += 1;
            conversations += 1;
            turns += u64::from(turn);
            max = turn.max(max);
        }
        let counts = counts.iter().zip(0u64..).filter(|(count, _)| **count > 0).map(|(count, turn)| [turn, *count]);
        (conversations > 0).then(|| Self {
            conversations,
            turns,
            mean: turns as f64 / conversations as f64,
            max,
            counts: counts.collect(),
        })
    }
}
