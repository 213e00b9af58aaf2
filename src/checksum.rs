//! The sha256 of an input, by which every file that is written says what it was made from.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// The sha256 of bytes, in hex.
pub fn of(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

/// The sha256 of a stream up to its end, in hex; every piece is handed to `each` too.
///
/// # Errors
/// Those of the stream and of `each`.
pub fn of_stream(stream: &mut impl Read, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0u8; PIECE];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(length) => {
                hasher.update(&piece[..length]);
                each(&piece[..length])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_the_sum_of_its_bytes() {
        // FIPS 180-4's example.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b"abc"), abc);
        let mut pieces = Vec::new();
        let mut seen = |piece: &[u8]| {
            pieces.extend_from_slice(piece);
            Ok(())
        };
        assert_eq!(of_stream(&mut b"a".chain(&b"bc"[..]), &mut seen).unwrap(), abc);
        assert_eq!(pieces, b"abc");
        let failed = of_stream(&mut &b"abc"[..], |_| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::StorageFull);
    }
}
