//! One row of a trace: what was asked of which tier, when, and for whom.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The direction of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// An object is read from a tier.
    Read,
    /// An object is written to a tier.
    Write,
    /// An object leaves the last tier, or is replaced.
    Delete,
}

/// Where an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Tier {
    /// Tier-0, GPU HBM.
    Gpu,
    /// Tier-1, CPU DRAM.
    Dram,
    /// Tier-2, storage.
    Storage,
}

/// Why a row happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// A request's prompt is computed and stored.
    Prefill,
    /// A request reads what it needs to generate.
    Decode,
    /// The cache makes room.
    Evict,
}

impl Op {
    /// All directions, in file order.
    pub const ALL: [Op; 3] = [Op::Read, Op::Write, Op::Delete];

    /// The word in a trace file.
    pub fn word(self) -> &'static str {
        match self {
            Op::Read => "Read",
            Op::Write => "Write",
            Op::Delete => "Delete",
        }
    }
}

impl Tier {
    /// All tiers, fastest first.
    pub const ALL: [Tier; 3] = [Tier::Gpu, Tier::Dram, Tier::Storage];

    /// The tier's number, 0 to 2.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word in a trace file.
    pub fn word(self) -> &'static str {
        match self {
            Tier::Gpu => "Tier-0",
            Tier::Dram => "Tier-1",
            Tier::Storage => "Tier-2",
        }
    }
}

impl Phase {
    /// All phases, in the order of a request's life.
    pub const ALL: [Phase; 3] = [Phase::Prefill, Phase::Decode, Phase::Evict];

    /// The word in a trace file.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Prefill => "Prefill",
            Phase::Decode => "Decode",
            Phase::Evict => "Evict",
        }
    }
}

macro_rules! spoken {
    ($type:ty, $allowed:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $type {
            type Err = &'static str;

            /// # Errors
            /// The words that are allowed.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.into_iter().find(|value| value.word() == text).ok_or($allowed)
            }
        }
    };
}

spoken!(Op, "Read, Write or Delete");
spoken!(Tier, "Tier-0, Tier-1 or Tier-2");
spoken!(Phase, "Prefill, Decode or Evict");

impl TryFrom<u8> for Tier {
    type Error = &'static str;

    fn try_from(index: u8) -> Result<Self, Self::Error> {
        Tier::ALL.get(usize::from(index)).copied().ok_or("0, 1 or 2")
    }
}

impl From<Tier> for u8 {
    fn from(tier: Tier) -> u8 {
        tier as u8
    }
}

/// One row of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds since the start of the trace: the moment the tier is asked, before it queues.
    pub at_ns: i64,
    /// The direction.
    pub op: Op,
    /// The object's size, above 0.
    pub size_bytes: u64,
    /// The tier that is asked.
    pub tier: Tier,
    /// The object's name, unique per occurrence in the source.
    pub key: Arc<str>,
    /// Why.
    pub phase: Phase,
    /// The ordinal of the request that caused the row; none for background work and for traces
    /// that do not say.
    pub request: Option<u64>,
    /// The conversation of that request.
    pub conversation: Option<Arc<str>>,
    /// The turn of that request, from 1 (0: outside a conversation).
    pub turn: Option<u32>,
    /// The tokens that the object holds.
    pub tokens: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        assert!(Op::ALL.iter().all(|x| x.word().parse() == Ok(*x)));
        assert!(Tier::ALL.iter().all(|x| x.word().parse() == Ok(*x) && Tier::try_from(u8::from(*x)) == Ok(*x)));
        assert!(Phase::ALL.iter().all(|x| x.word().parse() == Ok(*x)));
        assert_eq!("Tier-3".parse::<Tier>(), Err("Tier-0, Tier-1 or Tier-2"));
    }
}
