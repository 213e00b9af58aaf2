//! Latency by kind of operation (tier, direction, phase) and size of the object.

use crate::measure::histogram::LogLinear;
use crate::trace::{Op, Phase, Tier};

/// The largest sizes of the size classes; a last class is beyond them.
pub const CLASS_BYTES: [u64; 5] = [256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20];
/// How many classes there are.
const CLASSES: usize = CLASS_BYTES.len() + 1;
/// How many kinds of operations.
pub const KINDS: usize = 3 * 2 * 3;

/// Latency of one kind of operation, or of one size class of it.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Objects.
    pub ops: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Done less intended start.
    pub response: LogLinear,
    /// Done less actual start.
    pub service: LogLinear,
}

impl Kind {
    fn new() -> Self {
        Self { ops: 0, bytes: 0, response: LogLinear::times(), service: LogLinear::times() }
    }

    fn merge(&mut self, other: &Kind) {
        self.ops += other.ops;
        self.bytes += other.bytes;
        self.response.merge(&other.response);
        self.service.merge(&other.service);
    }
}

/// All kinds, by size class: 108 of 22 KiB, allocated at once.
pub struct Kinds(Vec<Kind>);

impl Kinds {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self(vec![Kind::new(); KINDS * CLASSES])
    }

    /// An object of `size` bytes took so long.
    pub fn record(&mut self, number: usize, size: u64, response: u64, service: u64) {
        let kind = &mut self.0[number * CLASSES + class_of(size)];
        kind.ops += 1;
        kind.bytes += size;
        kind.response.record(response);
        kind.service.record(service);
    }

    /// A kind with all its sizes together.
    pub fn whole(&self, number: usize) -> Kind {
        let mut whole = Kind::new();
        self.classes(number).for_each(|(_, class)| whole.merge(class));
        whole
    }

    /// The size classes of a kind that had objects, with their largest sizes.
    pub fn classes(&self, number: usize) -> impl Iterator<Item = (Option<u64>, &Kind)> {
        let classes = &self.0[number * CLASSES..][..CLASSES];
        classes.iter().enumerate().filter(|(_, kind)| kind.ops > 0).map(|(i, kind)| (CLASS_BYTES.get(i).copied(), kind))
    }
}

fn class_of(size: u64) -> usize {
    CLASS_BYTES.iter().position(|most| size <= *most).unwrap_or(CLASS_BYTES.len())
}

/// The number of a kind.
pub fn number(tier: Tier, op: Op, phase: Phase) -> usize {
    (tier.index() * 2 + usize::from(op == Op::Write)) * 3 + phase as usize
}

/// Every kind, in the order tier, op, phase, which is that of their numbers.
pub fn all() -> impl Iterator<Item = (Tier, Op, Phase)> {
    let ops = |tier| [Op::Read, Op::Write].into_iter().map(move |op| (tier, op));
    Tier::ALL.into_iter().flat_map(ops).flat_map(|(tier, op)| Phase::ALL.map(|phase| (tier, op, phase)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_numbered_in_their_order() {
        let numbers: Vec<_> = all().map(|(tier, op, phase)| number(tier, op, phase)).collect();
        assert_eq!(numbers, (0..KINDS).collect::<Vec<_>>());
    }

    #[test]
    fn sizes_fall_into_their_classes_and_add_up() {
        let mut kinds = Kinds::new();
        for size in [1, 256 << 10, (256 << 10) + 1, 1 << 20, 64 << 20, (64 << 20) + 1, 1 << 40] {
            kinds.record(7, size, 20, 10);
        }
        let classes: Vec<_> = kinds.classes(7).map(|(most, kind)| (most, kind.ops)).collect();
        assert_eq!(classes, [(Some(256 << 10), 2), (Some(1 << 20), 2), (Some(64 << 20), 1), (None, 2)]);
        let whole = kinds.whole(7);
        assert_eq!((whole.ops, whole.response.count(), whole.service.max()), (7, 7, 10));
        assert_eq!(whole.bytes, kinds.classes(7).map(|(_, kind)| kind.bytes).sum::<u64>());
        assert_eq!(kinds.whole(6).ops, 0);
    }
}
