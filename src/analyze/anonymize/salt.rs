//! The secret by which names are replaced, and the names that come of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;

use rustc_hash::FxHashSet;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The block of SHA-256, as HMAC uses it.
const BLOCK: usize = 64;

/// A salt: equal salts replace equal names by equal ones; without it nobody can try names out.
pub struct Salt {
    inner: Sha256,
    outer: Sha256,
    seen: RefCell<BTreeMap<&'static str, FxHashSet<u64>>>,
}

impl Salt {
    /// The salt of a text.
    ///
    /// # Errors
    /// When it is empty: then everybody could try names out.
    pub fn of(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::usage("--salt: an empty salt hides nothing; leave it out for a random one"));
        }
        Ok(Self::of_bytes(text.as_bytes()))
    }

    /// One that nobody knows, and that is gone with the process.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> Result<Self> {
        let mut secret = [0u8; 32];
        let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut secret));
        read.map_err(|e| Error::unavailable(format!("no random bytes ({e}); give a --salt")))?;
        Ok(Self::of_bytes(&secret))
    }

    /// HMAC-SHA-256 (RFC 2104) with this key.
    fn of_bytes(secret: &[u8]) -> Self {
        let mut key = [0u8; BLOCK];
        if secret.len() > BLOCK {
            key[..32].copy_from_slice(&Sha256::digest(secret));
        } else {
            key[..secret.len()].copy_from_slice(secret);
        }
        let keyed = |pad: u8| {
            let mut hasher = Sha256::new();
            hasher.update(key.map(|byte| byte ^ pad));
            hasher
        };
        Self { inner: keyed(0x36), outer: keyed(0x5C), seen: RefCell::default() }
    }

    fn digest(&self, domain: &str, name: &[u8]) -> [u8; 32] {
        let mut inner = self.inner.clone();
        inner.update(domain.as_bytes());
        inner.update([0]);
        inner.update(name);
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        outer.finalize().into()
    }

    /// What stands for a name of a kind: 24 hex digits.
    pub fn name(&self, kind: &'static str, name: &str) -> String {
        let digest = self.digest(kind, name.as_bytes());
        self.note(kind, &digest);
        digest[..12].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What stands for a number of a kind: another below 2^63, which every reader of JSON takes.
    pub fn number(&self, kind: &'static str, name: &str) -> u64 {
        let digest = self.digest(kind, name.as_bytes());
        self.note(kind, &digest);
        first_eight(&digest) >> 1
    }

    fn note(&self, kind: &'static str, digest: &[u8; 32]) {
        self.seen.borrow_mut().entry(kind).or_default().insert(first_eight(digest));
    }

    /// How many different names of each kind were replaced.
    pub fn replaced(&self) -> BTreeMap<&'static str, u64> {
        self.seen.borrow().iter().map(|(kind, names)| (*kind, names.len() as u64)).collect()
    }
}

fn first_eight(digest: &[u8; 32]) -> u64 {
    digest[..8].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_hmac() {
        // RFC 4231, test case 2, whose data is split here at the zero byte that a kind ends in.
        let salt = Salt::of("Jefe").unwrap();
        let mut inner = salt.inner.clone();
        inner.update(b"what do ya want for nothing?");
        let mut outer = salt.outer.clone();
        outer.update(inner.finalize());
        let found: String = outer.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn names_depend_on_the_salt_and_the_kind() {
        let (one, same, other) = (Salt::of("a").unwrap(), Salt::of("a").unwrap(), Salt::of("b").unwrap());
        assert_eq!(one.name("user", "bob"), same.name("user", "bob"));
        assert_ne!(one.name("user", "bob"), other.name("user", "bob"));
        assert_ne!(one.name("user", "bob"), one.name("key", "bob"));
        assert_ne!(Salt::random().unwrap().name("user", "bob"), Salt::random().unwrap().name("user", "bob"));
        assert_eq!(one.replaced(), BTreeMap::from([("key", 1), ("user", 1)]));
        assert!(Salt::of("").is_err());
    }
}
