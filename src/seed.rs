//! One seed, many streams: random draws keyed by purpose, user and ordinal, so that neither a
//! new draw nor another timing shifts any other.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// The seed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

/// What draws are for. A stream's purpose can be a text; where many streams are made, a constant
/// of this type saves hashing the text for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose(u64);

impl Purpose {
    /// The purpose of that name.
    pub const fn new(name: &str) -> Self {
        Self(hash_bytes(name.as_bytes()))
    }
}

impl From<&str> for Purpose {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl Seed {
    /// The stream for one purpose of one user (or object) at one ordinal. Equal arguments give
    /// equal streams on every machine; any different argument gives an unrelated one.
    #[inline]
    pub fn stream(self, purpose: impl Into<Purpose>, user: u64, ordinal: u64) -> Stream {
        let mut state = self.0;
        for word in [purpose.into().0, user, ordinal] {
            state = mix(state ^ word);
        }
        Stream(Xoshiro256PlusPlus::seed_from_u64(state))
    }
}

/// A stream of random draws. Integers are exact; floats use only operations that IEEE 754
/// defines to the bit, or `libm`.
#[derive(Clone, Debug)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// 64 uniform bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform integer in `0..n`, unbiased (Lemire, "Fast Random Integer Generation in an
    /// Interval", ACM TOMACS 2019). `n` must not be 0.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "an empty range has no random element");
        let mut product = u128::from(self.bits()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.bits()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// A uniform integer in `low..=high`.
    #[inline]
    pub fn inclusive(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "a range runs upwards");
        match (high - low).checked_add(1) {
            Some(n) => low + self.below(n),
            None => self.bits(),
        }
    }

    /// A uniform float in `[0, 1)`, a multiple of 2^-53.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A uniform float in `[low, high)`.
    #[inline]
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`.
    #[inline]
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// An exponential draw with the given mean, by inversion.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.unit())
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014): a bijection of 64 bits that spreads every input bit.
#[inline]
pub const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A 64-bit hash of bytes that is the same everywhere and for ever: SplitMix64 over 8-byte
/// little-endian words and the length. Not for adversaries; collisions must be handled.
pub const fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut state = mix(bytes.len() as u64);
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        state = mix(state ^ u64::from_le_bytes(*word));
        rest = after;
    }
    if rest.is_empty() {
        return state;
    }
    let mut word = 0;
    while let Some((byte, before)) = rest.split_last() {
        word = word << 8 | *byte as u64;
        rest = before;
    }
    mix(state ^ word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_independent() {
        let draw = |purpose: &str, user, ordinal| Seed(42).stream(purpose, user, ordinal).bits();
        const THINK: Purpose = Purpose::new("think");
        assert_eq!(draw("think", 1, 2), Seed(42).stream(THINK, 1, 2).bits());
        assert_eq!(draw("think", 1, 2), draw("think", 1, 2));
        let all =
            [draw("think", 1, 2), draw("think", 2, 1), draw("length", 1, 2), Seed(43).stream("think", 1, 2).bits()];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn first_draws_never_change() {
        let mut stream = Seed(42).stream("golden", 0, 0);
        let draws: Vec<u64> = (0..3).map(|_| stream.below(1_000_000)).collect();
        assert_eq!(draws, GOLDEN);
    }
    const GOLDEN: [u64; 3] = [467_348, 262_889, 186_636];

    #[test]
    fn hashes_never_change() {
        let hashes = ["", "pause", "lengths", "end of conversation"].map(|text| hash_bytes(text.as_bytes()));
        assert_eq!(hashes, HASHES);
    }
    const HASHES: [u64; 4] =
        [0xe220_a839_7b1d_cdaf, 0x8289_3f04_8afe_f839, 0xd95f_4625_9942_3c05, 0x936d_2704_fdbf_a9fb];

    #[test]
    fn bounded_draws_cover_their_range_evenly() {
        let mut stream = Seed(7).stream("range", 0, 0);
        let mut seen = [0u32; 6];
        for _ in 0..60_000 {
            seen[(stream.inclusive(5, 10) - 5) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (9_500..10_500).contains(&n)), "{seen:?}");
    }

    #[test]
    fn exponential_has_its_mean() {
        let mut stream = Seed(7).stream("exp", 0, 0);
        let mean = (0..100_000).map(|_| stream.exponential(2.0)).sum::<f64>() / 100_000.0;
        assert!((mean - 2.0).abs() < 0.03, "{mean}");
    }
}
