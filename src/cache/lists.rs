//! Several doubly linked lists over one set of small numbers, in one array of 8 bytes a number:
//! every step takes the same time however long the lists are.

const UNLINKED: Link = Link { before: u32::MAX, after: u32::MAX };

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

/// `N` lists. A number is in at most one of them, at most once. Each list is a ring with a node
/// of its own, which stands before its first and behind its last number, so that a number leaves
/// without anybody knowing in which list it was.
#[derive(Clone, Debug)]
pub struct Lists<const N: usize> {
    /// The rings' own nodes, then the numbers.
    links: Vec<Link>,
}

impl<const N: usize> Default for Lists<N> {
    fn default() -> Self {
        Self { links: (0..N as u32).map(|ring| Link { before: ring, after: ring }).collect() }
    }
}

impl<const N: usize> Lists<N> {
    /// The first number of a list.
    pub fn front(&self, list: usize) -> Option<u32> {
        number::<N>(self.links[list].after)
    }

    /// The last number of a list.
    pub fn back(&self, list: usize) -> Option<u32> {
        number::<N>(self.links[list].before)
    }

    /// The number before one that is in a list.
    pub fn before(&self, slot: u32) -> Option<u32> {
        number::<N>(self.links[node::<N>(slot)].before)
    }

    /// The number behind one that is in a list.
    pub fn after(&self, slot: u32) -> Option<u32> {
        number::<N>(self.links[node::<N>(slot)].after)
    }

    /// Puts a number that is in no list at the end of one.
    pub fn push_back(&mut self, list: usize, slot: u32) {
        let last = self.links[list].before;
        self.join(last as usize, slot);
    }

    /// Puts a number that is in no list behind another, or at the front of `list`.
    pub fn insert_behind(&mut self, list: usize, neighbour: Option<u32>, slot: u32) {
        self.join(neighbour.map_or(list, node::<N>), slot);
    }

    /// Takes a number out; false when it was in no list.
    pub fn remove(&mut self, slot: u32) -> bool {
        let at = node::<N>(slot);
        match self.links.get_mut(at) {
            None | Some(&mut Link { before: u32::MAX, .. }) => false,
            Some(link) => {
                let Link { before, after } = std::mem::replace(link, UNLINKED);
                self.links[before as usize].after = after;
                self.links[after as usize].before = before;
                true
            }
        }
    }

    /// Takes the first number of a list out.
    pub fn pop_front(&mut self, list: usize) -> Option<u32> {
        let first = self.front(list)?;
        self.remove(first);
        Some(first)
    }

    fn join(&mut self, before: usize, slot: u32) {
        let at = node::<N>(slot);
        if self.links.len() <= at {
            self.links.resize(at + 1, UNLINKED);
        }
        let after = self.links[before].after;
        self.links[at] = Link { before: before as u32, after };
        self.links[before].after = at as u32;
        self.links[after as usize].before = at as u32;
    }
}

fn node<const N: usize>(slot: u32) -> usize {
    slot as usize + N
}

fn number<const N: usize>(node: u32) -> Option<u32> {
    node.checked_sub(N as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(lists: &Lists<2>, list: usize) -> Vec<u32> {
        let backwards: Vec<u32> = std::iter::successors(lists.back(list), |n| lists.before(*n)).collect();
        let mut forwards: Vec<u32> = std::iter::successors(lists.front(list), |n| lists.after(*n)).collect();
        forwards.reverse();
        assert_eq!(forwards, backwards);
        forwards.reverse();
        forwards
    }

    proptest! {
        #[test]
        fn they_behave_like_vectors(
            steps in prop::collection::vec((0u32..12, 0usize..2, 0usize..4, 0usize..12), 0..200),
        ) {
            let (mut lists, mut vectors) = (Lists::<2>::default(), [Vec::<u32>::new(), Vec::new()]);
            for (slot, list, step, position) in steps {
                let linked = vectors.iter().any(|vector| vector.contains(&slot));
                match step {
                    0 if !linked => {
                        lists.push_back(list, slot);
                        vectors[list].push(slot);
                    }
                    1 if !linked => {
                        let behind = vectors[list].get(position).copied();
                        lists.insert_behind(list, behind, slot);
                        vectors[list].insert(behind.map_or(0, |_| position + 1), slot);
                    }
                    2 => {
                        let first = (!vectors[list].is_empty()).then(|| vectors[list].remove(0));
                        prop_assert_eq!(lists.pop_front(list), first);
                    }
                    _ => {
                        prop_assert_eq!(lists.remove(slot), linked);
                        vectors.iter_mut().for_each(|vector| vector.retain(|other| *other != slot));
                    }
                }
                for (list, vector) in vectors.iter().enumerate() {
                    prop_assert_eq!(&contents(&lists, list), vector);
                }
            }
        }
    }
}
