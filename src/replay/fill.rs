//! What objects contain: a stateless counter stream. The 16-byte block at index i of an object
//! is i, put through five AES rounds under keys drawn from (seed, object, version): every sector
//! is unique, nothing compresses, and any block can be made or checked alone. Not for secrets.

use aes::Block;
use aes::hazmat::{cipher_round, equiv_inv_cipher_round, inv_mix_columns, mix_columns};

use crate::seed::mix;

/// Bytes of one block of the stream.
pub const BLOCK: usize = 16;

/// The upper half of every counter; a block that decrypts to it was made by us.
const TAG: u64 = u64::from_le_bytes(*b"kvtrace!");

/// Weyl increments between round keys, as in ARS (Salmon et al., "Parallel random numbers: as
/// easy as 1, 2, 3", SC 2011): the golden ratio and sqrt(3) - 1.
const WEYL: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbb67_ae85_84ca_a73b];

/// The content of one version of one object.
#[derive(Clone, Debug)]
pub struct Stream {
    keys: [[u8; BLOCK]; 6],
}

impl Stream {
    /// The stream of `(seed, object, version)`; `object` is the hash of the object's name.
    pub fn new(seed: u64, object: u64, version: u64) -> Self {
        let base = mix(mix(mix(seed) ^ object) ^ version);
        let (mut low, mut high) = (base, mix(base ^ object));
        let mut keys = [[0; BLOCK]; 6];
        for key in &mut keys {
            key[..8].copy_from_slice(&low.to_le_bytes());
            key[8..].copy_from_slice(&high.to_le_bytes());
            (low, high) = (low.wrapping_add(WEYL[0]), high.wrapping_add(WEYL[1]));
        }
        Self { keys }
    }

    /// The block at `index`.
    pub fn block(&self, index: u64) -> [u8; BLOCK] {
        let mut block = Block::from(counter(index));
        xor(&mut block, &self.keys[0]);
        for key in &self.keys[1..] {
            cipher_round(&mut block, &Block::from(*key));
        }
        block.into()
    }

    /// The index at which this stream has `block`; none when it is not of this stream.
    pub fn index_of(&self, block: [u8; BLOCK]) -> Option<u64> {
        let mut block = Block::from(block);
        let zero = Block::default();
        for key in self.keys[1..].iter().rev() {
            xor(&mut block, key);
            inv_mix_columns(&mut block);
            equiv_inv_cipher_round(&mut block, &zero);
            mix_columns(&mut block);
        }
        xor(&mut block, &self.keys[0]);
        let (low, high) = block.split_at(8);
        let word = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("half a block has eight bytes"));
        (word(high) == TAG).then(|| word(low))
    }

    /// Fills `out`, which begins at byte `offset` of the object; both are whole blocks.
    pub fn fill(&self, offset: u64, out: &mut [u8]) {
        debug_assert!(offset % BLOCK as u64 == 0 && out.len() % BLOCK == 0);
        let first = offset / BLOCK as u64;
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("aes") {
            // SAFETY: the processor has the instructions that the function is compiled for.
            unsafe { x86::fill(&self.keys, first, out) };
            return;
        }
        self.fill_portable(first, out);
    }

    /// The same bytes as [`Stream::fill`], without instructions that not every machine has.
    fn fill_portable(&self, first: u64, out: &mut [u8]) {
        for (i, block) in out.chunks_exact_mut(BLOCK).enumerate() {
            block.copy_from_slice(&self.block(first + i as u64));
        }
    }
}

fn counter(index: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..8].copy_from_slice(&index.to_le_bytes());
    block[8..].copy_from_slice(&TAG.to_le_bytes());
    block
}

fn xor(block: &mut Block, key: &[u8; BLOCK]) {
    block.iter_mut().zip(key).for_each(|(a, b)| *a ^= b);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m128i, _mm_aesenc_si128, _mm_set_epi64x, _mm_storeu_si128, _mm_xor_si128};

    use super::{BLOCK, TAG};

    /// Blocks in flight: enough to hide the latency of a round behind the others.
    const LANES: usize = 8;

    #[target_feature(enable = "aes,sse2")]
    pub fn fill(keys: &[[u8; BLOCK]; 6], first: u64, out: &mut [u8]) {
        let key = keys.map(|k| {
            let k = u128::from_le_bytes(k);
            _mm_set_epi64x((k >> 64) as i64, k as i64)
        });
        let mut index = first;
        let mut groups = out.chunks_exact_mut(LANES * BLOCK);
        for group in &mut groups {
            let mut lanes = [key[0]; LANES];
            for (i, lane) in lanes.iter_mut().enumerate() {
                *lane = _mm_xor_si128(_mm_set_epi64x(TAG as i64, (index + i as u64) as i64), key[0]);
            }
            for k in &key[1..] {
                for lane in &mut lanes {
                    *lane = _mm_aesenc_si128(*lane, *k);
                }
            }
            for (lane, place) in lanes.iter().zip(group.chunks_exact_mut(BLOCK)) {
                store(place, *lane);
            }
            index += LANES as u64;
        }
        for place in groups.into_remainder().chunks_exact_mut(BLOCK) {
            let mut lane = _mm_xor_si128(_mm_set_epi64x(TAG as i64, index as i64), key[0]);
            for k in &key[1..] {
                lane = _mm_aesenc_si128(lane, *k);
            }
            store(place, lane);
            index += 1;
        }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn store(place: &mut [u8], value: __m128i) {
        assert!(place.len() == BLOCK);
        // SAFETY: `place` is exactly one block long and the store needs no alignment.
        unsafe { _mm_storeu_si128(place.as_mut_ptr().cast(), value) };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_sector_is_unique_and_nothing_compresses() {
        let mut all = Vec::new();
        for (object, version) in [(1, 1), (1, 2), (2, 1), (3, 0)] {
            let mut data = vec![0; 1 << 20];
            Stream::new(42, object, version).fill(1 << 20, &mut data);
            all.extend_from_slice(&data);
        }
        let sectors: HashSet<&[u8]> = all.chunks(512).collect();
        assert_eq!(sectors.len(), all.len() / 512);
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.long_distance_matching(true).unwrap();
        std::io::Write::write_all(&mut encoder, &all).unwrap();
        let packed = encoder.finish().unwrap().len();
        assert!(packed as f64 >= all.len() as f64 * 0.999, "{packed} of {}", all.len());
    }

    #[test]
    fn another_seed_shares_no_sector() {
        let sectors = |seed| {
            let mut data = vec![0; 1 << 18];
            Stream::new(seed, 9, 1).fill(0, &mut data);
            data.chunks(512).map(<[u8]>::to_vec).collect::<HashSet<_>>()
        };
        assert!(sectors(1).is_disjoint(&sectors(2)));
    }

    #[test]
    fn bytes_never_change() {
        let block = u128::from_le_bytes(Stream::new(42, 7, 1).block(5));
        assert_eq!(format!("{block:032x}"), GOLDEN);
    }
    const GOLDEN: &str = "1c728885a990cc31e8331e0aafc8b39a";

    proptest! {
        #[test]
        fn any_part_is_the_same_bytes(object: u64, version in 0u64..9, first in 0u64..1 << 40, blocks in 1usize..70) {
            let stream = Stream::new(3, object, version);
            let (mut fast, mut portable) = (vec![0; blocks * BLOCK], vec![0; blocks * BLOCK]);
            stream.fill(first * BLOCK as u64, &mut fast);
            stream.fill_portable(first, &mut portable);
            prop_assert_eq!(&fast, &portable);
            let last: [u8; BLOCK] = fast[(blocks - 1) * BLOCK..].try_into().unwrap();
            prop_assert_eq!(stream.index_of(last), Some(first + blocks as u64 - 1));
            prop_assert_eq!(Stream::new(3, object, version + 1).index_of(last), None);
        }
    }
}
