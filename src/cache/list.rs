//! A doubly linked list of small numbers, in one array: insertion, removal and a look at the
//! front take the same time however long it is.

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    linked: bool,
}

const UNLINKED: Link = Link { before: NONE, after: NONE, linked: false };

/// The list. A number is in it at most once.
#[derive(Clone, Debug)]
pub struct List {
    links: Vec<Link>,
    front: u32,
    back: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { links: Vec::new(), front: NONE, back: NONE }
    }
}

impl List {
    /// The first number.
    pub fn front(&self) -> Option<u32> {
        some(self.front)
    }

    /// The last number.
    pub fn back(&self) -> Option<u32> {
        some(self.back)
    }

    /// The number before one that is in the list.
    pub fn before(&self, number: u32) -> Option<u32> {
        some(self.links[number as usize].before)
    }

    /// Whether a number is in the list.
    pub fn contains(&self, number: u32) -> bool {
        self.links.get(number as usize).is_some_and(|link| link.linked)
    }

    /// Puts a number that is not in the list at its end.
    pub fn push_back(&mut self, number: u32) {
        self.insert_after(some(self.back), number);
    }

    /// Puts a number that is not in the list behind another, or at the front.
    pub fn insert_after(&mut self, neighbour: Option<u32>, number: u32) {
        if self.links.len() <= number as usize {
            self.links.resize(number as usize + 1, UNLINKED);
        }
        let before = neighbour.unwrap_or(NONE);
        let after = if before == NONE { self.front } else { self.links[before as usize].after };
        self.links[number as usize] = Link { before, after, linked: true };
        self.join(before, number);
        self.join(number, after);
    }

    /// Takes a number out; false when it was not in the list.
    pub fn remove(&mut self, number: u32) -> bool {
        if !self.contains(number) {
            return false;
        }
        let Link { before, after, .. } = std::mem::replace(&mut self.links[number as usize], UNLINKED);
        self.join(before, after);
        true
    }

    fn join(&mut self, before: u32, after: u32) {
        match before {
            NONE => self.front = after,
            _ => self.links[before as usize].after = after,
        }
        match after {
            NONE => self.back = before,
            _ => self.links[after as usize].before = before,
        }
    }
}

fn some(number: u32) -> Option<u32> {
    (number != NONE).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(list: &List) -> Vec<u32> {
        let mut numbers: Vec<u32> = std::iter::successors(list.back(), |n| list.before(*n)).collect();
        numbers.reverse();
        numbers
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_vector(steps in prop::collection::vec((0u32..12, 0usize..3, 0usize..12), 0..200)) {
            let (mut list, mut vector) = (List::default(), Vec::<u32>::new());
            for (number, step, position) in steps {
                let place = vector.iter().position(|n| *n == number);
                prop_assert_eq!(list.contains(number), place.is_some());
                match (step, place) {
                    (0, None) => {
                        list.push_back(number);
                        vector.push(number);
                    }
                    (1, None) => {
                        let behind = vector.get(position).copied();
                        list.insert_after(behind, number);
                        vector.insert(behind.map_or(0, |_| position + 1), number);
                    }
                    (_, Some(place)) => {
                        prop_assert!(list.remove(number));
                        vector.remove(place);
                    }
                    (_, None) => prop_assert!(!list.remove(number)),
                }
                prop_assert_eq!(contents(&list), vector.clone());
                prop_assert_eq!(list.front(), vector.first().copied());
            }
        }
    }
}
