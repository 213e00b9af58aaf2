//! The copies of one key, by tier. Most keys have one, and there may be millions of keys: one is
//! kept in place, several in a box.

use crate::trace::Tier;

/// An object on a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Its size.
    pub size: u64,
    /// The last row that used it there.
    pub last_row: u64,
    /// Its version.
    pub version: u32,
    /// Where.
    pub tier: Tier,
    /// A move or a Delete row took it away; it is remembered only in case a row still asks for
    /// it.
    pub gone: bool,
}

/// At most one copy on each tier.
#[derive(Debug, Default)]
pub enum Copies {
    /// Nowhere.
    #[default]
    None,
    /// On one tier.
    One(Copy),
    /// On several.
    Many(Box<[Option<Copy>; 3]>),
}

impl Copies {
    /// The one on a tier.
    pub fn get(&self, tier: Tier) -> Option<&Copy> {
        self.iter().find(|copy| copy.tier == tier)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, tier: Tier) -> Option<&mut Copy> {
        match self {
            Copies::One(copy) if copy.tier == tier => Some(copy),
            Copies::Many(copies) => copies[tier.index()].as_mut(),
            _ => None,
        }
    }

    /// Takes the one on a tier away.
    pub fn take(&mut self, tier: Tier) -> Option<Copy> {
        match self {
            Copies::One(copy) if copy.tier == tier => match std::mem::take(self) {
                Copies::One(copy) => Some(copy),
                _ => None,
            },
            Copies::Many(copies) => copies[tier.index()].take(),
            _ => None,
        }
    }

    /// Puts one on its tier, instead of what is there.
    pub fn put(&mut self, new: Copy) {
        match self {
            Copies::Many(copies) => copies[new.tier.index()] = Some(new),
            Copies::One(old) if old.tier != new.tier => {
                let mut copies = Box::new([None; 3]);
                (copies[old.tier.index()], copies[new.tier.index()]) = (Some(*old), Some(new));
                *self = Copies::Many(copies);
            }
            _ => *self = Copies::One(new),
        }
    }

    /// All of them, by tier.
    pub fn iter(&self) -> impl Iterator<Item = &Copy> {
        let (one, many) = match self {
            Copies::None => (None, None),
            Copies::One(copy) => (Some(copy), None),
            Copies::Many(copies) => (None, Some(copies.iter().flatten())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_what_an_array_would_be(
            steps in prop::collection::vec((0usize..3, any::<bool>(), any::<u64>()), 0..40),
        ) {
            let (mut copies, mut array) = (Copies::default(), [None; 3]);
            for (at, put, size) in steps {
                let tier = Tier::ALL[at];
                if put {
                    let copy = Copy { size, last_row: 1, version: 2, tier, gone: false };
                    copies.put(copy);
                    array[at] = Some(copy);
                } else {
                    prop_assert_eq!(copies.take(tier), array[at].take());
                }
                for other in Tier::ALL {
                    prop_assert_eq!(copies.get(other).copied(), array[other.index()]);
                    prop_assert_eq!(copies.get_mut(other).copied(), array[other.index()]);
                }
                prop_assert!(copies.iter().copied().eq(array.into_iter().flatten()));
            }
        }
    }

    #[test]
    fn millions_of_them_are_small() {
        assert!(size_of::<Copies>() <= 24, "{}", size_of::<Copies>());
    }
}
