//! Traces in zstd: one data frame, then one skippable frame that holds the metadata and ends in
//! a trailer by which it is found from the end of the file. Tools that know nothing of it read
//! the data frame and skip the rest; a leading frame or a second data frame would break some.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder;

/// The compression level, the one the reference uses.
const LEVEL: i32 = 3;
/// Most threads that compress; the bytes do not depend on their number.
const MAX_WORKERS: usize = 4;
/// Input of a job of one of these threads: the memory is this for each of them and a few more. The
/// bytes depend on it.
const JOB_BYTES: u32 = 2 << 20;
/// The first bytes of a data frame.
pub const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// The first bytes of our skippable frame; a frame with any last digit is skippable.
const SKIPPABLE_MAGIC: [u8; 4] = 0x184D_2A5B_u32.to_le_bytes();
/// The last bytes of a trace that carries metadata.
const TRAILER_TAG: &[u8; 16] = b"kvtrace.trace/1\n";
/// The length of the metadata and the tag.
const TRAILER: u64 = 4 + TRAILER_TAG.len() as u64;
/// The magic and length of a skippable frame.
const HEADER: u64 = 8;
/// More metadata than this is not ours.
const MAX_META: u64 = 64 << 20;

/// Starts the data frame. Always zstd's multi-threaded mode: its bytes differ from the
/// single-threaded mode's, so a machine with one processor uses it too.
pub fn encoder<W: Write>(inner: W) -> io::Result<Encoder<'static, W>> {
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_WORKERS));
    let mut encoder = Encoder::new(inner, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.multithread(workers as u32)?;
    encoder.set_parameter(CParameter::JobSize(JOB_BYTES))?;
    Ok(encoder)
}

/// Whether a file that starts with `head` is zstd.
pub fn is_zst(head: &[u8]) -> bool {
    let skippable = head.len() >= 4 && head[0] & 0xF0 == 0x50 && head[1..4] == SKIPPABLE_MAGIC[1..];
    head.starts_with(&MAGIC) || skippable
}

/// Appends the frame with the metadata.
pub fn write_meta(out: &mut impl Write, json: &[u8]) -> io::Result<()> {
    let too_long = |_| io::Error::other("the metadata is longer than a zstd frame can be");
    let length = u32::try_from(json.len()).map_err(too_long)?;
    let content = u32::try_from(json.len() as u64 + TRAILER).map_err(too_long)?;
    let mut frame = Vec::with_capacity(json.len() + (HEADER + TRAILER) as usize);
    frame.extend_from_slice(&SKIPPABLE_MAGIC);
    frame.extend_from_slice(&content.to_le_bytes());
    frame.extend_from_slice(json);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(TRAILER_TAG);
    out.write_all(&frame)
}

/// The metadata at the end of a file, if it is there.
pub fn read_meta(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let end = file.seek(SeekFrom::End(0))?;
    if end < HEADER + TRAILER {
        return Ok(None);
    }
    let mut trailer = [0u8; TRAILER as usize];
    file.seek(SeekFrom::Start(end - TRAILER))?;
    file.read_exact(&mut trailer)?;
    let (length, tag) = trailer.split_at(4);
    let length = u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
    if tag != TRAILER_TAG || length > MAX_META || end < HEADER + length + TRAILER {
        return Ok(None);
    }
    let mut frame = vec![0u8; (HEADER + length) as usize];
    file.seek(SeekFrom::Start(end - HEADER - length - TRAILER))?;
    file.read_exact(&mut frame)?;
    let content = (length + TRAILER).to_le_bytes();
    if frame[..4] != SKIPPABLE_MAGIC || frame[4..8] != content[..4] {
        return Ok(None);
    }
    Ok(Some(frame.split_off(HEADER as usize)))
}
