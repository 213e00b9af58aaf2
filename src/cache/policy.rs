//! What a replacement policy is: it is told what happens in one tier and names who goes. Which
//! ones there are, and how people name them.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

use super::arc::Adaptive;
use super::belady::Belady;
use super::fifo::Fifo;
use super::gdsf::Gdsf;
use super::lfu::Lfu;
use super::lru::Lru;
use super::s3_fifo::S3Fifo;
use super::sieve::Sieve;

/// What a policy may know of an object when something happens to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// Its size.
    pub size_bytes: u64,
    /// The hash of its key; 0 unless the policy asks for it.
    pub key: u64,
    /// The cache's clock at its last use, this one included; no two uses have the same.
    pub last_use: u64,
    /// Its uses since it was stored, that one included.
    pub uses: u32,
    /// When it will be used next, if anybody knows; [`NEVER`] otherwise.
    pub next_use: u32,
}

/// An object that nobody will use again.
pub(super) const NEVER: u32 = u32::MAX;

/// A replacement policy of one tier. Objects are named by their place in the tier; a place that
/// was left is given to others.
pub(super) trait Policy: fmt::Debug {
    /// An object asks for admission: room is made for it, then it is inserted.
    fn announce(&mut self, _entry: &Entry) {}
    /// An object was stored here, or moved up to here, because it is in use.
    fn insert(&mut self, place: u32, entry: &Entry);
    /// An object came down from a faster tier.
    fn insert_demoted(&mut self, place: u32, entry: &Entry) {
        self.insert(place, entry);
    }
    /// An object was used.
    fn touch(&mut self, place: u32, entry: &Entry) {
        self.remove(place);
        self.insert(place, entry);
    }
    /// An object left the tier, though not as a victim.
    fn remove(&mut self, place: u32);
    /// Names the object that goes, and forgets it; none when nothing is there.
    fn evict(&mut self) -> Option<u32>;
}

/// The replacement policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyKind {
    /// Least recently used.
    #[default]
    Lru,
    /// First in, first out.
    Fifo,
    /// Least frequently used.
    Lfu,
    /// Greedy-dual-size-frequency.
    Gdsf,
    /// SIEVE.
    Sieve,
    /// S3-FIFO.
    S3Fifo,
    /// Adaptive replacement cache.
    Arc,
    /// The one whose next use is farthest, from a recording made before.
    Belady,
}

impl PolicyKind {
    /// All of them.
    pub const ALL: [PolicyKind; 8] = [
        PolicyKind::Lru,
        PolicyKind::Fifo,
        PolicyKind::Lfu,
        PolicyKind::Gdsf,
        PolicyKind::Sieve,
        PolicyKind::S3Fifo,
        PolicyKind::Arc,
        PolicyKind::Belady,
    ];

    /// The word of the flag.
    pub fn word(self) -> &'static str {
        match self {
            PolicyKind::Lru => "lru",
            PolicyKind::Fifo => "fifo",
            PolicyKind::Lfu => "lfu",
            PolicyKind::Gdsf => "gdsf",
            PolicyKind::Sieve => "sieve",
            PolicyKind::S3Fifo => "s3-fifo",
            PolicyKind::Arc => "arc",
            PolicyKind::Belady => "belady",
        }
    }
}

impl FromStr for PolicyKind {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        PolicyKind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            let known = PolicyKind::ALL.map(PolicyKind::word).join(", ");
            Error::usage(format!("there is no policy {word:?}; choose of {known}"))
        })
    }
}

/// The policy of a tier.
#[derive(Debug)]
pub(super) enum AnyPolicy {
    /// Nobody ever goes.
    Unlimited,
    Lru(Lru),
    Fifo(Fifo),
    Lfu(Lfu),
    Gdsf(Gdsf),
    Sieve(Sieve),
    S3Fifo(S3Fifo),
    Arc(Adaptive),
    Belady(Belady),
}

macro_rules! each {
    ($policy:expr, $inner:ident => $call:expr, $otherwise:expr) => {
        match $policy {
            AnyPolicy::Unlimited => $otherwise,
            AnyPolicy::Lru($inner) => $call,
            AnyPolicy::Fifo($inner) => $call,
            AnyPolicy::Lfu($inner) => $call,
            AnyPolicy::Gdsf($inner) => $call,
            AnyPolicy::Sieve($inner) => $call,
            AnyPolicy::S3Fifo($inner) => $call,
            AnyPolicy::Arc($inner) => $call,
            AnyPolicy::Belady($inner) => $call,
        }
    };
}

impl AnyPolicy {
    /// A policy for a tier that fills up to `capacity_bytes`; none for a tier without a limit.
    pub fn new(kind: PolicyKind, capacity_bytes: Option<u64>) -> Self {
        let Some(capacity_bytes) = capacity_bytes else { return AnyPolicy::Unlimited };
        match kind {
            PolicyKind::Lru => AnyPolicy::Lru(Lru::default()),
            PolicyKind::Fifo => AnyPolicy::Fifo(Fifo::default()),
            PolicyKind::Lfu => AnyPolicy::Lfu(Lfu::default()),
            PolicyKind::Gdsf => AnyPolicy::Gdsf(Gdsf::default()),
            PolicyKind::Sieve => AnyPolicy::Sieve(Sieve::default()),
            PolicyKind::S3Fifo => AnyPolicy::S3Fifo(S3Fifo::new(capacity_bytes)),
            PolicyKind::Arc => AnyPolicy::Arc(Adaptive::new(capacity_bytes)),
            PolicyKind::Belady => AnyPolicy::Belady(Belady::default()),
        }
    }

    /// Whether entries need the hash of their key.
    pub fn wants_keys(&self) -> bool {
        matches!(self, AnyPolicy::S3Fifo(_) | AnyPolicy::Arc(_))
    }
}

impl Policy for AnyPolicy {
    fn announce(&mut self, entry: &Entry) {
        each!(self, policy => policy.announce(entry), ());
    }

    fn insert(&mut self, place: u32, entry: &Entry) {
        each!(self, policy => policy.insert(place, entry), ());
    }

    fn insert_demoted(&mut self, place: u32, entry: &Entry) {
        each!(self, policy => policy.insert_demoted(place, entry), ());
    }

    fn touch(&mut self, place: u32, entry: &Entry) {
        each!(self, policy => policy.touch(place, entry), ());
    }

    fn remove(&mut self, place: u32) {
        each!(self, policy => policy.remove(place), ());
    }

    fn evict(&mut self) -> Option<u32> {
        each!(self, policy => policy.evict(), None)
    }
}

#[cfg(test)]
pub(super) mod checks;
