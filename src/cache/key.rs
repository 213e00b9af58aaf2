//! A key as 64 bits, the same on every machine. Two keys of one recording that share their hash
//! would be taken for one by what remembers hashes alone, about once in 2^32 keys squared.

use std::hash::{Hash, Hasher};

use crate::seed::{hash_bytes, mix};
use crate::trace::Key;

#[derive(Debug, Default)]
struct Mixer(u64);

impl Mixer {
    fn add(&mut self, word: u64) {
        self.0 = mix(self.0 ^ word);
    }
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.add(hash_bytes(bytes));
    }

    fn write_u8(&mut self, value: u8) {
        self.add(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.add(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_isize(&mut self, value: isize) {
        self.add(value as u64);
    }
}

/// The hash of a key.
pub(super) fn hash(key: &Key) -> u64 {
    let mut mixer = Mixer::default();
    key.hash(&mut mixer);
    mixer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Name;
    use std::collections::HashSet;

    #[test]
    fn keys_that_differ_have_different_hashes() {
        let turn = |user, n, turn| Key::Turn { conversation: Name::UserConversation { user, n }, turn };
        let mut seen = HashSet::new();
        for number in 0..20u32 {
            let n = u64::from(number);
            let others = [Key::Prompt(n), Key::Block(n), Key::Prepopulated(n), Key::Text(number.to_string().into())];
            for key in others.into_iter().chain((0..400).map(|m| turn(number, m / 20, m % 20))) {
                assert!(seen.insert(hash(&key)), "{key}");
            }
        }
        assert_eq!(hash(&Key::Text("a".into())), hash(&Key::Text("a".into())));
    }
}
