//! Who comes next among many who each wait for one moment: users for their next request, workers
//! for their next step. The soonest of all is found by a knock-out; changing one is one path from
//! its leaf to the root, whose places in memory are known before anything on it was read.

/// When somebody is due and, below that, the rank among those of one moment: one number, because
/// comparing one takes no branch that could be guessed wrong.
type Due = u128;

/// Later than everything.
const NEVER: Due = Due::MAX;

/// When everybody is due.
#[derive(Debug)]
pub struct Agenda {
    due: Vec<Due>,
    /// A tree in an array: node n has the nodes 2n and 2n+1 below it, number w is the leaf
    /// `due.len() + w`. A node holds the number that is due first of all below it.
    first: Vec<u32>,
}

impl Agenda {
    /// The numbers below `members`, none of which is due ever.
    pub fn new(members: u32) -> Self {
        let leaves = members.next_power_of_two();
        let mut first: Vec<u32> = (0..leaves).chain(0..leaves).collect();
        for node in (1..leaves as usize).rev() {
            first[node] = first[2 * node];
        }
        Self { due: vec![NEVER; leaves as usize], first }
    }

    /// A number is due at `at_ns`, among those of that moment by `rank`, the lowest first.
    #[inline]
    pub fn set(&mut self, number: u32, at_ns: u64, rank: u64) {
        self.change(number, Due::from(at_ns) << 64 | Due::from(rank));
    }

    /// A number is not due at any known time.
    #[inline]
    pub fn clear(&mut self, number: u32) {
        self.change(number, NEVER);
    }

    /// Who is due first, and when.
    #[inline]
    pub fn next(&self) -> Option<(u64, u32)> {
        // The root; of a single member it is the leaf.
        let number = self.first[1];
        let due = self.due[number as usize];
        (due != NEVER).then_some(((due >> 64) as u64, number))
    }

    fn change(&mut self, number: u32, due: Due) {
        self.due[number as usize] = due;
        let mut node = self.due.len() + number as usize;
        let (mut winner, mut soonest) = (number, due);
        while node > 1 {
            // What the other half has does not depend on what was decided below.
            let other = self.first[node ^ 1];
            let theirs = self.due[other as usize];
            (winner, soonest) = if theirs < soonest { (other, theirs) } else { (winner, soonest) };
            node /= 2;
            self.first[node] = winner;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_soonest_comes_first_whoever_it_is(
            members in 1u32..20,
            changes in prop::collection::vec((0u32..20, prop::option::of(0u64..8)), 1..200),
        ) {
            let mut agenda = Agenda::new(members);
            let mut all = vec![None; members as usize];
            prop_assert_eq!(agenda.next(), None);
            for (rank, (number, at_ns)) in (0u64..).zip(changes) {
                let number = number % members;
                match at_ns {
                    Some(at_ns) => agenda.set(number, at_ns, rank),
                    None => agenda.clear(number),
                }
                all[number as usize] = at_ns.map(|at_ns| (at_ns, rank, number));
                let soonest = all.iter().flatten().min().map(|(at_ns, _, number)| (*at_ns, *number));
                prop_assert_eq!(agenda.next(), soonest);
            }
        }
    }
}
