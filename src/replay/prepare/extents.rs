//! Space on a tier: which granules hold which object. Objects get whole granules, in as few
//! runs as there are.

use std::collections::{BTreeMap, BTreeSet};

/// The unit of space on a tier. A smaller object occupies one granule.
pub const GRANULE: u64 = 128 << 10;

/// Granules that an object of `bytes` occupies.
pub fn granules(bytes: u64) -> u64 {
    bytes.div_ceil(GRANULE)
}

/// A run of granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first granule.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// The free space of a tier.
#[derive(Clone, Debug, Default)]
pub struct Space {
    by_place: BTreeMap<u32, u32>,
    by_length: BTreeSet<(u32, u32)>,
    free: u64,
    /// Only how many granules are free is known.
    counted: bool,
}

impl Space {
    /// Space of granules `first..end`, all free.
    pub fn new(first: u32, end: u32) -> Self {
        let mut space = Self::default();
        if end > first {
            space.insert(first, end - first);
        }
        space
    }

    /// Space that has no order: every object has a file of its own, whose first byte is its own
    /// first byte.
    pub fn counted(granules: u64) -> Self {
        Self { free: granules, counted: true, ..Self::default() }
    }

    /// Granules that are free.
    pub fn free_granules(&self) -> u64 {
        self.free
    }

    /// Takes `count` granules and appends their runs to `into`: the shortest run that holds all
    /// of them, otherwise the longest ones. False, with nothing taken, when there are too few.
    pub fn allocate(&mut self, count: u64, into: &mut Vec<Extent>) -> bool {
        if count > self.free {
            return false;
        }
        if self.counted {
            self.free -= count;
            into.push(Extent { first: 0, count: count as u32 });
            return true;
        }
        let mut missing = count as u32;
        while missing > 0 {
            let fitting = self.by_length.range((missing, 0)..).next().or_else(|| self.by_length.last());
            let &(length, first) = fitting.expect("enough granules are free");
            self.remove(first, length);
            let taken = length.min(missing);
            if length > taken {
                self.insert(first + taken, length - taken);
            }
            into.push(Extent { first, count: taken });
            missing -= taken;
        }
        true
    }

    /// Gives runs back; neighbours grow together.
    pub fn release(&mut self, extents: &[Extent]) {
        if self.counted {
            self.free += extents.iter().map(|extent| u64::from(extent.count)).sum::<u64>();
            return;
        }
        for extent in extents {
            let (mut first, mut length) = (extent.first, extent.count);
            if let Some((&before, &run)) = self.by_place.range(..first).next_back() {
                assert!(before + run <= first, "granules are freed once");
                if before + run == first {
                    self.remove(before, run);
                    (first, length) = (before, length + run);
                }
            }
            let end = extent.first + extent.count;
            if let Some((&after, &run)) = self.by_place.range(extent.first..).next() {
                assert!(after >= end, "granules are freed once");
                if after == end {
                    self.remove(after, run);
                    length += run;
                }
            }
            self.insert(first, length);
        }
    }

    fn insert(&mut self, first: u32, length: u32) {
        self.by_place.insert(first, length);
        self.by_length.insert((length, first));
        self.free += u64::from(length);
    }

    fn remove(&mut self, first: u32, length: u32) {
        self.by_place.remove(&first);
        self.by_length.remove(&(length, first));
        self.free -= u64::from(length);
    }
}

/// Where the byte at `offset` of an object lies: its place on the tier, and how many bytes
/// follow it there without a gap.
pub fn locate(extents: &[Extent], offset: u64) -> Option<(u64, u64)> {
    let mut before = 0;
    for extent in extents {
        let length = u64::from(extent.count) * GRANULE;
        if offset < before + length {
            let inside = offset - before;
            return Some((u64::from(extent.first) * GRANULE + inside, length - inside));
        }
        before += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_granule_is_given_twice_and_all_come_back(
            steps in prop::collection::vec((1u64..40, any::<bool>(), any::<usize>()), 1..200),
        ) {
            let mut space = Space::new(1, 301);
            let mut held: Vec<Vec<Extent>> = Vec::new();
            for (count, take, which) in steps {
                if take || held.is_empty() {
                    let mut extents = Vec::new();
                    let free = space.free_granules();
                    prop_assert_eq!(space.allocate(count, &mut extents), count <= free);
                    let taken = extents.iter().map(|e| u64::from(e.count)).sum::<u64>();
                    prop_assert_eq!(taken, if count <= free { count } else { 0 });
                    held.push(extents);
                } else {
                    let index = which % held.len();
                    space.release(&held.swap_remove(index));
                }
                let mut owned = vec![false; 301];
                for extent in held.iter().flatten() {
                    for granule in extent.first..extent.first + extent.count {
                        prop_assert!(granule >= 1 && !owned[granule as usize], "granule {} twice", granule);
                        owned[granule as usize] = true;
                    }
                }
                prop_assert_eq!(space.free_granules(), 300 - owned.iter().filter(|o| **o).count() as u64);
            }
            held.iter().for_each(|extents| space.release(extents));
            prop_assert_eq!(space.by_place, BTreeMap::from([(1, 300)]));
        }
    }

    #[test]
    fn counted_space_begins_every_object_at_its_own_start() {
        let (mut space, mut first, mut second) = (Space::counted(5), Vec::new(), Vec::new());
        assert!(space.allocate(3, &mut first) && space.allocate(2, &mut second) && !space.allocate(1, &mut second));
        assert_eq!((locate(&first, 5), locate(&second, 0)), (Some((5, 3 * GRANULE - 5)), Some((0, 2 * GRANULE))));
        space.release(&first);
        assert_eq!(space.free_granules(), 3);
    }

    #[test]
    fn bytes_are_found_across_runs() {
        let extents = [Extent { first: 5, count: 1 }, Extent { first: 9, count: 2 }];
        assert_eq!(locate(&extents, 0), Some((5 * GRANULE, GRANULE)));
        assert_eq!(locate(&extents, GRANULE + 4096), Some((9 * GRANULE + 4096, 2 * GRANULE - 4096)));
        assert_eq!(locate(&extents, 3 * GRANULE), None);
    }
}
