//! Objects that nobody will ask for from now on, while somebody who began before may still do so:
//! they leave when everybody has ended who was there when they came. Epochs tell: everybody is of
//! the epoch in which they began, and the next one begins when nobody is left of the one before.

use super::slab::Id;

/// Somebody who may hold the ids of objects, from [`super::Cache::enter_holder`] on.
#[derive(Debug)]
pub struct Holder(usize);

#[derive(Debug, Default)]
pub(super) struct Limbo {
    /// The epoch modulo 3. Objects of the epoch before it may be held by somebody of that.
    epoch: usize,
    holders: [u32; 3],
    waiting: [Vec<Id>; 3],
    free: Vec<Id>,
}

impl Limbo {
    /// Somebody begins.
    pub fn enter(&mut self) -> Holder {
        self.holders[self.epoch] += 1;
        Holder(self.epoch)
    }

    /// Somebody ends.
    pub fn leave(&mut self, holder: Holder) {
        self.holders[holder.0] -= 1;
        let before = (self.epoch + 2) % 3;
        if self.holders[before] == 0 {
            self.free.append(&mut self.waiting[before]);
            self.epoch = (self.epoch + 1) % 3;
        }
    }

    /// An object comes.
    pub fn push(&mut self, id: Id) {
        if self.holders == [0; 3] {
            self.free.push(id);
        } else {
            self.waiting[self.epoch].push(id);
        }
    }

    /// An object that nobody can ask for any more.
    pub fn pop(&mut self) -> Option<Id> {
        self.free.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::slab::Slab;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_object_leaves_after_everybody_who_was_there_when_it_came(
            steps in prop::collection::vec((0u8..3, 0usize..6), 0..300),
        ) {
            let (mut limbo, mut slab) = (Limbo::default(), Slab::default());
            let mut present: Vec<(usize, Holder)> = Vec::new();
            let mut blocked: Vec<(Id, Vec<usize>)> = Vec::new();
            for (number, (step, which)) in steps.into_iter().enumerate() {
                match step {
                    0 => present.push((number, limbo.enter())),
                    1 if !present.is_empty() => {
                        let (left, holder) = present.swap_remove(which % present.len());
                        limbo.leave(holder);
                        blocked.iter_mut().for_each(|(_, by)| by.retain(|other| *other != left));
                    }
                    _ => {
                        let id = slab.insert(());
                        limbo.push(id);
                        blocked.push((id, present.iter().map(|(number, _)| *number).collect()));
                    }
                }
                while let Some(id) = limbo.pop() {
                    let at = blocked.iter().position(|(other, _)| *other == id).expect("it came, and left once");
                    let (_, by) = blocked.swap_remove(at);
                    prop_assert!(by.is_empty(), "somebody may still ask for it");
                }
            }
            for (_, holder) in present {
                limbo.leave(holder);
            }
            // Whoever comes next lets the rest go.
            for _ in 0..3 {
                let holder = limbo.enter();
                limbo.leave(holder);
            }
            blocked.retain(|_| limbo.pop().is_none());
            prop_assert!(blocked.is_empty());
        }
    }
}
