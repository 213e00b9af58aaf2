//! Names of conversations as files have them, made fit for keys.

use crate::seed::hash_bytes;

/// Conversation names are written into every row; longer ids are replaced by a hash.
const LONGEST_ID: usize = 64;

/// The name for an id: itself when it is short and plain, else a hash of it. It holds neither `#`
/// nor `@`, so that what is appended with them makes no id look like another.
pub fn plain(id: &str) -> String {
    if is_plain(id) { id.to_owned() } else { format!("id{:016x}", hash_bytes(id.as_bytes())) }
}

/// Names that begin like those of lone requests are theirs.
fn is_plain(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    (1..=LONGEST_ID).contains(&id.len()) && id.chars().all(plain) && !id.starts_with("req_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_ids_become_hashes() {
        assert_eq!(plain("1722ac82-0a46:x"), "1722ac82-0a46:x");
        for odd in ["", "a,b", "a b", "x@2", "x#2", "req_1", "é", &"a".repeat(65)] {
            let name = plain(odd);
            assert!(name.len() == 18 && name.starts_with("id"), "{odd}: {name}");
        }
    }
}
