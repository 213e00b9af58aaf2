//! What every worker does next, soonest first. A worker has at most one next step, so the soonest
//! of all is found by a knock-out among workers: changing one step is one path to the root.

/// When a step is due and, below that, the ordinal of its request, by which steps of one moment
/// are ordered: one number, because comparing one takes no branch that could be guessed wrong.
type Due = u128;

/// Nothing to do: later than everything.
const NEVER: Due = Due::MAX;

/// The next steps.
#[derive(Debug)]
pub struct Agenda {
    due: Vec<Due>,
    /// A tree in an array: node n has the nodes 2n and 2n+1 below it, the worker w is the leaf
    /// `due.len() + w`. A node holds the worker whose step comes first of all below it.
    first: Vec<u32>,
}

impl Agenda {
    /// Nobody has anything to do.
    pub fn new(workers: u32) -> Self {
        let leaves = workers.next_power_of_two();
        let mut first: Vec<u32> = (0..leaves).chain(0..leaves).collect();
        for node in (1..leaves as usize).rev() {
            first[node] = first[2 * node];
        }
        Self { due: vec![NEVER; leaves as usize], first }
    }

    /// A worker goes on at `at_ns` with the request of this ordinal.
    pub fn set(&mut self, worker: u32, at_ns: u64, ordinal: u64) {
        self.change(worker, Due::from(at_ns) << 64 | Due::from(ordinal));
    }

    /// A worker has no next step, or none at a known time.
    pub fn clear(&mut self, worker: u32) {
        self.change(worker, NEVER);
    }

    /// The soonest step: when, and whose.
    pub fn next(&self) -> Option<(u64, u32)> {
        // The root; of a single worker it is the leaf.
        let worker = self.first[1];
        let due = self.due[worker as usize];
        (due != NEVER).then_some(((due >> 64) as u64, worker))
    }

    fn change(&mut self, worker: u32, due: Due) {
        self.due[worker as usize] = due;
        let mut node = self.due.len() + worker as usize;
        let (mut winner, mut soonest) = (worker, due);
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
        fn the_soonest_step_comes_first_whoever_has_it(
            workers in 1u32..20,
            changes in prop::collection::vec((0u32..20, prop::option::of(0u64..8)), 1..200),
        ) {
            let mut agenda = Agenda::new(workers);
            let mut steps = vec![None; workers as usize];
            prop_assert_eq!(agenda.next(), None);
            for (ordinal, (worker, at_ns)) in (0u64..).zip(changes) {
                let worker = worker % workers;
                match at_ns {
                    Some(at_ns) => agenda.set(worker, at_ns, ordinal),
                    None => agenda.clear(worker),
                }
                steps[worker as usize] = at_ns.map(|at_ns| (at_ns, ordinal, worker));
                let soonest = steps.iter().flatten().min().map(|(at_ns, _, worker)| (*at_ns, *worker));
                prop_assert_eq!(agenda.next(), soonest);
            }
        }
    }
}
