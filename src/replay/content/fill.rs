//! What objects contain: a stateless counter stream. The 16-byte block at index i of an object
//! is i, put through five AES rounds under keys drawn from (seed, object, version): every sector
//! is unique, nothing compresses, and any block can be made or checked alone. Not for secrets.

use aes::Block;
use aes::hazmat::{Block8, cipher_round, cipher_round_par, equiv_inv_cipher_round, inv_mix_columns, mix_columns};

use crate::seed::mix;

/// Bytes of one block of the stream.
pub const BLOCK: usize = 16;

/// Blocks that are made together, so that a round of one hides behind those of the others.
const LANES: usize = 8;

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
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("aes") {
            // SAFETY: the processor has the instructions that the function is compiled for.
            return unsafe { x86::block(&self.keys, index) };
        }
        self.block_portable(index)
    }

    fn block_portable(&self, index: u64) -> [u8; BLOCK] {
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
        debug_assert!(offset.is_multiple_of(BLOCK as u64) && out.len().is_multiple_of(BLOCK));
        let first = offset / BLOCK as u64;
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("aes") {
            // SAFETY: the processor has the instructions that the function is compiled for.
            unsafe { x86::fill(&self.keys, first, out) };
            return;
        }
        self.fill_portable(first, out);
    }

    /// Compares one block of every `every` bytes of `data`, which begins at byte `offset` of the
    /// object. Where the first is that differs; none when all are right.
    pub fn first_wrong(&self, offset: u64, data: &[u8], every: usize) -> Option<usize> {
        let (first, step) = (offset / BLOCK as u64, (every / BLOCK) as u64);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("aes") {
            // SAFETY: the processor has the instructions that the function is compiled for.
            return unsafe { x86::first_wrong(&self.keys, first, step, data) };
        }
        let places = (0..data.len().saturating_sub(BLOCK - 1)).step_by(every);
        places.zip(0..).find(|(at, i)| data[*at..at + BLOCK] != self.block(first + i * step)).map(|found| found.0)
    }

    /// The same bytes as [`Stream::fill`], without instructions that not every machine has; `first` is
    /// the index of the first block.
    pub fn fill_portable(&self, first: u64, out: &mut [u8]) {
        let keys = self.keys.map(|key| Block8::from([Block::from(key); LANES]));
        let mut index = first;
        let mut groups = out.chunks_exact_mut(LANES * BLOCK);
        for group in &mut groups {
            let mut lanes = Block8::from(std::array::from_fn(|lane| Block::from(counter(index + lane as u64))));
            lanes.iter_mut().for_each(|lane| xor(lane, &self.keys[0]));
            for key in &keys[1..] {
                cipher_round_par(&mut lanes, key);
            }
            group.chunks_exact_mut(BLOCK).zip(&lanes).for_each(|(place, lane)| place.copy_from_slice(lane));
            index += LANES as u64;
        }
        for place in groups.into_remainder().chunks_exact_mut(BLOCK) {
            place.copy_from_slice(&self.block_portable(index));
            index += 1;
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
    use std::arch::x86_64::{
        __m128i, _MM_HINT_T1, _mm_aesenc_si128, _mm_and_si128, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_prefetch,
        _mm_set_epi64x, _mm_storeu_si128, _mm_xor_si128,
    };

    use super::{BLOCK, LANES, TAG};

    /// One round of all lanes. Written out, because even builds for debugging make gigabytes.
    macro_rules! each {
        ($lanes:ident, $step:ident, $key:expr) => {
            $lanes = [
                $step($lanes[0], $key),
                $step($lanes[1], $key),
                $step($lanes[2], $key),
                $step($lanes[3], $key),
                $step($lanes[4], $key),
                $step($lanes[5], $key),
                $step($lanes[6], $key),
                $step($lanes[7], $key),
            ]
        };
    }

    /// Every `step`-th block from index `first`, one for each lane.
    #[inline]
    #[target_feature(enable = "aes,sse2")]
    fn blocks(key: &[__m128i; 6], first: u64, step: u64) -> [__m128i; LANES] {
        let at = |lane: u64| _mm_set_epi64x(TAG as i64, (first + lane * step) as i64);
        let mut lanes = [at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)];
        each!(lanes, _mm_xor_si128, key[0]);
        each!(lanes, _mm_aesenc_si128, key[1]);
        each!(lanes, _mm_aesenc_si128, key[2]);
        each!(lanes, _mm_aesenc_si128, key[3]);
        each!(lanes, _mm_aesenc_si128, key[4]);
        each!(lanes, _mm_aesenc_si128, key[5]);
        lanes
    }

    #[target_feature(enable = "aes,sse2")]
    pub fn fill(keys: &[[u8; BLOCK]; 6], first: u64, out: &mut [u8]) {
        let key = keys.map(|key| load(key));
        let mut index = first;
        let mut groups = out.chunks_exact_mut(LANES * BLOCK);
        for group in &mut groups {
            let lanes = blocks(&key, index, 1);
            let place = group.as_mut_ptr().cast::<[__m128i; LANES]>();
            // SAFETY: a group is exactly eight blocks long, and the store needs no alignment.
            unsafe { place.write_unaligned(lanes) };
            index += LANES as u64;
        }
        for place in groups.into_remainder().chunks_exact_mut(BLOCK) {
            place.copy_from_slice(&block(keys, index));
            index += 1;
        }
    }

    /// Groups of blocks that are asked of memory before they are compared: one block of each page
    /// is far from the next, and memory answers many questions at a time.
    const ASKED: usize = 2;

    /// Compares every `step`-th block of `data` with those from index `first`. Where the first is
    /// that differs.
    #[target_feature(enable = "aes,sse2")]
    pub fn first_wrong(keys: &[[u8; BLOCK]; 6], first: u64, step: u64, data: &[u8]) -> Option<usize> {
        let key = keys.map(|key| load(key));
        let every = step as usize * BLOCK;
        let count = if data.len() < BLOCK { 0 } else { (data.len() - BLOCK) / every + 1 };
        let place = |number: usize| <[u8; BLOCK]>::try_from(&data[number * every..][..BLOCK]).expect("a whole block");
        let ask = |number: usize| {
            let address = data.as_ptr().wrapping_add((number * every).min(data.len()));
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        };
        (0..count.min(ASKED * LANES)).for_each(&ask);
        let differs = |number: usize| place(number) != block(keys, first + number as u64 * step);
        for group in (0..count).step_by(LANES) {
            if group + LANES > count {
                return (group..count).find(|number| differs(*number)).map(|number| number * every);
            }
            (group + ASKED * LANES..group + (ASKED + 1) * LANES).for_each(&ask);
            let lanes = blocks(&key, first + group as u64 * step, step);
            let mut same = _mm_cmpeq_epi8(lanes[0], load(place(group)));
            for (lane, value) in lanes.into_iter().enumerate().skip(1) {
                same = _mm_and_si128(same, _mm_cmpeq_epi8(value, load(place(group + lane))));
            }
            if _mm_movemask_epi8(same) != 0xffff {
                return (group..group + LANES).find(|number| differs(*number)).map(|number| number * every);
            }
        }
        None
    }

    #[target_feature(enable = "aes,sse2")]
    pub fn block(keys: &[[u8; BLOCK]; 6], index: u64) -> [u8; BLOCK] {
        let mut value = _mm_xor_si128(_mm_set_epi64x(TAG as i64, index as i64), load(keys[0]));
        for key in &keys[1..] {
            value = _mm_aesenc_si128(value, load(*key));
        }
        let mut out = [0; BLOCK];
        // SAFETY: `out` is exactly one block long, and the store needs no alignment.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), value) };
        out
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(key: [u8; BLOCK]) -> __m128i {
        let key = u128::from_le_bytes(key);
        _mm_set_epi64x((key >> 64) as i64, key as i64)
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

    #[test]
    fn the_first_wrong_block_is_found_wherever_it_is() {
        let stream = Stream::new(3, 7, 1);
        for len in [0usize, 15, 16, 4096, 4111, 4112, 20 * 4096 + 16, 64 * 4096] {
            let mut data = vec![0; len.next_multiple_of(BLOCK)];
            stream.fill(8192, &mut data);
            data.truncate(len);
            assert_eq!(stream.first_wrong(8192, &data, 4096), None, "{len}");
            for at in (0..(len + 1).saturating_sub(BLOCK)).step_by(4096) {
                data[at + 15] ^= 1;
                assert_eq!(stream.first_wrong(8192, &data, 4096), Some(at), "{len}");
                data[at + 15] ^= 1;
            }
            if len > 16 {
                data[16] ^= 1;
                assert_eq!(stream.first_wrong(8192, &data, 4096), None, "between two stamps");
            }
        }
    }

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
