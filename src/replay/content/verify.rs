//! Whether what was read is what was written, and if not, what it is instead.

use crate::seed::hash_bytes;

use super::fill::{BLOCK, Stream};
use crate::replay::plan::names::Names;

/// One 16-byte block of every so many bytes is the stamp that the cheap check compares.
pub const STAMP_EVERY: usize = 4096;

/// The content of a slab that holds no object yet is keyed by this name.
pub const SLAB_NAME: &[u8] = b"kvtrace.slab";

/// The first block that is not what it should be: its place in `data`, or none. `offset` is the
/// place of `data` in the object, a multiple of 4096.
pub fn check_stamps(stream: &Stream, offset: u64, data: &[u8]) -> Option<usize> {
    stream.first_wrong(offset, data, STAMP_EVERY)
}

/// The same for every byte; `scratch` is overwritten.
pub fn check_all(stream: &Stream, offset: u64, data: &[u8], scratch: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    for part in data.chunks(scratch.len()) {
        let expected = &mut scratch[..part.len().next_multiple_of(BLOCK)];
        stream.fill(offset + at as u64, expected);
        if part != &expected[..part.len()] {
            let differs = part.iter().zip(expected.iter()).position(|(a, b)| a != b);
            return differs.map(|place| (at + place) / BLOCK * BLOCK);
        }
        at += part.len();
    }
    None
}

/// A block that is not what it should be.
#[derive(Clone, Copy, Debug)]
pub struct Suspect {
    /// The row that read it, from 1.
    pub row: u64,
    /// The object.
    pub key: u32,
    /// Its content.
    pub content: u64,
    /// The version that should have been there.
    pub version: u32,
    /// Where in the object.
    pub offset: u64,
    /// What was there.
    pub found: [u8; BLOCK],
}

/// Bits of a block that may differ for it to be the right one with bits flipped: two random blocks
/// of 128 bits are that near with a probability below 1e-30.
const FLIPPED: u32 = 4;

impl Suspect {
    fn is_nearly_right(&self, seed: u64) -> bool {
        let mut right = [0; BLOCK];
        Stream::new(seed, self.content, self.version.into()).fill(self.offset, &mut right);
        (u128::from_ne_bytes(self.found) ^ u128::from_ne_bytes(right)).count_ones() <= FLIPPED
    }
}

/// Tries of other objects and versions before a block is called corrupt.
const TRIES: u32 = 4_000_000;
/// Versions of another object that are tried.
const VERSIONS: u32 = 3;

/// Names what wrong blocks are.
pub struct Classifier<'a> {
    seed: u64,
    names: &'a Names,
    tries: u32,
}

impl<'a> Classifier<'a> {
    /// For the data of `seed`.
    pub fn new(seed: u64, names: &'a Names) -> Self {
        Self { seed, names, tries: TRIES }
    }

    /// `zeros`, `bit_flip` (a few bits of it), `other_offset` (of the same object),
    /// `older_version`, `other_key`, or `corrupt`.
    pub fn class(&mut self, suspect: &Suspect) -> &'static str {
        if suspect.found == [0; BLOCK] {
            return "zeros";
        }
        if suspect.is_nearly_right(self.seed) {
            return "bit_flip";
        }
        let is =
            |content, version: u32| Stream::new(self.seed, content, version.into()).index_of(suspect.found).is_some();
        if is(suspect.content, suspect.version) {
            return "other_offset";
        }
        if (0..suspect.version).rev().take(64).any(|version| is(suspect.content, version)) {
            return "older_version";
        }
        if self.is_of_another(suspect) { "other_key" } else { "corrupt" }
    }

    fn is_of_another(&mut self, suspect: &Suspect) -> bool {
        let of = |content, version: u32| Stream::new(self.seed, content, version.into()).index_of(suspect.found);
        if of(hash_bytes(SLAB_NAME), 0).is_some() {
            return true;
        }
        for key in 0..self.names.len() {
            if self.tries == 0 {
                return false;
            }
            self.tries -= 1;
            let content = self.names.content(key);
            if content != suspect.content && (0..=VERSIONS).any(|version| of(content, version).is_some()) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::plan::names::NameWriter;

    const SEED: u64 = 42;

    fn names() -> Names {
        let mut names = NameWriter::new().unwrap();
        names.push("mine").unwrap();
        names.push("theirs").unwrap();
        names.finish().unwrap()
    }

    fn object(name: &str, version: u64, offset: u64) -> Vec<u8> {
        let mut data = vec![0; 3 * STAMP_EVERY];
        Stream::new(SEED, hash_bytes(name.as_bytes()), version).fill(offset, &mut data);
        data
    }

    fn class_of(data: &[u8], full: bool) -> Option<(usize, &'static str)> {
        let (content, names) = (hash_bytes(b"mine"), names());
        let stream = Stream::new(SEED, content, 2);
        let at = if full { check_all(&stream, 8192, data, &mut [0; 512]) } else { check_stamps(&stream, 8192, data) }?;
        let mut found = [0; BLOCK];
        found[..BLOCK.min(data.len() - at)].copy_from_slice(&data[at..data.len().min(at + BLOCK)]);
        let suspect = Suspect { row: 1, key: 0, content, version: 2, offset: 8192 + at as u64, found };
        Some((at, Classifier::new(SEED, &names).class(&suspect)))
    }

    #[test]
    fn wrong_data_is_named() {
        for full in [false, true] {
            assert_eq!(class_of(&object("mine", 2, 8192), full), None);
            assert_eq!(class_of(&[0; 8192], full), Some((0, "zeros")));
            assert_eq!(class_of(&object("mine", 1, 8192), full), Some((0, "older_version")));
            assert_eq!(class_of(&object("theirs", 1, 8192), full), Some((0, "other_key")));
            assert_eq!(class_of(&object("mine", 2, 4096), full), Some((0, "other_offset")));
            assert_eq!(class_of(&[7; 8192], full), Some((0, "corrupt")));
        }
    }

    #[test]
    fn swapped_pages_are_seen_by_stamps_and_one_bit_by_the_full_check() {
        let mut swapped = object("mine", 2, 8192);
        let (first, rest) = swapped.split_at_mut(STAMP_EVERY);
        first.swap_with_slice(&mut rest[..STAMP_EVERY]);
        assert_eq!(class_of(&swapped, false), Some((0, "other_offset")));
        let mut flipped = object("mine", 2, 8192);
        flipped[5000] ^= 4;
        assert_eq!(class_of(&flipped, false), None);
        assert_eq!(class_of(&flipped, true), Some((4992, "bit_flip")));
    }

    #[test]
    fn a_short_tail_is_checked() {
        let mut data = object("mine", 2, 8192);
        data.truncate(STAMP_EVERY + 20);
        assert_eq!(class_of(&data, true), None);
        data[STAMP_EVERY + 17] ^= 1;
        assert_eq!(class_of(&data, true).map(|f| f.0), Some(STAMP_EVERY + 16));
    }
}
