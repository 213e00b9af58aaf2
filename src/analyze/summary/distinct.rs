//! How many different names there are: exactly, in 9 bytes or so a name, or nearly, in 16 KiB.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};

/// Sets that share the names by the first bits of their hashes, so that one is small and few wait
/// for the same.
const SHARES: usize = 64;
/// Names that were met last, by the last bits of their hashes: most rows name one of them.
const RECENT: usize = 1 << 15;
/// Hashes that are gathered before they are put into the sets.
const GATHERED: usize = 1 << 16;
/// Registers of the estimate.
const REGISTERS: usize = 1 << 14;

/// The hash of a name, 64 bits of good quality: the multiplications fold the product of two words
/// onto itself, as in wyhash (Wang Yi, "wyhash and wyrand", 2019). Two of 100 million names share one
/// with a probability of 1 in 3,700.
#[inline]
pub fn hash(name: &[u8]) -> u64 {
    const SECRET: [u64; 3] = [0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB, 0x8EBC_6AF0_9C88_C6E3];
    let mut state = SECRET[0] ^ name.len() as u64;
    let mut pairs = name.chunks_exact(16);
    for pair in &mut pairs {
        let (low, high) = pair.split_at(8);
        state = fold(word(low) ^ SECRET[1], word(high) ^ state);
    }
    let rest = pairs.remainder();
    let (low, high) = rest.split_at(rest.len().min(8));
    state = fold(word(low) ^ SECRET[1], word(high) ^ state);
    fold(state ^ SECRET[2], name.len() as u64 ^ SECRET[1])
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    let mut eight = [0u8; 8];
    eight[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(eight)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Takes hashes as they are.
#[derive(Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// The builder of [`AsIs`].
pub type BuildAsIs = BuildHasherDefault<AsIs>;

/// Names by their hashes, shared by threads.
pub enum Names {
    /// All of them.
    Exact(Box<[Mutex<HashSet<u64, BuildAsIs>>]>),
    /// The registers of an estimate.
    Estimated(Mutex<Registers>),
}

/// What one thread has for [`Names`] and not yet handed in.
pub struct Gathering {
    recent: Box<[u64]>,
    gathered: Vec<u64>,
    registers: Option<Registers>,
}

impl Names {
    /// No names; `estimated` keeps registers instead of hashes.
    pub fn new(estimated: bool) -> Self {
        if estimated {
            return Names::Estimated(Mutex::new(Registers::default()));
        }
        Names::Exact((0..SHARES).map(|_| Mutex::default()).collect())
    }

    /// What a thread begins with.
    pub fn gathering(&self) -> Gathering {
        let registers = matches!(self, Names::Estimated(_)).then(Registers::default);
        // An entry that no hash of its place has.
        let recent = (0..RECENT as u64).map(|place| !place).collect();
        Gathering { recent, gathered: Vec::with_capacity(GATHERED), registers }
    }

    /// Adds a name by its hash.
    #[inline]
    pub fn add(&self, hash: u64, gathering: &mut Gathering) {
        let recent = &mut gathering.recent[hash as usize % RECENT];
        if *recent == hash {
            return;
        }
        *recent = hash;
        if let Some(registers) = &mut gathering.registers {
            return registers.add(hash);
        }
        gathering.gathered.push(hash);
        if gathering.gathered.len() == GATHERED {
            self.hand_in(gathering);
        }
    }

    /// Puts what a thread gathered where all can see it.
    pub fn hand_in(&self, gathering: &mut Gathering) {
        match self {
            Names::Exact(shares) => {
                gathering.gathered.sort_unstable();
                gathering.gathered.dedup();
                let share = |hash: &u64| (hash >> 58) as usize;
                for run in gathering.gathered.chunk_by(|a, b| share(a) == share(b)) {
                    let mut set = shares[share(&run[0])].lock().unwrap_or_else(PoisonError::into_inner);
                    set.extend(run);
                }
                gathering.gathered.clear();
            }
            Names::Estimated(all) => {
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                gathering.registers.iter_mut().for_each(|registers| all.merge(registers));
            }
        }
    }

    /// How many names there are.
    pub fn count(&self) -> u64 {
        match self {
            Names::Exact(shares) => {
                shares.iter().map(|set| set.lock().unwrap_or_else(PoisonError::into_inner).len() as u64).sum()
            }
            Names::Estimated(all) => all.lock().unwrap_or_else(PoisonError::into_inner).estimate(),
        }
    }
}

/// The registers of HyperLogLog (Flajolet, Fusy, Gandouet, Meunier, 2007): each holds the longest
/// run of zero bits that a hash of its share began with.
pub struct Registers(Box<[u8; REGISTERS]>);

/// The standard error of an estimate: 1.04 / sqrt(registers).
pub const STANDARD_ERROR: f64 = 1.04 / 128.0;

impl Default for Registers {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Registers {
    #[inline]
    fn add(&mut self, hash: u64) {
        const BITS: u32 = REGISTERS.trailing_zeros();
        let run = ((hash << BITS) | 1 << (BITS - 1)).leading_zeros() as u8 + 1;
        let register = &mut self.0[(hash >> (64 - BITS)) as usize];
        *register = run.max(*register);
    }

    fn merge(&mut self, other: &Registers) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
    }

    /// The paper's estimate, and linear counting where it is better: below 2.5 times the registers.
    fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let alpha = 0.7213 / (1.0 + 1.079 / m);
        let sum: f64 = self.0.iter().map(|run| 1.0 / (1u64 << run) as f64).sum();
        let raw = alpha * m * m / sum;
        let empty = self.0.iter().filter(|run| **run == 0).count();
        if raw <= 2.5 * m && empty > 0 {
            return (m * libm::log(m / empty as f64)).round() as u64;
        }
        raw.round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(names: u64, estimated: bool) -> u64 {
        let all = Names::new(estimated);
        let mut gathering = all.gathering();
        for n in (0..names).chain(0..names).chain((0..names).rev()) {
            all.add(hash(format!("conv_user_0001_{n}").as_bytes()), &mut gathering);
        }
        all.hand_in(&mut gathering);
        all.count()
    }

    #[test]
    fn exact_counts_are_exact_and_estimates_are_near() {
        for names in [0, 1, 100, 70_000] {
            assert_eq!(count(names, false), names);
            let estimate = count(names, true) as f64;
            assert!((estimate - names as f64).abs() <= names as f64 * 4.0 * STANDARD_ERROR, "{estimate} of {names}");
        }
    }

    #[test]
    fn hashes_of_like_names_differ_in_all_bits() {
        let mut ones = [0u32; 64];
        for n in 0..4096u32 {
            let hash = hash(format!("blk_{n:016x}").as_bytes());
            ones.iter_mut().enumerate().for_each(|(bit, ones)| *ones += (hash >> bit & 1) as u32);
        }
        assert!(ones.iter().all(|ones| (1850..2250).contains(ones)), "{ones:?}");
    }
}
