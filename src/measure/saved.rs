//! Reading saved results back: which result a file is, decided by its schema and not by its name.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::checksum;
use crate::error::{Error, Result};
use crate::output;

use super::analysis::{ANALYSIS_SCHEMA, Analysis};
use super::block::{BLOCK_SCHEMA, BlockResult};
use super::fidelity::{FIDELITY_SCHEMA, Fidelity};
use super::replay::{REPLAY_SCHEMA, ReplayResult};

/// The largest result that is read, decompressed. A replay with a capture is a few MiB.
const MAX_BYTES: u64 = 1 << 30;

/// A saved result.
#[derive(Clone, Debug)]
pub enum Saved {
    /// `kvtrace.replay/1`.
    Replay(Box<ReplayResult>),
    /// `kvtrace.block/1`.
    Block(Box<BlockResult>),
    /// `kvtrace.fidelity/1`.
    Fidelity(Box<Fidelity>),
    /// `kvtrace.analysis/1`.
    Analysis(Box<Analysis>),
}

impl Saved {
    /// What it is called in a sentence.
    pub fn what(&self) -> &'static str {
        match self {
            Saved::Replay(_) => "a replay result",
            Saved::Block(_) => "a capture of the block layer",
            Saved::Fidelity(_) => "a fidelity card",
            Saved::Analysis(_) => "an analysis",
        }
    }
}

/// The bytes of a small input and what is said of them elsewhere.
#[derive(Clone, Debug)]
pub struct Input {
    /// The file's name without its folder, or `stdin`.
    pub name: String,
    /// The sha256 of the file as it lies there, in hex.
    pub sha256: String,
    /// Its content, decompressed.
    pub text: String,
}

impl Input {
    /// Reads a file, or standard input for `-`; zstd is recognised by content.
    ///
    /// # Errors
    /// When it cannot be read, is larger than 1 GiB or is no UTF-8 text.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |e: &io::Error| Error::reading(path, e);
        let mut raw = Vec::new();
        if output::is_standard(path) {
            io::stdin().take(MAX_BYTES + 1).read_to_end(&mut raw).map_err(|e| failed(&e))?;
        } else {
            let file = File::open(path).map_err(|e| failed(&e))?;
            file.take(MAX_BYTES + 1).read_to_end(&mut raw).map_err(|e| failed(&e))?;
        }
        let sha256 = checksum::of(&raw);
        if raw.starts_with(&zstd::zstd_safe::MAGICNUMBER.to_le_bytes()) {
            let mut plain = Vec::new();
            let decoder = zstd::Decoder::new(&raw[..]).map_err(|e| failed(&e))?;
            decoder.take(MAX_BYTES + 1).read_to_end(&mut plain).map_err(|e| failed(&e))?;
            raw = plain;
        }
        if raw.len() as u64 > MAX_BYTES {
            return Err(Error::usage(format!("{} is larger than 1 GiB; no result is", path.display())));
        }
        let text = String::from_utf8(raw).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Error::usage(format!("{}: byte {at} is not UTF-8 text; a JSON result is expected", path.display()))
        })?;
        let name = if output::is_standard(path) {
            "stdin".to_owned()
        } else {
            path.file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        Ok(Self { name, sha256, text })
    }

    /// The schema that the JSON names; none when it is no JSON object with a `schema`.
    pub fn schema(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Named {
            schema: String,
        }
        serde_json::from_str::<Named>(&self.text).ok().map(|named| named.schema)
    }

    /// The result it holds.
    ///
    /// # Errors
    /// When it is no JSON, or of another schema than those of [`Saved`].
    pub fn result(&self) -> Result<Saved> {
        if self.text.trim().is_empty() {
            return Err(Error::usage(format!("{} is empty; a replay or block result is expected", self.name)));
        }
        let broken = |e: serde_json::Error| Error::usage(format!("{}: {e}", self.name));
        match self.schema().as_deref() {
            Some(REPLAY_SCHEMA) => Ok(Saved::Replay(Box::new(serde_json::from_str(&self.text).map_err(broken)?))),
            Some(BLOCK_SCHEMA) => Ok(Saved::Block(Box::new(serde_json::from_str(&self.text).map_err(broken)?))),
            Some(FIDELITY_SCHEMA) => Ok(Saved::Fidelity(Box::new(serde_json::from_str(&self.text).map_err(broken)?))),
            Some(ANALYSIS_SCHEMA) => {
                let analysis = Analysis::of(serde_json::from_str(&self.text).map_err(broken)?);
                let kindless = || Error::usage(format!("{} is {ANALYSIS_SCHEMA} without a `kind`", self.name));
                Ok(Saved::Analysis(Box::new(analysis.ok_or_else(kindless)?)))
            }
            Some(other) => Err(Error::usage(format!(
                "{} is `{other}`; {REPLAY_SCHEMA}, {BLOCK_SCHEMA}, {FIDELITY_SCHEMA} or {ANALYSIS_SCHEMA} is expected",
                self.name
            ))),
            None => {
                let why = serde_json::from_str::<serde_json::Value>(&self.text)
                    .err()
                    .map_or("it has no `schema`".to_owned(), |e| e.to_string());
                Err(Error::usage(format!(
                    "{}: {why}; a JSON result of `kvtrace replay`, capture, analyze or distill-fio --prove is expected",
                    self.name
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Input {
        Input { name: "x.json".to_owned(), sha256: String::new(), text: text.to_owned() }
    }

    #[test]
    fn what_is_no_result_is_named() {
        let refusal = |text: &str| input(text).result().unwrap_err().to_string();
        assert!(refusal("").contains("is empty"));
        assert!(refusal("{\"schema\": \"kvtrace.analysis/1\"}").contains("kvtrace.analysis/1"));
        assert!(refusal("{\"schema\": \"kvtrace.block/1\"").contains("line 1 column"));
        assert!(refusal("[]").contains("no `schema`"));
        assert!(refusal("{\"schema\": \"kvtrace.block/1\"}").contains("missing field"));
    }

    #[test]
    fn zstd_is_told_by_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plain-name");
        std::fs::write(&path, zstd::encode_all(&b"{\"schema\": \"x\"}"[..], 3).unwrap()).unwrap();
        assert_eq!(Input::read(&path).unwrap().schema().as_deref(), Some("x"));
    }
}
