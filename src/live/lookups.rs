//! LMCache's log of lookups (`lookup_hashes_*.jsonl`, its server's `--lookup-hash-log-dir`): the
//! hashes of the chunks of every prompt that was looked up, a JSON line each. The best source of
//! what a cache is asked for: no engine says that in its events.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::model::KvDtype;
use crate::seed::hash_bytes;
use crate::trace::Input;

use super::hash::BlockHash;
use super::tally::Tally;
use super::value::Value;

/// A longer line is no lookup.
const LONGEST: u64 = 64 << 20;

/// A prompt that was looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// When, ns of the server's wall clock.
    pub at_ns: u64,
    /// Its model.
    pub model: String,
    /// Its tokens, what no chunk covers included.
    pub tokens: u64,
    /// Tokens of a chunk.
    pub chunk_tokens: u32,
    /// Bytes of a chunk: of all its tensors; none where the log does not say.
    pub chunk_bytes: Option<u64>,
    /// Its chunks.
    pub chunks: Vec<BlockHash>,
}

#[derive(Deserialize)]
struct Line {
    timestamp: f64,
    #[serde(default)]
    request_id: Option<Value>,
    #[serde(default)]
    model_name: Option<String>,
    chunk_size: u32,
    seq_len: u64,
    #[serde(default)]
    dtypes: Vec<String>,
    #[serde(default)]
    shapes: Vec<Vec<u64>>,
    chunk_hashes: Vec<Value>,
}

/// A log being read, lookup by lookup, in the order of the file.
pub struct Lookups {
    input: BufReader<Box<dyn Read + Send>>,
    name: String,
    sha256: String,
    line: u64,
    over: bool,
    /// What each request looked up last: 16 bytes a request.
    last: FxHashMap<u64, u64>,
    /// What was left out, by reason.
    pub skipped: Tally,
}

impl Lookups {
    /// Reads a log that is open already.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(input: &Input) -> Result<Self> {
        Ok(Self {
            input: BufReader::with_capacity(256 << 10, input.text()?),
            name: input.name.clone(),
            sha256: input.sha256.clone(),
            line: 0,
            over: false,
            last: FxHashMap::default(),
            skipped: Tally::default(),
        })
    }

    /// The sha256 of the file, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    fn next_lookup(&mut self) -> Result<Option<Lookup>> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let read = (&mut self.input).take(LONGEST).read_until(b'\n', &mut text);
            let length = read.map_err(|e| Error::reading(Path::new(&self.name), &e))?;
            if length == 0 {
                return Ok(None);
            }
            self.line += 1;
            let line = text.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Line>(line) {
                Ok(line) => match self.lookup(line) {
                    Ok(lookup) => return Ok(Some(lookup)),
                    Err(why) => self.skipped.count(why),
                },
                Err(e) if e.is_eof() && !text.ends_with(b"\n") => self.skipped.count("last line that is cut off"),
                Err(e) => {
                    return Err(Error::usage(format!(
                        "{}, line {}: this is no lookup of LMCache ({e}); each line has timestamp, chunk_size, seq_len \
                         and chunk_hashes",
                        self.name, self.line
                    )));
                }
            }
        }
    }

    fn lookup(&mut self, line: Line) -> Result<Lookup, &'static str> {
        let at_ns = line.timestamp * 1e9;
        if !(0.0..9.2e18).contains(&at_ns) {
            return Err("lookup whose timestamp is no time");
        }
        if line.chunk_size == 0 {
            return Err("lookup in chunks of 0 tokens");
        }
        let chunks: Option<Vec<_>> = line.chunk_hashes.iter().map(BlockHash::of).collect();
        let chunks = chunks.ok_or("lookup with a chunk hash that is no hash")?;
        if chunks.len() as u64 * u64::from(line.chunk_size) > line.seq_len {
            return Err("lookup with more chunks than its tokens fill");
        }
        if let Some(request) = line.request_id.as_ref().and_then(Value::text) {
            let request = hash_bytes(request.as_bytes());
            let asked = chunks.iter().fold(line.seq_len, |all, hash| crate::seed::mix(all ^ hash.0));
            if self.last.insert(request, asked) == Some(asked) {
                return Err("lookup that its request made before (a scheduler asks again)");
            }
        }
        Ok(Lookup {
            at_ns: at_ns as u64,
            model: line.model_name.unwrap_or_default(),
            tokens: line.seq_len,
            chunk_tokens: line.chunk_size,
            chunk_bytes: chunk_bytes(&line.shapes, &line.dtypes),
            chunks,
        })
    }
}

/// The sum over the tensors of a chunk of elements × bytes of one; none where the log names no
/// tensors, or element types that are not known.
fn chunk_bytes(shapes: &[Vec<u64>], dtypes: &[String]) -> Option<u64> {
    if shapes.is_empty() || dtypes.is_empty() {
        return None;
    }
    let bits = |at: usize| {
        let dtype = dtypes.get(at).or(dtypes.last())?;
        dtype.parse::<KvDtype>().ok().map(KvDtype::bits)
    };
    shapes.iter().enumerate().try_fold(0u64, |sum, (at, shape)| {
        let elements = shape.iter().try_fold(1u64, |all, side| all.checked_mul(*side))?;
        sum.checked_add(elements.checked_mul(bits(at)?)? / 8)
    })
}

impl Iterator for Lookups {
    type Item = Result<Lookup>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_lookup().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_as_large_as_its_tensors() {
        let fp8 = ["float8_e4m3fn".to_owned()];
        assert_eq!(chunk_bytes(&[vec![32, 256, 128]], &fp8), Some(32 * 256 * 128));
        assert_eq!(chunk_bytes(&[vec![2, 4], vec![2]], &["bfloat16".to_owned(), "float".to_owned()]), Some(16 + 8));
        assert_eq!(chunk_bytes(&[vec![2]], &["int7".to_owned()]), None);
        assert_eq!(chunk_bytes(&[], &fp8), None);
    }
}
