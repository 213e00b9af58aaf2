//! What every worker does next, soonest first. A worker has at most one next step, so the soonest
//! of all is found by a knock-out among workers: changing one step is one path to the root.

/// When a step is due and the ordinal of its request, by which steps of one moment are ordered.
type Due = (u64, u64);

/// Nothing to do: later than everything.
const NEVER: Due = (u64::MAX, u64::MAX);

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
        self.change(worker, (at_ns, ordinal));
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
        (due != NEVER).then_some((due.0, worker))
    }

    fn change(&mut self, worker: u32, due: Due) {
        self.due[worker as usize] = due;
        let mut node = self.due.len() + worker as usize;
        while node > 1 {
            node /= 2;
            let (left, right) = (self.first[2 * node], self.first[2 * node + 1]);
            let winner = if self.due[right as usize] < self.due[left as usize] { right } else { left };
            let before = std::mem::replace(&mut self.first[node], winner);
            if before == winner && winner != worker {
                return;
            }
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
