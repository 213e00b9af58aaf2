//! The text that bpftrace prints for the reference's script (`storage_latency_stack.bt` of MLPerf
//! Storage's KV cache benchmark), read into a [`BlockResult`].
//!
//! `lines` knows what a line is, `maps` which prints of a map count, `names` the fifteen
//! histograms under our names, `result` what the text cannot say.

mod lines;
mod maps;
mod names;
mod result;

use crate::error::{Error, Result};
use crate::measure::BlockResult;

use self::lines::Line;
use self::maps::Maps;

/// The `source` of a result that was read from bpftrace's text.
pub const SOURCE: &str = "bpftrace";

/// What a text held.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The histograms; not complete when the text is cut or broken somewhere.
    pub result: BlockResult,
    /// Where and why reading ended early, e.g. `line 12: …`.
    pub cut: Option<String>,
}

/// Whether a text is bpftrace's: it holds a map or says that probes are being attached.
pub fn is_text(text: &str) -> bool {
    if text.trim_start().starts_with(['{', '[']) {
        return false;
    }
    text.lines().any(|line| match lines::parse(line) {
        Ok(Line::Head { .. } | Line::Value { .. } | Line::Start) => true,
        Ok(Line::Blank | Line::Bucket(_) | Line::Other) => false,
        Err(_) => line.starts_with('@'),
    })
}

/// Reads a text; `name` is what it is called in errors.
///
/// # Errors
/// When it holds none of the reference's histograms. A text that is cut is none: see
/// [`Reading::cut`].
pub fn read(text: &str, name: &str) -> Result<Reading> {
    let maps = Maps::of(text);
    let cut = maps.cut.as_ref().map(ToString::to_string);
    let result = result::of(&maps);
    if result.histograms.is_empty() {
        let found = match (&cut, maps.names().as_slice()) {
            (Some(cut), _) => cut.clone(),
            (None, []) => "it holds no map at all".to_owned(),
            (None, found) => format!("it holds {}", found.join(", ")),
        };
        return Err(Error::usage(format!(
            "{name}: none of the histograms of the reference's bpftrace script was found ({found}); expected is its \
             output with @d2c_read_us, @bssplit_read_kb, @qd_read, @lba_read_gb and the like"
        )));
    }
    Ok(Reading { result, cut })
}
