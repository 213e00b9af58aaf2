//! Traces and request files that can be given away: names and ids become keyed hashes, time begins
//! anew, text goes, and what a cache would have hit stays the same, which is computed and compared.

mod csv_rows;
mod json;
mod proof;
mod requests;
mod salt;
mod trace;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::output::Overwrite;
use crate::progress::Progress;
use crate::stop::Stop;

use super::inputs::{Kind, kind};

pub use salt::Salt;

/// The schema of what goes with an anonymised request file.
pub const ANONYMOUS_SCHEMA: &str = "kvtrace.anonymous/1";

/// What was done, and that nothing was lost by it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Anonymized {
    /// [`ANONYMOUS_SCHEMA`].
    pub schema: &'static str,
    /// The tool that wrote it, with its version.
    pub tool: &'static str,
    /// What the input was.
    pub format: String,
    /// Rows or requests.
    pub rows: u64,
    /// Different names and ids that were replaced, by what they name.
    pub replaced: BTreeMap<&'static str, u64>,
    /// Fields that were left out, by name, and how often: text, and what is not known to say
    /// nothing.
    pub removed: BTreeMap<String, u64>,
    /// Seconds that were taken off every stamp: not written, for it says when the original began.
    #[serde(skip)]
    pub shifted_s: f64,
    /// References to objects or token blocks that were compared.
    pub references: u64,
    /// Of how many different ones.
    pub distinct: u64,
    /// Capacities at which the hits of LRU were compared, all of which are equal; 0 where the input
    /// has no ids, and lengths and gaps were compared instead.
    pub capacities_equal: u64,
}

/// Anonymises `from` into `to`.
///
/// # Errors
/// When a file cannot be read or written, the input is of a kind that cannot be anonymised, or the
/// outcome has other hits: then it is removed.
pub fn anonymize(
    from: &Path,
    to: &Path,
    salt: &Salt,
    overwrite: Overwrite,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Anonymized> {
    if from.exists() && to.exists() && from.canonicalize().ok() == to.canonicalize().ok() {
        return Err(Error::usage(format!("{} is both input and output; give the output another name", from.display())));
    }
    match kind(from)? {
        Kind::Trace => trace::anonymize(from, to, salt, overwrite, stop, progress),
        Kind::RequestTrace | Kind::Lookups => requests::anonymize(from, to, salt, overwrite, stop),
        other => Err(Error::usage(format!(
            "{} is {}, which is not anonymised; give a trace, a trace of requests or LMCache's lookup log",
            from.display(),
            other.words()
        ))),
    }
}

/// Removes an outcome that is not what it should be, and says so.
fn refused(to: &Path, why: &str) -> Error {
    for path in [to.to_owned(), crate::output::sidecar_path(to), crate::trace::requests_path(to)] {
        // One that is not there need not go.
        let _ = std::fs::remove_file(path);
    }
    Error::new(
        crate::error::Kind::Failed,
        format!("{}: {why}; it was removed. This is a defect of kvtrace: please report it", to.display()),
    )
}
