//! Copies of memory that do not pass through the cache: what is larger than a core's own cache
//! is not looked at again soon, and a plain store first reads the line that it overwrites.

/// Shorter copies stay in the cache: what is copied may be looked at at once.
const LEAST: usize = 128 << 10;

/// Copies `from` to `to`, which are equally long.
pub fn copy(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "both ends of a copy are equally long");
    #[cfg(target_arch = "x86_64")]
    if to.len() >= LEAST && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions that the function is compiled for.
        unsafe { x86::stream(from, to) };
        return;
    }
    to.copy_from_slice(from);
}

/// The same for data that is still in the cache, however short.
pub fn put_away(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "both ends of a copy are equally long");
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions that the function is compiled for.
        unsafe { x86::stream(from, to) };
        return;
    }
    to.copy_from_slice(from);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256i, _mm_sfence, _mm256_loadu_si256, _mm256_stream_si256};

    const WORD: usize = size_of::<__m256i>();

    /// Copies with stores that go past the cache.
    #[target_feature(enable = "avx2")]
    pub fn stream(from: &[u8], to: &mut [u8]) {
        let (head, words, tail) = {
            // SAFETY: any bytes are a valid word, and `align_to_mut` splits only where they are
            // aligned.
            let (head, words, tail) = unsafe { to.align_to_mut::<__m256i>() };
            (head, words, tail)
        };
        let (first, rest) = from.split_at(head.len());
        let (middle, last) = rest.split_at(words.len() * WORD);
        head.copy_from_slice(first);
        for (to, from) in words.iter_mut().zip(middle.chunks_exact(WORD)) {
            // SAFETY: `from` is one word long and may lie anywhere; `to` is an aligned word.
            unsafe { _mm256_stream_si256(to, _mm256_loadu_si256(from.as_ptr().cast())) };
        }
        tail.copy_from_slice(last);
        // Whoever is told that the copy is done must see it.
        _mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_arrives_wherever_it_begins() {
        let from: Vec<u8> = (0..LEAST + 100).map(|i| ((i * 31) >> 3) as u8).collect();
        for (first, len) in [(0, LEAST), (1, LEAST + 5), (33, LEAST + 63), (7, 40), (3, 0)] {
            for how in [copy, put_away] {
                let mut to = vec![0; LEAST + 200];
                how(&from[first..first + len], &mut to[5..5 + len]);
                assert_eq!(to[5..5 + len], from[first..first + len]);
                assert!(to[..5].iter().chain(&to[5 + len..]).all(|byte| *byte == 0));
            }
        }
    }
}
