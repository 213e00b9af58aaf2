//! The rules by which tiers fill, empty and exchange objects.

use std::sync::Arc;

use super::foresight::Foresight;
use super::policy::PolicyKind;

/// How much the tiers may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The limit of each tier in bytes, fastest first; none is unlimited, 0 means that the tier
    /// is absent.
    pub capacity_bytes: [Option<u64>; 3],
    /// The share of a tier's limit up to which it fills, the last tier apart, which fills up.
    pub target_usage: f64,
}

/// What a tier with a limit does about it, in shares of the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watermarks {
    /// An object that would take the tier above this has it evict.
    pub high: f64,
    /// It then evicts until the tier, with the object, is not above this.
    pub low: f64,
}

/// Whether a read moves an object up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Promotion {
    /// It stays where it is.
    #[default]
    None,
    /// It moves to the fastest tier that takes it, after what makes room there.
    OnRead,
}

/// In how many tiers an object is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// In one: the waterfall. A full tier demotes its victims one tier down, the last one deletes.
    #[default]
    Exclusive,
    /// In each that takes it: written through. A tier drops its victims, whether or not another
    /// copy is left, and the object is gone with its last one.
    Inclusive,
}

/// The rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The policy of each tier, fastest first.
    pub policies: [PolicyKind; 3],
    /// The watermarks of each tier; where there are none, the last tier fills up and the others to
    /// their target usage, and each evicts no more than an object needs.
    pub watermarks: [Option<Watermarks>; 3],
    /// Whether reads move objects up.
    pub promotion: Promotion,
    /// In how many tiers an object is.
    pub placement: Placement,
    /// What belady sees; without it, nothing will ever be used again and it goes by last use.
    pub foresight: Option<Arc<Foresight>>,
}
