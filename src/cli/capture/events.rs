//! The flags of events, shared by whatever captures, and what is said of their file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::capture::events::{EVENTS_BUFFER, check_buffer, reduce_input};
use crate::capture::{EventsTo, Recorded};
use crate::cli::Global;
use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::measure::events::EVENTS_SCHEMA;
use crate::output;
use crate::stop::Stop;
use crate::trace::Input;
use crate::units::Size;

use super::from::Taken;

/// Where the events go.
#[derive(Clone, Debug, clap::Args)]
pub struct EventFlags {
    /// Also write a row per I/O of the watched devices (Parquet, kvtrace.events/1)
    #[arg(long, value_name = "FILE.parquet")]
    events: Option<PathBuf>,
    /// Memory for rows on their way to --events, a power of two; rows that do not fit are dropped
    /// and counted
    #[arg(long, value_name = "SIZE", default_value_t = Size(EVENTS_BUFFER), requires = "events")]
    events_buffer: Size,
}

impl EventFlags {
    /// Where they go; none when nobody wants them. `others` are the other files that are written,
    /// by their flags.
    ///
    /// # Errors
    /// For a file that cannot be, or is one of the others; for a size that the kernel refuses.
    pub fn to(&self, others: &[(&str, Option<&Path>)], global: Global) -> Result<Option<EventsTo>> {
        let Some(path) = &self.events else { return Ok(None) };
        if output::is_standard(path) {
            return Err(Error::usage("--events - : events are written to a file, not to standard output; name one"));
        }
        let same = |other: &&(&str, Option<&Path>)| other.1.is_some_and(|other| place(other) == place(path));
        if let Some((flag, _)) = others.iter().find(same) {
            return Err(Error::usage(format!(
                "--events and {flag} both name {}; give each its own file",
                path.display()
            )));
        }
        check_buffer(self.events_buffer.0)?;
        output::check_replaceable(path, EVENTS_SCHEMA, global.overwrite())?;
        Ok(Some(EventsTo { path: path.clone(), overwrite: global.overwrite(), buffer_bytes: self.events_buffer.0 }))
    }
}

/// A path without detours, whether it exists or not.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let whole =
        path.canonicalize().or_else(|_| folder.canonicalize().map(|f| f.join(path.file_name().unwrap_or_default())));
    whole.unwrap_or_else(|_| path.to_owned())
}

/// Gives the events of a capture their name. Adds to `place` where they are.
///
/// # Errors
/// When they cannot be written, or could not while the capture ran; the error ends with `place`.
pub fn keep(recorded: Option<Recorded>, result: &BlockResult, place: String) -> Result<String> {
    let Some(recorded) = recorded else { return Ok(place) };
    match recorded.keep(result) {
        Ok(path) => Ok(format!("{place}, the events in {}", path.display())),
        Err(error) => Err(Error::new(error.kind(), format!("{error}; {place}"))),
    }
}

/// Whether a file may hold events: it is Parquet.
pub fn may_be(path: &Path) -> bool {
    let mut head = Vec::new();
    // A pipe would not give its first bytes twice.
    let file = File::open(path).ok().filter(|_| !output::is_standard(path) && path.is_file());
    file.is_some_and(|file| file.take(4).read_to_end(&mut head).is_ok() && head == b"PAR1")
}

/// The result of the capture that wrote the events.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn take(path: &Path, stop: &Stop) -> Result<Taken> {
    let input = Input::open(path)?;
    let result = reduce_input(&input, stop)?;
    Ok(taken(&input, result))
}

/// What was counted of events, with the facts of their file.
pub fn taken(input: &Input, result: BlockResult) -> Taken {
    Taken {
        result,
        cut: None,
        name: input.file_name().unwrap_or_else(|| input.name.clone()),
        schema: EVENTS_SCHEMA.to_owned(),
        sha256: input.sha256.clone(),
        facts: Vec::new(),
        series: None,
    }
}
